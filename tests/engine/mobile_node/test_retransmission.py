"""Requests that are not answered (RFC 5944 3.6.3), and clocks that differ (5.7.1)."""

import pytest

from flowbind.auth.replay import distance_s, to_ntp
from flowbind.events import DeregisterRequested, InterfaceUp


def moments(trip, seconds):
    """When requests leave within this time, in seconds from now."""
    since, found = trip.now, []
    until = trip.now + seconds
    while (deadline := trip.engine.deadline()) is not None and deadline <= until:
        if trip.datagrams(trip.wait(deadline - trip.now)):
            found.append(round(trip.now - since, 3))
    return found


@pytest.mark.rfc("5944", "3.6.3", "MN-37", "MN-39")
def test_each_timeout_doubles_up_to_a_limit(make_trip):
    trip = make_trip(multipath="require")
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert moments(trip, 40) == [1, 3, 7, 15, 23, 31, 39]


@pytest.mark.rfc("5944", "3.6.3", "MN-40")
def test_no_timeout_is_longer_than_the_lifetime_asked_for(make_trip):
    trip = make_trip(multipath="require", lifetime_s=3)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert moments(trip, 10) == [1, 3, 6, 9]


@pytest.mark.rfc("5944", "3.6.3", "ID-4")
def test_each_try_has_an_identification_of_its_own(make_trip):
    trip = make_trip(multipath="require")
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    first = trip.asked.identification
    trip.wait(1)
    assert abs(distance_s(trip.asked.identification, to_ntp(trip.now))) < 1e-5
    # A reply is told by the low half, and a second later that might be the same.
    assert trip.asked.identification & 0xFFFFFFFF != first & 0xFFFFFFFF


@pytest.mark.rfc("5944", "3.6.3", "MN-38")
def test_the_first_timeout_of_a_slow_path_is_over_twice_its_round_trip_time(make_trip):
    trip = make_trip(probe_interval_s=3.0)
    trip.up("wlan0")
    trip.wait(0)
    trip.now += 1.2
    trip.probe_answered("wlan0")
    trip.hear(DeregisterRequested("wlan0"))
    assert moments(trip, 4) == [2.5]


def test_only_the_last_try_can_be_answered(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    late = trip.reply()
    trip.wait(1)
    trip.hear(late)
    assert trip.bids == []
    trip.answer()
    assert trip.bids == [1]


def test_a_deregistration_over_a_silent_path_is_tried_over_another(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(DeregisterRequested("wlan0"))
    assert trip.sent.interface == "wlan0"
    trip.wait(1)
    assert (trip.sent.interface, trip.asked.lifetime_s) == ("wwan0", 0)
    assert trip.multipath is not None
    assert trip.multipath.bid == 1


def test_the_deregistration_of_all_is_tried_over_each(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(DeregisterRequested())
    sent = {trip.sent.interface}
    trip.wait(1)
    assert {*sent, trip.sent.interface} == {"wlan0", "wwan0"}


def test_a_deregistration_ends_with_the_lifetime_of_the_binding(trip):
    trip.up("wlan0")
    trip.hear(DeregisterRequested())
    assert trip.datagrams(trip.wait(590))
    trip.wait(60)
    assert trip.bids == []
    assert trip.engine.deadline() is None


# ---- 133


@pytest.mark.rfc("5944", "5.7.1", "MN-35")
@pytest.mark.parametrize("clock_s", [-86400.0, -20.4, 20.4, 86400.0])
def test_133_is_answered_at_once_by_the_home_agents_clock(trip, clock_s):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(133, clock_s=clock_s)
    assert trip.kinds == ["SendDatagram", "Log"]
    assert abs(distance_s(trip.asked.identification, to_ntp(trip.now + clock_s))) <= 1.0
    trip.answer()
    assert trip.bids == [1]


@pytest.mark.rfc("5944", "5.7.1")
def test_the_clock_is_remembered(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(133, clock_s=3600.0)
    trip.answer()
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert abs(distance_s(trip.asked.identification, to_ntp(trip.now + 3600))) <= 1.0


@pytest.mark.rfc("5944", "2.4.2", "MN-6")
def test_a_second_133_is_answered_no_sooner_than_a_second_later(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(133, clock_s=100)
    trip.answer(133, clock_s=200)
    assert not trip.asks
    assert moments(trip, 1.0) == [1.0]


def test_a_request_that_was_overtaken_does_not_move_the_clock(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    before = trip.asked.identification
    trip.now += 0.9
    trip.answer(133)
    assert trip.asked.identification == to_ntp(trip.now) > before
    assert trip.logged == ["a later request was there first, sending this one again"]


@pytest.mark.rfc("5944", "5.7", "ID-4", "ID-5")
def test_identifications_never_repeat_within_one_moment(trip):
    seen = set()
    for name in ("wlan0", "wwan0", "cdma0"):
        trip.hear(InterfaceUp(name, trip.address_of(name)))
        seen.add(trip.asked.identification)
        trip.answer()
    assert len(seen) == 3
