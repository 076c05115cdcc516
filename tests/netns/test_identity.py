"""Real daemons whose mobile node is configured by its name alone (RFC 2794)."""

import time
from ipaddress import IPv4Address

import pytest

from tests.netns.configured import NAMES
from tests.netns.hosts import CORRESPONDENT, ping

pytestmark = pytest.mark.root


@pytest.fixture
def named(configured):
    """Daemons of nodes that have a name and no address."""
    configured.change("ha", address_pool="10.9.0.128/25")
    for at, (host, name) in enumerate(NAMES.items(), start=1):
        configured.change("ha", at, home_address=None, nai=name)
        configured.change(host, home_address=None, nai=name)
    return configured


@pytest.mark.rfc("5944", "3.8.3.2", "HA-38")
@pytest.mark.rfc("5944", "3.6", "MN-3")
def test_a_node_with_nothing_but_a_name_gets_its_address_and_passes_packets(named):
    named.start("ha")
    named.start("mn")
    home_address = named.up("mn", 2)
    assert home_address == "10.9.0.128"
    assert ping("cn", CORRESPONDENT, IPv4Address(home_address))
    assert ping("mn", IPv4Address(home_address), CORRESPONDENT)
    status = named.ask("mn", "status")
    assert (status["nai"], status["bindings"]) == ("node5@fleet.example", 2)
    rows = named.ask("ha", "bindings")["bindings"]
    assert {(row["nai"], row["home_address"], row["bid"]) for row in rows} == {
        ("node5@fleet.example", home_address, 1), ("node5@fleet.example", home_address, 2),
    }  # fmt: skip


def test_the_address_is_the_same_after_both_ends_were_started_again(named):
    named.start("ha")
    named.start("mn")
    home_address = IPv4Address(named.up("mn", 2))
    named.stop("mn")
    # What it had goes on while it is away.
    assert ping("cn", CORRESPONDENT, home_address)
    named.start("mn")
    assert ping("cn", CORRESPONDENT, home_address)
    assert named.up("mn", 2) == str(home_address)
    named.stop("ha")
    named.start("ha")
    assert named.up("mn", 2) == str(home_address)
    assert ping("cn", CORRESPONDENT, home_address)


def test_an_address_that_went_to_another_node_is_replaced_under_way(named):
    named.change("ha", address_pool="10.9.0.128/31")
    named.start("ha")
    named.start("mn")
    assert named.up("mn", 2) == "10.9.0.128"
    named.stop("ha")
    # A home agent that has lost its store gives the address to whoever comes first.
    named.change("ha", store="memory:")
    named.start("ha")
    named.start("mn2")
    until = time.monotonic() + 40
    while time.monotonic() < until:
        theirs = [named.ask(host, "status").get("home_address") for host in ("mn", "mn2")]
        if set(theirs) == {"10.9.0.128", "10.9.0.129"}:
            break
        time.sleep(0.2)
    assert set(theirs) == {"10.9.0.128", "10.9.0.129"}
    named.up("mn", 2)
    named.up("mn2", 1)
    assert named.counted("mn", "home_address_lost") == 1
    for host, home_address in zip(("mn", "mn2"), map(IPv4Address, theirs), strict=True):
        assert ping("cn", CORRESPONDENT, home_address)
        assert ping(host, home_address, CORRESPONDENT)


@pytest.mark.rfc("4433", "5.1.2", "DHA-MN-4")
def test_a_node_is_assigned_its_home_agent_and_its_address(named):
    # Nobody is at the first of the two.
    agents = ["198.51.100.77", "198.51.100.1"]
    named.change("mn", home_agent=None, assigning_home_agents=agents)
    named.start("ha")
    named.start("mn")
    home_address = IPv4Address(named.up("mn", 2))
    assert named.ask("mn", "status")["home_agent"] == "198.51.100.1"
    assert ping("cn", CORRESPONDENT, home_address)
