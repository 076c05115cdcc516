"""Forged ICMP errors: nothing but what a router on the way could say is believed."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

from flowbind.daemon.tunnelled import tunnelled
from flowbind.effects import LimitTunnel
from flowbind.engine.tunnel_errors import ERRORS_A_SECOND
from flowbind.events import TunnelErrorHeard
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import SMALLEST_LINK_MTU, NodeForwarding
from tests.engine.test_tunnel_errors import (
    AGENT,
    CARE_OF,
    CORRESPONDENT,
    DOWN,
    HOME,
    NODE,
    PATH,
    Ear,
)

OTHER = IPv4Address("192.0.2.9")
IN_UDP = structs.replace(PATH, local_port=434, remote_port=40000)


@pytest.fixture
def ear():
    return Ear()


def refused(ear, counter, *arguments, **fields):
    assert ear.hear(*arguments, **fields) == []
    assert ear.counted == {counter: 1}
    assert ear.errors.deadline() is None
    assert ear.errors.state(HOME, PATH).mtu is None


@pytest.mark.parametrize(
    "path",
    [
        structs.replace(PATH, remote=OTHER),
        structs.replace(PATH, local=OTHER),
        structs.replace(PATH, local=CARE_OF, remote=AGENT),
        structs.replace(PATH, encapsulation=Encapsulation.GRE),
        structs.replace(PATH, encapsulation=Encapsulation.MINIMAL),
        IN_UDP,
    ],
    ids=["elsewhere", "another's", "reversed", "gre", "minimal", "udp"],
)
def test_about_no_tunnel_of_ours(ear, path):
    refused(ear, "tunnel_error_elsewhere", path, DOWN, 3, 4, mtu=1400)


def test_about_another_port():
    ear = Ear(NodeForwarding(HOME, (IN_UDP,)))
    for path in (structs.replace(IN_UDP, remote_port=40001), PATH):
        assert ear.hear(path, DOWN, 3, 4, mtu=1400) == []
    assert ear.counted == {"tunnel_error_elsewhere": 2}


def test_about_a_node_with_another_tunnel(ear):
    inner = bytes(IP(src=str(CORRESPONDENT), dst="10.9.0.6", flags="DF") / UDP() / Raw(DOWN))
    refused(ear, "tunnel_error_elsewhere", PATH, inner, 3, 4, mtu=1400)


@pytest.mark.parametrize("mtu", [len(DOWN) + 20, 9000, 65535])
def test_too_big_for_a_link_that_takes_it(ear, mtu):
    refused(ear, "tunnel_error_untrue", PATH, DOWN, 3, 4, mtu=mtu)


def test_too_big_although_it_could_have_been_cut_up(ear):
    outer = bytearray(tunnelled(PATH, DOWN))
    outer[6] = 0
    message = bytes(ICMP(type=3, code=4, nexthopmtu=1400) / Raw(bytes(outer)))
    assert ear.errors.heard(TunnelErrorHeard(message), ear.now) == []
    assert ear.counted == {"tunnel_error_untrue": 1}


@pytest.mark.parametrize("mtu", [1, 68, SMALLEST_LINK_MTU - 1])
def test_smaller_than_any_link(ear, mtu):
    assert ear.hear(PATH, DOWN, 3, 4, mtu=mtu)[0] == LimitTunnel(
        HOME, AGENT, CARE_OF, SMALLEST_LINK_MTU
    )


def test_very_many(ear):
    heeded = sum(bool(ear.hear(PATH, DOWN)) for _ in range(5000))
    assert heeded == ERRORS_A_SECOND
    assert ear.counted["tunnel_error_too_many"] == 5000 - ERRORS_A_SECOND
    ear.now += 0.1
    assert sum(bool(ear.hear(PATH, DOWN)) for _ in range(100)) == ERRORS_A_SECOND / 10
    # Those about no tunnel of ours do not count.
    ear.now += 60
    for _ in range(5000):
        ear.hear(structs.replace(PATH, remote=OTHER), DOWN)
    assert ear.hear(PATH, DOWN)


def test_they_leave_nothing_behind(ear):
    for number in range(1000):
        ear.hear(structs.replace(PATH, remote=CARE_OF + number), DOWN, 3, 4, mtu=1400)
    assert len(ear.errors._states) == 1


@given(st.binary(max_size=200))
def test_any_octets_are_no_error_of_a_tunnel(octets):
    ear = Ear(NODE)
    assert ear.errors.heard(TunnelErrorHeard(octets), ear.now) == []
    summed = bytes(ICMP(type=3, code=4) / Raw(octets))
    assert ear.errors.heard(TunnelErrorHeard(summed), ear.now) == []
