"""A mobile node, and home agents that read RFC 7629 in other ways than it does."""

import pytest

from flowbind.events import PolicyReplaced
from flowbind.model.config import OverwriteScope, StaticFlow, UnknownBid
from flowbind.wire.iana import FlowAction


@pytest.mark.rfc("7629", "5.1", "MP-HA-6b")
def test_an_agent_that_overwrites_one_bid_keeps_every_path_and_the_policy(make_world, tools):
    world = make_world(agent={"overwrite_scope": OverwriteScope.SAME_BID})
    world.up("wlan0", "wwan0", "cdma0")
    for policy in ((tools.voice,), (), (tools.block, tools.web)):
        world.at_node(PolicyReplaced(policy))
        world.run(5)
        assert world.policies_agree()
        assert sorted(world.bids) == [1, 2, 3]


@pytest.mark.rfc("7629", "5.2", "FB-HA-2b")
def test_an_agent_that_must_know_every_bid_gets_the_paths_without_the_policy(make_world):
    world = make_world(agent={"unknown_bid": UnknownBid.ANY_UNKNOWN})
    world.up("wlan0", "wwan0", "cdma0")
    assert world.bids == [1, 2, 3]
    assert world.record.rules == ()
    assert world.replies.count(153) == 2


@pytest.mark.rfc("7629", "4.2", "FB-HA-3", "A-11b")
def test_an_agent_that_tells_the_policy_tells_what_it_was_sent(make_world, tools):
    world = make_world(agent={"policy_in_reply": True})
    world.up("wlan0", "wwan0", "cdma0")
    for policy in ((tools.voice,), (), (tools.block, tools.web), tools.policy):
        world.at_node(PolicyReplaced(policy))
        world.run(5)
        assert world.policies_agree()
    assert world.node.statistics["policy_differs"] == 0


@pytest.mark.rfc("7629", "4.2", "A-11b")
def test_a_node_that_takes_the_policy_of_its_agent_agrees_with_it(make_world, tools):
    (selector,) = tools.voice.selectors
    voice = StaticFlow("voice", (selector,), FlowAction.FORWARD, (2, 1))
    agent = {"policy_in_reply": True, "static_flows": (voice,)}
    world = make_world(agent=agent, exchange_policy=False, accept_policy=True)
    world.up("wlan0", "wwan0", "cdma0")
    agents, nodes = world.forwarding["agent"], world.forwarding["node"]
    assert agents is not None
    assert nodes is not None
    assert [(rule.bids, rule.selector) for rule in agents.rules] == [((2, 1), selector)]
    assert [(rule.bids, rule.selector) for rule in nodes.rules] == [((2, 1), selector)]
