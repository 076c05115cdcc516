"""The [[flow]] tables, from a file and at run time."""

import pytest

from flowbind.daemon.config import ConfigError, read_policy


@pytest.fixture
def flows(configuration):
    """Make the configuration of a mobile node with these rules."""
    return lambda *rules: configuration("mobile-node", ["flow"], list(rules))


def test_rules_keep_their_order_and_are_named_by_position(read, flows):
    settings = read(
        flows(
            {"match": "tcp", "interfaces": ["wlan0"]},
            {"name": "dns", "match": "udp port 53", "interfaces": ["wwan0", "wlan0"]},
            {"match": "icmp", "action": "drop"},
            {"match": "any", "action": "forward", "interfaces": ["wlan0"]},
        )
    )
    assert [(each.name, each.action.name, each.bids) for each in settings.engine.policy] == [
        ("flow-1", "FORWARD", (1,)),
        ("dns", "FORWARD", (2, 1)),
        ("flow-3", "DROP", ()),
        ("flow-4", "FORWARD", (1,)),
    ]
    assert len(settings.engine.policy[1].selectors) == 2


def test_two_rules_of_one_name(problems, flows):
    rule = {"name": "web", "match": "tcp", "interfaces": ["wlan0"]}
    assert problems(flows(rule, {**rule, "match": "udp"})) == [
        '[[flow]] 2 (web): name: [[flow]] 1 (web) is called "web" already'
    ]


def test_two_rules_that_forward_by_one_selector(problems, read, flows):
    dns = {"name": "dns", "match": "udp port 53", "interfaces": ["wlan0"]}
    again = {"name": "again", "match": "udp remote port 53", "interfaces": ["wwan0"]}
    assert problems(flows(dns, again)) == [
        "[[flow]] 2 (again): match: [[flow]] 1 (dns) selects udp remote port 53 already:"
        " name all of its paths in one rule"
    ]
    drop = {"name": "again", "match": "udp remote port 53", "action": "drop"}
    assert len(read(flows(dns, drop)).engine.policy) == 2
    assert len(read(flows(drop, dns)).engine.policy) == 2


def test_more_selectors_than_a_node_can_have(problems, read, flows):
    rules = [
        {"match": f"{protocol} port {','.join(map(str, range(100, 116)))}", "interfaces": ["wlan0"]}
        for protocol in ("tcp", "udp", "sctp")
    ]
    assert len(read(flows(*rules[:2])).engine.policy) == 2
    assert problems(flows(*rules)) == [
        "[[flow]]: all rules together need 96 selectors, more than 64"
    ]


def test_a_policy_that_fits_into_no_packet_is_a_warning(read, file, configuration):
    rules = [
        {
            "match": f"udp remote net 203.0.{n}.0/24 remote port 100-200 local port 300-400",
            "interfaces": ["wwan0", "wlan0"],
        }
        for n in range(64)
    ]
    tables = configuration("mobile-node", ["flow"], rules[:46])
    assert read(tables).warnings == ()
    tables["flow"] = rules
    assert read(tables).warnings == (
        f"{file}: [[flow]]: all rules together take 1920 octets of a registration, more than the"
        " 1400 of one packet: some networks drop fragments",
    )
    tables["mobile-node"]["exchange-policy"] = False
    assert read(tables).warnings == ()


def test_a_rule_that_nothing_can_match_is_a_warning(read, file, flows):
    rule = {"name": "ping", "match": "icmp remote port 5", "interfaces": ["wlan0"]}
    assert read(flows(rule)).warnings == (
        f"{file}: [[flow]] 1 (ping): match: icmp remote port 5: packets of icmp do not have ports",
    )


def test_a_policy_at_run_time_is_read_like_the_tables_of_the_file(read, flows):
    tables: list[dict[str, object]] = [
        {"name": "voice", "match": "udp port 5060", "interfaces": ["wwan0", "wlan0"]},
        {"match": "any", "action": "drop"},
    ]
    assert (
        read_policy(tables, "policy.toml", {"wlan0": 1, "wwan0": 2}, {})
        == read(flows(*tables)).engine.policy
    )
    assert read_policy([], "policy.toml", {"wlan0": 1}, {}) == ()


@pytest.fixture
def labelled(configuration):
    """Make the configuration of a mobile node whose interfaces have these If-Labels."""

    def make(labels, *rules):
        tables = configuration("mobile-node", ["flow"], list(rules))
        for interface, label in zip(tables["interface"], labels, strict=True):
            interface["label"] = label
        return tables

    return make


@pytest.mark.rfc("7629", "6", "RT-1")
def test_a_rule_by_if_label_goes_to_the_interfaces_that_have_it(read, labelled):
    rules = [
        {"match": "udp", "labels": [9, 7]},
        {"match": "tcp", "labels": [7]},
        {"match": "icmp", "interfaces": ["wwan0"]},
    ]
    settings = read(labelled((7, 9), *rules))
    assert [each.bids for each in settings.engine.policy] == [(2, 1), (1,), (2,)]
    both = read(labelled((7, 7), {"match": "udp", "labels": [7]}))
    assert [each.bids for each in both.engine.policy] == [(1, 2)]


def test_a_rule_by_an_if_label_that_no_interface_has(problems, labelled):
    rule = {"match": "udp", "labels": [7, 8]}
    assert problems(labelled((7, 9), rule)) == [
        "[[flow]] 1: labels: no interface has the If-Label 8: there is 7, 9"
    ]


def test_a_rule_names_interfaces_or_if_labels(problems, labelled):
    rule = {"match": "udp", "labels": [7], "interfaces": ["wlan0"]}
    assert problems(labelled((7, 9), rule)) == [
        "[[flow]] 1: interfaces and labels: expected only one of them"
    ]
    drop = {"match": "udp", "labels": [7], "action": "drop"}
    assert problems(labelled((7, 9), drop)) == [
        '[[flow]] 1: labels: a rule with action "drop" has none'
    ]


def test_a_policy_at_run_time_names_its_source():
    with pytest.raises(ConfigError) as caught:
        read_policy(
            [{"match": "udp", "interfaces": ["wwan0"]}, {"match": None, "name": 1}],
            "policy.toml",
            {"wlan0": 1},
            {},
        )
    assert caught.value.problems == (
        'policy.toml: [[flow]] 1: interfaces: there is no interface "wwan0"'
        ' (did you mean "wlan0"?)',
        "policy.toml: [[flow]] 2: name: expected a name, found 1",
        "policy.toml: [[flow]] 2: match: expected a match expression, found nothing",
        'policy.toml: [[flow]] 2: expected either interfaces, labels or action = "drop"',
    )
