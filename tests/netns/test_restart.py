"""What outlives the daemon, what replaces what, and that nothing is left in the end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flowbind.dataplane.base import Reconciliation
from flowbind.dataplane.ebpf.plane import cleanup_ebpf
from flowbind.model.binding import Encapsulation
from flowbind.model.encoding import to_json
from tests.dataplane.kernel import pinned, run
from tests.dataplane.nodes import forward
from tests.netns.hosts import (
    CORRESPONDENT,
    HOME,
    NAMES,
    Ping,
    exchange,
    inside,
    node_at,
    ping,
    settings_of,
    transfer,
)

pytestmark = pytest.mark.root

MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)
HOLDER = Path(__file__).with_name("holder.py")


@pytest.fixture
def hold(pins):
    """Start a process that holds the plane of a host."""
    started: list[subprocess.Popen] = []

    def start(host):
        with inside(host):
            process = subprocess.Popen(
                [sys.executable, str(HOLDER), to_json(settings_of(host, pins)).decode(),
                 to_json(node_at(host)).decode()],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def map_ids(pins, host):
    shown = [
        json.loads(run("bpftool", "-j", "map", "show", "pinned", str(pins / host / name)))
        for name in ("nodes_map", "policies_map", "flows_map", "counters_map")
    ]
    return {each["name"]: each["id"] for each in shown}


def test_killed_daemons_leave_packets_flowing_and_a_new_one_adopts(pins, hold, end):
    killed = [hold(host) for host in ("ha", "mn")]
    maps = {host: map_ids(pins, host) for host in ("ha", "mn")}
    under_way = Ping("cn", CORRESPONDENT, HOME, 150)
    for process in killed:
        process.kill()
        process.wait()
    assert under_way.running()
    assert under_way.all_answered()
    transfer(CN, MN)
    transfer(MN, CN)
    adopted = [end(host) for host in ("ha", "mn")]
    before = [each.counted("encapsulated_packets") for each in adopted]
    assert min(before) > 150
    assert ping("cn", CORRESPONDENT, HOME)
    for each, counted in zip(adopted, before, strict=True):
        with inside(each.host):
            assert each.plane.nodes() == (node_at(each.host),)
            assert each.plane.reconcile([node_at(each.host)]) == Reconciliation(1, 0, 0, 0)
        assert map_ids(pins, each.host) == maps[each.host]
        assert each.counted("encapsulated_packets") >= counted + 5


def test_a_killed_daemon_can_be_cleaned_up_after(pins, hold):
    before = everything()
    for host in ("ha", "mn"):
        process = hold(host)
        process.kill()
        process.wait()
    assert ping("cn", CORRESPONDENT, HOME)
    for host in ("ha", "mn"):
        with inside(host):
            cleanup_ebpf(settings_of(host, pins))
    assert everything() == before
    assert pinned(pins) == []


def everything():
    shown = []
    for host in NAMES:
        with inside(host):
            shown += [run("ip", "-br", "link"), run("ip", "rule"), run("tc", "qdisc")]
            shown += [run("ip", "route", "show", "table", "all"), run("ip", "-br", "addr")]
    return shown


def test_nothing_is_left_of_living_planes_that_clean_up(pins, tunnels):
    before = everything()
    ends = tunnels()
    assert ping("cn", CORRESPONDENT, HOME)
    assert everything() != before
    for each in ends:
        each.cleanup()
    assert everything() == before
    assert pinned(pins) == []


def test_a_node_is_replaced_under_way_and_nothing_is_lost(tunnels):
    ends = tunnels()
    under_way = Ping("cn", CORRESPONDENT, HOME, 150)
    replaced = 0
    while under_way.running():
        bid = 1 + replaced % 2
        for each in ends:
            each.program(node_at(each.host, rules=(forward(bid),)))
        replaced += 1
    assert under_way.all_answered()
    assert replaced > 20


def test_programs_are_replaced_under_way_and_nothing_is_lost(tunnels):
    ends = tunnels()
    under_way = Ping("mn", HOME, CORRESPONDENT, 150)
    replaced = 0
    while under_way.running():
        for each in ends:
            each.reopen()
        replaced += 1
    assert under_way.all_answered()
    assert replaced > 1


def test_both_ends_change_the_encapsulation(tunnels):
    ends = tunnels(Encapsulation.IP_IN_IP)
    exchange(CN, MN, b"ipip")
    for each in ends:
        each.program(node_at(each.host, Encapsulation.GRE))
    exchange(CN, MN, b"gre")
    exchange(MN, CN, b"gre")


def test_the_policy_of_a_removed_node_goes_with_it(tunnels):
    agent, _mobile = tunnels(Encapsulation.IP_IN_IP, (forward(1),))
    agent.plane.remove(HOME)
    assert agent.plane.nodes() == ()
    assert list(agent.plane._maps["policies_map"].items()) == []
