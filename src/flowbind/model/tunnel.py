"""What the data plane is asked to forward: a projection of the engine's tables."""

from enum import StrEnum, unique
from ipaddress import IPv4Address, IPv6Network

from msgspec import Struct

from flowbind.model.binding import Encapsulation, GreKeys
from flowbind.model.flow import FlowRule

PLAIN_BID = 0
"""Stands for a binding without a BID in the data plane; RFC 7629 4.1 reserves the value.

Several paths may have it: the simultaneous bindings of RFC 5944, of which each gets a copy.
"""

LINK_MTU = 1500
"""Octets of the largest packet on a link that nobody has said anything else of."""

SMALLEST_LINK_MTU = 552
"""Octets that every link is taken to carry. RFC 791 asks for 68; but whoever says that a link takes
less than this is far more likely to lie, and Linux believes it of its own paths no more than we."""

LARGEST_LINK_MTU = 65535
"""Octets of the largest packet that there can be (RFC 791 3.1)."""

UDP_TUNNEL_OVERHEAD = 12
"""Octets that a tunnel in UDP has more: UDP and MIP Tunnel Data (RFC 3519 4.2)."""

_OVERHEAD = {Encapsulation.IP_IN_IP: 20, Encapsulation.GRE: 24, Encapsulation.MINIMAL: 20}
"""IPv4; IPv4 and GRE. Minimal encapsulation puts 8 or 12 octets into most packets; what must not
have them goes into the same tunnel by IP-in-IP (RFC 2004 3)."""

TUNNEL_OVERHEAD = max(_OVERHEAD.values())
"""Octets of the largest outer headers of a path that is not in UDP."""

_GRE_WORD_OCTETS = 4
"""What a key takes, and a sequence number (RFC 2890 2)."""

MAX_PATHS = 8
MAX_RULES = 64
MAX_PREFIXES = 8
MAX_WEIGHT = 16


class Path(Struct, frozen=True, omit_defaults=True):
    """One tunnel of a node.

    `local` and `remote` are the outer source and destination of packets that we send. `interface`
    is the device to send through; None follows the routing table. `transmit` False means that
    packets are still accepted from the tunnel but none is sent into it: a path being taken down, or
    one that is being registered.

    With `local_port` and `remote_port` the tunnel is in UDP (RFC 3519). As long as nothing is sent
    into such a one, what arrives may also be without UDP.

    With `gre_keys` packets by GRE have a key (RFC 2890); as long as nothing is sent, what arrives
    may have any, or none. `gre_sequence` numbers those that are sent.
    """

    bid: int
    local: IPv4Address
    remote: IPv4Address
    encapsulation: Encapsulation
    interface: str | None = None
    label: int = 0
    weight: int = 1
    transmit: bool = True
    local_port: int = 0
    remote_port: int = 0
    gre_keys: GreKeys | None = None
    gre_sequence: bool = False

    @property
    def in_udp(self) -> bool:
        """Whether the tunnel is in UDP (RFC 3519)."""
        return self.remote_port != 0

    @property
    def kind(self) -> str:
        """How its packets travel, in a word."""
        keyed = self.gre_keys is not None
        return tunnel_word(self.encapsulation, in_udp=self.in_udp, keyed=keyed)


def tunnel_word(encapsulation: Encapsulation, *, in_udp: bool, keyed: bool) -> str:
    """Say how packets travel: ipip, gre, gre-key or minimal, in UDP with udp- in front."""
    word = f"{encapsulation.value}-key" if keyed else encapsulation.value
    return f"udp-{word}" if in_udp else word


def overhead_by(encapsulation: Encapsulation, *, in_udp: bool) -> int:
    """Return how many octets such a tunnel puts in front of a packet at most."""
    return _OVERHEAD[encapsulation] + (UDP_TUNNEL_OVERHEAD if in_udp else 0)


def overhead(path: Path) -> int:
    """Return how many octets a path puts in front of a packet at most."""
    words = (path.gre_keys is not None) + path.gre_sequence
    return overhead_by(path.encapsulation, in_udp=path.in_udp) + words * _GRE_WORD_OCTETS


@unique
class Balance(StrEnum):
    """What is spread over the paths by their weights where no rule decides."""

    FLOW = "flow"
    PACKET = "packet"


class NodeForwarding(Struct, frozen=True, omit_defaults=True):
    """Everything that the data plane knows of one home address.

    IPv6 packets from and to its `prefixes` (RFC 5454) take the same paths. A rule is about packets
    of one of the two versions of IP, by the format of its selector.
    """

    home_address: IPv4Address
    paths: tuple[Path, ...] = ()
    rules: tuple[FlowRule, ...] = ()
    prefixes: tuple[IPv6Network, ...] = ()
    balance: Balance = Balance.FLOW
