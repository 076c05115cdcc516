"""What goes wrong on a machine: a data plane and a store that refuse, a daemon that is killed."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from random import Random

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.effects import DeleteNode, SaveNode
from flowbind.model.tunnel import NodeForwarding
from flowbind.store.base import StoreError
from flowbind.store.memory import MemoryStore


class Crash(BaseException):
    """The daemon was killed; nothing in it may catch that."""


class Trouble:
    """What goes wrong: a share of all effects, or a crash at one of the next."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.share = 0.0
        self.fuse: int | None = None

    def strike(self, error: type[Exception]) -> None:
        """Before an effect and after it: crash if it is time to; before it: fail sometimes."""
        self.burn()
        if self.share and self._chance.random() < self.share:
            raise error("so the simulation wants it")

    def burn(self) -> None:
        """Crash if it is time to."""
        if self.fuse is None:
            return
        self.fuse -= 1
        if self.fuse < 0:
            self.fuse = None
            raise Crash


class FlakyPlane(MemoryDataPlane):
    """A data plane that refuses now and then, and outlives its daemon."""

    def __init__(self, trouble: Trouble, failed: Callable[[], None]) -> None:
        super().__init__()
        self._trouble = trouble
        self._failed = failed

    def program(self, node: NodeForwarding) -> None:
        self._may_fail()
        super().program(node)
        self._trouble.burn()

    def remove(self, home_address: IPv4Address) -> None:
        self._may_fail()
        super().remove(home_address)
        self._trouble.burn()

    def node(self, home_address: IPv4Address) -> NodeForwarding | None:
        """Return what is programmed for one home address."""
        return self._nodes.get(home_address)

    def _may_fail(self) -> None:
        try:
            self._trouble.strike(DataPlaneError)
        except DataPlaneError:
            self._failed()
            raise


class FlakyStore(MemoryStore):
    """A store whose disk refuses now and then."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self._trouble = trouble

    def commit(self, changes: Sequence[SaveNode | DeleteNode]) -> None:
        self._trouble.strike(StoreError)
        super().commit(changes)
        self._trouble.burn()
