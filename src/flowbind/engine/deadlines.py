"""Moments at which an engine wants to be woken: one table, one next deadline."""

import heapq
from typing import Final, Generic, TypeVar

K = TypeVar("K")

_SPARE_ENTRIES: Final = 64


class Deadlines(Generic[K]):
    """Maps keys to moments. Setting a key again moves it.

    The heap holds an entry for each key at its moment or before it. So a moment that moves on, as
    the end of a lifetime does with every renewal, costs nothing until the former moment comes.
    """

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._queued: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at: float) -> None:
        """Wake for `key` at this moment and not at the one before."""
        self._at[key] = at
        queued = self._queued.get(key)
        if queued is None or at < queued:
            self._push(key, at)
            if len(self._heap) > 2 * len(self._at) + _SPARE_ENTRIES:
                self._rebuild()

    def clear(self, key: K) -> None:
        """Do not wake for `key` any more."""
        self._at.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest moment, or None."""
        while self._heap:
            queued, _serial, key = self._heap[0]
            at = self._at.get(key)
            if at == queued:
                return at
            heapq.heappop(self._heap)
            if self._queued.get(key) == queued:
                del self._queued[key]
                if at is not None:
                    self._push(key, at)
        return None

    def expired(self, now: float) -> list[K]:
        """Take out every key whose moment has come, earliest first."""
        keys: list[K] = []
        while (earliest := self.next()) is not None and earliest <= now:
            _at, _serial, key = heapq.heappop(self._heap)
            self._queued.pop(key, None)
            self.clear(key)
            keys.append(key)
        return keys

    def _push(self, key: K, at: float) -> None:
        # The serial number keeps the order of equal moments, and keys from being compared.
        self._serial += 1
        self._queued[key] = at
        heapq.heappush(self._heap, (at, self._serial, key))

    def _rebuild(self) -> None:
        """Drop the entries of moments that were moved forward or cleared."""
        self._heap.clear()
        self._queued.clear()
        for key, at in self._at.items():
            self._push(key, at)
