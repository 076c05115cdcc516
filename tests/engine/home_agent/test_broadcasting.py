"""Broadcasts of the home link for nodes that are away (RFC 5944 4.3), read by scapy."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

from flowbind.effects import SendThroughTunnel
from flowbind.engine.home_agent.broadcasting import COPIES_A_SECOND
from flowbind.events import BroadcastHeard
from flowbind.model.config import StaticFlow
from flowbind.model.tunnel import Balance
from flowbind.wire.iana import FlowAction, RequestFlag
from flowbind.wire.traffic_selector import Span, TrafficSelector

B, D, S, G = (
    RequestFlag.BROADCAST_DATAGRAMS,
    RequestFlag.DECAPSULATION_BY_MOBILE_NODE,
    RequestFlag.SIMULTANEOUS_BINDINGS,
    RequestFlag.GRE_ENCAPSULATION,
)
EVERYBODY = "255.255.255.255"


def broadcast(payload=None, **changes):
    fields = {"src": "10.9.0.77", "dst": "10.9.0.255", "ttl": 1, "id": 7}
    return IP(**(fields | changes)) / (payload or UDP(sport=137, dport=137) / Raw(b"who is there"))


@pytest.fixture
def away(make_desk):
    """A home agent with a home link; a node that asks is registered by `register`."""
    return make_desk(home_link="home0", simultaneous=True)


def hear(desk, packet, interface="home0"):
    desk.hear(BroadcastHeard(bytes(packet), interface))
    assert all(isinstance(each, SendThroughTunnel) for each in desk.last)
    return [(str(each.path.remote), each.packet) for each in desk.last]


def refused(desk):
    prefix = "broadcast_refused_"
    counted = desk.engine.statistics.items()
    return {name.removeprefix(prefix): n for name, n in counted if name.startswith(prefix)}


@pytest.mark.rfc("5944", "4.3", "FW-14")
@pytest.mark.parametrize("to", [EVERYBODY, "10.9.0.255"])
@pytest.mark.parametrize("source", ["10.9.0.77", str(IPv4Address(0))])
def test_a_node_with_the_b_bit_is_sent_what_is_broadcast_at_home(away, to, source):
    assert away.ask(away.multipath(1), flags=B | D) == 0
    heard = broadcast(dst=to, src=source)
    # Behind it the padding of its frame.
    assert hear(away, bytes(heard) + bytes(10)) == [("10.1.0.2", bytes(heard))]
    assert away.engine.statistics["broadcast_forwarded"] == 1


@pytest.mark.rfc("5944", "4.3", "FW-13")
def test_a_node_without_the_b_bit_is_sent_none(away):
    assert away.ask(away.multipath(1), flags=D) == 0
    assert hear(away, broadcast()) == []
    assert away.ask(away.multipath(1), flags=B | D) == 0
    assert len(hear(away, broadcast())) == 1
    assert away.ask(away.multipath(1), flags=D) == 0
    assert hear(away, broadcast()) == []
    assert refused(away) == {}


@pytest.mark.rfc("5944", "4.3", "FW-13")
def test_a_node_that_is_at_home_again_is_sent_none(away):
    away.ask(away.multipath(1), flags=B | D)
    away.ask(away.multipath(1), lifetime_s=0)
    assert hear(away, broadcast()) == []


@pytest.mark.rfc("5944", "4.3", "FW-14")
@pytest.mark.rfc("5944", "3.6.1.2", "FW-16")
def test_without_the_d_bit_it_is_within_a_unicast_packet_to_the_home_address(away):
    assert away.ask(away.multipath(1), flags=B) == 0
    heard = broadcast()
    ((to, octets),) = hear(away, heard)
    packet = IP(octets)
    assert to == "10.1.0.2"
    assert (packet.src, packet.dst, packet.proto) == ("198.51.100.1", "10.9.0.5", 4)
    assert bytes(packet) == bytes(IP(bytes(IP(src=packet.src, dst=packet.dst, proto=4, id=0,
                                             flags="DF", ttl=64) / heard)))  # fmt: skip


@pytest.mark.rfc("5944", "4.3", "FW-14")
def test_of_several_paths_one_is_taken_by_the_rules_of_the_node(away):
    for bid in (1, 2, 3):
        flags = D if bid == 3 else B | D
        assert away.ask(away.multipath(bid), flags=flags) == 0
    assert away.ask(away.multipath(1), away.forward(80, 3, 2, 1), flags=B | D) == 0
    web = broadcast(TCP(sport=80, dport=9))
    # BID 3 is preferred, but did not ask.
    assert [to for to, _ in hear(away, web)] == ["10.2.0.2"]
    away.ask(away.multipath(2), lifetime_s=0)
    assert [to for to, _ in hear(away, web)] == ["10.1.0.2"]


def test_a_broadcast_is_sent_once_where_packets_are_spread(make_desk):
    desk = make_desk(home_link="home0", balance=Balance.PACKET)
    for bid in (1, 2):
        desk.ask(desk.multipath(bid), flags=B | D)
    assert len(hear(desk, broadcast())) == 1


def test_a_rule_that_drops_drops_a_broadcast_too(make_desk):
    selector = TrafficSelector(protocol=Span(17), source_port=Span(137))
    barred = StaticFlow("netbios", (selector,), FlowAction.DROP)
    desk = make_desk(home_link="home0", static_flows=(barred,))
    desk.ask(desk.multipath(1), flags=B | D)
    assert hear(desk, broadcast()) == []
    assert refused(desk) == {"rule": 1}
    assert len(hear(desk, broadcast(UDP(sport=67, dport=68)))) == 1


@pytest.mark.rfc("5944", "4.2.3", "HA-24")
def test_each_of_simultaneous_bindings_that_asked_is_sent_a_copy(away):
    for number, flags in ((1, B | D), (2, B | D | G), (3, D), (4, B)):
        address = away.care_of_address(number)
        assert away.ask(care_of_address=address, flags=flags | S) == 0
    heard = broadcast()
    found = dict(hear(away, heard))
    assert found.keys() == {"10.1.0.2", "10.2.0.2", "10.4.0.2"}
    assert found["10.1.0.2"] == found["10.2.0.2"] == bytes(heard)
    assert bytes(IP(found["10.4.0.2"]).payload) == bytes(heard)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (broadcast(dst="10.9.0.9"), "not-a-broadcast"),
        (broadcast(dst="224.0.0.251"), "not-a-broadcast"),
        (broadcast(dst="192.168.0.255"), "not-a-broadcast"),
        (broadcast(src="198.51.100.1"), "loop"),
        (broadcast(src="10.9.0.5"), "loop"),
        (broadcast(src="10.1.0.2"), "loop"),
        (broadcast(ttl=0), "ttl"),
        (broadcast(chksum=1), "checksum"),
        (broadcast(flags="MF"), "ipv4-fragment"),
        (broadcast(version=6), "ipv4-header"),
        (broadcast(len=2000), "truncated"),
        (b"", "truncated"),
        (broadcast(UDP(sport=9, dport=434)), "mobile-ip"),
        (broadcast(ICMP(type=9)), "mobile-ip"),
        (broadcast(ICMP(type=10)), "mobile-ip"),
        (broadcast(UDP() / Raw(bytes(1453))), "too-big"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_not_forwarded_is_counted_by_its_reason(away, packet, reason):
    away.ask(away.multipath(1), flags=B | D)
    assert hear(away, packet) == []
    assert refused(away) == {reason: 1}


def test_a_node_at_home_may_broadcast_and_is_heard(away):
    away.ask(away.multipath(1), flags=B | D)
    assert len(hear(away, broadcast(src="10.9.0.6"))) == 1


def test_the_largest_that_fits_goes_and_less_within_another(away):
    away.ask(away.multipath(1), flags=B | D)
    assert len(hear(away, broadcast(UDP() / Raw(bytes(1452))))) == 1
    away.ask(away.multipath(1), flags=B)
    assert len(hear(away, broadcast(UDP() / Raw(bytes(1432))))) == 1
    assert hear(away, broadcast(UDP() / Raw(bytes(1433)))) == []


def test_only_the_home_link_is_listened_to(away, desk):
    for each in (away, desk):
        each.ask(each.multipath(1), flags=B | D)
    assert hear(away, broadcast(), "other0") == []
    assert hear(desk, broadcast()) == []
    assert refused(away) == refused(desk) == {}


def test_a_storm_is_forwarded_at_a_rate(away):
    away.ask(away.multipath(1), flags=B | D)
    sent = sum(len(hear(away, broadcast())) for _ in range(3 * COPIES_A_SECOND))
    assert sent == COPIES_A_SECOND
    assert refused(away) == {"rate": 2 * COPIES_A_SECOND}
    away.now += 0.1
    assert sum(len(hear(away, broadcast())) for _ in range(COPIES_A_SECOND)) == pytest.approx(
        COPIES_A_SECOND / 10, abs=1
    )


def test_who_listens_outlives_a_restart(away):
    away.ask(away.multipath(1), flags=B)
    away.restart()
    ((_to, octets),) = hear(away, broadcast())
    assert IPv4Address(IP(octets).dst) == away.home
