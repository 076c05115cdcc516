"""What a path puts in front of a packet (RFC 2003, RFC 2784, RFC 3519 4.2)."""

from ipaddress import IPv4Address

import pytest

from flowbind.daemon.tunnelled import tunnelled
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import Path, overhead
from flowbind.wire.ipv4 import Packet

HERE = IPv4Address("192.0.2.1")
THERE = IPv4Address("198.51.100.2")


@pytest.mark.parametrize(
    ("encapsulation", "port", "octets"),
    [
        (Encapsulation.IP_IN_IP, 0, 20),
        (Encapsulation.GRE, 0, 24),
        (Encapsulation.MINIMAL, 0, 20),
        (Encapsulation.IP_IN_IP, 434, 32),
        (Encapsulation.GRE, 434, 36),
        (Encapsulation.MINIMAL, 434, 32),
    ],
)
def test_the_overhead_of_a_path_is_what_its_packets_are_longer_by_at_most(
    encapsulation: Encapsulation, port: int, octets: int
) -> None:
    path = Path(1, HERE, THERE, encapsulation, local_port=port, remote_port=port)
    inner = Packet(HERE, THERE, 17, b"data").encode()
    fragment = inner[:6] + bytes((0x20, 0)) + inner[8:]

    assert overhead(path) == octets
    longer = [len(tunnelled(path, each)) - len(each) for each in (inner, fragment)]
    assert max(longer) == octets
