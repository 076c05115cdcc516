import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbind.auth.replay import (
    NTP_UNIX_OFFSET_S,
    ReplayError,
    check_timestamp,
    clock_offset_s,
    distance_s,
    mismatch_identification,
    next_identification,
    to_ntp,
)

ERA_1_UNIX_S = 2_085_978_496.0  # 7 February 2036, 06:28:16
NOW = 1_700_000_000.25
TOLERANCE_S = 7.0
LOW_HALF = 0xFFFFFFFF

# From the epoch of Unix to well into era 1; a tick is 2**-20 seconds.
moments = st.integers(0, 4_000_000_000 << 20).map(lambda ticks: ticks / (1 << 20))
identifications = st.integers(0, (1 << 64) - 1)


@pytest.mark.rfc("5944", "5.7.1", "ID-6")
@pytest.mark.parametrize(
    ("unix_s", "ntp"),
    [
        (0.0, 2_208_988_800 << 32),
        (1_697_261_200.0, 0xE8D4A510_00000000),
        (0.5, (2_208_988_800 << 32) | 0x80000000),
        (ERA_1_UNIX_S - 1, 0xFFFFFFFF_00000000),
        (ERA_1_UNIX_S, 0),
        (ERA_1_UNIX_S + 1.5, 0x00000001_80000000),
    ],
)
def test_ntp_time_and_its_next_era(unix_s, ntp):
    assert to_ntp(unix_s) == ntp


@pytest.mark.rfc("5944", "5.7.1", "ID-7")
@given(moments)
def test_the_low_12_bits_are_zero_and_a_microsecond_is_still_seen(now):
    assert to_ntp(now) & 0xFFF == 0
    assert to_ntp(now + 2**-20) != to_ntp(now)


@given(identifications, st.floats(-60_000_000, 60_000_000))
def test_distance_is_signed_and_does_not_see_the_end_of_the_era(earlier, seconds):
    later = (earlier + int(seconds * (1 << 32))) % (1 << 64)

    assert math.isclose(distance_s(later, earlier), seconds, abs_tol=1e-6)


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.parametrize("now", [NOW, ERA_1_UNIX_S, ERA_1_UNIX_S - 3, ERA_1_UNIX_S + 3])
@pytest.mark.parametrize("skew_s", [-7, -1, 0, 1, 7])
def test_within_tolerance_either_way_is_accepted(now, skew_s):
    check_timestamp(to_ntp(now + skew_s), None, now, TOLERANCE_S)


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.parametrize("now", [NOW, ERA_1_UNIX_S, ERA_1_UNIX_S - 3, ERA_1_UNIX_S + 3])
@pytest.mark.parametrize("skew_s", [-1e9, -7.001, 7.001, 1e9])
def test_out_of_tolerance_either_way_is_refused(now, skew_s):
    with pytest.raises(ReplayError) as refused:
        check_timestamp(to_ntp(now + skew_s), None, now, TOLERANCE_S)
    assert refused.value.reason == "timestamp-out-of-tolerance"


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.parametrize("now", [NOW, ERA_1_UNIX_S])
def test_only_later_than_the_last_one_is_accepted(now):
    last = to_ntp(now)

    check_timestamp(last + 1, last, now, TOLERANCE_S)
    for replayed in (last, (last - 1) % (1 << 64), to_ntp(now - 1)):
        with pytest.raises(ReplayError) as refused:
            check_timestamp(replayed, last, now, TOLERANCE_S)
        assert refused.value.reason == "timestamp-not-later"


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
def test_later_means_later_across_the_end_of_the_era_too():
    last = to_ntp(ERA_1_UNIX_S - 1)
    now = ERA_1_UNIX_S + 1

    assert to_ntp(now) < last
    check_timestamp(to_ntp(now), last, now, TOLERANCE_S)
    with pytest.raises(ReplayError, match="timestamp-not-later"):
        check_timestamp(last, to_ntp(now), now, TOLERANCE_S)


@pytest.mark.rfc("5944", "5.7.1", "ID-10")
@given(identifications, moments)
def test_a_mismatch_is_answered_with_our_seconds_above_the_low_half_of_the_request(sent, now):
    answer = mismatch_identification(sent, now)

    assert answer & LOW_HALF == sent & LOW_HALF
    assert answer >> 32 == (int(now) + NTP_UNIX_OFFSET_S) % (1 << 32)


@pytest.mark.rfc("5944", "3.6.2.3", "MN-35")
@pytest.mark.parametrize("now", [NOW, ERA_1_UNIX_S])
@pytest.mark.parametrize("ahead_s", [-86400, -1, 0, 1, 3600, 1e7])
def test_a_node_learns_the_clock_of_its_home_agent_and_is_accepted(now, ahead_s):
    refused = next_identification(None, now)
    answer = mismatch_identification(refused, now + ahead_s)

    offset_s = clock_offset_s(answer, now)

    assert offset_s == ahead_s
    # What was refused is no longer the last one: it may lie far ahead of the agent's clock.
    check_timestamp(next_identification(None, now, offset_s), None, now + ahead_s, TOLERANCE_S)


@pytest.mark.rfc("5944", "5.7.1", "ID-8")
@given(identifications, moments)
def test_each_identification_is_later_than_the_last(last, now):
    following = next_identification(last, now)

    assert distance_s(following, last) > 0
    assert following & 0xFFF == 0


@pytest.mark.rfc("5944", "5.7.1", "ID-8")
def test_a_clock_that_stands_still_still_gives_new_ones():
    given_out: list[int] = []
    for _ in range(1000):
        given_out.append(next_identification(given_out[-1] if given_out else None, NOW))

    assert given_out == sorted(set(given_out))
    assert distance_s(given_out[-1], given_out[0]) < 0.001


def test_a_new_one_is_the_time_when_the_time_is_later():
    assert next_identification(to_ntp(NOW - 1), NOW) == to_ntp(NOW)
    # By the least that there is: another program need not leave the low 12 bits zero.
    assert next_identification(to_ntp(NOW) - 1, NOW) == to_ntp(NOW)
    assert next_identification(None, NOW, 3.0) == to_ntp(NOW + 3)
