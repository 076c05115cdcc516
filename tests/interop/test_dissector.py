"""tools/wireshark/flowbind.lua, a decoder from the RFCs alone, reads what `wire` reads."""

import itertools
import random
import re
from collections.abc import Callable, Iterable
from functools import cache

import pytest
from hypothesis import strategies as st

from flowbind.cli.decode_rules import violations
from flowbind.wire.errors import WireError
from flowbind.wire.extension import MalformedExtension, spans_of_extensions
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import ExtensionType, FlowAction, MultipathFlag, SelectorFormat
from flowbind.wire.message import decode, encode, offset_of_extensions
from flowbind.wire.multipath import Multipath
from flowbind.wire.traffic_selector import Span, TrafficSelector, encode_selector
from tests.docs.documents import ROOT, blocks
from tests.interop.captures import (
    DISSECTOR,
    IP_IN_IP,
    dissected,
    errors_of_lua,
    in_ip,
    in_udp,
    tshark,
    write,
)
from tests.interop.strategies import examples, extensions_of_others, replies, requests

REQUEST = bytes.fromhex("01220708 0a000002 c0000201 c6336407 e8d4a51000000001")
DEREGISTRATION = bytes.fromhex("01220000 0a000002 c0000201 c6336407 e8d4a51000000001")
REPLY = bytes.fromhex("03000708 0a000002 c0000201 e8d4a51000000001")
MHAE = bytes.fromhex("2014 00000100 f09b6d338ac0ab474cf41c319abd9233")

SELECTOR_FIELDS = {
    SelectorFormat.IPV4_BINARY: {
        "source": "source",
        "destination": "destination",
        "spi": "spi",
        "source_port": "source_port",
        "destination_port": "destination_port",
        "traffic_class": "ds",
        "protocol": "protocol",
    },
    SelectorFormat.IPV6_BINARY: {
        "source": "source6",
        "destination": "destination6",
        "spi": "spi",
        "flow_label": "flow_label",
        "source_port": "source_port",
        "destination_port": "destination_port",
        "traffic_class": "traffic_class",
        "protocol": "next_header",
    },
}
"""What the dissector calls our fields, in the order of RFC 6088."""

EXPERTS_OF_REASON = {
    "multipath-length": {"multipath_length"},
    "multipath-bid": {"multipath_bid"},
    "multipath-label": {"multipath_label"},
    "flow-binding-action": {"flow_binding_action"},
    "flow-binding-bid-count": {"flow_binding_bid_count"},
    "flow-binding-drop-bids": {"flow_binding_drop_bids"},
    "flow-binding-ts-format": {"flow_binding_ts_format"},
    "truncated": {"flow_binding_truncated", "ts_length"},
    "trailing-octets": {"ts_length"},
    "selector-end-without-start": {"ts_end_without_start"},
    "selector-range-reversed": {"ts_range_reversed"},
}
"""Under which names the dissector tells what our decoder stops at."""

EXPERTS_OF_RULES = {
    r"Multipath extensions: at most one": "multipath_twice",
    r"B and O are both set": "multipath_b_and_o",
    r"O is set in a deregistration": "multipath_o_in_deregistration",
    r"a Multipath extension in a Registration Reply": "multipath_in_reply",
    r"an extension of type 154 behind": "behind_authentication",
    r"BID \d+ is reserved": "flow_binding_bid",
}
"""The same for the rules that a message breaks whose extensions are well-formed."""

FAULTS = {
    "multipath_length": REQUEST + bytes.fromhex("9a010005 0401010000"),
    "multipath_bid": REQUEST + bytes.fromhex("9a010004 04010000"),
    "multipath_bid 255": REQUEST + bytes.fromhex("9a010004 0401ff00"),
    "multipath_label": REQUEST + bytes.fromhex("9a010004 04000100"),
    "multipath_b_and_o": REQUEST + bytes.fromhex("9a010004 040101c0"),
    "multipath_twice": REQUEST + bytes.fromhex("9a010004 04010100 9a010004 08020200"),
    "multipath_in_reply": REPLY + bytes.fromhex("9a010004 04010100"),
    "multipath_o_in_deregistration": DEREGISTRATION + bytes.fromhex("9a010004 04010140"),
    "flow_binding_action": REQUEST + bytes.fromhex("9a020008 02 01 01 01 00000000"),
    "flow_binding_bid_count": REQUEST + bytes.fromhex("9a020007 01 00 01 00000000"),
    "flow_binding_bid_count 9": REQUEST
    + bytes.fromhex("9a020010 01 09 010203040506070809 01 00000000"),
    "flow_binding_drop_bids": REQUEST + bytes.fromhex("9a020009 00 02 0102 01 00000000"),
    "flow_binding_bid": REQUEST + bytes.fromhex("9a020009 01 02 01ff 01 00000000"),
    "flow_binding_bid 0": REQUEST + bytes.fromhex("9a020008 01 01 00 01 00000000"),
    "flow_binding_truncated": REQUEST + bytes.fromhex("9a020003 01 04 01"),
    "flow_binding_truncated all": REQUEST + bytes.fromhex("9a020000"),
    "flow_binding_ts_format": REQUEST + bytes.fromhex("9a020008 01 01 01 00 00000000"),
    "ts_length more": REQUEST + bytes.fromhex("9a02000b 01 01 01 01 02000000 0050 00"),
    "ts_length less": REQUEST + bytes.fromhex("9a020009 01 01 01 01 02000000 00"),
    "ts_length none": REQUEST + bytes.fromhex("9a020004 01 01 01 01"),
    "ts_length of the other format": REQUEST + bytes.fromhex("9a02000a 01 01 01 02 20000000 0050"),
    "ts_end_without_start": REQUEST + bytes.fromhex("9a02000a 01 01 01 01 01000000 0050"),
    "ts_range_reversed": REQUEST + bytes.fromhex("9a02000c 01 01 01 01 03000000 0051 0050"),
    "behind_authentication": REQUEST + MHAE + bytes.fromhex("9a010004 04010100"),
    "unknown_subtype": REQUEST + bytes.fromhex("9a030000"),
    "unknown_type": REQUEST + bytes.fromhex("9a010004 04010100 0100"),
    "truncated": REQUEST + bytes.fromhex("9a010004 040101"),
    "truncated header": REQUEST + bytes.fromhex("9a0100"),
}
"""Messages with just one fault each, by the name under which the dissector tells it."""


def flow_binding(data):
    return b"\x9a\x02" + len(data).to_bytes(2, "big") + data


def every_multipath():
    """Every octet of Multipath through all its values, and every Length near 4."""
    sound = bytes((4, 1, 1, 0))
    for at, value in itertools.product(range(4), range(256)):
        data = sound[:at] + bytes((value,)) + sound[at + 1 :]
        yield REQUEST + b"\x9a\x01\x00\x04" + data + MHAE
    for octets in range(9):
        yield REQUEST + bytes((0x9A, 1, 0, octets)) + bytes(range(1, octets + 1)) + MHAE


def every_head_of_a_flow_binding():
    """Actions, BID counts and formats, right and wrong, each with each."""
    for action, count, number in itertools.product(range(4), range(11), range(4)):
        data = bytes((action, count, *range(1, count + 1), number)) + bytes(4)
        yield REQUEST + flow_binding(data) + MHAE


def every_field_of_a_selector():
    """Each field alone: its start, a range, one that is reversed, and an end without a start."""
    for selector_format, fields in SELECTOR_FIELDS.items():
        head = bytes((1, 1, 1, selector_format))
        for bit, name in zip(range(31, 0, -2), fields, strict=False):
            alone = TrafficSelector(format=selector_format, **{name: Span(0x24)})
            start = encode_selector(alone)[4:]
            end = start[:-1] + b"\x48"
            for has_start, has_end, body in (
                *((1, 0, start), (1, 1, start + end), (1, 1, start + start), (1, 1, end + start)),
                *((0, 1, end), (1, 0, start + end), (1, 1, start), (0, 0, b"")),
            ):
                flags = has_start << bit | has_end << (bit - 1)
                yield REQUEST + flow_binding(head + flags.to_bytes(4, "big") + body) + MHAE


def every_flag():
    """Each bit of the flag word alone and all of them, too little and too much behind it."""
    words = [*(1 << bit for bit in range(32)), 0, 0xFFFFFFFF]
    for number, flags, octets in itertools.product((1, 2), words, (0, 4, 36, 92)):
        data = bytes((1, 1, 1, number)) + flags.to_bytes(4, "big") + bytes(octets)
        yield REQUEST + flow_binding(data) + MHAE


def what_does_not_count_in_a_range():
    """The two low bits of DS, and the eight bits in front of a flow label (RFC 6088 3)."""
    for body in ("00300000 bbb8", "00300000 b8bb", "00300000 bcb8"):
        yield REQUEST + flow_binding(bytes((1, 1, 1, 1)) + bytes.fromhex(body))
    for body in ("03000000 ff000001 00000002", "03000000 00000002 ff000001"):
        yield REQUEST + flow_binding(bytes((1, 1, 1, 2)) + bytes.fromhex(body))


@cache
def sound_messages():
    others = extensions_of_others()
    strategy = st.one_of(requests(others=others), replies(others=others))
    return [encode(each) for each in examples(strategy, 400)]


def messages_that_break_rules():
    """Well-formed extensions where they must not be, or together with what they exclude."""
    flags = [MultipathFlag(0), MultipathFlag(0x80), MultipathFlag(0x40), MultipathFlag(0xC0)]
    multipaths = [Multipath(4, 1, 1, each).encode() for each in flags]
    selector = TrafficSelector(protocol=Span(6))
    bindings = [
        FlowBinding(FlowAction.FORWARD, (1, 0, 255), selector).encode(),
        FlowBinding(FlowAction.DROP, (0,), selector).encode(),
    ]
    for fixed, parts in itertools.product(
        (REQUEST, DEREGISTRATION, REPLY),
        itertools.permutations([*multipaths, *bindings, MHAE], 3),
    ):
        yield fixed + b"".join(parts)


def nearly_sound_messages():
    """One octet of type 154 is another one; or the message ends somewhere in it."""
    drawn = random.Random(7629)
    for payload in sound_messages():
        spans = [
            (first, behind)
            for kind, first, behind in spans_of_extensions(payload, offset_of_extensions(payload))
            if kind == ExtensionType.MULTIPATH
        ]
        for first, behind in spans:
            octets = bytearray(payload)
            octets[drawn.randrange(first + 1, behind)] = drawn.randrange(256)
            yield bytes(octets)
            yield payload[: drawn.randrange(first + 1, behind)]


GROUPS: dict[str, Callable[[], Iterable[bytes]]] = {
    "faults": FAULTS.values,
    "every_multipath": every_multipath,
    "every_head_of_a_flow_binding": every_head_of_a_flow_binding,
    "every_field_of_a_selector": every_field_of_a_selector,
    "every_flag": every_flag,
    "what_does_not_count_in_a_range": what_does_not_count_in_a_range,
    "sound_messages": sound_messages,
    "messages_that_break_rules": messages_that_break_rules,
    "nearly_sound_messages": nearly_sound_messages,
}


@pytest.fixture(scope="module")
def read_by_both(tmp_path_factory):
    """Every group of messages, each message with what tshark makes of it: it is called once."""
    groups = {name: list(make()) for name, make in GROUPS.items()}
    payloads = [payload for group in groups.values() for payload in group]
    packets = iter(
        dissected(tmp_path_factory.mktemp("all") / "capture", [in_udp(each) for each in payloads])
    )
    return {name: [(each, next(packets)) for each in group] for name, group in groups.items()}


# ------------------------------------------------------------------ what the dissector says


def tree_of(packet):
    return next((each for each in packet.iter("proto") if each.get("name") == "flowbind"), None)


def extensions_of(packet):
    tree = tree_of(packet)
    kinds = {"flowbind.multipath", "flowbind.flow_binding", "flowbind.other"}
    return [] if tree is None else [each for each in tree if each.get("name") in kinds]


def experts_of(element):
    """The names of the expert information in a part of a packet, without the mere notes."""
    names = [field.get("name", "") for field in element.iter("field")]
    prefix = "flowbind.expert."
    found = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    return found - {"reserved_bits"}


def fields_of(element):
    """Names and values of an extension's fields in their order, without those of the frame."""
    frame = {"type", "subtype", "length", "multipath.reserved", "ts", "ts.flags", "data"}
    found = []
    for field in element.iter("field"):
        name = field.get("name", "").removeprefix("flowbind.")
        if name not in frame and field is not element and field.get("value"):
            found.append((name, int(field.get("value"), 16)))
    return found


# ------------------------------------------------------------------ what our decoder says


def fields_of_ours(extension):
    if isinstance(extension, Multipath):
        return [
            ("multipath.att", extension.access_technology),
            ("multipath.label", extension.label),
            ("multipath.bid", extension.bid),
            ("multipath.b", int(extension.bulk)),
            ("multipath.o", int(extension.overwrite)),
        ]
    found = [
        ("flow_binding.action", extension.action),
        ("flow_binding.bid_count", len(extension.bids)),
        *(("flow_binding.bid", bid) for bid in extension.bids),
        ("flow_binding.ts_format", extension.selector.format),
    ]
    for ours, theirs in SELECTOR_FIELDS[extension.selector.format].items():
        span = getattr(extension.selector, ours)
        if span is not None:
            found.append((f"ts.{theirs}_start", span.start))
            if span.end is not None:
                found.append((f"ts.{theirs}_end", span.end))
    return found


def of_type_154(message):
    return [
        each
        for each in message.extensions
        if isinstance(each, Multipath | FlowBinding)
        or (isinstance(each, MalformedExtension) and each.type == ExtensionType.MULTIPATH)
    ]


def broken_rules(message):
    return {
        name
        for rule in violations(message)
        for pattern, name in EXPERTS_OF_RULES.items()
        if re.search(pattern, rule)
    }


def disagreements(payload, packet):
    """Say where the two decoders see different things in a message."""
    yield from errors_of_lua(packet)
    experts = set() if tree_of(packet) is None else experts_of(tree_of(packet))
    try:
        message = decode(payload)
    except WireError as error:
        # We refuse the message as a whole, so there is nothing of ours to compare with.
        if not experts & {"truncated", "unknown_type", "unknown_subtype"}:
            yield f"we: {error}; tshark: {experts}"
        return
    ours, theirs = of_type_154(message), extensions_of(packet)
    if len(ours) != len(theirs):
        yield f"we see {len(ours)} extensions, tshark {len(theirs)}"
        return
    for mine, other in zip(ours, theirs, strict=True):
        if isinstance(mine, MalformedExtension):
            if not EXPERTS_OF_REASON[mine.reason] & experts_of(other):
                yield f"we: {mine.reason} {mine.detail}; tshark: {experts_of(other)}"
        elif fields_of_ours(mine) != fields_of(other):
            yield f"we: {fields_of_ours(mine)}; tshark: {fields_of(other)}"
    broken = broken_rules(message)
    if "multipath_in_reply" in broken:
        # We leave it at that; the dissector says besides what would be wrong in a request.
        experts -= {"multipath_twice", "multipath_b_and_o"}
    malformed = any(isinstance(each, MalformedExtension) for each in ours)
    # Of a malformed extension we tell the first fault, tshark all.
    if not (broken <= experts if malformed else broken == experts):
        yield f"we: {broken}; tshark: {experts}"


# ------------------------------------------------------------------ the two together


@pytest.mark.rfc("7629", "4.1")
@pytest.mark.rfc("7629", "4.2")
@pytest.mark.rfc("6088", "3")
@pytest.mark.parametrize("group", GROUPS)
def test_both_decoders_read_the_same(read_by_both, group):
    found = [
        f"{payload.hex()}: {difference}"
        for payload, packet in read_by_both[group]
        for difference in disagreements(payload, packet)
    ]
    assert len(read_by_both[group]) >= 5
    assert found[:5] == []


def test_what_was_read_reaches_every_fault_that_either_knows(read_by_both):
    # A comparison in which something never occurs says nothing about it.
    reasons, experts, broken = set(), set(), set()
    for payload, packet in itertools.chain.from_iterable(read_by_both.values()):
        experts |= experts_of(packet)
        try:
            message = decode(payload)
        except WireError:
            continue
        reasons |= {getattr(each, "reason", "") for each in of_type_154(message)}
        broken |= broken_rules(message)
    assert reasons - {""} == set(EXPERTS_OF_REASON)
    assert broken == set(EXPERTS_OF_RULES.values())
    assert experts == experts_of_the_dissector() - {"reserved_bits", "cut_short"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_by_its_name_and_no_other_is(read_by_both, fault):
    packet = read_by_both["faults"][list(FAULTS).index(fault)][1]
    assert experts_of(packet) == {fault.split()[0]}


def test_our_decoder_finds_each_fault_too():
    for name, payload in FAULTS.items():
        try:
            message = decode(payload)
        except WireError:
            continue
        reasons = [each for each in message.extensions if isinstance(each, MalformedExtension)]
        assert reasons or broken_rules(message) == {name.split()[0]}


def test_the_golden_messages(vector, tmp_path):
    packets = dissected(tmp_path / "golden", [in_udp(vector("request")), in_udp(vector("reply"))])
    request, reply = packets

    assert [fields_of(each) for each in extensions_of(request)] == [
        [
            *(("multipath.att", 4), ("multipath.label", 1), ("multipath.bid", 1)),
            *(("multipath.b", 0), ("multipath.o", 0)),
        ],
        [
            *(("flow_binding.action", 1), ("flow_binding.bid_count", 2)),
            *(("flow_binding.bid", 1), ("flow_binding.bid", 2), ("flow_binding.ts_format", 1)),
            *(("ts.source_port_start", 80), ("ts.protocol_start", 6)),
        ],
    ]
    assert [each.get("showname") for each in extensions_of(request)] == [
        "Multipath: BID 1, If-Label 1, IEEE 802.11a/b/g",
        "Flow-Binding: FORWARD to BID 1, else 2: source port 80, protocol TCP",
    ]
    assert tree_of(reply) is None
    # The octets are those of the packet, behind an IPv4, a UDP and a fixed header.
    assert [each.get("pos") for each in extensions_of(request)] == ["52", "60"]


def test_selectors_are_shown_in_words(vector, tmp_path):
    selectors = [(1, vector("selector-ipv4-all")), (2, vector("selector-ipv6-all")), (2, bytes(4))]
    payload = REQUEST + b"".join(
        flow_binding(bytes((0, 1, 255, number)) + selector) for number, selector in selectors
    )
    (packet,) = dissected(tmp_path / "selectors", [in_udp(payload)])
    shown = [
        field.get("showname").removeprefix("Traffic Selector: ")
        for field in packet.iter("field")
        if field.get("name") == "flowbind.ts"
    ]
    ranges = "source port 1-1023, destination port 1024-65535, DSCP 46"
    assert shown == [
        "from 203.0.113.0-203.0.113.255, to 10.0.0.2, SPI 0x00001000-0x00001fff, "
        f"{ranges}, protocol TCP-UDP",
        "from 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff, to 2001:db8:1::1-2001:db8:1::2, "
        f"SPI 0x00001000-0x00001fff, flow label 0x12345-0x12346, {ranges}, next header TCP-UDP",
        "any IPv6 packet",
    ]


def test_reserved_bits_are_a_note(tmp_path):
    multipath = bytes.fromhex("9a010004 0401013f")
    selector = flow_binding(bytes.fromhex("01010101 0003ffff"))
    for payload in (REQUEST + multipath, REQUEST + selector):
        (packet,) = dissected(tmp_path / "reserved", [in_udp(payload)])
        assert any("reserved_bits" in field.get("name") for field in packet.iter("field"))
        assert experts_of(packet) == set()


# ------------------------------------------------------------------ beside Mobile IP's dissector


def test_mobile_ip_is_shown_right_although_its_dissector_misreads_type_154(vector, tmp_path):
    payload = vector("request")
    (packet,) = dissected(tmp_path / "request", [in_udp(payload)])
    shown = {field.get("name"): field.get("value") for field in packet.iter("field")}

    assert shown["mip.coa"] == "c6336407"
    assert shown["mip.auth.auth"] == payload[-16:].hex()
    assert "_ws.malformed" not in {each.get("name") for each in packet.iter("proto")}

    # That it has to be told so is the reason for all this.
    (packet,) = dissected(tmp_path / "request", [in_udp(payload)], "-o", "flowbind.cut:FALSE")
    assert "_ws.malformed" in {each.get("name") for each in packet.iter("proto")}
    assert len(extensions_of(packet)) == 2


def test_messages_in_a_tunnel_and_in_fragments_are_dissected(vector, tmp_path):
    packet = in_udp(vector("request"))
    head, content = packet[:20], packet[20:]
    fragments = [
        head[:2]
        + length.to_bytes(2, "big")
        + head[4:6]
        + offset.to_bytes(2, "big")
        + head[8:]
        + part
        for length, offset, part in (
            (52, 0x2000, content[:32]),
            (20 + len(content) - 32, 4, content[32:]),
        )
    ]
    found = dissected(tmp_path / "some", [in_ip(packet, IP_IN_IP), *fragments])
    assert [len(extensions_of(each)) for each in found] == [2, 0, 2]


def test_a_packet_of_which_the_capture_lacks_the_end(vector, tmp_path):
    packet = in_udp(vector("request"))
    for octets, extensions, experts in ((62, 1, {"cut_short"}), (60, 1, set()), (40, 0, set())):
        (found,) = dissected(tmp_path / "cut", [packet], snap_octets=octets)
        assert len(extensions_of(found)) == extensions
        assert experts_of(found) == experts


def test_a_capture_of_beginnings_does_not_wear_lua_out(vector, tmp_path):
    # A dissector in C that runs out of captured octets jumps over Lua, which bears it 200 times.
    tunnel_data = b"\x04\x04\x00\x00" + in_ip(bytes(500))
    packets = [in_udp(vector("request")), in_udp(tunnel_data), in_udp(b"\x07" + bytes(80))] * 300
    for octets in (29, 58, 70):
        found = dissected(tmp_path / "cut", packets, snap_octets=octets)
        assert [words for each in found for words in errors_of_lua(each)] == []


# ------------------------------------------------------------------ hostile octets


def hostile(vector):
    drawn = random.Random(434)
    for name in ("request", "reply"):
        payload = vector(name)
        yield from (payload[:octets] for octets in range(len(payload)))
        for at in range(len(payload)):
            for value in (0, 1, 127, 154, 255):
                yield payload[:at] + bytes((value,)) + payload[at + 1 :]
    for kind in range(256):
        yield bytes((kind,)) + drawn.randbytes(60)
        for fixed in (REQUEST, REPLY):
            yield fixed + bytes((kind,)) + drawn.randbytes(30)
            yield fixed + b"\x9a\x01\x00\x04\x04\x01\x01\x00" + bytes((kind,))
            yield fixed + b"\x9a\x02" + bytes((0, kind)) + drawn.randbytes(kind)
    yield REQUEST + bytes(60_000)
    yield REQUEST + b"\x9a\x02\xea\x60\x01\xff" + bytes(59_998)
    yield REQUEST + b"\x9a\x01\x00\x00" * 500


def test_hostile_octets_make_no_error_in_lua(vector, tmp_path):
    payloads = list(hostile(vector))
    packets = dissected(tmp_path / "hostile", [in_udp(vector("request")), *map(in_udp, payloads)])
    found = [
        f"{payload.hex()[:200]}: {errors_of_lua(packet)}"
        for payload, packet in zip(payloads, packets[1:], strict=True)
        if errors_of_lua(packet)
    ]
    assert found[:5] == []


# ------------------------------------------------------------------ what docs/wireshark.md says


def registered_names():
    """The fields and the expert information, as tshark knows them."""
    rows = tshark("-G", "fields").splitlines()
    return {name for row in rows if (name := row.split("\t")[2]).startswith("flowbind.")}


def experts_of_the_dissector():
    return set(re.findall(r"^add_expert\(\"(\w+)\"", DISSECTOR.read_text(), re.MULTILINE))


def test_the_manual_names_every_field_and_every_expert_information():
    names = set(re.findall(r"`(flowbind\.[a-z0-9_.]+)`", manual()))
    names |= {
        f"{name[:-2]}_{end}"
        for name in re.findall(r"`(flowbind\.ts\.[a-z0-9_]+_\*)`", manual())
        for end in ("start", "end")
    }
    assert names - {"flowbind.cut"} == registered_names()
    assert len(names) > 60


def test_the_manual_shows_what_is_shown_of_the_golden_request(vector, tmp_path):
    write(tmp_path / "capture", [in_udp(vector("request"))])
    shown = tshark("-r", tmp_path / "capture", "-O", "flowbind")
    samples = [each.text for each in blocks("") if each.document == "docs/wireshark.md"]
    (sample,) = (each for each in samples if each.startswith("RFC 7629"))
    assert sample in shown


def test_the_filters_of_the_manual_work(tmp_path):
    write(tmp_path / "capture", [in_udp(payload) for payload in FAULTS.values()])
    filters = re.findall(r"^tshark .*-Y '([^']+)'", manual(), re.MULTILINE)
    assert len(filters) >= 2
    for each in filters:
        shown = tshark("-r", tmp_path / "capture", "-Y", each).splitlines()
        assert 0 < len(shown) < len(FAULTS)


def manual():
    return (ROOT / "docs" / "wireshark.md").read_text()
