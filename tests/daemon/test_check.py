"""What `flowbind check` prints, for people and for programs."""

import json
import re
from pathlib import Path

import pytest

from flowbind.daemon.check import HomeAgentReport, MobileNodeReport, as_text, describe, run_check
from flowbind.lab import agents
from flowbind.model.encoding import to_json

DOCS = Path(__file__).parents[2] / "docs"

HOME_AGENT_TEXT = """\
home agent at 198.51.100.1 for 10.9.0.0/24
  registrations  for 30m at most
  bindings       8 at most for each mobile node
  O bit          replaces all bindings of a node
  rules          refused where none of their BIDs is registered
  replies        without the policy in force
  reserved bits  ignored
  revocation     not told
  notifications  off
  interfaces     all that are up
  short cut      to nodes
  tunnels        ipip, gre, minimal
  home link      none: every node is away

2 mobile nodes
  10.9.0.5  SPI 256  hmac-md5     clock within 7s  multipath    label 1: weight 3, label 2: weight 2
  10.9.0.6  SPI 256  hmac-sha256  clock within 7s  one binding

2 flow rules for nodes that send none, 4 selectors; the first that can be followed decides
  1  voice: label 2 or label 1
       udp remote port 5060-5061
       udp local port 5060-5061
  2  no telnet: drop
       tcp remote port 23
       tcp local port 23

device mip0, maps pinned in /sys/fs/bpf/flowbind/home-agent
store sqlite:///var/lib/flowbind/home-agent.db
socket /run/flowbind/home-agent.sock
log level info
networks take 1500 octets at most, the MSS of TCP is lowered
"""
MOBILE_NODE_TEXT = """\
mobile node 10.9.0.5, home agent 198.51.100.1
  association    SPI 256, hmac-md5, timestamps
  multipath      preferred; with a home agent that has none, one binding at a time
  registrations  for 10m
  policy         sent to the home agent
  revocation     not heard of
  notifications  off
  probes         every 500ms, a path is dead after 3 lost (1.5s)
  default route  yes
  home           never: always away

2 interfaces
  wlan0  BID 1  label 1  wlan  ipip  weight 3  60% of the flows without a rule
  wwan0  BID 2  label 2  lte   ipip  weight 2  40% of the flows without a rule

3 flow rules, 7 selectors; the first that can be followed decides
  1  voice: wwan0 (BID 2) or wlan0 (BID 1)
       udp remote port 5060-5061
       udp remote port 16384-16484
       udp local port 5060-5061
       udp local port 16384-16484
  2  web: wlan0 (BID 1) or wwan0 (BID 2)
       tcp remote port 80
       tcp remote port 443
  3  no telemetry: drop
       udp remote net 203.0.113.0/24 remote port 9999

device mip0, maps pinned in /sys/fs/bpf/flowbind/mobile-node
store sqlite:///var/lib/flowbind/mobile-node.db
socket /run/flowbind/mobile-node.sock
log level info
networks take 1500 octets at most, the MSS of TCP is lowered
"""


@pytest.fixture
def check(file, capsys):
    """Check a text; return exit status, standard output and standard error."""

    def check(text, *, as_json=False):
        file.write_text(text)
        status = run_check(file, as_json=as_json)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return check


@pytest.fixture
def example(key_file):
    """Give an example of the manual with keys that are there."""
    return lambda name: re.sub(
        "/etc/flowbind/keys/node.", str(key_file), (DOCS / "examples" / name).read_text()
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [("home-agent.toml", HOME_AGENT_TEXT), ("mobile-node.toml", MOBILE_NODE_TEXT)],
)
def test_the_examples_as_people_see_them(check, example, name, text):
    assert check(example(name)) == (0, text, "")


def test_a_home_agent_as_programs_see_it(check, example, file):
    text = example("home-agent.toml").partition("[[mobile-node]]")[0]

    status, out, err = check(text, as_json=True)

    assert (status, err) == (0, "")
    assert out.count("\n") == 1
    assert json.loads(out) == {
        "role": "home-agent",
        "ok": True,
        "flows": [],
        "socket": "/run/flowbind/home-agent.sock",
        "store": "sqlite:///var/lib/flowbind/home-agent.db",
        "device": "mip0",
        "pin_path": "/sys/fs/bpf/flowbind/home-agent",
        "attach": "auto",
        "log_level": "info",
        "mtu": 1500,
        "mss_clamping": True,
        "warnings": [f"{file}: no [[mobile-node]]: nobody is served"],
        "address": "198.51.100.1",
        "home_networks": ["10.9.0.0/24"],
        "max_lifetime_s": 1800,
        "max_bindings": 8,
        "overwrite_scope": "all",
        "unknown_bid": "none-known",
        "policy_in_reply": False,
        "strict_reserved": False,
        "revocation": False,
        "notifications": False,
        "require_aaa": False,
        "interfaces": None,
        "shortcut": True,
        "shortcut_out": False,
        "home_link": None,
        "advertisement_interval_s": 600.0,
        "address_pool": [],
        "encapsulations": ["ipip", "gre", "minimal"],
        "gre_sequence": False,
        "nat_traversal": False,
        "udp_forced": False,
        "keepalive_interval_s": 110,
        "deny_source_mismatch": False,
        "discovery": False,
        "message_strings": False,
        "max_nodes": None,
        "redirect_to": None,
        "balance": "flow",
        "mobile_nodes": [],
        "foreign_agents": [],
    }


def test_the_members_of_the_json_are_documented(check, example):
    manual = (DOCS / "configuration.md").read_text().partition("## `flowbind check --json`")[2]
    documented = set(re.findall(r"`([a-z0-9_]+)`", manual))

    for name in ("home-agent.toml", "mobile-node.toml"):
        _, out, _ = check(example(name), as_json=True)
        assert members(json.loads(out)) <= documented


def members(value) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(members, value.values()))
    return set().union(*map(members, value)) if isinstance(value, list) else set()


def test_the_rules_of_a_mobile_node_as_programs_see_them(check, example):
    report = json.loads(check(example("mobile-node.toml"), as_json=True)[1])

    assert report["flows"][1:] == [
        {
            "name": "web",
            "action": "forward",
            "interfaces": ["wlan0", "wwan0"],
            "bids": [1, 2],
            "labels": None,
            "selectors": [
                {"match": "tcp remote port 80", "never": None},
                {"match": "tcp remote port 443", "never": None},
            ],
        },
        {
            "name": "no telemetry",
            "action": "drop",
            "interfaces": [],
            "bids": [],
            "labels": None,
            "selectors": [
                {"match": "udp remote net 203.0.113.0/24 remote port 9999", "never": None}
            ],
        },
    ]
    assert report["interfaces"][1] == {
        "name": "wwan0",
        "bid": 2,
        "label": 2,
        "access": "lte",
        "access_number": 8,
        "weight": 2,
        "share": 0.4,
        "encapsulation": "ipip",
        "home": "auto",
        "nat_traversal": "off",
        "gre_key": False,
        "gre_sequence": False,
    }


def test_every_problem_is_a_line_of_its_own_and_status_2(check, file):
    text = "[mobile-node]\nspi = 25\nlifetme = 1\n"

    status, out, err = check(text)

    assert status == 2
    assert out == ""
    lines = err.splitlines()
    assert len(lines) > 2
    assert all(line.startswith(f"flowbind: {file}: ") for line in lines)
    answer = {"ok": False, "problems": [line.removeprefix("flowbind: ") for line in lines]}
    status, out, again = check(text, as_json=True)
    assert (status, json.loads(out), again) == (2, answer, err)


def test_a_rule_that_nothing_can_match_is_marked_and_warned_of(check, example):
    text = example("mobile-node.toml").replace("udp remote port 9999", "icmp remote port 9999")

    status, out, err = check(text)

    reason = "packets of icmp do not have ports"
    assert (status, err) == (0, "")
    assert f"remote port 9999   never matches: {reason}\n" in out
    assert re.search(rf"^warning: .*no telemetry.*: {reason}$", out, re.MULTILINE)
    report = json.loads(check(text, as_json=True)[1])
    assert report["flows"][2]["selectors"][0]["never"] == reason
    assert len(report["warnings"]) == 1


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("role", ["home-agent", "mobile-node"])
def test_no_key_is_printed(check, role, as_json):
    secret = "5ec2e7" * 6
    text = {
        "home-agent": '[home-agent]\naddress = "192.0.2.1"\nhome-networks = ["10.9.0.0/24"]\n'
        f'[[mobile-node]]\nhome-address = "10.9.0.5"\nspi = 256\nkey = "{secret}"\n',
        "mobile-node": '[mobile-node]\nhome-address = "10.9.0.5"\nhome-agent = "192.0.2.1"\n'
        f'spi = 256\nkey = "{secret}"\n[[interface]]\nname = "eth0"\nbid = 1\naccess = 3\n',
    }[role]
    for content, expected in ((text, 0), (text + "x = 1\n", 2), (text.replace('"5', '"z'), 2)):
        status, out, err = check(content, as_json=as_json)
        assert status == expected
        assert "ec2e7" not in out + err


def test_what_is_not_the_default_is_told(read):
    text = as_text(
        describe(
            read("""
                [mobile-node]
                home-address = "10.9.0.5"
                home-agent = "198.51.100.1"
                spi = 256
                key = "0123456789abcdef0123456789abcdef"
                multipath = "off"
                lifetime = 90
                exchange-policy = false
                default-route = false
                [[interface]]
                name = "eth0"
                bid = 1
                access = 99
                encapsulation = "gre"
                gre-key = true
                gre-sequence = true
                nat-traversal = "force"
                """)
        )
    )
    for each in (
        "multipath      off: one binding at a time",
        "registrations  for 90s",
        "policy         kept here",
        "default route  no",
        "1 interface\n  eth0  BID 1  label 1  99  gre with a key, numbered, in UDP  weight 1",
        "no flow rules: every flow is spread over the paths by weight",
    ):
        assert each in text


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("nat-traversal = true", "tunnels in UDP to nodes that ask, keepalives every 110 s"),
        (
            'nat-traversal = true\nudp-forced = true\nkeepalive-interval = "20s"',
            "tunnels in UDP to nodes that ask, and to who insists, keepalives every 20 s",
        ),
        (
            "deny-source-mismatch = true",
            "no tunnels in UDP; refused without a tunnel in UDP",
        ),
    ],
)
def test_what_is_made_of_translators_is_told(read, said, text):
    settings = read(f"""
[home-agent]
address = "198.51.100.1"
home-networks = ["10.9.0.0/24"]
{said}
""")
    assert f"  NAT            {text}\n" in as_text(describe(settings))


def test_the_tunnels_that_there_are_are_told(read):
    settings = read("""
[home-agent]
address = "198.51.100.1"
home-networks = ["10.9.0.0/24"]
encapsulations = ["ipip", "gre"]
gre-sequence = true
""")
    assert "  tunnels        ipip, gre; GRE packets are numbered\n" in as_text(describe(settings))


def test_a_policy_that_is_taken_is_told(read):
    text = as_text(
        describe(
            read("""
                [mobile-node]
                home-address = "10.9.0.5"
                home-agent = "198.51.100.1"
                spi = 256
                key = "0123456789abcdef0123456789abcdef"
                exchange-policy = false
                accept-policy = true
                [[interface]]
                name = "eth0"
                bid = 1
                access = 3
                """)
        )
    )
    assert "policy         kept here until the home agent tells another one" in text


def test_what_is_spread_is_told(configuration, read):
    tables = configuration("mobile-node")
    tables["mobile-node"] |= {"balance": "packet"}
    assert "balance        packets, not flows" in as_text(describe(read(tables)))
    tables = configuration("home-agent")
    tables["home-agent"] |= {"balance": "packet"}
    for balance, said in (("packet", True), ("flow", False)):
        report = describe(read(tables))
        assert isinstance(report, HomeAgentReport)
        assert report.mobile_nodes[0].balance == balance
        assert ("multipath, spread by packets" in as_text(report)) is said
        tables["mobile-node"][0] |= {"balance": "flow"}


def test_simultaneous_bindings_are_told(configuration, read, problems):
    tables = configuration("mobile-node")
    tables["mobile-node"] |= {"multipath": "off", "simultaneous": True}
    report = describe(read(tables))
    assert isinstance(report, MobileNodeReport)
    assert report.simultaneous
    assert "multipath      off: simultaneous bindings asked for" in as_text(report)
    tables["mobile-node"]["multipath"] = "prefer"
    assert problems(tables) == [
        '[mobile-node]: simultaneous: RFC 7629 needs no copies: set multipath to "off"'
    ]
    for changes, said in (
        ({"simultaneous-bindings": True}, "multipath or simultaneous"),
        ({"simultaneous-bindings": True, "multipath": False}, "clock within 7s  simultaneous"),
    ):
        tables = configuration("home-agent")
        tables["mobile-node"][0] |= changes
        report = describe(read(tables))
        assert isinstance(report, HomeAgentReport)
        assert report.mobile_nodes[0].simultaneous_bindings
        assert said in as_text(report)


def test_further_associations_have_lines_of_their_own(check, configuration, read):
    for role, expected in (
        ("home-agent", "10.9.0.5  SPI 256  hmac-md5     clock within 7s  multipath\n"
                       "            SPI 300  hmac-sha256  nonces\n"),
        ("mobile-node", "association    SPI 256, hmac-md5, timestamps\n"
                        "  in readiness   SPI 300, hmac-sha256, nonces\n"),
    ):  # fmt: skip
        place = ["mobile-node", 0] if role == "home-agent" else ["mobile-node"]
        further = {"spi": 300, "key": 32 * "b", "algorithm": "hmac-sha256", "replay": "nonces"}
        settings = read(configuration(role, [*place, "association"], [further]))
        assert expected in as_text(describe(settings))
        assert b"bbbb" not in to_json(describe(settings))


@pytest.mark.parametrize("text", [agents.home_agent_toml(), agents.mobile_node_toml()])
def test_the_configurations_of_the_lab_check_well(check, key_file, text):
    status, out, err = check(text.replace(str(agents.KEY_FILE), str(key_file)))

    assert (status, err) == (0, "")
    assert "warning" not in out
