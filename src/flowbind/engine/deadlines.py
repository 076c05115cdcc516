"""Moments at which an engine wants to be woken: one table, one next deadline."""

import heapq
from typing import Generic, TypeVar

K = TypeVar("K")


class Deadlines(Generic[K]):
    """Maps keys to moments. Setting a key again moves it; an entry that was moved is skipped."""

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def set(self, key: K, at: float) -> None:
        """Wake for `key` at this moment and not at the one before."""
        self._at[key] = at
        self._serial += 1
        heapq.heappush(self._heap, (at, self._serial, key))

    def clear(self, key: K) -> None:
        """Do not wake for `key` any more."""
        self._at.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest moment, or None."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _is_stale(self, entry: tuple[float, int, K]) -> bool:
        at, _serial, key = entry
        return self._at.get(key) != at

    def expired(self, now: float) -> list[K]:
        """Take out every key whose moment has come, earliest first."""
        keys: list[K] = []
        while (earliest := self.next()) is not None and earliest <= now:
            _at, _serial, key = heapq.heappop(self._heap)
            self.clear(key)
            keys.append(key)
        return keys
