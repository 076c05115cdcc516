"""Throughput through one tunnel beside plain routing, on the same links and in the same run.

Plain routing, IP-in-IP, GRE, and both of them in UDP take turns, so that whatever else the machine
does falls on all of them. A TCP stream has one processor for sending, routing, encapsulating,
delivering and receiving, so that its speed is what all of that costs. With two, it is as much about
how fast one processor wakes the other: it jumps between half and all of the speed, with plain
routing too. The receiver of UDP has a processor of its own, so as to take nothing from the sender,
which never waits for it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench import network
from bench.network import inside
from bench.report import Section, figure, tell

PLAIN = "plain routing"
IP_IN_IP = "IP-in-IP"
GRE = "GRE"
IP_IN_UDP = "IP in UDP"
GRE_IN_UDP = "GRE in UDP"
DOWN = "to the node"
UP = "from the node"
UDP_PAYLOAD = 64
TCP_AT_LEAST = 0.85
UDP_AT_LEAST = 0.6

_ROUTES = {
    PLAIN: None,
    IP_IN_IP: "ipip",
    GRE: "gre",
    IP_IN_UDP: "udp-ipip",
    GRE_IN_UDP: "udp-gre",
}
_UDP_WINDOW = "4M"
_PATIENCE_S = 20


class Turn(Struct, frozen=True):
    """One measurement to repeat."""

    udp: bool
    direction: str
    route: str

    @property
    def what(self) -> str:
        """What it is called in the table."""
        return f"{'UDP, 64 octets,' if self.udp else 'TCP'} {self.direction}, {self.route}"

    @property
    def unit(self) -> str:
        """What its value counts."""
        return "kpackets/s" if self.udp else "Gbit/s"


TURNS = (
    *(Turn(False, direction, route) for direction in (DOWN, UP) for route in _ROUTES),
    *(Turn(True, DOWN, route) for route in _ROUTES),
)


class End:
    """A process that holds the data plane at one end."""

    def __init__(self, node: str, role: str, pins: Path) -> None:
        self._process = subprocess.Popen(
            inside(node, sys.executable, "-m", "bench.forwarder", role, str(pins / role)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
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


def measure(rounds: int, seconds: float) -> Section:
    """Take all measurements; about (rounds * 15 * (seconds + 2)) long."""
    found: dict[Turn, list[float]] = {turn: [] for turn in TURNS}
    with ExitStack() as stack:
        pins = stack.enter_context(network.hosts())
        ends = [End("ha", "home-agent", pins), End("mn", "mobile-node", pins)]
        for end in ends:
            stack.callback(end.close)
        for at in range(rounds):
            # Every other round backwards, so that no route always comes first.
            for turn in TURNS if at % 2 == 0 else reversed(TURNS):
                found[turn].append(_take(turn, seconds, ends))
                tell(
                    f"data plane, round {at + 1} of {rounds}: "
                    f"{turn.what}: {found[turn][-1]:.3g} {turn.unit}"
                )
    return _section(found)


def _take(turn: Turn, seconds: float, ends: list[End]) -> float:
    encapsulation = _ROUTES[turn.route]
    address = network.HOME_ADDRESS if encapsulation else network.CARE_OF_ADDRESS
    if encapsulation:
        for end in ends:
            end.encapsulate(encapsulation)
    client = ["iperf3", "-c", address, "-t", f"{seconds:g}", "-O", "1", "-J", *_processors(turn)]
    if turn.udp:
        client += ["-u", "-b", "0", "-l", str(UDP_PAYLOAD), "-w", _UDP_WINDOW]
    if turn.direction == UP:
        client.append("-R")
    with _server(address):
        result = json.loads(network.run(inside("cn", *client)))
    return _packets(result) if turn.udp else _gigabits(result)


def _processors(turn: Turn) -> list[str]:
    """Return the options that keep client and server on their processors."""
    processors = sorted(os.sched_getaffinity(0))
    server = processors[-1]
    client = processors[0] if turn.udp else server
    return ["-A", f"{client},{server}"]


@contextmanager
def _server(address: str) -> Iterator[None]:
    # Bound to the address, so that it answers UDP from the one that it was asked at.
    server = subprocess.Popen(
        inside("mn", "iperf3", "-s", "-1", "-B", address, "--forceflush"),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        while server.stdout is not None and "listening" not in server.stdout.readline():
            if server.poll() is not None:
                raise SystemExit("bench: iperf3 did not start")
        yield
        # Having served one test it ends by itself.
        server.communicate(timeout=_PATIENCE_S)
    finally:
        server.kill()
        server.communicate()


def _gigabits(result: dict[str, Any]) -> float:
    return float(result["end"]["sum_received"]["bits_per_second"]) / 1e9


def _packets(result: dict[str, Any]) -> float:
    total = result["end"]["sum"]
    return (float(total["packets"]) - float(total["lost_packets"])) / float(total["seconds"]) / 1e3


def _section(found: dict[Turn, list[float]]) -> Section:
    figures = [
        figure(
            turn.what,
            turn.unit,
            values,
            found[Turn(turn.udp, turn.direction, PLAIN)],
            ratio_at_least=UDP_AT_LEAST if turn.udp else TCP_AT_LEAST,
        )
        for turn, values in found.items()
        if turn.route != PLAIN
    ]
    return Section("through one tunnel", PLAIN, figures)
