"""What DataPlane promises of IPv6, of the plane in the kernel and of its twin in memory."""

from ipaddress import IPv6Network

import pytest

from flowbind.dataplane.base import Reconciliation
from flowbind.model.decision import Decision
from flowbind.model.flow import FlowRule
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector
from tests.dataplane.nodes import (
    HOME6,
    OTHER_HOME,
    PREFIX,
    drop,
    forward,
    ipv6,
    node,
    packet,
    packet6,
    path,
    udp_to,
)

OTHER = IPv6Network("2001:db8:2::/48")
EVERY_TERM = TrafficSelector(
    SelectorFormat.IPV6_BINARY,
    source=Span(1, (1 << 128) - 1),
    destination=Span(int(HOME6)),
    spi=Span(0x1000, 0xFFFFFFFF),
    flow_label=Span(0, 0xFFFFF),
    source_port=Span(0, 65535),
    destination_port=Span(1),
    traffic_class=Span(0x28, 0xB8),
    protocol=Span(0, 255),
)


def test_reads_back_prefixes_and_rules_of_both_versions_in_their_order(plane):
    rules = [
        FlowRule(FlowAction.FORWARD, (2, 1), EVERY_TERM),
        drop(**udp_to(5)),
        ipv6(drop()),
        forward(1),
    ]
    programmed = node([path(1), path(2)], rules, prefixes=[PREFIX, OTHER])
    plane.program(programmed)
    assert plane.nodes() == (programmed,)
    assert plane.reconcile([programmed]) == Reconciliation(1, 0, 0, 0)


def test_a_node_without_prefixes_keeps_its_rules(plane):
    programmed = node([path(1)], [ipv6(drop()), forward(1)])
    plane.program(programmed)
    assert plane.nodes() == (programmed,)
    plane.program(node([path(1)], [forward(1)]))
    plane.program(node([path(1)], [forward(1), forward(1)]))
    assert plane.nodes() == (node([path(1)], [forward(1), forward(1)]),)


@pytest.mark.rfc("6088", "3.2", "TS6-1")
def test_a_rule_is_about_one_version_and_has_one_number(plane):
    rules = [drop(**udp_to(40000)), ipv6(forward(2, **udp_to(40000)))]
    plane.program(node([path(1), path(2)], rules, prefixes=[PREFIX]))
    assert plane.decide(packet()) == Decision("drop", rule=0)
    assert plane.decide(packet6()) == Decision("forward", bid=2, rule=1)
    assert plane.decide(packet6(local=PREFIX[-1])) == Decision("forward", bid=2, rule=1)


@pytest.mark.parametrize("label", [0, 0x12345, 0xFFFFF])
def test_the_flow_label_decides(plane, label):
    rule = ipv6(drop(flow_label=Span(0x12345)))
    plane.program(node([path(1)], [rule], prefixes=[PREFIX]))
    verdict = "drop" if label == 0x12345 else "forward"
    assert plane.decide(packet6(flow_label=label)).verdict == verdict


def test_a_prefix_leads_to_its_node_alone(plane):
    plane.program(node([path(1)], prefixes=[PREFIX]))
    plane.program(node([path(2)], home=OTHER_HOME, prefixes=[OTHER]))
    assert plane.decide(packet6()).bid == 1
    assert plane.decide(packet6(local=OTHER[7])).bid == 2
    assert plane.decide(packet6(local=IPv6Network("2001:db8:3::/64")[1])) == Decision("no-node")


def test_prefixes_come_and_go(plane):
    for prefixes in ((PREFIX,), (PREFIX, OTHER), (OTHER,), ()):
        programmed = node([path(1)], prefixes=prefixes)
        plane.program(programmed)
        assert plane.nodes() == (programmed,)
        verdict = "forward" if PREFIX in prefixes else "no-node"
        assert plane.decide(packet6()).verdict == verdict
    plane.program(node([path(1)], prefixes=[PREFIX]))
    plane.remove(node().home_address)
    assert plane.decide(packet6()) == Decision("no-node")
    assert plane.nodes() == ()


def test_a_prefix_may_become_another_nodes_in_either_order(plane):
    first, second = node([path(1)], prefixes=[PREFIX]), node([path(2)], home=OTHER_HOME)
    plane.program(first)
    plane.program(node([path(2)], home=OTHER_HOME, prefixes=[PREFIX]))
    plane.program(node([path(1)]))
    assert plane.decide(packet6()).bid == 2
    plane.program(second)
    assert plane.decide(packet6()) == Decision("no-node")
