"""What has our names and is not ours: refused with one sentence, before anything is changed."""

import fcntl
import os
import subprocess
import sys

import pytest
from msgspec import structs

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.plane import cleanup_ebpf, open_ebpf
from tests.dataplane.kernel import pinned, run

pytestmark = pytest.mark.root

HOLD_DEVICE = """
import sys, time
from flowbind.dataplane.netlink import Device
Device(sys.argv[1])
print("ready", flush=True)
time.sleep(100)
"""


def everything():
    shown = ("addr",), ("route", "show", "table", "all"), ("rule",)
    return [run("ip", *each) for each in shown] + [run("tc", "qdisc")]


def refuses(settings, words):
    before = everything()
    with pytest.raises(DataPlaneError, match=words):
        open_ebpf(settings)
    assert everything() == before


@pytest.fixture
def somebodys_device():
    run("ip", "tuntap", "add", "mip0", "mode", "tun")
    run("ip", "addr", "add", "192.0.2.9/24", "dev", "mip0")
    run("ip", "link", "set", "mip0", "up")


def test_a_device_that_somebody_else_has_an_address_on_is_left_alone(
    home_agent, bpf, somebodys_device, caplog
):
    words = "device mip0: flowbind did not make it, and it has the address 192.0.2.9/24"
    refuses(home_agent, words)
    assert pinned(bpf) == []
    before = everything()
    cleanup_ebpf(home_agent)
    assert everything() == before
    assert "device mip0 is left alone: flowbind did not make it" in caplog.text


def test_a_bare_device_may_be_what_a_killed_start_has_left(home_agent):
    run("ip", "tuntap", "add", "mip0", "mode", "tun")
    plane = open_ebpf(home_agent)
    assert "alias flowbind home-agent" in run("ip", "link", "show", "mip0")
    plane.cleanup()
    assert "mip0" not in run("ip", "link")


def test_who_holds_the_device_is_named(home_agent):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_DEVICE, "mip0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        refuses(home_agent, rf"device mip0: in use by another process \({holder.pid}\)")
    finally:
        holder.kill()
        holder.communicate()


def test_who_holds_the_pins_is_named(home_agent):
    open_ebpf(home_agent).close()
    directory = os.open(home_agent.pin_path, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    words = rf"home-agent is in use by another daemon \({os.getpid()}\)"
    with pytest.raises(DataPlaneError, match=words):
        open_ebpf(home_agent)
    os.close(directory)
    cleanup_ebpf(home_agent)


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (("203.0.113.0/24", "dev", "wlan0"), "203.0.113.0/24 to wlan0"),
        (("blackhole", "203.0.113.0/24"), "203.0.113.0/24"),
        (("default", "dev", "wlan0"), "0.0.0.0/0 to wlan0"),
    ],
)
def test_a_route_in_our_table_that_leads_elsewhere_is_named(mobile_node, route, words):
    run("ip", "route", "add", *route, "table", "434")
    refuses(mobile_node, f"table 434 holds a route that is not ours: {words}")


def test_the_routes_of_a_former_start_are_ours(mobile_node):
    open_ebpf(structs.replace(mobile_node, default_route=True)).close()
    open_ebpf(mobile_node).cleanup()
