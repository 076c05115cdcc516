"""What is ours and what is somebody else's, of the things that have a name or a number only.

Whatever is not ours makes a start fail before it changes anything, with a sentence that names it.
"""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any, Final

from flowbind.dataplane import netlink
from flowbind.dataplane.base import DataPlaneError, Role
from flowbind.dataplane.netlink import PROTOCOL, TABLE, with_netlink

_MARK: Final = "flowbind "
"""An alias of a device that begins so is ours; the role follows."""

_ADDRESS_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_LINK_SCOPE: Final = 253


def mark_device(name: str, role: Role) -> None:
    """Say on the device whose it is."""
    index = netlink.index_of(name)
    with_netlink(name, lambda ip: ip.link("set", index=index, ifalias=_MARK + role.value))


def foreign_device(name: str) -> str | None:
    """Tell why a device of this name is not ours, None if it is or if there is none.

    One without address and without mark may be ours: a start was killed before it could say so.
    """
    if name not in netlink.names():
        return None
    index = netlink.index_of(name)

    def look(ip: Any) -> str | None:  # noqa: ANN401 -- pyroute2 has no types
        (link,) = ip.get_links(index)
        if (link.get_attr("IFLA_IFALIAS") or "").startswith(_MARK):
            return None
        if addresses := list(_addresses(ip, index)):
            return f"flowbind did not make it, and it has the address {', '.join(addresses)}"
        return None

    return with_netlink(name, look)


def _addresses(ip: Any, index: int) -> Iterator[str]:  # noqa: ANN401
    for family in _ADDRESS_FAMILIES:
        for each in ip.get_addr(family=family, index=index):
            if each["scope"] != _LINK_SCOPE:
                yield f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}"


def check_device(name: str) -> None:
    """Raise DataPlaneError if there is a device of this name that is not ours."""
    reason = foreign_device(name)
    if reason:
        raise DataPlaneError(f"device {name}: {reason}")


def check_table(device: str) -> None:
    """Raise DataPlaneError if our routing table holds routes that lead elsewhere."""

    def look(ip: Any) -> list[str]:  # noqa: ANN401
        ours = netlink.index_of(device) if device in netlink.names() else 0
        routes = ip.get_routes(family=_ADDRESS_FAMILIES[0], table=TABLE)
        return [
            _described(each)
            for each in routes
            if each.get_attr("RTA_OIF") != ours and each["proto"] != PROTOCOL
        ]

    foreign = with_netlink(f"table {TABLE}", look)
    if foreign:
        raise DataPlaneError(f"table {TABLE} holds a route that is not ours: {foreign[0]}")


def _described(route: Any) -> str:  # noqa: ANN401
    target = IPv4Network((route.get_attr("RTA_DST") or 0, route["dst_len"]))
    index = route.get_attr("RTA_OIF")
    return f"{target} to {socket.if_indextoname(index)}" if index else str(target)
