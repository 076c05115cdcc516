"""The mobile node as a pure machine: events in, effects out.

Requests are serialised: timestamps of one node count on all its paths (RFC 5944 5.7.1), so a
request that overtakes another would make that one a replay. The next one leaves when the last is
answered, or after a second. Packets move before their path is given up, never after.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import structs

from flowbind.effects import (
    DeleteNode,
    Effect,
    Log,
    ProgramForwarding,
    RemoveForwarding,
    SaveNode,
    SendProbe,
)
from flowbind.engine.mobile_node.keepalive import Keepalive
from flowbind.engine.mobile_node.policy import local_rules
from flowbind.engine.mobile_node.registration import Registration
from flowbind.engine.mobile_node.state import Aim, Interface, State
from flowbind.events import (
    DeregisterRequested,
    EffectFailed,
    Event,
    InterfaceDown,
    InterfaceUp,
    PolicyReplaced,
    ProbeAnswered,
    Received,
    RegisterRequested,
    Restored,
    TimerExpired,
)
from flowbind.model.binding import NodeRecord
from flowbind.model.config import MobileNodeConfig
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import NodeForwarding

RESTORED_GRACE_S = 5.0
"""How long a restored binding waits for its interface to come up."""


class MobileNode:
    """Keeps an address reachable over several interfaces. The tables are for reading only."""

    def __init__(self, config: MobileNodeConfig) -> None:
        self.config = config
        self.policy = config.policy
        self.statistics: Counter[str] = Counter()
        self.interfaces = {
            each.name: Interface(each, Keepalive(config.probe_interval_s, config.probe_dead_after))
            for each in config.interfaces
        }
        self._registration = Registration(config, self.interfaces, self.statistics)
        self._forwarded: NodeForwarding | None = None
        self._saved: NodeRecord | None = None
        self._grace_until: float | None = None
        self._handlers: dict[type[Event], Callable[[Any, float], list[Effect]]] = {
            Received: self._on_received,
            TimerExpired: self._on_timer,
            InterfaceUp: self._on_interface_up,
            InterfaceDown: self._on_interface_down,
            ProbeAnswered: self._on_probe_answered,
            RegisterRequested: self._on_register_requested,
            DeregisterRequested: self._on_deregister_requested,
            PolicyReplaced: self._on_policy_replaced,
            Restored: self._on_restored,
            EffectFailed: self._on_effect_failed,
        }

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take in one event at Unix time `now`; return what is to be done, in order."""
        effects = self._handlers[type(event)](event, now)
        sent = self._registration.pump(self.policy, now)
        return [*self._follow_up(), *sent, *effects]

    def deadline(self) -> float | None:
        """Return the Unix time at which TimerExpired is wanted, or None."""
        moments = [self._registration.deadline(), self._grace_until]
        for interface in self.interfaces.values():
            moments += [interface.renew_at, interface.drain_until, interface.keepalive.due_at]
            moments.append(interface.binding.expires_at if interface.binding else None)
        return min((moment for moment in moments if moment is not None), default=None)

    # ---- what the operator may look at

    @property
    def paths(self) -> tuple[Interface, ...]:
        """Every interface, in the order of the configuration."""
        return tuple(self.interfaces.values())

    @property
    def rules(self) -> tuple[FlowRule, ...]:
        """The rules that our own packets follow, in order."""
        return local_rules(self.policy)

    @property
    def record(self) -> NodeRecord:
        """What a restart needs: our bindings, and the home agent's copy of the policy."""
        bindings = tuple(
            structs.replace(each.binding, interface=each.name)
            for each in self.interfaces.values()
            if each.binding
        )
        return NodeRecord(
            self.config.home_address,
            self._registration.identification or 0,
            bindings,
            self._registration.exchange.rules() if bindings else (),
        )

    @property
    def registered_all(self) -> bool:
        """Whether every interface that could be registered is."""
        return all(each.state is State.UP for each in self.interfaces.values() if each.wanted)

    def _on_received(self, event: Received, now: float) -> list[Effect]:
        return self._registration.on_received(event, self.policy, now)

    def _on_policy_replaced(self, event: PolicyReplaced, now: float) -> list[Effect]:
        self.policy = event.policy
        self._registration.policy_replaced(now)
        return [Log("info", f"flow policy replaced: {len(event.policy)} rules")]

    def _on_effect_failed(self, event: EffectFailed, _now: float) -> list[Effect]:
        self.statistics["effect_failed"] += 1
        self._forwarded = None
        return [Log("error", f"cannot carry out: {event.reason}")]

    # ---- interfaces

    def _on_interface_up(self, event: InterfaceUp, now: float) -> list[Effect]:
        interface = self.interfaces.get(event.name)
        if interface is None or interface.address == event.address:
            return []
        if interface.tunnel and interface.tunnel.local != event.address:
            interface.tunnel = structs.replace(interface.tunnel, transmit=False)
        interface.address = event.address
        interface.wanted = True
        if interface.state is State.DOWN:
            interface.state = State.REGISTERING
        if interface.binding and interface.binding.care_of_address == event.address:
            # Restored, or back before its lifetime ended: it carries packets while it is renewed.
            interface.state = State.UP
            interface.keepalive.start(now)
        self._registration.want(Aim.REGISTER, interface, now)
        return [Log("info", f"{event.name}: up with care-of address {event.address}")]

    def _on_interface_down(self, event: InterfaceDown, now: float) -> list[Effect]:
        name = event.name
        interface = self.interfaces.get(name)
        if interface is None or (interface.address is None and interface.binding is None):
            return []
        interface.address = None
        interface.state = State.DOWN
        interface.tunnel = None
        interface.drain_until = None
        interface.keepalive.stop()
        self._registration.forget(interface)
        self._give_up(interface, now)
        return [Log("warning", f"{name}: down")]

    def _give_up(self, interface: Interface, now: float) -> None:
        """Have a path deregistered by another one, if there is one to speak for it."""
        interface.renew_at = None
        if interface.binding is None:
            return
        if any(each.usable for each in self.interfaces.values() if each is not interface):
            self._registration.want(Aim.DEREGISTER, interface, now)
        elif interface.address is None:
            # Nobody can tell the home agent; its own clock will.
            self._registration.unbind(interface)

    # ---- time

    def _on_timer(self, _event: TimerExpired, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if self._grace_until is not None and self._grace_until <= now:
            self._grace_until = None
            for interface in self.interfaces.values():
                if interface.address is None and interface.binding:
                    effects += self._on_interface_down(InterfaceDown(interface.name), now)
        for interface in self.interfaces.values():
            effects += self._on_interface_timer(interface, now)
        return effects

    def _on_interface_timer(self, interface: Interface, now: float) -> list[Effect]:
        if interface.drain_until is not None and interface.drain_until <= now:
            interface.drain_until = None
            interface.tunnel = None
        if interface.renew_at is not None and interface.renew_at <= now:
            interface.renew_at = None
            self._registration.want(Aim.REGISTER, interface, now)
        if interface.binding and interface.binding.expires_at <= now:
            return self._on_expired(interface, now)
        if interface.keepalive.due_at is not None and interface.keepalive.due_at <= now:
            return self._probe(interface, now)
        return []

    def _on_expired(self, interface: Interface, now: float) -> list[Effect]:
        self._registration.unbind(interface)
        interface.tunnel = None
        interface.keepalive.stop()
        if interface.address and interface.wanted:
            interface.state = State.REGISTERING
            self._registration.want(Aim.REGISTER, interface, now)
        return [Log("warning", f"{interface.name}: the registration expired")]

    # ---- keepalive

    def _probe(self, interface: Interface, now: float) -> list[Effect]:
        dead = interface.keepalive.tick(now)
        effects: list[Effect] = []
        if dead and interface.state is State.UP:
            effects = self._on_dead(interface, now)
        if interface.tunnel and interface.keepalive.due_at is not None:
            sequence = interface.keepalive.sequence
            effects.append(SendProbe(interface.tunnel, self.config.home_address, sequence))
        return effects

    def _on_dead(self, interface: Interface, now: float) -> list[Effect]:
        """Move the flows, have the path deregistered over a living one, and try to get it back."""
        interface.state = State.DEAD
        self.statistics["path_dead"] += 1
        if any(each.usable for each in self.interfaces.values()):
            # Only now: with no other path, a silent one is still the best there is.
            if interface.tunnel:
                interface.tunnel = structs.replace(interface.tunnel, transmit=False)
            interface.keepalive.stop()
            self._give_up(interface, now)
        self._registration.want(Aim.REGISTER, interface, now)
        return [Log("warning", f"{interface.name}: the path is silent, taken as dead")]

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

    def _on_register_requested(self, event: RegisterRequested, now: float) -> list[Effect]:
        name = event.interface
        if name is None:
            for interface in self.interfaces.values():
                interface.wanted = True
            if any(each.state is State.UP for each in self.interfaces.values()):
                self._registration.want(Aim.RENEW_ALL, None, now)
        for interface in self.interfaces.values():
            if interface.name == name or (name is None and interface.binding is None):
                self._register(interface, now)
        return []

    def _register(self, interface: Interface, now: float) -> None:
        interface.wanted = True
        if interface.address is None:
            return
        if interface.binding is None:
            interface.state = State.REGISTERING
        self._registration.want(Aim.REGISTER, interface, now)

    def _on_deregister_requested(self, event: DeregisterRequested, now: float) -> list[Effect]:
        name = event.interface
        if name is None:
            return self._deregister_all(now)
        interface = self.interfaces.get(name)
        if interface is None:
            return []
        interface.wanted = False
        interface.renew_at = None
        self._registration.forget(interface)
        if interface.binding is None:
            return []
        # Our own packets move first, so that none is under way when the home agent lets go.
        if interface.tunnel:
            interface.tunnel = structs.replace(interface.tunnel, transmit=False)
        interface.keepalive.stop()
        interface.state = State.DEREGISTERING
        self._registration.want(Aim.DEREGISTER, interface, now)
        return [Log("info", f"{name}: deregistering")]

    def _deregister_all(self, now: float) -> list[Effect]:
        for interface in self.interfaces.values():
            interface.wanted = False
            interface.renew_at = None
            interface.keepalive.stop()
            self._registration.forget(interface)
            if interface.binding:
                interface.state = State.DEREGISTERING
        if any(each.binding for each in self.interfaces.values()):
            self._registration.want(Aim.DEREGISTER_ALL, None, now)
        return [Log("info", "deregistering every path")]

    # ---- start

    def _on_restored(self, event: Restored, now: float) -> list[Effect]:
        """Take up what a former run had: its paths forward until their interfaces are renewed."""
        for record in event.records:
            if record.home_address != self.config.home_address:
                continue
            self._registration.restore(record)
            for binding in record.bindings:
                interface = self.interfaces.get(binding.interface or "")
                if interface and interface.config.bid == binding.bid and binding.expires_at > now:
                    interface.binding = binding
                    interface.tunnel = self._registration.tunnel_of(interface, binding)
            self._grace_until = now + RESTORED_GRACE_S
        if not any(each.tunnel for each in self.interfaces.values()):
            self._forwarded = None
        return []

    # ---- what follows from the tables

    def _follow_up(self) -> list[Effect]:
        """Ask for what the tables now say and the data plane and the store do not hold yet."""
        effects: list[Effect] = []
        paths = tuple(each.tunnel for each in self.interfaces.values() if each.tunnel)
        node = NodeForwarding(self.config.home_address, paths, self.rules) if paths else None
        if node != self._forwarded:
            removed = RemoveForwarding(self.config.home_address)
            effects.append(ProgramForwarding(node) if node else removed)
            self._forwarded = node
        record = self.record
        if self._saved is None or not _same_record(self._saved, record):
            effects.append(self._save(record))
            self._saved = record
        return effects

    def _save(self, record: NodeRecord) -> Effect:
        if record.bindings:
            return SaveNode(record, self._saved)
        return DeleteNode(record.home_address, self._saved)


def _same_record(before: NodeRecord, after: NodeRecord) -> bool:
    return before.bindings == after.bindings and before.rules == after.rules
