"""Bad times between the two engines, and how they end."""

import pytest
from msgspec import structs

from flowbind.engine.home_agent import HomeAgent
from flowbind.events import InterfaceUp, PolicyReplaced, RegisterRequested
from flowbind.model.config import UnknownBid
from flowbind.model.flow import PolicyRule
from flowbind.wire.iana import FlowAction
from flowbind.wire.message import decode
from flowbind.wire.traffic_selector import Span, TrafficSelector

LOW_HALF = 0xFFFFFFFF


@pytest.mark.parametrize("nonces", [False, True])
def test_after_hours_without_a_home_agent_every_path_is_back_at_once(make_world, nonces):
    world = make_world(nonces=nonces, multipath="require", probe_interval_s=10.0)
    world.up("wlan0", "wwan0", "cdma0")
    world.lose = lambda _datagram: True
    world.cut = {"wlan0", "wwan0", "cdma0"}
    world.run(2 * 3600)
    assert world.bids == []
    world.lose = lambda _datagram: False
    world.cut = set()
    world.run(60)
    assert sorted(world.bids) == [1, 2, 3]


@pytest.mark.rfc("5944", "5.7.1")
def test_a_denial_of_a_request_a_second_ago_does_not_answer_the_next(world):
    world.lose = lambda _datagram: True
    world.up("wlan0")
    world.run(120)
    lows = [request.identification & LOW_HALF for _name, request in world.requests]
    assert len(lows) > 10
    assert len(set(lows)) == len(lows)


@pytest.mark.rfc("5944", "5.7.1")
def test_a_clock_that_was_tolerated_and_then_corrected_does_not_lock_the_node_out(world):
    """The home agent has accepted a time to come, and takes none before it any more."""
    entry = world.agent.config.mobile_nodes[0]
    tolerant = structs.replace(entry.associations[0], timestamp_tolerance_s=3600.0)
    entry = structs.replace(entry, associations=(tolerant,))
    world.agent = HomeAgent(structs.replace(world.agent.config, mobile_nodes=(entry,)))
    world.node_clock_s = 3590.0
    world.up("wlan0")
    world.node_clock_s = 3700.0
    world.replies.clear()
    world.at_node(RegisterRequested("wlan0"))
    world.run(10)
    assert world.replies == [133, 133, 0]


@pytest.mark.rfc("5944", "5.7.1")
def test_a_home_agent_whose_clock_was_set_back_is_asked_seldom(world):
    """It takes nothing until it is as late again."""
    world.up("wlan0")
    identification = world.record.identification + (3600 << 32)
    ahead = structs.replace(world.record, identification=identification)
    world.agent.records[world.record.home_address] = ahead
    world.node.handle(RegisterRequested("wlan0"), world.now)
    world.run(30)
    world.replies.clear()
    world.run(300)
    assert set(world.replies) == {133}
    assert len(world.replies) <= 40


@pytest.mark.rfc("5944", "5.7.1")
def test_a_run_uses_no_identification_of_the_run_before(world):
    """With a clock that is behind, what comes next is the last one and a little more."""
    world.up("wlan0")
    world.lose = lambda _datagram: True
    world.node_clock_s = -1000.0
    runs: list[set[int]] = []
    for _run in range(5):
        world.restart_node(record=world.stored["node"])
        world.requests.clear()
        world.up("wlan0")
        world.run(60)
        runs.append({request.identification & LOW_HALF for _name, request in world.requests})
    assert all(len(each) > 5 for each in runs)
    assert len(set[int].union(*runs)) == sum(map(len, runs))


def test_a_deregistration_is_dropped_as_soon_as_it_is_pointless(world):
    """Not with the next event: others may wait for it."""
    world.lose = lambda _datagram: True
    world.up("wlan0")
    world.down("wlan0")
    intents = world.node._registration.intents
    assert [intent.aim.value for intent in intents] == ["deregister"]
    world.run(600)
    assert list(intents) == []


@pytest.mark.rfc("7629", "5.2", "FB-HA-2b")
@pytest.mark.parametrize("others", [(), ((2,),), ((1,), (2, 1))])
def test_a_policy_that_is_denied_again_and_again_is_not_worth_the_paths(make_world, others):
    """Each denial has all paths registered anew, so there must be an end to it.

    A part of the policy is taken meanwhile, since it names the only path that is left.
    """
    world = make_world(agent={"unknown_bid": UnknownBid.ANY_UNKNOWN}, policy=())
    world.up("wlan0", "wwan0")
    policy = tuple(
        PolicyRule(f"{at}", (TrafficSelector(source_port=Span(at)),), FlowAction.FORWARD, bids)
        for at, bids in enumerate([*others, (2, 3)], 80)
    )
    world.at_node(PolicyReplaced(policy))
    world.run(60)
    world.replies.clear()
    world.run(300)
    assert 153 not in world.replies
    assert sorted(world.bids) == [1, 2]


def test_the_first_plain_registration_takes_the_place_of_one_that_is_silent(world, tools):
    """Where nothing is known of RFC 7629, there is one binding, on whichever path it is."""
    world.lose = lambda datagram: (
        datagram.interface is not None and tools.multipath(decode(datagram.payload)) is not None
    )
    world.up("wlan0")
    world.run(330)
    world.cut.add("wlan0")
    world.move("wlan0", 1)
    world.at_node(InterfaceUp("wwan0", world.address_of("wwan0")))
    while world.states["wwan0"] != "up":
        world.run(0.01)
    held = [binding.care_of_address for binding in world.node.record.bindings]
    assert held == [world.address_of("wwan0")]


def test_no_deregistration_holds_up_the_only_path_that_works(world, tools):
    """It would undo what nobody has answered, and is itself ignored without RFC 7629."""
    world.lose = lambda datagram: (
        datagram.interface is not None and tools.multipath(decode(datagram.payload)) is not None
    )
    world.up("wlan0")
    world.run(330)
    world.cut.add("wlan0")
    world.at_node(InterfaceUp("wwan0", world.address_of("wwan0")))
    world.run(40)
    assert world.states["wwan0"] == "up"
    held = [binding.care_of_address for binding in world.record.bindings]
    assert held == [world.address_of("wwan0")]
