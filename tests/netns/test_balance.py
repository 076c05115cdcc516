"""Which of two tunnels real packets take: fragments one, and what is spread by packets both."""

import socket

import pytest
from msgspec import structs

from flowbind.model.tunnel import Balance
from flowbind.wire.traffic_selector import Span
from tests.dataplane.nodes import UDP, forward
from tests.netns.hosts import (
    CORRESPONDENT,
    HOME,
    exchange,
    node_at,
    received_on,
    socket_in,
    transfer,
)

pytestmark = pytest.mark.root

MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)
DOWN, UP = (CN, MN, "mn", ("ha0", "ha1")), (MN, CN, "ha", ("mn0", "mn1"))
FRAGMENTED = bytes(9000)
FRAGMENTS = 7


def taken(host, links, send):
    """How many packets come by each of the links of a host, of what is sent."""
    before = [received_on(host, link) for link in links]
    send()
    return [received_on(host, link) - each for link, each in zip(links, before, strict=True)]


@pytest.mark.rfc("6089", "5.3.6", "PP-5")
@pytest.mark.parametrize(
    ("shortcut", "direction"),
    [(True, DOWN), (False, DOWN), (True, UP)],
    ids=["short cut", "routed", "up"],
)
def test_all_fragments_take_the_path_of_their_rule(tunnels, shortcut, direction):
    sender, receiver, host, links = direction
    far_port = "destination_port" if direction is DOWN else "source_port"
    rules = (forward(2, protocol=Span(UDP), **{far_port: Span(40000)}), forward(1))
    ends = tunnels(shortcut=shortcut)
    for end in ends:
        end.program(node_at(end.host, rules=rules))

    def send():
        for _ in range(10):
            exchange(sender, receiver, FRAGMENTED, port=40000)

    by_rule = [0, 10 * FRAGMENTS]
    assert [
        min(count, wanted) for count, wanted in zip(taken(host, links, send), by_rule, strict=True)
    ] == by_rule
    sending = ends[0] if direction is DOWN else ends[1]
    flows = [each for each in sending.plane.flows() if each.packet.protocol == UDP]
    # Where the correspondent's fragments do not fit, each is cut in two.
    assert len(flows) == 10
    assert all(each.packets >= FRAGMENTS for each in flows)
    assert {each.rule for each in flows} == {0}
    assert not any(each.packet.fragment for each in flows)


def test_packets_of_one_flow_are_spread_by_weight(tunnels):
    ends = tunnels()
    for end in ends:
        plain = node_at(end.host)
        paths = tuple(structs.replace(each, weight=(3, 1)[each.bid - 1]) for each in plain.paths)
        end.program(structs.replace(plain, paths=paths, balance=Balance.PACKET))
    for sender, receiver, host, links in (DOWN, UP):

        def send(sender=sender, receiver=receiver):
            with (
                socket_in(receiver[0], socket.SOCK_DGRAM, receiver[1]) as there,
                socket_in(sender[0], socket.SOCK_DGRAM, sender[1]) as here,
            ):
                for _ in range(400):
                    here.sendto(b"one of many", there.getsockname())
                    assert there.recv(100) == b"one of many"

        first, second = taken(host, links, send)
        assert first + second >= 400
        assert 0.6 < first / (first + second) < 0.9
    transfer(CN, MN)
    transfer(MN, CN)


def test_fragments_of_one_packet_stay_together_where_packets_are_spread(tunnels):
    """They have one Identification, and by that they are spread."""
    ends = tunnels()
    for end in ends:
        end.program(structs.replace(node_at(end.host), balance=Balance.PACKET))
    favoured = set()
    for _ in range(40):
        counts = taken("mn", DOWN[3], lambda: exchange(CN, MN, FRAGMENTED))
        # Something of the links' own may be among them.
        assert min(counts) < 3
        assert max(counts) >= FRAGMENTS
        favoured.add(counts.index(max(counts)))
    assert favoured == {0, 1}
