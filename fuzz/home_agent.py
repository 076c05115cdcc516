"""The home agent behind a valid authenticator: requests that only its nodes could have made."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

from msgspec import structs

from flowbind.auth.aaa import CHAP_SPI, AaaAssociation
from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.auth.authenticator import compute, verify
from flowbind.auth.nonces import with_nonce
from flowbind.auth.replay import distance_s, to_ntp
from flowbind.dataplane.normal import check
from flowbind.effects import Effect, ProgramForwarding, SaveNode, SendDatagram
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import (
    EffectFailed,
    Event,
    NotifyRequested,
    Received,
    Restored,
    RevokeRequested,
    TimerExpired,
)
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry, OverwriteScope, UnknownBid
from flowbind.model.encoding import from_msgpack, to_msgpack
from flowbind.model.tunnel import MAX_RULES
from flowbind.wire.authentication import Authentication, authentication_header
from flowbind.wire.iana import ExtensionType, RequestFlag
from flowbind.wire.message import Message, all_of, decode
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from fuzz.octets import Octets

AGENT: Final = IPv4Address("198.51.100.1")
HOME: Final = IPv4Address("10.9.0.5")
START: Final = 1_800_000_000.0
KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION
BY_TIMESTAMPS: Final = SecurityAssociation(256, bytes(range(16)))
BY_NONCES: Final = SecurityAssociation(257, bytes(range(16, 32)), replay=Replay.NONCES)
AAA: Final = AaaAssociation(CHAP_SPI, bytes(range(32, 48)))
ASSOCIATIONS: Final = (BY_TIMESTAMPS, BY_NONCES)
PREFIXES: Final = (IPv6Network("2001:db8:1::/64"), IPv6Network("::/0"))
CONFIG: Final = HomeAgentConfig(
    AGENT, (IPv4Network("10.9.0.0/24"),), (MobileNodeEntry(HOME, ASSOCIATIONS),)
)

_OTHERS: Final = (3, 7, 15, 22, 23)
"""Messages that are no requests."""

_AUTHENTICATOR_OCTETS: Final = 16
_MOST_STEPS: Final = 40
_MOST_WAKES: Final = 5
"""What was not performed behind something that failed is asked for again at once."""


def home_agent(data: bytes) -> None:
    """Whatever a node with the key asks for, and whatever fails, the tables make sense."""
    _Run(Octets(data)).all()


class _Run:
    def __init__(self, octets: Octets) -> None:
        self.octets = octets
        self.now = START
        knobs = octets.number()
        self.config = structs.replace(
            CONFIG,
            overwrite_scope=(OverwriteScope.ALL, OverwriteScope.SAME_BID)[knobs & 1],
            unknown_bid=(UnknownBid.NONE_KNOWN, UnknownBid.ANY_UNKNOWN)[knobs >> 1 & 1],
            policy_in_reply=bool(knobs & 4),
            strict_reserved=bool(knobs & 8),
            revocation=bool(knobs & 16),
            notifications=bool(knobs & 32),
            mobile_nodes=(
                MobileNodeEntry(
                    HOME,
                    ASSOCIATIONS,
                    aaa=AAA if knobs & 64 else None,
                    ipv6_prefixes=PREFIXES if knobs & 128 else (),
                ),
            ),
        )
        self.engine = self._new()
        self.accepted: int | None = None
        self.asked: list[Received] = []

    def _new(self) -> HomeAgent:
        # Nonces need not be random here, only others each time.
        numbers = iter(range(int(self.now), 1 << 32))
        return HomeAgent(self.config, lambda: next(numbers))

    def all(self) -> None:
        steps = (self._ask, self._ask, self._ask, self._ask_again, self._wait, self._restart,
                 self._say, self._operator)  # fmt: skip
        for _ in range(_MOST_STEPS):
            if not self.octets.left:
                return
            steps[self.octets.below(len(steps))]()
            self._check_tables()

    # ---- what happens

    def _ask(self) -> None:
        association = ASSOCIATIONS[self.octets.below(len(ASSOCIATIONS))]
        message = RegistrationRequest(
            flags=RequestFlag(self.octets.number()),
            lifetime_s=(600, 0, 1, 0xFFFF)[self.octets.below(4)],
            home_address=HOME,
            home_agent=(AGENT, AGENT, HOME, IPv4Address(0))[self.octets.below(4)],
            care_of_address=IPv4Address(0x0A010002 + (self.octets.below(6) << 16)),
            identification=self._identification(association),
        )
        covered = message.encode_fixed() + self.octets.counted()
        covered += authentication_header(KIND, association.spi, _AUTHENTICATOR_OCTETS)
        payload = covered + compute(covered, association) + self.octets.counted()
        event = Received(payload, message.care_of_address, 434, AGENT, 434)
        self.asked.append(event)
        self._happens(event)

    def _say(self) -> None:
        """Whatever else is said on the port, with an authenticator that is right."""
        association = ASSOCIATIONS[self.octets.below(len(ASSOCIATIONS))]
        kind = (KIND, ExtensionType.FOREIGN_HOME_AUTHENTICATION)[self.octets.below(2)]
        covered = self.octets.message(_OTHERS)
        covered += authentication_header(kind, association.spi, _AUTHENTICATOR_OCTETS)
        payload = covered + compute(covered, association)
        self._happens(Received(payload, IPv4Address(0x0A010002), 434, AGENT, 434))

    def _operator(self) -> None:
        choice = self.octets.number()
        bid = (None, None, 1, 2)[choice & 3]
        if choice & 4:
            self._happens(NotifyRequested(HOME, "fuzzed", bid, acknowledge=bool(choice & 8)))
        else:
            address = IPv4Address(0x0A010002 + (choice << 12 & 0x70000)) if choice & 8 else None
            self._happens(RevokeRequested(HOME, bid, address))

    def _identification(self, association: SecurityAssociation) -> int:
        record = self.engine.records.get(HOME)
        ahead_s = self.octets.below(8) - 2
        if association.replay is Replay.NONCES:
            told = record.nonce or 0 if record else 0
            return with_nonce((told + ahead_s // 4) & 0xFFFFFFFF, 1)
        return to_ntp(self.now + ahead_s / 4)

    def _ask_again(self) -> None:
        if self.asked:
            self._happens(self.asked[self.octets.below(len(self.asked))])

    def _wait(self) -> None:
        self.now += (0.01, 1.0, 30.0, 601.0)[self.octets.below(4)]
        for _ in range(_MOST_WAKES):
            deadline = self.engine.deadline()
            if deadline is None or deadline > self.now:
                return
            self._happens(TimerExpired())
        raise AssertionError("no time passes")

    def _restart(self) -> None:
        records = tuple(self.engine.records.values())
        assert from_msgpack(to_msgpack(records), tuple[NodeRecord, ...]) == records
        self.engine = self._new()
        self._happens(Restored(records))
        assert tuple(structs.replace(each, bindings=(), rules=()) for each in records) == tuple(
            structs.replace(each, bindings=(), rules=()) for each in self.engine.records.values()
        )

    def _happens(self, event: Event) -> None:
        accepted = self.engine.statistics["accepted"]
        effects = self.engine.handle(event, self.now)
        self._check_effects(effects)
        if self.engine.statistics["accepted"] > accepted and isinstance(event, Received):
            self._check_order(event)
        fails = self.octets.below(8)
        if fails < len(effects) and isinstance(effects[fails], ProgramForwarding | SaveNode):
            failed = EffectFailed(effects[fails], tuple(effects[fails + 1 :]), "fuzzed")
            self._check_effects(self.engine.handle(failed, self.now))

    # ---- what must hold

    def _check_order(self, event: Received) -> None:
        """With timestamps each request that is accepted is later than all before."""
        message = decode(event.payload)
        assert isinstance(message, RegistrationRequest)
        if self._spi(message) == BY_TIMESTAMPS.spi:
            last, self.accepted = self.accepted, message.identification
            assert last is None or distance_s(message.identification, last) > 0, "a replay"

    @staticmethod
    def _spi(message: Message) -> int:
        return next(each.spi for each in all_of(message, Authentication) if each.type is KIND)

    def _check_effects(self, effects: list[Effect]) -> None:
        sent = [decode(each.payload) for each in effects if isinstance(each, SendDatagram)]
        replies = [each for each in sent if isinstance(each, RegistrationReply)]
        assert len(replies) <= 1, "more than one reply"
        for each in effects:
            if isinstance(each, SendDatagram):
                spi = self._spi(decode(each.payload))
                verify(each.payload, KIND, next(e for e in ASSOCIATIONS if e.spi == spi))
        for effect in effects:
            if isinstance(effect, ProgramForwarding):
                check(effect.node)

    def _check_tables(self) -> None:
        for record in self.engine.records.values():
            bids = [each.bid for each in record.bindings]
            addresses = [each.care_of_address for each in record.bindings]
            assert len(set(bids)) == len(bids) <= CONFIG.max_bindings
            assert len(set(addresses)) == len(addresses)
            assert None not in bids or len(bids) == 1
            assert len(record.rules) <= MAX_RULES
            assert record.bindings or not record.rules
            revoked = (
                [each.care_of_address for each in record.contact.revoked] if record.contact else []
            )
            assert len(set(revoked)) == len(revoked)
            assert not set(revoked) & set(addresses)
