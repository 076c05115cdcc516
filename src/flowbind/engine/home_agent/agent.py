"""The home agent as a pure machine: events in, effects out.

An accepted request becomes, in this order: forwarding, the durable record, the reply. What cannot
be carried out is undone and answered with 130 (`EffectFailed`).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any, Final

from msgspec import structs

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.auth.nonces import Nonces, no_nonces
from flowbind.effects import (
    DeleteNode,
    Effect,
    Log,
    ProgramForwarding,
    RemoveForwarding,
    SaveNode,
)
from flowbind.engine.chance import Chance, no_chance
from flowbind.engine.deadlines import Deadlines
from flowbind.engine.hearing import understood
from flowbind.engine.home_agent.aaa import check_aaa, with_challenge
from flowbind.engine.home_agent.around import service_echoed, told_of_denial
from flowbind.engine.home_agent.bindings import (
    changes_kind,
    deregistered,
    left_with,
    registered,
    renewed,
)
from flowbind.engine.home_agent.broadcasting import Broadcasting
from flowbind.engine.home_agent.denials import Denials
from flowbind.engine.home_agent.dual_stack import DualStack, dual_stack_of
from flowbind.engine.home_agent.flows import (
    Rules,
    check_identifiers,
    check_number,
    overwritten,
    replaced,
)
from flowbind.engine.home_agent.foreign_agents import ForeignAgents
from flowbind.engine.home_agent.gre_keys import GreKeying
from flowbind.engine.home_agent.home_link import HomeLink
from flowbind.engine.home_agent.identity import UNKNOWN, Identities
from flowbind.engine.home_agent.initiative import Initiative
from flowbind.engine.home_agent.projection import forwards_alike, project, rules_in_force
from flowbind.engine.home_agent.replies import (
    Policy,
    denial_instead_of,
    home_address_of,
    is_from_home,
    is_reply,
    policy_of,
    reply_to,
)
from flowbind.engine.home_agent.revocation import revoked_news
from flowbind.engine.home_agent.traversal import Traversal, traversal_of
from flowbind.engine.home_agent.validation import (
    Request,
    association_of,
    check_authenticator,
    check_form,
    check_identification,
)
from flowbind.engine.notifications import Notice
from flowbind.engine.refusal import Refused
from flowbind.engine.tunnel_errors import TunnelErrors
from flowbind.events import (
    BroadcastHeard,
    EffectFailed,
    Event,
    IcmpReceived,
    LinkDown,
    LinkUp,
    NotifyRequested,
    Received,
    Restored,
    RevokeRequested,
    TimerExpired,
    TunnelErrorHeard,
)
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.model.tunnel import NodeForwarding
from flowbind.wire.errors import WireError
from flowbind.wire.iana import INFINITE_LIFETIME_S, ReplyCode, RequestFlag
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationRequest

REPAIR_INTERVAL_S: Final = 5.0
"""How long after a failure the data plane is asked again for what it should forward."""

_SIMULTANEOUS: Final = RequestFlag.SIMULTANEOUS_BINDINGS
_LONGEST_LIFETIME_S: Final = INFINITE_LIFETIME_S - 1
"""No binding is granted for ever: its node might never come back to renew it."""


class HomeAgent:
    """Keeps the bindings of its mobile nodes. The tables are for reading only."""

    def __init__(
        self, config: HomeAgentConfig, nonces: Nonces = no_nonces, chance: Chance = no_chance
    ) -> None:
        self.config = config
        self._nonces = nonces
        self.records: dict[IPv4Address, NodeRecord] = {}
        self.statistics: Counter[str] = Counter()
        self.identities = Identities(config)
        # Of each node the first of its bindings to end.
        self._expiries: Deadlines[IPv4Address] = Deadlines()
        self._repairs: Deadlines[IPv4Address] = Deadlines()
        self._denials = Denials()
        self._gre_keying = GreKeying()
        self._foreign_agents = ForeignAgents(config.foreign_agents)
        self._initiative = Initiative(
            config, self.identities.entries, self.records, self.statistics
        )
        self._home_link = HomeLink(config, chance, self.statistics)
        self._broadcasting = Broadcasting(
            config, self.identities.entries, self.records, self.statistics
        )
        self.tunnel_errors = TunnelErrors(
            self._forwarding_of, self._all_forwarding, self.statistics, of_node=False
        )
        self._handlers: dict[type[Event], Callable[[Any, float], list[Effect]]] = {
            Received: self._on_received,
            TimerExpired: self._on_timer,
            Restored: self._on_restored,
            EffectFailed: self._on_effect_failed,
            LinkUp: self._on_link_up,
            LinkDown: self._home_link.down,
            IcmpReceived: self._home_link.heard,
            TunnelErrorHeard: self.tunnel_errors.heard,
            BroadcastHeard: self._broadcasting.heard,
            RevokeRequested: self._on_revoke_requested,
            NotifyRequested: self._initiative.notifications.exchange.say,
        }

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The last notifications to and from the nodes, in their order."""
        return tuple(self._initiative.notifications.exchange.recent)

    def why_silent(self, wanted: NotifyRequested) -> str | None:
        """Return why a notification cannot be sent now, None if it can."""
        return self._initiative.notifications.exchange.why_silent(wanted)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take in one event at Unix time `now`; return what is to be done, in order."""
        handler = self._handlers.get(type(event))
        # The others are the mobile node's.
        return handler(event, now) if handler else []

    def deadline(self) -> float | None:
        """Return the Unix time at which TimerExpired is wanted, or None."""
        moments = (
            self._expiries.next(),
            self._repairs.next(),
            self._home_link.deadline(),
            self._initiative.deadline(),
            self.tunnel_errors.deadline(),
        )
        return min([each for each in moments if each is not None], default=None)

    def _on_timer(self, _event: TimerExpired, now: float) -> list[Effect]:
        return [
            *self._expire(now),
            *self._repair(now),
            *self._home_link.due(now),
            *self._initiative.due(now),
            *self.tunnel_errors.due(now),
        ]

    # ---- registration (RFC 5944 3.8.2)

    def _on_received(self, event: Received, now: float) -> list[Effect]:
        try:
            message = understood(event.payload)
        except WireError as error:
            self.statistics[f"discarded_{error.reason}"] += 1
            return []
        if not isinstance(message, RegistrationRequest):
            return self._initiative.heard(event, message, now)
        entry = self.identities.find(message)
        if entry is None:
            self.statistics["refused_no-security-association"] += 1
            return []
        association: SecurityAssociation | None = None
        try:
            association = association_of(message, entry)
            return self._on_request(event, message, entry, association, now)
        except Refused as refusal:
            return self._refuse(event, message, entry, association, refusal, now)

    def _on_request(
        self,
        event: Received,
        message: RegistrationRequest,
        entry: MobileNodeEntry,
        association: SecurityAssociation,
        now: float,
    ) -> list[Effect]:
        """Accept one Registration Request, or raise Refused and change nothing."""
        before = self.identities.record_of(entry, self.records)
        check_authenticator(event.payload, association)
        check_identification(message, association, before, now)
        self._foreign_agents.check(event, message)
        check_aaa(event.payload, message, entry, required=self.config.require_aaa)
        message = self.identities.addressed(message, entry, self.records, now)
        request = check_form(event, message, self.config, entry, before, len(self._expiries))
        lifetime_s = min(message.lifetime_s, self.config.max_lifetime_s, _LONGEST_LIFETIME_S)
        record = self.identities.begun(entry, message.home_address, before)
        nonce = self._nonces() if association.replay is Replay.NONCES else None
        simultaneous = _wants_simultaneous(request) and entry.simultaneous_bindings
        traversal = self._traversal(event, request, record) if lifetime_s else None
        # 3.8 of RFC 5454: a deregistration takes prefixes with the last binding alone.
        dual_stack = dual_stack_of(message, entry) if lifetime_s else DualStack(record.prefixes)
        after = self._granted(
            structs.replace(record, prefixes=dual_stack.prefixes),
            request,
            traversal,
            nonce,
            lifetime_s,
            now,
            simultaneous=simultaneous,
        )
        self.statistics["accepted" if lifetime_s else "accepted_deregistration"] += 1
        code = _code(request, simultaneous=simultaneous)
        policy = self._policy_told(request, after) if self.config.policy_in_reply else ()
        udp = traversal.told if traversal else ()
        more, after = self._initiative.granted(after, request, event, association, now)
        extensions = (*service_echoed(message, entry), *policy, *more, *udp, *dual_stack.told)
        reply = reply_to(
            event, message, self.config, association, code, now, lifetime_s, nonce, extensions
        )
        reply = with_challenge(reply, message, entry)
        reply = self._foreign_agents.authenticated(reply, message)
        self._keep(after, entry)
        # A record without bindings is kept for its Identification: it stops the replay of requests
        # that were accepted a moment ago.
        save = SaveNode(after, before if before is record else None)
        from_home = is_from_home(message, event.source)
        told = self._home_link.granted(record, after, now, from_home=from_home)
        if forwards_alike(record, after):
            return [save, reply, *told]
        return [self._forwarding(entry, after), save, reply, *told, *_news(record, after)]

    def _traversal(self, event: Received, request: Request, record: NodeRecord) -> Traversal:
        message = request.message
        traversal = traversal_of(message, event, self.config)
        return self._gre_keying.assigned(traversal, renewed(record, message, request.multipath))

    def _granted(
        self,
        record: NodeRecord,
        request: Request,
        traversal: Traversal | None,
        nonce: int | None,
        lifetime_s: int,
        now: float,
        *,
        simultaneous: bool,
    ) -> NodeRecord:
        """Return the record that the request makes of this one. Raises Refused.

        `traversal` is None for a deregistration, `nonce`, which the reply will tell, with
        timestamps. With `simultaneous` the node's other bindings of RFC 5944 stay.
        """
        message, multipath = request.message, request.multipath
        if traversal:
            scope = self.config.overwrite_scope
            bindings = registered(
                record,
                message,
                multipath,
                traversal,
                lifetime_s,
                now,
                scope,
                simultaneous=simultaneous,
                broadcasts=self.config.home_link is not None,
            )
        else:
            bindings = deregistered(record, message, multipath)
        if len(bindings) > max(self.config.max_bindings, len(record.bindings)):
            raise Refused("too-many-bindings", ReplyCode.TOO_MANY_BINDINGS)
        bids = frozenset([each.bid for each in bindings if each.bid is not None])
        check_identifiers(request.flow_bindings, bids, self.config.unknown_bid)
        rules = replaced(
            self._rules_before(record, multipath) if lifetime_s else record.rules,
            request.flow_bindings,
            multipath.bid if multipath else None,
            bids,
            ipv6=bool(record.prefixes),
        )
        check_number(rules)
        after = structs.replace(
            record,
            # The order of the timestamps goes on where it was when a nonce comes between them.
            identification=message.identification if nonce is None else record.identification,
            nonce=record.nonce if nonce is None else nonce,
            rules=rules,
        )
        return left_with(after, bindings)

    def _rules_before(self, record: NodeRecord, multipath: Multipath | None) -> Rules:
        """Return the rules that a registration begins with: those that it does not end."""
        if changes_kind(record, multipath):
            return ()
        if multipath is not None and multipath.overwrite:
            return overwritten(record.rules, multipath.bid, self.config.overwrite_scope)
        return record.rules

    def _policy_told(self, request: Request, record: NodeRecord) -> Policy:
        """RFC 7629 4.2: the whole policy in force, for a node that has shown that it reads it.

        To any other one type 154 is a reason to discard the reply.
        """
        if not record.bindings or not (request.multipath or request.flow_bindings):
            return ()
        return policy_of(rules_in_force(self.config, record))

    def _keep(self, after: NodeRecord, entry: MobileNodeEntry) -> None:
        self.identities.keep(after, entry)
        self.records[after.home_address] = after
        self._initiative.revocations.follow(after)
        self._broadcasting.follow(after)
        self._gre_keying.follow(after)
        if after.bindings:
            first = min([each.expires_at for each in after.bindings])
            self._expiries.set(after.home_address, first)
        else:
            self._expiries.clear(after.home_address)
            self._home_link.forget(after.home_address)

    def _forwarding(self, entry: MobileNodeEntry, record: NodeRecord) -> Effect:
        node = project(self.config, entry, record)
        return ProgramForwarding(node) if node else RemoveForwarding(record.home_address)

    def _forwarding_of(self, home_address: IPv4Address) -> NodeForwarding | None:
        record = self.records.get(home_address)
        if record is None:
            return None
        return project(self.config, self.identities.entries[home_address], record)

    def _all_forwarding(self) -> Iterator[NodeForwarding]:
        for home_address in self.records:
            node = self._forwarding_of(home_address)
            if node is not None:
                yield node

    def _refuse(
        self,
        event: Received,
        message: RegistrationRequest,
        entry: MobileNodeEntry,
        association: SecurityAssociation | None,
        refusal: Refused,
        now: float,
    ) -> list[Effect]:
        """Deny, authenticated by the association that the request named, or be silent."""
        self.statistics[f"refused_{refusal.reason}"] += 1
        if refusal.code is None or association is None:
            return []
        place = self._denials.place(entry, message, refusal, event.source, now)
        # 3.8.2.1 a: what a foreign agent vouches for is no forgery by just anybody.
        if place == 0 and not self._foreign_agents.vouches_for(event, message):
            return []
        ended = self._ended_by(refusal.code, message, entry, association)
        nonce, saved = self._nonce_of_denial(entry, association, refusal.code)
        saved = [*ended, *saved]
        message = self.identities.answerable(message, entry)
        told = (*service_echoed(message, entry), *told_of_denial(self.config, refusal))
        reply = reply_to(
            event, message, self.config, association, refusal.code, now, nonce=nonce, told=told
        )
        reply = with_challenge(reply, message, entry)
        reply = self._foreign_agents.authenticated(reply, message)
        if place != 1:
            return [*saved, reply]
        text = f"{entry.name}: request from {event.source} denied"
        return [*saved, reply, Log("warning", f"{text} with {int(refusal.code)}: {refusal.reason}")]

    def _ended_by(
        self,
        code: ReplyCode,
        message: RegistrationRequest,
        entry: MobileNodeEntry,
        association: SecurityAssociation,
    ) -> list[Effect]:
        """RFC 5446 4.2: without the service that it asks for a node has no binding either.

        The request has changed something, so it must not be taken again.
        """
        before = self.identities.record_of(entry, self.records)
        if code is not ReplyCode.SERVICE_AUTHORIZATION_FAILED or before is None:
            return []
        if not before.bindings:
            return []
        by_time = association.replay is Replay.TIMESTAMPS
        identification = message.identification if by_time else before.identification
        after = left_with(structs.replace(before, identification=identification), ())
        self._keep(after, entry)
        return [self._forwarding(entry, after), SaveNode(after, before), *_news(before, after)]

    def _nonce_of_denial(
        self, entry: MobileNodeEntry, association: SecurityAssociation, code: ReplyCode
    ) -> tuple[int | None, list[Effect]]:
        """5.7.2: a denial tells a new nonce too, which is durable before it is told.

        Not so 131: whoever sent such a request has no key, and is not to change anything. It tells
        the nonce that is expected already.
        """
        if association.replay is not Replay.NONCES:
            return None, []
        before = self.identities.record_of(entry, self.records)
        if code is ReplyCode.MOBILE_NODE_FAILED_AUTHENTICATION:
            return (before.nonce if before else None), []
        nonce = self._nonces()
        home_address = self.identities.home_address_of(entry) or UNKNOWN
        after = structs.replace(self.identities.begun(entry, home_address, before), nonce=nonce)
        if home_address == UNKNOWN:
            self.identities.hold(after)
            return nonce, []
        self.records[home_address] = after
        return nonce, [SaveNode(after, before)]

    # ---- revocation (RFC 3543 4.2.2.1)

    def _on_revoke_requested(self, event: RevokeRequested, now: float) -> list[Effect]:
        before = self.records.get(event.home_address)
        if before is None:
            return []
        entry = self.identities.entries[event.home_address]
        after = self._initiative.revocations.revoke(before, event)
        self._keep(after, entry)
        changed = [self._forwarding(entry, after), SaveNode(after, before)]
        return [*changed, *self._initiative.due(now), *revoked_news(before, after)]

    # ---- lifetimes (RFC 5944 3.8)

    def _expire(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for home_address in self._expiries.expired(now):
            before = self.records[home_address]
            entry = self.identities.entries[home_address]
            after = _unexpired(before, now)
            self.statistics["expired"] += len(before.bindings) - len(after.bindings)
            self._keep(after, entry)
            effects.append(self._forwarding(entry, after))
            effects.append(SaveNode(after, before))
            effects += _news(before, after)
        return effects

    # ---- start, and what goes wrong

    def _on_link_up(self, event: LinkUp, now: float) -> list[Effect]:
        """Have every binding forwarded by again: the proxy entries have gone with the link."""
        for record in self.records.values():
            if record.bindings:
                self._repairs.set(record.home_address, now)
        return self._home_link.up(event, now)

    def _on_restored(self, event: Restored, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for record in event.records:
            entry = self.identities.restored(record)
            if entry is None:
                effects.append(DeleteNode(record.home_address, record))
                continue
            after = _unexpired(record, now)
            self._initiative.restored(after, now)
            self._keep(after, entry)
            if after.bindings:
                effects.append(self._forwarding(entry, after))
            if after != record:
                effects.append(SaveNode(after, record))
        return effects

    def _on_effect_failed(self, event: EffectFailed, now: float) -> list[Effect]:
        """Undo a request that was about to be accepted, and deny it with 130 instead.

        What failed without a reply behind it (the end of a lifetime, a repair) is not undone: the
        data plane is asked again later, and a store that lags behind does no harm.
        """
        self.statistics["effect_failed"] += 1
        effects: list[Effect] = [Log("error", f"cannot be carried out: {event.reason}")]
        # What is said unasked is said again by itself.
        replies = [each for each in event.unperformed if is_reply(each)]
        self._want_repair(event.effect, now + REPAIR_INTERVAL_S)
        for effect in (event.effect, *event.unperformed):
            if replies and isinstance(effect, SaveNode):
                effects += self._undo(effect)
            elif effect is not event.effect:
                self._want_repair(effect, now)
        for reply in replies:
            entry = self.identities.entries[home_address_of(reply)]
            denial = denial_instead_of(reply, entry, self.config)
            effects.append(self._foreign_agents.authenticated_alike(denial, reply))
        return effects

    def _undo(self, save: SaveNode) -> list[Effect]:
        """Return to the record before, but for Identification and nonce: they have been used."""
        record = save.record
        current = self.records[record.home_address]
        self._home_link.forget(record.home_address)
        if _is_other(current, record):
            # A later request has been granted since; it stands.
            return []
        before = save.previous or NodeRecord(record.home_address, 0, nai=record.nai)
        restored = structs.replace(
            before,
            identification=current.identification,
            nonce=current.nonce,
            contact=current.contact,
        )
        entry = self.identities.entries[record.home_address]
        self._keep(restored, entry)
        return [self._forwarding(entry, restored)]

    def _want_repair(self, effect: Effect, at: float) -> None:
        """Have the data plane asked again, for a node whose forwarding may not be what it was."""
        match effect:
            case ProgramForwarding(node=node):
                self._repairs.set(node.home_address, at)
            case RemoveForwarding(home_address=home_address):
                self._repairs.set(home_address, at)
            case _:
                pass

    def _repair(self, now: float) -> list[Effect]:
        return [
            self._forwarding(self.identities.entries[home_address], self.records[home_address])
            for home_address in self._repairs.expired(now)
        ]


def _news(before: NodeRecord, after: NodeRecord) -> list[Effect]:
    """Tell the operator of paths that come and go, not of renewals."""
    known = [(each.bid, each.care_of_address) for each in before.bindings]
    held = [(each.bid, each.care_of_address) for each in after.bindings]
    news = [("registered", each) for each in held if each not in known]
    news += [("deregistered", each) for each in known if each not in held]
    return [
        Log("info", f"{after.home_address}: BID {bid} {what} at {care_of_address}")
        for what, (bid, care_of_address) in news
    ]


def _wants_simultaneous(request: Request) -> bool:
    """Tell whether a registration asks for the other bindings to stay (RFC 5944 3.8.2.2).

    Beside Multipath the S bit says nothing (RFC 7629 does not mention it).
    """
    message = request.message
    return _SIMULTANEOUS in message.flags and request.multipath is None and message.lifetime_s > 0


def _code(request: Request, *, simultaneous: bool) -> ReplyCode:
    """Code 1 tells a node that asked for the S bit that its other bindings are gone."""
    if _wants_simultaneous(request) and not simultaneous:
        return ReplyCode.ACCEPTED_NO_SIMULTANEOUS_BINDINGS
    return ReplyCode.ACCEPTED


def _is_other(record: NodeRecord, other: NodeRecord) -> bool:
    return (record.bindings, record.rules, record.prefixes) != (
        other.bindings,
        other.rules,
        other.prefixes,
    )


def _unexpired(record: NodeRecord, now: float) -> NodeRecord:
    return left_with(record, tuple(each for each in record.bindings if each.expires_at > now))
