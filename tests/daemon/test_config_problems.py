"""What is said about a configuration that cannot be used, or only with a warning."""

import pytest

from flowbind.daemon.config import ConfigError, read_settings


@pytest.mark.parametrize(
    ("role", "place", "value", "problem"),
    [
        (
            "mobile-node", ["interface", 1, "bid"], 0,
            "[[interface]] 2 (wwan0): bid: expected a number from 1 to 254, found 0",
        ),
        (
            "mobile-node", ["interface", 1, "bid"], 1,
            "[[interface]] 2 (wwan0): bid: an interface before has 1 already",
        ),
        (
            "mobile-node", ["mobile-node", "lifetme"], "10m",
            '[mobile-node]: unknown key "lifetme" (did you mean "lifetime"?)',
        ),
        (
            "mobile-node", ["mobile-node", "home-agent"], ...,
            "[mobile-node]: home-agent: missing, and there is no home-network to look for it in",
        ),
        (
            "mobile-node", ["mobile-node", "home-agent"], "10.9.0.5",
            "[mobile-node]: home-address: this is the home agent's address",
        ),
        (
            "mobile-node", ["mobile-node", "key"], ...,
            "[mobile-node]: expected either key or key-file, neither is there",
        ),
        (
            "mobile-node", ["mobile-node", "key-file"], "key",
            "[mobile-node]: expected either key or key-file, both are there",
        ),
        (
            "mobile-node", ["mobile-node", "multipath"], "prefr",
            '[mobile-node]: multipath: expected "require" or "prefer" or "off", found "prefr"'
            ' (did you mean "prefer"?)',
        ),
        (
            "mobile-node", ["mobile-node", "lifetime"], "1500ms",
            '[mobile-node]: lifetime: expected whole seconds, found "1500ms"',
        ),
        (
            "mobile-node", ["mobile-node", "lifetime"], 1 << 64,
            "[mobile-node]: lifetime: expected a duration from 1s to 65534s,"
            " found a very large number",
        ),
        (
            "mobile-node", ["flow", 0, "interfaces"], ["wlan1"],
            '[[flow]] 1: interfaces: there is no interface "wlan1" (did you mean "wlan0"?)',
        ),
        (
            "mobile-node", ["flow", 0, "match"], "udp prot 5",
            "[[flow]] 1: match: column 5: expected a protocol, 'port', 'net', 'remote', 'local',"
            " 'dscp' or 'spi', found 'prot'",
        ),
        (
            "mobile-node", ["flow", 0, "match"], "remote net 2001:db8::/32",
            "[[flow]] 1: match: a node without ipv6-prefixes has no packets of IPv6",
        ),
        ("mobile-node", ["flow", 0, "match"], ..., "[[flow]] 1: match: missing"),
        (
            "mobile-node", ["flow", 0, "interfaces"], ...,
            '[[flow]] 1: expected either interfaces, labels or action = "drop"',
        ),
        (
            "mobile-node", ["flow", 0, "action"], "drop",
            '[[flow]] 1: interfaces: a rule with action "drop" has none',
        ),
        (
            "mobile-node", ["interface"], [],
            "[[interface]]: expected 1 to 8 interfaces, found 0",
        ),
        (
            "mobile-node", ["interface"], {"name": "wlan0"},
            "interface: expected an array of tables [[interface]], found a table",
        ),
        ("mobile-node", ["interface"], [3], "[[interface]] 1: expected a table, found 3"),
        (
            "mobile-node", ["interfce"], [],
            'unknown table "interfce" (did you mean "interface"?)',
        ),
        (
            "home-agent", ["interface"], [],
            'unknown table "interface"',
        ),
        (
            "home-agent", ["flow", 0, "labels"], ...,
            '[[flow]] 1: expected either labels or action = "drop"',
        ),
        (
            "home-agent", ["mobile-node", 0, "home-address"], "10.8.0.5",
            "[[mobile-node]] 1 (10.8.0.5): home-address: 10.8.0.5 is in none of the home-networks",
        ),
        (
            "home-agent", ["mobile-node", 0, "home-address"], "10.9.0.255",
            "[[mobile-node]] 1 (10.9.0.255): home-address: 10.9.0.255 is the address of a whole"
            " network",
        ),
        (
            "home-agent", ["home-agent", "address"], "10.9.0.5",
            "[[mobile-node]] 1 (10.9.0.5): home-address: 10.9.0.5 is the home agent's own address",
        ),
        (
            "home-agent", ["mobile-node"], 2 * [{"home-address": "10.9.0.5"}],
            "[[mobile-node]] 2 (10.9.0.5): home-address: [[mobile-node]] 1 (10.9.0.5) has 10.9.0.5"
            " already",
        ),
        (
            "home-agent", ["home-agent", "home-networks"], ["10.9.0.5/24"],
            '[home-agent]: home-networks: "10.9.0.5/24" has host bits set (did you mean'
            ' "10.9.0.0/24"?)',
        ),
        (
            "home-agent", ["mobile-node", 0, "label-weights"], {"1": 17},
            "[[mobile-node]] 1 (10.9.0.5): label-weights: 1: expected a number from 1 to 16,"
            " found 17",
        ),
        (
            "home-agent", ["mobile-node"], {"home-address": "10.9.0.5"},
            "expected either [home-agent] or [mobile-node], found both",
        ),
    ],
)  # fmt: skip
def test_a_problem_names_its_place_and_what_was_expected(
    problems, configuration, role, place, value, problem
):
    assert problem in problems(configuration(role, place, value))


def test_all_problems_are_told_at_once_and_nothing_follows_from_a_problem_but_itself(
    problems, configuration
):
    tables = configuration("mobile-node")
    tables["mobile-node"].update(spi=1, lifetime="x")
    tables["interface"][1]["bid"] = 0

    assert [each.rpartition(": ")[0] for each in problems(tables)] == [
        "[mobile-node]: spi",
        "[mobile-node]: lifetime",
        "[[interface]] 2 (wwan0): bid",
    ]


def test_an_empty_file_has_no_role(problems):
    assert problems("") == ["expected either [home-agent] or [mobile-node], found neither"]


def test_a_slip_in_the_name_of_the_first_table_is_guessed(problems):
    assert problems("[home-agnet]\n") == [
        "expected either [home-agent] or [mobile-node], found neither",
        'unknown table "home-agnet" (did you mean "home-agent"?)',
    ]


def test_the_tables_of_a_home_agent_alone_are_not_enough(problems, configuration):
    assert problems(configuration("home-agent", ["home-agent"], ...)) == [
        "expected either [home-agent] or [mobile-node], found neither"
    ]


def test_more_interfaces_than_a_node_can_have_paths(problems, read, configuration):
    many = [{"name": f"eth{n}", "bid": n, "access": "ethernet"} for n in range(1, 10)]
    tables = {**configuration("mobile-node"), "interface": many, "flow": []}

    assert problems(tables) == ["[[interface]]: expected 1 to 8 interfaces, found 9"]
    assert len(read({**tables, "interface": many[:8]}).engine.interfaces) == 8


def test_what_is_no_toml_is_told_with_line_and_column(problems):
    (problem,) = problems("[mobile-node]\nspi = 256\nkey = 0011ff\n")

    assert problem.startswith("line 3, column ")
    assert "0011ff" not in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[mobile-node", "Expected ']' at the end of a table declaration"),
        ("a = 1\na = 2\n", "Cannot overwrite a value"),
        ("a = " + 9000 * "[", "tables or arrays are nested too deeply"),
        ("a = " + 5000 * "9", "limit"),
    ],
)
def test_no_text_is_too_strange(problems, text, problem):
    (found,) = problems(text)
    assert problem in found


def test_octets_that_are_no_text(file):
    file.write_bytes(b"\xff\xfe[\0")
    with pytest.raises(ConfigError) as caught:
        read_settings(file)
    assert caught.value.problems == (f"{file}: this is not UTF-8",)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.toml", "No such file or directory"),
        (".", "Is a directory"),
        ("a\0b", "embedded null"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, reason):
    with pytest.raises(ConfigError) as caught:
        read_settings(tmp_path / name)
    (problem,) = caught.value.problems
    assert problem.startswith(str(tmp_path))
    assert reason in problem
    assert problem.isprintable()


def test_a_home_agent_that_serves_nobody_is_warned(read, file, configuration):
    assert read(configuration("home-agent", ["mobile-node"], [])).warnings == (
        f"{file}: no [[mobile-node]]: nobody is served",
    )
