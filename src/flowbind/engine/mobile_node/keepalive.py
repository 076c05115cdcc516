"""Watching a path: echo requests through its own tunnel, answered by the home agent."""

from dataclasses import dataclass
from typing import Final

SEQUENCES: Final = 1 << 16
_SMOOTHING: Final = 0.125
"""The weight of a new measurement, that of RFC 6298 for the round-trip time."""


@dataclass(slots=True)
class Keepalive:
    """The probes of one path. `rtt_s` is None before the first answer, `loss` is 0 to 1."""

    interval_s: float
    dead_after: int
    sequence: int = 0
    sent_at: float | None = None
    due_at: float | None = None
    missed: int = 0
    rtt_s: float | None = None
    loss: float = 0.0

    def start(self, now: float) -> None:
        """Begin to watch."""
        self.missed = 0
        self.sent_at = None
        self.due_at = now

    def stop(self) -> None:
        """Watch no more."""
        self.due_at = None
        self.sent_at = None

    def tick(self, now: float) -> bool:
        """Account for the last probe and start the next; tells whether the path is dead by now."""
        if self.sent_at is not None:
            self.missed += 1
            self.loss += _SMOOTHING * (1.0 - self.loss)
        self.sequence = (self.sequence + 1) % SEQUENCES
        self.sent_at = now
        self.due_at = now + self.interval_s
        return self.missed >= self.dead_after

    def answered(self, sequence: int, now: float) -> bool:
        """Take in an answer; tells whether it is one to the last probe."""
        if sequence != self.sequence or self.sent_at is None:
            return False
        measured = now - self.sent_at
        before = measured if self.rtt_s is None else self.rtt_s
        self.rtt_s = before + _SMOOTHING * (measured - before)
        self.loss -= _SMOOTHING * self.loss
        self.missed = 0
        self.sent_at = None
        return True
