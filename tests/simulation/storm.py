"""A storm: every fault there is, with a restless operator; now and then a long outage behind it."""

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from flowbind.engine.mobile_node import MobileNode
from flowbind.events import (
    DeregisterRequested,
    IcmpReceived,
    LinkAddress,
    LinkDown,
    LinkUp,
    PolicyReplaced,
    RegisterRequested,
    RevokeRequested,
)
from flowbind.wire.agent_discovery import AgentSolicitation
from tests.simulation.hosts import Host
from tests.simulation.scenario import policy
from tests.simulation.wire import Link, Weather, tell

if TYPE_CHECKING:
    from tests.simulation.world import World

STEPS_S = (-600.0, -60.0, -8.0, -1.0, 0.5, 3.0, 10.0, 100.0, 3600.0)
FAR_STEPS_S = (-31_536_000.0, -86_400.0, 86_400.0, 31_536_000.0)
MOST_AHEAD_S = 70_000_000.0
OUTAGE_S = (1800.0, 7200.0)
UNSPECIFIED = IPv4Address(0)
NOTICED_AFTER_S = 120.0
"""How long after the home agent has gone a node has settled down to asking seldom."""


class Storm:
    """What happens to a world in bad times."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._chance = world.chances.of("storm")
        self._operator = world.chances.of("operator")
        self._deeds = self._drawn_deeds()

    def _drawn_deeds(self) -> list[Callable[[Link], None]]:
        """Draw what may happen in this world at all."""
        kinds: dict[str, tuple[Callable[[Link], None], int, float]] = {
            "operator": (self._operate, 2, 1.0),
            "flaps": (self._flap, 3, 1.0),
            "silence": (self._silence, 3, 1.0),
            "crashes": (self._stop, 1, 0.7),
            "clocks": (self._set_clock, 1, 0.5),
            "keys": (self._change_key, 1, 0.5),
            "nat": (self._rebind, 1, 1.0),
            "revocation": (self._revoke, 1, 0.5),
            "home-link": (self._shake_home_link, 1, 0.5),
        }
        deeds: list[Callable[[Link], None]] = []
        for kind, (deed, weight, share) in kinds.items():
            if self._chance.random() < share and self._world.chances.allow(kind):
                deeds += [deed] * weight
        return deeds

    def rage(self) -> None:
        """Let a storm pass, and sometimes an outage."""
        world, chance = self._world, self._chance
        weather = Weather.storm(chance)
        if world.chances.allow("weather"):
            world.wire.weather = weather
        world.journal.tell(f"a storm: {world.wire.weather}")
        for host in (world.agent, *world.nodes.values()):
            share = chance.choice((0.0, 0.0, 0.02, 0.3, 1.0))
            if world.chances.allow("effects"):
                host.trouble.share = share
        pace_s = chance.choice((0.2, 2.0, 20.0, 200.0))
        end = world.now + chance.choice((60.0, 600.0, 3600.0)) * chance.uniform(0.5, 1.5)
        while world.now < end:
            if self._deeds:
                chance.choice(self._deeds)(chance.choice(world.links))
            world.run_until(world.now + chance.expovariate(1 / pace_s))
        if chance.random() < 0.15 and world.chances.allow("outages"):
            self._long_outage()

    # ---- links

    def _flap(self, link: Link) -> None:
        world, chance = self._world, self._chance
        if link.address is None or chance.random() < 0.5:
            quietly = chance.random() < 0.5
            world.journal.tell(f"{link.name} gets another address")
            world.move(link, quietly=quietly)
        elif chance.random() < 0.5:
            world.journal.tell(f"{link.name} goes down")
            world.take_down(link)
        else:
            world.journal.tell(f"{link.name} goes down and comes back")
            address = link.address
            world.take_down(link)
            link.address = address
            world.schedule(chance.choice((0.0, 0.01, 0.5)), partial(tell, link))

    def _silence(self, link: Link) -> None:
        link.silent_up = self._chance.random() < 0.3
        link.silent_down = self._chance.random() < 0.3
        self._world.journal.tell(
            f"{link.name}: silent up {link.silent_up}, down {link.silent_down}"
        )

    def _rebind(self, link: Link) -> None:
        if link.nat:
            link.nat.rebind()
            self._world.journal.tell(f"{link.name} is {link.nat.address}:{link.nat.port} now")

    # ---- daemons

    def _operate(self, link: Link) -> None:
        world, chance, host = self._world, self._operator, link.host
        world.traffic.excused(world.links_of(host))
        name = chance.choice((link.name, link.name, None))
        match chance.randrange(6):
            case 0 | 1:
                host.submit(PolicyReplaced(policy(chance, len(world.links_of(host)))))
            case 2:
                host.submit(DeregisterRequested(name))
            case _:
                host.submit(RegisterRequested(name))

    def _revoke(self, link: Link) -> None:
        """Have the home agent end a binding of a node, or all."""
        engine = link.host.engine
        if not isinstance(engine, MobileNode) or engine.identity.home_address is None:
            return
        self._world.traffic.excused(self._world.links_of(link.host))
        bid, address = self._operator.choice(((None, None), (link.bid, None), (None, link.address)))
        event = RevokeRequested(engine.identity.home_address, bid, address)
        self._world.agent.submit(event)

    def _shake_home_link(self, _link: Link) -> None:
        """Take the home link down, or have it come up, or ask on it who is there."""
        agent, config = self._world.agent, self._world.scenario.agent
        if config.home_link is None:
            return
        address = LinkAddress(config.home_networks[0][1], config.home_networks[0].prefixlen)
        solicitation = IcmpReceived(AgentSolicitation().encode(), UNSPECIFIED, config.home_link)
        agent.submit(
            self._chance.choice(
                (
                    LinkUp(config.home_link, (address,)),
                    LinkUp(config.home_link),
                    LinkDown(config.home_link),
                    solicitation,
                )
            )
        )

    def _stop(self, link: Link) -> None:
        """Stop a daemon now, or in the middle of what it does next; it is started again."""
        world, chance = self._world, self._chance
        host = self._either(link)
        match chance.randrange(3):
            case 0:
                world.journal.tell(f"{host.name} crashes")
                host.crash()
            case 1:
                world.journal.tell(f"{host.name} reboots")
                host.reboot()
            case _:
                host.trouble.fuse = chance.randrange(6)
                world.journal.tell(f"{host.name} is about to crash: {host.trouble.fuse}")
        world.schedule(chance.choice((0.01, 1.0, 10.0, 60.0)), partial(world.revive, host))

    def _set_clock(self, link: Link) -> None:
        """Set a clock, seldom by a day or a year, so that it is not off by more than two."""
        world, chance = self._world, self._chance
        host = self._either(link)
        step_s = chance.choice(FAR_STEPS_S if chance.random() < 0.15 else STEPS_S)
        if abs(host.clock.wall() + step_s - world.now) > MOST_AHEAD_S:
            step_s = world.now - host.clock.wall()
        world.journal.tell(f"the clock of {host.name} is set by {step_s} s")
        host.clock.ahead_s += step_s
        world.traffic.excused(world.links_of(host))

    def _change_key(self, link: Link) -> None:
        world = self._world
        world.keys.begin(world.number_of(link.host), in_order=self._chance.random() < 0.6)
        world.change_key(link.host)

    def _either(self, link: Link) -> Host:
        return self._chance.choice((self._world.agent, link.host))

    # ---- long outages

    def _long_outage(self) -> None:
        """Have nothing wrong for hours but that the home agent is gone, or all links of a node."""
        world, chance = self._world, self._chance
        world.wire.weather = Weather()
        for each in (world.agent, *world.nodes.values()):
            each.trouble.share, each.trouble.fuse = 0.0, None
        for_s = chance.uniform(*OUTAGE_S)
        if chance.random() < 0.5:
            world.journal.tell(f"the home agent is gone for {for_s:.0f} s")
            world.agent.crash()
            world.gone = world.agent
            world.run_until(world.now + NOTICED_AFTER_S)
            world.traffic.agent_gone = True
            world.run_until(world.now + for_s)
            world.traffic.agent_gone = False
            world.gone = None
            world.revive(world.agent)
            return
        host = chance.choice(list(world.nodes.values()))
        world.journal.tell(f"{host.name} has no network for {for_s:.0f} s")
        for link in world.links_of(host):
            world.take_down(link)
        world.run_until(world.now + for_s)
        for link in world.links_of(host):
            world.move(link, quietly=True)
