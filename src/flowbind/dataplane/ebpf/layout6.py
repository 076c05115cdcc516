"""The map keys and values of bpf/ipv6.h in Python. A test compares every field with the BTF."""

import ctypes
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Final

from flowbind.dataplane.ebpf.layout import (
    NUMBERS,
    PATH_NONE,
    Terms,
    has_of,
    pack_terms,
    resolve,
    rule_of,
    span_of,
    term_span,
    unpack_terms,
)
from flowbind.model.decision import Packet
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import MAX_RULES, NodeForwarding, Path
from flowbind.wire.flow_binding import MAX_BIDS
from flowbind.wire.iana import SelectorFormat
from flowbind.wire.traffic_selector import TrafficSelector

NEEDS_OTHER: Final = 128

_ADDRESSES: Final = (("source", 1), ("destination", 2))
_NUMBERS: Final[Terms] = (*NUMBERS, ("flow_label", "flow_label", 32, 128))
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
        span = term_span(value, rule.selector, term, 128, flag)
        setattr(value, term, Range6Value(_halves(span.start), _halves(span.last)))
    pack_terms(value, rule.selector, _NUMBERS)
    return value


def _halves(address: int) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * 2)(address >> 64, address & _HALF)


def unpack_policy6(data: bytes, count: int) -> Iterator[tuple[int, FlowRule]]:
    """Yield the rules for IPv6 of a struct policy6, each with its place among all."""
    for index, rule in enumerate(Policy6Value.from_buffer_copy(data).rules[:count]):
        if not rule.needs & NEEDS_OTHER:
            yield index, _unpack_rule(rule)


def _unpack_rule(value: Rule6Value) -> FlowRule:
    spans = unpack_terms(value, _NUMBERS)
    for term, flag in _ADDRESSES:
        if value.terms & flag:
            ends: Range6Value = getattr(value, term)
            spans[term] = span_of(_joined(ends.start), _joined(ends.last))
    return rule_of(value, TrafficSelector(SelectorFormat.IPV6_BINARY, **spans))


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
