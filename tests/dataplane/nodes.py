"""Nodes, rules and packets to program and to ask about."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from msgspec import structs

from flowbind.model.binding import Encapsulation
from flowbind.model.decision import Packet
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import NodeForwarding, Path
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import Span, TrafficSelector

AGENT = IPv4Address("198.51.100.1")
CORRESPONDENT = IPv4Address("203.0.113.9")
HOME = IPv4Address("10.9.0.5")
OTHER_HOME = IPv4Address("10.9.0.6")
TCP, UDP, ICMP, ESP = 6, 17, 1, 50
PREFIX = IPv6Network("2001:db8:1::/64")
HOME6 = PREFIX[1]
CORRESPONDENT6 = IPv6Address("2001:db8:ffff::9")


def path(bid, **changes):
    plain = Path(bid, AGENT, IPv4Address(f"192.0.2.{bid}"), Encapsulation.IP_IN_IP)
    return structs.replace(plain, **changes)


def forward(*bids, **selector):
    return FlowRule(FlowAction.FORWARD, bids, TrafficSelector(**selector))


def drop(**selector):
    return FlowRule(FlowAction.DROP, (), TrafficSelector(**selector))


def ipv6(rule):
    """The same rule for packets of IPv6."""
    selector = structs.replace(rule.selector, format=SelectorFormat.IPV6_BINARY)
    return structs.replace(rule, selector=selector)


def udp_to(port):
    return {"protocol": Span(UDP), "destination_port": Span(port)}


def node(paths=(), rules=(), home=HOME, prefixes=()):
    return NodeForwarding(home, tuple(paths), tuple(rules), tuple(prefixes))


def packet6(**changes):
    plain = Packet(CORRESPONDENT6, HOME6, UDP, remote_port=5004, local_port=40000)
    return structs.replace(plain, **changes)


def packet(**changes):
    plain = Packet(CORRESPONDENT, HOME, UDP, remote_port=5004, local_port=40000)
    return structs.replace(plain, **changes)
