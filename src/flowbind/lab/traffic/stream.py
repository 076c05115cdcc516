"""Two-way UDP streams at a steady pace: the voice of the story.

The end that answers begins when it hears the other, so that no packet is sent to a socket that is
not there yet. A packet is sent unconnected: an ICMP error must not eat the next one.
"""

import selectors
import struct
import time
from contextlib import suppress

from msgspec import Struct

from flowbind.lab.traffic.running import DRAIN_S, WAKE_S, Address, Stop, address, udp_socket
from flowbind.lab.traffic.tally import Reporter, Tally

_HEADER = struct.Struct("!4sIQ")
_MAGIC = b"fbst"
_BEHIND_S = 1.0
_MAXIMUM_DATAGRAM = 2048


class StreamSpec(Struct, frozen=True):
    """One stream as this end sees it. `size` is the UDP payload in octets."""

    flow: str
    local: Address
    peer: Address
    packets_per_second: float
    size: int


def parse_spec(text: str) -> StreamSpec:
    """Read `NAME,LOCAL:PORT,PEER:PORT,PACKETS_PER_SECOND,SIZE`."""
    flow, local, peer, pace, size = text.split(",")
    return StreamSpec(flow, address(local), address(peer), float(pace), int(size))


class _Stream:
    def __init__(self, spec: StreamSpec, *, answering: bool) -> None:
        self.spec = spec
        self.tally = Tally(spec.flow)
        self.socket = udp_socket(spec.local)
        self._interval_s = 1 / spec.packets_per_second
        self._padding = bytes(max(0, spec.size - _HEADER.size))
        self._sequence = 0
        self.due_at = None if answering else time.monotonic()

    def send_due(self, now: float) -> None:
        while self.due_at is not None and self.due_at <= now:
            at_ns = time.time_ns()
            self.tally.sent(at_ns)
            packet = _HEADER.pack(_MAGIC, self._sequence, at_ns) + self._padding
            with suppress(OSError):  # counted as sent: if the node cannot send it, it is lost
                self.socket.sendto(packet, self.spec.peer)
            self._sequence += 1
            self.due_at += self._interval_s
            if now - self.due_at > _BEHIND_S:  # the machine slept; do not make a burst of it
                self.due_at = now

    def receive(self) -> None:
        while True:
            try:
                data = self.socket.recv(_MAXIMUM_DATAGRAM)
            except BlockingIOError:
                return
            if len(data) < _HEADER.size or not data.startswith(_MAGIC):
                continue
            _, sequence, sent_at_ns = _HEADER.unpack_from(data)
            self.tally.received(0, sequence, sent_at_ns, len(data))
            if self.due_at is None:
                self.due_at = time.monotonic()


def run(specs: list[StreamSpec], *, answering: bool) -> None:
    """Send and receive until told to stop."""
    stop = Stop()
    streams = [_Stream(spec, answering=answering) for spec in specs]
    reporter = Reporter(*(stream.tally for stream in streams))
    selector = selectors.DefaultSelector()
    for stream in streams:
        selector.register(stream.socket, selectors.EVENT_READ, stream)
    reporter.ready()
    drain_until = None
    while drain_until is None or time.monotonic() < drain_until:
        now = time.monotonic()
        if stop and drain_until is None:
            drain_until = now + DRAIN_S
        if drain_until is None:
            for stream in streams:
                stream.send_due(now)
        for key, _ in selector.select(_until_next(streams, now)):
            key.data.receive()
        reporter.tick()
    reporter.tick(last=True)
    for stream in streams:
        stream.socket.close()


def _until_next(streams: list[_Stream], now: float) -> float:
    due = [stream.due_at for stream in streams if stream.due_at is not None]
    return max(0.0, min([now + WAKE_S, *due]) - now)
