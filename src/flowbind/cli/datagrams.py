"""Datagrams of UDP port 434 out of packets of any link layer, by dpkt.

A packet that is not ours is skipped with a reason. One that could be ours and is malformed is not:
somebody may be looking for just that.
"""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any, Final

import dpkt
from msgspec import Struct

from flowbind.cli.captures import Datagram, Packet
from flowbind.wire.iana import MOBILE_IP_PORT

_UDP_HEADER_OCTETS: Final = 8
_IPV4: Final = 4

_LINK_LAYERS: Final[dict[int, Callable[[bytes], Any]]] = {
    1: dpkt.ethernet.Ethernet,
    113: dpkt.sll.SLL,
    276: dpkt.sll2.SLL2,
}
_RAW_LINK_TYPES: Final = frozenset({12, 14, 101, 228, 229})
# Without their types, which dpkt does not know of most of its attributes.
_IP: Final[Any] = dpkt.ip.IP
_UDP: Final[Any] = dpkt.udp.UDP


class Skipped(Struct, frozen=True):
    """A packet that has nothing to do with Mobile IPv4, and why that is so.

    `unread` means that nobody can tell: its link layer is not known here.
    """

    reason: str
    unread: bool = False


def datagram_of(packet: Packet) -> Datagram | Skipped:
    """Take a packet apart down to the payload of UDP port 434."""
    try:
        return _datagram_of(packet, _ipv4_of(packet))
    except _NotOursError as other:
        return Skipped(str(other))
    except _UnreadError as unread:
        return Skipped(str(unread), unread=True)
    except _BrokenError as broken:
        return Datagram(b"", packet.number, packet.at, fault=str(broken))


class _NotOursError(Exception):
    """The packet is of some other protocol."""


class _UnreadError(Exception):
    """The packet has a link layer that is not known here."""


class _BrokenError(Exception):
    """The packet could be ours, and is malformed."""


def _datagram_of(packet: Packet, ip: Any) -> Datagram:  # noqa: ANN401
    if ip.p != dpkt.ip.IP_PROTO_UDP:
        raise _NotOursError("not UDP")
    if ip.offset:
        raise _NotOursError("a later fragment")
    udp = ip.data
    if not isinstance(udp, _UDP):
        raise _BrokenError("the UDP header is cut short")
    if MOBILE_IP_PORT not in {udp.sport, udp.dport}:
        raise _NotOursError(f"not port {MOBILE_IP_PORT}")
    octets = max(0, udp.ulen - _UDP_HEADER_OCTETS)
    return Datagram(
        bytes(udp.data)[:octets],
        packet.number,
        packet.at,
        f"{IPv4Address(ip.src)}:{udp.sport}",
        f"{IPv4Address(ip.dst)}:{udp.dport}",
        _fault(ip, udp),
    )


def _fault(ip: Any, udp: Any) -> str:  # noqa: ANN401
    if ip.mf:
        return "only the first fragment of a datagram; fragments are not put together"
    wanted = udp.ulen - _UDP_HEADER_OCTETS
    if wanted < 0:
        return f"a UDP length of {udp.ulen} is less than the UDP header"
    there = len(udp.data)
    return f"only {there} of {wanted} octets are there" if there < wanted else ""


def _ipv4_of(packet: Packet) -> Any:  # noqa: ANN401
    network: Any
    if packet.link_type in _RAW_LINK_TYPES:
        claimed = packet.octets[:1] == b"" or packet.octets[0] >> 4 == _IPV4
        network = _parsed(_IP, packet.octets) if claimed else None
    elif packet.link_type in _LINK_LAYERS:
        frame = _parsed(_LINK_LAYERS[packet.link_type], packet.octets)
        network, claimed = getattr(frame, "data", None), _claims_ipv4(frame)
    else:
        raise _UnreadError(f"link type {packet.link_type}")
    if isinstance(network, _IP) and network.v == _IPV4:
        return network
    if claimed:
        raise _BrokenError("the IPv4 header is cut short or wrong")
    raise _NotOursError("not IPv4")


def _parsed(parser: Callable[[bytes], Any], octets: bytes) -> Any:  # noqa: ANN401
    try:
        return parser(octets)
    except Exception:
        # Whatever dpkt's parsers of other protocols trip over comes out of it.
        return None


def _claims_ipv4(frame: Any) -> bool:  # noqa: ANN401
    tags = getattr(frame, "vlan_tags", ())
    kind = tags[-1].type if tags else getattr(frame, "type", None)
    return bool(getattr(frame, "ethtype", kind) == dpkt.ethernet.ETH_TYPE_IP)
