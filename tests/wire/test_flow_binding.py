import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.flow_binding import MAX_BIDS, FlowBinding
from flowbind.wire.iana import FlowAction, ReplyCode, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector

FROM_PORT_80 = TrafficSelector(source_port=Span(80), protocol=Span(6))
SELECTOR = "02080000 0050 06"
GOLDEN = [
    ("flow-binding-forward", FlowBinding(FlowAction.FORWARD, (1, 2), FROM_PORT_80)),
    ("flow-binding-drop", FlowBinding(FlowAction.DROP, (255,), FROM_PORT_80)),
]


@pytest.mark.rfc("7629", "4.2", "FB-E-1", "A-12")
@pytest.mark.parametrize(("name", "extension"), GOLDEN)
def test_golden_both_ways(vector, name, extension):
    assert extension.encode() == vector(name)
    assert FlowBinding.decode(vector(name)[4:]) == extension


@pytest.mark.rfc("7629", "4.2", "FB-E-2")
def test_drop_without_a_bid_is_sent_with_255(vector):
    assert FlowBinding(FlowAction.DROP, (), FROM_PORT_80).encode() == vector("flow-binding-drop")


@pytest.mark.rfc("7629", "4.2", "FB-E-3")
@pytest.mark.parametrize("bid", [0, 1, 254, 255])
def test_the_bid_octet_of_drop_may_be_anything(bid):
    extension = FlowBinding.decode(bytes((0, 1, bid, 1)) + bytes.fromhex(SELECTOR))

    assert extension.action is FlowAction.DROP
    assert extension.encode()[6] == bid


@pytest.mark.rfc("7629", "4.3")
@pytest.mark.parametrize("bid", [0, 255])
def test_a_reserved_bid_of_forward_decodes_for_the_home_agent_to_answer_153(bid):
    extension = FlowBinding.decode(bytes((1, 2, bid, 7, 1)) + bytes.fromhex(SELECTOR))

    assert extension.bids == (bid, 7)


@pytest.mark.rfc("7629", "4.2", "FB-E-1", "A-13")
@pytest.mark.parametrize("count", range(1, MAX_BIDS + 1))
def test_the_bid_list_is_not_padded(count):
    bids = tuple(range(1, count + 1))
    extension = FlowBinding(FlowAction.FORWARD, bids, FROM_PORT_80)
    octets = extension.encode()

    assert octets[2:4] == (3 + count + len(bytes.fromhex(SELECTOR))).to_bytes(2, "big")
    assert octets[6 : 6 + count] == bytes(bids)
    assert octets[6 + count] == SelectorFormat.IPV4_BINARY
    assert octets[7 + count :] == bytes.fromhex(SELECTOR)
    assert FlowBinding.decode(octets[4:]) == extension


@pytest.mark.rfc("7629", "4.2")
@pytest.mark.parametrize(
    ("name", "number", "octets"), [("selector-ipv4-all", 1, 40), ("selector-ipv6-all", 2, 96)]
)
def test_the_longest_selector_behind_the_longest_list(vector, name, number, octets):
    data = bytes((1, 8, *range(1, 9), number)) + vector(name)
    extension = FlowBinding.decode(data)

    assert len(vector(name)) == octets
    assert extension.encode()[4:] == data
    assert extension.selector.format == number


@pytest.mark.rfc("7629", "4.2", "FB-E-1", "FB-E-2", "FB-E-4", "A-20")
@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "truncated: 2 octets wanted, 0 left"),
        ("01", "truncated: 2 octets wanted, 1 left"),
        ("01 01", "truncated: 2 octets wanted, 0 left"),
        ("01 02 01", "truncated: 3 octets wanted, 1 left"),
        ("01 02 01 02", "truncated: 3 octets wanted, 2 left"),
        ("01 01 01 01", "truncated: 4 octets wanted, 0 left"),
        ("02 01 01 01 02080000 0050 06", "flow-binding-action: 2"),
        ("ff 01 01 01 02080000 0050 06", "flow-binding-action: 255"),
        ("01 00 01 02080000 0050 06", "flow-binding-bid-count: 0"),
        ("01 09 01 02 03 04 05 06 07 08 09 01 02080000 0050 06", "flow-binding-bid-count: 9"),
        ("01 ff 01 01 02080000 0050 06", "flow-binding-bid-count: 255"),
        ("00 00 01 02080000 0050 06", "flow-binding-bid-count: 0"),
        ("00 02 01 02 01 02080000 0050 06", "flow-binding-drop-bids: 2 BIDs instead of 1"),
        ("01 01 01 00 02080000 0050 06", "flow-binding-ts-format: 0"),
        ("01 01 01 03 02080000 0050 06", "flow-binding-ts-format: 3"),
        ("01 01 01 fb 02080000 0050 06", "flow-binding-ts-format: 251"),
        ("01 01 01 01 02080000 0050", "truncated: 1 octets wanted, 0 left"),
        ("01 01 01 01 02080000 0050 06 00", "trailing-octets: 1 too many"),
        ("01 01 01 01 01000000 0050", "selector-end-without-start: source_port"),
        ("01 01 01 01 03000000 0051 0050", "selector-range-reversed: source_port"),
    ],
)
def test_what_is_malformed_is_answered_with_134(data, complaint):
    with pytest.raises(WireError) as refused:
        FlowBinding.decode(bytes.fromhex(data))

    assert str(refused.value) == complaint
    assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST


@pytest.mark.rfc("7629", "4.2", "A-12", "A-13")
def test_octets_between_list_and_format_are_not_taken_for_padding():
    # Figure 5 draws TS Format at a 32-bit boundary; with one BID this octet would be padding.
    with pytest.raises(WireError, match="flow-binding-ts-format"):
        FlowBinding.decode(bytes.fromhex("01 01 01 00 01 02080000 0050 06"))
