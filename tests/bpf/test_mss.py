"""The MSS that a TCP connection offers, lowered to what fits into the tunnels of its node."""

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw

from tests.bpf.conftest import REDIRECTED
from tests.bpf.packets import down, frame
from tests.dataplane.nodes import node, path

pytestmark = pytest.mark.root

LINK = "home_agent_link"
FITS = 1476 - 40
OUTER = 20
SACK, TIMESTAMP = ("SAckOK", b""), ("Timestamp", (1, 0))


def syn(options, flags="S"):
    return down(TCP(sport=80, dport=50000, flags=flags, seq=1, options=options))


def inner_of(outcome, mac_length=14):
    """The packet in the tunnel, and what it would be with all its checksums right."""
    octets = outcome.packet[mac_length + OUTER :]
    again = IP(octets)
    del again.chksum, again[TCP].chksum
    return IP(octets), bytes(again) == octets


@pytest.mark.parametrize("flags", ["S", "SA", "SEC"])
@pytest.mark.parametrize(
    "before",
    [
        [],
        [SACK, TIMESTAMP],
        [("NOP", None)],
        [("NOP", None)] * 3,
        [("NOP", None)] * 36,
        [("WScale", 7)],
    ],
    ids=["first", "behind others", "odd", "odd again", "last", "odd length"],
)
def test_a_larger_mss_is_lowered(agent, before, flags):
    agent.plane.program(node([path(1)]))
    outcome = agent.run(LINK, frame(syn([*before, ("MSS", 1460)], flags)))
    assert outcome.verdict == REDIRECTED
    assert outcome.counted["mss_clamped"] == 1
    inner, sound = inner_of(outcome)
    assert sound
    assert [each for each in inner[TCP].options if each[0] != "EOL"] == [*before, ("MSS", FITS)]


@pytest.mark.parametrize("mss", [0, 1, 536, FITS])
def test_a_smaller_one_stays(agent, mss):
    agent.plane.program(node([path(1)]))
    outcome = agent.run(LINK, frame(syn([("MSS", mss)])))
    inner, sound = inner_of(outcome)
    assert sound
    assert inner[TCP].options == [("MSS", mss)]
    assert "mss_clamped" not in outcome.counted


OTHERS = {
    "no SYN": syn([("MSS", 1460)], "A"),
    "no option": syn([]),
    "behind the end": syn([("EOL", None), ("MSS", 1460)]),
    "too long": syn([(2, b"\x05\xb4\0")]),
    "an option of no length": down(
        TCP(sport=80, dport=50000, flags="S", dataofs=7) / Raw(b"\x08\x00\x02\x04\x05\xb4\0\0")
    ),
    "behind the header": down(
        TCP(sport=80, dport=50000, flags="S", dataofs=5) / Raw(b"\x02\x04\x05\xb4")
    ),
    "no whole header": down(TCP(sport=80, dport=50000, flags="S", dataofs=15)),
    "a later fragment": syn([("MSS", 1460)]),
}
OTHERS["a later fragment"].frag = 100


@pytest.mark.parametrize("name", OTHERS)
def test_what_offers_none_is_left_alone(agent, name):
    agent.plane.program(node([path(1)]))
    packet = OTHERS[name]
    outcome = agent.run(LINK, frame(packet))
    assert outcome.verdict == REDIRECTED
    before, after = bytes(packet), outcome.packet[14 + OUTER :]
    assert after[20:] == before[20:]
    assert "mss_clamped" not in outcome.counted
