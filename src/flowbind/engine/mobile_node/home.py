"""At home and away (RFC 5944 2.4, 3.1, 4.6): what a mobile node makes of Agent Advertisements.

Nothing of an advertisement is authentic. One of our home agent's has the node try to deregister on
that link, no more: its tunnels stay until the home agent has accepted that, and without an answer
the try ends. Those of other agents are passed over, since care-of addresses are co-located.
"""

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from msgspec import structs

from flowbind.effects import AnnounceAddress, Effect, Log, SendIcmp
from flowbind.engine.announcements import Announcements
from flowbind.engine.chance import Chance
from flowbind.engine.mobile_node.identity import UNKNOWN
from flowbind.engine.mobile_node.registration import Registration
from flowbind.engine.mobile_node.state import Aim, Interface, State
from flowbind.events import IcmpReceived, LinkDown, LinkUp
from flowbind.model.config import HomeDetection, MobileNodeConfig
from flowbind.model.home_link import HomeLink
from flowbind.wire.agent_discovery import (
    NEVER_A_DEFAULT,
    AgentAdvertisement,
    AgentSolicitation,
    Router,
    decode_discovery,
)
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ALL_ROUTERS, AgentFlag

MAX_SOLICITATION_DELAY_S: Final = 1.0
INITIAL_SOLICITATIONS: Final = 3
SOLICITATION_INTERVAL_S: Final = 1.0
LONGEST_SOLICITATION_INTERVAL_S: Final = 64.0
"""2.4: at least one minute."""
TRIES: Final = 5
"""How often the home agent is asked before an advertisement is not believed."""
DISBELIEF_S: Final = 60.0
"""How long the advertisements on a link are not believed then."""
RESTORED_S: Final = 10.0
"""How long a node that was at home in a former run waits to hear its home agent again."""
RESTORED_LINK_S: Final = 5.0
"""How long it waits for the link."""
VERIFIED_S: Final = 5.0
"""How long it waits where the interface has been given an address of another network."""

_NEVER: Final = float("-inf")
_SPREAD: Final = 0.25
_UNSPECIFIED: Final = IPv4Address(0)


@dataclass(slots=True)
class Watch:
    """What is known of the agents on the link of an interface.

    `agent_until` is how long our home agent's last advertisement holds, `others_until` any other
    agent's. `solicit_at` is None as long as there is nothing to ask. `believe_after` follows from a
    try to deregister that came to nothing.
    """

    interface: Interface
    up: bool = False
    up_until: float = _NEVER
    solicit_at: float | None = None
    solicited_at: float = _NEVER
    solicitations: int = 0
    agent_until: float = _NEVER
    others_until: float = _NEVER
    router: IPv4Address | None = None
    believe_after: float = _NEVER
    address: IPv4Address | None = None

    @property
    def is_home(self) -> bool:
        """Whether our home agent is heard here."""
        return (self.up or self.up_until > _NEVER) and self.agent_until > _NEVER

    def expire(self, now: float) -> None:
        """Forget what holds no longer."""
        self.up_until = _unexpired(self.up_until, now)
        self.agent_until = _unexpired(self.agent_until, now)
        self.believe_after = _unexpired(self.believe_after, now)

    def search(self, now: float, delay_s: float) -> None:
        """Ask for agents from now on, as fast as is allowed."""
        self.solicitations = 0
        self.solicit_at = max(now + delay_s, self.solicited_at + SOLICITATION_INTERVAL_S)


def _unexpired(moment: float, now: float) -> float:
    return moment if moment > now else _NEVER


class Home:
    """Finds out whether the node is at home, and has it leave and return. `link` is what the data
    plane is to be attached to.
    """

    def __init__(
        self,
        config: MobileNodeConfig,
        registration: Registration,
        statistics: Counter[str],
        chance: Chance,
    ) -> None:
        self._config = config
        self._registration = registration
        self._statistics = statistics
        self._chance = chance
        self._announcements = Announcements()
        self.link: HomeLink | None = None
        self._watches: dict[str, Watch] = {}
        if config.home_network is not None:
            self._watches = {
                each.name: Watch(each)
                for each in registration.interfaces.values()
                if each.config.home is HomeDetection.AUTO
            }

    @property
    def _home_address(self) -> IPv4Address:
        return self._registration.identity.home_address or UNKNOWN

    # ---- what is heard

    def on_link_up(self, event: LinkUp, now: float) -> list[Effect]:
        """2.4: search for agents on a link that has come up."""
        watch = self._watches.get(event.name)
        if watch and not watch.up:
            watch.up = True
            watch.believe_after = _NEVER
            watch.search(now, self._chance() * MAX_SOLICITATION_DELAY_S)
        return []

    def on_link_down(self, event: LinkDown, _now: float) -> list[Effect]:
        """Nobody is heard any more."""
        watch = self._watches.get(event.name)
        if watch:
            watch.up = False
            watch.up_until = watch.agent_until = watch.others_until = _NEVER
            watch.solicit_at = None
        return []

    def on_icmp(self, event: IcmpReceived, now: float) -> list[Effect]:
        """Take in an advertisement."""
        watch = self._watches.get(event.interface)
        try:
            message = decode_discovery(event.message)
        except WireError as error:
            self._statistics[f"discarded_{error.reason}"] += 1
            return []
        if watch is None or isinstance(message, AgentSolicitation):
            self._statistics["discarded_not-an-advertisement"] += 1
        elif self._is_home_agent(message, event.source):
            self._statistics["advertised_home"] += 1
            # The later one, so that nobody ends it who forges a short one.
            watch.agent_until = max(watch.agent_until, now + message.lifetime_s)
            watch.router = self._router_of(message)
            watch.solicit_at = None
        else:
            self._statistics["advertised_others"] += 1
            watch.others_until = max(watch.others_until, now + message.lifetime_s)
        return []

    def _is_home_agent(self, message: AgentAdvertisement, source: IPv4Address) -> bool:
        known = source, *[each.address for each in message.routers]
        return (
            AgentFlag.HOME_AGENT in message.flags
            and self._registration.identity.home_agent in known
        )

    def _router_of(self, message: AgentAdvertisement) -> IPv4Address | None:
        """RFC 1256 5.1: the most preferable router on our own network."""
        network = self._config.home_network
        able = [
            each
            for each in message.routers
            if network and each.address in network and each.preference != NEVER_A_DEFAULT
        ]
        best: Router | None = max(able, key=lambda each: each.preference, default=None)
        return best.address if best else None

    def restore(self, link: HomeLink, now: float) -> None:
        """Be at home as in a former run, until the link or the home agent is missed."""
        watch = self._watches.get(link.interface)
        if watch is None or link.network != self._config.home_network:
            return
        self._registration.at_home = watch.interface
        self.link = link
        watch.router = link.router
        watch.up_until = now + RESTORED_LINK_S
        watch.agent_until = now + RESTORED_S

    # ---- what follows

    def deadline(self) -> float | None:
        """When something is to be done."""
        moments = [self._announcements.deadline()]
        for watch in self._watches.values():
            moments += [watch.solicit_at, watch.agent_until, watch.up_until, watch.believe_after]
        return min((each for each in moments if each is not None and each > _NEVER), default=None)

    @property
    def settled(self) -> HomeLink | None:
        """The home link, as long as the node is at home there."""
        return self.link if self.link and self.link.settled else None

    def step(self, now: float) -> list[Effect]:
        """Do what the moment asks for. What is announced is to be said before any request."""
        effects: list[Effect] = []
        for watch in self._watches.values():
            watch.expire(now)
            effects += self._solicit(watch, now)
        effects += self._announcements.due(now)
        return [*effects, *self._judge(now)]

    def _judge(self, now: float) -> list[Effect]:
        if self.link is None:
            found = [
                each
                for each in self._watches.values()
                if each.is_home and each.believe_after == _NEVER
            ]
            return self._return(found[0], now) if found else []
        watch = self._watches[self.link.interface]
        if not watch.is_home:
            return self._leave(watch, now)
        if self._registration.at_home is not None:
            return self._stay(watch, now)
        return self._insist(watch, now)

    def _return(self, watch: Watch, now: float) -> list[Effect]:
        """2.4.3, 4.6: answer ARP again, tell the link, then deregister, in this order."""
        network = self._config.home_network
        assert network is not None  # noqa: S101 -- without it no link is watched
        name = watch.interface.name
        self.link = HomeLink(name, network, watch.router)
        self._registration.want(Aim.RETURN_HOME, watch.interface, now)
        announcement = AnnounceAddress(self._home_address, name)
        return [
            self._announcements.begin(announcement, now),
            Log("info", f"{name}: the home agent is on this link, deregistering"),
        ]

    def _insist(self, watch: Watch, now: float) -> list[Effect]:
        """The home agent has not agreed yet."""
        intent = self._registration.want(Aim.RETURN_HOME, watch.interface, now)
        if intent.tries < TRIES or now < intent.not_before:
            return []
        watch.believe_after = now + DISBELIEF_S
        self._statistics["home_not_confirmed"] += 1
        self._detach()
        text = f"{watch.interface.name}: the home agent accepts no return, staying away"
        return [Log("warning", text)]

    def _stay(self, watch: Watch, now: float) -> list[Effect]:
        """At home nothing is registered, and nothing else is wanted of the home agent."""
        assert self.link is not None  # noqa: S101 -- at home on it
        arrived = not self.link.settled
        self.link = structs.replace(self.link, router=watch.router, settled=True)
        for each in self._registration.interfaces.values():
            each.state = State.HOME if each is watch.interface else State.DOWN
        self._verify(watch, now)
        if not arrived:
            return []
        self._registration.intents.keep(lambda _each: False)
        return [Log("info", f"{watch.interface.name}: at home")]

    def _verify(self, watch: Watch, now: float) -> None:
        """Ask again where DHCP has given an address of another network: the node may have moved."""
        before, watch.address = watch.address, watch.interface.address
        network = self._config.home_network
        if watch.address in {None, before} or network is None or watch.address in network:
            return
        watch.agent_until = min(watch.agent_until, now + VERIFIED_S)
        watch.search(now, 0.0)

    def _leave(self, watch: Watch, now: float) -> list[Effect]:
        """4.6: answer ARP no more; what is registered then comes after that."""
        was_home = self._registration.at_home is not None
        self._detach()
        if watch.up:
            watch.search(now, self._chance() * MAX_SOLICITATION_DELAY_S)
        if not was_home:
            return []
        watch.interface.state = State.DOWN
        return [Log("warning", f"{watch.interface.name}: away from home")]

    def _detach(self) -> None:
        self.link = None
        self._registration.at_home = None
        self._registration.intents.keep(lambda each: each.aim is not Aim.RETURN_HOME)
        self._announcements.end(self._home_address)

    # ---- solicitations (2.4, RFC 1256 5.3)

    def _solicit(self, watch: Watch, now: float) -> list[Effect]:
        if watch.up and watch.solicit_at is None and watch.agent_until == _NEVER:
            watch.search(now, self._chance() * MAX_SOLICITATION_DELAY_S)
        if watch.solicit_at is None or now < watch.solicit_at:
            return []
        initial = watch.solicitations < INITIAL_SOLICITATIONS
        watch.solicit_at = now + self._interval_s(watch)
        # Later only where no agent is heard, and where there is no care-of address by other means.
        if not initial and (now < watch.others_until or watch.interface.address is not None):
            return []
        watch.solicitations += 1
        watch.solicited_at = now
        self._statistics["solicitations"] += 1
        source = watch.interface.address or _UNSPECIFIED
        message = AgentSolicitation().encode()
        return [SendIcmp(message, source, ALL_ROUTERS, watch.interface.name)]

    def _interval_s(self, watch: Watch) -> float:
        doubled = max(0, watch.solicitations + 2 - INITIAL_SOLICITATIONS)
        nominal_s = SOLICITATION_INTERVAL_S * (1 << min(doubled, 16))
        nominal_s = min(nominal_s, LONGEST_SOLICITATION_INTERVAL_S)
        return nominal_s * (1.0 + _SPREAD * self._chance())
