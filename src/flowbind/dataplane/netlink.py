"""The device, its addresses, routes and rules, through rtnetlink. All of it can be done twice."""

import fcntl
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from errno import EBUSY, EEXIST, EINVAL, ESRCH
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.sysctl import read_sysctl, write_sysctl

LOOPBACK: Final = "lo"

TABLE: Final = 434
"""The routing table of packets that leave from the home address: the number of Mobile IP's port."""

RULE_PRIORITY: Final = 434

PROTOCOL: Final = 143
"""Marks what is ours among proxy entries and routes; no routing daemon has this number."""

_TUNSETIFF: Final = 0x400454CA
_TUNSETPERSIST: Final = 0x400454CB
_SIOCGIFHWADDR: Final = 0x8927
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_MAX_NAME: Final = 15

_MAIN_TABLE: Final = 254
_LOCAL_TABLE: Final = 255
_BROADCAST: Final = 3
_DEFAULT_METRIC: Final = 1
_LOCKED_MTU: Final = 1 << 2
"""In RTAX_LOCK: the MTU of a route also holds for packets that are forwarded by it."""
_CLSACT_PARENTS: Final = (0xFFFFFFF2, 0xFFFFFFF3)
_EVERYWHERE: Final = IPv4Network("0.0.0.0/0")

_ETHERNET_TYPES: Final = frozenset({1, 772})
"""Ethernet, and the loopback, which pretends to be."""
_RAW_TYPES: Final = frozenset({512, 519, 768, 776, 778, 65534})
"""PPP, raw IP (modems), tunnels of the kernel, GRE, and devices without any header such as TUN."""

_STRICT: Final = "1"
_LOOSE: Final = "2"
_ANSWERS_FOR_ALL: Final = "0"
_ANSWERS_FOR_ITS_OWN: Final = "1"

_log = logging.getLogger("flowbind")

T = TypeVar("T")


class Wanted(Struct, frozen=True):
    """How the device shall be. `home_address` is a mobile node's, `home_networks` an agent's, some
    with an MTU of their own in `mtu_of`.

    What is sent to `broadcasts` is received.
    """

    mtu: int
    home_networks: tuple[IPv4Network, ...] = ()
    mtu_of: Mapping[IPv4Network, int] = {}
    home_address: IPv4Address | None = None
    default_route: bool = False
    broadcasts: tuple[IPv4Address, ...] = ()


class _Place(Struct, frozen=True):
    """What makes one route another than the next: a second one in its place is refused."""

    network: IPv4Network
    table: int = _MAIN_TABLE
    metric: int = 0


class Device:
    """A persistent TUN that nobody reads: packets are redirected before they would reach a reader.

    It is held open while the daemon lives, which keeps its carrier up, and stays when it dies.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._fd = _open_tun(name)
        self.ifindex = index_of(name)

    def configure(self, wanted: Wanted) -> None:
        """Make the device exactly as wanted, whatever it was. Raises DataPlaneError."""
        with_netlink(self.name, lambda netlink: self._configure(netlink, wanted))

    def _configure(self, netlink: Any, wanted: Wanted) -> None:  # noqa: ANN401
        # Packets of a tunnel arrive here whatever route would lead back to their sender.
        loosen_reverse_path_filter(self.name)
        # Between two mobile nodes packets come and go here, and there is no shorter way.
        write_sysctl(f"net/ipv4/conf/{self.name}/send_redirects", "0")
        netlink.link("set", index=self.ifindex, mtu=wanted.mtu, state="up")
        self._set_address(netlink, wanted.home_address)
        self._set_routes(netlink, wanted)
        self._set_broadcasts(netlink, wanted.broadcasts)
        if wanted.home_address is not None:
            self._set_rule(netlink, wanted.home_address)

    def _set_address(self, netlink: Any, wanted: IPv4Address | None) -> None:  # noqa: ANN401
        held = {
            each.get_attr("IFA_LOCAL")
            for each in netlink.get_addr(family=socket.AF_INET, index=self.ifindex)
        }
        if wanted is not None and str(wanted) not in held:
            netlink.addr("add", index=self.ifindex, address=str(wanted), prefixlen=32)
        for address in held - {str(wanted)}:
            netlink.addr("del", index=self.ifindex, address=address, prefixlen=32)

    def _set_routes(self, netlink: Any, wanted: Wanted) -> None:  # noqa: ANN401
        routes = _routes(wanted)
        held = self._held_routes(netlink)
        for place in held.keys() - routes.keys():
            netlink.route("del", **self._arguments(place))
        for place, mtu in routes.items():
            if place not in held:
                self._add_route(netlink, place, mtu, wanted.home_address)
            elif held[place] != mtu:
                self._replace_route(netlink, place, mtu)

    def _add_route(
        self,
        netlink: Any,  # noqa: ANN401
        place: _Place,
        mtu: int | None = None,
        source: IPv4Address | None = None,
    ) -> None:
        preferred = {"prefsrc": str(source)} if source else {}
        try:
            netlink.route("add", **self._arguments(place), **_metrics(mtu), **preferred)
        except NetlinkError as error:
            if error.code != EEXIST:
                raise
            table = "" if place.table == _MAIN_TABLE else f" in table {place.table}"
            raise DataPlaneError(
                f"{self.name}: there is a route to {place.network}{table} already"
            ) from error

    def _replace_route(self, netlink: Any, place: _Place, mtu: int | None) -> None:  # noqa: ANN401
        netlink.route("replace", **self._arguments(place), **_metrics(mtu))

    def add_route(self, netlink: Any, network: IPv4Network) -> None:  # noqa: ANN401
        """Lead a network to the device, if it does not yet. Raises DataPlaneError."""
        place = _Place(network)
        try:
            self._add_route(netlink, place)
        except DataPlaneError:
            if place not in self._held_routes(netlink):
                raise

    def lead(self, network: IPv4Network, mtu: int | None, *, held: bool) -> None:
        """Lead a network to the device in packets of this size. Raises DataPlaneError.

        What does not fit the kernel then cuts up, or refuses by ICMP, in front of the tunnel; None
        leaves it to the device's MTU. `held` tells that we have a route for it already: to ask the
        kernel would be to read those of all nodes.
        """
        change = self._replace_route if held else self._add_route
        with_netlink(self.name, lambda netlink: change(netlink, _Place(network), mtu))

    def lead_no_more(self, network: IPv4Network) -> None:
        """Lead a network to the device no more than others do that it lies in."""
        with_netlink(self.name, lambda netlink: self.delete_route(netlink, network))

    def delete_route(self, netlink: Any, network: IPv4Network) -> None:  # noqa: ANN401
        """Lead a network to the device no more."""
        try:
            netlink.route("del", **self._arguments(_Place(network)))
        except NetlinkError as error:
            if error.code != ESRCH:
                raise

    def _arguments(self, place: _Place) -> dict[str, Any]:
        return {
            "dst": str(place.network),
            "oif": self.ifindex,
            "table": place.table,
            "priority": place.metric,
        }

    def _held_routes(self, netlink: Any) -> dict[_Place, int | None]:  # noqa: ANN401
        """Return every route to the device, with its MTU if it has one of its own."""
        routes = netlink.get_routes(family=socket.AF_INET, oif=self.ifindex)
        return {
            _Place(
                IPv4Network((each.get_attr("RTA_DST") or 0, each["dst_len"])),
                each.get_attr("RTA_TABLE"),
                each.get_attr("RTA_PRIORITY") or 0,
            ): _mtu_of(each)
            for each in routes
            if each.get_attr("RTA_TABLE") != _LOCAL_TABLE
        }

    def _set_broadcasts(self, netlink: Any, wanted: tuple[IPv4Address, ...]) -> None:  # noqa: ANN401
        held = {
            IPv4Address(each.get_attr("RTA_DST"))
            for each in netlink.get_routes(
                family=socket.AF_INET, oif=self.ifindex, table=_LOCAL_TABLE
            )
            if each["type"] == _BROADCAST
        }
        for command, addresses in (("add", set(wanted) - held), ("del", held - set(wanted))):
            for address in addresses:
                netlink.route(
                    command,
                    dst=f"{address}/32",
                    oif=self.ifindex,
                    table=_LOCAL_TABLE,
                    type="broadcast",
                    scope="link",
                )

    def _set_rule(self, netlink: Any, home_address: IPv4Address) -> None:  # noqa: ANN401
        held = _held_rules(netlink)
        if str(home_address) not in held:
            netlink.rule(
                "add", src=str(home_address), src_len=32, table=TABLE, priority=RULE_PRIORITY
            )
        _drop_rules(netlink, held - {str(home_address)})

    def close(self) -> None:
        """Let go; the device stays."""
        os.close(self._fd)

    def remove(self) -> None:
        """Remove the device with its addresses, routes and rule. Raises DataPlaneError."""
        with_netlink(self.name, self._remove_rules)
        # Its addresses and its routes, in every table, go with the device.
        fcntl.ioctl(self._fd, _TUNSETPERSIST, 0)
        self.close()

    def _remove_rules(self, netlink: Any) -> None:  # noqa: ANN401
        # The table, and so the rule, may be that of a mobile node beside this home agent.
        if any(place.table == TABLE for place in self._held_routes(netlink)):
            _drop_rules(netlink, _held_rules(netlink))


def host_route(address: IPv4Address) -> IPv4Network:
    """Return the network that is one address."""
    return IPv4Network((address, 32))


def _routes(wanted: Wanted) -> dict[_Place, int | None]:
    if wanted.home_address is None:
        plain: dict[_Place, int | None] = {_Place(each): None for each in wanted.home_networks}
        return plain | {_Place(network): mtu for network, mtu in wanted.mtu_of.items()}
    routes: dict[_Place, int | None] = {_Place(_EVERYWHERE, TABLE): None}
    if wanted.default_route:
        routes[_Place(_EVERYWHERE, metric=_DEFAULT_METRIC)] = None
    return routes


def _metrics(mtu: int | None) -> dict[str, Any]:
    return {"metrics": {"mtu": mtu, "lock": _LOCKED_MTU}} if mtu else {}


def _mtu_of(route: Any) -> int | None:  # noqa: ANN401
    metrics = route.get_attr("RTA_METRICS")
    return metrics.get_attr("RTAX_MTU") if metrics else None


def _held_rules(netlink: Any) -> set[str]:  # noqa: ANN401
    return {
        each.get_attr("FRA_SRC")
        for each in netlink.get_rules(family=socket.AF_INET)
        if each.get_attr("FRA_TABLE") == TABLE and each.get_attr("FRA_PRIORITY") == RULE_PRIORITY
    }


def _drop_rules(netlink: Any, sources: set[str]) -> None:  # noqa: ANN401
    for source in sources:
        netlink.rule("del", src=source, src_len=32, table=TABLE, priority=RULE_PRIORITY)


def with_netlink(name: str, work: Callable[[Any], T]) -> T:
    """Run `work` with a netlink socket in a thread of its own.

    pyroute2 runs an event loop of its own, which cannot be within the caller's. Raises
    DataPlaneError.
    """

    def run() -> T:
        with IPRoute() as netlink:
            return work(netlink)

    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run).result()
    except (NetlinkError, OSError) as error:
        raise DataPlaneError(f"{name}: {error}") from error


def _open_tun(name: str) -> int:
    if not 0 < len(name.encode()) <= _MAX_NAME:
        raise DataPlaneError(f"device {name}: its name is longer than {_MAX_NAME} octets")
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise DataPlaneError(f"/dev/net/tun: {error.strerror}") from error
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
    except OSError as error:
        os.close(fd)
        reasons = {
            EBUSY: f"in use by another process{_holder_of(name)}",
            EINVAL: "there is an interface of this name that flowbind did not make",
        }
        reason = reasons.get(error.errno or 0, error.strerror)
        raise DataPlaneError(f"device {name}: {reason}") from error
    return fd


def _holder_of(name: str) -> str:
    """Tell which process of this network namespace holds a TUN device, if it can be seen."""
    here = Path("/proc/self/ns/net").stat().st_ino
    for info in Path("/proc").glob("[0-9]*/fdinfo/*"):
        try:
            if f"iff:\t{name}\n" not in info.read_text():
                continue
            if (info.parents[1] / "ns/net").stat().st_ino == here:
                return f" ({info.parents[1].name})"
        except OSError:
            # It ended, or closed it, just now.
            continue
    return ""


def index_of(interface: str) -> int:
    """Return the index of an interface. Raises DataPlaneError."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise DataPlaneError(f"there is no interface {interface}") from error


def names() -> set[str]:
    """Return every interface by name."""
    return {name for _index, name in socket.if_nameindex()}


def usable_interfaces(device: str) -> tuple[str, ...]:
    """Return every interface but the loopback and our device, by name."""
    return tuple(sorted(names() - {LOOPBACK, device}))


def has_ethernet_header(interface: str) -> bool:
    """Tell whether packets arrive behind an Ethernet header or bare. Raises DataPlaneError."""
    index_of(interface)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFHWADDR, struct.pack("40s", interface.encode()))
        except OSError as error:
            raise DataPlaneError(f"interface {interface}: {error.strerror}") from error
    kind = int(struct.unpack_from("16xH", answer)[0])
    if kind not in _ETHERNET_TYPES | _RAW_TYPES:
        raise DataPlaneError(f"interface {interface}: link type {kind} cannot carry tunnels")
    return kind in _ETHERNET_TYPES


def without_filters(interfaces: Iterable[str]) -> tuple[str, ...]:
    """Return those of the interfaces where nothing is attached at tc. Raises DataPlaneError."""

    def find(netlink: Any) -> tuple[str, ...]:  # noqa: ANN401
        return tuple(
            name
            for name in interfaces
            if not any(
                list(netlink.get_filters(index=index_of(name), parent=parent))
                for parent in _CLSACT_PARENTS
            )
        )

    return with_netlink("tc", find)


def forwards_packets() -> bool:
    """Tell whether this host forwards IPv4 at all."""
    return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"


def loosen_reverse_path_filter(name: str) -> None:
    """Let an interface take in packets whose sender is reached by another one (rp_filter 2).

    With the strict mode a mobile node would not even hear the replies to its registrations, because
    the way back leads into its device.
    """
    if _effective(name, "rp_filter") == _STRICT:
        _set(name, "rp_filter", _LOOSE)


def answer_proxy_arp_at_once(name: str) -> None:
    """Have a link answer ARP for others without the delay that lets these answer first.

    They are away, and 0.8 s without a word is a long time.
    """
    write_sysctl(f"net/ipv4/neigh/{name}/proxy_delay", "0")


def hide_home_address(name: str) -> None:
    """Have an access link answer ARP for its own addresses alone (RFC 5944 4.6).

    Linux would answer for any address of this host on any link, also for the home address.
    """
    if _effective(name, "arp_ignore") == _ANSWERS_FOR_ALL:
        _set(name, "arp_ignore", _ANSWERS_FOR_ITS_OWN)


def ignore_redirects(name: str) -> None:
    """Have an access link take no redirects (RFC 5944 4.2.1): there they are from anybody.

    A host that forwards nothing takes them where either the interface or all of them do.
    """
    for each in ("all", name):
        if read_sysctl(f"net/ipv4/conf/{each}/accept_redirects") == "1":
            _set(each, "accept_redirects", "0")


def _effective(name: str, key: str) -> str:
    """The kernel goes by the larger of an interface's value and the one for all."""
    return max(read_sysctl(f"net/ipv4/conf/{each}/{key}") for each in ("all", name))


def _set(name: str, key: str, value: str) -> None:
    write_sysctl(f"net/ipv4/conf/{name}/{key}", value)
    _log.info("net.ipv4.conf.%s.%s is %s from now on", name, key, value)
