"""Flow bindings at the home agent (RFC 7629 4.2, 5.2, 6)."""

import pytest
from msgspec import structs

from flowbind.effects import ProgramForwarding
from flowbind.events import EffectFailed
from flowbind.model.config import StaticFlow, UnknownBid
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import MAX_RULES
from flowbind.wire.authentication import Authentication
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector

DS_OCTET = TrafficSelector(traffic_class=Span(0xB8))


@pytest.mark.rfc("7629", "5.2", "FB-HA-1")
@pytest.mark.rfc("7629", "4.2", "A-8")
def test_a_policy_is_forwarded_by_in_the_order_it_was_sent(desk):
    desk.register(1, 2)
    assert (
        desk.ask(desk.multipath(1), desk.forward(80, 1, 2), desk.drop(9), desk.forward(5, 2)) == 0
    )
    program = desk.last[0]
    assert isinstance(program, ProgramForwarding)
    assert program.node.rules == (
        FlowRule(FlowAction.FORWARD, (1, 2), desk.forward(80).selector, 1),
        FlowRule(FlowAction.DROP, (), desk.drop(9).selector, 1),
        FlowRule(FlowAction.FORWARD, (2,), desk.forward(5).selector, 1),
    )
    assert desk.record.rules == program.node.rules


@pytest.mark.rfc("7629", "5.2", "FB-HA-2", "A-6")
def test_a_rule_of_which_no_bid_is_known_is_denied_with_153(desk):
    desk.register(1)
    before = desk.record
    assert desk.ask(desk.multipath(2), desk.forward(80, 1), desk.forward(81, 3, 4)) == 153
    assert desk.record == before
    assert desk.kinds == ["SendDatagram", "Log"]


@pytest.mark.rfc("7629", "5.2", "A-6")
def test_one_known_bid_is_enough_and_the_own_one_counts(desk):
    assert desk.ask(desk.multipath(2), desk.forward(80, 7, 2, 8)) == 0
    assert desk.rules == [(80, 7, 2, 8)]


@pytest.mark.rfc("7629", "5.2", "FB-HA-2b", "A-6")
@pytest.mark.parametrize(
    ("bids", "code"), [((2,), 0), ((1, 2), 0), ((1, 3), 153), ((3, 2), 153), ((2, 255), 153)]
)
def test_one_unknown_bid_is_denied_with_153_where_asked_to(make_desk, bids, code):
    desk = make_desk(unknown_bid=UnknownBid.ANY_UNKNOWN)
    desk.register(1)
    before = desk.record
    assert desk.ask(desk.multipath(2), desk.drop(9), desk.forward(80, *bids)) == code
    assert (desk.record == before) is (code == 153)


@pytest.mark.rfc("7629", "4.2")
@pytest.mark.rfc("7629", "5.2", "FB-HA-2", "A-6")
@pytest.mark.parametrize("bid", [0, 255])
def test_a_reserved_bid_in_a_list_is_one_that_is_not_known(desk, bid):
    desk.register(1)
    assert desk.ask(desk.multipath(1), desk.forward(80, bid)) == 153
    assert desk.ask(desk.multipath(1), desk.forward(80, bid, 1)) == 0


@pytest.mark.rfc("7629", "4.2", "FB-E-3")
def test_the_bid_of_drop_is_ignored(desk):
    assert desk.ask(desk.multipath(1), structs.replace(desk.drop(80), bids=(9,))) == 0
    assert desk.rules == [(80,)]


@pytest.mark.rfc("7629", "4.2", "A-17")
def test_without_multipath_only_drop_can_be_accepted(desk):
    assert desk.ask(desk.forward(80, 1)) == 153
    assert desk.ask(desk.drop(80)) == 0
    desk.now += 60
    assert desk.ask() == 0
    assert desk.rules == [(80,)]


@pytest.mark.rfc("7629", "4.2", "A-7")
def test_a_refresh_without_policy_leaves_the_rules_alone(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    desk.register(1, 2)
    assert desk.rules == [(80, 1)]
    assert desk.kinds == ["SaveNode", "SendDatagram"]


@pytest.mark.rfc("7629", "4.2", "A-7", "A-8")
def test_a_request_with_policy_replaces_the_rules_of_its_bid_only(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1), desk.forward(81, 1)) == 0
    assert desk.ask(desk.multipath(2), desk.forward(90, 2)) == 0
    assert desk.ask(desk.multipath(1), desk.forward(82, 1)) == 0
    assert desk.rules == [(90, 2), (82, 1)]


@pytest.mark.rfc("7629", "4.2", "A-7", "A-8")
def test_a_rule_sent_again_by_another_bid_keeps_its_place(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1), desk.forward(81, 1)) == 0
    assert desk.ask(desk.multipath(2), desk.forward(80, 2, 1), desk.forward(90, 2)) == 0
    assert desk.rules == [(80, 2, 1), (81, 1), (90, 2)]
    assert [rule.owner for rule in desk.record.rules] == [2, 1, 2]


@pytest.mark.rfc("7629", "4.2", "A-7")
def test_rules_outlive_the_binding_that_carried_them_until_another_policy_comes(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1, 2)) == 0
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    assert desk.rules == [(80, 1, 2)]
    assert desk.ask(desk.multipath(2), desk.forward(90, 2)) == 0
    assert desk.rules == [(90, 2)]


@pytest.mark.rfc("7629", "4.2", "A-7")
def test_rules_go_with_the_last_binding(desk):
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    desk.register(1)
    assert desk.rules == []


@pytest.mark.rfc("7629", "4.2", "A-7")
def test_selectors_that_mean_the_same_are_the_same_rule(desk):
    rule = structs.replace(desk.forward(80, 1), selector=DS_OCTET)
    same = structs.replace(rule, selector=TrafficSelector(traffic_class=Span(0xBB)))
    assert desk.ask(desk.multipath(1), rule, same) == 0
    assert len(desk.record.rules) == 1


@pytest.mark.rfc("7629", "4.2")
def test_an_ipv6_selector_is_accepted_and_left_aside(desk):
    selector = TrafficSelector(SelectorFormat.IPV6_BINARY, protocol=Span(6))
    rule = structs.replace(desk.forward(80, 1), selector=selector)
    assert desk.ask(desk.multipath(1), rule, desk.forward(80, 1)) == 0
    assert desk.rules == [(80, 1)]


def test_more_rules_than_the_data_plane_takes_are_denied_with_130(desk):
    rules = [desk.forward(port, 1) for port in range(MAX_RULES + 1)]
    assert desk.ask(desk.multipath(1), *rules) == 130
    assert desk.ask(desk.multipath(1), *rules[1:]) == 0


def told(desk):
    """The Flow-Binding extensions of the reply, which stand before its authentication."""
    *before, authentication = desk.reply.extensions
    assert isinstance(authentication, Authentication)
    assert all(isinstance(each, FlowBinding) for each in before)
    return before


@pytest.mark.rfc("7629", "4.2", "FB-HA-3", "A-11")
def test_a_reply_tells_the_whole_policy_in_force_where_asked_to(make_desk):
    desk = make_desk(policy_in_reply=True)
    desk.register(1, 2)
    assert told(desk) == []
    assert desk.ask(desk.multipath(1), desk.forward(80, 1, 2), desk.drop(9)) == 0
    assert told(desk) == [desk.forward(80, 1, 2), desk.drop(9)]
    assert desk.ask(desk.multipath(2), desk.forward(90, 2)) == 0
    assert told(desk) == [desk.forward(80, 1, 2), desk.drop(9), desk.forward(90, 2)]
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    assert told(desk) == [desk.forward(80, 1, 2), desk.drop(9), desk.forward(90, 2)]
    assert desk.ask(desk.multipath(2), lifetime_s=0) == 0
    assert told(desk) == []


@pytest.mark.rfc("7629", "4.2", "FB-HA-3", "A-11")
def test_a_reply_tells_the_static_policy_to_a_node_that_sends_none(make_desk):
    selector = TrafficSelector(protocol=Span(17))
    voice = StaticFlow("voice", (selector,), FlowAction.FORWARD, (2, 1))
    desk = make_desk(policy_in_reply=True, static_flows=(voice,))
    desk.register(1, 2)
    assert told(desk) == [FlowBinding(FlowAction.FORWARD, (2, 1), selector)]


@pytest.mark.rfc("7629", "4.2", "A-11")
def test_no_policy_is_told_to_a_node_that_shows_no_knowledge_of_rfc_7629(make_desk):
    block = StaticFlow("block", (TrafficSelector(),), FlowAction.DROP)
    desk = make_desk(policy_in_reply=True, static_flows=(block,))
    assert desk.ask() == 0
    assert told(desk) == []
    assert desk.ask(desk.drop(80)) == 0
    assert told(desk) == [desk.drop(80)]
    assert desk.ask(desk.multipath(1, desk.bulk), lifetime_s=0) == 0
    assert told(desk) == []


@pytest.mark.rfc("7629", "4.2", "A-11")
def test_no_policy_is_told_with_a_denial_nor_unless_asked_to(desk, make_desk):
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    assert told(desk) == []
    desk = make_desk(policy_in_reply=True)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    assert desk.ask(desk.multipath(2), desk.forward(90, 3)) == 153
    assert told(desk) == []
    assert desk.ask(desk.multipath(2)) == 0
    forwarding, save, reply, *_news = desk.last
    desk.hear(EffectFailed(forwarding, (save, reply), "no room"))
    assert desk.reply.code == 130
    assert told(desk) == []


@pytest.mark.rfc("7629", "6", "RT-1")
def test_a_node_that_sends_no_policy_is_forwarded_by_the_static_one(make_desk):
    selector = TrafficSelector(protocol=Span(17))
    voice = StaticFlow("voice", (selector,), FlowAction.FORWARD, (2, 1, 7))
    block = StaticFlow("block", (selector,), FlowAction.DROP)
    desk = make_desk(static_flows=(voice, block))

    def rules():
        (program,) = [each for each in desk.last if isinstance(each, ProgramForwarding)]
        return [(rule.name, rule.bids) for rule in program.node.rules]

    desk.register(1)
    assert rules() == [("voice", (1,)), ("block", ())]
    desk.register(2)
    assert rules() == [("voice", (2, 1)), ("block", ())]
    assert desk.record.rules == ()
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    assert rules() == [("", (1,))]
