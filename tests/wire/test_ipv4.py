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
    ("octets", "reason"),
    [
        (b"", "truncated"),
        (PACKET.encode()[:-1], "truncated"),
        (b"\x65" + PACKET.encode()[1:], "ipv4-header"),
        (b"\x44" + PACKET.encode()[1:], "ipv4-header"),
        (b"\x4f" + PACKET.encode()[1:], "truncated"),
        (bytes(IP(flags="MF") / b"data"), "ipv4-fragment"),
        (bytes(IP(frag=1) / b"data"), "ipv4-fragment"),
    ],
)
def test_what_is_refused_has_a_name(octets, reason):
    with pytest.raises(WireError) as refused:
        decode_packet(octets)
    assert refused.value.reason == reason


@given(st.binary(max_size=60))
def test_any_octets_are_a_packet_or_refused(octets):
    with suppress(WireError):
        assert len(decode_packet(octets).data) <= len(octets)


def test_an_odd_number_of_octets_is_summed_as_if_padded():
    assert checksum_of(b"\x01\x02\x03") == checksum_of(b"\x01\x02\x03\x00")
