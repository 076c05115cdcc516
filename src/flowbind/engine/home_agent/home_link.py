"""The link where nodes are at home: what the home agent says there (RFC 5944 2.3, 4.6).

That it answers ARP for nodes that are away, and for no others, is the data plane's part: it follows
from what is forwarded. A home agent without a home link does nothing of this.
"""

from collections import Counter
from ipaddress import IPv4Address

from flowbind.effects import AnnounceAddress, Effect, Log
from flowbind.engine.announcements import Announcements
from flowbind.engine.chance import Chance
from flowbind.engine.home_agent.advertising import Advertising
from flowbind.events import IcmpReceived, LinkAddress, LinkDown, LinkUp
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig
from flowbind.wire.agent_discovery import AgentSolicitation, Router, decode_discovery
from flowbind.wire.errors import WireError


class HomeLink:
    """Advertises the home agent, and announces where nodes are."""

    def __init__(self, config: HomeAgentConfig, chance: Chance, statistics: Counter[str]) -> None:
        self._config = config
        self._statistics = statistics
        self._announcements = Announcements()
        self._advertising = Advertising(config, chance)
        self._addresses: tuple[LinkAddress, ...] | None = None

    # ---- agent discovery

    def up(self, event: LinkUp, now: float) -> list[Effect]:
        """The link has come up, or its addresses have changed."""
        if event.name != self._config.home_link or event.addresses == self._addresses:
            return []
        self._addresses = event.addresses
        networks = self._config.home_networks
        at_home = [each for each in event.addresses if any(each.address in net for net in networks)]
        self._advertising.begin(
            tuple(Router(each.address, 0, each.prefix_length) for each in at_home), now
        )
        without = [net for net in networks if not any(each.address in net for each in at_home)]
        text = f"{event.name}: no address of this host in {{}}: nodes at home are not reached"
        return [Log("warning", text.format(net)) for net in without]

    def down(self, _event: LinkDown, _now: float) -> list[Effect]:
        """The link has gone down."""
        self._addresses = None
        self._advertising.end()
        return []

    def heard(self, event: IcmpReceived, now: float) -> list[Effect]:
        """Take in a solicitation. 2.3: it may come from any address at all."""
        try:
            message = decode_discovery(event.message)
        except WireError as error:
            self._statistics[f"discarded_{error.reason}"] += 1
            return []
        if isinstance(message, AgentSolicitation):
            self._statistics["solicited"] += 1
            self._advertising.solicited(now)
        else:
            self._statistics["discarded_not-a-solicitation"] += 1
        return []

    # ---- gratuitous ARP

    def granted(
        self, before: NodeRecord, after: NodeRecord, now: float, *, from_home: bool
    ) -> list[Effect]:
        """Tell the link of a node that has left it with its first binding, or has returned."""
        link, address = self._config.home_link, after.home_address
        if link is None:
            return []
        if from_home:
            return [self._announcements.begin(AnnounceAddress(address, link, neighbour=True), now)]
        if after.bindings and not before.bindings:
            return [self._announcements.begin(AnnounceAddress(address, link), now)]
        return []

    def forget(self, address: IPv4Address) -> None:
        """Announce a node no more: it is not, or not any more, where that was said to be."""
        self._announcements.end(address)

    # ---- time

    def deadline(self) -> float | None:
        """When something is to be said."""
        moments = (self._announcements.deadline(), self._advertising.next_at)
        return min((each for each in moments if each is not None), default=None)

    def due(self, now: float) -> list[Effect]:
        """Return what is to be said now."""
        return [*self._announcements.due(now), *self._advertising.due(now)]
