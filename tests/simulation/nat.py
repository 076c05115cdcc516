"""A network address translator on the way of one interface, which forgets and begins anew."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from random import Random

from msgspec import structs

from flowbind.events import Received

FIRST_OUTSIDE = IPv4Address("203.0.113.100")
OUTSIDE = 8
"""How many addresses there are for all translators; two interfaces may share one."""


@dataclass(slots=True)
class Nat:
    """Where the requests of an interface seem to come from, and for how long after the last one.

    There is no RFC 3519 yet, so packets in tunnels pass it by.
    """

    chance: Random
    at: Callable[[], float]
    idle_s: float
    address: IPv4Address = FIRST_OUTSIDE
    port: int = 0
    used_at: float = float("-inf")

    def rebind(self) -> None:
        """Forget: what comes back to the address and port before is lost."""
        self.address = FIRST_OUTSIDE + self.chance.randrange(OUTSIDE)
        self.port = self.chance.randrange(1024, 1 << 16)

    def outward(self, received: Received) -> Received:
        """Give a request the address and port that the home agent sees."""
        if self.at() - self.used_at > self.idle_s:
            self.rebind()
        self.used_at = self.at()
        return structs.replace(received, source=self.address, source_port=self.port)

    def is_for(self, received: Received) -> bool:
        """Tell whether this is where a reply is meant for."""
        ends = (received.destination, received.destination_port)
        return ends == (self.address, self.port)
