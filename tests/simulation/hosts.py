"""A machine in simulated time: its clock, its daemon, and what that daemon is told and asks for.

What runs on it is the engine in the daemon's own loop and performer, so what is simulated is the
order in which effects are carried out, and what becomes of those that fail.
"""

from collections.abc import Callable
from ipaddress import IPv4Address
from random import Random
from typing import Protocol

from flowbind.daemon.clock import SteadyClock
from flowbind.daemon.loop import Engine, EngineLoop
from flowbind.daemon.perform import Outlets, Performer
from flowbind.dataplane.base import DataPlaneError
from flowbind.effects import Effect, SendDatagram, SendProbe
from flowbind.events import Event, TimerExpired
from flowbind.model.tunnel import Path
from tests.simulation.faults import Crash, FlakyPlane, FlakyStore, Trouble
from tests.simulation.journal import Journal

Schedule = Callable[[float, Callable[[], None]], None]


class Clock:
    """A clock that drifts and is set. `at` is the moment of simulated time."""

    def __init__(self, at: Callable[[], float], drift: float) -> None:
        self._at = at
        self._rate = 1.0 + drift
        self.ahead_s = 0.0

    def elapsed(self) -> float:
        return self._at() * self._rate

    def wall(self) -> float:
        return self.elapsed() + self.ahead_s

    def seconds(self, of_this_clock: float) -> float:
        """Turn a stretch of its time into simulated time."""
        return of_this_clock / self._rate


class Watcher(Protocol):
    """Who looks at hosts: once before and after each event, and when all of it is done."""

    def before(self, host: "Host", engine: Engine, event: Event, now: float) -> object:
        """Look at an engine that is about to be given an event; returns what was seen."""
        ...

    def handled(
        self, host: "Host", engine: Engine, event: Event, effects: list[Effect], seen: object
    ) -> None:
        """Look at what it wants done. `seen` is what it looked like before."""
        ...

    def done(self, host: "Host", event: Event | None) -> None:
        """Look at a host that has done all of it; None when it has started."""
        ...


class Watched:
    """An engine all of whose events and effects are looked at and written down."""

    def __init__(self, engine: Engine, host: "Host", journal: Journal) -> None:
        self._engine, self._host, self._journal = engine, host, journal
        self.statistics = engine.statistics

    def handle(self, event: Event, now: float) -> list[Effect]:
        seen = self._host.watcher.before(self._host, self._engine, event, now)
        effects = self._engine.handle(event, now)
        self._journal.note(self._host.name, now, event, effects)
        self._host.watcher.handled(self._host, self._engine, event, effects, seen)
        return effects

    def deadline(self) -> float | None:
        return self._engine.deadline()


class SimulatedLoop(EngineLoop):
    """The loop of the daemon, with a timer of simulated time."""

    def __init__(
        self,
        engine: Engine,
        performer: Performer,
        now: Callable[[], float],
        call_later: Callable[[float], None],
    ) -> None:
        super().__init__(engine, performer, now)
        self._call_later = call_later

    def arm(self) -> None:
        wait_s = self.wait_s()
        if wait_s is not None:
            self._call_later(wait_s)


class Host:
    """One machine. `engine` is None while its daemon is down.

    `plane_failed_at` is when its data plane last refused something, in seconds that nobody sets.
    `make` makes its engine, by the configuration of that moment.
    """

    watcher: Watcher

    def __init__(
        self,
        name: str,
        clock: Clock,
        journal: Journal,
        schedule: Schedule,
        chance: Random,
        outlets: Outlets,
        make: Callable[[], Engine],
    ) -> None:
        self.name = name
        self.clock = clock
        self.trouble = Trouble(chance)
        self.plane_failed_at = float("-inf")
        self.plane = FlakyPlane(self.trouble, self._plane_failed)
        self.store = FlakyStore(self.trouble)
        self.engine: Engine | None = None
        self.starts = 0
        self.crashed: Callable[[Host], None] = lambda _host: None
        self.started: Callable[[Host], None] = lambda _host: None
        self._journal = journal
        self._schedule = schedule
        self._make = make
        self._outlets = outlets
        self._steady = SteadyClock(clock.wall, clock.elapsed)
        self._loop: SimulatedLoop | None = None
        self._armed = 0

    @property
    def now(self) -> float:
        """The time that its daemon believes it is."""
        return self._steady.now()

    def start(self) -> None:
        """Start the daemon as its main function does: store, engine, data plane."""
        self.starts += 1
        self._steady = SteadyClock(self.clock.wall, self.clock.elapsed)
        engine = self._make()
        performer = Performer(self.plane, self.store, Outlets(self._send, self._probe))
        watched = Watched(engine, self, self._journal)
        loop = SimulatedLoop(watched, performer, self._steady.now, self._arm)
        try:
            self.plane.reconcile(loop.restore(self.store.load()))
        except (Crash, DataPlaneError):
            self.crash()
            return
        self.engine, self._loop = engine, loop
        self.started(self)
        self.watcher.done(self, None)
        loop.arm()

    def submit(self, *events: Event) -> None:
        """Give events to the daemon, if it runs."""
        if self._loop is None:
            return
        try:
            self._loop.submit(*events)
        except Crash:
            self.crash()
            return
        self.watcher.done(self, events[-1])

    def crash(self) -> None:
        """Kill the daemon. What its data plane holds goes on forwarding."""
        self.crashed(self)
        self.engine = self._loop = None
        self.trouble.fuse = None
        self._armed += 1

    def reboot(self) -> None:
        """Lose what the kernel held, too."""
        self.crash()
        self.plane.cleanup()

    def paths(self, home_address: IPv4Address) -> tuple[Path, ...]:
        """Return the tunnels that its data plane has for a home address."""
        node = self.plane.node(home_address)
        return node.paths if node else ()

    def _plane_failed(self) -> None:
        self.plane_failed_at = self.clock.elapsed()

    def _send(self, datagram: SendDatagram) -> None:
        self.trouble.burn()
        self._outlets.send(datagram)

    def _probe(self, probe: SendProbe) -> None:
        self._outlets.probe(probe)

    def _arm(self, wait_s: float) -> None:
        self._armed += 1
        armed = self._armed
        self._schedule(self.clock.seconds(wait_s), lambda: self._expire(armed))

    def _expire(self, armed: int) -> None:
        if armed == self._armed:
            self.submit(TimerExpired())
