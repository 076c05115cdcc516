"""The data plane's twin in memory: the same decisions, no packets."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from flowbind.dataplane.base import NOBODY, FlowRecord, Reconciliation
from flowbind.dataplane.mtu import Ends, Mtus
from flowbind.dataplane.normal import check, normalised, reconcile
from flowbind.model.decision import Decision, Packet, decide
from flowbind.model.home_link import HomeLink
from flowbind.model.tunnel import LINK_MTU, NodeForwarding


class MemoryDataPlane:
    """Holds what it is told. See DataPlane for what each method promises."""

    def __init__(self) -> None:
        self._nodes: dict[IPv4Address, NodeForwarding] = {}
        self._home_link: HomeLink | None = None
        self._mtus = Mtus(LINK_MTU, lambda _path: None, in_udp=False)
        self.closed = False

    def program(self, node: NodeForwarding) -> None:
        """Forward for this node exactly as said."""
        check(node)
        self._nodes[node.home_address] = normalised(node)

    def remove(self, home_address: IPv4Address) -> None:
        """Stop forwarding for a home address."""
        self._nodes.pop(home_address, None)
        self._mtus.forget(home_address)

    def limit(self, home_address: IPv4Address, ends: Ends, mtu: int | None) -> None:
        """Send no larger outer packets of a node to the far end of this tunnel."""
        if home_address in self._nodes:
            self._mtus.limit(home_address, ends, mtu)

    def mtu(self, home_address: IPv4Address) -> int | None:
        """Return the octets of the largest packet that a node is sent at once."""
        node = self._nodes.get(home_address)
        return self._mtus.of(node) if node else None

    def measure(self) -> Iterator[IPv4Address]:
        """No link changes here."""
        return iter(())

    def program_home_link(self, link: HomeLink | None) -> None:
        """Be attached to this home link, to none with None."""
        self._home_link = link

    def home_link(self) -> HomeLink | None:
        """Return the home link that is programmed."""
        return self._home_link

    def reconcile(self, nodes: Iterable[NodeForwarding]) -> Reconciliation:
        """Make the plane hold exactly these nodes."""
        return reconcile(self, nodes)

    def nodes(self) -> tuple[NodeForwarding, ...]:
        """Return what is programmed, by home address."""
        return tuple(self._nodes[address] for address in sorted(self._nodes))

    def decide(self, packet: Packet) -> Decision:
        """Tell what becomes of such a packet."""
        node = self._nodes.get(self.home_address_of(packet.local))
        return decide(node, packet) if node else Decision("no-node")

    def home_address_of(self, local: IPv4Address | IPv6Address) -> IPv4Address:
        """Return whose address this is."""
        if isinstance(local, IPv4Address):
            return local
        mine = (each for each in self._nodes.values() if any(local in p for p in each.prefixes))
        return next((each.home_address for each in mine), NOBODY)

    def flows(self) -> tuple[FlowRecord, ...]:
        """No packet ever passes here, so no flow lives here."""
        return ()

    def statistics(self) -> dict[str, int]:
        """No packet ever passes here."""
        return {}

    def close(self) -> None:
        """Let go of the plane."""
        self.closed = True

    def cleanup(self) -> None:
        """Forget everything."""
        self._nodes.clear()
        self._home_link = None
        self.closed = True
