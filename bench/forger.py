"""The flood: requests of good form whose authenticator is wrong, from sources of its own.

`python -m bench.forger PROCESSOR NODES PER_S` says "ready"; the first line that it is given lets it
begin, the second one ends it. Then it prints how many it has sent in how many seconds. Nothing
tells such a request from a real one but the authenticator, which the home agent has to compute.
"""

import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from itertools import cycle

from bench import mobile_nodes
from bench.network import HOME_AGENT
from flowbind.wire.iana import MOBILE_IP_PORT

SOURCES = tuple(f"203.0.113.{host}" for host in range(100, 116))
_AUTHENTICATOR_OCTETS = 16
_TURN_S = 0.001


def main() -> None:
    """Wait for the word, flood, and tell what was done."""
    processor, nodes, per_s = map(int, sys.argv[1:])
    os.sched_setaffinity(0, {processor})
    requests = forged(nodes)
    sockets = [_from(address) for address in SOURCES]
    print("ready", flush=True)
    while sys.stdin.readline():
        print(*_flood(requests, sockets, per_s), flush=True)
        sys.stdin.readline()


def forged(nodes: int) -> list[bytes]:
    """Return a request of each node that its node has not made."""
    return [
        each.payload[:-_AUTHENTICATOR_OCTETS] + os.urandom(_AUTHENTICATOR_OCTETS)
        for each in mobile_nodes.requests(range(nodes), time.time(), nodes)
    ]


def _from(address: str) -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((address, 0))
    sender.connect((HOME_AGENT, MOBILE_IP_PORT))
    return sender


def _flood(
    requests: Sequence[bytes], sockets: Sequence[socket.socket], per_s: int
) -> tuple[int, float]:
    """Send every millisecond until there is another line to read. Returns what `main` prints."""
    begun_at = time.perf_counter()
    sent = 0
    pairs = zip(cycle(requests), cycle(sockets), strict=False)
    while not select.select([sys.stdin], [], [], _TURN_S)[0]:
        due = int((time.perf_counter() - begun_at) * per_s)
        for (payload, sender), _count in zip(pairs, range(due - sent), strict=False):
            sender.send(payload)
        sent = max(due, sent)
    return sent, time.perf_counter() - begun_at


if __name__ == "__main__":
    main()
