"""The fixed part of each message, field by field under the RFCs' names."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.replay import NTP_UNIX_OFFSET_S, distance_s
from flowbind.cli.decode_fields import Field, moment
from flowbind.cli.views import duration
from flowbind.wire.iana import INFINITE_LIFETIME_S
from flowbind.wire.message import Message
from flowbind.wire.names import (
    DIRECTION_NAMES,
    REQUEST_FLAG_NAMES,
    UNASSIGNED,
    notification_code_name,
    reply_code_class,
    reply_code_name,
)
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment

_ERA_1: Final = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=2**32 - NTP_UNIX_OFFSET_S)
"""When the seconds of NTP begin again at 0: 7 February 2036."""

_FAR_AWAY: Final = timedelta(days=366)
"""How far from its capture a date is not shown: it is nonces, or a clock that nobody has set."""


def fields_of(message: Message, captured_at: datetime | None) -> Iterator[Field]:
    """Describe a message without its extensions."""
    match message:
        case RegistrationRequest():
            yield _flags(message)
            yield Field("lifetime_s", message.lifetime_s, "Lifetime", _lifetime(message.lifetime_s))
            yield _address("home_address", "Home Address", message.home_address)
            yield _address("home_agent", "Home Agent", message.home_agent)
            yield _address("care_of_address", "Care-of Address", message.care_of_address)
            yield from _identification(message.identification, captured_at)
        case RegistrationReply():
            yield from _of_reply(message, captured_at)
        case Revocation() | RevocationAcknowledgment():
            yield from _of_revocation(message)
        case GenericNotification() | NotificationAcknowledgment():
            yield from _of_notification(message, captured_at)


def _of_reply(reply: RegistrationReply, captured_at: datetime | None) -> Iterator[Field]:
    name, decision = reply_code_name(reply.code), reply_code_class(reply.code)
    accepted = decision == "accepted"
    text = f"{reply.code} ({name})" + ("" if accepted else f", {decision}")
    yield Field("code", reply.code, "Code", text, good=accepted)
    yield Field("code_name", name)
    lifetime = _lifetime(reply.lifetime_s) if accepted else f"{reply.lifetime_s} s"
    yield Field("lifetime_s", reply.lifetime_s, "Lifetime", lifetime)
    yield _address("home_address", "Home Address", reply.home_address)
    yield _address("home_agent", "Home Agent", reply.home_agent)
    yield from _identification(reply.identification, captured_at)


def _of_revocation(message: Revocation | RevocationAcknowledgment) -> Iterator[Field]:
    if isinstance(message, Revocation):
        by = "the home agent" if message.by_home_agent else "the foreign agent"
        yield Field("by_home_agent", message.by_home_agent, "A",
                    f"{int(message.by_home_agent)} (sent by {by})")  # fmt: skip
    yield Field("inform", message.inform, "I", str(int(message.inform)))
    yield _address("home_address", "Home Address", message.home_address)
    if isinstance(message, Revocation):
        yield _address("home_domain", "Home Domain Address", message.home_domain)
        yield _address("foreign_domain", "Foreign Domain Address", message.foreign_domain)
    identifier = str(message.identifier)
    yield Field("revocation_identifier", message.identifier, "Revocation Identifier", identifier)


def _of_notification(
    message: GenericNotification | NotificationAcknowledgment, captured_at: datetime | None
) -> Iterator[Field]:
    direction = DIRECTION_NAMES.get(message.direction, UNASSIGNED)
    text = f"{message.direction} ({direction})"
    yield Field("direction", message.direction, "Message Direction", text)
    if isinstance(message, GenericNotification):
        wanted = "1 (acknowledgment required)" if message.acknowledge else "0"
        yield Field("acknowledge", message.acknowledge, "A", wanted)
    else:
        name = notification_code_name(message.code)
        text = f"{message.code} ({name})"
        yield Field("code", message.code, "Code", text, good=message.code == 0)
        yield Field("code_name", name)
    yield _address("home_address", "Home Address", message.home_address)
    yield _address("home_agent", "Home Agent", message.home_agent)
    yield _address("care_of_address", "Care-of Address", message.care_of_address)
    yield from _identification(message.identification, captured_at)


def _identification(number: int, captured_at: datetime | None) -> Iterator[Field]:
    """Show what it means as a timestamp, unless that is absurd."""
    identification = f"0x{number:016x}"
    at = _ERA_1 + timedelta(seconds=distance_s(number, 0))
    if captured_at is not None and abs(at - captured_at) > _FAR_AWAY:
        yield Field("identification", identification, "Identification", identification)
        yield Field("identification_time", None)
        return
    date = moment(at)
    yield Field("identification", identification, "Identification", f"{identification}, {date} UTC")
    yield Field("identification_time", date.replace(" ", "T") + "Z")


def _flags(request: RegistrationRequest) -> Field:
    found = [named for flag, named in REQUEST_FLAG_NAMES.items() if flag in request.flags]
    letters = [letter for letter, _name in found]
    text = ", ".join(f"{letter} ({name})" for letter, name in found)
    return Field("flags", letters, "Flags", text or "none")


def _lifetime(lifetime_s: int) -> str:
    if lifetime_s == 0:
        return "0 (deregistration)"
    if lifetime_s == INFINITE_LIFETIME_S:
        return f"{lifetime_s} (infinity)"
    return f"{lifetime_s} s ({duration(lifetime_s)})"


def _address(key: str, name: str, address: IPv4Address) -> Field:
    return Field(key, str(address), name, str(address))
