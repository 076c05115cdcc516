"""Generic notifications (RFC 6098): what a home agent and a mobile node do alike.

Each direction has Identifications of its own, and beside those of registrations: timestamps that
only grow (7.1.1). What an end has accepted last is its engine's to keep, for it has to be durable.
Associations with nonces carry no notifications: RFC 6098 leaves nonces to choice.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.auth.authenticator import AuthenticationError, protect, verify
from flowbind.auth.replay import (
    ReplayError,
    check_timestamp,
    clock_offset_s,
    mismatch_identification,
    next_identification,
)
from flowbind.effects import Effect, Log, SendDatagram
from flowbind.engine.deadlines import Deadlines
from flowbind.engine.refusal import Refused
from flowbind.events import NotifyRequested, Received
from flowbind.wire.authentication import Authentication
from flowbind.wire.iana import (
    ExtensionType,
    MessageDirection,
    MessageStringSubtype,
    NotificationCode,
)
from flowbind.wire.message import all_of, split_at_authentication
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment
from flowbind.wire.strings import MessageString

MIN_INTERVAL_S: Final = 1.0
"""4.3: no two notifications to one peer are closer than this."""
TRIES: Final = 6
"""So often a notification is sent that is to be acknowledged, over a minute."""
SHORTEST_HEARD_S: Final = 0.5
"""A peer that keeps to the interval is never heard oftener, however its messages bunch up."""
KEPT: Final = 64
"""How many notifications the operator may look back at."""

_KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION
_LOW_HALF: Final = 0xFFFFFFFF
_ACKNOWLEDGED: Final = "acknowledged"
_MISMATCHES: Final = frozenset(
    {
        NotificationCode.HOME_AGENT_IDENTIFICATION_MISMATCH,
        NotificationCode.MOBILE_NODE_IDENTIFICATION_MISMATCH,
    }
)


@dataclass(frozen=True, slots=True)
class Side:
    """What differs between the two ends: the direction of what they say, and how they say no."""

    says: MessageDirection
    hears: MessageDirection
    unspecified: NotificationCode
    insufficient_resources: NotificationCode
    mismatch: NotificationCode


HOME_AGENT: Final = Side(
    MessageDirection.HOME_AGENT_TO_MOBILE_NODE,
    MessageDirection.MOBILE_NODE_TO_HOME_AGENT,
    NotificationCode.HOME_AGENT_UNSPECIFIED,
    NotificationCode.HOME_AGENT_INSUFFICIENT_RESOURCES,
    NotificationCode.HOME_AGENT_IDENTIFICATION_MISMATCH,
)
MOBILE_NODE: Final = Side(
    MessageDirection.MOBILE_NODE_TO_HOME_AGENT,
    MessageDirection.HOME_AGENT_TO_MOBILE_NODE,
    NotificationCode.MOBILE_NODE_UNSPECIFIED,
    NotificationCode.MOBILE_NODE_INSUFFICIENT_RESOURCES,
    NotificationCode.MOBILE_NODE_IDENTIFICATION_MISMATCH,
)


@dataclass(frozen=True, slots=True)
class Route:
    """How a notification to a peer travels now. `clock_offset_s`: how far its clock is ahead."""

    association: SecurityAssociation
    home_agent: IPv4Address
    care_of_address: IPv4Address
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    interface: str | None = None
    clock_offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Who a message that was received is from, if it is authentic.

    `care_of_addresses` are those of its bindings, `last` is the Identification accepted last.
    """

    name: str
    association: SecurityAssociation
    home_agent: IPv4Address
    care_of_addresses: tuple[IPv4Address, ...]
    last: int
    clock_offset_s: float = 0.0


@dataclass(slots=True)
class Notice:
    """One notification, for the operator. `state` is what has become of it."""

    at: float
    home_address: IPv4Address
    sent: bool
    text: str
    state: str


@dataclass(slots=True)
class _Outgoing:
    """A notification under way. `correction_s`: how far its peer has said to be ahead of us."""

    wanted: NotifyRequested
    notice: Notice
    tries: int = 0
    identification: int = 0
    correction_s: float | None = None


RouteOf = Callable[[NotifyRequested], Route | None]


class Notifications:
    """One end of the exchange, with each peer known by the home address that it is about."""

    def __init__(self, side: Side, route_of: RouteOf, statistics: Counter[str]) -> None:
        self.recent: deque[Notice] = deque(maxlen=KEPT)
        self._side = side
        self._route_of = route_of
        self._statistics = statistics
        self._outgoing: dict[IPv4Address, _Outgoing] = {}
        self._deadlines: Deadlines[IPv4Address] = Deadlines()
        # Of each peer: the Identification that was sent last, and when.
        self._sent: dict[IPv4Address, tuple[int, float]] = {}
        self._heard_at: dict[IPv4Address, float] = {}
        self._denied_at: dict[IPv4Address, float] = {}

    def deadline(self) -> float | None:
        """When something is to be sent, or given up, next."""
        return self._deadlines.next()

    # ---- saying (4.5.3, 4.7.1)

    def why_silent(self, wanted: NotifyRequested) -> str | None:
        """Return why a notification cannot be sent, None if it can. There is one at a time."""
        route = self._route_of(wanted)
        if route is None:
            return f"{wanted.home_address} has no such binding now"
        if route.association.replay is Replay.NONCES:
            return "an association with nonces carries no notifications"
        if wanted.home_address in self._outgoing:
            return f"another notification about {wanted.home_address} is under way"
        return None

    def say(self, wanted: NotifyRequested, now: float) -> list[Effect]:
        """Send a notification, unless something keeps it from being sent."""
        home_address = wanted.home_address
        reason = self.why_silent(wanted)
        if reason:
            return [Log("warning", f"no notification: {reason}")]
        notice = Notice(now, home_address, True, wanted.text, "waiting")
        self.recent.append(notice)
        self._outgoing[home_address] = _Outgoing(wanted, notice)
        _identification, last_at = self._sent.get(home_address, (0, float("-inf")))
        self._deadlines.set(home_address, max(now, last_at + MIN_INTERVAL_S))
        return self.due(now)

    def due(self, now: float) -> list[Effect]:
        """Send what is to be sent by now, and give up what nobody has acknowledged."""
        effects: list[Effect] = []
        for home_address in self._deadlines.expired(now):
            outgoing = self._outgoing[home_address]
            route = self._route_of(outgoing.wanted)
            if outgoing.tries == TRIES or route is None:
                self._statistics["notification_unanswered"] += 1
                effects.append(self._end(home_address, "unanswered"))
            else:
                effects.append(self._send(outgoing, route, now))
        return effects

    def _send(self, outgoing: _Outgoing, route: Route, now: float) -> SendDatagram:
        wanted = outgoing.wanted
        home_address = wanted.home_address
        ahead_s = route.clock_offset_s
        if outgoing.correction_s is not None:
            ahead_s = outgoing.correction_s
        known = self._sent.get(home_address)
        last = known[0] if known and outgoing.correction_s is None else None
        identification = next_identification(last, now, ahead_s)
        self._sent[home_address] = identification, now
        outgoing.identification = identification
        outgoing.tries += 1
        self._statistics["notification_sent"] += 1
        message = GenericNotification(
            direction=self._side.says,
            acknowledge=wanted.acknowledge,
            home_address=home_address,
            home_agent=route.home_agent,
            care_of_address=route.care_of_address,
            identification=identification,
            # RFC 4917 has no subtype for a mobile node.
            extensions=(MessageString.of(MessageStringSubtype.HOME_AGENT, wanted.text),),
        )
        if wanted.acknowledge:
            wait_s = MIN_INTERVAL_S * (1 << outgoing.tries - 1)
            self._deadlines.set(home_address, now + wait_s)
        else:
            self._settle(home_address, "sent")
        return SendDatagram(
            payload=protect(message, _KIND, route.association),
            source=route.source,
            source_port=route.source_port,
            destination=route.destination,
            destination_port=route.destination_port,
            interface=route.interface,
        )

    def _settle(self, home_address: IPv4Address, state: str) -> None:
        self._outgoing.pop(home_address).notice.state = state
        self._deadlines.clear(home_address)

    def _end(self, home_address: IPv4Address, state: str) -> Log:
        self._settle(home_address, state)
        level = "info" if state == _ACKNOWLEDGED else "warning"
        return Log(level, f"notification about {home_address}: {state}")

    def answered(
        self, event: Received, message: NotificationAcknowledgment, peer: Peer, now: float
    ) -> list[Effect]:
        """Take an acknowledgment of what was sent last. Raises Refused: all of it is silent."""
        self._check_authentic(event, message, peer)
        if message.direction != self._side.hears:
            raise Refused("notification-direction")
        outgoing = self._outgoing.get(message.home_address)
        if outgoing is None or (outgoing.identification ^ message.identification) & _LOW_HALF:
            raise Refused("notification-not-sent")
        if message.code == NotificationCode.ACCEPTED:
            self._statistics["notification_acknowledged"] += 1
            return [self._end(message.home_address, _ACKNOWLEDGED)]
        if message.code in _MISMATCHES and outgoing.correction_s is None:
            # 7.1.1: by the peer's clock, once.
            outgoing.correction_s = clock_offset_s(message.identification, now)
            self._deadlines.set(message.home_address, now + MIN_INTERVAL_S)
            return []
        self._statistics["notification_denied"] += 1
        return [self._end(message.home_address, f"denied {message.code}")]

    # ---- hearing (4.5.1, 4.7.3)

    def heard(
        self, event: Received, message: GenericNotification, peer: Peer, now: float
    ) -> tuple[int | None, list[Effect]]:
        """Take in a notification.

        Returns the Identification to be kept, None if it is not accepted, and what is to be done
        once it is. Raises Refused for what is passed over in silence.
        """
        self._check_authentic(event, message, peer)
        if message.direction != self._side.hears:
            raise Refused("notification-direction")
        protected, _authentication, exposed = split_at_authentication(message, _KIND)
        strings = [each for each in protected if isinstance(each, MessageString)]
        if exposed or len(strings) != len(protected):
            raise Refused("notification-extension")
        if message.care_of_address not in peer.care_of_addresses:
            raise Refused("notification-without-binding")
        clock = now + peer.clock_offset_s
        tolerance_s = peer.association.timestamp_tolerance_s
        try:
            check_timestamp(message.identification, peer.last or None, clock, tolerance_s)
        except ReplayError as error:
            self._statistics[f"discarded_{error.reason}"] += 1
            return None, self._mismatch(event, message, peer, now)
        code = self._judge(message, strings, now)
        if code is not NotificationCode.ACCEPTED:
            self._statistics["notification_refused"] += 1
            return None, self._answer(event, message, peer, code)
        self._heard_at[message.home_address] = now
        self._statistics["notification_heard"] += 1
        text = " ".join(each.text for each in strings)
        self.recent.append(Notice(now, message.home_address, False, text, "received"))
        log = Log("info", f"{peer.name} notifies: {text}")
        return message.identification, [*self._answer(event, message, peer, code), log]

    def _judge(
        self, message: GenericNotification, strings: list[MessageString], now: float
    ) -> NotificationCode:
        last_at = self._heard_at.get(message.home_address, float("-inf"))
        if 0 <= now - last_at < SHORTEST_HEARD_S:
            return self._side.insufficient_resources
        if len(strings) != 1:
            return self._side.unspecified
        return NotificationCode.ACCEPTED

    def _mismatch(
        self, event: Received, message: GenericNotification, peer: Peer, now: float
    ) -> list[Effect]:
        """7.1.1: tell our clock, but not to each of many who repeat what they have overheard."""
        last_at = self._denied_at.get(message.home_address, float("-inf"))
        if 0 <= now - last_at < MIN_INTERVAL_S:
            return []
        self._denied_at[message.home_address] = now
        clock = now + peer.clock_offset_s
        identification = mismatch_identification(message.identification, clock)
        return [self._acknowledgment(event, message, peer, self._side.mismatch, identification)]

    def _answer(
        self, event: Received, message: GenericNotification, peer: Peer, code: NotificationCode
    ) -> list[Effect]:
        if not message.acknowledge:
            return []
        return [self._acknowledgment(event, message, peer, code, message.identification)]

    def _acknowledgment(
        self,
        event: Received,
        message: GenericNotification,
        peer: Peer,
        code: NotificationCode,
        identification: int,
    ) -> SendDatagram:
        answer = NotificationAcknowledgment(
            direction=self._side.says,
            code=code,
            home_address=message.home_address,
            home_agent=message.home_agent,
            care_of_address=message.care_of_address,
            identification=identification,
        )
        return SendDatagram(
            payload=protect(answer, _KIND, peer.association),
            source=event.destination,
            source_port=event.destination_port,
            destination=event.source,
            destination_port=event.source_port,
            interface=event.interface,
        )

    @staticmethod
    def _check_authentic(
        event: Received, message: GenericNotification | NotificationAcknowledgment, peer: Peer
    ) -> None:
        """Exactly one authenticator, and it is right (4.5.1). Raises Refused."""
        try:
            verify(event.payload, _KIND, peer.association)
        except AuthenticationError as error:
            raise Refused(error.reason) from error
        if [each.type for each in all_of(message, Authentication)].count(_KIND) > 1:
            raise Refused("authenticator-repeated")
        if peer.association.replay is Replay.NONCES:
            raise Refused("notification-nonces")
        if message.home_agent != peer.home_agent:
            raise Refused("home-agent-unknown")
