"""What iperf3 makes of a way through the hosts of `bench.network`.

A TCP stream has one processor for sending, routing, encapsulating, delivering and receiving, so
that its speed is what all of that costs. With two, it is as much about how fast one processor
wakes the other: it jumps between half and all of the speed, with plain routing too. The receiver
of UDP has a processor of its own, so as to take nothing from the sender, which never waits for
it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import network
from bench.network import inside

DOWN = "to the node"
UP = "from the node"
UDP_PAYLOAD = 64

_UDP_WINDOW = "4M"
_PATIENCE_S = 20


def tcp(address: str, direction: str, seconds: float, streams: int = 1) -> float:
    """Return the Gbit/s of TCP between the correspondent and an address of the node."""
    server = processors()[-1]
    options = ["-A", f"{server},{server}", "-P", str(streams)]
    if direction == UP:
        options.append("-R")
    result = _run(address, seconds, options)
    return float(result["end"]["sum_received"]["bits_per_second"]) / 1e9


def udp(address: str, seconds: float) -> float:
    """Return the thousands of small packets a second that arrive at an address of the node."""
    client, *_others, server = [*processors(), processors()[-1]]
    options = ["-A", f"{client},{server}", "-u", "-b", "0", "-l", str(UDP_PAYLOAD)]
    total = _run(address, seconds, [*options, "-w", _UDP_WINDOW])["end"]["sum"]
    return (float(total["packets"]) - float(total["lost_packets"])) / float(total["seconds"]) / 1e3


def processors() -> list[int]:
    """Return the processors that there are for us."""
    return sorted(os.sched_getaffinity(0))


def _run(address: str, seconds: float, options: list[str]) -> dict[str, Any]:
    client = ["iperf3", "-c", address, "-t", f"{seconds:g}", "-O", "1", "-J", *options]
    with _server(address):
        result: dict[str, Any] = json.loads(network.run(inside("cn", *client)))
    return result


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
