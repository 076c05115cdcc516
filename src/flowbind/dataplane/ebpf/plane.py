"""The eBPF data plane: pinned maps, programs at tc, one device.

Everything lives below `pin_path`: the maps, pinned by name. The maps, the device and the attached
programs outlive the daemon, which on its next start takes the maps from their pins and puts its own
programs in the place of the attached ones, in one step each, so that no packet is lost.
"""

import ctypes
import fcntl
import os
import socket
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from msgspec import Struct

from flowbind.dataplane.base import (
    DataPlaneError,
    Decision,
    FlowRecord,
    Packet,
    Reconciliation,
    Role,
)
from flowbind.dataplane.decision import decide
from flowbind.dataplane.ebpf import layout, libbpf
from flowbind.dataplane.netlink import Device, device_exists, forwards_packets, usable_interfaces
from flowbind.dataplane.normal import check, normalised, reconcile
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import NodeForwarding

OBJECT: Final = Path(__file__).parent / "objects" / "flowbind.bpf.o"
BPF_FILE_SYSTEM: Final = Path("/sys/fs/bpf")

TUNNEL_OVERHEAD: Final = 24
"""Octets of the largest outer header that a path may have: IPv4 and GRE."""

_BPF_FS_MAGIC: Final = 0xCAFE4A11
_FLOW_LIFE_S: Final = 60.0
_NS: Final = 1_000_000_000

_MAPS: Final = {
    "settings_map": (4, ctypes.sizeof(layout.SettingsValue)),
    "nodes_map": (4, ctypes.sizeof(layout.NodeValue)),
    "policies_map": (ctypes.sizeof(layout.PolicyKey), ctypes.sizeof(layout.PolicyValue)),
    "flows_map": (ctypes.sizeof(layout.FlowKey), ctypes.sizeof(layout.FlowValue)),
    "counters_map": (4, 8),
}

_PROGRAMS: Final = {
    Role.HOME_AGENT: ("home_agent_device", "home_agent_link"),
    Role.MOBILE_NODE: ("mobile_node_device", "mobile_node_link"),
}


class EbpfSettings(Struct, frozen=True):
    """What the plane needs to know of its host.

    `interfaces` are the underlays of a home agent and its links to correspondents; empty means all.
    A mobile node's underlays are those of its paths. `home_address` is the mobile node's own.
    """

    role: Role
    device: str
    pin_path: str
    home_agent: IPv4Address
    home_networks: tuple[IPv4Network, ...] = ()
    home_address: IPv4Address | None = None
    interfaces: tuple[str, ...] = ()
    shortcut: bool = True
    default_route: bool = False
    mtu: int = 1500


class EbpfDataPlane:
    """Forwards in the kernel. Made by `open_ebpf`; see DataPlane for what each method promises."""

    def __init__(
        self,
        settings: EbpfSettings,
        library: libbpf.Library,
        bpf_object: libbpf.BpfObject,
        device: Device,
        lock_fd: int,
    ) -> None:
        self._settings = settings
        self._library = library
        self._object = bpf_object
        self._device = device
        self._lock_fd = lock_fd
        self._maps = {name: bpf_object.map(name, *sizes) for name, sizes in _MAPS.items()}
        self._attached: set[int] = set()
        self.warnings: list[str] = []

    # ---- start

    def start(self) -> None:
        """Write the settings, attach the programs, then let routes lead to the device."""
        settings, device = self._settings, self._device
        device.bring_up(settings.mtu - TUNNEL_OVERHEAD)
        self._write_settings()
        program, _ = _PROGRAMS[settings.role]
        libbpf.attach(
            self._library, device.ifindex, libbpf.EGRESS, self._object.program_fd(program)
        )
        if settings.role is Role.HOME_AGENT:
            self._start_home_agent()
        elif settings.home_address is not None:
            device.add_address(settings.home_address)
            device.route_from(settings.home_address, default=settings.default_route)

    def _start_home_agent(self) -> None:
        for name in self._settings.interfaces or usable_interfaces(self._settings.device):
            self._attach_link(self._index_of(name))
        for network in self._settings.home_networks:
            self._device.route(network)
        if not forwards_packets():
            self.warnings.append("net.ipv4.ip_forward is 0: this host forwards no packets")

    def _write_settings(self) -> None:
        home_address = self._settings.home_address or IPv4Address(0)
        value = layout.SettingsValue(
            layout.octets(self._settings.home_agent),
            layout.octets(home_address),
            self._device.ifindex,
            self._settings.mtu - TUNNEL_OVERHEAD,
            int(self._settings.shortcut),
        )
        self._maps["settings_map"].update(bytes(4), bytes(value))

    def _attach_link(self, ifindex: int) -> None:
        _, program = _PROGRAMS[self._settings.role]
        fd = self._object.program_fd(program)
        libbpf.attach(self._library, ifindex, libbpf.INGRESS, fd)
        self._attached.add(ifindex)

    @staticmethod
    def _index_of(interface: str | None) -> int:
        if interface is None:
            return 0
        try:
            return socket.if_nametoindex(interface)
        except OSError as error:
            raise DataPlaneError(f"there is no interface {interface}") from error

    # ---- nodes

    def program(self, node: NodeForwarding) -> None:
        """Forward for this node exactly as said; the policy is written before it is switched to."""
        check(node)
        node = normalised(node)
        ifindexes = [self._index_of(path.interface) for path in node.paths]
        for ifindex in ifindexes:
            if ifindex and ifindex not in self._attached:
                self._attach_link(ifindex)
        before = self._node(node.home_address)
        generation = (before.generation + 1) % (1 << 32) if before else 1
        slot = 1 - before.slot if before else 0
        if node.rules:
            key = layout.policy_key(node.home_address, slot)
            self._maps["policies_map"].update(key, layout.pack_policy(node))
        value = layout.pack_node(node, ifindexes, generation, slot)
        self._maps["nodes_map"].update(node.home_address.packed, value)

    def _node(self, home_address: IPv4Address) -> layout.NodeValue | None:
        value = self._maps["nodes_map"].lookup(home_address.packed)
        return layout.NodeValue.from_buffer_copy(value) if value else None

    def remove(self, home_address: IPv4Address) -> None:
        """Stop forwarding for a home address."""
        self._maps["nodes_map"].delete(home_address.packed)
        for slot in (0, 1):
            self._maps["policies_map"].delete(layout.policy_key(home_address, slot))

    def reconcile(self, nodes: Iterable[NodeForwarding]) -> Reconciliation:
        """Make the plane hold exactly these nodes."""
        return reconcile(self, nodes)

    def nodes(self) -> tuple[NodeForwarding, ...]:
        """Return what is programmed, read back from the maps, by home address."""
        addresses = sorted(IPv4Address(key) for key in self._maps["nodes_map"].keys())  # noqa: SIM118 -- a map of the kernel, not a dict
        found = (self._read(each) for each in addresses)
        return tuple(node for node in found if node)

    def _read(self, home_address: IPv4Address) -> NodeForwarding | None:
        value = self._node(home_address)
        if value is None:
            return None
        paths = tuple(
            layout.unpack_path(path, _name_of(path.ifindex))
            for path in value.paths[: value.path_count]
        )
        return NodeForwarding(home_address, paths, self._read_rules(home_address, value))

    def _read_rules(
        self, home_address: IPv4Address, value: layout.NodeValue
    ) -> tuple[FlowRule, ...]:
        key = layout.policy_key(home_address, value.slot)
        policy = self._maps["policies_map"].lookup(key) if value.rule_count else None
        if policy is None:
            return ()
        rules = layout.PolicyValue.from_buffer_copy(policy).rules
        return tuple(layout.unpack_rule(rule) for rule in rules[: value.rule_count])

    # ---- questions

    def decide(self, packet: Packet) -> Decision:
        """Tell what becomes of such a packet, from what the maps hold."""
        node = self._read(packet.local)
        return decide(node, packet) if node else Decision("no-node")

    def flows(self) -> tuple[FlowRecord, ...]:
        """Return the flows of the last minute, most recent first."""
        flows = self._maps["flows_map"]
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        records: list[FlowRecord] = []
        for key in flows.keys():  # noqa: SIM118 -- a map of the kernel, not a dict
            value = flows.lookup(key)
            if value is not None:
                records.append(_flow_record(key, value, now_ns))
        live = [record for record in records if record.idle_s <= _FLOW_LIFE_S]
        return tuple(sorted(live, key=lambda record: record.idle_s))

    def statistics(self) -> dict[str, int]:
        """Return the counters by name, summed over the processors."""
        return {name: self._counter(index) for index, name in enumerate(layout.COUNTERS)}

    def _counter(self, index: int) -> int:
        processors = self._library.call("libbpf_num_possible_cpus")
        counters = libbpf.BpfMap(self._library, self._maps["counters_map"].fd, 4, 8 * processors)
        value = counters.lookup(index.to_bytes(4, "little"))
        return sum(memoryview(value).cast("Q")) if value else 0

    # ---- end

    def close(self) -> None:
        """Let go of the plane; what is pinned and attached keeps forwarding."""
        self._object.close()
        self._device.close()
        os.close(self._lock_fd)

    def cleanup(self) -> None:
        """Remove everything this plane ever made."""
        for name in usable_interfaces(self._settings.device):
            libbpf.detach(self._library, self._index_of(name), libbpf.INGRESS)
        self._device.remove()
        self._object.close()
        pins = Path(self._settings.pin_path)
        for name in _MAPS:
            (pins / name).unlink(missing_ok=True)
        pins.rmdir()
        os.close(self._lock_fd)


def _name_of(ifindex: int) -> str | None:
    if not ifindex:
        return None
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        # The interface went away, and with it the truth of this path.
        return f"#{ifindex}"


def _flow_record(key: bytes, value: bytes, now_ns: int) -> FlowRecord:
    flow_key = layout.FlowKey.from_buffer_copy(key)
    flow = layout.FlowValue.from_buffer_copy(value)
    packet = Packet(
        remote=layout.address(flow_key.remote),
        local=layout.address(flow_key.local),
        protocol=flow_key.protocol,
        remote_port=int.from_bytes(bytes(flow_key.remote_port), "big"),
        local_port=int.from_bytes(bytes(flow_key.local_port), "big"),
        dscp=flow_key.ds >> 2,
        spi=int.from_bytes(bytes(flow_key.spi), "big"),
        fragment=flow_key.has != layout.has_of(flow_key.protocol, fragment=False),
    )
    verdict = {layout.PATH_DROP: "drop", layout.PATH_NONE: "no-path"}.get(flow.path, "forward")
    return FlowRecord(
        packet=packet,
        verdict=verdict,
        bid=flow.bid if verdict == "forward" else None,
        rule=None if flow.rule == layout.RULE_NONE else flow.rule,
        packets=flow.packets,
        octets=flow.octets,
        idle_s=max(0.0, (now_ns - flow.last_seen_ns) / _NS),
    )


def open_ebpf(settings: EbpfSettings) -> EbpfDataPlane:
    """Open the plane: adopt what is pinned, or make it. Raises DataPlaneError.

    Should it fail half-way, what this call made is removed again; what was there before stays.
    """
    _require_privileges()
    pins = Path(settings.pin_path)
    fresh = not pins.exists()
    fresh_device = not device_exists(settings.device)
    _prepare_pins(pins)
    lock_fd = _lock(pins)
    device: Device | None = None
    try:
        library = libbpf.Library()
        bpf_object = libbpf.BpfObject(library, OBJECT)
        for name in _MAPS:
            bpf_object.pin_map_at(name, pins / name)
        bpf_object.load()
        device = Device(settings.device)
        plane = EbpfDataPlane(settings, library, bpf_object, device, lock_fd)
        plane.start()
    except DataPlaneError:
        if device is not None and fresh_device:
            device.remove()
        if fresh:
            _remove_pins(pins)
        os.close(lock_fd)
        raise
    return plane


def cleanup_ebpf(settings: EbpfSettings) -> None:
    """Remove everything that `open_ebpf` ever made with these settings. Raises DataPlaneError."""
    if not Path(settings.pin_path).exists() and not device_exists(settings.device):
        return
    open_ebpf(settings).cleanup()


def _require_privileges() -> None:
    if os.geteuid() != 0:
        raise DataPlaneError("forwarding needs root (CAP_NET_ADMIN and CAP_BPF)")


def _prepare_pins(pins: Path) -> None:
    """Make the directory of the pins on a BPF file system."""
    if pins.is_relative_to(BPF_FILE_SYSTEM) and not _is_bpf_file_system(BPF_FILE_SYSTEM):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"bpf", str(BPF_FILE_SYSTEM).encode(), b"bpf", 0, None) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise DataPlaneError(f"{BPF_FILE_SYSTEM}: cannot mount a BPF file system: {reason}")
    try:
        pins.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataPlaneError(f"{pins}: {error.strerror}") from error
    if not _is_bpf_file_system(pins):
        raise DataPlaneError(f"{pins} is not on a BPF file system (mount -t bpf bpf DIRECTORY)")
    foreign = [each.name for each in pins.iterdir() if each.name not in _MAPS]
    if foreign:
        raise DataPlaneError(f"{pins} holds what is not ours: {', '.join(sorted(foreign))}")


def _is_bpf_file_system(path: Path) -> bool:
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(str(path).encode(), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:8], "little") == _BPF_FS_MAGIC


def _lock(pins: Path) -> int:
    fd = os.open(pins, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise DataPlaneError(f"{pins} is in use by another daemon") from error
    return fd


def _remove_pins(pins: Path) -> None:
    for name in _MAPS:
        (pins / name).unlink(missing_ok=True)
    pins.rmdir()
