"""Nodes that take less than the others, in the kernel's routes, and what links and routes take."""

import fcntl
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.netlink import Device, host_route
from flowbind.model.tunnel import Path

_SIOCGIFMTU: Final = 0x8921
_SIOCSIFMTU: Final = 0x8922
_IP_MTU: Final = 14
_INTERFACE_MTU: Final = struct.Struct("16si20x")
_ANY_PORT: Final = 9


class NarrowNodes:
    """Has the stack send no packet to the device that is too big for the tunnels of its node.

    So it is the stack that cuts up what may be cut up, before there is any outer header, and
    answers what may not (RFC 2003 5.1, RFC 3519 4.2), also as long as no daemon runs. A node that
    takes less than ordinary ones has a route of its own to the device of a home agent; a mobile
    node, for which `device` is None, has a device of its own.
    """

    def __init__(self, name: str, device: Device | None, ordinary: int) -> None:
        self._name = name
        self._device = device
        self._ordinary = ordinary
        self._mtus: dict[IPv4Address, int] = {}

    def found(self, mtus: Mapping[IPv4Address, int]) -> None:
        """Go on from what a former run has left; 0 is nothing known."""
        self._mtus = {each: mtu for each, mtu in mtus.items() if 0 < mtu < self._ordinary}

    @property
    def device_mtu(self) -> int:
        """What the device takes."""
        return self._ordinary if self._device else min(self._mtus.values(), default=self._ordinary)

    @property
    def routes(self) -> dict[IPv4Network, int]:
        """The MTU of each route of one node."""
        return {host_route(each): mtu for each, mtu in self._mtus.items()} if self._device else {}

    def lead(self, home_address: IPv4Address, mtu: int, *, routed: bool) -> None:
        """Send a node packets of this size. Raises DataPlaneError.

        `routed` tells whether it has a route of its own anyway.
        """
        if mtu == self._mtus.get(home_address, self._ordinary):
            return
        if self._device:
            self._set_route(self._device, home_address, mtu, routed=routed)
        self._mtus.pop(home_address, None)
        if mtu < self._ordinary:
            self._mtus[home_address] = mtu
        if self._device is None:
            self._set_device_mtu()

    def _set_route(
        self, device: Device, home_address: IPv4Address, mtu: int, *, routed: bool
    ) -> None:
        network = host_route(home_address)
        if routed or mtu < self._ordinary:
            held = routed or home_address in self._mtus
            device.lead(network, mtu if mtu < self._ordinary else None, held=held)
        else:
            device.lead_no_more(network)

    def _set_device_mtu(self) -> None:
        try:
            set_interface_mtu(self._name, self.device_mtu)
        except OSError as error:
            raise DataPlaneError(f"{self._name}: {error.strerror}") from error


def link_mtu(path: Path) -> int | None:
    """Return what the interface of a path takes, or else the route to its far end.

    None if there is no way there now.
    """
    with suppress(OSError):
        return interface_mtu(path.interface) if path.interface else route_mtu(path.remote)
    return None


def route_mtu(address: IPv4Address) -> int:
    """Return the MTU of the route to an address, or of its interface. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((str(address), _ANY_PORT))
        return asking.getsockopt(socket.IPPROTO_IP, _IP_MTU)


def interface_mtu(name: str) -> int:
    """Return the MTU of an interface. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFMTU, _INTERFACE_MTU.pack(name.encode(), 0))
    return int(_INTERFACE_MTU.unpack(answer)[1])


def set_interface_mtu(name: str, mtu: int) -> None:
    """Have an interface take packets of this size and no larger. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFMTU, _INTERFACE_MTU.pack(name.encode(), mtu))
