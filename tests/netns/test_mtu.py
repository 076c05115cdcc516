"""Links of any size on the way: what fits arrives, what does not is cut up or answered."""

import errno
import socket
import time

import pytest

from flowbind.model.binding import Encapsulation
from flowbind.wire.icmp_error import IcmpError
from flowbind.wire.ipv4 import Packet
from tests.dataplane.kernel import run
from tests.netns.hosts import (
    AGENT,
    CARE_OF,
    CORRESPONDENT,
    HOME,
    exchange,
    inside,
    socket_in,
    transfer,
)

pytestmark = pytest.mark.root

MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)
IP_MTU, IP_MTU_DISCOVER, IP_RECVERR = 14, 10, 11
IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 0, 2
UDP_IN_IPV4 = 28
TIMESTAMPS = 12


@pytest.fixture
def resize():
    """Give links another MTU, at both of their ends; they get their old one again."""
    changed = []

    def change(mtu, *ends):
        for host, device in ends:
            with inside(host):
                run("ip", "link", "set", device, "mtu", str(mtu))
            changed.append((host, device))

    yield change
    change(1500, *changed.copy())
    for host in ("cn", "mn"):
        with inside(host):
            run("ip", "route", "flush", "cache")


def whole(host, address):
    """A socket whose datagrams must not be cut up."""
    made = socket_in(host, socket.SOCK_DGRAM, address)
    made.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    return made


def is_told(sender, receiver, octets, mtu):
    """Send a packet that is too big for its tunnel, and hear what would not be."""
    with whole(*sender) as here:
        here.connect((str(receiver[1]), 9))
        with pytest.raises(OSError) as refused:  # noqa: PT011, PT012 -- the number tells, either may
            here.send(bytes(octets - UDP_IN_IPV4))
            here.recv(1)
        assert refused.value.errno == errno.EMSGSIZE
        assert here.getsockopt(socket.IPPROTO_IP, IP_MTU) == mtu


def all_fits(sender, receiver, mtu):
    """Send the largest datagram that goes in one piece, some that do not, and a download."""
    with (
        socket_in(receiver[0], socket.SOCK_DGRAM, receiver[1]) as there,
        whole(*sender) as here,
    ):
        here.sendto(bytes(mtu - UDP_IN_IPV4), there.getsockname())
        assert len(there.recv(1 << 16)) == mtu - UDP_IN_IPV4
    for octets in (mtu - UDP_IN_IPV4 + 1, 20_000, 60_000):
        exchange(sender, receiver, bytes(octets))
    transfer(sender, receiver)


def nothing_was_dropped(*ends):
    for each in ends:
        statistics = each.plane.statistics()
        dropped = {name: value for name, value in statistics.items() if name.startswith("drop_")}
        assert set(dropped.values()) == {0}, dropped


@pytest.mark.parametrize("shortcut", [True, False], ids=["shortcut", "routed"])
@pytest.mark.parametrize("mtu", [1280, 1400, 1500, 9000])
def test_every_size_of_link(tunnels, resize, offload, mtu, shortcut):
    resize(9000, ("cn", "ha0"), ("ha", "cn0"))
    resize(mtu, ("ha", "mn0"), ("mn", "ha0"))
    resize(9000, ("ha", "mn1"), ("mn", "ha1"))
    agent, mobile = tunnels(Encapsulation.GRE, shortcut=shortcut, mtu=9000)
    assert agent.plane.mtu(HOME) == mtu - 24
    # The node was given no larger size than an ordinary one.
    up = min(mtu, 1500) - 24
    assert mobile.plane.mtu(HOME) == up
    is_told(CN, MN, mtu, mtu - 24)
    is_told(MN, CN, 9000, up)
    all_fits(CN, MN, mtu - 24)
    all_fits(MN, CN, up)
    nothing_was_dropped(agent, mobile)


@pytest.mark.parametrize("shortcut", [True, False], ids=["shortcut", "routed"])
@pytest.mark.parametrize(("clamping", "mss"), [(True, 1300 - 24 - 40), (False, 1476 - 40)])
def test_a_tcp_connection_hears_what_fits(tunnels, shortcut, clamping, mss):
    """The node itself would take more than its home agent sends."""
    tunnels(shortcut=shortcut, mtu=1300, mss_clamping=clamping)
    with socket_in("mn", socket.SOCK_STREAM, HOME) as listener:
        listener.listen()
        with socket_in("cn", socket.SOCK_STREAM, CORRESPONDENT) as connection:
            connection.connect(listener.getsockname())
            accepted, _ = listener.accept()
            with accepted:
                told = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert told == mss - TIMESTAMPS


# ---- links behind routers, of which only ICMP tells


BEHIND = "192.168.1.0/24"


@pytest.fixture
def behind_a_router(configured):
    """Daemons at both ends, the node behind a router, with an encapsulation."""

    def start(encapsulation, **options):
        with inside("ha"):
            run("ip", "route", "add", BEHIND, "via", "100.64.3.2")
        interface = {"name": "ha2", "bid": 1, "access": "wlan", "encapsulation": encapsulation}
        interface |= options
        configured.tables["mn"][1:] = [("[[interface]]", interface)]
        configured.start("ha")
        configured.start("mn")
        configured.up("mn", 1)
        return configured

    yield start
    with inside("ha"):
        run("ip", "route", "del", BEHIND)


def mtu_of(configured, host):
    (path,) = configured.ask(host, "paths")["paths"]
    return path["mtu"], path["path_mtu"], path["error"]


@pytest.mark.rfc("5944", "4.2.3", "FW-9")
@pytest.mark.parametrize(
    ("encapsulation", "overhead"), [("ipip", 20), ("gre", 24), ("minimal", 20)]
)
def test_a_narrow_link_far_from_the_home_agent(behind_a_router, resize, encapsulation, overhead):
    resize(1280, ("nat", "mn0"), ("mn", "ha2"))
    daemons = behind_a_router(encapsulation)
    assert mtu_of(daemons, "ha") == (1476, None, None)
    is_told(CN, MN, 1476, 1280 - overhead)
    assert mtu_of(daemons, "ha") == (1280 - 24, 1280, "too big")
    with inside("cn"):
        run("ip", "route", "flush", "cache")
    is_told(CN, MN, 1476, 1280 - 24)
    all_fits(CN, MN, 1280 - 24)
    all_fits(MN, CN, 1280 - 24)
    assert daemons.counted("ha", "tunnel_error_relayed") >= 1
    assert daemons.counted("ha", "drop_too_big") == 0


@pytest.mark.rfc("5944", "4.2.3", "FW-9")
@pytest.mark.parametrize("encapsulation", ["ipip", "gre"])
def test_a_narrow_link_far_from_the_node(behind_a_router, resize, encapsulation):
    resize(1280, ("ha", "nat0"), ("nat", "ha0"))
    daemons = behind_a_router(encapsulation)
    assert mtu_of(daemons, "mn") == (1476, None, None)
    is_told(MN, CN, 1476, 1280 - 24)
    assert mtu_of(daemons, "mn") == (1280 - 24, 1280, "too big")
    all_fits(MN, CN, 1280 - 24)
    is_told(CN, MN, 1476, 1280 - 24)
    all_fits(CN, MN, 1280 - 24)


def test_a_download_begins_without_knowing_of_a_narrow_link(behind_a_router, resize, offload):
    resize(1280, ("nat", "mn0"), ("mn", "ha2"))
    behind_a_router("ipip")
    transfer(CN, MN)
    transfer(MN, CN)


@pytest.mark.rfc("5944", "4.2.3", "FW-9")
def test_a_path_that_leads_nowhere(behind_a_router):
    daemons = behind_a_router("ipip")
    with inside("nat"):
        run("ip", "route", "add", "prohibit", "192.168.1.7")
    try:
        with socket_in("cn", socket.SOCK_DGRAM, CORRESPONDENT) as here:
            here.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            here.connect((str(HOME), 9))
            here.send(b"to nowhere")
            with pytest.raises(OSError) as refused:  # noqa: PT011 -- the number tells
                here.recv(1)
        assert refused.value.errno == errno.ENETUNREACH
    finally:
        with inside("nat"):
            run("ip", "route", "del", "prohibit", "192.168.1.7")
    (path,) = daemons.ask("ha", "paths")["paths"]
    assert path["error"] == "prohibited"


# ---- packets that are cut up within a tunnel


@pytest.mark.rfc("2003", "5.1")
@pytest.mark.parametrize(
    ("encapsulation", "way"),
    [("ipip", "down"), ("minimal", "down"), ("gre", "up"), ("udp", "down"), ("udp", "up")],
)
def test_a_packet_that_was_cut_up_within_its_tunnel_arrives(
    behind_a_router, configured, resize, encapsulation, way
):
    """Only a router knows of the narrow link, and tells nobody: the packet may be cut up."""
    narrow = [("nat", "mn0"), ("mn", "ha2")] if way == "down" else [("ha", "nat0"), ("nat", "ha0")]
    resize(1280, *narrow)
    options = {}
    if encapsulation == "udp":
        configured.change("ha", nat_traversal=True, udp_forced=True)
        options["nat-traversal"], encapsulation = "force", "ipip"
    daemons = behind_a_router(encapsulation, **options)
    sender, receiver, end = (CN, MN, "mn") if way == "down" else (MN, CN, "ha")
    before = daemons.counted(end, "reassembled")
    for octets in (1300, 1400, 9000):
        send_in_pieces(sender, receiver, octets)
    # The pieces of the largest that are as large as the sender's links take are cut up once more.
    assert daemons.counted(end, "reassembled") - before == 2 + 9000 // 1456
    assert daemons.counted(end, "reassembled_elsewhere") == 0


def send_in_pieces(sender, receiver, octets):
    """Send a datagram that may be cut up on its way, and see it arrive as it was."""
    data = bytes(range(250)) * (octets // 250 + 1)
    with (
        socket_in(receiver[0], socket.SOCK_DGRAM, receiver[1]) as there,
        socket_in(sender[0], socket.SOCK_DGRAM, sender[1]) as here,
    ):
        here.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        here.sendto(data[:octets], there.getsockname())
        assert there.recv(1 << 16) == data[:octets]


def tunnel_from(host, address, there, inner):
    """Send a packet in a tunnel that nobody has registered; what is large goes in fragments."""
    with inside(host):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)
    with raw:
        raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        raw.bind((str(address), 0))
        raw.sendto(inner, (str(there), 0))


@pytest.mark.rfc("3024", "4.3.2")
def test_fragments_of_strangers_are_refused_like_all_else(behind_a_router):
    daemons = behind_a_router("ipip")
    inner = Packet(HOME, CORRESPONDENT, socket.IPPROTO_UDP, bytes(2000)).encode()
    counters = daemons.ask("ha", "status")["counters"]
    for _ in range(3):
        tunnel_from("cn", CORRESPONDENT, AGENT, inner)
    after = wait_for(lambda: daemons.ask("ha", "status")["counters"], "reassembled", 3)
    unknown = "drop_care_of_address_unknown"
    assert after.get(unknown, 0) - counters.get(unknown, 0) == 3


def test_what_is_no_tunnel_of_a_node_does_not_go_round(behind_a_router):
    """Nor is anybody told that there is no such protocol, for there is."""
    daemons = behind_a_router("ipip")
    inner = Packet(CORRESPONDENT, HOME, socket.IPPROTO_UDP, bytes(100)).encode()
    with inside("cn"):
        told = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with told:
        told.setblocking(False)
        with inside("cn"):
            run("ip", "route", "replace", BEHIND, "via", "203.0.113.1")
        tunnel_from("cn", CORRESPONDENT, "192.168.1.7", inner)
        status = lambda: daemons.ask("mn", "status")["counters"]  # noqa: E731
        after = wait_for(status, "reassembled_elsewhere", 1)
        with pytest.raises(BlockingIOError):
            told.recv(1500)
    assert daemons.counted("mn", "reassembled_elsewhere") == 1
    assert daemons.counted("mn", "reassembled") == 0
    assert after.get("drop_inner_address", 0) == 0


def test_a_tunnel_of_this_host_that_is_not_ours_is_left_alone(behind_a_router):
    daemons = behind_a_router("ipip")
    inner = Packet(HOME, CORRESPONDENT, socket.IPPROTO_UDP, bytes(100)).encode()
    tunnel_from("cn", CORRESPONDENT, "203.0.113.1", inner)
    tunnel_from("cn", CORRESPONDENT, AGENT, inner + bytes(2000))
    counters = wait_for(lambda: daemons.ask("ha", "status")["counters"], "reassembled", 1)
    assert counters.get("reassembled_elsewhere", 0) == 0


def wait_for(counters, name, value):
    until = time.monotonic() + 10
    while (found := counters()).get(name, 0) < value:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert found[name] == value
    return found


def forge(host, there, message):
    with inside(host):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with raw:
        raw.sendto(message, (str(there), 0))


def test_what_the_kernel_believes_of_a_forged_error_loses_no_packet(tunnels):
    """It believes every one about an echo reply, of whole the way to a care-of address."""
    agent, _mobile = tunnels(Encapsulation.IP_IN_IP, (), (1,))
    about = Packet(AGENT, CARE_OF[1], socket.IPPROTO_ICMP, bytes(8)).encode()
    forge("cn", AGENT, IcmpError(3, 4, about, 600).encode())
    with inside("ha"):
        assert "mtu 600" in run("ip", "route", "get", str(CARE_OF[1]))
    with whole(*CN) as here, socket_in("mn", socket.SOCK_DGRAM, HOME) as there:
        here.sendto(bytes(1448), there.getsockname())
        assert len(there.recv(1 << 16)) == 1448
    nothing_was_dropped(agent)
    with inside("ha"):
        run("ip", "route", "flush", "cache")


@pytest.mark.parametrize(("protocol", "port"), [(socket.IPPROTO_UDP, 434), (4, 0), (47, 0)])
def test_the_sockets_of_a_daemon_believe_no_forged_error(behind_a_router, protocol, port):
    behind_a_router("ipip")
    ports = port.to_bytes(2, "big") * 2
    about = Packet(AGENT, CARE_OF[2], protocol, ports + bytes(100)).encode()
    forge("cn", AGENT, IcmpError(3, 4, about, 600).encode())
    with inside("ha"):
        assert "mtu 600" not in run("ip", "route", "get", str(CARE_OF[2]))
