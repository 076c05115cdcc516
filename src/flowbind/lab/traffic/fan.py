"""Hundreds of flows at once, each with its own ports, each answered: the flows that no rule names.

One process keeps them all. The correspondent echoes what it gets, so a record counts as received
only when it has made both ways.
"""

import selectors
import socket
import struct
import time
from contextlib import suppress

from msgspec import Struct

from flowbind.lab.traffic.running import DRAIN_S, WAKE_S, Address, Stop, udp_socket
from flowbind.lab.traffic.tally import Reporter, Tally

RECORD_OCTETS = 80
_HEADER = struct.Struct("!4sIIQ")
_MAGIC = b"fbfa"
_PADDING = bytes(RECORD_OCTETS - _HEADER.size)
_READ_OCTETS = 4096
_PATIENCE_S = 10.0
_TICK_S = 0.005


def echo(host: str, ports: range) -> None:
    """Send back whatever comes to these ports, over UDP and TCP."""
    stop, reporter = Stop(), Reporter()
    selector = selectors.DefaultSelector()
    for port in ports:
        selector.register(udp_socket((host, port)), selectors.EVENT_READ, "udp")
        listener = socket.create_server((host, port), backlog=64)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, "listener")
    reporter.ready()
    end_at = None
    while end_at is None or time.monotonic() < end_at:
        if stop and end_at is None:
            end_at = time.monotonic() + DRAIN_S
        for key, _ in selector.select(WAKE_S):
            sock = key.fileobj
            if isinstance(sock, socket.socket):
                _answer(selector, sock, key.data)


def _answer(selector: selectors.BaseSelector, sock: socket.socket, kind: str) -> None:
    try:
        if kind == "udp":
            while True:
                data, sender = sock.recvfrom(_READ_OCTETS)
                sock.sendto(data, sender)
        if kind == "listener":
            connection, _ = sock.accept()
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, "connection")
            return
        data = sock.recv(_READ_OCTETS)
        if data:
            sock.send(data)  # records are small and few: the send buffer always has room
            return
    except BlockingIOError:
        return
    except OSError:
        pass
    if kind == "connection":
        selector.unregister(sock)
        sock.close()


class _Flow:
    """One flow: a UDP socket and its peer, or a TCP connection."""

    def __init__(self, key: int, sock: socket.socket, peer: Address | None) -> None:
        self.key = key
        self.socket = sock
        self._peer = peer
        self._sequence = 0
        self._rest = b""

    def send(self, tally: Tally) -> None:
        at_ns = time.time_ns()
        packet = _HEADER.pack(_MAGIC, self.key, self._sequence, at_ns) + _PADDING
        self._sequence += 1
        tally.sent(at_ns)
        with suppress(OSError):  # counted as sent
            if self._peer is None:
                self.socket.send(packet)
            else:
                self.socket.sendto(packet, self._peer)

    def receive(self, tally: Tally) -> None:
        try:
            data = self._rest + self.socket.recv(_READ_OCTETS)
        except OSError:
            return
        whole = len(data) - len(data) % RECORD_OCTETS
        for start in range(0, whole, RECORD_OCTETS):
            magic, key, sequence, sent_at_ns = _HEADER.unpack_from(data, start)
            if magic != _MAGIC or key != self.key:
                tally.corrupt()
                continue
            tally.received(key, sequence, sent_at_ns, RECORD_OCTETS)
        self._rest = data[whole:] if self._peer is None else b""


class FanSpec(Struct, frozen=True):
    """How many flows of each kind there are, and `pace`, the records a second of each.

    Flow i leaves from local port + i and goes to peer port + i modulo `ports`.
    """

    flow: str
    local: Address
    peer: Address
    ports: int
    udp: int
    tcp: int
    pace: float


def fan(spec: FanSpec) -> None:
    """Keep all flows busy until told to stop."""
    stop, tally = Stop(), Tally(spec.flow)
    reporter = Reporter(tally)
    selector = selectors.DefaultSelector()
    everyone = [_open(spec, i) for i in range(spec.udp + spec.tcp)]
    for each in everyone:
        selector.register(each.socket, selectors.EVENT_READ, each)
    reporter.ready()
    interval_s = 1 / (spec.pace * len(everyone))
    due_at, turn, drain_until = time.monotonic(), 0, None
    while drain_until is None or time.monotonic() < drain_until:
        now = time.monotonic()
        if stop and drain_until is None:
            drain_until = now + DRAIN_S
        while drain_until is None and due_at <= now:
            everyone[turn % len(everyone)].send(tally)
            turn, due_at = turn + 1, max(due_at + interval_s, now - WAKE_S)
        for key, _ in selector.select(_TICK_S):
            key.data.receive(tally)
        reporter.tick()
    reporter.tick(last=True)


def _open(spec: FanSpec, key: int) -> _Flow:
    mine = (spec.local[0], spec.local[1] + key)
    theirs = (spec.peer[0], spec.peer[1] + key % spec.ports)
    if key < spec.udp:
        return _Flow(key, udp_socket(mine), theirs)
    sock = socket.create_connection(theirs, _PATIENCE_S, mine)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return _Flow(key, sock, None)
