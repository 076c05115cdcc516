"""Framing: how each type of extension is laid out, and what becomes of types nobody knows."""

from ipaddress import IPv4Address

import pytest

from flowbind.wire.authentication import Authentication
from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.errors import WireError
from flowbind.wire.extension import (
    MAX_EXTENSIONS,
    REGISTRY,
    Framing,
    MalformedExtension,
    Padding,
    UnknownExtension,
    decode_extensions,
    spans_of_extensions,
    walk_extensions,
)
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import ReplyCode
from flowbind.wire.multipath import Multipath
from flowbind.wire.nai import NetworkAccessIdentifier

# From the IANA registry "Extensions to Mobile IP Control Messages" and the RFCs named there:
# T simple, S short (both Type, Length), L long (Type, Subtype, Length of two octets), P padding.
FRAMES = {
    "P": [0],
    "T": [32, 33, 34, 46, 129, 130, 131, 132, 134, 137, 140, 141, 142, 151],
    "S": [44, 45, 49, 136, 138, 139, 144, 145, 147, 148, 149, 152, 153, 255],
    "L": [36, 38, 40, 41, 42, 43, 47, 48, 50, 127, 154],
}
LETTERS = {"P": Framing.PADDING, "T": Framing.SIMPLE, "S": Framing.SHORT, "L": Framing.LONG}
ROWS = [(number, letter) for letter, numbers in FRAMES.items() for number in numbers]
GIVEN_A_MEANING = {0, 32, 33, 34, 36, 38, 45, 131, 132, 134, 137, 139, 145, 151, 154}
UNINTERPRETED = [(number, letter) for number, letter in ROWS if number not in GIVEN_A_MEANING]
UNKNOWN = [number for number in range(256) if number not in REGISTRY]

MULTIPATH = bytes.fromhex("9a010004 04010100")


def test_the_registry_holds_exactly_these_rows():
    assert sorted(REGISTRY) == sorted(number for number, _ in ROWS)


@pytest.mark.rfc("5944", "1.9")
@pytest.mark.rfc("5944", "1.10")
@pytest.mark.rfc("5944", "1.11", "EXT-3")
@pytest.mark.parametrize(("number", "letter"), ROWS)
def test_each_type_is_framed_as_its_rfc_says(number, letter):
    assert REGISTRY[number].framing is LETTERS[letter]


@pytest.mark.rfc("5944", "1.8")
@pytest.mark.rfc("7629", "4.1", "A-10")
@pytest.mark.parametrize(("number", "letter"), ROWS)
def test_below_128_no_type_may_be_skipped_and_154_may_not_either(number, letter):
    assert REGISTRY[number].skippable is (number == 0 or (number >= 128 and number != 154))


@pytest.mark.rfc("5944", "1.9")
@pytest.mark.rfc("5944", "1.10")
@pytest.mark.parametrize(("number", "letter"), UNINTERPRETED)
def test_what_is_registered_and_not_spoken_is_kept_as_it_came(number, letter):
    data = b"\x01data"
    if letter == "L":
        octets = bytes((number, 7)) + len(data).to_bytes(2, "big") + data
        expected = UnknownExtension(number, data, subtype=7)
    else:
        octets = bytes((number, len(data))) + data
        expected = UnknownExtension(number, data)

    # What follows is found, so the length was understood.
    extensions = decode_extensions(octets + MULTIPATH, 0)

    assert extensions == (expected, Multipath(4, 1, 1))
    assert extensions[0].encode() == octets


@pytest.mark.rfc("5944", "1.9")
@pytest.mark.rfc("5944", "1.10")
@pytest.mark.parametrize(("number", "letter"), [row for row in ROWS if row[1] != "P"])
def test_a_length_that_runs_past_the_end_is_silently_discarded(number, letter):
    header = bytes((number, 1, 0, 9)) if letter == "L" else bytes((number, 9))
    cut = [
        (header[:1], f"{len(header)} octets wanted, 1 left"),
        (header[:-1], f"{len(header)} octets wanted, {len(header) - 1} left"),
        (header, "9 octets wanted, 0 left"),
        (header + bytes(8), "9 octets wanted, 8 left"),
    ]
    for octets, what in cut:
        with pytest.raises(WireError) as refused:
            decode_extensions(b"head" + octets, 4)
        assert str(refused.value) == f"truncated: {what}"
        assert refused.value.code is None


def test_extensions_that_would_begin_behind_the_end_are_silently_discarded():
    assert decode_extensions(b"head", 4) == ()
    with pytest.raises(WireError, match=r"^truncated: 5 octets wanted, 4 left$"):
        decode_extensions(b"head", 5)


@pytest.mark.rfc("4433", "3.4")
@pytest.mark.parametrize("subtype", [1, 2])
def test_dynamic_home_agent_in_its_two_formats(subtype):
    # The figure of RFC 4433 is long, as no skippable type may be; erratum 898 makes it short.
    address = bytes.fromhex("c0000201")
    short = bytes((139, 5, subtype)) + address
    long = bytes((139, subtype, 0, 4)) + address

    extensions = decode_extensions(short + long + MULTIPATH, 0)

    assert extensions == (
        DynamicHomeAgent(subtype, IPv4Address("192.0.2.1")),
        DynamicHomeAgent(subtype, IPv4Address("192.0.2.1"), long=True),
        Multipath(4, 1, 1),
    )
    assert b"".join(each.encode() for each in extensions[:2]) == short + long


@pytest.mark.parametrize("octets", ["8b0105", "8b01000002", "8b020102"])
def test_a_dynamic_home_agent_that_is_not_long_is_short(octets):
    payload = bytes.fromhex(octets)
    length = payload[1]

    first, *_rest = decode_extensions(payload[: 2 + length] + MULTIPATH, 0)

    assert first == UnknownExtension(139, payload[2 : 2 + length])


@pytest.mark.rfc("5944", "1.8", "EXT-1")
@pytest.mark.parametrize("number", [number for number in UNKNOWN if number < 128])
def test_an_unknown_type_below_128_discards_the_message(number):
    with pytest.raises(WireError) as refused:
        decode_extensions(bytes((number, 2, 0, 0)), 0)

    assert (refused.value.reason, refused.value.code) == ("unknown-extension", None)


@pytest.mark.rfc("5944", "1.8", "EXT-2")
@pytest.mark.parametrize("number", [number for number in UNKNOWN if number >= 128])
def test_an_unknown_type_from_128_on_is_skipped(number):
    octets = bytes((number, 3)) + b"abc"

    assert decode_extensions(octets + MULTIPATH, 0) == (
        UnknownExtension(number, b"abc"),
        Multipath(4, 1, 1),
    )


@pytest.mark.rfc("7629", "4.1", "A-10")
@pytest.mark.parametrize("subtype", [0, 3, 254, 255])
def test_an_unknown_subtype_of_154_discards_the_message(subtype):
    with pytest.raises(WireError) as refused:
        decode_extensions(bytes((154, subtype, 0, 0)), 0)

    assert str(refused.value) == f"unknown-extension: type 154 subtype {subtype}"
    assert refused.value.code is None


@pytest.mark.rfc("5944", "1.9")
def test_padding_is_one_octet_without_a_length():
    assert decode_extensions(b"\x00\x00" + MULTIPATH + b"\x00", 0) == (
        Padding(),
        Padding(),
        Multipath(4, 1, 1),
        Padding(),
    )
    assert Padding().encode() == b"\x00"


@pytest.mark.rfc("5944", "1.10")
def test_the_longest_of_each_format():
    simple = UnknownExtension(142, bytes(255))
    long = UnknownExtension(48, bytes(0xFFFF), subtype=0)

    assert decode_extensions(simple.encode() + long.encode(), 0) == (simple, long)
    with pytest.raises(ValueError, match="256"):
        UnknownExtension(142, bytes(256)).encode()
    with pytest.raises(OverflowError):
        UnknownExtension(48, bytes(0x10000), subtype=0).encode()


@pytest.mark.parametrize("octets", [b"\x00", MULTIPATH, b"\x9f\x00"])
def test_a_message_with_more_extensions_than_anybody_needs_is_silently_discarded(octets):
    assert len(decode_extensions(octets * MAX_EXTENSIONS, 0)) == MAX_EXTENSIONS
    with pytest.raises(WireError) as refused:
        decode_extensions(octets * (MAX_EXTENSIONS + 1), 0)

    assert str(refused.value) == "too-many-extensions: more than 256"
    assert refused.value.code is None


def test_the_types_that_are_given_a_meaning():
    octets = (
        b"\x83\x01n"
        + MULTIPATH
        + bytes.fromhex("9a02000c 01020102 01 02080000 0050 06")
        + bytes.fromhex("2004 00000100 2104 00000101 2204 00000102")
    )

    kinds = [type(extension) for extension in decode_extensions(octets, 0)]

    assert kinds == [NetworkAccessIdentifier, Multipath, FlowBinding, *[Authentication] * 3]


@pytest.mark.rfc("7629", "4.1")
@pytest.mark.parametrize(
    ("octets", "reason", "detail"),
    [
        ("9a010004 04010000", "multipath-bid", "BID 0 is reserved"),
        ("9a010003 040101", "multipath-length", "3 octets instead of 4"),
        ("9a020001 01", "truncated", "2 octets wanted, 1 left"),
        ("8300", "nai-malformed", "not a name"),
    ],
)
def test_sound_frame_unsound_content_stops_nothing_before_authentication(octets, reason, detail):
    octets = bytes.fromhex(octets)

    malformed, after = decode_extensions(octets + MULTIPATH, 0)

    assert isinstance(malformed, MalformedExtension)
    assert (malformed.reason, malformed.detail) == (reason, detail)
    assert malformed.code is ReplyCode.POORLY_FORMED_REQUEST
    assert malformed.encode() == octets
    assert after == Multipath(4, 1, 1)


def test_a_second_nai_is_kept_beside_the_first():
    assert decode_extensions(b"\x83\x01a\x83\x01b", 0) == (
        NetworkAccessIdentifier("a"),
        NetworkAccessIdentifier("b"),
    )


def test_spans_tell_where_each_extension_lies():
    octets = b"head" + b"\x00" + b"\x83\x01n" + MULTIPATH

    assert spans_of_extensions(octets, 4) == [(0, 4, 5), (131, 5, 8), (154, 8, 16)]


def test_a_walk_gives_what_comes_before_the_refusal():
    walk = walk_extensions(b"head" + MULTIPATH + b"\x01", 4)

    assert next(walk) == (Multipath(4, 1, 1), 12)
    with pytest.raises(WireError, match="type 1 may not be skipped"):
        next(walk)
