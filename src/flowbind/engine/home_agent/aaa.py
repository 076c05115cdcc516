"""The Mobile-AAA Authentication at a home agent that has the key itself (RFC 4721 3.4).

It is for nodes with an AAA key alone; of others the extensions of RFC 4721 are passed over, as they
are by an agent that does not know them.
"""

from msgspec import structs

from flowbind.auth.aaa import NO_CHALLENGE, verify_aaa
from flowbind.auth.authenticator import AuthenticationError
from flowbind.effects import SendDatagram
from flowbind.engine.home_agent.validation import KIND
from flowbind.engine.refusal import Refused
from flowbind.model.config import MobileNodeEntry
from flowbind.wire.challenge import Challenge
from flowbind.wire.extension import Extension
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.iana import GeneralizedAuthenticationSubtype, ReplyCode
from flowbind.wire.message import first, split_at_authentication
from flowbind.wire.registration import RegistrationRequest


def check_aaa(
    payload: bytes, message: RegistrationRequest, entry: MobileNodeEntry, *, required: bool
) -> None:
    """Refuse (144) a request whose Mobile-AAA Authentication is wrong, or missing if required.

    It counts behind the Mobile-Home Authentication, and so does the challenge, which comes first
    (3.1, 6): in another order 134.
    """
    if entry.aaa is None:
        if required:
            raise Refused("aaa-key-absent", ReplyCode.BAD_AAA_AUTHENTICATION)
        return
    if not any(map(_is_ours, message.extensions)):
        if required:
            raise Refused("aaa-authenticator-absent", ReplyCode.BAD_AAA_AUTHENTICATION)
        return
    _protected, _authentication, exposed = split_at_authentication(message, KIND)
    kinds = [type(each) for each in exposed if isinstance(each, Challenge) or _is_ours(each)]
    if kinds not in ([GeneralizedAuthentication], [Challenge, GeneralizedAuthentication]):
        raise Refused("aaa-order", ReplyCode.POORLY_FORMED_REQUEST)
    challenge = first(message, Challenge)
    try:
        verify_aaa(payload, entry.aaa, challenge.value if challenge else NO_CHALLENGE)
    except AuthenticationError as error:
        raise Refused(error.reason, ReplyCode.BAD_AAA_AUTHENTICATION) from error


def _is_ours(extension: Extension) -> bool:
    return (
        isinstance(extension, GeneralizedAuthentication)
        and extension.subtype == GeneralizedAuthenticationSubtype.MN_AAA
    )


def with_challenge(
    reply: SendDatagram, message: RegistrationRequest, entry: MobileNodeEntry
) -> SendDatagram:
    """Return the reply with the request's challenge behind its authentication (3.4)."""
    if entry.aaa is None:
        return reply
    _protected, _authentication, exposed = split_at_authentication(message, KIND)
    challenge = next((each for each in exposed if isinstance(each, Challenge)), None)
    if challenge is None:
        return reply
    return structs.replace(reply, payload=reply.payload + challenge.encode())
