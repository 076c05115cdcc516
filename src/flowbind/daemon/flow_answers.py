"""The live flows in an operator's words: selected, in order, and with their rates.

A rate is what was counted between two readings, so that it speaks of now. The kernel counts no more
than packets and octets.
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct

from flowbind.control.messages import FlowRow, FlowsRequest
from flowbind.dataplane.base import FlowRecord
from flowbind.model.binding import Binding
from flowbind.model.decision import PROTOCOLS_WITH_PORTS, Packet, selects
from flowbind.model.flow import FlowRule
from flowbind.model.match import compile_match
from flowbind.model.match_words import PROTOCOL_NAMES
from flowbind.model.tunnel import PLAIN_BID, NodeForwarding

_BITS: Final = 8


class Before(Struct, frozen=True):
    """What every live flow had counted when it was read before, so many seconds ago."""

    ago_s: float
    flows: Mapping[Packet, FlowRecord]


class Rate(Struct, frozen=True):
    """How much of a flow passed in a second."""

    bits_per_s: float
    packets_per_s: float


def rate_of(record: FlowRecord, before: Before) -> Rate | None:
    """Return the rate since the flow was read before; None if that does not tell it."""
    known = before.flows.get(record.packet)
    packets, octets = record.packets, record.octets
    if known is not None and known.packets <= packets:
        packets, octets = packets - known.packets, octets - known.octets
    elif record.age_s > before.ago_s:
        # It had been idle for too long to be live: nobody knows when its packets came.
        return None
    return Rate(octets * _BITS / before.ago_s, packets / before.ago_s)


class Selected(Struct, frozen=True):
    """A flow that was asked for."""

    record: FlowRecord
    rate: Rate | None


_ORDERS: Final[dict[str, Callable[[Selected], float]]] = {
    "rate": lambda each: -(each.rate.bits_per_s if each.rate else 0.0),
    "volume": lambda each: -each.record.octets,
    "age": lambda each: -each.record.age_s,
    "recent": lambda each: each.record.idle_s,
}


def select(
    request: FlowsRequest, records: Iterable[FlowRecord], before: Before | None
) -> list[Selected]:
    """Return the flows that are asked for, in the order that is. Raises MatchError.

    The records come most recent first, which is the order among equals.
    """
    selectors = compile_match(request.match) if request.match is not None else None
    found = [
        Selected(each, rate_of(each, before) if before else None)
        for each in records
        if request.bid in {None, each.bid}
        and (selectors is None or any(selects(one, each.packet) for one in selectors))
    ]
    order = request.sort or ("rate" if before else "recent")
    return sorted(found, key=_ORDERS[order])[: request.top]


def flow_row(selected: Selected, node: NodeForwarding, bindings: tuple[Binding, ...]) -> FlowRow:
    """Say it of one flow, of this node with these bindings."""
    record, rate = selected.record, selected.rate
    packet = record.packet
    # Of several without a BID, each gets a copy.
    paths = [each for each in node.paths if each.bid == record.bid]
    addresses = [each.care_of_address for each in bindings if (each.bid or PLAIN_BID) == record.bid]
    return FlowRow(
        protocol=PROTOCOL_NAMES.get(packet.protocol, str(packet.protocol)),
        remote=_end(packet, packet.remote, packet.remote_port),
        local=_end(packet, packet.local, packet.local_port),
        bid=record.bid,
        verdict=record.verdict,
        rule=rule_name(rule_at(node, record.rule), record.rule),
        packets=record.packets,
        octets=record.octets,
        idle_s=round(record.idle_s, 3),
        dscp=packet.dscp,
        interface=paths[0].interface if len(paths) == 1 else None,
        care_of_address=str(addresses[0]) if len(addresses) == 1 else None,
        bits_per_s=round(rate.bits_per_s, 1) if rate else None,
        packets_per_s=round(rate.packets_per_s, 1) if rate else None,
        age_s=round(record.age_s, 3),
        spi=packet.spi or None,
        fragment=packet.fragment,
    )


def _end(packet: Packet, address: IPv4Address | IPv6Address, port: int) -> str:
    if packet.protocol not in PROTOCOLS_WITH_PORTS or packet.fragment:
        return str(address)
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def rule_at(node: NodeForwarding, index: int | None) -> FlowRule | None:
    """Return the rule of a node that decided, None if none did or it is gone."""
    return node.rules[index] if index is not None and index < len(node.rules) else None


def rule_name(rule: FlowRule | None, index: int | None) -> str | None:
    """Return what an operator knows a rule by: its name, or its place."""
    if index is None:
        return None
    return rule.name if rule is not None and rule.name else f"#{index + 1}"
