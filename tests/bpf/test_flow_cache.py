"""What is changed holds from the next packet of each flow on, however long that flow is known."""

import random
from collections import Counter

import pytest
from msgspec import structs
from scapy.layers.inet import UDP

from flowbind.dataplane.normal import normalised
from flowbind.model.decision import Packet, decide
from flowbind.model.tunnel import Balance
from flowbind.wire.traffic_selector import Span
from tests.bpf.packets import down, frame
from tests.bpf.policies import a_node
from tests.dataplane.nodes import CORRESPONDENT, HOME, drop, forward, node, path

pytestmark = pytest.mark.root

LINK = "home_agent_link"
PORTS = range(1, 301)
PATHS = (path(1, weight=3), path(2), path(3))
SOME, MORE = {"source_port": Span(50, 150)}, {"source_port": Span(100, 250)}

SILENT_2 = (PATHS[0], structs.replace(PATHS[1], transmit=False), PATHS[2])
RULED = node(PATHS, [forward(2, **SOME)])
CHANGES = {
    "no rules": node(PATHS),
    "a rule": node(PATHS, [forward(2, 1, **SOME)]),
    "one before it": node(PATHS, [forward(3, **MORE), forward(2, 1, **SOME)]),
    "a drop": node(PATHS, [drop(**MORE), forward(2, 1, **SOME)]),
    "no drop": RULED,
    "its path sends no more": node(SILENT_2, [forward(2, **SOME)]),
    "its path is gone": node(PATHS[::2], [forward(2, **SOME)]),
    "its path is back": RULED,
    "no path sends": node([structs.replace(each, transmit=False) for each in PATHS]),
    "another weight": node((structs.replace(PATHS[0], weight=1), *PATHS[1:])),
    "packets are spread": structs.replace(
        node(PATHS, [forward(2, **SOME)]), balance=Balance.PACKET
    ),
    "flows again": RULED,
}


def asked(port):
    return Packet(CORRESPONDENT, HOME, 17, remote_port=port, local_port=40000)


def send(agent, port):
    agent.run(LINK, frame(down(UDP(sport=port, dport=40000))))


@pytest.mark.rfc("7629", "4.2", "A-9")
@pytest.mark.rfc("6089", "5.3.6", "PP-2")
def test_each_change_holds_for_the_next_packet_of_each_flow(agent):
    plane = agent.plane
    before = Counter[str]()
    for name, programmed in CHANGES.items():
        plane.program(programmed)
        for port in PORTS:
            # What the cache still has is not believed ...
            expected = decide(normalised(programmed), asked(port))
            assert plane.decide(asked(port)) == expected, (name, port)
            # ... by the packet neither, after which the cache has the new decision.
            send(agent, port)
            cached = plane.decide(asked(port))
            assert cached.cached_generation is not None
            assert structs.replace(cached, cached_generation=None) == expected, (name, port)
            before[name] += expected.verdict == "forward" and expected.rule is not None
    assert [before[name] for name in ("a rule", "one before it", "its path is gone")] == [
        101, 201, 0,
    ]  # fmt: skip


def test_a_flow_is_counted_on_through_every_change(agent):
    for programmed in CHANGES.values():
        agent.plane.program(programmed)
        send(agent, 7)
    (flow,) = (each for each in agent.plane.flows() if each.packet == asked(7))
    assert flow.packets >= len(CHANGES)
    assert flow.age_s > flow.idle_s


def test_random_policies_over_one_set_of_flows(agent):
    """Each policy meets the flows that all before it have left in the cache."""
    for seed in range(60):
        programmed = a_node(random.Random(seed))
        agent.plane.program(programmed)
        for port in PORTS[::10]:
            expected = decide(programmed, asked(port))
            assert agent.plane.decide(asked(port)) == expected, (seed, port)
            send(agent, port)
            cached = agent.plane.decide(asked(port))
            assert structs.replace(cached, cached_generation=None) == expected, (seed, port)
