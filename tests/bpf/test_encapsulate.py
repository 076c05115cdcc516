"""Into the tunnels, by the short cut at the ingress of a home agent's link."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from flowbind.dataplane.ebpf import layout
from flowbind.model.binding import Encapsulation
from flowbind.wire.traffic_selector import Span
from tests.bpf.conftest import DROPPED, REDIRECTED, UNTOUCHED
from tests.bpf.packets import TO_US, down, frame, tcp, tunnelled
from tests.dataplane.nodes import AGENT, drop, forward, node, path, udp_to

pytestmark = pytest.mark.root

EACH = pytest.mark.parametrize("encapsulation", Encapsulation)
LINK = "home_agent_link"


def after_ethernet(data):
    return bytes(data)[14:]


@pytest.mark.rfc("2003", "3.1")
@pytest.mark.rfc("5944", "4.1", "FW-1")
@pytest.mark.rfc("5944", "4.2.3", "FW-5", "FW-8")
@EACH
@pytest.mark.parametrize("interface", [None, "wlan0"])
@pytest.mark.parametrize("size", [0, 1, 1400])
def test_the_outer_header_is_what_scapy_builds(agent, encapsulation, interface, size):
    agent.plane.program(node([path(1, encapsulation=encapsulation, interface=interface)]))
    inner = down(UDP(sport=5004, dport=40000) / Raw(bytes(size)))
    outcome = agent.run(LINK, frame(inner))
    inner.ttl -= 1
    assert outcome.verdict == REDIRECTED
    assert after_ethernet(outcome.packet) == bytes(tunnelled(inner, encapsulation))
    assert outcome.counted == {"encapsulated_packets": 1, "encapsulated_octets": 28 + size}


@pytest.mark.rfc("5944", "4.2.3", "FW-12")
@EACH
@pytest.mark.parametrize("to", ["10.9.0.5", "10.9.0.77"])
def test_what_is_encapsulated_already_is_encapsulated_again(agent, encapsulation, to):
    agent.plane.program(node([path(1, encapsulation=encapsulation)]))
    inner = down(down(dst=to), src="192.0.2.9", proto=4)
    outcome = agent.run(LINK, frame(inner))
    inner.ttl -= 1
    assert outcome.verdict == REDIRECTED
    assert after_ethernet(outcome.packet) == bytes(tunnelled(inner, encapsulation))


@pytest.mark.rfc("5944", "4.2.3", "FW-11")
@pytest.mark.parametrize("bid", [1, 2])
@pytest.mark.parametrize("protocol", [4, 47])
def test_what_any_care_of_address_of_the_node_tunnelled_to_it_is_dropped(agent, bid, protocol):
    agent.plane.program(node([path(1), path(2), path(3)], [forward(3)]))
    inner = down(down(), src=f"192.0.2.{bid}", proto=protocol)
    outcome = agent.run(LINK, frame(inner))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {"drop_loop": 1})


@pytest.mark.rfc("6040", "4.1")
@EACH
@pytest.mark.parametrize("ecn", range(4))
@pytest.mark.parametrize("dscp", [0, 46, 63])
def test_dscp_is_copied_and_the_outer_header_not_ecn_capable(agent, encapsulation, dscp, ecn):
    agent.plane.program(node([path(1, encapsulation=encapsulation)]))
    inner = down(tos=dscp << 2 | ecn)
    outcome = agent.run(LINK, frame(inner))
    inner.ttl -= 1
    assert after_ethernet(outcome.packet) == bytes(tunnelled(inner, encapsulation, tos=dscp << 2))


@pytest.mark.rfc("2003", "3.1")
@EACH
def test_a_packet_that_may_be_fragmented_still_may(agent, encapsulation):
    agent.plane.program(node([path(1, encapsulation=encapsulation)]))
    inner = down(flags=0)
    outer = IP(after_ethernet(agent.run(LINK, frame(inner)).packet))
    inner.ttl -= 1
    expected = tunnelled(inner, encapsulation, flags=0, id=outer.id)
    assert bytes(outer) == bytes(expected)


def test_the_ttl_of_any_packet_is_decremented_with_its_checksum(agent):
    agent.plane.program(node([path(1)]))
    for ttl in (2, 64, 128, 255):
        for identification in (0, 0xFFFF, 0xFEFF):
            inner = down(ttl=ttl, id=identification)
            data = after_ethernet(agent.run(LINK, frame(inner)).packet)
            inner.ttl -= 1
            assert data[20:] == bytes(inner)


def test_the_padding_of_a_short_frame_is_not_tunnelled(agent):
    agent.plane.program(node([path(1)]))
    inner = down(UDP(sport=1, dport=2))
    outcome = agent.run(LINK, bytes(frame(inner)) + bytes(18))
    inner.ttl -= 1
    assert after_ethernet(outcome.packet) == bytes(tunnelled(inner, Encapsulation.IP_IN_IP))
    assert outcome.counted["encapsulated_octets"] == 28


UNTOUCHED_FRAMES = {
    "to nobody of ours": frame(down(dst="10.9.0.99")),
    "to everybody at home": frame(down(dst="10.9.0.255")),
    "to a group": frame(down(dst="224.0.0.251")),
    "signalling": frame(down(UDP(sport=434, dport=434), src="192.0.2.1", dst=str(AGENT))),
    "ttl ends here": frame(down(ttl=1)),
    "no ttl": frame(down(ttl=0)),
    "options": frame(down(options=[IPOption_NOP()] * 4)),
    "too big": frame(down(UDP() / Raw(bytes(1449)))),
    "not for this host": Ether(dst="02:00:00:00:00:99", type=0x0800) / down(),
    "broadcast": Ether(dst="ff:ff:ff:ff:ff:ff", type=0x0800) / down(),
    "arp": Ether(dst=TO_US) / ARP(pdst="10.9.0.5"),
    "ipv6": Ether(dst=TO_US) / IPv6(dst="2001:db8::5") / UDP(),
    "not really ipv4": Ether(dst=TO_US, type=0x0800) / Raw(bytes(IPv6(dst="2001:db8::5"))),
    "cut short": Ether(dst=TO_US, type=0x0800) / Raw(bytes(down())[:-1]),
    "shorter than it can be": frame(down(len=19)),
    "fragment of a tunnel": frame(
        IP(src="192.0.2.1", dst=str(AGENT), proto=4, flags="MF") / down()
    ),
}


@pytest.mark.rfc("5944", "4.3", "FW-13")
@pytest.mark.parametrize("name", UNTOUCHED_FRAMES)
def test_what_is_none_of_our_business_is_left_alone(agent, mobile, name):
    data = bytes(UNTOUCHED_FRAMES[name])
    for programs, program in ((agent, LINK), (mobile, "mobile_node_link")):
        programs.plane.program(node([path(1)]))
        outcome = programs.run(program, data)
        assert (outcome.verdict, outcome.packet, outcome.counted) == (UNTOUCHED, data, {})


def test_the_largest_packet_fits(agent):
    agent.plane.program(node([path(1, encapsulation=Encapsulation.GRE)]))
    outcome = agent.run(LINK, frame(down(UDP() / Raw(bytes(1448)))))
    assert outcome.verdict == REDIRECTED
    assert len(outcome.packet) == 14 + 1500


@pytest.mark.parametrize(
    ("gso_size", "packet"),
    [(1437, tcp()), (1425, tcp(options=[])), (1449, down())],
    ids=["tcp", "tcp with options", "udp"],
)
def test_segments_that_are_too_big_are_left_to_the_stack(agent, gso_size, packet):
    if gso_size == 1425:
        packet[TCP].options = [("Timestamp", (1, 2))]
    agent.plane.program(node([path(1)]))
    assert agent.run(LINK, frame(packet), gso_size=gso_size).verdict == UNTOUCHED
    assert agent.run(LINK, frame(packet), gso_size=gso_size - 1).verdict != UNTOUCHED


def chosen(agent, packet):
    """The care-of address that a packet went to, None if it was dropped by a rule."""
    outcome = agent.run(LINK, frame(packet))
    if outcome.verdict == DROPPED:
        assert outcome.counted == {"drop_by_rule": 1}
        return None
    return IP(after_ethernet(outcome.packet)).dst


@pytest.mark.rfc("6088", "3.1", "TS-2", "TS-4", "TS-6")
@pytest.mark.parametrize(
    ("selector", "matching", "other"),
    [
        ({"source": Span(0xCB007109)}, down(), down(src="203.0.113.10")),
        ({"source": Span(0xCB007100, 0xCB007109)}, down(), down(src="203.0.113.10")),
        ({"protocol": Span(6)}, tcp(), down()),
        ({"source_port": Span(5004)}, down(), down(UDP(sport=5005, dport=40000))),
        ({"destination_port": Span(40000, 40001)}, down(), down(UDP(sport=5004, dport=40002))),
        ({"destination_port": Span(0, 65535)}, tcp(), down(ICMP())),
        ({"traffic_class": Span(0xB8)}, down(tos=0xBB), down(tos=0xB4)),
        ({"spi": Span(0x1000)}, down(ESP(spi=0x1000)), down(ESP(spi=0x1001))),
        ({"spi": Span(0x1000)}, down(AH(spi=0x1000)), down(AH(spi=0x1001))),
        ({"spi": Span(0, 0xFFFFFFFF)}, down(ESP(spi=0)), down()),
    ],
    ids=lambda each: "+".join(each) if isinstance(each, dict) else "",
)
def test_a_rule_takes_what_it_selects_and_nothing_else(agent, selector, matching, other):
    agent.plane.program(node([path(1), path(2)], [forward(2, **selector), forward(1)]))
    assert chosen(agent, matching) == "192.0.2.2"
    assert chosen(agent, other) == "192.0.2.1"


def test_a_drop_rule_drops(agent):
    agent.plane.program(node([path(1)], [drop(**udp_to(40000))]))
    assert chosen(agent, down()) is None
    assert chosen(agent, down(UDP(sport=5004, dport=40001))) == "192.0.2.1"


def test_a_packet_too_short_for_its_ports_matches_no_port(agent):
    rule = forward(2, destination_port=Span(0, 65535))
    agent.plane.program(node([path(1), path(2)], [rule, forward(1)]))
    assert chosen(agent, down(Raw(b"abc"), proto=17)) == "192.0.2.1"


def test_a_flow_moves_with_the_next_packet_after_its_rule_changed(agent):
    agent.plane.program(node([path(1), path(2)], [forward(1)]))
    assert chosen(agent, down()) == "192.0.2.1"
    agent.plane.program(node([path(1), path(2)], [forward(2)]))
    assert chosen(agent, down()) == "192.0.2.2"
    agent.plane.program(node([path(1), path(2)], [drop()]))
    assert chosen(agent, down()) is None


def test_a_flow_moves_when_its_node_returns_with_other_paths(agent):
    agent.plane.program(node([path(1)]))
    assert chosen(agent, down()) == "192.0.2.1"
    agent.plane.remove(node().home_address)
    agent.plane.program(node([path(2)]))
    assert chosen(agent, down()) == "192.0.2.2"


def test_flows_are_remembered_with_what_they_carried(agent):
    agent.plane.program(node([path(1), path(2)], [forward(2, **udp_to(40000)), forward(1)]))
    first = down(UDP(sport=777, dport=40000) / Raw(bytes(72)), tos=0xB8)
    for _ in range(3):
        agent.run(LINK, frame(first))
    found = [each for each in agent.plane.flows() if each.packet.remote_port == 777]
    assert len(found) == 1
    (record,) = found
    assert (record.bid, record.rule, record.verdict) == (2, 0, "forward")
    assert (record.packets, record.octets) == (3, 300)
    assert (record.packet.dscp, record.packet.local_port) == (46, 40000)
    assert 0 <= record.idle_s < 30


def test_a_home_agent_without_the_short_cut_leaves_packets_to_routing(agent):
    agent.plane.program(node([path(1)]))
    settings = agent.plane._maps["settings_map"].lookup(bytes(4))
    changed = layout.SettingsValue.from_buffer_copy(settings)
    changed.shortcut = 0
    try:
        agent.plane._maps["settings_map"].update(bytes(4), bytes(changed))
        assert agent.run(LINK, frame(down())).verdict == UNTOUCHED
    finally:
        agent.plane._maps["settings_map"].update(bytes(4), settings)


@pytest.mark.rfc("5944", "4.2.3", "HA-24")
def test_each_of_simultaneous_bindings_gets_a_copy(agent):
    ends = {1: Encapsulation.IP_IN_IP, 2: Encapsulation.GRE, 3: Encapsulation.IP_IN_IP}
    agent.plane.program(
        node([
            path(0, remote=IPv4Address(f"192.0.2.{end}"), encapsulation=each, transmit=end != 3)
            for end, each in ends.items()
        ])
    )  # fmt: skip
    inner = tcp(1200)
    outcome = agent.run(LINK, frame(inner))
    assert outcome.verdict == REDIRECTED
    inner.ttl -= 1
    assert after_ethernet(outcome.packet) == bytes(tunnelled(inner, Encapsulation.IP_IN_IP))
    assert outcome.counted == {"encapsulated_packets": 2, "encapsulated_octets": 2 * 1240}
    # The flow is one.
    (record,) = [each for each in agent.plane.flows() if each.packet.remote_port == 80]
    assert (record.bid, record.verdict) == (0, "forward")


def test_only_paths_without_a_bid_get_copies(agent):
    agent.plane.program(node([path(1), path(2), path(3)]))
    assert agent.run(LINK, frame(down())).counted["encapsulated_packets"] == 1


@pytest.mark.rfc("2784", "2.1", "GR-1")
def test_gre_is_read_as_gre_by_scapy(agent):
    agent.plane.program(node([path(1, encapsulation=Encapsulation.GRE)]))
    packet = IP(after_ethernet(agent.run(LINK, frame(down())).packet))
    assert packet[GRE].proto == 0x0800
    assert packet[GRE].payload[UDP].dport == 40000
