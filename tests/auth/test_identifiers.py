import pytest

from flowbind.auth.identifiers import is_later, next_timestamp, not_before, timestamp_of

NOW = 1_697_261_200.75
HERE = 0xE8D4A510
HALF = 1 << 31
ERA_1_UNIX_S = 2_085_978_496.0


@pytest.mark.rfc("3543", "3.5")
@pytest.mark.parametrize(
    ("now", "timestamp"),
    [(NOW, HERE), (ERA_1_UNIX_S - 1, 0xFFFFFFFF), (ERA_1_UNIX_S, 0), (ERA_1_UNIX_S + 5.9, 5)],
)
def test_the_seconds_of_ntp_and_their_next_era(now, timestamp):
    assert timestamp_of(now) == timestamp


@pytest.mark.rfc("3543", "3.5")
@pytest.mark.parametrize("than", [0, HERE, 0xFFFFFFFF])
@pytest.mark.parametrize(
    ("ahead", "later"),
    [(0, False), (1, True), (HALF - 1, True), (HALF, False), (HALF + 1, False), (-1, False)],
)
def test_later_is_less_than_half_an_era_ahead(than, ahead, later):
    assert is_later((than + ahead) % (1 << 32), than) is later


@pytest.mark.rfc("3543", "3.5")
@pytest.mark.parametrize(
    ("last", "expected"),
    [(None, HERE), (HERE - 5, HERE), (HERE, HERE), (HERE + 5, HERE + 5), (5, 5)],
)
def test_never_before_the_last_one(last, expected):
    # 5 is in the era after this one.
    assert not_before(last, NOW) == expected


@pytest.mark.rfc("3543", "3.5")
@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ((), HERE),
        ((None, None), HERE),
        ((HERE - 1, None), HERE),
        ((HERE,), HERE + 1),
        ((None, HERE + 7, HERE), HERE + 8),
        ((HERE, HERE + 7), HERE + 8),
    ],
)
def test_the_next_one_is_later_than_all_before(before, expected):
    assert next_timestamp(NOW, *before) == expected


def test_the_next_one_begins_a_new_era_where_it_must():
    assert next_timestamp(ERA_1_UNIX_S - 1, 0xFFFFFFFF) == 0
