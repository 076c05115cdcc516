"""Replay protection of revocations: timestamps of 32 bits (RFC 3543 3.5).

The RFC names no unit. Ours are the seconds of NTP, of any peer's it is only asked which of two is
the later one. They wrap in February 2036, so they are compared by their signed distance.
"""

from typing import Final

from flowbind.auth.replay import NTP_UNIX_OFFSET_S

_MODULUS: Final = 1 << 32
_HALF: Final = 1 << 31


def timestamp_of(now: float) -> int:
    """Turn Unix seconds into a timestamp."""
    return (int(now) + NTP_UNIX_OFFSET_S) % _MODULUS


def is_later(timestamp: int, than: int) -> bool:
    """Tell whether one timestamp of a clock is later than another one of it."""
    return 0 < (timestamp - than) % _MODULUS < _HALF


def not_before(last: int | None, now: float) -> int:
    """Return the timestamp of now, or the last one if that is later."""
    timestamp = timestamp_of(now)
    return last if last is not None and is_later(last, timestamp) else timestamp


def next_timestamp(now: float, *before: int | None) -> int:
    """Return the timestamp of now, or one that is later than all these."""
    timestamp = timestamp_of(now)
    for each in before:
        if each is not None and not is_later(timestamp, each):
            timestamp = (each + 1) % _MODULUS
    return timestamp
