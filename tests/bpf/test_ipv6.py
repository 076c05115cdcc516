"""IPv6 into the tunnels and out of them (RFC 5454, RFC 4213)."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs
from scapy.layers.inet import GRE, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from flowbind.model.binding import Encapsulation, GreKeys
from flowbind.wire.traffic_selector import Span
from tests.bpf.conftest import DROPPED, REDIRECTED, UNTOUCHED
from tests.bpf.packets import CARE_OF, TO_US, down, frame, tunnelled
from tests.dataplane.nodes import (
    AGENT,
    CORRESPONDENT6,
    HOME6,
    OTHER_HOME,
    PREFIX,
    drop,
    forward,
    ipv6,
    node,
    path,
    udp_to,
)

pytestmark = pytest.mark.root

EACH = pytest.mark.parametrize("encapsulation", Encapsulation)
AGENT_LINK, MOBILE_LINK = "home_agent_link", "mobile_node_link"
UDP_PORTS = {"local_port": 434, "remote_port": 40123}
INNER = [
    UDP(sport=5004, dport=40000) / Raw(bytes(1232)),
    ICMPv6EchoRequest(id=1) / Raw(b"abc"),
    IPv6ExtHdrDestOpt() / TCP(sport=80, dport=50000, flags="A"),
]


def frame6(packet):
    return Ether(dst=TO_US, src="02:00:00:00:00:01", type=0x86DD) / packet


def down6(payload=None, **changes):
    """Build a packet from the correspondent to the node."""
    fields = {"src": str(CORRESPONDENT6), "dst": str(HOME6), "hlim": 63}
    payload = payload or UDP(sport=5004, dport=40000) / Raw(b"downlink")
    return IPv6(**(fields | changes)) / payload


def up6(payload=None, **changes):
    """Build a packet from the node to the correspondent."""
    changes = {"src": str(HOME6), "dst": str(CORRESPONDENT6), "hlim": 64} | changes
    return down6(payload or UDP(sport=40000, dport=5004) / Raw(b"uplink"), **changes)


def carried(inner, encapsulation, *, in_udp=False, **changes):
    """Build the outer packet as the home agent shall send it; minimal is IP-in-IP for IPv6."""
    fields = {"src": str(AGENT), "dst": CARE_OF, "ttl": 64, "flags": 0, "id": 7} | changes
    is_gre = encapsulation is Encapsulation.GRE
    if is_gre:
        inner = GRE(proto=0x86DD) / inner
    protocol = 47 if is_gre else 41
    if not in_udp:
        return IP(**(fields | {"proto": protocol})) / inner
    data = bytes((4, protocol, 0, 0)) + bytes(inner)
    ports = {"sport": 434, "dport": 40123}
    if fields["dst"] == str(AGENT):
        ports = {"sport": 40123, "dport": 434}
    return IP(**fields) / UDP(**ports, chksum=0) / Raw(data)


def to_agent(inner, encapsulation=Encapsulation.IP_IN_IP, **changes):
    return carried(inner, encapsulation, **({"src": CARE_OF, "dst": str(AGENT)} | changes))


def node6(*paths, rules=()):
    return node(paths or [path(1)], rules, prefixes=[PREFIX])


def outer_of(outcome):
    """The packet that was sent, with an Identification that a test can know."""
    outer = IP(outcome.packet[14:])
    outer.id, outer.chksum = 7, None
    return bytes(outer)


@pytest.mark.rfc("5454", "3.3.2", "DS-FW-1")
@EACH
@pytest.mark.parametrize("in_udp", [False, True])
@pytest.mark.parametrize("interface", [None, "wlan0"])
@pytest.mark.parametrize("payload", INNER)
def test_the_outer_headers_are_what_scapy_builds(agent6, encapsulation, in_udp, interface, payload):
    ports = UDP_PORTS if in_udp else {}
    agent6.plane.program(node6(path(1, encapsulation=encapsulation, interface=interface, **ports)))
    inner = down6(payload)
    outcome = agent6.run(AGENT_LINK, frame6(inner))
    inner.hlim -= 1
    assert outcome.verdict == REDIRECTED
    assert outer_of(outcome) == bytes(carried(inner, encapsulation, in_udp=in_udp))
    octets = len(bytes(inner))
    assert outcome.counted == {"encapsulated_packets": 1, "encapsulated_octets": octets}


@pytest.mark.rfc("6040", "4.1")
@pytest.mark.parametrize("ecn", range(4))
def test_dscp_is_copied_and_the_outer_header_not_ecn_capable(agent6, ecn):
    agent6.plane.program(node6())
    outcome = agent6.run(AGENT_LINK, frame6(down6(tc=46 << 2 | ecn)))
    assert IP(outcome.packet[14:]).tos == 46 << 2


@pytest.mark.rfc("4213", "3.2.1")
def test_the_outer_packet_may_be_cut_up(agent6):
    agent6.plane.program(node6())
    assert IP(agent6.run(AGENT_LINK, frame6(down6())).packet[14:]).flags == 0


@pytest.mark.parametrize(
    "packet",
    [
        down6(hlim=1),
        down6(dst="2001:db8:2::1"),
        down6(dst="fe80::1"),
        down6(dst="ff02::1"),
        down6(src="fe80::9"),
        down6(src="::"),
        down6(src="::1"),
        down6(IPv6ExtHdrHopByHop() / UDP()),
        down6(UDP() / Raw(bytes(1233))),
        down6(plen=100),
        down6(version=5),
    ],
)
def test_what_the_short_cut_leaves_to_the_stack(agent6, packet):
    agent6.plane.program(node6())
    outcome = agent6.run(AGENT_LINK, frame6(packet))
    assert (outcome.verdict, outcome.counted) == (UNTOUCHED, {})
    assert outcome.packet == bytes(frame6(packet))


def test_padding_of_a_short_frame_is_not_sent(agent6):
    agent6.plane.program(node6())
    inner = down6(UDP(sport=1, dport=2))
    outcome = agent6.run(AGENT_LINK, bytes(frame6(inner)) + bytes(6))
    inner.hlim -= 1
    assert outer_of(outcome) == bytes(carried(inner, Encapsulation.IP_IN_IP))


@pytest.mark.parametrize(
    ("rule", "counted"),
    [
        (drop(**udp_to(40000)), "drop_by_rule"),
        (forward(9, **udp_to(40000)), "encapsulated_packets"),
    ],
)
def test_rules_of_ipv6_decide(agent6, rule, counted):
    agent6.plane.program(node6(rules=[ipv6(rule)]))
    assert counted in agent6.run(AGENT_LINK, frame6(down6())).counted


def test_without_a_path_that_sends_it_is_dropped(agent6):
    agent6.plane.program(node6(path(1, transmit=False)))
    outcome = agent6.run(AGENT_LINK, frame6(down6()))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {"drop_no_path": 1})


def test_a_tunnel_too_narrow_for_ipv6_is_refused_and_counted(agent6):
    agent6.plane.program(node6(path(1, interface="tiny0", remote=IPv4Address("192.0.4.1"))))
    outcome = agent6.run(AGENT_LINK, frame6(down6(UDP() / Raw(bytes(1232)))))
    assert (outcome.verdict, outcome.counted["drop_too_big"]) == (DROPPED, 1)


# ---- out of the tunnels


@pytest.mark.rfc("5454", "3.3.2", "DS-FW-1")
@EACH
@pytest.mark.parametrize("in_udp", [False, True])
@pytest.mark.parametrize("payload", INNER)
def test_the_home_agent_gives_back_the_same_octets(agent6, encapsulation, in_udp, payload):
    ports = UDP_PORTS if in_udp else {}
    agent6.plane.program(node6(path(2), path(1, encapsulation=encapsulation, **ports)))
    inner = up6(payload)
    outcome = agent6.run(AGENT_LINK, frame(to_agent(inner, encapsulation, in_udp=in_udp, ttl=3)))
    assert outcome.verdict == REDIRECTED
    assert outcome.packet[14:] == bytes(inner)
    octets = len(bytes(inner))
    assert outcome.counted == {"decapsulated_packets": 1, "decapsulated_octets": octets}


@EACH
def test_what_one_end_encapsulates_the_other_gives_back(agent6, mobile6, encapsulation):
    there = path(1, encapsulation=encapsulation)
    agent6.plane.program(node6(there))
    mobile6.plane.program(node6(structs.replace(there, local=there.remote, remote=AGENT)))
    inner = down6(tc=0xB8, fl=0x12345)
    outer = agent6.run(AGENT_LINK, frame6(inner)).packet
    outcome = mobile6.run(MOBILE_LINK, bytes(frame(Raw(outer[14:]))))
    inner.hlim -= 1
    assert outcome.packet[14:] == bytes(inner)


@pytest.mark.rfc("5454", "4", "DS-FW-2")
@pytest.mark.parametrize(
    ("packet", "counter"),
    [
        (to_agent(up6(src="2001:db8:2::1")), "drop_inner_address"),
        (to_agent(up6(src="fe80::1")), "drop_inner_address"),
        (to_agent(up6(src="::")), "drop_inner_address"),
        (to_agent(up6(), src="192.0.2.77"), "drop_care_of_address_unknown"),
        (to_agent(up6(), in_udp=True), "drop_udp_tunnel_unknown"),
        (to_agent(up6(), Encapsulation.GRE), "drop_encapsulation_mismatch"),
        (to_agent(up6(hlim=0)), "drop_malformed"),
        (to_agent(up6(version=4)), "drop_malformed"),
        (to_agent(up6(plen=200)), "drop_malformed"),
        (to_agent(up6(), len=50), "drop_malformed"),
        (to_agent(up6(), chksum=1), "drop_malformed"),
        (to_agent(Raw(b"`")), "drop_malformed"),
        (to_agent(up6(), tos=3), "drop_congestion_mark"),
    ],
)
def test_what_the_home_agent_does_not_take(agent6, packet, counter):
    agent6.plane.program(node6())
    outcome = agent6.run(AGENT_LINK, frame(packet))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {counter: 1})


@pytest.mark.rfc("5454", "4", "DS-FW-2")
def test_a_node_does_not_send_for_another(agent6):
    agent6.plane.program(node6())
    agent6.plane.program(node([path(2)], home=OTHER_HOME))
    outcome = agent6.run(AGENT_LINK, frame(to_agent(up6(), src="192.0.2.2")))
    assert outcome.counted == {"drop_care_of_address_unknown": 1}


def test_the_mobile_node_takes_what_is_for_its_prefix_alone(mobile6):
    there = structs.replace(path(1), local=path(1).remote, remote=AGENT)
    mobile6.plane.program(node6(there))
    for dst, verdict in ((HOME6, REDIRECTED), (PREFIX[99], REDIRECTED), ("2001:db8:2::1", DROPPED)):
        packet = frame(carried(down6(dst=str(dst)), Encapsulation.IP_IN_IP))
        assert mobile6.run(MOBILE_LINK, packet).verdict == verdict


@pytest.mark.rfc("6040", "4.2")
@pytest.mark.parametrize("inner", [1, 2, 3])
def test_a_congestion_mark_moves_to_the_inner_header(agent6, inner):
    agent6.plane.program(node6())
    outcome = agent6.run(AGENT_LINK, frame(to_agent(up6(tc=inner), tos=3)))
    assert IPv6(outcome.packet[14:]).tc == 3


def test_ipv4_goes_on_beside_it(agent6):
    agent6.plane.program(node6())
    outcome = agent6.run(AGENT_LINK, frame(down()))
    expected = down()
    expected.ttl -= 1
    assert outcome.packet[14:] == bytes(tunnelled(expected, Encapsulation.IP_IN_IP))


# ---- what rules see behind the headers

TCP_80 = TCP(sport=80, dport=50000)
CASES = [
    (TCP_80, {"protocol": 6, "remote_port": 80, "local_port": 50000}),
    (IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(addresses=["2001:db8::7"]) / TCP_80,
     {"protocol": 6, "remote_port": 80, "local_port": 50000}),
    (IPv6ExtHdrFragment(m=1, id=5) / TCP_80,
     {"protocol": 6, "remote_port": 80, "local_port": 50000}),
    (IPv6ExtHdrFragment(offset=9, id=99, nh=6) / Raw(bytes(40)), {"protocol": 6, "fragment": True}),
    (ESP(spi=0x1000, data=bytes(20)), {"protocol": 50, "spi": 0x1000}),
    (AH(spi=0x1001, nh=6) / TCP_80, {"protocol": 51, "spi": 0x1001}),
    (ICMPv6EchoRequest(), {"protocol": 58}),
]  # fmt: skip
SEEN = [(0xF0000 + label, *each) for label, each in enumerate(CASES)]


@pytest.mark.rfc("6088", "3.2", "TS6-1")
@pytest.mark.parametrize(("label", "payload", "seen"), SEEN)
def test_the_upper_layer_is_found_behind_extension_headers(agent6, label, payload, seen):
    agent6.plane.program(node6())
    agent6.run(AGENT_LINK, frame6(down6(payload, tc=0xBA, fl=label)))
    (flow,) = [each for each in agent6.plane.flows() if each.packet.flow_label == label]
    for field, value in seen.items():
        assert getattr(flow.packet, field) == value
    assert (flow.packet.dscp, flow.packet.local) == (46, HOME6)


def test_headers_without_end_are_no_upper_layer(agent6):
    agent6.plane.program(node6(rules=[ipv6(drop(source_port=Span(0, 65535)))]))
    payload = TCP_80
    for _ in range(9):
        payload = IPv6ExtHdrDestOpt() / payload
    assert agent6.run(AGENT_LINK, frame6(down6(payload))).verdict == REDIRECTED


@pytest.mark.rfc("6089", "5.3.6", "PP-5")
def test_later_fragments_follow_their_first(agent6):
    rules = [ipv6(forward(2, **udp_to(40000))), ipv6(forward(1))]
    agent6.plane.program(node6(path(1), path(2), rules=rules))
    first = IPv6ExtHdrFragment(m=1, id=77) / UDP(sport=5004, dport=40000) / Raw(bytes(24))
    later = IPv6ExtHdrFragment(offset=4, id=77, nh=17) / Raw(bytes(24))
    other = IPv6ExtHdrFragment(offset=4, id=78, nh=17) / Raw(bytes(24))
    ends = [
        IP(agent6.run(AGENT_LINK, frame6(down6(each))).packet[14:]).dst
        for each in (first, later, other)
    ]
    assert ends == ["192.0.2.2", "192.0.2.2", "192.0.2.1"]


def test_the_mss_of_a_connection_is_lowered_to_what_fits(agent6):
    agent6.plane.program(node6())
    syn = TCP(sport=80, dport=50000, flags="S", options=[("MSS", 1440)])
    outer = IP(agent6.run(AGENT_LINK, frame6(down6(syn))).packet[14:])
    sent = IPv6(bytes(outer.payload))
    assert sent[TCP].options == [("MSS", 1220)]
    del sent[TCP].chksum
    assert bytes(IPv6(bytes(sent))) == bytes(outer.payload)


@pytest.mark.rfc("2890", "2.1", "GK-1", "GK-2")
def test_gre_has_keys_and_numbers_and_checksums_as_with_ipv4(agent6):
    keyed = path(1, encapsulation=Encapsulation.GRE, gre_keys=GreKeys(0xDEADBEEF, 7))
    agent6.plane.program(node6(structs.replace(keyed, gre_sequence=True)))
    outcome = agent6.run(AGENT_LINK, frame6(down6()))
    assert outcome.verdict == REDIRECTED
    assert outcome.packet[14 + 20 : 14 + 32].hex() == "300086dddeadbeef00000000"

    def come(key, number=0, **fields):
        numbered = {"seqnum_present": 1, "sequence_number": number} if number else {}
        gre = GRE(proto=0x86DD, key_present=1, key=key, **numbered, **fields)
        packet = IP(src=CARE_OF, dst=str(AGENT), proto=47) / gre / up6()
        return agent6.run(AGENT_LINK, frame(packet))

    assert come(7, 5, chksum_present=1).packet[14:] == bytes(up6())
    assert come(7, 5).counted == {"drop_gre_out_of_sequence": 1}
    assert come(8).counted == {"drop_gre_key": 1}
    assert come(7, chksum_present=1, chksum=1).counted == {"drop_gre_checksum": 1}


@pytest.mark.rfc("5944", "4.2.3", "HA-24")
def test_each_simultaneous_binding_gets_a_copy(agent6):
    paths = [path(0, remote=IPv4Address(f"192.0.2.{end}")) for end in (1, 2, 3)]
    agent6.plane.program(node6(*paths))
    outcome = agent6.run(AGENT_LINK, frame6(down6()))
    assert outcome.verdict == REDIRECTED
    octets = len(bytes(down6()))
    assert outcome.counted == {"encapsulated_packets": 3, "encapsulated_octets": 3 * octets}
