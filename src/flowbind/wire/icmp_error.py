"""ICMP errors (RFC 792, RFC 1191), and what they quote of a packet that was in a tunnel.

Type, Code, Checksum, 4 octets by type, then the IP header and more of the packet in error: at least
8 octets (RFC 792), in practice as many as fit (RFC 1812 4.3.2.3).
"""

import struct
from ipaddress import IPv4Address
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import MessageType
from flowbind.wire.ipv4 import checksum_of

LEAST_QUOTED: Final = 28
"""Octets of an IP header without options and 8 more, which an error has to quote."""

IP_IN_IP: Final = 4
UDP: Final = 17
GRE: Final = 47
MINIMAL: Final = 55

_MOST_QUOTED: Final = 548
"""An error is no longer than 576 octets (RFC 1812 4.3.2.3)."""
_ERROR: Final = struct.Struct("!BBH2xH")
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_WITHOUT_OPTIONS: Final = 0x45
_DONT_FRAGMENT: Final = 0x4000
_UDP: Final = struct.Struct("!HHHHBBH")
_GRE_OPTIONS: Final = ((0x8000, 4), (0x2000, 4), (0x1000, 4))
"""Checksum, Key and Sequence Number of a GRE header (RFC 2784, RFC 2890)."""
_GRE_FLAGS: Final = struct.Struct("!HH")
_GRE_IPV4: Final = 0x0800
_FORWARDING: Final = struct.Struct("!BBH4s")
_SOURCE_PRESENT: Final = 0x80


class IcmpError(Frozen, frozen=True):
    """An error about a packet that begins with `quoted`. Only 3/4 has an `mtu` (RFC 1191)."""

    type: int
    code: int
    quoted: bytes
    mtu: int = 0

    @staticmethod
    def decode(octets: bytes) -> "IcmpError":
        """Decode what is behind the IP header. Raises WireError."""
        if len(octets) < _ERROR.size + LEAST_QUOTED or checksum_of(octets):
            raise WireError("icmp-error", f"{len(octets)} octets")
        kind, code, _checksum, mtu = _ERROR.unpack_from(octets)
        return IcmpError(kind, code, octets[_ERROR.size :], mtu)

    def encode(self) -> bytes:
        """Encode what is behind the IP header."""
        data = self.quoted[:_MOST_QUOTED]
        unsummed = _ERROR.pack(self.type, self.code, 0, self.mtu) + data
        return _ERROR.pack(self.type, self.code, checksum_of(unsummed), self.mtu) + data


class QuotedTunnel(Frozen, frozen=True):
    """The outer headers of a packet in error, and the beginning of what was in its tunnel.

    `protocol` says how it was encapsulated; with ports that was in UDP. `length` is that of the
    whole outer packet, `whole` tells that it was not to be cut up. `inner` may be cut off anywhere.
    """

    local: IPv4Address
    remote: IPv4Address
    protocol: int
    length: int
    whole: bool
    inner: bytes
    local_port: int = 0
    remote_port: int = 0

    @staticmethod
    def decode(quoted: bytes) -> "QuotedTunnel":
        """Decode what an error quotes. Raises WireError if that was not in a tunnel of any kind."""
        first, _tos, length, _id, fragment, _ttl, protocol, _sum, local, remote = _IPV4.unpack_from(
            quoted
        )
        if first != _WITHOUT_OPTIONS:
            raise WireError("icmp-no-tunnel")
        ports, data = (0, 0), quoted[_IPV4.size :]
        if protocol == UDP:
            ports, protocol, data = _behind_udp(data)
        if protocol == GRE:
            data = _behind_gre(data)
        elif protocol == MINIMAL:
            data = _restored(quoted, data)
        elif protocol != IP_IN_IP:
            raise WireError("icmp-no-tunnel")
        whole = bool(fragment & _DONT_FRAGMENT)
        ends = IPv4Address(local), IPv4Address(remote)
        return QuotedTunnel(*ends, protocol, length, whole, data, *ports)


def _behind_udp(data: bytes) -> tuple[tuple[int, int], int, bytes]:
    if len(data) < _UDP.size:
        raise WireError("icmp-no-tunnel")
    local, remote, _length, _checksum, kind, protocol, _reserved = _UDP.unpack_from(data)
    if kind != MessageType.TUNNEL_DATA:
        raise WireError("icmp-no-tunnel")
    return (local, remote), protocol, data[_UDP.size :]


def _behind_gre(data: bytes) -> bytes:
    flags, protocol = _GRE_FLAGS.unpack_from(data.ljust(_GRE_FLAGS.size, b"\0"))
    if protocol != _GRE_IPV4:
        return b""
    return data[_GRE_FLAGS.size + sum(octets for flag, octets in _GRE_OPTIONS if flags & flag) :]


def _restored(quoted: bytes, data: bytes) -> bytes:
    """RFC 2004 3: the header as it was before, from the outer one and the forwarding header."""
    if len(data) < _FORWARDING.size:
        return b""
    protocol, flags, _checksum, destination = _FORWARDING.unpack_from(data)
    first, tos, length, number, fragment, ttl, _outer, _sum, source, _remote = _IPV4.unpack_from(
        quoted
    )
    behind = data[_FORWARDING.size :]
    if flags & _SOURCE_PRESENT:
        source, behind = behind[: len(source)], behind[len(source) :]
    if len(source) < len(destination):
        return b""
    length -= len(quoted) - _IPV4.size - len(behind)

    def header(checksum: int) -> bytes:
        fields = first, tos, length, number, fragment, ttl, protocol, checksum
        return _IPV4.pack(*fields, source, destination)

    return header(checksum_of(header(0))) + behind
