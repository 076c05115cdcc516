"""Computing and verifying authenticators (RFC 5944 3.5.1, 5.1).

An authenticator covers the UDP payload from its first octet up to the authenticator itself: the
extension's own Type, Length and SPI included, the IP and UDP headers not.
"""

import hashlib
import hmac
from typing import Final

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.wire.authentication import Authentication, authentication_header
from flowbind.wire.extension import spans_of_extensions
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import Message, encode, offset_of_extensions

_TYPE_AND_LENGTH_OCTETS: Final = 2
_KEYED_MD5: Final = Algorithm.KEYED_MD5
_DIGESTS: Final = {Algorithm.HMAC_MD5: "md5", Algorithm.HMAC_SHA256: "sha256"}
_AUTHENTICATOR_OCTETS: Final = {
    Algorithm.HMAC_MD5: 16,
    Algorithm.HMAC_SHA256: 32,
    Algorithm.KEYED_MD5: 16,
}


class AuthenticationError(Exception):
    """The authenticator is absent, made with another SPI, or wrong. `reason` names which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def compute(covered: bytes, association: SecurityAssociation) -> bytes:
    """Compute the authenticator over the octets that it covers."""
    if association.algorithm is _KEYED_MD5:
        keyed = association.key + covered + association.key
        return hashlib.md5(keyed, usedforsecurity=False).digest()
    return hmac.digest(association.key, covered, _DIGESTS[association.algorithm])


def protect(message: Message, kind: ExtensionType, association: SecurityAssociation) -> bytes:
    """Encode a message and append the authentication extension of a kind. Returns the octets."""
    return protect_further(encode(message), kind, association)


def protect_further(payload: bytes, kind: ExtensionType, association: SecurityAssociation) -> bytes:
    """Append the authentication extension of a kind to all that a message has so far."""
    octets = _AUTHENTICATOR_OCTETS[association.algorithm]
    covered = payload + authentication_header(kind, association.spi, octets)
    return covered + compute(covered, association)


def verify(payload: bytes, kind: ExtensionType, association: SecurityAssociation) -> None:
    """Verify the first authentication extension of a kind in constant time.

    Returns nothing: a caller cannot forget to look at the result. Raises AuthenticationError, and
    WireError for a payload that `wire.message.decode` refuses too.
    """
    for extension_type, start, behind in spans_of_extensions(
        payload, offset_of_extensions(payload)
    ):
        if extension_type != kind:
            continue
        found = Authentication.decode(kind, payload[start + _TYPE_AND_LENGTH_OCTETS : behind])
        if found.spi != association.spi:
            raise AuthenticationError("spi-unknown")
        expected = compute(payload[: behind - len(found.authenticator)], association)
        if not hmac.compare_digest(expected, found.authenticator):
            raise AuthenticationError("authenticator-wrong")
        return
    raise AuthenticationError("authenticator-absent")
