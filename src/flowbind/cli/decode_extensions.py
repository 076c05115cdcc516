"""Each extension of a message, field by field under the RFCs' names."""

import hmac
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import compute
from flowbind.cli.decode_fields import Field
from flowbind.cli.decode_others import (
    fault_of_other,
    fields_of_other,
    fields_of_udp_tunnel_reply,
    fields_of_udp_tunnel_request,
)
from flowbind.model.match import describe_selector, why_nothing_matches
from flowbind.wire.authentication import Authentication
from flowbind.wire.challenge import Challenge
from flowbind.wire.dual_stack import Ipv6PrefixReply, Ipv6PrefixRequest, Ipv6TunnelingMode
from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.extension import (
    FIRST_SKIPPABLE_TYPE,
    Extension,
    MalformedExtension,
    Padding,
    UnknownExtension,
)
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.gre_key import SUBTYPE as GRE_KEY_SUBTYPE
from flowbind.wire.gre_key import GreKey
from flowbind.wire.iana import ExtensionType, FlowAction, MultipathSubtype
from flowbind.wire.multipath import Multipath
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.names import (
    SELECTOR_FORMAT_NAMES,
    SUBTYPE_NAMES,
    access_technology_name,
    extension_name,
    reply_code_class,
    reply_code_name,
    subtype_name,
)
from flowbind.wire.revocation_support import RevocationSupport
from flowbind.wire.service_selection import ServiceSelection
from flowbind.wire.strings import ForeignAgentError, MessageString
from flowbind.wire.traffic_selector import encode_selector
from flowbind.wire.udp_tunnel import UdpTunnelReply, UdpTunnelRequest
from flowbind.wire.vendor import CriticalVendorExtension, NormalVendorExtension

Keys = Mapping[int, tuple[SecurityAssociation, ...]]

_INTERPRETED: Final = frozenset(map(int, ExtensionType))
_SHORT_HEADER_OCTETS: Final = 2
_UDP_TUNNEL_OCTETS: Final = 6
_KEY_OCTETS: Final = 4


class Part(Struct, frozen=True):
    """One extension. `problem` says what is wrong with it."""

    type: int
    subtype: int | None
    name: str
    subtype_name: str | None
    fields: tuple[Field, ...] = ()
    problem: str = ""


def part_of(extension: Extension, payload: bytes, behind: int, keys: Keys) -> Part:
    """Describe an extension; `behind` is the offset behind it."""
    number, subtype = extension.encode()[0], _subtype_of(extension)
    return Part(
        number,
        subtype,
        extension_name(number, subtype),
        None if subtype is None else subtype_name(number, subtype),
        _fields_of(extension, subtype, payload[:behind], keys),
        _problem_of(extension, subtype),
    )


def _subtype_of(extension: Extension) -> int | None:
    match extension:
        case Multipath():
            return int(MultipathSubtype.MULTIPATH)
        case FlowBinding():
            return int(MultipathSubtype.FLOW_BINDING)
        case ForeignAgentError() | UdpTunnelRequest() | UdpTunnelReply() | GreKey():
            return 0
        case (
            GeneralizedAuthentication()
            | MessageString()
            | DynamicHomeAgent()
            | Ipv6PrefixRequest()
            | Ipv6PrefixReply()
            | Ipv6TunnelingMode()
        ):
            return extension.subtype
        case UnknownExtension() | MalformedExtension():
            return _subtype_of_other(extension)
        case _:
            return None


def _subtype_of_other(extension: UnknownExtension | MalformedExtension) -> int | None:
    """Find where a type has its subtype: in the header, in front of the data, or nowhere."""
    if extension.type not in SUBTYPE_NAMES:
        return None
    if extension.subtype is None and extension.data:
        return extension.data[0]
    return extension.subtype


def _problem_of(extension: Extension, subtype: int | None) -> str:
    match extension:
        case MalformedExtension(reason=reason, detail=detail, code=code):
            why = f" ({detail})" if detail else ""
            return f"{reason}{why}: a home agent answers {int(code)}"
        case UnknownExtension(type=number) if number in _INTERPRETED:
            skipped = "passes over it" if number >= FIRST_SKIPPABLE_TYPE else "discards the message"
            return f"it makes no sense: a receiver {skipped}"
        case UnknownExtension(type=number, data=data):
            return fault_of_other(number, subtype, data)
        case _:
            return ""


def _fields_of(
    extension: Extension, subtype: int | None, payload: bytes, keys: Keys
) -> tuple[Field, ...]:
    """Return the fields of an extension, with which `payload` ends."""
    match extension:
        case Authentication() | GeneralizedAuthentication():
            fields = _authentication(extension, payload, keys)
        case Multipath():
            fields = _multipath(extension)
        case FlowBinding():
            fields = _flow_binding(extension)
        case UnknownExtension():
            fields = fields_of_other(extension.type, subtype, extension.data)
        case MalformedExtension():
            octets = extension.data.hex()
            fields = (Field("data", octets, "Data", octets or "none"),)
        case Padding():
            fields = ()
        case UdpTunnelRequest():
            fields = (*fields_of_udp_tunnel_request(extension), _udp_tunnel_octets(payload))
        case UdpTunnelReply():
            fields = (*fields_of_udp_tunnel_reply(extension), _udp_tunnel_octets(payload))
        case Ipv6PrefixRequest() | Ipv6PrefixReply() | Ipv6TunnelingMode():
            fields = _dual_stack(extension, payload)
        case _:
            fields = _fields_of_simple(extension)
    return fields


def _dual_stack(
    extension: Ipv6PrefixRequest | Ipv6PrefixReply | Ipv6TunnelingMode, payload: bytes
) -> tuple[Field, ...]:
    """Describe the octets as they came, with which `payload` ends."""
    number, subtype = int(ExtensionType.DUAL_STACK), extension.subtype
    size = len(extension.encode()) - _SHORT_HEADER_OCTETS
    return fields_of_other(number, subtype, payload[len(payload) - size :])


def _udp_tunnel_octets(payload: bytes) -> Field:
    return Field("data", payload[-_UDP_TUNNEL_OCTETS:].hex())


def _fields_of_simple(
    extension: NetworkAccessIdentifier
    | Challenge
    | RevocationSupport
    | MessageString
    | ForeignAgentError
    | ServiceSelection
    | DynamicHomeAgent
    | GreKey
    | CriticalVendorExtension
    | NormalVendorExtension,
) -> tuple[Field, ...]:
    fields: tuple[Field, ...]
    match extension:
        case NetworkAccessIdentifier(nai=nai):
            fields = (Field("nai", nai, "NAI", nai),)
        case Challenge(value=value):
            fields = (Field("challenge", value.hex(), "Challenge", value.hex()),)
        case RevocationSupport():
            fields = _revocation_support(extension)
        case MessageString(text=text):
            fields = (Field("text", text, "Text", text),)
        case ForeignAgentError(status=status):
            fields = _foreign_agent_error(status)
        case ServiceSelection(identifier=identifier):
            fields = (Field("service", identifier, "Service", identifier),)
        case GreKey(key=key):
            octets = key.to_bytes(_KEY_OCTETS, "big")
            fields = fields_of_other(int(ExtensionType.GRE_KEY), GRE_KEY_SUBTYPE, octets)
        case DynamicHomeAgent(home_agent=home_agent):
            fields = (Field("home_agent", str(home_agent), "Home Agent", str(home_agent)),)
        case CriticalVendorExtension() | NormalVendorExtension():
            fields = _vendor(extension)
    return fields


def _foreign_agent_error(status: int) -> tuple[Field, ...]:
    name = reply_code_name(status)
    text = f"{status} ({name}), {reply_code_class(status)}"
    return (Field("status", status, "Status", text, good=False), Field("status_name", name))


def _revocation_support(extension: RevocationSupport) -> tuple[Field, ...]:
    inform = extension.inform
    return (
        Field("inform", inform, "I", "1 (the mobile node may be informed)" if inform else "0"),
        Field("timestamp", extension.timestamp, "Timestamp", str(extension.timestamp)),
    )


def _vendor(extension: CriticalVendorExtension | NormalVendorExtension) -> tuple[Field, ...]:
    value = extension.value.hex()
    return (
        Field("vendor", extension.vendor, "Vendor", str(extension.vendor)),
        Field("vendor_type", extension.vendor_type, "Vendor Type", str(extension.vendor_type)),
        Field("value", value, "Value", value or "none"),
    )


def _multipath(extension: Multipath) -> tuple[Field, ...]:
    number, name = extension.access_technology, access_technology_name(extension.access_technology)
    return (
        Field("access_technology", number, "If-ATT", f"{number} ({name})"),
        Field("access_technology_name", name),
        Field("label", extension.label, "If-Label", str(extension.label)),
        Field("bid", extension.bid, "Binding ID", str(extension.bid)),
        Field("bulk", extension.bulk, "B", "1 (bulk re-registration)" if extension.bulk else "0"),
        Field(
            "overwrite", extension.overwrite, "O", "1 (overwrite)" if extension.overwrite else "0"
        ),
    )


def _flow_binding(extension: FlowBinding) -> tuple[Field, ...]:
    bids = list(extension.bids)
    dropped = extension.action is FlowAction.DROP
    selector = extension.selector
    match = describe_selector(selector)
    nothing = why_nothing_matches(selector)
    return (
        Field("action", extension.action.name, "Action",
              f"{int(extension.action)} ({extension.action.name})"),
        Field("bids", bids, "Binding IDs",
              f"{bids[0]} (ignored)" if dropped else ", else ".join(map(str, bids))),
        Field("ts_format", int(selector.format), "TS Format",
              f"{int(selector.format)} ({SELECTOR_FORMAT_NAMES[selector.format]})"),
        Field("match", match, "Traffic Selector",
              f"{match} (matches nothing: {nothing})" if nothing else match),
        Field("selector", encode_selector(selector).hex()),
    )  # fmt: skip


def _authentication(
    extension: Authentication | GeneralizedAuthentication, payload: bytes, keys: Keys
) -> tuple[Field, ...]:
    """Describe and verify an authentication extension, with which `payload` ends."""
    known = keys.get(extension.spi)
    covered = payload[: len(payload) - len(extension.authenticator)]
    verified: bool | None = None
    if known:
        verified = any(
            hmac.compare_digest(compute(covered, association), extension.authenticator)
            for association in known
        )
    octets = extension.authenticator.hex() or "none"
    verdict = {True: "  verified", False: "  WRONG", None: ""}[verified]
    return (
        Field("spi", extension.spi, "SPI", str(extension.spi)),
        Field("authenticator", extension.authenticator.hex(), "Authenticator", octets + verdict,
              good=verified),
        Field("verified", verified),
    )  # fmt: skip
