"""IPv6 on the device of either role: addresses, routes, rules, MTU (RFC 5454 3.6, RFC 4213)."""

import subprocess
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from msgspec import structs

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.plane import cleanup_ebpf, open_ebpf
from tests.dataplane.kernel import run
from tests.dataplane.nodes import AGENT, PREFIX, node, path

pytestmark = pytest.mark.root

OTHER = IPv6Network("2001:db8:2::/48")


def addresses():
    lines = run("ip", "-6", "-o", "addr", "show", "dev", "mip0", "scope", "global").splitlines()
    return [line.split()[3] for line in lines]


def routes(*of):
    lines = run("ip", "-6", "route", "show", *of).splitlines()
    return sorted(line.split()[0] for line in lines if "proto kernel" not in line)


def rules():
    return [
        line.split()[2] for line in run("ip", "-6", "rule").splitlines() if "lookup 434" in line
    ]


def sysctl(key):
    return Path(f"/proc/sys/net/ipv6/conf/{key}").read_text().strip()


@pytest.fixture
def mobile6(mobile_node):
    return structs.replace(mobile_node, default_route=True, ipv6_prefixes=(PREFIX, OTHER))


@pytest.fixture
def agent6(home_agent):
    return structs.replace(home_agent, ipv6_prefixes=(PREFIX, OTHER))


@pytest.mark.rfc("5454", "3.6", "DS-FW-3")
def test_a_mobile_node_has_an_address_in_each_prefix_and_sends_from_it_by_the_device(mobile6):
    for _ in range(2):
        plane = open_ebpf(mobile6)
        assert sorted(addresses()) == ["2001:db8:1::1/128", "2001:db8:2::1/128"]
        assert routes("table", "434", "dev", "mip0") == ["default"]
        assert routes("default") == ["default"]
        assert sorted(rules()) == [str(PREFIX), str(OTHER)]
        assert sysctl("mip0/mtu") == "1280"
        assert "unreachable 2001:db8:1::/64" in run("ip", "-6", "route")
        plane.close()
    cleanup_ebpf(mobile6)
    assert rules() == []
    assert "unreachable" not in run("ip", "-6", "route")


def test_a_prefix_that_is_configured_no_more_goes(mobile6):
    open_ebpf(mobile6).close()
    plane = open_ebpf(structs.replace(mobile6, ipv6_prefixes=(OTHER,)))
    assert addresses() == ["2001:db8:2::1/128"]
    assert rules() == [str(OTHER)]
    plane.close()
    plane = open_ebpf(structs.replace(mobile6, ipv6_prefixes=()))
    assert addresses() == []
    assert rules() == []
    assert sysctl("mip0/disable_ipv6") == "1"
    plane.cleanup()


@pytest.mark.rfc("5454", "3.3.1", "DS-FW-4")
def test_what_is_sent_to_the_prefixes_leads_to_the_home_agents_device(agent6):
    for _ in range(2):
        plane = open_ebpf(agent6)
        assert routes("dev", "mip0") == ["2001:db8:1::/64", "2001:db8:2::/48"]
        assert sysctl("mip0/mtu") == "1280"
        assert plane.warnings == ["net.ipv6.conf.all.forwarding is 0: this host forwards no IPv6"]
        plane.close()
    plane = open_ebpf(structs.replace(agent6, ipv6_prefixes=(OTHER,)))
    assert routes("dev", "mip0") == ["2001:db8:2::/48"]
    plane.cleanup()
    assert run("ip", "-6", "route") == ""


def test_without_prefixes_the_device_has_no_ipv6(home_agent):
    plane = open_ebpf(home_agent)
    assert sysctl("mip0/disable_ipv6") == "1"
    plane.cleanup()


def test_a_route_that_is_there_already_is_not_taken_away(agent6):
    Path("/proc/sys/net/ipv6/conf/wlan0/disable_ipv6").write_text("0")
    run("ip", "-6", "route", "add", str(PREFIX), "dev", "wlan0", "metric", "1")
    with pytest.raises(DataPlaneError, match=r"there is a route to 2001:db8:1::/64 already"):
        open_ebpf(agent6)
    assert "mip0" not in run("ip", "link")


@pytest.mark.rfc("5454", "3.6", "DS-FW-3")
def test_a_device_too_narrow_for_ipv6_has_none_and_says_so(mobile6):
    plane = open_ebpf(mobile6)
    run("ip", "link", "set", "wlan0", "mtu", "1290")
    there = structs.replace(path(1), local=path(1).remote, remote=AGENT, interface="wlan0")
    plane.program(node([there], prefixes=[PREFIX]))
    assert addresses() == []
    assert rules() == []
    run("ip", "link", "set", "wlan0", "mtu", "1500")
    list(plane.measure())
    assert sorted(addresses()) == ["2001:db8:1::1/128", "2001:db8:2::1/128"]
    assert routes("table", "434", "dev", "mip0") == ["default"]
    assert sysctl("mip0/mtu") == "1280"
    plane.cleanup()


@pytest.mark.rfc("5454", "3.6", "DS-FW-3")
def test_a_packet_larger_than_the_tunnel_is_answered_by_the_stack(mobile6):
    plane = open_ebpf(mobile6)
    there = structs.replace(path(1), local=path(1).remote, remote=AGENT, interface="wlan0")
    plane.program(node([there], prefixes=[PREFIX]))
    ping = ["ping", "-6", "-c1", "-W1", "-I", "2001:db8:1::1", "-M", "do", "-s", "1233"]
    done = subprocess.run([*ping, "2001:db8:ffff::9"], capture_output=True, text=True, check=False)
    assert "mtu: 1280" in done.stdout + done.stderr or "mtu=1280" in done.stdout + done.stderr
    plane.cleanup()
