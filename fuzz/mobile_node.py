"""The mobile node, and replies that only its home agent could have made."""

from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.auth.authenticator import compute, verify
from flowbind.dataplane.normal import check
from flowbind.effects import Effect, ProgramForwarding, RemoveForwarding, SendDatagram
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import (
    DeregisterRequested,
    EffectFailed,
    Event,
    InterfaceDown,
    InterfaceUp,
    NotifyRequested,
    PolicyReplaced,
    ProbeAnswered,
    Received,
    RegisterRequested,
    Restored,
    TimerExpired,
)
from flowbind.model.config import InterfaceConfig, MobileNodeConfig
from flowbind.model.flow import PolicyRule
from flowbind.model.match import compile_match
from flowbind.wire.authentication import authentication_header
from flowbind.wire.extension import MalformedExtension, UnknownExtension
from flowbind.wire.iana import ExtensionType, FlowAction
from flowbind.wire.message import decode
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from fuzz.octets import Octets

AGENT: Final = IPv4Address("198.51.100.1")
HOME: Final = IPv4Address("10.9.0.5")
START: Final = 1_800_000_000.0
KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION
NAMES: Final = ("wlan0", "wwan0", "cdma0")
CODES: Final = (0, 0, 0, 1, 70, 128, 130, 131, 133, 134, 135, 136, 139, 152, 153, 255)
POLICY: Final = (
    PolicyRule("voice", compile_match("udp remote port 5060"), FlowAction.FORWARD, (2, 1)),
    PolicyRule("telnet", compile_match("tcp port 23"), FlowAction.DROP),
    PolicyRule("nowhere", compile_match("icmp"), FlowAction.FORWARD, (3,)),
)

_OTHERS: Final = (1, 7, 15, 22, 23)
"""Messages that are no replies."""

_AUTHENTICATOR_OCTETS: Final = 16
_MOST_STEPS: Final = 60
_MOST_WAKES: Final = 5


def mobile_node(data: bytes) -> None:
    """Whatever its home agent and its links do, every request is sound and time passes."""
    _Run(Octets(data)).all()


class _Run:
    def __init__(self, octets: Octets) -> None:
        self.octets = octets
        self.now = START
        choices = octets.number()
        replay = Replay.NONCES if choices & 1 else Replay.TIMESTAMPS
        self.association = SecurityAssociation(256, bytes(range(16)), replay=replay)
        interfaces = tuple(
            InterfaceConfig(name, bid, bid, 4) for bid, name in enumerate(NAMES, start=1)
        )
        self.config = MobileNodeConfig(
            HOME,
            AGENT,
            (self.association,),
            interfaces,
            POLICY[: choices >> 1 & 3],
            multipath=("prefer", "require", "off", "prefer")[choices >> 3 & 3],
            exchange_policy=not choices & 0x20,
            accept_policy=bool(choices & 0x40),
            revocation=bool(choices & 0x80),
            notifications=bool(choices & 0x80),
        )
        self.engine = self._new()
        self.sent: list[SendDatagram] = []

    def _new(self) -> MobileNode:
        # Low halves need not be random here, only others each time.
        numbers = iter(range(int(self.now) & 0xFFFF, 1 << 32))
        return MobileNode(self.config, lambda: next(numbers))

    def all(self) -> None:
        steps = (self._link, self._reply, self._reply, self._reply, self._wait, self._operator,
                 self._say)  # fmt: skip
        for _ in range(_MOST_STEPS):
            if not self.octets.left:
                return
            steps[self.octets.below(len(steps))]()

    # ---- what happens

    def _link(self) -> None:
        choice = self.octets.number()
        name = NAMES[choice % len(NAMES)]
        if choice & 0x80:
            self._happens(InterfaceDown(name))
        else:
            address = 0x0A010002 + (NAMES.index(name) << 16) + (choice >> 4 & 1)
            self._happens(InterfaceUp(name, IPv4Address(address)))

    def _reply(self) -> None:
        if not self.sent:
            return
        sent = self.sent[-1 - self.octets.below(min(len(self.sent), 4))]
        asked = decode(sent.payload)
        assert isinstance(asked, RegistrationRequest)
        identification = asked.identification ^ self.octets.number() << 30
        reply = RegistrationReply(
            code=CODES[self.octets.below(len(CODES))],
            lifetime_s=(asked.lifetime_s, 0, 1, 0xFFFF)[self.octets.below(4)],
            home_address=HOME,
            home_agent=AGENT,
            identification=identification,
        )
        covered = reply.encode_fixed() + self.octets.counted()
        covered += authentication_header(KIND, self.association.spi, _AUTHENTICATOR_OCTETS)
        payload = covered + compute(covered, self.association)
        self._happens(Received(payload, AGENT, 434, sent.source, 40000, sent.interface))

    def _say(self) -> None:
        """Whatever else a home agent says, with an authenticator that is right."""
        covered = self.octets.message(_OTHERS)
        covered += authentication_header(KIND, self.association.spi, _AUTHENTICATOR_OCTETS)
        payload = covered + compute(covered, self.association)
        sent = self.sent[-1] if self.sent else None
        interface = sent.interface if sent else NAMES[0]
        source = sent.source if sent else HOME
        self._happens(Received(payload, AGENT, 434, source, 434, interface))

    def _wait(self) -> None:
        until = self.now + (0.1, 1.0, 10.0, 120.0)[self.octets.below(4)]
        woken_at, woken = self.now, 0
        for _ in range(4 * _MOST_STEPS):
            deadline = self.engine.deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            woken_at, woken = self.now, woken + 1 if woken_at == self.now else 0
            assert woken <= _MOST_WAKES, "no time passes"
            self._happens(TimerExpired())
        self.now = max(self.now, until)

    def _operator(self) -> None:
        choice = self.octets.number()
        name = (*NAMES, None)[choice >> 3 & 3]
        events: tuple[Event, ...] = (
            RegisterRequested(name),
            DeregisterRequested(name),
            PolicyReplaced(POLICY[: choice >> 3 & 3]),
            ProbeAnswered(choice >> 3 & 3, choice >> 5),
            Restored((self.engine.record,)),
            NotifyRequested(HOME, "fuzzed", acknowledge=bool(choice & 8)),
        )
        event = events[choice % len(events)]
        if isinstance(event, Restored):
            self.engine = self._new()
        self._happens(event)

    def _happens(self, event: Event) -> None:
        effects = self.engine.handle(event, self.now)
        self._check(effects)
        fails = self.octets.below(16)
        forwarding = ProgramForwarding | RemoveForwarding
        if fails < len(effects) and isinstance(effects[fails], forwarding):
            failed = EffectFailed(effects[fails], tuple(effects[fails + 1 :]), "fuzzed")
            self._check(self.engine.handle(failed, self.now))

    # ---- what must hold

    def _check(self, effects: list[Effect]) -> None:
        sent = [each for each in effects if isinstance(each, SendDatagram)]
        requests = [each for each in sent if isinstance(decode(each.payload), RegistrationRequest)]
        assert len(requests) <= 1, "two requests at once"
        for each in sent:
            message = decode(each.payload)
            strange = UnknownExtension | MalformedExtension
            assert not any(isinstance(ext, strange) for ext in message.extensions)
            verify(each.payload, KIND, self.association)
            assert each.interface in NAMES
        self.sent += requests
        for effect in effects:
            if isinstance(effect, ProgramForwarding):
                check(effect.node)
        bids = [each.bid for each in self.engine.record.bindings]
        assert len(set(bids)) == len(bids), "two bindings have one BID"
