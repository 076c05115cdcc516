"""Every reason for which a packet is refused, reached by a packet and counted under its name."""

from ipaddress import IPv4Address

import pytest
from msgspec import Struct, structs
from scapy.layers.inet import GRE, IP, UDP
from scapy.packet import Raw

from flowbind.dataplane.ebpf.layout import COUNTERS
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import NodeForwarding
from tests.bpf.conftest import DROPPED, REDIRECTED, UNTOUCHED
from tests.bpf.packets import CARE_OF, down, frame, minimal, tcp, to_agent, tunnelled, up
from tests.dataplane.kernel import run
from tests.dataplane.nodes import AGENT, HOME, OTHER_HOME, drop, node, path

pytestmark = pytest.mark.root

PLAIN = node([path(1)])
MOBILE = node([structs.replace(path(1), local=IPv4Address(CARE_OF), remote=AGENT)])
OVER_GRE = node([path(1, encapsulation=Encapsulation.GRE)])
GRE_TUNNEL = Encapsulation.GRE
AGENT_LINK, MOBILE_LINK = "home_agent_link", "mobile_node_link"


def over_gre(**header):
    outer = IP(src=CARE_OF, dst=str(AGENT), proto=47, flags="DF", id=0)
    return outer / GRE(**({"proto": 0x0800} | header)) / up()


def with_raw(outer_protocol, octets):
    return IP(src=CARE_OF, dst=str(AGENT), proto=outer_protocol) / Raw(octets)


class Case(Struct):
    """A packet that must be refused: for which reason, where, and with what programmed."""

    reason: str
    program: str
    programmed: NodeForwarding | None
    packet: IP
    gso_size: int = 0


CASES = [
    Case("drop_by_rule", AGENT_LINK, node([path(1)], [drop()]), down()),
    Case("drop_no_path", AGENT_LINK, node([path(1, transmit=False)]), down()),
    Case("drop_no_path", AGENT_LINK, node(), down()),
    # RFC 2003 3.2: from the far end of the very tunnel, and a tunnel within a tunnel.
    Case("drop_loop", AGENT_LINK, PLAIN, down(src=CARE_OF)),
    Case("drop_loop", AGENT_LINK, node([path(1, remote=OTHER_HOME)]), down()),
    Case("drop_encapsulation_failed", AGENT_LINK, PLAIN, down(), gso_size=100),
    Case(
        "drop_no_route",
        AGENT_LINK,
        node([path(1, remote=IPv4Address("100.64.0.1"))]),
        down(),
    ),
    Case("drop_no_route", AGENT_LINK, node([path(1, interface="small0")]), down()),
    Case("drop_care_of_address_unknown", AGENT_LINK, PLAIN, to_agent(up(), src="192.0.2.9")),
    Case("drop_care_of_address_unknown", AGENT_LINK, node(), to_agent(up())),
    Case(
        "drop_care_of_address_unknown",
        MOBILE_LINK,
        MOBILE,
        tunnelled(down(), Encapsulation.IP_IN_IP, dst="192.0.2.9"),
    ),
    Case(
        "drop_udp_tunnel_unknown",
        AGENT_LINK,
        PLAIN,
        IP(src=CARE_OF, dst=str(AGENT)) / UDP(sport=9, dport=434) / Raw(b"\x04\x04\0\0") / up(),
    ),
    Case("drop_inner_address", AGENT_LINK, PLAIN, to_agent(up(src=str(OTHER_HOME)))),
    Case(
        "drop_inner_address",
        MOBILE_LINK,
        MOBILE,
        tunnelled(down(dst=str(OTHER_HOME)), Encapsulation.IP_IN_IP),
    ),
    Case(
        "drop_no_binding",
        MOBILE_LINK,
        None,
        tunnelled(down(), Encapsulation.IP_IN_IP),
    ),
    Case("drop_encapsulation_mismatch", AGENT_LINK, PLAIN, to_agent(up(), GRE_TUNNEL)),
    Case("drop_encapsulation_mismatch", AGENT_LINK, OVER_GRE, to_agent(up())),
    Case("drop_encapsulation_mismatch", MOBILE_LINK, MOBILE, tunnelled(down(), GRE_TUNNEL)),
    Case("drop_malformed", AGENT_LINK, PLAIN, to_agent(up(), chksum=0x1234)),
    Case("drop_malformed", AGENT_LINK, PLAIN, to_agent(up(ttl=0))),
    Case("drop_malformed", AGENT_LINK, PLAIN, to_agent(up(version=6))),
    Case("drop_malformed", AGENT_LINK, PLAIN, to_agent(up(ihl=4))),
    Case("drop_malformed", AGENT_LINK, PLAIN, to_agent(up(len=9999))),
    Case("drop_malformed", AGENT_LINK, PLAIN, to_agent(up(len=19))),
    Case("drop_malformed", AGENT_LINK, PLAIN, to_agent(up(), len=40)),
    Case("drop_malformed", AGENT_LINK, PLAIN, with_raw(4, bytes(up())[:19])),
    Case("drop_malformed", AGENT_LINK, PLAIN, with_raw(4, b"")),
    Case("drop_malformed", AGENT_LINK, OVER_GRE, with_raw(47, b"\x00\x00\x08")),
    Case("drop_malformed", MOBILE_LINK, MOBILE, tunnelled(down(ttl=0), Encapsulation.IP_IN_IP)),
    Case("drop_gre_unsupported", AGENT_LINK, OVER_GRE, over_gre(routing_present=1)),
    Case("drop_gre_unsupported", AGENT_LINK, OVER_GRE, over_gre(strict_route_source=1)),
    Case("drop_gre_key", AGENT_LINK, OVER_GRE, over_gre(key_present=1, key=1)),
    Case("drop_gre_checksum", AGENT_LINK, OVER_GRE, over_gre(chksum_present=1, chksum=1)),
    Case(
        "drop_gre_out_of_sequence",
        AGENT_LINK,
        OVER_GRE,
        over_gre(seqnum_present=1, sequence_number=0xFFFFFFFF),
    ),
    Case("drop_gre_unsupported", AGENT_LINK, OVER_GRE, over_gre(version=1)),
    Case("drop_gre_unsupported", AGENT_LINK, OVER_GRE, over_gre(proto=0x86DD)),
    Case(
        "drop_minimal_checksum",
        AGENT_LINK,
        node([path(1, encapsulation=Encapsulation.MINIMAL)]),
        minimal(up(), CARE_OF, str(AGENT), chksum=1),
    ),
    Case("drop_decapsulation_failed", AGENT_LINK, PLAIN, to_agent(up()), gso_size=100),
    Case("drop_congestion_mark", AGENT_LINK, PLAIN, to_agent(up(tos=0xB8), tos=3)),
    Case(
        "drop_congestion_mark",
        MOBILE_LINK,
        MOBILE,
        tunnelled(tcp(), Encapsulation.IP_IN_IP, tos=3),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.program}-{case.reason}")
def test_a_packet_is_refused_for_its_reason(agent, mobile, case):
    programs = agent if case.program == AGENT_LINK else mobile
    if case.programmed:
        programs.plane.program(case.programmed)
    outcome = programs.run(case.program, frame(case.packet), gso_size=case.gso_size)
    assert outcome.verdict == DROPPED
    dropped = {name for name in outcome.counted if name.startswith("drop_")}
    assert dropped == {case.reason}
    assert outcome.counted[case.reason] == 1


def test_every_reason_is_reached():
    reasons = {name for name in COUNTERS if name.startswith("drop_")}
    assert {case.reason for case in CASES} == reasons - {"drop_too_big"}


@pytest.mark.parametrize("where", [{}, {"interface": "small0"}])
def test_a_link_that_takes_less_is_heeded(agent, where):
    """Left to the stack, until a link takes less than it did when the node was programmed."""
    too_big = frame(down(UDP() / Raw(bytes(1400 - 20 - 28 + 1))))
    agent.plane.program(node([path(1, remote=IPv4Address("192.0.3.1"), **where)]))
    assert agent.run(AGENT_LINK, too_big).verdict == UNTOUCHED
    run("ip", "link", "set", "small0", "mtu", "1500")
    assert tuple(agent.plane.measure()) == (HOME,)
    assert agent.run(AGENT_LINK, too_big).verdict == REDIRECTED
    run("ip", "link", "set", "small0", "mtu", "1400")
    outcome = agent.run(AGENT_LINK, too_big)
    assert outcome.verdict == DROPPED
    assert outcome.counted["drop_too_big"] == 1


@pytest.mark.rfc("2784", "2.3", "GR-5")
def test_bits_of_gre_that_are_to_be_ignored_are_ignored(agent):
    """RFC 2784 2.3: bits 5 to 12 are reserved and ignored on receipt."""
    agent.plane.program(OVER_GRE)
    packet = bytearray(bytes(frame(over_gre())))
    packet[14 + 20 : 14 + 22] = b"\x07\xf8"
    assert agent.run(AGENT_LINK, bytes(packet)).counted["decapsulated_packets"] == 1
