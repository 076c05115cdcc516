"""Keepalives on the wire, with scapy as the second eye."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import GRE

from flowbind.daemon.probes import decode_answer, encode_probe
from flowbind.effects import SendProbe
from flowbind.events import ProbeAnswered
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import Path
from tests.bpf.packets import minimal

AGENT = IPv4Address("198.51.100.1")
CARE_OF = IPv4Address("192.0.2.7")
HOME = IPv4Address("10.9.0.5")
SECRET = bytes(range(16))


def probe(encapsulation=Encapsulation.IP_IN_IP, bid=3, sequence=65535):
    return SendProbe(Path(bid, CARE_OF, AGENT, encapsulation, "wlan0"), HOME, sequence)


def answer(bid=3, sequence=65535, secret=SECRET, kind=0):
    packet = IP(src=str(AGENT), dst=str(HOME)) / ICMP(type=kind, id=bid, seq=sequence) / secret
    return bytes(packet)


@pytest.mark.parametrize("encapsulation", [Encapsulation.IP_IN_IP, Encapsulation.GRE])
def test_the_packet_is_an_echo_request_inside_the_tunnel(encapsulation):
    octets = encode_probe(probe(encapsulation), SECRET)
    outer = IP(octets)
    inner = outer[GRE].payload if encapsulation is Encapsulation.GRE else outer.payload
    assert (outer.src, outer.dst, outer.len) == (str(CARE_OF), str(AGENT), len(octets))
    assert outer.proto == {Encapsulation.IP_IN_IP: 4, Encapsulation.GRE: 47}[encapsulation]
    assert (inner.src, inner.dst) == (str(HOME), str(AGENT))
    echo = inner[ICMP]
    assert (echo.type, echo.code, echo.id, echo.seq) == (8, 0, 3, 65535)
    assert bytes(echo.payload) == SECRET


def test_by_minimal_encapsulation_it_is_an_echo_request_behind_a_forwarding_header():
    octets = encode_probe(probe(Encapsulation.MINIMAL), SECRET)
    inner = IP(src=str(HOME), dst=str(AGENT), id=0, flags="DF", tos=0xC0)
    inner = inner / ICMP(id=3, seq=65535) / SECRET
    assert octets == bytes(minimal(inner, str(CARE_OF), str(AGENT)))


@pytest.mark.parametrize("encapsulation", Encapsulation)
def test_every_checksum_is_right(encapsulation):
    octets = encode_probe(probe(encapsulation), SECRET)
    rebuilt = IP(octets)
    layer = rebuilt
    while layer:
        if hasattr(layer, "chksum"):
            layer.chksum = None
        layer = layer.payload
    assert bytes(rebuilt) == octets


def test_an_answer_names_its_path_and_number():
    assert decode_answer(answer(), SECRET) == ProbeAnswered(3, 65535)


def test_an_answer_behind_ip_options_is_read():
    packet = IP(src=str(AGENT), dst=str(HOME), options=b"\x94\x04\x00\x00")
    packet = packet / ICMP(type=0, id=3, seq=9) / SECRET
    assert decode_answer(bytes(packet), SECRET) == ProbeAnswered(3, 9)


@pytest.mark.parametrize(
    "stranger",
    [
        answer(secret=bytes(16)),
        answer(secret=SECRET + b"x"),
        answer(secret=SECRET[:-1]),
        answer(kind=8),
        answer(kind=3),
        b"",
        answer()[:20],
    ],
)
def test_what_nobody_asked_for_is_no_answer(stranger):
    assert decode_answer(stranger, SECRET) is None


@given(st.binary(max_size=100))
def test_any_octets_are_survived(octets):
    assert decode_answer(octets, SECRET) is None
