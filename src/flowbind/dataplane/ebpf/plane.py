"""The eBPF data plane: pinned maps, programs at tc, one device.

Everything lives below `pin_path`: the maps, pinned by name, and the links of the programs. The
maps, the device and the attached programs outlive the daemon, which on its next start takes the
maps from their pins and puts its own programs in the place of the attached ones, in one step each,
so that no packet is lost.
"""

import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from flowbind.dataplane import at_home, netlink, netlink6, ownership
from flowbind.dataplane.base import (
    Attach,
    DataPlaneError,
    FlowRecord,
    Reconciliation,
    Role,
)
from flowbind.dataplane.ebpf import layout, libbpf, machine, questions
from flowbind.dataplane.ebpf.attachments import Attachments
from flowbind.dataplane.ebpf.filters import EGRESS, INGRESS
from flowbind.dataplane.ebpf.migration import Migration
from flowbind.dataplane.ebpf.pins import Pins
from flowbind.dataplane.ebpf.prefixes import Prefixes
from flowbind.dataplane.interception import Interception, remove_proxies
from flowbind.dataplane.mtu import Ends, Mtus
from flowbind.dataplane.narrow import NarrowNodes, link_mtu
from flowbind.dataplane.normal import check, normalised, reconcile
from flowbind.model.decision import Decision, Packet
from flowbind.model.flow import FlowRule
from flowbind.model.home_link import HomeLink
from flowbind.model.tunnel import LINK_MTU, NodeForwarding
from flowbind.model.tunnel import Path as TunnelPath

_log = logging.getLogger("flowbind")

OBJECT: Final = Path(__file__).parent / "objects" / "flowbind.bpf.o"

_FLOW_LIFE_S: Final = 60.0


class _Programs(Struct, frozen=True):
    """The programs of a role, for the device and for the two kinds of links, and their handle.

    `explain` is attached nowhere: it tells what becomes of a packet.
    """

    device: str
    link: str
    raw_link: str
    explain: str
    handle: int


_PROGRAMS: Final = {
    Role.HOME_AGENT: _Programs(
        "home_agent_device", "home_agent_link", "home_agent_raw", "home_agent_explain", 0xFB1
    ),
    Role.MOBILE_NODE: _Programs(
        "mobile_node_device", "mobile_node_link", "mobile_node_raw", "mobile_node_explain", 0xFB2
    ),
}


class EbpfSettings(Struct, frozen=True):
    """What the plane needs to know of its host, which may have one plane of each role.

    `interfaces` are the underlays of a home agent and its links to correspondents; empty means all
    that are there at the start. With `shortcut` packets for nodes do not pass its routing, with
    `shortcut_out` neither do those from them. A mobile node's underlays are those of its paths.
    `home_address` is the mobile node's own, None as long as it has been given none. With
    `broadcasts` it takes what is broadcast at home, to everybody or to `home_broadcast`. With
    `udp_tunnels` paths may be in UDP, for which room is left. `home_link` is where the
    nodes of a home agent are at home, None if its networks are virtual; with `discovery` the host
    itself receives what is sent to the broadcast addresses of those. No link is taken to be larger
    than `mtu`. With `mss_clamping` TCP connections are told what fits.

    `ipv6_prefixes` are those that the nodes of a home agent may register (RFC 5454), or those of a
    mobile node.
    """

    role: Role
    device: str
    pin_path: str
    home_agent: IPv4Address
    home_networks: tuple[IPv4Network, ...] = ()
    home_address: IPv4Address | None = None
    home_link: str | None = None
    discovery: bool = False
    interfaces: tuple[str, ...] = ()
    shortcut: bool = True
    shortcut_out: bool = False
    default_route: bool = False
    broadcasts: bool = False
    home_broadcast: IPv4Address | None = None
    mtu: int = LINK_MTU
    mss_clamping: bool = True
    udp_tunnels: bool = False
    attach: Attach = Attach.AUTO
    ipv6_prefixes: tuple[IPv6Network, ...] = ()

    @property
    def of_ipv6(self) -> netlink6.Wanted:
        """What is to lead to the device of IPv6."""
        if self.role is Role.HOME_AGENT:
            return netlink6.Wanted(self.ipv6_prefixes)
        return netlink6.Wanted(
            self.ipv6_prefixes,
            netlink.TABLE,
            netlink.RULE_PRIORITY,
            self.default_route,
            netlink.PROTOCOL,
        )


class EbpfDataPlane:
    """Forwards in the kernel. Made by `open_ebpf`; see DataPlane for what each method promises."""

    def __init__(
        self,
        settings: EbpfSettings,
        library: libbpf.Library,
        bpf_object: libbpf.BpfObject,
        device: netlink.Device,
        pins: Pins,
    ) -> None:
        self._settings = settings
        self._library = library
        self._object = bpf_object
        self._device = device
        self._pins = pins
        self._programs = _PROGRAMS[settings.role]
        self._attachments = _attachments(library, settings)
        self._maps = {name: bpf_object.map(name) for name in bpf_object.map_names()}
        self._prefixes = Prefixes(self._maps)
        link = settings.home_link
        self._interception = Interception(device, link) if link else None
        self._mtus = Mtus(settings.mtu, link_mtu, in_udp=settings.udp_tunnels)
        kept = device if settings.role is Role.HOME_AGENT else None
        self._narrow = NarrowNodes(settings.device, kept, self._mtus.ordinary)
        self._ipv6 = netlink6.Ipv6(device.name, device.ifindex, settings.of_ipv6)
        self._open = True
        self.warnings: list[str] = []

    # ---- start

    def start(self) -> None:
        """Write the settings, attach the programs, then let routes lead to the device."""
        settings = self._settings
        if settings.role is Role.HOME_AGENT:
            links = set(settings.interfaces or netlink.usable_interfaces(settings.device))
        else:
            # Where tunnels that forward already arrive; their paths may never be programmed again.
            links = self._links_in_use()
        programs = {name: self._link_program(name) for name in links}
        self._narrow.found(self._mtus_held())
        self._write_settings()
        device_fd = self._object.program_fd(self._programs.device)
        self._attachments.attach(settings.device, EGRESS, device_fd)
        # Where the daemon puts what came in fragments, once the stack has put it together.
        loopback_fd = self._object.program_fd(self._programs.link)
        self._attachments.attach(netlink.LOOPBACK, INGRESS, loopback_fd)
        for name, fd in programs.items():
            self._attach_link(name, fd)
        for name in set(netlink.usable_interfaces(settings.device)) - links:
            self._attachments.detach(name, INGRESS)
        self._configure_device()
        if self._interception:
            self._interception.configure(self._away())
        elif settings.role is Role.HOME_AGENT:
            remove_proxies()
        if settings.role is Role.HOME_AGENT and not netlink.forwards_packets():
            self.warnings.append("net.ipv4.ip_forward is 0: this host forwards no packets")
        self.warnings += self._ipv6.configure(self._narrow.device_mtu)

    def _configure_device(self) -> None:
        settings = self._settings
        self._device.configure(
            netlink.Wanted(
                self._narrow.device_mtu,
                self._networks(),
                self._narrow.routes,
                settings.home_address,
                settings.default_route,
                self._broadcasts(),
            )
        )

    def _assume(self, node: NodeForwarding) -> None:
        """As a mobile node, have the home address and the home agent that replies have told."""
        settings = self._settings
        if settings.role is Role.HOME_AGENT:
            return
        remotes = {path.remote for path in node.paths} or {settings.home_agent}
        if settings.home_address == node.home_address and settings.home_agent in remotes:
            return
        self._settings = structs.replace(
            settings, home_address=node.home_address, home_agent=min(remotes)
        )
        self._write_settings()
        self._configure_device()

    def _networks(self) -> tuple[IPv4Network, ...]:
        """What leads to the device: with a home link only the nodes that are away from it."""
        if self._interception:
            return tuple(netlink.host_route(home_address) for home_address in self._away())
        return self._settings.home_networks

    def _broadcasts(self) -> tuple[IPv4Address, ...]:
        """What the host takes for its own beside its addresses. A home link has it by itself."""
        settings = self._settings
        if settings.home_broadcast:
            return (settings.home_broadcast,)
        if self._interception or not settings.discovery:
            return ()
        return tuple(each.broadcast_address for each in settings.home_networks)

    def _away(self) -> tuple[IPv4Address, ...]:
        return tuple(IPv4Address(key) for key, _value in self._maps["nodes_map"].items())

    def _links_in_use(self) -> set[str]:
        used = {path.interface for node in self.nodes() for path in node.paths}
        return {name for name in used if name in netlink.names()}

    def _write_settings(self) -> None:
        home_address = self._settings.home_address or IPv4Address(0)
        value = layout.SettingsValue(
            home_agent=layout.octets(self._settings.home_agent),
            home_address=layout.octets(home_address),
            device_ifindex=self._device.ifindex,
            shortcut=int(self._settings.shortcut),
            shortcut_out=int(self._settings.shortcut_out),
            clamp_mss=int(self._settings.mss_clamping),
            broadcasts=int(self._settings.broadcasts),
            home_broadcast=layout.octets(self._settings.home_broadcast or IPv4Address(0)),
            ipv6=int(bool(self._settings.ipv6_prefixes)),
        )
        self._maps["settings_map"].update(bytes(4), bytes(value))

    def _attach_link(self, interface: str, fd: int) -> None:
        if self._settings.role is Role.MOBILE_NODE:
            netlink.loosen_reverse_path_filter(interface)
            netlink.hide_home_address(interface)
            netlink.ignore_redirects(interface)
        self._attachments.attach(interface, INGRESS, fd)

    def _link_program(self, interface: str) -> int:
        ethernet = netlink.has_ethernet_header(interface)
        program = self._programs.link if ethernet else self._programs.raw_link
        return self._object.program_fd(program)

    # ---- nodes

    def program(self, node: NodeForwarding) -> None:
        """Forward for this node exactly as said; the policy is written before it is switched to.

        An interface may vanish at any moment, and InterfaceDown will say so; until then its path
        only sends nothing.
        """
        check(node)
        node = normalised(node)
        node = structs.replace(node, paths=tuple(_usable(path) for path in node.paths))
        # Each time: whoever manages the interface may have taken the program away with the qdisc.
        for name in {path.interface for path in node.paths if path.interface}:
            self._attach_link(name, self._link_program(name))
        before = self._node(node.home_address)
        # The flow cache may remember a node of this address that was removed: start anywhere.
        generation = before.generation + 1 if before else int.from_bytes(os.urandom(4), "big")
        slot = 1 - before.slot if before else 0
        if node.rules:
            key = layout.policy_key(node.home_address, slot)
            self._maps["policies_map"].update(key, layout.pack_policy(node))
        self._prefixes.write_rules(node, slot)
        ifindexes = [
            netlink.index_of(path.interface) if path.interface else 0 for path in node.paths
        ]
        mtu = self._mtus.of(node)
        value = layout.pack_node(node, ifindexes, generation % (1 << 32), slot, mtu)
        self._maps["nodes_map"].update(node.home_address.packed, value)
        self._prefixes.lead(node.home_address, node.prefixes)
        if self._interception:
            self._interception.intercept(node.home_address)
        self._lead(node.home_address, mtu, routed=bool(self._interception))
        self._assume(node)

    def _node(self, home_address: IPv4Address) -> layout.NodeValue | None:
        value = self._maps["nodes_map"].lookup(home_address.packed)
        return layout.NodeValue.from_buffer_copy(value) if value else None

    def remove(self, home_address: IPv4Address) -> None:
        """Stop forwarding for a home address."""
        if self._interception:
            self._interception.release(home_address)
        self._prefixes.remove(home_address)
        self._maps["nodes_map"].delete(home_address.packed)
        for slot in (0, 1):
            self._maps["policies_map"].delete(layout.policy_key(home_address, slot))
        self._mtus.forget(home_address)
        self._lead(home_address, self._mtus.ordinary, routed=False)

    # ---- MTU

    def _lead(self, home_address: IPv4Address, mtu: int, *, routed: bool) -> None:
        self._narrow.lead(home_address, mtu, routed=routed)
        for warning in self._ipv6.configure(self._narrow.device_mtu):
            _log.warning("%s", warning)

    def _mtus_held(self) -> dict[IPv4Address, int]:
        return {
            IPv4Address(key): layout.NodeValue.from_buffer_copy(value).mtu
            for key, value in self._maps["nodes_map"].items()
        }

    def limit(self, home_address: IPv4Address, ends: Ends, mtu: int | None) -> None:
        """Send no larger outer packets of a node to the far end of this tunnel."""
        if self._node(home_address):
            self._mtus.limit(home_address, ends, mtu)
            self._measure(home_address)

    def mtu(self, home_address: IPv4Address) -> int | None:
        """Return the octets of the largest packet that a node is sent at once."""
        value = self._node(home_address)
        return value.mtu if value else None

    def measure(self) -> Iterator[IPv4Address]:
        """Look again how large packets may be: an interface or a route has changed.

        Returns the nodes, one after the other as they are done.
        """
        for key in [key for key, _value in self._maps["nodes_map"].items()]:
            home_address = IPv4Address(key)
            self._measure(home_address)
            yield home_address

    def _measure(self, home_address: IPv4Address) -> None:
        value = self._node(home_address)
        if value is None:
            return
        mtu = self._mtus.of(NodeForwarding(home_address, self._paths(value)))
        if mtu != value.mtu:
            value.mtu = mtu
            self._maps["nodes_map"].update(home_address.packed, bytes(value))
        self._lead(home_address, mtu, routed=bool(self._interception))

    def program_home_link(self, link: HomeLink | None) -> None:
        """Attach this mobile node to its home link exactly as said, to none with None."""
        at_home.attach(self._node_at_home(), link)

    def home_link(self) -> HomeLink | None:
        """Return what is programmed, read back from addresses and routes."""
        return at_home.attachment(self._node_at_home())

    def _node_at_home(self) -> at_home.Node:
        settings = self._settings
        if settings.home_address is None:
            raise DataPlaneError("a home agent is nowhere at home")
        return at_home.Node(settings.home_address, settings.home_agent, settings.default_route)

    def reconcile(self, nodes: Iterable[NodeForwarding]) -> Reconciliation:
        """Make the plane hold exactly these nodes."""
        return reconcile(self, nodes)

    def nodes(self) -> tuple[NodeForwarding, ...]:
        """Return what is programmed, read back from the maps, by home address."""
        found = {IPv4Address(key): value for key, value in self._maps["nodes_map"].items()}
        return tuple(
            self._unpack(address, layout.NodeValue.from_buffer_copy(found[address]))
            for address in sorted(found)
        )

    def _unpack(self, home_address: IPv4Address, value: layout.NodeValue) -> NodeForwarding:
        return NodeForwarding(
            home_address,
            self._paths(value),
            self._read_rules(home_address, value),
            self._prefixes.of(home_address),
            layout.balance_of(value),
        )

    def _paths(self, value: layout.NodeValue) -> tuple[TunnelPath, ...]:
        return tuple(
            layout.unpack_path(path, _name_of(path.ifindex))
            for path in value.paths[: value.path_count]
        )

    def _read_rules(
        self, home_address: IPv4Address, value: layout.NodeValue
    ) -> tuple[FlowRule, ...]:
        key = layout.policy_key(home_address, value.slot)
        policy = self._maps["policies_map"].lookup(key) if value.rule_count else None
        if policy is None:
            return ()
        rules = layout.PolicyValue.from_buffer_copy(policy).rules
        of_ipv6 = self._prefixes.rules(home_address, value.slot, value.rule_count)
        return tuple(
            of_ipv6.get(index) or layout.unpack_rule(rule)
            for index, rule in enumerate(rules[: value.rule_count])
        )

    # ---- questions

    def decide(self, packet: Packet) -> Decision:
        """Tell what becomes of such a packet: the program in the kernel decides."""
        toward_node = self._settings.role is Role.HOME_AGENT
        program_fd = self._object.program_fd(self._programs.explain)
        _verdict, answer = libbpf.run_program(
            self._library, program_fd, questions.frame_of(packet, toward_node=toward_node)
        )
        return questions.decision_of(answer)

    def home_address_of(self, local: IPv4Address | IPv6Address) -> IPv4Address:
        """Return whose address this is."""
        return local if isinstance(local, IPv4Address) else self._prefixes.owner_of(local)

    def flows(self) -> tuple[FlowRecord, ...]:
        """Return the flows of the last minute, most recent first."""
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        records = (
            *(questions.flow_record(*item, now_ns) for item in self._maps["flows_map"].items()),
            *(questions.flow6_record(*item, now_ns) for item in self._maps["flows6_map"].items()),
        )
        live = [each for each in records if each.idle_s <= _FLOW_LIFE_S]
        return tuple(sorted(live, key=lambda record: record.idle_s))

    def statistics(self) -> dict[str, int]:
        """Return the counters by name, summed over the processors."""
        return {name: self._counter(index) for index, name in enumerate(layout.COUNTERS)}

    def _counter(self, index: int) -> int:
        value = self._maps["counters_map"].lookup(index.to_bytes(4, "little"))
        return sum(memoryview(value).cast("Q")) if value else 0

    # ---- end

    def close(self) -> None:
        """Let go of the plane; what is pinned and attached keeps forwarding."""
        if self._open:
            self._open = False
            self._object.close()
            self._device.close()
            self._pins.close()

    def cleanup(self) -> None:
        """Remove everything this plane ever made."""
        if self._open:
            self._open = False
            self._object.close()
            _detach_all(self._library, self._settings)
            self._device.remove()
            self._pins.remove()


def _attachments(library: libbpf.Library, settings: EbpfSettings) -> Attachments:
    path, handle = Path(settings.pin_path), _PROGRAMS[settings.role].handle
    return Attachments(library, path, handle, settings.attach)


def _detach_all(library: libbpf.Library, settings: EbpfSettings) -> None:
    if settings.role is Role.HOME_AGENT:
        remove_proxies()
    elif settings.home_address is not None:
        node = at_home.Node(settings.home_address, settings.home_agent, settings.default_route)
        at_home.attach(node, None)
    netlink6.remove(settings.device, settings.of_ipv6)
    attachments = _attachments(library, settings)
    for name in (*netlink.usable_interfaces(settings.device), netlink.LOOPBACK):
        attachments.detach(name, INGRESS)


def _usable(path: TunnelPath) -> TunnelPath:
    # A home agent's paths name no interface: it asks the kernel for no list of them, and programs
    # thousands of nodes a second.
    if path.interface is None or path.interface in netlink.names():
        return path
    return structs.replace(path, interface=None, transmit=False)


def _name_of(ifindex: int) -> str | None:
    if not ifindex:
        return None
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        # The interface went away, and with it the truth of this path.
        return f"#{ifindex}"


def open_ebpf(settings: EbpfSettings) -> EbpfDataPlane:
    """Open the plane: adopt what is pinned, or make it. Raises DataPlaneError.

    Should it fail half-way, what this call made is removed again; what was there before stays.
    """
    machine.require(OBJECT)
    ownership.check_device(settings.device)
    if settings.role is Role.MOBILE_NODE:
        ownership.check_table(settings.device)
    library = libbpf.Library()
    fresh_device = settings.device not in netlink.names()
    with ExitStack() as undo:
        pins = Pins(library, Path(settings.pin_path))
        undo.callback(pins.remove if pins.fresh else pins.close)
        bpf_object = libbpf.BpfObject(library, OBJECT)
        undo.callback(bpf_object.close)
        migration = Migration(bpf_object, pins)
        undo.callback(pins.discard)
        _load(bpf_object)
        warnings = migration.fill()
        device = netlink.Device(settings.device)
        undo.callback(device.remove if fresh_device else device.close)
        ownership.mark_device(settings.device, settings.role)
        if pins.fresh:
            undo.callback(_detach_all, library, settings)
        plane = EbpfDataPlane(settings, library, bpf_object, device, pins)
        plane.warnings += warnings
        plane.start()
        pins.install(bpf_object.map_names())
        undo.pop_all()
    return plane


def _load(bpf_object: libbpf.BpfObject) -> None:
    try:
        bpf_object.load()
    except DataPlaneError as error:
        raise DataPlaneError(f"the kernel refuses the BPF programs: {error}") from error


def cleanup_ebpf(settings: EbpfSettings) -> None:
    """Remove everything that `open_ebpf` ever made with these settings. Raises DataPlaneError.

    It loads nothing, so that it also removes what another version made.
    """
    _require_privileges()
    library = libbpf.Library()
    with ExitStack() as stack:
        pins = Path(settings.pin_path)
        held = Pins(library, pins) if pins.exists() else None
        if held:
            stack.callback(held.close)
        device = None
        if foreign := ownership.foreign_device(settings.device):
            _log.warning("device %s is left alone: %s", settings.device, foreign)
        elif settings.device in netlink.names():
            device = netlink.Device(settings.device)
        _detach_all(library, settings)
        if device:
            device.remove()
        if held:
            held.remove()


def _require_privileges() -> None:
    if os.geteuid() != 0:
        raise DataPlaneError("forwarding needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN)")
