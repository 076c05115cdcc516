"""Extension framing (RFC 5944 1.8 to 1.11): a table says how each type is framed.

Three formats exist: simple and short begin with Type and a one-octet Length, long with Type,
Subtype and a two-octet Length. Nothing on the wire tells which one is meant, so the receiver must
know it by type. Type 154 is the trap: RFC 7629 calls it long and non-skippable although RFC 5944
makes 128 to 255 the skippable, short range.
"""

from collections.abc import Callable, Iterator
from enum import Enum, unique
from ipaddress import IPv4Address
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.authentication import AUTHENTICATION_TYPES, Authentication
from flowbind.wire.challenge import Challenge
from flowbind.wire.dual_stack import DualStack, decode_dual_stack
from flowbind.wire.dynamic_home_agent import ADDRESS_OCTETS, DynamicHomeAgent
from flowbind.wire.errors import WireError
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.gre_key import GreKey
from flowbind.wire.iana import (
    DynamicHomeAgentSubtype,
    ExtensionType,
    MessageStringSubtype,
    MultipathSubtype,
    ReplyCode,
)
from flowbind.wire.multipath import Multipath
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.revocation_support import RevocationSupport
from flowbind.wire.service_selection import ServiceSelection
from flowbind.wire.strings import ForeignAgentError, MessageString
from flowbind.wire.udp_tunnel import UdpTunnelReply, UdpTunnelRequest
from flowbind.wire.vendor import CriticalVendorExtension, NormalVendorExtension

FIRST_SKIPPABLE_TYPE: Final = 128
MAX_EXTENSIONS: Final = 256
"""A message with more is refused: no sender needs them, and to decode the 65,000 that fit into a
datagram, before anybody is authenticated, would cost as much as a thousand registrations.
"""

_PADDING: Final = int(ExtensionType.PADDING)
_MULTIPATH: Final = int(ExtensionType.MULTIPATH)
_MULTIPATH_SUBTYPE: Final = int(MultipathSubtype.MULTIPATH)
_FLOW_BINDING_SUBTYPE: Final = int(MultipathSubtype.FLOW_BINDING)
_MESSAGE_STRING: Final = int(ExtensionType.MESSAGE_STRING)
_NORMAL_VENDOR: Final = int(ExtensionType.NORMAL_VENDOR)
_DUAL_STACK: Final = int(ExtensionType.DUAL_STACK)
_DYNAMIC_HOME_AGENT: Final = int(ExtensionType.DYNAMIC_HOME_AGENT)
_DYNAMIC_HOME_AGENT_SUBTYPES: Final = frozenset(map(int, DynamicHomeAgentSubtype))
_GRE_KEY: Final = int(ExtensionType.GRE_KEY)
_UDP_TUNNEL_REPLY: Final = int(ExtensionType.UDP_TUNNEL_REPLY)
_UDP_TUNNEL_REQUEST: Final = int(ExtensionType.UDP_TUNNEL_REQUEST)
_SPEAKERS: Final = frozenset(map(int, MessageStringSubtype))
_LONG_DYNAMIC_HOME_AGENTS: Final = frozenset(
    bytes((subtype, 0, ADDRESS_OCTETS)) for subtype in _DYNAMIC_HOME_AGENT_SUBTYPES
)
"""How one goes on behind its type: a subtype, and the Length of an address."""


@unique
class Framing(Enum):
    """How the header of an extension is laid out."""

    PADDING = "padding"
    SIMPLE = "simple"
    SHORT = "short"
    LONG = "long"


class Registered(Frozen, frozen=True):
    """One row of the registry: the extension's name, its framing, and whether it may be skipped."""

    name: str
    framing: Framing
    skippable: bool


def _rows(framing: Framing, skippable: bool, names: dict[int, str]) -> dict[int, Registered]:
    return {number: Registered(name, framing, skippable) for number, name in names.items()}


REGISTRY: Final[dict[int, Registered]] = {
    0: Registered("One-byte Padding", Framing.PADDING, skippable=True),
    **_rows(
        Framing.SIMPLE,
        False,
        {
            32: "Mobile-Home Authentication",
            33: "Mobile-Foreign Authentication",
            34: "Foreign-Home Authentication",
            46: "GFA IP Address",
        },
    ),
    **_rows(
        Framing.SHORT,
        False,
        {44: "UDP Tunnel Reply", 45: "FA Error", 49: "Route Optimization"},
    ),
    **_rows(
        Framing.LONG,
        False,
        {
            36: "Generalized Mobile IP Authentication",
            38: "Critical Vendor/Organization Specific",
            40: "Generalized MN-FA Key Generation Nonce Request",
            41: "Generalized MN-FA Key Generation Nonce Reply",
            42: "Generalized MN-HA Key Generation Nonce Request",
            43: "Generalized MN-HA Key Generation Nonce Reply",
            47: "PMIPv4 Non-Skippable",
            48: "GRE Key",
            50: "Route Optimization Data",
            127: "Experimental (non-skippable)",
            154: "Multipath",
        },
    ),
    **_rows(
        Framing.SIMPLE,
        True,
        {
            129: "SKIP Firewall Traversal",
            130: "Encapsulating Delivery Style",
            131: "Mobile Node NAI",
            132: "MN-FA Challenge",
            134: "Normal Vendor/Organization Specific",
            137: "Registration Revocation Support",
            140: "Hierarchical Foreign Agent",
            141: "Replay Protection Style",
            142: "Regional Registration Lifetime",
            151: "Service Selection",
        },
    ),
    **_rows(
        Framing.SHORT,
        True,
        {
            136: "NAI Carrying",
            138: "Generalized Link-Layer Address",
            139: "Dynamic Home Agent",
            144: "UDP Tunnel Request",
            145: "Message String",
            147: "PMIPv4 Skippable",
            148: "Mobile Network",
            149: "Trusted Networks Configured",
            152: "Dual Stack",
            153: "Mobile Router Route Optimization Capability",
            255: "Experimental (skippable)",
        },
    ),
}

_LONG_TYPES: Final = frozenset(
    number for number, row in REGISTRY.items() if row.framing is Framing.LONG
)
_SHORT_HEADER_OCTETS: Final = 2
_LONG_HEADER_OCTETS: Final = 4


class Padding(Frozen, frozen=True):
    """One octet of padding."""

    def encode(self) -> bytes:
        """Encode the octet."""
        return b"\x00"


class UnknownExtension(Frozen, frozen=True):
    """An extension that is framed but given no meaning here. `data` is what Length counts."""

    type: int
    data: bytes
    subtype: int | None = None

    def encode(self) -> bytes:
        """Encode the whole extension as it came."""
        if self.subtype is not None:
            return long_header(self.type, self.subtype, len(self.data)) + self.data
        return bytes((self.type, len(self.data))) + self.data


class MalformedExtension(Frozen, frozen=True):
    """An extension whose frame is sound and whose content is not.

    It does not stop the decoder, because a home agent answers it with `code` only after it has
    authenticated the request.
    """

    type: int
    data: bytes
    reason: str
    code: ReplyCode
    subtype: int | None = None
    detail: str = ""

    def encode(self) -> bytes:
        """Encode the whole extension as it came."""
        return UnknownExtension(self.type, self.data, self.subtype).encode()


Extension = (
    Padding
    | Authentication
    | GeneralizedAuthentication
    | NetworkAccessIdentifier
    | Multipath
    | FlowBinding
    | Challenge
    | RevocationSupport
    | MessageString
    | ForeignAgentError
    | ServiceSelection
    | DynamicHomeAgent
    | DualStack
    | UdpTunnelRequest
    | UdpTunnelReply
    | GreKey
    | CriticalVendorExtension
    | NormalVendorExtension
    | UnknownExtension
    | MalformedExtension
)


def long_header(extension_type: int, subtype: int, octets: int) -> bytes:
    """Type, Subtype and the two-octet Length (RFC 5944 1.10)."""
    return bytes((extension_type, subtype)) + octets.to_bytes(2, "big")


def decode_extensions(payload: bytes, start: int) -> tuple[Extension, ...]:
    """Decode all extensions from offset `start` to the end of the payload (RFC 5944 1.8).

    Raises WireError, with code None, where RFC 5944 asks for silence.
    """
    return tuple(
        [
            _decode_one(extension_type, subtype, payload[begin:behind])
            for extension_type, subtype, begin, behind in _frames(payload, start)
        ]
    )


def walk_extensions(payload: bytes, start: int) -> Iterator[tuple[Extension, int]]:
    """Decode one extension after the other, each with the offset behind it.

    Raises WireError as `decode_extensions` does, but not before what precedes has been given out.
    """
    for extension_type, subtype, begin, behind in _frames(payload, start):
        yield _decode_one(extension_type, subtype, payload[begin:behind]), behind


def spans_of_extensions(payload: bytes, start: int) -> list[tuple[int, int, int]]:
    """Return (type, first offset, offset behind it) of each extension, looking at frames only."""
    spans: list[tuple[int, int, int]] = []
    first = start
    for extension_type, _subtype, _begin, behind in _frames(payload, start):
        spans.append((extension_type, first, behind))
        first = behind
    return spans


def _decode_one(extension_type: int, subtype: int | None, data: bytes) -> Extension:
    if extension_type == _PADDING:
        return Padding()
    try:
        return _decode_content(extension_type, subtype, data)
    except WireError as error:
        if error.code is None:
            raise
        return MalformedExtension(
            extension_type, data, error.reason, error.code, subtype, error.detail
        )


def _frames(payload: bytes, start: int) -> Iterator[tuple[int, int | None, int, int]]:
    """Give type and subtype of each extension, and the offsets where its data begin and end.

    Octets are looked up in place: every message is walked twice, to decode and to verify it.
    """
    end = len(payload)
    if start > end:
        raise _truncated(start, end)
    at = start
    count = 0
    while at < end:
        count += 1
        if count > MAX_EXTENSIONS:
            raise WireError("too-many-extensions", f"more than {MAX_EXTENSIONS}")
        extension_type = payload[at]
        subtype: int | None = None
        if extension_type == _PADDING:
            begin = behind = at + 1
        elif _is_long(payload, at):
            begin = at + _LONG_HEADER_OCTETS
            if begin > end:
                raise _truncated(_LONG_HEADER_OCTETS, end - at)
            subtype = payload[at + 1]
            behind = begin + (payload[at + 2] << 8 | payload[at + 3])
        else:
            begin = at + _SHORT_HEADER_OCTETS
            if begin > end:
                raise _truncated(_SHORT_HEADER_OCTETS, end - at)
            behind = begin + payload[at + 1]
        if behind > end:
            raise _truncated(behind - begin, end - begin)
        yield extension_type, subtype, begin, behind
        at = behind


def _is_long(payload: bytes, at: int) -> bool:
    """Tell whether an extension is of the long format. Raises WireError if nobody knows."""
    extension_type = payload[at]
    if extension_type in _LONG_TYPES:
        return True
    if extension_type == _DYNAMIC_HOME_AGENT:
        return _is_long_dynamic_home_agent(payload, at)
    if extension_type < FIRST_SKIPPABLE_TYPE and extension_type not in REGISTRY:
        raise WireError("unknown-extension", f"type {extension_type} may not be skipped")
    return False


def _is_long_dynamic_home_agent(payload: bytes, at: int) -> bool:
    """The figure of RFC 4433 is long, its erratum 898 short. In the long one an address follows."""
    return payload[at + 1 : at + _LONG_HEADER_OCTETS] in _LONG_DYNAMIC_HOME_AGENTS


def _truncated(wanted: int, left: int) -> WireError:
    return WireError("truncated", f"{wanted} octets wanted, {left} left")


def _decode_content(extension_type: int, subtype: int | None, data: bytes) -> Extension:
    authentication_type = AUTHENTICATION_TYPES.get(extension_type)
    if authentication_type is not None:
        return Authentication.decode(authentication_type, data)
    decode = _DECODERS.get(extension_type)
    return decode(subtype, data) if decode else UnknownExtension(extension_type, data, subtype)


def _multipath(subtype: int | None, data: bytes) -> Extension:
    if subtype == _MULTIPATH_SUBTYPE:
        return Multipath.decode(data)
    if subtype == _FLOW_BINDING_SUBTYPE:
        return FlowBinding.decode(data)
    raise WireError("unknown-extension", f"type 154 subtype {subtype}")


def _generalized_authentication(subtype: int | None, data: bytes) -> Extension:
    return GeneralizedAuthentication.decode(subtype or 0, data)


def _dynamic_home_agent(subtype: int | None, data: bytes) -> Extension:
    if subtype is not None:
        return DynamicHomeAgent(subtype, IPv4Address(data), long=True)
    if len(data) == 1 + ADDRESS_OCTETS and data[0] in _DYNAMIC_HOME_AGENT_SUBTYPES:
        return DynamicHomeAgent(data[0], IPv4Address(data[1:]))
    return UnknownExtension(_DYNAMIC_HOME_AGENT, data)


def _message_string(_subtype: int | None, data: bytes) -> Extension:
    if len(data) > 1 and data[0] in _SPEAKERS:
        return MessageString(data[0], data[1:])
    return UnknownExtension(_MESSAGE_STRING, data)


def _normal_vendor(_subtype: int | None, data: bytes) -> Extension:
    try:
        return NormalVendorExtension.decode(data)
    except WireError:
        # One of a vendor that nobody knows is skipped (RFC 3115 2.3): so is one that names none.
        return UnknownExtension(_NORMAL_VENDOR, data)


def _dual_stack(_subtype: int | None, data: bytes) -> Extension:
    try:
        return decode_dual_stack(data)
    except WireError:
        return UnknownExtension(_DUAL_STACK, data)


def _udp_tunnel_request(_subtype: int | None, data: bytes) -> Extension:
    try:
        return UdpTunnelRequest.decode(data)
    except WireError:
        return UnknownExtension(_UDP_TUNNEL_REQUEST, data)


def _udp_tunnel_reply(_subtype: int | None, data: bytes) -> Extension:
    try:
        return UdpTunnelReply.decode(data)
    except WireError:
        # Of no meaning to whoever gets it, which for its type is the end of the message.
        return UnknownExtension(_UDP_TUNNEL_REPLY, data)


def _gre_key(subtype: int | None, data: bytes) -> Extension:
    try:
        return GreKey.decode(subtype, data)
    except WireError:
        return UnknownExtension(_GRE_KEY, data, subtype)


def _whole(decode: Callable[[bytes], Extension]) -> Callable[[int | None, bytes], Extension]:
    """Make a decoder of all data, for a type without subtypes."""
    return lambda _subtype, data: decode(data)


_DECODERS: Final[dict[int, Callable[[int | None, bytes], Extension]]] = {
    _MULTIPATH: _multipath,
    int(ExtensionType.NAI): _whole(NetworkAccessIdentifier.decode),
    int(ExtensionType.GENERALIZED_AUTHENTICATION): _generalized_authentication,
    int(ExtensionType.CRITICAL_VENDOR): _whole(CriticalVendorExtension.decode),
    int(ExtensionType.FA_ERROR): _whole(ForeignAgentError.decode),
    int(ExtensionType.CHALLENGE): _whole(Challenge.decode),
    _NORMAL_VENDOR: _normal_vendor,
    int(ExtensionType.REVOCATION_SUPPORT): _whole(RevocationSupport.decode),
    _DUAL_STACK: _dual_stack,
    _DYNAMIC_HOME_AGENT: _dynamic_home_agent,
    _MESSAGE_STRING: _message_string,
    _UDP_TUNNEL_REQUEST: _udp_tunnel_request,
    _UDP_TUNNEL_REPLY: _udp_tunnel_reply,
    _GRE_KEY: _gre_key,
    int(ExtensionType.SERVICE_SELECTION): _whole(ServiceSelection.decode),
}
