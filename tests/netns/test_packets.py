"""Real packets through real tunnels."""

import errno
import socket
from itertools import permutations

import pytest

from flowbind.model.binding import Encapsulation
from flowbind.wire.traffic_selector import Span
from tests.dataplane.kernel import run
from tests.dataplane.nodes import UDP, drop, forward
from tests.netns.hosts import (
    AGENT,
    CARE_OF,
    CORRESPONDENT,
    HOME,
    OTHER_HOME,
    exchange,
    inside,
    node_at,
    other_node_at,
    ping,
    received_on,
    socket_in,
    transfer,
)

pytestmark = pytest.mark.root

EACH = pytest.mark.parametrize("encapsulation", Encapsulation)
MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)
IP_MTU, IP_MTU_DISCOVER, IP_PMTUDISC_DO = 14, 10, 2


@EACH
@pytest.mark.parametrize(
    ("there", "back"),
    [(True, False), (False, False), (True, True)],
    ids=["shortcut", "routed", "shortcut both ways"],
)
def test_tcp_and_ping_both_ways(tunnels, offload, encapsulation, there, back):
    agent, mobile = tunnels(encapsulation, shortcut=there, shortcut_out=back)
    assert ping("cn", CORRESPONDENT, HOME)
    assert ping("mn", HOME, CORRESPONDENT)
    transfer(CN, MN)
    transfer(MN, CN)
    for each in (agent, mobile):
        dropped = {
            name: value
            for name, value in each.plane.statistics().items()
            if name.startswith("drop_") and value
        }
        assert dropped == {}
        assert each.counted("encapsulated_octets") > 3 << 20
        assert each.counted("decapsulated_octets") > 3 << 20


@EACH
def test_one_end_with_the_other(tunnels, encapsulation):
    agent, _mobile = tunnels(encapsulation)
    assert ping("ha", AGENT, HOME)
    assert agent.counted("echo_answered") == 0
    assert ping("mn", HOME, AGENT)
    assert agent.counted("echo_answered") == 5
    transfer(("ha", AGENT), MN)
    transfer(MN, ("ha", AGENT))


@pytest.mark.parametrize("shortcut_out", [True, False], ids=["shortcut", "routed"])
def test_only_the_short_cut_out_evades_netfilter(tunnels, shortcut_out):
    tunnels(shortcut_out=shortcut_out)
    with inside("ha"):
        run("nft", "add table ip fbt { chain f { type filter hook forward priority 0; "
            f"ip saddr {HOME} drop; }}; }}")  # fmt: skip
    try:
        assert ping("mn", HOME, CORRESPONDENT) is shortcut_out
        assert ping("mn", HOME, AGENT)
    finally:
        with inside("ha"):
            run("nft", "delete", "table", "ip", "fbt")


def test_a_neighbour_that_is_not_known_yet_costs_no_packet(tunnels):
    tunnels(shortcut_out=True)
    with inside("ha"):
        run("ip", "neigh", "flush", "all")
    assert ping("mn", HOME, CORRESPONDENT)
    with inside("ha"):
        run("ip", "neigh", "flush", "all")
    assert ping("cn", CORRESPONDENT, HOME)


@pytest.mark.parametrize("data", [b"", b"x", bytes(1448), bytes(1472), bytes(9000)])
@EACH
def test_datagrams_of_any_size(tunnels, encapsulation, data):
    tunnels(encapsulation)
    if len(data) == 1472:
        # As large as the correspondent's own link takes: lost, and answered with the MTU.
        with socket_in("cn", socket.SOCK_DGRAM, CORRESPONDENT) as here:
            here.sendto(data, (str(HOME), 9))
    exchange(CN, MN, data)
    exchange(MN, CN, data)


def test_a_packet_that_is_too_big_is_answered(tunnels):
    tunnels()
    with inside("cn"):
        run("ip", "route", "flush", "cache")
    with socket_in("cn", socket.SOCK_DGRAM, CORRESPONDENT) as here:
        here.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        here.connect((str(HOME), 9))
        assert here.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1500
        here.send(bytes(1472))
        with pytest.raises(OSError, match="Message too long"):
            here.recv(1)
        assert here.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1476
    with socket_in("mn", socket.SOCK_DGRAM, HOME) as here:
        here.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        here.connect((str(CORRESPONDENT), 9))
        with pytest.raises(OSError) as refused:  # noqa: PT011 -- the number tells
            here.send(bytes(1472))
        assert refused.value.errno == errno.EMSGSIZE


def test_a_packet_too_big_for_one_link_is_counted(tunnels):
    agent, _mobile = tunnels(Encapsulation.IP_IN_IP, (), (2,))
    with inside("ha"):
        run("ip", "link", "set", "mn1", "mtu", "1400")
    try:
        with socket_in("cn", socket.SOCK_DGRAM, CORRESPONDENT) as here:
            here.sendto(bytes(1400), (str(HOME), 9))
            assert ping("cn", CORRESPONDENT, HOME)
        assert agent.counted("drop_too_big") == 1
    finally:
        with inside("ha"):
            run("ip", "link", "set", "mn1", "mtu", "1500")


def rules_to(bid):
    return (forward(bid, protocol=Span(UDP)),)


def test_a_rule_moves_a_flow_downlink(tunnels):
    agent, _mobile = tunnels()
    for bid, interface in ((1, "ha0"), (2, "ha1"), (1, "ha0")):
        agent.program(node_at("ha", rules=rules_to(bid)))
        before = received_on("mn", interface)
        for _ in range(20):
            exchange(CN, MN, b"down", port=40000)
        assert received_on("mn", interface) - before >= 20


def test_a_rule_moves_a_flow_uplink(tunnels):
    _agent, mobile = tunnels()
    for bid, interface in ((1, "mn0"), (2, "mn1"), (1, "mn0")):
        mobile.program(node_at("mn", rules=rules_to(bid)))
        before = received_on("ha", interface)
        for _ in range(20):
            exchange(MN, CN, b"up", port=5004)
        assert received_on("ha", interface) - before >= 20


@pytest.mark.rfc("6088", "3.1", "TS-3")
def test_the_same_rule_selects_both_directions(tunnels):
    """A selector's source is the correspondent, also at the node for what it sends."""
    rule = drop(protocol=Span(UDP), source_port=Span(5004))
    agent, mobile = tunnels(Encapsulation.IP_IN_IP, (rule,))
    with (
        socket_in("cn", socket.SOCK_DGRAM, CORRESPONDENT, 5004) as correspondent,
        socket_in("mn", socket.SOCK_DGRAM, HOME, 40000) as home,
    ):
        correspondent.sendto(b"down", home.getsockname())
        home.sendto(b"up", correspondent.getsockname())
        exchange(CN, MN, b"another port")
    assert agent.counted("drop_by_rule") == 1
    assert mobile.counted("drop_by_rule") == 1


@EACH
def test_a_default_route_through_the_tunnel(end, encapsulation):
    agent, mobile = end("ha"), end("mn", default_route=True)
    agent.program(node_at("ha", encapsulation))
    for bid in (1, 2):
        mobile.program(node_at("mn", encapsulation, rules=(forward(bid),)))
        before = mobile.counted("encapsulated_packets")
        with inside("mn"):
            here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with here, socket_in("cn", socket.SOCK_DGRAM, CORRESPONDENT) as there:
            here.sendto(b"from no address in particular", there.getsockname())
            _, source = there.recvfrom(100)
        assert source[0] == str(HOME)
        assert mobile.counted("encapsulated_packets") == before + 1
    # The underlays stay as they are: their own subnets, and signalling bound to their addresses.
    with inside("mn"):
        run("ping", "-c", "1", "-W", "2", "-I", "ha1", "192.0.2.1")
        assert "192.0.2.0/24 dev ha1" in run("ip", "route")
    with inside("mn"):
        here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"ha1")
    with here, socket_in("ha", socket.SOCK_DGRAM, AGENT, 434) as there:
        there.settimeout(2)
        here.bind((str(CARE_OF[2]), 434))
        here.sendto(b"signalling", there.getsockname())
        # Its answer has another way back than it came, which strict source checks do not allow.
        assert there.recvfrom(100) == (b"signalling", (str(CARE_OF[2]), 434))


def between_mobile_nodes(tunnels, end, encapsulation, other):
    agent, _mobile = tunnels(encapsulation)
    second = end("mn2")
    agent.program(other_node_at("ha", other))
    second.program(other_node_at("mn2", other))
    assert ping("mn", HOME, OTHER_HOME)
    exchange(("mn", HOME), ("mn2", OTHER_HOME), bytes(5000))
    transfer(("mn", HOME), ("mn2", OTHER_HOME))
    transfer(("mn2", OTHER_HOME), ("mn", HOME))


@EACH
def test_from_one_mobile_node_to_another(tunnels, end, offload, encapsulation):
    between_mobile_nodes(tunnels, end, encapsulation, encapsulation)


@pytest.mark.parametrize(("encapsulation", "other"), list(permutations(Encapsulation, 2)))
@pytest.mark.parametrize("offload", ["off"], indirect=True)
def test_from_one_encapsulation_into_another(tunnels, end, offload, encapsulation, other):
    """Segments at once keep the mark of the first tunnel, which no program can change."""
    between_mobile_nodes(tunnels, end, encapsulation, other)


@pytest.mark.rfc("5944", "4.6", "ARP-6")
def test_a_node_away_from_home_answers_no_arp_for_its_home_address(tunnels):
    tunnels(Encapsulation.IP_IN_IP)
    with inside("ha"):
        run("ip", "route", "add", f"{CARE_OF[1]}/32", "dev", "mn0")
        run("ip", "route", "add", f"{HOME}/32", "dev", "mn0")
        run("ip", "neigh", "flush", "dev", "mn0")
    assert ping("ha", AGENT, CARE_OF[1])
    assert not ping("ha", AGENT, HOME)
    with inside("ha"):
        known = run("ip", "neigh", "show", "dev", "mn0", "nud", "reachable")
        run("ip", "route", "del", f"{CARE_OF[1]}/32", "dev", "mn0")
        run("ip", "route", "del", f"{HOME}/32", "dev", "mn0")
    assert str(CARE_OF[1]) in known
    assert str(HOME) not in known
