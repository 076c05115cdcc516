"""Taking up what a former run held, and what becomes of effects that fail."""

import pytest
from msgspec import structs

from flowbind.effects import DeleteNode, ProgramForwarding, SaveNode
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import EffectFailed, InterfaceUp, PolicyReplaced, Restored
from flowbind.model.binding import NodeRecord
from flowbind.model.flow import RunningPolicy


def restart(trip, record=None):
    record = record or trip.record
    trip.engine = MobileNode(trip.config)
    return trip.hear(Restored((record,)))


def test_nothing_is_asked_of_the_home_agent_before_an_interface_comes_up(trip):
    assert trip.engine.handle(Restored(), trip.now) == [DeleteNode(trip.home)]
    assert trip.engine.deadline() is None


@pytest.mark.parametrize("multipath", ["require", "off"])
def test_restored_paths_forward_before_they_are_renewed(make_trip, multipath):
    trip = make_trip(make_trip.rule(80, 1), multipath=multipath)
    trip.up("wlan0")
    record = trip.record
    trip.now += 60
    effects = restart(trip)
    assert [type(each) for each in effects] == [ProgramForwarding, SaveNode]
    assert trip.record.bindings == record.bindings
    assert trip.record.identification > record.identification
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert trip.kinds == ["SendDatagram", "Log"]
    assert trip.state("wlan0") == "up"
    assert (trip.multipath is None) == (multipath == "off")


def test_a_restored_identification_is_not_used_again(trip):
    trip.up("wlan0")
    identification = trip.asked.identification
    restart(trip)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert trip.asked.identification > identification


def test_a_record_of_a_node_that_never_spoke_is_no_hindrance(trip):
    restart(trip, NodeRecord(trip.home, 0))
    trip.up("wlan0")
    assert trip.bids == [1]
    assert trip.asked.identification > 1 << 62


def test_an_interface_that_does_not_come_is_given_up_after_a_while(trip):
    trip.up("wlan0", "wwan0")
    restart(trip)
    trip.up("wwan0")
    assert [each.tunnel is not None for each in trip.engine.paths] == [True, True, False]
    trip.wait(5)
    assert trip.paths == [(2, True)]
    assert (trip.sent.interface, trip.asked.lifetime_s) == ("wwan0", 0)
    trip.answer()
    assert trip.bids == [2]


def test_a_restored_interface_with_another_address_carries_no_packets_until_registered(trip):
    trip.up("wlan0")
    restart(trip)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wwan0")))
    assert trip.paths == [(1, False)]
    trip.answer()
    assert trip.paths == [(1, True)]


def test_expired_bindings_and_other_nodes_are_not_taken_up(trip):
    trip.up("wlan0")
    other = structs.replace(trip.record, home_address=trip.agent)
    record = trip.record
    trip.now += 601
    trip.engine = MobileNode(trip.config)
    trip.hear(Restored((other, record)))
    assert trip.last == [DeleteNode(trip.home), DeleteNode(trip.agent, other)]
    assert trip.record.bindings == ()


def test_a_policy_that_shrank_in_the_meantime_replaces_the_former(make_trip):
    trip = make_trip(make_trip.rule(80, 1), make_trip.rule(81, 1))
    trip.up("wlan0", "wwan0")
    trip.config = structs.replace(trip.config, policy=())
    restart(trip)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert trip.multipath.flags == trip.overwrite


def test_a_policy_set_at_run_time_stays_in_force(make_trip):
    trip = make_trip(make_trip.rule(80, 1))
    trip.up("wlan0")
    running = (make_trip.rule(443, 1), make_trip.rule(9999))
    trip.hear(PolicyReplaced(running))
    trip.answer()
    assert trip.record.policy == RunningPolicy(trip.config.policy, running)
    restart(trip)
    assert trip.engine.policy == running
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert [port for port, *_bids in trip.policy] == [443, 9999]


def test_a_policy_set_at_run_time_is_kept_without_any_binding(make_trip):
    trip = make_trip(make_trip.rule(80, 1))
    trip.hear(PolicyReplaced(()))
    (saved,) = [each for each in trip.last if isinstance(each, SaveNode)]
    restart(trip, saved.record)
    assert trip.engine.policy == ()


def test_a_new_configured_policy_replaces_one_set_at_run_time(make_trip):
    trip = make_trip(make_trip.rule(80, 1))
    trip.hear(PolicyReplaced((make_trip.rule(443, 1),)))
    trip.config = structs.replace(trip.config, policy=(make_trip.rule(22, 1),))
    restart(trip)
    assert trip.engine.policy == trip.config.policy
    assert "replaces one set at run time" in trip.logged[0]
    assert trip.record.policy is None


def test_going_back_to_the_configured_policy_leaves_nothing_to_remember(make_trip):
    trip = make_trip(make_trip.rule(80, 1))
    trip.hear(PolicyReplaced(()))
    trip.hear(PolicyReplaced(trip.config.policy))
    assert trip.last[0] == DeleteNode(trip.home, trip.last[0].previous)
    assert trip.record.policy is None


# ---- failure


def fail(trip, kind):
    (effect,) = [each for each in trip.last if isinstance(each, kind)]
    at = trip.last.index(effect)
    return EffectFailed(effect, tuple(trip.last[at + 1 :]), "refused")


@pytest.mark.parametrize("kind", [ProgramForwarding, SaveNode])
def test_what_failed_is_asked_for_again_but_not_at_once(trip, kind):
    trip.up("wlan0")
    (effect,) = [each for each in trip.last if isinstance(each, kind)]
    for _ in range(3):
        trip.hear(fail(trip, kind))
        assert not any(isinstance(each, kind) for each in trip.last)
        assert trip.logged[0] == "cannot be carried out: refused"
        trip.wait(4.9)
        effects = trip.wait(0.1)
        again = [each for each in effects if isinstance(each, kind)]
        assert len(again) == 1
        if isinstance(effect, ProgramForwarding):
            assert again == [effect]
    assert trip.wait(100) == []


def test_a_store_that_fails_does_not_hold_up_the_tunnels(trip):
    trip.up("wlan0")
    trip.hear(fail(trip, SaveNode))
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    trip.answer()
    assert trip.paths == [(1, True), (2, True)]
    assert "SaveNode" not in trip.kinds


def test_an_interface_that_came_and_went_is_not_given_up_again(trip):
    trip.up("wlan0", "wwan0")
    restart(trip)
    trip.up("wwan0")
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.down("wlan0")
    assert trip.asked.lifetime_s == 0
    before = trip.now
    trip.wait(0.5)
    assert trip.now < before + 1
    logged = [each for each in trip.wait(10) if getattr(each, "text", "") == "wlan0: down"]
    assert logged == []
