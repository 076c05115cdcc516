"""What a seed makes of a world: its nodes, their interfaces, policies, keys and settings."""

from ipaddress import IPv4Address, IPv4Network
from random import Random

from msgspec import Struct

from flowbind.auth.association import FIRST_USABLE_SPI, LAST_SPI, Algorithm, Replay
from flowbind.auth.association import SecurityAssociation as Association
from flowbind.model.binding import Encapsulation
from flowbind.model.config import (
    HomeAgentConfig,
    InterfaceConfig,
    MobileNodeConfig,
    MobileNodeEntry,
    OverwriteScope,
    StaticFlow,
    UnknownBid,
)
from flowbind.model.flow import PolicyRule
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import Span, TrafficSelector

AGENT = IPv4Address("198.51.100.1")
NETWORK = IPv4Network("10.9.0.0/24")
POOL = IPv4Network("10.9.0.128/28")
TINY_POOL = IPv4Network("10.9.0.128/31")
HOME_LINK = "home0"
MOST_NODES = 4
MOST_INTERFACES = 4
PORTS = tuple(range(1000, 1012))
ERA_ENDS_AT = 2_085_978_496.0
"""When the seconds of NTP begin at 0 again, in February 2036 (RFC 5944 5.7.1)."""


class Scenario(Struct, frozen=True):
    """The configuration of both ends, and the Unix time at which the world begins."""

    agent: HomeAgentConfig
    nodes: tuple[MobileNodeConfig, ...]
    start: float


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
        max_bindings=chance.choice((8, 8, 8, 1, 2, 3)),
        overwrite_scope=chance.choice((OverwriteScope.ALL, *OverwriteScope)),
        unknown_bid=chance.choice((UnknownBid.NONE_KNOWN, *UnknownBid)),
        policy_in_reply=chance.random() < 0.4,
        strict_reserved=chance.random() < 0.3,
        static_flows=chance.choice(((), static)),
        revocation=chance.random() < 0.6,
        home_link=chance.choice((HOME_LINK, None)),
        advertisement_interval_s=chance.choice((4.0, 600.0)),
        # Seldom there are too few for all.
        address_pool=(chance.choice((POOL, POOL, POOL, TINY_POOL)),),
    )
    return Scenario(agent, tuple(config for config, _entry in pairs), _start(chance))


def _start(chance: Random) -> float:
    """Draw a beginning, in one of three worlds such that the era of NTP ends before long."""
    if chance.random() < 2 / 3:
        return 1_800_000_000.0
    return ERA_ENDS_AT - chance.choice((600.0, 7200.0, 72000.0)) * chance.random()


def _node(chance: Random, number: int) -> tuple[MobileNodeConfig, MobileNodeEntry]:
    nai = chance.choice((None, None, f"node{number}@example.net"))
    home_address = None if nai and chance.random() < 0.7 else NETWORK[5 + number]
    keys = (association(chance),)
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
    exchange_policy = chance.random() < 0.8
    multipath = chance.choice(("require", "require", "prefer", "prefer", "off", "off"))
    config = MobileNodeConfig(
        home_address,
        AGENT,
        keys,
        interfaces,
        policy(chance, len(interfaces)),
        multipath=multipath,
        simultaneous=multipath == "off" and chance.random() < 0.6,
        lifetime_s=chance.choice((60, 300, 600, 1800)),
        exchange_policy=exchange_policy,
        accept_policy=not exchange_policy and chance.random() < 0.6,
        probe_interval_s=chance.choice((0.5, 2.0, 5.0, 10.0, 20.0)),
        probe_dead_after=chance.randint(2, 4),
        revocation=chance.random() < 0.7,
        nai=nai,
    )
    entry = MobileNodeEntry(
        home_address,
        keys,
        multipath=chance.random() < 0.9,
        simultaneous_bindings=chance.random() < 0.7,
        nai=nai,
    )
    return config, entry


def association(chance: Random, taken: tuple[Association, ...] = ()) -> Association:
    """Draw a security association of another SPI than these. Nodes may have the same SPI."""
    known = [each.spi for each in taken]
    candidates = (FIRST_USABLE_SPI, LAST_SPI, chance.randint(FIRST_USABLE_SPI, LAST_SPI))
    return Association(
        chance.choice([each for each in candidates if each not in known]),
        chance.randbytes(chance.choice((16, 16, 32, 5))),
        chance.choice(list(Algorithm)),
        # RFC 5944 5.7.1 wants more than 3 s.
        chance.choice((7.0, 7.0, 4.0, 60.0)),
        chance.choice(list(Replay)),
    )


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
