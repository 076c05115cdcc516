"""The truth: what the kernel of each access router saw pass, by inner 5-tuple.

One tcpdump per access router, on its link toward the internet. Nothing here asks flowbind. A packet
counts for an access network only if it is inside a tunnel (IP-in-IP or GRE); a packet that bears
the home address *outside* of one is counted apart, because there must be none.
"""

import ipaddress
import re
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from flowbind.lab import processes, topology
from flowbind.lab.capture import PcapTail
from flowbind.lab.errors import LabError
from flowbind.lab.traffic.tally import bin_of

CAPTURE_DIRECTORY = topology.RUN_DIRECTORY / "captures"
UP, DOWN = "up", "down"

_IP_IN_IP, _GRE, _TCP, _UDP, _ICMP = 4, 47, 6, 17, 1
_ENCAPSULATIONS = {_IP_IN_IP: "ipip", _GRE: "gre"}
_VERSION = 4
_IPV4_MINIMUM = 20
_GRE_MINIMUM = 4
_GRE_ETHERTYPE_IPV4 = 0x0800
_GRE_OPTIONS = (0x8000, 0x2000, 0x1000)  # checksum, key, sequence number: 4 octets each
_FRAGMENT_OFFSET = 0x1FFF
_PORTS_OCTETS = 4
_HOME_NETWORK = ipaddress.ip_network(topology.HOME_NETWORK)
_HOME_PREFIX = _HOME_NETWORK.network_address.packed[:3]
_READY_S = 5.0
_PORTS = struct.Struct("!HH")
_LENGTH = struct.Struct("!H")


class Inner(Struct, frozen=True):
    """The 5-tuple of a tunnelled packet, as the mobile node's end of it, and its length."""

    direction: str
    protocol: int
    remote: bytes
    local: bytes
    remote_port: int
    local_port: int
    octets: int


FlowKey = tuple[int, bytes, bytes, int, int]


def inner_of(packet: bytes) -> Inner | None:
    """Take the tunnel header off an IPv4 packet; None if it is not a tunnel to the home network."""
    start = _inner_start(packet)
    if start is None or len(packet) < start + _IPV4_MINIMUM or packet[start] >> 4 != _VERSION:
        return None
    source, destination = packet[start + 12 : start + 16], packet[start + 16 : start + 20]
    (octets,) = _LENGTH.unpack_from(packet, start + 2)
    protocol = packet[start + 9]
    source_port, destination_port = _ports(packet, start, protocol)
    if source[:3] == _HOME_PREFIX:
        return Inner(UP, protocol, destination, source, destination_port, source_port, octets)
    if destination[:3] == _HOME_PREFIX:
        return Inner(DOWN, protocol, source, destination, source_port, destination_port, octets)
    return None


def _inner_start(packet: bytes) -> int | None:
    if len(packet) < _IPV4_MINIMUM:
        return None
    start = (packet[0] & 0x0F) * 4
    if packet[9] == _IP_IN_IP:
        return start
    if packet[9] != _GRE or len(packet) < start + _GRE_MINIMUM:
        return None
    flags, ethertype = _PORTS.unpack_from(packet, start)
    if ethertype != _GRE_ETHERTYPE_IPV4:
        return None
    return start + _GRE_MINIMUM + sum(4 for option in _GRE_OPTIONS if flags & option)


def _ports(packet: bytes, start: int, protocol: int) -> tuple[int, int]:
    (fragment,) = _LENGTH.unpack_from(packet, start + 6)
    at = start + (packet[start] & 0x0F) * 4
    if protocol not in {_TCP, _UDP} or fragment & _FRAGMENT_OFFSET:
        return 0, 0
    if len(packet) < at + _PORTS_OCTETS:
        return 0, 0
    source, destination = _PORTS.unpack_from(packet, at)
    return source, destination


def bears_home_address(packet: bytes) -> bool:
    """Tell whether an outer address is one of the home network: such a packet has leaked."""
    return _HOME_PREFIX in {packet[12:15], packet[16:19]}


class FlowMatch(Struct, frozen=True):
    """Which tunnelled packets belong to a flow of the story; None matches any."""

    protocol: int
    remote_ports: tuple[int, int] | None = None

    def matches(self, key: FlowKey) -> bool:
        """Tell whether a flow is part of it."""
        protocol, _, _, remote_port, _ = key
        if protocol != self.protocol:
            return False
        return self.remote_ports is None or (
            self.remote_ports[0] <= remote_port <= self.remote_ports[1]
        )


class Observation:
    """Counts of packets by access network, flow, direction and time."""

    def __init__(self, flows: dict[str, tuple[FlowMatch, ...]]) -> None:
        self._flows = flows
        self._names: dict[FlowKey, str] = {}
        self._tails: dict[str, PcapTail] = {}
        # access network -> bin -> (flow, direction) -> packets
        self._packets: dict[str, dict[int, Counter[tuple[FlowKey, str]]]] = {}
        # (access network, name of the flow) -> bin -> octets
        self._octets: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        self.leaked: Counter[str] = Counter()
        self.untunnelled: Counter[str] = Counter()
        self._tunnels: dict[str, Counter[int]] = defaultdict(Counter)

    def watch(self, network: str, path: Path) -> None:
        """Count the packets of this capture for this access network."""
        self._tails[network] = PcapTail(path)
        self._packets[network] = defaultdict(Counter)

    def poll(self) -> None:
        """Take in what has been captured since the last time."""
        for network, tail in self._tails.items():
            packets = self._packets[network]
            for at, octets in tail.poll():
                inner = inner_of(octets)
                if inner is None:
                    self.untunnelled[network] += 1
                    self.leaked[network] += bears_home_address(octets)
                    continue
                key = (inner.protocol, inner.remote, inner.local, inner.remote_port,
                       inner.local_port)  # fmt: skip
                now = bin_of(at)
                self._tunnels[network][octets[9]] += 1
                packets[now][key, inner.direction] += 1
                self._octets[network, self.name_of(key)][now] += inner.octets

    def name_of(self, key: FlowKey) -> str:
        """Return the story's name of a flow, "other" if it has none."""
        name = self._names.get(key)
        if name is None:
            matches = (n for n, m in self._flows.items() if any(each.matches(key) for each in m))
            name = self._names[key] = next(matches, "other")
        return name

    def tunnels(self, network: str) -> dict[str, int]:
        """Count the tunnelled packets of an access network by their encapsulation."""
        return {_ENCAPSULATIONS[each]: count for each, count in self._tunnels[network].items()}

    def packets(
        self, name: str, first_bin: int, end_bin: int, direction: str | None = None
    ) -> dict[str, int]:
        """Count the packets of a named flow on each access network in a stretch of time."""
        return {
            network: sum(counts.values())
            for network, counts in self._by_network(name, first_bin, end_bin, direction).items()
        }

    def paths(self, name: str, first_bin: int, end_bin: int) -> dict[FlowKey, dict[str, int]]:
        """Count for every single flow under a name the packets on each access network."""
        found: dict[FlowKey, dict[str, int]] = defaultdict(dict)
        for network, counts in self._by_network(name, first_bin, end_bin, None).items():
            for (key, _), count in counts.items():
                found[key][network] = found[key].get(network, 0) + count
        return found

    def series(self, name: str, first_bin: int, end_bin: int) -> dict[str, list[int]]:
        """Return the packets of a named flow in every single bin, by access network."""
        return {
            network: [
                sum(
                    count
                    for (key, _), count in bins.get(at, Counter()).items()
                    if self.name_of(key) == name
                )
                for at in range(first_bin, end_bin)
            ]
            for network, bins in self._packets.items()
        }

    def octets(self, network: str, name: str, first_bin: int, end_bin: int) -> int:
        """Add up the octets of a named flow, inner headers included."""
        counts = self._octets.get((network, name), Counter[int]())
        return sum(count for at, count in counts.items() if first_bin <= at < end_bin)

    def _by_network(
        self, name: str, first_bin: int, end_bin: int, direction: str | None
    ) -> dict[str, Counter[tuple[FlowKey, str]]]:
        found: dict[str, Counter[tuple[FlowKey, str]]] = {}
        for network, bins in self._packets.items():
            total = found[network] = Counter[tuple[FlowKey, str]]()
            for at in range(first_bin, end_bin):
                for (key, way), count in bins.get(at, Counter()).items():
                    if self.name_of(key) == name and direction in {None, way}:
                        total[key, way] += count
        return found


class Capture:
    """A tcpdump inside a node."""

    def __init__(self, name: str, path: Path, process: processes.Process) -> None:
        self.name = name
        self.path = path
        self._process = process

    def stop(self) -> int:
        """End it and return how many packets the kernel dropped before tcpdump had them."""
        self._process.stop()
        said = self._process.errors.read_text()
        dropped = re.findall(r"(\d+) packets? dropped by kernel", said)
        if not dropped:
            raise LabError(f"tcpdump in {self.name} ended early: {self._process.last_words()}")
        return int(dropped[-1])


def start_capture(
    node: str, device: str, expression: str, path: Path, *, snap_octets: int
) -> Capture:
    """Capture on a device of a node; returns once packets are being taken in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    process = processes.start(
        node,
        f"tcpdump-{node}-{path.stem}",
        ["tcpdump", "-i", device, "-n", "-p", "-U", "--immediate-mode", "-B", "16384", "-Z", "root",
         "-s", str(snap_octets), "-w", str(path), expression],
    )  # fmt: skip
    deadline = time.monotonic() + _READY_S
    while "listening on" not in process.errors.read_text():
        if process.ended() or time.monotonic() > deadline:
            raise LabError(f"tcpdump in {node}: {process.last_words()}")
        time.sleep(0.01)
    return Capture(node, path, process)


def start_access_captures(directory: Path = CAPTURE_DIRECTORY) -> list[Capture]:
    """Capture in every access router, on the link toward the internet."""
    return [
        start_capture(each.name, "up0", "ip", directory / f"{each.name}.pcap", snap_octets=128)
        for each in topology.ACCESSES
    ]


def start_signalling_capture(path: Path) -> Capture:
    """Capture the registrations, whole, where they reach the home agent."""
    return start_capture("home-agent", "inet0", "udp port 434", path, snap_octets=65535)


def dropped_by(captures: Iterable[Capture]) -> int:
    """End captures and return how many packets they missed altogether."""
    return sum(capture.stop() for capture in captures)
