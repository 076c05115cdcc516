"""A datagram of UDP port 434, field by field under the RFCs' names.

A report is made once and then shown as text or as JSON, so that both say the same.
"""

import hmac
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Final

from msgspec import Struct, structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import compute
from flowbind.auth.replay import NTP_UNIX_OFFSET_S, distance_s
from flowbind.cli.captures import Datagram
from flowbind.cli.decode_rules import violations
from flowbind.cli.views import duration
from flowbind.model.match import describe_selector, why_nothing_matches
from flowbind.wire.authentication import Authentication
from flowbind.wire.errors import WireError
from flowbind.wire.extension import (
    Extension,
    MalformedExtension,
    Padding,
    UnknownExtension,
    walk_extensions,
)
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import (
    INFINITE_LIFETIME_S,
    ExtensionType,
    FlowAction,
    MessageType,
    MultipathSubtype,
)
from flowbind.wire.message import Message, decode, offset_of_extensions
from flowbind.wire.multipath import Multipath
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.names import (
    MESSAGE_NAMES,
    REQUEST_FLAG_NAMES,
    SELECTOR_FORMAT_NAMES,
    access_technology_name,
    extension_name,
    reply_code_class,
    reply_code_name,
)
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.traffic_selector import encode_selector

Keys = Mapping[int, tuple[SecurityAssociation, ...]]
Value = str | int | bool | list[str] | list[int] | None

_TUNNEL_HEADER_OCTETS: Final = 4
_NEXT_HEADERS: Final = {4: "IPv4", 41: "IPv6", 47: "GRE", 55: "minimal encapsulation"}
_ERA_1: Final = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=2**32 - NTP_UNIX_OFFSET_S)
"""When the seconds of NTP begin again at 0: 7 February 2036."""


class Field(Struct, frozen=True):
    """One field: its name for people, its key and value for programs.

    A field without `text` is for programs alone.
    """

    key: str
    value: Value
    name: str = ""
    text: str = ""
    good: bool | None = None


class Part(Struct, frozen=True):
    """One extension. `problem` says what is wrong with it."""

    type: int
    subtype: int | None
    name: str
    fields: tuple[Field, ...] = ()
    problem: str = ""


class Report(Struct, frozen=True):
    """What one datagram says, and what is wrong with it."""

    datagram: Datagram
    type: int | None = None
    message: str = ""
    fields: tuple[Field, ...] = ()
    extensions: tuple[Part, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def verdicts(self) -> list[Value]:
        """Of each authenticator whether it is right; None where no key is known."""
        fields = (field for part in self.extensions for field in part.fields)
        return [field.value for field in fields if field.key == "verified"]

    @property
    def sound(self) -> bool:
        """Tell whether nothing is wrong with it."""
        return not self.problems and not any(part.problem for part in self.extensions)


def report_on(datagram: Datagram, keys: Keys) -> Report:
    """Decode a datagram as far as it goes. Raises nothing."""
    payload = datagram.payload
    faults = (datagram.fault,) if datagram.fault else ()
    if not payload:
        name = "Malformed packet" if faults else "Empty datagram"
        return Report(datagram, message=name, problems=faults or ("no message in it",))
    kind = payload[0]
    name = MESSAGE_NAMES.get(kind, "Unknown message")
    if kind in {MessageType.REGISTRATION_REQUEST, MessageType.REGISTRATION_REPLY}:
        fields, parts, problems = _registration(payload, keys)
        return Report(datagram, kind, name, fields, parts, (*faults, *problems))
    if kind == MessageType.TUNNEL_DATA:
        fields, problems = _tunnel_data(payload)
        return Report(datagram, kind, name, fields, (), (*faults, *problems))
    data = Field("data", payload[1:].hex(), "Data", payload[1:].hex() or "none")
    if kind in MESSAGE_NAMES:
        return Report(datagram, kind, name, (data,), (), faults)
    return Report(datagram, kind, name, (data,), (), (*faults, f"message type {kind} is unknown"))


def _tunnel_data(payload: bytes) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    if len(payload) < _TUNNEL_HEADER_OCTETS:
        return (), (f"truncated: {len(payload)} octets are no MIP Tunnel Data",)
    number, inside = payload[1], len(payload) - _TUNNEL_HEADER_OCTETS
    name = _NEXT_HEADERS.get(number, "not for tunnels")
    return (
        Field("next_header", number, "Next Header", f"{number} ({name})"),
        Field("inner_octets", inside, "Inner packet", f"{inside} octets"),
    ), ()


def _registration(
    payload: bytes, keys: Keys
) -> tuple[tuple[Field, ...], tuple[Part, ...], tuple[str, ...]]:
    start = offset_of_extensions(payload)
    try:
        message = decode(payload[:start])
    except WireError as error:
        return (Field("data", payload.hex(), "Data", payload.hex()),), (), (str(error),)
    extensions: list[Extension] = []
    parts: list[Part] = []
    problems: list[str] = []
    reached = start
    try:
        for extension, reached in walk_extensions(payload, start):
            extensions.append(extension)
            parts.append(_part(extension, payload, reached, keys))
    except WireError as error:
        problems.append(f"{error}; from here on not decoded: {payload[reached:].hex()}")
    whole = structs.replace(message, extensions=tuple(extensions))
    if not problems:
        # Of half a message one cannot tell what it lacks.
        problems += violations(whole)
    return tuple(_fields(whole)), tuple(parts), tuple(problems)


def _fields(message: Message) -> Iterator[Field]:
    if isinstance(message, RegistrationRequest):
        yield _flags(message)
    else:
        name, decision = reply_code_name(message.code), reply_code_class(message.code)
        text = f"{message.code} ({name})" + ("" if decision == "accepted" else f", {decision}")
        yield Field("code", message.code, "Code", text, good=decision == "accepted")
        yield Field("code_name", name)
    yield Field("lifetime_s", message.lifetime_s, "Lifetime", _lifetime(message))
    yield _address("home_address", "Home Address", message.home_address)
    yield _address("home_agent", "Home Agent", message.home_agent)
    if isinstance(message, RegistrationRequest):
        yield _address("care_of_address", "Care-of Address", message.care_of_address)
    identification = f"0x{message.identification:016x}"
    at = moment(_ERA_1 + timedelta(seconds=distance_s(message.identification, 0)))
    yield Field("identification", identification, "Identification", f"{identification}, {at} UTC")
    yield Field("identification_time", at.replace(" ", "T") + "Z")


def _flags(request: RegistrationRequest) -> Field:
    found = [named for flag, named in REQUEST_FLAG_NAMES.items() if flag in request.flags]
    letters = [letter for letter, _name in found]
    text = ", ".join(f"{letter} ({name})" for letter, name in found)
    return Field("flags", letters, "Flags", text or "none")


def _lifetime(message: Message) -> str:
    lifetime_s = message.lifetime_s
    if isinstance(message, RegistrationReply) and reply_code_class(message.code) != "accepted":
        return f"{lifetime_s} s"
    if lifetime_s == 0:
        return "0 (deregistration)"
    if lifetime_s == INFINITE_LIFETIME_S:
        return f"{lifetime_s} (infinity)"
    return f"{lifetime_s} s ({duration(lifetime_s)})"


def _address(key: str, name: str, address: IPv4Address) -> Field:
    return Field(key, str(address), name, str(address))


def _part(extension: Extension, payload: bytes, behind: int, keys: Keys) -> Part:
    """Describe an extension; `behind` is the offset behind it."""
    subtype: int | None = None
    fields: tuple[Field, ...] = ()
    problem = ""
    match extension:
        case Padding():
            number = int(ExtensionType.PADDING)
        case Authentication():
            number, fields = int(extension.type), _authentication(extension, payload[:behind], keys)
        case NetworkAccessIdentifier():
            number = int(ExtensionType.NAI)
            fields = (Field("nai", extension.nai, "NAI", extension.nai),)
        case Multipath():
            number, subtype = int(ExtensionType.MULTIPATH), int(MultipathSubtype.MULTIPATH)
            fields = _multipath(extension)
        case FlowBinding():
            number, subtype = int(ExtensionType.MULTIPATH), int(MultipathSubtype.FLOW_BINDING)
            fields = _flow_binding(extension)
        case UnknownExtension() | MalformedExtension():
            number, subtype = extension.type, extension.subtype
            fields = (Field("data", extension.data.hex(), "Data", extension.data.hex() or "none"),)
    if isinstance(extension, MalformedExtension):
        detail = f" ({extension.detail})" if extension.detail else ""
        problem = f"{extension.reason}{detail}: a home agent answers {int(extension.code)}"
    return Part(number, subtype, extension_name(number, subtype), fields, problem)


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


def _authentication(extension: Authentication, payload: bytes, keys: Keys) -> tuple[Field, ...]:
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


def moment(at: datetime) -> str:
    """Write a moment to the microsecond."""
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")
