"""Agent Advertisements of a home agent on its home link (RFC 5944 2.3, RFC 1256 4.3).

Every advertisement is multicast, those that are asked for too: one of them answers everybody who
asked in the last moments, so there are never more than one a second, whoever solicits how often.
"""

from typing import Final

from flowbind.effects import SendIcmp
from flowbind.engine.chance import Chance
from flowbind.model.binding import Encapsulation
from flowbind.model.config import HomeAgentConfig
from flowbind.wire.agent_discovery import AgentAdvertisement, Router, next_sequence
from flowbind.wire.iana import ALL_SYSTEMS, AgentFlag

SHORTEST_INTERVAL_S: Final = 1.0
INITIAL_ADVERTISEMENTS: Final = 3
LONGEST_INITIAL_INTERVAL_S: Final = 16.0
LONGEST_RESPONSE_DELAY_S: Final = 2.0
INTERVALS_IN_LIFETIME: Final = 3

_SMALLEST_PART: Final = 0.75
_FLAG_OF: Final = {
    Encapsulation.GRE: AgentFlag.GRE_ENCAPSULATION,
    Encapsulation.MINIMAL: AgentFlag.MINIMAL_ENCAPSULATION,
}


class Advertising:
    """When the home agent advertises itself, and what it says."""

    def __init__(self, config: HomeAgentConfig, chance: Chance) -> None:
        self._config = config
        self._chance = chance
        self._routers: tuple[Router, ...] = ()
        self._sequence = 0
        self._initial_left = 0
        self._sent_at = float("-inf")
        self.next_at: float | None = None

    def begin(self, routers: tuple[Router, ...], now: float) -> None:
        """The link has come up with these addresses of ours, or they have changed."""
        self._routers = routers
        self._initial_left = INITIAL_ADVERTISEMENTS
        self.next_at = max(now, self._sent_at + SHORTEST_INTERVAL_S)

    def end(self) -> None:
        """The link is down."""
        self.next_at = None

    def solicited(self, now: float) -> None:
        """Somebody asks; the delay lets one advertisement answer several, and agents take turns."""
        if self.next_at is not None:
            wanted_at = now + self._chance() * LONGEST_RESPONSE_DELAY_S
            earliest_at = self._sent_at + SHORTEST_INTERVAL_S
            self.next_at = min(self.next_at, max(wanted_at, earliest_at))

    def due(self, now: float) -> list[SendIcmp]:
        """Return the advertisement of this moment, if there is one."""
        link = self._config.home_link
        if self.next_at is None or now < self.next_at or link is None:
            return []
        message = self._advertisement().encode()
        self._sequence = next_sequence(self._sequence)
        self._sent_at = now
        self.next_at = now + self._interval_s()
        return [SendIcmp(message, self._config.address, ALL_SYSTEMS, link)]

    def _advertisement(self) -> AgentAdvertisement:
        return AgentAdvertisement(
            sequence=self._sequence,
            lifetime_s=int(INTERVALS_IN_LIFETIME * self._config.advertisement_interval_s),
            registration_lifetime_s=self._config.max_lifetime_s,
            flags=self._flags(),
            routers=self._routers,
        )

    def _flags(self) -> AgentFlag:
        flags = AgentFlag.HOME_AGENT
        for each in self._config.encapsulations:
            flags |= _FLAG_OF.get(each, AgentFlag(0))
        return flags

    def _interval_s(self) -> float:
        longest_s = self._config.advertisement_interval_s
        part = _SMALLEST_PART + (1.0 - _SMALLEST_PART) * self._chance()
        if self._initial_left > 1:
            self._initial_left -= 1
            return min(part * longest_s, LONGEST_INITIAL_INTERVAL_S)
        return part * longest_s
