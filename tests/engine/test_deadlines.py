"""One table of moments, one next deadline."""

import random

from flowbind.engine.deadlines import Deadlines


def test_nothing_is_due_where_nothing_was_set():
    deadlines: Deadlines[str] = Deadlines()
    assert deadlines.next() is None
    assert deadlines.expired(1e12) == []


def test_the_earliest_comes_first_and_once():
    deadlines: Deadlines[str] = Deadlines()
    for key, at in (("b", 2.0), ("c", 3.0), ("a", 1.0)):
        deadlines.set(key, at)
    assert deadlines.next() == 1.0
    assert deadlines.expired(2.0) == ["a", "b"]
    assert deadlines.expired(2.0) == []
    assert deadlines.next() == 3.0


def test_equal_moments_keep_their_order_and_keys_are_never_compared():
    deadlines: Deadlines[int | None] = Deadlines()
    deadlines.set(2, 1.0)
    deadlines.set(None, 1.0)
    assert deadlines.expired(1.0) == [2, None]


def test_a_moment_moves_on():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("a", 5.0)
    assert deadlines.next() == 5.0
    assert deadlines.expired(4.9) == []
    assert deadlines.expired(5.0) == ["a"]


def test_a_moment_moves_forward():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 5.0)
    deadlines.set("a", 1.0)
    assert deadlines.expired(1.0) == ["a"]
    assert deadlines.expired(5.0) == []


def test_a_cleared_key_is_not_woken_for_and_may_come_back():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.clear("a")
    assert deadlines.next() is None
    deadlines.set("a", 3.0)
    assert deadlines.expired(3.0) == ["a"]


def test_renewals_do_not_make_the_heap_grow():
    deadlines: Deadlines[int] = Deadlines()
    for moment in range(1000):
        for key in range(10):
            deadlines.set(key, moment + 600.0)
    assert len(deadlines._heap) == 10


def test_moments_that_come_ever_earlier_do_not_make_the_heap_grow_without_bound():
    deadlines: Deadlines[int] = Deadlines()
    for moment in range(10_000, 0, -1):
        deadlines.set(1, moment)
    assert len(deadlines._heap) <= 100
    assert deadlines.expired(1.0) == [1]


def test_it_agrees_with_a_plain_dictionary_whatever_happens():
    chance = random.Random(7)
    deadlines: Deadlines[int] = Deadlines()
    expected: dict[int, float] = {}
    now = 0.0
    for _ in range(5000):
        key, action = chance.randrange(20), chance.random()
        if action < 0.6:
            expected[key] = now + chance.randrange(50)
            deadlines.set(key, expected[key])
        elif action < 0.8:
            expected.pop(key, None)
            deadlines.clear(key)
        else:
            now += chance.randrange(10)
            due = {each for each, at in expected.items() if at <= now}
            assert set(deadlines.expired(now)) == due
            expected = {each: at for each, at in expected.items() if each not in due}
        assert deadlines.next() == min(expected.values(), default=None)
        assert len(deadlines) == len(expected)
