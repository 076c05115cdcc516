"""Network interfaces, watched through rtnetlink.

A link where nodes may be at home is up when it has carrier. An access interface of a mobile node
is usable when it has carrier, an address and a route by which the home agent is reached: DHCP
brings the last two one after the other, and a request sent in between would be lost. Every
notification has all of it read again, which is simpler than to follow each change and cannot drift
from what the kernel holds.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, NoReturn, Protocol

from msgspec import Struct
from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_LINK

from flowbind.events import InterfaceDown, InterfaceUp, LinkAddress, LinkDown, LinkUp

_log = logging.getLogger("flowbind")

_GROUPS: Final = RTMGRP_LINK | RTMGRP_IPV4_IFADDR
_AF_INET: Final = 2
_IFF_UP: Final = 0x1
_IFF_LOWER_UP: Final = 0x10000
_ETHERNET: Final = 1
_LOCAL_TABLE: Final = 255
_UNICAST: Final = 1
_GLOBAL_SCOPE: Final = 0
_BURST_S: Final = 0.005
"""Notifications come in bursts; one look after the burst is enough."""


class Link(Struct, frozen=True):
    """A network device; `ethernet` tells whether there is ARP, and so a home link.

    `carrier_changes` counts how often it came and went; `mtu` is in octets.
    """

    index: int
    name: str
    carrier: bool
    ethernet: bool = True
    carrier_changes: int = 0
    mtu: int = 0


class Address(Struct, frozen=True):
    """An IPv4 address of a device."""

    index: int
    address: IPv4Address
    prefix_length: int = 32


class Route(Struct, frozen=True):
    """A unicast route through a device. `source` is the address it prefers, if it says one."""

    index: int
    network: IPv4Network
    source: IPv4Address | None = None


class Snapshot(Struct, frozen=True):
    """What the kernel says of this host's links, addresses and routes."""

    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()


def care_of_addresses(
    snapshot: Snapshot,
    names: Iterable[str],
    home_agent: IPv4Address,
    home_address: IPv4Address | None,
) -> dict[str, IPv4Address]:
    """Return the care-of address of each of these interfaces that is usable."""
    wanted = frozenset(names)
    found: dict[str, IPv4Address] = {}
    for link in snapshot.links:
        if link.name not in wanted or not link.carrier:
            continue
        routes = [r for r in snapshot.routes if r.index == link.index and home_agent in r.network]
        own = [a.address for a in snapshot.addresses if a.index == link.index]
        own = [address for address in own if address != home_address]
        if routes and own:
            preferred = [route.source for route in routes if route.source]
            found[link.name] = next((each for each in preferred if each in own), own[0])
    return found


class HomeLink(Struct, frozen=True):
    """A link that nodes may be at home on, and the addresses of this host there."""

    link: Link
    addresses: tuple[LinkAddress, ...]


def home_links(
    snapshot: Snapshot, names: Iterable[str], home_address: IPv4Address | None = None
) -> dict[str, HomeLink]:
    """Return those of these interfaces that nodes may be at home on, with their addresses but for
    the home address, which comes and goes with the node.
    """
    wanted = frozenset(names)
    return {
        link.name: HomeLink(
            link,
            tuple(
                LinkAddress(each.address, each.prefix_length)
                for each in snapshot.addresses
                if each.index == link.index and each.address != home_address
            ),
        )
        for link in snapshot.links
        if link.name in wanted and link.carrier and link.ethernet
    }


class Identity(Protocol):
    """What of a mobile node its links depend on; both may change."""

    @property
    def home_agent(self) -> IPv4Address:
        """Where its requests go."""
        ...

    @property
    def home_address(self) -> IPv4Address | None:
        """Its own address, which is no care-of address."""
        ...


class AccessLinks:
    """Tells of every change to the usable interfaces among `names`."""

    def __init__(
        self,
        names: Iterable[str],
        identity: Identity,
        tell: Callable[[InterfaceUp | InterfaceDown], None],
    ) -> None:
        self._names = tuple(names)
        self._identity = identity
        self._tell = tell
        self._known: dict[str, IPv4Address] = {}

    def look(self, snapshot: Snapshot) -> None:
        """Tell what is different from the last look."""
        identity = self._identity
        usable = care_of_addresses(
            snapshot, self._names, identity.home_agent, identity.home_address
        )
        for name in self._names:
            before, after = self._known.get(name), usable.get(name)
            if after is None and before is not None:
                self._tell(InterfaceDown(name))
            elif after is not None and after != before:
                self._tell(InterfaceUp(name, after))
        self._known = usable


class HomeLinks:
    """Tells of every change to those of the links that nodes may be at home on."""

    def __init__(
        self,
        names: Iterable[str],
        tell: Callable[[LinkUp | LinkDown], None],
        home_address: IPv4Address | None = None,
    ) -> None:
        self._names = tuple(names)
        self._home_address = home_address
        self._tell = tell
        self._known: dict[str, HomeLink] = {}

    def look(self, snapshot: Snapshot) -> None:
        """Tell what is different from the last look, also of a link that was down in between."""
        found = home_links(snapshot, self._names, self._home_address)
        for name in self._names:
            before, after = self._known.get(name), found.get(name)
            if before is not None and (after is None or after.link != before.link):
                self._tell(LinkDown(name))
            if after is not None and after != before:
                self._tell(LinkUp(name, after.addresses))
        self._known = found


class Links:
    """Has others look at every change, in this order. A router may have very many routes, which are
    read only if somebody needs them.
    """

    def __init__(self, *looks: Callable[[Snapshot], None], routes: bool) -> None:
        self._looks = looks
        self._routes = routes

    async def watch(self) -> NoReturn:
        """Tell what is usable now, then of every change, until cancelled."""
        while True:
            try:
                await self._watch()
            except (NetlinkError, OSError) as error:
                # A burst that overran the socket's buffer: what was missed is read anew.
                _log.warning("rtnetlink: %s", error)
            await asyncio.sleep(_BURST_S)

    async def _watch(self) -> None:
        async with AsyncIPRoute() as monitor, AsyncIPRoute() as questions:
            changed = asyncio.Event()
            groups = _GROUPS | (RTMGRP_IPV4_ROUTE if self._routes else 0)
            listener = asyncio.create_task(_listen(monitor, groups, changed))
            await self._look(questions)
            try:
                while True:
                    await changed.wait()
                    await asyncio.sleep(_BURST_S)
                    changed.clear()
                    await self._look(questions)
                    if listener.done():
                        listener.result()
                        return
            finally:
                listener.cancel()

    async def _look(self, netlink: Any) -> None:  # noqa: ANN401 -- pyroute2 has no types
        snapshot = await read_snapshot(netlink, routes=self._routes)
        for look in self._looks:
            look(snapshot)


async def _listen(monitor: Any, groups: int, changed: asyncio.Event) -> None:  # noqa: ANN401
    try:
        await monitor.bind(groups=groups)
        changed.set()
        async for _message in monitor.get():
            changed.set()
    finally:
        changed.set()


async def read_snapshot(netlink: Any, *, routes: bool = True) -> Snapshot:  # noqa: ANN401
    """Read links, addresses and, if wanted, routes from the kernel."""
    links = [
        Link(
            message["index"],
            message.get_attr("IFLA_IFNAME"),
            _has_carrier(message["flags"]),
            message["ifi_type"] == _ETHERNET,
            message.get_attr("IFLA_CARRIER_CHANGES") or 0,
            message.get_attr("IFLA_MTU") or 0,
        )
        async for message in await netlink.get_links()
    ]
    addresses = [
        Address(message["index"], IPv4Address(message.get_attr("IFA_LOCAL")), message["prefixlen"])
        async for message in await netlink.get_addr(family=_AF_INET)
        if message["scope"] == _GLOBAL_SCOPE
    ]
    found: list[Route] = []
    if routes:
        async for message in await netlink.get_routes(family=_AF_INET):
            found += _routes(message)
    return Snapshot(tuple(links), tuple(addresses), tuple(found))


def _has_carrier(flags: int) -> bool:
    return bool(flags & _IFF_UP) and bool(flags & _IFF_LOWER_UP)


def _routes(message: Any) -> list[Route]:  # noqa: ANN401
    """One route for each device that it may take."""
    table = message.get_attr("RTA_TABLE") or message["table"]
    if message["type"] != _UNICAST or table == _LOCAL_TABLE:
        return []
    destination = message.get_attr("RTA_DST") or "0.0.0.0"  # noqa: S104 -- a prefix, not a bind
    network = IPv4Network(f"{destination}/{message['dst_len']}")
    source = message.get_attr("RTA_PREFSRC")
    hops: list[Any] = message.get_attr("RTA_MULTIPATH") or []
    devices: list[int | None] = [message.get_attr("RTA_OIF"), *(hop["oif"] for hop in hops)]
    preferred = IPv4Address(source) if source else None
    return [Route(device, network, preferred) for device in devices if device]
