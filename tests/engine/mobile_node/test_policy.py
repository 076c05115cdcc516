"""Exchanging the flow policy (RFC 7629 4.2, 5.1)."""

import pytest
from msgspec import structs

from flowbind.effects import ProgramForwarding
from flowbind.events import DeregisterRequested, InterfaceUp, PolicyReplaced, RegisterRequested
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import MAX_RULES
from flowbind.wire.flow_binding import DROP_BID, FlowBinding
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector


@pytest.fixture
def trip(make_trip):
    return make_trip(make_trip.rule(80, 1, 2), make_trip.rule(81, 2), make_trip.rule(82))


def bid(trip):
    assert trip.multipath is not None
    return trip.multipath.bid


@pytest.mark.rfc("7629", "5.1", "MP-MN-16")
def test_own_packets_follow_the_whole_policy_from_the_first_tunnel_on(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer()
    program = trip.last[0]
    assert isinstance(program, ProgramForwarding)
    assert program.node.rules == (
        FlowRule(FlowAction.FORWARD, (1, 2), trip.rule(80).selectors[0], None, "port 80"),
        FlowRule(FlowAction.FORWARD, (2,), trip.rule(81).selectors[0], None, "port 81"),
        FlowRule(FlowAction.DROP, (), trip.rule(82).selectors[0], None, "port 82"),
    )


@pytest.mark.rfc("7629", "4.2", "FB-E-2")
def test_only_rules_of_which_a_bid_is_registered_are_sent_and_drop_has_bid_255(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert trip.policy == [(80, 1, 2), (82, DROP_BID)]


def test_one_bid_carries_the_policy_and_completes_it(trip):
    trip.up("wlan0")
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert (bid(trip), trip.policy) == (2, [])
    trip.answer()
    assert (bid(trip), trip.policy) == (1, [(80, 1, 2), (81, 2), (82, DROP_BID)])
    trip.answer()
    assert not trip.asks


@pytest.mark.rfc("7629", "5.1", "MP-MN-5")
def test_a_node_that_is_not_to_exchange_policy_sends_none(make_trip):
    trip = make_trip(make_trip.rule(80, 1), exchange_policy=False)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert trip.policy == []
    trip.answer()
    trip.hear(PolicyReplaced((trip.rule(81, 1),)))
    assert trip.kinds == ["ProgramForwarding", "SaveNode", "Log"]


def test_a_replaced_policy_is_sent_and_followed_at_once(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(PolicyReplaced((trip.rule(90, 2),)))
    assert trip.kinds == ["ProgramForwarding", "SaveNode", "SendDatagram", "Log"]
    program = trip.last[0]
    assert isinstance(program, ProgramForwarding)
    assert [rule.name for rule in program.node.rules] == ["port 90"]
    assert (bid(trip), trip.policy) == (1, [(90, 2)])
    assert not trip.multipath.overwrite


def test_a_policy_replaced_while_the_former_is_under_way_is_sent_after_it(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.hear(PolicyReplaced((trip.rule(80, 1, 2),)))
    assert not trip.asks
    trip.answer()
    assert trip.policy == [(80, 1, 2)]
    trip.answer()
    assert not trip.asks


@pytest.mark.rfc("7629", "4.1")
def test_an_empty_policy_overwrites_and_the_others_are_registered_again(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(PolicyReplaced(()))
    assert trip.multipath.flags == trip.overwrite
    assert (bid(trip), trip.policy) == (1, [])
    trip.answer()
    assert trip.bids == [1]
    assert (bid(trip), trip.multipath.flags) == (2, 0)
    trip.answer()
    assert trip.bids == [1, 2]
    assert not trip.asks
    trip.wait(480)
    assert not trip.multipath.overwrite


def test_when_the_carrier_goes_its_rules_stay_and_the_next_request_carries_them(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(DeregisterRequested("wlan0"))
    trip.answer()
    assert not trip.asks
    trip.wait(480)
    assert (bid(trip), trip.policy) == (2, [(80, 1, 2), (81, 2), (82, DROP_BID)])
    assert not trip.multipath.overwrite


def test_rules_of_a_request_that_was_not_answered_are_overwritten_by_another(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert trip.policy != []
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    while trip.sent.interface != "wwan0":
        trip.wait(trip.engine.deadline() - trip.now)
    assert trip.multipath.flags == trip.overwrite
    trip.answer()
    assert trip.bids == [2]
    assert trip.policy == [(80, 1, 2), (81, 2), (82, DROP_BID)]


def test_the_record_holds_the_home_agents_copy(trip):
    trip.up("wlan0")
    selectors = [trip.rule(port).selectors[0] for port in (80, 82)]
    assert [(rule.owner, rule.selector) for rule in trip.record.rules] == [
        (1, selectors[0]),
        (1, selectors[1]),
    ]


# ---- Flow-Binding in a reply


def told(*rules):
    """The extensions by which a home agent tells rules."""
    return tuple(
        FlowBinding(each.action, each.bids or (DROP_BID,), selector)
        for each in rules
        for selector in each.selectors
    )


DIFFERS = "the home agent forwards by another policy than ours"


@pytest.mark.rfc("7629", "4.2", "A-11", "A-11b")
def test_a_reply_that_tells_our_policy_is_nothing_to_speak_of(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(extensions=told(trip.rule(80, 1, 2), trip.rule(82)))
    assert DIFFERS not in trip.logged
    assert trip.engine.statistics["policy_differs"] == 0


@pytest.mark.rfc("7629", "4.2", "A-7", "A-11b")
def test_a_reply_that_merges_rules_as_a_home_agent_does_tells_no_other_policy(make_trip):
    trip = make_trip(make_trip.rule(80, 1), make_trip.rule(81, 1), make_trip.rule(80, 1, 2))
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert len(trip.policy) == 3
    trip.answer(extensions=told(trip.rule(80, 1, 2), trip.rule(81, 1)))
    assert trip.engine.statistics["policy_differs"] == 0


@pytest.mark.rfc("7629", "4.2", "A-11", "A-11b")
@pytest.mark.parametrize(
    "rules", [[(80, 1, 2)], [(82,), (80, 1, 2)], [(80, 2, 1), (82,)], [(80, 1, 2), (82,), (83, 1)]]
)
def test_a_reply_that_tells_another_policy_is_counted_and_ours_stays(trip, rules):
    others = told(*(trip.rule(*each) for each in rules))
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(extensions=others)
    assert DIFFERS in trip.logged
    assert trip.state("wlan0") == "up"
    assert trip.engine.policy == trip.config.policy
    trip.hear(RegisterRequested("wlan0"))
    trip.wait(1)
    trip.answer(extensions=others)
    assert DIFFERS not in trip.logged
    assert trip.engine.statistics["policy_differs"] == 2


@pytest.mark.rfc("7629", "4.2", "A-11b")
def test_only_a_reply_to_a_request_with_policy_is_compared(trip):
    trip.up("wlan0")
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert trip.policy == []
    trip.answer(extensions=told(trip.rule(99, 2)))
    assert trip.engine.statistics["policy_differs"] == 0


@pytest.mark.rfc("7629", "4.2", "A-11", "A-11b")
def test_the_rules_of_a_reply_whose_bids_are_known_are_taken_where_asked_to(make_trip):
    trip = make_trip(make_trip.rule(80, 1), exchange_policy=False, accept_policy=True)
    ipv6 = TrafficSelector(SelectorFormat.IPV6_BINARY, protocol=Span(6))
    foreign = FlowBinding(FlowAction.FORWARD, (1,), ipv6)
    rules = told(trip.rule(81, 9, 2, 1), trip.rule(82, 9), trip.rule(83))
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(extensions=(foreign, *rules))
    program = trip.last[0]
    assert isinstance(program, ProgramForwarding)
    assert program.node.rules == (
        FlowRule(FlowAction.FORWARD, (2, 1), trip.rule(81).selectors[0], None, "home-agent-1"),
        FlowRule(FlowAction.DROP, (), trip.rule(83).selectors[0], None, "home-agent-2"),
    )
    assert "flow policy of the home agent taken: 2 rules" in trip.logged
    trip.hear(RegisterRequested("wlan0"))
    trip.wait(1)
    trip.answer(extensions=rules)
    assert "ProgramForwarding" not in trip.kinds
    # Nothing told is nothing said: the home agent may have no rules, or not tell them.
    trip.hear(RegisterRequested("wlan0"))
    trip.wait(1)
    trip.answer()
    assert trip.engine.statistics["policy_adopted"] == 1


@pytest.mark.rfc("7629", "4.2", "A-11b")
def test_a_policy_taken_is_not_kept_over_a_restart(make_trip):
    trip = make_trip(make_trip.rule(80, 1), exchange_policy=False, accept_policy=True)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(extensions=told(trip.rule(81, 1)))
    assert trip.record.policy is None
    trip.hear(PolicyReplaced((trip.rule(82, 1),)))
    assert trip.record.policy is not None


@pytest.mark.rfc("7629", "4.2", "A-11b")
def test_the_rules_of_a_reply_are_not_taken_unless_asked_to(make_trip):
    trip = make_trip(make_trip.rule(80, 1), exchange_policy=False)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(extensions=told(trip.rule(81, 1)))
    assert trip.engine.policy == trip.config.policy


@pytest.mark.rfc("7629", "4.2", "A-11b", "XX-E-5")
def test_rules_behind_the_authentication_are_not_taken(make_trip):
    trip = make_trip(make_trip.rule(80, 1), exchange_policy=False, accept_policy=True)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    reply = trip.reply()
    (rule,) = told(trip.rule(81, 1))
    trip.hear(structs.replace(reply, payload=reply.payload + rule.encode()))
    assert trip.state("wlan0") == "up"
    assert trip.engine.policy == trip.config.policy


def test_no_more_rules_are_taken_than_the_data_plane_takes(make_trip):
    trip = make_trip(exchange_policy=False, accept_policy=True)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(extensions=told(*(trip.rule(port, 1) for port in range(MAX_RULES + 1))))
    assert len(trip.engine.policy) == MAX_RULES


@pytest.mark.rfc("7629", "4.2")
def test_a_policy_that_was_told_before_and_comes_late_is_not_taken(make_trip):
    trip = make_trip(exchange_policy=False, accept_policy=True)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    while trip.sent.interface == "wlan0":
        late = trip.reply(extensions=told(trip.rule(81, 1)))
        trip.wait(0.5)
    trip.answer(extensions=told(trip.rule(81, 2, 1)))
    trip.hear(late)
    assert sorted(trip.bids) == [1, 2]
    assert [rule.bids for rule in trip.engine.rules] == [(2, 1)]
