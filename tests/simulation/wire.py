"""The network between the hosts: it loses, doubles, delays and garbles, and somebody listens."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from random import Random

from msgspec import structs

from flowbind.effects import SendDatagram, SendProbe
from flowbind.events import ProbeAnswered, Received
from tests.simulation.hosts import Host, Schedule
from tests.simulation.scenario import AGENT

ATTACKER = IPv4Address("203.0.113.66")
REMEMBERED = 300
LONGEST_DELAY_S = 20.0


@dataclass(slots=True)
class Link:
    """One interface of a mobile node. A silent direction carries nothing, and tells nobody."""

    host: Host
    name: str
    bid: int
    delay_s: float
    address: IPv4Address | None = None
    silent_up: bool = False
    silent_down: bool = False

    @property
    def silent(self) -> bool:
        return self.silent_up or self.silent_down


@dataclass(slots=True)
class Weather:
    """How bad it is. Shares are of all datagrams; the attacker never rests."""

    loss: float = 0.0
    doubled: float = 0.0
    garbled: float = 0.0
    jitter_s: float = 0.0

    @staticmethod
    def storm(chance: Random) -> "Weather":
        return Weather(
            loss=chance.choice((0.0, 0.02, 0.2, 0.5)),
            doubled=chance.choice((0.0, 0.1, 0.3)),
            garbled=chance.choice((0.0, 0.05, 0.2)),
            jitter_s=chance.choice((0.0, 0.05, 0.5, 3.0)),
        )


@dataclass(slots=True)
class Wire:
    """Carries datagrams between the home agent and the links of the nodes.

    `heard_by_agent` and `heard_by_node` take what arrives.
    """

    agent: Host
    chance: Random
    schedule: Schedule
    heard_by_agent: Callable[[Received], None]
    heard_by_node: Callable[[Link, Received], None]
    links: dict[str, Link] = field(default_factory=dict[str, Link])
    weather: Weather = field(default_factory=Weather)
    _recorded: deque[Received] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def holder(self, address: IPv4Address) -> Link | None:
        """Return the link that has an address now."""
        return next((each for each in self.links.values() if each.address == address), None)

    # ---- datagrams

    def from_node(self, datagram: SendDatagram) -> None:
        """Carry a request."""
        link = self.links[datagram.interface or ""]
        if link.address != datagram.source:
            return
        if link.silent_up:
            return
        received = _received(datagram, 40000 + link.bid)
        self._recorded.append(received)
        for each in self._copies(received):
            self.schedule(self._delay_s(link), partial(self.heard_by_agent, each))

    def from_agent(self, datagram: SendDatagram) -> None:
        """Carry a reply to whoever has its destination when it arrives."""
        received = _received(datagram, datagram.source_port)
        self._recorded.append(received)
        link = self.holder(datagram.destination)
        if link is None:
            return
        for each in self._copies(received):
            self.schedule(self._delay_s(link), partial(self._arrive, each))

    def _arrive(self, received: Received) -> None:
        link = self.holder(received.destination)
        if link and not link.silent_down:
            self.heard_by_node(link, structs.replace(received, interface=link.name))

    def attack(self) -> None:
        """Send again what was recorded, as it was or from elsewhere, or forge a little."""
        if not self._recorded:
            return
        received = self.chance.choice(self._recorded)
        if self.chance.random() < 0.2:
            received = self._garbled(received)
        if received.destination != AGENT:
            self._arrive(received)
            return
        if self.chance.random() < 0.3:
            received = structs.replace(received, source=ATTACKER)
        self.heard_by_agent(received)

    def _copies(self, received: Received) -> list[Received]:
        copies = [received] * (2 if self.chance.random() < self.weather.doubled else 1)
        return [
            self._garbled(each) if self.chance.random() < self.weather.garbled else each
            for each in copies
            if self.chance.random() >= self.weather.loss
        ]

    def _garbled(self, received: Received) -> Received:
        octets = bytearray(received.payload)
        for _ in range(self.chance.choice((1, 1, 2, 8))):
            octets[self.chance.randrange(len(octets))] = self.chance.randrange(256)
        match self.chance.randrange(6):
            case 0:
                del octets[self.chance.randrange(len(octets)) :]
            case 1:
                octets += self.chance.randbytes(self.chance.randrange(1, 12))
            case _:
                pass
        return structs.replace(received, payload=bytes(octets))

    def _delay_s(self, link: Link) -> float:
        jitter_s = self.weather.jitter_s
        late_s = self.chance.expovariate(1 / jitter_s) if jitter_s else 0.0
        return link.delay_s + min(late_s, LONGEST_DELAY_S)

    # ---- probes, which the data plane of the home agent answers by itself

    def probe(self, probe: SendProbe) -> None:
        """Carry an echo request through its tunnel, and the answer back."""
        link = self.links[probe.path.interface or ""]
        if link.address == probe.path.local and not link.silent_up and not self._lost():
            self.schedule(self._delay_s(link), lambda: self._answer(link, probe))

    def _answer(self, link: Link, probe: SendProbe) -> None:
        path = probe.path
        known = any(
            each.remote == path.local and each.encapsulation is path.encapsulation
            for each in self.agent.paths(probe.home_address)
        )
        if known and not link.silent_down and not self._lost():
            self.schedule(self._delay_s(link), lambda: self._answered(link, probe))

    def _answered(self, link: Link, probe: SendProbe) -> None:
        if link.address == probe.path.local:
            link.host.submit(ProbeAnswered(probe.path.bid, probe.sequence))

    def _lost(self) -> bool:
        return self.weather.loss > 0 and self.chance.random() < self.weather.loss


def _received(datagram: SendDatagram, source_port: int) -> Received:
    return Received(
        datagram.payload,
        datagram.source,
        source_port,
        datagram.destination,
        datagram.destination_port,
    )
