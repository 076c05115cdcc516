"""Mobility security associations (RFC 5944 1.6, 5.1)."""

from enum import StrEnum, unique
from typing import Any, Final

from flowbind.frozen import Frozen

FIRST_USABLE_SPI: Final = 256
LAST_SPI: Final = 0xFFFFFFFF
KEY_OCTETS: Final = 16
"""How many octets a new key has, and any should have: 128 bits (RFC 5944 5.1)."""
DEFAULT_TIMESTAMP_TOLERANCE_S: Final = 7.0


@unique
class Algorithm(StrEnum):
    """How an authenticator is computed. HMAC_MD5 is the default of RFC 5944 5.1.

    KEYED_MD5 is the prefix+suffix mode of RFC 2002, for peers that know nothing newer.
    """

    HMAC_MD5 = "hmac-md5"
    HMAC_SHA256 = "hmac-sha256"
    KEYED_MD5 = "keyed-md5"


@unique
class Replay(StrEnum):
    """How old requests are told from fresh ones: part of the association (RFC 5944 5.7)."""

    TIMESTAMPS = "timestamps"
    NONCES = "nonces"


class SecurityAssociation(Frozen, frozen=True):
    """A key shared with a peer, found by the peer and the SPI. `repr` never shows the key.

    Raises ValueError for an SPI that RFC 5944 1.6 reserves and for an empty key.
    """

    spi: int
    key: bytes
    algorithm: Algorithm = Algorithm.HMAC_MD5
    timestamp_tolerance_s: float = DEFAULT_TIMESTAMP_TOLERANCE_S
    replay: Replay = Replay.TIMESTAMPS

    def __post_init__(self) -> None:
        if not FIRST_USABLE_SPI <= self.spi <= LAST_SPI:
            raise ValueError(f"SPI {self.spi} is not between {FIRST_USABLE_SPI} and {LAST_SPI}")
        if not self.key:
            raise ValueError("the key is empty")

    def __repr__(self) -> str:
        return f"SecurityAssociation(spi={self.spi}, algorithm={self.algorithm.value!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Hide the key from rich too, to whose tracebacks msgspec would else give every field."""
        return [("spi", self.spi), ("algorithm", self.algorithm.value)]
