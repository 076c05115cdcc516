"""What a seed makes of a world: its nodes, their interfaces, policies and settings."""

from ipaddress import IPv4Address, IPv4Network
from random import Random

from msgspec import Struct

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.model.binding import Encapsulation
from flowbind.model.config import (
    HomeAgentConfig,
    InterfaceConfig,
    MobileNodeConfig,
    MobileNodeEntry,
    StaticFlow,
)
from flowbind.model.flow import PolicyRule
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import Span, TrafficSelector

AGENT = IPv4Address("198.51.100.1")
NETWORK = IPv4Network("10.9.0.0/24")
MOST_NODES = 4
MOST_INTERFACES = 4
PORTS = tuple(range(1000, 1012))


class Scenario(Struct, frozen=True):
    """The configuration of both ends."""

    agent: HomeAgentConfig
    nodes: tuple[MobileNodeConfig, ...]


def scenario(chance: Random) -> Scenario:
    """Draw a world."""
    pairs = [_node(chance, number) for number in range(chance.randint(1, MOST_NODES))]
    static = (
        StaticFlow("static", (_selector(chance, 1),), FlowAction.FORWARD, (2, 1)),
        StaticFlow("barred", (_selector(chance, 2),), FlowAction.DROP),
    )
    agent = HomeAgentConfig(
        AGENT,
        (NETWORK,),
        tuple(entry for _config, entry in pairs),
        max_lifetime_s=chance.choice((120, 600, 1800)),
        static_flows=chance.choice(((), static)),
    )
    return Scenario(agent, tuple(config for config, _entry in pairs))


def _node(chance: Random, number: int) -> tuple[MobileNodeConfig, MobileNodeEntry]:
    home_address = NETWORK[5 + number]
    association = SecurityAssociation(
        256 + number, chance.randbytes(16), chance.choice(list(Algorithm))
    )
    interfaces = tuple(
        InterfaceConfig(
            f"if{number}{bid}",
            bid,
            bid,
            chance.choice((4, 8, 11)),
            chance.randint(1, 16),
            chance.choice(list(Encapsulation)),
        )
        for bid in range(1, chance.randint(1, MOST_INTERFACES) + 1)
    )
    config = MobileNodeConfig(
        home_address,
        AGENT,
        (association,),
        interfaces,
        policy(chance, len(interfaces)),
        multipath=chance.choice(("require", "require", "prefer", "prefer", "off")),
        lifetime_s=chance.choice((60, 300, 600, 1800)),
        exchange_policy=chance.random() < 0.85,
        probe_interval_s=chance.choice((0.5, 2.0, 5.0, 10.0, 20.0)),
        probe_dead_after=chance.randint(2, 4),
    )
    entry = MobileNodeEntry(home_address, (association,), multipath=chance.random() < 0.9)
    return config, entry


def policy(chance: Random, bids: int) -> tuple[PolicyRule, ...]:
    """Draw a policy; no two of its rules are about the same packets."""
    ports = chance.sample(PORTS, chance.randint(0, 5))
    return tuple(_rule(chance, port, bids) for port in ports)


def _rule(chance: Random, port: int, bids: int) -> PolicyRule:
    selectors = tuple(_selector(chance, port, protocol) for protocol in (6, 17))
    selectors = selectors[: chance.randint(1, 2)]
    if chance.random() < 0.2:
        return PolicyRule(f"{port}", selectors, FlowAction.DROP)
    preferred = chance.sample(range(1, bids + 1), chance.randint(1, bids))
    return PolicyRule(f"{port}", selectors, FlowAction.FORWARD, tuple(preferred))


def _selector(chance: Random, port: int, protocol: int = 6) -> TrafficSelector:
    span = Span(port, port + chance.choice((0, 1)))
    return TrafficSelector(source_port=span, protocol=Span(protocol))
