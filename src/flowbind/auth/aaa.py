"""The Mobile-AAA authenticator (RFC 4721 sections 6 and 8): a key shared with the home domain.

It covers the request from its first octet up to itself, all extensions in front included, among
them the Mobile-Home Authentication. With CHAP_SPI it is computed as RADIUS servers do for CHAP,
with the challenge of a foreign agent; without a foreign agent the challenge is 0.
"""

import hashlib
import hmac
from typing import Any, Final

from flowbind.auth.association import FIRST_USABLE_SPI, LAST_SPI
from flowbind.auth.authenticator import AuthenticationError
from flowbind.frozen import Frozen
from flowbind.wire.authentication import SPI_OCTETS
from flowbind.wire.extension import spans_of_extensions
from flowbind.wire.generalized_authentication import GeneralizedAuthentication, generalized_header
from flowbind.wire.iana import ExtensionType, GeneralizedAuthenticationSubtype
from flowbind.wire.message import offset_of_extensions

CHAP_SPI: Final = 2
NO_CHALLENGE: Final = b"\x00"
"""The challenge of a co-located node (3.5)."""

_KIND: Final = ExtensionType.GENERALIZED_AUTHENTICATION
_SUBTYPE: Final = int(GeneralizedAuthenticationSubtype.MN_AAA)
_HEADER_OCTETS: Final = 4
_AUTHENTICATOR_OCTETS: Final = 16
_MOST_CHALLENGE_OCTETS: Final = 237


class AaaAssociation(Frozen, frozen=True):
    """A key shared with the home domain, apart from that of the Mobile-Home Authentication.

    Raises ValueError for an SPI that is reserved and not CHAP_SPI, and for an empty key.
    """

    spi: int
    key: bytes

    def __post_init__(self) -> None:
        if self.spi != CHAP_SPI and not FIRST_USABLE_SPI <= self.spi <= LAST_SPI:
            raise ValueError(f"SPI {self.spi} is neither {CHAP_SPI} nor {FIRST_USABLE_SPI} or more")
        if not self.key:
            raise ValueError("the key is empty")

    def __repr__(self) -> str:
        return f"AaaAssociation(spi={self.spi})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Hide the key from rich too."""
        return [("spi", self.spi)]


def compute_aaa(covered: bytes, association: AaaAssociation, challenge: bytes) -> bytes:
    """Compute the authenticator over what it covers, Type to SPI of its extension included."""
    if association.spi != CHAP_SPI:
        return hmac.digest(association.key, covered, "md5")
    inner = hashlib.md5(covered, usedforsecurity=False).digest()
    text = challenge[:1] + association.key + inner + challenge[-_MOST_CHALLENGE_OCTETS:]
    return hashlib.md5(text, usedforsecurity=False).digest()


def protect_aaa(
    payload: bytes, association: AaaAssociation, challenge: bytes = NO_CHALLENGE
) -> bytes:
    """Append the Mobile-AAA Authentication extension to a request that is authenticated."""
    covered = payload + generalized_header(_SUBTYPE, association.spi, _AUTHENTICATOR_OCTETS)
    return covered + compute_aaa(covered, association, challenge)


def verify_aaa(
    payload: bytes, association: AaaAssociation, challenge: bytes = NO_CHALLENGE
) -> None:
    """Verify the first Mobile-AAA Authentication extension in constant time.

    Raises AuthenticationError, and WireError for a payload that `wire.message.decode` refuses too.
    """
    for extension_type, start, behind in spans_of_extensions(
        payload, offset_of_extensions(payload)
    ):
        if extension_type != _KIND or payload[start + 1] != _SUBTYPE:
            continue
        data = payload[start + _HEADER_OCTETS : behind]
        found = GeneralizedAuthentication.decode(_SUBTYPE, data)
        if found.spi != association.spi:
            raise AuthenticationError("aaa-spi-unknown")
        covered = payload[: start + _HEADER_OCTETS + SPI_OCTETS]
        expected = compute_aaa(covered, association, challenge)
        if not hmac.compare_digest(expected, found.authenticator):
            raise AuthenticationError("aaa-authenticator-wrong")
        return
    raise AuthenticationError("aaa-authenticator-absent")
