"""One engine in the real world: events in, effects out, one timer."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from flowbind.daemon import clock
from flowbind.daemon.perform import Performer
from flowbind.effects import Effect, ProgramForwarding, RemoveForwarding
from flowbind.events import Event, Received, Restored, TimerExpired
from flowbind.model.binding import NodeRecord
from flowbind.model.tunnel import NodeForwarding

_log = logging.getLogger("flowbind")

_UNDO_ROUNDS: Final = 3
"""A compensation may fail too. After this many, the next event has to bring the engine on."""

_SHORTEST_WAIT_S: Final = 0.001


class Engine(Protocol):
    """What both engines have in common."""

    statistics: Counter[str]

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take in one event; return what is to be done, in order."""
        ...

    def deadline(self) -> float | None:
        """Return the moment at which TimerExpired is wanted, or None."""
        ...


class EngineLoop:
    """Feeds an engine. Everything happens in one thread, one batch of events at a time."""

    def __init__(
        self, engine: Engine, performer: Performer, now: Callable[[], float] = clock.now
    ) -> None:
        self.engine = engine
        self._now = now
        self._performer = performer
        self._timer: asyncio.TimerHandle | None = None

    def restore(self, records: tuple[NodeRecord, ...]) -> tuple[NodeForwarding, ...]:
        """Give the engine what the store held; returns what is to be forwarded from now on.

        Forwarding is left to the caller, who reconciles it with what is pinned in one go.
        """
        effects = self.engine.handle(Restored(records), self._now())
        forwarding = (ProgramForwarding, RemoveForwarding)
        self._perform([[each for each in effects if not isinstance(each, forwarding)]])
        return tuple(each.node for each in effects if isinstance(each, ProgramForwarding))

    def submit(self, *events: Event) -> None:
        """Have the engine handle events that came together, and do what it asks."""
        now = self._now()
        handle = self._handle_and_tell if _log.isEnabledFor(logging.DEBUG) else self.engine.handle
        self._perform([handle(event, now) for event in events])
        self.arm()

    def _handle_and_tell(self, event: Event, now: float) -> list[Effect]:
        """RFC 5944 1.7: what is silently discarded can be logged, with its contents."""
        before = Counter(self.engine.statistics)
        effects = self.engine.handle(event, now)
        if isinstance(event, Received) and not effects:
            reasons = ", ".join(self.engine.statistics - before)
            source = f"{event.source}:{event.source_port}"
            _log.debug("no answer to %s (%s): %s", source, reasons, event.payload.hex())
        return effects

    def _perform(self, lists: list[list[Effect]]) -> None:
        for _round in range(_UNDO_ROUNDS):
            failures = self._performer.perform(lists)
            if not failures:
                return
            now = self._now()
            lists = [self.engine.handle(failure, now) for failure in failures]
        _log.error("giving up for now: what was to be undone cannot be undone either")

    def arm(self) -> None:
        """Set the one timer to the engine's deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait_s = self.wait_s()
        if wait_s is not None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._expire)

    def wait_s(self) -> float | None:
        """Return how long it is to the deadline of the engine, None if there is none."""
        deadline = self.engine.deadline()
        return None if deadline is None else max(deadline - self._now(), _SHORTEST_WAIT_S)

    def _expire(self) -> None:
        self._timer = None
        self.submit(TimerExpired())
