"""What the programs are asked and what they answer, in the words of the model.

The decision about a packet is the kernel's own: a program that is attached nowhere is run over a
frame that carries such a packet, and leaves a struct explanation at its head.
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from flowbind.dataplane.base import FlowRecord
from flowbind.dataplane.ebpf import layout, layout6
from flowbind.model.decision import PROTOCOLS_WITH_PORTS, PROTOCOLS_WITH_SPI, Decision, Packet

_NS: Final = 1_000_000_000
_ETHERNET: Final = {4: bytes(12) + b"\x08\x00", 6: bytes(12) + b"\x86\xdd"}
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_FRAGMENT: Final = struct.Struct("!BxHI")
_FRAGMENT_HEADER: Final = 44
_AH: Final = 51
_PAYLOAD_OCTETS: Final = 24
_SECOND_EIGHT_OCTETS: Final = 1
_TTL: Final = 64
_IPV6_VERSION: Final = 6

Address = IPv4Address | IPv6Address


def frame_of(packet: Packet, *, toward_node: bool) -> bytes:
    """Make the frame that carries such a packet to a mobile node, or from it."""
    ends = (packet.remote, packet.remote_port), (packet.local, packet.local_port)
    (source, source_port), (destination, destination_port) = ends if toward_node else ends[::-1]
    payload = b""
    if packet.protocol in PROTOCOLS_WITH_PORTS:
        payload = struct.pack("!HH", source_port, destination_port)
    elif packet.protocol in PROTOCOLS_WITH_SPI:
        # It opens an ESP header and follows four octets of an AH header.
        payload = bytes(4 if packet.protocol == _AH else 0) + struct.pack("!I", packet.spi)
    if packet.local.version == _IPV6_VERSION:
        return _ETHERNET[6] + _ipv6(packet, source, destination, payload)
    header = _IPV4.pack(
        4 << 4 | _IPV4.size // 4,
        packet.dscp << 2,
        _IPV4.size + _PAYLOAD_OCTETS,
        packet.identification,
        _SECOND_EIGHT_OCTETS if packet.fragment else 0,
        _TTL,
        packet.protocol,
        0,
        source.packed,
        destination.packed,
    )
    return _ETHERNET[4] + header + payload.ljust(_PAYLOAD_OCTETS, b"\0")


def _ipv6(packet: Packet, source: Address, destination: Address, payload: bytes) -> bytes:
    """Make the packet itself; of a fragment the Identification stands in a header of its own."""
    content, first = payload.ljust(_PAYLOAD_OCTETS, b"\0"), packet.protocol
    if packet.fragment:
        offset = _SECOND_EIGHT_OCTETS << 3
        content = _FRAGMENT.pack(packet.protocol, offset, packet.identification) + content
        first = _FRAGMENT_HEADER
    word = _IPV6_VERSION << 28 | packet.dscp << 22 | packet.flow_label
    header = _IPV6.pack(word, len(content), first, _TTL, source.packed, destination.packed)
    return header + content


def decision_of(answer: bytes) -> Decision:
    """Read the decision at the head of the frame that the program was run over."""
    explained = layout.Explained.from_buffer_copy(answer)
    if not explained.has_node:
        return Decision("no-node")
    flow = explained.flow
    return Decision(
        _verdict(flow),
        _bid(flow),
        _rule(flow),
        flow.generation if explained.is_cached else None,
    )


def flow_record(key: bytes, value: bytes, now_ns: int) -> FlowRecord:
    """Read an entry of the flow cache; `now_ns` is CLOCK_MONOTONIC."""
    flow_key = layout.FlowKey.from_buffer_copy(key)
    packet = Packet(
        remote=layout.address(flow_key.remote),
        local=layout.address(flow_key.local),
        protocol=flow_key.protocol,
        remote_port=int.from_bytes(bytes(flow_key.remote_port), "big"),
        local_port=int.from_bytes(bytes(flow_key.local_port), "big"),
        dscp=flow_key.ds >> 2,
        spi=int.from_bytes(bytes(flow_key.spi), "big"),
        fragment=flow_key.has != layout.has_of(flow_key.protocol, fragment=False),
    )
    return _record(packet, value, now_ns)


def flow6_record(key: bytes, value: bytes, now_ns: int) -> FlowRecord:
    """Read an entry of the flow cache of IPv6; `now_ns` is CLOCK_MONOTONIC."""
    return _record(layout6.packet_of(key), value, now_ns)


def _record(packet: Packet, value: bytes, now_ns: int) -> FlowRecord:
    flow = layout.FlowValue.from_buffer_copy(value)
    return FlowRecord(
        packet=packet,
        verdict=_verdict(flow),
        bid=_bid(flow),
        rule=_rule(flow),
        packets=flow.packets,
        octets=flow.octets,
        age_s=max(0.0, (now_ns - flow.first_seen_ns) / _NS),
        idle_s=max(0.0, (now_ns - flow.last_seen_ns) / _NS),
    )


def _verdict(flow: layout.FlowValue) -> str:
    return {layout.PATH_DROP: "drop", layout.PATH_NONE: "no-path"}.get(flow.path, "forward")


def _bid(flow: layout.FlowValue) -> int | None:
    no_path = flow.path in {layout.PATH_DROP, layout.PATH_NONE, layout.PATH_BY_PACKET}
    return None if no_path else int(flow.bid)


def _rule(flow: layout.FlowValue) -> int | None:
    return None if flow.rule == layout.RULE_NONE else int(flow.rule)
