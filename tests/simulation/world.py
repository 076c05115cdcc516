"""A home agent and its mobile nodes in simulated time, in storms and calms.

Everything that happens by chance is drawn from one source, so a seed tells all of a run. A storm is
every fault there is, with a restless operator; a calm is none of them but for the attacker and for
paths that stay silent, and ends in agreement.
"""

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from random import Random

from flowbind.auth.replay import distance_s, to_ntp
from flowbind.daemon.perform import Outlets
from flowbind.effects import SendDatagram, SendProbe
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import (
    DeregisterRequested,
    Event,
    InterfaceDown,
    InterfaceUp,
    PolicyReplaced,
    Received,
    RegisterRequested,
)
from flowbind.model.config import MobileNodeConfig
from tests.simulation.hosts import Clock, Host
from tests.simulation.invariants import Invariants, ViolationError, disagreement
from tests.simulation.journal import Journal
from tests.simulation.scenario import policy, scenario
from tests.simulation.wire import Link, Weather, Wire

START = 1_800_000_000.0
HOUR_S = 3600.0
AGREED_WITHIN_S = 150.0
"""How long after the last fault both ends may disagree, on top of noticing that a path is dead."""
PLAIN_FOR_S = 310.0
"""How long a node that may do without multipath may do without it before it agrees again."""
LOOK_S = 5.0
MOST_DRIFT = 1e-4
STEPS_S = (-600.0, -60.0, -8.0, -1.0, 0.5, 3.0, 10.0, 100.0, 3600.0)


class World:
    """Everything there is, and what happens to it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.journal = Journal()
        self.now = START
        self.slowest_s = 0.0
        self.calms = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._inbox: list[Received] = []
        self._orphans_until: dict[str, float] = {}
        self._leftovers: dict[str, frozenset[int]] = {}
        self._restarts = self.chance.random() < 0.7
        self._steps = self.chance.random() < 0.5
        self._set_up()

    def _set_up(self) -> None:
        self.scenario = scenario(self.chance)
        agent_config = self.scenario.agent
        self.agent = self._host("agent", lambda: HomeAgent(agent_config), self._agent_sends)
        self.invariants = Invariants(self.scenario, self.agent)
        self.wire = Wire(
            self.agent, self.chance, self.schedule, self._heard_by_agent, self._heard_by_node
        )
        self.nodes: dict[str, Host] = {}
        for number, config in enumerate(self.scenario.nodes):
            self._add_node(f"node{number}", config)
        self.agent.start()
        for host in self.nodes.values():
            host.start()
        self.schedule(self.chance.expovariate(1 / 30), self._attack)

    def _add_node(self, name: str, config: MobileNodeConfig) -> None:
        host = self._host(
            name, lambda: MobileNode(config), lambda datagram: self._node_sends(host, datagram)
        )
        host.started = self._tell_links
        host.crashed = self._leave_orphans
        self.nodes[name] = host
        for each in config.interfaces:
            link = Link(host, each.name, each.bid, self.chance.uniform(0.002, 0.2))
            link.address = self._free_address()
            self.wire.links[each.name] = link

    def _host(
        self,
        name: str,
        make: Callable[[], HomeAgent | MobileNode],
        send: Callable[[SendDatagram], None],
    ) -> Host:
        clock = Clock(lambda: self.now, self.chance.uniform(-MOST_DRIFT, MOST_DRIFT))
        clock.ahead_s = -clock.wall() + self.now + self.chance.choice((0.0, 0.0, -2.0, 5.0, 1e4))
        outlets = Outlets(send, self._probe)
        host = Host(name, clock, self.journal, self.schedule, self.chance, outlets, make)
        host.told = self._told
        host.checked = self._check
        return host

    # ---- time

    def schedule(self, delay_s: float, deed: Callable[[], None]) -> None:
        """Have something done later."""
        heapq.heappush(self._due, (self.now + delay_s, next(self._serial), deed))

    def run_until(self, moment: float) -> None:
        """Let time pass."""
        while self._due and self._due[0][0] <= moment:
            at, _serial, deed = heapq.heappop(self._due)
            self.now = max(self.now, at)
            self.journal.at = self.now - START
            deed()
        self.now = moment
        self.journal.at = moment - START

    def run(self, hours: float) -> None:
        """Live through storms and calms for so many hours."""
        end = self.now + hours * HOUR_S
        while self.now < end:
            self._storm()
            self._calm()

    # ---- what goes between the hosts

    def _told(self, host: Host, events: tuple[Event, ...]) -> None:
        self.invariants.before(host, events)

    def _check(self, host: Host, event: Event | None) -> None:
        self.invariants.after(host, event)

    def _agent_sends(self, datagram: SendDatagram) -> None:
        self.invariants.agent_sends(datagram)
        self.wire.from_agent(datagram)

    def _node_sends(self, host: Host, datagram: SendDatagram) -> None:
        self.invariants.node_sends(host, datagram, self.now)
        self.wire.from_node(datagram)

    def _probe(self, probe: SendProbe) -> None:
        self.wire.probe(probe)

    def _heard_by_agent(self, received: Received) -> None:
        """Take in a datagram; a busy daemon reads several at once."""
        self._inbox.append(received)
        if len(self._inbox) > 1:
            return
        if self.chance.random() < 0.7:
            self._read()
        else:
            self.schedule(self.chance.uniform(0.001, 0.5), self._read)

    def _read(self) -> None:
        received, self._inbox = self._inbox, []
        self.agent.submit(*received)

    def _heard_by_node(self, link: Link, received: Received) -> None:
        # Each denial allows one prompt request more, as RFC 5944 wants it for 133.
        self.invariants.excused(self._links_of(link.host))
        link.host.submit(received)

    def _attack(self) -> None:
        self.wire.attack()
        self.schedule(self.chance.expovariate(1 / 30), self._attack)

    # ---- links

    def _links_of(self, host: Host) -> list[Link]:
        return [each for each in self.wire.links.values() if each.host is host]

    def _free_address(self) -> IPv4Address:
        while True:
            address = IPv4Address("10.50.0.2") + self.chance.randrange(40)
            if self.wire.holder(address) is None:
                return address

    def _tell_links(self, host: Host) -> None:
        """A daemon that has started looks at its interfaces."""
        for link in self._links_of(host):
            self.schedule(self.chance.choice((0.0, 0.001, 3.0, 6.0)), partial(_tell, link))

    def _leave_orphans(self, host: Host) -> None:
        if isinstance(host.engine, MobileNode):
            holders = host.engine._registration.exchange.holders
            self._leftovers[host.name] = self._leftovers.get(host.name, frozenset()) | holders
        longest_s = min(1800, self.scenario.agent.max_lifetime_s)
        self._orphans_until[host.name] = self.now + longest_s + 30.0

    def _move(self, link: Link, *, quietly: bool) -> None:
        """Give a link another address."""
        if link.address and not quietly:
            self._down(link)
        link.address = self._free_address()
        self.invariants.excused(self._links_of(link.host))
        _tell(link)

    def _down(self, link: Link) -> None:
        link.address = None
        self.invariants.excused(self._links_of(link.host))
        link.host.submit(InterfaceDown(link.name))

    # ---- storms

    def _storm(self) -> None:
        self.wire.weather = Weather.storm(self.chance)
        self.journal.tell(f"a storm: {self.wire.weather}")
        for host in (self.agent, *self.nodes.values()):
            host.trouble.share = self.chance.choice((0.0, 0.0, 0.02, 0.3))
        pace_s = self.chance.choice((0.2, 2.0, 20.0, 200.0))
        end = self.now + self.chance.choice((60.0, 600.0, 3600.0)) * self.chance.uniform(0.5, 1.5)
        while self.now < end:
            self._do_something()
            self.run_until(self.now + self.chance.expovariate(1 / pace_s))

    def _do_something(self) -> None:
        link = self.chance.choice(list(self.wire.links.values()))
        deeds: list[Callable[[Link], None]] = [self._operate] * 2
        deeds += [self._flap] * 3 + [self._silence] * 3
        deeds += [self._stop] * self._restarts + [self._set_clock] * self._steps
        self.chance.choice(deeds)(link)

    def _flap(self, link: Link) -> None:
        if link.address is None or self.chance.random() < 0.5:
            quietly = self.chance.random() < 0.5
            self.journal.tell(f"{link.name} gets another address")
            self._move(link, quietly=quietly)
        elif self.chance.random() < 0.5:
            self.journal.tell(f"{link.name} goes down")
            self._down(link)
        else:
            self.journal.tell(f"{link.name} goes down and comes back")
            address = link.address
            self._down(link)
            link.address = address
            self.schedule(self.chance.choice((0.0, 0.01, 0.5)), partial(_tell, link))

    def _silence(self, link: Link) -> None:
        link.silent_up = self.chance.random() < 0.3
        link.silent_down = self.chance.random() < 0.3
        self.journal.tell(f"{link.name}: silent up {link.silent_up}, down {link.silent_down}")

    def _operate(self, link: Link) -> None:
        host = link.host
        self.invariants.excused(self._links_of(host))
        name = self.chance.choice((link.name, link.name, None))
        match self.chance.randrange(6):
            case 0 | 1:
                host.submit(PolicyReplaced(policy(self.chance, len(self._links_of(host)))))
            case 2:
                host.submit(DeregisterRequested(name))
            case _:
                host.submit(RegisterRequested(name))

    def _stop(self, link: Link) -> None:
        """Stop a daemon now, or in the middle of what it does next; it is started again."""
        host = self.chance.choice((self.agent, link.host))
        match self.chance.randrange(3):
            case 0:
                self.journal.tell(f"{host.name} crashes")
                host.crash()
            case 1:
                self.journal.tell(f"{host.name} reboots")
                host.reboot()
            case _:
                host.trouble.fuse = self.chance.randrange(6)
                self.journal.tell(f"{host.name} is about to crash: {host.trouble.fuse}")
        self.schedule(self.chance.choice((0.01, 1.0, 10.0, 60.0)), lambda: self._revive(host))

    def _revive(self, host: Host) -> None:
        if host.engine is None:
            self.journal.tell(f"{host.name} starts")
            self.invariants.excused(self._links_of(host))
            host.start()

    def _set_clock(self, link: Link) -> None:
        host = self.chance.choice((self.agent, link.host))
        step_s = self.chance.choice(STEPS_S)
        self.journal.tell(f"the clock of {host.name} is set by {step_s} s")
        host.clock.ahead_s += step_s

    # ---- calms

    def _calm(self) -> None:
        self.journal.tell("a calm")
        self.calms += 1
        self.wire.weather = Weather()
        for host in (self.agent, *self.nodes.values()):
            host.trouble.share = 0.0
            host.trouble.fuse = None
            self._revive(host)
        for host in self.nodes.values():
            self._settle_links(self._links_of(host))
        self._wait_for_the_clock()
        began = self.now
        end = began + AGREED_WITHIN_S + self.chance.choice((0.0, 100.0, 1000.0))
        agreed: dict[str, float] = {}
        while self.now < end or len(agreed) < len(self.nodes):
            self.run_until(self.now + LOOK_S)
            for name, host in self.nodes.items():
                self._look(name, host, began, agreed)
        self.slowest_s = max(self.slowest_s, *(at - began for at in agreed.values()))

    def _settle_links(self, links: list[Link]) -> None:
        """Leave some links silent or down, but one that works."""
        for link in links:
            if self.chance.random() < 0.7:
                link.silent_up = link.silent_down = False
        lucky = self.chance.choice(links)
        lucky.silent_up = lucky.silent_down = False
        if lucky.address is None:
            self._move(lucky, quietly=True)

    def _wait_for_the_clock(self) -> None:
        """A home agent whose clock was set back takes no request until it is as late again."""
        engine = self.agent.engine
        assert isinstance(engine, HomeAgent)
        lasts = [each.identification for each in engine.records.values() if each.identification]
        ahead_s = max((distance_s(each, to_ntp(self.agent.now)) for each in lasts), default=0.0)
        if ahead_s > 0:
            self.run_until(self.now + 1.01 * ahead_s)

    def _look(self, name: str, host: Host, began: float, agreed: dict[str, float]) -> None:
        orphans = self.now < self._orphans_until.get(name, 0.0)
        leftovers = self._leftovers.get(name, frozenset())
        found = disagreement(
            self.agent, host, self._links_of(host), orphans=orphans, leftovers=leftovers
        )
        if not found:
            agreed.setdefault(name, self.now)
            return
        engine = host.engine
        assert isinstance(engine, MobileNode)
        patience_s = AGREED_WITHIN_S
        # Probes that the storm took may be missed only now.
        patience_s += engine.config.probe_interval_s * (engine.config.probe_dead_after + 1)
        if engine.config.multipath == "prefer":
            patience_s += PLAIN_FOR_S
        agreed.pop(name, None)
        if self.now - began > patience_s:
            raise ViolationError(f"{name}, quiet for {self.now - began:.0f} s: {found}")


def _tell(link: Link) -> None:
    if link.address is not None:
        link.host.submit(InterfaceUp(link.name, link.address))
