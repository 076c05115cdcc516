"""Simultaneous bindings of RFC 5944: the S bit (3.8.2.2), and what is forwarded by (4.2.3)."""

import pytest

from flowbind.effects import ProgramForwarding
from flowbind.model.binding import Encapsulation
from flowbind.model.config import StaticFlow
from flowbind.model.tunnel import PLAIN_BID, NodeForwarding, Path
from flowbind.wire.iana import FlowAction, RequestFlag
from flowbind.wire.traffic_selector import Span, TrafficSelector

S = RequestFlag.SIMULTANEOUS_BINDINGS


@pytest.fixture
def granting(make_desk):
    """A home agent that grants the S bit."""
    return make_desk(simultaneous=True)


def register(desk, *numbers, flags=S, **fields):
    """Register care-of addresses without Multipath, one after the other."""
    for number in numbers:
        assert desk.ask(care_of_address=desk.care_of_address(number), flags=flags, **fields) == 0


def held(desk):
    """The numbers of the care-of addresses that are bound, none of which has a BID."""
    assert all(each.bid is None for each in desk.record.bindings)
    return [each.care_of_address.packed[1] for each in desk.record.bindings]


@pytest.mark.rfc("5944", "3.8.2.2", "HA-24")
@pytest.mark.rfc("5944", "4.2.3", "HA-24")
def test_the_s_bit_keeps_the_bindings_before_and_each_is_sent_to(granting):
    register(granting, 1, 2)
    assert held(granting) == [1, 2]
    paths = tuple(
        Path(PLAIN_BID, granting.address, granting.care_of_address(each), Encapsulation.IP_IN_IP)
        for each in (1, 2)
    )
    assert granting.last[0] == ProgramForwarding(NodeForwarding(granting.home, paths))


@pytest.mark.rfc("5944", "3.8.3.2", "HA-34")
def test_code_0_tells_that_simultaneous_bindings_are_kept(granting):
    assert granting.ask(flags=S) == 0
    assert granting.ask(flags=RequestFlag(0)) == 0


@pytest.mark.rfc("5944", "3.8.2.2", "HA-23")
def test_without_the_s_bit_all_are_replaced(granting):
    register(granting, 1, 2)
    register(granting, 3, flags=RequestFlag(0))
    assert held(granting) == [3]


def test_a_care_of_address_is_renewed_in_its_place(granting):
    register(granting, 1, 2)
    granting.now += 100
    register(granting, 1)
    assert granting.kinds == ["SaveNode", "SendDatagram"]
    assert held(granting) == [1, 2]
    first, second = granting.record.bindings
    assert (first.expires_at, second.expires_at) == (granting.now + 600, granting.now + 500)


@pytest.mark.rfc("5944", "3.8.2.2", "HA-22")
def test_one_care_of_address_is_deregistered(granting):
    register(granting, 1, 2, 3)
    register(granting, 2, lifetime_s=0)
    assert held(granting) == [1, 3]
    assert len(granting.last[0].node.paths) == 2


@pytest.mark.rfc("5944", "3.8.2.2", "HA-21")
def test_the_home_address_deregisters_all(granting):
    register(granting, 1, 2)
    assert granting.ask(care_of_address=granting.home, lifetime_s=0) == 0
    assert held(granting) == []


@pytest.mark.rfc("5944", "4.2.3", "HA-27")
def test_one_expires_and_the_others_stay(granting):
    register(granting, 1, lifetime_s=60)
    register(granting, 2)
    granting.wake()
    assert held(granting) == [2]
    assert granting.replies == []


@pytest.mark.rfc("5944", "3.8.2.3", "HA-30")
def test_one_more_than_the_limit_is_denied_with_135(make_desk):
    desk = make_desk(simultaneous=True, max_bindings=2)
    register(desk, 1, 2)
    before = desk.record
    assert desk.ask(care_of_address=desk.care_of_address(3), flags=S) == 135
    assert desk.record == before
    register(desk, 2)
    register(desk, 3, flags=RequestFlag(0))
    assert held(desk) == [3]


@pytest.mark.rfc("7629", "5.2", "A-16")
def test_beside_multipath_the_s_bit_means_nothing(granting):
    register(granting, 1, 2)
    assert granting.ask(granting.multipath(3), flags=S) == 0
    assert granting.bids == [3]
    register(granting, 1)
    assert held(granting) == [1]


def test_they_outlive_a_restart(granting):
    register(granting, 1, 2)
    before = granting.record
    granting.restart()
    assert granting.record == before
    assert [len(each.node.paths) for each in granting.last] == [2]


def test_a_static_rule_may_drop_but_names_no_path_of_theirs(make_desk):
    selector = TrafficSelector(protocol=Span(6))
    flows = (
        StaticFlow("bulk", (selector,), FlowAction.FORWARD, (1,)),
        StaticFlow("barred", (selector,), FlowAction.DROP),
    )
    desk = make_desk(simultaneous=True, static_flows=flows)
    register(desk, 1, 2)
    assert [each.name for each in desk.last[0].node.rules] == ["barred"]
