"""Replay protection by nonces (RFC 5944 5.7.2).

The high half of the Identification is the number that the home agent told in its last reply, the
low half the mobile node's own, by which it tells the replies apart.
"""

from collections.abc import Callable
from typing import Final

from flowbind.auth.replay import ReplayError

Nonces = Callable[[], int]
"""A source of random numbers of 32 bits, which nobody can foresee."""

_HALF_BITS: Final = 32
_LOW_MASK: Final = 0xFFFFFFFF


def no_nonces() -> int:
    """Stand in for a source of nonces where no association wants any. Raises RuntimeError."""
    raise RuntimeError("an association wants nonces, and there is no source of them")


def nonce_of(identification: int) -> int:
    """Return the home agent's nonce in an Identification: the high half."""
    return identification >> _HALF_BITS


def with_nonce(nonce: int, identification: int) -> int:
    """Return an Identification with this nonce on top of the low half of another one."""
    return (nonce << _HALF_BITS) | (identification & _LOW_MASK)


def check_nonce(identification: int, expected: int | None) -> None:
    """Accept the nonce that was told last, None if there was none yet. Raises ReplayError."""
    if expected is None or nonce_of(identification) != expected:
        raise ReplayError("nonce-not-the-last")
