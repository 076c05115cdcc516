"""Outer headers of packets that a daemon sends into a tunnel itself (RFC 2003, RFC 2784)."""

from typing import Final

from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import Path
from flowbind.wire.ipv4 import Packet

_GRE_IPV4: Final = bytes.fromhex("00000800")
_PROTOCOL: Final = {Encapsulation.IP_IN_IP: 4, Encapsulation.GRE: 47}
_DS_MASK: Final = 0xFC


def tunnelled(path: Path, inner: bytes) -> bytes:
    """Return an IPv4 packet with the outer headers of a path, as bpf/tunnel.h puts them on."""
    data = _GRE_IPV4 + inner if path.encapsulation is Encapsulation.GRE else inner
    protocol = _PROTOCOL[path.encapsulation]
    traffic_class = inner[1] & _DS_MASK
    return Packet(path.local, path.remote, protocol, data, traffic_class=traffic_class).encode()
