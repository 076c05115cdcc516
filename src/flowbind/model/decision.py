"""Which path a packet takes: the same decision as bpf/flow.h, in Python.

The memory plane forwards by it, `policy` tells by it which rules are active, and a test holds the
programs in the kernel to it packet by packet. All arithmetic is modulo 2**32, as it is there.
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct

from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import PLAIN_BID, Balance, NodeForwarding, Path
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector

PROTOCOLS_WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})
PROTOCOLS_WITH_SPI: Final = frozenset({50, 51})

_FORMATS: Final = {4: SelectorFormat.IPV4_BINARY, 6: SelectorFormat.IPV6_BINARY}
_WORD: Final = 0xFFFFFFFF
_DS_MASK: Final = 0xFC


class Packet(Struct, frozen=True):
    """The fields of an inner packet that a decision depends on. Ports are 0 where there are none.

    `remote` is the correspondent's end and `local` the home address' end, whoever sent it. A
    `fragment` is a later one, without ports and SPI; by its `identification` the data plane knows
    the first fragment, if that came by.

    Of IPv6 `protocol` is that of the upper layer, behind all extension headers, and `local` is in a
    prefix of the node; only there is a `flow_label`.
    """

    remote: IPv4Address | IPv6Address
    local: IPv4Address | IPv6Address
    protocol: int
    remote_port: int = 0
    local_port: int = 0
    dscp: int = 0
    spi: int = 0
    fragment: bool = False
    identification: int = 0
    flow_label: int = 0


class Decision(Struct, frozen=True):
    """What becomes of a packet, and why.

    `verdict` is "forward", "drop", "no-node" or "no-path". `rule` is the index of the rule that
    decided, None for the weighted spread. `bid` is the path; PLAIN_BID stands for every path
    without a BID, None for no path, or with the verdict "forward" for another one for each packet.
    `cached_generation` is that of the node when it was decided, if a flow cache remembers it.
    """

    verdict: str
    bid: int | None = None
    rule: int | None = None
    cached_generation: int | None = None

    @property
    def by_packet(self) -> bool:
        """Whether each packet is sent by another path."""
        return self.verdict == "forward" and self.bid is None


def mix(value: int) -> int:
    """Spread every bit over the word (the finaliser of MurmurHash3)."""
    value ^= value >> 16
    value = value * 0x85EBCA6B & _WORD
    value ^= value >> 13
    value = value * 0xC2B2AE35 & _WORD
    return value ^ value >> 16


def flow_hash(packet: Packet) -> int:
    """Hash the five addresses of a flow; both ends of the tunnels get the same number."""
    value = 0
    for word in (*_words(packet.remote), *_words(packet.local)):
        value = mix(value ^ word)
    value = mix(value ^ (packet.remote_port << 16 | packet.local_port))
    return mix(value ^ packet.protocol)


def _words(address: IPv4Address | IPv6Address) -> tuple[int, ...]:
    return struct.unpack(f"!{len(address.packed) // 4}I", address.packed)


def spread(paths: tuple[Path, ...], hashed: int) -> Path | None:
    """Weighted rendezvous hashing: as many tickets as weight, the highest ticket wins."""
    best: tuple[int, Path] | None = None
    for path in paths:
        for ticket in range(path.weight if path.transmit else 0):
            score = mix(hashed ^ mix(path.bid << 8 | ticket))
            if best is None or score > best[0]:
                best = (score, path)
    return best[1] if best else None


def usable_bid(rule: FlowRule, paths: tuple[Path, ...]) -> int | None:
    """Return the first BID of a FORWARD rule that packets can be sent to (RFC 7629 4.2)."""
    sending = {path.bid for path in paths if path.transmit}
    return next((bid for bid in rule.bids if bid in sending), None)


def is_active(rule: FlowRule, paths: tuple[Path, ...]) -> bool:
    """Tell whether the action of a rule can be carried out with these paths."""
    return rule.action is FlowAction.DROP or usable_bid(rule, paths) is not None


def selects(selector: TrafficSelector, packet: Packet) -> bool:
    """Tell whether a selector matches a packet: all its terms must (RFC 6088 section 3)."""
    if selector.format is not _FORMATS[packet.local.version]:
        return False
    has_ports = packet.protocol in PROTOCOLS_WITH_PORTS and not packet.fragment
    has_spi = packet.protocol in PROTOCOLS_WITH_SPI and not packet.fragment
    return (
        _within(selector.source, int(packet.remote))
        and _within(selector.destination, int(packet.local))
        and _within(selector.protocol, packet.protocol)
        and _within_ds(selector.traffic_class, packet.dscp << 2)
        and _within(selector.flow_label, packet.flow_label)
        and _within(selector.source_port, packet.remote_port, present=has_ports)
        and _within(selector.destination_port, packet.local_port, present=has_ports)
        and _within(selector.spi, packet.spi, present=has_spi)
    )


def _within(span: Span | None, value: int, *, present: bool = True) -> bool:
    return span is None or (present and span.contains(value))


def _within_ds(span: Span | None, octet: int) -> bool:
    return span is None or span.start & _DS_MASK <= octet <= span.last & _DS_MASK


def decide(node: NodeForwarding, packet: Packet) -> Decision:
    """Decide what becomes of a packet of this node, and by which rule."""
    for index, rule in enumerate(node.rules):
        if not selects(rule.selector, packet):
            continue
        if rule.action is FlowAction.DROP:
            return Decision("drop", rule=index)
        bid = usable_bid(rule, node.paths)
        if bid is not None:
            return Decision("forward", bid=bid, rule=index)
    path = spread(node.paths, flow_hash(packet))
    if path is None:
        return Decision("no-path")
    by_packet = node.balance is Balance.PACKET and path.bid != PLAIN_BID
    return Decision("forward", bid=None if by_packet else path.bid)


def paths_taken(node: NodeForwarding, decision: Decision) -> tuple[Path, ...]:
    """Return the paths that a packet leaves by: one, or without a BID each of them.

    None are returned where each packet has a path of its own.
    Bindings without a BID are simultaneous ones, and each care-of address gets a copy of the packet
    (RFC 5944 4.2.3).
    """
    return tuple(path for path in node.paths if path.transmit and path.bid == decision.bid)
