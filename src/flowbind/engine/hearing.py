"""What both engines do with a datagram first: decode it, and see that they know all of it."""

from flowbind.wire.errors import WireError
from flowbind.wire.extension import FIRST_SKIPPABLE_TYPE, UnknownExtension
from flowbind.wire.message import Message, decode


def understood(payload: bytes) -> Message:
    """Decode a message whose every extension means something here or may be skipped.

    RFC 5944 1.8: one of type 0 to 127 that is not recognised silences the message. To know how such
    a type is framed is not enough. Raises WireError.
    """
    message = decode(payload)
    for each in message.extensions:
        if isinstance(each, UnknownExtension) and each.type < FIRST_SKIPPABLE_TYPE:
            raise WireError("unknown-extension", f"type {each.type} means nothing here")
    return message
