"""A calm: no fault but the attacker and paths that stay silent. It has to end in agreement."""

from typing import TYPE_CHECKING

from flowbind.auth.replay import distance_s, to_ntp
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from tests.simulation.agreement import disagreement
from tests.simulation.hosts import Host
from tests.simulation.violation import ViolationError, require
from tests.simulation.wire import Link, Weather

if TYPE_CHECKING:
    from tests.simulation.world import World

AGREED_WITHIN_S = 150.0
"""How long after the last fault both ends may disagree, on top of noticing that a path is dead."""
PLAIN_FOR_S = 310.0
"""How long a node that may do without multipath may do without it before it agrees again."""
TOO_MANY_S = 70.0
"""How long after 135 a node asks again."""
LOOK_S = 5.0
LONGEST_WAIT_S = 3700.0
LINKS_TOLD_SOON_S = (0.0, 0.001, 3.0)


class Calm:
    """What happens to a world in good times. `slowest_s` is the longest way to agreement so far."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._chance = world.chances.of("calm")
        self.number = 0
        self.slowest_s = 0.0

    def settle(self) -> None:
        """End every fault and wait for agreement. Raises ViolationError if there is none."""
        world = self._world
        world.journal.tell("a calm")
        self.number += 1
        world.wire.weather = Weather()
        for host in (world.agent, *world.nodes.values()):
            host.trouble.share = 0.0
            host.trouble.fuse = None
            world.revive(host)
        for host in world.nodes.values():
            self._settle_links(world.links_of(host))
            while world.change_key(host):
                pass
        self._mend_clocks()
        self._agree()
        if self._chance.random() < 0.2 and world.chances.allow("keys"):
            self._change_a_key_in_order()

    def _settle_links(self, links: list[Link]) -> None:
        """Leave some links silent or down, but one that works."""
        for link in links:
            if self._chance.random() < 0.7:
                link.silent_up = link.silent_down = False
        lucky = self._chance.choice(links)
        lucky.silent_up = lucky.silent_down = False
        if lucky.address is None:
            self._world.move(lucky, quietly=True)

    def _mend_clocks(self) -> None:
        """A home agent whose clock was set back takes no request until it is as late again.

        A daemon that has seen a later time than its clock shows would be set back when it starts
        again. If it would take too long, somebody sets the clock.
        """
        world = self._world
        for host in (world.agent, *world.nodes.values()):
            host.clock.ahead_s += max(host.now - host.clock.wall(), 0.0)
        engine = world.agent.engine
        assert isinstance(engine, HomeAgent)
        lasts = [each.identification for each in engine.records.values() if each.identification]
        now = to_ntp(world.agent.now)
        ahead_s = max((distance_s(each, now) for each in lasts), default=0.0)
        if ahead_s > LONGEST_WAIT_S:
            world.journal.tell(f"the clock of the agent is set by {ahead_s} s")
            world.agent.clock.ahead_s += ahead_s
            ahead_s = 1.0
        if ahead_s > 0:
            world.run_until(world.now + 1.01 * ahead_s)

    # ---- agreement

    def _agree(self) -> None:
        world = self._world
        began = world.now
        end = began + AGREED_WITHIN_S + self._chance.choice((0.0, 100.0, 1000.0))
        agreed: dict[str, float] = {}
        while world.now < end or len(agreed) < len(world.nodes):
            world.run_until(world.now + LOOK_S)
            for name, host in world.nodes.items():
                self._look(name, host, began, agreed)
        self.slowest_s = max(self.slowest_s, *(at - began for at in agreed.values()))

    def _look(self, name: str, host: Host, began: float, agreed: dict[str, float]) -> None:
        world = self._world
        orphans = world.now < world.orphans_until.get(name, 0.0)
        leftovers = world.leftovers.get(name, frozenset())
        links = world.links_of(host)
        found = disagreement(world.agent, host, links, orphans=orphans, leftovers=leftovers)
        if not found:
            agreed.setdefault(name, world.now)
            return
        agreed.pop(name, None)
        if world.now - began > self._patience_s(host):
            raise ViolationError(f"{name}, quiet for {world.now - began:.0f} s: {found}")

    def _patience_s(self, host: Host) -> float:
        engine = host.engine
        assert isinstance(engine, MobileNode)
        patience_s = AGREED_WITHIN_S
        # Probes that the storm took may be missed only now.
        patience_s += engine.config.probe_interval_s * (engine.config.probe_dead_after + 1)
        if engine.config.multipath == "prefer":
            patience_s += PLAIN_FOR_S
        if self._world.scenario.agent.max_bindings < len(engine.config.interfaces):
            patience_s += TOO_MANY_S
        return patience_s

    # ---- a change of keys

    def _change_a_key_in_order(self) -> None:
        """No binding that works is lost by it, not for a moment that a look could catch."""
        world, chance = self._world, self._chance
        host = chance.choice(list(world.nodes.values()))
        world.keys.begin(world.number_of(host), in_order=True)
        held = self._held(host)
        world.journal.tell(f"a change of keys while {host.name} has {held}")
        told_after_s, world.links_told_after_s = world.links_told_after_s, LINKS_TOLD_SOON_S
        while world.change_key(host):
            end = world.now + chance.uniform(0.0, 400.0)
            while world.now < end:
                world.run_until(world.now + LOOK_S)
                lost = held - self._held(host)
                require(not lost, f"{host.name} has lost {lost} in a change of keys")
        world.links_told_after_s = told_after_s

    def _held(self, host: Host) -> set[object]:
        """What is registered of the links that work. A plain node may choose another one."""
        world = self._world
        engine, node = world.agent.engine, host.engine
        assert isinstance(engine, HomeAgent)
        assert isinstance(node, MobileNode)
        record = engine.records.get(node.record.home_address)
        working = {each.address for each in world.links_of(host) if not each.silent}
        return {
            (each.bid, each.care_of_address)
            for each in (record.bindings if record else ())
            if each.bid is not None and each.care_of_address in working
        }
