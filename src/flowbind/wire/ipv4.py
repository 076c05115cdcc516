"""IPv4 headers around what is sent and received without the kernel's help (RFC 791, RFC 1071)."""

import struct
from ipaddress import IPv4Address
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError

_HEADER: Final = struct.Struct("!BBHHHBBH4s4s")
_VERSION: Final = 4
_WORD_OCTETS: Final = 4
_DONT_FRAGMENT: Final = 0x4000
_MORE_OR_OFFSET: Final = 0x3FFF
_DEFAULT_TTL: Final = 64


class Packet(Frozen, frozen=True):
    """An IPv4 packet without options; what it had of them is passed over."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    data: bytes
    ttl: int = _DEFAULT_TTL
    traffic_class: int = 0

    def encode(self) -> bytes:
        """Encode the whole packet, not to be fragmented."""

        def header(checksum: int) -> bytes:
            return _HEADER.pack(
                _VERSION << 4 | _HEADER.size // _WORD_OCTETS,
                self.traffic_class,
                _HEADER.size + len(self.data),
                0,
                _DONT_FRAGMENT,
                self.ttl,
                self.protocol,
                checksum,
                self.source.packed,
                self.destination.packed,
            )

        return header(checksum_of(header(0))) + self.data


def decode_packet(octets: bytes) -> Packet:
    """Decode a whole packet; octets behind its end are padding of the link. Raises WireError."""
    if len(octets) < _HEADER.size:
        raise WireError("truncated", f"{len(octets)} octets are no IPv4 packet")
    first, traffic_class, length, _id, fragment, ttl, protocol, _sum, source, destination = (
        _HEADER.unpack_from(octets)
    )
    header_octets = (first & 0x0F) * _WORD_OCTETS
    if first >> 4 != _VERSION or header_octets < _HEADER.size:
        raise WireError("ipv4-header")
    if not header_octets <= length <= len(octets):
        raise WireError("truncated", f"{len(octets)} octets of {length}")
    if fragment & _MORE_OR_OFFSET:
        raise WireError("ipv4-fragment")
    return Packet(
        IPv4Address(source),
        IPv4Address(destination),
        protocol,
        octets[header_octets:length],
        ttl,
        traffic_class,
    )


def checksum_of(data: bytes) -> int:
    """The Internet checksum; 0 for octets that hold their own right one."""
    even = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total > 0xFFFF:  # noqa: PLR2004 -- 16 bits
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
