"""Both roles' configuration, and the files of this repository that hold one."""

import tomllib
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from flowbind.auth.association import Algorithm, Replay, SecurityAssociation
from flowbind.daemon.config import HomeAgentSettings, MobileNodeSettings
from flowbind.daemon.config_values import ACCESS_NAMES, access_name
from flowbind.dataplane.base import Attach
from flowbind.lab import agents, topology
from flowbind.model.binding import Encapsulation
from flowbind.model.config import (
    HomeAgentConfig,
    HomeDetection,
    InterfaceConfig,
    MobileNodeConfig,
    MobileNodeEntry,
    NatTraversal,
    OverwriteScope,
    StaticFlow,
    UnknownBid,
)
from flowbind.model.flow import PolicyRule
from flowbind.model.match import compile_match
from flowbind.model.tunnel import Balance
from flowbind.wire.iana import AccessTechnology, FlowAction

KEY = bytes.fromhex("0123456789abcdef0123456789abcdef")
ASSOCIATION = SecurityAssociation(spi=256, key=KEY)
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.rfc("5944", "3.8.1", "HA-2", "HA-3")
def test_the_least_that_a_home_agent_needs(read, configuration):
    assert read(configuration("home-agent")) == HomeAgentSettings(
        HomeAgentConfig(
            address=IPv4Address("198.51.100.1"),
            home_networks=(IPv4Network("10.9.0.0/24"),),
            mobile_nodes=(MobileNodeEntry(IPv4Address("10.9.0.5"), (ASSOCIATION,)),),
            static_flows=(
                StaticFlow(
                    "flow-1", compile_match("udp remote port 5060"), FlowAction.FORWARD, (2, 1)
                ),
            ),
        )
    )


@pytest.mark.rfc("5944", "3.6", "MN-1")
def test_the_least_that_a_mobile_node_needs(read, configuration):
    assert read(configuration("mobile-node")) == MobileNodeSettings(
        MobileNodeConfig(
            home_address=IPv4Address("10.9.0.5"),
            home_agent=IPv4Address("198.51.100.1"),
            associations=(ASSOCIATION,),
            interfaces=(
                InterfaceConfig("wlan0", 1, 1, AccessTechnology.WLAN),
                InterfaceConfig("wwan0", 2, 2, AccessTechnology.LTE),
            ),
            policy=(
                PolicyRule(
                    "flow-1", compile_match("udp remote port 5060"), FlowAction.FORWARD, (2, 1)
                ),
            ),
        )
    )


def test_everything_that_can_be_said_of_a_home_agent(read):
    settings = read("""
        [home-agent]
        address = "198.51.100.1"
        home-networks = ["10.9.0.0/24", "192.0.2.1/32"]
        max-lifetime = "2h"
        max-bindings = 3
        overwrite-scope = "same-bid"
        unknown-bid = "any-unknown"
        policy-in-reply = true
        strict-reserved = true
        revocation = true
        notifications = true
        interfaces = ["eth0", "eth1"]
        shortcut = false
        shortcut-out = true
        balance = "packet"
        home-link = "eth1"
        advertisement-interval = "30s"
        nat-traversal = true
        udp-forced = true
        keepalive-interval = "20s"
        deny-source-mismatch = true
        socket = "/run/ha.sock"
        store = "memory:"
        device = "home0"
        pin-path = "/sys/fs/bpf/ha"
        attach = "clsact"
        log-level = "debug"
        [[mobile-node]]
        home-address = "192.0.2.1"
        spi = 4294967295
        key = "00112233445566778899AABBCCDDEEFF"
        algorithm = "hmac-sha256"
        timestamp-tolerance = "30s"
        replay = "timestamps"
        multipath = false
        label-weights = { 2 = 16, 1 = 1 }
        balance = "flow"
        [[flow]]
        name = "no telnet"
        match = "tcp remote port telnet"
        action = "drop"
        """)
    association = SecurityAssociation(
        0xFFFFFFFF, bytes.fromhex("00112233445566778899aabbccddeeff"), Algorithm.HMAC_SHA256, 30.0
    )
    assert settings == HomeAgentSettings(
        HomeAgentConfig(
            address=IPv4Address("198.51.100.1"),
            home_networks=(IPv4Network("10.9.0.0/24"), IPv4Network("192.0.2.1/32")),
            mobile_nodes=(
                MobileNodeEntry(
                    IPv4Address("192.0.2.1"),
                    (association,),
                    multipath=False,
                    label_weights=((1, 1), (2, 16)),
                    balance=Balance.FLOW,
                ),
            ),
            max_lifetime_s=7200,
            max_bindings=3,
            overwrite_scope=OverwriteScope.SAME_BID,
            unknown_bid=UnknownBid.ANY_UNKNOWN,
            policy_in_reply=True,
            strict_reserved=True,
            revocation=True,
            notifications=True,
            static_flows=(
                StaticFlow("no telnet", compile_match("tcp remote port 23"), FlowAction.DROP),
            ),
            home_link="eth1",
            advertisement_interval_s=30.0,
            nat_traversal=True,
            udp_forced=True,
            keepalive_interval_s=20,
            deny_source_mismatch=True,
            balance=Balance.PACKET,
        ),
        socket="/run/ha.sock",
        store="memory:",
        device="home0",
        pin_path="/sys/fs/bpf/ha",
        attach=Attach.CLSACT,
        interfaces=("eth0", "eth1"),
        shortcut=False,
        shortcut_out=True,
        log_level="debug",
    )


def test_everything_that_can_be_said_of_a_mobile_node(read):
    settings = read("""
        [mobile-node]
        home-address = "10.9.0.5"
        home-agent = "198.51.100.1"
        spi = 300
        key = "0123456789abcdef0123456789abcdef"
        algorithm = "keyed-md5"
        replay = "nonces"
        multipath = "require"
        lifetime = 90
        balance = "packet"
        exchange-policy = false
        accept-policy = true
        revocation = true
        notifications = true
        default-route = false
        probe-interval = "200ms"
        probe-dead-after = 5
        home-network = "10.9.0.0/24"
        socket = "/run/mn.sock"
        store = "sqlite:///var/lib/mn.db"
        device = "node0"
        pin-path = "/sys/fs/bpf/mn"
        attach = "clsact"
        log-level = "error"
        [[interface]]
        name = "eth0"
        bid = 254
        label = 7
        access = 42
        weight = 16
        encapsulation = "gre"
        home = "never"
        nat-traversal = "force"
        gre-key = true
        gre-sequence = true
        """)
    assert settings == MobileNodeSettings(
        MobileNodeConfig(
            home_address=IPv4Address("10.9.0.5"),
            home_agent=IPv4Address("198.51.100.1"),
            associations=(
                SecurityAssociation(300, KEY, Algorithm.KEYED_MD5, replay=Replay.NONCES),
            ),
            interfaces=(
                InterfaceConfig(
                    "eth0",
                    254,
                    7,
                    42,
                    16,
                    Encapsulation.GRE,
                    HomeDetection.NEVER,
                    NatTraversal.FORCE,
                    gre_key=True,
                    gre_sequence=True,
                ),
            ),
            multipath="require",
            lifetime_s=90,
            exchange_policy=False,
            accept_policy=True,
            revocation=True,
            notifications=True,
            probe_interval_s=0.2,
            probe_dead_after=5,
            home_network=IPv4Network("10.9.0.0/24"),
            balance=Balance.PACKET,
        ),
        socket="/run/mn.sock",
        store="sqlite:///var/lib/mn.db",
        device="node0",
        pin_path="/sys/fs/bpf/mn",
        attach=Attach.CLSACT,
        default_route=False,
        log_level="error",
    )


@pytest.mark.rfc("7629", "4.1", "MP-E-3")
def test_every_access_technology_has_a_name_both_ways():
    assert set(ACCESS_NAMES.values()) == set(AccessTechnology) - {AccessTechnology.RESERVED}
    assert {access_name(each) for each in ACCESS_NAMES.values()} == set(ACCESS_NAMES)
    assert access_name(0) == "0"
    assert access_name(200) == "200"


# ---- the files of this repository


def test_the_configurations_of_the_lab_read_well(read, key_file):
    for text, kind in (
        (agents.home_agent_toml(), HomeAgentSettings),
        (agents.mobile_node_toml(), MobileNodeSettings),
    ):
        settings = read(text.replace(str(agents.KEY_FILE), str(key_file)))
        assert type(settings) is kind
        assert settings.warnings == ()


def test_both_ends_of_the_lab_weigh_the_paths_alike(read, key_file):
    home_agent, mobile_node = (
        read(text.replace(str(agents.KEY_FILE), str(key_file))).engine
        for text in (agents.home_agent_toml(), agents.mobile_node_toml())
    )
    weights = {each.label: each.weight for each in mobile_node.interfaces}
    assert dict(home_agent.mobile_nodes[0].label_weights) == weights
    assert len(mobile_node.interfaces) == len(topology.ACCESSES)


@pytest.mark.parametrize("name", ["home-agent.toml", "mobile-node.toml"])
def test_the_examples_read_well(read, key_file, name):
    text = (DOCS / "examples" / name).read_text()
    for example in ("node5", "node6"):
        text = text.replace(f"/etc/flowbind/keys/{example}", str(key_file))

    assert read(text).warnings == ()


@pytest.mark.parametrize("name", ["home-agent.toml", "mobile-node.toml"])
def test_what_the_examples_leave_out_is_as_they_say(read, key_file, name):
    text = (DOCS / "examples" / name).read_text()
    for example in ("node5", "node6"):
        text = text.replace(f"/etc/flowbind/keys/{example}", str(key_file))
    commented = "".join(
        each.removeprefix("# ") if each.startswith("# ") and " = " in each else each
        for each in text.splitlines(keepends=True)
    )
    host_only = (
        'interfaces = ["eth0", "eth1"]',
        'home-link = "eth1"',
        'home-network = "10.9.0.0/24"',
    )
    for each in host_only:
        commented = commented.replace(each, "")

    assert len(tomllib.loads(commented)) == len(tomllib.loads(text))
    assert commented != text
    assert read(commented) == read(text)
