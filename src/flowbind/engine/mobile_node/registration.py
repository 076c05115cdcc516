"""Requests that are wanted, sent and repeated (RFC 5944 3.6, RFC 7629 5.1).

Requests are serialised: timestamps of one node count on all its paths (RFC 5944 5.7.1), so a
request that overtakes another would make that one a replay. The next one leaves when the last is
answered, or when its path has had the time to bring an answer.
"""

from collections import Counter, deque
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from msgspec import structs

from flowbind.auth.association import Replay
from flowbind.auth.nonces import Nonces, nonce_of, with_nonce
from flowbind.auth.replay import clock_offset_s, distance_s, next_identification
from flowbind.effects import Log, SendDatagram
from flowbind.engine.mobile_node.dual_stack import Prefixes, requests_of
from flowbind.engine.mobile_node.fallback import SILENT_TRIES, Fallback
from flowbind.engine.mobile_node.identity import UNKNOWN, Identity
from flowbind.engine.mobile_node.intents import Intents
from flowbind.engine.mobile_node.messages import flags_of, multipath_of, request, support_of
from flowbind.engine.mobile_node.policy import Exchange, Policy, flow_bindings
from flowbind.engine.mobile_node.state import Aim, Intent, Interface, Sent, State, path_of
from flowbind.engine.mobile_node.traversal import gre_key_of, offer_of, own_end
from flowbind.model.binding import GreKeys, NodeRecord
from flowbind.model.config import MobileNodeConfig
from flowbind.model.tunnel import PLAIN_BID
from flowbind.wire.extension import Extension
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import MOBILE_IP_PORT, MultipathFlag, RequestFlag

MIN_RETRANSMISSION_S: Final = 1.0
"""RFC 5944 3.6.3: no two requests of one registration are closer than this."""
MAX_RETRANSMISSION_S: Final = 8.0
LOW_HALF: Final = 0xFFFFFFFF
SILENT_TRIES_OF_A_FOUND_AGENT: Final = 6
"""A home agent that was found and has not answered so many tries is looked for again."""
SILENT_TRIES_OF_AN_ASSIGNING_AGENT: Final = 3
"""After so many tries without an answer the next home agent is asked for an assignment."""
WHOLE: Final = 0xFFFFFFFF_FFFFFFFF
UNSAVED: Final = 0x1_9E377000
"""How many timestamps a run may use without saving them, while its clock is behind and each is as
close to the last as can be: those of a second and a part of the golden ratio, by which the low
halves of several runs in a row differ, too.
"""
_REMEMBERED: Final = 64
"""Of how many requests a denial that comes late must not be taken for that of another one."""
_MARGIN_S: Final = 0.1
"""RFC 5944 3.6.3: what a timeout has on top of twice the round-trip time."""


class Registration:
    """What is to be said to the home agent about all interfaces, and when."""

    def __init__(
        self,
        config: MobileNodeConfig,
        interfaces: dict[str, Interface],
        statistics: Counter[str],
        nonces: Nonces,
    ) -> None:
        self.config = config
        self.identity = Identity.of(config)
        self.interfaces = interfaces
        self.statistics = statistics
        self.exchange = Exchange()
        self.prefixes = Prefixes()
        self.fallback = Fallback(config.multipath)
        # Whether the S bit is granted, None if that is not known yet.
        self.simultaneous: bool | None = None
        self.intents = Intents()
        self.identification: int | None = None
        self.accepted: int | None = None
        self._lately: deque[int] = deque(maxlen=_REMEMBERED)
        self.nonce: int | None = None
        self._nonces = nonces
        self.clock_offset_s = 0.0
        self.channel_free_at = 0.0
        self.policy_unsettled = False
        self.at_home: Interface | None = None
        """The interface on the home link, as long as the home agent has agreed that it is there."""

    # ---- what is wanted

    def want(self, aim: Aim, interface: Interface | None, now: float) -> Intent:
        """Want a request to be made, once, as soon as can be."""
        intent = self.intents.find(aim, interface)
        if intent is None:
            intent = Intent(aim, interface, now)
            self.intents.add(intent)
        if interface and aim is Aim.REGISTER:
            asked_again_at = interface.asked_at + MIN_RETRANSMISSION_S
            intent.not_before = max(intent.not_before, interface.register_after, asked_again_at)
        if interface and aim is Aim.DEREGISTER:
            intent.not_before = max(intent.not_before, interface.deregister_after)
        return intent

    def want_deregistered(
        self, interface: Interface, now: float, unanswered: Sent | None = None
    ) -> bool:
        """Have the home agent forget an interface that it knows, or may know from a request that it
        has not answered. Tells whether there is anything to forget.

        It is urgent: it does not wait for the answer to a request over a path that is silent.
        """
        if unanswered:
            interface.unanswered = unanswered
        if interface.binding is None and unanswered is None:
            return False
        intent = self.want(Aim.DEREGISTER, interface, now)
        if interface.binding:
            intent.care_of_address = interface.binding.care_of_address
            if unanswered and unanswered.care_of_address != intent.care_of_address:
                self.leave(unanswered.care_of_address, unanswered.ends_at, now)
        elif unanswered:
            intent.care_of_address = unanswered.care_of_address
            intent.until = unanswered.ends_at
        self.channel_free_at = now
        return True

    def leave_former(self, interface: Interface, unanswered: Sent | None, now: float) -> None:
        """Have the home agent forget the addresses that an interface had or may have had bound."""
        binding, own = interface.binding, interface.address
        if binding and binding.care_of_address != own:
            left = self.leave(binding.care_of_address, binding.expires_at, now)
            interface.binding = None if left else binding
        if unanswered and unanswered.care_of_address != own:
            left = self.leave(unanswered.care_of_address, unanswered.ends_at, now)
            interface.unanswered = None if left else interface.unanswered

    def leave(self, care_of_address: IPv4Address, until: float, now: float) -> bool:
        """Have the home agent forget a care-of address, up to the end of its lifetime.

        Tells whether that is needed: where it keeps one binding, or one for each BID, the next
        registration does so.
        """
        if not self.config.simultaneous or self.simultaneous is False:
            return False
        leaving = [each.care_of_address for each in self.intents if each.aim is Aim.LEAVE]
        if care_of_address not in leaving:
            self.intents.add(
                Intent(Aim.LEAVE, None, now, care_of_address=care_of_address, until=until)
            )
        return True

    @property
    def keeps_several(self) -> bool:
        """Whether the home agent may keep several bindings of RFC 5944 of us."""
        return self.config.simultaneous and self.simultaneous is not False

    def holds_one(self, now: float) -> bool:
        """Tell whether the home agent keeps one binding of us at a time, as far as we know."""
        return self.fallback.is_plain(now) and not self.keeps_several

    def may_hold_one(self, now: float) -> bool:
        """Tell whether the next registration may take the place of what the home agent holds."""
        return self.fallback.is_plain(now) and not self.simultaneous

    def want_all_deregistered(self, now: float) -> bool:
        """Have the home agent forget all interfaces, and want nothing else.

        Tells whether there is anything to forget.
        """
        ends: list[float] = []
        for interface in self.interfaces.values():
            if interface.binding:
                ends.append(interface.binding.expires_at)
            unanswered = self.forget(interface, now)
            if unanswered:
                ends.append(unanswered.ends_at)
        ends += [each.until for each in self.intents if each.aim is Aim.LEAVE]
        self.intents.keep(lambda each: each.aim is Aim.DEREGISTER_ALL)
        if ends:
            self.want(Aim.DEREGISTER_ALL, None, now).until = max(ends)
            self.channel_free_at = now
        return bool(ends)

    def forget(self, interface: Interface, now: float) -> Sent | None:
        """Want nothing more of an interface; returns its registration that may have been granted
        without our hearing of it, if any.
        """
        under_way = self.intents.unanswered(interface)
        if under_way:
            self.channel_free_at = now
            interface.unanswered = under_way
        self.intents.keep(lambda each: each.interface is not interface)
        unanswered = interface.unanswered
        return unanswered if unanswered and now < unanswered.ends_at else None

    def policy_replaced(self) -> None:
        """The policy is another one: the home agent is to hold it as soon as can be."""
        self.exchange.refused = False
        self.policy_unsettled = True

    def unbind(self, interface: Interface, now: float, *, confirmed: bool) -> None:
        """The home agent has forgotten a binding: it said so, or its clock or another reply did."""
        interface.release(now)
        if confirmed:
            interface.unanswered = None
        self.exchange.lost(interface.config.bid, confirmed=confirmed)
        self.policy_unsettled = True
        self.intents.keep(
            lambda each: each.aim is not Aim.DEREGISTER or each.interface is not interface
        )

    def restore(self, record: NodeRecord) -> None:
        """Take up where a former run stopped."""
        self.accepted = record.identification or None
        if self.accepted is not None:
            # The run before has used more than it saved, and answers to that may still come.
            self.identification = (self.accepted + UNSAVED) & WHOLE
        self.exchange = Exchange.of_rules(record.rules)
        held = tuple(each for each in self.config.ipv6_prefixes if each in record.prefixes)
        self.prefixes = Prefixes(held)
        self.nonce = record.nonce
        self.fallback.multipath_known = any(each.bid is not None for each in record.bindings)
        if len(record.bindings) > 1:
            self.simultaneous = not self.fallback.multipath_known

    def find_carrier(self) -> None:
        """See whether the BID that carried the policy is still there to do so."""
        carrier = self.exchange.carrier
        bids = {each.config.bid for each in self.interfaces.values() if each.binding}
        if carrier is not None and carrier not in bids:
            self.exchange.lost(carrier, confirmed=False)

    def lose_home_address(self, now: float) -> None:
        """The home agent has given our address to another node: ask for one, with nothing held."""
        for interface in self.interfaces.values():
            if interface.binding:
                self.unbind(interface, now, confirmed=True)
            interface.tunnel = None
            interface.drain_until = None
        for intent in self.intents:
            intent.sent = None
        self.hurry(now)
        self.exchange = Exchange()
        self.prefixes = Prefixes()
        self.identity.home_address = None

    def look_again(self, now: float) -> None:
        """The home agent that was found answers no more: look for one, with nothing held."""
        for interface in self.interfaces.values():
            if interface.binding:
                self.unbind(interface, now, confirmed=True)
            interface.tunnel = None
            interface.drain_until = None
        self.exchange = Exchange()
        self.prefixes = Prefixes()
        if self.identity.assigned:
            # The address went with the home agent.
            self.lose_home_address(now)
        self.identity.look()
        self.hurry(now)

    def hurry(self, now: float) -> None:
        """Whoever was asked in vain is not asked any more: nothing waits for the silence before."""
        for intent in self.intents:
            intent.tries = intent.silent = 0
            intent.not_before = now

    def take_clock(self, identification: int, now: float) -> Log:
        """RFC 5944 5.7.1: go by the clock of the home agent, which its denial tells."""
        offset_s = self.clock_offset_s = clock_offset_s(identification, now)
        # The last Identification may lie far ahead of the agent's clock: it was never accepted.
        self.identification = None
        return Log("warning", f"clock differs by {offset_s:+.0f} s from the home agent's")

    def _miss_home_agent(self, intent: Intent, now: float) -> None:
        """Look for another home agent when the one that was found is silent on every path."""
        found = self.config.home_agent is None and not self.identity.is_looking
        if self.identity.is_unassigned:
            if intent.silent and intent.silent % SILENT_TRIES_OF_AN_ASSIGNING_AGENT == 0:
                self.identity.ask_next()
                self.hurry(now)
            return
        silent = intent.silent >= SILENT_TRIES_OF_A_FOUND_AGENT
        if found and silent and all(e.state is not State.UP for e in self.interfaces.values()):
            self.look_again(now)

    # ---- sending

    def deadline(self) -> float | None:
        """When something is to be sent next, or is not to be sent any more."""
        moments = [self._due_at(each) for each in self.intents if self._can_be_sent(each)]
        # What has become pointless may be what others wait for.
        ends = [each.until for each in self.intents if each.until < float("inf")]
        sending = [max(min(moments), self.channel_free_at)] if moments else []
        return min((*sending, *ends), default=None)

    def pump(self, policy: Policy, now: float) -> list[SendDatagram]:
        """Send the next request, if one is due and none is under way."""
        self._settle(policy, now)
        if now < self.channel_free_at:
            return []
        self.intents.keep(lambda each: not self._is_vain(each, now))
        for intent in self.intents:
            if self._due_at(intent) <= now and self._can_be_sent(intent):
                via = self._speaker(intent)
                assert via is not None  # noqa: S101 -- that is what can be sent means
                return [self._send(intent, via, policy, now)]
        return []

    def _settle(self, policy: Policy, now: float) -> None:
        """Drop what has become pointless, and want what every interface needs."""
        self.intents.keep(lambda each: not self._is_pointless(each, now))
        for interface in self.interfaces.values():
            if not interface.is_registered_as_is and self._may_register(interface, now):
                self.want(Aim.REGISTER, interface, now)
                if interface.state in {State.DOWN, State.UP}:
                    interface.state = State.REGISTERING
        if self.policy_unsettled:
            self.policy_unsettled = False
            carrier = self._carrier()
            wanted = flow_bindings(policy, self._registered_bids())
            if carrier and self._exchanges(now) and self.exchange.lacks(wanted, policy):
                self.want(Aim.REGISTER, carrier, now)

    def _is_pointless(self, intent: Intent, now: float) -> bool:
        if now >= intent.until:
            return True
        match intent.aim:
            case Aim.REGISTER:
                return not self._may_register(intent.interface, now)
            case Aim.DEREGISTER:
                # A plain one names nothing but the address.
                return self.fallback.is_plain(now) and not self._is_left(intent)
            case Aim.LEAVE:
                return not self._is_left(intent)
            case _:
                return False

    def _may_register(self, interface: Interface | None, now: float) -> bool:
        if interface is None or interface.address is None or not interface.wanted:
            return False
        if self.at_home is not None:
            return False
        return not self.holds_one(now) or self._is_plain_choice(interface)

    def _is_left(self, intent: Intent) -> bool:
        """Tell whether no other interface has the address by now that is to be deregistered."""
        others = [each for each in self.interfaces.values() if each is not intent.interface]
        return all(each.address != intent.care_of_address for each in others)

    def _is_vain(self, intent: Intent, now: float) -> bool:
        """Tell whether a deregistration that is due holds up the only path there is, in vain.

        Only another path can take its flows. Without any, one that is ignored, as by a home agent
        that knows no RFC 7629, would be tried for as long as there may be something to undo.
        """
        own = intent.interface
        if intent.aim is not Aim.DEREGISTER or intent.tries < SILENT_TRIES:
            return False
        others = [each for each in self.interfaces.values() if each is not own]
        alone = self._speaker(intent) is own and not any(each.usable for each in others)
        return alone and self._due_at(intent) <= now and self._may_register(own, now)

    def _is_plain_choice(self, interface: Interface) -> bool:
        """Where there is one binding, it is on the first interface that answers."""
        for each in self.interfaces.values():
            if each is interface:
                return True
            if each.state is State.UP:
                return False
        return False

    def _due_at(self, intent: Intent) -> float:
        """Return when an intent may be sent, for the sake of the others.

        RFC 5944 3.6.3 also holds where an interface that is gone and one that has moved both want
        the same care-of address deregistered. Of many addresses that were left, one a second is
        soon enough.
        """
        free_at = [
            each.sent.last_at + MIN_RETRANSMISSION_S
            for each in self.intents
            if each.sent and _are_alike(each, intent)
        ]
        return max([intent.not_before, *free_at])

    def _can_be_sent(self, intent: Intent) -> bool:
        if self._speaker(intent) is None:
            return False
        if intent.aim is not Aim.REGISTER:
            return True
        # A silent path is first deregistered over another one, so that the flows move.
        first = self.intents.find(Aim.DEREGISTER, intent.interface)
        return first is None or self._speaker(first) is None

    def _speaker(self, intent: Intent) -> Interface | None:
        """Return the interface to send a request through, None as long as there is none.

        A registration goes through its own (RFC 7629 5.1). A deregistration does too, but not
        through a path that is silent or gone: another one speaks for it.
        """
        own = intent.interface
        if intent.aim in {Aim.REGISTER, Aim.RETURN_HOME}:
            return own
        usable = [each for each in self.interfaces.values() if each.usable]
        if own is not None and own.usable:
            others = [each for each in usable if each is not own]
            return others[0] if others and intent.tries % 2 else own
        if not usable and intent.aim.ends and intent.aim is not Aim.LEAVE:
            # Whatever has an address may try, in turns, but for a path that is known to be silent.
            mine = self.interfaces.values() if own is None else (own,)
            usable = [each for each in mine if each.address and each.state is not State.DEAD]
        return usable[intent.tries % len(usable)] if usable else None

    def _send_from_home(self, intent: Intent, via: Interface, now: float) -> SendDatagram:
        """RFC 5944 3.1, 3.6.1: a node that is at home deregisters all, from its home address."""
        home_address = self.identity.home_address or UNKNOWN
        wanted = Sent(
            via=via,
            care_of_address=home_address,
            identification=0,
            lifetime_s=0,
            at=now,
            plain=True,
            carried=None,
            policy=(),
            overwrites=False,
            home_address=home_address,
        )
        intent.sent = self._identified(wanted, intent.sent, now)
        self._wait(intent, intent.sent, now)
        self.statistics["sent"] += 1
        identification = intent.sent.identification
        return request(
            self.identity, via, home_address, RequestFlag(0), 0, home_address, identification, ()
        )

    def _send(self, intent: Intent, via: Interface, policy: Policy, now: float) -> SendDatagram:
        if intent.aim is Aim.RETURN_HOME:
            return self._send_from_home(intent, via, now)
        assert via.address is not None  # noqa: S101 -- nothing is sent through a link without one
        self._miss_home_agent(intent, now)
        subject = intent.interface or via
        suspected = intent.aim is Aim.REGISTER and self.fallback.suspects(intent)
        plain = self.fallback.is_plain(now) or (suspected and self._is_plain_choice(subject))
        carried = None if plain else self._policy_to_carry(intent, subject, policy, now)
        overwrites = self.exchange.overwrites(subject.config.bid, carried, policy)
        extensions: tuple[Extension, ...] = ()
        if not plain:
            flags = _multipath_flags(intent, overwrites=overwrites)
            extensions = (multipath_of(subject.config, flags), *(carried or ()))
        wanted = Sent(
            via=via,
            care_of_address=self._care_of_address(intent, via.address, plain=plain),
            identification=0,
            lifetime_s=0 if intent.aim.ends else self.config.lifetime_s,
            at=now,
            plain=plain,
            carried=carried,
            policy=policy,
            overwrites=overwrites,
            home_address=self.identity.home_address,
            udp=None if intent.aim.ends else own_end(via),
        )
        intent.sent = self._identified(wanted, intent.sent, now)
        self.exchange.sent(subject.config.bid, carried)
        if intent.aim is Aim.REGISTER:
            via.asked_at = now
            self._expect_arrivals(intent.sent)
        if intent.interface and intent.aim is Aim.DEREGISTER:
            intent.interface.deregister_after = now + MIN_RETRANSMISSION_S
        self._wait(intent, intent.sent, now)
        self.statistics["sent"] += 1
        return request(
            self.identity,
            via,
            via.address,
            flags_of(self.config, subject.config, ends=intent.aim.ends),
            intent.sent.lifetime_s,
            intent.sent.care_of_address,
            intent.sent.identification,
            (
                *extensions,
                *support_of(self.config, intent.sent),
                *offer_of(intent.sent),
                *gre_key_of(intent.sent),
                *(() if intent.aim.ends else requests_of(self.config)),
            ),
        )

    @property
    def uses_nonces(self) -> bool:
        """Whether requests are told from replays by nonces, not by timestamps."""
        return self.config.association.replay is Replay.NONCES

    def go_on_from_accepted(self) -> None:
        """Make the next Identification later than the last one that was accepted.

        A home agent that tolerates clocks which are far off may have accepted one that is still to
        come by its own clock. Until then it takes nothing that is in time by that clock.
        """
        if self.identification is None or self.accepted is None:
            return
        if distance_s(self.accepted, self.identification) > 0:
            self.identification = self.accepted

    def note_nonce(self, identification: int) -> None:
        """RFC 5944 5.7.2: the next request returns the nonce that an authentic reply tells."""
        if self.uses_nonces:
            self.nonce = nonce_of(identification)

    def _identified(self, wanted: Sent, before: Sent | None, now: float) -> Sent:
        """Give a request its Identification.

        With nonces, one that was not answered is sent again unchanged (RFC 5944 3.6.3), unless it
        has to say something else by now or another nonce has been told since. Its lifetime counts
        from the first time, which may be the one that arrived.
        """
        if (
            before
            and self.uses_nonces
            and self.nonce in {None, nonce_of(before.identification)}
            and wanted.content == before.content
        ):
            return before
        return replace(wanted, identification=self._new_identification(now))

    def _new_identification(self, now: float) -> int:
        """Return one whose low half no request under way has: replies are told by it.

        With nonces the high half is what the home agent told last (RFC 5944 5.7.2).
        """
        under_way = {each.sent.identification & LOW_HALF for each in self.intents if each.sent}
        if self.uses_nonces:
            own = self._nonces()
            while own in under_way:
                own = self._nonces()
            # Before any was told, anything is as good: the answer is 133, and tells one.
            return with_nonce(self._nonces() if self.nonce is None else self.nonce, own)
        identification = next_identification(self.identification, now, self.clock_offset_s)
        # Nor one that was denied lately: requests exactly a second apart have the same fraction,
        # and the denial of the first, sent once more, would be taken for that of the second. So it
        # is not the preceding Identification either (RFC 5944 3.6.1.2), not even when the home
        # agent's clock has gone back by as much as ours has gone on.
        while identification & LOW_HALF in under_way or identification & LOW_HALF in self._lately:
            identification = next_identification(identification, now, self.clock_offset_s)
        self.identification = identification
        self._lately.append(identification & LOW_HALF)
        return identification

    def _expect_arrivals(self, sent: Sent) -> None:
        """Accept packets on a path that is being registered.

        The home agent forwards as soon as it accepts, so its first packets may overtake its reply.
        """
        interface = sent.via
        if self.identity.is_looking:
            return
        if sent.plain and not self.config.simultaneous:
            others = [each for each in self.interfaces.values() if each is not interface]
            if any(each.tunnel and each.tunnel.transmit for each in others):
                # The data plane knows one path without a BID, and that one carries packets.
                return
            self.leave_one_plain_tunnel(interface)
        interface.drain_until = None
        path = path_of(interface.config, self.identity, sent.binding(sent.lifetime_s))
        known = interface.tunnel
        if known is None or (known.bid, known.local) != (path.bid, path.local):
            if sent.udp:
                ports = {"local_port": sent.udp.port, "remote_port": MOBILE_IP_PORT}
                path = structs.replace(path, **ports)
            if gre_key_of(sent):
                # Which key it will be is not known: any is taken.
                path = structs.replace(path, gre_keys=GreKeys(0, 0))
            interface.tunnel = structs.replace(path, transmit=False)

    def leave_one_plain_tunnel(self, interface: Interface) -> None:
        """Give up what other interfaces have of tunnels without a BID: there is but one."""
        for each in self.interfaces.values():
            if each is not interface and each.tunnel and each.tunnel.bid == PLAIN_BID:
                each.tunnel = None
                each.drain_until = None

    def _wait(self, intent: Intent, sent: Sent, now: float) -> None:
        """RFC 5944 3.6.3: a timeout is over twice the round-trip time, and doubles with each try,
        up to the lifetime that is asked for.

        Others wait as long as this path may need for an answer; not for one that is silent.
        """
        rtt_s = sent.via.keepalive.rtt_s
        answer_s = MIN_RETRANSMISSION_S if rtt_s is None else 2 * rtt_s + _MARGIN_S
        first_s = max(answer_s, MIN_RETRANSMISSION_S)
        longest_s = min(sent.lifetime_s or MAX_RETRANSMISSION_S, MAX_RETRANSMISSION_S)
        intent.not_before = now + backoff_s(intent.tries, first_s, longest_s)
        # Every third try waits for the answer of a path that has become much slower.
        sent.last_at = now
        sent.overdue_at = now + first_s * (1 << intent.tries % 3)
        intent.tries += 1
        intent.silent += 1
        silent = sent.via.state is State.DEAD
        self.channel_free_at = now + (_MARGIN_S if silent else min(answer_s, MIN_RETRANSMISSION_S))

    def _care_of_address(self, intent: Intent, own: IPv4Address, *, plain: bool) -> IPv4Address:
        if intent.care_of_address is not None:
            return intent.care_of_address
        if intent.aim is Aim.DEREGISTER_ALL and plain:
            # RFC 5944 3.6.1.2: this is how a plain node deregisters all.
            return self.identity.home_address or own
        return own

    # ---- multipath and policy (RFC 7629 5.1)

    def _policy_to_carry(
        self, intent: Intent, subject: Interface, policy: Policy, now: float
    ) -> tuple[FlowBinding, ...] | None:
        """Return the Flow-Binding extensions of a request, None if it is not to carry any."""
        carries = self.exchange.carries(subject.config.bid)
        if intent.aim is not Aim.REGISTER or not self._exchanges(now) or not carries:
            return None
        return flow_bindings(policy, self._registered_bids() | {subject.config.bid})

    def _exchanges(self, now: float) -> bool:
        return self.config.exchange_policy and not self.fallback.is_plain(now)

    def _registered_bids(self) -> frozenset[int]:
        return frozenset(each.config.bid for each in self.interfaces.values() if each.is_held)

    def _carrier(self) -> Interface | None:
        """The interface whose next request carries the policy, if it can speak."""
        up = [each for each in self.interfaces.values() if each.state is State.UP and each.usable]
        if self.exchange.carrier is None:
            return up[0] if up else None
        return next((each for each in up if each.config.bid == self.exchange.carrier), None)


def _are_alike(one: Intent, other: Intent) -> bool:
    if one is other or one.care_of_address is None:
        return False
    both_left = one.aim is Aim.LEAVE and other.aim is Aim.LEAVE
    return both_left or one.care_of_address == other.care_of_address


def _multipath_flags(intent: Intent, *, overwrites: bool) -> MultipathFlag:
    if intent.interface is None:
        return MultipathFlag.BULK_REREGISTRATION
    return MultipathFlag.OVERWRITE if overwrites else MultipathFlag(0)


def backoff_s(tries: int, first_s: float, longest_s: float) -> float:
    """How long to wait after this many tries: twice as long each time."""
    return min(first_s * (1 << min(tries, 16)), max(first_s, longest_s))
