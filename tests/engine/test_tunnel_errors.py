"""ICMP errors from within the tunnels of either end (RFC 2003 4 and 5)."""

from collections import Counter
from ipaddress import IPv4Address

import pytest
from msgspec import structs
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

from flowbind.daemon.tunnelled import tunnelled
from flowbind.effects import LimitTunnel, Log, SendIcmpError
from flowbind.engine.tunnel_errors import STATE_LIFE_S, TunnelErrors
from flowbind.events import TimerExpired, TunnelErrorHeard
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import NodeForwarding, Path
from tests.engine.home_agent.conftest import Desk, care_of_address
from tests.engine.mobile_node.conftest import Trip, address_of

AGENT, HOME = IPv4Address("198.51.100.1"), IPv4Address("10.9.0.5")
CARE_OF = IPv4Address("192.0.2.7")
CORRESPONDENT = IPv4Address("203.0.113.9")
DOWN = bytes(IP(src=str(CORRESPONDENT), dst=str(HOME), flags="DF") / UDP() / Raw(bytes(1400)))
UP = bytes(IP(src=str(HOME), dst=str(CORRESPONDENT), flags="DF") / TCP() / Raw(bytes(1400)))
PATH = Path(1, AGENT, CARE_OF, Encapsulation.IP_IN_IP)
NODE = NodeForwarding(HOME, (PATH,))
NOW = 1000.0


def about(path, inner, kind=3, code=1, mtu=0, quoted=1 << 16):
    """An error about a packet that was sent into a tunnel."""
    error = ICMP(type=kind, code=code) / Raw(tunnelled(path, inner)[:quoted])
    if (kind, code) == (3, 4):
        error[ICMP].nexthopmtu = mtu
    return TunnelErrorHeard(bytes(error))


class Ear:
    """The table of one end, whose node it knows."""

    def __init__(self, node=NODE, *, of_node=False):
        self.nodes = {node.home_address: node}
        self.counted = Counter[str]()
        self.searched = 0
        self.errors = TunnelErrors(self.nodes.get, self.every_node, self.counted, of_node=of_node)
        self.now = NOW

    def every_node(self):
        self.searched += 1
        return self.nodes.values()

    def hear(self, *arguments, **fields):
        """Returns the effects that are not for the log."""
        effects = self.errors.heard(about(*arguments, **fields), self.now)
        return [each for each in effects if not isinstance(each, Log)]


@pytest.fixture
def ear():
    return Ear()


RELAYED = {
    (3, 0): (3, 0),
    (3, 1): (3, 1),
    (3, 2): (3, 0),
    (3, 6): (3, 0),
    (3, 7): (3, 1),
    (3, 9): (3, 0),
    (3, 10): (3, 1),
    (3, 11): (3, 0),
    (3, 12): (3, 1),
    (3, 13): (3, 0),
    (11, 0): (3, 1),
}


@pytest.mark.rfc("2003", "4")
@pytest.mark.rfc("5944", "4.2.3", "FW-9")
@pytest.mark.parametrize("code", range(16))
@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
def test_the_sender_is_told_what_concerns_him(ear, kind, code):
    if (kind, code) == (3, 4):
        return
    told = ear.hear(PATH, DOWN, kind, code)
    expected = RELAYED.get((kind, code))
    if expected is None:
        assert told == []
        assert ear.counted == {"tunnel_error_ignored": 1}
        assert ear.errors.state(HOME, PATH).error is None
        return
    (sent,) = told
    assert isinstance(sent, SendIcmpError)
    assert (sent.source, sent.destination) == (AGENT, CORRESPONDENT)
    read = ICMP(sent.message)
    assert (read.type, read.code) == expected
    assert DOWN.startswith(sent.message[8:])
    assert len(sent.message) == 556
    assert ear.errors.state(HOME, PATH).error == (kind, code)
    assert ear.counted == {"tunnel_error": 1, "tunnel_error_relayed": 1}


@pytest.mark.rfc("2003", "5.1")
@pytest.mark.rfc("2004", "5", "ME-12")
@pytest.mark.rfc("5944", "4.2.3", "FW-9")
@pytest.mark.parametrize("in_udp", [False, True])
@pytest.mark.parametrize(
    ("encapsulation", "overhead"),
    [(Encapsulation.IP_IN_IP, 20), (Encapsulation.GRE, 24), (Encapsulation.MINIMAL, 20)],
)
def test_the_size_that_fits_is_told_without_the_outer_headers(encapsulation, overhead, in_udp):
    path = structs.replace(PATH, encapsulation=encapsulation)
    if in_udp:
        path = structs.replace(path, local_port=434, remote_port=40000)
    ear = Ear(NodeForwarding(HOME, (path,)))
    limit, sent = ear.hear(path, DOWN, 3, 4, mtu=1400)
    assert limit == LimitTunnel(HOME, AGENT, CARE_OF, 1400)
    assert isinstance(sent, SendIcmpError)
    assert ICMP(sent.message).nexthopmtu == 1400 - overhead - (12 if in_udp else 0)
    assert DOWN.startswith(sent.message[8:])


def test_the_sender_may_be_the_node_itself():
    path = structs.replace(PATH, local=CARE_OF, remote=AGENT)
    ear = Ear(NodeForwarding(HOME, (path,)), of_node=True)
    limit, sent = ear.hear(path, UP, 3, 4, mtu=1400)
    assert limit == LimitTunnel(HOME, CARE_OF, AGENT, 1400)
    assert isinstance(sent, SendIcmpError)
    assert (sent.source, sent.destination) == (HOME, HOME)
    assert ear.hear(path, DOWN, 3, 4, mtu=1300) == []


def test_a_router_that_does_not_say_takes_what_others_do(ear):
    assert ear.hear(PATH, DOWN, 3, 4)[0] == LimitTunnel(HOME, AGENT, CARE_OF, 1006)


@pytest.mark.rfc("1191", "6.3")
def test_more_is_tried_again_after_ten_minutes(ear):
    ear.hear(PATH, DOWN, 3, 4, mtu=1400)
    ear.now += 60
    assert ear.hear(PATH, DOWN, 3, 4, mtu=1300)[0] == LimitTunnel(HOME, AGENT, CARE_OF, 1300)
    # No larger one before that; said again, the plane is told again, which may have forgotten it.
    assert [type(each) for each in ear.hear(PATH, DOWN, 3, 4, mtu=1350)] == [SendIcmpError]
    assert ear.hear(PATH, DOWN, 3, 4, mtu=1300)[0] == LimitTunnel(HOME, AGENT, CARE_OF, 1300)
    ear.now += 60
    ear.hear(PATH, DOWN, 3, 1)
    assert ear.errors.deadline() == NOW + 60 + STATE_LIFE_S
    ear.now = NOW + 60 + STATE_LIFE_S
    assert ear.errors.due(ear.now) == [LimitTunnel(HOME, AGENT, CARE_OF, None)]
    state = ear.errors.state(HOME, PATH)
    assert (state.mtu, state.error) == (None, (3, 1))
    ear.now += 60
    assert ear.errors.due(ear.now) == []
    assert ear.errors.state(HOME, PATH).error is None
    assert ear.errors.deadline() is None


@pytest.mark.rfc("2003", "5")
def test_too_little_to_tell_the_sender_is_enough_to_know_the_tunnel(ear):
    for quoted in (28, 47):
        ear.now += 60
        assert ear.hear(PATH, DOWN, 3, 4, mtu=1400, quoted=quoted) == [
            LimitTunnel(HOME, AGENT, CARE_OF, 1400)
        ]
    assert ear.counted["tunnel_error_relayed"] == 0


def test_a_home_agent_looks_through_all_its_nodes_only_now_and_then(ear):
    for _ in range(100):
        ear.hear(PATH, DOWN, 3, 4, mtu=1400, quoted=28)
        ear.now += 0.01
    assert ear.searched == 1


@pytest.mark.parametrize(
    "inner",
    [
        IP(src=str(CORRESPONDENT), dst=str(HOME)) / ICMP(type=3, code=3) / Raw(bytes(100)),
        IP(src=str(CORRESPONDENT), dst=str(HOME), frag=10, proto=17) / Raw(bytes(100)),
        IP(src="224.0.0.1", dst=str(HOME)) / UDP() / Raw(bytes(100)),
        IP(src="0.0.0.0", dst=str(HOME)) / UDP() / Raw(bytes(100)),  # noqa: S104 -- a packet
        IP(src="255.255.255.255", dst=str(HOME)) / UDP() / Raw(bytes(100)),
        IP(src="127.0.0.1", dst=str(HOME)) / UDP() / Raw(bytes(100)),
    ],
    ids=["an error", "later fragment", "multicast", "nobody", "everybody", "loopback"],
)
@pytest.mark.rfc("1122", "3.2.2")
def test_of_some_packets_nobody_is_told(ear, inner):
    assert ear.hear(PATH, bytes(inner)) == []
    assert ear.counted == {"tunnel_error": 1}
    echo = IP(src=str(CORRESPONDENT), dst=str(HOME)) / ICMP() / Raw(bytes(100))
    assert len(ear.hear(PATH, bytes(echo))) == 1


# ---- both engines


def test_a_home_agent_hears():
    desk = Desk()
    desk.register(1, 2)
    path = Path(2, desk.address, care_of_address(2), Encapsulation.IP_IN_IP)
    desk.hear(about(path, DOWN, 3, 4, mtu=1400))
    assert desk.kinds == ["LimitTunnel", "Log", "SendIcmpError"]
    assert desk.engine.tunnel_errors.state(HOME, path).mtu == 1400
    desk.now += STATE_LIFE_S - 1
    desk.register(1, 2)
    desk.now += 1
    desk.hear(TimerExpired())
    assert LimitTunnel(HOME, desk.address, care_of_address(2), None) in desk.last


def test_a_mobile_node_hears():
    trip = Trip()
    trip.up("wlan0")
    path = Path(1, address_of("wlan0"), trip.agent, Encapsulation.IP_IN_IP)
    trip.hear(about(path, UP, 3, 4, mtu=1400))
    assert trip.kinds == ["LimitTunnel", "Log", "SendIcmpError"]
    lifted = LimitTunnel(HOME, address_of("wlan0"), trip.agent, None)
    effects = []
    for _ in range(7):
        effects += trip.wait(100)
        trip.answer_all()
    assert lifted in effects
    assert trip.engine.tunnel_errors.deadline() is None
