"""The observers read inner 5-tuples out of captures that scapy made, also while they grow."""

import struct
from collections import Counter

import pytest
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from flowbind.lab.capture import PcapTail
from flowbind.lab.errors import LabError
from flowbind.lab.observe import DOWN, UP, FlowMatch, Observation, bears_home_address, inner_of
from flowbind.lab.scene import judge_spread, moved
from flowbind.lab.traffic.tally import bin_of

HOME, REMOTE = "10.9.0.5", "203.0.113.9"
OUTER_UP = {"src": "10.1.0.2", "dst": "198.51.100.1"}
OUTER_DOWN = {"src": "198.51.100.1", "dst": "10.1.0.2"}
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
AT = 1_700_000_000.25


def captured(packet, at=AT, snap=128):
    frame = bytes(Ether() / packet)
    kept = frame[:snap]
    seconds = int(at)
    record = struct.pack("<IIII", seconds, round((at - seconds) * 1e6), len(kept), len(frame))
    return record + kept


def up(port, size=100):
    return (
        IP(**OUTER_UP) / IP(src=HOME, dst=REMOTE) / UDP(sport=port, dport=5060) / Raw(bytes(size))
    )


def observation_of(tmp_path, **captures):
    observation = Observation(
        {"voice": (FlowMatch(17, (5060, 5061)),), "http": (FlowMatch(6, (80, 80)),)}
    )
    for network, data in captures.items():
        (tmp_path / network).write_bytes(HEADER + data)
        observation.watch(network, tmp_path / network)
    observation.poll()
    return observation


ENCAPSULATIONS = {
    "ipip": lambda outer, inner: IP(**outer) / inner,
    "gre": lambda outer, inner: IP(**outer) / GRE(proto=0x0800) / inner,
    "gre with key": lambda outer, inner: (
        IP(**outer) / GRE(proto=0x0800, key_present=1, key=7) / inner
    ),
    "gre with all": lambda outer, inner: (
        IP(**outer)
        / GRE(proto=0x0800, key_present=1, key=7, seqnum_present=1, chksum_present=1)
        / inner
    ),
}


@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS)
def test_the_inner_5_tuple_is_read_from_the_mobile_nodes_end(encapsulation):
    wrap = ENCAPSULATIONS[encapsulation]
    there = inner_of(bytes(wrap(OUTER_UP, IP(src=HOME, dst=REMOTE) / TCP(sport=40080, dport=80))))
    back = inner_of(bytes(wrap(OUTER_DOWN, IP(src=REMOTE, dst=HOME) / TCP(sport=80, dport=40080))))
    assert there is not None
    assert back is not None
    assert (there.direction, back.direction) == (UP, DOWN)
    for inner in (there, back):
        assert (inner.protocol, inner.remote_port, inner.local_port) == (6, 80, 40080)


def test_what_is_not_a_tunnel_to_the_home_network_is_not_counted(tmp_path):
    signalling = IP(**OUTER_UP) / UDP(sport=40000, dport=434) / Raw(bytes(30))
    stranger = IP(**OUTER_UP) / IP(src="192.0.2.1", dst=REMOTE) / UDP(sport=1, dport=5060)
    leak = IP(src=HOME, dst=REMOTE) / UDP(sport=5060, dport=5060)
    assert inner_of(bytes(signalling)) is None
    assert inner_of(bytes(stranger)) is None
    assert [bears_home_address(bytes(each)) for each in (signalling, leak)] == [False, True]
    observation = observation_of(tmp_path, wlan=captured(signalling) + captured(leak))
    assert observation.leaked == Counter(wlan=1)


@pytest.mark.parametrize("length", range(60))
def test_a_short_packet_is_never_an_error(length):
    for wrap in ENCAPSULATIONS.values():
        inner_of(bytes(wrap(OUTER_UP, IP(src=HOME, dst=REMOTE) / UDP(sport=1, dport=2)))[:length])


def test_packets_without_ports_have_port_0():
    ping = inner_of(bytes(IP(**OUTER_UP) / IP(src=HOME, dst=REMOTE) / ICMP()))
    rest = inner_of(
        bytes(IP(**OUTER_UP) / IP(src=HOME, dst=REMOTE, frag=9, proto=17) / Raw(b"12345678"))
    )
    for inner in (ping, rest):
        assert inner is not None
        assert (inner.remote_port, inner.local_port) == (0, 0)


def test_counts_by_flow_network_direction_and_time(tmp_path):
    answer = IP(**OUTER_DOWN) / IP(src=REMOTE, dst=HOME) / UDP(sport=5060, dport=7) / Raw(bytes(9))
    observation = observation_of(
        tmp_path,
        wlan=captured(up(7)) + captured(up(7), AT + 1) + captured(answer),
        lte=captured(up(8), AT + 1),
    )
    now = bin_of(AT)
    assert observation.packets("voice", now, now + 1) == {"wlan": 2, "lte": 0}
    assert observation.packets("voice", now, now + 20) == {"wlan": 3, "lte": 1}
    assert observation.packets("voice", now, now + 20, DOWN) == {"wlan": 1, "lte": 0}
    assert observation.packets("http", now, now + 20) == {"wlan": 0, "lte": 0}
    assert sorted(map(sorted, observation.paths("voice", now, now + 20).values())) == [
        ["lte"],
        ["wlan"],
    ]
    series = observation.series("voice", now, now + 11)["wlan"]
    assert (series[0], series[10], sum(series)) == (2, 1, 3)


def test_a_growing_capture_gives_each_packet_once(tmp_path):
    whole = HEADER + b"".join(captured(up(port)) for port in range(50))
    file = tmp_path / "capture"
    tail = PcapTail(file)
    seen = 0
    for end in (0, 10, 24, 30, 100, 1000, 1001, 5000, len(whole)):
        file.write_bytes(whole[:end])
        seen += len(list(tail.poll()))
    assert seen == 50


def test_another_kind_of_capture_is_refused(tmp_path):
    file = tmp_path / "capture"
    file.write_bytes(bytes(24))
    with pytest.raises(LabError, match="not a little-endian"):
        list(PcapTail(file).poll())


def flows(**counts):
    found, number = {}, 0
    for networks, count in counts.items():
        for _ in range(count):
            number += 1
            found[17, b"r", b"l", 7000, number] = dict.fromkeys(networks.split("_and_"), 4)
    return found


def test_a_spread_by_weight_holds_within_10_points():
    assert judge_spread(flows(wlan=200, lte=133, cdma=67), ("wlan", "lte", "cdma")) == []
    assert judge_spread(flows(wlan=165, lte=168, cdma=67), ("wlan", "lte", "cdma")) == []


@pytest.mark.parametrize(
    ("seen", "complaint"),
    [
        (flows(wlan=150, lte=100, cdma=49), "299 flows seen"),
        (flows(wlan=199, lte=133, cdma=67, wlan_and_lte=1), "1 flows were seen on more than one"),
        (flows(wlan=260, lte=100, cdma=40), "65.0 % of the flows on wlan, wanted 50.0 %"),
        ({}, "0 flows seen"),
    ],
)
def test_a_spread_that_is_wrong_is_told(seen, complaint):
    assert complaint in "; ".join(judge_spread(seen, ("wlan", "lte", "cdma")))


def test_one_stray_flow_is_told_where_a_single_path_is_wanted():
    assert judge_spread(flows(wlan=400), ("wlan",)) == []
    assert len(judge_spread(flows(wlan=399, lte=1), ("wlan",))) == 2


def test_flows_that_moved_without_need():
    a, b, c = ((17, b"r", b"l", 7000, port) for port in (1, 2, 3))
    before = {a: "wlan", b: "lte", c: "cdma"}
    after = {a: "lte", b: "cdma", c: "cdma"}
    assert moved(before, after, lambda old, _new: old != "wlan") == 1


def test_encapsulations_are_counted_apart(tmp_path):
    plain = IP(**OUTER_UP) / IP(src=HOME, dst=REMOTE) / UDP(sport=1, dport=2)
    gre = ENCAPSULATIONS["gre"](OUTER_UP, IP(src=HOME, dst=REMOTE) / UDP(sport=1, dport=2))
    observation = observation_of(tmp_path, lte=captured(gre) + captured(plain) + captured(gre))
    assert observation.tunnels("lte") == {"gre": 2, "ipip": 1}
    assert observation.tunnels("wlan") == {}
