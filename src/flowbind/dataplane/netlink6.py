"""IPv6 on the device: its addresses, routes and rules (RFC 5454, RFC 4213). All can be done twice.

Where nothing is asked for, the device has no IPv6 at all.
"""

import socket
from errno import EEXIST, ESRCH
from ipaddress import IPv6Address, IPv6Network, ip_network
from typing import Any, Final

from msgspec import Struct, structs
from pyroute2.netlink.exceptions import NetlinkError

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.netlink import with_netlink
from flowbind.dataplane.sysctl import read_sysctl, write_sysctl

TUNNEL_MTU: Final = 1280
"""Octets: the static MTU of a tunnel for IPv6, which is also the least that IPv6 can do with (RFC
4213 3.2.1)."""

_EVERYWHERE: Final = IPv6Network("::/0")
_MAIN_TABLE: Final = 254
_LOCAL_TABLE: Final = 255
_DEFAULT_METRIC: Final = 1
_LAST_METRIC: Final = 0xFFFFFFFE
_UNREACHABLE: Final = 7
_NO_DAD: Final = 0x02
_WHOLE: Final = 128
_QUIET: Final = {"accept_ra": "0", "router_solicitations": "0", "autoconf": "0"}
"""There are no routers on the device."""


class Wanted(Struct, frozen=True):
    """What leads to the device. With `table` the prefixes are our own, and what comes from them is
    looked up there.
    """

    prefixes: tuple[IPv6Network, ...] = ()
    table: int = 0
    priority: int = 0
    default_route: bool = False
    protocol: int = 0


class _Route(Struct, frozen=True):
    network: IPv6Network
    table: int = _MAIN_TABLE
    metric: int = 0


def own_address(prefix: IPv6Network) -> IPv6Address:
    """Return the address that a node has in a prefix of its own: the first behind the anycast one
    of its routers (RFC 4291 2.6.1).
    """
    return prefix.network_address + (prefix.prefixlen < _WHOLE)


def forwards_packets() -> bool:
    """Tell whether this host forwards IPv6 at all."""
    return read_sysctl("net/ipv6/conf/all/forwarding") == "1"


class Ipv6:
    """IPv6 on the device of this name and index. Every method raises DataPlaneError."""

    def __init__(self, name: str, index: int, wanted: Wanted) -> None:
        self._name = name
        self._index = index
        self._wanted = wanted
        self._mtu: int | None = None

    def configure(self, mtu: int) -> list[str]:
        """Make it exactly as wanted, whatever it was, on a device that is up and takes packets of
        this size. Returns warnings.

        The kernel takes all IPv6 away from a device that becomes too narrow for it, and forgets the
        MTU of the tunnel with each change of the device's.
        """
        if mtu == self._mtu:
            return []
        self._mtu = mtu
        prefixes = self._wanted.prefixes if mtu >= TUNNEL_MTU else ()
        wanted = structs.replace(self._wanted, prefixes=prefixes)
        if _has_ipv6():
            with_netlink(self._name, lambda netlink: self._configure(netlink, wanted))
        elif prefixes:
            raise DataPlaneError(f"{self._name}: this host has no IPv6, and there are prefixes")
        if self._wanted.prefixes and not prefixes:
            return [f"{self._name} takes {mtu} octets, and IPv6 needs {TUNNEL_MTU}: no IPv6"]
        if prefixes and not wanted.table and not forwards_packets():
            return ["net.ipv6.conf.all.forwarding is 0: this host forwards no IPv6"]
        return []

    def _configure(self, netlink: Any, wanted: Wanted) -> None:  # noqa: ANN401
        own = set(wanted.prefixes if wanted.table else ())
        if wanted.prefixes:
            for key, value in _QUIET.items():
                write_sysctl(f"net/ipv6/conf/{self._name}/{key}", value)
            write_sysctl(f"net/ipv6/conf/{self._name}/disable_ipv6", "0")
            write_sysctl(f"net/ipv6/conf/{self._name}/mtu", str(TUNNEL_MTU))
            _set_addresses(netlink, self._index, {own_address(each) for each in own})
            _set_routes(netlink, self._name, self._index, _routes(wanted))
        else:
            # Its addresses and routes go with it.
            write_sysctl(f"net/ipv6/conf/{self._name}/disable_ipv6", "1")
        _set_rules(netlink, wanted, own)
        _set_unreachable(netlink, wanted, own)


def remove(name: str, wanted: Wanted) -> None:
    """Remove what does not go with the device of this name. Raises DataPlaneError."""

    def work(netlink: Any) -> None:  # noqa: ANN401
        _set_rules(netlink, wanted, set())
        _set_unreachable(netlink, wanted, set())

    if wanted.table and _has_ipv6():
        with_netlink(name, work)


def _has_ipv6() -> bool:
    return bool(read_sysctl("net/ipv6/conf/all/disable_ipv6"))


def _set_addresses(netlink: Any, index: int, wanted: set[IPv6Address]) -> None:  # noqa: ANN401
    held = {
        IPv6Address(each.get_attr("IFA_ADDRESS"))
        for each in netlink.get_addr(family=socket.AF_INET6, index=index)
    }
    held = {each for each in held if not each.is_link_local}
    for address in wanted - held:
        netlink.addr("add", index=index, address=str(address), prefixlen=_WHOLE, flags=_NO_DAD)
    for address in held - wanted:
        netlink.addr("del", index=index, address=str(address), prefixlen=_WHOLE)


def _routes(wanted: Wanted) -> set[_Route]:
    if not wanted.table:
        return {_Route(each, metric=_DEFAULT_METRIC) for each in wanted.prefixes}
    routes = {_Route(_EVERYWHERE, wanted.table, _DEFAULT_METRIC)}
    if wanted.default_route:
        routes.add(_Route(_EVERYWHERE, metric=_DEFAULT_METRIC))
    return routes


def _set_routes(netlink: Any, name: str, index: int, wanted: set[_Route]) -> None:  # noqa: ANN401
    held = {
        route
        for route in map(_route, netlink.get_routes(family=socket.AF_INET6, oif=index))
        if route.table != _LOCAL_TABLE
        and not route.network.is_link_local
        and not route.network.is_multicast
    }
    # The kernel has a route of its own to each address.
    held = {each for each in held if each.metric == _DEFAULT_METRIC}
    for route in held - wanted:
        netlink.route("del", **_arguments(route, index))
    for route in wanted - held:
        try:
            netlink.route("add", **_arguments(route, index))
        except NetlinkError as error:
            if error.code != EEXIST:
                raise
            raise DataPlaneError(f"{name}: there is a route to {route.network} already") from error


def _route(message: Any) -> _Route:  # noqa: ANN401
    destination = message.get_attr("RTA_DST") or "::"
    network = ip_network((destination, message["dst_len"]))
    assert isinstance(network, IPv6Network)  # noqa: S101 -- of this family
    table = message.get_attr("RTA_TABLE")
    return _Route(network, table, message.get_attr("RTA_PRIORITY") or 0)


def _arguments(route: _Route, index: int) -> dict[str, Any]:
    return {
        "family": socket.AF_INET6,
        "dst": str(route.network),
        "oif": index,
        "table": route.table,
        "priority": route.metric,
    }


def _set_rules(netlink: Any, wanted: Wanted, own: set[IPv6Network]) -> None:  # noqa: ANN401
    if not wanted.table:
        return
    held = {
        IPv6Network((each.get_attr("FRA_SRC"), each["src_len"]))
        for each in netlink.get_rules(family=socket.AF_INET6)
        if each.get_attr("FRA_TABLE") == wanted.table
        and each.get_attr("FRA_PRIORITY") == wanted.priority
        and each.get_attr("FRA_SRC")
    }
    for command, prefixes in (("add", own - held), ("del", held - own)):
        for prefix in prefixes:
            netlink.rule(
                command,
                family=socket.AF_INET6,
                src=str(prefix.network_address),
                src_len=prefix.prefixlen,
                table=wanted.table,
                priority=wanted.priority,
            )


def _set_unreachable(netlink: Any, wanted: Wanted, own: set[IPv6Network]) -> None:  # noqa: ANN401
    """What is for nobody in our prefixes must not go back where it came from."""
    if not wanted.table:
        return
    held = {
        _route(each).network
        for each in netlink.get_routes(family=socket.AF_INET6, table=_MAIN_TABLE)
        if each["type"] == _UNREACHABLE and each["proto"] == wanted.protocol
    }
    for command, prefixes in (("add", own - held), ("del", held - own)):
        for prefix in prefixes:
            try:
                netlink.route(
                    command,
                    family=socket.AF_INET6,
                    dst=str(prefix),
                    type="unreachable",
                    priority=_LAST_METRIC,
                    proto=wanted.protocol,
                )
            except NetlinkError as error:
                if error.code not in {EEXIST, ESRCH}:
                    raise
