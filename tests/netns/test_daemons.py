"""Both daemons, real, with real packets between them: what an operator configures and sees."""

import time

import pytest

from tests.netns.daemons import home_agent_toml, mobile_node_toml
from tests.netns.hosts import (
    CARE_OF,
    CORRESPONDENT,
    HOME,
    INTERFACE_OF,
    Ping,
    ping,
    received_on,
)

pytestmark = pytest.mark.root


@pytest.fixture
def pair(daemon):
    """Start a home agent and a mobile node with more keys, and wait for both paths."""

    def start(node="", mobile_node="", agent=""):
        agent = daemon("home-agent", "ha", lambda host: home_agent_toml(host + agent, node))
        mobile = daemon("mobile-node", "mn", lambda host: mobile_node_toml(host + mobile_node))
        agent.wait("both bindings", lambda: agent.bids() == {1, 2})
        return agent, mobile

    return start


def counted(daemon, name):
    return daemon.counters().get(name, 0)


def accepted(agent):
    return counted(agent, "accepted")


@pytest.mark.rfc("5944", "5.7.2")
def test_nonces_through_restarts_of_either_end(pair):
    agent, mobile = pair('replay = "nonces"', 'replay = "nonces"\nlifetime = "5s"')
    assert ping("cn", CORRESPONDENT, HOME)
    for each in (agent, mobile):
        each.kill()
        under_way = Ping("cn", CORRESPONDENT, HOME, 100)
        each.start()
        before = accepted(agent)
        agent.wait("a renewal", lambda before=before: accepted(agent) > before)
        assert under_way.all_answered()
        assert agent.bids() == {1, 2}
    # Both had kept the nonce.
    assert "denied_133" not in mobile.counters()


def told_to_revoke(agent, *options):
    (row,) = agent.ask("home-agent", "revoke", str(HOME), *options)["bindings"]
    return row


@pytest.mark.rfc("3543", "4.2.2.1", "RR-HA-4")
@pytest.mark.rfc("3543", "4.2.2.3", "RR-MN-5", "RR-MN-6")
def test_a_revoked_path_is_left_and_registered_again(pair):
    agent, mobile = pair(agent="revocation = true\n", mobile_node="revocation = true")
    # Nothing is said within a second of a reply (3.3), and the node would find the path dead first.
    time.sleep(1.1)
    under_way = Ping("cn", CORRESPONDENT, HOME, 200)
    assert told_to_revoke(agent, "--bid", "1") == {
        "bid": 1, "care_of_address": str(CARE_OF[1]), "told": True,
    }  # fmt: skip
    agent.wait("an acknowledgment", lambda: counted(agent, "revocation_acknowledged") == 1)
    assert agent.bids() == {2}
    assert mobile.bids() == {2}
    assert "the home agent has revoked the binding" in mobile.told()
    # What the node sent before it was told found the tunnel closed; no more than that.
    assert under_way.lost() <= 20
    agent.wait("another registration", lambda: agent.bids() == {1, 2})


@pytest.mark.rfc("3543", "4.2.2.1", "RR-HA-9")
def test_a_revocation_that_is_not_heard_outlasts_a_restart(pair):
    agent, mobile = pair(agent="revocation = true\n", mobile_node="revocation = true")
    mobile.kill()
    assert told_to_revoke(agent, "--care-of", str(CARE_OF[2]))["told"]
    agent.wait("another try", lambda: counted(agent, "revocation_sent") >= 2)
    agent.kill()
    agent.start()
    assert agent.bids() == {1}
    agent.wait("another try", lambda: counted(agent, "revocation_sent") >= 2)
    assert counted(agent, "revocation_acknowledged") == 0
    mobile.start()
    agent.wait("another registration", lambda: agent.bids() == {1, 2})


def test_a_node_that_did_not_ask_finds_the_path_dead(pair):
    agent, mobile = pair(agent="revocation = true\n")
    assert not told_to_revoke(agent, "--bid", "1")["told"]
    assert "the node is not told" in agent.told()
    mobile.wait("a dead path", lambda: counted(mobile, "path_dead") > 0)
    agent.wait("another registration", lambda: agent.bids() == {1, 2})
    assert counted(agent, "revocation_sent") == 0


def states(daemon):
    rows = daemon.ask("notifications")["notifications"]
    return [(each["direction"], each["state"], each["text"]) for each in rows]


@pytest.mark.rfc("6098", "4.7.1", "GN-HA-1")
@pytest.mark.rfc("6098", "4.5.3", "GN-MN-1")
def test_operators_notify_each_other(pair):
    agent, mobile = pair(agent="notifications = true\n", mobile_node="notifications = true")
    agent.ask("home-agent", "notify", str(HOME), "down at noon", "--bid", "2")
    agent.wait("the answer", lambda: states(agent) == [("sent", "acknowledged", "down at noon")])
    assert states(mobile) == [("received", "received", "down at noon")]
    assert "the home agent notifies: down at noon" in mobile.told()
    mobile.ask("mobile-node", "notify", "gladly", "--no-acknowledge")
    agent.wait("the text", lambda: ("received", "received", "gladly") in states(agent))
    assert states(mobile)[-1] == ("sent", "sent", "gladly")
    # What was accepted once is so after a restart too.
    agent.kill()
    agent.start()
    mobile.wait("another try", lambda: mobile.run("mobile-node", "notify", "back").returncode == 0)
    mobile.wait("the answer", lambda: states(mobile)[-1] == ("sent", "acknowledged", "back"))


def test_flows_are_shown_with_their_rates_and_explained_by_the_kernel(pair):
    agent, mobile = pair()
    packet = f"icmp {CORRESPONDENT} -> {HOME}"
    assert agent.ask("explain", packet)["cached_generation"] is None
    under_way = Ping("cn", CORRESPONDENT, HOME, 1000)
    for each, interface in ((agent, False), (mobile, True)):
        rows = each.ask("flows", "--match", "icmp remote net 203.0.113.0/24", "--interval", "0.5")
        (row,) = rows["flows"]
        assert row["remote"] == str(CORRESPONDENT)
        assert row["care_of_address"] == str(CARE_OF[row["bid"]])
        assert row["interface"] == (INTERFACE_OF[row["bid"]] if interface else None)
        # A hundred pings a second of 84 octets, on a machine that may have other things to do.
        assert 5 < row["packets_per_s"] < 130
        assert row["bits_per_s"] == pytest.approx(row["packets_per_s"] * 84 * 8, rel=0.01)
        assert 0 < row["age_s"] < 20
        explained = each.ask("explain", packet)
        assert explained["cached_generation"] is not None
        assert explained["bid"] == row["bid"]
    assert under_way.all_answered()


def test_packets_of_a_flow_are_spread_where_the_configuration_says_so(pair):
    agent, mobile = pair(agent='balance = "packet"\n', mobile_node='balance = "packet"')
    before = {each: received_on("mn", INTERFACE_OF[each]) for each in (1, 2)}
    assert Ping("cn", CORRESPONDENT, HOME, 200).all_answered()
    for each in (agent, mobile):
        (row,) = each.ask("flows", "--match", "icmp remote net 203.0.113.0/24")["flows"]
        assert (row["verdict"], row["bid"]) == ("forward", None)
    for bid, count in before.items():
        assert received_on("mn", INTERFACE_OF[bid]) - count > 60
