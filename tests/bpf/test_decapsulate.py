"""Out of the tunnels, at both ends; and the keepalives that a home agent answers."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP
from scapy.packet import Raw

from flowbind.dataplane.ebpf import layout
from flowbind.model.binding import Encapsulation
from tests.bpf.conftest import DROPPED, REDIRECTED, UNTOUCHED
from tests.bpf.packets import CARE_OF, down, frame, ping, tcp, to_agent, tunnelled, up
from tests.dataplane.nodes import AGENT, CORRESPONDENT, node, path

pytestmark = pytest.mark.root

EACH = pytest.mark.parametrize("encapsulation", Encapsulation)
NONE = str(IPv4Address(0))
AGENT_LINK, MOBILE_LINK = "home_agent_link", "mobile_node_link"
INNER = [
    up(),
    up(tcp().payload, flags=0),
    up(UDP() / Raw(bytes(1448))),
    up(options=[IPOption_NOP()] * 4),
    up(Raw(bytes(16)), flags=0, frag=100, proto=17),
    up(tos=0xB9),
    up(ttl=1),
]


@pytest.mark.rfc("3024", "4.3.2")
@pytest.mark.rfc("5944", "4.2.3", "FW-10")
@EACH
@pytest.mark.parametrize("inner", INNER)
def test_the_home_agent_gives_back_the_same_octets(agent, encapsulation, inner):
    agent.plane.program(node([path(2), path(1, encapsulation=encapsulation)]))
    outcome = agent.run(AGENT_LINK, frame(to_agent(inner, encapsulation, flags=0, id=9, ttl=3)))
    assert outcome.verdict == REDIRECTED
    assert outcome.packet[14:] == bytes(inner)
    assert outcome.counted == {
        "decapsulated_packets": 1,
        "decapsulated_octets": len(bytes(inner)),
    }


def mobile_path(encapsulation=Encapsulation.IP_IN_IP):
    there = path(1, encapsulation=encapsulation)
    return structs.replace(there, local=there.remote, remote=AGENT, interface="wlan0")


@pytest.mark.rfc("5944", "4.1", "FW-2")
@EACH
def test_the_mobile_node_gives_back_the_same_octets(mobile, encapsulation):
    mobile.plane.program(node([mobile_path(encapsulation)]))
    outcome = mobile.run(MOBILE_LINK, frame(tunnelled(down(), encapsulation)))
    assert outcome.verdict == REDIRECTED
    assert outcome.packet[14:] == bytes(down())


@EACH
def test_what_one_end_encapsulates_the_other_gives_back(agent, mobile, encapsulation):
    agent.plane.program(node([path(1, encapsulation=encapsulation)]))
    mobile.plane.program(node([mobile_path(encapsulation)]))
    inner = down(tos=0xBA)
    outer = agent.run(AGENT_LINK, frame(inner)).packet
    outcome = mobile.run(MOBILE_LINK, bytes(frame(Raw(outer[14:]))))
    inner.ttl -= 1
    assert outcome.packet[14:] == bytes(inner)


def test_a_path_that_sends_nothing_still_takes(agent):
    agent.plane.program(node([path(1, transmit=False)]))
    assert agent.run(AGENT_LINK, frame(to_agent(up()))).verdict == REDIRECTED


def test_padding_of_the_outer_frame_is_not_counted(agent):
    agent.plane.program(node([path(1)]))
    inner = up(UDP(sport=1, dport=2))
    outcome = agent.run(AGENT_LINK, bytes(frame(to_agent(inner))) + bytes(6))
    assert outcome.counted["decapsulated_octets"] == 28


@pytest.mark.rfc("6040", "4.2")
@pytest.mark.parametrize(
    ("outer", "inner", "after"),
    [
        (0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 3),
        (2, 0, 0), (2, 1, 1), (2, 2, 2), (2, 3, 3),
        (1, 0, 0), (1, 1, 1), (1, 3, 3),
        (3, 1, 3), (3, 2, 3), (3, 3, 3),
    ],
)  # fmt: skip
def test_a_congestion_mark_moves_to_the_inner_header(agent, outer, inner, after):
    agent.plane.program(node([path(1)]))
    packet = up(tos=0xB8 | inner)
    outcome = agent.run(AGENT_LINK, frame(to_agent(packet, tos=outer)))
    packet.tos = 0xB8 | after
    assert outcome.verdict == REDIRECTED
    assert outcome.packet[14:] == bytes(packet)


@pytest.mark.parametrize(
    "packet",
    [
        up(),
        up(UDP(sport=434, dport=434), src=CARE_OF, dst=str(AGENT)),
        IP(src=CARE_OF, dst=str(AGENT), proto=4, flags="MF") / up(),
        IP(src=CARE_OF, dst=str(AGENT), proto=4, frag=1) / up(),
        IP(src=CARE_OF, dst=str(AGENT), proto=41) / up(),
        to_agent(up(), dst="198.51.100.2"),
        to_agent(up(), options=[IPOption_NOP()] * 4),
    ],
    ids=["plain", "signalling", "first fragment", "fragment", "protocol", "host", "options"],
)
def test_the_home_agent_takes_only_its_own_tunnels(agent, packet):
    agent.plane.program(node([path(1)]))
    outcome = agent.run(AGENT_LINK, frame(packet))
    assert (outcome.verdict, outcome.packet) == (UNTOUCHED, bytes(frame(packet)))
    assert outcome.counted == {}


@pytest.mark.parametrize(
    "packet",
    [
        down(),
        down(UDP(sport=434, dport=434), src=str(AGENT), dst=CARE_OF),
        tunnelled(down(), Encapsulation.IP_IN_IP, src="198.51.100.2"),
        tunnelled(down(), Encapsulation.IP_IN_IP, flags="MF"),
    ],
    ids=["plain", "signalling", "another's tunnel", "fragment"],
)
def test_the_mobile_node_takes_only_tunnels_of_its_home_agent(mobile, packet):
    mobile.plane.program(node([mobile_path()]))
    outcome = mobile.run(MOBILE_LINK, frame(packet))
    assert (outcome.verdict, outcome.packet) == (UNTOUCHED, bytes(frame(packet)))
    assert outcome.counted == {}


@pytest.fixture
def asking(mobile):
    """A mobile node that asked for broadcasts, once that is set, with or without its network's."""
    plane = mobile.plane
    before = plane._maps["settings_map"].lookup(bytes(4))

    def ask(home_broadcast=NONE, *, broadcasts=True):
        settings = layout.SettingsValue.from_buffer_copy(before)
        settings.broadcasts = broadcasts
        settings.home_broadcast = layout.octets(IPv4Address(home_broadcast))
        plane._maps["settings_map"].update(bytes(4), bytes(settings))
        return mobile

    plane.program(node([mobile_path()]))
    yield ask
    plane._maps["settings_map"].update(bytes(4), before)


@pytest.mark.rfc("5944", "4.3", "FW-14")
@EACH
@pytest.mark.parametrize("source", ["10.9.0.77", NONE])
def test_a_broadcast_comes_out_of_a_tunnel_where_it_was_asked_for(asking, encapsulation, source):
    mobile = asking("10.9.0.255")
    mobile.plane.program(node([mobile_path(encapsulation=encapsulation)]))
    for to in ("255.255.255.255", "10.9.0.255"):
        inner = down(src=source, dst=to, ttl=1)
        outcome = mobile.run(MOBILE_LINK, frame(tunnelled(inner, encapsulation)))
        assert (outcome.verdict, outcome.packet[14:]) == (REDIRECTED, bytes(inner))


@pytest.mark.parametrize(
    ("to", "home_broadcast", "broadcasts"),
    [
        ("255.255.255.255", "10.9.0.255", False),
        ("10.9.0.255", "10.9.0.255", False),
        ("10.9.0.255", NONE, True),
        (NONE, NONE, True),
        ("10.9.0.254", "10.9.0.255", True),
        ("224.0.0.251", "10.9.0.255", True),
    ],
)
def test_no_other_broadcast_comes_out_of_a_tunnel(asking, to, home_broadcast, broadcasts):
    mobile = asking(home_broadcast, broadcasts=broadcasts)
    inner = down(src="10.9.0.77", dst=to)
    outcome = mobile.run(MOBILE_LINK, frame(tunnelled(inner, Encapsulation.IP_IN_IP)))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {"drop_inner_address": 1})


def test_a_broadcast_is_taken_from_a_path_of_the_node_alone(asking):
    mobile = asking()
    inner = down(src="10.9.0.77", dst="255.255.255.255")
    stray = tunnelled(inner, Encapsulation.IP_IN_IP, dst="192.0.2.9")
    outcome = mobile.run(MOBILE_LINK, frame(stray))
    assert outcome.counted == {"drop_care_of_address_unknown": 1}
    mobile.plane.reconcile([])
    outcome = mobile.run(MOBILE_LINK, frame(tunnelled(inner, Encapsulation.IP_IN_IP)))
    assert outcome.counted == {"drop_no_binding": 1}


@EACH
@pytest.mark.parametrize("transmit", [True, False])
def test_a_keepalive_is_answered_on_the_path_it_came_by(agent, encapsulation, transmit):
    paths = [path(2), path(1, encapsulation=encapsulation, transmit=transmit), path(3)]
    agent.plane.program(node(paths))
    outcome = agent.run(AGENT_LINK, frame(to_agent(ping(), encapsulation)))
    answer = ping()
    answer.src, answer.dst, answer.ttl = answer.dst, answer.src, 64
    answer[ICMP].type = 0
    assert outcome.verdict == REDIRECTED
    assert outcome.packet[14:] == bytes(tunnelled(answer, encapsulation))
    assert outcome.counted == {"echo_answered": 1}


@pytest.mark.parametrize("sequence", [0, 1, 0x7FFF, 0xFFFE, 0xFFFF])
@pytest.mark.parametrize("payload", [b"", b"a", bytes(56), b"\xff" * 64])
def test_the_checksum_of_an_answer_is_right(agent, sequence, payload):
    agent.plane.program(node([path(1)]))
    request = up(ICMP(id=0xF7FF, seq=sequence) / Raw(payload), dst=str(AGENT))
    answer = IP(agent.run(AGENT_LINK, frame(to_agent(request))).packet[14:])[ICMP]
    checksum, answer.chksum = answer.chksum, None
    assert ICMP(bytes(answer)).chksum == checksum
    assert (answer.type, answer.id, answer.seq) == (0, 0xF7FF, sequence)


@pytest.mark.parametrize(
    "packet",
    [
        up(ICMP(type=0), dst=str(AGENT)),
        up(ICMP(type=8, code=1), dst=str(AGENT)),
        up(ICMP(), dst=str(CORRESPONDENT)),
        up(ICMP(), dst=str(AGENT), flags="MF"),
        up(ICMP(), dst=str(AGENT), options=[IPOption_NOP()] * 4),
        up(ICMP(), dst=str(AGENT), chksum=0x1234),
        up(Raw(b"\x08\x00"), dst=str(AGENT), proto=1),
        up(UDP(), dst=str(AGENT)),
    ],
    ids=["reply", "code", "elsewhere", "fragment", "options", "broken", "short", "udp"],
)
def test_nothing_else_is_answered(agent, packet):
    agent.plane.program(node([path(1)]))
    outcome = agent.run(AGENT_LINK, frame(to_agent(packet)))
    assert outcome.packet[14:] == bytes(packet)
    assert outcome.counted == {
        "decapsulated_packets": 1,
        "decapsulated_octets": len(bytes(packet)),
    }
