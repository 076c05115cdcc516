"""The decision of the programs in the kernel against the one in Python, packet by packet."""

import ctypes
import random
import struct
from ipaddress import IPv4Address

import pytest

from flowbind.dataplane.ebpf import layout, libbpf
from flowbind.dataplane.normal import normalised
from flowbind.model.decision import (
    PROTOCOLS_WITH_PORTS,
    PROTOCOLS_WITH_SPI,
    Decision,
    Packet,
    decide,
    paths_taken,
)
from flowbind.model.flow import FlowRule
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import Span, TrafficSelector
from tests.dataplane.nodes import HOME, node, path

pytestmark = pytest.mark.root

POLICIES = 300
PACKETS_OF_EACH = 100

# Few values, so that rules and packets meet often.
ADDRESSES = (0xCB007109, 0xCB00710A, 0xC0000201, 0, 0xFFFFFFFF)
PORTS = (0, 1, 53, 5004, 40000, 65535)
PROTOCOLS = (1, 6, 17, 33, 50, 51, 89, 132, 136, 255)
SPIS = (0, 0x1000, 0x1001, 0xFFFFFFFF)


def a_span(pick, values):
    if pick.random() < 0.5:
        return None
    first, second = pick.choice(values), pick.choice(values)
    if pick.random() < 0.5:
        return Span(first)
    return Span(min(first, second), max(first, second))


def a_rule(pick):
    selector = TrafficSelector(
        source=a_span(pick, ADDRESSES),
        destination=a_span(pick, (int(HOME), int(HOME) - 1, int(HOME) + 1)),
        spi=a_span(pick, SPIS) if pick.random() < 0.2 else None,
        source_port=a_span(pick, PORTS) if pick.random() < 0.4 else None,
        destination_port=a_span(pick, PORTS) if pick.random() < 0.4 else None,
        traffic_class=a_span(pick, range(0, 256, 4)),
        protocol=a_span(pick, PROTOCOLS),
    )
    if pick.random() < 0.3:
        return FlowRule(FlowAction.DROP, (), selector)
    return FlowRule(FlowAction.FORWARD, tuple(pick.sample(range(1, 12), 3)), selector)


def a_node(pick):
    bids = pick.sample(range(1, 256), 4) + pick.sample(range(1, 12), 4)
    if pick.random() < 0.1:
        return simultaneous(pick)
    paths = [
        path(bid, remote=IPv4Address("192.0.2.1"), weight=pick.randint(1, 16),
             transmit=pick.random() < 0.8)
        for bid in dict.fromkeys(bids[: pick.randint(0, 8)])
    ]  # fmt: skip
    return normalised(node(paths, [a_rule(pick) for _ in range(pick.choice((0, 1, 5, 20, 64)))]))


def simultaneous(pick):
    """A node of RFC 5944 with several care-of addresses, one of which gets nothing."""
    paths = [
        path(0, remote=IPv4Address(f"192.0.2.{end}"), transmit=pick.random() < 0.8)
        for end in range(1, pick.randint(3, 9))
    ]
    return normalised(node(paths, [a_rule(pick) for _ in range(pick.choice((0, 5)))]))


def a_packet(pick):
    protocol = pick.choice(PROTOCOLS)
    fragment = pick.random() < 0.1
    ports = protocol in PROTOCOLS_WITH_PORTS and not fragment
    return Packet(
        remote=IPv4Address(pick.choice(ADDRESSES) if pick.random() < 0.7 else pick.getrandbits(32)),
        local=HOME,
        protocol=protocol,
        remote_port=pick.choice(PORTS) if ports else 0,
        local_port=(pick.choice(PORTS) if pick.random() < 0.5 else pick.getrandbits(16))
        if ports
        else 0,
        dscp=pick.randrange(64),
        spi=pick.choice(SPIS) if protocol in PROTOCOLS_WITH_SPI and not fragment else 0,
        fragment=fragment,
    )


def octets(pick, packet):
    """The frame that carries such a packet; a fragment's payload is as misleading as it can be."""
    payload = struct.pack("!HHI", packet.remote_port, packet.local_port, 0) + bytes(8)
    if packet.protocol == 50:
        payload = struct.pack("!I", packet.spi) + bytes(12)
    elif packet.protocol == 51:
        payload = bytes(4) + struct.pack("!I", packet.spi) + bytes(8)
    if packet.fragment:
        payload = struct.pack("!HHI", pick.choice(PORTS), pick.choice(PORTS), 0x1000) + bytes(8)
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, packet.dscp << 2 | pick.randrange(4), 20 + len(payload), 0,
        pick.randrange(1, 0x2000) if packet.fragment else pick.choice((0, 0x4000, 0x2000)),
        64, packet.protocol, 0, packet.remote.packed, packet.local.packed,
    )  # fmt: skip
    return bytes(12) + b"\x08\x00" + header + payload


def key_of(packet):
    return bytes(
        layout.FlowKey(
            layout.octets(packet.remote),
            layout.octets(packet.local),
            (ctypes.c_uint8 * 2)(*packet.remote_port.to_bytes(2, "big")),
            (ctypes.c_uint8 * 2)(*packet.local_port.to_bytes(2, "big")),
            (ctypes.c_uint8 * 4)(*packet.spi.to_bytes(4, "big")),
            packet.protocol,
            packet.dscp << 2,
            layout.has_of(packet.protocol, fragment=packet.fragment),
        )
    )


def sent(plane):
    """How many packets were to go into a tunnel; one from its far end is not let in."""
    counted = plane.statistics()
    return counted["encapsulated_packets"] + counted["drop_loop"]


def in_kernel(plane, fd, flows, frame, packet):
    """What becomes of a packet there, and how many times."""
    before = sent(plane)
    libbpf.run_program(plane._library, fd, frame)
    value = layout.FlowValue.from_buffer_copy(flows.lookup(key_of(packet)))
    rule = None if value.rule == layout.RULE_NONE else value.rule
    copies = sent(plane) - before
    if value.path == layout.PATH_DROP:
        return Decision("drop", rule=rule), copies
    if value.path == layout.PATH_NONE:
        return Decision("no-path", rule=rule), copies
    return Decision("forward", bid=value.bid, rule=rule), copies


def test_kernel_and_python_decide_the_same(agent):
    pick = random.Random(7629)
    plane = agent.plane
    fd = plane._object.program_fd("home_agent_link")
    flows = plane._maps["flows_map"]
    seen = dict.fromkeys(("drop", "forward", "no-path"), 0)
    by_rule = copied = 0
    for _ in range(POLICIES):
        programmed = a_node(pick)
        plane.program(programmed)
        for _ in range(PACKETS_OF_EACH):
            packet = a_packet(pick)
            expected = decide(programmed, packet)
            frame = octets(pick, packet)
            copies = len(paths_taken(programmed, expected))
            found = in_kernel(plane, fd, flows, frame, packet)
            assert found == (expected, copies), (programmed, packet)
            copied += copies > 1
            seen[expected.verdict] += 1
            by_rule += expected.rule is not None
    # A comparison of nothing but defaults would prove nothing.
    assert min(seen.values()) > 1000
    assert copied > 500
    assert 0.3 < by_rule / (POLICIES * PACKETS_OF_EACH) < 0.9
