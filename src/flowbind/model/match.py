"""The match language: what an operator writes, as RFC 6088 selectors (docs/match.md).

`remote` is the correspondent, which RFC 7629 puts into the source fields of a selector; `local` is
the home address, in the destination fields. A reader would get wrong that all terms without a side
speak of one and the same end: `net N port P` selects N:P as the remote end, or N:P as the local
end, and never a remote N with a local P.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range
from typing import Final

from msgspec import Struct

from flowbind.model.match_reader import (
    CODE_POINT,
    FLOW_LABEL,
    IDENTIFICATION,
    PORT,
    PROTOCOL,
    SPI,
    MatchError,
    Quantity,
    Words,
)
from flowbind.model.match_words import (
    CODE_POINT_NAMES,
    PROTOCOL_NAMES,
    PROTOCOLS,
    PROTOCOLS_WITH_PORTS,
    PROTOCOLS_WITH_SPI,
)
from flowbind.wire.iana import SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector

__all__ = [
    "MAX_SELECTORS",
    "MatchError",
    "PacketDescription",
    "compile_match",
    "describe_selector",
    "parse_packet",
    "why_nothing_matches",
]

MAX_SELECTORS: Final = 32
"""The most selectors that one expression may compile to."""

_DSCP_SHIFT: Final = 2
_ADDRESS_BITS: Final = {SelectorFormat.IPV4_BINARY: 32, SelectorFormat.IPV6_BINARY: 128}
_TERM: Final = "a protocol, 'port', 'net', 'remote', 'local', 'dscp' or 'spi'"
_ADDRESSES: Final = re.compile(r"([0-9a-f.:]{2,45})(?:(/)([0-9]{1,3})|(-)([0-9a-f.:]{2,45}))?")
_END: Final = re.compile(r"([0-9]*\.[0-9.]*|\[[0-9a-f:.]+\])(?::(.*))?|([0-9a-f:.]+)")

_NUMBERS: Final = {
    "proto": ("protocol", PROTOCOL),
    "dscp": ("traffic_class", CODE_POINT),
    "spi": ("spi", SPI),
    "flow-label": ("flow_label", FLOW_LABEL),
}
_EXTRAS: Final = {"dscp": CODE_POINT, "spi": SPI, "flow-label": FLOW_LABEL}
"""What a packet has besides its ends."""
_IPV4: Final = 4
_FORMATS: Final = {False: SelectorFormat.IPV4_BINARY, True: SelectorFormat.IPV6_BINARY}
_SIDED: Final[dict[tuple[str | None, str], str]] = {
    (None, "port"): "port",
    ("remote", "port"): "source_port",
    ("local", "port"): "destination_port",
    (None, "net"): "net",
    ("remote", "net"): "source",
    ("local", "net"): "destination",
}
_RIVALS: Final = {
    "port": ("source_port", "destination_port"),
    "source_port": ("port",),
    "destination_port": ("port",),
    "net": ("source", "destination"),
    "source": ("net",),
    "destination": ("net",),
}
_REMOTE_END: Final = {"port": "source_port", "net": "source"}
_LOCAL_END: Final = {"port": "destination_port", "net": "destination"}


class PacketDescription(Struct, frozen=True):
    """A packet in an operator's words. Ports and SPI are 0 where the packet has none.

    A `fragment` is a later one of the packet with this `identification`.
    """

    protocol: int
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    source_port: int = 0
    destination_port: int = 0
    dscp: int = 0
    spi: int = 0
    fragment: bool = False
    identification: int = 0
    flow_label: int = 0

    def reversed(self) -> "PacketDescription":
        """Return the packet of the same flow in the other direction."""
        return PacketDescription(
            self.protocol,
            self.destination,
            self.source,
            self.destination_port,
            self.source_port,
            self.dscp,
            self.spi,
            self.fragment,
            self.identification,
            self.flow_label,
        )


class _Expression:
    """The terms of one expression by selector field; those without a side by `port` and `net`."""

    def __init__(self, text: str) -> None:
        self.words = Words(text)
        self.format: SelectorFormat | None = None
        self.fields: dict[str, tuple[Span, ...]] = {}

    def read(self) -> None:
        """Read all of it."""
        version = self.words.take_if("ipv4", "ipv6")
        if version is not None:
            self.format = _FORMATS[version == "ipv6"]
        if not self.words.take_if("any"):
            self._term()
            while self.words.peek() is not None:
                self._term()
        if self.words.peek() is not None:
            raise self.words.expected("nothing behind 'any'")

    def _term(self) -> None:
        words = self.words
        position = words.position
        side = words.take_if("remote", "local")
        if keyword := words.take_if("port", "net"):
            field = _SIDED[side, keyword]
            self._add(field, self._net if keyword == "net" else self._number(PORT), position)
        elif side:
            raise words.expected(f"'port' or 'net' behind {side!r}")
        elif keyword := words.take_if(*_NUMBERS):
            field, quantity = _NUMBERS[keyword]
            self._add(field, self._number(quantity), position)
        elif words.peek() in PROTOCOLS:
            self._add("protocol", self._number(PROTOCOL), position)
        else:
            raise words.expected(_TERM)

    def _add(self, field: str, read: Callable[[], Span], position: int) -> None:
        if field in self.fields:
            raise self.words.error("this term is there already: write a list", position)
        if any(rival in self.fields for rival in _RIVALS.get(field, ())):
            raise self.words.error("say 'remote' or 'local' for both of these terms", position)
        if field == "flow_label" and self.format is not SelectorFormat.IPV6_BINARY:
            raise self.words.error("only IPv6 has flow labels: begin with 'ipv6'", position)
        spans = [read()]
        while self.words.take_if(","):
            spans.append(read())
        self.fields[field] = tuple(dict.fromkeys(spans))

    def _number(self, quantity: Quantity) -> Callable[[], Span]:
        def read() -> Span:
            span = self.words.span(quantity)
            if quantity is not CODE_POINT:
                return span
            end = None if span.end is None else span.end << _DSCP_SHIFT
            return Span(span.start << _DSCP_SHIFT, end)

        return read

    def _net(self) -> Span:
        position = self.words.position
        word = self.words.take("an address")
        try:
            first, last = _addresses(word)
        except ValueError as problem:
            raise self.words.error(str(problem), position) from None
        found = _FORMATS[isinstance(first, IPv6Address)]
        if self.format not in {None, found}:
            raise self.words.error("IPv4 and IPv6 in one expression", position)
        self.format = found
        return Span(int(first), None if first == last else int(last))

    def selectors(self) -> Iterator[TrafficSelector]:
        """Yield one selector for each combination of the listed values and of the sides."""
        both_ways = not _REMOTE_END.keys().isdisjoint(self.fields)
        chosen_format = self.format or SelectorFormat.IPV4_BINARY
        for end in (_REMOTE_END, _LOCAL_END) if both_ways else ({},):
            names = [end.get(field, field) for field in self.fields]
            for spans in itertools.product(*self.fields.values()):
                terms = dict(zip(names, spans, strict=True))
                yield TrafficSelector(format=chosen_format, **terms)

    def count(self) -> int:
        """How many selectors there will be."""
        sides = 1 if _REMOTE_END.keys().isdisjoint(self.fields) else 2
        return sides * math.prod(len(spans) for spans in self.fields.values())


def compile_match(text: str) -> tuple[TrafficSelector, ...]:
    """Compile an expression to the canonical selectors that together mean it. Raises MatchError."""
    expression = _Expression(text)
    expression.read()
    count = expression.count()
    if count > MAX_SELECTORS:
        raise MatchError(text, 0, f"this needs {count} selectors, more than {MAX_SELECTORS}")
    return tuple(expression.selectors())


def _addresses(word: str) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    found = _ADDRESSES.fullmatch(word)
    expected = f"expected an address, a prefix or a range of addresses, found {word!r}"
    if found is None:
        raise ValueError(expected)
    try:
        first = ip_address(found[1])
        last = ip_address(found[5]) if found[4] else first
        network = ip_network(word, strict=False) if found[2] else None
    except ValueError:
        raise ValueError(expected) from None
    if network is not None:
        if network.network_address != first:
            raise ValueError(f"{word} has host bits set: {network}?")
        return network.network_address, network.broadcast_address
    if first.version != last.version or int(first) > int(last):
        raise ValueError(f"the range {word} is reversed")
    return first, last


def describe_selector(selector: TrafficSelector) -> str:
    """Write the expression that compiles to this selector and no other."""
    selector = selector.canonical()
    terms: list[str] = []
    if selector.protocol:
        terms.append(_describe_protocol(selector.protocol))
    bits = _ADDRESS_BITS[selector.format]
    for side, net, port in (
        ("remote", selector.source, selector.source_port),
        ("local", selector.destination, selector.destination_port),
    ):
        if net:
            terms.append(f"{side} net {_describe_addresses(net, bits)}")
        if port:
            terms.append(f"{side} port {_describe_range(port, str)}")
    if selector.traffic_class:
        terms.append(f"dscp {_describe_range(selector.traffic_class, _code_point)}")
    if selector.spi:
        terms.append(f"spi {_describe_range(selector.spi, hex)}")
    if selector.flow_label:
        terms.append(f"flow-label {_describe_range(selector.flow_label, hex)}")
    prefix = "ipv6 " if selector.format is SelectorFormat.IPV6_BINARY else ""
    return prefix + (" ".join(terms) or "any")


def _describe_protocol(span: Span) -> str:
    if span.end is None and span.start in PROTOCOL_NAMES:
        return PROTOCOL_NAMES[span.start]
    return f"proto {_describe_range(span, str)}"


def _describe_range(span: Span, text_of: Callable[[int], str]) -> str:
    return "-".join(text_of(value) for value in dict.fromkeys((span.start, span.last)))


def _code_point(octet: int) -> str:
    value = octet >> _DSCP_SHIFT
    return CODE_POINT_NAMES.get(value, str(value))


def _describe_addresses(span: Span, bits: int) -> str:
    kind = IPv6Address if bits == _ADDRESS_BITS[SelectorFormat.IPV6_BINARY] else IPv4Address
    first, last = kind(span.start), kind(span.last)
    if first == last:
        return str(first)
    networks = list(itertools.islice(summarize_address_range(first, last), 2))
    return str(networks[0]) if len(networks) == 1 else f"{first}-{last}"


def why_nothing_matches(selector: TrafficSelector) -> str | None:
    """Tell why no packet can ever match a selector; None if one can."""
    ports = selector.source_port or selector.destination_port
    if ports and selector.spi:
        return "no packet has both ports and an SPI"
    for wanted, having, noun in (
        (ports, PROTOCOLS_WITH_PORTS, "ports"),
        (selector.spi, PROTOCOLS_WITH_SPI, "an SPI"),
    ):
        if wanted and selector.protocol and not any(map(selector.protocol.contains, having)):
            return f"packets of {_describe_protocol(selector.protocol)} do not have {noun}"
    return None


def parse_packet(text: str) -> PacketDescription:
    """Read a packet such as `udp 203.0.113.9:5004 -> 10.9.0.5:40000 dscp ef`. Raises MatchError.

    IPv6 addresses stand in brackets in front of a port.

    Which of the two ends is the home address is for the caller to find out.
    """
    words = Words(text)
    protocol = words.value(PROTOCOL)
    fragment = words.take_if("fragment") is not None
    identification = words.value(IDENTIFICATION) if fragment else 0
    with_ports = protocol in PROTOCOLS_WITH_PORTS and not fragment
    source, source_port = _end(words, with_ports=with_ports)
    if not words.take_if("->"):
        raise words.expected("'->'")
    destination, destination_port = _end(words, with_ports=with_ports)
    if source.version != destination.version:
        raise words.error("IPv4 and IPv6 in one packet")
    extras = dict.fromkeys(_EXTRAS, 0)
    while keyword := words.take_if(*extras):
        if keyword == "spi" and (fragment or protocol not in PROTOCOLS_WITH_SPI):
            raise words.error("only esp and ah have an SPI, in their first fragment")
        if keyword == "flow-label" and source.version == _IPV4:
            raise words.error("only IPv6 has flow labels")
        extras[keyword] = words.value(_EXTRAS[keyword])
    if words.peek() is not None:
        raise words.expected("'dscp', 'spi', 'flow-label' or the end")
    return PacketDescription(
        protocol,
        source,
        destination,
        source_port,
        destination_port,
        dscp=extras["dscp"],
        spi=extras["spi"],
        fragment=fragment,
        identification=identification,
        flow_label=extras["flow-label"],
    )


def _end(words: Words, *, with_ports: bool) -> tuple[IPv4Address | IPv6Address, int]:
    position = words.position
    expected = "ADDRESS:PORT" if with_ports else "an address without a port"
    word = words.take(expected)
    found = _END.fullmatch(word)
    if found is None or with_ports is (found[2] is None):
        raise words.error(f"expected {expected}, found {word!r}", position)
    try:
        text = (found[1] or found[3]).strip("[]")
        address = IPv6Address(text) if ":" in text else IPv4Address(text)
        port = PORT.single(found[2]) if found[2] is not None else 0
    except ValueError as problem:
        raise words.error(str(problem), position) from None
    return address, port
