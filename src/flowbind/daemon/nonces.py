"""The sources of what is random in the engines: nonces (RFC 5944 5.7.2), and moments."""

import secrets
from typing import Final

_NONCE_BITS: Final = 32
_random: Final = secrets.SystemRandom()


def nonce() -> int:
    """Return a random number of 32 bits that nobody can foresee."""
    return secrets.randbits(_NONCE_BITS)


def chance() -> float:
    """Return a random number from 0 up to, but not, 1."""
    return _random.random()
