"""A path over links without Ethernet headers, such as a modem's: two TUN, and a thread between."""

import os
import select
import socket
import threading
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from flowbind.dataplane.netlink import Device
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import NodeForwarding, Path
from tests.dataplane.kernel import run
from tests.netns.hosts import (
    AGENT,
    CORRESPONDENT,
    HOME,
    OTHER_HOME,
    exchange,
    inside,
    other_node_at,
    ping,
    socket_in,
    transfer,
)

pytestmark = pytest.mark.root

CARE_OF = IPv4Address("100.64.4.7")
MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)


@contextmanager
def carrying(left: int, right: int):
    """Carry packets from each of two TUN to the other."""
    ended, end = os.pipe()

    def carry():
        while True:
            readable, _, _ = select.select([left, right, ended], [], [])
            if ended in readable:
                return
            for source in readable:
                os.write(right if source == left else left, os.read(source, 1 << 16))

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield
    finally:
        os.write(end, b"x")
        thread.join()
        os.close(ended)
        os.close(end)


@pytest.fixture
def modem(pins):
    """A raw link between the home agent and the mobile node; it goes with the test."""
    ends = {}
    for host, name, address in (("ha", "modem0", "100.64.4.1"), ("mn", "wwan0", str(CARE_OF))):
        with inside(host):
            ends[host] = Device(name)
            run("ip", "addr", "add", f"{address}/24", "dev", name)
            run("ip", "link", "set", name, "up")
    with inside("mn"):
        run("ip", "route", "add", "default", "via", "100.64.4.1", "dev", "wwan0", "metric", "400")
    with carrying(ends["ha"]._fd, ends["mn"]._fd):
        yield
    for host, device in ends.items():
        with inside(host):
            device.remove()


@pytest.mark.parametrize("encapsulation", Encapsulation)
def test_a_path_over_a_modem(modem, end, encapsulation):
    agent, mobile = end("ha"), end("mn")
    agent.program(NodeForwarding(HOME, (Path(3, AGENT, CARE_OF, encapsulation),)))
    mobile.program(
        NodeForwarding(HOME, (Path(3, CARE_OF, AGENT, encapsulation, interface="wwan0"),))
    )
    assert ping("cn", CORRESPONDENT, HOME)
    assert ping("mn", HOME, AGENT)
    assert agent.counted("echo_answered") == 5
    exchange(CN, MN, bytes(1448))
    exchange(MN, CN, bytes(1448))
    transfer(CN, MN)
    transfer(MN, CN)


def test_the_short_cut_from_a_modem(modem, end):
    """From a host behind a raw link into a tunnel over another."""
    agent, second = end("ha"), end("mn2")
    for each in (agent, second):
        each.program(other_node_at(each.host, Encapsulation.GRE))
    with (
        socket_in("mn", socket.SOCK_DGRAM, CARE_OF) as here,
        socket_in("mn2", socket.SOCK_DGRAM, OTHER_HOME) as there,
    ):
        here.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wwan0")
        here.sendto(b"from without", there.getsockname())
        received, source = there.recvfrom(100)
    assert (received, source[0]) == (b"from without", str(CARE_OF))
    assert agent.counted("encapsulated_packets") == 1
