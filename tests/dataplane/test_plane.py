"""What DataPlane promises, of the plane in the kernel and of its twin in memory."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec import structs

from flowbind.dataplane.base import DataPlaneError, Reconciliation
from flowbind.model.binding import Encapsulation, GreKeys
from flowbind.model.decision import Decision, paths_taken
from flowbind.model.flow import FlowRule
from flowbind.model.home_link import HomeLink
from flowbind.model.tunnel import SMALLEST_LINK_MTU, Balance, overhead
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import Span, TrafficSelector
from tests.dataplane.nodes import (
    AGENT,
    HOME,
    ICMP,
    OTHER_HOME,
    UDP,
    drop,
    forward,
    node,
    packet,
    path,
    udp_to,
)

EVERY_TERM = TrafficSelector(
    source=Span(0xCB007100, 0xCB0071FF),
    destination=Span(int(HOME)),
    spi=Span(0x1000, 0xFFFFFFFF),
    source_port=Span(0, 65535),
    destination_port=Span(1),
    traffic_class=Span(0x28, 0xB8),
    protocol=Span(0, 255),
)


def test_holds_nothing_at_first(plane):
    assert plane.nodes() == ()
    assert plane.flows() == ()
    assert plane.decide(packet()) == Decision("no-node")


def test_reads_back_what_was_programmed(plane):
    programmed = node(
        [
            path(1, label=7, weight=16),
            path(2, encapsulation=Encapsulation.GRE, transmit=False),
        ],
        [FlowRule(FlowAction.FORWARD, (2, 1), EVERY_TERM), drop(), forward(1, **udp_to(53))],
    )
    plane.program(programmed)
    assert plane.nodes() == (programmed,)


def test_reads_back_nodes_by_home_address_and_paths_by_bid(plane):
    second = node([path(2), path(1)], home=OTHER_HOME)
    plane.program(second)
    plane.program(node([path(1)]))
    assert [each.home_address for each in plane.nodes()] == [HOME, OTHER_HOME]
    assert [each.bid for each in plane.nodes()[1].paths] == [1, 2]


def test_reads_back_what_decides_not_what_it_is_called(plane):
    rule = FlowRule(
        FlowAction.DROP, (1,), TrafficSelector(traffic_class=Span(0xB9, 0xBB)), owner=1, name="x"
    )
    plane.program(node([path(1)], [rule]))
    (read,) = plane.nodes()
    assert read.rules == (drop(traffic_class=Span(0xB8)),)


@pytest.mark.rfc("5944", "4.2.3", "HA-24")
def test_simultaneous_bindings_are_paths_without_a_bid(plane):
    paths = [path(0, remote=IPv4Address(f"192.0.2.{end}")) for end in (1, 2, 3)]
    programmed = node([*paths[:2], structs.replace(paths[2], transmit=False)])
    plane.program(structs.replace(programmed, paths=programmed.paths[::-1]))
    assert plane.nodes() == (programmed,)
    decision = plane.decide(packet())
    assert decision == Decision("forward", bid=0)
    assert paths_taken(programmed, decision) == tuple(paths[:2])
    with pytest.raises(DataPlaneError, match="one tunnel"):
        plane.program(node([paths[0], paths[0]]))


def test_reads_back_tunnels_in_udp(plane):
    udp = {"local_port": 434, "remote_port": 40123}
    behind = IPv4Address("203.0.113.50")
    paths = (
        path(1, **udp),
        path(2, remote=behind, **udp),
        path(3, remote=behind, local_port=434, remote_port=40124),
        path(4),
    )
    plane.program(node(paths))
    assert plane.nodes() == (node(paths),)


def test_reads_back_keys_and_numbering(plane):
    gre = {"encapsulation": Encapsulation.GRE}
    paths = (
        path(1, gre_keys=GreKeys(0xFFFFFFFF, 1), **gre),
        path(2, gre_keys=GreKeys(0, 0), gre_sequence=True, transmit=False, **gre),
        path(3, gre_sequence=True, **gre),
        path(4, **gre),
    )
    plane.program(node(paths))
    assert plane.nodes() == (node(paths),)
    assert [overhead(each) for each in paths] == [28, 32, 28, 24]


@pytest.mark.parametrize("encapsulation", [Encapsulation.IP_IN_IP, Encapsulation.MINIMAL])
@pytest.mark.parametrize("more", [{"gre_keys": GreKeys(1, 1)}, {"gre_sequence": True}])
def test_only_gre_has_keys_and_numbers(plane, encapsulation, more):
    with pytest.raises(DataPlaneError, match="only GRE"):
        plane.program(node((path(1, encapsulation=encapsulation, **more),)))


def test_two_copies_may_go_through_one_translator(plane):
    behind = IPv4Address("203.0.113.50")
    paths = tuple(
        path(0, remote=behind, local_port=434, remote_port=port) for port in (40123, 40124)
    )
    plane.program(node(paths))
    assert plane.nodes() == (node(paths),)
    with pytest.raises(DataPlaneError, match="one tunnel"):
        plane.program(node((paths[0], paths[0])))


@pytest.mark.parametrize("ports", [{"local_port": 434}, {"remote_port": 434}])
def test_a_tunnel_in_udp_has_two_ports(plane, ports):
    with pytest.raises(DataPlaneError, match="a port at both ends"):
        plane.program(node((path(1, **ports),)))


def test_replaces_a_node_as_a_whole(plane):
    plane.program(node([path(1), path(2)], [forward(2, **udp_to(40000)), drop()]))
    assert plane.decide(packet()) == Decision("forward", bid=2, rule=0)
    plane.program(node([path(1)], [drop(**udp_to(40000))]))
    assert plane.decide(packet()) == Decision("drop", rule=0)
    plane.program(node([path(1)]))
    assert plane.decide(packet()) == Decision("forward", bid=1)
    assert plane.nodes() == (node([path(1)]),)


def test_removes_a_node_and_only_that(plane):
    plane.program(node([path(1)], [drop()]))
    plane.program(node([path(1)], home=OTHER_HOME))
    plane.remove(HOME)
    plane.remove(HOME)
    assert plane.decide(packet()) == Decision("no-node")
    assert plane.nodes() == (node([path(1)], home=OTHER_HOME),)


@pytest.mark.rfc("7629", "4.2", "A-8", "A-9")
def test_the_first_rule_that_can_be_carried_out_decides(plane):
    rules = [
        forward(9, **udp_to(40000)),
        forward(9, 2, 1, **udp_to(40000)),
        drop(**udp_to(40000)),
    ]
    plane.program(node([path(1), path(2, transmit=False)], rules))
    assert plane.decide(packet()) == Decision("forward", bid=1, rule=1)
    assert plane.decide(packet(protocol=ICMP, remote_port=0, local_port=0)) == Decision(
        "forward", bid=1
    )


def test_a_fragment_without_ports_matches_no_rule_that_asks_for_ports(plane):
    any_port = TrafficSelector(destination_port=Span(0, 65535))
    plane.program(node([path(1)], [FlowRule(FlowAction.DROP, (), any_port)]))
    assert plane.decide(packet()).verdict == "drop"
    fragment = packet(remote_port=0, local_port=0, fragment=True)
    assert plane.decide(fragment).verdict == "forward"


def test_without_a_path_that_sends_there_is_no_path(plane):
    plane.program(node([path(1, transmit=False)], [forward(1)]))
    assert plane.decide(packet()) == Decision("no-path")


@pytest.mark.rfc("7629", "6", "RT-2", "A-27")
def test_spreads_what_no_rule_names_by_weight(plane):
    plane.program(node([path(1, weight=3), path(2, weight=1)]))
    bids = [plane.decide(packet(remote_port=port)).bid for port in range(1, 1001)]
    assert 0.68 < bids.count(1) / len(bids) < 0.82
    assert set(bids) == {1, 2}


@pytest.mark.rfc("7629", "6", "RT-2")
def test_a_lost_path_moves_only_its_own_flows(plane):
    plane.program(node([path(1), path(2), path(3)]))
    before = [plane.decide(packet(remote_port=port)).bid for port in range(1, 300)]
    plane.program(node([path(1), path(3)]))
    after = [plane.decide(packet(remote_port=port)).bid for port in range(1, 300)]
    moved = {was for was, now in zip(before, after, strict=True) if was != now}
    assert moved == {2}


def test_spreads_each_packet_where_it_is_told_to(plane):
    programmed = structs.replace(
        node([path(1), path(2)], [forward(2, **udp_to(53)), drop(**udp_to(54))]),
        balance=Balance.PACKET,
    )
    plane.program(programmed)
    assert plane.nodes() == (programmed,)
    decision = plane.decide(packet())
    assert decision.by_packet
    assert decision == Decision("forward")
    # Rules bind all the same.
    assert plane.decide(packet(local_port=53)) == Decision("forward", bid=2, rule=0)
    assert plane.decide(packet(local_port=54)) == Decision("drop", rule=1)
    plane.program(structs.replace(programmed, balance=Balance.FLOW))
    assert not plane.decide(packet()).by_packet


def test_what_has_no_bid_is_sent_to_all_and_not_spread(plane):
    paths = [path(0, remote=IPv4Address(f"192.0.2.{end}")) for end in (1, 2)]
    programmed = structs.replace(node(paths), balance=Balance.PACKET)
    plane.program(programmed)
    assert plane.decide(packet()) == Decision("forward", bid=0)
    none_sends = structs.replace(paths[0], transmit=False)
    plane.program(structs.replace(programmed, paths=(none_sends,)))
    assert plane.decide(packet()) == Decision("no-path")


def test_reconciling_leaves_alone_what_is_right(plane):
    kept, changed, added = (
        node([path(1)]),
        node([path(1)], home=OTHER_HOME),
        IPv4Address("10.9.0.8"),
    )
    gone = node([path(3)], home=IPv4Address("10.9.0.7"))
    for each in (kept, changed, gone):
        plane.program(each)
    wanted = (
        kept,
        structs.replace(changed, rules=(drop(),)),
        node([path(2)], home=added),
    )
    assert plane.reconcile(wanted) == Reconciliation(adopted=1, updated=1, added=1, removed=1)
    assert plane.nodes() == wanted
    assert plane.reconcile(wanted) == Reconciliation(adopted=3, updated=0, added=0, removed=0)


@pytest.mark.parametrize(
    "refused",
    [
        node([path(bid) for bid in range(1, 10)]),
        node([path(1)], [forward(1)] * 65),
        node([path(1, weight=0)]),
        node([path(1, weight=17)]),
        node([path(1), path(1)]),
        node([path(1)], [forward(*range(1, 10))]),
    ],
    ids=["paths", "rules", "no weight", "weight", "bids", "bids of a rule"],
)
def test_refuses_what_it_cannot_hold_and_keeps_what_it_has(plane, refused):
    plane.program(node([path(1)]))
    with pytest.raises(DataPlaneError, match=r"10\.9\.0\.5"):
        plane.program(refused)
    assert plane.nodes() == (node([path(1)]),)


def test_holds_as_much_as_it_says(plane):
    full = node(
        [path(bid, weight=16) for bid in range(1, 9)],
        [forward(*range(8, 0, -1), **udp_to(port)) for port in range(64)],
    )
    plane.program(full)
    assert plane.nodes() == (full,)
    assert plane.decide(packet(local_port=63)) == Decision("forward", bid=8, rule=63)


def test_drops_only_the_selected_protocol(plane):
    plane.program(node([path(1)], [drop(protocol=Span(UDP))]))
    assert plane.decide(packet()).verdict == "drop"
    assert plane.decide(packet(protocol=6)).verdict == "forward"


def test_reads_back_the_home_link(mobile_plane):
    assert mobile_plane.home_link() is None
    coming = HomeLink("wlan0", IPv4Network("10.9.0.0/24"), IPv4Address("10.9.0.1"))
    settled = structs.replace(coming, settled=True)
    for link in (coming, coming, settled, settled, structs.replace(settled, router=None), coming):
        mobile_plane.program_home_link(link)
        assert mobile_plane.home_link() == link
    mobile_plane.program(node([path(1, interface="wwan0")]))
    mobile_plane.program_home_link(None)
    mobile_plane.program_home_link(None)
    assert mobile_plane.home_link() is None
    assert len(mobile_plane.nodes()) == 1


def test_ends_twice_without_harm(plane):
    plane.program(node([path(1)]))
    plane.cleanup()
    plane.cleanup()
    plane.close()
    plane.close()


def test_a_node_takes_what_all_its_tunnels_take(plane):
    plane.program(node([path(1), path(2)]))
    assert plane.mtu(HOME) == 1476
    plane.limit(HOME, (AGENT, path(2).remote), 1300)
    plane.limit(HOME, (AGENT, path(1).remote), 1400)
    assert plane.mtu(HOME) == 1276
    plane.program(node([path(1), path(2)], [forward(1)]))
    assert plane.mtu(HOME) == 1276
    plane.limit(HOME, (AGENT, path(2).remote), None)
    assert plane.mtu(HOME) == 1376
    plane.limit(HOME, (AGENT, path(1).remote), 68)
    assert plane.mtu(HOME) == SMALLEST_LINK_MTU - 24
    plane.remove(HOME)
    assert plane.mtu(HOME) is None
    plane.limit(HOME, (AGENT, path(1).remote), 1400)
    plane.program(node([path(1)]))
    assert plane.mtu(HOME) == 1476
