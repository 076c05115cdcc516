"""The device, its addresses, routes and rules, through rtnetlink. All of it can be done twice."""

import errno
import fcntl
import os
import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from flowbind.dataplane.base import DataPlaneError

TABLE: Final = 434
"""The routing table of packets that leave from the home address: the number of Mobile IP's port."""

RULE_PRIORITY: Final = 434

_TUNSETIFF: Final = 0x400454CA
_TUNSETPERSIST: Final = 0x400454CB
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_DEFAULT_METRIC: Final = 1


class Device:
    """A persistent TUN that nobody reads: packets are redirected before they would reach a reader.

    It is held open while the daemon lives, which keeps its carrier up, and stays when it dies.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._fd = _open_tun(name)
        self._netlink: Any = IPRoute()
        self.ifindex = self._index_of(name)

    def _index_of(self, name: str) -> int:
        found = self._netlink.link_lookup(ifname=name)
        if not found:
            raise DataPlaneError(f"there is no interface {name}")
        return int(found[0])

    def bring_up(self, mtu: int) -> None:
        """Set the MTU and bring the device up; its packets need no route back to their source."""
        self._netlink.link("set", index=self.ifindex, mtu=mtu, state="up")
        # Packets of a tunnel arrive here whatever route would lead back to their sender.
        _write_sysctl(f"net/ipv4/conf/{self.name}/rp_filter", "0")
        _write_sysctl(f"net/ipv6/conf/{self.name}/disable_ipv6", "1")

    def add_address(self, home_address: IPv4Address) -> None:
        """Give the device the home address."""
        self._quietly(
            "addr", "replace", index=self.ifindex, address=str(home_address), prefixlen=32
        )

    def route(self, network: IPv4Network) -> None:
        """Send the packets for a home network to the device."""
        self._quietly("route", "replace", dst=str(network), oif=self.ifindex)

    def route_from(self, home_address: IPv4Address, *, default: bool) -> None:
        """Send the packets from the home address to the device, and with `default` all others."""
        self._quietly("route", "replace", dst="0.0.0.0/0", oif=self.ifindex, table=TABLE)
        self._drop_rules()
        self._netlink.rule(
            "add", src=str(home_address), src_len=32, table=TABLE, priority=RULE_PRIORITY
        )
        if default:
            self._quietly(
                "route",
                "replace",
                dst="0.0.0.0/0",
                oif=self.ifindex,
                prefsrc=str(home_address),
                priority=_DEFAULT_METRIC,
            )

    def _drop_rules(self) -> None:
        for rule in self._netlink.get_rules(priority=RULE_PRIORITY, table=TABLE):
            source = rule.get_attr("FRA_SRC")
            self._netlink.rule("del", src=source, src_len=32, table=TABLE, priority=RULE_PRIORITY)

    def _quietly(self, kind: str, command: str, **arguments: Any) -> None:  # noqa: ANN401
        try:
            getattr(self._netlink, kind)(command, **arguments)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise DataPlaneError(f"{self.name}: {kind} {command}: {error}") from error

    def close(self) -> None:
        """Let go; the device stays."""
        self._netlink.close()
        os.close(self._fd)

    def remove(self) -> None:
        """Remove the device with its addresses and routes, and the rule."""
        self._drop_rules()
        # Its routes, in every table, go with the device.
        self._netlink.link("set", index=self.ifindex, state="down")
        fcntl.ioctl(self._fd, _TUNSETPERSIST, 0)
        self.close()


def _open_tun(name: str) -> int:
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise DataPlaneError(f"/dev/net/tun: {error.strerror}") from error
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
    except OSError as error:
        os.close(fd)
        reason = "in use by another process" if error.errno == errno.EBUSY else error.strerror
        raise DataPlaneError(f"device {name}: {reason}") from error
    return fd


def device_exists(name: str) -> bool:
    """Tell whether there is an interface of this name."""
    return name in _names()


def _names() -> set[str]:
    # /sys may belong to another network namespace, /proc/net always is our own.
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    return {line.split(":")[0].strip() for line in lines}


def usable_interfaces(device: str) -> tuple[str, ...]:
    """Return every interface but the loopback and our device, by name."""
    return tuple(sorted(_names() - {"lo", device}))


def forwards_packets() -> bool:
    """Tell whether this host forwards IPv4 at all."""
    return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"


def _write_sysctl(key: str, value: str) -> None:
    path = Path("/proc/sys", key)
    if path.exists():
        path.write_text(value)
