"""`flowbind home-agent run`: the home agent's engine with the sockets and tables of its host."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Network, collapse_addresses
from pathlib import Path
from typing import Final

from flowbind.control.messages import (
    NotifyRequest,
    PathRow,
    PolicySetRequest,
    Revoked,
    RevokedRow,
    RevokeRequest,
)
from flowbind.daemon import process
from flowbind.daemon.announce import announce
from flowbind.daemon.answers import NOTIFICATIONS_OFF, Answers, Refusal, check_text, with_state
from flowbind.daemon.broadcasts import Broadcasts
from flowbind.daemon.config import HomeAgentSettings
from flowbind.daemon.control_server import ControlServer
from flowbind.daemon.discovery import DiscoveryPorts
from flowbind.daemon.links import HomeLinks, Links
from flowbind.daemon.loop import EngineLoop
from flowbind.daemon.measuring import Measuring
from flowbind.daemon.nonces import chance, nonce
from flowbind.daemon.perform import Outlets, Performer
from flowbind.daemon.reassembled import Reassembled
from flowbind.daemon.sockets import Port, home_agent_port
from flowbind.daemon.tunnel_errors import ErrorPort
from flowbind.dataplane.base import Role
from flowbind.dataplane.ebpf.plane import EbpfSettings, open_ebpf
from flowbind.effects import SendProbe
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.home_agent.projection import project
from flowbind.engine.home_agent.revocation import is_meant
from flowbind.engine.notifications import Notice
from flowbind.events import LinkDown, LinkUp, NotifyRequested, RevokeRequested
from flowbind.model.binding import Binding
from flowbind.model.config import HomeAgentConfig, unusable_in
from flowbind.model.tunnel import NodeForwarding
from flowbind.model.tunnel import Path as Tunnel
from flowbind.store import open_store
from flowbind.wire.iana import IcmpType

LIMITED_BROADCAST: Final = IPv4Address("255.255.255.255")

_log = logging.getLogger("flowbind")

_NODES_ONLY = "only a mobile node has this: ask its daemon"


def plane_settings(settings: HomeAgentSettings) -> EbpfSettings:
    """Return what the data plane of this home agent is made with."""
    return EbpfSettings(
        role=Role.HOME_AGENT,
        device=settings.device,
        pin_path=settings.pin_path,
        home_agent=settings.engine.address,
        home_networks=settings.engine.home_networks,
        interfaces=settings.interfaces or (),
        shortcut=settings.shortcut,
        shortcut_out=settings.shortcut_out,
        mtu=settings.mtu,
        mss_clamping=settings.mss_clamping,
        attach=settings.attach,
        home_link=settings.engine.home_link,
        udp_tunnels=settings.engine.nat_traversal,
        discovery=settings.engine.discovery,
        ipv6_prefixes=tuple(
            collapse_addresses(
                prefix for node in settings.engine.mobile_nodes for prefix in node.ipv6_prefixes
            )
        ),
    )


def discovery_addresses(config: HomeAgentConfig) -> tuple[IPv4Address, ...]:
    """Return the addresses that nodes may look for a home agent by (RFC 5944 3.8.2.1).

    Some routers make a limited broadcast of what was sent to that of the network.
    """
    if not config.discovery:
        return ()
    networks = [each for each in config.home_networks if unusable_in(each)]
    return (*[each.broadcast_address for each in networks], LIMITED_BROADCAST)


def run(settings: HomeAgentSettings) -> None:
    """Run until SIGTERM. Raises DaemonError, StoreError or DataPlaneError if it cannot start."""
    process.warn(settings.warnings)
    with ExitStack() as stack:
        store = open_store(settings.store)
        stack.callback(store.close)
        records = store.load()
        port = home_agent_port(settings.engine.address)
        stack.callback(port.close)
        errors = ErrorPort()
        stack.callback(errors.close)
        reassembled = Reassembled(_is_underlay(settings), settings.engine.address)
        stack.callback(reassembled.close)
        server = ControlServer(Path(settings.socket))
        stack.callback(server.close)
        # The last thing that may fail, so that a failed start leaves nothing half-configured.
        plane = open_ebpf(plane_settings(settings))
        stack.callback(plane.close)
        process.warn(plane.warnings)
        # Only now: it is the plane that makes them addresses of this host.
        ports = [port, *map(home_agent_port, discovery_addresses(settings.engine))]
        for each in ports[1:]:
            stack.callback(each.close)
        engine = HomeAgent(settings.engine, nonce, chance)
        links = DiscoveryPorts(IcmpType.ROUTER_SOLICITATION)
        stack.callback(links.close_all)
        broadcasts = Broadcasts()
        stack.callback(broadcasts.close)
        outlets = Outlets(
            port.send, _never_probe, links.send, announce, broadcasts.send, errors.send
        )
        loop = EngineLoop(engine, Performer(plane, store, outlets))
        process.tell_what_was_found(plane.reconcile(loop.restore(records)))
        answers = Answers(HomeAgentRole(engine, loop, reassembled.statistics), plane)
        measuring = Measuring(plane)
        listeners = (links, broadcasts)
        asyncio.run(
            _serve(
                settings.engine,
                loop,
                ports,
                (errors, reassembled),
                listeners,
                server,
                answers,
                measuring,
            )
        )


async def _serve(
    config: HomeAgentConfig,
    loop: EngineLoop,
    ports: Sequence[Port],
    tunnels: tuple[ErrorPort, Reassembled],
    listeners: tuple[DiscoveryPorts, Broadcasts],
    server: ControlServer,
    answers: Answers,
    measuring: Measuring,
) -> None:
    for port in ports:
        _listen(port, loop)
    errors, reassembled = tunnels
    _listen(errors, loop)
    reassembled.listen()
    await server.start(answers.serve)
    loop.arm()
    _log.info("home agent at %s, UDP port %d", ports[0].address, ports[0].port)

    def link_changed(event: LinkUp | LinkDown) -> None:
        for each in listeners:
            each.follow(event, loop)
        loop.submit(event)

    watched = HomeLinks((config.home_link,) if config.home_link else (), link_changed)
    links_of_host = Links(watched.look, measuring.look, routes=False)
    await process.until_told(links_of_host.watch(), measuring.watch())


def _is_underlay(settings: HomeAgentSettings) -> Callable[[str], bool]:
    """Tell where tunnels may come in: where the programs of the data plane are."""
    named = settings.interfaces
    return lambda name: name in named if named else name != settings.device


def _listen(port: Port | ErrorPort, loop: EngineLoop) -> None:
    asyncio.get_running_loop().add_reader(port, lambda: loop.submit(*port.receive()))


def _never_probe(_probe: SendProbe) -> None:
    """Probing paths is the mobile node's part."""


class HomeAgentRole:
    """What an operator is told of a home agent."""

    name = "home-agent"

    def __init__(
        self, engine: HomeAgent, loop: EngineLoop, counted: Mapping[str, int] | None = None
    ) -> None:
        """`counted` is what the daemon itself counts."""
        self._counted: Mapping[str, int] = {} if counted is None else counted
        self._engine = engine
        self._loop = loop
        self.home_agent = engine.config.address
        self.home_address: IPv4Address | None = None
        self.nai: str | None = None
        self.message: str | None = None

    def mobile_nodes(self) -> int:
        """How many mobile nodes are configured."""
        return len(self._engine.config.mobile_nodes)

    def nai_of(self, home_address: IPv4Address) -> str | None:
        """The name of the node with this home address, if it has one."""
        return self._engine.identities.entries[home_address].nai

    def prefixes_of(self, home_address: IPv4Address) -> tuple[IPv6Network, ...]:
        """The IPv6 prefixes that the node with this home address has registered."""
        return self._engine.records[home_address].prefixes

    def multipath(self) -> str:
        """For how many of them multipath is allowed."""
        allowed = sum(each.multipath for each in self._engine.config.mobile_nodes)
        return {0: "off", self.mobile_nodes(): "on"}.get(allowed, f"on for {allowed}")

    def bindings(self) -> list[tuple[IPv4Address, Binding]]:
        """Every binding and whose it is."""
        return [
            (record.home_address, binding)
            for record in self._engine.records.values()
            for binding in record.bindings
        ]

    def paths(self) -> list[PathRow]:
        """Every path. A home agent takes each for up as long as it is registered."""
        return [
            self._path_row(node.home_address, path)
            for node in self.forwarding().values()
            for path in node.paths
        ]

    def _path_row(self, home_address: IPv4Address, path: Tunnel) -> PathRow:
        row = PathRow(
            home_address=str(home_address),
            bid=path.bid or None,
            interface=None,
            state="up",
            local=str(path.local),
            remote=str(path.remote),
            encapsulation=path.kind,
            weight=path.weight,
            local_port=path.local_port if path.in_udp else None,
            remote_port=path.remote_port if path.in_udp else None,
            gre_send_key=path.gre_keys.send if path.gre_keys else None,
            gre_receive_key=path.gre_keys.receive if path.gre_keys else None,
        )
        return with_state(row, self._engine.tunnel_errors.state(home_address, path))

    def forwarding(self) -> Mapping[IPv4Address, NodeForwarding]:
        """What is forwarded by, for each node."""
        projected = (
            project(self._engine.config, self._engine.identities.entries[address], record)
            for address, record in sorted(self._engine.records.items())
        )
        return {node.home_address: node for node in projected if node}

    def node(self, home_address: IPv4Address) -> tuple[NodeForwarding, tuple[Binding, ...]]:
        """What one node is forwarded by and bound to; of a stranger nothing."""
        engine = self._engine
        record = engine.records.get(home_address)
        entry = engine.identities.entries.get(home_address)
        forwarding = project(engine.config, entry, record) if entry and record else None
        if record is None or forwarding is None:
            return NodeForwarding(home_address), ()
        return forwarding, record.bindings

    def counters(self) -> Mapping[str, int]:
        """What the engine counted."""
        return {**self._engine.statistics, **self._counted}

    def replace_policy(self, request: PolicySetRequest) -> None:
        """Refuse: the policy is the mobile node's (RFC 7629 5.1)."""
        raise Refusal(_NODES_ONLY)

    def register(self, interface: str | None) -> str:
        """Refuse: a home agent never registers (RFC 5944 3.8)."""
        raise Refusal(_NODES_ONLY)

    def deregister(self, interface: str | None) -> str:
        """Refuse: a home agent never deregisters (RFC 5944 3.8)."""
        raise Refusal(_NODES_ONLY)

    def revoke(self, request: RevokeRequest) -> Revoked:
        """End bindings of a node at once. Raises Refusal if there is none that is meant."""
        event = RevokeRequested(
            _address(request.home_address),
            request.bid,
            None if request.care_of_address is None else _address(request.care_of_address),
        )
        record = self._engine.records.get(event.home_address)
        meant = [each for each in record.bindings if is_meant(each, event)] if record else []
        if not meant:
            raise Refusal(f"{event.home_address} has no such binding here")
        self._loop.submit(event)
        rows = (
            RevokedRow(
                bid=each.bid,
                care_of_address=str(each.care_of_address),
                told=each.revocation is not None,
            )
            for each in meant
        )
        return Revoked(str(event.home_address), tuple(rows))

    def notify(self, request: NotifyRequest) -> str:
        """Say something to a node over one of its bindings. Raises Refusal."""
        if not self._engine.config.notifications:
            raise Refusal(NOTIFICATIONS_OFF)
        if request.home_address is None:
            raise Refusal("to which home address?")
        check_text(request.text)
        home_address = _address(request.home_address)
        event = NotifyRequested(home_address, request.text, request.bid, request.acknowledge)
        reason = self._engine.why_silent(event)
        if reason:
            raise Refusal(reason)
        self._loop.submit(event)
        return f"notifying {home_address}"

    def notices(self) -> tuple[Notice, ...]:
        """The last notifications, to and from all nodes."""
        return self._engine.notices


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise Refusal(f"{text!r} is no IPv4 address") from error
