"""A home agent's engine and database with many bindings, and how much memory they take.

`python -m bench.memory_agent register|restart DIRECTORY NODES` prints what it found as JSON. The
tunnels of the data plane are the kernel's memory, and so are left out, as is the network.
"""

import gc
import os
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import mobile_nodes
from bench.network import HOME_AGENT
from flowbind.auth.association import SecurityAssociation
from flowbind.daemon.loop import EngineLoop
from flowbind.daemon.perform import Outlets, Performer
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.effects import SendDatagram, SendProbe
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import Received
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.model.tunnel import NodeForwarding
from flowbind.store import open_store
from flowbind.wire.iana import MOBILE_IP_PORT

PATHS = 3
_BATCH = 2048
_ADDRESS = IPv4Address(HOME_AGENT)


class Found(Struct, frozen=True):
    """What came of it: octets of resident memory beyond those of the configuration."""

    bindings: int
    octets: int
    lasted_s: float


class KernelsPlane(MemoryDataPlane):
    """Takes forwarding and keeps nothing, as what the kernel keeps is not in this process."""

    def program(self, node: NodeForwarding) -> None:
        """Do nothing."""


def main() -> None:
    """Register or restart as the arguments say."""
    what, directory, nodes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    config = HomeAgentConfig(
        _ADDRESS, (mobile_nodes.HOME_NETWORK,), tuple(map(_entry, range(nodes)))
    )
    engine = HomeAgent(config)
    before = _resident_octets()
    begun_at = time.perf_counter()
    store = open_store(f"sqlite://{directory / 'memory.db'}")
    performer = Performer(KernelsPlane(), store, Outlets(_send, _probe))
    if what == "register":
        for bid in range(1, PATHS + 1):
            for first in range(0, nodes, _BATCH):
                _register(engine, performer, range(first, min(first + _BATCH, nodes)), bid)
    else:
        EngineLoop(engine, performer).restore(store.load())
    lasted_s = time.perf_counter() - begun_at
    bindings = sum(len(record.bindings) for record in engine.records.values())
    found = Found(bindings, _resident_octets() - before, lasted_s)
    store.close()
    print(msgspec.json.encode(found).decode())


def _entry(node: int) -> MobileNodeEntry:
    association = SecurityAssociation(
        mobile_nodes.SPI, mobile_nodes.key(node), timestamp_tolerance_s=60.0
    )
    return MobileNodeEntry(IPv4Address(mobile_nodes.home_address(node)), (association,))


def _register(engine: HomeAgent, performer: Performer, nodes: range, bid: int) -> None:
    """Register one path of these nodes durably, as requests that came together."""
    now = time.time()
    events = [
        Received(each.payload, _ADDRESS, MOBILE_IP_PORT, _ADDRESS, MOBILE_IP_PORT)
        for each in mobile_nodes.requests(nodes, now, len(nodes), bid)
    ]
    if performer.perform([engine.handle(event, now) for event in events]):
        raise SystemExit("bench: a registration could not be carried out")


def _send(datagram: SendDatagram) -> None:
    if not mobile_nodes.accepts(datagram.payload):
        raise SystemExit("bench: a registration was denied")


def _probe(_probe: SendProbe) -> None:
    """Probing paths is the mobile node's part."""


def _resident_octets() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    main()
