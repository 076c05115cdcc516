"""Agent Advertisements and Solicitations, with scapy as the second eye."""

from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP

from flowbind.wire.agent_discovery import (
    AgentAdvertisement,
    AgentSolicitation,
    Router,
    decode_discovery,
    next_sequence,
)
from flowbind.wire.errors import WireError
from flowbind.wire.iana import AgentFlag
from flowbind.wire.ipv4 import checksum_of

GATEWAY = IPv4Address("10.9.0.1")
HOME_AGENT = AgentFlag.HOME_AGENT | AgentFlag.GRE_ENCAPSULATION
# Written by hand from the figures of RFC 1256 section 3 and RFC 5944 2.1.
GOLDEN = bytes.fromhex(
    "09 00 7ed5 01 02 0708"  # one router address of two words, for 1800 s
    "0a090001 00000000"
    "10 06 0007 0708 2400"  # the 7th, registrations for 1800 s, H and G
    "13 01 18"  # 24 bits
    "00"
)
MEANING = AgentAdvertisement(7, 1800, 1800, HOME_AGENT, (Router(GATEWAY, 0, 24),))


def summed(message: bytes) -> bytes:
    blank = message[:2] + bytes(2) + message[4:]
    return blank[:2] + checksum_of(blank).to_bytes(2, "big") + blank[4:]


def complaint_about(message: bytes) -> str:
    with pytest.raises(WireError) as refused:
        decode_discovery(message)
    return str(refused.value)


def test_the_golden_advertisement_both_ways():
    assert decode_discovery(GOLDEN) == MEANING
    assert MEANING.encode() == GOLDEN


def test_scapy_reads_what_we_write():
    shown = ICMP(MEANING.encode())
    assert (shown.type, shown.code) == (9, 0)
    assert checksum_of(MEANING.encode()) == 0
    del shown.chksum
    assert bytes(shown) == MEANING.encode()


def test_a_solicitation_both_ways():
    message = AgentSolicitation().encode()
    assert message == bytes.fromhex("0a00f5ff00000000")
    assert decode_discovery(message) == AgentSolicitation()


addresses = st.integers(0, 0xFFFFFFFF).map(IPv4Address)
words = st.integers(0, 0xFFFF)


@st.composite
def advertisements(draw):
    with_lengths = draw(st.booleans())
    length = st.integers(0, 32) if with_lengths else st.none()
    router = st.builds(Router, addresses, st.integers(-(1 << 31), (1 << 31) - 1), length)
    return AgentAdvertisement(
        draw(words),
        draw(words),
        draw(words),
        AgentFlag(draw(words) & sum(AgentFlag)),
        tuple(draw(st.lists(router, max_size=5))),
        tuple(draw(st.lists(addresses, max_size=60))),
        draw(st.sampled_from([0, 16])),
    )


@given(advertisements())
def test_every_advertisement_is_read_as_it_was_written(advertisement):
    octets = advertisement.encode()
    assert len(octets) % 2 == 0
    assert decode_discovery(octets) == advertisement


@given(st.binary(max_size=80).map(lambda data: summed(b"\x09\x00" + bytes(2) + data)))
@example(GOLDEN)
def test_any_octets_are_an_advertisement_or_refused(message):
    with suppress(WireError):
        found = decode_discovery(message)
        assert decode_discovery(found.encode()) == found


@given(st.binary(max_size=40))
def test_any_octets_at_all(message):
    with suppress(WireError):
        decode_discovery(message)


@pytest.mark.rfc("5944", "2.4", "ADV-5")
def test_reserved_bits_are_ignored():
    flags = GOLDEN.index(b"\x24\x00")
    octets = bytearray(GOLDEN)
    octets[flags : flags + 2] = b"\x26\x1f"
    assert decode_discovery(summed(bytes(octets))) == MEANING


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (GOLDEN[:7], "truncated: 7 octets are no Agent Advertisement"),
        (GOLDEN[:-1] + b"\x01", "icmp-checksum"),
        (summed(b"\x08" + GOLDEN[1:]), "icmp-type: 8"),
        (summed(b"\x09\x01" + GOLDEN[2:]), "icmp-code: 1"),
        (summed(b"\x0a\x01" + bytes(6)), "icmp-code: 1"),
        (summed(GOLDEN[:4] + b"\xff" + GOLDEN[5:]), "router-addresses: 255 of 2 words"),
        (summed(GOLDEN[:5] + b"\x01" + GOLDEN[6:]), "router-addresses: 1 of 1 words"),
        (summed(GOLDEN[:16]), "not-an-agent"),
        (summed(GOLDEN[:16] + b"\x10\x05" + bytes(5)), "agent-extension-length: 5 octets"),
        (summed(GOLDEN[:16] + b"\x10\x07" + bytes(7)), "agent-extension-length: 7 octets"),
        (summed(GOLDEN[:16] + b"\x10"), "truncated: extension 16"),
        (summed(GOLDEN[:16] + b"\x10\x06" + bytes(5)), "truncated: extension 16"),
        (summed(GOLDEN[:24] + GOLDEN[16:]), "extension-repeated: 16"),
        (summed(GOLDEN[:24] + b"\x13\x02\x18\x18"), "prefix-lengths: 1818 for 1 addresses"),
        (summed(GOLDEN[:24] + b"\x13\x01\x21"), "prefix-lengths: 21 for 1 addresses"),
        (summed(GOLDEN + b"\x7f\x00"), "unknown-extension: 127"),
    ],
)
def test_what_is_refused_has_a_name(change, expected):
    assert complaint_about(change) == expected


def test_prefix_lengths_are_those_of_all_router_addresses_or_of_none():
    both = (Router(GATEWAY, 0, 24), Router(GATEWAY + 1, 0, None))
    octets = AgentAdvertisement(7, 1800, 1800, HOME_AGENT, both).encode()
    known = decode_discovery(octets)

    assert isinstance(known, AgentAdvertisement)
    assert [each.prefix_length for each in known.routers] == [None, None]


def test_padding_between_extensions_is_passed_over():
    assert decode_discovery(summed(GOLDEN[:16] + b"\x00" + GOLDEN[16:] + bytes(3))) == MEANING


def test_an_extension_that_may_be_skipped_is():
    assert decode_discovery(summed(GOLDEN + b"\x80\x02ab")) == MEANING


@pytest.mark.rfc("5944", "2.3.2", "ADV-1")
def test_sequence_numbers_roll_over_to_256():
    assert [next_sequence(each) for each in (0, 255, 0xFFFE, 0xFFFF)] == [1, 256, 0xFFFF, 256]
