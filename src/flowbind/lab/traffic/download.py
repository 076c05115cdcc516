"""One long TCP download on port 80, every octet of which the receiver checks.

The body is a sequence of records of 1,000 octets: number, time of sending, and a pattern that
depends on the number, so a lost, doubled or shifted octet cannot hide. The receiver's window is
smaller than the queue of any link, so the download alone never overflows one: what is lost then,
is lost by the paths.
"""

import selectors
import socket
import struct
import time

from flowbind.lab.traffic.running import WAKE_S, Address, Stop
from flowbind.lab.traffic.tally import Reporter, Tally

RECORD_OCTETS = 1000
_HEADER = struct.Struct("!IQ")
_PERIOD = 251
_PATTERN = bytes((7 * i + 13) % _PERIOD for i in range(RECORD_OCTETS + _PERIOD))
_BATCH = 16
_WINDOW_OCTETS = 128 * 1024
_REQUEST = b"GET /film HTTP/1.0\r\nHost: correspondent\r\n\r\n"
_RESPONSE = b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_READ_OCTETS = 1 << 16
_PATIENCE_S = 10.0


def record(sequence: int, sent_at_ns: int) -> bytes:
    """Make one record of the body."""
    shift = sequence % _PERIOD
    return (
        _HEADER.pack(sequence, sent_at_ns) + _PATTERN[shift : shift + RECORD_OCTETS - _HEADER.size]
    )


class Verifier:
    """Takes the body in pieces of any size and checks each record."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._rest = b""
        self._expected = 0

    def feed(self, data: bytes) -> None:
        """Check the records that these octets complete."""
        data = self._rest + data
        whole = len(data) - len(data) % RECORD_OCTETS
        for start in range(0, whole, RECORD_OCTETS):
            sequence, sent_at_ns = _HEADER.unpack_from(data, start)
            if data[start : start + RECORD_OCTETS] != record(self._expected, sent_at_ns):
                self._tally.corrupt()
            else:
                self._tally.received(0, sequence, sent_at_ns, RECORD_OCTETS)
            self._expected += 1
        self._rest = data[whole:]


def serve(local: Address, flow: str) -> None:
    """Answer one download after the other, each for as long as it lasts."""
    stop, tally = Stop(), Tally(flow)
    reporter = Reporter(tally)
    with socket.create_server(local) as listener:
        listener.settimeout(WAKE_S)
        reporter.ready()
        while not stop:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                _send_body(connection, stop, tally, reporter)
    reporter.tick(last=True)


def _send_body(connection: socket.socket, stop: Stop, tally: Tally, reporter: Reporter) -> None:
    connection.settimeout(_PATIENCE_S)
    head = b""
    while _END_OF_HEAD not in head:
        head += connection.recv(_READ_OCTETS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WINDOW_OCTETS)
    connection.setblocking(False)
    pending, sequence = memoryview(_RESPONSE), 0
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_WRITE)
        while pending or not stop:
            if not pending:
                at_ns = time.time_ns()
                batch = b"".join(record(sequence + i, at_ns) for i in range(_BATCH))
                tally.sent(at_ns, _BATCH)
                pending, sequence = memoryview(batch), sequence + _BATCH
            if selector.select(WAKE_S):
                try:
                    pending = pending[connection.send(pending) :]
                except ConnectionError:  # the receiver has gone; what is pending counts as lost
                    return
            reporter.tick()
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(_PATIENCE_S)
    connection.recv(1)  # the receiver closes when it has everything


def download(local: Address, peer: Address, flow: str) -> None:
    """Fetch and check until the server ends the body, or until told to stop."""
    stop, tally = Stop(), Tally(flow)
    reporter, verifier = Reporter(tally), Verifier(tally)
    with socket.socket() as connection, selectors.DefaultSelector() as selector:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_OCTETS)
        connection.settimeout(_PATIENCE_S)
        connection.bind(local)
        connection.connect(peer)
        connection.sendall(_REQUEST)
        head = b""
        while _END_OF_HEAD not in head:
            head += connection.recv(_READ_OCTETS)
        reporter.ready()
        verifier.feed(head.partition(_END_OF_HEAD)[2])
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
        while not stop:
            if selector.select(WAKE_S):
                data = connection.recv(_READ_OCTETS)
                if not data:
                    break
                verifier.feed(data)
            reporter.tick()
    reporter.tick(last=True)
