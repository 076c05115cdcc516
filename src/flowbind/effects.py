"""All that an engine can ask for. Performed in order; the reply is the last of its list."""

from ipaddress import IPv4Address

from msgspec import Struct

from flowbind.model.binding import NodeRecord
from flowbind.model.home_link import HomeLink
from flowbind.model.tunnel import NodeForwarding, Path


class SendDatagram(Struct, frozen=True, tag=True):
    """Send a message. With `interface`, out of that interface whatever the routes say.

    `source_port` 0 means the port that the role owns on that interface.
    """

    payload: bytes
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    interface: str | None = None


class ProgramForwarding(Struct, frozen=True, tag=True):
    """Make the data plane forward for this node exactly as said, replacing what it did."""

    node: NodeForwarding


class RemoveForwarding(Struct, frozen=True, tag=True):
    """Make the data plane forget this home address."""

    home_address: IPv4Address


class ProgramHomeLink(Struct, frozen=True, tag=True):
    """Attach the mobile node to its home link exactly as said, to none with None."""

    link: HomeLink | None


class SaveNode(Struct, frozen=True, tag=True):
    """Make this record durable. `previous` is what to return to should that fail."""

    record: NodeRecord
    previous: NodeRecord | None = None


class DeleteNode(Struct, frozen=True, tag=True):
    """Forget the record of this home address durably."""

    home_address: IPv4Address
    previous: NodeRecord | None = None


class SendIcmp(Struct, frozen=True, tag=True):
    """Send a message of agent discovery on a link, no further: its TTL is 1 (RFC 5944 2)."""

    message: bytes
    source: IPv4Address
    destination: IPv4Address
    interface: str


class AnnounceAddress(Struct, frozen=True, tag=True):
    """Broadcast a gratuitous ARP (RFC 5944 4.6): this address is at our own link-layer address, or
    as `neighbour` at the one by which the kernel reaches it.
    """

    address: IPv4Address
    interface: str
    neighbour: bool = False


class SendThroughTunnel(Struct, frozen=True, tag=True):
    """Send this IPv4 packet into one tunnel, past what else decides on packets of its node."""

    path: Path
    packet: bytes


class LimitTunnel(Struct, frozen=True, tag=True):
    """Send no packets larger than this through a tunnel of a node, in octets with outer headers.

    None: as large as the interface or route takes.
    """

    home_address: IPv4Address
    local: IPv4Address
    remote: IPv4Address
    mtu: int | None


class SendIcmpError(Struct, frozen=True, tag=True):
    """Tell the sender of a packet, by ICMP, what happened to it. The message begins at its Type."""

    message: bytes
    source: IPv4Address
    destination: IPv4Address


class SendProbe(Struct, frozen=True, tag=True):
    """Send an echo request from the home address to the home agent through this one tunnel."""

    path: Path
    home_address: IPv4Address
    sequence: int


class Log(Struct, frozen=True, tag=True):
    """Tell the operator. `level` is one of debug, info, warning, error."""

    level: str
    text: str


Effect = (
    SendDatagram
    | ProgramForwarding
    | RemoveForwarding
    | ProgramHomeLink
    | SaveNode
    | DeleteNode
    | SendIcmp
    | AnnounceAddress
    | SendThroughTunnel
    | LimitTunnel
    | SendIcmpError
    | SendProbe
    | Log
)
