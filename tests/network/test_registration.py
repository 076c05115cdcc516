"""Registration between the two engines over a fake wire (RFC 7629 5.1, 5.2; RFC 5944 3.6, 3.8)."""

import random

import pytest
from msgspec import structs

from flowbind.events import DeregisterRequested, InterfaceUp, PolicyReplaced, RegisterRequested

NAMES = ["wlan0", "wwan0", "cdma0"]


@pytest.mark.rfc("7629", "5.1", "MP-MN-3", "MP-MN-4")
def test_each_interface_is_registered_through_itself(world):
    world.up("wlan0", "wwan0", "cdma0")
    assert world.bids == [1, 2, 3]
    assert world.states == {"wlan0": "up", "wwan0": "up", "cdma0": "up"}
    assert [name for name, _ in world.requests][:2] == ["wlan0", "wwan0"]
    assert set(world.replies) == {0}


@pytest.mark.rfc("7629", "5.2", "FB-HA-1")
def test_both_ends_hold_the_same_rules_in_the_same_order(world):
    for name in ("wlan0", "wwan0", "cdma0"):
        world.up(name)
        assert world.policies_agree()
    assert len(world.record.rules) == 3
    assert 153 not in world.replies


def test_a_rule_that_becomes_possible_later_takes_its_place_not_the_last(world, tools):
    world.up("wlan0")
    assert [rule.bids for rule in world.record.rules] == [(2, 1, 3), (1, 2, 3)]
    world.up("cdma0")
    assert [rule.bids for rule in world.record.rules] == [(3,), (2, 1, 3), (1, 2, 3)]


def test_renewal_goes_on_for_a_day_without_a_change_of_forwarding(make_world):
    world = make_world(probe_interval_s=60.0)
    world.up("wlan0", "wwan0", "cdma0")
    before = world.forwarding["agent"]
    world.run(86_400)
    assert world.bids == [1, 2, 3]
    assert world.forwarding["agent"] == before
    assert world.agent.statistics["expired"] == 0


@pytest.mark.rfc("7629", "5.1", "MP-MN-11")
def test_deregistering_moves_own_packets_before_the_request_leaves(world):
    world.up("wlan0", "wwan0")
    world.at_node(DeregisterRequested("wlan0"))
    sending = [path.bid for path in world.forwarding["node"].paths if path.transmit]
    receiving = [path.bid for path in world.forwarding["node"].paths]
    assert (sending, receiving) == ([2], [1, 2])
    assert world.bids == [1, 2]
    world.run(0.5)
    assert world.bids == [2]
    assert [path.bid for path in world.forwarding["node"].paths] == [1, 2]
    world.run(1.0)
    assert [path.bid for path in world.forwarding["node"].paths] == [2]
    world.run(3600)
    assert world.bids == [2]
    world.at_node(RegisterRequested("wlan0"))
    world.run(2)
    assert sorted(world.bids) == [1, 2]
    assert world.policies_agree()


def test_a_silent_path_is_deregistered_over_a_living_one_and_taken_back(world):
    world.up("wlan0", "wwan0")
    world.cut.add("wlan0")
    world.run(3)
    assert world.states["wlan0"] == "dead"
    assert world.bids == [2]
    name = next(name for name, request in reversed(world.requests) if request.lifetime_s == 0)
    assert name == "wwan0"
    world.run(120)
    world.cut.clear()
    world.run(10)
    assert sorted(world.bids) == [1, 2]
    assert world.states["wlan0"] == "up"
    assert world.policies_agree()


def test_the_only_path_is_kept_while_it_is_silent(world):
    world.up("wlan0")
    world.cut.add("wlan0")
    world.run(5)
    assert world.states["wlan0"] == "dead"
    assert [path.transmit for path in world.forwarding["node"].paths] == [True]
    world.cut.clear()
    world.run(10)
    assert world.states["wlan0"] == "up"


def test_a_carrier_loss_deregisters_over_another_interface_at_once(world):
    world.up("wlan0", "wwan0")
    world.down("wlan0")
    assert [path.bid for path in world.forwarding["node"].paths] == [2]
    world.run(0.1)
    assert world.bids == [2]


@pytest.mark.rfc("7629", "5.1", "MP-MN-10", "MP-HA-5")
def test_bulk_renewal_is_one_request_for_all(world, tools):
    world.up("wlan0", "wwan0", "cdma0")
    world.run(60)
    count = len(world.requests)
    world.at_node(RegisterRequested())
    world.run(1)
    assert len(world.requests) == count + 1
    assert tools.multipath(world.requests[-1][1]).bulk
    assert {each.expires_at for each in world.record.bindings} == {
        max(each.expires_at for each in world.record.bindings)
    }
    assert min(each.binding.expires_at for each in world.node.paths) > world.now + 590


@pytest.mark.rfc("7629", "5.1", "MP-MN-12", "MP-HA-5")
def test_bulk_deregistration_leaves_nothing_on_either_side(world, tools):
    world.up("wlan0", "wwan0", "cdma0")
    world.at_node(DeregisterRequested())
    world.run(3)
    last = world.requests[-1][1]
    assert (tools.multipath(last).bulk, last.lifetime_s) == (True, 0)
    assert world.record.bindings == ()
    assert world.record.rules == ()
    assert world.forwarding == {"agent": None, "node": None}
    assert "node" not in world.stored
    world.run(7200)
    assert world.record.bindings == ()
    world.at_node(RegisterRequested())
    world.run(3)
    assert sorted(world.bids) == [1, 2, 3]
    assert world.policies_agree()


@pytest.mark.rfc("5944", "5.7.1", "MN-35")
@pytest.mark.rfc("5944", "5.7", "ID-1", "ID-13")
@pytest.mark.parametrize("clock_s", [-86_400.0, -30.0, 30.0, 86_400.0])
def test_a_clock_that_differs_is_resynchronised_by_133(world, clock_s):
    world.node_clock_s = clock_s
    world.up("wlan0", "wwan0")
    assert world.bids == [1, 2]
    assert world.replies[:2] == [133, 0]
    assert world.replies.count(133) == 1


@pytest.mark.rfc("5944", "3.6.3")
def test_a_lost_reply_is_asked_for_again(world):
    lost = iter([True])
    world.lose = lambda datagram: datagram.interface is None and next(lost, False)
    world.up("wlan0")
    world.run(2)
    assert world.bids == [1]
    assert world.states["wlan0"] == "up"


def test_either_engine_restarts_from_its_record(world):
    world.up("wlan0", "wwan0")
    before = world.forwarding["agent"]
    world.restart_agent()
    assert world.forwarding["agent"] == before
    world.restart_node()
    assert [path.bid for path in world.forwarding["node"].paths] == [1, 2]
    world.up("wlan0", "wwan0")
    world.run(30)
    assert world.bids == [1, 2]
    assert world.policies_agree()
    assert set(world.replies) == {0}


def test_a_restarted_node_gives_up_interfaces_that_do_not_come(world):
    world.up("wlan0", "wwan0")
    world.restart_node()
    world.up("wwan0")
    world.run(10)
    assert world.bids == [2]
    assert [path.bid for path in world.forwarding["node"].paths] == [2]


@pytest.mark.parametrize("first", [("wlan0",), ("wlan0", "wwan0", "cdma0")])
def test_a_replaced_policy_reaches_the_home_agent(world, tools, first):
    world.up(*first)
    for policy in ((tools.block, tools.web, tools.voice), (tools.voice,), (), tools.policy):
        world.at_node(PolicyReplaced(policy))
        world.run(5)
        assert world.policies_agree()
        assert sorted(world.bids) == sorted({"wlan0": 1, "wwan0": 2, "cdma0": 3}[n] for n in first)


@pytest.mark.rfc("7629", "5.1", "MP-MN-6", "MP-MN-7")
def test_152_falls_back_to_one_plain_binding(make_world):
    world = make_world(agent={"multipath": False})
    world.up("wwan0", "wlan0")
    world.run(10)
    assert world.bids == [None]
    assert world.replies[0] == 152
    world.down("wlan0")
    world.run(15)
    assert world.bids == [None]


@pytest.mark.rfc("7629", "5.1")
def test_152_is_final_where_multipath_is_required(make_world):
    world = make_world(agent={"multipath": False}, multipath="require")
    world.up("wlan0")
    world.run(200)
    assert world.agent.records == {}
    assert set(world.replies) == {152}
    assert len(world.replies) < 6


def silence_towards(world, name):
    """Let requests through on a path, and no reply back."""
    world.lose = lambda datagram: datagram.destination == world.addresses.get(name)


def share_of_time(world, seconds, holds):
    """How much of a time something holds, from 0 to 1."""
    looks = 0
    for _ in range(seconds * 10):
        world.run(0.1)
        looks += holds()
    return looks / (seconds * 10)


def test_a_path_that_brings_no_reply_is_not_left_registered(world):
    world.up("wwan0")
    world.at_node(InterfaceUp("wlan0", world.address_of("wlan0")))
    silence_towards(world, "wlan0")
    share = share_of_time(world, 120, lambda: 1 in world.bids)
    assert 0 < share < 0.4
    world.lose = lambda _datagram: False
    world.run(20)
    assert sorted(world.bids) == [1, 2]


def test_a_plain_node_is_not_left_on_a_path_that_brings_no_reply(make_world):
    world = make_world(multipath="off")
    world.up("wwan0")
    world.at_node(InterfaceUp("wlan0", world.address_of("wlan0")))
    silence_towards(world, "wlan0")
    bad = world.address_of("wlan0")
    share = share_of_time(
        world, 120, lambda: bad in [each.care_of_address for each in world.record.bindings]
    )
    assert 0 < share < 0.4


def test_a_path_whose_address_changed_in_silence_is_given_up(world):
    world.up("wlan0", "wwan0")
    world.cut.add("wlan0")
    world.move("wlan0", 7)
    world.run(2)
    assert world.bids == [2]
    assert world.policies_agree()


@pytest.mark.parametrize("silent", NAMES)
def test_a_plain_node_finds_the_path_that_answers(make_world, silent):
    world = make_world(multipath="off")
    world.cut.add(silent)
    world.up(*NAMES)
    world.run(5)
    assert world.bids == [None]
    assert silent not in [name for name, state in world.states.items() if state == "up"]
    assert world.forwarding["node"].paths[0].transmit


def test_what_is_to_be_deregistered_stays_so_when_its_address_changes(world):
    world.up("wlan0", "wwan0")
    world.cut.update(NAMES)
    world.at_node(DeregisterRequested("wlan0"))
    world.move("wlan0", 5)
    world.run(1)
    world.cut.clear()
    world.run(30)
    assert world.bids == [2]


def test_what_may_have_been_granted_is_remembered_until_it_is_undone(world):
    world.up("wwan0")
    silence_towards(world, "wlan0")
    world.at_node(InterfaceUp("wlan0", world.address_of("wlan0")))
    world.run(0.5)
    assert world.bids == [2, 1]
    world.cut.update(NAMES)
    world.down("wlan0")
    world.move("wlan0", 3)
    world.down("wlan0")
    world.cut.clear()
    world.run(10)
    assert world.bids == [2]


def test_a_restarted_node_whose_carrier_has_expired_sends_its_policy(world, tools):
    world.up("wlan0", "wwan0")
    world.down("wlan0")
    record = world.stored["node"]
    world.run(2)
    short = tuple(
        structs.replace(each, expires_at=world.now) if each.bid == 1 else each
        for each in record.bindings
    )
    world.restart_agent()
    world.restart_node(record=structs.replace(record, bindings=short))
    world.up("wwan0")
    world.at_node(PolicyReplaced((tools.voice,)))
    world.run(5)
    assert world.bids == [2]
    assert world.policies_agree()


def operate(world, tools, chance):
    """Something that the world does to a node, or its operator."""
    name = chance.choice(NAMES)
    policies = (tools.policy, (tools.voice,), (), (tools.block, tools.web, tools.voice))
    actions = (
        lambda: world.cut.symmetric_difference_update({name}),
        lambda: world.down(name),
        lambda: world.move(name, chance.randrange(200)),
        world.restart_agent,
        lambda: world.at_node(PolicyReplaced(chance.choice(policies))),
        lambda: world.at_node(DeregisterRequested(chance.choice((name, None)))),
        lambda: world.at_node(RegisterRequested(chance.choice((name, None)))),
    )
    chance.choice((*actions, *[lambda: world.up(name)] * len(actions)))()
    world.run(chance.choice((0, 0.01, 0.05, 0.5, 5, chance.uniform(0.1, 200))))


def live_through_hours_of_trouble(world, tools, seed, *, failures=0.0):
    """Loss, cuts, moves, restarts, failing disks and a restless operator, then peace."""
    chance = random.Random(seed)
    world.lose = lambda _datagram: chance.random() < 0.15
    world.fails = lambda _who, effect: tools.can_fail(effect) and chance.random() < failures
    for _ in range(60):
        operate(world, tools, chance)
        yield
    world.lose = lambda _datagram: False
    world.fails = lambda _who, _effect: False
    world.cut.clear()
    world.up(*NAMES)
    for name in NAMES:
        world.at_node(RegisterRequested(name))


def in_agreement(world):
    return (
        sorted(world.bids) == [1, 2, 3]
        and world.policies_agree()
        and {path.bid for path in world.forwarding["node"].paths if path.transmit} == {1, 2, 3}
        and {path.bid for path in world.forwarding["agent"].paths} == {1, 2, 3}
    )


@pytest.mark.parametrize("failures", [0.0, 0.05])
@pytest.mark.parametrize("seed", range(6))
def test_hours_of_trouble_end_in_agreement(make_world, tools, seed, failures):
    world = make_world(multipath="require")
    for _ in live_through_hours_of_trouble(world, tools, seed, failures=failures):
        bids = world.bids if world.agent.records else []
        assert len(bids) == len(set(bids))
        assert None not in bids
    world.run(100)
    assert in_agreement(world)


@pytest.mark.parametrize("seed", range(4))
def test_a_node_that_may_do_without_multipath_comes_back_to_it(make_world, tools, seed):
    world = make_world(multipath="prefer")
    for _ in live_through_hours_of_trouble(world, tools, seed):
        pass
    world.run(1200)
    assert in_agreement(world)
