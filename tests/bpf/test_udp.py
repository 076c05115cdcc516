"""Tunnels in UDP (RFC 3519): what both ends write, take and refuse."""

import pytest
from msgspec import structs
from scapy.layers.inet import GRE, ICMP, IP, UDP
from scapy.packet import Raw

from flowbind.model.binding import Encapsulation
from tests.bpf.conftest import DROPPED, REDIRECTED, UNTOUCHED
from tests.bpf.packets import CARE_OF, down, frame, goes_whole, minimal, ping, reread, tcp, up
from tests.dataplane.nodes import AGENT, node, path

pytestmark = pytest.mark.root

EACH = pytest.mark.parametrize("encapsulation", Encapsulation)
AGENT_LINK, MOBILE_LINK = "home_agent_link", "mobile_node_link"
PORT = 40123
IPIP, IN_GRE, MINIMAL = Encapsulation


def agent_path(encapsulation=IPIP, **changes):
    ports = {"local_port": 434, "remote_port": PORT, "encapsulation": encapsulation}
    return structs.replace(path(1), **(ports | changes))


def mobile_path(encapsulation=IPIP, **changes):
    there = agent_path(encapsulation, **({"local_port": PORT, "remote_port": 434} | changes))
    return structs.replace(there, local=there.remote, remote=AGENT, interface="wlan0")


def data(inner, encapsulation=IPIP, *, kind=4, protocol=None):
    """What is behind the UDP header, with the Reserved field of somebody who does not know it."""
    number = {IPIP: 4, IN_GRE: 47}[encapsulation] if protocol is None else protocol
    inner = GRE(proto=0x0800) / inner if encapsulation is IN_GRE else inner
    return Raw(bytes((kind, number, 0, 0)) + bytes(inner))


def outer_of(inner, encapsulation, src, dst, ports):
    """The headers up to that of UDP, and what is behind: as the sender shall build them."""
    if encapsulation is Encapsulation.MINIMAL and not goes_whole(inner):
        outer = minimal(inner, src, dst)
        behind = data(outer.payload, protocol=55)
        outer.remove_payload()
        outer.proto, outer.len = 17, None
        return outer / UDP(**ports) / behind
    whole = IPIP if encapsulation is Encapsulation.MINIMAL else encapsulation
    tos = IP(bytes(inner)).tos & 0xFC if len(bytes(inner)) >= 20 else 0
    return IP(src=src, dst=dst, flags="DF", id=0, tos=tos) / UDP(**ports) / data(inner, whole)


def to_agent(inner, encapsulation=IPIP, *, udp=None, src=CARE_OF):
    ports = {"sport": PORT, "dport": 434, "chksum": 0} | (udp or {})
    return outer_of(inner, encapsulation, src, str(AGENT), ports)


def to_mobile(inner, encapsulation=IPIP):
    ports = {"sport": 434, "dport": PORT, "chksum": 0}
    return outer_of(inner, encapsulation, str(AGENT), CARE_OF, ports)


@pytest.mark.rfc("3519", "3.3", "UT-E-4")
@pytest.mark.rfc("3519", "4.6", "UT-HA-2")
@EACH
@pytest.mark.parametrize("inner", [down(), down(tcp().payload, tos=0xB9), down(flags=0)])
def test_the_home_agent_writes_udp_and_tunnel_data(agent, encapsulation, inner):
    agent.plane.program(node([agent_path(encapsulation)]))
    outcome = agent.run(AGENT_LINK, frame(inner))
    inner.ttl -= 1
    assert outcome.verdict == REDIRECTED
    written = reread(outcome.packet)[IP]
    assert (written[UDP].sport, written[UDP].dport, written[UDP].chksum) == (434, PORT, 0)
    assert written[UDP].len == written.len - 20
    expected = IP(bytes(to_mobile(inner, encapsulation)))
    if not inner.flags.DF and encapsulation is not Encapsulation.MINIMAL:
        expected.flags, expected.id, expected.chksum = 0, written.id, None
    assert outcome.packet[14:] == bytes(expected)


@pytest.mark.rfc("3519", "4.3", "UT-HA-6")
@EACH
@pytest.mark.parametrize("inner", [up(), up(tcp().payload, flags=0), up(ttl=1)])
def test_both_ends_give_back_the_same_octets(agent, mobile, encapsulation, inner):
    agent.plane.program(node([path(2), agent_path(encapsulation)]))
    outcome = agent.run(AGENT_LINK, frame(to_agent(inner, encapsulation)))
    assert (outcome.verdict, outcome.packet[14:]) == (REDIRECTED, bytes(inner))
    mobile.plane.program(node([mobile_path(encapsulation)]))
    outcome = mobile.run(MOBILE_LINK, frame(to_mobile(down(), encapsulation)))
    assert (outcome.verdict, outcome.packet[14:]) == (REDIRECTED, bytes(down()))


@pytest.mark.rfc("3519", "4.9", "UT-HA-8")
@EACH
def test_a_keepalive_is_answered_to_its_port(agent, encapsulation):
    agent.plane.program(node([agent_path(encapsulation)]))
    outcome = agent.run(AGENT_LINK, frame(to_agent(ping(), encapsulation, udp={"chksum": None})))
    assert (outcome.verdict, outcome.counted) == (REDIRECTED, {"echo_answered": 1})
    answer = reread(outcome.packet)[IP]
    assert (answer.src, answer.dst) == (str(AGENT), CARE_OF)
    assert (answer[UDP].sport, answer[UDP].dport, answer[UDP].chksum) == (434, PORT, 0)
    reply = ping()
    reply.src, reply.dst, reply[ICMP].type = reply.dst, reply.src, 0
    assert outcome.packet[14:] == bytes(to_mobile(reply, encapsulation))


@pytest.mark.rfc("3519", "4.3", "UT-HA-6")
@pytest.mark.parametrize(
    ("programmed", "packet", "reason"),
    [
        (agent_path(), to_agent(up(), udp={"sport": PORT + 1}), "drop_udp_tunnel_unknown"),
        (agent_path(), to_agent(up(), src="192.0.2.9"), "drop_udp_tunnel_unknown"),
        (path(1), to_agent(up()), "drop_udp_tunnel_unknown"),
        (agent_path(), to_agent(up(src="10.9.0.6")), "drop_inner_address"),
        (agent_path(), IP(src=CARE_OF, dst=str(AGENT), proto=4) / up(),
         "drop_care_of_address_unknown"),
        (agent_path(IN_GRE), to_agent(up()), "drop_encapsulation_mismatch"),
        (agent_path(), to_agent(up(), IN_GRE), "drop_encapsulation_mismatch"),
        (agent_path(), IP(src=CARE_OF, dst=str(AGENT)) / UDP(sport=PORT, dport=434)
         / data(up(), protocol=41), "drop_encapsulation_mismatch"),
        (agent_path(), to_agent(up(), MINIMAL), "drop_encapsulation_mismatch"),
        (agent_path(MINIMAL), to_agent(up(), IN_GRE), "drop_encapsulation_mismatch"),
        (agent_path(MINIMAL), to_agent(up(), MINIMAL, udp={"len": 8 + 4 + 11}), "drop_malformed"),
        (agent_path(), to_agent(up(), udp={"len": 9999}), "drop_malformed"),
        (agent_path(), to_agent(up(), udp={"len": 30}), "drop_malformed"),
        (agent_path(), to_agent(up(ttl=0)), "drop_malformed"),
        (agent_path(), to_agent(Raw(b"")), "drop_malformed"),
    ],
)  # fmt: skip
def test_what_the_home_agent_refuses(agent, programmed, packet, reason):
    agent.plane.program(node([programmed]))
    outcome = agent.run(AGENT_LINK, frame(packet))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {reason: 1})


def test_the_mobile_node_refuses_another_port(mobile):
    mobile.plane.program(node([mobile_path()]))
    packet = to_mobile(down())
    packet[UDP].dport = PORT + 1
    outcome = mobile.run(MOBILE_LINK, frame(packet))
    assert (outcome.verdict, outcome.counted) == (DROPPED, {"drop_udp_tunnel_unknown": 1})


@pytest.mark.rfc("3519", "4.2", "UT-E-5")
@pytest.mark.parametrize("kind", [1, 3, 7, 15, 22])
def test_messages_are_left_to_the_daemons(agent, mobile, kind):
    agent.plane.program(node([agent_path()]))
    mobile.plane.program(node([mobile_path()]))
    for programs, program, source, target, ports in (
        (agent, AGENT_LINK, CARE_OF, str(AGENT), (PORT, 434)),
        (mobile, MOBILE_LINK, str(AGENT), CARE_OF, (434, PORT)),
    ):
        udp = UDP(sport=ports[0], dport=ports[1])
        packet = frame(IP(src=source, dst=target) / udp / data(up(), kind=kind))
        outcome = programs.run(program, packet)
        assert (outcome.verdict, outcome.counted) == (UNTOUCHED, {})


def test_data_to_and_from_another_port_is_somebody_elses(agent, mobile):
    agent.plane.program(node([agent_path()]))
    mobile.plane.program(node([mobile_path()]))
    elsewhere = to_agent(up(), udp={"dport": 435})
    assert agent.run(AGENT_LINK, frame(elsewhere)).verdict == UNTOUCHED
    packet = to_mobile(down())
    packet[UDP].sport = 435
    assert mobile.run(MOBILE_LINK, frame(packet)).verdict == UNTOUCHED


@pytest.mark.rfc("3519", "4.7", "UT-HA-9")
def test_paths_behind_one_translator_are_told_apart_by_port(agent):
    first, second = agent_path(), agent_path(IN_GRE, bid=2, remote_port=PORT + 1)
    agent.plane.program(node([first, second]))
    outcome = agent.run(AGENT_LINK, frame(to_agent(up(), IN_GRE, udp={"sport": PORT + 1})))
    assert outcome.verdict == REDIRECTED


def test_somebody_else_behind_the_translator_may_speak_to_the_node(agent):
    # To a tunnel without UDP that would be its own far end, a loop (RFC 2003 3.2).
    agent.plane.program(node([agent_path()]))
    assert agent.run(AGENT_LINK, frame(down(src=CARE_OF))).verdict == REDIRECTED


def test_before_the_answer_both_kinds_are_taken(mobile):
    mobile.plane.program(node([mobile_path(transmit=False)]))
    plain = IP(src=str(AGENT), dst=CARE_OF, proto=4) / down()
    assert mobile.run(MOBILE_LINK, frame(plain)).verdict == REDIRECTED
    assert mobile.run(MOBILE_LINK, frame(to_mobile(down()))).verdict == REDIRECTED
    mobile.plane.program(node([mobile_path()]))
    outcome = mobile.run(MOBILE_LINK, frame(plain))
    assert outcome.counted == {"drop_care_of_address_unknown": 1}
