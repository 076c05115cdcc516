"""Registrations a second: the real daemon on one processor, the load on another.

::

    fbb-mn  198.51.100.7  the load generator --- 198.51.100.1  fbb-ha  the daemon, port 434
                                                                       the bare loop, port 4340

Each round asks the bare loop, registers nodes that the home agent has not seen, renews all that it
has, and renews again at half the speed that was just found. At the end the daemon is killed, and
what it has promised is looked for on the disk.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import bare_agent, network
from bench.generator import Generator, Sample
from bench.home_agent import HomeAgent, file_system_of, synced_write_ms
from bench.load import Order
from bench.network import inside
from bench.report import Figure, Section, figure, tell
from flowbind.wire.iana import MOBILE_IP_PORT

NEW_NODES = 2000
WINDOW = 128
AT_LEAST_PER_S = 5000.0
RENEWALS_AT_LEAST_PER_S = 20_000.0
HALF_LOAD_P99_AT_MOST_MS = 5.0


class Round(Struct, frozen=True):
    """The four measurements of a round."""

    bare: Sample
    new: Sample
    renewals: Sample
    half: Sample


def measure(rounds: int, seconds: float, store: Path) -> Section:
    """Take all measurements; about (rounds * 4 * seconds) long."""
    processors = sorted(os.sched_getaffinity(0))
    nodes = NEW_NODES * rounds
    with ExitStack() as stack:
        pins = stack.enter_context(network.hosts())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fbb-", dir=store)))
        disk = f"{file_system_of(directory)}: {synced_write_ms(directory):.2f} ms for a synced page"
        tell(f"registrations: {nodes} nodes, database on {disk}")
        bare = stack.enter_context(_bare_agent(nodes, processors[-1]))
        agent = HomeAgent(directory, pins, nodes, processors[-1])
        stack.callback(agent.kill)
        generator = Generator(processors[0])
        stack.callback(generator.close)
        agent.wait()
        found = [_round(at, rounds, seconds, generator, bare, agent.pid) for at in range(rounds)]
        durability = _kill_and_look(generator, agent, nodes)
        tell(f"registrations: {durability}")
    return _section(found, (f"database on {disk}", durability))


def _round(
    at: int, rounds: int, seconds: float, generator: Generator, bare: int, agent: int
) -> Round:
    known = NEW_NODES * at
    behind = known + NEW_NODES
    all_known = Order(MOBILE_IP_PORT, 0, behind, seconds, window=WINDOW)
    new = Order(MOBILE_IP_PORT, known, behind, seconds=60, once=True, window=WINDOW)
    to_bare = msgspec.structs.replace(all_known, port=bare_agent.PORT)
    bare_sample = generator.obey(to_bare, bare)
    new_sample = generator.obey(new, agent)
    renewals = generator.obey(all_known, agent)
    half = msgspec.structs.replace(all_known, per_s=renewals.per_s / 2)
    done = Round(bare_sample, new_sample, renewals, generator.obey(half, agent))
    tell(
        f"registrations, round {at + 1} of {rounds}: new {done.new.per_s:,.0f}/s, "
        f"renewals {done.renewals.per_s:,.0f}/s, p99 {done.renewals.outcome.p99_s * 1e3:.1f} ms, "
        f"bare loop {done.bare.per_s:,.0f}/s"
    )
    return done


def _kill_and_look(generator: Generator, agent: HomeAgent, nodes: int) -> str:
    """Renew every node, kill the daemon at the last reply, count what the disk holds."""
    begun_at = time.time()
    order = Order(MOBILE_IP_PORT, 0, nodes, seconds=60, once=True, window=WINDOW)
    generator.obey(order, agent.pid)
    agent.kill()
    found = agent.durable_since(begun_at)
    if found != nodes:
        raise SystemExit(f"bench: {nodes} requests accepted, {found} of them on the disk")
    return f"killed with -9 after {nodes} accepted requests, all of them were on the disk"


@contextmanager
def _bare_agent(nodes: int, processor: int) -> Iterator[int]:
    """Run the bare loop; yields its process ID."""
    command = ("taskset", "-c", str(processor), sys.executable, "-m", "bench.bare_agent")
    process = subprocess.Popen(
        inside("ha", *command, str(nodes)),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit("bench: the bare loop did not start")
        yield process.pid
    finally:
        process.terminate()
        process.communicate()


def _section(rounds: Sequence[Round], notes: tuple[str, ...]) -> Section:
    def each(value: Callable[[Round], float]) -> list[float]:
        return [value(done) for done in rounds]

    def figure_per_s(what: str, value: Callable[[Round], float], at_least: float) -> Figure:
        bare = each(lambda done: done.bare.per_s)
        return figure(what, "accepted/s", each(value), bare, at_least=at_least)

    def figure_ms(
        what: str, value_s: Callable[[Round], float], at_most: float | None = None
    ) -> Figure:
        return figure(what, "ms", [value * 1e3 for value in each(value_s)], at_most=at_most)

    def figure_us(what: str, value: Callable[[Round], float]) -> Figure:
        return figure(what, "us each", each(value), each(lambda done: done.bare.processor_us))

    figures = [
        figure_per_s("first registrations", lambda done: done.new.per_s, AT_LEAST_PER_S),
        figure_ms("first registrations, p50", lambda done: done.new.outcome.median_s),
        figure_ms("first registrations, p99", lambda done: done.new.outcome.p99_s),
        figure_us("first registrations, processor time", lambda done: done.new.processor_us),
        figure_per_s("renewals", lambda done: done.renewals.per_s, RENEWALS_AT_LEAST_PER_S),
        figure_ms("renewals, p50", lambda done: done.renewals.outcome.median_s),
        figure_ms("renewals, p99", lambda done: done.renewals.outcome.p99_s),
        figure_us("renewals, processor time", lambda done: done.renewals.processor_us),
        figure("renewals, use of the processor", "%", each(lambda done: done.renewals.use)),
        figure("renewals at half load", "accepted/s", each(lambda done: done.half.per_s)),
        figure_ms("renewals at half load, p50", lambda done: done.half.outcome.median_s),
        figure_ms(
            "renewals at half load, p99",
            lambda done: done.half.outcome.p99_s,
            HALF_LOAD_P99_AT_MOST_MS,
        ),
    ]
    return Section("registrations", "bare loop", figures, notes)
