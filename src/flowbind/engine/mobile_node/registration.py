"""Requests that are wanted, sent, repeated and answered (RFC 5944 3.6, RFC 7629 5.1)."""

from collections import Counter
from typing import Final

from flowbind.auth.replay import clock_offset_s, next_identification
from flowbind.effects import Effect, Log, SendDatagram
from flowbind.engine.mobile_node.messages import multipath_of, reply_of, request
from flowbind.engine.mobile_node.policy import Exchange, flow_bindings
from flowbind.engine.mobile_node.state import Aim, Intent, Interface, Sent, State
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.model.binding import Binding, NodeRecord
from flowbind.model.config import MobileNodeConfig, PolicyRule
from flowbind.model.tunnel import PLAIN_BID, Path
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import MultipathFlag, ReplyCode
from flowbind.wire.registration import RegistrationReply

MIN_RETRANSMISSION_S: Final = 1.0
"""RFC 5944 3.6.3: no two requests of one registration are closer than this."""
MAX_RETRANSMISSION_S: Final = 8.0
RENEW_AT: Final = 0.8
"""The part of a lifetime after which it is renewed."""
DRAIN_S: Final = 1.0
"""How long packets that are still on their way through a path given up are accepted."""
SILENT_TRIES: Final = 3
"""Unanswered tries after which an agent is suspected of not knowing RFC 7629."""
PLAIN_FOR_S: Final = 300.0
DENIED_RETRY_S: Final = 60.0

_ORDER: Final = {aim: rank for rank, aim in enumerate(Aim)}
_LOW_MASK: Final = 0xFFFFFFFF
_NOT_UNDERSTOOD: Final = frozenset(
    {ReplyCode.POORLY_FORMED_REQUEST, ReplyCode.FA_POORLY_FORMED_REQUEST}
)


class Registration:
    """The conversation with the home agent about all interfaces."""

    def __init__(
        self,
        config: MobileNodeConfig,
        interfaces: dict[str, Interface],
        statistics: Counter[str],
    ) -> None:
        self._config = config
        self._interfaces = interfaces
        self._statistics = statistics
        self.exchange = Exchange()
        self.identification: int | None = None
        self._clock_offset_s = 0.0
        self._intents: list[Intent] = []
        self._channel_free_at = 0.0
        self._multipath_known = False
        self._plain_until: float | None = None if config.multipath != "off" else float("inf")

    # ---- what is wanted

    def want(self, aim: Aim, interface: Interface | None, now: float) -> Intent:
        """Want a request to be made, once. A path that is to go needs no registration first."""
        for intent in self._intents:
            if intent.aim is aim and intent.interface is interface:
                return intent
        intent = Intent(aim, interface, now)
        self._intents.append(intent)
        self._intents.sort(key=lambda each: _ORDER[each.aim])
        if aim is Aim.DEREGISTER:
            # It is urgent: it does not wait for the answer to a request over a silent path.
            self._channel_free_at = now
        return intent

    def forget(self, interface: Interface) -> None:
        """Want nothing more of an interface that just went away."""
        self._intents = [each for each in self._intents if each.interface is not interface]

    def policy_replaced(self, now: float) -> None:
        """The policy is another one: the home agent is to hold it as soon as can be."""
        self.exchange.held = ()
        carrier = self._carrier()
        if carrier is not None and self._config.exchange_policy:
            intent = self.want(Aim.REGISTER, carrier, now)
            intent.not_before = now
            # RFC 7629 has no way to send an empty policy; to overwrite is the only way to be rid
            # of the rules that are there.
            intent.overwrite = True

    def restore(self, record: NodeRecord) -> None:
        """Take up where a former run stopped."""
        self.identification = record.identification
        self.exchange = Exchange.of_rules(record.rules)
        self._multipath_known = any(each.bid is not None for each in record.bindings)

    def deadline(self) -> float | None:
        """When something is to be sent next."""
        if not self._intents:
            return None
        return max(min(each.not_before for each in self._intents), self._channel_free_at)

    # ---- sending

    def pump(self, policy: tuple[PolicyRule, ...], now: float) -> list[Effect]:
        """Send the next request, if one is due and none is under way."""
        if now < self._channel_free_at:
            return []
        for intent in list(self._intents):
            if intent.not_before <= now and not self._waits_for_another(intent):
                datagram = self._send(intent, policy, now)
                if datagram is not None:
                    return [datagram]
        return []

    def _waits_for_another(self, intent: Intent) -> bool:
        """A dead path is deregistered before it is registered anew."""
        return intent.aim is Aim.REGISTER and any(
            each.aim is Aim.DEREGISTER and each.interface is intent.interface
            for each in self._intents
        )

    def _send(
        self, intent: Intent, policy: tuple[PolicyRule, ...], now: float
    ) -> SendDatagram | None:
        if self._fall_back_for(intent, now):
            return None
        via = self._speaker(intent)
        if via is None or (self._is_plain(now) and not self._is_plain_choice(intent, via)):
            self._drop(intent)
            return None
        subject = intent.interface or via
        self.identification = next_identification(self.identification, now, self._clock_offset_s)
        plain = self._is_plain(now)
        carried = None if plain else self._policy_to_carry(intent, subject, policy)
        lifetime_s = 0 if _ends(intent) else self._config.lifetime_s
        datagram = request(
            self._config,
            via,
            subject,
            self.identification,
            lifetime_s,
            None if plain else multipath_of(subject, self._flags(intent, carried)),
            carried or (),
        )
        intent.sent = Sent(via, self.identification, lifetime_s, now, plain, carried)
        wait_s = _backoff_s(intent, MAX_RETRANSMISSION_S)
        intent.not_before = now + wait_s
        intent.tries += 1
        self._channel_free_at = now + MIN_RETRANSMISSION_S
        self._statistics["sent"] += 1
        return datagram

    def _speaker(self, intent: Intent) -> Interface | None:
        """Return the interface to send a request through.

        A registration goes through its own (RFC 7629 5.1). For a path that cannot speak any more,
        another one does.
        """
        own = intent.interface
        if intent.aim is Aim.REGISTER:
            return own if own and own.address and own.wanted else None
        if own is not None and own.usable:
            return own
        return next((each for each in self._interfaces.values() if each.usable), None)

    def _drop(self, intent: Intent) -> None:
        self._intents = [each for each in self._intents if each is not intent]
        if intent.aim is Aim.DEREGISTER and intent.interface:
            # Nobody is left to tell the home agent; its own clock will.
            self.unbind(intent.interface)

    def _flags(self, intent: Intent, carried: tuple[FlowBinding, ...] | None) -> MultipathFlag:
        if intent.aim in {Aim.RENEW_ALL, Aim.DEREGISTER_ALL}:
            return MultipathFlag.BULK_REREGISTRATION
        if intent.overwrite and carried == ():
            return MultipathFlag.OVERWRITE
        return MultipathFlag(0)

    def _policy_to_carry(
        self, intent: Intent, subject: Interface, policy: tuple[PolicyRule, ...]
    ) -> tuple[FlowBinding, ...] | None:
        """Return the Flow-Binding extensions of a request, None if it is not to carry any."""
        if intent.aim is not Aim.REGISTER or not self._config.exchange_policy:
            return None
        if not self.exchange.carries(subject.config.bid):
            return None
        return flow_bindings(policy, self._registered_bids() | {subject.config.bid})

    def _registered_bids(self) -> frozenset[int]:
        return frozenset(each.config.bid for each in self._interfaces.values() if each.binding)

    def _carrier(self) -> Interface | None:
        registered = [each for each in self._interfaces.values() if each.binding]
        for interface in registered:
            if interface.config.bid == self.exchange.carrier:
                return interface
        return next((each for each in registered if each.usable), None)

    # ---- plain RFC 5944 (RFC 7629 5.1)

    def _is_plain(self, now: float) -> bool:
        if self._plain_until is not None and self._plain_until <= now:
            self._plain_until = None
        return self._plain_until is not None

    def _is_plain_choice(self, intent: Intent, via: Interface) -> bool:
        """Without multipath there is one binding, on the first interface that is there."""
        if intent.aim is not Aim.REGISTER:
            return True
        return via is next(
            (each for each in self._interfaces.values() if each.address and each.wanted), None
        )

    def _fall_back_for(self, intent: Intent, now: float) -> bool:
        """After some silence, an agent that has never answered may not know RFC 7629."""
        silent = intent.aim is Aim.REGISTER and intent.tries >= SILENT_TRIES
        if silent and not self._multipath_known and not self._is_plain(now):
            return self._fall_back(intent, now, PLAIN_FOR_S)
        return False

    def _fall_back(self, intent: Intent, now: float, for_s: float) -> bool:
        if self._config.multipath != "prefer":
            return False
        self._statistics["fallback"] += 1
        self._plain_until = now + for_s
        intent.tries = 0
        intent.not_before = now
        self._channel_free_at = now
        return True

    # ---- answers (RFC 5944 3.6.2)

    def on_received(
        self, event: Received, policy: tuple[PolicyRule, ...], now: float
    ) -> list[Effect]:
        """Take in a reply. One that is not authentic or answers nothing changes nothing."""
        try:
            reply = reply_of(self._config, event)
            intent, sent = self._answered(reply)
        except Refused as refusal:
            self._statistics[f"discarded_{refusal.reason}"] += 1
            return []
        self._channel_free_at = now
        if reply.code in {ReplyCode.ACCEPTED, ReplyCode.ACCEPTED_NO_SIMULTANEOUS_BINDINGS}:
            self._statistics["accepted"] += 1
            self._intents = [each for each in self._intents if each is not intent]
            return self._on_accepted(intent, sent, reply, policy, now)
        self._statistics[f"denied_{reply.code}"] += 1
        return self._on_denied(intent, sent, reply, now)

    def _answered(self, reply: RegistrationReply) -> tuple[Intent, Sent]:
        low = reply.identification & _LOW_MASK
        for intent in self._intents:
            if intent.sent and intent.sent.identification & _LOW_MASK == low:
                return intent, intent.sent
        raise Refused("unexpected-reply")

    def _on_accepted(
        self,
        intent: Intent,
        sent: Sent,
        reply: RegistrationReply,
        policy: tuple[PolicyRule, ...],
        now: float,
    ) -> list[Effect]:
        lifetime_s = min(sent.lifetime_s, reply.lifetime_s)
        news: list[Effect] = []
        match intent.aim:
            case Aim.REGISTER:
                news = self._on_registered(intent, sent, lifetime_s, now)
            case Aim.RENEW_ALL:
                for interface in self._interfaces.values():
                    if interface.binding:
                        self._bind(interface, interface.binding, sent, lifetime_s)
                news = [Log("info", "every path renewed by one request")]
            case Aim.DEREGISTER:
                if intent.interface:
                    news = self._on_deregistered(intent.interface, now)
            case Aim.DEREGISTER_ALL:
                for interface in self._interfaces.values():
                    news += self._on_deregistered(interface, now)
        self._complete_policy(policy, now)
        return news

    def _on_registered(
        self, intent: Intent, sent: Sent, lifetime_s: int, now: float
    ) -> list[Effect]:
        interface = sent.via
        assert interface.address is not None  # noqa: S101 -- `forget` removes intents without one
        was_up = interface.state is State.UP
        config = interface.config
        binding = Binding(
            bid=None if sent.plain else config.bid,
            care_of_address=interface.address,
            encapsulation=config.encapsulation,
            reverse_tunnel=True,
            lifetime_s=lifetime_s,
            expires_at=sent.at + lifetime_s,
            identification=sent.identification,
            access_technology=config.access_technology,
            label=config.label,
        )
        self._bind(interface, binding, sent, lifetime_s)
        interface.tunnel = self.tunnel_of(interface, binding)
        interface.drain_until = None
        interface.state = State.UP
        if not was_up or interface.keepalive.due_at is None:
            interface.keepalive.start(now)
        if sent.plain or (intent.overwrite and sent.policy == ()):
            self._others_gone(interface, now, again=not sent.plain)
        if not sent.plain:
            self._multipath_known = True
        if sent.policy is not None:
            self.exchange.accepted(config.bid, sent.policy)
        if was_up:
            return []
        bid = "plain RFC 5944" if sent.plain else f"BID {config.bid}"
        return [Log("info", f"{interface.name}: registered, {bid}, for {lifetime_s} s")]

    def _others_gone(self, survivor: Interface, now: float, *, again: bool) -> None:
        """The home agent replaced all other bindings by this one."""
        for interface in self._interfaces.values():
            if interface is survivor or interface.binding is None:
                continue
            self._on_deregistered(interface, now)
            if again and interface.wanted:
                interface.state = State.REGISTERING
                self.want(Aim.REGISTER, interface, now)

    @staticmethod
    def _bind(interface: Interface, binding: Binding, sent: Sent, lifetime_s: int) -> None:
        """Count the lifetime from the moment that the request was sent (RFC 5944 3.6.2.2)."""
        interface.binding = Binding(
            bid=binding.bid,
            care_of_address=binding.care_of_address,
            encapsulation=binding.encapsulation,
            reverse_tunnel=True,
            lifetime_s=lifetime_s,
            expires_at=sent.at + lifetime_s,
            identification=sent.identification,
            access_technology=binding.access_technology,
            label=binding.label,
            interface=interface.name,
        )
        interface.renew_at = sent.at + RENEW_AT * lifetime_s

    def tunnel_of(self, interface: Interface, binding: Binding) -> Path:
        """Return the path that a binding of an interface stands for."""
        return Path(
            bid=PLAIN_BID if binding.bid is None else binding.bid,
            local=binding.care_of_address,
            remote=self._config.home_agent,
            encapsulation=binding.encapsulation,
            interface=interface.name,
            label=binding.label,
            weight=interface.config.weight,
        )

    def _on_deregistered(self, interface: Interface, now: float) -> list[Effect]:
        had_binding = interface.binding is not None
        self.unbind(interface)
        if interface.tunnel:
            interface.drain_until = now + DRAIN_S
        if interface.state is State.DEREGISTERING:
            interface.state = State.DOWN
        return [Log("info", f"{interface.name}: deregistered")] if had_binding else []

    def unbind(self, interface: Interface) -> None:
        """Forget a binding that the home agent has, or will have, forgotten too."""
        interface.binding = None
        interface.renew_at = None
        self.exchange.lost(interface.config.bid)

    def _complete_policy(self, policy: tuple[PolicyRule, ...], now: float) -> None:
        """Have the carrier send rules that the home agent could not know the BIDs of before."""
        carrier = self._carrier()
        if carrier is None or not self._config.exchange_policy or self._is_plain(now):
            return
        if self.exchange.lacks(flow_bindings(policy, self._registered_bids())):
            self.want(Aim.REGISTER, carrier, now)

    # ---- denials

    def _on_denied(
        self, intent: Intent, sent: Sent, reply: RegistrationReply, now: float
    ) -> list[Effect]:
        intent.sent = None
        name = sent.via.name
        if reply.code == ReplyCode.IDENTIFICATION_MISMATCH:
            return self._resynchronise(intent, reply, now)
        if reply.code == ReplyCode.MULTIPATH_NOT_ALLOWED and not sent.plain:
            return self._on_multipath_denied(intent, now, float("inf"), name)
        if reply.code in _NOT_UNDERSTOOD and not sent.plain and not self._multipath_known:
            return self._on_multipath_denied(intent, now, PLAIN_FOR_S, name)
        if reply.code == ReplyCode.INVALID_FB_IDENTIFIER:
            return self._on_unknown_bids(intent, sent, now)
        wait_s = _backoff_s(intent, DENIED_RETRY_S)
        intent.not_before = now + wait_s
        if _ends(intent):
            self._drop(intent)
        return [Log("error", f"{name}: the home agent denies with code {reply.code}")]

    def _resynchronise(self, intent: Intent, reply: RegistrationReply, now: float) -> list[Effect]:
        """RFC 5944 5.7.1: take the home agent's clock from the reply, once for each request."""
        self._clock_offset_s = clock_offset_s(reply.identification, now)
        # The last Identification may lie far ahead of the agent's clock: it was never accepted.
        self.identification = None
        intent.not_before = now + (MIN_RETRANSMISSION_S if intent.resynchronised else 0.0)
        intent.resynchronised = True
        text = f"clock differs by {self._clock_offset_s:+.0f} s from the home agent's"
        return [Log("warning", text)]

    def _on_multipath_denied(
        self, intent: Intent, now: float, for_s: float, name: str
    ) -> list[Effect]:
        if self._fall_back(intent, now, for_s):
            return [Log("warning", f"{name}: no multipath here, falling back to RFC 5944")]
        intent.not_before = now + DENIED_RETRY_S
        return [Log("error", f"{name}: the home agent allows no multipath")]

    def _on_unknown_bids(self, intent: Intent, sent: Sent, now: float) -> list[Effect]:
        """RFC 7629 5.1: the home agent has lost bindings that we thought it had."""
        for interface in self._interfaces.values():
            if interface is not sent.via and interface.binding and interface.address:
                self.unbind(interface)
                interface.state = State.REGISTERING
                self.want(Aim.REGISTER, interface, now)
        self.exchange = Exchange()
        intent.not_before = now
        return [Log("warning", "the home agent knows our bindings no more, registering anew")]


def _backoff_s(intent: Intent, longest_s: float) -> float:
    """How long to wait for the answer to this try: twice as long as for the one before."""
    return min(MIN_RETRANSMISSION_S * (1 << min(intent.tries, 16)), longest_s)


def _ends(intent: Intent) -> bool:
    return intent.aim in {Aim.DEREGISTER, Aim.DEREGISTER_ALL}
