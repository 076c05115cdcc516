"""A mobile node on its home link: an ordinary host there (RFC 5944 4.2.1).

Its home address is also on the interface then, so that the kernel answers ARP for it, and routes of
ours lead there. They are told from all others by their protocol number, and come in halves, which
are more specific than what DHCP or an operator may have set. The tunnel device and what leads to it
stay as they are, behind.

Before the home agent has agreed nothing is led here but what is sent from a socket that is bound to
the interface, the deregistration: a default route behind the one into the tunnel.
"""

from collections.abc import Iterator
from errno import EEXIST
from ipaddress import IPv4Address, IPv4Network
from socket import AF_INET
from typing import Any, Final

from msgspec import Struct
from pyroute2.netlink.exceptions import NetlinkError

from flowbind.dataplane import netlink as kernel
from flowbind.dataplane.netlink import PROTOCOL, TABLE, with_netlink
from flowbind.model.home_link import HomeLink

_MAIN_TABLE: Final = 254
_SCOPE_LINK: Final = 253
_BEHIND_THE_TUNNEL: Final = 2
_NO_PREFIX_ROUTE: Final = 0x200
_ON_LINK: Final = 4
_LABEL: Final = ":434"
"""How the label ends of an address that we have set."""
_LONGEST_LABEL: Final = 15
_EVERYWHERE: Final = IPv4Network("0.0.0.0/0")


class Node(Struct, frozen=True):
    """Who is at home; `default_route`: all that it sends goes over the home link then."""

    home_address: IPv4Address
    home_agent: IPv4Address
    default_route: bool


class _Route(Struct, frozen=True):
    index: int
    network: IPv4Network
    table: int
    gateway: IPv4Address | None = None
    metric: int = 0


def attach(node: Node, link: HomeLink | None) -> None:
    """Make the host attached to this home link exactly as said, to none with None.

    Raises DataPlaneError.
    """
    index = kernel.index_of(link.interface) if link else 0
    if link:
        kernel.loosen_reverse_path_filter(link.interface)
        kernel.hide_home_address(link.interface)
    wanted = frozenset(_routes(node, link, index)) if link else frozenset[_Route]()

    def work(netlink: Any) -> None:  # noqa: ANN401 -- pyroute2 has no types
        if link:
            _add_address(netlink, node.home_address, link, index)
        held = frozenset(_held_routes(netlink))
        for route in held - wanted:
            netlink.route("del", **_arguments(route, node))
        for route in wanted - held:
            netlink.route("add", **_arguments(route, node))
        _remove_addresses(netlink, keep=index)

    with_netlink(link.interface if link else "home link", work)


def attachment(node: Node) -> HomeLink | None:
    """Read back what the host is attached to. Raises DataPlaneError."""

    def work(netlink: Any) -> HomeLink | None:  # noqa: ANN401
        routes = list(_held_routes(netlink))
        for index, length in _held_addresses(netlink):
            if not routes:
                return None
            settled = all(route.metric == 0 for route in routes)
            router = next((route.gateway for route in routes if route.gateway), None)
            network = IPv4Network((node.home_address, length), strict=False)
            (name,) = [each.get_attr("IFLA_IFNAME") for each in netlink.get_links(index)]
            return HomeLink(name, network, router, settled)
        return None

    return with_netlink("home link", work)


def _routes(node: Node, link: HomeLink, index: int) -> Iterator[_Route]:
    far_agent = node.home_agent not in link.network
    if not link.settled:
        gateway = link.router if far_agent else None
        yield _Route(index, _EVERYWHERE, TABLE, gateway, _BEHIND_THE_TUNNEL)
        return
    for table in (TABLE, _MAIN_TABLE):
        for half in _halves(link.network):
            yield _Route(index, half, table)
        if link.router and (node.default_route or table == TABLE):
            for half in _halves(_EVERYWHERE):
                yield _Route(index, half, table, link.router)
    if far_agent and not link.router:
        yield _Route(index, IPv4Network(node.home_agent), TABLE)


def _halves(network: IPv4Network) -> Iterator[IPv4Network]:
    return network.subnets() if network.prefixlen < network.max_prefixlen else iter((network,))


def _arguments(route: _Route, node: Node) -> dict[str, Any]:
    through: dict[str, Any] = {"scope": _SCOPE_LINK}
    if route.gateway:
        through = {"gateway": str(route.gateway), "flags": _ON_LINK}
    return {
        "dst": str(route.network),
        "oif": route.index,
        "table": route.table,
        "priority": route.metric,
        "proto": PROTOCOL,
        "prefsrc": str(node.home_address),
        **through,
    }


def _held_routes(netlink: Any) -> Iterator[_Route]:  # noqa: ANN401
    for each in netlink.get_routes(family=AF_INET):
        if each["proto"] == PROTOCOL:
            gateway = each.get_attr("RTA_GATEWAY")
            yield _Route(
                each.get_attr("RTA_OIF"),
                IPv4Network((each.get_attr("RTA_DST") or 0, each["dst_len"])),
                each.get_attr("RTA_TABLE"),
                IPv4Address(gateway) if gateway else None,
                each.get_attr("RTA_PRIORITY") or 0,
            )


def _add_address(
    netlink: Any,  # noqa: ANN401
    home_address: IPv4Address,
    link: HomeLink,
    index: int,
) -> None:
    label = link.interface[: _LONGEST_LABEL - len(_LABEL)] + _LABEL
    if (index, link.network.prefixlen) in _held_addresses(netlink):
        return
    try:
        netlink.addr(
            "add",
            index=index,
            address=str(home_address),
            prefixlen=link.network.prefixlen,
            broadcast=str(link.network.broadcast_address),
            label=label,
            flags=_NO_PREFIX_ROUTE,
        )
    except NetlinkError as error:
        # DHCP may have given the node its home address, where it is at home.
        if error.code != EEXIST:
            raise


def _held_addresses(netlink: Any) -> list[tuple[int, int]]:  # noqa: ANN401
    """Index and prefix length of each address that we have set."""
    return [
        (each["index"], each["prefixlen"])
        for each in netlink.get_addr(family=AF_INET)
        if (each.get_attr("IFA_LABEL") or "").endswith(_LABEL)
    ]


def _remove_addresses(netlink: Any, keep: int) -> None:  # noqa: ANN401
    for each in list(netlink.get_addr(family=AF_INET)):
        if (each.get_attr("IFA_LABEL") or "").endswith(_LABEL) and each["index"] != keep:
            netlink.addr(
                "del",
                index=each["index"],
                address=each.get_attr("IFA_LOCAL"),
                prefixlen=each["prefixlen"],
            )
