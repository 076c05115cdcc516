"""What both engines do with a datagram first: decode it, and see that they know all of it."""

from flowbind.wire.errors import WireError
from flowbind.wire.extension import FIRST_SKIPPABLE_TYPE, Extension, UnknownExtension
from flowbind.wire.gre_key import GreKey
from flowbind.wire.message import Message, decode
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.udp_tunnel import UdpTunnelReply


def understood(payload: bytes) -> Message:
    """Decode a message whose every extension means something here or may be skipped.

    RFC 5944 1.8: one of type 0 to 127 that is not recognised silences the message. To know how such
    a type is framed is not enough. Raises WireError.
    """
    message = decode(payload)
    for each in message.extensions:
        if _means_nothing(each, message):
            kind = each.encode()[0]
            raise WireError("unknown-extension", f"type {kind} means nothing here")
    return message


def _means_nothing(extension: Extension, message: Message) -> bool:
    if isinstance(extension, UdpTunnelReply):
        # A home agent says that one, and never hears it.
        return not isinstance(message, RegistrationReply)
    if isinstance(extension, GreKey):
        return not isinstance(message, RegistrationRequest | RegistrationReply)
    return isinstance(extension, UnknownExtension) and extension.type < FIRST_SKIPPABLE_TYPE
