"""IPv6 prefixes at the home agent (RFC 5454)."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from msgspec import structs

from flowbind.effects import ProgramForwarding, SaveNode
from flowbind.events import EffectFailed, RevokeRequested
from flowbind.model.config import StaticFlow
from flowbind.model.encoding import from_msgpack, to_msgpack
from flowbind.wire.dual_stack import (
    LINK_LOCAL,
    Ipv6PrefixReply,
    Ipv6PrefixRequest,
    Ipv6TunnelingMode,
)
from flowbind.wire.iana import FlowAction, RequestFlag, SelectorFormat
from flowbind.wire.message import all_of

ONE, TWO = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/48")
STRANGE = IPv6Network("2001:db8:9::/64")
MODE = Ipv6TunnelingMode()
DT = RequestFlag.DECAPSULATION_BY_MOBILE_NODE | RequestFlag.REVERSE_TUNNELING
IN_USE = 1
DENIED, PROHIBITED = 8, 9


def want(*prefixes):
    return [Ipv6PrefixRequest.of(each) for each in prefixes]


@pytest.fixture
def dual(make_desk):
    return make_desk(prefixes=(ONE, TWO))


def ask(desk, bid, *extensions, flags=DT, **fields):
    assert desk.ask(desk.multipath(bid), *extensions, flags=flags, **fields) == 0
    return {each.network: each.code for each in all_of(desk.reply, Ipv6PrefixReply)}


@pytest.mark.rfc("5454", "3.3", "DS-HA-1")
def test_each_prefix_of_the_node_is_accepted_and_forwarded(dual):
    assert ask(dual, 1, *want(ONE, TWO), MODE) == {ONE: IN_USE, TWO: IN_USE}
    assert dual.record.prefixes == (ONE, TWO)
    (program,) = [each for each in dual.last if isinstance(each, ProgramForwarding)]
    assert program.node.prefixes == (ONE, TWO)
    (saved,) = [each for each in dual.last if isinstance(each, SaveNode)]
    assert from_msgpack(to_msgpack(saved.record), type(saved.record)) == saved.record


@pytest.mark.rfc("5454", "3.3", "DS-HA-1")
@pytest.mark.parametrize("prefix", [STRANGE, IPv6Network("2001:db8:1::/48"), IPv6Network("::/0")])
def test_what_is_not_the_nodes_is_prohibited(dual, prefix):
    assert ask(dual, 1, *want(prefix, ONE), MODE) == {prefix: PROHIBITED, ONE: IN_USE}
    assert dual.record.prefixes == (ONE,)


@pytest.mark.rfc("5454", "3.3", "DS-HA-2")
def test_one_prefix_has_one_reply(dual):
    assert ask(dual, 1, *want(ONE, ONE, STRANGE, STRANGE), MODE) == {ONE: 1, STRANGE: PROHIBITED}
    assert len(all_of(dual.reply, Ipv6PrefixReply)) == 2


@pytest.mark.rfc("5454", "3.3.2", "DS-HA-3")
def test_without_tunneling_mode_prefixes_are_rejected(dual):
    assert ask(dual, 1, *want(ONE, STRANGE)) == {ONE: DENIED, STRANGE: PROHIBITED}
    assert dual.record.prefixes == ()


@pytest.mark.rfc("5454", "3.3.2", "DS-HA-3")
def test_a_foreign_agents_care_of_address_has_no_prefixes(dual):
    flags = RequestFlag.REVERSE_TUNNELING
    assert ask(dual, 1, *want(ONE), MODE, flags=flags) == {ONE: DENIED}
    assert dual.record.prefixes == ()


@pytest.mark.rfc("5454", "3.7.1")
def test_a_link_local_address_is_rejected(dual):
    asked = Ipv6PrefixRequest(IPv6Address("fe80::1"), LINK_LOCAL)
    assert dual.ask(dual.multipath(1), asked, MODE, flags=DT) == 0
    (told,) = all_of(dual.reply, Ipv6PrefixReply)
    assert told == Ipv6PrefixReply(DENIED, asked.prefix, LINK_LOCAL)
    assert dual.record.prefixes == ()


@pytest.mark.rfc("5454", "3.1", "DS-HA-4")
def test_what_stands_behind_the_authenticator_asks_for_nothing(dual):
    behind = b"".join(each.encode() for each in (*want(ONE), MODE))
    assert dual.ask(dual.multipath(1), behind=behind, flags=DT) == 0
    assert all_of(dual.reply, Ipv6PrefixReply) == ()
    assert dual.record.prefixes == ()


def test_a_node_without_prefixes_is_told_nothing(desk):
    assert ask(desk, 1, *want(ONE), MODE) == {}
    assert desk.record.prefixes == ()


@pytest.mark.rfc("5454", "3.2", "DS-HA-5")
def test_a_denied_request_has_no_prefix_replies_and_changes_none(dual):
    ask(dual, 1, *want(ONE), MODE)
    code = dual.ask(dual.multipath(1), *want(TWO), MODE, flags=DT, home_agent=dual.home)
    assert code == 136
    assert all_of(dual.reply, Ipv6PrefixReply) == ()
    assert dual.record.prefixes == (ONE,)


@pytest.mark.rfc("5454", "3.8", "DS-HA-6")
def test_a_prefix_that_is_left_out_is_deregistered_whichever_path_says_it(dual):
    ask(dual, 1, *want(ONE, TWO), MODE)
    ask(dual, 2, *want(TWO), MODE)
    assert dual.record.prefixes == (TWO,)
    ask(dual, 1)
    assert dual.record.prefixes == ()
    assert "ProgramForwarding" in dual.kinds


@pytest.mark.rfc("5454", "3.8", "DS-HA-7")
def test_prefixes_go_with_the_last_binding_and_not_before(dual):
    ask(dual, 1, *want(ONE), MODE)
    ask(dual, 2, *want(ONE), MODE)
    ask(dual, 1, lifetime_s=0)
    assert dual.record.prefixes == (ONE,)
    ask(dual, 2, lifetime_s=0)
    assert dual.record.prefixes == ()


@pytest.mark.rfc("5454", "3.8", "DS-HA-8")
def test_prefixes_end_with_the_lifetime(dual):
    ask(dual, 1, *want(ONE), MODE)
    dual.wake()
    assert dual.record.prefixes == ()


def test_prefixes_end_with_a_revocation(make_desk):
    desk = make_desk(prefixes=(ONE,), revocation=True)
    ask(desk, 1, *want(ONE), MODE)
    desk.hear(RevokeRequested(desk.home))
    assert desk.record.prefixes == ()


def test_a_renewal_that_asks_for_the_same_programs_nothing(dual):
    ask(dual, 1, *want(ONE), MODE)
    ask(dual, 1, *want(ONE), MODE)
    assert "ProgramForwarding" not in dual.kinds


def test_prefixes_survive_a_restart(dual):
    ask(dual, 1, *want(ONE), MODE)
    dual.restart()
    (program,) = [each for each in dual.last if isinstance(each, ProgramForwarding)]
    assert program.node.prefixes == (ONE,)


def test_what_cannot_be_forwarded_is_undone(dual):
    ask(dual, 1, *want(ONE), MODE)
    ask(dual, 1, *want(TWO), MODE)
    effect, *rest = dual.last
    assert dual.hear(EffectFailed(effect, tuple(rest), "no room")) == 130
    assert dual.record.prefixes == (ONE,)


def ipv6_rule(desk, port, *bids):
    rule = desk.forward(port, *bids)
    selector = structs.replace(rule.selector, format=SelectorFormat.IPV6_BINARY)
    return structs.replace(rule, selector=selector)


@pytest.mark.rfc("6088", "3.2")
def test_rules_for_ipv6_are_for_nodes_with_prefixes(dual):
    rules = (ipv6_rule(dual, 80, 1), dual.forward(81, 1))
    ask(dual, 1, *rules)
    assert dual.rules == [(81, 1)]
    ask(dual, 1, *want(ONE), MODE, *rules)
    assert dual.rules == [(80, 1), (81, 1)]


def test_static_rules_for_ipv6_are_for_nodes_with_prefixes(make_desk, desk):
    selector = ipv6_rule(desk, 80, 1).selector
    static = StaticFlow("web", (selector,), FlowAction.FORWARD, (1,))
    dual = make_desk(prefixes=(ONE,), static_flows=(static,))
    ask(dual, 1)
    (program,) = [each for each in dual.last if isinstance(each, ProgramForwarding)]
    assert program.node.rules == ()
    ask(dual, 1, *want(ONE), MODE)
    (program,) = [each for each in dual.last if isinstance(each, ProgramForwarding)]
    assert [each.selector for each in program.node.rules] == [selector]
