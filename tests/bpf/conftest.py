"""The programs of both roles, loaded in one network namespace, to run over single packets."""

from contextlib import ExitStack
from ipaddress import IPv4Network, IPv6Network

import pytest
from msgspec import Struct

from flowbind.dataplane.base import Role
from flowbind.dataplane.ebpf import libbpf
from flowbind.dataplane.ebpf.plane import EbpfDataPlane, EbpfSettings, open_ebpf
from tests.dataplane.kernel import bpf_directory, own_network, run
from tests.dataplane.nodes import AGENT, HOME, PREFIX

UNTOUCHED, DROPPED, REDIRECTED = -1, 2, 7
LINKS = {"wlan0": "192.0.2.254/24", "small0": "192.0.3.254/24", "tiny0": "192.0.4.254/24"}

_GSO_SIZE_AT = 176
_SKB_OCTETS = 192


class Outcome(Struct):
    """The verdict, the packet after it, and the counters that moved, with by how much."""

    verdict: int
    packet: bytes
    counted: dict[str, int]


class Programs:
    """The programs of a plane."""

    def __init__(self, plane: EbpfDataPlane) -> None:
        self.plane = plane

    def run(self, name: str, packet: bytes, *, gso_size: int = 0) -> Outcome:
        """Run a program over a frame, which is as if it had come in at the loopback."""
        plane = self.plane
        before = plane.statistics()
        context = bytearray(_SKB_OCTETS)
        context[_GSO_SIZE_AT : _GSO_SIZE_AT + 4] = gso_size.to_bytes(4, "little")
        verdict, after = libbpf.run_program(
            plane._library, plane._object.program_fd(name), bytes(packet), bytes(context)
        )
        moved = {
            counter: value - before[counter]
            for counter, value in plane.statistics().items()
            if value != before[counter]
        }
        return Outcome(verdict, after, moved)


@pytest.fixture(scope="module")
def pins():
    with ExitStack() as stack:
        stack.enter_context(own_network())
        directory = stack.enter_context(bpf_directory())
        for name, address in LINKS.items():
            run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
            run("ip", "addr", "add", address, "dev", name)
            run("ip", "link", "set", name, "up")
            run("ip", "link", "set", f"{name}-peer", "up")
        run("ip", "link", "set", "small0", "mtu", "1400")
        run("ip", "link", "set", "tiny0", "mtu", "1290")
        yield directory


@pytest.fixture(scope="module")
def opened_agent(pins):
    plane = open_ebpf(
        EbpfSettings(
            Role.HOME_AGENT, "mip0", str(pins / "agent"), AGENT, (IPv4Network("10.9.0.0/24"),)
        )
    )
    yield Programs(plane)
    plane.cleanup()


@pytest.fixture(scope="module")
def opened_mobile(pins):
    plane = open_ebpf(
        EbpfSettings(Role.MOBILE_NODE, "mip1", str(pins / "mobile"), AGENT, home_address=HOME)
    )
    yield Programs(plane)
    plane.cleanup()


@pytest.fixture(scope="module")
def opened_agent6(pins):
    prefixes = (IPv6Network("2001:db8::/32"),)
    settings = EbpfSettings(
        Role.HOME_AGENT, "mip0", str(pins / "agent6"), AGENT, ipv6_prefixes=prefixes
    )
    plane = open_ebpf(settings)
    yield Programs(plane)
    plane.cleanup()


@pytest.fixture(scope="module")
def opened_mobile6(pins):
    settings = EbpfSettings(
        Role.MOBILE_NODE,
        "mip1",
        str(pins / "mobile6"),
        AGENT,
        home_address=HOME,
        ipv6_prefixes=(PREFIX,),
    )
    plane = open_ebpf(settings)
    yield Programs(plane)
    plane.cleanup()


@pytest.fixture
def agent6(opened_agent6):
    """The programs of a home agent whose nodes may have prefixes, and that knows no node yet."""
    yield opened_agent6
    opened_agent6.plane.reconcile([])


@pytest.fixture
def mobile6(opened_mobile6):
    """The programs of a mobile node that has a prefix, and that knows nothing yet."""
    yield opened_mobile6
    opened_mobile6.plane.reconcile([])


@pytest.fixture
def agent(opened_agent):
    """The programs of a home agent that knows no node yet."""
    yield opened_agent
    opened_agent.plane.reconcile([])


@pytest.fixture
def mobile(opened_mobile):
    """The programs of a mobile node that knows nothing yet."""
    yield opened_mobile
    opened_mobile.plane.reconcile([])
