import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbind.wire.errors import WireError
from flowbind.wire.iana import ReplyCode, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector, decode_selector, encode_selector

IPV4 = SelectorFormat.IPV4_BINARY
IPV6 = SelectorFormat.IPV6_BINARY

# Letters of RFC 6088 section 3: (start flag, field, octets); the end flag is the next bit.
IPV4_FIELDS = [
    (0x80000000, "source", 4),
    (0x20000000, "destination", 4),
    (0x08000000, "spi", 4),
    (0x02000000, "source_port", 2),
    (0x00800000, "destination_port", 2),
    (0x00200000, "traffic_class", 1),
    (0x00080000, "protocol", 1),
]
IPV6_FIELDS = [
    (0x80000000, "source", 16),
    (0x20000000, "destination", 16),
    (0x08000000, "spi", 4),
    (0x02000000, "flow_label", 4),
    (0x00800000, "source_port", 2),
    (0x00200000, "destination_port", 2),
    (0x00080000, "traffic_class", 1),
    (0x00020000, "protocol", 1),
]
FIELDS = [(IPV4, *row) for row in IPV4_FIELDS] + [(IPV6, *row) for row in IPV6_FIELDS]
RESERVED = {IPV4: 0x0003FFFF, IPV6: 0x0000FFFF}


def selector(flags: int, body: bytes = b"") -> bytes:
    return flags.to_bytes(4, "big") + body


@pytest.mark.rfc("6088", "3.1")
def test_golden_ipv4_with_every_field(vector):
    octets = vector("selector-ipv4-all")
    expected = TrafficSelector(
        source=Span(0xCB007100, 0xCB0071FF),
        destination=Span(0x0A000002, 0x0A000002),
        spi=Span(0x1000, 0x1FFF),
        source_port=Span(1, 0x03FF),
        destination_port=Span(0x0400, 0xFFFF),
        traffic_class=Span(0xB8, 0xB8),
        protocol=Span(6, 17),
    )

    assert decode_selector(IPV4, octets) == expected
    assert encode_selector(expected) == octets


@pytest.mark.rfc("6088", "3.2")
def test_golden_ipv6_with_every_field(vector):
    octets = vector("selector-ipv6-all")
    decoded = decode_selector(IPV6, octets)

    assert decoded.source == Span(0x20010DB8 << 96, (0x20010DB8 << 96) | (1 << 96) - 1)
    assert decoded.flow_label == Span(0x12345, 0x12346)
    assert decoded.source_port == Span(1, 0x03FF)
    assert decoded.protocol == Span(6, 17)
    assert encode_selector(decoded) == octets


@pytest.mark.rfc("6088", "3.1")
@pytest.mark.rfc("6088", "3.2")
@pytest.mark.parametrize(("number", "flag", "field", "octets"), FIELDS)
def test_each_field_has_its_flag_and_its_size(number, flag, field, octets):
    low, high = 5, 5 + 8
    one = decode_selector(number, selector(flag, low.to_bytes(octets, "big")))
    both = decode_selector(
        number,
        selector(flag | flag >> 1, low.to_bytes(octets, "big") + high.to_bytes(octets, "big")),
    )

    assert one == TrafficSelector(format=number, **{field: Span(low)})
    assert both == TrafficSelector(format=number, **{field: Span(low, high)})
    assert encode_selector(one)[:4] == selector(flag)
    assert encode_selector(both)[:4] == selector(flag | flag >> 1)


@pytest.mark.rfc("6088", "3.1", "TS-1")
@pytest.mark.rfc("6088", "3.2")
@pytest.mark.parametrize(("number", "flag", "field", "octets"), FIELDS)
def test_each_field_is_checked(number, flag, field, octets):
    low, high = (8).to_bytes(octets, "big"), (4).to_bytes(octets, "big")
    broken = [
        (f"selector-end-without-start: {field}", selector(flag >> 1, low)),
        (f"selector-range-reversed: {field}", selector(flag | flag >> 1, low + high)),
        (f"truncated: {octets} octets wanted, {octets - 1} left", selector(flag, low[1:])),
        (f"truncated: {octets} octets wanted, 0 left", selector(flag | flag >> 1, low)),
        ("trailing-octets: 1 too many", selector(flag, low + b"\x00")),
    ]
    for complaint, data in broken:
        with pytest.raises(WireError) as refused:
            decode_selector(number, data)
        assert str(refused.value) == complaint
        assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST


@pytest.mark.rfc("6088", "3.1", "TS-2")
@pytest.mark.parametrize("number", [IPV4, IPV6])
def test_no_flag_at_all_means_everything(number):
    assert decode_selector(number, bytes(4)) == TrafficSelector(format=number)


@pytest.mark.parametrize("octets", range(4))
def test_less_than_a_flag_word_is_refused(octets):
    with pytest.raises(WireError, match=f"^truncated: 4 octets wanted, {octets} left$"):
        decode_selector(IPV4, bytes(octets))


@pytest.mark.rfc("6088", "3.1", "TS-5")
@pytest.mark.parametrize("number", [IPV4, IPV6])
def test_reserved_bits_are_ignored_and_sent_as_zero(number):
    decoded = decode_selector(number, selector(RESERVED[number]))

    assert decoded == TrafficSelector(format=number)
    assert encode_selector(decoded) == bytes(4)


@pytest.mark.rfc("6088", "3.1", "TS-4")
def test_the_two_low_bits_of_ds_do_not_count():
    # Not reversed: both ends mean the code point 46.
    decoded = decode_selector(IPV4, bytes.fromhex("00300000 bb b8"))

    assert decoded.canonical() == TrafficSelector(traffic_class=Span(0xB8))
    with pytest.raises(WireError, match="selector-range-reversed"):
        decode_selector(IPV4, bytes.fromhex("00300000 bc b8"))


@pytest.mark.rfc("6088", "3.2")
def test_the_eight_high_bits_of_a_flow_label_do_not_count():
    decoded = decode_selector(IPV6, bytes.fromhex("03000000 ff000001 00000002"))

    assert decoded.canonical().flow_label == Span(1, 2)


@pytest.mark.parametrize("number", [IPV4, IPV6])
def test_selectors_that_mean_the_same_have_one_canonical_form(number):
    one = TrafficSelector(format=number, protocol=Span(6), traffic_class=Span(0xB9, 0xBB))
    other = TrafficSelector(format=number, protocol=Span(6, 6), traffic_class=Span(0xB8))
    canonical = TrafficSelector(format=number, protocol=Span(6), traffic_class=Span(0xB8))

    assert one.canonical() == other.canonical() == canonical
    assert one.canonical().canonical() == one.canonical()


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [(Span(5), (5,), (4, 6)), (Span(5, 7), (5, 6, 7), (4, 8)), (Span(0), (0,), (1,))],
)
def test_a_span_is_inclusive(span, inside, outside):
    assert all(span.contains(value) for value in inside)
    assert not any(span.contains(value) for value in outside)


def spans(octets: int) -> st.SearchStrategy[Span | None]:
    value = st.integers(0, 256**octets - 1)
    pair = st.tuples(value, value).map(sorted).map(lambda ends: Span(*ends))
    return st.none() | value.map(Span) | pair


def selectors(number: SelectorFormat) -> st.SearchStrategy[TrafficSelector]:
    rows = IPV4_FIELDS if number is IPV4 else IPV6_FIELDS
    # Masked bits may turn the ends of these two round; their own tests are above.
    fields = {name: spans(octets) for _, name, octets in rows}
    for masked in {"traffic_class", "flow_label"} & fields.keys():
        fields[masked] = st.none() | st.integers(0, 63).map(lambda value: Span(value << 2))
    return st.fixed_dictionaries(fields).map(lambda terms: TrafficSelector(format=number, **terms))


@given(selectors(IPV4) | selectors(IPV6))
def test_what_is_encoded_decodes_to_the_same(one):
    assert decode_selector(one.format, encode_selector(one)) == one


@given(selectors(IPV4) | selectors(IPV6))
def test_the_canonical_form_is_encoded_no_longer(one):
    assert len(encode_selector(one.canonical())) <= len(encode_selector(one))
    assert one.canonical().canonical() == one.canonical()


@given(st.sampled_from([IPV4, IPV6]), st.binary(max_size=110))
def test_any_octets_are_a_selector_or_refused_with_134(number, data):
    try:
        decoded = decode_selector(number, data)
    except WireError as error:
        refusal = error
    else:
        flags = int.from_bytes(data[:4], "big") & ~RESERVED[number]
        assert encode_selector(decoded) == selector(flags, data[4:])
        return
    assert refusal.code is ReplyCode.POORLY_FORMED_REQUEST
