"""Extensions that flowbind reads and does not speak: those whose content is a few fields.

They say nothing to an engine, so they have no place in `wire/`.
"""

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct

from flowbind.cli.decode_fields import Field, tunnel_name
from flowbind.wire.names import UNASSIGNED
from flowbind.wire.udp_tunnel import UdpTunnelReply, UdpTunnelRequest

_LINK_LOCAL: Final = 255
"""What Prefix Length is where the field holds a link-local address (RFC 5454 2.2)."""

_FIRST_REJECTING_CODE: Final = 8
_UDP_TUNNEL_CODES: Final = {0: "will do tunnelling", 64: "declined, reason unspecified"}
_MOBILE_NETWORK_CODES: Final = {
    0: "success",
    1: "invalid prefix",
    2: "mobile router is not authorized for the prefix",
    3: "forwarding setup failed",
    4: "requested prefix is not assigned",
}
_IPV6_PREFIX_CODES: Final = {
    0: "accepted, tunnelled to the home address",
    1: "accepted, tunnelled to the care-of address",
    8: "rejected, reason unspecified",
    9: "rejected, administratively prohibited",
}


class _Reader(Struct, frozen=True):
    """How the data of an extension is laid out, and how its fields are shown."""

    layout: struct.Struct
    fields: Callable[..., tuple[Field, ...]]


def fields_of_other(number: int, subtype: int | None, data: bytes) -> tuple[Field, ...]:
    """Describe the data of an extension."""
    octets, reader = data.hex(), _reader_of(number, subtype)
    if reader is None or len(data) != reader.layout.size:
        return (Field("data", octets, "Data", octets or "none"),)
    return (*reader.fields(*reader.layout.unpack(data)), Field("data", octets))


def fault_of_other(number: int, subtype: int | None, data: bytes) -> str:
    """Say what is wrong with the data of an extension, if anything is."""
    reader = _reader_of(number, subtype)
    if reader is None or len(data) == reader.layout.size:
        return ""
    return f"{len(data)} octets instead of {reader.layout.size}"


def _reader_of(number: int, subtype: int | None) -> _Reader | None:
    return None if subtype is None else _READERS.get((number, subtype))


def fields_of_udp_tunnel_request(extension: UdpTunnelRequest) -> tuple[Field, ...]:
    """Describe a UDP Tunnel Request (RFC 3519 3.1)."""
    encapsulation = extension.encapsulation
    force, through = extension.force, extension.through_foreign_agent
    name = tunnel_name(encapsulation) if encapsulation else "as the flags M and G say"
    return (
        Field("force", force, "F", "1 (with or without a NAT)" if force else "0"),
        Field("through_foreign_agent", through, "R",
              "1 (registered through a foreign agent)" if through else "0"),
        Field("encapsulation", encapsulation, "Encapsulation", f"{encapsulation} ({name})"),
    )  # fmt: skip


def fields_of_udp_tunnel_reply(extension: UdpTunnelReply) -> tuple[Field, ...]:
    """Describe a UDP Tunnel Reply (RFC 3519 3.2)."""
    keepalive_s, forced = extension.keepalive_interval_s, extension.forced
    interval = f"{keepalive_s} s" if keepalive_s else "0 (the mobile node's own)"
    return (
        *_code(extension.code, _UDP_TUNNEL_CODES, good=extension.assents),
        Field("force", forced, "F", "1 (forced by the request)" if forced else "0"),
        Field("keepalive_interval_s", keepalive_s, "Keepalive Interval", interval),
    )


def _gre_key(number: int) -> tuple[Field, ...]:
    return (Field("gre_key", number, "Key Identifier", f"{number} (0x{number:08x})"),)


def _mobile_network(length: int, prefix: int) -> tuple[Field, ...]:
    return (_prefix(f"{IPv4Address(prefix)}/{length}"),)


def _mobile_network_acknowledgement(code: int, length: int, prefix: int) -> tuple[Field, ...]:
    return (
        *_code(code, _MOBILE_NETWORK_CODES, good=code == 0),
        *_mobile_network(length, prefix),
    )


def _ipv6_prefix(length: int, prefix: bytes) -> tuple[Field, ...]:
    address = IPv6Address(prefix)
    if length == _LINK_LOCAL:
        return (_prefix(str(address), "a link-local address"),)
    return (_prefix(f"{address}/{length}"),)


def _ipv6_prefix_reply(code: int, length: int, prefix: bytes) -> tuple[Field, ...]:
    return (
        *_code(code, _IPV6_PREFIX_CODES, good=code < _FIRST_REJECTING_CODE),
        *_ipv6_prefix(length, prefix),
    )


def _nothing() -> tuple[Field, ...]:
    return ()


def _prefix(prefix: str, note: str = "") -> Field:
    return Field("prefix", prefix, "Prefix", f"{prefix} ({note})" if note else prefix)


def _code(code: int, names: dict[int, str], *, good: bool) -> tuple[Field, ...]:
    name = names.get(code, UNASSIGNED)
    return Field("code", code, "Code", f"{code} ({name})", good=good), Field("code_name", name)


_READERS: Final[dict[tuple[int, int], _Reader]] = {
    # Of the short formats the subtype comes first. RFC 6245 5
    (48, 0): _Reader(struct.Struct("!I"), _gre_key),
    # RFC 5177 4.1 and 4.2
    (148, 0): _Reader(struct.Struct("!xBI"), _mobile_network),
    (148, 1): _Reader(struct.Struct("!xBBxI"), _mobile_network_acknowledgement),
    (148, 2): _Reader(struct.Struct("!xBBxI"), _mobile_network_acknowledgement),
    # RFC 5454 2.1 to 2.3
    (152, 1): _Reader(struct.Struct("!xB16s"), _ipv6_prefix),
    (152, 2): _Reader(struct.Struct("!xBBx16s"), _ipv6_prefix_reply),
    (152, 3): _Reader(struct.Struct("!xx"), _nothing),
}
