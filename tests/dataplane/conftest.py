"""Data planes to test, each kernel one in a network namespace of its own."""

import time
from ipaddress import IPv4Address, IPv4Network

import pytest

from flowbind.dataplane.base import DataPlane, Role
from flowbind.dataplane.ebpf.plane import EbpfSettings, open_ebpf
from flowbind.dataplane.memory import MemoryDataPlane
from tests.dataplane.kernel import bpf_directory, own_network, run

AGENT = IPv4Address("198.51.100.1")
HOME = IPv4Address("10.9.0.5")


def settle():
    """Wait until the kernel has noticed that both ends of each link are up."""
    deadline = time.monotonic() + 5
    while "LOWERLAYERDOWN" in run("ip", "-br", "link"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def network():
    with own_network():
        run("ip", "link", "add", "wlan0", "type", "veth", "peer", "name", "far0")
        run("ip", "link", "add", "wwan0", "type", "veth", "peer", "name", "far1")
        for name in ("wlan0", "far0", "wwan0", "far1"):
            run("ip", "link", "set", name, "up")
        settle()
        yield


@pytest.fixture
def bpf():
    with bpf_directory() as directory:
        yield directory


@pytest.fixture
def home_agent(network, bpf):
    return EbpfSettings(
        Role.HOME_AGENT, "mip0", str(bpf / "home-agent"), AGENT, (IPv4Network("10.9.0.0/24"),)
    )


@pytest.fixture
def mobile_node(network, bpf):
    return EbpfSettings(
        Role.MOBILE_NODE, "mip0", str(bpf / "mobile-node"), AGENT, home_address=HOME
    )


@pytest.fixture(params=["memory", pytest.param("ebpf", marks=pytest.mark.root)])
def mobile_plane(request):
    """Either data plane of a mobile node, open."""
    opened: DataPlane = (
        MemoryDataPlane()
        if request.param == "memory"
        else open_ebpf(request.getfixturevalue("mobile_node"))
    )
    yield opened
    opened.cleanup()


@pytest.fixture(params=["memory", pytest.param("ebpf", marks=pytest.mark.root)])
def plane(request):
    """Either data plane, open."""
    opened: DataPlane = (
        MemoryDataPlane()
        if request.param == "memory"
        else open_ebpf(request.getfixturevalue("home_agent"))
    )
    yield opened
    opened.close()
