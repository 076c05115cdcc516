"""The map values of bpf/maps.h in Python. A test compares every field with the object's BTF."""

import ctypes
from ipaddress import IPv4Address
from typing import Any, Final

from flowbind.model.binding import Encapsulation, GreKeys
from flowbind.model.decision import PROTOCOLS_WITH_PORTS, PROTOCOLS_WITH_SPI, usable_bid
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import MAX_PATHS, MAX_RULES, Balance, NodeForwarding, Path
from flowbind.wire.flow_binding import MAX_BIDS
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector

PATH_NONE: Final = 255
PATH_DROP: Final = 254
PATH_BY_PACKET: Final = 253
RULE_NONE: Final = 255

PATH_KEYED: Final = 1
PATH_NUMBERED: Final = 2

NEEDS_PORTS: Final = 1
NEEDS_SPI: Final = 2

COUNTERS: Final = (
    "encapsulated_packets",
    "encapsulated_octets",
    "decapsulated_packets",
    "decapsulated_octets",
    "echo_answered",
    "mss_clamped",
    "drop_no_binding",
    "drop_by_rule",
    "drop_no_path",
    "drop_loop",
    "drop_too_big",
    "drop_encapsulation_failed",
    "drop_no_route",
    "drop_care_of_address_unknown",
    "drop_udp_tunnel_unknown",
    "drop_inner_address",
    "drop_encapsulation_mismatch",
    "drop_malformed",
    "drop_gre_unsupported",
    "drop_gre_key",
    "drop_gre_checksum",
    "drop_gre_out_of_sequence",
    "drop_minimal_checksum",
    "drop_decapsulation_failed",
    "drop_congestion_mark",
)

BALANCES: Final = (Balance.FLOW, Balance.PACKET)
"""The place of each is its number in struct node."""

PROTOCOL_OF: Final = {
    Encapsulation.IP_IN_IP: 4,
    Encapsulation.GRE: 47,
    Encapsulation.MINIMAL: 55,
}
ENCAPSULATION_OF: Final = {number: name for name, number in PROTOCOL_OF.items()}

Terms = tuple[tuple[str, str, int, int], ...]
"""Of each: field of the selector, field of struct rule or rule6, bits, flag in `terms`."""

NUMBERS: Final[Terms] = (
    ("spi", "spi", 32, 4),
    ("source_port", "source_port", 16, 8),
    ("destination_port", "destination_port", 16, 16),
    ("traffic_class", "ds", 8, 32),
    ("protocol", "protocol", 8, 64),
)
"""What rules for IPv4 and for IPv6 have in common."""

_TERMS: Final[Terms] = (
    ("source", "source", 32, 1),
    ("destination", "destination", 32, 2),
    *NUMBERS,
)

_NEEDS: Final = {"spi": NEEDS_SPI, "source_port": NEEDS_PORTS, "destination_port": NEEDS_PORTS}


class PathValue(ctypes.Structure):
    """struct path."""

    _fields_ = (
        ("local", ctypes.c_uint8 * 4),
        ("remote", ctypes.c_uint8 * 4),
        ("ifindex", ctypes.c_uint32),
        ("bid", ctypes.c_uint8),
        ("protocol", ctypes.c_uint8),
        ("weight", ctypes.c_uint8),
        ("label", ctypes.c_uint8),
        ("transmit", ctypes.c_uint8),
        ("gre", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8 * 2),
        ("local_port", ctypes.c_uint8 * 2),
        ("remote_port", ctypes.c_uint8 * 2),
        ("send_key", ctypes.c_uint8 * 4),
        ("receive_key", ctypes.c_uint8 * 4),
    )


class NodeValue(ctypes.Structure):
    """struct node."""

    _fields_ = (
        ("generation", ctypes.c_uint32),
        ("mtu", ctypes.c_uint32),
        ("slot", ctypes.c_uint8),
        ("path_count", ctypes.c_uint8),
        ("rule_count", ctypes.c_uint8),
        ("balance", ctypes.c_uint8),
        ("paths", PathValue * MAX_PATHS),
    )


class RuleValue(ctypes.Structure):
    """struct rule."""

    _fields_ = (
        ("source_start", ctypes.c_uint32),
        ("source_last", ctypes.c_uint32),
        ("destination_start", ctypes.c_uint32),
        ("destination_last", ctypes.c_uint32),
        ("spi_start", ctypes.c_uint32),
        ("spi_last", ctypes.c_uint32),
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


class PolicyValue(ctypes.Structure):
    """struct policy."""

    _fields_ = (("rules", RuleValue * MAX_RULES),)


class PolicyKey(ctypes.Structure):
    """struct policy_key."""

    _fields_ = (("home_address", ctypes.c_uint8 * 4), ("slot", ctypes.c_uint32))


class FlowKey(ctypes.Structure):
    """struct flow_key."""

    _fields_ = (
        ("remote", ctypes.c_uint8 * 4),
        ("local", ctypes.c_uint8 * 4),
        ("remote_port", ctypes.c_uint8 * 2),
        ("local_port", ctypes.c_uint8 * 2),
        ("spi", ctypes.c_uint8 * 4),
        ("protocol", ctypes.c_uint8),
        ("ds", ctypes.c_uint8),
        ("has", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8),
    )


class FlowValue(ctypes.Structure):
    """struct flow."""

    _fields_ = (
        ("first_seen_ns", ctypes.c_uint64),
        ("last_seen_ns", ctypes.c_uint64),
        ("packets", ctypes.c_uint64),
        ("octets", ctypes.c_uint64),
        ("generation", ctypes.c_uint32),
        ("path", ctypes.c_uint8),
        ("rule", ctypes.c_uint8),
        ("bid", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8),
    )


class FragmentKey(ctypes.Structure):
    """struct fragment_key."""

    _fields_ = (
        ("source", ctypes.c_uint8 * 4),
        ("destination", ctypes.c_uint8 * 4),
        ("id", ctypes.c_uint8 * 2),
        ("protocol", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8),
    )


class FragmentValue(ctypes.Structure):
    """struct fragment."""

    _fields_ = (
        ("seen_ns", ctypes.c_uint64),
        ("flow", FlowKey),
        ("reserved", ctypes.c_uint32),
    )


class Explained(ctypes.Structure):
    """struct explanation."""

    _fields_ = (
        ("flow", FlowValue),
        ("has_node", ctypes.c_uint8),
        ("is_cached", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8 * 6),
    )


class SettingsValue(ctypes.Structure):
    """struct settings."""

    _fields_ = (
        ("home_agent", ctypes.c_uint8 * 4),
        ("home_address", ctypes.c_uint8 * 4),
        ("device_ifindex", ctypes.c_uint32),
        ("shortcut", ctypes.c_uint32),
        ("shortcut_out", ctypes.c_uint32),
        ("clamp_mss", ctypes.c_uint32),
        ("broadcasts", ctypes.c_uint32),
        ("home_broadcast", ctypes.c_uint8 * 4),
        ("ipv6", ctypes.c_uint32),
    )


def octets(address: IPv4Address) -> ctypes.Array[ctypes.c_uint8]:
    """An address in network order, as a field of a struct."""
    return (ctypes.c_uint8 * 4)(*address.packed)


def address(field: ctypes.Array[ctypes.c_uint8]) -> IPv4Address:
    """The address in a field of a struct."""
    return IPv4Address(bytes(field))


def _port_octets(port: int) -> ctypes.Array[ctypes.c_uint8]:
    return (ctypes.c_uint8 * 2)(*port.to_bytes(2, "big"))


def _key_octets(key: int) -> ctypes.Array[ctypes.c_uint8]:
    return (ctypes.c_uint8 * 4)(*key.to_bytes(4, "big"))


def _number(field: ctypes.Array[ctypes.c_uint8]) -> int:
    return int.from_bytes(bytes(field), "big")


def policy_key(home_address: IPv4Address, slot: int) -> bytes:
    """The key of one of the two policies of a node."""
    return bytes(PolicyKey(octets(home_address), slot))


def pack_path(path: Path, ifindex: int) -> PathValue:
    """Turn a path into a struct path."""
    return PathValue(
        octets(path.local),
        octets(path.remote),
        ifindex,
        path.bid,
        PROTOCOL_OF[path.encapsulation],
        path.weight,
        path.label,
        int(path.transmit),
        gre=(path.gre_keys is not None) * PATH_KEYED | path.gre_sequence * PATH_NUMBERED,
        local_port=_port_octets(path.local_port),
        remote_port=_port_octets(path.remote_port),
        send_key=_key_octets(path.gre_keys.send if path.gre_keys else 0),
        receive_key=_key_octets(path.gre_keys.receive if path.gre_keys else 0),
    )


def pack_node(
    node: NodeForwarding, ifindexes: list[int], generation: int, slot: int, mtu: int
) -> bytes:
    """Turn a node into a struct node; `ifindexes` go with its paths."""
    balance = BALANCES.index(node.balance)
    value = NodeValue(generation, mtu, slot, len(node.paths), len(node.rules), balance)
    for index, (path, ifindex) in enumerate(zip(node.paths, ifindexes, strict=True)):
        value.paths[index] = pack_path(path, ifindex)
    return bytes(value)


def pack_policy(node: NodeForwarding) -> bytes:
    """Turn the rules of a node into a struct policy, each with the path it comes to today.

    Those of IPv6 keep their places free, so that a rule has one number.
    """
    value = PolicyValue()
    for index, rule in enumerate(node.rules):
        ours = rule.selector.format is SelectorFormat.IPV4_BINARY
        value.rules[index] = _pack_rule(rule, node.paths) if ours else RuleValue(path=PATH_NONE)
    return bytes(value)


def _pack_rule(rule: FlowRule, paths: tuple[Path, ...]) -> RuleValue:
    value = RuleValue(path=resolve(rule, paths), bid_count=len(rule.bids))
    value.bids[: len(rule.bids)] = rule.bids
    pack_terms(value, rule.selector, _TERMS)
    return value


def pack_terms(value: Any, selector: TrafficSelector, terms: Terms) -> None:  # noqa: ANN401 -- one of two structs
    """Write the ranges of these terms of a selector into a struct rule or rule6."""
    for term, field, bits, flag in terms:
        span = term_span(value, selector, term, bits, flag)
        setattr(value, f"{field}_start", span.start)
        setattr(value, f"{field}_last", span.last)


def term_span(
    value: Any,  # noqa: ANN401 -- one of two structs
    selector: TrafficSelector,
    term: str,
    bits: int,
    flag: int,
) -> Span:
    """Return the range of a term, all there is if the selector has none; notes that it has it."""
    span: Span | None = getattr(selector, term)
    if span is None:
        return Span(0, (1 << bits) - 1)
    value.terms |= flag
    value.needs |= _NEEDS.get(term, 0)
    return span


def resolve(rule: FlowRule, paths: tuple[Path, ...]) -> int:
    """What the BID list of a rule comes to: the index of a path, PATH_DROP or PATH_NONE."""
    if rule.action is FlowAction.DROP:
        return PATH_DROP
    bid = usable_bid(rule, paths)
    return next((index for index, path in enumerate(paths) if path.bid == bid), PATH_NONE)


def balance_of(value: NodeValue) -> Balance:
    """What a node spreads where no rule decides."""
    return BALANCES[int(value.balance)]


def unpack_path(value: PathValue, interface: str | None) -> Path:
    """Turn a struct path back into a path."""
    keys = GreKeys(_number(value.send_key), _number(value.receive_key))
    return Path(
        bid=value.bid,
        local=address(value.local),
        remote=address(value.remote),
        encapsulation=ENCAPSULATION_OF[value.protocol],
        interface=interface,
        label=value.label,
        weight=value.weight,
        transmit=bool(value.transmit),
        local_port=_number(value.local_port),
        remote_port=_number(value.remote_port),
        gre_keys=keys if value.gre & PATH_KEYED else None,
        gre_sequence=bool(value.gre & PATH_NUMBERED),
    )


def unpack_rule(value: RuleValue) -> FlowRule:
    """Turn a struct rule back into a flow rule."""
    return rule_of(value, TrafficSelector(**unpack_terms(value, _TERMS)))


def unpack_terms(value: Any, terms: Terms) -> dict[str, Any]:  # noqa: ANN401 -- one of two structs
    """Return the ranges of those of these terms that a rule has, by the field of the selector."""
    return {
        term: span_of(getattr(value, f"{field}_start"), getattr(value, f"{field}_last"))
        for term, field, _bits, flag in terms
        if value.terms & flag
    }


def rule_of(value: Any, selector: TrafficSelector) -> FlowRule:  # noqa: ANN401 -- one of two structs
    """Return the flow rule that a struct rule or rule6 with this selector stands for."""
    action = FlowAction.DROP if value.path == PATH_DROP else FlowAction.FORWARD
    return FlowRule(action, tuple(value.bids[: value.bid_count]), selector)


def span_of(start: int, last: int) -> Span:
    """A range as a selector has it, whose end is not said where it is the start."""
    return Span(start, None if start == last else last)


def has_of(protocol: int, *, fragment: bool) -> int:
    """What a packet of a protocol carries that a rule may need."""
    if fragment:
        return 0
    if protocol in PROTOCOLS_WITH_PORTS:
        return NEEDS_PORTS
    return NEEDS_SPI if protocol in PROTOCOLS_WITH_SPI else 0
