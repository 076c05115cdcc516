"""Nodes that a home agent knows by their NAI, and the pool of their home addresses."""

from ipaddress import IPv4Network, IPv6Network

import pytest

KEY = "00112233445566778899aabbccddeeff"
A = {"nai": "a@x", "spi": 256, "key": KEY}
POOL = "10.9.0.128/25"


@pytest.fixture
def home_agent(configuration):
    def make(*nodes, **changes):
        tables = configuration("home-agent", ["flow"], [])
        return {
            **tables,
            "home-agent": {**tables["home-agent"], **changes},
            "mobile-node": list(nodes),
        }

    return make


@pytest.mark.rfc("2794", "2")
def test_a_node_may_be_known_by_its_name_alone(read, home_agent):
    config = read(home_agent(A, **{"address-pool": POOL})).engine
    (node,) = config.mobile_nodes
    assert (node.home_address, node.nai, node.name) == (None, "a@x", "a@x")
    assert config.address_pool == (IPv4Network(POOL),)


def test_several_prefixes_are_a_pool_too(read, home_agent):
    pool = ["10.9.0.128/26", "10.9.0.240/28"]
    config = read(home_agent(A, **{"address-pool": pool})).engine
    assert config.address_pool == tuple(map(IPv4Network, pool))


@pytest.mark.parametrize("name", ["node", "node@x", "ü@x", "a" * 253 + "@x"])
def test_names(read, home_agent, name):
    config = read(home_agent({**A, "nai": name}, **{"address-pool": POOL})).engine
    assert config.mobile_nodes[0].nai == name


@pytest.mark.parametrize(
    ("nodes", "pool", "problem"),
    [
        ([{**A, "nai": "@x"}], POOL, "[[mobile-node]] 1 (@x): nai: expected an NAI such as "
         'node5@fleet.example, found "@x"'),
        ([{**A, "nai": "a@"}], POOL, "[[mobile-node]] 1 (a@): nai: expected an NAI such as "
         'node5@fleet.example, found "a@"'),
        ([{**A, "nai": "a b"}], POOL, "[[mobile-node]] 1 (a b): nai: expected an NAI such as "
         'node5@fleet.example, found "a b"'),
        ([{**A, "nai": "ü" * 128}], POOL, "[[mobile-node]] 1: nai: an NAI has at most 255 octets"),
        ([A, A], POOL, "[[mobile-node]] 2 (a@x): nai: [[mobile-node]] 1 (a@x) has a@x already"),
        ([A], None, "[[mobile-node]] 1 (a@x): home-address: missing, and [home-agent] has no "
         "address-pool to give one of"),
        ([{"spi": 256, "key": KEY}], POOL, "[[mobile-node]] 1: home-address: missing, and there is "
         "no nai instead"),
        ([{**A, "home-address": "10.9.0.129"}], POOL, "[[mobile-node]] 1 (a@x): home-address: "
         "10.9.0.129 is in 10.9.0.128/25 of the address-pool"),
        ([A], "10.9.1.0/24", "[home-agent]: address-pool: 10.9.1.0/24 is in none of the "
         "home-networks"),
        ([A], "10.9.0.129/25", '[home-agent]: address-pool: "10.9.0.129/25" has host bits set (did '
         'you mean "10.9.0.128/25"?)'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(problems, home_agent, nodes, pool, problem):
    changes = {"address-pool": pool} if pool else {}
    assert problem in problems(home_agent(*nodes, **changes))


def test_the_agent_s_own_address_is_not_to_be_given_away(problems, home_agent):
    agent = {"address": "10.9.0.130", "address-pool": POOL}
    assert problems(home_agent(A, **agent)) == [
        "[home-agent]: address-pool: 10.9.0.128/25 has the home agent's own address in it"
    ]


def test_a_pool_that_is_too_small_for_all_is_warned_of(read, file, home_agent):
    nodes = [{**A, "nai": f"{n}@x"} for n in range(2)]
    # The last address of the home network is nobody's.
    assert read(home_agent(*nodes, **{"address-pool": "10.9.0.254/31"})).warnings[-1] == (
        f"{file}: [home-agent]: address-pool: 1 addresses for 2 nodes without a home-address"
    )


def test_a_mobile_node_may_be_configured_by_its_name_alone(read, configuration):
    tables = configuration("mobile-node", ["mobile-node", "nai"], "a@x")
    del tables["mobile-node"]["home-address"]
    config = read(tables).engine
    assert (config.home_address, config.nai, config.name) == (None, "a@x", "a@x")


def test_a_mobile_node_without_any_name(problems, configuration):
    tables = configuration("mobile-node", ["mobile-node", "home-address"], ...)
    assert problems(tables) == ["[mobile-node]: home-address: missing, and there is no nai instead"]


def test_a_mobile_node_may_be_assigned_its_home_agent(read, configuration):
    tables = configuration("mobile-node", ["mobile-node", "nai"], "a@x")
    for key in ("home-address", "home-agent"):
        del tables["mobile-node"][key]
    tables["mobile-node"]["assigning-home-agents"] = ["198.51.100.1", "198.51.100.2"]
    config = read(tables).engine
    assert (config.home_agent, config.home_address) == (None, None)
    assert [str(each) for each in config.assigning_home_agents] == ["198.51.100.1", "198.51.100.2"]


def test_an_assignment_goes_with_nothing_that_says_the_same(problems, configuration):
    place = ["mobile-node", "assigning-home-agents"]
    assert problems(configuration("mobile-node", place, ["198.51.100.1"])) == [
        "[mobile-node]: assigning-home-agents: they say what home-agent would",
        "[mobile-node]: assigning-home-agents: they say what home-address would",
        "[mobile-node]: assigning-home-agents: only a node with a nai is assigned a home agent",
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"max-nodes": 5}, "max-nodes, redirect-to: one says nothing without the other"),
        (
            {"redirect-to": "192.0.2.1"},
            "max-nodes, redirect-to: one says nothing without the other",
        ),
        (
            {"max-nodes": 5, "redirect-to": "198.51.100.1"},
            "redirect-to: this is the home agent's own address",
        ),
    ],
)
def test_a_redirection_leads_elsewhere(problems, configuration, changes, problem):
    tables = configuration("home-agent")
    tables["home-agent"].update(changes)
    assert problems(tables) == [f"[home-agent]: {problem}"]


def test_a_redirection(read, configuration):
    tables = configuration("home-agent")
    tables["home-agent"].update({"max-nodes": 0, "redirect-to": "192.0.2.1"})
    config = read(tables).engine
    assert (config.max_nodes, str(config.redirect_to)) == (0, "192.0.2.1")


@pytest.mark.rfc("5454", "3.3", "DS-HA-10")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2001:db8:1::/64", "2001:db8:1::/64"),
        ("2001:db8::/32", "2001:db8:1::/64"),
        ("2001:db8:1::/64", "2001:db8::/32"),
    ],
)
def test_no_two_nodes_have_one_address_of_ipv6(problems, home_agent, first, second):
    both = (("a", first), ("b", second))
    nodes = [{**A, "nai": name, "ipv6-prefixes": [each]} for name, each in both]
    (problem,) = problems(home_agent(*nodes, **{"address-pool": POOL}))
    assert "ipv6-prefixes: " in problem
    assert " overlaps with " in problem


def test_prefixes_side_by_side_are_two_nodes(read, home_agent):
    nodes = [
        {**A, "nai": name, "ipv6-prefixes": [each]}
        for name, each in (("a", "2001:db8::/64"), ("b", "2001:db8:0:1::/64"))
    ]
    config = read(home_agent(*nodes, **{"address-pool": POOL})).engine
    assert [each.ipv6_prefixes for each in config.mobile_nodes] == [
        (IPv6Network("2001:db8::/64"),),
        (IPv6Network("2001:db8:0:1::/64"),),
    ]
