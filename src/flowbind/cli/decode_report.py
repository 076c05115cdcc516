"""A datagram of UDP port 434, field by field under the RFCs' names.

A report is made once and then shown as text or as JSON, so that both say the same.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct, structs

from flowbind.cli.captures import Datagram
from flowbind.cli.decode_extensions import Keys, Part, part_of
from flowbind.cli.decode_fields import Field, Value, tunnel_name
from flowbind.cli.decode_messages import fields_of
from flowbind.cli.decode_rules import violations
from flowbind.wire.errors import WireError
from flowbind.wire.extension import Extension, walk_extensions
from flowbind.wire.iana import MessageType
from flowbind.wire.message import decode, offset_of_extensions
from flowbind.wire.names import MESSAGE_NAMES

_TUNNEL_HEADER_OCTETS: Final = 4


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
    if kind == MessageType.TUNNEL_DATA:
        fields, problems = _tunnel_data(payload)
        return Report(datagram, kind, name, fields, (), (*faults, *problems))
    if kind in set(MessageType):
        fields, parts, problems = _with_extensions(payload, datagram.at, keys)
        return Report(datagram, kind, name, fields, parts, (*faults, *problems))
    data = Field("data", payload[1:].hex(), "Data", payload[1:].hex() or "none")
    if kind in MESSAGE_NAMES:
        return Report(datagram, kind, name, (data,), (), faults)
    return Report(datagram, kind, name, (data,), (), (*faults, f"message type {kind} is unknown"))


def _tunnel_data(payload: bytes) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    if len(payload) < _TUNNEL_HEADER_OCTETS:
        return (), (f"truncated: {len(payload)} octets are no MIP Tunnel Data",)
    number, inside = payload[1], len(payload) - _TUNNEL_HEADER_OCTETS
    return (
        Field("next_header", number, "Next Header", f"{number} ({tunnel_name(number)})"),
        Field("inner_octets", inside, "Inner packet", f"{inside} octets"),
    ), ()


def _with_extensions(
    payload: bytes, captured_at: datetime | None, keys: Keys
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
            parts.append(part_of(extension, payload, reached, keys))
    except WireError as error:
        problems.append(f"{error}; from here on not decoded: {payload[reached:].hex()}")
    whole = structs.replace(message, extensions=tuple(extensions))
    if not problems:
        # Of half a message one cannot tell what it lacks.
        problems += violations(whole)
    return tuple(fields_of(whole, captured_at)), tuple(parts), tuple(problems)
