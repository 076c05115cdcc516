"""The load generator: a process of its own, on a processor of its own.

A line on standard input is an Order in JSON; the answer is an Outcome in JSON. Every reply is held
against the request that it answers; of one in sixteen the authenticator is verified too.
"""

import gc
import os
import select
import socket
import sys
import time
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from bench import mobile_nodes
from bench.mobile_nodes import Request
from bench.network import HOME_AGENT

_MOST_PER_S = 40_000
_PATIENCE_S = 3.0
_VERIFIED_OF = 16
_BUFFER_OCTETS = 4 << 20
_MAX_DATAGRAM = 2048
_HOME_ADDRESS = slice(4, 8)
_ANSWER = slice(4, 20)


class Order(Struct, frozen=True):
    """What to send: requests of the nodes `first` to `behind`, in turn.

    With `once`, one of each; else for `seconds`. `window` requests are kept in flight, or, with
    `per_s`, so many are sent each second whether or not the replies keep up. With `lossy`, some may
    stay without a reply.
    """

    port: int
    first: int
    behind: int
    seconds: float
    once: bool = False
    window: int = 1
    per_s: float = 0.0
    lossy: bool = False


class Outcome(Struct, frozen=True):
    """What came of it. Latencies are in seconds, from the moment a request was due."""

    accepted: int
    lasted_s: float
    median_s: float
    p99_s: float
    failure: str = ""


class LoadError(Exception):
    """The home agent did not do what it ought to; the text says what."""


class Load:
    """Requests on their way, and the replies to them."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
        self._socket.setblocking(False)
        self._socket.connect((HOME_AGENT, port))
        self._due_at: dict[bytes, float] = {}
        self.latencies: list[float] = []
        self._keys: dict[bytes, bytes] = {}

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def know(self, keys: dict[bytes, bytes]) -> None:
        """Verify replies with these keys."""
        self._keys = keys

    def keep_in_flight(self, requests: Sequence[Request], window: int, seconds: float) -> float:
        """Send the next request whenever one is answered. Returns the seconds that it took."""
        begun_at = time.perf_counter()
        to_send = iter(requests)
        open_places = window
        while True:
            if time.perf_counter() - begun_at < seconds:
                for _place, request in zip(range(open_places), to_send, strict=False):
                    self._send(request, time.perf_counter())
            if not self._due_at:
                return time.perf_counter() - begun_at
            open_places = self._receive(_PATIENCE_S)
            if not open_places:
                raise LoadError(f"{len(self._due_at)} requests without a reply")

    def keep_pace(self, requests: Sequence[Request], per_s: float, *, lossy: bool) -> float:
        """Send so many each second. Returns the seconds that it took until the last reply."""
        begun_at = time.perf_counter()
        for at, request in enumerate(requests):
            due_at = begun_at + at / per_s
            while (wait_s := due_at - time.perf_counter()) > 0:
                self._receive(wait_s)
            self._send(request, due_at)
        ended_at = time.perf_counter()
        while self._due_at and self._receive(_PATIENCE_S):
            ended_at = time.perf_counter()
        if self._due_at and not lossy:
            raise LoadError(f"{len(self._due_at)} requests without a reply")
        return ended_at - begun_at

    def _send(self, request: Request, due_at: float) -> None:
        self._due_at[request.answer] = due_at
        self._socket.send(request.payload)

    def _receive(self, wait_s: float) -> int:
        """Take in all replies that are there, waiting for the first one. Returns their number."""
        if not select.select([self._socket], [], [], wait_s)[0]:
            return 0
        count = 0
        while True:
            try:
                reply = self._socket.recv(_MAX_DATAGRAM)
            except BlockingIOError:
                return count
            count += 1
            self._check(reply, time.perf_counter())

    def _check(self, reply: bytes, now: float) -> None:
        due_at = self._due_at.pop(reply[_ANSWER], None)
        if due_at is None or not mobile_nodes.accepts(reply):
            raise LoadError(f"a reply that accepts nothing that was asked: {reply.hex()}")
        if len(self.latencies) % _VERIFIED_OF == 0 and not mobile_nodes.is_authentic(
            reply, self._keys[reply[_HOME_ADDRESS]]
        ):
            raise LoadError("a reply with a wrong authenticator")
        self.latencies.append(now - due_at)


def obey(order: Order) -> Outcome:
    """Carry out an order."""
    nodes = range(order.first, order.behind)
    count = len(nodes) if order.once else int(order.seconds * (order.per_s or _MOST_PER_S))
    requests = mobile_nodes.requests(nodes, time.time(), count)
    load = Load(order.port)
    load.know({mobile_nodes.home_address(node): mobile_nodes.key(node) for node in nodes})
    try:
        if order.per_s:
            lasted_s = load.keep_pace(requests, order.per_s, lossy=order.lossy)
        else:
            lasted_s = load.keep_in_flight(requests, order.window, order.seconds)
    except (LoadError, OSError) as error:
        return Outcome(0, 0.0, 0.0, 0.0, str(error))
    finally:
        load.close()
    latencies = sorted(load.latencies)
    if not latencies:
        return Outcome(0, 0.0, 0.0, 0.0, "no request at all was answered")
    accepted = len(latencies)
    return Outcome(accepted, lasted_s, latencies[accepted // 2], latencies[accepted * 99 // 100])


def main() -> None:
    """Obey until standard input ends; the argument is the processor to stay on."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    # A collection in the middle would be taken for the home agent's delay; nothing is cyclic here.
    gc.disable()
    for line in sys.stdin:
        outcome = obey(msgspec.json.decode(line, type=Order))
        print(msgspec.json.encode(outcome).decode(), flush=True)


if __name__ == "__main__":
    main()
