"""The network between the hosts: it loses, doubles, delays, garbles and translates."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from random import Random

from msgspec import structs

from flowbind.effects import SendDatagram, SendProbe
from flowbind.events import InterfaceUp, ProbeAnswered, Received
from flowbind.wire.iana import MOBILE_IP_PORT
from tests.simulation.hosts import Host, Schedule
from tests.simulation.nat import Nat

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
    nat: Nat | None = None

    @property
    def silent(self) -> bool:
        return self.silent_up or self.silent_down

    @property
    def port(self) -> int:
        """Where its requests leave from."""
        return 40000 + self.bid

    def outward(self, received: Received) -> Received:
        """Return a request as the home agent will see it."""
        return self.nat.outward(received) if self.nat else received

    def inward(self, received: Received) -> Received | None:
        """Return a reply as the node will see it, None if it is not for this interface."""
        if self.nat is None:
            # What the home agent begins goes to port 434.
            heard = received.destination_port in {self.port, MOBILE_IP_PORT}
            here = heard and received.destination == self.address
            return structs.replace(received, interface=self.name) if here else None
        if self.address is None or not self.nat.is_for(received):
            return None
        return structs.replace(
            received, destination=self.address, destination_port=self.port, interface=self.name
        )


@dataclass(slots=True)
class Weather:
    """How bad it is. Shares are of all datagrams."""

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

    `heard_by_agent` and `heard_by_node` take what arrives, `overheard` whatever is sent.
    """

    agent: Host
    chance: Random
    schedule: Schedule
    heard_by_agent: Callable[[Received], None]
    heard_by_node: Callable[[Link, Received], None]
    overheard: Callable[[Received], None] = lambda _received: None
    links: dict[str, Link] = field(default_factory=dict[str, Link])
    weather: Weather = field(default_factory=Weather)

    def holder(self, address: IPv4Address) -> Link | None:
        """Return the link that has an address now."""
        return next((each for each in self.links.values() if each.address == address), None)

    # ---- datagrams

    def from_node(self, datagram: SendDatagram) -> None:
        """Carry a request."""
        link = self.links[datagram.interface or ""]
        if link.address != datagram.source or link.silent_up:
            return
        received = link.outward(_received(datagram, datagram.source_port or link.port))
        self.overheard(received)
        for each in self._copies(received):
            self.schedule(self._delay_s(link), partial(self.heard_by_agent, each))

    def from_agent(self, datagram: SendDatagram) -> None:
        """Carry a reply to whoever has its destination when it arrives."""
        received = _received(datagram, datagram.source_port)
        self.overheard(received)
        link = next((each for each in self.links.values() if each.inward(received)), None)
        if link is None:
            return
        for each in self._copies(received):
            self.schedule(self._delay_s(link), partial(self.arrive, each))

    def arrive(self, received: Received) -> None:
        """Hand a datagram to the node whom it is for, if anybody."""
        for link in self.links.values():
            inside = link.inward(received)
            if inside and not link.silent_down:
                self.heard_by_node(link, inside)
                return

    def _copies(self, received: Received) -> list[Received]:
        copies = [received] * (2 if self.chance.random() < self.weather.doubled else 1)
        return [
            garbled(each, self.chance) if self.chance.random() < self.weather.garbled else each
            for each in copies
            if self.chance.random() >= self.weather.loss
        ]

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
            each.remote == path.local
            and each.encapsulation is path.encapsulation
            and each.gre_keys == path.gre_keys
            for each in self.agent.paths(probe.home_address)
        )
        if known and not link.silent_down and not self._lost():
            self.schedule(self._delay_s(link), lambda: self._answered(link, probe))

    def _answered(self, link: Link, probe: SendProbe) -> None:
        if link.address == probe.path.local:
            link.host.submit(ProbeAnswered(probe.path.bid, probe.sequence))

    def _lost(self) -> bool:
        return self.weather.loss > 0 and self.chance.random() < self.weather.loss


def tell(link: Link) -> None:
    """Tell the daemon of the address that a link has, if it has any."""
    if link.address is not None:
        link.host.submit(InterfaceUp(link.name, link.address))


def garbled(received: Received, chance: Random) -> Received:
    """Return a datagram some of whose octets are others, or that is shorter or longer."""
    octets = bytearray(received.payload)
    for _ in range(chance.choice((1, 1, 2, 8))):
        octets[chance.randrange(len(octets))] ^= chance.choice((1 << chance.randrange(8), 0xFF))
    match chance.randrange(6):
        case 0:
            del octets[chance.randrange(len(octets)) :]
        case 1:
            octets += chance.randbytes(chance.randrange(1, 12))
        case _:
            pass
    return structs.replace(received, payload=bytes(octets))


def _received(datagram: SendDatagram, source_port: int) -> Received:
    return Received(
        datagram.payload,
        datagram.source,
        source_port,
        datagram.destination,
        datagram.destination_port,
    )
