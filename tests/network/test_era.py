"""The end of an era of NTP in February 2036, and clocks that differ and drift, at both ends.

Timestamps begin at 0 again there, so a comparison by size would call every later one a replay.
"""

import pytest

from flowbind.auth.replay import to_ntp
from flowbind.events import RegisterRequested
from flowbind.wire.message import decode

ERA_ENDS_AT = 2_085_978_496.0
LOW_HALF = 0xFFFFFFFF
TOLERANCE_S = 7.0
HOUR_S = 3600.0


@pytest.fixture
def era(make_world):
    """Ten seconds in front of the end of the era."""
    world = make_world(lifetime_s=600)
    world.now = ERA_ENDS_AT - 10
    return world


def seconds(request):
    return request.identification >> 32


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
def test_renewals_go_on_across_the_end_of_the_era(era):
    era.up("wlan0", "wwan0", "cdma0")
    era.run(1200)

    sent = [seconds(request) for _name, request in era.requests]
    assert sent[0] > 0xFFFFFF00
    assert sent[-1] < 0x00010000
    assert set(era.replies) == {0}
    assert sorted(era.bids) == [1, 2, 3]
    assert era.policies_agree()


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
def test_what_was_accepted_in_the_old_era_is_a_replay_in_the_new_one(era):
    kept = []

    def keep(datagram):
        kept.append(datagram)
        return False

    era.lose = keep
    era.up("wlan0")
    era.run(10)
    era.replies.clear()
    old = next(each for each in kept if each.interface == "wlan0")
    before = era.record
    assert era.now > ERA_ENDS_AT
    assert seconds(decode(old.payload)) > 0xFFFFFF00

    # As soon as it is heard again, and when its tolerance is long over.
    for _ in range(2):
        era._carry("node", old)
        era.run(60)
    assert era.replies == [133, 133]
    assert era.record == before


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.parametrize("restart", ["agent", "node"])
def test_a_record_of_the_old_era_does_not_lock_the_node_out_of_the_new_one(era, restart):
    era.up("wlan0", "wwan0")
    era.run(20)
    if restart == "agent":
        era.restart_agent()
    else:
        era.restart_node()
        era.up("wlan0", "wwan0")
    era.at_node(RegisterRequested())
    era.run(900)

    assert set(era.replies) == {0}
    assert sorted(era.bids) == [1, 2]


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.rfc("5944", "5.7.1", "MN-35")
@pytest.mark.parametrize("clock_s", [-86_400.0, -15.0, -6.0, 6.0, 15.0, 86_400.0])
def test_one_clock_is_in_the_new_era_and_the_other_is_not(era, clock_s):
    # Six seconds are tolerated, more is told by 133, once.
    era.node_clock_s = clock_s
    era.up("wlan0", "wwan0")
    era.run(900)

    assert era.replies.count(133) == (1 if abs(clock_s) > TOLERANCE_S else 0)
    assert set(era.replies) <= {0, 133}
    assert era.bids == [1, 2]


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.rfc("5944", "5.7.1", "MN-35")
@pytest.mark.parametrize("drift", [-0.01, 0.01])
@pytest.mark.parametrize("start", [1_800_000_000.0, ERA_ENDS_AT - HOUR_S / 2])
def test_a_clock_that_drifts_is_told_again_whenever_it_is_too_far_off(make_world, drift, start):
    """36 s an hour: each renewal is 5 s further off, so every second one is out of tolerance."""
    world = make_world(lifetime_s=600)
    world.now = start
    world.up("wlan0", "wwan0")
    for _ in range(100):
        world.node_clock_s += 36 * drift
        world.run(36)
        assert world.bids == [1, 2]

    total_s = abs(world.node_clock_s)
    told = world.replies.count(133)
    assert set(world.replies) == {0, 133}
    assert told == pytest.approx(total_s / TOLERANCE_S, rel=0.5)
    assert world.replies[-1] == 0


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.rfc("5944", "5.7.1", "MN-35")
@pytest.mark.parametrize("who", ["agent", "node"])
def test_a_clock_is_set_forward_by_an_hour(make_world, who):
    """The node learns of it from 133, whichever of the two was right before."""
    world = make_world(lifetime_s=600)
    world.up("wlan0")
    if who == "agent":
        world.now += HOUR_S
        world.node_clock_s -= HOUR_S
    else:
        world.node_clock_s += HOUR_S
    world.at_node(RegisterRequested("wlan0"))
    world.run(30)

    assert world.replies == [0, 133, 0]
    assert world.bids == [1]


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
def test_the_very_end_of_the_era_is_no_timestamp(make_world):
    """0 stands for none in a record: were it accepted once, it would be accepted again."""
    world = make_world()
    world.now = ERA_ENDS_AT
    assert to_ntp(world.now) == 0
    world.up("wlan0")
    (_, first), (_, second) = world.requests[:2]

    assert first.identification == 0
    assert world.replies[:2] == [133, 0]
    assert second.identification & LOW_HALF != 0 or seconds(second) != 0
    assert world.record.identification == second.identification


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
@pytest.mark.parametrize("clock_s", [0.0, -86_400.0])
def test_nonces_know_no_era(make_world, clock_s):
    world = make_world(nonces=True, lifetime_s=600)
    world.now = ERA_ENDS_AT - 10
    world.node_clock_s = clock_s
    world.up("wlan0", "wwan0")
    world.run(900)

    assert world.replies.count(133) == 1
    assert world.bids == [1, 2]
