"""Simultaneous bindings of RFC 5944: a copy of each packet to every care-of address."""

import socket

import pytest
from msgspec import structs

from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import PLAIN_BID
from tests.dataplane.kernel import run
from tests.netns.daemons import home_agent_toml, mobile_node_toml
from tests.netns.hosts import (
    CORRESPONDENT,
    HOME,
    Ping,
    inside,
    node_at,
    ping,
    received_on,
    socket_in,
    transfer,
)

pytestmark = pytest.mark.root

INTERFACES = ("ha0", "ha1")
MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)
BOTH = pytest.mark.parametrize("encapsulation", Encapsulation)


def bound_to(*bids, encapsulation=Encapsulation.IP_IN_IP):
    """What the home agent forwards by once these paths of the node are registered."""
    node = node_at("ha", encapsulation, bids=bids)
    return structs.replace(
        node, paths=tuple(structs.replace(each, bid=PLAIN_BID) for each in node.paths)
    )


def sending_by(preferred, encapsulation=Encapsulation.IP_IN_IP):
    """What the node does that sends by one of its paths and hears both."""
    node = node_at("mn", encapsulation)
    return structs.replace(
        node,
        paths=tuple(structs.replace(each, transmit=each.bid == preferred) for each in node.paths),
    )


@pytest.mark.rfc("5944", "4.2.3", "HA-24")
@BOTH
@pytest.mark.parametrize("shortcut", [True, False], ids=["shortcut", "routed"])
def test_one_packet_arrives_on_each_path(end, encapsulation, shortcut):
    agent, mobile = end("ha", shortcut=shortcut), end("mn")
    agent.program(bound_to(1, 2, encapsulation=encapsulation))
    mobile.program(sending_by(2, encapsulation))
    before = {each: received_on("mn", each) for each in INTERFACES}
    with (
        socket_in("mn", socket.SOCK_DGRAM, HOME, 40000) as there,
        socket_in("cn", socket.SOCK_DGRAM, CORRESPONDENT) as here,
    ):
        for number in range(20):
            here.sendto(b"%d" % number, there.getsockname())
        received = sorted(int(there.recv(10)) for _ in range(40))
    assert received == sorted([*range(20), *range(20)])
    assert all(received_on("mn", each) - before[each] >= 20 for each in INTERFACES)
    assert agent.counted("encapsulated_packets") == 40
    assert sum(each.packets for each in agent.plane.flows()) == 20


@BOTH
@pytest.mark.parametrize("shortcut", [True, False], ids=["shortcut", "routed"])
def test_tcp_goes_on_beside_its_copies(end, offload, encapsulation, shortcut):
    agent, mobile = end("ha", shortcut=shortcut), end("mn")
    agent.program(bound_to(1, 2, encapsulation=encapsulation))
    mobile.program(sending_by(1, encapsulation))
    transfer(CN, MN)
    transfer(MN, CN)
    for each in (agent, mobile):
        counted = each.plane.statistics()
        assert {name for name in counted if name.startswith("drop_") and counted[name]} == set()
    assert agent.counted("encapsulated_octets") > 6 << 20


def test_a_packet_is_taken_from_each_care_of_address(end):
    agent, mobile = end("ha"), end("mn")
    agent.program(bound_to(1, 2))
    for preferred in (1, 2):
        mobile.program(sending_by(preferred))
        assert ping("mn", HOME, CORRESPONDENT)
    agent.program(bound_to(1))
    assert not ping("mn", HOME, CORRESPONDENT)
    assert agent.counted("drop_care_of_address_unknown") == 5


@pytest.mark.rfc("5944", "4.2.3", "HA-24")
def test_a_planned_handover_loses_nothing(end):
    agent, mobile = end("ha"), end("mn")
    agent.program(bound_to(1))
    mobile.program(sending_by(1))
    sent = Ping("cn", CORRESPONDENT, HOME, 200)
    agent.program(bound_to(1, 2))
    mobile.program(sending_by(2))
    agent.program(bound_to(2))
    assert sent.running()
    assert sent.all_answered()


@pytest.mark.rfc("5944", "3.8.2.2", "HA-24")
def test_daemons_hand_over_as_planned_without_a_loss(daemon):
    """Each packet comes by both paths, until the first is deregistered and then lost."""
    node = "multipath = false\nsimultaneous-bindings = true"
    agent = daemon("home-agent", "ha", lambda keys: home_agent_toml(keys, node))
    settings = 'multipath = "off"\nsimultaneous = true\n'
    mobile = daemon("mobile-node", "mn", lambda keys: mobile_node_toml(settings + keys))
    mobile.wait("both paths", lambda: states(mobile) == {"ha0": "up", "ha1": "up"})
    assert agent.bids() == {None}
    assert len(agent.ask("bindings")["bindings"]) == 2
    before = {each: received_on("mn", each) for each in INTERFACES}
    assert ping("cn", CORRESPONDENT, HOME)
    assert all(received_on("mn", each) - before[each] >= 5 for each in INTERFACES)
    told = agent.ask("explain", f"icmp {CORRESPONDENT} -> {HOME}")
    assert told["why"].endswith("; a copy goes to each of 2 care-of addresses")

    sent = Ping("cn", CORRESPONDENT, HOME, 300)
    assert mobile.run("mobile-node", "deregister", "--interface", "ha0").returncode == 0
    agent.wait("one path", lambda: len(agent.ask("bindings")["bindings"]) == 1)
    with inside("mn"):
        run("ip", "link", "set", "ha0", "down")
    try:
        assert sent.running()
        assert sent.all_answered()
    finally:
        with inside("mn"):
            run("ip", "link", "set", "ha0", "up")
            run("ip", "route", "add", "default", "via", "198.51.100.1", "dev", "ha0",
                "metric", "100")  # fmt: skip
    assert states(mobile)["ha1"] == "up"


@pytest.mark.rfc("5944", "3.8.2.2", "HA-24")
def test_a_home_agent_that_keeps_one_binding_is_sent_to_and_heard_by_it(daemon):
    agent = daemon("home-agent", "ha", home_agent_toml)
    settings = 'multipath = "off"\nsimultaneous = true\n'
    mobile = daemon("mobile-node", "mn", lambda keys: mobile_node_toml(settings + keys))
    mobile.wait("code 1", lambda: mobile.counters().get("simultaneous_refused") == 1)
    assert states(mobile) == {"ha0": "up", "ha1": "registering"}
    (binding,) = agent.ask("bindings")["bindings"]
    assert binding["care_of_address"] == "198.51.100.7"
    assert ping("cn", CORRESPONDENT, HOME)


def states(mobile):
    """How the paths of a node stand, by interface."""
    return {each["interface"]: each["state"] for each in mobile.ask("paths")["paths"]}
