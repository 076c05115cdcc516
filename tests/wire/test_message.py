from ipaddress import IPv4Address

import pytest

from flowbind.wire.authentication import Authentication
from flowbind.wire.errors import WireError
from flowbind.wire.extension import MalformedExtension, Padding, UnknownExtension
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import ExtensionType, FlowAction, RequestFlag
from flowbind.wire.message import (
    all_of,
    authentication_of,
    decode,
    encode,
    first,
    offset_of_extensions,
    split_at_authentication,
    without_type_154,
)
from flowbind.wire.multipath import Multipath
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.traffic_selector import Span, TrafficSelector

MHAE = ExtensionType.MOBILE_HOME_AUTHENTICATION
FIXED = bytes.fromhex("01220708 0a000002 c0000201 c6336407 e8d4a51000000001")


@pytest.mark.rfc("5944", "3.3")
@pytest.mark.rfc("7629", "4.1")
@pytest.mark.rfc("7629", "4.2")
def test_the_golden_request_both_ways(vector):
    expected = RegistrationRequest(
        RequestFlag.DECAPSULATION_BY_MOBILE_NODE | RequestFlag.REVERSE_TUNNELING,
        1800,
        IPv4Address("10.0.0.2"),
        IPv4Address("192.0.2.1"),
        IPv4Address("198.51.100.7"),
        0xE8D4A510_00000001,
        (
            Multipath(4, 1, 1),
            FlowBinding(
                FlowAction.FORWARD,
                (1, 2),
                TrafficSelector(source_port=Span(80), protocol=Span(6)),
            ),
            Authentication(MHAE, 256, bytes.fromhex("f09b6d338ac0ab474cf41c319abd9233")),
        ),
    )

    assert decode(vector("request")) == expected
    assert encode(expected) == vector("request")


@pytest.mark.rfc("5944", "3.4")
def test_the_golden_reply_both_ways(vector):
    expected = RegistrationReply(
        0,
        1800,
        IPv4Address("10.0.0.2"),
        IPv4Address("192.0.2.1"),
        0xE8D4A510_00000001,
        (Authentication(MHAE, 256, bytes.fromhex("e3df212b34a4470d62ef051ca0c51192")),),
    )

    assert decode(vector("reply")) == expected
    assert encode(expected) == vector("reply")


@pytest.mark.rfc("5944", "1.8")
@pytest.mark.parametrize("name", ["request", "reply"])
def test_every_truncation_is_refused_or_ends_between_two_extensions(vector, name):
    octets = vector(name)
    start = offset_of_extensions(octets)
    message = decode(octets)
    whole = {}
    end = start
    for count, extension in enumerate((*message.extensions, None)):
        whole[end] = message.extensions[:count]
        end += len(extension.encode()) if extension else 0

    for length in range(len(octets)):
        if length in whole:
            assert decode(octets[:length]).extensions == whole[length]
            continue
        with pytest.raises(WireError) as refused:
            decode(octets[:length])
        assert refused.value.code is None


@pytest.mark.parametrize("kind", [0, 2, 4, 8, 16, 24, 255])
def test_other_types_of_message_are_not_decoded(kind):
    with pytest.raises(WireError, match=f"unknown-message-type: {kind}"):
        decode(bytes((kind,)) + bytes(40))


def test_an_empty_datagram_is_no_message():
    with pytest.raises(WireError, match=r"^empty-datagram$"):
        decode(b"")


@pytest.mark.rfc("7629", "4.1", "XX-E-5")
def test_type_154_behind_the_authentication_is_found_to_be_unprotected(vector):
    behind = vector("multipath-bulk")
    before, authentication, after = split_at_authentication(
        decode(vector("request") + behind), MHAE
    )

    assert [type(each) for each in before] == [Multipath, FlowBinding]
    assert authentication is not None
    assert authentication.spi == 256
    assert [each.encode() for each in after] == [behind]


def test_it_is_split_at_the_first_authentication_of_the_kind():
    foreign = bytes.fromhex("2104 00000101")
    home = bytes.fromhex("2004 00000100")
    message = decode(FIXED + b"\x00" + foreign + home + home)

    before, authentication, after = split_at_authentication(message, MHAE)

    assert before == (
        Padding(),
        Authentication(ExtensionType.MOBILE_FOREIGN_AUTHENTICATION, 257, b""),
    )
    assert authentication == Authentication(MHAE, 256, b"")
    assert after == (Authentication(MHAE, 256, b""),)


def test_without_authentication_nothing_is_protected(vector):
    message = decode(FIXED + vector("multipath-wlan"))

    assert split_at_authentication(message, MHAE) == ((), None, (Multipath(4, 1, 1),))


def test_extensions_are_found_by_their_class():
    message = decode(FIXED + b"\x83\x01a\x00\x83\x01b" + bytes.fromhex("9a010001 00 9f01ff"))

    assert first(message, NetworkAccessIdentifier) == NetworkAccessIdentifier("a")
    assert [each.nai for each in all_of(message, NetworkAccessIdentifier)] == ["a", "b"]
    assert first(message, Multipath) is None
    assert [each.reason for each in all_of(message, MalformedExtension)] == ["multipath-length"]
    assert all_of(message, UnknownExtension) == (UnknownExtension(0x9F, b"\xff"),)


def test_the_copy_for_other_programs_lacks_type_154_and_nothing_else(vector):
    request = vector("request")

    assert without_type_154(request) == request[:24] + request[-22:]
    assert without_type_154(vector("reply")) == vector("reply")


@pytest.mark.parametrize(
    ("octets", "kind"), [(b"", ""), (b"\x04", ": 04"), (b"\x10" + bytes(40), ": 10")]
)
def test_only_messages_that_are_spoken_have_extensions_at_a_known_offset(octets, kind):
    with pytest.raises(WireError, match=f"^unknown-message-type{kind}$"):
        offset_of_extensions(octets)


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"\x01" + bytes(22), "23 octets are no Registration Request"),
        (b"\x03" + bytes(18), "19 octets are no Registration Reply"),
    ],
)
def test_a_fixed_part_that_is_cut_short_is_refused_in_silence(octets, what):
    with pytest.raises(WireError, match=f"^truncated: {what}$") as refused:
        decode(octets)

    assert refused.value.code is None
    assert decode(octets + b"\x00").extensions == ()


def test_the_authentication_of_a_kind_is_the_first_of_it():
    foreign = bytes.fromhex("2104 00000101")
    home = bytes.fromhex("2004 00000100 2004 00000102")
    message = decode(FIXED + b"\x00" + foreign + home)

    assert authentication_of(message, MHAE) == Authentication(MHAE, 256, b"")
    assert authentication_of(message, ExtensionType.FOREIGN_HOME_AUTHENTICATION) is None
