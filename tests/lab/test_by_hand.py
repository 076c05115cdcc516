"""Real daemons in the lab, used as an operator would, and by a stranger who means no good."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flowbind.lab import agents, processes, topology
from flowbind.lab.agents import HOME_AGENT, MOBILE_NODE, wait_until

pytestmark = pytest.mark.root

FLOWBIND = [sys.executable, "-c", "from flowbind.cli.main import main; main()"]

STRANGER = """
import random, socket, sys
chance = random.Random(int(sys.argv[1]))
known = bytes.fromhex(sys.argv[2])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.settimeout(0.5)
for number in range(4000):
    octets = bytearray(known if number % 2 else chance.randbytes(chance.randrange(200)))
    for _ in range(chance.randrange(1, 4)):
        if octets:
            octets[chance.randrange(len(octets))] = chance.randrange(256)
    out.sendto(bytes(octets[: chance.randrange(len(octets) + 1)] or octets), (sys.argv[3], 434))
replies = 0
try:
    while True:
        out.recv(65535)
        replies += 1
except TimeoutError:
    print(replies)
"""


def flowbind(*arguments, inside=None):
    """Run the command line to its end, in a node if one is named."""
    command = [*FLOWBIND, *arguments]
    if inside:
        command = ["ip", "netns", "exec", topology.node(inside).namespace, *command]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def ask(command, role, *arguments):
    """Ask a daemon with --json."""
    done = flowbind(*command.split(), "--socket", str(role.socket), "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def bids(role=HOME_AGENT):
    return {row["bid"] for row in ask("bindings", role)["bindings"]}


def daemon(role):
    """The written-down process of a daemon."""
    return next(each for each in processes.written_down() if each.name == role.name)


def errors_of(role):
    return (processes.LOG_DIRECTORY / f"{role.name}.err").read_text()


@pytest.fixture(scope="module")
def lab():
    """The lab, up; what a test starts again goes into the list that is yielded."""
    up = flowbind("lab", "up")
    assert up.returncode == 0, up.stderr
    restarted: list[agents.Agent] = []
    try:
        wait_until("all paths are up", lambda: bids() == {1, 2, 3}, 10.0)
        yield restarted
    finally:
        for agent in restarted:
            agent.stop()
        down = flowbind("lab", "down")
    assert down.stdout == "the lab is gone\n"
    assert topology.present() == ()
    assert not topology.RUN_DIRECTORY.exists()


@pytest.fixture(autouse=True)
def _all_is_as_it_was(lab):
    yield
    wait_until("all paths are up again", lambda: bids() == {1, 2, 3}, 20.0)
    for role in (HOME_AGENT, MOBILE_NODE):
        assert "Traceback" not in errors_of(role)


def test_both_ends_tell_the_same_story():
    assert bids(MOBILE_NODE) == bids(HOME_AGENT) == {1, 2, 3}
    status = ask("status", MOBILE_NODE)
    assert (status["role"], status["home_address"]) == ("mobile-node", topology.HOME_ADDRESS)
    paths = ask("paths", MOBILE_NODE)["paths"]
    assert [path["interface"] for path in paths] == ["wlan0", "wwan0", "cdma0"]
    assert all(path["state"] == "up" for path in paths)
    ours, theirs = (ask("policy", role)["rules"] for role in (MOBILE_NODE, HOME_AGENT))
    assert [rule["match"] for rule in ours] == [rule["match"] for rule in theirs]


def test_both_ends_explain_a_packet_alike():
    for packet in ("udp 203.0.113.9:5060 -> 10.9.0.5:9", "tcp 203.0.113.9:22 -> 10.9.0.5:9"):
        answers = [ask("explain", role, packet) for role in (MOBILE_NODE, HOME_AGENT)]
        assert answers[0]["bid"] == answers[1]["bid"]
        assert answers[0]["verdict"] == answers[1]["verdict"] == "forward"


def test_a_flow_is_listed_with_its_path():
    topology.run_in(
        "correspondent", ["ping", "-c", "3", "-i", "0.05", "-W", "2", topology.HOME_ADDRESS]
    )
    flows = ask("flows", MOBILE_NODE)["flows"]
    row = next(flow for flow in flows if flow["remote"] == topology.CORRESPONDENT)
    assert (row["protocol"], row["verdict"], row["packets"]) == ("icmp", "forward", 3)
    explained = ask("explain", MOBILE_NODE, "icmp 203.0.113.9 -> 10.9.0.5")
    assert explained["bid"] == row["bid"]


def test_an_interface_is_deregistered_and_registered_by_hand():
    ask("mobile-node deregister", MOBILE_NODE, "--interface", "wlan0")
    wait_until("WLAN is gone", lambda: bids() == {2, 3}, 5.0)
    ask("mobile-node register", MOBILE_NODE, "--interface", "wlan0")
    wait_until("WLAN is back", lambda: bids() == {1, 2, 3}, 5.0)


def test_a_policy_is_set_and_set_back(tmp_path):
    new = tmp_path / "policy.toml"
    new.write_text('[[flow]]\nname = "all"\nmatch = "any"\ninterfaces = ["cdma0"]\n')
    ask("policy set", MOBILE_NODE, str(new))
    wait_until(
        "the home agent holds one rule", lambda: len(ask("policy", HOME_AGENT)["rules"]) == 1, 5.0
    )
    assert ask("explain", HOME_AGENT, "tcp 203.0.113.9:80 -> 10.9.0.5:9")["bid"] == 3
    ask("policy set", MOBILE_NODE, str(MOBILE_NODE.configuration))
    wait_until(
        "the home agent holds the old rules again",
        lambda: len(ask("policy", HOME_AGENT)["rules"]) == len(ask("policy", MOBILE_NODE)["rules"]),
        5.0,
    )


def test_random_octets_are_counted_by_reason_and_change_nothing():
    before = ask("bindings", HOME_AGENT)["bindings"]
    request = bytes.fromhex("01220708" + topology.HOME_ADDRESS.encode().hex()) + bytes(40)
    replies = topology.run_in(
        "wlan",
        [sys.executable, "-c", STRANGER, "1", request.hex(), topology.HOME_AGENT],
    )
    counters = ask("status", HOME_AGENT)["counters"]
    discarded = {name: count for name, count in counters.items() if name.startswith("discarded_")}
    assert sum(discarded.values()) > 1000
    assert {"discarded_truncated", "discarded_unknown-message-type"} <= discarded.keys()
    assert int(replies) == 0
    after = ask("bindings", HOME_AGENT)["bindings"]
    assert [row["care_of_address"] for row in before] == [row["care_of_address"] for row in after]


@pytest.mark.parametrize("role", [HOME_AGENT, MOBILE_NODE], ids=lambda role: role.name)
def test_kill_9_loses_no_packet_and_a_restart_adopts(lab, role):
    pings = subprocess.Popen(
        ["ip", "netns", "exec", topology.node("correspondent").namespace,
         "ping", "-q", "-i", "0.01", "-c", "250", topology.HOME_ADDRESS],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(0.5)
    os.kill(daemon(role).pid, signal.SIGKILL)
    time.sleep(0.5)
    lab.append(agents.Agent(role))
    lab[-1].start()
    said, _ = pings.communicate(timeout=20)
    assert " 0% packet loss" in said
    assert "taken over: 1 nodes as they were" in errors_of(role)


def test_a_strict_reverse_path_filter_is_loosened_where_it_would_deafen_the_node(lab):
    everywhere = "net.ipv4.conf.all.rp_filter"
    topology.run_in("mobile-node", ["sysctl", "-q", "-w", f"{everywhere}=1"])
    os.kill(daemon(MOBILE_NODE).pid, signal.SIGKILL)
    lab.append(agents.Agent(MOBILE_NODE))
    lab[-1].start()
    wait_until(
        "the restarted node has heard the replies to its registrations",
        lambda: ask("status", MOBILE_NODE)["counters"].get("accepted", 0) >= 3,
        10.0,
    )
    wlan = topology.run_in("mobile-node", ["sysctl", "-n", "net.ipv4.conf.wlan0.rp_filter"])
    assert wlan.strip() == "2"
    topology.run_in("mobile-node", ["sysctl", "-q", "-w", f"{everywhere}=0"])


def start(role, toml, tmp_path):
    """Try to start a daemon with this configuration."""
    file = tmp_path / "try.toml"
    file.write_text(toml)
    return flowbind(role, "run", "-c", str(file), inside=role)


def changed(toml, **changes):
    lines = [line for line in toml.splitlines() if line.partition(" = ")[0] not in changes]
    at = next(i for i, line in enumerate(lines) if line.startswith("["))
    return "\n".join([*lines[: at + 1], *changes.values(), *lines[at + 1 :]])


def one_line(done, status, *words):
    assert done.returncode == status
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("flowbind: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


def elsewhere(tmp_path, toml):
    """The same daemon with a store and a socket of its own."""
    return changed(
        toml,
        store=f'store = "sqlite://{tmp_path}/other.db"',
        socket=f'socket = "{tmp_path}/other.sock"',
    )


def test_a_second_daemon_is_refused_by_each_thing_it_would_share(tmp_path):
    toml = agents.home_agent_toml()
    one_line(start("home-agent", toml, tmp_path), 1, "home-agent.db", "another process")
    other = changed(toml, store=f'store = "sqlite://{tmp_path}/other.db"')
    one_line(start("home-agent", other, tmp_path), 1, "UDP port 434", "in use")
    node = elsewhere(tmp_path, agents.mobile_node_toml())
    one_line(start("mobile-node", node, tmp_path), 1, "in use by another")
    assert not (tmp_path / "other.sock").exists()


def test_a_missing_interface_is_named_and_nothing_is_left(tmp_path):
    names = ("wlan0", "wwan0", "cdma0")
    toml = elsewhere(tmp_path, agents.mobile_node_toml())
    for name in names:
        toml = toml.replace(f'"{name}"', f'"{name}x"')
    one_line(start("mobile-node", toml, tmp_path), 1, "wlan0x", "wwan0x", "cdma0x")
    assert not (tmp_path / "other.sock").exists()


def test_a_mistake_in_the_configuration_is_named_with_file_table_and_key(tmp_path):
    toml = agents.mobile_node_toml().replace("lifetime =", "lifetme =")
    one_line(start("mobile-node", toml, tmp_path), 2, "try.toml", "[mobile-node]", "lifetme")
    toml = agents.mobile_node_toml().replace(str(agents.KEY_FILE), "/nowhere/key")
    one_line(start("mobile-node", toml, tmp_path), 2, "try.toml", "key-file", "/nowhere/key")


def test_the_configuration_of_the_other_role_is_refused(tmp_path):
    done = start("home-agent", agents.mobile_node_toml(), tmp_path)
    one_line(done, 2, "not the configuration of a home-agent")


def test_both_files_pass_the_check():
    for role in (HOME_AGENT, MOBILE_NODE):
        assert flowbind("check", str(role.configuration)).returncode == 0
        assert Path(role.configuration).exists()
