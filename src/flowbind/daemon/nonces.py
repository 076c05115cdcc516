"""The source of the engines' nonces (RFC 5944 5.7.2)."""

import secrets
from typing import Final

_NONCE_BITS: Final = 32


def nonce() -> int:
    """Return a random number of 32 bits that nobody can foresee."""
    return secrets.randbits(_NONCE_BITS)
