"""Every key of a configuration: which values it takes, and which it refuses."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"

Keys = list[tuple[str, list, list]]
"""Keys of a table, each with values that it takes and others that it does not."""

OUT_OF_LIFETIME = [0, -1, 65535, "0s", "65535s", "19h", "500ms", "90500ms", "10", "10 m", "1d", 1.5]
NO_ADDRESS = [1, "", "10.9.0", "10.9.0.5/24", "host", "::1", "0.1.2.3", "127.0.0.1",
              "224.0.0.1", "255.255.255.255", "10.9.0.05", " 10.9.0.5"]  # fmt: skip
NO_DEVICE = [1, "", ".", "..", "a/b", "a b", "a:b", "mip%d", "a\0", "sixteen-letters!", "äöüäöüäö"]
PREFIXES = [["2001:db8::/32"], ["2001:DB8:1::/64", "fd00:1::1/128"]]
NO_PREFIXES = [
    [], "2001:db8::/32", 1, [1], ["2001:db8::"], ["2001:db8::1/64"], ["10.9.0.0/24"], ["::/0"],
    ["fe80::/64"], ["ff02::/16"], ["2001:db8::/129"], ["2001:db8::/32", "2001:db8:1::/64"],
    [f"2001:db8:{number}::/64" for number in range(9)], ["2001:db8::%1/64"],
]  # fmt: skip
NO_SWITCH = [0, 1, "yes", "true", []]
NO_PATH = [1, "", "relative", "./here", "/a\0b", "/a\nb"]

HOST_KEYS: Keys = [
    ("socket", ["/a", "/" + 106 * "s"], [*NO_PATH, "/" + 107 * "s"]),
    ("store", ["memory:", "sqlite:///a.db"], [1, "", "sqlite://a", "redis://h", "/a.db"]),
    ("device", ["m", "fifteen-letters", "ä"], NO_DEVICE),
    ("pin-path", ["/a"], NO_PATH),
    ("attach", ["auto", "clsact"], ["", "tcx", 1, True]),
    ("log-level", ["error", "warning", "info", "debug"], [1, "", "INFO", "warn"]),
    ("mss-clamping", [True, False], NO_SWITCH),
    ("mtu", [552, 1500, 65535], [551, 65536, -1, "1500", 1500.0, True]),
]
ASSOCIATION_KEYS: Keys = [
    ("spi", [256, 0xFFFFFFFF], [255, 0, -1, 1 << 32, 1 << 20000, "256", 256.0, True]),
    ("algorithm", ["hmac-md5", "hmac-sha256", "keyed-md5"], ["", "md5", "HMAC-MD5", 1, []]),
    (
        "key",
        [32 * "a", 32 * "A", 512 * "0"],
        ["", "0", "0x00", "zz", "00 11", "0" * 514, 1, ["00"]],
    ),
    ("replay", ["timestamps", "nonces"], ["", "nonce", 1, True]),
    ("association", [[], [{"spi": 300, "key": 32 * "b"}]], [1, "", ["a"], [{}, 1]]),
]
KEYS: dict[tuple, Keys] = {
    ("home-agent", "home-agent"): [
        ("address", ["192.0.2.1"], NO_ADDRESS),
        (
            "home-networks",
            [["10.0.0.0/8"], ["10.9.0.0/24", "10.8.0.0/24"], ["10.9.0.5/32"], ["10.9.0.4/31"]],
            [[], "10.9.0.0/24", [1], ["10.9.0.0"], ["10.9.0.1/24"], ["10.9.0.0/33"], ["0.0.0.0/0"],
             ["10.9.0.0/24", "10.9.0.0/24"], ["10.9.0.0/24", "10.0.0.0/8"], ["fd00::/64"],
             ["10.9.0.0/255.255.255.0"], ["10.9.0.0/24", 1]],
        ),
        ("max-lifetime", [1, 65534, "1s", "65534s", "18h", "1000ms"], OUT_OF_LIFETIME),
        ("max-bindings", [1, 8], [0, 9, "1", True]),
        ("overwrite-scope", ["all", "same-bid"], ["none", "", 1, True]),
        ("unknown-bid", ["none-known", "any-unknown"], ["known", "", 1, False]),
        ("policy-in-reply", [True, False], NO_SWITCH),
        ("strict-reserved", [True, False], NO_SWITCH),
        ("revocation", [True, False], NO_SWITCH),
        ("notifications", [True, False], NO_SWITCH),
        ("require-aaa", [False], NO_SWITCH),
        ("interfaces", [["eth0"]], [[], "eth0", ["eth0", "eth0"], ["mip0"], ["a b"], [1]]),
        ("shortcut", [True, False], NO_SWITCH),
        ("shortcut-out", [True, False], NO_SWITCH),
        ("home-link", ["eth1"], ["", "a b", 1, ["eth1"], "mip0"]),
        ("advertisement-interval", ["4s", "30m", 600], [3, "3999ms", "31m", "", True]),
        ("message-strings", [True, False], NO_SWITCH),
        ("encapsulations", [["ipip"], ["minimal", "ipip"]],
         ["ipip", [], ["gre"], ["ipip", "ipip"], ["ipip", "udp"], [4]]),
        ("gre-sequence", [True, False], NO_SWITCH),
        ("nat-traversal", [True, False], NO_SWITCH),
        ("udp-forced", [False], [True, *NO_SWITCH]),
        ("keepalive-interval", ["10s", 110], ["9s", 111, "10500ms", "", True]),
        ("deny-source-mismatch", [True, False], NO_SWITCH),
        ("discovery", [True, False], NO_SWITCH),
        ("balance", ["flow", "packet"], ["packets", "", 1, True]),
        ("address-pool", ["10.9.0.128/25", ["10.9.0.64/26", "10.9.0.128/25"]],
         ["", [], 1, "10.9.0.129/25", "10.8.0.0/24", ["10.9.0.8/29", 1]]),
        *HOST_KEYS,
    ],
    ("home-agent", "mobile-node", 0): [
        ("home-address", ["10.9.0.1", "10.9.0.254"], [*NO_ADDRESS, "10.9.0.0", "10.9.0.255",
                                                      "10.8.0.1"]),
        ("nai", ["a", "a@x", "ü@x", 255 * "n"], ["", 1, "@x", "a@", "a@b@c", "a b", 256 * "n"]),
        ("services", [["voip"], ["a", "b"]], [[], "voip", ["a", "a"], [1], ["①"], [256 * "s"]]),
        *ASSOCIATION_KEYS,
        ("timestamp-tolerance", ["1s", "1h", "1500ms", 7], [0, "999ms", "61m", "7", 7.0]),
        ("multipath", [True, False], [*NO_SWITCH, "prefer"]),
        ("simultaneous-bindings", [True, False], NO_SWITCH),
        ("ipv6-prefixes", PREFIXES, NO_PREFIXES),
        ("balance", ["flow", "packet"], ["packets", "", 1, True]),
        (
            "label-weights",
            [{"1": 1, "255": 16}],
            [{}, [], 1, {"0": 1}, {"256": 1}, {"01": 1}, {"a": 1}, {"1": 0}, {"1": 17}, {"1": "1"}],
        ),
    ],
    ("home-agent", "flow", 0): [
        ("name", ["voice", 64 * "n", "über alles"], ["", 1, 65 * "n", "a\nb"]),
        ("match", ["any", "tcp,udp port 53"], ["", 1, "any any", 2000 * "x"]),
        ("labels", [[1], [255, 1]], [[], 1, [0], [256], [1, 1], ["1"], [True]]),
    ],
    ("mobile-node", "mobile-node"): [
        ("home-address", ["192.0.2.1"], [*NO_ADDRESS, "198.51.100.1"]),
        ("nai", ["a", "a@x"], ["", 1, "@x", "a@", "a b", 256 * "n"]),
        ("service", ["voip", "ü.example", 255 * "s"], ["", 1, "①", 256 * "s", ["voip"]]),
        ("home-agent", ["192.0.2.1"], NO_ADDRESS),
        *ASSOCIATION_KEYS,
        ("multipath", ["require", "prefer", "off"], [True, "", "on"]),
        ("simultaneous", [False], [True, *NO_SWITCH]),
        ("balance", ["flow", "packet"], ["packets", "", 1, True]),
        ("broadcast-datagrams", [True, False], NO_SWITCH),
        ("ipv6-prefixes", PREFIXES, NO_PREFIXES),
        ("lifetime", [1, 65534, "1s", "65534s", "18h"], OUT_OF_LIFETIME),
        ("exchange-policy", [True, False], NO_SWITCH),
        ("accept-policy", [False], [True, *NO_SWITCH]),
        ("revocation", [True, False], NO_SWITCH),
        ("notifications", [True, False], NO_SWITCH),
        ("default-route", [True, False], NO_SWITCH),
        ("probe-interval", ["10ms", "1m", 1], ["9ms", "61s", 0, 0.5, "0.5s"]),
        ("home-network", ["10.9.0.0/24"], ["", 1, "10.8.0.0/24", "10.9.0.1/24", ["10.9.0.0/24"]]),
        ("probe-dead-after", [1, 100], [0, 101, "3", 3.0]),
        *HOST_KEYS,
    ],
    ("mobile-node", "interface", 0): [
        ("name", ["wlan0", "fifteen-letters"], [*NO_DEVICE, "wwan0", "mip0"]),
        ("bid", [1, 254], [0, 255, 2, "1", True, 1.0]),
        ("label", [1, 255], [0, 256, "1"]),
        ("access", ["wlan", "LTE", 0, 255], [-1, 256, "", "wifi6", True, []]),
        ("weight", [1, 16], [0, 17, "1"]),
        ("encapsulation", ["ipip", "gre", "minimal"], ["", "udp", 4]),
        ("gre-key", [False], [True, *NO_SWITCH]),
        ("gre-sequence", [False], [True, *NO_SWITCH]),
        ("home", ["auto", "never"], ["", "always", True]),
        ("nat-traversal", ["off", "auto", "force"], ["", "on", True]),
    ],
    ("mobile-node", "flow", 0): [
        ("name", ["voice"], ["", 1]),
        ("match", ["any"], ["", 1, "udp prot 5"]),
        ("interfaces", [["wwan0"], ["wlan0", "wwan0"]],
         [[], "wlan0", ["wlan1"], ["wlan0", "wlan0"], [1], [[]]]),
    ],
}  # fmt: skip
CASES = [(*place, key, good, bad) for place, keys in KEYS.items() for key, good, bad in keys]
GOOD = [(*place, value) for *place, good, _ in CASES for value in good]
BAD = [(*place, value) for *place, _, bad in CASES for value in [*bad, {"a": "table"}, [[1]]]]


def name(case):
    """Name a case; not every number can be written in decimal."""
    return "-".join(ascii(hex(each) if type(each) is int else each)[:24] for each in case)


@pytest.mark.parametrize("case", GOOD, ids=name)
def test_a_value_within_the_limits_is_taken(read, configuration, case):
    role, *place, value = case
    tables = configuration(role, place, value)
    if place == ["home-agent", "home-networks"]:
        tables["mobile-node"] = []
    if place[0] == "interface":
        tables["flow"] = []

    assert read(tables).warnings is not None


@pytest.mark.parametrize("case", BAD, ids=name)
def test_a_value_outside_the_limits_is_refused_by_its_name(problems, configuration, case):
    role, *place, value = case
    tables = configuration(role, place, value)
    if place[0] == "interface":
        tables["flow"] = []

    found = problems(tables)

    assert any(f": {place[-1]}: " in line for line in found)
    assert all(line.isprintable() for line in found)
    assert all(len(line) < 400 for line in found)


def test_every_key_is_documented_where_it_belongs(sections):
    for (role, table, *_), keys in KEYS.items():
        for key, _, _ in keys:
            assert f"| `{key}` |" in sections[role, table], (role, table, key)


def test_every_documented_key_is_here_or_is_special(sections):
    # The last is nothing without a key: test_config_aaa.py.
    special = {"key-file", "action", "aaa-spi"}
    # A rule has these or interfaces: test_config_flows.py.
    instead = {
        ("mobile-node", "flow"): {"labels"},
        # These stand for others, or for each other: test_config_nodes.py.
        ("mobile-node", "mobile-node"): {"assigning-home-agents"},
        ("home-agent", "home-agent"): {"max-nodes", "redirect-to"},
    }
    for (role, table, *_), keys in KEYS.items():
        documented = set(re.findall(r"^\| `([a-z0-9-]+)` \|", sections[role, table], re.MULTILINE))
        found = documented - special - instead.get((role, table), set())
        assert found == {key for key, _, _ in keys}, (role, table)


@pytest.fixture(scope="module")
def sections():
    """The sections of the manual by role and table."""
    text = (DOCS / "configuration.md").read_text()
    home_agent, _, rest = text.partition("## Home agent\n")[2].partition("## Mobile node\n")
    mobile_node = rest.partition("## Keys\n")[0]
    return {
        (role, heading.strip("`[]").partition("]")[0]): body
        for role, chapter in (("home-agent", home_agent), ("mobile-node", mobile_node))
        for heading, _, body in (part.partition("\n") for part in chapter.split("### ")[1:])
    }
