"""What holds for any octets at all, over the whole registry of extensions."""

from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowbind.wire.dual_stack import Ipv6PrefixReply, Ipv6PrefixRequest, Ipv6TunnelingMode
from flowbind.wire.errors import WireError
from flowbind.wire.extension import (
    REGISTRY,
    Extension,
    Framing,
    MalformedExtension,
    spans_of_extensions,
    walk_extensions,
)
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import ReplyCode, SelectorFormat
from flowbind.wire.message import (
    Message,
    all_of,
    decode,
    encode,
    offset_of_extensions,
    without_type_154,
)
from flowbind.wire.multipath import Multipath
from flowbind.wire.revocation_support import RevocationSupport
from flowbind.wire.udp_tunnel import UdpTunnelReply, UdpTunnelRequest
from flowbind.wire.vendor import CriticalVendorExtension, NormalVendorExtension

REQUEST = b"\x01" + bytes(23)
REPLY = b"\x03" + bytes(19)

FIXED_OCTETS = {1: 23, 3: 19, 7: 19, 15: 11, 22: 23, 23: 23}
"""How many octets of the fixed part follow the type."""

# Offsets and the bits there that mean something.
RESERVED_IN_MESSAGES = {
    7: {1: 0, 2: 0xC0, 3: 0},
    15: {1: 0, 2: 0x80, 3: 0},
    22: {2: 0x80, 3: 0},
    23: {3: 0},
}
RESERVED_IN_EXTENSIONS: dict[type, dict[int, int]] = {
    CriticalVendorExtension: {1: 0},
    NormalVendorExtension: {2: 0, 3: 0},
    RevocationSupport: {2: 0x80, 3: 0},
    UdpTunnelRequest: {3: 0, 4: 0xC0},
    UdpTunnelReply: {4: 0x80, 5: 0},
    Ipv6PrefixReply: {5: 0},
    Ipv6TunnelingMode: {3: 0},
}

DEFINED_SELECTOR_FLAGS = {
    SelectorFormat.IPV4_BINARY: 0xFFFC0000,
    SelectorFormat.IPV6_BINARY: 0xFFFF0000,
}


def framed(number: int, subtype: int, data: bytes) -> bytes:
    row = REGISTRY.get(number)
    framing = row.framing if row else Framing.SIMPLE
    if framing is Framing.PADDING:
        return bytes((number,))
    if framing is Framing.LONG:
        return bytes((number, subtype)) + len(data).to_bytes(2, "big") + data
    return bytes((number, len(data))) + data


def multipaths() -> st.SearchStrategy[bytes]:
    return st.binary(min_size=4, max_size=4).map(lambda data: framed(154, 1, data))


@st.composite
def flow_bindings(draw: st.DrawFn) -> bytes:
    """Near enough to a Flow-Binding that many are one."""
    bids = draw(st.binary(min_size=1, max_size=8))
    action = draw(st.integers(0, 1))
    number = draw(st.integers(1, 2))
    flags = draw(st.integers(0, 0xFFFFFFFF))
    sizes = (4, 4, 4, 2, 2, 1, 1) if number == 1 else (16, 16, 4, 4, 2, 2, 1, 1)
    body = b""
    for at, size in enumerate(sizes):
        start, end = 1 << (31 - 2 * at), 1 << (30 - 2 * at)
        if flags & end:
            flags |= start
        count = bool(flags & start) + bool(flags & end)
        body += b"".join(
            sorted(draw(st.binary(min_size=size, max_size=size)) for _ in range(count))
        )
    head = bytes((action, len(bids))) + bids + bytes((number,))
    return framed(154, 2, head + flags.to_bytes(4, "big") + body)


def extensions() -> st.SearchStrategy[bytes]:
    """One extension of any type that is registered, or may be skipped, with any content."""
    numbers = st.sampled_from(sorted(REGISTRY)) | st.integers(128, 255)
    anything = st.builds(framed, numbers, st.integers(0, 4), st.binary(max_size=40))
    authentications = st.builds(
        framed, st.integers(32, 34), st.just(0), st.binary(min_size=4, max_size=36)
    )
    names = st.builds(
        lambda number, name: framed(number, 0, name.encode()),
        st.sampled_from((131, 151)),
        st.text("abc@.ü", min_size=1),
    )
    statuses = st.integers(0, 255).map(lambda status: framed(45, 0, bytes((0, status))))
    supports = st.binary(min_size=6, max_size=8).map(lambda data: framed(137, 0, data))
    udp_tunnels = st.builds(
        lambda number, data: framed(number, 0, b"\x00" + data + bytes(2)),
        st.sampled_from((44, 144)),
        st.binary(min_size=3, max_size=3),
    )
    agents = st.builds(
        lambda subtype, address: framed(139, 0, bytes((subtype,)) + address),
        st.integers(1, 2),
        st.binary(min_size=4, max_size=4),
    )
    texts = st.builds(
        lambda subtype, text: framed(145, 0, bytes((subtype,)) + text),
        st.integers(1, 2),
        st.binary(min_size=1, max_size=40),
    )
    authentications |= st.builds(
        framed, st.just(36), st.integers(1, 4), st.binary(min_size=4, max_size=36)
    )
    vendors = st.builds(
        framed, st.sampled_from((38, 132, 134)), st.just(0), st.binary(min_size=8, max_size=20)
    )
    prefixes = st.builds(
        lambda code, length, prefix: framed(152, 0, code + bytes((length,)) + prefix),
        st.sampled_from((b"\x01", b"\x02\x01", b"\x02\x09")),
        st.integers(0, 130) | st.just(255),
        st.binary(min_size=16, max_size=17),
    )
    modes = st.integers(0, 255).map(lambda reserved: framed(152, 0, bytes((3, reserved))))
    padding = st.just(b"\x00")
    known = padding | authentications | names | vendors | statuses | supports | agents | texts
    gre_keys = st.builds(lambda key: b"\x30\x00\x00\x04" + key, st.binary(min_size=4, max_size=4))
    known |= udp_tunnels | prefixes | modes | gre_keys
    return anything | known | multipaths() | flow_bindings()


def messages() -> st.SearchStrategy[bytes]:
    fixed = st.one_of(
        *[
            st.tuples(st.just(bytes((number,))), st.binary(min_size=octets, max_size=octets))
            for number, octets in FIXED_OCTETS.items()
        ]
    )
    return st.builds(
        lambda head, tail: b"".join((*head, *tail)), fixed, st.lists(extensions(), max_size=6)
    )


def cleared(payload: bytes) -> bytes:
    """Return a copy in which the bits that must be ignored are 0: they are all that is not kept.

    Those are the reserved fields of messages, the six low bits of Multipath (RFC 7629 4.1), the
    reserved bits in the flag word of a selector (RFC 6088 3) and those of vendor extensions, of
    Revocation Support, of the UDP tunnel extensions (RFC 3519 3) and of those of RFC 5454, and what
    there is behind the prefix in those (2.1), in extensions that are not malformed.
    """
    octets = bytearray(payload)
    for at, mask in RESERVED_IN_MESSAGES.get(payload[0], {}).items():
        octets[at] &= mask
    before = offset_of_extensions(payload)
    for extension, behind in walk_extensions(payload, before):
        if isinstance(extension, Multipath):
            octets[behind - 1] &= 0xC0
        if isinstance(extension, FlowBinding):
            at = before + 7 + len(extension.bids)
            mask = DEFINED_SELECTOR_FLAGS[extension.selector.format]
            flags = int.from_bytes(octets[at : at + 4], "big") & mask
            octets[at : at + 4] = flags.to_bytes(4, "big")
        if isinstance(extension, Ipv6PrefixRequest | Ipv6PrefixReply):
            # A link-local address is all of its field.
            bits = 128 - min(extension.prefix_length, 128)
            prefix = int.from_bytes(octets[behind - 16 : behind], "big") >> bits << bits
            octets[behind - 16 : behind] = prefix.to_bytes(16, "big")
        for at, mask in RESERVED_IN_EXTENSIONS.get(type(extension), {}).items():
            octets[before + at] &= mask
        before = behind
    return bytes(octets)


@given(st.binary(max_size=120) | messages())
@example(b"")
@example(REQUEST + b"\x9a")
@example(REQUEST + b"\x9a\x02\xff\xff")
@example(REPLY[:-1])
def test_any_octets_are_a_message_or_a_wire_error(payload):
    try:
        message = decode(payload)
    except WireError as error:
        refusal = error
    else:
        malformed = all_of(message, MalformedExtension)
        assert all(each.code is ReplyCode.POORLY_FORMED_REQUEST for each in malformed)
        return
    # Only an extension may be malformed and still be answered; for a message there is silence.
    assert refusal.code is None


@given(messages())
def test_what_decodes_is_encoded_to_the_same_octets(payload):
    try:
        message = decode(payload)
    except WireError:
        return
    assert encode(message) == cleared(payload)
    assert decode(encode(message)) == message


@pytest.mark.parametrize("number", sorted({*REGISTRY, 1, 37, 128, 254}))
@given(st.integers(0, 255), st.binary(max_size=60))
@settings(max_examples=30)
def test_each_type_with_any_content(number, subtype, data):
    payload = REPLY + framed(number, subtype, data)
    try:
        message = decode(payload)
    except WireError as error:
        refusal = error
    else:
        assert encode(message) == cleared(payload)
        return
    assert refusal.code is None
    assert (
        number in {1, 32, 33, 34, 36, 37}
        or (number == 154 and subtype not in {1, 2})
        # The beginning of what the figure of RFC 4433 shows, and the rest is not there.
        or (number == 139 and len(data) in {1, 2})
    )


def test_the_examples_reach_the_extensions_that_mean_something():
    # A sweep that decodes nothing proves nothing.
    reached: set[type] = set()

    @settings(max_examples=1000, database=None)
    @given(messages())
    def sweep(payload: bytes) -> None:
        try:
            message = decode(payload)
        except WireError:
            return
        reached.update(type(each) for each in (message, *message.extensions))

    sweep()
    assert {*get_args(Extension), *get_args(Message)} == reached


@pytest.mark.rfc("5944", "1.8")
@given(messages())
def test_frames_are_found_where_extensions_are(payload):
    try:
        message = decode(payload)
    except WireError:
        return
    start = offset_of_extensions(payload)
    spans = spans_of_extensions(payload, start)
    walked = list(walk_extensions(payload, start))

    assert [behind for _, _, behind in spans] == [behind for _, behind in walked]
    assert tuple(extension for extension, _ in walked) == message.extensions
    assert [first for _, first, _ in spans] == [start, *(behind for *_, behind in spans[:-1])][
        : len(spans)
    ]


@given(messages())
def test_the_copy_without_type_154_is_a_message_without_it(payload):
    try:
        decode(payload)
    except WireError:
        return
    copy = without_type_154(payload)

    assert not any(
        isinstance(each, Multipath | FlowBinding) or getattr(each, "type", 0) == 154
        for each in decode(copy).extensions
    )


@given(st.data())
@pytest.mark.parametrize("name", ["request", "reply"])
def test_a_golden_message_with_one_octet_changed_is_a_message_or_a_wire_error(vector, name, data):
    octets = bytearray(vector(name))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    try:
        message = decode(bytes(octets))
    except WireError:
        return
    assert encode(message) == cleared(bytes(octets))
