"""The data plane's door. The eBPF plane and its twin in memory pass the same test suite."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

from msgspec import Struct

from flowbind.model.decision import Decision, Packet
from flowbind.model.home_link import HomeLink
from flowbind.model.tunnel import NodeForwarding

NOBODY: Final = IPv4Address(0)
"""In place of a home address."""


class DataPlaneError(Exception):
    """The kernel refused; the text says what was asked and what is missing."""


class Role(StrEnum):
    """Which end of the tunnels this is, and so which address of a packet is the home address."""

    HOME_AGENT = "home-agent"
    MOBILE_NODE = "mobile-node"


class Attach(StrEnum):
    """How programs are attached: by TCX where the kernel has it, or always by filters at clsact."""

    AUTO = "auto"
    CLSACT = "clsact"


class FlowRecord(Struct, frozen=True):
    """One live flow, as forwarded by this end. `age_s` counts from its first packet.

    `bid` None with the verdict "forward" stands for another path for each packet.
    """

    packet: Packet
    verdict: str
    bid: int | None
    rule: int | None
    packets: int
    octets: int
    age_s: float
    idle_s: float


class Reconciliation(Struct, frozen=True):
    """What a start found pinned: kept as it was, brought up to date, added, or removed."""

    adopted: int
    updated: int
    added: int
    removed: int


class DataPlane(Protocol):
    """Forwards packets of mobile nodes. Every method raises DataPlaneError."""

    def program(self, node: NodeForwarding) -> None:
        """Forward for this node exactly as said from the next packet on; replaces atomically.

        A mobile node's plane has this home address from then on.
        """
        ...

    def remove(self, home_address: IPv4Address) -> None:
        """Stop forwarding for a home address; one that is not known is no error."""
        ...

    def limit(
        self, home_address: IPv4Address, ends: tuple[IPv4Address, IPv4Address], mtu: int | None
    ) -> None:
        """Send no outer packet of a node larger than this, in octets, to the far end of a tunnel.

        `ends` are its outer addresses, the near one first; None limits it no more. A node that is
        not known is no error. It is forgotten with the node, and when the plane is closed.
        """
        ...

    def mtu(self, home_address: IPv4Address) -> int | None:
        """Return the octets of the largest packet that a node is sent uncut; None if not known."""
        ...

    def measure(self) -> Iterator[IPv4Address]:
        """Look again how large packets may be, node by node: interfaces or routes have changed."""
        ...

    def program_home_link(self, link: HomeLink | None) -> None:
        """Attach this mobile node to its home link exactly as said, to none with None."""
        ...

    def home_link(self) -> HomeLink | None:
        """Return the home link that is programmed now, read back from where it lives."""
        ...

    def reconcile(self, nodes: Iterable[NodeForwarding]) -> Reconciliation:
        """Make the plane hold exactly these nodes; those it holds already are not disturbed."""
        ...

    def nodes(self) -> tuple[NodeForwarding, ...]:
        """Return what is programmed now, read back from where it lives, by home address."""
        ...

    def decide(self, packet: Packet) -> Decision:
        """Tell what the plane does with such a packet, without counting or remembering it."""
        ...

    def home_address_of(self, local: IPv4Address | IPv6Address) -> IPv4Address:
        """Return the home address of the node that an address of IPv6 is in a prefix of, 0.0.0.0 if
        there is none; one of IPv4 is a home address itself, if any.
        """
        ...

    def flows(self) -> tuple[FlowRecord, ...]:
        """Return the live flows, most recent first."""
        ...

    def statistics(self) -> dict[str, int]:
        """Return the counters by name: packets and octets each way, and every reason for a drop."""
        ...

    def close(self) -> None:
        """Let go of the plane; what is pinned keeps forwarding."""
        ...

    def cleanup(self) -> None:
        """Remove everything this plane ever made: device, programs, maps, routes, rules."""
        ...
