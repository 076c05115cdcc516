"""Random nodes with random policies, and random packets to meet them."""

from ipaddress import IPv4Address

from msgspec import structs

from flowbind.dataplane.normal import normalised
from flowbind.model.decision import PROTOCOLS_WITH_PORTS, PROTOCOLS_WITH_SPI, Packet
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import Balance
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import Span, TrafficSelector
from tests.dataplane.nodes import HOME, node, path

# Few values, so that rules and packets meet often.
ADDRESSES = (0xCB007109, 0xCB00710A, 0xC0000201, 0, 0xFFFFFFFF)
PORTS = (0, 1, 53, 5004, 40000, 65535)
PROTOCOLS = (1, 6, 17, 33, 50, 51, 89, 132, 136, 255)
SPIS = (0, 0x1000, 0x1001, 0xFFFFFFFF)


def a_span(pick, values, bits):
    """No span, one value, or a range: between two of the values, or close around them."""
    if pick.random() < 0.5:
        return None
    first, second = pick.choice(values), pick.choice(values)
    if pick.random() < 0.5:
        return Span(first)
    if pick.random() < 0.3:
        first, second = first - pick.randint(0, 2), first + pick.randint(0, 2)
    return Span(max(0, min(first, second)), min((1 << bits) - 1, max(first, second)))


def a_rule(pick):
    selector = TrafficSelector(
        source=a_span(pick, ADDRESSES, 32),
        destination=a_span(pick, (int(HOME), int(HOME) - 1, int(HOME) + 1), 32),
        spi=a_span(pick, SPIS, 32) if pick.random() < 0.2 else None,
        source_port=a_span(pick, PORTS, 16) if pick.random() < 0.4 else None,
        destination_port=a_span(pick, PORTS, 16) if pick.random() < 0.4 else None,
        traffic_class=a_span(pick, range(256), 8),
        protocol=a_span(pick, PROTOCOLS, 8),
    )
    if pick.random() < 0.3:
        return FlowRule(FlowAction.DROP, (), selector)
    return FlowRule(FlowAction.FORWARD, tuple(pick.sample(range(1, 12), 3)), selector)


def a_node(pick):
    bids = pick.sample(range(1, 256), 4) + pick.sample(range(1, 12), 4)
    if pick.random() < 0.1:
        return simultaneous(pick)
    paths = [
        path(bid, remote=IPv4Address("192.0.2.1"), weight=pick.randint(1, 16),
             transmit=pick.random() < 0.8)
        for bid in dict.fromkeys(bids[: pick.randint(0, 8)])
    ]  # fmt: skip
    rules = [a_rule(pick) for _ in range(pick.choice((0, 1, 5, 20, 64)))]
    balance = Balance.PACKET if pick.random() < 0.2 else Balance.FLOW
    return normalised(structs.replace(node(paths, rules), balance=balance))


def simultaneous(pick):
    """A node of RFC 5944 with several care-of addresses, one of which gets nothing."""
    paths = [
        path(0, remote=IPv4Address(f"192.0.2.{end}"), transmit=pick.random() < 0.8)
        for end in range(1, pick.randint(3, 9))
    ]
    return normalised(node(paths, [a_rule(pick) for _ in range(pick.choice((0, 5)))]))


def a_packet(pick):
    protocol = pick.choice(PROTOCOLS)
    fragment = pick.random() < 0.1
    ports = protocol in PROTOCOLS_WITH_PORTS and not fragment
    return Packet(
        remote=IPv4Address(pick.choice(ADDRESSES) if pick.random() < 0.7 else pick.getrandbits(32)),
        local=HOME,
        protocol=protocol,
        remote_port=pick.choice(PORTS) if ports else 0,
        local_port=(pick.choice(PORTS) if pick.random() < 0.5 else pick.getrandbits(16))
        if ports
        else 0,
        dscp=pick.randrange(64),
        spi=pick.choice(SPIS) if protocol in PROTOCOLS_WITH_SPI and not fragment else 0,
        fragment=fragment,
        # No first fragment that was seen has it, for they have 0.
        identification=pick.randrange(1, 1 << 16) if fragment else 0,
    )
