"""Exchanging the flow policy (RFC 7629 4.2, 5.1)."""

import pytest

from flowbind.effects import ProgramForwarding
from flowbind.events import DeregisterRequested, InterfaceUp, PolicyReplaced
from flowbind.model.flow import FlowRule
from flowbind.wire.flow_binding import DROP_BID
from flowbind.wire.iana import FlowAction


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
