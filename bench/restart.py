"""The real daemon killed and started again with many bindings, while packets go through a tunnel.

::

    fbb-cn  a packet every 5 ms for a home address --- fbb-ha  the daemon --- fbb-mn  counts them

The database is the one that `bench.memory_agent` makes. A first start makes the tunnels, the second
one is measured: until the daemon answers a request, which is sent to it again and again.
"""

import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path

from bench import mobile_nodes, network
from bench.home_agent import HomeAgent
from bench.memory_agent import PATHS
from bench.report import Section, figure, tell
from flowbind.wire.iana import MOBILE_IP_PORT

NODES = 200_000
NODES_QUICK = 5_000
OCTETS_AT_MOST = 2048.0

_NODE = 0
_DISCARD_PORT = 9
_MAX_DATAGRAM = 2048
_PACKET_INTERVAL_S = 0.005
_REQUEST_INTERVAL_S = 0.02
_PATIENCE_S = 300.0
_SEQUENCE = struct.Struct("!Q")


class Packets:
    """Packets for a home address of this moment, and those of them that leave the tunnel."""

    def __init__(self) -> None:
        self.sent = 0
        self._arrived: set[bytes] = set()
        self._ended = threading.Event()
        self._to = (str(IPv4Address(mobile_nodes.home_address(_NODE))), _DISCARD_PORT)
        self._sender = network.socket_in("cn", socket.SOCK_DGRAM)
        self._receiver = network.socket_in("mn", socket.SOCK_RAW, socket.IPPROTO_IPIP)
        self._receiver.setblocking(False)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_PACKET_INTERVAL_S):
            self._sender.sendto(_SEQUENCE.pack(self.sent), self._to)
            self.sent += 1
            self._receive()

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._arrived.add(self._receiver.recv(_MAX_DATAGRAM)[-_SEQUENCE.size :])

    def end(self) -> int:
        """Stop, and return how many were lost."""
        self._ended.set()
        self._thread.join()
        time.sleep(20 * _PACKET_INTERVAL_S)
        self._receive()
        self._sender.close()
        self._receiver.close()
        return self.sent - len(self._arrived)


def measure(nodes: int, store: Path) -> Section:
    """Take the measurement once; about two minutes long with 200,000 nodes."""
    with ExitStack() as stack:
        pins = stack.enter_context(network.hosts())
        lead_tunnels_to_the_node()
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fbb-", dir=store)))
        processor = sorted(os.sched_getaffinity(0))[-1]

        def start() -> HomeAgent:
            agent = HomeAgent(directory, pins, nodes, processor)
            stack.callback(agent.kill)
            return agent

        empty = start()
        empty.wait()
        configured = empty.resident_octets()
        empty.kill()
        tell(f"restart: {nodes} nodes configured, {configured >> 20} MiB resident")
        _register(directory, nodes)
        first = start()
        first.wait()
        tell("restart: all bindings taken up by a first start, their tunnels made")
        packets = Packets()
        first.kill()
        begun_at = time.monotonic()
        second = start()
        lasted_s = first_reply() - begun_at
        lost = packets.end()
        each = (second.resident_octets() - configured) / (nodes * PATHS)
    tell(f"restart: {lasted_s:.1f} s to the first reply, {lost} of {packets.sent} packets lost")
    figures = [
        figure("restart to the first reply", "s", [lasted_s]),
        figure("packets through a tunnel meanwhile", "", [packets.sent]),
        figure("lost of these", "", [lost], at_most=0.0),
        figure("resident with the configuration", "MiB", [configured / (1 << 20)]),
        figure("resident beyond that", "octets each", [each], at_most=OCTETS_AT_MOST),
    ]
    note = f"{nodes:,} nodes with {PATHS} paths"
    return Section("restart of the daemon", "", figures, (note,))


def lead_tunnels_to_the_node() -> None:
    """Let what is sent to the care-of addresses of the first node arrive at its host."""
    route = f"{mobile_nodes.CARE_OF_NETWORK} via {network.CARE_OF_ADDRESS}"
    network.run(["ip", "-n", "fbb-ha", "route", "add", *route.split()])
    for bid in range(1, PATHS + 1):
        address = f"{mobile_nodes.care_of_address(_NODE, bid)}/32"
        network.run(["ip", "-n", "fbb-mn", "addr", "add", address, "dev", "lo"])


def _register(directory: Path, nodes: int) -> None:
    command = [sys.executable, "-m", "bench.memory_agent", "register", str(directory), str(nodes)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    # With the log of the one before it, SQLite would take the new one for that.
    for left in directory.glob("home-agent.db-*"):
        left.unlink()
    (directory / "memory.db").replace(directory / "home-agent.db")


def first_reply() -> float:
    """Return the moment (monotonic) at which a request is answered."""
    deadline = time.monotonic() + _PATIENCE_S
    with network.socket_in("mn", socket.SOCK_DGRAM) as node:
        node.settimeout(_REQUEST_INTERVAL_S)
        node.connect((network.HOME_AGENT, MOBILE_IP_PORT))
        while time.monotonic() < deadline:
            begun_at = time.monotonic()
            # While nobody listens, the kernel says so.
            with suppress(TimeoutError, ConnectionRefusedError):
                node.send(mobile_nodes.requests([_NODE], time.time(), 1)[0].payload)
                if mobile_nodes.accepts(node.recv(_MAX_DATAGRAM)):
                    return time.monotonic()
            time.sleep(max(0.0, begun_at + _REQUEST_INTERVAL_S - time.monotonic()))
    raise SystemExit("bench: no request was answered after the restart")
