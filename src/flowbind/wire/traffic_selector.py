"""Binary traffic selectors (RFC 6088 sections 3.1 and 3.2), as RFC 7629 carries them.

In RFC 7629 a selector begins with its flag word: no sub-option header, no reserved octet, no
padding. The source is the correspondent, the destination the home address. The letters of the
flags differ between the two formats, which is why each format is a table of its own.
"""

from typing import Final, NamedTuple

from msgspec import structs

from flowbind.frozen import Sparse
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ReplyCode, SelectorFormat

_FLAG_WORD_OCTETS: Final = 4
_FIRST_FLAG: Final = 1 << 31
_DS_MASK: Final = 0xFC
_FLOW_LABEL_MASK: Final = 0x00FFFFFF


class _Field(NamedTuple):
    """A field of a selector: which octets, which flags say that they are there, which bits count.

    A named tuple, since these loops run for every rule of every request.
    """

    name: str
    size: int
    start_flag: int
    end_flag: int
    mask: int


def _fields(*sizes: tuple[str, int]) -> tuple[_Field, ...]:
    """Give each field its two flags: the first has the highest, a start flag, then an end flag."""
    masks = {"traffic_class": _DS_MASK, "flow_label": _FLOW_LABEL_MASK}
    return tuple(
        _Field(name, size, _FIRST_FLAG >> 2 * at, _FIRST_FLAG >> 2 * at + 1, masks.get(name, -1))
        for at, (name, size) in enumerate(sizes)
    )


_FIELDS: Final[dict[SelectorFormat, tuple[_Field, ...]]] = {
    SelectorFormat.IPV4_BINARY: _fields(
        ("source", 4),
        ("destination", 4),
        ("spi", 4),
        ("source_port", 2),
        ("destination_port", 2),
        ("traffic_class", 1),
        ("protocol", 1),
    ),
    SelectorFormat.IPV6_BINARY: _fields(
        ("source", 16),
        ("destination", 16),
        ("spi", 4),
        ("flow_label", 4),
        ("source_port", 2),
        ("destination_port", 2),
        ("traffic_class", 1),
        ("protocol", 1),
    ),
}


class Span(Sparse, frozen=True, omit_defaults=True):
    """An inclusive range, or with `end` None exactly one value."""

    start: int
    end: int | None = None

    @property
    def last(self) -> int:
        """The highest value of the range."""
        return self.start if self.end is None else self.end

    def contains(self, value: int) -> bool:
        """Tell whether a value lies within."""
        return self.start <= value <= self.last


class TrafficSelector(Sparse, frozen=True, omit_defaults=True):
    """Which packets a flow binding is about. A field that is None matches anything.

    Addresses are integers of 32 or 128 bits by `format`. `traffic_class` is the whole DS octet, of
    which only the upper six bits count. `flow_label` exists in the IPv6 format only.
    """

    format: SelectorFormat = SelectorFormat.IPV4_BINARY
    source: Span | None = None
    destination: Span | None = None
    spi: Span | None = None
    flow_label: Span | None = None
    source_port: Span | None = None
    destination_port: Span | None = None
    traffic_class: Span | None = None
    protocol: Span | None = None

    def canonical(self) -> "TrafficSelector":
        """Return the selector that means the same and is equal for all that mean the same."""
        changes: dict[str, Span] = {}
        for name, _size, _start_flag, _end_flag, mask in _FIELDS[self.format]:
            span: Span | None = getattr(self, name)
            if span is not None:
                start, last = span.start & mask, span.last & mask
                changes[name] = Span(start, None if start == last else last)
        return structs.replace(self, **changes)


def encode_selector(selector: TrafficSelector) -> bytes:
    """Encode a selector from its flag word on (RFC 6088 section 3)."""
    flags = 0
    body = b""
    for name, size, start_flag, end_flag, _mask in _FIELDS[selector.format]:
        span: Span | None = getattr(selector, name)
        if span is not None:
            flags |= start_flag
            body += span.start.to_bytes(size, "big")
            if span.end is not None:
                flags |= end_flag
                body += span.end.to_bytes(size, "big")
    return flags.to_bytes(_FLAG_WORD_OCTETS, "big") + body


def decode_selector(selector_format: SelectorFormat, data: bytes) -> TrafficSelector:
    """Decode a selector. Raises WireError with code 134 (RFC 6088 section 3, MUST NOTs)."""
    flags = _unsigned(data, 0, _FLAG_WORD_OCTETS)
    at = _FLAG_WORD_OCTETS
    spans: dict[str, Span] = {}
    for name, size, start_flag, end_flag, mask in _FIELDS[selector_format]:
        if flags & start_flag:
            start = _unsigned(data, at, size)
            at += size
            end = None
            if flags & end_flag:
                end = _unsigned(data, at, size)
                at += size
                if (start & mask) > (end & mask):
                    raise _malformed("selector-range-reversed", name)
            spans[name] = Span(start, end)
        elif flags & end_flag:
            raise _malformed("selector-end-without-start", name)
    if at < len(data):
        raise _malformed("trailing-octets", f"{len(data) - at} too many")
    return TrafficSelector(format=selector_format, **spans)


def _unsigned(data: bytes, at: int, size: int) -> int:
    behind = at + size
    if behind > len(data):
        raise _malformed("truncated", f"{size} octets wanted, {len(data) - at} left")
    return int.from_bytes(data[at:behind], "big")


def _malformed(reason: str, detail: str) -> WireError:
    return WireError(reason, detail, ReplyCode.POORLY_FORMED_REQUEST)
