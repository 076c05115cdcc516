"""The topology comes up whole and goes without a trace."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flowbind.lab import processes, topology
from flowbind.lab.demo import down, exclusively
from flowbind.lab.errors import LabError
from flowbind.lab.stage import take_down

pytestmark = pytest.mark.root


@pytest.fixture
def lab():
    with exclusively():
        take_down()
        topology.build()
        yield
        take_down()


def answers(node, address, *options):
    command = ["ping", "-c", "1", "-W", "2", *options, address]
    try:
        topology.run_in(node, command)
    except LabError:
        return False
    return True


def nothing_is_left():
    return (
        topology.present() == ()
        and not topology.RUN_DIRECTORY.exists()
        and "flowbind/lab" not in Path("/proc/mounts").read_text()
    )


def test_every_access_network_reaches_the_home_agent_and_the_correspondent(lab):
    for access in topology.ACCESSES:
        assert not answers("correspondent", access.care_of_address)
        topology.attach(access.name)
        assert answers("mobile-node", topology.HOME_AGENT, "-I", access.interface)
        assert answers("correspondent", access.care_of_address)


def test_each_direction_of_each_access_network_has_its_rate(lab):
    for access in topology.ACCESSES:
        for device in ("up0", "mn0"):
            shown = topology.run_in(access.name, ["tc", "qdisc", "show", "dev", device])
            assert f"rate {access.rate_mbit}Mbit" in shown


def test_a_cut_is_silent_and_heals(lab):
    topology.attach("wlan")
    topology.cut("wlan")
    assert not answers("mobile-node", topology.HOME_AGENT, "-W", "1")
    assert "LOWER_UP" in topology.run_in("mobile-node", ["ip", "link", "show", "wlan0"])
    topology.heal("wlan")
    assert answers("mobile-node", topology.HOME_AGENT)


def test_down_leaves_nothing_whoever_built_it_and_may_be_repeated(lab):
    process = processes.start("wlan", "sleeper", ["sleep", "1000"])
    # A stranger in a namespace of the lab, as `lab exec` leaves one, and one that will not listen.
    stubborn = [sys.executable, "-c", "import signal,time; signal.signal(15,1); time.sleep(999)"]
    stranger = subprocess.Popen(["ip", "netns", "exec", "fb-mn", *stubborn])
    time.sleep(0.5)
    assert take_down() == 2
    assert nothing_is_left()
    assert process.ended()
    assert stranger.wait(1) == -signal.SIGKILL
    assert take_down() == 0


def test_a_process_that_took_over_a_number_is_not_ended(lab):
    other = subprocess.Popen(["sleep", "1000"])
    try:
        processes.PROCESS_DIRECTORY.mkdir(parents=True)
        record = processes.ProcessFile("old", other.pid, "fb-wlan", ("sleep", "1000"))
        assert not processes.is_alive(record)
        (processes.PROCESS_DIRECTORY / "old").write_text(
            f'{{"name":"old","pid":{other.pid},"namespace":"fb-wlan","command":["sleep","1000"]}}'
        )
        assert processes.written_down() == (record,)
        take_down()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_building_twice_is_refused(lab):
    with pytest.raises(LabError, match="up already"):
        topology.build()


def test_a_second_lab_command_is_refused():
    with exclusively(), pytest.raises(LabError, match="at work"):
        down()


def test_without_root_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="as root"):
        down()


def test_a_missing_tool_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match=r"apt-get install iproute2 nftables procps"):
        down()
