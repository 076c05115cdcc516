"""A machine in simulated time: clocks, a data plane and a store that fail, a daemon that crashes.

What runs on it is the engine in the daemon's own loop and performer, so what is simulated is the
order in which effects are carried out, and what becomes of those that fail.
"""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from random import Random

from flowbind.daemon.clock import SteadyClock
from flowbind.daemon.loop import Engine, EngineLoop
from flowbind.daemon.perform import Outlets, Performer
from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.effects import DeleteNode, Effect, SaveNode, SendDatagram, SendProbe
from flowbind.events import Event, TimerExpired
from flowbind.model.tunnel import NodeForwarding, Path
from flowbind.store.base import StoreError
from flowbind.store.memory import MemoryStore
from tests.simulation.journal import Journal

Schedule = Callable[[float, Callable[[], None]], None]


class Crash(BaseException):
    """The daemon was killed; nothing in it may catch that."""


class Trouble:
    """What goes wrong on a machine: a share of all effects, or a crash at one of the next."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.share = 0.0
        self.fuse: int | None = None

    def strike(self, error: type[Exception]) -> None:
        """Before an effect and after it: crash if it is time to; before it: fail sometimes."""
        self.burn()
        if self.share and self._chance.random() < self.share:
            raise error("so the simulation wants it")

    def burn(self) -> None:
        """Crash if it is time to."""
        if self.fuse is None:
            return
        self.fuse -= 1
        if self.fuse < 0:
            self.fuse = None
            raise Crash


class FlakyPlane(MemoryDataPlane):
    """A data plane that refuses now and then, and outlives its daemon."""

    def __init__(self, trouble: Trouble, failed: Callable[[], None]) -> None:
        super().__init__()
        self._trouble = trouble
        self._failed = failed

    def program(self, node: NodeForwarding) -> None:
        self._may_fail()
        super().program(node)
        self._trouble.burn()

    def remove(self, home_address: IPv4Address) -> None:
        self._may_fail()
        super().remove(home_address)
        self._trouble.burn()

    def node(self, home_address: IPv4Address) -> NodeForwarding | None:
        """Return what is programmed for one home address."""
        return self._nodes.get(home_address)

    def _may_fail(self) -> None:
        try:
            self._trouble.strike(DataPlaneError)
        except DataPlaneError:
            self._failed()
            raise


class FlakyStore(MemoryStore):
    """A store whose disk refuses now and then."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self._trouble = trouble

    def commit(self, changes: Sequence[SaveNode | DeleteNode]) -> None:
        self._trouble.strike(StoreError)
        super().commit(changes)
        self._trouble.burn()


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


class Watched:
    """An engine all of whose events and effects are written down."""

    def __init__(self, engine: Engine, name: str, journal: Journal) -> None:
        self._engine, self._name, self._journal = engine, name, journal
        self.statistics = engine.statistics

    def handle(self, event: Event, now: float) -> list[Effect]:
        effects = self._engine.handle(event, now)
        self._journal.note(self._name, now, event, effects)
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
    """

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
        self.told: Callable[[Host, tuple[Event, ...]], None] = lambda _host, _events: None
        self.checked: Callable[[Host, Event | None], None] = lambda _host, _event: None
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
        outlets = Outlets(self._send, self._probe)
        performer = Performer(self.plane, self.store, outlets)
        watched = Watched(engine, self.name, self._journal)
        loop = SimulatedLoop(watched, performer, self._steady.now, self._arm)
        try:
            self.plane.reconcile(loop.restore(self.store.load()))
        except (Crash, DataPlaneError):
            self.crash()
            return
        self.engine, self._loop = engine, loop
        self.started(self)
        self.checked(self, None)
        loop.arm()

    def submit(self, *events: Event) -> None:
        """Give events to the daemon, if it runs."""
        if self._loop is None:
            return
        self.told(self, events)
        try:
            self._loop.submit(*events)
        except Crash:
            self.crash()
            return
        self.checked(self, events[-1])

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
