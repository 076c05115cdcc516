"""A mobile node, and a home agent's hand that writes replies to it."""

import itertools
from collections import Counter
from ipaddress import IPv4Address

import pytest

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import protect, verify
from flowbind.auth.replay import mismatch_identification
from flowbind.effects import Effect, Log, ProgramForwarding, SendDatagram, SendProbe
from flowbind.engine.mobile_node import MobileNode
from flowbind.engine.mobile_node.state import Interface
from flowbind.events import Event, InterfaceDown, InterfaceUp, ProbeAnswered, Received, TimerExpired
from flowbind.model.binding import NodeRecord
from flowbind.model.config import InterfaceConfig, MobileNodeConfig
from flowbind.model.flow import PolicyRule
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import ExtensionType, FlowAction, MessageType, MultipathFlag
from flowbind.wire.message import all_of, decode, first
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.traffic_selector import Span, TrafficSelector

AGENT = IPv4Address("198.51.100.1")
HOME = IPv4Address("10.9.0.5")
ASSOCIATION = SecurityAssociation(256, bytes(range(16)))
START = 1_800_000_000.0
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION
REQUEST, REPLY = MessageType.REGISTRATION_REQUEST, MessageType.REGISTRATION_REPLY
NAMES = ("wlan0", "wwan0", "cdma0")
LIFETIME_S = 600
MOST_WAKES = 2


def address_of(name: str) -> IPv4Address:
    return IPv4Address(f"10.{NAMES.index(name) + 1}.0.2")


def rule(port: int, *bids: int) -> PolicyRule:
    action = FlowAction.FORWARD if bids else FlowAction.DROP
    return PolicyRule(f"port {port}", (TrafficSelector(source_port=Span(port)),), action, bids)


class Trip:
    """The engine under test and the time. `last` are the effects of the last event, all of them.

    `asked` is the last request, `sent` the datagram it went in.
    """

    home, agent, association, start = HOME, AGENT, ASSOCIATION, START
    address_of, rule = staticmethod(address_of), staticmethod(rule)
    kind = KIND
    bulk, overwrite = MultipathFlag.BULK_REREGISTRATION, MultipathFlag.OVERWRITE

    def __init__(self, *policy: PolicyRule, **changes) -> None:
        interfaces = tuple(
            InterfaceConfig(name, bid, bid, access, weight=4 - bid)
            for bid, (name, access) in enumerate(zip(NAMES, (4, 8, 11), strict=True), start=1)
        )
        # Keepalives have tests of their own; elsewhere they would be in the way.
        changes.setdefault("probe_interval_s", 1e6)
        changes.setdefault("associations", (ASSOCIATION,))
        self.config = MobileNodeConfig(HOME, AGENT, interfaces=interfaces, policy=policy, **changes)
        # Low halves that a test can tell: 501, 502, and so on.
        self.nonces = itertools.count(501).__next__
        self.engine = MobileNode(self.config, self.nonces)
        self.now = START
        self.last: list[Effect] = []
        self.sent: SendDatagram | None = None
        self.unanswered = False

    # ---- what happens

    def hear(self, event: Event) -> list[Effect]:
        self.last = self.engine.handle(event, self.now)
        datagrams = [each for each in self.datagrams(self.last) if each.payload[0] == REQUEST]
        assert len(datagrams) <= 1
        self.sent = datagrams[0] if datagrams else self.sent
        answers = isinstance(event, Received) and event.payload[:1] == bytes((REPLY,))
        self.unanswered = bool(datagrams) or (self.unanswered and not answers)
        return self.last

    @staticmethod
    def interface_up(name: str) -> InterfaceUp:
        return InterfaceUp(name, address_of(name))

    def up(self, *names: str) -> None:
        """Interfaces come up, and what they ask for is accepted."""
        for name in names:
            self.hear(InterfaceUp(name, address_of(name)))
            self.answer_all()

    def down(self, name: str) -> None:
        self.hear(InterfaceDown(name))

    def answer(self, code: int = 0, lifetime_s: int = LIFETIME_S, **fields) -> None:
        """Answer the last request."""
        self.hear(self.reply(code, lifetime_s, **fields))

    def answer_all(self) -> None:
        """Accept requests until there are no more."""
        while self.unanswered:
            self.answer()

    def reply(
        self, code: int = 0, lifetime_s: int = LIFETIME_S, *, clock_s: float = 0.0, **fields
    ) -> Received:
        assert self.sent is not None
        asked = self.asked
        identification = asked.identification
        if code == 133:
            identification = mismatch_identification(identification, self.now + clock_s)
        granted_s = min(lifetime_s, asked.lifetime_s) if code < 2 else 0
        message = RegistrationReply(
            code=code,
            lifetime_s=fields.get("granted_s", granted_s),
            home_address=fields.get("home_address", HOME),
            home_agent=AGENT,
            identification=fields.get("identification", identification),
            extensions=fields.get("extensions", ()),
        )
        payload = protect(message, KIND, fields.get("association", ASSOCIATION))
        return Received(payload, AGENT, 434, self.sent.source, 40000, self.sent.interface)

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass; wakes the engine whenever it wants. Returns all effects."""
        until, effects, woken = self.now + seconds, [], Counter[float]()
        while (deadline := self.engine.deadline()) is not None and deadline <= until:
            assert deadline >= self.now
            self.now = deadline
            woken[self.now] += 1
            assert woken[self.now] <= MOST_WAKES, "it wants no time to pass"
            effects += self.hear(TimerExpired())
        self.now = until
        return effects

    def probe_answered(self, name: str) -> None:
        interface = self.interface(name)
        bid = interface.tunnel.bid if interface.tunnel else 0
        self.hear(ProbeAnswered(bid, interface.keepalive.sequence))

    # ---- what came of it

    @property
    def asks(self) -> bool:
        return any(each.payload[0] == REQUEST for each in self.datagrams(self.last))

    @property
    def asked(self) -> RegistrationRequest:
        assert self.sent is not None
        verify(self.sent.payload, KIND, ASSOCIATION)
        message = decode(self.sent.payload)
        assert isinstance(message, RegistrationRequest)
        return message

    @property
    def multipath(self) -> Multipath | None:
        return first(self.asked, Multipath)

    @property
    def policy(self) -> list[tuple[int, ...]]:
        """The source port and the BIDs of each Flow-Binding extension of the last request."""
        found = []
        for each in all_of(self.asked, FlowBinding):
            assert each.selector.source_port is not None
            found.append((each.selector.source_port.start, *each.bids))
        return found

    def interface(self, name: str) -> Interface:
        return self.engine.interfaces[name]

    def state(self, name: str) -> str:
        return self.interface(name).state.value

    @property
    def record(self) -> NodeRecord:
        return self.engine.record

    @property
    def bids(self) -> list[int | None]:
        return [each.bid for each in self.record.bindings]

    @property
    def kinds(self) -> list[str]:
        return [type(each).__name__ for each in self.last]

    @property
    def paths(self) -> list[tuple[int, bool]]:
        """BID and whether packets are sent there, as the last list of effects programs it."""
        (program,) = [each for each in self.last if isinstance(each, ProgramForwarding)]
        return [(path.bid, path.transmit) for path in program.node.paths]

    @staticmethod
    def datagrams(effects: list[Effect]) -> list[SendDatagram]:
        return [each for each in effects if isinstance(each, SendDatagram)]

    @staticmethod
    def probes(effects: list[Effect]) -> list[SendProbe]:
        return [each for each in effects if isinstance(each, SendProbe)]

    @property
    def logged(self) -> list[str]:
        return [each.text for each in self.last if isinstance(each, Log)]


@pytest.fixture
def make_trip():
    return Trip


@pytest.fixture
def trip() -> Trip:
    return Trip()
