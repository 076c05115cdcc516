"""A node that leaves its home link and returns to it: real daemons, real ARP, other hosts there."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from flowbind.daemon.discovery import DiscoveryPort
from flowbind.effects import SendIcmp
from flowbind.wire.agent_discovery import AgentAdvertisement, AgentSolicitation, Router
from flowbind.wire.iana import ALL_ROUTERS, ALL_SYSTEMS, MOBILE_AGENTS, AgentFlag, IcmpType
from tests.dataplane.kernel import run
from tests.netns.daemons import KEY
from tests.netns.home import (
    AGENT,
    AT_AGENT,
    AT_CN,
    AT_HOST,
    AT_NODE,
    CORRESPONDENT,
    HOME,
    HOST,
    home_network,
    link_address,
    neighbour,
    plug,
    wait_until,
)
from tests.netns.hosts import Ping, inside, namespace, ping

pytestmark = pytest.mark.root

_AGENT = f"""
[home-agent]
address = "{AGENT}"
home-networks = ["10.9.0.0/24"]
home-link = "eth1"
advertisement-interval = "4s"
{{settings}}
[[mobile-node]]
home-address = "{HOME}"
spi = 256
key = "{KEY}"
"""
_NODE = f"""
[mobile-node]
home-address = "{HOME}"
home-agent = "{AGENT}"
home-network = "10.9.0.0/24"
spi = 256
key = "{KEY}"
probe-interval = "100ms"
{{settings}}
[[interface]]
name = "wlan0"
bid = 1
access = "wlan"

[[interface]]
name = "home0"
bid = 2
access = "ethernet"
"""


@pytest.fixture(scope="module")
def network():
    with home_network():
        yield


@pytest.fixture
def pair(network, daemon, tmp_path, pins):
    """A home agent and a mobile node that is away, registered over wlan0."""
    plug(home=False)
    agent = daemon("home-agent", AT_AGENT, lambda host: _AGENT.format(settings=host))
    node = daemon("mobile-node", AT_NODE, lambda host: _NODE.format(settings=host))
    agent.wait("a binding", lambda: agent.bids() == {1})
    yield agent, node
    for each in (agent, node):
        each.kill()
        assert "Traceback" not in each.told()
        done = subprocess.run(each._inside(each.role, "cleanup", "-c", str(each.file)), check=False)
        assert done.returncode == 0


def state(node, interface="home0"):
    (row,) = [each for each in node.ask("paths")["paths"] if each["interface"] == interface]
    return row["state"], row["local"]


def come_home(agent, node):
    plug(home=True)
    node.wait("to be at home", lambda: state(node) == ("home", str(HOME)))
    agent.wait("the deregistration", lambda: agent.bids() == set())


def go_away(agent):
    plug(home=False)
    agent.wait("the binding", lambda: agent.bids() == {1})


def tunnelled(agent):
    return agent.counters().get("encapsulated_packets", 0)


def at_host(mac):
    """Whether the host on the home link has this link-layer address for the home address."""
    return lambda: neighbour(AT_HOST, "eth0", HOME) == mac


class Capture:
    """Everything of a kind that a host hears, as tshark shows it."""

    def __init__(self, host, device, file, what):
        self._file = file
        with inside(host):
            self._process = subprocess.Popen(
                ["tcpdump", "-U", "-i", device, "-w", str(file), *what.split()],
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert self._process.stderr is not None
        assert "listening" in self._process.stderr.readline()

    def shown(self, *fields, only=""):
        self._process.terminate()
        self._process.communicate(timeout=10)
        command = ["tshark", "-r", str(self._file), "-Y", only, "-T", "json"]
        packets = json.loads(run(*command))
        rows = [_flat(each["_source"]["layers"]) for each in packets]
        return [tuple(row.get(field) for field in fields) for row in rows]


def _flat(layers):
    found: dict[str, str] = {}
    for name, value in layers.items():
        if isinstance(value, dict):
            found |= _flat(value)
        else:
            found.setdefault(name, value)
    return found


@pytest.mark.rfc("5944", "4.6", "ARP-1", "ARP-2", "ARP-3", "ARP-8")
@pytest.mark.rfc("5944", "2.4.3", "ADV-7", "ADV-8")
@pytest.mark.rfc("5944", "4.2.3", "FW-6", "FW-7")
@pytest.mark.rfc("5944", "3.1", "REG-4")
@pytest.mark.rfc("5944", "3.8.3.1", "HA-33")
def test_there_and_back(pair):
    agent, node = pair
    ours, its = link_address(AT_AGENT, "eth1"), link_address(AT_NODE, "home0")

    # Away: the home agent answers ARP, and what comes goes through the tunnel.
    before = tunnelled(agent)
    assert ping(AT_HOST, HOST, HOME)
    assert at_host(ours)()
    assert ping(AT_CN, CORRESPONDENT, HOME)
    assert tunnelled(agent) == before + 10

    # Home: the host hears of it before it sends anything, and sends there itself.
    come_home(agent, node)
    wait_until("gratuitous ARP of the node", at_host(its))
    before = tunnelled(agent)
    assert ping(AT_HOST, HOST, HOME)
    assert ping(AT_CN, CORRESPONDENT, HOME)
    assert ping(AT_NODE, HOME, HOST)
    assert ping(AT_NODE, HOME, CORRESPONDENT)
    assert ping(AT_NODE, HOME, AGENT)
    assert tunnelled(agent) == before
    assert at_host(its)()

    # Away again.
    go_away(agent)
    wait_until("gratuitous ARP of the home agent", at_host(ours))
    before = tunnelled(agent)
    assert ping(AT_HOST, HOST, HOME)
    assert tunnelled(agent) == before + 5
    for each in (agent, node):
        assert not {name for name in each.counters() if name.startswith("discarded_")}


@pytest.mark.rfc("5944", "4.6", "ARP-2", "ARP-3")
def test_both_announce_the_return_and_the_home_agent_the_leave(pair, tmp_path):
    agent, node = pair
    # The first binding is told, too, three times in two seconds.
    subprocess.run(["sleep", "3"], check=True)
    capture = Capture(AT_HOST, "eth0", tmp_path / "arp.pcap", "arp")
    come_home(agent, node)
    its, ours = link_address(AT_NODE, "home0"), link_address(AT_AGENT, "eth1")
    subprocess.run(["sleep", "3"], check=True)
    go_away(agent)
    subprocess.run(["sleep", "3"], check=True)
    fields = ("eth.src", "eth.dst", "arp.src.hw_mac", "arp.src.proto_ipv4", "arp.dst.proto_ipv4")
    said = capture.shown(*fields, only="arp.isgratuitous == 1")
    assert {row[1] for row in said} == {"ff:ff:ff:ff:ff:ff"}
    assert {row[3:] for row in said} == {(str(HOME), str(HOME))}
    order = [(row[0], row[2]) for row in said]
    # The node for itself, the home agent for the node, then for itself: each three times.
    assert {each: order.count(each) for each in order} == {
        (its, its): 3, (ours, its): 3, (ours, ours): 3,
    }  # fmt: skip
    assert order[0] == (its, its)
    assert order[-3:] == [(ours, ours)] * 3


@pytest.mark.rfc("5944", "2.3", "ADV-1", "ADV-2")
@pytest.mark.rfc("5944", "2.1")
@pytest.mark.rfc("5944", "2.4", "ADV-3")
def test_tshark_reads_what_is_advertised_and_asked(pair, tmp_path):
    agent, node = pair
    capture = Capture(AT_HOST, "eth0", tmp_path / "icmp.pcap", "icmp")
    # Nobody advertises himself before the node has to ask.
    agent.kill()
    plug(home=True)
    subprocess.run(["sleep", "2"], check=True)
    agent.start()
    come_home(agent, node)
    subprocess.run(["sleep", "5"], check=True)
    fields = (
        "eth.dst", "ip.src", "ip.dst", "ip.ttl", "icmp.checksum.status", "icmp.num_addrs",
        "icmp.lifetime", "icmp.mip.life", "icmp.mip.h", "icmp.mip.f", "icmp.mip.seq",
        "icmp.mip.prefixlength",
    )  # fmt: skip
    said = capture.shown(*fields, only="icmp.type == 9 || icmp.type == 10")
    # A node without an address asks all routers; the home agent answers all systems.
    asked = [row for row in said if row[2] == "224.0.0.2"]
    assert asked
    assert all(row[:5] == ("01:00:5e:00:00:02", "0.0.0.0", "224.0.0.2", "1", "1") for row in asked)  # noqa: S104
    told = [row for row in said if row not in asked]
    assert len(told) >= 2
    numbers = [int(row[10]) for row in told]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for row in told:
        assert row[:5] == ("01:00:5e:00:00:01", str(AGENT), "224.0.0.1", "1", "1")
        assert (row[5], row[6], row[7], row[8], row[9]) == ("1", "12", "1800", "1", "0")


@pytest.mark.rfc("5944", "4.2.1")
def test_a_restart_of_either_daemon_at_home_and_away(pair):
    agent, node = pair
    for arrive in (lambda: None, lambda: come_home(agent, node)):
        arrive()
        for each in (agent, node):
            each.kill()
            assert ping(AT_HOST, HOST, HOME)
            each.start()
            assert ping(AT_HOST, HOST, HOME)
    assert state(node) == ("home", str(HOME))
    assert agent.bids() == set()
    # Nothing that a restart has left over keeps the node from leaving.
    go_away(agent)
    assert ping(AT_HOST, HOST, HOME)


def test_a_home_link_that_was_down_is_answered_on_again(pair):
    agent, _node = pair
    with inside(AT_AGENT):
        run("ip", "link", "set", "eth1", "down")
        run("ip", "link", "set", "eth1", "up")
    with inside(AT_HOST):
        run("ip", "neigh", "flush", "dev", "eth0")
    wait_until("an answer", lambda: ping(AT_HOST, HOST, HOME))
    assert at_host(link_address(AT_AGENT, "eth1"))()
    assert agent.bids() == {1}


@pytest.mark.rfc("5944", "2.4.3", "ADV-7")
def test_a_forged_advertisement_takes_no_packet_away(pair):
    """From the access network, in the home agent's name: nobody there can answer for it."""
    agent, node = pair
    forged = AgentAdvertisement(0, 1800, 1800, AgentFlag.HOME_AGENT, (Router(AGENT, 0, 24),))
    under_way = Ping(AT_CN, CORRESPONDENT, HOME, 3000)
    with inside(AT_AGENT):
        port = DiscoveryPort("acc0", IcmpType.ROUTER_SOLICITATION)
        port.send(SendIcmp(forged.encode(), AGENT, ALL_SYSTEMS, "acc0"))
        port.close()
    # After 1, 2, 4, 8 and 8 seconds.
    wait_until("the end of the try", lambda: node.counters().get("home_not_confirmed") == 1, 60.0)
    assert node.counters()["advertised_home"] == 1
    assert under_way.all_answered()
    assert agent.bids() == {1}
    assert state(node, "wlan0")[0] == "up"
    with inside(AT_NODE):
        assert run("ip", "route", "show", "table", "all", "proto", "143") == ""


@pytest.mark.rfc("5944", "2.3", "ADV-2")
@pytest.mark.parametrize("group", [ALL_ROUTERS, MOBILE_AGENTS])
def test_a_flood_of_solicitations_is_answered_once_a_second(pair, tmp_path, group):
    agent, _node = pair
    capture = Capture(AT_HOST, "eth0", tmp_path / "flood.pcap", "icmp[0] == 9")
    started = time.monotonic()
    with inside(AT_HOST):
        port = DiscoveryPort("eth0", IcmpType.ROUTER_ADVERTISEMENT)
    before = agent.counters().get("solicited", 0)
    for _ in range(2000):
        port.send(SendIcmp(AgentSolicitation().encode(), HOST, group, "eth0"))
    port.close()
    agent.wait("the flood", lambda: agent.counters().get("solicited", 0) >= before + 1000)
    wait_until("an answer", lambda: time.monotonic() > started + 3)
    answered = len(capture.shown("ip.src", only="icmp.type == 9"))
    assert 1 <= answered <= time.monotonic() - started + 1


@pytest.mark.rfc("5944", "4.2.1", "FW-4")
@pytest.mark.rfc("5944", "4.6", "ARP-6")
def test_what_an_access_link_sees_of_the_home_address(pair, tmp_path):
    agent, node = pair
    capture = Capture(AT_AGENT, "acc0", tmp_path / "acc.pcap", f"arp host {HOME} or icmp[0] == 9")
    come_home(agent, node)
    go_away(agent)
    assert ping(AT_CN, CORRESPONDENT, HOME)
    assert capture.shown("arp.src.proto_ipv4", only="arp") == []
    with inside(AT_NODE):
        assert Path("/proc/sys/net/ipv4/conf/wlan0/accept_redirects").read_text() == "0\n"


def test_cleanup_at_home_leaves_nothing_of_it(pair):
    agent, node = pair
    come_home(agent, node)
    node.kill()
    done = subprocess.run(
        ["ip", "netns", "exec", namespace(AT_NODE), *node._inside()[4:], "mobile-node", "cleanup",
         "-c", str(node.file)],
        check=False,
    )  # fmt: skip
    assert done.returncode == 0
    with inside(AT_NODE):
        assert str(HOME) not in run("ip", "addr") + run("ip", "rule")
        assert run("ip", "route", "show", "table", "all", "proto", "143") == ""
