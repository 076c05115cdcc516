"""The store's door: what survives a restart. Every store passes the same test suite."""

from collections.abc import Sequence
from typing import Protocol

from flowbind.effects import DeleteNode, SaveNode
from flowbind.model.binding import NodeRecord


class StoreError(Exception):
    """The store could not be opened, read or written; the text names it and the reason."""


class BindingStore(Protocol):
    """Keeps one record for each mobile node."""

    def load(self) -> tuple[NodeRecord, ...]:
        """Return every record, ordered by home address. Raises StoreError."""
        ...

    def commit(self, changes: Sequence[SaveNode | DeleteNode]) -> None:
        """Make all changes durable, in order, or none of them. Raises StoreError."""
        ...

    def close(self) -> None:
        """Release the store; a second call does nothing."""
        ...
