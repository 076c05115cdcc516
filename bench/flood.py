"""What is left for nodes while forged requests pour in.

::

    fbb-mn  198.51.100.7        the load generator --- 198.51.100.1  fbb-ha  the daemon
    fbb-cn  203.0.113.100-115   the forger         ---

Each round renews as fast as the daemon can, and then offers just that rate while the forger sends.
Nodes do not slow down for an attacker, so neither does the generator; what the daemon's socket has
no room for stays without a reply.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import forger, network
from bench.generator import Generator, Sample
from bench.home_agent import HomeAgent
from bench.load import Order, Outcome
from bench.network import inside
from bench.registrations import WINDOW
from bench.report import Section, figure, tell
from flowbind.wire.iana import MOBILE_IP_PORT

NODES = 2000
FORGED_PER_S = 50_000
AT_LEAST_OF_UNDISTURBED = 0.5


class Counted(Struct, frozen=True):
    """What the forger sent, and all datagrams that came to a socket of the home agent's host."""

    sent: int
    lasted_s: float
    arrived: int


class Round(Struct, frozen=True):
    """The two measurements of a round; `offered` of the requests in the flood were of nodes."""

    undisturbed: Sample
    flooded: Sample
    offered: int
    counted: Counted

    @property
    def served_per_s(self) -> float:
        """Requests of nodes accepted under the flood, in a second of those in which they came."""
        return self.flooded.outcome.accepted / self.offered * self.undisturbed.per_s

    @property
    def forged_per_s(self) -> float:
        """Forged requests that arrived in a second."""
        return (self.counted.arrived - self.offered) / self.counted.lasted_s


def measure(rounds: int, seconds: float, store: Path) -> Section:
    """Take all measurements; about (rounds * 3 * seconds) long."""
    processors = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        pins = stack.enter_context(network.hosts())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fbb-", dir=store)))
        agent = HomeAgent(directory, pins, NODES, processors[-1])
        stack.callback(agent.kill)
        generator = Generator(processors[0])
        stack.callback(generator.close)
        flood = stack.enter_context(_flood(processors[0]))
        agent.wait()
        once = Order(MOBILE_IP_PORT, 0, NODES, seconds=60, once=True, window=WINDOW)
        generator.obey(once, agent.pid)
        found = [_round(at, rounds, seconds, generator, flood, agent.pid) for at in range(rounds)]
    return _section(found)


class Flood:
    """The forger, and what the home agent's host counts of what arrives at its sockets."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._before = 0

    def begin(self) -> None:
        """Let it send."""
        self._before = _arrived()
        self._say()

    def end(self) -> Counted:
        """Stop it, and count."""
        self._say()
        sent, lasted_s = self._hear().split()
        return Counted(int(sent), float(lasted_s), _arrived() - self._before)

    def _say(self) -> None:
        if self._process.stdin is None:
            raise SystemExit("bench: no pipe to the forger")
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise SystemExit("bench: the forger ended")
        return line


@contextmanager
def _flood(processor: int) -> Iterator[Flood]:
    for address in forger.SOURCES:
        network.run(["ip", "-n", "fbb-cn", "addr", "add", f"{address}/24", "dev", "ha0"])
    command = (sys.executable, "-m", "bench.forger", str(processor), str(NODES), str(FORGED_PER_S))
    process = subprocess.Popen(
        inside("cn", *command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        flood = Flood(process)
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit("bench: the forger did not start")
        yield flood
    finally:
        process.terminate()
        process.communicate()


def _round(
    at: int, rounds: int, seconds: float, generator: Generator, flood: Flood, agent: int
) -> Round:
    order = Order(MOBILE_IP_PORT, 0, NODES, seconds, window=WINDOW)
    undisturbed = generator.obey(order, agent)
    offered = msgspec.structs.replace(order, per_s=undisturbed.per_s, lossy=True)
    flood.begin()
    flooded = generator.obey(offered, agent)
    counted = flood.end()
    done = Round(undisturbed, flooded, int(offered.seconds * offered.per_s), counted)
    tell(
        f"flood, round {at + 1} of {rounds}: undisturbed {undisturbed.per_s:,.0f}/s, "
        f"{done.served_per_s:,.0f}/s while {done.forged_per_s:,.0f}/s forged ones arrive"
    )
    return done


def _section(rounds: Sequence[Round]) -> Section:
    def each(value: Callable[[Round], float]) -> list[float]:
        return [value(done) for done in rounds]

    undisturbed = each(lambda done: done.undisturbed.per_s)
    at_least = AT_LEAST_OF_UNDISTURBED
    figures = [
        figure(
            "renewals in the flood",
            "accepted/s",
            each(lambda done: done.served_per_s),
            undisturbed,
            ratio_at_least=at_least,
        ),
        figure("renewals in the flood, p50", "ms", _ms(rounds, lambda it: it.median_s)),
        figure("renewals in the flood, p99", "ms", _ms(rounds, lambda it: it.p99_s)),
        figure("forged requests sent", "each/s", each(_sent_per_s)),
        figure("forged requests that arrived", "each/s", each(lambda done: done.forged_per_s)),
    ]
    return Section("while forged requests arrive", "undisturbed", figures)


def _ms(rounds: Sequence[Round], value_s: Callable[[Outcome], float]) -> list[float]:
    return [value_s(done.flooded.outcome) * 1e3 for done in rounds]


def _sent_per_s(done: Round) -> float:
    return done.counted.sent / done.counted.lasted_s


def _arrived() -> int:
    """Return how many datagrams came to the sockets of the home agent's host, those that found
    them full included.
    """
    lines = network.run(inside("ha", "cat", "/proc/net/snmp")).splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Udp:"))
    counted = dict(zip(names, map(int, values), strict=True))
    return counted["InDatagrams"] + counted["RcvbufErrors"]
