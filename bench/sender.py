"""A flood of small packets, to many home addresses or of many flows: the process, and who orders
it.

The process has all packets ready and hands them to the kernel a thousand at a time (sendmmsg),
so that little is measured but what the kernel does with them. What arrives at the mobile node's
host is counted there and dropped, before that host does anything with it.
"""

import ctypes
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from bench import mobile_nodes, network
from bench.network import inside

FLOWS = 500_000
"""Several times as many as the flow cache holds: each packet is the first of its flow."""

SOURCE_PORT = 20_000
SOCKETS = 10
"""From so many ports, beginning there, it is sent; flows also differ in the other port."""

_FIRST_PORT = 1024
_PORTS = 60_000
_AT_ONCE = 1024
_PAYLOAD = bytes(64)
_MESSAGE = struct.Struct("@QIxxxxQQQQixxxxIxxxx")
_ADDRESS = struct.Struct("!2s H 4s 8x")
_FAMILY = struct.pack("@H", socket.AF_INET)
_COUNTER = """\
table ip bench {
    counter arrived { }
    chain arriving {
        type filter hook prerouting priority raw;
        ip saddr %s counter name arrived drop;
    }
}
"""


class Flood(Struct, frozen=True):
    """Send for so long, in turn to `nodes` of `bench.mobile_nodes` (0: to the one of
    `bench.network`), in turn in so many `flows` to that one.
    """

    seconds: float
    flows: int = 1
    nodes: int = 0


class Sent(Struct, frozen=True):
    """What was sent, and how long it took."""

    packets: int
    lasted_s: float


@contextmanager
def counting() -> Iterator[None]:
    """Count and drop what comes from the home agent to the mobile node's host."""
    network.run(inside("mn", "nft", "-f", "-"), _COUNTER % network.HOME_AGENT)
    yield
    network.run(inside("mn", "nft", "delete", "table", "ip", "bench"))


def thousands(flood: Flood) -> float:
    """Return how many thousands of packets a second arrive."""
    before = _arrived()
    order = msgspec.json.encode(flood).decode()
    shown = network.run(inside("cn", sys.executable, "-m", "bench.sender", order))
    sent = msgspec.json.decode(shown, type=Sent)
    return (_arrived() - before) / sent.lasted_s / 1e3


def _arrived() -> int:
    shown = json.loads(network.run(inside("mn", "nft", "-j", "list", "counters", "table", "ip",
                                          "bench")))  # fmt: skip
    return next(int(each["counter"]["packets"]) for each in shown["nftables"] if "counter" in each)


# ---- the process


def _destinations(flood: Flood) -> Iterator[bytes]:
    """Yield the address and port of each packet as the kernel wants it."""
    if flood.nodes:
        for node in range(flood.nodes):
            yield _ADDRESS.pack(_FAMILY, 9, mobile_nodes.home_address(node))
        return
    home = socket.inet_aton(network.HOME_ADDRESS)
    for flow in range(flood.flows):
        yield _ADDRESS.pack(_FAMILY, _FIRST_PORT + flow % _PORTS, home)


class _Packets:
    """Packets made ready as an array of struct mmsghdr."""

    def __init__(self, destinations: list[bytes]) -> None:
        count = len(destinations)
        self._addresses = ctypes.create_string_buffer(b"".join(destinations))
        self._payload = ctypes.create_string_buffer(_PAYLOAD)
        vector = struct.pack("@QQ", ctypes.addressof(self._payload), len(_PAYLOAD))
        self._vector = ctypes.create_string_buffer(vector)
        first, to = ctypes.addressof(self._addresses), ctypes.addressof(self._vector)
        size = _ADDRESS.size
        self._messages = ctypes.create_string_buffer(
            b"".join(
                _MESSAGE.pack(first + at * size, size, to, 1, 0, 0, 0, 0) for at in range(count)
            )
        )
        self._count = count
        self._libc = ctypes.CDLL(None, use_errno=True)

    def send(self, sockets: list[socket.socket], seconds: float) -> Sent:
        """Send them again and again for so long; each socket has the flows of other ports."""
        begun_at = time.monotonic()
        sent = 0
        while (lasted_s := time.monotonic() - begun_at) < seconds:
            sent += self._send_round(sockets, begun_at + seconds)
        return Sent(sent, lasted_s)

    def _send_round(self, sockets: list[socket.socket], until: float) -> int:
        sent = 0
        while sent < self._count and time.monotonic() < until:
            end = min(self._count, sent + _AT_ONCE, (sent // _PORTS + 1) * _PORTS)
            through = sockets[sent // _PORTS % len(sockets)]
            sent += self._send(through.fileno(), sent, end - sent)
        return sent

    def _send(self, fd: int, first: int, count: int) -> int:
        at = ctypes.addressof(self._messages) + first * _MESSAGE.size
        result = int(self._libc.sendmmsg(fd, ctypes.c_void_p(at), count, 0))
        if result < 0:
            raise SystemExit(f"bench: sendmmsg: {os.strerror(ctypes.get_errno())}")
        return result


def main() -> None:
    """Send as the argument says, and tell how much it was."""
    flood = msgspec.json.decode(sys.argv[1], type=Flood)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    destinations = list(_destinations(flood))
    # As many packets at once with one flow as with many.
    packets = _Packets(destinations * (_AT_ONCE if len(destinations) == 1 else 1))
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOCKETS)]
    for at, each in enumerate(sockets):
        each.bind(("", SOURCE_PORT + at))
    packets.send(sockets, 0.3)
    print(msgspec.json.encode(packets.send(sockets, flood.seconds)).decode())


if __name__ == "__main__":
    main()
