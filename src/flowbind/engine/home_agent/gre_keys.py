"""The keys that a home agent assigns to GRE tunnels (RFC 6245 4.2)."""

from typing import Final

from msgspec import structs

from flowbind.engine.home_agent.traversal import Traversal
from flowbind.model.binding import Binding, GreKeys, NodeRecord
from flowbind.wire.gre_key import GreKey

_MOST: Final = 0xFFFFFFFF


class GreKeying:
    """Gives each binding that asks a key of its own, which it keeps as long as it asks."""

    def __init__(self) -> None:
        self._last = 0

    def follow(self, record: NodeRecord) -> None:
        """Leave a record its keys, which a former run has assigned."""
        keys = [each.gre_keys.receive for each in record.bindings if each.gre_keys]
        self._last = max([self._last, *keys])

    def assigned(self, traversal: Traversal, before: Binding | None) -> Traversal:
        """Return a traversal with its keys, if they are asked for. `before` is what it renews.

        4.2: who asks with key 0 leaves it to us for both directions. One extension tells one key,
        so it is the same.
        """
        asked = traversal.asked_gre_key
        if asked is None:
            return traversal
        own = before.gre_keys.receive if before and before.gre_keys else self._next()
        told = (*traversal.told, GreKey(own))
        return structs.replace(traversal, gre_keys=GreKeys(asked or own, own), told=told)

    def _next(self) -> int:
        self._last = self._last % _MOST + 1
        return self._last
