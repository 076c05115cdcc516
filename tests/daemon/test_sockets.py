"""UDP on the loopback: batches, errors, and what an operator reads when a port is taken."""

import socket
import time
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from flowbind.daemon.errors import DaemonError
from flowbind.daemon.sockets import BATCH, InterfacePorts, Port
from flowbind.effects import SendDatagram
from flowbind.events import Received

LOOPBACK = IPv4Address("127.0.0.1")


@pytest.fixture
def port():
    opened = Port(LOOPBACK, 0)
    yield opened
    opened.close()


def datagram(payload, port, interface=None):
    return SendDatagram(payload, LOOPBACK, 0, LOOPBACK, port.port, interface)


def test_a_datagram_arrives_with_all_that_an_engine_needs(port):
    sender = Port(LOOPBACK, 0)
    sender.send(datagram(b"hello", port))
    assert port.receive() == [Received(b"hello", LOOPBACK, sender.port, LOOPBACK, port.port, None)]
    assert port.receive() == []
    sender.close()


def test_a_flood_is_read_in_batches(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(BATCH + 10):
            sender.sendto(b"x", ("127.0.0.1", port.port))
    assert [len(port.receive()), len(port.receive())] == [BATCH, 10]


def test_an_empty_datagram_is_one(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"", ("127.0.0.1", port.port))
    assert [each.payload for each in port.receive()] == [b""]


def test_an_icmp_error_is_survived(port):
    """Connected sockets hear of a closed port, and so may others that ask for it."""
    closed = Port(LOOPBACK, 0)
    closed.close()
    port.send(SendDatagram(b"x", LOOPBACK, 0, LOOPBACK, closed.port))
    time.sleep(0.05)
    assert port.receive() == []


def test_what_cannot_be_sent_is_lost_in_silence(port):
    port.send(datagram(b"x" * 70_000, port))
    assert port.receive() == []


@pytest.mark.rfc("5944", "3.8.2.1", "HA-18")
def test_what_is_broadcast_is_not_heard(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(b"to all", ("127.255.255.255", port.port))
        sender.sendto(b"to one", ("127.0.0.1", port.port))
    assert [each.payload for each in port.receive()] == [b"to one"]


@pytest.mark.root
@pytest.mark.rfc("5944", "3.1", "REG-6", "REG-7")
def test_a_wrong_checksum_is_discarded_and_none_at_all_is_not(port):
    to_us = IP(src="127.0.0.1", dst="127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        for payload, checksum in ((b"wrong", 0x1234), (b"none", 0), (b"right", None)):
            udp = UDP(sport=40000, dport=port.port, chksum=checksum)
            sender.sendto(bytes(to_us / udp / Raw(payload)), ("127.0.0.1", 0))
    assert [each.payload for each in port.receive()] == [b"none", b"right"]


def test_a_port_in_use_is_named(port):
    with pytest.raises(DaemonError, match=rf"127\.0\.0\.1, UDP port {port.port}: in use"):
        Port(LOOPBACK, port.port)


def test_an_address_of_somebody_else_is_named():
    with pytest.raises(DaemonError, match=r"192\.0\.2\.77.*not an address of this host"):
        Port(IPv4Address("192.0.2.77"), 434)


@pytest.mark.root
def test_each_interface_has_its_port(port):
    ports = InterfacePorts()
    ports.open("lo", LOOPBACK)
    ports.send(datagram(b"by lo", port, "lo"))
    ports.send(datagram(b"by nobody", port, "eth7"))
    assert [each.payload for each in port.receive()] == [b"by lo"]
    ports.close("lo")
    ports.send(datagram(b"too late", port, "lo"))
    assert port.receive() == []
    ports.close_all()


@pytest.mark.root
@pytest.mark.rfc("3519", "4.4", "UT-MN-4")
def test_an_interface_has_the_port_that_it_had_if_it_can(port):
    ports = InterfacePorts()
    own = ports.open("lo", LOOPBACK).port
    assert ports.open("lo", LOOPBACK).port == own
    ports.close_all()
    later = InterfacePorts(0, {"lo": own})
    assert later.open("lo", LOOPBACK).port == own
    later.close_all()
    # This one somebody else has.
    other = InterfacePorts(0, {"lo": port.port})
    assert other.open("lo", LOOPBACK).port != port.port
    other.close_all()


@pytest.mark.root
def test_an_interface_that_went_away_is_named():
    with pytest.raises(DaemonError, match="No such device"):
        InterfacePorts().open("gone0", LOOPBACK)
