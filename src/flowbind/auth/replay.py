"""Replay protection by timestamps (RFC 5944 5.7.1).

The Identification is a 64-bit NTP time: seconds since 1900 in the high half. It wraps in February
2036, so times are compared by their signed distance, never by size. The low 12 bits are left zero,
which still tells apart requests a microsecond apart: an agent in the field keeps the number in a
double-precision float and would return others changed.
"""

from typing import Final

NTP_UNIX_OFFSET_S: Final = 2_208_988_800

_MODULUS: Final = 1 << 64
_HALF: Final = 1 << 63
_LOW_MASK: Final = 0xFFFFFFFF
_SECOND: Final = 1 << 32
_STEP: Final = 1 << 12


class ReplayError(Exception):
    """The Identification is not acceptable; `reason` names why. Answered with code 133."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def to_ntp(now: float) -> int:
    """Turn Unix seconds into a 64-bit NTP time whose low 12 bits are zero."""
    return (int((now + NTP_UNIX_OFFSET_S) * (1 << 20)) << 12) % _MODULUS


def distance_s(later: int, earlier: int) -> float:
    """Seconds from one NTP time to another, across the end of the era if need be."""
    return _distance(later, earlier) / _SECOND


def _distance(later: int, earlier: int) -> int:
    return (later - earlier + _HALF) % _MODULUS - _HALF


def check_timestamp(identification: int, last: int | None, now: float, tolerance_s: float) -> None:
    """Accept a timestamp near `now` and later than the last one. Raises ReplayError."""
    if abs(_distance(identification, to_ntp(now))) > tolerance_s * _SECOND:
        raise ReplayError("timestamp-out-of-tolerance")
    if last is not None and _distance(identification, last) <= 0:
        raise ReplayError("timestamp-not-later")


def mismatch_identification(identification: int, now: float) -> int:
    """Return the Identification of a reply 133: the sender's low half, our seconds on top."""
    return (to_ntp(now) & ~_LOW_MASK) | (identification & _LOW_MASK)


def clock_offset_s(reply_identification: int, now: float) -> float:
    """Return how far the home agent's clock is ahead of ours, from its reply 133."""
    agent_seconds = reply_identification & ~_LOW_MASK
    return float(round(distance_s(agent_seconds, to_ntp(now) & ~_LOW_MASK)))


def next_identification(last: int | None, now: float, clock_offset_s: float = 0.0) -> int:
    """Return a timestamp for a new request, strictly later than the last one."""
    identification = to_ntp(now + clock_offset_s)
    if last is not None and _distance(identification, last) <= 0:
        return ((last & -_STEP) + _STEP) % _MODULUS
    return identification
