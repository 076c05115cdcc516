"""Minimal encapsulation (RFC 2004): what only it does, at both ends."""

import pytest
from msgspec import structs
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.packet import Raw

from flowbind.daemon.tunnelled import tunnelled as by_daemon
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import overhead
from tests.bpf.conftest import DROPPED, REDIRECTED
from tests.bpf.packets import (
    CARE_OF,
    Forwarding,
    down,
    frame,
    minimal,
    tcp,
    to_agent,
    tunnelled,
    up,
)
from tests.dataplane.nodes import AGENT, HOME, node, path

pytestmark = pytest.mark.root

AGENT_LINK, MOBILE_LINK = "home_agent_link", "mobile_node_link"
MINIMAL, IPIP = Encapsulation.MINIMAL, Encapsulation.IP_IN_IP
HERE = path(1, encapsulation=MINIMAL)
THERE = structs.replace(HERE, local=HERE.remote, remote=AGENT, interface="wlan0")


def from_mobile(inner, **changes):
    return minimal(inner, CARE_OF, str(AGENT), **changes)


@pytest.mark.rfc("2004", "3", "ME-4", "ME-6", "ME-7")
@pytest.mark.parametrize("tos", range(0xB8, 0xBC))
@pytest.mark.parametrize("flags", [0, "DF"])
@pytest.mark.parametrize("ttl", [2, 64, 255])
def test_all_of_the_header_but_the_addresses_is_that_of_the_packet(agent, tos, flags, ttl):
    agent.plane.program(node([HERE]))
    inner = down(tos=tos, flags=flags, ttl=ttl, id=0xABCD)
    outcome = agent.run(AGENT_LINK, frame(inner))
    inner.ttl -= 1
    assert outcome.verdict == REDIRECTED
    assert outcome.packet[14:] == bytes(minimal(inner, str(AGENT), CARE_OF))
    assert len(outcome.packet) == len(frame(inner)) + 12


@pytest.mark.rfc("2004", "3", "ME-5")
def test_a_known_header():
    # Worked out by hand from the figure of RFC 2004 3.
    inner = down(TCP(), src="203.0.113.9", dst="10.0.0.2")
    header = bytes(minimal(inner, str(AGENT), CARE_OF))[20:32]
    assert header.hex() == "0680b3730a000002cb007109"
    assert by_daemon(HERE, bytes(inner))[20:32] == header


@pytest.mark.rfc("2004", "3", "ME-3")
def test_the_source_is_left_out_where_it_is_that_of_the_tunnel(agent, mobile):
    agent.plane.program(node([HERE]))
    mobile.plane.program(node([THERE]))
    inner = down(src=str(AGENT))
    outer = agent.run(AGENT_LINK, frame(inner)).packet
    inner.ttl -= 1
    assert outer[14:] == bytes(minimal(inner, str(AGENT), CARE_OF))
    assert len(outer) == len(frame(inner)) + 8
    outcome = mobile.run(MOBILE_LINK, outer)
    assert (outcome.verdict, outcome.packet[14:]) == (REDIRECTED, bytes(inner))


@pytest.mark.rfc("2004", "3", "ME-1")
@pytest.mark.parametrize("fragment", [{"flags": "MF"}, {"flags": 0, "frag": 100}])
def test_a_fragment_goes_by_ip_in_ip(agent, fragment):
    agent.plane.program(node([HERE]))
    inner = down(Raw(bytes(16)), proto=17, **fragment)
    outer = IP(agent.run(AGENT_LINK, frame(inner)).packet[14:])
    inner.ttl -= 1
    assert bytes(outer) == bytes(tunnelled(inner, MINIMAL, flags=0, id=outer.id))
    assert outer.proto == 4


@pytest.mark.rfc("2004", "3", "ME-8")
@pytest.mark.parametrize("inner", [up(), up(flags="MF"), up(options=[IPOption_NOP()] * 4)])
def test_ip_in_ip_is_taken_from_the_same_tunnel(agent, inner):
    agent.plane.program(node([HERE]))
    outcome = agent.run(AGENT_LINK, frame(to_agent(inner, IPIP)))
    assert (outcome.verdict, outcome.packet[14:]) == (REDIRECTED, bytes(inner))


@pytest.mark.rfc("2004", "3", "ME-8")
@pytest.mark.parametrize("encapsulation", [IPIP, Encapsulation.GRE])
def test_a_forwarding_header_is_taken_from_no_other_tunnel(agent, encapsulation):
    agent.plane.program(node([path(1, encapsulation=encapsulation)]))
    outcome = agent.run(AGENT_LINK, frame(from_mobile(up())))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {"drop_encapsulation_mismatch": 1})


@pytest.mark.rfc("2004", "3", "ME-7", "ME-9")
@pytest.mark.parametrize("reserved", [0, 1, 0x7F])
def test_what_comes_out_is_rebuilt_from_both_headers(agent, reserved):
    agent.plane.program(node([HERE]))
    inner = up(tcp().payload, tos=0xB9, ttl=17, id=0x1234, flags=0)
    outcome = agent.run(AGENT_LINK, frame(from_mobile(inner, reserved=reserved)))
    assert (outcome.verdict, outcome.packet[14:]) == (REDIRECTED, bytes(inner))
    assert outcome.counted == {
        "decapsulated_packets": 1,
        "decapsulated_octets": len(bytes(inner)),
    }


def test_padding_of_the_frame_is_not_counted(agent):
    agent.plane.program(node([HERE]))
    inner = up(UDP(sport=1, dport=2))
    outcome = agent.run(AGENT_LINK, bytes(frame(from_mobile(inner))) + bytes(6))
    assert outcome.counted["decapsulated_octets"] == 28
    assert IP(outcome.packet[14:]).len == 28


@pytest.mark.rfc("6040", "4.2")
def test_a_congestion_mark_on_the_way_is_one_of_the_packet(agent):
    agent.plane.program(node([HERE]))
    inner = up(tos=0xB8 | 3)
    outcome = agent.run(AGENT_LINK, frame(from_mobile(inner)))
    assert outcome.packet[14:] == bytes(inner)


def cut(packet, octets):
    return IP(src=CARE_OF, dst=str(AGENT), proto=55) / Raw(bytes(packet)[20 : 20 + octets])


@pytest.mark.rfc("2004", "3", "ME-10")
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (from_mobile(up(), chksum=0x1234), "drop_minimal_checksum"),
        (from_mobile(up(), chksum=0), "drop_minimal_checksum"),
        (cut(from_mobile(up()), 0), "drop_malformed"),
        (cut(from_mobile(up()), 7), "drop_malformed"),
        (cut(from_mobile(up()), 11), "drop_malformed"),
        (from_mobile(up(ttl=0)), "drop_malformed"),
        (from_mobile(up(src="10.9.0.6")), "drop_inner_address"),
        (from_mobile(up(src=CARE_OF)), "drop_inner_address"),
        (minimal(up(), "192.0.2.9", str(AGENT)), "drop_care_of_address_unknown"),
    ],
)
def test_what_the_home_agent_refuses(agent, packet, reason):
    agent.plane.program(node([HERE]))
    outcome = agent.run(AGENT_LINK, frame(packet))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {reason: 1})


def test_a_frame_that_ends_early_is_refused(agent):
    # The frame is padded, so its octets are there, but they are no part of the packet.
    agent.plane.program(node([HERE]))
    packet = from_mobile(up())
    packet.len = 31
    outcome = agent.run(AGENT_LINK, frame(packet))
    assert outcome.counted == {"drop_malformed": 1}


@pytest.mark.rfc("2004", "4", "ME-11")
def test_what_a_care_of_address_has_tunnelled_does_not_go_back(agent):
    agent.plane.program(node([HERE]))
    inner = down(Forwarding(proto=17, dst=str(HOME)) / Raw(bytes(8)), src=CARE_OF, proto=55)
    outcome = agent.run(AGENT_LINK, frame(inner))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {"drop_loop": 1})


def test_the_largest_packet_is_no_longer_than_by_ip_in_ip(agent):
    agent.plane.program(node([HERE]))
    assert overhead(HERE) == overhead(path(1))
    outcome = agent.run(AGENT_LINK, frame(down(UDP() / Raw(bytes(1448)))))
    assert len(outcome.packet) == 14 + 1488


@pytest.mark.parametrize("port", [0, 40000])
@pytest.mark.parametrize("inner", [down(), down(src=str(AGENT)), down(flags="MF")])
def test_the_daemon_builds_what_the_programs_build(agent, port, inner):
    ports = {"local_port": 434, "remote_port": port} if port else {}
    there = structs.replace(HERE, **ports)
    agent.plane.program(node([there]))
    written = IP(agent.run(AGENT_LINK, frame(inner)).packet[14:])
    inner.ttl -= 1
    own = IP(by_daemon(there, bytes(inner)))
    if inner.flags.MF:
        own.flags, own.id, own.chksum = 0, written.id, None
    assert bytes(written) == bytes(own)


def test_the_daemon_sends_options_by_ip_in_ip():
    inner = down(options=[IPOption_NOP()] * 4)
    assert by_daemon(HERE, bytes(inner)) == bytes(tunnelled(inner, IPIP))
