"""Watching a path: echo requests through its own tunnel, answered by the home agent."""

from dataclasses import dataclass, field
from typing import Final

SEQUENCES: Final = 1 << 16
_SMOOTHING: Final = 0.125
"""The weight of a new measurement, that of RFC 6298 for the round-trip time."""


@dataclass(slots=True)
class Keepalive:
    """The probes of one path. `rtt_s` is None before the first answer, `loss` is 0 to 1.

    `missed` counts the probes sent since anything was heard. A late answer counts as well: a path
    whose round-trip time is longer than the interval is slow, not dead. `proven` tells whether the
    path has answered since it was last started.
    """

    interval_s: float
    dead_after: int
    sequence: int = 0
    due_at: float | None = None
    missed: int = 0
    proven: bool = False
    rtt_s: float | None = None
    loss: float = 0.0
    _sent_at: dict[int, float] = field(default_factory=dict[int, float])

    def start(self, now: float) -> None:
        """Begin to watch."""
        self.missed = 0
        self.proven = False
        self._sent_at.clear()
        self.due_at = now

    def stop(self) -> None:
        """Watch no more."""
        self.due_at = None
        self._sent_at.clear()

    def tick(self, now: float) -> bool:
        """Account for the probes so far and start the next; tells whether the path is dead."""
        if self._sent_at:
            self.missed += 1
        if len(self._sent_at) >= self.dead_after:
            del self._sent_at[next(iter(self._sent_at))]
            self.loss += _SMOOTHING * (1.0 - self.loss)
        self.sequence = (self.sequence + 1) % SEQUENCES
        self._sent_at[self.sequence] = now
        self.due_at = now + self.interval_s
        return self.missed >= self.dead_after

    def answered(self, sequence: int, now: float) -> bool:
        """Take in an answer; tells whether it is one to a probe that waits for it."""
        sent_at = self._sent_at.pop(sequence, None)
        if sent_at is None:
            return False
        measured_s = now - sent_at
        # No probe waits for longer than that; what seems to have is one during which the clock was
        # set, and requests would be repeated as seldom as the step was long.
        if measured_s <= self.interval_s * (self.dead_after + 1):
            before_s = measured_s if self.rtt_s is None else self.rtt_s
            self.rtt_s = before_s + _SMOOTHING * (measured_s - before_s)
        self.loss -= _SMOOTHING * self.loss
        self.missed = 0
        self.proven = True
        return True
