"""The requests that a mobile node wants to make, most urgent first."""

from collections.abc import Callable, Iterator
from typing import Final

from flowbind.engine.mobile_node.state import Aim, Intent, Interface, Sent

_URGENCY: Final = {aim: rank for rank, aim in enumerate(Aim)}


class Intents:
    """At most one intent for each aim and interface, in order of urgency, then of age.

    Of LEAVE there is one for each care-of address.
    """

    def __init__(self) -> None:
        self._intents: list[Intent] = []

    def __iter__(self) -> Iterator[Intent]:
        return iter(self._intents)

    def find(self, aim: Aim, interface: Interface | None) -> Intent | None:
        """Return the intent of this aim and interface, or None."""
        for intent in self._intents:
            if intent.aim is aim and intent.interface is interface:
                return intent
        return None

    def add(self, intent: Intent) -> None:
        """Want a request that is not wanted yet."""
        self._intents.append(intent)
        self._intents.sort(key=lambda each: _URGENCY[each.aim])

    def keep(self, wanted: Callable[[Intent], bool]) -> None:
        """Forget all others."""
        self._intents = [each for each in self._intents if wanted(each)]

    def remove(self, intent: Intent) -> None:
        """Forget one: it was answered, or is not wanted any more."""
        self.keep(lambda each: each is not intent)

    def unanswered(self, interface: Interface) -> Sent | None:
        """Return the registration of an interface that was sent and not answered yet."""
        intent = self.find(Aim.REGISTER, interface)
        return intent.sent if intent else None
