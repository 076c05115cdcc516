"""Real daemons whose mobile node is configured by its name alone (RFC 2794)."""

import json
import subprocess
import sys
import time
from ipaddress import IPv4Address

import pytest

from tests.netns.hosts import CORRESPONDENT, inside, ping

pytestmark = pytest.mark.root

HOME_AGENT = """
[home-agent]
address = "198.51.100.1"
home-networks = ["10.9.0.0/24"]
address-pool = "{pool}"
socket = "{directory}/ha.sock"
store = "sqlite://{directory}/{store}.db"
pin-path = "{pins}/ha"

[[mobile-node]]
nai = "node5@fleet.example"
spi = 256
key = "00112233445566778899aabbccddeeff"

[[mobile-node]]
nai = "node6@fleet.example"
spi = 256
key = "0123456789abcdef0123456789abcdef"
"""
MOBILE_NODE = """
[mobile-node]
nai = "{nai}"
home-agent = "198.51.100.1"
spi = 256
key = "{key}"
lifetime = "10s"
socket = "{directory}/{host}.sock"
store = "sqlite://{directory}/{host}.db"
pin-path = "{pins}/{host}"

[[interface]]
name = "ha0"
bid = 1
access = "wlan"
"""
SECOND = """
[[interface]]
name = "ha1"
bid = 2
access = "lte"
"""
KEYS = {
    "mn": ("node5@fleet.example", "00112233445566778899aabbccddeeff", SECOND),
    "mn2": ("node6@fleet.example", "0123456789abcdef0123456789abcdef", ""),
}
ROLES = {"ha": "home-agent", "mn": "mobile-node", "mn2": "mobile-node"}


class Daemons:
    """Daemons in the namespaces of their hosts."""

    def __init__(self, directory, pins):
        self.directory, self.pins = directory, pins
        self.running = {}

    def start(self, host, pool="10.9.0.128/25", store="ha"):
        path = self.directory / f"{host}.toml"
        values = {"directory": self.directory, "pins": self.pins, "host": host}
        if host == "ha":
            path.write_text(HOME_AGENT.format(pool=pool, store=store, **values))
        else:
            nai, key, more = KEYS[host]
            path.write_text(MOBILE_NODE.format(nai=nai, key=key, **values) + more)
        with inside(host):
            self.running[host] = subprocess.Popen(
                [sys.executable, "-m", "flowbind.daemon", ROLES[host], "-c", str(path)]
            )

    def stop(self, host):
        process = self.running.pop(host)
        process.terminate()
        assert process.wait(10) == 0

    def ask(self, host, *command):
        done = subprocess.run(
            [sys.executable, "-c", "from flowbind.cli.main import main; main()", *command,
             "--json", "--socket", str(self.directory / f"{host}.sock")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def up(self, host, paths):
        """Wait until so many paths of a node are up; returns its home address."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            rows = self.ask(host, "paths").get("paths", [])
            if sum(row["state"] == "up" for row in rows) == paths:
                return self.ask(host, "status")["home_address"]
            time.sleep(0.1)
        pytest.fail(f"{host}: not {paths} paths up: {rows}")


@pytest.fixture
def daemons(pins, tmp_path):
    made = Daemons(tmp_path, pins)
    yield made
    for host in tuple(made.running):
        made.stop(host)


@pytest.mark.rfc("5944", "3.8.3.2", "HA-38")
@pytest.mark.rfc("5944", "3.6", "MN-3")
def test_a_node_with_nothing_but_a_name_gets_its_address_and_passes_packets(daemons):
    daemons.start("ha")
    daemons.start("mn")
    home_address = daemons.up("mn", 2)
    assert home_address == "10.9.0.128"
    assert ping("cn", CORRESPONDENT, IPv4Address(home_address))
    assert ping("mn", IPv4Address(home_address), CORRESPONDENT)
    status = daemons.ask("mn", "status")
    assert (status["nai"], status["bindings"]) == ("node5@fleet.example", 2)
    rows = daemons.ask("ha", "bindings")["bindings"]
    assert {(row["nai"], row["home_address"], row["bid"]) for row in rows} == {
        ("node5@fleet.example", home_address, 1), ("node5@fleet.example", home_address, 2),
    }  # fmt: skip


def test_the_address_is_the_same_after_both_ends_were_started_again(daemons):
    daemons.start("ha")
    daemons.start("mn")
    home_address = IPv4Address(daemons.up("mn", 2))
    daemons.stop("mn")
    # What it had goes on while it is away.
    assert ping("cn", CORRESPONDENT, home_address)
    daemons.start("mn")
    assert ping("cn", CORRESPONDENT, home_address)
    assert daemons.up("mn", 2) == str(home_address)
    daemons.stop("ha")
    daemons.start("ha")
    assert daemons.up("mn", 2) == str(home_address)
    assert ping("cn", CORRESPONDENT, home_address)


def test_an_address_that_went_to_another_node_is_replaced_under_way(daemons):
    pool = "10.9.0.128/31"
    daemons.start("ha", pool)
    daemons.start("mn")
    assert daemons.up("mn", 2) == "10.9.0.128"
    daemons.stop("ha")
    # A home agent that has lost its store gives the address to whoever comes first.
    daemons.start("ha", pool, store="other")
    daemons.start("mn2")
    until = time.monotonic() + 40
    while time.monotonic() < until:
        theirs = [daemons.ask(host, "status").get("home_address") for host in ("mn", "mn2")]
        if set(theirs) == {"10.9.0.128", "10.9.0.129"}:
            break
        time.sleep(0.2)
    assert set(theirs) == {"10.9.0.128", "10.9.0.129"}
    daemons.up("mn", 2)
    daemons.up("mn2", 1)
    assert daemons.ask("mn", "status")["counters"]["home_address_lost"] == 1
    for host, home_address in zip(("mn", "mn2"), map(IPv4Address, theirs), strict=True):
        assert ping("cn", CORRESPONDENT, home_address)
        assert ping(host, home_address, CORRESPONDENT)
