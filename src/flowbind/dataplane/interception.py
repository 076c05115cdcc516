"""Interception on the home link of a home agent, by proxy ARP (RFC 5944 4.2.3, 4.6).

A node that is away has a route of its own into the tunnel device and a proxy entry on the home
link; one without binding has neither, so that whatever is sent to it goes onto the link. The kernel
answers ARP by a proxy entry only if the route of the address leads away from the link that asks:
neither does without the other. All of it can be done twice.
"""

from collections.abc import Collection
from errno import ENOENT, ESRCH
from ipaddress import IPv4Address
from socket import AF_INET
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError

from flowbind.dataplane import netlink as kernel
from flowbind.dataplane.netlink import PROTOCOL, Device, host_route, with_netlink

_NTF_PROXY: Final = 0x08


class Interception:
    """On one link, that of the nodes' home networks. Every method raises DataPlaneError."""

    def __init__(self, device: Device, interface: str) -> None:
        self._device = device
        self.interface = interface

    def configure(self, away: Collection[IPv4Address]) -> None:
        """Answer ARP for exactly these nodes, and at once."""
        index = kernel.index_of(self.interface)
        # A node that has come home sends its deregistration from the home address, whose route
        # still leads into the tunnel.
        kernel.loosen_reverse_path_filter(self.interface)
        kernel.answer_proxy_arp_at_once(self.interface)
        remove_proxies(keep={(index, address) for address in away})
        for home_address in away:
            self.intercept(home_address)

    def intercept(self, home_address: IPv4Address) -> None:
        """Have packets for a node come here, and lead them into its tunnel."""
        index = kernel.index_of(self.interface)

        def work(netlink: Any) -> None:  # noqa: ANN401 -- pyroute2 has no types
            self._device.add_route(netlink, host_route(home_address))
            # Each time: whoever takes the interface down takes its proxy entries away.
            netlink.neigh("replace", **_proxy(index, home_address), protocol=PROTOCOL)

        with_netlink(self.interface, work)

    def release(self, home_address: IPv4Address) -> None:
        """Take a node for one that is at home."""
        index = kernel.index_of(self.interface)

        def work(netlink: Any) -> None:  # noqa: ANN401
            _remove_proxy(netlink, index, home_address)
            self._device.delete_route(netlink, host_route(home_address))

        with_netlink(self.interface, work)


def remove_proxies(keep: Collection[tuple[int, IPv4Address]] = ()) -> None:
    """Remove our proxy entries from every link, but for these. Raises DataPlaneError."""

    def work(netlink: Any) -> None:  # noqa: ANN401
        # With a filter of ours pyroute2 leaves the flags to the request, where the kernel reads
        # that proxy entries are wanted.
        entries = netlink.neigh("dump", family=AF_INET, flags=_NTF_PROXY, dump_filter=bool)
        ours = [
            (each["ifindex"], IPv4Address(each.get_attr("NDA_DST")))
            for each in entries
            if each.get_attr("NDA_PROTOCOL") == PROTOCOL
        ]
        for index, address in ours:
            if (index, address) not in keep:
                _remove_proxy(netlink, index, address)

    with_netlink("proxy ARP", work)


def _proxy(index: int, address: IPv4Address) -> dict[str, Any]:
    return {"family": AF_INET, "dst": str(address), "ifindex": index, "flags": _NTF_PROXY}


def _remove_proxy(netlink: Any, index: int, address: IPv4Address) -> None:  # noqa: ANN401
    try:
        netlink.neigh("del", **_proxy(index, address))
    except NetlinkError as error:
        if error.code not in {ENOENT, ESRCH}:
            raise
