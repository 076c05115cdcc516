"""The Mobile-AAA authenticator, against the words of RFC 4721 written out by hand."""

import hashlib
import hmac
from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.aaa import CHAP_SPI, AaaAssociation, protect_aaa, verify_aaa
from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import AuthenticationError, protect
from flowbind.wire.errors import WireError
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.iana import ExtensionType, RequestFlag
from flowbind.wire.message import decode
from flowbind.wire.registration import RegistrationRequest

KEY = b"the key of the home domain"
CHAP, HMAC = AaaAssociation(CHAP_SPI, KEY), AaaAssociation(300, KEY)
REQUEST = RegistrationRequest(
    flags=RequestFlag(0x22),
    lifetime_s=600,
    home_address=IPv4Address("10.9.0.5"),
    home_agent=IPv4Address("198.51.100.1"),
    care_of_address=IPv4Address("10.1.0.2"),
    identification=0x0123456789ABCDEF,
)
PRECEDING = protect(
    REQUEST,
    ExtensionType.MOBILE_HOME_AUTHENTICATION,
    SecurityAssociation(256, bytes(range(16))),
)
# Type 36, Subtype 1, Length 4 + 16, the SPI.
CHAP_HEADER = bytes.fromhex("24 01 0014 00000002")
HMAC_HEADER = bytes.fromhex("24 01 0014 0000012c")


@pytest.mark.rfc("4721", "8", "AAA-E-1")
@pytest.mark.parametrize(
    "challenge",
    [b"\x00", b"\x05challenge", bytes(range(237)), bytes(range(238)), bytes(range(255))],
)
def test_chap_as_radius_servers_compute_it(challenge):
    inner = hashlib.md5(PRECEDING + CHAP_HEADER, usedforsecurity=False).digest()
    tail = challenge if len(challenge) <= 237 else challenge[len(challenge) - 237 :]
    text = challenge[0:1] + KEY + inner + tail
    expected = hashlib.md5(text, usedforsecurity=False).digest()
    payload = protect_aaa(PRECEDING, CHAP, challenge)
    assert payload == PRECEDING + CHAP_HEADER + expected
    verify_aaa(payload, CHAP, challenge)


@pytest.mark.rfc("4721", "3.5", "AAA-MN-2")
def test_a_golden_message():
    """Worked out once from the formula alone: MD5(00 | key | MD5(message | header) | 00)."""
    payload = protect_aaa(PRECEDING, CHAP)
    assert payload[-16:].hex() == "aaa5e9dcd4ca15efa38c5b54efe30ee9"


@pytest.mark.rfc("4721", "6", "AAA-E-2")
def test_any_other_spi_means_hmac_md5():
    expected = hmac.new(KEY, PRECEDING + HMAC_HEADER, "md5").digest()
    payload = protect_aaa(PRECEDING, HMAC)
    assert payload == PRECEDING + HMAC_HEADER + expected
    verify_aaa(payload, HMAC)
    (_first, second) = decode(payload).extensions
    assert second == GeneralizedAuthentication(1, 300, expected)


@pytest.mark.parametrize("association", [CHAP, HMAC])
def test_every_octet_in_front_is_covered(association):
    payload = protect_aaa(PRECEDING, association)
    for at in range(len(payload)):
        other = bytearray(payload)
        other[at] ^= 1
        with pytest.raises((AuthenticationError, WireError)):
            verify_aaa(bytes(other), association)


def test_another_challenge_is_wrong():
    payload = protect_aaa(PRECEDING, CHAP, b"one")
    with pytest.raises(AuthenticationError, match="aaa-authenticator-wrong"):
        verify_aaa(payload, CHAP, b"two")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (PRECEDING, "aaa-authenticator-absent"),
        (protect_aaa(PRECEDING, HMAC), "aaa-spi-unknown"),
        (protect_aaa(PRECEDING, structs.replace(CHAP, key=b"x")), "aaa-authenticator-wrong"),
        (PRECEDING + CHAP_HEADER + bytes(16), "aaa-authenticator-wrong"),
        (PRECEDING + bytes.fromhex("24 02 0014 00000002") + bytes(16), "aaa-authenticator-absent"),
        (PRECEDING + bytes.fromhex("24 01 0004 00000002"), "aaa-authenticator-wrong"),
    ],
)
def test_what_is_wrong_is_told(payload, reason):
    with pytest.raises(AuthenticationError) as raised:
        verify_aaa(payload, CHAP)
    assert raised.value.reason == reason


@pytest.mark.parametrize("spi", [0, 1, 3, 255, 1 << 32])
def test_reserved_spis_are_refused(spi):
    with pytest.raises(ValueError, match=str(spi)):
        AaaAssociation(spi, KEY)


@pytest.mark.parametrize("spi", [2, 256, 0xFFFFFFFF])
def test_the_ends_of_the_usable_spis(spi):
    assert AaaAssociation(spi, KEY).spi == spi


def test_a_key_is_needed_and_never_shown():
    with pytest.raises(ValueError, match=r"^the key is empty$"):
        AaaAssociation(CHAP_SPI, b"")
    assert repr(CHAP) == "AaaAssociation(spi=2)"
    assert CHAP.__rich_repr__() == [("spi", 2)]
