"""The link that a mobile node has come home to (RFC 5944 2.4.3, 4.2.1)."""

from ipaddress import IPv4Address, IPv4Network

from msgspec import Struct


class HomeLink(Struct, frozen=True, omit_defaults=True):
    """How a node is attached to its home network.

    `router` is where what is not on the link goes to, None if nobody has told. As long as it is not
    `settled`, the node is only reached there and sends its deregistration: everything else goes
    where it went.
    """

    interface: str
    network: IPv4Network
    router: IPv4Address | None = None
    settled: bool = False
