"""The map keys and values of bpf/ipv6.h in Python. A test compares every field with the BTF."""

import ctypes
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Final

from flowbind.dataplane.ebpf.layout import (
    NEEDS_PORTS,
    NEEDS_SPI,
    PATH_DROP,
    PATH_NONE,
    has_of,
    resolve,
)
from flowbind.model.decision import Packet
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import MAX_RULES, NodeForwarding, Path
from flowbind.wire.flow_binding import MAX_BIDS
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector

NEEDS_OTHER: Final = 128

_ADDRESSES: Final = (("source", 1), ("destination", 2))
_NUMBERS: Final = (
    ("spi", "spi", 32, 4),
    ("source_port", "source_port", 16, 8),
    ("destination_port", "destination_port", 16, 16),
    ("traffic_class", "ds", 8, 32),
    ("protocol", "protocol", 8, 64),
    ("flow_label", "flow_label", 32, 128),
)
"""Field of the selector, field of struct rule6, bits, flag in `terms`."""

_NEEDS: Final = {"spi": NEEDS_SPI, "source_port": NEEDS_PORTS, "destination_port": NEEDS_PORTS}
_HALF: Final = (1 << 64) - 1


class PrefixKey(ctypes.Structure):
    """struct prefix_key."""

    _fields_ = (("length", ctypes.c_uint32), ("prefix", ctypes.c_uint8 * 16))


class Range6Value(ctypes.Structure):
    """struct range6."""

    _fields_ = (("start", ctypes.c_uint64 * 2), ("last", ctypes.c_uint64 * 2))


class Rule6Value(ctypes.Structure):
    """struct rule6."""

    _fields_ = (
        ("source", Range6Value),
        ("destination", Range6Value),
        ("spi_start", ctypes.c_uint32),
        ("spi_last", ctypes.c_uint32),
        ("flow_label_start", ctypes.c_uint32),
        ("flow_label_last", ctypes.c_uint32),
        ("source_port_start", ctypes.c_uint16),
        ("source_port_last", ctypes.c_uint16),
        ("destination_port_start", ctypes.c_uint16),
        ("destination_port_last", ctypes.c_uint16),
        ("ds_start", ctypes.c_uint8),
        ("ds_last", ctypes.c_uint8),
        ("protocol_start", ctypes.c_uint8),
        ("protocol_last", ctypes.c_uint8),
        ("needs", ctypes.c_uint8),
        ("terms", ctypes.c_uint8),
        ("path", ctypes.c_uint8),
        ("bid_count", ctypes.c_uint8),
        ("bids", ctypes.c_uint8 * MAX_BIDS),
    )


class Policy6Value(ctypes.Structure):
    """struct policy6."""

    _fields_ = (("rules", Rule6Value * MAX_RULES),)


class Flow6Key(ctypes.Structure):
    """struct flow6_key."""

    _fields_ = (
        ("remote", ctypes.c_uint8 * 16),
        ("local", ctypes.c_uint8 * 16),
        ("remote_port", ctypes.c_uint8 * 2),
        ("local_port", ctypes.c_uint8 * 2),
        ("spi", ctypes.c_uint8 * 4),
        ("flow_label", ctypes.c_uint32),
        ("protocol", ctypes.c_uint8),
        ("ds", ctypes.c_uint8),
        ("has", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8),
    )


def prefix_key(prefix: IPv6Network) -> bytes:
    """The key of a prefix in the trie."""
    octets = (ctypes.c_uint8 * 16)(*prefix.network_address.packed)
    return bytes(PrefixKey(prefix.prefixlen, octets))


def prefix_of(key: bytes) -> IPv6Network:
    """The prefix that a key of the trie stands for."""
    value = PrefixKey.from_buffer_copy(key)
    return IPv6Network((bytes(value.prefix), value.length))


def concerns_ipv6(rule: FlowRule) -> bool:
    """Tell whether a rule is about packets of IPv6."""
    return rule.selector.format is SelectorFormat.IPV6_BINARY


def pack_policy6(node: NodeForwarding) -> bytes:
    """Turn the rules of a node into a struct policy6, in which those of IPv4 keep their places."""
    value = Policy6Value()
    for index, rule in enumerate(node.rules):
        ours = concerns_ipv6(rule)
        value.rules[index] = _pack_rule(rule, node.paths) if ours else _NOT_OURS
    return bytes(value)


_NOT_OURS: Final = Rule6Value(path=PATH_NONE, needs=NEEDS_OTHER)


def _pack_rule(rule: FlowRule, paths: tuple[Path, ...]) -> Rule6Value:
    value = Rule6Value(path=resolve(rule, paths), bid_count=len(rule.bids))
    value.bids[: len(rule.bids)] = rule.bids
    for term, flag in _ADDRESSES:
        span = _span(value, rule, term, 128, flag)
        setattr(value, term, Range6Value(_halves(span.start), _halves(span.last)))
    for term, field, bits, flag in _NUMBERS:
        span = _span(value, rule, term, bits, flag)
        setattr(value, f"{field}_start", span.start)
        setattr(value, f"{field}_last", span.last)
    return value


def _span(value: Rule6Value, rule: FlowRule, term: str, bits: int, flag: int) -> Span:
    """Return the range of a term, all there is where the rule has none; notes that it has it."""
    span: Span | None = getattr(rule.selector, term)
    if span is None:
        return Span(0, (1 << bits) - 1)
    value.terms |= flag
    value.needs |= _NEEDS.get(term, 0)
    return span


def _halves(address: int) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * 2)(address >> 64, address & _HALF)


def unpack_policy6(data: bytes, count: int) -> Iterator[tuple[int, FlowRule]]:
    """Yield the rules for IPv6 of a struct policy6, each with its place among all."""
    for index, rule in enumerate(Policy6Value.from_buffer_copy(data).rules[:count]):
        if not rule.needs & NEEDS_OTHER:
            yield index, _unpack_rule(rule)


def _unpack_rule(value: Rule6Value) -> FlowRule:
    spans: dict[str, Any] = {}
    for term, flag in _ADDRESSES:
        if value.terms & flag:
            ends: Range6Value = getattr(value, term)
            spans[term] = _range(_joined(ends.start), _joined(ends.last))
    for term, field, _bits, flag in _NUMBERS:
        if value.terms & flag:
            spans[term] = _range(getattr(value, f"{field}_start"), getattr(value, f"{field}_last"))
    action = FlowAction.DROP if value.path == PATH_DROP else FlowAction.FORWARD
    selector = TrafficSelector(SelectorFormat.IPV6_BINARY, **spans)
    return FlowRule(action, tuple(value.bids[: value.bid_count]), selector)


def _range(start: int, last: int) -> Span:
    return Span(start, None if start == last else last)


def _joined(halves: Any) -> int:  # noqa: ANN401 -- an array of ctypes
    return int(halves[0]) << 64 | int(halves[1])


def packet_of(key: bytes) -> Packet:
    """The packet that a key of the flow cache stands for."""
    value = Flow6Key.from_buffer_copy(key)
    return Packet(
        remote=IPv6Address(bytes(value.remote)),
        local=IPv6Address(bytes(value.local)),
        protocol=value.protocol,
        remote_port=int.from_bytes(bytes(value.remote_port), "big"),
        local_port=int.from_bytes(bytes(value.local_port), "big"),
        dscp=value.ds >> 2,
        spi=int.from_bytes(bytes(value.spi), "big"),
        fragment=value.has != has_of(value.protocol, fragment=False),
        flow_label=value.flow_label,
    )
