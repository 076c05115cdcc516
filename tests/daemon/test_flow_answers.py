"""Which live flows are told, in which order, and at what rates."""

import asyncio
from ipaddress import IPv4Address
from typing import Any

import pytest
from msgspec import structs

from flowbind.control.messages import Failed, FlowsRequest
from flowbind.daemon.answers import Answers
from flowbind.daemon.flow_answers import Before, Rate, flow_row, rate_of, select
from flowbind.dataplane.base import DataPlaneError, FlowRecord
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.model.binding import Binding, Encapsulation
from flowbind.model.decision import Packet
from flowbind.model.match import MatchError
from flowbind.model.tunnel import NodeForwarding, Path

HOME = IPv4Address("10.9.0.5")


def flow(port, **changes):
    packet = Packet(IPv4Address("203.0.113.9"), HOME, 17, port, 40000)
    plain = FlowRecord(packet, "forward", 1, None, packets=100, octets=1000, age_s=60.0, idle_s=1.0)
    return structs.replace(plain, **changes)


def before(*flows, ago_s=2.0):
    return Before(ago_s, {each.packet: each for each in flows})


def test_a_rate_is_what_passed_between_two_readings():
    now = flow(1, packets=140, octets=6000)
    assert rate_of(now, before(flow(1))) == Rate(20000.0, 20.0)
    assert rate_of(flow(1), before(flow(1))) == Rate(0.0, 0.0)


def test_all_of_a_flow_that_began_since_counts():
    assert rate_of(flow(1, age_s=1.5), before()) == Rate(4000.0, 50.0)
    # So does one that the cache had lost, and knows anew.
    assert rate_of(flow(1, age_s=0.5), before(flow(1, packets=101))) == Rate(4000.0, 50.0)


def test_the_rate_of_a_flow_that_had_been_idle_is_not_made_up():
    assert rate_of(flow(1, age_s=300.0), before()) is None


FLOWS = (
    flow(1, idle_s=0.0, age_s=3.0, octets=500, bid=2),
    flow(2, idle_s=0.1, age_s=9.0, octets=9000),
    flow(3, idle_s=0.2, age_s=6.0, octets=1000, verdict="drop", bid=None),
    flow(4, idle_s=0.3, age_s=1.0, octets=8000, bid=2),
)
EARLIER = before(*(structs.replace(each, octets=400) for each in FLOWS))


def ports(request, earlier=None):
    return [each.record.packet.remote_port for each in select(request, FLOWS, earlier)]


@pytest.mark.parametrize(
    ("request_", "earlier", "wanted"),
    [
        (FlowsRequest(), None, [1, 2, 3, 4]),
        (FlowsRequest(), EARLIER, [2, 4, 3, 1]),
        (FlowsRequest(sort="recent"), EARLIER, [1, 2, 3, 4]),
        (FlowsRequest(sort="volume"), None, [2, 4, 3, 1]),
        (FlowsRequest(sort="age"), None, [2, 3, 1, 4]),
        (FlowsRequest(sort="rate"), None, [1, 2, 3, 4]),
        (FlowsRequest(top=2), EARLIER, [2, 4]),
        (FlowsRequest(top=9), None, [1, 2, 3, 4]),
        (FlowsRequest(bid=2), None, [1, 4]),
        (FlowsRequest(bid=2, top=1), EARLIER, [4]),
        (FlowsRequest(bid=7), None, []),
        (FlowsRequest(match="udp remote port 2-3"), None, [2, 3]),
        (FlowsRequest(match="port 1,4"), EARLIER, [4, 1]),
        (FlowsRequest(match="tcp"), None, []),
        (FlowsRequest(match="ipv6 any"), None, []),
    ],
)
def test_what_is_asked_for_in_its_order(request_, earlier, wanted):
    assert ports(request_, earlier) == wanted


def test_what_matches_nothing_at_all_is_refused_in_words():
    with pytest.raises(MatchError, match="column 1"):
        ports(FlowsRequest(match="nonsense"))


def test_a_flow_that_is_spread_packet_by_packet_has_no_path_of_its_own():
    (spread,) = select(FlowsRequest(), [flow(1, bid=None)], None)
    row = flow_row(spread, NodeForwarding(HOME), ())
    assert (row.verdict, row.bid, row.interface, row.care_of_address) == (
        "forward", None, None, None,
    )  # fmt: skip


def test_a_flow_that_is_copied_has_no_one_path():
    agent = IPv4Address("198.51.100.1")
    ends = [IPv4Address(f"192.0.2.{end}") for end in (1, 2)]
    paths = tuple(Path(0, each, agent, Encapsulation.IP_IN_IP, interface="wlan0") for each in ends)
    bound = tuple(Binding(None, each, Encapsulation.IP_IN_IP, True, 600, 1e9, 0) for each in ends)
    (copied,) = select(FlowsRequest(), [flow(1, bid=0)], None)
    both = flow_row(copied, NodeForwarding(HOME, paths), bound)
    assert (both.bid, both.interface, both.care_of_address) == (0, None, None)
    one = flow_row(copied, NodeForwarding(HOME, paths[:1]), bound[:1])
    assert (one.bid, one.interface, one.care_of_address) == (0, "wlan0", "192.0.2.1")


def test_what_has_no_ports_is_told_as_such():
    packet = Packet(IPv4Address("203.0.113.9"), HOME, 17, fragment=True)
    esp = Packet(IPv4Address("203.0.113.9"), HOME, 50, spi=0x1000)
    rows = [
        flow_row(each, NodeForwarding(HOME), ())
        for each in select(FlowsRequest(), [flow(1, packet=packet), flow(1, packet=esp)], None)
    ]
    assert [(row.remote, row.fragment, row.spi) for row in rows] == [
        ("203.0.113.9", True, None),
        ("203.0.113.9", False, 0x1000),
    ]


class Counting(MemoryDataPlane):
    """A plane with one flow, which has more behind it whenever it is looked at."""

    def __init__(self):
        super().__init__()
        self.packets = 0
        self.broken = False

    def flows(self):
        if self.broken:
            raise DataPlaneError("no maps")
        self.packets += 100
        return (flow(1, packets=self.packets, octets=self.packets * 10),)


class Nobody:
    """A role without nodes."""

    def node(self, home_address):
        return NodeForwarding(home_address), ()


def served(plane: MemoryDataPlane, request: FlowsRequest) -> Any:
    role: Any = Nobody()
    return asyncio.run(Answers(role, plane).serve(request))


def test_rates_are_measured_while_the_operator_waits():
    plane = Counting()
    (row,) = served(plane, FlowsRequest(interval_s=0.1)).flows
    # 100 packets in a tenth of a second, or a little more.
    assert 100 < row.packets_per_s < 1010
    assert row.bits_per_s == pytest.approx(row.packets_per_s * 80, rel=0.01)


def test_what_cannot_be_measured_is_refused_in_words():
    plane = Counting()
    assert isinstance(served(plane, FlowsRequest(match="nonsense", interval_s=5)), Failed)
    assert plane.packets == 0
    plane.broken = True
    assert served(plane, FlowsRequest(interval_s=5)) == Failed("no maps")
