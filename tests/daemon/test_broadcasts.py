"""Broadcasts on their way in and out of a daemon, beside what scapy makes of them."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import GRE, IP, TCP, UDP
from scapy.packet import Raw

from flowbind.daemon.broadcasts import with_checksum
from flowbind.daemon.perform import Outlets, Performer
from flowbind.daemon.tunnelled import tunnelled
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.effects import SendThroughTunnel
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import Path
from flowbind.store.memory import MemoryStore
from tests.bpf.packets import minimal

PATH = Path(1, IPv4Address("198.51.100.1"), IPv4Address("192.0.2.1"), Encapsulation.IP_IN_IP)


def broadcast(payload=b"who is there", **changes):
    return (
        IP(src="10.9.0.77", dst="10.9.0.255", tos=0xB9) / UDP(sport=137, **changes) / Raw(payload)
    )


@pytest.mark.parametrize("payload", [b"", b"odd", bytes(1000), b"\xff" * 7])
@pytest.mark.parametrize("padding", [b"", bytes(18)])
def test_a_checksum_that_was_left_to_the_device_is_completed(payload, padding):
    right = bytes(broadcast(payload))
    assert with_checksum(bytes(broadcast(payload, chksum=0x1234)) + padding) == right + padding


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x45",
        bytes(20),
        bytes(IP() / TCP(chksum=1)),
        bytes(IP(len=27) / UDP(chksum=1)),
        bytes(IP(len=2000) / UDP(chksum=1)),
        bytes(IP(ihl=4) / UDP(chksum=1)),
        bytes(IP(ihl=15) / UDP(chksum=1)),
    ],
)
def test_what_is_no_datagram_is_left_as_it_is(octets):
    assert with_checksum(octets) == octets


@pytest.mark.parametrize("encapsulation", Encapsulation)
def test_a_packet_gets_the_outer_headers_of_its_path(encapsulation):
    inner = broadcast()
    outer = IP(src="198.51.100.1", dst="192.0.2.1", id=0, flags="DF", ttl=64, tos=0xB8)
    gre = encapsulation is Encapsulation.GRE
    expected = outer / GRE() / inner if gre else outer / inner
    if encapsulation is Encapsulation.MINIMAL:
        expected = minimal(inner, "198.51.100.1", "192.0.2.1")
    path = Path(1, PATH.local, PATH.remote, encapsulation)
    assert tunnelled(path, bytes(inner)) == bytes(expected)


def test_it_is_sent_where_there_is_a_home_link_and_nowhere_else():
    sent: list[SendThroughTunnel] = []
    effect = SendThroughTunnel(PATH, bytes(broadcast()))
    for outlets in (
        Outlets(lambda _: None, lambda _: None, tunnel=sent.append),
        Outlets(lambda _: None, lambda _: None),
    ):
        assert Performer(MemoryDataPlane(), MemoryStore(), outlets).perform([[effect]]) == []
    assert sent == [effect]
