"""IPv6 from one mobile node to another, out of one tunnel and into the next."""

import subprocess
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest
from msgspec import structs

from flowbind.model.binding import Encapsulation
from tests.netns.hosts import inside, node_at, other_node_at
from tests.netns.test_ipv6 import HOME6, transfer6

pytestmark = pytest.mark.root

OTHER_HOME6 = IPv6Address("2001:db8:2::1")
PREFIXES = {"mn": IPv6Network("2001:db8:1::/64"), "mn2": IPv6Network("2001:db8:2::/64")}


@pytest.fixture
def nodes(end):
    """Two mobile nodes with a prefix each, in one encapsulation or in two."""
    with inside("ha"):
        for scope in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("0")
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")

    def start(one, other):
        agent = end("ha", ipv6_prefixes=tuple(PREFIXES.values()))
        mine, theirs = (PREFIXES["mn"],), (PREFIXES["mn2"],)
        agent.program(structs.replace(node_at("ha", one, bids=(1,)), prefixes=mine))
        agent.program(structs.replace(other_node_at("ha", other), prefixes=theirs))
        here = end("mn", ipv6_prefixes=mine)
        here.program(structs.replace(node_at("mn", one, bids=(1,)), prefixes=mine))
        there = end("mn2", ipv6_prefixes=theirs)
        there.program(structs.replace(other_node_at("mn2", other), prefixes=theirs))
        return agent, here, there

    yield start
    with inside("ha"):
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("0")


def is_answered():
    ping = ["ping", "-6", "-n", "-c", "3", "-i", "0.1", "-W", "2", "-I", str(HOME6)]
    with inside("mn"):
        done = subprocess.run(
            [*ping, str(OTHER_HOME6)], capture_output=True, text=True, check=False
        )
    return " 0% packet loss" in done.stdout


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Encapsulation.IP_IN_IP, Encapsulation.IP_IN_IP),
        (Encapsulation.GRE, Encapsulation.GRE),
        (Encapsulation.IP_IN_IP, Encapsulation.GRE),
    ],
)
def test_two_nodes_talk_ipv6_to_each_other(nodes, one, other):
    agent, here, there = nodes(one, other)
    # The first may find that nobody knows the neighbours yet.
    answered = any(is_answered() for _ in range(3))
    assert answered, [each.plane.statistics() for each in (agent, here, there)]
    if one is other:
        # Segments at once keep the mark of the first tunnel.
        transfer6(("mn", HOME6), ("mn2", OTHER_HOME6))
