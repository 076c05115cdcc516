"""Registration Replies and what follows from them (RFC 5944 3.6.2, RFC 7629 5.1)."""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final

from msgspec import structs

from flowbind.effects import Effect, Log
from flowbind.engine.mobile_node.dual_stack import note as note_prefixes
from flowbind.engine.mobile_node.fallback import PLAIN_FOR_S
from flowbind.engine.mobile_node.messages import (
    ACCEPTED,
    message_of,
    policy_of,
    rejection_of,
    reply_of,
)
from flowbind.engine.mobile_node.policy import Exchange, Policy, adopted, differs
from flowbind.engine.mobile_node.registration import (
    LOW_HALF,
    MAX_RETRANSMISSION_S,
    MIN_RETRANSMISSION_S,
    WHOLE,
    Registration,
    backoff_s,
)
from flowbind.engine.mobile_node.revocation import Revocations
from flowbind.engine.mobile_node.state import Aim, Intent, Interface, Sent, State, path_of
from flowbind.engine.mobile_node.traversal import note as note_udp_tunnel
from flowbind.engine.mobile_node.traversal import pace
from flowbind.engine.mobile_node.whereabouts import Whereabouts, is_in_time
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.model.binding import Binding
from flowbind.model.config import NatTraversal
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import INFINITE_LIFETIME_S, FlowAction, ReplyCode
from flowbind.wire.registration import RegistrationReply

RENEW_AT: Final = 0.8
"""The part of a lifetime after which it is renewed."""
DENIED_RETRY_S: Final = 60.0
"""A request that is denied again and again is repeated this seldom in the end."""
MOST_DENIALS: Final = 3
"""After so many denials with code 153, and no policy accepted in between, there is no policy."""
UNAUTHENTIC_LOG_INTERVAL_S: Final = 60.0
"""Replies that are not authentic are logged no oftener than that."""

_NOT_AUTHENTIC: Final = frozenset({"authenticator-absent", "authenticator-wrong", "spi-unknown"})
_TOLD: Final = _NOT_AUTHENTIC | {"foreign-agent-refuses", "vendor-extension-unknown"}
_NOT_UNDERSTOOD: Final = frozenset(
    {ReplyCode.POORLY_FORMED_REQUEST, ReplyCode.FA_POORLY_FORMED_REQUEST}
)


class Answers:
    """Takes in the replies to what a Registration sent."""

    def __init__(
        self,
        registration: Registration,
        revocations: Revocations,
        adopt: Callable[[Policy], list[Effect]],
    ) -> None:
        self._revocations = revocations
        self._adopt = adopt
        self._differs = False
        self._logged_at = self._told_at = float("-inf")
        self.message: str | None = None
        self._registration = registration
        self._whereabouts = Whereabouts(registration)
        self._interfaces = registration.interfaces
        self._statistics = registration.statistics

    def on_received(self, event: Received, now: float) -> list[Effect]:
        """Take in a reply. One that is not authentic or answers nothing changes nothing."""
        try:
            reply = reply_of(self._registration.identity, event)
            intent, sent = self._answered(reply)
            rejection = rejection_of(reply)
            grants = _grants(intent, reply) and rejection is None
            if grants:
                note_udp_tunnel(sent, reply)
                self._revocations.note(sent, reply)
        except Refused as refusal:
            self._statistics[f"discarded_{refusal.reason}"] += 1
            return self._on_discarded(event, refusal, now)
        self._registration.channel_free_at = now
        self._registration.note_nonce(reply.identification)
        intent.silent = 0
        sent.via.asked_at = float("-inf")
        said = self._note_message(reply)
        if grants:
            self._statistics["accepted"] += 1
            self._registration.accepted = sent.identification
            self._registration.intents.remove(intent)
            return [*self._on_accepted(intent, sent, reply, now), *said]
        intent.sent = None
        if rejection is not None and reply.code in ACCEPTED:
            return [*self._on_rejected(intent, sent, rejection, now), *said]
        self._statistics[f"denied_{reply.code}"] += 1
        return [*self._on_denied(intent, sent, reply, now), *said]

    def _note_message(self, reply: RegistrationReply) -> list[Effect]:
        """RFC 4917: it is for people, and is told when it is another one than before."""
        before, said = self.message, message_of(reply)
        self.message = said or before
        return [Log("info", f"the home agent says: {said}")] if said not in {None, before} else []

    def _on_rejected(self, intent: Intent, sent: Sent, why: str, now: float) -> list[Effect]:
        """RFC 3115 2.3: what was granted cannot be relied on, and is given back (RFC 4636 5)."""
        self._statistics["rejected"] += 1
        wait_s = backoff_s(intent.tries - 1, MIN_RETRANSMISSION_S, DENIED_RETRY_S)
        intent.not_before = now + wait_s
        if intent.aim is Aim.REGISTER:
            self._registration.want_deregistered(sent.via, now, sent)
        return [Log("error", f"{sent.via.name}: the reply is rejected: {why}")]

    def _on_discarded(self, event: Received, refusal: Refused, now: float) -> list[Effect]:
        """3.6.2.1: what is not authentic is logged, but seldom, since anybody can send it."""
        quiet = 0 <= now - self._logged_at < UNAUTHENTIC_LOG_INTERVAL_S
        if refusal.reason not in _TOLD or quiet:
            return []
        self._logged_at = now
        if refusal.reason not in _NOT_AUTHENTIC:
            return [Log("warning", f"reply from {event.source} is passed over: {refusal.reason}")]
        return [Log("warning", f"reply from {event.source} is not authentic: {refusal.reason}")]

    def _answered(self, reply: RegistrationReply) -> tuple[Intent, Sent]:
        """A reply names no BID: the low half of the Identification tells what it answers.

        With timestamps one that accepts carries all of it (RFC 5944 5.7.1), so it cannot be one to
        an earlier try.
        """
        whole = reply.code in ACCEPTED and not self._registration.uses_nonces
        mask = WHOLE if whole else LOW_HALF
        for intent in self._registration.intents:
            sent = intent.sent
            if sent and (sent.identification ^ reply.identification) & mask == 0:
                return intent, sent
        raise Refused("unexpected-reply")

    # ---- accepted

    def _on_accepted(
        self, intent: Intent, sent: Sent, reply: RegistrationReply, now: float
    ) -> list[Effect]:
        self._registration.policy_unsettled = True
        news = self._whereabouts.on_accepted(reply, now)
        if not intent.aim.ends:
            news += note_prefixes(self._registration, reply)
            news += self._on_policy_told(sent, policy_of(reply))
        return [*self._on_granted(intent, sent, reply, now), *news]

    def _on_granted(
        self, intent: Intent, sent: Sent, reply: RegistrationReply, now: float
    ) -> list[Effect]:
        lifetime_s = min(sent.lifetime_s, reply.lifetime_s, INFINITE_LIFETIME_S)
        match intent.aim:
            case Aim.REGISTER:
                simultaneous = reply.code == ReplyCode.ACCEPTED
                return self._on_registered(sent, lifetime_s, now, simultaneous=simultaneous)
            case Aim.RENEW_ALL:
                for interface in self._interfaces.values():
                    if interface.binding:
                        _hold(interface, _renewed(interface.binding, sent, lifetime_s), sent)
                self._follow_tunnel(sent)
                return [Log("info", "every path renewed by one request")]
            case Aim.DEREGISTER:
                return self._on_deregistered(intent.interface, now)
            case Aim.DEREGISTER_ALL | Aim.RETURN_HOME:
                if intent.aim is Aim.RETURN_HOME:
                    self._registration.at_home = intent.interface
                self._registration.exchange = Exchange()
                return [
                    news
                    for interface in self._interfaces.values()
                    for news in self._on_deregistered(interface, now)
                ]
            case Aim.LEAVE:
                return []

    def _on_registered(
        self, sent: Sent, lifetime_s: int, now: float, *, simultaneous: bool
    ) -> list[Effect]:
        interface = sent.via
        was_up = interface.state is State.UP
        config = interface.config
        binding = sent.binding(lifetime_s)
        _hold(interface, binding, sent)
        interface.tunnel = path_of(config, self._registration.identity, binding)
        interface.drain_until = None
        interface.unanswered = None
        interface.state = State.UP
        pace(interface.keepalive, sent, self._registration.config.probe_interval_s)
        if not was_up or interface.keepalive.due_at is None:
            interface.keepalive.start(now)
        news = self._note_simultaneous(granted=simultaneous)
        # Whether the node is a plain one is noted below: this may have been the first plain try.
        if sent.overwrites or (sent.plain and not self._registration.keeps_several):
            self._others_gone(interface, now)
        self._same_address_gone(interface, binding.care_of_address, now)
        if sent.plain:
            self._registration.leave_one_plain_tunnel(interface)
        self._note_policy(sent)
        news += self._note_kind(sent, now)
        if not was_up:
            kind = "plain RFC 5944" if sent.plain else f"BID {config.bid}"
            way = ", in UDP" if sent.in_udp else ""
            text = f"{interface.name}: registered, {kind}, for {lifetime_s} s{way}"
            news.append(Log("info", text))
            if config.nat_traversal is NatTraversal.FORCE and not sent.in_udp:
                text = f"{interface.name}: the home agent gives no tunnel in UDP"
                news.append(Log("warning", text))
        return news

    def _follow_tunnel(self, sent: Sent) -> None:
        """What a request about all paths says of UDP and keys is about the one it was sent by."""
        interface, udp = sent.via, sent.udp if sent.in_udp else None
        if interface.binding is None:
            return
        interface.binding = structs.replace(interface.binding, udp=udp, gre_keys=sent.gre_keys)
        pace(interface.keepalive, sent, self._registration.config.probe_interval_s)
        if interface.tunnel:
            path = path_of(interface.config, self._registration.identity, interface.binding)
            interface.tunnel = structs.replace(path, transmit=interface.tunnel.transmit)

    def _note_policy(self, sent: Sent) -> None:
        if sent.plain:
            self._registration.exchange = Exchange()
        elif sent.carried is not None:
            self._registration.exchange.accepted(
                sent.via.config.bid, sent.carried, sent.policy, overwritten=sent.overwrites
            )

    def _on_policy_told(self, sent: Sent, told: tuple[FlowBinding, ...]) -> list[Effect]:
        """RFC 7629 4.2 lets a reply carry a policy and does not say what for; no rule in it makes
        the reply a failure.

        Where we send a policy, it is ours that holds, and the operator hears of a home agent that
        forwards by another one. Otherwise both ends agree if we take the home agent's.
        """
        config = self._registration.config
        ipv6 = bool(self._registration.prefixes.registered)
        if not told or sent.last_at < self._told_at:
            # An earlier request has a later answer: it tells what held before.
            return []
        self._told_at = sent.last_at
        if config.accept_policy and not config.exchange_policy:
            known = frozenset(each.bid for each in config.interfaces)
            return self._adopt(adopted(told, known, ipv6=ipv6))
        if not sent.carried:
            return []
        before, self._differs = self._differs, differs(sent.carried, told, ipv6=ipv6)
        if not self._differs:
            return []
        self._statistics["policy_differs"] += 1
        if before:
            return []
        return [Log("warning", "the home agent forwards by another policy than ours")]

    def _note_kind(self, sent: Sent, now: float) -> list[Effect]:
        fallback = self._registration.fallback
        suspected = sent.plain and not fallback.is_plain(now)
        fallback.accepted(now, plain=sent.plain)
        if not suspected:
            return []
        self._statistics["fallback"] += 1
        return [Log("warning", "no answer to multipath, but to RFC 5944, falling back to it")]

    def _note_simultaneous(self, *, granted: bool) -> list[Effect]:
        """RFC 5944 3.8.2.2: code 1 tells a node that asked by the S bit that it has one binding."""
        registration = self._registration
        if not registration.config.simultaneous:
            return []
        before, registration.simultaneous = registration.simultaneous, granted
        if granted or before is False:
            return []
        self._statistics["simultaneous_refused"] += 1
        return [Log("warning", "the home agent keeps one binding at a time (code 1)")]

    def _others_gone(self, survivor: Interface, now: float) -> None:
        """The home agent replaced all other bindings by this one."""
        for interface in self._interfaces.values():
            if interface is not survivor and interface.binding:
                self._registration.unbind(interface, now, confirmed=True)

    def _same_address_gone(
        self, holder: Interface, care_of_address: IPv4Address, now: float
    ) -> None:
        """The home agent has one binding of a care-of address (RFC 7629 2.2): the later one."""
        for interface in self._interfaces.values():
            binding = interface.binding
            if binding and interface is not holder and binding.care_of_address == care_of_address:
                self._registration.unbind(interface, now, confirmed=False)

    def _on_deregistered(self, interface: Interface | None, now: float) -> list[Effect]:
        if interface is None:
            return []
        had_binding = interface.binding is not None
        self._registration.unbind(interface, now, confirmed=True)
        return [Log("info", f"{interface.name}: deregistered")] if had_binding else []

    # ---- denied

    def _on_denied(
        self, intent: Intent, sent: Sent, reply: RegistrationReply, now: float
    ) -> list[Effect]:
        name, fallback = sent.via.name, self._registration.fallback
        if reply.code == ReplyCode.IDENTIFICATION_MISMATCH:
            return self._resynchronise(intent, sent, reply, now)
        if reply.code == ReplyCode.MULTIPATH_NOT_ALLOWED and not sent.plain:
            return self._on_multipath_denied(intent, now, float("inf"), name)
        if reply.code in _NOT_UNDERSTOOD and not sent.plain and not fallback.multipath_known:
            return self._on_multipath_denied(intent, now, PLAIN_FOR_S, name)
        if reply.code == ReplyCode.INVALID_FB_IDENTIFIER and sent.carried:
            return self._on_unknown_bids(intent, sent, now)
        news = self._whereabouts.on_denied(intent, sent, reply, now)
        if news is not None:
            return news
        wait_s = backoff_s(intent.tries - 1, MIN_RETRANSMISSION_S, DENIED_RETRY_S)
        intent.not_before = now + wait_s
        return [Log("error", f"{name}: the home agent denies with code {reply.code}")]

    def _resynchronise(
        self, intent: Intent, sent: Sent, reply: RegistrationReply, now: float
    ) -> list[Effect]:
        """RFC 5944 5.7.1: take the home agent's clock from the reply, once for each request.

        A request that was in time by that clock was overtaken by a later one; then the sequence of
        Identifications goes on. With nonces the reply has told another one, that is all (5.7.2).
        """
        before, intent.mismatches = intent.mismatches, intent.mismatches + 1
        # What was sent after a while had a nonce that another request of ours, the reply to which
        # was lost, may have used up: then this is as good as a first denial.
        is_first = before % 2 == 0 if self._registration.uses_nonces else before == 0
        intent.not_before = now
        if not is_first:
            # A home agent whose clock was set back denies for as long as that.
            wait_s = backoff_s(before - 1, MIN_RETRANSMISSION_S, MAX_RETRANSMISSION_S)
            intent.not_before += wait_s
        if self._registration.uses_nonces:
            return [Log("debug", "the home agent wants another nonce, sending the request again")]
        if is_in_time(sent, reply):
            self._registration.go_on_from_accepted()
            return [Log("debug", "a later request was there first, sending this one again")]
        return [self._registration.take_clock(reply.identification, now)]

    def _on_multipath_denied(
        self, intent: Intent, now: float, for_s: float, name: str
    ) -> list[Effect]:
        if self._registration.fallback.denied(now, for_s):
            self._statistics["fallback"] += 1
            intent.tries = 0
            intent.not_before = now
            return [Log("warning", f"{name}: no multipath here, falling back to RFC 5944")]
        intent.not_before = now + DENIED_RETRY_S
        return [Log("error", f"{name}: the home agent allows no multipath")]

    def _on_unknown_bids(self, intent: Intent, sent: Sent, now: float) -> list[Effect]:
        """RFC 7629 5.1: the home agent has lost bindings that we thought it had: register them.

        If it still refuses the policy then, it is stricter than RFC 7629 about lists that name a
        BID which is not registered yet, for each of them names the one that is being registered;
        the binding is worth more than the policy. So it is when it refuses one policy after the
        other, and all paths would be registered anew each time.
        """
        intent.not_before = now
        exchange = self._registration.exchange
        exchange.denials += 1
        exchange.denied = sent.carried or ()
        own = sent.via.config.bid
        named = (each for each in sent.carried or () if each.action is FlowAction.FORWARD)
        known = intent.bids_denied and all(own in each.bids for each in named)
        if known or exchange.denials >= MOST_DENIALS:
            self._registration.exchange = Exchange(refused=True)
            return [Log("error", "the home agent takes no policy of ours, doing without")]
        intent.bids_denied = True
        for interface in self._interfaces.values():
            if interface is not sent.via and interface.is_held:
                self._registration.unbind(interface, now, confirmed=False)
        return [Log("warning", "the home agent knows our bindings no more, registering anew")]


def _renewed(binding: Binding, sent: Sent, lifetime_s: int) -> Binding:
    """Return a binding whose lifetime a request about all of them has renewed (RFC 7629 5.1)."""
    return structs.replace(
        binding,
        lifetime_s=lifetime_s,
        expires_at=sent.at + lifetime_s,
        identification=sent.identification,
        revocation=sent.revocation,
    )


def _grants(intent: Intent, reply: RegistrationReply) -> bool:
    return reply.code in ACCEPTED and (reply.lifetime_s > 0 or intent.aim.ends)


def _hold(interface: Interface, binding: Binding, sent: Sent) -> None:
    """Take over what a request has made of a binding, and think of the next one in time."""
    interface.binding = binding
    interface.renew_at = sent.at + RENEW_AT * binding.lifetime_s if interface.wanted else None
