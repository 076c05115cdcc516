"""The decision of the programs in the kernel against the one in Python, packet by packet.

Each policy is drawn from a seed of its own, which a failure names.
"""

import ctypes
import random
import struct
from collections import Counter

import pytest
from msgspec import structs

from flowbind.dataplane.ebpf import layout, libbpf
from flowbind.model.decision import Decision, decide, paths_taken
from tests.bpf.policies import PORTS, a_node, a_packet

pytestmark = pytest.mark.root

POLICIES = 5000
PACKETS_OF_EACH = 50
POLICIES_ATTACHED = 200


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
        "!BBHHHBBH4s4s", 0x45, packet.dscp << 2 | pick.randrange(4),
        20 + len(payload), packet.identification,
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
    bid = None if value.path == layout.PATH_BY_PACKET else value.bid
    return Decision("forward", bid=bid, rule=rule), copies


KINDS = ("forward", "rule forward", "rule drop", "by packet", "no-path")


def assert_that_it_was_a_test(seen):
    """A comparison of nothing but defaults would prove nothing."""
    assert min(seen[kind] for kind in KINDS) > sum(seen.values()) / 30


def kind_of(decision):
    if decision.by_packet:
        return "by packet"
    return decision.verdict if decision.rule is None else f"rule {decision.verdict}"


@pytest.mark.rfc("7629", "4.2", "A-8", "A-9")
@pytest.mark.rfc("6089", "5.3.6", "PP-1", "PP-2")
@pytest.mark.rfc("6088", "3.1", "TS-2", "TS-4", "TS-6")
def test_kernel_and_python_decide_the_same(agent):
    plane = agent.plane
    seen: Counter[str] = Counter()
    for seed in range(POLICIES):
        pick = random.Random(seed)
        programmed = a_node(pick)
        plane.program(programmed)
        for _ in range(PACKETS_OF_EACH):
            packet = a_packet(pick)
            found, expected = plane.decide(packet), decide(programmed, packet)
            assert found == expected, (seed, programmed, packet)
            seen[kind_of(expected)] += 1
    assert_that_it_was_a_test(seen)


def test_what_is_attached_decides_the_same(agent):
    plane = agent.plane
    fd = plane._object.program_fd("home_agent_link")
    flows = plane._maps["flows_map"]
    seen: Counter[str] = Counter()
    for seed in range(POLICIES_ATTACHED):
        pick = random.Random(seed)
        programmed = a_node(pick)
        plane.program(programmed)
        for _ in range(PACKETS_OF_EACH):
            packet = a_packet(pick)
            expected = decide(programmed, packet)
            frame = octets(pick, packet)
            copies = 1 if expected.by_packet else len(paths_taken(programmed, expected))
            found = in_kernel(plane, fd, flows, frame, packet)
            assert found == (expected, copies), (seed, programmed, packet)
            # Now it is in the cache, and whoever asks is told what the cache says.
            explained = plane.decide(packet)
            assert explained.cached_generation is not None
            fresh = structs.replace(explained, cached_generation=None)
            assert fresh == expected, (seed, programmed, packet)
            seen[kind_of(expected)] += 1
            seen["copied"] += copies > 1
    assert_that_it_was_a_test(seen)
    assert seen["copied"] > POLICIES_ATTACHED
