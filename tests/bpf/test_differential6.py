"""The decision of the kernel about IPv6 against the one in Python, packet by packet.

Each policy is drawn from a seed of its own, which a failure names.
"""

import ctypes
import random
import struct
from ipaddress import IPv6Address

import pytest
from msgspec import structs

from flowbind.dataplane.ebpf import layout, layout6, libbpf, questions
from flowbind.dataplane.normal import normalised
from flowbind.model.decision import (
    PROTOCOLS_WITH_PORTS,
    PROTOCOLS_WITH_SPI,
    Decision,
    Packet,
    decide,
)
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import Balance
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import TrafficSelector
from tests.bpf.policies import a_rule as a_rule_of_ipv4
from tests.bpf.policies import a_span
from tests.dataplane.nodes import CORRESPONDENT6, HOME6, PREFIX, node, path

pytestmark = pytest.mark.root

POLICIES = 600
PACKETS_OF_EACH = 40

# Few values, so that rules and packets meet often; some differ in one half of the address alone.
ADDRESSES = (
    int(CORRESPONDENT6), int(CORRESPONDENT6) + 1, int(CORRESPONDENT6) ^ 1 << 64,
    1 << 64, (1 << 64) - 1, 2 << 96, (1 << 127) + 5,
)  # fmt: skip
HOMES = (int(HOME6), int(HOME6) + 1, int(HOME6) - 1, int(PREFIX[-1]))
PORTS = (0, 1, 53, 5004, 40000, 65535)
PROTOCOLS = (6, 17, 33, 50, 51, 58, 89, 132, 136, 255)
SPIS = (0, 0x1000, 0x1001, 0xFFFFFFFF)
LABELS = (0, 1, 0x12345, 0xFFFFF)
SKIPPED = (0, 43, 60)
FRAGMENT = 44
FIRST_HEADER_AT = 20


def a_rule(pick):
    selector = TrafficSelector(
        SelectorFormat.IPV6_BINARY,
        source=a_span(pick, ADDRESSES, 128),
        destination=a_span(pick, HOMES, 128) if pick.random() < 0.5 else None,
        spi=a_span(pick, SPIS, 32) if pick.random() < 0.2 else None,
        flow_label=a_span(pick, LABELS, 24) if pick.random() < 0.3 else None,
        source_port=a_span(pick, PORTS, 16) if pick.random() < 0.4 else None,
        destination_port=a_span(pick, PORTS, 16) if pick.random() < 0.4 else None,
        traffic_class=a_span(pick, range(256), 8),
        protocol=a_span(pick, PROTOCOLS, 8),
    )
    if pick.random() < 0.3:
        return FlowRule(FlowAction.DROP, (), selector)
    return FlowRule(FlowAction.FORWARD, tuple(pick.sample(range(1, 12), 3)), selector)


def a_node(pick):
    bids = dict.fromkeys(pick.sample(range(1, 256), 4) + pick.sample(range(1, 12), 4))
    paths = [
        path(bid, weight=pick.randint(1, 16), transmit=pick.random() < 0.8)
        for bid in list(bids)[: pick.randint(0, 8)]
    ]
    rules = [
        a_rule_of_ipv4(pick) if pick.random() < 0.3 else a_rule(pick)
        for _ in range(pick.choice((0, 1, 5, 20, 64)))
    ]
    balance = Balance.PACKET if pick.random() < 0.2 else Balance.FLOW
    return normalised(structs.replace(node(paths, rules, prefixes=[PREFIX]), balance=balance))


def a_packet(pick):
    protocol = pick.choice(PROTOCOLS)
    fragment = pick.random() < 0.1
    ports = protocol in PROTOCOLS_WITH_PORTS and not fragment
    remote = pick.choice(ADDRESSES) if pick.random() < 0.8 else pick.getrandbits(128)
    return Packet(
        remote=IPv6Address(remote),
        local=IPv6Address(pick.choice(HOMES)),
        protocol=protocol,
        remote_port=pick.choice(PORTS) if ports else 0,
        local_port=pick.choice(PORTS) if ports else 0,
        dscp=pick.randrange(64),
        spi=pick.choice(SPIS) if protocol in PROTOCOLS_WITH_SPI and not fragment else 0,
        fragment=fragment,
        identification=pick.getrandbits(32) if fragment else 0,
        flow_label=pick.choice(LABELS),
    )


def octets(pick, packet):
    """The frame that carries such a packet, behind up to four other extension headers."""
    content = struct.pack("!HHI", packet.remote_port, packet.local_port, 0) + bytes(12)
    if packet.protocol == 50:
        content = struct.pack("!I", packet.spi) + bytes(16)
    elif packet.protocol == 51:
        content = bytes(4) + struct.pack("!I", packet.spi) + bytes(12)
    following = packet.protocol
    if packet.fragment:
        offset = pick.randrange(1, 1 << 13) << 3 | pick.randrange(2)
        content = struct.pack("!BxHI", following, offset, packet.identification) + content
        following = FRAGMENT
    elif pick.random() < 0.1:
        content = struct.pack("!BxHI", following, 1, pick.getrandbits(32)) + content
        following = FRAGMENT
    for _ in range(pick.choice((0, 0, 0, 1, 4))):
        more = pick.randrange(3)
        content = bytes((following, more)) + pick.randbytes(6 + 8 * more) + content
        following = pick.choice(SKIPPED)
    word = 6 << 28 | packet.dscp << 22 | pick.randrange(4) << 20 | packet.flow_label
    header = struct.pack("!IHBB", word, len(content), following, 64)
    ends = packet.remote.packed + packet.local.packed
    return bytes(12) + b"\x86\xdd" + header + ends + content


def field(octets):
    return (ctypes.c_uint8 * len(octets))(*octets)


def key_of(packet):
    return bytes(
        layout6.Flow6Key(
            field(packet.remote.packed),
            field(packet.local.packed),
            field(packet.remote_port.to_bytes(2, "big")),
            field(packet.local_port.to_bytes(2, "big")),
            field(packet.spi.to_bytes(4, "big")),
            packet.flow_label,
            packet.protocol,
            packet.dscp << 2,
            layout.has_of(packet.protocol, fragment=packet.fragment),
        )
    )


def explained(plane, fd, frame):
    _verdict, answer = libbpf.run_program(plane._library, fd, frame)
    return structs.replace(questions.decision_of(answer), cached_generation=None)


def is_left_to_the_stack(frame, packet):
    """Tell whether the short cut takes no such packet."""
    return frame[FIRST_HEADER_AT] == 0 or packet.remote.is_multicast or packet.remote.is_link_local


def in_kernel(plane, fd, frame, packet):
    """What becomes of a packet there."""
    libbpf.run_program(plane._library, fd, frame)
    value = layout.FlowValue.from_buffer_copy(plane._maps["flows6_map"].lookup(key_of(packet)))
    rule = None if value.rule == layout.RULE_NONE else value.rule
    verdict = {layout.PATH_DROP: "drop", layout.PATH_NONE: "no-path"}.get(value.path, "forward")
    forwards = verdict == "forward" and value.path != layout.PATH_BY_PACKET
    return Decision(verdict, value.bid if forwards else None, rule)


@pytest.mark.rfc("6088", "3.2", "TS6-1", "TS-7")
def test_kernel_and_python_decide_the_same(agent6):
    plane = agent6.plane
    # At the device all is decided for that the short cut would leave to the stack. Frames of the
    # test have a link layer, so it is explained by the one program and passed through the other.
    explains = plane._object.program_fd("home_agent_explain")
    passes = plane._object.program_fd("home_agent_link")
    seen = dict.fromkeys(("drop", "forward", "no-path"), 0)
    by_rule = passed = 0
    for seed in range(POLICIES):
        pick = random.Random(seed)
        programmed = a_node(pick)
        plane.program(programmed)
        for _ in range(PACKETS_OF_EACH):
            packet = a_packet(pick)
            expected = decide(programmed, packet)
            frame = octets(pick, packet)
            assert explained(plane, explains, frame) == expected, (seed, packet)
            if not is_left_to_the_stack(frame, packet):
                assert in_kernel(plane, passes, frame, packet) == expected, (seed, packet)
                remembered = plane.decide(packet)
                assert remembered.cached_generation is not None
                assert structs.replace(remembered, cached_generation=None) == expected
                passed += 1
            seen[expected.verdict] += 1
            by_rule += expected.rule is not None
    # A comparison of nothing but defaults would prove nothing.
    assert min(seen.values()) > 1000
    assert passed > 10000
    assert 0.3 < by_rule / (POLICIES * PACKETS_OF_EACH) < 0.9
