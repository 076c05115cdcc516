"""Outer headers of what a daemon sends into a tunnel itself (RFC 2003, 2004, 2784, 2890, 3519)."""

import struct
from typing import Final

from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import Path
from flowbind.wire.iana import MessageType
from flowbind.wire.ipv4 import Packet, checksum_of

_IP_IN_IP: Final = 4
_GRE_PROTOCOL: Final = 47
_MINIMAL: Final = 55
_GRE: Final = struct.Struct("!HH")
_KEY_PRESENT: Final = 0x2000
_IPV4: Final = 0x0800
_DS_MASK: Final = 0xFC
_UDP: Final = 17
_UDP_TUNNEL: Final = struct.Struct("!HHHHBBH")
"""UDP, without a checksum, and MIP Tunnel Data (RFC 3519 3.3)."""

_HEADER: Final = struct.Struct("!2sH5sBH4s4s")
"""What stays, Total Length, what stays, Protocol, Header Checksum and the addresses."""
_WITHOUT_OPTIONS: Final = 0x45
_MORE_OR_OFFSET: Final = 0x3FFF
_FORWARDING: Final = struct.Struct("!BBH4s")
_SOURCE_PRESENT: Final = 0x80


def tunnelled(path: Path, inner: bytes) -> bytes:
    """Return an IPv4 packet with the outer headers of a path, as bpf/tunnel.h puts them on."""
    if path.encapsulation is Encapsulation.MINIMAL and _may_be_minimal(inner):
        return _minimal(path, inner)
    is_gre = path.encapsulation is Encapsulation.GRE
    data = _gre_header(path) + inner if is_gre else inner
    protocol, data = _in_udp(path, _GRE_PROTOCOL if is_gre else _IP_IN_IP, data)
    traffic_class = inner[1] & _DS_MASK
    return Packet(path.local, path.remote, protocol, data, traffic_class=traffic_class).encode()


def _gre_header(path: Path) -> bytes:
    """Without a sequence number, which each packet may have or not (RFC 2890 2.2)."""
    if path.gre_keys is None:
        return _GRE.pack(0, _IPV4)
    return _GRE.pack(_KEY_PRESENT, _IPV4) + path.gre_keys.send.to_bytes(4, "big")


def _in_udp(path: Path, protocol: int, data: bytes) -> tuple[int, bytes]:
    """Put UDP in front if the path has it; returns the protocol of what comes of it, too."""
    if not path.in_udp:
        return protocol, data
    length = _UDP_TUNNEL.size + len(data)
    kind = int(MessageType.TUNNEL_DATA)
    header = (path.local_port, path.remote_port, length, 0, kind, protocol, 0)
    return _UDP, _UDP_TUNNEL.pack(*header) + data


def _may_be_minimal(inner: bytes) -> bool:
    """No fragment may (RFC 2004 3), and what has options goes by IP-in-IP too."""
    fragment = int.from_bytes(inner[6:8], "big") & _MORE_OR_OFFSET
    return inner[0] == _WITHOUT_OPTIONS and not fragment


def _minimal(path: Path, inner: bytes) -> bytes:
    """RFC 2004 3: the header stays but for its addresses, and the forwarding header follows it."""
    first, _length, middle, protocol, _checksum, source, destination = _HEADER.unpack_from(inner)
    present = source != path.local.packed
    flags, behind = (_SOURCE_PRESENT, source) if present else (0, b"")

    def forwarding(checksum: int) -> bytes:
        return _FORWARDING.pack(protocol, flags, checksum, destination) + behind

    payload = forwarding(checksum_of(forwarding(0))) + inner[_HEADER.size :]
    outer_protocol, data = _in_udp(path, _MINIMAL, payload)
    length = _HEADER.size + len(data)

    def header(checksum: int) -> bytes:
        ends = path.local.packed, path.remote.packed
        return _HEADER.pack(first, length, middle, outer_protocol, checksum, *ends)

    return header(checksum_of(header(0))) + data
