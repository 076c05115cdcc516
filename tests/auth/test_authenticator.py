import hmac
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.auth.authenticator import AuthenticationError, compute, protect, verify
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import decode
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply

MHAE = ExtensionType.MOBILE_HOME_AUTHENTICATION
GOLDEN_KEY = bytes(range(16))
ASSOCIATION = SecurityAssociation(256, GOLDEN_KEY)
AUTHENTICATOR_OCTETS = [
    (Algorithm.HMAC_MD5, 16),
    (Algorithm.HMAC_SHA256, 32),
    (Algorithm.KEYED_MD5, 16),
]
REPLY = RegistrationReply(
    0, 1800, IPv4Address("10.0.0.2"), IPv4Address("192.0.2.1"), 7, (Multipath(4, 1, 1),)
)


def association(key: bytes, algorithm: Algorithm) -> SecurityAssociation:
    return SecurityAssociation(256, key, algorithm)


@pytest.mark.rfc("2104", "appendix")
@pytest.mark.parametrize(
    ("key", "data", "digest"),
    [
        (b"\x0b" * 16, b"Hi There", "9294727a3638bb1c13f48ef8158bfc9d"),
        (b"Jefe", b"what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"),
        (b"\xaa" * 16, b"\xdd" * 50, "56be34521d144c88dbb8c733f0e8b3f6"),
    ],
)
def test_hmac_md5_by_the_vectors_of_rfc_2104(key, data, digest):
    assert compute(data, association(key, Algorithm.HMAC_MD5)).hex() == digest


@pytest.mark.rfc("4231", "4")
@pytest.mark.parametrize(
    ("key", "data", "digest"),
    [
        (
            b"\x0b" * 20,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ],
)
def test_hmac_sha256_by_the_vectors_of_rfc_4231(key, data, digest):
    assert compute(data, association(key, Algorithm.HMAC_SHA256)).hex() == digest


@pytest.mark.rfc("5944", "5.1", "AUTH-10")
def test_keyed_md5_has_the_key_at_both_ends():
    # Of the test suite of RFC 1321: 80 digits.
    keyed = association(b"1234567890", Algorithm.KEYED_MD5)
    assert compute(b"1234567890" * 6, keyed).hex() == "57edf4a22be3c955ac49da2e2107b67a"


@pytest.mark.rfc("5944", "3.5.1", "AUTH-5", "AUTH-8")
@pytest.mark.parametrize("name", ["request", "reply"])
def test_golden_messages_are_verified(vector, name):
    verify(vector(name), MHAE, ASSOCIATION)


@pytest.mark.rfc("5944", "3.5.1", "AUTH-5", "AUTH-8")
def test_golden_messages_are_made(vector):
    for name in ("request", "reply"):
        message = decode(vector(name))
        bare = structs.replace(message, extensions=message.extensions[:-1])
        assert protect(bare, MHAE, ASSOCIATION) == vector(name)


@pytest.mark.rfc("5944", "3.5.1", "AUTH-5")
def test_every_octet_in_front_of_the_authenticator_is_covered(vector):
    octets = vector("request")
    for at in range(len(octets)):
        for bit in (0x01, 0x80):
            forged = bytearray(octets)
            forged[at] ^= bit
            with pytest.raises((AuthenticationError, WireError)):
                verify(bytes(forged), MHAE, ASSOCIATION)


@pytest.mark.rfc("5944", "3.5.1", "AUTH-5")
def test_what_is_behind_the_authenticator_is_not_covered(vector):
    verify(vector("request") + vector("multipath-bulk"), MHAE, ASSOCIATION)


@pytest.mark.rfc("7629", "4.1")
def test_it_is_the_octets_as_they_came_that_are_covered():
    # Reserved bits that decoding drops are covered as they were sent.
    octets = bytearray(protect(REPLY, MHAE, ASSOCIATION)[:-16])
    octets[27] |= 0x3F
    octets += compute(bytes(octets), ASSOCIATION)

    verify(bytes(octets), MHAE, ASSOCIATION)


@pytest.mark.rfc("5944", "3.5.1", "AUTH-6")
@pytest.mark.parametrize(("algorithm", "octets"), AUTHENTICATOR_OCTETS)
@pytest.mark.parametrize(
    "kind",
    [
        ExtensionType.MOBILE_HOME_AUTHENTICATION,
        ExtensionType.MOBILE_FOREIGN_AUTHENTICATION,
        ExtensionType.FOREIGN_HOME_AUTHENTICATION,
    ],
)
def test_what_is_protected_is_verified_by_the_same_key_only(kind, algorithm, octets):
    ours = association(GOLDEN_KEY, algorithm)
    payload = protect(REPLY, kind, ours)

    assert len(payload) == 28 + 6 + octets
    assert payload[28:34] == bytes((kind, 4 + octets)) + (256).to_bytes(4, "big")
    verify(payload, kind, ours)
    with pytest.raises(AuthenticationError, match=r"^authenticator-wrong$"):
        verify(payload, kind, association(b"another key", algorithm))


@pytest.mark.rfc("5944", "3.5.1", "AUTH-7")
@pytest.mark.rfc("5944", "5.1", "AUTH-9")
@given(st.integers(256, 0xFFFFFFFF), st.sampled_from(Algorithm), st.binary(min_size=1))
def test_any_spi_goes_with_any_algorithm_and_any_key(spi, algorithm, key):
    ours = SecurityAssociation(spi, key, algorithm)
    verify(protect(REPLY, MHAE, ours), MHAE, ours)


@pytest.mark.rfc("5944", "3.5.2")
@pytest.mark.rfc("5944", "3.5.1", "AUTH-6")
def test_another_spi_is_not_tried(vector):
    with pytest.raises(AuthenticationError) as refused:
        verify(vector("request"), MHAE, SecurityAssociation(257, GOLDEN_KEY))
    assert refused.value.reason == "spi-unknown"


def test_no_extension_of_the_kind_is_an_error(vector):
    with pytest.raises(AuthenticationError) as refused:
        verify(vector("request"), ExtensionType.FOREIGN_HOME_AUTHENTICATION, ASSOCIATION)
    assert refused.value.reason == "authenticator-absent"


@pytest.mark.parametrize("octets", [0, 1, 15, 17, 32])
def test_an_authenticator_of_another_length_is_wrong(octets):
    covered = protect(REPLY, MHAE, ASSOCIATION)[:28] + bytes((MHAE, 4 + octets))
    covered += (256).to_bytes(4, "big")
    digest = compute(covered, ASSOCIATION)

    with pytest.raises(AuthenticationError, match=r"^authenticator-wrong$"):
        verify(covered + (digest * 2)[:octets], MHAE, ASSOCIATION)


@pytest.mark.parametrize("octets", range(4))
def test_an_extension_without_room_for_an_spi_borrows_none_from_behind_it(octets):
    # Three octets of SPI, and the fourth is the first of the next extension.
    payload = protect(REPLY, MHAE, ASSOCIATION)[:28] + bytes((MHAE, octets)) + b"\x00\x00\x01\x00"

    with pytest.raises(WireError):
        decode(payload)
    with pytest.raises(WireError):
        verify(payload, MHAE, ASSOCIATION)


def test_digests_are_compared_in_constant_time(vector, monkeypatch):
    compared: list[tuple[bytes, bytes]] = []
    compare_digest = hmac.compare_digest

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    right = vector("reply")[-16:]

    verify(vector("reply"), MHAE, ASSOCIATION)
    with pytest.raises(AuthenticationError):
        verify(vector("reply")[:-1] + b"\x00", MHAE, ASSOCIATION)

    assert compared == [(right, right), (right, right[:-1] + b"\x00")]


@given(st.binary(max_size=90))
def test_any_octets_are_refused(payload):
    with pytest.raises((AuthenticationError, WireError)):
        verify(payload, MHAE, ASSOCIATION)


@given(st.binary(max_size=60))
def test_octets_that_are_no_message_are_refused_with_any_authenticator(tail):
    covered = b"\x03" + bytes(19) + tail
    covered += bytes((MHAE, 20)) + (256).to_bytes(4, "big")
    payload = covered + compute(covered, ASSOCIATION)
    try:
        verify(payload, MHAE, ASSOCIATION)
    except WireError:
        with pytest.raises(WireError):
            decode(payload)
    except AuthenticationError:
        return
