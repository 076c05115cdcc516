"""What the operator is told: both roles over the memory twins, engines and all."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from flowbind.auth.association import SecurityAssociation
from flowbind.control.messages import (
    BindingsRequest,
    DeregisterRequest,
    Done,
    ExplainRequest,
    Failed,
    FlowsRequest,
    NotificationsRequest,
    NotifyRequest,
    PathsRequest,
    PolicyRequest,
    PolicySetRequest,
    RegisterRequest,
    Request,
    Revoked,
    RevokedRow,
    RevokeRequest,
    StatusRequest,
)
from flowbind.daemon.answers import Answers
from flowbind.daemon.home_agent import HomeAgentRole
from flowbind.daemon.loop import EngineLoop
from flowbind.daemon.mobile_node import MobileNodeRole
from flowbind.daemon.perform import Outlets, Performer
from flowbind.dataplane.base import FlowRecord
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import InterfaceUp, Received
from flowbind.model.config import (
    HomeAgentConfig,
    InterfaceConfig,
    MobileNodeConfig,
    MobileNodeEntry,
)
from flowbind.model.decision import Packet
from flowbind.model.encoding import to_json
from flowbind.model.flow import PolicyRule
from flowbind.model.match import compile_match
from flowbind.model.tunnel import Balance
from flowbind.store.memory import MemoryStore
from flowbind.wire.iana import FlowAction

AGENT = IPv4Address("198.51.100.1")
HOME = IPv4Address("10.9.0.5")
KEY = bytes.fromhex("c0ffee00c0ffee00c0ffee00c0ffee00")
ADDRESSES = {"wlan0": IPv4Address("10.1.0.2"), "wwan0": IPv4Address("10.2.0.2")}
POLICY = (
    PolicyRule("voice", compile_match("udp remote port 5060"), FlowAction.FORWARD, (2, 1)),
    PolicyRule("telemetry", compile_match("udp remote port 9999"), FlowAction.DROP),
    PolicyRule("satellite", compile_match("udp remote port 7"), FlowAction.FORWARD, (9,)),
)


class BusyPlane(MemoryDataPlane):
    """The memory twin, with a flow that it pretends to carry."""

    def flows(self):
        packet = Packet(IPv4Address("203.0.113.9"), HOME, 17, 5060, 40000)
        return (FlowRecord(packet, "forward", 2, 0, 12, 3400, 20.0, 1.5),)

    def statistics(self):
        return {"encapsulated_packets": 12}


class Untimed(EngineLoop):
    """A loop without its timer: time does not matter here."""

    def arm(self):
        pass


class Ends:
    """A home agent and a mobile node; datagrams arrive at once."""

    def __init__(self, agent_changes=None, node_changes=None, entry_changes=None):
        agent_changes, node_changes = agent_changes or {}, node_changes or {}
        association = SecurityAssociation(256, KEY)
        entry = MobileNodeEntry(
            HOME, (association,), label_weights=((1, 3),), **(entry_changes or {})
        )
        interfaces = (
            InterfaceConfig("wlan0", 1, 1, 4, weight=3),
            InterfaceConfig("wwan0", 2, 2, 8),
        )
        networks = (IPv4Network("10.9.0.0/24"),)
        agent = HomeAgent(HomeAgentConfig(AGENT, networks, (entry,), **agent_changes))
        config = MobileNodeConfig(HOME, AGENT, (association,), interfaces, POLICY, **node_changes)
        node = MobileNode(config)
        self.planes = {"agent": BusyPlane(), "node": BusyPlane()}
        self.waiting = []
        self.agent_loop = self._loop(agent, "agent")
        self.node_loop = self._loop(node, "node")
        self.agent: Callable[[Request], Any] = Answers(
            HomeAgentRole(agent, self.agent_loop), self.planes["agent"]
        ).answer
        self.node: Callable[[Request], Any] = Answers(
            MobileNodeRole(node, self.node_loop), self.planes["node"]
        ).answer

    def _loop(self, engine, name):
        outlets = Outlets(
            lambda datagram: self.waiting.append((name, datagram)), lambda _probe: None
        )
        return Untimed(engine, Performer(self.planes[name], MemoryStore(), outlets))

    def up(self, name):
        self.node_loop.submit(InterfaceUp(name, ADDRESSES[name]))
        self.carry()

    def carry(self):
        while self.waiting:
            name, datagram = self.waiting.pop(0)
            received = Received(
                datagram.payload, datagram.source, datagram.source_port or 40000,
                datagram.destination, datagram.destination_port, datagram.interface,
            )  # fmt: skip
            (self.agent_loop if name == "node" else self.node_loop).submit(received)


@pytest.fixture
def make_ends():
    def make(agent_changes=None, node_changes=None):
        both = Ends(agent_changes, node_changes)
        both.up("wlan0")
        both.up("wwan0")
        return both

    return make


@pytest.fixture
def ends(make_ends):
    return make_ends()


@pytest.fixture
def revoking(make_ends):
    return make_ends({"revocation": True}, {"revocation": True})


@pytest.fixture
def talking(make_ends):
    return make_ends({"notifications": True}, {"notifications": True})


def test_status(ends):
    node, agent = ends.node(StatusRequest()), ends.agent(StatusRequest())
    assert (node.role, node.home_address, node.bindings) == ("mobile-node", "10.9.0.5", 2)
    assert (agent.role, agent.home_address, agent.bindings) == ("home-agent", None, 2)
    assert (node.multipath, agent.multipath, agent.mobile_nodes) == ("prefer", "on", 1)
    assert node.counters["encapsulated_packets"] == 12
    assert agent.counters["accepted"] >= 2
    assert 0 <= node.uptime_s < 60


def test_bindings_are_the_same_at_both_ends_but_for_the_interface(ends):
    at_node = ends.node(BindingsRequest()).bindings
    at_agent = ends.agent(BindingsRequest()).bindings
    assert [row.interface for row in at_node] == ["wlan0", "wwan0"]
    assert [row.interface for row in at_agent] == [None, None]
    for ours, theirs in zip(at_node, at_agent, strict=True):
        assert (ours.bid, ours.care_of_address, ours.access, ours.label) == (
            theirs.bid, theirs.care_of_address, theirs.access, theirs.label,
        )  # fmt: skip
        assert 590 < ours.remaining_s <= 600 == ours.lifetime_s
    assert [row.access for row in at_node] == ["wlan", "lte"]


def test_paths(ends):
    at_node, at_agent = ends.node(PathsRequest()).paths, ends.agent(PathsRequest()).paths
    assert [(row.interface, row.state, row.weight) for row in at_node] == [
        ("wlan0", "up", 3),
        ("wwan0", "up", 1),
    ]
    assert [(row.bid, row.local, row.remote, row.weight) for row in at_agent] == [
        (1, "198.51.100.1", "10.1.0.2", 3),
        (2, "198.51.100.1", "10.2.0.2", 1),
    ]


def test_an_interface_that_is_down_is_a_path_too():
    ends = Ends()
    ends.up("wlan0")
    states = {row.interface: (row.state, row.local) for row in ends.node(PathsRequest()).paths}
    assert states == {"wlan0": ("up", "10.1.0.2"), "wwan0": ("down", "-")}


def test_policy_tells_what_is_active(ends):
    rows = ends.node(PolicyRequest()).rules
    assert [(row.position, row.name, row.action, row.bids, row.active) for row in rows] == [
        (1, "voice", "forward", (2, 1), True),
        (2, "telemetry", "drop", (), True),
        (3, "satellite", "forward", (9,), False),
    ]
    assert rows[0].match == "udp remote port 5060"
    assert [row.match for row in ends.agent(PolicyRequest()).rules] == [
        "udp remote port 5060",
        "udp remote port 9999",
    ]


def test_flows_name_their_rule(ends):
    row = ends.node(FlowsRequest()).flows[0]
    assert (row.protocol, row.remote, row.local) == ("udp", "203.0.113.9:5060", "10.9.0.5:40000")
    assert (row.bid, row.rule, row.packets, row.octets, row.idle_s) == (2, "voice", 12, 3400, 1.5)
    assert (row.interface, row.care_of_address, row.age_s) == ("wwan0", "10.2.0.2", 20.0)
    assert (row.bits_per_s, row.packets_per_s) == (None, None)
    row = ends.agent(FlowsRequest()).flows[0]
    assert (row.interface, row.care_of_address) == (None, "10.2.0.2")
    # A rule has no name on the wire, so the home agent can only number it.
    assert ends.agent(FlowsRequest()).flows[0].rule == "#1"


@pytest.mark.parametrize(
    ("packet", "verdict", "bid", "why"),
    [
        ("udp 203.0.113.9:5060 -> 10.9.0.5:40000", "forward", 2, "prefers BID 2"),
        ("udp 10.9.0.5:40000 -> 203.0.113.9:5060", "forward", 2, "prefers BID 2"),
        ("udp 203.0.113.9:9999 -> 10.9.0.5:40000", "drop", None, "drops it"),
        ("udp 203.0.113.9:5060 -> 10.9.0.77:40000", "no-node", None, "10.9.0.77 has no binding"),
    ],
)
def test_explain_says_which_path_and_why(ends, packet, verdict, bid, why):
    for end in (ends.node, ends.agent):
        explained = end(ExplainRequest(packet))
        assert (explained.verdict, explained.bid) == (verdict, bid)
        assert why in explained.why


def test_a_later_fragment_is_explained_without_ports(ends):
    for end in (ends.node, ends.agent):
        explained = end(ExplainRequest("udp fragment 7 203.0.113.9 -> 10.9.0.5"))
        assert (explained.verdict, explained.rule) == ("forward", None)
        # Nothing is cached where no packets pass.
        assert explained.cached_generation is None


def test_explain_says_what_was_passed_over():
    ends = Ends()
    ends.up("wlan0")
    explained = ends.node(ExplainRequest("udp 203.0.113.9:5060 -> 10.9.0.5:40000"))
    assert (explained.bid, explained.interface, explained.rule) == (1, "wlan0", "voice")
    assert "BID 2 cannot be used now" in explained.why
    spread = ends.node(ExplainRequest("udp 203.0.113.9:7 -> 10.9.0.5:40000"))
    assert (spread.bid, spread.rule) == (1, None)
    assert "spread" in spread.why


@pytest.mark.parametrize("of_node", [False, True], ids=["for all", "for the node"])
def test_explain_says_where_each_packet_is_spread(of_node):
    for_all, for_node = ("flow", "packet") if of_node else ("packet", None)
    agent = {"balance": Balance(for_all)}
    entry = {"balance": Balance(for_node)} if for_node else {}
    ends = Ends(agent, {"balance": Balance.PACKET}, entry)
    ends.up("wlan0")
    ends.up("wwan0")
    for end in (ends.node, ends.agent):
        explained = end(ExplainRequest("udp 203.0.113.9:8 -> 10.9.0.5:40000"))
        assert (explained.verdict, explained.bid, explained.interface) == ("forward", None, None)
        assert "each packet is spread over the paths by weight" in explained.why
        assert end(ExplainRequest("udp 203.0.113.9:5060 -> 10.9.0.5:40000")).bid == 2


@pytest.mark.parametrize("packet", ["", "udp", "tcp 1.2.3.4 -> 5.6.7.8", "udp 1.2.3.4:99999 -> x"])
def test_a_packet_that_is_none_is_refused_in_words(ends, packet):
    assert isinstance(ends.node(ExplainRequest(packet)), Failed)


def test_a_policy_is_replaced_at_both_ends(ends):
    flows: tuple[dict[str, object], ...] = (
        {"name": "only", "match": "tcp remote port 443", "interfaces": ["wlan0"]},
    )
    answer = ends.node(PolicySetRequest(flows))
    assert [row.name for row in answer.rules] == ["only"]
    ends.carry()
    assert [row.match for row in ends.agent(PolicyRequest()).rules] == ["tcp remote port 443"]


def test_a_policy_by_if_label_replaces_one_by_interface(ends):
    flows: tuple[dict[str, object], ...] = ({"match": "tcp remote port 443", "labels": [2, 1]},)
    assert [row.bids for row in ends.node(PolicySetRequest(flows)).rules] == [(2, 1)]
    ends.carry()
    assert [row.bids for row in ends.agent(PolicyRequest()).rules] == [(2, 1)]


@pytest.mark.parametrize(
    ("flow", "complaint"),
    [
        ({"match": "udp", "interfaces": ["eth7"]}, "eth7"),
        ({"match": "upd", "action": "drop"}, "upd"),
        ({"match": "udp"}, "interfaces"),
        ({"match": "udp", "action": "drop", "colour": "red"}, "colour"),
    ],
)
def test_a_policy_with_a_mistake_changes_nothing(ends, flow, complaint):
    answer = ends.node(PolicySetRequest((flow,), source="new.toml"))
    assert isinstance(answer, Failed)
    assert answer.error.startswith("new.toml: ")
    assert complaint in answer.error
    assert len(ends.node(PolicyRequest()).rules) == 3


def test_the_operator_deregisters_and_registers(ends):
    assert isinstance(ends.node(DeregisterRequest("wlan0")), Done)
    ends.carry()
    assert [row.bid for row in ends.agent(BindingsRequest()).bindings] == [2]
    assert isinstance(ends.node(RegisterRequest("wlan0")), Done)
    ends.carry()
    assert [row.bid for row in ends.agent(BindingsRequest()).bindings] == [1, 2]
    ends.node(DeregisterRequest())
    ends.carry()
    assert ends.agent(BindingsRequest()).bindings == ()
    assert ends.agent(PathsRequest()).paths == ()


@pytest.mark.rfc("3543", "4.2.2.1", "RR-HA-4")
def test_the_operator_of_a_home_agent_revokes(revoking):
    answer = revoking.agent(RevokeRequest(str(HOME), bid=1))
    row = RevokedRow(bid=1, care_of_address=str(ADDRESSES["wlan0"]), told=True)
    assert answer == Revoked(str(HOME), (row,))
    assert [row.bid for row in revoking.agent(BindingsRequest()).bindings] == [2]
    assert revoking.agent(StatusRequest()).counters["revoked"] == 1
    revoking.agent(RevokeRequest(str(HOME), care_of_address=str(ADDRESSES["wwan0"])))
    assert revoking.agent(BindingsRequest()).bindings == ()


def test_a_node_that_cannot_be_told_is_revoked_all_the_same(ends):
    (first, second) = ends.agent(RevokeRequest(str(HOME))).bindings
    assert not first.told
    assert not second.told
    assert ends.agent(BindingsRequest()).bindings == ()


@pytest.mark.parametrize(
    "request_",
    [
        RevokeRequest("10.9.0.77"),
        RevokeRequest(str(HOME), bid=9),
        RevokeRequest(str(HOME), care_of_address="10.9.0.77"),
        RevokeRequest("node5"),
        RevokeRequest(str(HOME), care_of_address="wlan0"),
    ],
)
def test_what_is_not_there_cannot_be_revoked(revoking, request_):
    assert isinstance(revoking.agent(request_), Failed)
    assert len(revoking.agent(BindingsRequest()).bindings) == 2


def test_a_mobile_node_revokes_nothing(ends):
    assert isinstance(ends.node(RevokeRequest(str(HOME))), Failed)


def notices(answer):
    return [(each.direction, each.state, each.text) for each in answer.notifications]


def test_both_ends_notify_each_other(talking):
    assert talking.agent(NotifyRequest("noon", str(HOME), bid=2)) == Done(f"notifying {HOME}")
    talking.carry()
    assert talking.node(NotifyRequest("gladly")) == Done(f"notifying {AGENT}")
    talking.carry()
    assert notices(talking.agent(NotificationsRequest())) == [
        ("sent", "acknowledged", "noon"),
        ("received", "received", "gladly"),
    ]
    assert notices(talking.node(NotificationsRequest())) == [
        ("received", "received", "noon"),
        ("sent", "acknowledged", "gladly"),
    ]
    (first, _second) = talking.agent(NotificationsRequest()).notifications
    assert first.home_address == str(HOME)
    assert 0 <= first.ago_s < 60


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (NotifyRequest("noon"), "to which home address"),
        (NotifyRequest("noon", "node5"), "no IPv4 address"),
        (NotifyRequest("noon", "10.9.0.77"), "no such binding"),
        (NotifyRequest("noon", str(HOME), bid=9), "no such binding"),
        (NotifyRequest("", str(HOME)), "1 to 254"),
        (NotifyRequest("n" * 255, str(HOME)), "255 octets"),
    ],
)
def test_what_cannot_be_said_is_refused(talking, request_, complaint):
    answer = talking.agent(request_)
    assert isinstance(answer, Failed)
    assert complaint in answer.error
    assert talking.agent(NotificationsRequest()).notifications == ()


def test_a_second_notification_waits_for_the_first(talking):
    talking.agent(NotifyRequest("noon", str(HOME)))
    answer = talking.agent(NotifyRequest("one", str(HOME)))
    assert isinstance(answer, Failed)
    assert "under way" in answer.error
    talking.node(NotifyRequest("gladly"))
    assert isinstance(talking.node(NotifyRequest("again")), Failed)


def test_a_mobile_node_notifies_its_home_agent_alone(talking):
    assert isinstance(talking.node(NotifyRequest("noon", str(HOME))), Failed)
    assert isinstance(talking.node(NotifyRequest("noon", bid=1)), Failed)
    assert isinstance(talking.node(NotifyRequest("")), Failed)
    talking.node(DeregisterRequest())
    talking.carry()
    assert isinstance(talking.node(NotifyRequest("noon")), Failed)


def test_notifications_that_are_off_are_refused(ends):
    for answer in (ends.agent(NotifyRequest("noon", str(HOME))), ends.node(NotifyRequest("noon"))):
        assert isinstance(answer, Failed)
        assert "off" in answer.error


def test_an_interface_that_nobody_configured_is_refused(ends):
    for request in (RegisterRequest("eth7"), DeregisterRequest("eth7")):
        answer = ends.node(request)
        assert isinstance(answer, Failed)
        assert "eth7" in answer.error


def test_a_home_agent_is_no_mobile_node(ends):
    for request in (PolicySetRequest(()), RegisterRequest(), DeregisterRequest()):
        assert isinstance(ends.agent(request), Failed)


def test_no_answer_holds_a_key(ends):
    requests = (
        StatusRequest(), BindingsRequest(), PathsRequest(), FlowsRequest(), PolicyRequest(),
        ExplainRequest("udp 203.0.113.9:5060 -> 10.9.0.5:40000"), RegisterRequest(),
    )  # fmt: skip
    for end in (ends.node, ends.agent):
        said = b"".join(to_json(end(request)) for request in requests)
        assert KEY not in said
        assert KEY.hex().encode() not in said
