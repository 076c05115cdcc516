"""A store that lasts as long as its process: the twin of the others in tests and for trials."""

from collections.abc import Sequence
from ipaddress import IPv4Address

from flowbind.effects import DeleteNode, SaveNode
from flowbind.model.binding import NodeRecord
from flowbind.store.base import StoreError


class MemoryStore:
    """Keeps the records in a dictionary."""

    def __init__(self) -> None:
        self._records: dict[IPv4Address, NodeRecord] = {}
        self._closed = False

    def load(self) -> tuple[NodeRecord, ...]:
        """Return every record, ordered by home address."""
        self._check_open()
        return tuple(self._records[address] for address in sorted(self._records))

    def commit(self, changes: Sequence[SaveNode | DeleteNode]) -> None:
        """Apply all changes in order."""
        self._check_open()
        for change in changes:
            if isinstance(change, SaveNode):
                self._records[change.record.home_address] = change.record
            else:
                self._records.pop(change.home_address, None)

    def close(self) -> None:
        """Forget everything."""
        self._records.clear()
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("memory: the store is closed")
