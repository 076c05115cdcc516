"""IPv4 packets, with scapy as the second eye."""

from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP

from flowbind.wire.errors import WireError
from flowbind.wire.ipv4 import Packet, checksum_of, decode_packet

PACKET = Packet(IPv4Address("192.0.2.1"), IPv4Address("224.0.0.1"), 1, b"data", ttl=1)


def test_scapy_reads_what_we_write():
    shown = IP(PACKET.encode())
    assert (shown.src, shown.dst, shown.ttl, shown.proto) == ("192.0.2.1", "224.0.0.1", 1, 1)
    assert bytes(shown.payload) == b"data"
    assert checksum_of(PACKET.encode()[:20]) == 0


def test_we_read_what_scapy_writes():
    written = IP(src="192.0.2.1", dst="224.0.0.1", ttl=1, proto=1) / b"data"
    assert decode_packet(bytes(written) + bytes(22)) == PACKET
    written.options = b"\x94\x04\x00\x00"
    assert decode_packet(bytes(written)) == PACKET


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (b"", "truncated: 0 octets are no IPv4 packet"),
        (PACKET.encode()[:19], "truncated: 19 octets are no IPv4 packet"),
        (PACKET.encode()[:-1], "truncated: 23 octets of 24"),
        (b"\x65" + PACKET.encode()[1:], "ipv4-header"),
        (b"\x44" + PACKET.encode()[1:], "ipv4-header"),
        (b"\x4f" + PACKET.encode()[1:], "truncated: 24 octets of 24"),
        (bytes(IP(flags="MF") / b"data"), "ipv4-fragment"),
        (bytes(IP(frag=1) / b"data"), "ipv4-fragment"),
    ],
)
def test_what_is_refused_has_a_name(octets, complaint):
    with pytest.raises(WireError) as refused:
        decode_packet(octets)
    assert str(refused.value) == complaint


@given(st.binary(max_size=60))
def test_any_octets_are_a_packet_or_refused(octets):
    with suppress(WireError):
        assert len(decode_packet(octets).data) <= len(octets)


def test_a_header_octet_by_octet():
    # Written by hand from the figure of RFC 791 3.1: DF, and no identification.
    header = bytes.fromhex("45 b8 0018 0000 4000 01 01") + bytes.fromhex("d72a c0000201 e0000001")
    packet = Packet(PACKET.source, PACKET.destination, 1, b"data", ttl=1, traffic_class=0xB8)

    assert packet.encode() == header + b"data"
    assert decode_packet(header + b"data") == packet


def test_a_packet_may_be_all_header():
    empty = Packet(PACKET.source, PACKET.destination, 1, b"")

    assert decode_packet(empty.encode()) == empty


@pytest.mark.parametrize(
    ("octets", "checksum"),
    [("", 0xFFFF), ("ffff", 0), ("ffff0001", 0xFFFE), ("ffffffff0003", 0xFFFC), ("00ff", 0xFF00)],
)
def test_carries_are_added_again(octets, checksum):
    assert checksum_of(bytes.fromhex(octets)) == checksum


def test_an_odd_number_of_octets_is_summed_as_if_padded():
    assert checksum_of(b"\x01\x02\x03") == checksum_of(b"\x01\x02\x03\x00")
