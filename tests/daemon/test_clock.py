"""Unix time for the engines: it follows a step forward, and none back."""

import pytest

from flowbind.daemon import clock
from flowbind.daemon.clock import SteadyClock


@pytest.fixture
def hands():
    """The two clocks that a steady one is made of."""
    return {"wall": 1_800_000_000.0, "elapsed": 100.0}


@pytest.fixture
def steady(hands):
    return SteadyClock(lambda: hands["wall"], lambda: hands["elapsed"])


def test_a_step_forward_is_followed(steady, hands):
    assert steady.now() == 1_800_000_000.0
    hands["wall"] += 3600.0
    hands["elapsed"] += 1.0
    assert steady.now() == 1_800_003_600.0


def test_a_step_back_is_not_and_time_goes_on(steady, hands):
    before = steady.now()
    hands["wall"] -= 3600.0
    hands["elapsed"] += 1.0
    assert steady.now() == before + 1.0
    hands["elapsed"] += 10.0
    assert steady.now() == before + 11.0


def test_the_time_of_this_machine_goes_on():
    first = clock.now()
    assert first <= clock.now()
