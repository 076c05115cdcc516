"""`flowbind mobile-node run`: the mobile node's engine with the links and tables of its host."""

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path

from msgspec import structs

from flowbind.control.messages import (
    NotifyRequest,
    PathRow,
    PolicySetRequest,
    Revoked,
    RevokeRequest,
)
from flowbind.daemon import process
from flowbind.daemon.announce import announce
from flowbind.daemon.answers import NOTIFICATIONS_OFF, Answers, Refusal, check_text, with_state
from flowbind.daemon.config import ConfigError, MobileNodeSettings, read_policy
from flowbind.daemon.config_flows import bids_by_label
from flowbind.daemon.control_server import ControlServer
from flowbind.daemon.discovery import DiscoveryPorts
from flowbind.daemon.errors import DaemonError
from flowbind.daemon.home_ports import HomePorts
from flowbind.daemon.links import AccessLinks, HomeLinks, Links
from flowbind.daemon.loop import EngineLoop
from flowbind.daemon.measuring import Measuring
from flowbind.daemon.nonces import chance, nonce
from flowbind.daemon.perform import Outlets, Performer
from flowbind.daemon.probes import Probes
from flowbind.daemon.reassembled import Reassembled
from flowbind.daemon.sockets import InterfacePorts
from flowbind.daemon.tunnel_errors import ErrorPort
from flowbind.dataplane.base import Role
from flowbind.dataplane.ebpf.plane import EbpfSettings, open_ebpf
from flowbind.engine.mobile_node import MobileNode
from flowbind.engine.mobile_node.identity import Identity
from flowbind.engine.mobile_node.state import Interface, State
from flowbind.engine.notifications import Notice
from flowbind.events import (
    DeregisterRequested,
    InterfaceDown,
    InterfaceUp,
    LinkDown,
    LinkUp,
    NotifyRequested,
    PolicyReplaced,
    RegisterRequested,
)
from flowbind.model.binding import Binding, NodeRecord
from flowbind.model.config import HomeDetection, MobileNodeConfig, NatTraversal, unusable_in
from flowbind.model.tunnel import NodeForwarding
from flowbind.store import open_store
from flowbind.wire.iana import MOBILE_IP_PORT, IcmpType

_log = logging.getLogger("flowbind")


def plane_settings(settings: MobileNodeSettings, identity: Identity | None = None) -> EbpfSettings:
    """Return what the data plane of this mobile node is made with.

    `identity` holds what was learned in a former run.
    """
    identity = identity or Identity.of(settings.engine)
    return EbpfSettings(
        role=Role.MOBILE_NODE,
        device=settings.device,
        pin_path=settings.pin_path,
        home_agent=identity.home_agent,
        home_address=identity.home_address,
        default_route=settings.default_route,
        attach=settings.attach,
        broadcasts=settings.engine.broadcast_datagrams,
        home_broadcast=_home_broadcast(settings.engine),
        mtu=settings.mtu,
        mss_clamping=settings.mss_clamping,
        udp_tunnels=any(
            each.nat_traversal is not NatTraversal.OFF for each in settings.engine.interfaces
        ),
        ipv6_prefixes=settings.engine.ipv6_prefixes,
    )


def _home_broadcast(config: MobileNodeConfig) -> IPv4Address | None:
    """The address of everybody at home, for a node that asks for broadcasts and knows it."""
    network = config.home_network
    if network is None or not config.broadcast_datagrams:
        return None
    everybody = network.broadcast_address
    return everybody if everybody in unusable_in(network) else None


def run(settings: MobileNodeSettings) -> None:
    """Run until SIGTERM. Raises DaemonError, StoreError or DataPlaneError if it cannot start."""
    process.warn(settings.warnings)
    config = settings.engine
    with ExitStack() as stack:
        store = open_store(settings.store)
        stack.callback(store.close)
        records = store.load()
        process.warn(absent_interfaces([each.name for each in config.interfaces]))
        errors = ErrorPort()
        stack.callback(errors.close)
        names = {each.name for each in config.interfaces}
        reassembled = Reassembled(names.__contains__, peer=lambda: engine.identity.home_agent)
        stack.callback(reassembled.close)
        probes = Probes()
        stack.callback(probes.close)
        server = ControlServer(Path(settings.socket))
        stack.callback(server.close)
        # The last thing that may fail, so that a failed start leaves nothing half-configured.
        plane = open_ebpf(plane_settings(settings, restored_identity(config, records)))
        stack.callback(plane.close)
        process.warn(plane.warnings)
        engine = MobileNode(config, nonce, chance)
        # A revocation comes to this port, wherever the requests came from (RFC 3543 3.3).
        ports = InterfacePorts(MOBILE_IP_PORT if config.revocation else 0, former_ports(records))
        stack.callback(ports.close_all)
        home_ports = HomePorts(lambda: engine.identity.home_address, ports.send)
        stack.callback(home_ports.close_all)
        links = DiscoveryPorts(IcmpType.ROUTER_ADVERTISEMENT)
        stack.callback(links.close_all)
        outlets = Outlets(
            home_ports.send, probes.send, links.send, announce, send_error=errors.send
        )
        loop = EngineLoop(engine, Performer(plane, store, outlets))
        process.tell_what_was_found(plane.reconcile(loop.restore(records)))
        answers = Answers(MobileNodeRole(engine, loop, reassembled.statistics), plane)
        measuring = Measuring(plane)
        asyncio.run(
            _serve(
                engine,
                loop,
                ports,
                home_ports,
                links,
                probes,
                (errors, reassembled),
                server,
                answers,
                measuring,
            )
        )


def former_ports(records: Sequence[NodeRecord]) -> dict[str, int]:
    """Return the ports at which tunnels in UDP ended in a former run, by interface."""
    return {
        binding.interface: binding.udp.port
        for record in records
        for binding in record.bindings
        if binding.interface and binding.udp
    }


def restored_identity(config: MobileNodeConfig, records: Sequence[NodeRecord]) -> Identity:
    """Return what the node knows of itself after a former run.

    The data plane has to know it from the start: packets go on meanwhile.
    """
    identity = Identity.of(config)
    for record in records:
        identity.restore(record)
    return identity


def absent_interfaces(names: Sequence[str]) -> list[str]:
    """Return a line for each interface that is not there: a modem may be plugged in later.

    Raises DaemonError if none is there, which is a mistake in the configuration.
    """
    present = {name for _index, name in socket.if_nameindex()}
    absent = [name for name in names if name not in present]
    if len(absent) == len(names):
        raise DaemonError(f"[[interface]]: there is no interface {' nor '.join(names)}")
    return [f"[[interface]]: there is no interface {name} yet" for name in absent]


async def _serve(
    engine: MobileNode,
    loop: EngineLoop,
    ports: InterfacePorts,
    home_ports: HomePorts,
    links: DiscoveryPorts,
    probes: Probes,
    tunnels: tuple[ErrorPort, Reassembled],
    server: ControlServer,
    answers: Answers,
    measuring: Measuring,
) -> None:
    running = asyncio.get_running_loop()

    def link_changed(event: InterfaceUp | InterfaceDown) -> None:
        if isinstance(event, InterfaceDown):
            ports.close(event.name)
        else:
            try:
                port = ports.open(event.name, event.address)
            except DaemonError as error:
                # It went away again; the next notification says what is true then.
                _log.warning("%s: %s", event.name, error)
                return
            running.add_reader(port, lambda: loop.submit(*port.receive()))
            event = structs.replace(event, port=port.port)
        loop.submit(event)

    def home_link_changed(event: LinkUp | LinkDown) -> None:
        if isinstance(event, LinkDown):
            home_ports.close(event.name)
        links.follow(event, loop)
        loop.submit(event)

    home_ports.listen = lambda port: running.add_reader(port, lambda: loop.submit(*port.receive()))
    running.add_reader(probes, lambda: loop.submit(*probes.receive()))
    errors, reassembled = tunnels
    reassembled.listen()
    running.add_reader(errors, lambda: loop.submit(*errors.receive()))
    await server.start(answers.serve)
    loop.arm()
    config = engine.config
    _log.info("mobile node %s of home agent %s", config.name, engine.identity.home_agent)
    access = AccessLinks(engine.interfaces, engine.identity, link_changed)
    watched = HomeLinks(home_interfaces(config), home_link_changed, config.home_address)
    # An interface that has come up is known before its care-of address asks to be registered.
    links_of_host = Links(watched.look, access.look, measuring.look, routes=True)
    await process.until_told(links_of_host.watch(), measuring.watch())


def home_interfaces(config: MobileNodeConfig) -> tuple[str, ...]:
    """Return the interfaces that may be on the home link."""
    if config.home_network is None:
        return ()
    return tuple(each.name for each in config.interfaces if each.home is HomeDetection.AUTO)


class MobileNodeRole:
    """What an operator is told of a mobile node, and may ask of it."""

    name = "mobile-node"

    def __init__(
        self, engine: MobileNode, loop: EngineLoop, counted: Mapping[str, int] | None = None
    ) -> None:
        """`counted` is what the daemon itself counts."""
        self._counted: Mapping[str, int] = {} if counted is None else counted
        self._engine = engine
        self._loop = loop
        self.nai = engine.config.nai

    @property
    def message(self) -> str | None:
        """What the home agent said last in words."""
        return self._engine.message

    @property
    def home_agent(self) -> IPv4Address:
        """Where it registers; the broadcast address of its home network until it has found it."""
        return self._engine.identity.home_agent

    @property
    def home_address(self) -> IPv4Address | None:
        """The home address; None until the home agent has given one."""
        return self._engine.identity.home_address

    def mobile_nodes(self) -> int:
        """This one."""
        return 1

    def nai_of(self, home_address: IPv4Address) -> str | None:
        """The name of this one, if it has one."""
        return self.nai

    def prefixes_of(self, home_address: IPv4Address) -> tuple[IPv6Network, ...]:
        """The IPv6 prefixes of this one that the home agent has registered."""
        return self._engine.prefixes

    def multipath(self) -> str:
        """What the configuration says of multipath."""
        return self._engine.config.multipath

    def bindings(self) -> list[tuple[IPv4Address, Binding]]:
        """Every binding of this node."""
        record = self._engine.record
        return [(record.home_address, binding) for binding in record.bindings]

    def paths(self) -> list[PathRow]:
        """Every interface, with or without a tunnel."""
        return [self._path_row(each) for each in self._engine.paths]

    def _path_row(self, interface: Interface) -> PathRow:
        config, keepalive, tunnel = interface.config, interface.keepalive, interface.tunnel
        local = tunnel.local if tunnel else interface.address
        keys = interface.binding.gre_keys if interface.binding else None
        if interface.state is State.HOME:
            local = self.home_address
        deregistered = interface.state is State.DOWN and not interface.wanted
        measured = interface.state is State.UP and keepalive.rtt_s is not None
        row = PathRow(
            home_address=str(self.home_address) if self.home_address else None,
            bid=config.bid,
            interface=config.name,
            state="deregistered" if deregistered else interface.state.value,
            local=str(local) if local else "-",
            remote=str(self.home_agent),
            encapsulation=tunnel.kind if tunnel else config.encapsulation.value,
            weight=config.weight,
            rtt_ms=round((keepalive.rtt_s or 0.0) * 1000, 3) if measured else None,
            loss=round(keepalive.loss, 4) if measured else None,
            local_port=tunnel.local_port if tunnel and tunnel.in_udp else None,
            remote_port=tunnel.remote_port if tunnel and tunnel.in_udp else None,
            gre_send_key=keys.send if keys else None,
            gre_receive_key=keys.receive if keys else None,
        )
        if tunnel is None or self.home_address is None:
            return row
        return with_state(row, self._engine.tunnel_errors.state(self.home_address, tunnel))

    def forwarding(self) -> Mapping[IPv4Address, NodeForwarding]:
        """What our own packets are forwarded by."""
        home_address = self._engine.identity.home_address
        if home_address is None:
            return {}
        paths = tuple(each.tunnel for each in self._engine.paths if each.tunnel)
        balance = self._engine.config.balance
        rules, prefixes = self._engine.rules, self._engine.prefixes
        return {home_address: NodeForwarding(home_address, paths, rules, prefixes, balance)}

    def node(self, home_address: IPv4Address) -> tuple[NodeForwarding, tuple[Binding, ...]]:
        """What we are forwarded by and bound to; of a stranger nothing."""
        forwarding = self.forwarding().get(home_address)
        if forwarding is None:
            return NodeForwarding(home_address), ()
        return forwarding, self._engine.record.bindings

    def counters(self) -> Mapping[str, int]:
        """What the engine counted."""
        return {**self._engine.statistics, **self._counted}

    def replace_policy(self, request: PolicySetRequest) -> None:
        """Take another flow policy and register it at once. Raises Refusal."""
        interfaces = self._engine.config.interfaces
        bids = {each.name: each.bid for each in interfaces}
        labels = bids_by_label((each.label, each.bid) for each in interfaces)
        try:
            ipv6 = bool(self._engine.config.ipv6_prefixes)
            policy = read_policy(request.flows, request.source, bids, labels, ipv6=ipv6)
        except ConfigError as error:
            raise Refusal(str(error)) from error
        self._loop.submit(PolicyReplaced(policy))

    def register(self, interface: str | None) -> str:
        """Register an interface again, or renew all in one request. Raises Refusal."""
        self._known(interface)
        self._loop.submit(RegisterRequested(interface))
        return f"registering {interface or 'every interface'}"

    def deregister(self, interface: str | None) -> str:
        """Deregister an interface, or all in one request. Raises Refusal."""
        self._known(interface)
        self._loop.submit(DeregisterRequested(interface))
        return f"deregistering {interface or 'every interface'}"

    def revoke(self, request: RevokeRequest) -> Revoked:
        """Refuse: a mobile node deregisters (RFC 3543 4.2.4)."""
        raise Refusal("only a home agent has this: ask its daemon")

    def notify(self, request: NotifyRequest) -> str:
        """Say something to the home agent over a path that is up. Raises Refusal."""
        if not self._engine.config.notifications:
            raise Refusal(NOTIFICATIONS_OFF)
        if request.home_address is not None or request.bid is not None:
            raise Refusal("a mobile node notifies its home agent alone")
        check_text(request.text)
        home_address = self._engine.identity.home_address
        if home_address is None:
            raise Refusal("no home address yet")
        event = NotifyRequested(home_address, request.text, acknowledge=request.acknowledge)
        reason = self._engine.why_silent(event)
        if reason:
            raise Refusal(reason)
        self._loop.submit(event)
        return f"notifying {self.home_agent}"

    def notices(self) -> tuple[Notice, ...]:
        """The last notifications, to and from the home agent."""
        return self._engine.notices

    def _known(self, interface: str | None) -> None:
        if interface is not None and interface not in self._engine.interfaces:
            known = ", ".join(self._engine.interfaces)
            raise Refusal(f"no interface {interface} is configured: {known}")
