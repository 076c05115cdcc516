"""IPv6 through the tunnels of real daemons: what a node with a prefix and its correspondent see."""

import os
import socket
import subprocess
import threading
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from tests.dataplane.kernel import run
from tests.netns.daemons import home_agent_toml, mobile_node_toml
from tests.netns.hosts import AGENT, CARE_OF, inside, received_on

pytestmark = pytest.mark.root

HOME6 = IPv6Address("2001:db8:1::1")
CORRESPONDENT6 = IPv6Address("2001:db8:ffff::9")
OCTETS = 3 << 20
TUNNEL_MTU = 1280
PREFIXES = 'ipv6-prefixes = ["2001:db8:1::/64"]\n'


@pytest.fixture
def ipv6(world):
    """Give the link of the correspondent IPv6, and have the home agent forward it."""
    enabled = {"cn": ("ha0",), "ha": ("all", "cn0"), "mn": ("all", "lo")}
    for host, scopes in enabled.items():
        with inside(host):
            for scope in scopes:
                Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("0")
    with inside("ha"):
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        run("ip", "-6", "addr", "add", "2001:db8:ffff::1/64", "dev", "cn0", "nodad")
    with inside("cn"):
        run("ip", "-6", "addr", "add", f"{CORRESPONDENT6}/64", "dev", "ha0", "nodad")
        run("ip", "-6", "route", "add", "default", "via", "2001:db8:ffff::1", "dev", "ha0")
    yield
    with inside("ha"):
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("0")
    for host in enabled:
        with inside(host):
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")


@pytest.fixture
def pair(ipv6, daemon):
    """Both daemons with a prefix; the second path is in GRE. More lines go to the mobile node."""

    def start(flows=""):
        agent = daemon("home-agent", "ha", lambda host: home_agent_toml(host, PREFIXES))
        gre = 'encapsulation = "gre"\n'
        mobile = daemon(
            "mobile-node", "mn", lambda host: mobile_node_toml(host + PREFIXES) + gre + flows
        )
        agent.wait("both bindings", lambda: agent.bids() == {1, 2})
        mobile.wait("the prefix", lambda: "2001:db8:1::/64 registered" in mobile.told())
        return agent, mobile

    return start


def ping6(host, source, target, *options):
    with inside(host):
        return subprocess.run(
            ["ping", "-6", "-n", "-c", "3", "-i", "0.1", "-W", "2", "-I", str(source), *options,
             str(target)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def socket6(host, kind, address, port=0):
    with inside(host):
        made = socket.socket(socket.AF_INET6, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.settimeout(10)
    made.bind((str(address), port))
    return made


def transfer6(sender, receiver, port=0):
    """Send some octets over TCP, from this port, and see that just those arrive."""
    sent, received = os.urandom(OCTETS), bytearray()
    with socket6(sender[0], socket.SOCK_STREAM, sender[1], port) as listener:
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                connection.sendall(sent)

        thread = threading.Thread(target=serve)
        thread.start()
        with socket6(receiver[0], socket.SOCK_STREAM, receiver[1]) as here:
            here.connect(listener.getsockname()[:2])
            while chunk := here.recv(1 << 16):
                received.extend(chunk)
        thread.join(10)
    assert bytes(received) == sent


def downloaded_by(interface, port):
    """How many packets a download brought on an interface of the node."""
    before = received_on("mn", interface)
    transfer6(("cn", CORRESPONDENT6), ("mn", HOME6), port)
    return received_on("mn", interface) - before


FLOWS = """
[[flow]]
match = "ipv6 tcp remote port 8001"
interfaces = ["ha0"]

[[flow]]
match = "ipv6 tcp remote port 8002"
interfaces = ["ha1"]
"""


@pytest.mark.rfc("5454", "3.3.2", "DS-FW-1")
@pytest.mark.rfc("6088", "3.2", "TS6-1")
def test_a_node_and_its_correspondent_talk_ipv6_over_the_paths_that_rules_name(pair):
    agent, mobile = pair(FLOWS)
    for host, source, target in (("cn", CORRESPONDENT6, HOME6), ("mn", HOME6, CORRESPONDENT6)):
        done = ping6(host, source, target)
        assert " 0% packet loss" in done.stdout, (done.stdout, mobile.told(), agent.told())
    assert downloaded_by("ha0", 8001) > 30
    assert downloaded_by("ha1", 8002) > 30
    flows = [row for row in agent.ask("flows")["flows"] if row["remote"].startswith("[")]
    ways = {row["remote"].rpartition(":")[2]: row["bid"] for row in flows}
    assert (ways["8001"], ways["8002"]) == (1, 2)
    explained = agent.ask("explain", f"tcp [{CORRESPONDENT6}]:8002 -> [{HOME6}]:5000")
    assert (explained["verdict"], explained["bid"]) == ("forward", 2)
    assert agent.ask("bindings")["bindings"][0]["ipv6_prefixes"] == ["2001:db8:1::/64"]


def test_another_policy_moves_a_flow(pair, tmp_path):
    _agent, mobile = pair(FLOWS)
    assert downloaded_by("ha0", 8001) > 30
    policy = tmp_path / "policy.toml"
    policy.write_text(FLOWS.replace("8001", "8003").replace("8002", "8001"))
    assert mobile.run("policy", "set", str(policy)).returncode == 0
    assert downloaded_by("ha1", 8001) > 30


@pytest.mark.rfc("5454", "3.6", "DS-FW-3")
def test_a_packet_too_big_is_answered(pair):
    pair()
    done = ping6("cn", CORRESPONDENT6, HOME6, "-M", "do", "-s", "1400")
    assert f"mtu={TUNNEL_MTU}" in done.stdout or f"mtu: {TUNNEL_MTU}" in done.stdout
    with socket6("mn", socket.SOCK_DGRAM, HOME6) as there:
        with socket6("cn", socket.SOCK_DGRAM, CORRESPONDENT6) as here:
            here.sendto(bytes(20_000), there.getsockname()[:2])
        assert len(there.recv(1 << 16)) == 20_000


@pytest.mark.rfc("5454", "4", "DS-FW-2")
def test_an_inner_source_outside_of_the_prefix_is_refused(pair):
    agent, _mobile = pair()
    inner = IPv6(src="2001:db8:2::1", dst=str(CORRESPONDENT6)) / UDP() / Raw(b"forged")
    outer = IP(src=str(CARE_OF[1]), dst=str(AGENT), proto=41) / inner
    with inside("mn"):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        raw.sendto(bytes(outer), (str(AGENT), 0))
    agent.wait("a refusal", lambda: agent.counters()["drop_inner_address"] == 1)


def test_without_a_prefix_at_the_home_agent_there_is_no_ipv6(ipv6, daemon):
    agent = daemon("home-agent", "ha", home_agent_toml)
    mobile = daemon("mobile-node", "mn", lambda host: mobile_node_toml(host + PREFIXES))
    agent.wait("both bindings", lambda: agent.bids() == {1, 2})
    mobile.wait("a warning", lambda: "the home agent registers no IPv6 prefixes" in mobile.told())
    assert ping6("mn", HOME6, CORRESPONDENT6).returncode != 0
    assert mobile.counters()["prefix_refused"] == 1
