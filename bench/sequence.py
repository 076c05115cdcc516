"""Numbered packets through a tunnel at a steady rate, and which of them arrive: two processes.

The one that sends is at the correspondent, the one that counts at the mobile node, where it sees
what is encapsulated for any address. Each ends when its standard input does, the sender first.
"""

import select
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from bench.network import inside

RATE = 20_000
"""Packets a second."""

_BATCH_S = 0.001
_SEQUENCE = struct.Struct("!Q")
_DISCARD_PORT = 9
_SO_RCVBUFFORCE = 33
_BUFFER_OCTETS = 256 << 20
_MAX_DATAGRAM = 2048
_UNDER_WAY_S = 0.5
_PATIENCE_S = 20


class Packets:
    """Packets for a home address, from `with` to its end. `sent` and `lost` are known then."""

    def __init__(self, home_address: str) -> None:
        self.sent = self.lost = 0
        self._receiver = _start("mn", "receive", "")
        if _line(self._receiver) != "ready":
            raise SystemExit("bench: nothing counts the packets")
        self._sender = _start("cn", "send", home_address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sent = int(self._sender.communicate(timeout=_PATIENCE_S)[0])
        time.sleep(_UNDER_WAY_S)
        self.lost = self.sent - int(self._receiver.communicate(timeout=_PATIENCE_S)[0])


def _start(node: str, what: str, home_address: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        inside(node, sys.executable, "-m", "bench.sequence", what, home_address),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def _line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip() if process.stdout else ""


# ---- the processes


def send(home_address: str) -> int:
    """Send until standard input ends; returns how many it were."""
    sent = 0
    begun_at = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((home_address, _DISCARD_PORT))
        while not select.select([sys.stdin], [], [], _BATCH_S)[0]:
            due = int((time.monotonic() - begun_at) * RATE)
            for number in range(sent, due):
                sender.send(_SEQUENCE.pack(number))
            sent = max(sent, due)
    return sent


def receive() -> int:
    """Count until standard input ends; returns how many different ones arrived."""
    arrived: set[bytes] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_OCTETS)
        receiver.setblocking(False)
        print("ready", flush=True)
        ready: list[object] = []
        while sys.stdin not in ready:
            ready, _, _ = select.select([receiver, sys.stdin], [], [])
            with suppress(BlockingIOError):
                while True:
                    arrived.add(receiver.recv(_MAX_DATAGRAM)[-_SEQUENCE.size :])
    return len(arrived)


if __name__ == "__main__":
    print(send(sys.argv[2]) if sys.argv[1] == "send" else receive())
