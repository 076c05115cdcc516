"""The home link of a home agent in the kernel: who answers ARP, and where packets are led."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.plane import cleanup_ebpf, open_ebpf
from tests.dataplane.conftest import HOME
from tests.dataplane.kernel import run
from tests.dataplane.nodes import node, path

pytestmark = pytest.mark.root

OTHER = IPv4Address("10.9.0.6")


@pytest.fixture
def at_link(home_agent):
    """A home agent whose home link is wlan0."""
    run("ip", "addr", "add", "10.9.0.1/24", "dev", "wlan0")
    return structs.replace(home_agent, home_link="wlan0")


def proxied() -> list[str]:
    return sorted(line.split()[0] for line in run("ip", "neigh", "show", "proxy").splitlines())


def led_to(address: IPv4Address) -> str:
    words = run("ip", "route", "get", str(address)).split()
    return words[words.index("dev") + 1]


@pytest.mark.rfc("5944", "4.6", "ARP-1")
@pytest.mark.rfc("5944", "4.2.3", "FW-6", "FW-7")
def test_a_node_is_intercepted_as_long_as_it_has_a_binding(at_link):
    plane = open_ebpf(at_link)
    assert (proxied(), led_to(HOME)) == ([], "wlan0")
    plane.program(node([path(1)]))
    assert (proxied(), led_to(HOME)) == ([str(HOME)], "mip0")
    assert led_to(OTHER) == "wlan0"
    plane.program(node([path(2)]))
    plane.remove(HOME)
    assert (proxied(), led_to(HOME)) == ([], "wlan0")
    plane.remove(HOME)
    plane.cleanup()


def test_a_restart_keeps_what_is_intercepted(at_link):
    first = open_ebpf(at_link)
    first.program(node([path(1)]))
    first.close()
    assert (proxied(), led_to(HOME)) == ([str(HOME)], "mip0")
    second = open_ebpf(at_link)
    assert (proxied(), led_to(HOME)) == ([str(HOME)], "mip0")
    second.reconcile([])
    assert (proxied(), led_to(HOME)) == ([], "wlan0")
    second.cleanup()


def test_an_interface_that_was_down_is_answered_on_again(at_link):
    plane = open_ebpf(at_link)
    plane.program(node([path(1)]))
    run("ip", "link", "set", "wlan0", "down")
    run("ip", "link", "set", "wlan0", "up")
    assert proxied() == []
    plane.program(node([path(1)]))
    assert proxied() == [str(HOME)]
    plane.cleanup()


def test_another_home_link(at_link):
    first = open_ebpf(at_link)
    first.program(node([path(1)]))
    first.close()
    second = open_ebpf(structs.replace(at_link, home_link="wwan0"))
    assert "dev wwan0 proxy" in run("ip", "neigh", "show", "proxy")
    assert proxied() == [str(HOME)]
    second.close()
    # Without one the home network as a whole leads to the device, if nothing else has it.
    run("ip", "addr", "del", "10.9.0.1/24", "dev", "wlan0")
    third = open_ebpf(structs.replace(at_link, home_link=None))
    assert (proxied(), led_to(OTHER)) == ([], "mip0")
    third.cleanup()


def test_what_the_operator_has_set_stays(at_link):
    run("ip", "neigh", "add", "proxy", "10.9.0.77", "dev", "wlan0")
    plane = open_ebpf(at_link)
    plane.program(node([path(1)]))
    assert proxied() == [str(HOME), "10.9.0.77"]
    plane.cleanup()
    assert proxied() == ["10.9.0.77"]


def test_a_route_of_somebody_else_is_not_replaced(at_link):
    run("ip", "route", "add", f"{HOME}/32", "dev", "wwan0")
    plane = open_ebpf(at_link)
    with pytest.raises(DataPlaneError, match=r"there is a route to 10\.9\.0\.5/32 already"):
        plane.program(node([path(1)]))
    assert (proxied(), led_to(HOME)) == ([], "wwan0")
    plane.cleanup()


def test_a_home_link_that_is_not_there(home_agent):
    with pytest.raises(DataPlaneError, match="there is no interface eth9"):
        open_ebpf(structs.replace(home_agent, home_link="eth9"))


def test_cleanup_after_the_daemon_is_gone(at_link):
    plane = open_ebpf(at_link)
    plane.program(node([path(1)]))
    plane.close()
    cleanup_ebpf(at_link)
    assert (proxied(), led_to(HOME)) == ([], "wlan0")


def test_the_sysctls_of_the_link(at_link):
    run("sysctl", "-qw", "net.ipv4.conf.wlan0.rp_filter=1")
    plane = open_ebpf(at_link)
    assert run("sysctl", "-n", "net.ipv4.conf.wlan0.rp_filter") == "2\n"
    assert run("sysctl", "-n", "net.ipv4.neigh.wlan0.proxy_delay") == "0\n"
    plane.cleanup()


def test_a_node_that_takes_less_keeps_its_route_when_it_takes_more(at_link):
    run("ip", "addr", "add", "192.0.2.254/24", "dev", "wwan0")
    plane = open_ebpf(at_link)
    plane.program(node([path(1)]))
    for mtu, route in ((1400, "mtu lock 1376"), (1300, "mtu lock 1276"), (1500, "")):
        run("ip", "link", "set", "wwan0", "mtu", str(mtu))
        assert tuple(plane.measure()) == (HOME,)
        (shown,) = run("ip", "route", "show", "dev", "mip0").splitlines()
        assert shown.strip() == f"{HOME} proto static {route}".strip()
        plane.program(node([path(1)]))
        assert led_to(HOME) == "mip0"
    plane.remove(HOME)
    assert (proxied(), led_to(HOME)) == ([], "wlan0")
    plane.cleanup()
