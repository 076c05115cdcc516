"""Throughput through one tunnel beside plain routing, on the same links and in the same run.

Plain routing, IP-in-IP and GRE take turns, so that whatever else the machine does falls on all of
them. Each figure is the median of its turns. The sender has one processor, which with veth also
routes, encapsulates and delivers; the receiver has another.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench import network
from bench.network import inside

PLAIN = "plain"
TUNNELS = ("ipip", "gre")
DOWN = "correspondent to node"
UP = "node to correspondent"
UDP_PAYLOAD = 64
_BOTH_PROCESSORS = "0,1"
_UDP_WINDOW = "4M"


class Figure(Struct, frozen=True):
    """A median, and what it is of."""

    what: str
    direction: str
    route: str
    median: float
    least: float
    most: float
    ratio: float | None = None


class Turn(Struct, frozen=True):
    """One measurement to repeat."""

    what: str
    direction: str
    route: str

    @property
    def udp(self) -> bool:
        """Tell whether it counts small packets, not octets."""
        return self.what != TCP


TCP = "TCP, Gbit/s"
UDP = f"UDP, {UDP_PAYLOAD} octets, 1000 packets/s"


class End:
    """A process that holds the data plane at one end."""

    def __init__(self, node: str, role: str, pins: Path) -> None:
        self._process = subprocess.Popen(
            inside(node, sys.executable, "-m", "bench.forwarder", role, str(pins / role)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def encapsulate(self, encapsulation: str) -> None:
        """Switch the tunnel over."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise SystemExit("bench: no pipe to the data plane")
        stdin.write(encapsulation + "\n")
        stdin.flush()
        if stdout.readline() != "ready\n":
            raise SystemExit("bench: the data plane ended")

    def close(self) -> None:
        """Let it remove everything and end."""
        self._process.communicate(timeout=20)


def measure(rounds: int, seconds: int) -> list[Figure]:
    """Take all measurements; about (rounds * 9 * seconds) long."""
    turns = [Turn(TCP, direction, route) for direction in (DOWN, UP) for route in (PLAIN, *TUNNELS)]
    turns += [Turn(UDP, DOWN, route) for route in (PLAIN, *TUNNELS)]
    found: dict[Turn, list[float]] = {turn: [] for turn in turns}
    with ExitStack() as stack:
        pins = stack.enter_context(network.hosts())
        ends = [End("ha", "home-agent", pins), End("mn", "mobile-node", pins)]
        for end in ends:
            stack.callback(end.close)
        for at in range(rounds):
            # Every other round backwards, so that no route always comes first.
            for turn in turns if at % 2 == 0 else reversed(turns):
                if turn.route != PLAIN:
                    for end in ends:
                        end.encapsulate(turn.route)
                found[turn].append(_take(turn, seconds))
    return list(_figures(found))


def _take(turn: Turn, seconds: int) -> float:
    address = network.CARE_OF_ADDRESS if turn.route == PLAIN else network.HOME_ADDRESS
    client = ["iperf3", "-c", address, "-t", str(seconds), "-O", "1", "-J", "-A", _BOTH_PROCESSORS]
    if turn.udp:
        client += ["-u", "-b", "0", "-l", str(UDP_PAYLOAD), "-w", _UDP_WINDOW]
    if turn.direction == UP:
        client.append("-R")
    with _server():
        result = json.loads(network.run(inside("cn", *client)))
    return _packets(result, seconds) if turn.udp else _gigabits(result)


@contextmanager
def _server() -> Iterator[None]:
    server = subprocess.Popen(
        inside("mn", "iperf3", "-s", "-1", "--forceflush"), stdout=subprocess.PIPE, text=True
    )
    try:
        while server.stdout is not None and "listening" not in server.stdout.readline():
            if server.poll() is not None:
                raise SystemExit("bench: iperf3 did not start")
        yield
    finally:
        server.terminate()
        server.communicate()


def _gigabits(result: dict[str, Any]) -> float:
    return float(result["end"]["sum_received"]["bits_per_second"]) / 1e9


def _packets(result: dict[str, Any], seconds: int) -> float:
    total = result["end"]["sum"]
    return (float(total["packets"]) - float(total["lost_packets"])) / seconds / 1e3


def _figures(found: dict[Turn, list[float]]) -> Iterator[Figure]:
    for turn, values in found.items():
        plain = found[Turn(turn.what, turn.direction, PLAIN)]
        ratio = None
        if turn.route != PLAIN:
            ratio = statistics.median(values) / statistics.median(plain)
        yield Figure(
            turn.what, turn.direction, turn.route,
            statistics.median(values), min(values), max(values), ratio,
        )  # fmt: skip
