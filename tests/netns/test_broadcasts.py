"""What a host broadcasts on the home link, heard by a node that is away: real daemons, real links.

The link of `mn2` is the home link here, and `mn2` a host there that never moves.
"""

import socket
from ipaddress import IPv4Address

import pytest

from tests.dataplane.kernel import run
from tests.netns.daemons import home_agent_toml, mobile_node_toml
from tests.netns.hosts import inside, socket_in

pytestmark = pytest.mark.root

EVERYBODY = "255.255.255.255"
ANY = IPv4Address(0)
AT_HOME = (("ha", "10.9.0.1/24", "mn2"), ("mn2", "10.9.0.77/24", "ha0"))


@pytest.fixture
def home_link(pins):
    """Put the agent and a host on the home network."""
    for host, address, device in AT_HOME:
        with inside(host):
            run("ip", "addr", "add", address, "dev", device)
    yield
    for host, address, device in AT_HOME:
        with inside(host):
            run("ip", "addr", "del", address, "dev", device)


@pytest.fixture
def ends(home_link, daemon):
    """Start a home agent on the home link, and a node that asks for broadcasts or does not."""

    def start(asks):
        agent = daemon("home-agent", "ha", lambda keys: home_agent_toml('home-link = "mn2"' + keys))
        settings = f"broadcast-datagrams = {'true' if asks else 'false'}\n"
        settings += 'home-network = "10.9.0.0/24"\n'
        node = daemon("mobile-node", "mn", lambda keys: mobile_node_toml(settings + keys))
        node.wait("both paths", lambda: len(agent.ask("bindings")["bindings"]) == 2)
        return agent, node

    return start


def cry(text, host="mn2", device="ha0", source="10.9.0.77", to=EVERYBODY):
    """Broadcast a datagram on a link."""
    with inside(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as crier:
        crier.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        crier.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        crier.bind((source, 0))
        crier.sendto(text, (to, 5000))


@pytest.mark.rfc("5944", "4.3", "FW-14")
def test_a_broadcast_at_home_is_heard_away_from_home(ends):
    agent, node = ends(asks=True)
    with socket_in("mn", socket.SOCK_DGRAM, ANY, 5000) as ear:
        for number in range(20):
            cry(b"%d" % number, to=EVERYBODY if number % 2 else "10.9.0.255")
        heard = [ear.recvfrom(100) for _ in range(20)]
        assert [int(text) for text, _ in heard] == list(range(20))
        assert {source for _, (source, _port) in heard} == {"10.9.0.77"}
        # By one path, not by both.
        ear.settimeout(0.5)
        with pytest.raises(TimeoutError):
            ear.recv(100)
        # What the agent itself broadcasts, here or elsewhere, is not.
        cry(b"own", "ha", "mn2", "10.9.0.1")
        cry(b"elsewhere", "cn", "ha0", "203.0.113.9")
        with pytest.raises(TimeoutError):
            ear.recv(100)
    assert agent.counters()["broadcast_forwarded"] == 20
    assert node.counters().get("drop_inner_address", 0) == 0


@pytest.mark.rfc("5944", "4.3", "FW-13")
def test_a_node_that_did_not_ask_hears_none(ends):
    agent, _node = ends(asks=False)
    with socket_in("mn", socket.SOCK_DGRAM, ANY, 5000) as ear:
        cry(b"anybody?")
        ear.settimeout(0.5)
        with pytest.raises(TimeoutError):
            ear.recv(100)
    assert "broadcast_forwarded" not in agent.counters()
