"""What must hold after each event: the tables are sound, and forwarding is what they say."""

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import cast

from flowbind.daemon.loop import Engine
from flowbind.dataplane.normal import normalised
from flowbind.effects import Effect
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.home_agent.projection import project
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import Event, ProbeAnswered, Received, TimerExpired
from flowbind.model.binding import NodeRecord
from flowbind.model.tunnel import NodeForwarding
from tests.simulation.hosts import Host
from tests.simulation.traffic import Records, Traffic
from tests.simulation.violation import require

REPAIRED_AFTER_S = 5.5
"""Both engines ask again 5 s after their data plane has refused."""
MOST_WAKES = 5
"""An engine that is woken more often in a row, at one moment, does not let time pass."""


@dataclass(slots=True)
class Invariants:
    """Watches both ends."""

    traffic: Traffic
    woken: Counter[tuple[str, float]] = field(default_factory=Counter[tuple[str, float]])
    compared: dict[tuple[str, IPv4Address], tuple[object, ...]] = field(
        default_factory=dict[tuple[str, IPv4Address], tuple[object, ...]]
    )

    def before(self, host: Host, engine: Engine, event: Event, now: float) -> object:
        """Note what a host is told."""
        if not isinstance(event, TimerExpired | ProbeAnswered):
            self.traffic.told(host)
        return self.traffic.look(engine, now) if isinstance(event, Received) else None

    def handled(
        self, host: Host, engine: Engine, event: Event, effects: list[Effect], seen: object
    ) -> None:
        """Check what a host wants done upon a datagram."""
        if not isinstance(event, Received):
            return
        if isinstance(engine, HomeAgent):
            self.traffic.agent_heard(engine, event, effects, cast("Records", seen))
        elif isinstance(engine, MobileNode):
            self.traffic.node_heard(host, engine, event, effects, seen)

    def done(self, host: Host, event: Event | None) -> None:
        """Check a host whose daemon has taken in an event; None when it has started."""
        self._time_passes(host, event)
        self.traffic.settled(host)
        if event is None:
            self.traffic.started(host)
        if isinstance(host.engine, HomeAgent):
            records = host.engine.records
            _unique("NAI", [each.nai for each in records.values() if each.nai is not None])
            for record in records.values():
                self._check_agent(host, host.engine, record)
        elif isinstance(host.engine, MobileNode):
            self._check_node(host, host.engine)

    def _time_passes(self, host: Host, event: Event | None) -> None:
        if not isinstance(event, TimerExpired) or host.engine is None:
            return
        deadline = host.engine.deadline()
        if deadline is None or deadline > host.now:
            return
        key = (host.name, round(host.now, 2))
        self.woken = Counter({key: self.woken[key] + 1})
        require(self.woken[key] <= MOST_WAKES, f"{host.name} wants no time to pass")

    def _check_agent(self, host: Host, engine: HomeAgent, record: NodeRecord) -> None:
        home_address = record.home_address
        held = host.plane.node(home_address)
        if self._seen(host, home_address, record.bindings, record.rules, held):
            return
        _unique("BID", [each.bid for each in record.bindings if each.bid is not None])
        _unique("care-of address", [each.care_of_address for each in record.bindings])
        _unique("selector", [(each.action, each.selector) for each in record.rules])
        entry = engine.identities.entries[home_address]
        plain = [each for each in record.bindings if each.bid is None]
        require(len(plain) in {0, len(record.bindings)}, "a binding without BID among others")
        several = entry.simultaneous_bindings
        require(len(plain) <= 1 or several, "simultaneous bindings that are not allowed")
        most = engine.config.max_bindings
        require(len(record.bindings) <= most, f"{home_address} has more than {most} bindings")
        self._projected(host, home_address, project(engine.config, entry, record), held)

    def _check_node(self, host: Host, engine: MobileNode) -> None:
        tunnels = tuple(each.tunnel for each in engine.paths if each.tunnel)
        home_address = engine.record.home_address
        held = host.plane.node(home_address)
        if self._seen(host, home_address, tunnels, engine.policy, held):
            return
        _unique("BID", [each.bid for each in tunnels])
        sending = [each for each in tunnels if each.transmit]
        require(not engine.config.simultaneous or len(sending) <= 1, "copies are sent up too")
        self._projected(host, home_address, engine._forwarding, held)

    def _seen(self, host: Host, home_address: IPv4Address, *things: object) -> bool:
        """Tell whether these very things were found in order by the last look."""
        key = (host.name, home_address)
        if self.compared.get(key) == things:
            return True
        self.compared[key] = things
        return False

    def _projected(
        self,
        host: Host,
        home_address: IPv4Address,
        table: NodeForwarding | None,
        held: NodeForwarding | None,
    ) -> None:
        if held == (normalised(table) if table else None):
            return
        del self.compared[host.name, home_address]
        since_s = host.clock.elapsed() - host.plane_failed_at
        require(since_s <= REPAIRED_AFTER_S, f"{host.name} forwards {held} instead of {table}")


def _unique(what: str, values: list[object]) -> None:
    require(len(values) == len(set(values)), f"a {what} occurs twice: {values}")
