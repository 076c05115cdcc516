"""Behind a real address translator: masquerading by nftables, on the way of all that is sent."""

from ipaddress import IPv4Address

import pytest

from tests.dataplane.kernel import run
from tests.netns.daemons import KEY
from tests.netns.hosts import (
    CARE_OF,
    CORRESPONDENT,
    HOME,
    OTHER_HOME,
    Ping,
    exchange,
    inside,
    ping,
    transfer,
)

pytestmark = pytest.mark.root

OUTSIDE, ELSEWHERE = IPv4Address("100.64.3.2"), IPv4Address("100.64.3.3")
BEHIND, OTHER_BEHIND = IPv4Address("192.168.1.7"), IPv4Address("192.168.2.7")
MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)

AGENT_TOML = """
[home-agent]
address = "198.51.100.1"
home-networks = ["10.9.0.0/24"]
{settings}
[[mobile-node]]
home-address = "10.9.0.5"
spi = 256
key = "{key}"

[[mobile-node]]
home-address = "10.9.0.6"
spi = 257
key = "{key}"
"""
NODE_TOML = """
[mobile-node]
home-address = "{home}"
home-agent = "198.51.100.1"
spi = {spi}
key = "{key}"
probe-interval = "100ms"
{settings}
"""
INTERFACE_TOML = """
[[interface]]
name = "{name}"
bid = {bid}
access = "lte"
encapsulation = "{encapsulation}"
nat-traversal = "{traversal}"
gre-key = {key}
"""
NFT = "add table ip nat; add chain ip nat out {{ type nat hook postrouting priority 100; }}; \
add rule ip nat out oifname ha0 meta l4proto udp masquerade to :{first}-{last}"


def interface(name, bid, traversal="auto", kind="ipip"):
    encapsulation, _dash, key = kind.partition("-")
    return INTERFACE_TOML.format(
        name=name,
        bid=bid,
        traversal=traversal,
        encapsulation=encapsulation,
        key=str(bool(key)).lower(),
    )


def translate(first, last):
    """Translate to these ports. Who changes the address loses what was translated before."""
    with inside("nat"):
        run("nft", NFT.format(first=first, last=last))


def rebind(address, former, first, last):
    """Forget what is translated, as one that is restarted, and use other ports."""
    with inside("nat"):
        run("nft", "delete table ip nat")
        run("ip", "addr", "del", f"{former}/24", "dev", "ha0")
        run("ip", "addr", "add", f"{address}/24", "dev", "ha0")
        run("ip", "route", "replace", "default", "via", "100.64.3.1")
    translate(first, last)


@pytest.fixture
def translator(pins):
    translate(20000, 20999)
    yield
    with inside("nat"):
        run("nft", "delete table ip nat")
        for address in (ELSEWHERE, OUTSIDE):
            run("ip", "addr", "flush", "dev", "ha0")
            run("ip", "addr", "add", f"{address}/24", "dev", "ha0")
        run("ip", "route", "replace", "default", "via", "100.64.3.1")


@pytest.fixture
def agent(translator, daemon):
    def start(settings="nat-traversal = true"):
        return daemon(
            "home-agent", "ha", lambda host: AGENT_TOML.format(settings=host + settings, key=KEY)
        )

    return start


@pytest.fixture
def node(daemon):
    def start(host, *interfaces, settings=""):
        home, spi = (HOME, 256) if host == "mn" else (OTHER_HOME, 257)
        head = NODE_TOML.format(home=home, spi=spi, key=KEY, settings="{settings}")
        return daemon(
            "mobile-node",
            host,
            lambda keys: head.format(settings=keys + settings) + "".join(interfaces),
        )

    return start


def tunnels(daemon):
    return {each["bid"]: each["encapsulation"] for each in daemon.ask("paths")["paths"]}


def ends(daemon):
    """Where the tunnels of a home agent end, by BID."""
    paths = daemon.ask("paths")["paths"]
    return {each["bid"]: (each["remote"], each["remote_port"]) for each in paths}


def dropped(daemon):
    return {
        name: count
        for name, count in daemon.counters().items()
        if name.startswith("drop_") and name != "drop_no_binding" and count
    }


@pytest.mark.rfc("3519", "4.6", "UT-HA-2")
@pytest.mark.rfc("3519", "4.3", "UT-HA-6")
@pytest.mark.rfc("3519", "4.8", "UT-HA-12", "UT-MN-3")
@pytest.mark.parametrize("kind", ["ipip", "gre", "gre-key", "minimal"])
def test_tcp_and_ping_through_a_translator(agent, node, offload, kind):
    home = agent()
    mobile = node("mn", interface("ha2", 2, kind=kind))
    mobile.wait("a path that answers", lambda: mobile.counters().get("accepted", 0) > 0)
    assert tunnels(home) == tunnels(mobile) == {2: f"udp-{kind}"}
    address, port = ends(home)[2]
    assert (address, 20000 <= port <= 20999) == (str(OUTSIDE), True)
    assert ping("cn", CORRESPONDENT, HOME)
    transfer(CN, MN)
    transfer(MN, CN)
    # More than fits into one: in fragments before UDP.
    exchange(CN, MN, bytes(4000))
    exchange(MN, CN, bytes(4000))
    assert dropped(home) == dropped(mobile) == {}
    assert home.counters()["echo_answered"] > 0
    assert "path_dead" not in mobile.counters()


@pytest.mark.rfc("3519", "4.7", "UT-HA-9")
def test_three_paths_of_three_encapsulations(agent, node):
    home = agent()
    kinds = {1: "minimal", 2: "gre-key", 3: "udp-gre-key"}
    mobile = node(
        "mn",
        interface("ha0", 1, kind="minimal"),
        interface("ha1", 2, kind="gre-key"),
        interface("ha2", 3, kind="gre-key"),
    )
    home.wait("all bindings", lambda: home.bids() == {1, 2, 3})
    mobile.wait("three that are up", lambda: tunnels(mobile) == kinds)
    assert tunnels(home) == kinds
    keys = [each["gre_receive_key"] for each in home.ask("paths")["paths"]]
    assert keys[0] is None
    assert len(set(keys)) == 3
    assert [each["gre_send_key"] for each in mobile.ask("paths")["paths"]] == keys
    for _ in range(40):
        exchange(CN, MN, b"each a flow")
        exchange(MN, CN, b"each a flow")
    for _ in range(5):
        transfer(CN, MN)
        transfer(MN, CN)
    assert dropped(home) == dropped(mobile) == {}


@pytest.mark.rfc("3519", "4.7", "UT-HA-9")
def test_a_path_in_udp_beside_one_that_is_not(agent, node):
    home = agent()
    mobile = node("mn", interface("ha0", 1), interface("ha2", 2))
    home.wait("both bindings", lambda: home.bids() == {1, 2})
    assert tunnels(home) == {1: "ipip", 2: "udp-ipip"}
    assert ends(home)[1] == (str(CARE_OF[1]), None)
    assert ping("cn", CORRESPONDENT, HOME)
    with inside("mn"):
        run("ip", "link", "set", "ha0", "down")
    try:
        home.wait("the other one alone", lambda: home.bids() == {2})
        assert ping("cn", CORRESPONDENT, HOME)
    finally:
        with inside("mn"):
            run("ip", "link", "set", "ha0", "up")
            run("ip", "route", "replace", "default", "via", "198.51.100.1", "metric", "100")
    home.wait("both again", lambda: home.bids() == {1, 2})
    mobile.wait("its own view", lambda: tunnels(mobile) == {1: "ipip", 2: "udp-ipip"})


def test_two_nodes_behind_one_translator(agent, node):
    home = agent()
    node("mn", interface("ha2", 2))
    node("mn2", interface("ha1", 2, kind="gre"))
    home.wait("both nodes", lambda: len(home.ask("paths")["paths"]) == 2)
    (first, second) = home.ask("paths")["paths"]
    assert first["remote"] == second["remote"] == str(OUTSIDE)
    assert first["remote_port"] != second["remote_port"]
    assert ping("cn", CORRESPONDENT, HOME)
    assert ping("cn", CORRESPONDENT, OTHER_HOME)
    # From the one to the other, both in UDP.
    assert ping("mn", HOME, OTHER_HOME)
    assert dropped(home) == {}


@pytest.mark.rfc("3519", "4.10", "UT-MN-6")
def test_a_translator_that_forgets_costs_moments(agent, node):
    home = agent()
    mobile = node("mn", interface("ha2", 2))
    home.wait("the binding", lambda: home.bids() == {2})
    assert ping("cn", CORRESPONDENT, HOME)
    rebind(ELSEWHERE, OUTSIDE, 30000, 30999)
    home.wait("another end", lambda: ends(home)[2][0] == str(ELSEWHERE))
    assert 30000 <= ends(home)[2][1] <= 30999
    mobile.wait("an answer", lambda: mobile.ask("paths")["paths"][0]["state"] == "up")
    assert ping("cn", CORRESPONDENT, HOME)


@pytest.mark.rfc("3519", "4.4", "UT-MN-4")
def test_a_restarted_node_keeps_its_port(agent, node):
    home = agent()
    mobile = node("mn", interface("ha2", 2))
    home.wait("the binding", lambda: home.bids() == {2})
    assert ping("cn", CORRESPONDENT, HOME)
    before, own = ends(home)[2], mobile.ask("paths")["paths"][0]["local_port"]
    mobile.kill()
    under_way = Ping("cn", CORRESPONDENT, HOME, 200)
    mobile.start()
    mobile.wait("another registration", lambda: mobile.counters().get("accepted", 0) > 0)
    assert under_way.all_answered()
    assert ends(home)[2] == before
    assert mobile.ask("paths")["paths"][0]["local_port"] == own


def test_without_traversal_nothing_comes_through(agent, node):
    home = agent("")
    mobile = node("mn", interface("ha2", 2))
    home.wait("the binding", lambda: home.bids() == {2})
    # As ever: the home agent takes the private address for the end of the tunnel.
    assert ends(home)[2] == (str(BEHIND), None)
    mobile.wait("a dead path", lambda: mobile.counters().get("path_dead", 0) > 0)


@pytest.mark.rfc("3519", "4.6", "UT-HA-3")
@pytest.mark.rfc("3519", "3.1.1", "UT-HA-4")
def test_force_without_a_translator(agent, node):
    home = agent("nat-traversal = true\nudp-forced = true")
    node("mn", interface("ha0", 1, "force"), interface("ha1", 2, "auto"))
    home.wait("both bindings", lambda: home.bids() == {1, 2})
    assert tunnels(home) == {1: "udp-ipip", 2: "ipip"}
    assert ping("cn", CORRESPONDENT, HOME)
