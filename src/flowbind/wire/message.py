"""Messages on UDP port 434: octets to frozen messages and back (RFC 5944, 3543, 6098)."""

from collections.abc import Callable
from ipaddress import IPv4Address
from struct import Struct
from typing import Any, Final, TypeVar

from flowbind.wire.authentication import Authentication
from flowbind.wire.errors import WireError
from flowbind.wire.extension import (
    Extension,
    decode_extensions,
    spans_of_extensions,
)
from flowbind.wire.iana import ExtensionType, MessageType, RequestFlag
from flowbind.wire.notification import (
    ACKNOWLEDGE,
    NOTIFICATION_ACKNOWLEDGMENT_LAYOUT,
    NOTIFICATION_LAYOUT,
    GenericNotification,
    NotificationAcknowledgment,
)
from flowbind.wire.registration import (
    REPLY_LAYOUT,
    REQUEST_LAYOUT,
    RegistrationReply,
    RegistrationRequest,
)
from flowbind.wire.revocation import (
    ACKNOWLEDGED_INFORM,
    REVOCATION_ACKNOWLEDGMENT_LAYOUT,
    REVOCATION_LAYOUT,
    REVOKED_BY_HOME_AGENT,
    REVOKED_INFORM,
    Revocation,
    RevocationAcknowledgment,
)

Message = (
    RegistrationRequest
    | RegistrationReply
    | Revocation
    | RevocationAcknowledgment
    | GenericNotification
    | NotificationAcknowledgment
)
ExtensionT = TypeVar("ExtensionT")

_REQUEST_FLAGS: Final[tuple[RequestFlag, ...]] = tuple(RequestFlag(octet) for octet in range(256))


def decode(payload: bytes) -> Message:
    """Decode one message. Raises WireError and nothing else."""
    if not payload:
        raise WireError("empty-datagram")
    decoder = _DECODERS.get(payload[0])
    if decoder is None:
        raise WireError("unknown-message-type", str(payload[0]))
    return decoder(payload)


def _fixed(payload: bytes, layout: Struct, otherwise: str) -> tuple[Any, ...]:
    """Return the fields of the fixed part. Raises WireError, which says what the octets are not."""
    if len(payload) < layout.size:
        raise WireError("truncated", f"{len(payload)} octets {otherwise}")
    return layout.unpack_from(payload)


def _decode_request(payload: bytes) -> RegistrationRequest:
    fixed = _fixed(payload, REQUEST_LAYOUT, "are no Registration Request")
    _, _, lifetime_s, home, agent, care_of, identification = fixed
    return RegistrationRequest(
        _REQUEST_FLAGS[payload[1]],
        lifetime_s,
        IPv4Address(home),
        IPv4Address(agent),
        IPv4Address(care_of),
        identification,
        decode_extensions(payload, REQUEST_LAYOUT.size),
    )


def _decode_reply(payload: bytes) -> RegistrationReply:
    fixed = _fixed(payload, REPLY_LAYOUT, "are no Registration Reply")
    _, code, lifetime_s, home, agent, identification = fixed
    return RegistrationReply(
        code,
        lifetime_s,
        IPv4Address(home),
        IPv4Address(agent),
        identification,
        decode_extensions(payload, REPLY_LAYOUT.size),
    )


def _decode_revocation(payload: bytes) -> Revocation:
    fixed = _fixed(payload, REVOCATION_LAYOUT, "are no Registration Revocation")
    _, _, flags, home, home_domain, foreign_domain, identifier = fixed
    return Revocation(
        bool(flags & REVOKED_BY_HOME_AGENT),
        bool(flags & REVOKED_INFORM),
        IPv4Address(home),
        IPv4Address(home_domain),
        IPv4Address(foreign_domain),
        identifier,
        decode_extensions(payload, REVOCATION_LAYOUT.size),
    )


def _decode_revocation_acknowledgment(payload: bytes) -> RevocationAcknowledgment:
    fixed = _fixed(payload, REVOCATION_ACKNOWLEDGMENT_LAYOUT, "acknowledge no revocation")
    _, _, flags, home, identifier = fixed
    return RevocationAcknowledgment(
        bool(flags & ACKNOWLEDGED_INFORM),
        IPv4Address(home),
        identifier,
        decode_extensions(payload, REVOCATION_ACKNOWLEDGMENT_LAYOUT.size),
    )


def _decode_notification(payload: bytes) -> GenericNotification:
    fixed = _fixed(payload, NOTIFICATION_LAYOUT, "are no Generic Notification")
    _, direction, flags, home, agent, care_of, identification = fixed
    return GenericNotification(
        direction,
        bool(flags & ACKNOWLEDGE),
        IPv4Address(home),
        IPv4Address(agent),
        IPv4Address(care_of),
        identification,
        decode_extensions(payload, NOTIFICATION_LAYOUT.size),
    )


def _decode_notification_acknowledgment(payload: bytes) -> NotificationAcknowledgment:
    fixed = _fixed(payload, NOTIFICATION_ACKNOWLEDGMENT_LAYOUT, "acknowledge no notification")
    _, direction, code, _, home, agent, care_of, identification = fixed
    return NotificationAcknowledgment(
        direction,
        code,
        IPv4Address(home),
        IPv4Address(agent),
        IPv4Address(care_of),
        identification,
        decode_extensions(payload, NOTIFICATION_ACKNOWLEDGMENT_LAYOUT.size),
    )


_DECODERS: Final[dict[int, Callable[[bytes], Message]]] = {
    int(MessageType.REGISTRATION_REQUEST): _decode_request,
    int(MessageType.REGISTRATION_REPLY): _decode_reply,
    int(MessageType.REVOCATION): _decode_revocation,
    int(MessageType.REVOCATION_ACKNOWLEDGMENT): _decode_revocation_acknowledgment,
    int(MessageType.GENERIC_NOTIFICATION): _decode_notification,
    int(MessageType.GENERIC_NOTIFICATION_ACKNOWLEDGMENT): _decode_notification_acknowledgment,
}
_OFFSETS: Final = {
    int(MessageType.REGISTRATION_REQUEST): REQUEST_LAYOUT.size,
    int(MessageType.REGISTRATION_REPLY): REPLY_LAYOUT.size,
    int(MessageType.REVOCATION): REVOCATION_LAYOUT.size,
    int(MessageType.REVOCATION_ACKNOWLEDGMENT): REVOCATION_ACKNOWLEDGMENT_LAYOUT.size,
    int(MessageType.GENERIC_NOTIFICATION): NOTIFICATION_LAYOUT.size,
    int(MessageType.GENERIC_NOTIFICATION_ACKNOWLEDGMENT): NOTIFICATION_ACKNOWLEDGMENT_LAYOUT.size,
}


def encode(message: Message) -> bytes:
    """Encode one message with its extensions in their order."""
    return message.encode_fixed() + b"".join([each.encode() for each in message.extensions])


def first(message: Message, kind: type[ExtensionT]) -> ExtensionT | None:
    """Return the first extension of a class, or None."""
    return next((each for each in message.extensions if isinstance(each, kind)), None)


def all_of(message: Message, kind: type[ExtensionT]) -> tuple[ExtensionT, ...]:
    """Return all extensions of a class, in their order."""
    return tuple([each for each in message.extensions if isinstance(each, kind)])


def authentication_of(message: Message, kind: ExtensionType) -> Authentication | None:
    """Return the first authentication extension of a kind, or None."""
    for extension in message.extensions:
        if isinstance(extension, Authentication) and extension.type is kind:
            return extension
    return None


def split_at_authentication(
    message: Message, kind: ExtensionType
) -> tuple[tuple[Extension, ...], Authentication | None, tuple[Extension, ...]]:
    """Split the extensions at the first authentication extension of a kind.

    Those in front are protected by it, those behind are not. Without one, nothing is protected.
    """
    for index, extension in enumerate(message.extensions):
        if isinstance(extension, Authentication) and extension.type is kind:
            return message.extensions[:index], extension, message.extensions[index + 1 :]
    return (), None, message.extensions


def offset_of_extensions(payload: bytes) -> int:
    """Where the extensions of a message begin. Raises WireError for other messages."""
    offset = _OFFSETS.get(payload[0]) if payload else None
    if offset is None:
        raise WireError("unknown-message-type", payload[:1].hex())
    return offset


def without_type_154(payload: bytes) -> bytes:
    """Return a copy without the extensions of RFC 7629, for programs that misread them."""
    start = offset_of_extensions(payload)
    kept = [
        payload[first_octet:behind]
        for extension_type, first_octet, behind in spans_of_extensions(payload, start)
        if extension_type != ExtensionType.MULTIPATH
    ]
    return payload[:start] + b"".join(kept)
