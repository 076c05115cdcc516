"""The largest packet that fits into every tunnel of a node (RFC 2003 5.1).

A path takes what its interface takes, or else the route to its far end, or less if a router on the
way has said so, without its outer headers. A node takes what each of its paths takes: its flows may
move to any of them at any time.
"""

from collections.abc import Callable
from ipaddress import IPv4Address

from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import SMALLEST_LINK_MTU, NodeForwarding, Path, overhead, overhead_by

Ends = tuple[IPv4Address, IPv4Address]
"""The outer addresses of a tunnel, the near one first."""


def ordinary_overhead(*, in_udp: bool) -> int:
    """Return what is kept free for outer headers at least.

    So most nodes have the same MTU, whichever of these encapsulations they use, and those of a home
    agent need no routes of their own.
    """
    return overhead_by(Encapsulation.GRE, in_udp=in_udp)


class Mtus:
    """Knows the MTU of each node, in octets.

    `largest` is what no link is taken to exceed; `link_mtu` tells what that of a path takes, None
    if that is not known. With `in_udp` some node may have a tunnel in UDP.
    """

    def __init__(
        self, largest: int, link_mtu: Callable[[Path], int | None], *, in_udp: bool
    ) -> None:
        self.largest = largest
        self._link_mtu = link_mtu
        self._reserved = ordinary_overhead(in_udp=in_udp)
        self._limits: dict[IPv4Address, dict[Ends, int]] = {}

    @property
    def ordinary(self) -> int:
        """That of a node none of whose paths is narrower than the others'."""
        return self.largest - self._reserved

    def of(self, node: NodeForwarding) -> int:
        """Return the MTU of a node."""
        sending = [path for path in node.paths if path.transmit] or node.paths
        limits = self._limits.get(node.home_address, {})
        return min((self._of_path(path, limits) for path in sending), default=self.ordinary)

    def _of_path(self, path: Path, limits: dict[Ends, int]) -> int:
        known = (self._link_mtu(path), limits.get((path.local, path.remote)), self.largest)
        octets = max(min(each for each in known if each), SMALLEST_LINK_MTU)
        return octets - max(self._reserved, overhead(path))

    def limit(self, home_address: IPv4Address, ends: Ends, mtu: int | None) -> None:
        """Note what a router on the way of one tunnel takes, None for nothing special any more."""
        limits = self._limits.setdefault(home_address, {})
        limits.pop(ends, None)
        if mtu is not None:
            limits[ends] = mtu
        if not limits:
            self.forget(home_address)

    def forget(self, home_address: IPv4Address) -> None:
        """Note that there is no such node any more."""
        self._limits.pop(home_address, None)
