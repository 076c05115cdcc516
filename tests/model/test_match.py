"""The match language: expressions to selectors and back."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from flowbind.model.match import (
    MAX_SELECTORS,
    MatchError,
    PacketDescription,
    compile_match,
    describe_selector,
    parse_packet,
    why_nothing_matches,
)
from flowbind.model.match_words import CODE_POINTS, PROTOCOLS, SERVICES
from flowbind.wire.iana import SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector, decode_selector, encode_selector

IPV4 = SelectorFormat.IPV4_BINARY
IPV6 = SelectorFormat.IPV6_BINARY


def net(prefix: str) -> Span:
    network = IPv4Network(prefix)
    return Span(int(network.network_address), int(network.broadcast_address))


def address(text: str) -> int:
    return int(IPv4Address(text))


UDP = Span(17)
ONE_SELECTOR = [
    ("any", TrafficSelector()),
    ("ipv4 any", TrafficSelector()),
    ("ipv6 any", TrafficSelector(format=IPV6)),
    ("udp", TrafficSelector(protocol=UDP)),
    ("UDP Remote Port SIP", TrafficSelector(protocol=UDP, source_port=Span(5060))),
    ("proto 47", TrafficSelector(protocol=Span(47))),
    ("proto 1-6", TrafficSelector(protocol=Span(1, 6))),
    ("proto tcp", TrafficSelector(protocol=Span(6))),
    ("remote port 5060-5061", TrafficSelector(source_port=Span(5060, 5061))),
    ("remote port 80-80", TrafficSelector(source_port=Span(80))),
    ("local port 0x50", TrafficSelector(destination_port=Span(80))),
    ("remote port ipsec-nat-t", TrafficSelector(source_port=Span(4500))),
    ("remote port http-https", TrafficSelector(source_port=Span(80, 443))),
    ("remote net 203.0.113.0/24", TrafficSelector(source=net("203.0.113.0/24"))),
    ("local net 10.9.0.5", TrafficSelector(destination=Span(address("10.9.0.5")))),
    ("local net 10.9.0.5/32", TrafficSelector(destination=Span(address("10.9.0.5")))),
    (
        "remote net 10.0.0.3-10.0.0.9",
        TrafficSelector(source=Span(address("10.0.0.3"), address("10.0.0.9"))),
    ),
    ("dscp ef", TrafficSelector(traffic_class=Span(0xB8))),
    ("dscp 46", TrafficSelector(traffic_class=Span(0xB8))),
    ("dscp cs3", TrafficSelector(traffic_class=Span(24 << 2))),
    ("dscp af41-af43", TrafficSelector(traffic_class=Span(34 << 2, 38 << 2))),
    ("dscp voice-admit-ef", TrafficSelector(traffic_class=Span(44 << 2, 46 << 2))),
    ("esp spi 0x100-0x1ff", TrafficSelector(protocol=Span(50), spi=Span(256, 511))),
    (
        "remote net 2001:db8::/32",
        TrafficSelector(
            format=IPV6, source=Span(0x20010DB8 << 96, (0x20010DB8 << 96) + (1 << 96) - 1)
        ),
    ),
    ("ipv6 flow-label 0x12345", TrafficSelector(format=IPV6, flow_label=Span(0x12345))),
    (
        "udp remote port 5004 dscp ef local net 10.9.0.5",
        TrafficSelector(
            protocol=UDP,
            source_port=Span(5004),
            traffic_class=Span(0xB8),
            destination=Span(address("10.9.0.5")),
        ),
    ),
]


@pytest.mark.rfc("6088", "3.1")
@pytest.mark.parametrize(("text", "selector"), ONE_SELECTOR)
def test_an_expression_for_one_selector(text: str, selector: TrafficSelector) -> None:
    assert compile_match(text) == (selector,)


@pytest.mark.rfc("7629", "4.2")
def test_without_a_side_both_ways_round() -> None:
    assert compile_match("udp port 5060-5061") == (
        TrafficSelector(protocol=UDP, source_port=Span(5060, 5061)),
        TrafficSelector(protocol=UDP, destination_port=Span(5060, 5061)),
    )


def test_terms_without_a_side_speak_of_the_same_end() -> None:
    assert compile_match("net 203.0.113.9 port 80") == (
        TrafficSelector(source=Span(address("203.0.113.9")), source_port=Span(80)),
        TrafficSelector(destination=Span(address("203.0.113.9")), destination_port=Span(80)),
    )


def test_a_side_on_one_term_leaves_the_other_free() -> None:
    assert compile_match("remote net 203.0.113.9 port 80") == (
        TrafficSelector(source=Span(address("203.0.113.9")), source_port=Span(80)),
        TrafficSelector(source=Span(address("203.0.113.9")), destination_port=Span(80)),
    )


def test_lists_multiply() -> None:
    compiled = compile_match("tcp,udp remote port 80, 443 ,5000-5001")
    assert [(each.protocol, each.source_port) for each in compiled] == [
        (Span(protocol), port)
        for protocol in (6, 17)
        for port in (Span(80), Span(443), Span(5000, 5001))
    ]


def test_a_value_listed_twice_counts_once() -> None:
    assert compile_match("remote port http,80") == (TrafficSelector(source_port=Span(80)),)


def test_as_many_selectors_as_allowed() -> None:
    ports = ",".join(str(port) for port in range(1, 1 + MAX_SELECTORS // 2))
    assert len(compile_match(f"port {ports}")) == MAX_SELECTORS
    with pytest.raises(MatchError, match="needs 34 selectors, more than 32"):
        compile_match(f"port {ports},999")


def test_too_many_selectors_are_counted_and_not_built() -> None:
    listed = ",".join(str(port) for port in range(9000))
    text = f"proto 1,2,3,4 remote port {listed} local port {listed} spi {listed}"
    with pytest.raises(MatchError, match=f"needs {4 * 9000**3} selectors"):
        compile_match(text)


TERM = "expected a protocol, 'port', 'net', 'remote', 'local', 'dscp' or 'spi', found"
REFUSED = [
    ("", 0, f"{TERM} the end"),
    ("  ", 0, f"{TERM} the end"),
    ("bogus", 0, f"{TERM} 'bogus'"),
    (",", 0, f"{TERM} ','"),
    ("tcp-udp", 0, f"{TERM} 'tcp-udp'"),
    ("47", 0, f"{TERM} '47'"),
    ("udp   port abc", 11, "expected a port, found 'abc'"),
    ("udp port", 8, "expected a port, found the end"),
    ("udp port 80,", 12, "expected a port, found the end"),
    ("udp port ,80", 9, "expected a port, found ','"),
    ("udp port 80-", 9, "expected a port, found '80-'"),
    ("udp port -80", 9, "expected a port, found '-80'"),
    ("udp port 80-90-99", 9, "expected a port, found '80-90-99'"),
    ("udp port ²", 9, "expected a port, found '²'"),
    ("udp port 65536", 9, "expected a port up to 65535, found 65536"),
    ("udp port 1-99999", 9, "expected a port up to 65535, found 99999"),
    ("udp port " + "9" * 5000, 9, "expected a port, found '" + "9" * 5000 + "'"),
    ("udp port 90-80", 9, "the range 90-80 is reversed"),
    ("proto 256", 6, "expected a protocol up to 255, found 256"),
    ("dscp 64", 5, "expected a DSCP up to 63, found 64"),
    ("dscp af44", 5, "expected a DSCP, found 'af44'"),
    ("spi 0x100000000", 4, "expected an SPI, found '0x100000000'"),
    ("spi 4294967296", 4, "expected an SPI up to 4294967295, found 4294967296"),
    ("any udp", 4, "expected nothing behind 'any', found 'udp'"),
    ("udp any", 4, f"{TERM} 'any'"),
    ("remote", 6, "expected 'port' or 'net' behind 'remote', found the end"),
    ("remote udp", 7, "expected 'port' or 'net' behind 'remote', found 'udp'"),
    ("udp tcp", 4, "this term is there already: write a list"),
    ("port 80 port 81", 8, "this term is there already: write a list"),
    ("port 80 remote port 81", 8, "say 'remote' or 'local' for both of these terms"),
    ("local port 80 port 81", 14, "say 'remote' or 'local' for both of these terms"),
    ("net 10.0.0.1 local net 10.0.0.2", 13, "say 'remote' or 'local' for both of these terms"),
    ("remote net 10.0.0.1/8", 11, "10.0.0.1/8 has host bits set: 10.0.0.0/8?"),
    ("net 10.0.0.9-10.0.0.1", 4, "the range 10.0.0.9-10.0.0.1 is reversed"),
    ("net 10.0.0.9-::1", 4, "the range 10.0.0.9-::1 is reversed"),
    ("remote net 10.0.0.1,::1", 20, "IPv4 and IPv6 in one expression"),
    ("ipv4 net ::1", 9, "IPv4 and IPv6 in one expression"),
    ("udp flow-label 3", 4, "only IPv6 has flow labels: begin with 'ipv6'"),
]


@pytest.mark.parametrize(("text", "position", "what"), REFUSED)
def test_an_error_tells_where_and_what(text: str, position: int, what: str) -> None:
    with pytest.raises(MatchError) as refusal:
        compile_match(text)
    assert (refusal.value.position, refusal.value.what) == (position, what)
    assert str(refusal.value) == f"column {position + 1}: {what}"
    assert refusal.value.text == text


@pytest.mark.parametrize("word", ["300.0.0.1", "10.0.0", "10.0.0.0/33", "1::2::3", "fe80::1%eth0"])
def test_what_is_no_address(word: str) -> None:
    expected = f"expected an address, a prefix or a range of addresses, found {word!r}"
    with pytest.raises(MatchError) as refusal:
        compile_match(f"net {word}")
    assert refusal.value.what == expected


def spans(highest: int) -> SearchStrategy[Span | None]:
    return st.none() | st.tuples(st.integers(0, highest), st.integers(0, highest)).map(
        lambda pair: Span(min(pair), None if pair[0] == pair[1] else max(pair))
    )


def prefixes(bits: int) -> SearchStrategy[Span]:
    def prefix(value: int, length: int) -> Span:
        size = 1 << (bits - length)
        return Span(value // size * size, value // size * size + size - 1)

    return st.builds(prefix, st.integers(0, 2**bits - 1), st.integers(0, bits))


def selectors(chosen_format: SelectorFormat, bits: int) -> SearchStrategy[TrafficSelector]:
    return st.builds(
        TrafficSelector,
        format=st.just(chosen_format),
        source=spans(2**bits - 1) | prefixes(bits),
        destination=spans(2**bits - 1) | prefixes(bits),
        spi=spans(2**32 - 1),
        flow_label=spans(2**20 - 1) if chosen_format is IPV6 else st.none(),
        source_port=spans(2**16 - 1),
        destination_port=spans(2**16 - 1),
        traffic_class=spans(255),
        protocol=spans(255),
    )


@given(selectors(IPV4, 32) | selectors(IPV6, 128))
@example(TrafficSelector(traffic_class=Span(0xB8, 0xBB)))
@example(TrafficSelector(traffic_class=Span(44 << 2, 45 << 2)))
@example(TrafficSelector(source=Span(0, 2**32 - 1)))
@example(TrafficSelector(source=Span(0, 2**32 - 2)))
def test_every_selector_has_an_expression_that_gives_it_back(selector: TrafficSelector) -> None:
    assert compile_match(describe_selector(selector)) == (selector.canonical(),)


@pytest.mark.rfc("6088", "3.1")
@pytest.mark.parametrize("text", [text for text, _ in ONE_SELECTOR] + ["tcp,udp net 10.0.0.0/9"])
def test_what_is_compiled_is_canonical_and_survives_the_wire(text: str) -> None:
    for selector in compile_match(text):
        assert selector == selector.canonical()
        assert decode_selector(selector.format, encode_selector(selector)) == selector


def compiled_or_refused(text: str) -> tuple[tuple[TrafficSelector, ...], MatchError | None]:
    try:
        return compile_match(text), None
    except MatchError as refusal:
        return (), refusal


WORDS = [
    *("any", "port", "net", "remote", "local", "dscp", "spi", "proto", "flow-label", "ipv6"),
    *(",", "-", "80", "1-5", "10.0.0.0/8", "::1", "ef", "sip", "udp", "esp", "x"),
]


@given(
    st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=9).map(" ".join)
    | st.text(max_size=40)
)
def test_any_text_compiles_or_is_refused_with_a_column(text: str) -> None:
    compiled, refusal = compiled_or_refused(text)
    if refusal is not None:
        assert 0 <= refusal.position <= len(text)
        assert "\n" not in str(refusal)
        return
    assert 1 <= len(compiled) <= MAX_SELECTORS
    assert [compile_match(describe_selector(each)) for each in compiled] == [
        (each,) for each in compiled
    ]


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("proto 17 remote net 10.0.0.0-10.255.255.255", "udp remote net 10.0.0.0/8"),
        ("proto 200 dscp 46", "proto 200 dscp ef"),
        ("local port 80 udp remote port 5060", "udp remote port 5060 local port 80"),
        ("spi 256 ah", "ah spi 0x100"),
        ("ipv6 any", "ipv6 any"),
    ],
)
def test_a_description_reads_well(text: str, described: str) -> None:
    assert describe_selector(compile_match(text)[0]) == described


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("icmp remote port 5", "packets of icmp do not have ports"),
        ("proto 90-100 local port 5", "packets of proto 90-100 do not have ports"),
        ("udp spi 256", "packets of udp do not have an SPI"),
        ("remote port 5 spi 256", "no packet has both ports and an SPI"),
        ("remote port 5", None),
        ("proto 0-255 remote port 5", None),
        ("esp spi 5", None),
        ("icmp dscp ef", None),
    ],
)
def test_a_selector_that_nothing_matches_is_known(text: str, why: str | None) -> None:
    assert why_nothing_matches(compile_match(text)[0]) == why


def test_the_names_are_those_of_the_registries() -> None:
    assert (PROTOCOLS["tcp"], PROTOCOLS["udp"], PROTOCOLS["sctp"]) == (6, 17, 132)
    assert (CODE_POINTS["af11"], CODE_POINTS["af43"], CODE_POINTS["cs7"]) == (10, 38, 56)
    assert max(SERVICES.values()) <= 0xFFFF
    assert not PROTOCOLS.keys() & {"any", "port", "net", "remote", "local", "dscp", "spi", "proto"}


CORRESPONDENT = IPv4Address("203.0.113.9")
HOME_ADDRESS = IPv4Address("10.9.0.5")


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        (
            "udp 203.0.113.9:5004 -> 10.9.0.5:40000",
            PacketDescription(17, CORRESPONDENT, HOME_ADDRESS, 5004, 40000),
        ),
        (
            "TCP 10.9.0.5:40000 -> 203.0.113.9:http dscp af41",
            PacketDescription(6, HOME_ADDRESS, CORRESPONDENT, 40000, 80, dscp=34),
        ),
        ("icmp 203.0.113.9 -> 10.9.0.5", PacketDescription(1, CORRESPONDENT, HOME_ADDRESS)),
        (
            "esp 203.0.113.9 -> 10.9.0.5 spi 0x100",
            PacketDescription(50, CORRESPONDENT, HOME_ADDRESS, spi=256),
        ),
        ("89 203.0.113.9 -> 10.9.0.5", PacketDescription(89, CORRESPONDENT, HOME_ADDRESS)),
        (
            "udp fragment 0x384 203.0.113.9 -> 10.9.0.5 dscp ef",
            PacketDescription(
                17, CORRESPONDENT, HOME_ADDRESS, dscp=46, fragment=True, identification=900
            ),
        ),
    ],
)
def test_a_packet_in_words(text: str, packet: PacketDescription) -> None:
    assert parse_packet(text) == packet


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        (
            "udp [2001:db8:ffff::9]:5004 -> [2001:db8:1::1]:40000 flow-label 0x12345 dscp ef",
            PacketDescription(
                17, IPv6Address("2001:db8:ffff::9"), IPv6Address("2001:db8:1::1"), 5004, 40000,
                dscp=46, flow_label=0x12345,
            ),
        ),
        (
            "icmpv6 2001:db8:ffff::9 -> 2001:db8:1::1",
            PacketDescription(58, IPv6Address("2001:db8:ffff::9"), IPv6Address("2001:db8:1::1")),
        ),
        (
            "udp fragment 7 2001:db8::9 -> ::1",
            PacketDescription(
                17, IPv6Address("2001:db8::9"), IPv6Address("::1"), fragment=True, identification=7
            ),
        ),
    ],
)  # fmt: skip
def test_a_packet_of_ipv6_in_words(text: str, packet: PacketDescription) -> None:
    assert parse_packet(text) == packet
    assert parse_packet(text).reversed().reversed() == packet


@pytest.mark.parametrize(
    "text",
    [
        "udp 2001:db8::9:5004 -> [2001:db8::1]:4", "udp [2001:db8::9]:5004 -> 10.9.0.5:4",
        "udp 10.9.0.6:5 -> 10.9.0.5:4 flow-label 3", "icmpv6 2001:db8::g -> ::1",
        "udp [10.9.0.6]:5 -> [10.9.0.5]:4x", "icmpv6 :: -> [::1]:4", "udp []:5 -> [::]:5",
    ],
)  # fmt: skip
def test_a_packet_of_ipv6_that_is_none(text: str) -> None:
    with pytest.raises(MatchError):
        parse_packet(text)


def test_a_fragment_the_other_way() -> None:
    there = parse_packet("udp fragment 7 203.0.113.9 -> 10.9.0.5")
    assert there.reversed() == parse_packet("udp fragment 7 10.9.0.5 -> 203.0.113.9")


def test_a_packet_the_other_way() -> None:
    there = parse_packet("udp 203.0.113.9:5004 -> 10.9.0.5:40000 dscp ef")
    back = parse_packet("udp 10.9.0.5:40000 -> 203.0.113.9:5004 dscp ef")
    assert there.reversed() == back
    assert back.reversed() == there


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "column 1: expected a protocol, found the end"),
        ("bogus 1.1.1.1 -> 2.2.2.2", "column 1: expected a protocol, found 'bogus'"),
        ("6-17 1.1.1.1:1 -> 2.2.2.2:2", "column 1: expected a protocol, not a range"),
        ("udp 1.1.1.1 -> 2.2.2.2:3", "column 5: expected ADDRESS:PORT, found '1.1.1.1'"),
        ("udp 1.1.1.1: -> 2.2.2.2:3", "column 5: expected a port, found ''"),
        ("udp 1.1.1.1:5-6 -> 2.2.2.2:3", "column 5: expected a port, not a range"),
        (
            "icmp 1.1.1.1:3 -> 2.2.2.2",
            "column 6: expected an address without a port, found '1.1.1.1:3'",
        ),
        ("udp 1.1.1.1:3", "column 14: expected '->', found the end"),
        ("udp 1.1.1.1:3 - 2.2.2.2:3", "column 15: expected '->', found '-'"),
        (
            "udp 1.1.1.1:3 -> 2.2.2.2:3 ttl 4",
            "column 28: expected 'dscp', 'spi', 'flow-label' or the end, ",
        ),
        ("udp 1.1.1.1:3 -> 2.2.2.2:3 spi 4", "only esp and ah have an SPI"),
        ("esp fragment 7 1.1.1.1 -> 2.2.2.2 spi 4", "only esp and ah have an SPI, in their first"),
        ("udp fragment 1.1.1.1 -> 2.2.2.2", "expected an Identification, found '1.1.1.1'"),
        ("udp fragment 65536 1.1.1.1 -> 2.2.2.2", "an Identification up to 65535, found 65536"),
        ("udp fragment 7 1.1.1.1:3 -> 2.2.2.2", "expected an address without a port"),
        ("udp 1.1.1.999:3 -> 2.2.2.2:3", "column 5: Octet 999 (> 255) not permitted"),
    ],
)
def test_a_packet_that_is_none(text: str, problem: str) -> None:
    with pytest.raises(MatchError) as refusal:
        parse_packet(text)
    assert problem in str(refusal.value)


@given(st.text(max_size=60))
def test_any_text_is_a_packet_or_refused(text: str) -> None:
    position = 0
    try:
        parse_packet(text)
    except MatchError as refusal:
        position = refusal.position
    assert 0 <= position <= len(text)
