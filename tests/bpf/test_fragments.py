"""Fragments of one packet go one way: that of the first, which alone has the ports."""

import pytest
from scapy.layers.inet import UDP
from scapy.layers.ipsec import AH, ESP
from scapy.packet import Raw

from flowbind.dataplane.ebpf import layout
from flowbind.wire.traffic_selector import Span
from tests.bpf.conftest import DROPPED
from tests.bpf.packets import down, frame
from tests.dataplane.nodes import drop, forward, node, packet, path, udp_to

pytestmark = pytest.mark.root

LINK = "home_agent_link"
PORTS = UDP(sport=5004, dport=40000)


def first(payload=PORTS, **changes):
    return down(payload / Raw(bytes(24)), **({"flags": "MF", "id": 900} | changes))


def later(**changes):
    """A later one, whose first octets look like the very ports that the rules name."""
    fields = {"flags": 0, "id": 900, "proto": 17, "frag": 4}
    return down(Raw(bytes(PORTS) + bytes(24)), **(fields | changes))


def sent(programs, each):
    """Send a packet; returns the rule of the flow that it is counted to."""
    before = {record.packet: record.packets for record in programs.plane.flows()}
    outcome = programs.run(LINK, frame(each))
    counted = [
        record for record in programs.plane.flows() if record.packets != before.get(record.packet)
    ]
    assert len(counted) == 1
    assert (outcome.verdict == DROPPED) is (counted[0].verdict == "drop")
    return counted[0].rule


@pytest.fixture
def ruled(agent):
    """A node with a rule for the ports, then one for the SPI, then one for all else."""
    rules = [forward(2, **udp_to(40000)), forward(2, spi=Span(0x1000)), forward(1)]
    agent.plane.program(node([path(1), path(2)], rules))
    return agent


@pytest.mark.rfc("6089", "5.3.6", "PP-5")
def test_later_fragments_follow_the_first(ruled):
    assert sent(ruled, first(id=901)) == 0
    assert [sent(ruled, later(id=901, frag=at, flags="MF")) for at in (4, 8)] == [0, 0]
    assert sent(ruled, later(id=901, frag=12)) == 0


@pytest.mark.rfc("6089", "5.3.6", "PP-5")
@pytest.mark.parametrize("kind", [ESP, AH])
def test_they_follow_an_spi_too(ruled, kind):
    head = first(kind(spi=0x1000), id=902)
    assert sent(ruled, head) == 1
    assert sent(ruled, later(id=902, proto=head.proto)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"id": 904},
        {"src": "203.0.113.77"},
        {"proto": 6},
    ],
    ids=lambda each: next(iter(each)),
)
def test_a_later_fragment_of_another_packet_matches_no_port(ruled, other):
    assert sent(ruled, first(id=903)) == 0
    assert sent(ruled, later(**({"id": 903} | other))) == 2


def test_one_that_overtakes_its_first_matches_no_port(ruled):
    assert sent(ruled, later(id=905)) == 2
    assert sent(ruled, first(id=905)) == 0
    assert sent(ruled, later(id=905)) == 0


def test_what_a_rule_drops_is_dropped_as_a_whole(agent):
    agent.plane.program(node([path(1)], [drop(**udp_to(40000))]))
    assert agent.run(LINK, frame(first(id=906))).counted == {"drop_by_rule": 1}
    assert agent.run(LINK, frame(later(id=906))).counted == {"drop_by_rule": 1}
    assert agent.run(LINK, frame(later(id=907))).verdict != DROPPED


def test_a_policy_that_changes_in_the_middle_holds_for_the_rest(ruled):
    assert sent(ruled, first(id=908)) == 0
    ruled.plane.program(node([path(1)], [forward(1, **udp_to(1)), drop(**udp_to(40000))]))
    assert sent(ruled, later(id=908)) == 1


def test_an_identification_is_forgotten_after_thirty_seconds(ruled):
    assert sent(ruled, first(id=909)) == 0
    fragments = ruled.plane._maps["fragments_map"]
    for key, value in fragments.items():
        old = layout.FragmentValue.from_buffer_copy(value)
        old.seen_ns -= 30 * 10**9
        fragments.update(key, bytes(old))
    assert sent(ruled, later(id=909)) == 2


def test_what_is_not_fragmented_is_not_remembered(ruled):
    fragments = ruled.plane._maps["fragments_map"]
    before = len(list(fragments.items()))
    sent(ruled, first(id=910, flags="DF"))
    sent(ruled, first(id=911, flags=0))
    assert len(list(fragments.items())) == before


@pytest.mark.rfc("6089", "5.3.6", "PP-5")
def test_whoever_asks_about_a_later_fragment_is_told_of_the_first(ruled):
    asked = packet(remote_port=0, local_port=0, fragment=True, identification=912)
    assert ruled.plane.decide(asked).rule == 2
    sent(ruled, first(id=912))
    assert ruled.plane.decide(asked).rule == 0
    # Asking has remembered nothing.
    ruled.plane.decide(packet(identification=913))
    other = packet(remote_port=0, local_port=0, fragment=True, identification=913)
    assert ruled.plane.decide(other).rule == 2
