"""Numbers that an engine chooses, by where they come from: Identifications and nonces.

A case says `now`, `request 2` or `nonce 1` instead of a number, so it holds for any stack: one
whose clock and random numbers are others chooses others.
"""

import itertools
import re
from typing import Any, Final

_NTP_UNIX_OFFSET_S: Final = 2_208_988_800
_LOW: Final = 0xFFFFFFFF
_HALF_BITS: Final = 32
_ERA: Final = 1 << 64
_FIRST_NONCE: Final = 1001
_NAME: Final = re.compile(r"(now|request|nonce)(?: ?([+-]?\d+(?:\.\d+)?))?")

Halves = dict[str, Any]


def timestamp(moment: float) -> int:
    """Return the NTP timestamp of a Unix time (RFC 5944 5.7.1), its low 12 bits zero."""
    return (int((moment + _NTP_UNIX_OFFSET_S) * (1 << 20)) << 12) % _ERA


def _distance(later: int, earlier: int) -> int:
    return (later - earlier + _ERA // 2) % _ERA - _ERA // 2


class Names:
    """What the requests of a run were identified by, and which nonces were drawn and told."""

    def __init__(self) -> None:
        self.requests: list[int] = []
        self.drawn: list[int] = []
        self.told: set[int] = set()
        self._source = itertools.count(_FIRST_NONCE)

    def draw(self) -> int:
        """Give the engine a random number."""
        self.drawn.append(next(self._source))
        return self.drawn[-1]

    # ---- names to numbers

    def number(self, name: str | Halves, now: float) -> int:
        """Return an Identification by its name. Raises ValueError."""
        if isinstance(name, dict):
            high, low = self._half(name["high"], now), self._half(name["low"], now)
            return (high >> _HALF_BITS) << _HALF_BITS | low & _LOW
        return self._whole(name, now)

    def _half(self, name: str | int, now: float) -> int:
        """Return a number that has the named half in either place it may be asked for."""
        if isinstance(name, int):
            return name << _HALF_BITS | name
        return self._whole(name, now)

    def _whole(self, name: str, now: float) -> int:
        if name.startswith("0x"):
            return int(name, 16)
        found = _NAME.fullmatch(name)
        if not found:
            raise ValueError(f"identification {name!r}")
        kind, amount = found.groups(default="0")
        if kind == "now":
            # The last bits number the request, where a clock has nothing to put there.
            return (timestamp(now + float(amount)) + len(self.requests) + 1) % _ERA
        nonce = self.drawn[int(amount) - 1] if kind == "nonce" else 0
        return self.requests[int(amount) - 1] if kind == "request" else nonce << _HALF_BITS | nonce

    # ---- numbers to names

    def of_a_request(self, identification: int, now: float, *, nonces: bool) -> str | Halves:
        """Name the Identification of a request that the engine is sending."""
        if identification in self.requests:
            return self._request(identification)
        if nonces:
            return self._new_nonces(identification)
        offset_s = round(_distance(identification, timestamp(now)) / (1 << _HALF_BITS))
        if self.requests and _distance(identification, self.requests[-1]) < 0 and not offset_s:
            return f"{identification:#018x}"
        return f"now{offset_s:+d}" if offset_s else "now"

    def _new_nonces(self, identification: int) -> Halves:
        """The high half is one that a reply told or, before any did, a random one."""
        high, low = identification >> _HALF_BITS, identification & _LOW
        lows = [each & _LOW for each in self.requests]
        return {
            "high": high if high in self.told else self._random(high),
            "low": low if low in lows else self._random(low),
        }

    def _random(self, half: int) -> str | int:
        return "random" if half in self.drawn else half

    def of(self, identification: int, now: float, *, whole: bool = True) -> str | Halves:
        """Name an Identification that goes back to one of a request, in halves if it must be."""
        if whole and identification in self.requests:
            return self._request(identification)
        lows = [each & _LOW for each in self.requests]
        low = identification & _LOW
        if low not in lows:
            return f"{identification:#018x}"
        return {
            "high": self.nonce(identification >> _HALF_BITS, now),
            "low": f"request {lows.index(low) + 1}",
        }

    def _request(self, identification: int) -> str:
        return f"request {self.requests.index(identification) + 1}"

    def nonce(self, half: int, now: float) -> str | int:
        """Name the high half of an Identification."""
        if half in self.drawn:
            return f"nonce {self.drawn.index(half) + 1}"
        return "now" if half == timestamp(now) >> _HALF_BITS else half
