"""The real daemons, in the hosts of tests.netns.hosts, with configurations a test writes.

An operator's view from outside: they are started by the command line and asked through it; where a
test waits for something, through the control socket at once, since a command takes half a second.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowbind.control.client import ControlError, ask
from flowbind.control.messages import Bindings, BindingsRequest, Status, StatusRequest
from tests.netns.hosts import namespace

FLOWBIND = [sys.executable, "-c", "from flowbind.cli.main import main; main()"]
KEY = "000102030405060708090a0b0c0d0e0f"

_PATIENCE_S = 20.0
_POLL_S = 0.05

_HOME_AGENT = """
[home-agent]
address = "198.51.100.1"
home-networks = ["10.9.0.0/24"]
{settings}
[[mobile-node]]
home-address = "10.9.0.5"
spi = 256
key = "{key}"
{node}
"""

_MOBILE_NODE = """
[mobile-node]
home-address = "10.9.0.5"
home-agent = "198.51.100.1"
spi = 256
key = "{key}"
probe-interval = "100ms"
{settings}
[[interface]]
name = "ha0"
bid = 1
access = "wlan"

[[interface]]
name = "ha1"
bid = 2
access = "lte"
"""

_HOST = """
socket = "{directory}/{host}.sock"
store = "sqlite:///{directory}/{host}.db"
pin-path = "{pins}/{host}"
"""


def host_settings(host: str, directory: Path, pins: Path) -> str:
    """The keys that keep the daemons of one machine apart."""
    return _HOST.format(host=host, directory=directory, pins=pins)


def home_agent_toml(settings: str, node: str = "") -> str:
    """A home agent at `ha` for the node at `mn`; more lines for its two tables."""
    return _HOME_AGENT.format(settings=settings, node=node, key=KEY)


def mobile_node_toml(settings: str) -> str:
    """The mobile node at `mn`, with both its interfaces; more lines for its table."""
    return _MOBILE_NODE.format(settings=settings, key=KEY)


class Daemon:
    """A daemon in the namespace of a host. `role` is home-agent or mobile-node."""

    def __init__(self, role: str, host: str, configuration: str, directory: Path) -> None:
        self.role = role
        self.host = host
        self.socket = directory / f"{host}.sock"
        self.file = directory / f"{host}.toml"
        self.log = directory / f"{host}.log"
        self.file.touch(mode=0o600)
        self.file.write_text(configuration)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._inside(self.role, "run", "-c", str(self.file)), stdout=log, stderr=log
            )
        self.wait("an answer", self._answers)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the operator's against it, to its end."""
        command = [*FLOWBIND, *arguments, "--socket", str(self.socket)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def ask(self, *arguments: str) -> Any:
        """Run a command with --json and return what it prints."""
        done = self.run(*arguments, "--json")
        assert (done.returncode, done.stderr) == (0, ""), self.told()
        return json.loads(done.stdout)

    def counters(self) -> dict[str, int]:
        """What the engine and the data plane counted."""
        status = ask(self.socket, StatusRequest())
        assert isinstance(status, Status)
        return status.counters

    def bids(self) -> set[int | None]:
        """The BIDs of the bindings that it holds."""
        bindings = ask(self.socket, BindingsRequest())
        assert isinstance(bindings, Bindings)
        return {each.bid for each in bindings.bindings}

    def _answers(self) -> bool:
        try:
            return isinstance(ask(self.socket, StatusRequest()), Status)
        except ControlError:
            return False

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds; fail with the daemon's own words if it never does."""
        until = time.monotonic() + _PATIENCE_S
        while not holds():
            assert self._process is None or self._process.poll() is None, self.told()
            assert time.monotonic() < until, f"{what} did not come:\n{self.told()}"
            time.sleep(_POLL_S)

    def told(self) -> str:
        """What it logged."""
        return self.log.read_text()

    def kill(self) -> None:
        """End it at once, as a crash does; its forwarding goes on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(timeout=_PATIENCE_S) == 0, self.told()

    def _inside(self, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", namespace(self.host), *FLOWBIND, *arguments]
