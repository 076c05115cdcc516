"""Simultaneous bindings of RFC 5944 between the two engines: the S bit, code 0 and code 1."""

from itertools import pairwise

import pytest
from msgspec import structs

from flowbind.engine.home_agent import HomeAgent
from flowbind.events import DeregisterRequested, InterfaceUp, RegisterRequested
from flowbind.wire.message import decode
from flowbind.wire.registration import RegistrationRequest

NAMES = ("wlan0", "wwan0", "cdma0")


@pytest.fixture
def both(make_world):
    """A node that asks for simultaneous bindings, and a home agent that grants them."""
    return make_world(agent={"simultaneous": True}, multipath="off", simultaneous=True)


@pytest.fixture
def refused(make_world):
    """The same node with a home agent that does not."""
    return make_world(multipath="off", simultaneous=True)


def bound(world):
    """The care-of addresses that the home agent sends to."""
    assert set(world.bids) <= {None}
    return {each.care_of_address for each in world.record.bindings}


def addresses(world, *names):
    return {world.address_of(name) for name in names}


def sending(world):
    """The interfaces that the node sends through."""
    return [each.interface for each in world.forwarding["node"].paths if each.transmit]


def heard(world):
    """The interfaces whose tunnels the node takes packets from."""
    return {each.interface for each in world.forwarding["node"].paths}


@pytest.mark.rfc("5944", "3.6.1.2")
@pytest.mark.rfc("5944", "3.8.2.2", "HA-24")
def test_each_interface_is_registered_with_the_s_bit_and_the_first_is_sent_by(both, tools):
    both.up(*NAMES)
    assert bound(both) == addresses(both, *NAMES)
    assert set(both.replies) == {0}
    assert all(tools.flags.SIMULTANEOUS_BINDINGS in each.flags for _, each in both.requests)
    assert all(tools.multipath(each) is None for _, each in both.requests)
    assert heard(both) == set(NAMES)
    assert sending(both) == ["wlan0"]


def test_nothing_is_deregistered_with_the_s_bit(both, tools):
    both.up("wlan0", "wwan0")
    both.at_node(DeregisterRequested("wlan0"))
    both.run(2)
    _, last = both.requests[-1]
    assert (last.lifetime_s, last.flags & tools.flags.SIMULTANEOUS_BINDINGS) == (0, 0)
    assert bound(both) == addresses(both, "wwan0")
    assert sending(both) == ["wwan0"]


def test_a_day_of_renewals_loses_none(make_world):
    world = make_world(
        agent={"simultaneous": True}, multipath="off", simultaneous=True, probe_interval_s=60.0
    )
    world.up(*NAMES)
    before = world.forwarding["agent"]
    world.run(86_400)
    assert world.forwarding["agent"] == before
    assert world.agent.statistics["expired"] == 0


def test_a_silent_path_gives_way_and_is_taken_back(both):
    both.up("wlan0", "wwan0")
    both.cut.add("wlan0")
    both.run(3)
    assert sending(both) == ["wwan0"]
    assert bound(both) == addresses(both, "wwan0")
    both.cut.clear()
    both.run(120)
    assert bound(both) == addresses(both, "wlan0", "wwan0")
    assert sending(both) == ["wlan0"]


def test_the_next_is_sent_by_before_the_first_is_deregistered(both):
    both.up("wlan0", "wwan0")
    both.at_node(DeregisterRequested("wlan0"))
    assert sending(both) == ["wwan0"]
    assert heard(both) == {"wlan0", "wwan0"}
    assert bound(both) == addresses(both, "wlan0", "wwan0")


def test_all_are_deregistered_at_once(both):
    both.up(*NAMES)
    before = len(both.requests)
    both.at_node(DeregisterRequested())
    both.run(2)
    assert bound(both) == set()
    assert len(both.requests) == before + 1
    both.at_node(RegisterRequested())
    both.run(5)
    assert bound(both) == addresses(both, *NAMES)


@pytest.mark.parametrize("others", [(), ("wwan0",)])
def test_an_address_that_an_interface_had_is_left(both, others):
    both.up("wlan0", *others)
    both.move("wlan0", 1)
    both.run(1)
    assert bound(both) == {both.address_of("wlan0") + 1, *addresses(both, *others)}
    both.move("wlan0", 0)
    both.run(2)
    assert bound(both) == addresses(both, "wlan0", *others)
    assert sending(both) == ["wlan0"]


def test_an_address_is_registered_before_the_one_before_is_left(both):
    """With but one interface nothing is left before there is something else."""
    both.up("wlan0")
    both.move("wlan0", 1)
    both.run(2)
    register, leave = [each for _, each in both.requests][-2:]
    assert (register.care_of_address, register.lifetime_s) == (both.address_of("wlan0") + 1, 600)
    assert (leave.care_of_address, leave.lifetime_s) == (both.address_of("wlan0"), 0)


def test_an_address_that_may_have_been_registered_is_left_too(both):
    both.up("wwan0")
    both.lose = lambda datagram: datagram.destination == both.address_of("wlan0")
    both.at_node(InterfaceUp("wlan0", both.address_of("wlan0")))
    both.run(0.5)
    assert bound(both) == addresses(both, "wlan0", "wwan0")
    both.move("wlan0", 1)
    both.run(3)
    assert bound(both) == {both.address_of("wlan0") + 1, *addresses(both, "wwan0")}


def test_a_registration_that_is_never_answered_is_undone(both):
    both.up("wwan0")
    both.lose = lambda datagram: datagram.destination == both.address_of("wlan0")
    both.at_node(InterfaceUp("wlan0", both.address_of("wlan0")))
    share = []
    for _ in range(600):
        both.run(0.2)
        share.append(both.address_of("wlan0") in bound(both))
        assert both.address_of("wwan0") in bound(both)
        assert sending(both) == ["wwan0"]
    assert 0 < sum(share) / len(share) < 0.5


@pytest.mark.rfc("5944", "3.8.2.2", "HA-24")
def test_code_1_leaves_the_newest_binding_only(refused):
    refused.up("wwan0")
    assert refused.replies == [1]
    refused.up("wlan0")
    assert bound(refused) == addresses(refused, "wlan0")
    assert sending(refused) == ["wlan0"]
    assert refused.states == {"wlan0": "up", "wwan0": "down", "cdma0": "down"}
    refused.up("cdma0")
    refused.run(60)
    assert bound(refused) == addresses(refused, "wlan0")
    assert refused.node.statistics["simultaneous_refused"] == 1


def test_with_one_binding_the_next_path_takes_its_place(refused):
    refused.up(*NAMES)
    refused.cut.add("wlan0")
    refused.run(5)
    assert bound(refused) == addresses(refused, "wwan0")
    assert sending(refused) == ["wwan0"]
    refused.down("wwan0")
    refused.run(5)
    assert bound(refused) == addresses(refused, "cdma0")


def test_what_was_refused_is_granted_later(refused):
    refused.up("wlan0", "wwan0")
    config = refused.agent.config
    entry = structs.replace(config.mobile_nodes[0], simultaneous_bindings=True)
    refused.agent = HomeAgent(structs.replace(config, mobile_nodes=(entry,)))
    refused.run(600)
    assert bound(refused) == addresses(refused, "wlan0", "wwan0")


def test_a_restart_goes_on_where_it_was(both):
    both.up("wlan0", "wwan0")
    both.restart_node()
    assert heard(both) == {"wlan0", "wwan0"}
    assert sending(both) == ["wlan0"]
    both.at_node(InterfaceUp("wwan0", both.address_of("wwan0")))
    assert sending(both) == ["wwan0"]
    both.at_node(InterfaceUp("wlan0", both.address_of("wlan0")))
    both.run(3)
    assert sending(both) == ["wlan0"]
    assert bound(both) == addresses(both, "wlan0", "wwan0")


def test_a_restored_path_that_does_not_come_up_is_deregistered(both):
    both.up("wlan0", "wwan0")
    both.restart_node()
    both.at_node(InterfaceUp("wwan0", both.address_of("wwan0")))
    both.run(10)
    assert bound(both) == addresses(both, "wwan0")


def test_a_path_that_is_gone_does_not_deregister_the_address_that_another_one_has_now(both):
    both.up("wlan0", "wwan0", "cdma0")
    _deregistrations(both)
    both.down("cdma0")
    both.run(2)
    both.at_node(InterfaceUp("wwan0", both.address_of("cdma0")))
    both.lose = lambda _datagram: False
    both.run(30)
    assert bound(both) == {both.address_of("wlan0"), both.address_of("cdma0")}
    since = [each for _, each in both.requests if each.care_of_address == both.address_of("cdma0")]
    assert [each.lifetime_s for each in since].count(0) <= 2


@pytest.mark.rfc("5944", "3.6.3")
def test_one_address_is_not_deregistered_for_two_interfaces_within_a_second(both):
    both.up("wlan0", "wwan0", "cdma0")
    left = both.address_of("cdma0")
    told_at = _deregistrations(both, left)
    both.down("cdma0")
    both.run(2)
    both.cut.add("wwan0")
    both.at_node(InterfaceUp("wwan0", left))
    both.run(0.5)
    both.move("wwan0", 1)
    both.run(0.1)
    both.down("cdma0")
    both.run(5)
    assert len(told_at) > 4
    assert _are_a_second_apart(told_at)


def test_addresses_that_were_left_are_deregistered_one_a_second(both):
    both.up("wlan0", "wwan0")
    told_at = _deregistrations(both)
    for number in range(1, 9):
        both.move("wwan0", number)
        both.run(0.3)
    both.run(10)
    assert len(told_at) > 8
    assert _are_a_second_apart(told_at)


def _are_a_second_apart(moments):
    return all(later - earlier > 0.99 for earlier, later in pairwise(moments))


def _deregistrations(world, *addresses):
    """The moments at which deregistrations are sent, of these addresses or any; all are lost."""
    told_at = []

    def lose(datagram):
        request = decode(datagram.payload)
        if not isinstance(request, RegistrationRequest) or request.lifetime_s:
            return False
        if not addresses or request.care_of_address in addresses:
            told_at.append(world.now)
        return True

    world.lose = lose
    return told_at
