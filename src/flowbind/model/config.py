"""The settings of a daemon, read from TOML by daemon.config, which documents each key."""

from enum import StrEnum, unique
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

from msgspec import Struct

from flowbind.auth.aaa import AaaAssociation
from flowbind.auth.association import SecurityAssociation
from flowbind.model.binding import Encapsulation
from flowbind.model.flow import PolicyRule
from flowbind.model.tunnel import Balance
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import TrafficSelector

_LONGEST_POINT_TO_POINT: Final = 31


class StaticFlow(Struct, frozen=True):
    """A flow policy by If-Label, for nodes that send none (RFC 7629 section 6)."""

    name: str
    selectors: tuple[TrafficSelector, ...]
    action: FlowAction
    labels: tuple[int, ...] = ()


class MobileNodeEntry(Struct, frozen=True):
    """A mobile node that the home agent serves, known by its home address or by its `nai`.

    One without a home address is given one of the address pool (RFC 2794). Requests may use any of
    the `associations`, of which no two have the same SPI. `label_weights` are pairs (If-Label,
    weight): the share of the flows that no rule names. With `simultaneous_bindings` the S bit is
    granted: a copy of each packet to every care-of address. `ipv6_prefixes` are those that it may
    register (RFC 5454). `balance` None is the home agent's own.
    """

    home_address: IPv4Address | None
    associations: tuple[SecurityAssociation, ...]
    multipath: bool = True
    label_weights: tuple[tuple[int, int], ...] = ()
    simultaneous_bindings: bool = False
    nai: str | None = None
    services: tuple[str, ...] = ()
    aaa: AaaAssociation | None = None
    ipv6_prefixes: tuple[IPv6Network, ...] = ()
    balance: Balance | None = None

    @property
    def name(self) -> str:
        """What an operator knows it by."""
        return self.nai or str(self.home_address)


class ForeignAgentEntry(Struct, frozen=True):
    """A foreign agent that shares security associations with the home agent.

    Requests that come from its `address` bear its authentication, by any of the associations.
    """

    address: IPv4Address
    associations: tuple[SecurityAssociation, ...]


@unique
class OverwriteScope(StrEnum):
    """What the O bit replaces: all bindings (RFC 7629 4.1, 5.2), or that of its own BID (5.1)."""

    ALL = "all"
    SAME_BID = "same-bid"


@unique
class UnknownBid(StrEnum):
    """Which FORWARD cannot be identified (RFC 7629 5.2): of whose BIDs the node has registered
    none, or not all.
    """

    NONE_KNOWN = "none-known"
    ANY_UNKNOWN = "any-unknown"


class HomeAgentConfig(Struct, frozen=True):
    """What the engine of a home agent needs to know.

    `home_link` is the device on whose link the home networks are, None if they are virtual. Nodes
    without a home address are given one of the `address_pool`, which is inside the home networks.
    With `discovery` requests to the broadcast addresses of the home networks are answered. Once
    `max_nodes` have a binding, others that have no home agent yet are sent to `redirect_to`.

    With `nat_traversal` nodes behind an address translator get a tunnel in UDP if they ask for one
    (RFC 3519), with `udp_forced` also those that are not behind any; `keepalive_interval_s` is what
    they are told. `deny_source_mismatch` refuses who comes from elsewhere and has no such tunnel.
    """

    address: IPv4Address
    home_networks: tuple[IPv4Network, ...]
    mobile_nodes: tuple[MobileNodeEntry, ...]
    max_lifetime_s: int = 1800
    max_bindings: int = 8
    overwrite_scope: OverwriteScope = OverwriteScope.ALL
    unknown_bid: UnknownBid = UnknownBid.NONE_KNOWN
    policy_in_reply: bool = False
    strict_reserved: bool = False
    revocation: bool = False
    notifications: bool = False
    require_aaa: bool = False
    foreign_agents: tuple[ForeignAgentEntry, ...] = ()
    static_flows: tuple[StaticFlow, ...] = ()
    home_link: str | None = None
    advertisement_interval_s: float = 600.0
    address_pool: tuple[IPv4Network, ...] = ()
    encapsulations: tuple[Encapsulation, ...] = tuple(Encapsulation)
    gre_sequence: bool = False
    nat_traversal: bool = False
    udp_forced: bool = False
    keepalive_interval_s: int = 110
    deny_source_mismatch: bool = False
    discovery: bool = False
    message_strings: bool = False
    max_nodes: int | None = None
    redirect_to: IPv4Address | None = None
    balance: Balance = Balance.FLOW


def unusable_in(home_network: IPv4Network) -> frozenset[IPv4Address]:
    """Return the addresses of a network that no node can have."""
    if home_network.prefixlen >= _LONGEST_POINT_TO_POINT:
        return frozenset()
    return frozenset({home_network.network_address, home_network.broadcast_address})


@unique
class HomeDetection(StrEnum):
    """Whether an interface may be on the home link: found out by advertisements, or never."""

    AUTO = "auto"
    NEVER = "never"


@unique
class NatTraversal(StrEnum):
    """Whether an interface takes a tunnel in UDP (RFC 3519): where there is a translator, always,
    or never.
    """

    AUTO = "auto"
    FORCE = "force"
    OFF = "off"


class InterfaceConfig(Struct, frozen=True):
    """An interface that the mobile node registers a care-of address for."""

    name: str
    bid: int
    label: int
    access_technology: int
    weight: int = 1
    encapsulation: Encapsulation = Encapsulation.IP_IN_IP
    home: HomeDetection = HomeDetection.AUTO
    nat_traversal: NatTraversal = NatTraversal.OFF
    gre_key: bool = False
    gre_sequence: bool = False


class MobileNodeConfig(Struct, frozen=True):
    """What the engine of a mobile node needs to know. Times in seconds.

    The first of the `associations` is used, the others are kept in readiness. Without a home
    address the node has a `nai`, and is given one by its home agent (RFC 2794). `simultaneous`,
    only without multipath, asks by the S bit for a copy of each packet on every path, and
    `broadcast_datagrams` by the B bit for what is broadcast at home (RFC 5944 3.3). It registers
    its `ipv6_prefixes` (RFC 5454).
    """

    home_address: IPv4Address | None
    home_agent: IPv4Address | None
    associations: tuple[SecurityAssociation, ...]
    interfaces: tuple[InterfaceConfig, ...]
    policy: tuple[PolicyRule, ...] = ()
    multipath: str = "prefer"
    simultaneous: bool = False
    broadcast_datagrams: bool = False
    lifetime_s: int = 600
    exchange_policy: bool = True
    accept_policy: bool = False
    revocation: bool = False
    notifications: bool = False
    aaa: AaaAssociation | None = None
    probe_interval_s: float = 0.5
    probe_dead_after: int = 3
    home_network: IPv4Network | None = None
    assigning_home_agents: tuple[IPv4Address, ...] = ()
    service: str | None = None
    nai: str | None = None
    ipv6_prefixes: tuple[IPv6Network, ...] = ()
    balance: Balance = Balance.FLOW

    @property
    def name(self) -> str:
        """What an operator knows the node by."""
        return self.nai or str(self.home_address)

    @property
    def association(self) -> SecurityAssociation:
        """The security association that requests are made with, and their replies."""
        return self.associations[0]
