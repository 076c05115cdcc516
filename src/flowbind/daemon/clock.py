"""The one place that reads the clock. Engines are told the time, they never ask."""

import time
from collections.abc import Callable


class SteadyClock:
    """Unix time that never goes back, as long as the process runs.

    `wall` is the clock that people and NTP set, `elapsed` one that nobody sets and that goes on in
    suspend. A step forward is followed, for the former time was the wrong one. A step back is not:
    every deadline would be that much further away, and a mobile node would neither probe nor renew.
    """

    def __init__(self, wall: Callable[[], float], elapsed: Callable[[], float]) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._ahead_s = float("-inf")

    def now(self) -> float:
        """Return Unix time in seconds."""
        # In this order: a process that is interrupted in between must not take it for a step.
        wall = self._wall()
        elapsed = self._elapsed()
        self._ahead_s = max(self._ahead_s, wall - elapsed)
        return elapsed + self._ahead_s


_steady = SteadyClock(time.time, lambda: time.clock_gettime(time.CLOCK_BOOTTIME))


def now() -> float:
    """Return Unix time in seconds."""
    return _steady.now()
