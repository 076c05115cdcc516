"""A home agent, and a mobile node's hand that writes requests to it."""

import itertools
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import protect
from flowbind.auth.replay import next_identification
from flowbind.effects import Effect, SendDatagram
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import Event, Received, Restored, TimerExpired
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.wire.flow_binding import DROP_BID, FlowBinding
from flowbind.wire.iana import ExtensionType, FlowAction, MultipathFlag, RequestFlag
from flowbind.wire.message import decode
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.traffic_selector import Span, TrafficSelector

AGENT = IPv4Address("198.51.100.1")
HOME = IPv4Address("10.9.0.5")
ASSOCIATION = SecurityAssociation(256, bytes(range(16)))
START = 1_800_000_000.0
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION


def care_of_address(number: int) -> IPv4Address:
    return IPv4Address(f"10.{number}.0.2")


def forward(port: int, *bids: int) -> FlowBinding:
    selector = TrafficSelector(source_port=Span(port), protocol=Span(6))
    return FlowBinding(FlowAction.FORWARD, bids, selector)


def drop(port: int) -> FlowBinding:
    return structs.replace(forward(port, DROP_BID), action=FlowAction.DROP)


def multipath(bid: int, flags: int = 0) -> Multipath:
    return Multipath(4, bid, bid, MultipathFlag(flags))


class Desk:
    """The engine under test and the time. `last` are the effects of the last event, all of them."""

    home, address, association, start = HOME, AGENT, ASSOCIATION, START
    timer = TimerExpired()
    bulk, overwrite = int(MultipathFlag.BULK_REREGISTRATION), int(MultipathFlag.OVERWRITE)
    care_of_address = staticmethod(care_of_address)
    forward, drop = staticmethod(forward), staticmethod(drop)
    multipath = staticmethod(multipath)

    def __init__(
        self,
        *associations: SecurityAssociation,
        allows_multipath: bool = True,
        simultaneous: bool = False,
        prefixes: tuple[IPv6Network, ...] = (),
        **changes,
    ) -> None:
        entry = MobileNodeEntry(
            HOME,
            associations or (ASSOCIATION,),
            allows_multipath,
            simultaneous_bindings=simultaneous,
            ipv6_prefixes=prefixes,
        )
        networks = (IPv4Network("10.9.0.0/24"),)
        self.config = HomeAgentConfig(AGENT, networks, (entry,), **changes)
        # Nonces that a test can tell: 1001, 1002, and so on.
        self.nonces = itertools.count(1001).__next__
        self.engine = HomeAgent(self.config, self.nonces)
        self.now = START
        self.identification: int | None = None
        self.last: list[Effect] = []

    def request(self, *extensions, behind: bytes = b"", association=ASSOCIATION, **fields):
        """Write a request; its fields are those of a registration of BID 1 for ten minutes."""
        bid = next((each.bid for each in extensions if isinstance(each, Multipath)), 1)
        self.identification = next_identification(self.identification, self.now)
        message = RegistrationRequest(
            flags=fields.get("flags", RequestFlag.REVERSE_TUNNELING),
            lifetime_s=fields.get("lifetime_s", 600),
            home_address=fields.get("home_address", HOME),
            home_agent=fields.get("home_agent", AGENT),
            care_of_address=fields.get("care_of_address", care_of_address(bid)),
            identification=fields.get("identification", self.identification),
            extensions=extensions,
        )
        return self.received(protect(message, KIND, association) + behind)

    @staticmethod
    def received(payload: bytes) -> Received:
        return Received(payload, care_of_address(1), 40001, AGENT, 434)

    def ask(self, *extensions, **fields) -> int | None:
        """Send a request; returns the code of the reply, None for silence."""
        return self.hear(self.request(*extensions, **fields))

    def hear(self, event: Event) -> int | None:
        self.last = self.engine.handle(event, self.now)
        return self.reply.code if self.replies else None

    def register(self, *bids: int) -> None:
        for bid in bids:
            assert self.ask(multipath(bid)) == 0

    def wake(self) -> None:
        """Let time pass up to the deadline."""
        deadline = self.engine.deadline()
        assert deadline is not None
        assert deadline >= self.now
        self.now = deadline
        self.hear(TimerExpired())

    def restart(self, *records: NodeRecord) -> None:
        held = records or (self.record,)
        self.engine = HomeAgent(self.config, self.nonces)
        self.hear(Restored(held))

    @property
    def replies(self) -> list[SendDatagram]:
        return [each for each in self.last if isinstance(each, SendDatagram)]

    @property
    def reply(self) -> RegistrationReply:
        (datagram,) = self.replies
        message = decode(datagram.payload)
        assert isinstance(message, RegistrationReply)
        return message

    @property
    def kinds(self) -> list[str]:
        return [type(each).__name__ for each in self.last]

    @property
    def record(self) -> NodeRecord:
        return self.engine.records[HOME]

    @property
    def bids(self) -> list[int | None]:
        return [each.bid for each in self.record.bindings]

    @property
    def rules(self) -> list[tuple[int, ...]]:
        """The source port and the BIDs of each rule, in order."""
        found = []
        for rule in self.record.rules:
            assert rule.selector.source_port is not None
            found.append((rule.selector.source_port.start, *rule.bids))
        return found


@pytest.fixture
def make_desk():
    return Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
