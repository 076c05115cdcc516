"""Nodes, rules and packets to program and to ask about."""

from ipaddress import IPv4Address

from msgspec import structs

from flowbind.model.binding import Encapsulation
from flowbind.model.decision import Packet
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import NodeForwarding, Path
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import Span, TrafficSelector

AGENT = IPv4Address("198.51.100.1")
CORRESPONDENT = IPv4Address("203.0.113.9")
HOME = IPv4Address("10.9.0.5")
OTHER_HOME = IPv4Address("10.9.0.6")
TCP, UDP, ICMP, ESP = 6, 17, 1, 50


def path(bid, **changes):
    plain = Path(bid, AGENT, IPv4Address(f"192.0.2.{bid}"), Encapsulation.IP_IN_IP)
    return structs.replace(plain, **changes)


def forward(*bids, **selector):
    return FlowRule(FlowAction.FORWARD, bids, TrafficSelector(**selector))


def drop(**selector):
    return FlowRule(FlowAction.DROP, (), TrafficSelector(**selector))


def udp_to(port):
    return {"protocol": Span(UDP), "destination_port": Span(port)}


def node(paths=(), rules=(), home=HOME):
    return NodeForwarding(home, tuple(paths), tuple(rules))


def packet(**changes):
    plain = Packet(CORRESPONDENT, HOME, UDP, remote_port=5004, local_port=40000)
    return structs.replace(plain, **changes)
