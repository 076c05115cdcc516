"""Where an RFC wants moments to be random: a source that the daemon hands in."""

from collections.abc import Callable

Chance = Callable[[], float]
"""A source of numbers from 0 up to, but not, 1."""


def no_chance() -> float:
    """Stand in for chance where nothing needs it: always the middle."""
    return 0.5
