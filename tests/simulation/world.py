"""A home agent and its mobile nodes in simulated time, in storms and calms.

Everything that happens by chance is drawn from one seed, so it tells all of a run.
"""

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address

from flowbind.daemon.perform import Outlets
from flowbind.effects import AnnounceAddress, SendDatagram, SendIcmp, SendProbe
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import InterfaceDown, LinkAddress, LinkUp, Received
from flowbind.model.config import MobileNodeConfig
from tests.simulation.attacker import Attacker
from tests.simulation.calm import Calm
from tests.simulation.chance import Chances
from tests.simulation.hosts import Clock, Host
from tests.simulation.invariants import Invariants
from tests.simulation.journal import Journal
from tests.simulation.keys import End, Keys
from tests.simulation.nat import Nat
from tests.simulation.scenario import scenario
from tests.simulation.storm import Storm
from tests.simulation.traffic import Traffic
from tests.simulation.wire import Link, Wire, tell

HOUR_S = 3600.0
MOST_DRIFT = 1e-4
LINKS_TOLD_AFTER_S = (0.0, 0.001, 3.0, 6.0)


class World:
    """Everything there is. `without` names kinds of trouble that are not to happen."""

    def __init__(self, seed: int, without: frozenset[str] = frozenset()) -> None:
        self.chances = Chances(seed, without)
        self.scenario = scenario(self.chances.of("scenario"))
        self.journal = Journal()
        self.now = self.scenario.start
        self.keys = Keys(self.scenario, self.chances.of("keys"))
        # Of each node that has crashed: until when there may be bindings of which it does not know,
        # and the BIDs that may have brought rules.
        self.orphans_until: dict[str, float] = {}
        self.leftovers: dict[str, frozenset[int]] = {}
        self.gone: Host | None = None
        self.links_told_after_s: tuple[float, ...] = LINKS_TOLD_AFTER_S
        self._chance = self.chances.of("world")
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._inbox: list[Received] = []
        self._set_up()
        self.storm, self.calm = Storm(self), Calm(self)

    def _set_up(self) -> None:
        part = self.chances.of("advertising").random
        self.agent = self._host(
            "agent",
            lambda nonces: HomeAgent(self.keys.agent_config, nonces, part),
            self._agent_sends,
        )
        self.agent.started = self._tell_home_link
        self.traffic = Traffic(self.agent)
        self.agent.watcher = invariants = Invariants(self.traffic)
        self.wire = Wire(
            self.agent,
            self.chances.of("weather"),
            self.schedule,
            self._heard_by_agent,
            self._heard_by_node,
        )
        self.attacker = Attacker(
            self.chances.of("attacker"), self.journal, self._heard_by_agent, self.wire.arrive
        )
        self.wire.overheard = self.attacker.overhear
        self.nodes: dict[str, Host] = {}
        for number, config in enumerate(self.scenario.nodes):
            self._add_node(number, config)
        self.agent.start()
        for host in self.nodes.values():
            host.watcher = invariants
            host.start()
        if self.chances.allow("attacker"):
            self._attack()

    def _add_node(self, number: int, config: MobileNodeConfig) -> None:
        name = f"node{number}"
        host = self._host(
            name,
            lambda nonces: MobileNode(self.keys.node_config(number), nonces),
            lambda datagram: self._node_sends(host, datagram),
        )
        host.started = self._tell_links
        host.crashed = self._leave_orphans
        self.nodes[name] = host
        for each in config.interfaces:
            link = Link(host, each.name, each.bid, self._chance.uniform(0.002, 0.2))
            link.address = self.free_address()
            link.nat = self._nat(each.name)
            self.wire.links[each.name] = link

    def _nat(self, name: str) -> Nat | None:
        chance = self.chances.of(f"nat {name}")
        if not self.chances.allow("nat") or chance.random() < 0.7:
            return None
        return Nat(chance, lambda: self.now, chance.choice((30.0, 120.0, 1e6)))

    def _host(
        self,
        name: str,
        make: Callable[[Callable[[], int]], HomeAgent | MobileNode],
        send: Callable[[SendDatagram], None],
    ) -> Host:
        chance = self.chances.of(f"clock {name}")
        clock = Clock(lambda: self.now, chance.uniform(-MOST_DRIFT, MOST_DRIFT))
        clock.ahead_s = -clock.wall() + self.now
        if self.chances.allow("clocks"):
            clock.ahead_s += chance.choice((0.0, 0.0, -2.0, 5.0, 1e4))
        outlets = Outlets(send, lambda probe: self._probe(host, probe), self._says, self._announces)
        nonces = partial(self.chances.of(f"nonces {name}").getrandbits, 32)
        trouble = self.chances.of(f"effects {name}")
        host = Host(
            name, clock, self.journal, self.schedule, trouble, outlets, lambda: make(nonces)
        )
        return host

    # ---- time

    def schedule(self, delay_s: float, deed: Callable[[], None]) -> None:
        """Have something done later."""
        heapq.heappush(self._due, (self.now + delay_s, next(self._serial), deed))

    def run_until(self, moment: float) -> None:
        """Let time pass."""
        while self._due and self._due[0][0] <= moment:
            at, _serial, deed = heapq.heappop(self._due)
            self._set_time(max(self.now, at))
            deed()
        self._set_time(moment)

    def run(self, hours: float) -> None:
        """Live through storms and calms for so many hours."""
        end = self.now + hours * HOUR_S
        while self.now < end:
            self.storm.rage()
            self.calm.settle()

    def _set_time(self, moment: float) -> None:
        self.now = moment
        self.journal.at = moment - self.scenario.start

    # ---- what goes between the hosts

    def _agent_sends(self, datagram: SendDatagram) -> None:
        self.traffic.agent_sends(datagram)
        self.wire.from_agent(datagram)

    def _node_sends(self, host: Host, datagram: SendDatagram) -> None:
        self.traffic.node_sends(host, datagram, self.now)
        self.wire.from_node(datagram)

    def _probe(self, host: Host, probe: SendProbe) -> None:
        self.traffic.node_probes(host, probe, self.now)
        self.wire.probe(probe)

    def _says(self, icmp: SendIcmp) -> None:
        self.traffic.advertised(icmp, self.now)

    def _announces(self, announcement: AnnounceAddress) -> None:
        self.traffic.announced(announcement)

    def _heard_by_agent(self, received: Received) -> None:
        """Take in a datagram; a busy daemon reads several at once."""
        self._inbox.append(received)
        if len(self._inbox) > 1:
            return
        if self._chance.random() < 0.7:
            self._read()
        else:
            self.schedule(self._chance.uniform(0.001, 0.5), self._read)

    def _read(self) -> None:
        received, self._inbox = self._inbox, []
        self.agent.submit(*received)

    def _heard_by_node(self, link: Link, received: Received) -> None:
        # Each denial allows one prompt request more, as RFC 5944 wants it for 133.
        self.traffic.excused(self.links_of(link.host))
        link.host.submit(received)

    def _attack(self) -> None:
        self.attacker.strike()
        self.schedule(self._chance.expovariate(1 / 20), self._attack)

    # ---- links

    @property
    def links(self) -> list[Link]:
        """Every link of every node."""
        return list(self.wire.links.values())

    def links_of(self, host: Host) -> list[Link]:
        """The links of one node."""
        return [each for each in self.wire.links.values() if each.host is host]

    def free_address(self) -> IPv4Address:
        """Return an address that no link has."""
        while True:
            address = IPv4Address("10.50.0.2") + self._chance.randrange(40)
            if self.wire.holder(address) is None:
                return address

    def move(self, link: Link, *, quietly: bool) -> None:
        """Give a link another address."""
        if link.address and not quietly:
            self.take_down(link)
        link.address = self.free_address()
        self.traffic.excused(self.links_of(link.host))
        tell(link)

    def take_down(self, link: Link) -> None:
        """Take the address of a link away."""
        link.address = None
        self.traffic.excused(self.links_of(link.host))
        link.host.submit(InterfaceDown(link.name))

    def _tell_links(self, host: Host) -> None:
        """A daemon that has started looks at its interfaces."""
        for link in self.links_of(host):
            self.schedule(self._chance.choice(self.links_told_after_s), partial(tell, link))

    def _tell_home_link(self, host: Host) -> None:
        """A home agent that has started looks at its home link."""
        link, network = self.scenario.agent.home_link, self.scenario.agent.home_networks[0]
        if link is not None:
            address = LinkAddress(network[1], network.prefixlen)
            self.schedule(0.01, lambda: host.submit(LinkUp(link, (address,))))

    # ---- daemons

    def revive(self, host: Host) -> None:
        """Start a daemon that is down, unless it is to stay so."""
        if host.engine is None and host is not self.gone:
            self.journal.tell(f"{host.name} starts")
            self.traffic.excused(self.links_of(host))
            host.start()

    def change_key(self, host: Host) -> bool:
        """Take the next step in changing the key of a node; tells whether there was any."""
        end = self.keys.step(self.number_of(host))
        if end is None:
            return False
        changed = self.agent if end is End.AGENT else host
        self.journal.tell(f"{changed.name} is started with other keys of {host.name}")
        changed.crash()
        self.revive(changed)
        return True

    def number_of(self, host: Host) -> int:
        """The number of a node in the scenario."""
        return list(self.nodes).index(host.name)

    def _leave_orphans(self, host: Host) -> None:
        if isinstance(host.engine, MobileNode):
            holders = host.engine._registration.exchange.holders
            self.leftovers[host.name] = self.leftovers.get(host.name, frozenset()) | holders
        longest_s = min(1800, self.scenario.agent.max_lifetime_s)
        self.orphans_until[host.name] = self.now + longest_s + 30.0
