"""The extensions of dual-stack Mobile IPv4 (RFC 5454 section 2), all of type 152.

Request  Length 18, Subtype 1, Prefix Length, Prefix (16)
Reply    Length 20, Subtype 2, Code, Prefix Length, Reserved, Prefix (16)
Mode     Length 2, Subtype 3, Reserved

A Prefix Length of 255 tells that a link-local address stands in place of the prefix. The text of
2.1 describes the Prefix Length in the words of the field behind it (erratum 1718). Lengths that are
none make an extension that nobody understands, and that is skipped.
"""

import struct
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import DualStackSubtype, ExtensionType, Ipv6PrefixCode

LINK_LOCAL: Final = 255
"""The Prefix Length of what is a link-local address and no prefix."""

_ADDRESS_BITS: Final = 128
_FIRST_REJECTING_CODE: Final = int(Ipv6PrefixCode.REJECTED)
_ALL_ONES: Final = (1 << _ADDRESS_BITS) - 1
_REQUEST: Final = struct.Struct("!BB16s")
_REPLY: Final = struct.Struct("!BBBx16s")
_MODE: Final = struct.Struct("!Bx")
_UNKNOWN: Final = "unknown-dual-stack-extension"


class Ipv6PrefixRequest(Frozen, frozen=True):
    """The sender asks for this prefix to be registered. Bits behind `prefix_length` are 0."""

    prefix: IPv6Address
    prefix_length: int

    @property
    def subtype(self) -> int:
        """Which of the extensions of type 152 this is."""
        return int(DualStackSubtype.PREFIX_REQUEST)

    @property
    def network(self) -> IPv6Network | None:
        """The prefix, None where there is a link-local address in its place."""
        return _network(self.prefix, self.prefix_length)

    @staticmethod
    def of(network: IPv6Network) -> "Ipv6PrefixRequest":
        """Return the request for a prefix."""
        return Ipv6PrefixRequest(network.network_address, network.prefixlen)

    @staticmethod
    def decode(data: bytes) -> "Ipv6PrefixRequest":
        """Decode the octets behind Length. Raises WireError for what is to be skipped."""
        _subtype, length, prefix = _unpack(_REQUEST, data)
        return Ipv6PrefixRequest(_masked(prefix, length), length)

    def encode(self) -> bytes:
        """Encode the whole extension."""
        return _framed(_REQUEST.pack(self.subtype, self.prefix_length, self.prefix.packed))


class Ipv6PrefixReply(Frozen, frozen=True):
    """What became of the request for this very prefix. `code` may be one that has no name yet."""

    code: int
    prefix: IPv6Address
    prefix_length: int

    @property
    def subtype(self) -> int:
        """Which of the extensions of type 152 this is."""
        return int(DualStackSubtype.PREFIX_REPLY)

    @property
    def network(self) -> IPv6Network | None:
        """The prefix, None where there is a link-local address in its place."""
        return _network(self.prefix, self.prefix_length)

    @property
    def accepts(self) -> bool:
        """Whether the prefix is registered: codes 0 to 7 (RFC 5454 section 5)."""
        return self.code < _FIRST_REJECTING_CODE

    @staticmethod
    def decode(data: bytes) -> "Ipv6PrefixReply":
        """Decode the octets behind Length. Raises WireError for what is to be skipped."""
        _subtype, code, length, prefix = _unpack(_REPLY, data)
        return Ipv6PrefixReply(code, _masked(prefix, length), length)

    def encode(self) -> bytes:
        """Encode the whole extension."""
        length = self.prefix_length
        return _framed(_REPLY.pack(self.subtype, self.code, length, self.prefix.packed))


class Ipv6TunnelingMode(Frozen, frozen=True):
    """IPv6 packets can be tunnelled to the care-of address, which is co-located."""

    @property
    def subtype(self) -> int:
        """Which of the extensions of type 152 this is."""
        return int(DualStackSubtype.TUNNELING_MODE)

    @staticmethod
    def decode(data: bytes) -> "Ipv6TunnelingMode":
        """Decode the octets behind Length. Raises WireError for what is to be skipped."""
        _unpack(_MODE, data)
        return Ipv6TunnelingMode()

    def encode(self) -> bytes:
        """Encode the whole extension."""
        return _framed(_MODE.pack(self.subtype))


DualStack = Ipv6PrefixRequest | Ipv6PrefixReply | Ipv6TunnelingMode


def decode_dual_stack(data: bytes) -> DualStack:
    """Decode the octets behind Length by their Subtype. Raises WireError for what is skipped."""
    match data[0] if data else 0:
        case DualStackSubtype.PREFIX_REQUEST:
            return Ipv6PrefixRequest.decode(data)
        case DualStackSubtype.PREFIX_REPLY:
            return Ipv6PrefixReply.decode(data)
        case DualStackSubtype.TUNNELING_MODE:
            return Ipv6TunnelingMode.decode(data)
        case subtype:
            raise WireError(_UNKNOWN, f"subtype {subtype}")


def _network(prefix: IPv6Address, length: int) -> IPv6Network | None:
    return None if length == LINK_LOCAL else IPv6Network((prefix, length))


def _masked(prefix: bytes, length: int) -> IPv6Address:
    """Bits beyond the Prefix Length are ignored by the receiver (2.1)."""
    if length == LINK_LOCAL:
        return IPv6Address(prefix)
    if length > _ADDRESS_BITS:
        raise WireError(_UNKNOWN, f"prefix length {length}")
    return IPv6Address(int.from_bytes(prefix, "big") & _ALL_ONES << _ADDRESS_BITS - length)


def _unpack(layout: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) != layout.size:
        raise WireError(_UNKNOWN, f"{len(data)} octets instead of {layout.size}")
    return layout.unpack(data)


def _framed(data: bytes) -> bytes:
    return bytes((int(ExtensionType.DUAL_STACK), len(data))) + data
