"""Outer headers of packets that a daemon sends into a tunnel itself (RFC 2003, 2784, 3519)."""

import struct
from typing import Final

from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import Path
from flowbind.wire.iana import MessageType
from flowbind.wire.ipv4 import Packet

_GRE_IPV4: Final = bytes.fromhex("00000800")
_PROTOCOL: Final = {Encapsulation.IP_IN_IP: 4, Encapsulation.GRE: 47}
_DS_MASK: Final = 0xFC
_UDP: Final = 17
_UDP_TUNNEL: Final = struct.Struct("!HHHHBBH")
"""UDP, without a checksum, and MIP Tunnel Data (RFC 3519 3.3)."""


def tunnelled(path: Path, inner: bytes) -> bytes:
    """Return an IPv4 packet with the outer headers of a path, as bpf/tunnel.h puts them on."""
    data = _GRE_IPV4 + inner if path.encapsulation is Encapsulation.GRE else inner
    protocol = _PROTOCOL[path.encapsulation]
    if path.in_udp:
        length = _UDP_TUNNEL.size + len(data)
        kind = int(MessageType.TUNNEL_DATA)
        header = (path.local_port, path.remote_port, length, 0, kind, protocol, 0)
        data, protocol = _UDP_TUNNEL.pack(*header) + data, _UDP
    traffic_class = inner[1] & _DS_MASK
    return Packet(path.local, path.remote, protocol, data, traffic_class=traffic_class).encode()
