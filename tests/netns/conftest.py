"""The hosts, made once, and data planes at both ends of their tunnels."""

from contextlib import ExitStack, suppress

import pytest

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.plane import cleanup_ebpf
from tests.dataplane.kernel import bpf_directory, run
from tests.netns.configured import Configured
from tests.netns.daemons import Daemon, host_settings
from tests.netns.hosts import (
    End,
    each_device,
    hosts,
    inside,
    node_at,
    set_offload,
    settings_of,
)


@pytest.fixture(scope="session")
def world():
    with ExitStack() as stack:
        stack.enter_context(hosts())
        yield stack.enter_context(bpf_directory())


@pytest.fixture
def pins(world):
    yield world
    # What a failed test has left open is closed with its process; its traces go now.
    for host in ("ha", "mn", "mn2"):
        with inside(host), suppress(DataPlaneError):
            cleanup_ebpf(settings_of(host, world))


@pytest.fixture
def end(pins):
    """Open a data plane at a host; it is cleaned up after the test."""
    opened: list[End] = []

    def make(host, **changes):
        opened.append(End(host, pins, **changes))
        return opened[-1]

    yield make
    for each in opened:
        each.cleanup()


@pytest.fixture
def tunnels(end):
    """Open both ends of two tunnels, with an encapsulation; more goes to the home agent."""

    def make(*arguments, **changes):
        ends = end("ha", **changes), end("mn")
        for each in ends:
            each.program(node_at(each.host, *arguments))
        return ends

    return make


@pytest.fixture
def daemon(pins, tmp_path):
    """Start a daemon at a host, of the configuration that a function makes of its host's keys."""
    started: list[Daemon] = []

    def start(role, host, configuration):
        toml = configuration(host_settings(host, tmp_path, pins))
        started.append(Daemon(role, host, toml, tmp_path))
        started[-1].start()
        return started[-1]

    yield start
    for each in reversed(started):
        each.kill()


@pytest.fixture(params=["on", "off", "one segment"])
def offload(request):
    """Links that take many segments at once, that take none, and that take one."""
    if request.param == "off":
        each_device(lambda device: set_offload(device, on=False))
    elif request.param == "one segment":
        each_device(lambda device: run("ip", "link", "set", device, "gso_max_segs", "1"))
    yield
    each_device(lambda device: set_offload(device, on=True))
    each_device(lambda device: run("ip", "link", "set", device, "gso_max_segs", "65535"))


@pytest.fixture
def configured(pins, tmp_path):
    """Real daemons with configurations to change, to be started; they end with the test."""
    made = Configured(tmp_path, pins)
    yield made
    made.stop_all()
