"""GRE with checksum, key and sequence number (RFC 2784, RFC 2890, RFC 6245), at both ends."""

import pytest
from msgspec import structs
from scapy.layers.inet import GRE, IP, UDP
from scapy.packet import Raw

from flowbind.daemon.tunnelled import tunnelled as by_daemon
from flowbind.model.binding import Encapsulation, GreKeys
from tests.bpf.conftest import DROPPED, REDIRECTED
from tests.bpf.packets import CARE_OF, down, frame, ping, tcp, up
from tests.dataplane.nodes import AGENT, node, path

pytestmark = pytest.mark.root

AGENT_LINK, MOBILE_LINK = "home_agent_link", "mobile_node_link"
PLAIN = path(1, encapsulation=Encapsulation.GRE)
KEYS = GreKeys(0xDEADBEEF, 7)
KEYED = structs.replace(PLAIN, gre_keys=KEYS)
KINDS = pytest.mark.parametrize("keys", [None, KEYS, GreKeys(0, 0xFFFFFFFF)])


@pytest.fixture
def agent(agent):
    """A home agent that has seen no numbered packet yet."""
    sequences = agent.plane._maps["sequences_map"]
    for key in [key for key, _value in sequences.items()]:
        sequences.delete(key)
    return agent


def header(key=None, number=None, *, checksum=False, **fields):
    """A GRE header; its checksum is scapy's."""
    if key is not None:
        fields |= {"key_present": 1, "key": key}
    if number is not None:
        fields |= {"seqnum_present": 1, "sequence_number": number}
    return GRE(**({"proto": 0x0800, "chksum_present": int(checksum)} | fields))


def to_agent(inner, *arguments, port=0, **fields):
    outer = IP(src=CARE_OF, dst=str(AGENT), flags="DF", id=0)
    inside = header(*arguments, **fields) / inner
    if not port:
        outer.proto = 47
        return outer / inside
    udp = UDP(sport=port, dport=434, chksum=0)
    return outer / udp / Raw(bytes((4, 47, 0, 0)) + bytes(inside))


def from_agent(inner, *arguments, **fields):
    outer = IP(src=str(AGENT), dst=CARE_OF, flags="DF", id=0, tos=inner.tos & 0xFC, proto=47)
    return outer / header(*arguments, **fields) / inner


def taken(agent, packet, inner=None):
    outcome = agent.run(AGENT_LINK, frame(packet))
    if outcome.verdict == REDIRECTED:
        assert outcome.packet[14:] == bytes(inner or up())
        return "taken"
    assert outcome.verdict == DROPPED
    ((reason, _count),) = outcome.counted.items()
    return reason


# ---- key


@pytest.mark.rfc("2890", "2.1", "GK-1")
@pytest.mark.rfc("6245", "5", "GX-8")
@KINDS
def test_packets_are_sent_with_the_key_to_send(agent, keys):
    agent.plane.program(node([structs.replace(PLAIN, gre_keys=keys)]))
    inner = down(tos=0xB9)
    outcome = agent.run(AGENT_LINK, frame(inner))
    inner.ttl -= 1
    assert outcome.verdict == REDIRECTED
    expected = from_agent(inner, keys.send if keys else None)
    assert outcome.packet[14:] == bytes(expected)


@pytest.mark.rfc("2890", "2.1", "GK-2")
@pytest.mark.rfc("6245", "5", "GX-8")
@pytest.mark.parametrize("inner", [up(), up(tcp().payload, flags=0), up(flags="MF")])
def test_only_the_key_to_receive_is_taken(agent, inner):
    agent.plane.program(node([KEYED]))
    assert taken(agent, to_agent(inner, 7), inner) == "taken"
    for wrong in (8, 0xDEADBEEF, 0x07000000, 0, None):
        assert taken(agent, to_agent(inner, wrong)) == "drop_gre_key"
    agent.plane.program(node([PLAIN]))
    assert taken(agent, to_agent(inner, 0)) == "drop_gre_key"


def test_before_the_answer_any_key_is_taken_and_none(agent):
    waiting = structs.replace(KEYED, gre_keys=GreKeys(0, 0), transmit=False)
    agent.plane.program(node([waiting]))
    for key in (7, 0, None):
        assert taken(agent, to_agent(up(), key)) == "taken"


@pytest.mark.parametrize("port", [0, 40123])
def test_a_keepalive_is_answered_with_the_key_to_send(agent, port):
    ports = {"local_port": 434, "remote_port": port} if port else {}
    agent.plane.program(node([structs.replace(KEYED, **ports)]))
    outcome = agent.run(AGENT_LINK, frame(to_agent(ping(), 7, port=port)))
    assert outcome.counted == {"echo_answered": 1}
    octets = outcome.packet[14 + 20 + (12 if port else 0) :]
    assert octets[:8].hex() == "20000800deadbeef"
    assert (IP(octets[8:]).src, IP(octets[8:]).proto) == (str(AGENT), 1)


@KINDS
def test_the_daemon_builds_what_the_programs_build(agent, keys):
    there = structs.replace(PLAIN, gre_keys=keys)
    agent.plane.program(node([there]))
    inner = down()
    written = agent.run(AGENT_LINK, frame(inner)).packet[14:]
    inner.ttl -= 1
    assert by_daemon(there, bytes(inner)) == written


# ---- checksum


@pytest.mark.rfc("2784", "2.2", "GR-2")
@pytest.mark.rfc("2784", "2.5", "GR-3")
@pytest.mark.parametrize("octets", [0, 1, 2, 451, 479, 480, 481, 511, 512, 1024, 1400, 1401])
def test_a_right_checksum_is_taken_and_a_wrong_one_is_not(agent, octets):
    agent.plane.program(node([PLAIN]))
    inner = up(UDP(sport=1, dport=2) / Raw((bytes(range(256)) * 6)[:octets]))
    packet = bytes(to_agent(inner, checksum=True))
    assert taken(agent, IP(packet), inner) == "taken"
    for at in (24, 25, 26, 39, len(packet) - 1):
        broken = bytearray(packet)
        broken[at] ^= 0x11
        assert taken(agent, IP(bytes(broken))) in {"drop_gre_checksum", "drop_malformed"}


@pytest.mark.rfc("2784", "2.6", "GR-4")
def test_the_reserved_half_of_the_checksum_counts_and_means_nothing(agent):
    agent.plane.program(node([PLAIN]))
    packet = to_agent(up(), checksum=True)
    packet[GRE].offset = 0x1234
    assert taken(agent, IP(bytes(packet))) == "taken"


def test_padding_of_the_frame_is_not_summed_up(agent):
    agent.plane.program(node([PLAIN]))
    inner = up(UDP(sport=1, dport=2))
    packet = bytes(frame(to_agent(inner, checksum=True))) + b"\xff" * 6
    assert agent.run(AGENT_LINK, packet).counted["decapsulated_packets"] == 1


@pytest.mark.parametrize("port", [0, 40123])
def test_all_options_at_once(agent, port):
    ports = {"local_port": 434, "remote_port": port} if port else {}
    agent.plane.program(node([structs.replace(KEYED, **ports)]))
    assert taken(agent, to_agent(up(), 7, 0, checksum=True, port=port)) == "taken"
    wrong = to_agent(up(), 7, 1, checksum=True, chksum=0x1234, port=port)
    assert taken(agent, wrong) == "drop_gre_checksum"


@pytest.mark.parametrize("flags", [0x8000, 0x2000, 0x1000, 0xB000])
def test_a_header_that_is_cut_off(agent, flags):
    agent.plane.program(node([KEYED]))
    for octets in range(4, 4 * (1 + bin(flags).count("1"))):
        data = flags.to_bytes(2, "big") + b"\x08\x00" + bytes(8)
        packet = IP(src=CARE_OF, dst=str(AGENT), proto=47) / Raw(data[:octets])
        assert taken(agent, packet) in {"drop_malformed", "drop_gre_key"}


# ---- sequence numbers


def numbers(agent, *wanted):
    return [taken(agent, to_agent(up(), 7, each)) == "taken" for each in wanted]


@pytest.mark.rfc("2890", "2.2", "GK-3")
@pytest.mark.parametrize("keys", [None, KEYS])
def test_what_is_sent_is_numbered_from_0(agent, keys):
    agent.plane.program(node([structs.replace(PLAIN, gre_keys=keys, gre_sequence=True)]))
    for number in range(3):
        inner = down()
        written = agent.run(AGENT_LINK, frame(inner)).packet[14:]
        inner.ttl -= 1
        assert written == bytes(from_agent(inner, keys.send if keys else None, number))


@pytest.mark.rfc("2890", "2.2", "GK-4", "GK-5")
def test_what_is_behind_is_taken_and_what_is_not_is_discarded(agent):
    agent.plane.program(node([KEYED]))
    assert numbers(agent, 0, 1, 1, 0, 5, 2, 4, 5, 6) == [
        True, True, False, False, True, False, False, False, True,
    ]  # fmt: skip
    assert numbers(agent, 6 + 0x80000000, 6 + 0x7FFFFFFF) == [True, False]
    # Those without a number come in between.
    assert taken(agent, to_agent(up(), 7)) == "taken"


@pytest.mark.rfc("2890", "2.2", "GK-4")
def test_numbers_go_around(agent):
    agent.plane.program(node([KEYED]))
    assert numbers(agent, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 0, 0xFFFFFFFF, 1) == [
        True, True, True, True, False, True,
    ]  # fmt: skip


@pytest.mark.rfc("2890", "2.2", "GK-6")
def test_each_key_has_numbers_of_its_own(agent):
    agent.plane.program(node([KEYED]))
    assert numbers(agent, 9) == [True]
    agent.plane.program(node([structs.replace(KEYED, gre_keys=GreKeys(1, 8))]))
    assert taken(agent, to_agent(up(), 8, 0)) == "taken"


def test_a_packet_that_is_refused_moves_no_number(agent):
    agent.plane.program(node([KEYED]))
    assert taken(agent, to_agent(up(src="10.9.0.6"), 7, 9)) == "drop_inner_address"
    assert taken(agent, to_agent(up(), 8, 9)) == "drop_gre_key"
    assert taken(agent, to_agent(up(), 7, 9, checksum=True, chksum=1)) == "drop_gre_checksum"
    assert numbers(agent, 0) == [True]


def test_numbers_outlast_the_paths_of_a_node(agent):
    numbered = structs.replace(KEYED, gre_sequence=True)
    agent.plane.program(node([numbered]))
    agent.run(AGENT_LINK, frame(down()))
    assert numbers(agent, 4) == [True]
    agent.plane.program(node([numbered, path(2)]))
    agent.plane.program(node([numbered]))
    assert numbers(agent, 4) == [False]
    assert agent.run(AGENT_LINK, frame(down())).packet[14 + 28 : 14 + 32] == b"\0\0\0\1"


@pytest.mark.rfc("2890", "2.2", "GK-7")
def test_after_a_silence_a_sender_may_begin_anew(agent):
    agent.plane.program(node([KEYED]))
    assert numbers(agent, 9, 0) == [True, False]
    sequences = agent.plane._maps["sequences_map"]
    ((key, value),) = list(sequences.items())
    sequences.update(key, bytes(8) + value[8:])
    assert numbers(agent, 0, 1, 1) == [True, True, False]


@pytest.mark.rfc("2784", "2.3", "GR-5")
@pytest.mark.rfc("2784", "2.4", "GR-6")
@pytest.mark.parametrize(
    "fields", [{"routing_present": 1}, {"strict_route_source": 1}, {"version": 1}, {"proto": 41}]
)
def test_what_is_no_gre_of_ours(agent, fields):
    agent.plane.program(node([PLAIN]))
    packet = IP(src=CARE_OF, dst=str(AGENT), proto=47) / GRE(**({"proto": 0x0800} | fields)) / up()
    assert taken(agent, packet) == "drop_gre_unsupported"
