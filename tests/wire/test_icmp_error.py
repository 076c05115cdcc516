"""ICMP errors and what they quote of tunnels, as scapy writes them."""

from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import GRE, ICMP, IP, UDP
from scapy.packet import Raw

from flowbind.daemon.tunnelled import tunnelled
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import Path
from flowbind.wire.errors import WireError
from flowbind.wire.icmp_error import IcmpError, QuotedTunnel

LOCAL, REMOTE = IPv4Address("198.51.100.1"), IPv4Address("192.0.2.7")
INNER = bytes(
    IP(src="203.0.113.9", dst="10.9.0.5", id=7, flags="DF", tos=0xB8) / UDP() / Raw(bytes(100))
)
PROTOCOL = {Encapsulation.IP_IN_IP: 4, Encapsulation.GRE: 47, Encapsulation.MINIMAL: 55}


def outer(encapsulation=Encapsulation.IP_IN_IP, port=0):
    ports = {"local_port": 434 if port else 0, "remote_port": port}
    return tunnelled(Path(1, LOCAL, REMOTE, encapsulation, **ports), INNER)


@pytest.mark.parametrize("port", [0, 40000])
@pytest.mark.parametrize("encapsulation", Encapsulation)
def test_the_packet_in_the_tunnel_is_found(encapsulation, port):
    packet = outer(encapsulation, port)
    found = QuotedTunnel.decode(packet)
    assert (found.local, found.remote) == (LOCAL, REMOTE)
    assert (found.local_port, found.remote_port) == ((434, port) if port else (0, 0))
    assert (found.protocol, found.length) == (PROTOCOL[encapsulation], len(packet))
    assert found.whole
    assert found.inner == INNER
    # However little is quoted.
    for octets in range(28, len(packet)):
        try:
            cut = QuotedTunnel.decode(packet[:octets]).inner
        except WireError:
            # The ports are in the first 8 octets, whether it is a tunnel in those behind them.
            assert port
            assert octets < 32
            continue
        assert INNER[20:].startswith(cut[20:])


def test_options_of_gre_are_passed_over():
    header = GRE(chksum_present=1, key_present=1, key=9, seqnum_present=1, sequence_number=3)
    packet = bytes(IP(src=str(LOCAL), dst=str(REMOTE)) / header / IP(INNER))
    found = QuotedTunnel.decode(packet)
    assert found.inner == INNER
    assert not found.whole


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=str(LOCAL), dst=str(REMOTE), proto=6) / Raw(INNER),
        IP(src=str(LOCAL), dst=str(REMOTE), proto=4, ihl=6) / Raw(INNER),
        IP(src=str(LOCAL), dst=str(REMOTE)) / UDP(sport=434, dport=9) / Raw(b"\x03\4\0\0" + INNER),
        IP(src=str(LOCAL), dst=str(REMOTE)) / UDP(sport=434, dport=9) / Raw(b"\x04\x29\0\0"),
    ],
    ids=["tcp", "options", "another message", "another protocol"],
)
def test_what_is_no_tunnel_is_refused(packet):
    with pytest.raises(WireError, match="icmp-no-tunnel"):
        QuotedTunnel.decode(bytes(packet))


def test_an_error_as_scapy_writes_it():
    written = bytes(ICMP(type=3, code=4, nexthopmtu=1400) / Raw(outer()))
    assert IcmpError.decode(written) == IcmpError(3, 4, outer(), 1400)
    assert IcmpError(3, 4, outer(), 1400).encode() == written


def test_an_error_is_no_longer_than_576_octets():
    assert len(IcmpError(3, 1, bytes(2000)).encode()) == 576 - 20


@pytest.mark.parametrize("octets", [b"", bytes(35), b"\x03" + bytes(40)])
def test_what_is_no_sound_error_is_refused(octets):
    with pytest.raises(WireError, match="icmp-error"):
        IcmpError.decode(octets)


@given(st.binary(min_size=28, max_size=100), st.sampled_from([4, 17, 47, 55]))
def test_any_octets_are_a_tunnel_or_refused(octets, protocol):
    quoted = b"\x45" + octets[1:9] + bytes((protocol,)) + octets[10:]
    with suppress(WireError):
        QuotedTunnel.decode(quoted)
