"""A mobile node on its home link, in the kernel: its address, its routes, its sysctls."""

import socket
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from msgspec import structs

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.plane import cleanup_ebpf, open_ebpf
from flowbind.model.home_link import HomeLink
from tests.dataplane.conftest import AGENT, HOME
from tests.dataplane.kernel import run
from tests.dataplane.nodes import node, path

pytestmark = pytest.mark.root

NETWORK = IPv4Network("10.9.0.0/24")
ROUTER = IPv4Address("10.9.0.1")
COMING = HomeLink("wlan0", NETWORK, ROUTER)
SETTLED = structs.replace(COMING, settled=True)


@pytest.fixture
def plane(mobile_node):
    opened = open_ebpf(structs.replace(mobile_node, default_route=True))
    yield opened
    opened.cleanup()


def led_to(address: object, *words: str) -> str:
    shown = run("ip", "route", "get", str(address), *words).split()
    return shown[shown.index("dev") + 1]


def state() -> str:
    return run("ip", "-br", "addr") + run("ip", "route", "show", "table", "all")


def sysctl(key: str) -> str:
    return Path("/proc/sys/net/ipv4/conf", key).read_text().strip()


@pytest.mark.rfc("5944", "3.6", "MN-2")
@pytest.mark.rfc("5944", "4.2.1")
def test_at_home_the_node_is_a_host_of_the_home_network(plane):
    plane.program_home_link(SETTLED)
    assert "10.9.0.5/24 brd 10.9.0.255" in run("ip", "addr", "show", "wlan0")
    for words in ((), ("from", str(HOME))):
        assert led_to("10.9.0.77", *words) == "wlan0"
        assert led_to("203.0.113.9", *words) == "wlan0"
    assert "via 10.9.0.1" in run("ip", "route", "get", "203.0.113.9")
    assert "src 10.9.0.5" in run("ip", "route", "get", "10.9.0.77")
    assert "via" not in run("ip", "route", "get", "10.9.0.77")


def test_before_the_home_agent_agrees_only_a_bound_socket_sends_there(plane):
    plane.program_home_link(COMING)
    assert "10.9.0.5/24" in run("ip", "addr", "show", "wlan0")
    for words in ((), ("from", str(HOME))):
        assert led_to("10.9.0.77", *words) == "mip0"
        assert led_to("203.0.113.9", *words) == "mip0"
    assert led_to(AGENT, "from", str(HOME), "oif", "wlan0") == "wlan0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wlan0")
        bound.bind((str(HOME), 0))
        bound.sendto(b"deregistration", (str(AGENT), 434))


@pytest.mark.parametrize(
    ("home_agent", "router", "via"),
    [("198.51.100.1", ROUTER, True), ("198.51.100.1", None, False), ("10.9.0.1", ROUTER, False)],
)
def test_the_way_to_the_home_agent(mobile_node, home_agent, router, via):
    plane = open_ebpf(structs.replace(mobile_node, home_agent=IPv4Address(home_agent)))
    for settled in (False, True):
        plane.program_home_link(HomeLink("wlan0", NETWORK, router, settled))
        shown = run("ip", "route", "get", home_agent, "from", str(HOME), "oif", "wlan0")
        assert "dev wlan0" in shown
        assert ("via 10.9.0.1" in shown) is via
    assert led_to(home_agent, "from", str(HOME)) == "wlan0"
    plane.cleanup()


def test_leaving_home_leaves_nothing(plane):
    plane.program(node([path(1, interface="wlan0")]))
    before = state()
    for link in (COMING, SETTLED):
        plane.program_home_link(link)
        assert state() != before
    plane.program_home_link(structs.replace(SETTLED, interface="wwan0"))
    assert "10.9.0.5" not in run("ip", "addr", "show", "wlan0")
    plane.program_home_link(None)
    plane.program_home_link(None)
    assert state() == before


def test_a_restart_stays_at_home(mobile_node):
    first = open_ebpf(mobile_node)
    first.program_home_link(SETTLED)
    first.close()
    second = open_ebpf(mobile_node)
    assert second.home_link() == SETTLED
    assert led_to("203.0.113.9", "from", str(HOME)) == "wlan0"
    second.cleanup()


def test_cleanup_after_the_daemon_is_gone(mobile_node):
    before = state()
    plane = open_ebpf(mobile_node)
    plane.program_home_link(SETTLED)
    plane.close()
    cleanup_ebpf(mobile_node)
    assert state() == before


def test_what_dhcp_has_set_stays_and_is_behind(plane):
    run("ip", "addr", "add", "10.9.0.77/24", "dev", "wlan0")
    run("ip", "route", "add", "default", "via", "10.9.0.254", "dev", "wlan0")
    before = state()
    plane.program_home_link(SETTLED)
    assert "src 10.9.0.5" in run("ip", "route", "get", "10.9.0.78")
    assert "via 10.9.0.1" in run("ip", "route", "get", "203.0.113.9")
    plane.program_home_link(None)
    assert state() == before


def test_a_home_address_that_dhcp_has_set_stays(plane):
    run("ip", "addr", "add", f"{HOME}/24", "dev", "wlan0", "metric", "600")
    before = state()
    plane.program_home_link(SETTLED)
    plane.program_home_link(None)
    assert state() == before


def test_without_a_default_route_the_hosts_own_stays(mobile_node):
    plane = open_ebpf(mobile_node)
    run("ip", "route", "add", "default", "dev", "wwan0")
    plane.program_home_link(SETTLED)
    assert led_to("203.0.113.9") == "wwan0"
    assert led_to("203.0.113.9", "from", str(HOME)) == "wlan0"
    plane.cleanup()


def test_an_interface_that_is_not_there(plane):
    with pytest.raises(DataPlaneError, match="there is no interface eth9"):
        plane.program_home_link(structs.replace(SETTLED, interface="eth9"))
    assert plane.home_link() is None


def test_a_home_agent_is_nowhere_at_home(home_agent):
    plane = open_ebpf(home_agent)
    with pytest.raises(DataPlaneError, match="nowhere at home"):
        plane.program_home_link(SETTLED)
    plane.cleanup()


@pytest.mark.rfc("5944", "4.2.1", "FW-4")
def test_redirects_on_foreign_links_are_ignored(plane):
    for name in ("all", "wlan0", "wwan0"):
        run("sysctl", "-qw", f"net.ipv4.conf.{name}.accept_redirects=1")
    plane.program(node([path(1, interface="wlan0")]))
    assert sysctl("all/accept_redirects") == sysctl("wlan0/accept_redirects") == "0"
    # One that is no access interface goes on as it is.
    assert sysctl("wwan0/accept_redirects") == "1"
