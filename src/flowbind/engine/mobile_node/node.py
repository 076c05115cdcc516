"""The mobile node as a pure machine: events in, effects out.

Packets move before their path is given up, never after: what the data plane is asked for stands in
front of the requests.
"""

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Network
from typing import Any, Final

from msgspec import structs

from flowbind.auth.nonces import Nonces, no_nonces
from flowbind.effects import DeleteNode, Effect, Log, SendProbe
from flowbind.engine.chance import Chance, no_chance
from flowbind.engine.mobile_node.answers import Answers
from flowbind.engine.mobile_node.home import Home
from flowbind.engine.mobile_node.keepalive import Keepalive
from flowbind.engine.mobile_node.notification import AgentNotifications
from flowbind.engine.mobile_node.policy import Policy, local_rules
from flowbind.engine.mobile_node.projection import Projection
from flowbind.engine.mobile_node.registration import Registration
from flowbind.engine.mobile_node.revocation import Revocations
from flowbind.engine.mobile_node.state import (
    Aim,
    Intent,
    Interface,
    Sent,
    State,
    path_of,
)
from flowbind.engine.notifications import Notice
from flowbind.engine.tunnel_errors import TunnelErrors
from flowbind.events import (
    DeregisterRequested,
    EffectFailed,
    Event,
    IcmpReceived,
    InterfaceDown,
    InterfaceUp,
    LinkDown,
    LinkUp,
    NotifyRequested,
    PolicyReplaced,
    ProbeAnswered,
    Received,
    RegisterRequested,
    Restored,
    TimerExpired,
    TunnelErrorHeard,
)
from flowbind.model.binding import NodeRecord
from flowbind.model.config import MobileNodeConfig
from flowbind.model.flow import FlowRule, RunningPolicy
from flowbind.model.tunnel import NodeForwarding
from flowbind.wire.iana import MessageType

RESTORED_GRACE_S: Final = 5.0
"""How long a restored binding waits for its interface to come up."""
LONGEST_RELAPSE_S: Final = 60.0
"""How long a path that is registered and never answers is left alone in the end."""


_ABLE: Final = (State.UP, State.DOWN, State.DEAD)
"""Who may send where one does, the best first. DOWN with a binding: restored, and not up yet."""


_NOTIFICATIONS: Final = (
    MessageType.GENERIC_NOTIFICATION,
    MessageType.GENERIC_NOTIFICATION_ACKNOWLEDGMENT,
)


class MobileNode:
    """Keeps an address reachable over several interfaces. The tables are for reading only."""

    def __init__(
        self, config: MobileNodeConfig, nonces: Nonces = no_nonces, chance: Chance = no_chance
    ) -> None:
        self.config = config
        self.policy = config.policy
        self._policy_adopted = False
        self.statistics: Counter[str] = Counter()
        self.interfaces = {
            each.name: Interface(each, Keepalive(config.probe_interval_s, config.probe_dead_after))
            for each in config.interfaces
        }
        self._registration = Registration(config, self.interfaces, self.statistics, nonces)
        self.identity = self._registration.identity
        self._revocations = Revocations(self._registration)
        self._answers = Answers(self._registration, self._revocations, self._adopt)
        self._notifications = AgentNotifications(self._registration)
        self._listeners = {int(MessageType.REVOCATION): self._revocations.on_received}
        if config.notifications:
            for kind in _NOTIFICATIONS:
                self._listeners[int(kind)] = self._notifications.on_received
        self._home = Home(config, self._registration, self.statistics, chance)
        self._projection = Projection(may_be_home=config.home_network is not None)
        self._grace_until: float | None = None
        self.tunnel_errors = TunnelErrors(
            self._forwarding_of, self._all_forwarding, self.statistics, of_node=True
        )
        self._handlers: dict[type[Event], Callable[[Any, float], list[Effect]]] = {
            Received: self._on_received,
            TimerExpired: self._on_timer,
            InterfaceUp: self._on_interface_up,
            InterfaceDown: self._on_interface_down,
            LinkUp: self._home.on_link_up,
            LinkDown: self._home.on_link_down,
            IcmpReceived: self._home.on_icmp,
            ProbeAnswered: self._on_probe_answered,
            TunnelErrorHeard: self.tunnel_errors.heard,
            RegisterRequested: self._on_register_requested,
            DeregisterRequested: self._on_deregister_requested,
            PolicyReplaced: self._on_policy_replaced,
            NotifyRequested: self._notifications.exchange.say,
            Restored: self._on_restored,
            EffectFailed: self._on_effect_failed,
        }

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take in one event at Unix time `now`; return what is to be done, in order."""
        effects = self._handlers[type(event)](event, now)
        self._judge_silent_paths(now)
        self._judge_unanswered(now)
        self._prefer_one()
        said = self._home.step(now)
        requests = self._registration.pump(self.policy, now)
        projected = self._projection.effects(self._forwarding, self._home.link, self.record, now)
        return [*projected, *said, *requests, *effects]

    def _forwarding_of(self, home_address: IPv4Address) -> NodeForwarding | None:
        node = self._forwarding
        return node if node and node.home_address == home_address else None

    def _all_forwarding(self) -> tuple[NodeForwarding, ...]:
        node = self._forwarding
        return (node,) if node else ()

    def _on_received(self, event: Received, now: float) -> list[Effect]:
        listener = self._listeners.get(event.payload[0]) if event.payload else None
        return (listener or self._answers.on_received)(event, now)

    def deadline(self) -> float | None:
        """Return the Unix time at which TimerExpired is wanted, or None."""
        moments = [
            self._registration.deadline(),
            self._projection.deadline(),
            self._notifications.exchange.deadline(),
            self._grace_until,
            self._home.deadline(),
            self.tunnel_errors.deadline(),
        ]
        moments += [sent.overdue_at for _intent, sent in self._undoable()]
        for interface in self.interfaces.values():
            moments += [interface.renew_at, interface.drain_until, interface.keepalive.due_at]
            moments.append(interface.binding.expires_at if interface.binding else None)
        return min((moment for moment in moments if moment is not None), default=None)

    # ---- what the operator may look at

    @property
    def message(self) -> str | None:
        """What the home agent said last in words (RFC 4917)."""
        return self._answers.message

    @property
    def paths(self) -> tuple[Interface, ...]:
        """Every interface, in the order of the configuration."""
        return tuple(self.interfaces.values())

    @property
    def rules(self) -> tuple[FlowRule, ...]:
        """The rules that our own packets follow, in order."""
        return local_rules(self.policy)

    @property
    def prefixes(self) -> tuple[IPv6Network, ...]:
        """The IPv6 prefixes that the home agent has registered."""
        return self._registration.prefixes.registered

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The last notifications to and from the home agent, in their order."""
        return tuple(self._notifications.exchange.recent)

    def why_silent(self, wanted: NotifyRequested) -> str | None:
        """Return why a notification cannot be sent now, None if it can."""
        return self._notifications.exchange.why_silent(wanted)

    @property
    def record(self) -> NodeRecord:
        """What a restart needs: our bindings, and the home agent's copy of the policy."""
        bindings = tuple(each.binding for each in self.interfaces.values() if each.binding)
        return structs.replace(
            self.identity.named,
            identification=self._registration.identification or 0,
            bindings=bindings,
            rules=self._registration.exchange.rules() if bindings else (),
            prefixes=self._registration.prefixes.registered if bindings else (),
            policy=self._running_policy,
            nonce=self._registration.nonce,
            at_home=self._home.settled,
            contact=self._notifications.contact,
        )

    @property
    def _running_policy(self) -> RunningPolicy | None:
        # The home agent tells its policy again.
        if self._policy_adopted or self.policy == self.config.policy:
            return None
        return RunningPolicy(self.config.policy, self.policy)

    @property
    def _forwarding(self) -> NodeForwarding | None:
        home_address = self.identity.home_address
        paths = tuple(each.tunnel for each in self.interfaces.values() if each.tunnel)
        if home_address is None or not paths:
            return None
        return NodeForwarding(home_address, paths, self.rules, self.prefixes, self.config.balance)

    # ---- interfaces

    def _on_interface_up(self, event: InterfaceUp, now: float) -> list[Effect]:
        interface = self.interfaces.get(event.name)
        if interface is None:
            return []
        interface.port = event.port
        if interface.address == event.address:
            return []
        interface.address = event.address
        interface.forgive()
        if interface.wanted:
            # What is under way is about the address before, or would deregister what is back.
            unanswered = self._registration.forget(interface, now)
            self._registration.leave_former(interface, unanswered, now)
            self._registration.want(Aim.REGISTER, interface, now)
            self._take_up(interface, now)
        return [Log("info", f"{event.name}: up with care-of address {event.address}")]

    @staticmethod
    def _take_up(interface: Interface, now: float) -> None:
        """Judge the tunnel that an interface has when it comes up."""
        if interface.tunnel and interface.is_registered_as_is:
            # Restored from a former run: it carries packets while it is renewed.
            interface.state = State.UP
            interface.keepalive.start(now)
            return
        # None, or one that ends at the address before.
        interface.state = State.REGISTERING
        interface.renew_at = None
        interface.keepalive.stop()
        interface.transmit(allowed=False)

    def _on_interface_down(self, event: InterfaceDown, now: float) -> list[Effect]:
        interface = self.interfaces.get(event.name)
        if interface is None or (interface.address is None and interface.binding is None):
            return []
        interface.address = None
        interface.state = State.DOWN
        interface.tunnel = None
        interface.renew_at = None
        interface.drain_until = None
        interface.keepalive.stop()
        # Another path tells the home agent, now or as soon as there is one.
        unanswered = self._registration.forget(interface, now)
        self._registration.want_deregistered(interface, now, unanswered)
        return [Log("warning", f"{event.name}: down")]

    # ---- time

    def _on_timer(self, _event: TimerExpired, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if self._grace_until is not None and self._grace_until <= now:
            self._grace_until = None
            for interface in self.interfaces.values():
                if interface.address is None and interface.tunnel:
                    effects += self._on_interface_down(InterfaceDown(interface.name), now)
        for interface in self.interfaces.values():
            effects += self._on_interface_timer(interface, now)
        due = [*self._notifications.exchange.due(now), *self.tunnel_errors.due(now)]
        return [*effects, *due]

    def _on_interface_timer(self, interface: Interface, now: float) -> list[Effect]:
        if interface.drain_until is not None and interface.drain_until <= now:
            interface.drain_until = None
            interface.tunnel = None
        if interface.renew_at is not None and interface.renew_at <= now:
            interface.renew_at = None
            self._registration.want(Aim.REGISTER, interface, now)
        if interface.binding and interface.binding.expires_at <= now:
            self._registration.unbind(interface, now, confirmed=False)
            return [Log("warning", f"{interface.name}: the registration expired")]
        if interface.keepalive.due_at is not None and interface.keepalive.due_at <= now:
            return self._probe(interface, now)
        return []

    # ---- keepalive

    def _probe(self, interface: Interface, now: float) -> list[Effect]:
        dead = interface.keepalive.tick(now)
        effects: list[Effect] = []
        home_address = self.identity.home_address
        if interface.tunnel and home_address is not None:
            sequence = interface.keepalive.sequence
            effects.append(SendProbe(interface.tunnel, home_address, sequence))
        if dead and interface.state is State.UP:
            self._on_dead(interface, now)
            text = f"{interface.name}: the path is silent, taken as dead"
            effects.append(Log("warning", text))
        return effects

    def _on_dead(self, interface: Interface, now: float) -> None:
        """Try to get a silent path back; `_judge_silent_paths` sees to its packets.

        A path that lets requests through and nothing else would be taken back at once, for nothing:
        each time it is left alone for longer.
        """
        self.statistics["path_dead"] += 1
        interface.state = State.DEAD
        interface.relapses = 0 if interface.keepalive.proven else interface.relapses + 1
        if interface.relapses:
            wait_s = min(2.0**interface.relapses, LONGEST_RELAPSE_S)
            interface.register_after = now + wait_s
        self._registration.want(Aim.REGISTER, interface, now)

    def _judge_silent_paths(self, now: float) -> None:
        """Give up a silent path as soon as there is a better one; with none it is still the best.

        Its flows move, and another path deregisters it.
        """
        alternative = any(each.state is State.UP for each in self.interfaces.values())
        for interface in self.interfaces.values():
            if interface.state is not State.DEAD or interface.binding is None:
                continue
            interface.transmit(allowed=not alternative)
            given_up = self._registration.intents.find(Aim.DEREGISTER, interface)
            if alternative and not given_up:
                interface.renew_at = None
                interface.keepalive.stop()
                self._registration.want_deregistered(interface, now)
            elif given_up and not alternative:
                self._registration.intents.remove(given_up)
                interface.keepalive.start(now)

    def _prefer_one(self) -> None:
        """Send by one path where each packet to us comes by all: the first that works.

        RFC 5944 has no word for which packets go where, so no other takes any.
        """
        if not self.config.simultaneous:
            return
        able = [
            each
            for each in self.interfaces.values()
            if each.binding and each.drain_until is None and each.state in _ABLE
        ]
        best = min(able, key=lambda each: _ABLE.index(each.state), default=None)
        if best is not None:
            for each in self.interfaces.values():
                each.transmit(allowed=each is best)

    def _undoable(self) -> list[tuple[Intent, Sent]]:
        """Return the registrations under way that another path could undo."""
        if all(each.state is not State.UP for each in self.interfaces.values()):
            return []
        return [
            (each, each.sent)
            for each in self._registration.intents
            if each.aim is Aim.REGISTER and each.sent and each.sent.via.state is not State.UP
        ]

    def _judge_unanswered(self, now: float) -> None:
        """Have a registration undone that is not answered in time.

        The home agent may have granted it, or may hold the address before: it would go on sending
        packets to where nothing comes back from.
        """
        for intent, sent in self._undoable():
            if now < sent.overdue_at:
                continue
            # It may hold for half of the time at the most.
            intent.not_before = max(intent.not_before, now + sent.overdue_at - sent.last_at)
            intent.sent = None
            if self._registration.may_hold_one(now):
                # It took the place of the one binding there is.
                up = (each for each in self.interfaces.values() if each.state is State.UP)
                self._registration.want(Aim.REGISTER, next(up), now)
            else:
                self._registration.want_deregistered(sent.via, now, sent)

    def _on_probe_answered(self, event: ProbeAnswered, now: float) -> list[Effect]:
        for interface in self.interfaces.values():
            if interface.tunnel is None or interface.tunnel.bid != event.bid:
                continue
            answered = interface.keepalive.answered(event.sequence, now)
            if answered and interface.state is State.DEAD and interface.binding:
                interface.state = State.UP
                return [Log("info", f"{interface.name}: the path answers again")]
        return []

    # ---- the operator's wishes

    def _on_policy_replaced(self, event: PolicyReplaced, _now: float) -> list[Effect]:
        self.policy = event.policy
        self._policy_adopted = False
        self._registration.policy_replaced()
        return [Log("info", f"flow policy replaced: {len(event.policy)} rules")]

    def _adopt(self, policy: Policy) -> list[Effect]:
        """The home agent has told the rules that our packets are to follow."""
        if policy == self.policy:
            return []
        self.policy = policy
        self._policy_adopted = True
        self.statistics["policy_adopted"] += 1
        return [Log("info", f"flow policy of the home agent taken: {len(policy)} rules")]

    def _on_register_requested(self, event: RegisterRequested, now: float) -> list[Effect]:
        name = event.interface
        if name is None:
            self._register_all(now)
        elif name in self.interfaces:
            self._register(self.interfaces[name], now)
        return []

    def _register_all(self, now: float) -> None:
        self._registration.intents.keep(lambda each: each.aim is not Aim.DEREGISTER_ALL)
        # Without multipath there is no renewing all in one: each that may have a binding registers.
        plain = self._registration.fallback.is_plain(now)
        if not plain and any(each.state is State.UP for each in self.interfaces.values()):
            self._registration.want(Aim.RENEW_ALL, None, now).not_before = now
        for interface in self.interfaces.values():
            if plain or interface.state is not State.UP:
                self._register(interface, now)

    def _register(self, interface: Interface, now: float) -> None:
        interface.wanted = True
        interface.forgive()
        if interface.address is None:
            return
        if interface.state is State.DEREGISTERING:
            self._registration.forget(interface, now)
            interface.state = State.REGISTERING
        self._registration.want(Aim.REGISTER, interface, now).not_before = now

    def _on_deregister_requested(self, event: DeregisterRequested, now: float) -> list[Effect]:
        name = event.interface
        if name is None:
            return self._deregister_all(now)
        interface = self.interfaces.get(name)
        if interface is None:
            return []
        unanswered = self._registration.forget(interface, now)
        self._withdraw(interface, now)
        # Our own packets move first, so that none is under way when the home agent lets go.
        interface.transmit(allowed=False)
        if self._registration.want_deregistered(interface, now, unanswered):
            return [Log("info", f"{name}: deregistering")]
        return []

    def _deregister_all(self, now: float) -> list[Effect]:
        known = self._registration.want_all_deregistered(now)
        for interface in self.interfaces.values():
            self._withdraw(interface, now)
        return [Log("info", "deregistering every path")] if known else []

    @staticmethod
    def _withdraw(interface: Interface, now: float) -> None:
        interface.wanted = False
        if interface.binding is None:
            interface.drain(now)
        interface.renew_at = None
        interface.keepalive.stop()
        leaving = interface.binding is not None and interface.address is not None
        interface.state = State.DEREGISTERING if leaving else State.DOWN

    # ---- start, and what goes wrong

    def _on_restored(self, event: Restored, now: float) -> list[Effect]:
        """Take up what a former run had: its paths forward until their interfaces are renewed."""
        effects: list[Effect] = []
        for record in event.records:
            if not self.identity.restore(record):
                effects.append(DeleteNode(record.home_address, record))
                continue
            self._registration.restore(record)
            if record.at_home:
                self._home.restore(record.at_home, now)
            self._notifications.restore(record)
            effects += self._restore_policy(record.policy)
            for binding in record.bindings:
                interface = self.interfaces.get(binding.interface or "")
                known = interface and binding.bid in {None, interface.config.bid}
                if interface and known and binding.expires_at > now:
                    interface.binding = binding
                    interface.tunnel = path_of(interface.config, self.identity, binding)
                    self._grace_until = now + RESTORED_GRACE_S
            self._registration.find_carrier()
        return effects

    def _restore_policy(self, policy: RunningPolicy | None) -> list[Effect]:
        """Go on with a policy set at run time, unless the configured one has changed since."""
        if policy is None:
            return []
        if policy.configured != self.config.policy:
            return [Log("warning", "the configured flow policy replaces one set at run time")]
        self.policy = policy.running
        return [Log("info", "the flow policy set at run time stays in force")]

    def _on_effect_failed(self, event: EffectFailed, now: float) -> list[Effect]:
        """What was not sent is as good as lost; the rest is asked for again."""
        self.statistics["effect_failed"] += 1
        self._projection.failed((event.effect, *event.unperformed), now)
        unsaid = [each for each in event.unperformed if isinstance(each, Log)]
        return [Log("error", f"cannot be carried out: {event.reason}"), *unsaid]
