"""The two daemons in their nodes: the real ones, with real configuration files."""

import json
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from flowbind.control.client import ControlError, ask
from flowbind.control.messages import (
    Bindings,
    BindingsRequest,
    Failed,
    Paths,
    PathsRequest,
    Request,
    Response,
    Status,
    StatusRequest,
)
from flowbind.lab import processes, topology
from flowbind.lab.errors import LabError

KEY_FILE = topology.RUN_DIRECTORY / "key"
SPI = 256
LIFETIME = "10m"

_START_S = 15.0
_POLL_S = 0.05
_TUNNEL_MAPS = ("nodes_map", "policies_map")

T = TypeVar("T")

FlowTable = dict[str, object]

VOICE: FlowTable = {
    "name": "voice",
    "match": "udp port 5060-5061,16384-16484",
    "interfaces": ["wwan0", "wlan0", "cdma0"],
}
HTTP: FlowTable = {
    "name": "http",
    "match": "tcp port 80,443,8080",
    "interfaces": ["wlan0", "wwan0", "cdma0"],
}
NO_TELEMETRY: FlowTable = {
    "name": "no telemetry",
    "match": "udp remote port 9999",
    "action": "drop",
}
POLICY = (VOICE, HTTP)


class Role(Struct, frozen=True):
    """A daemon: its word on the command line, its node, its socket, its configuration."""

    name: str
    socket: Path
    configuration: Path
    pins: Path


def _role(name: str) -> Role:
    directory = topology.RUN_DIRECTORY
    return Role(
        name,
        directory / f"{name}.sock",
        directory / f"{name}.toml",
        topology.BPF_DIRECTORY / name,
    )


HOME_AGENT = _role("home-agent")
MOBILE_NODE = _role("mobile-node")


def write_configurations() -> None:
    """Write the key and the two files that `flowbind ... run -c` takes."""
    topology.RUN_DIRECTORY.mkdir(parents=True, exist_ok=True)
    KEY_FILE.touch(mode=0o600)
    KEY_FILE.write_text(secrets.token_hex(16) + "\n")
    HOME_AGENT.configuration.write_text(home_agent_toml())
    MOBILE_NODE.configuration.write_text(mobile_node_toml())


def home_agent_toml() -> str:
    """Return the configuration of the home agent."""
    weights = ", ".join(f"{each.bid} = {each.weight}" for each in topology.ACCESSES)
    return f"""\
[home-agent]
address = "{topology.HOME_AGENT}"
home-networks = ["{topology.HOME_NETWORK}"]
max-lifetime = "30m"
interfaces = ["cn0", "inet0"]
{_common(HOME_AGENT)}
[[mobile-node]]
home-address = "{topology.HOME_ADDRESS}"
spi = {SPI}
key-file = "{KEY_FILE}"
label-weights = {{ {weights} }}
"""


def mobile_node_toml() -> str:
    """Return the configuration of the mobile node."""
    interfaces = "".join(
        f"""
[[interface]]
name = "{each.interface}"
bid = {each.bid}
access = "{each.name}"
weight = {each.weight}
encapsulation = "{each.encapsulation}"
"""
        for each in topology.ACCESSES
    )
    flows = "".join("\n[[flow]]\n" + _table(flow) for flow in POLICY)
    return f"""\
[mobile-node]
home-address = "{topology.HOME_ADDRESS}"
home-agent = "{topology.HOME_AGENT}"
spi = {SPI}
key-file = "{KEY_FILE}"
multipath = "require"
lifetime = "{LIFETIME}"
{_common(MOBILE_NODE)}{interfaces}{flows}"""


def _common(role: Role) -> str:
    return f"""\
socket = "{role.socket}"
store = "sqlite://{topology.RUN_DIRECTORY}/{role.name}.db"
pin-path = "{role.pins}"
"""


def _table(values: FlowTable) -> str:
    # A JSON string or list of strings is a TOML one.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


class Agent:
    """One daemon: started, asked, killed."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self._process: processes.Process | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = processes.start(
            self.role.name,
            self.role.name,
            [sys.executable, "-m", "flowbind.daemon", self.role.name, "-c",
             str(self.role.configuration)],
        )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.ended() or time.monotonic() > deadline:
                raise LabError(f"the {self.role.name} did not start: {self._process.last_words()}")
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        try:
            self.ask(StatusRequest(), Status)
        except LabError:
            return False
        return True

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End it in order; what it pinned stays and forwards."""
        if self._process is not None:
            self._process.stop()

    def cleanup(self) -> None:
        """Have the daemon's own command remove everything that it ever made."""
        topology.run_in(
            self.role.name,
            [sys.executable, "-m", "flowbind.daemon", self.role.name, "cleanup", "-c",
             str(self.role.configuration)],
        )  # fmt: skip

    def ask(self, request: Request, wanted: type[T]) -> T:
        """Ask it over its control socket; LabError with its own words if it refuses."""
        try:
            response: Response = ask(self.role.socket, request)
        except ControlError as error:
            raise LabError(f"{self.role.name}: {error}") from error
        if isinstance(response, Failed):
            raise LabError(f"{self.role.name}: {response.error}")
        if not isinstance(response, wanted):
            raise LabError(f"{self.role.name} answered {type(response).__name__}")
        return response

    def bids(self) -> set[int]:
        """Return the BIDs of its bindings; 0 stands for the plain one without a BID."""
        bindings = self.ask(BindingsRequest(), Bindings).bindings
        return {binding.bid or 0 for binding in bindings}

    def paths_up(self) -> set[int]:
        """Return the BIDs of the tunnels that it calls up."""
        paths = self.ask(PathsRequest(), Paths).paths
        return {path.bid or 0 for path in paths if path.state == "up"}

    def forwards_nothing(self) -> bool:
        """Tell whether its pinned maps of tunnels and policies are empty, as bpftool sees them."""
        return not any(_entries(self.role.pins / name) for name in _TUNNEL_MAPS)

    def leftovers(self) -> list[str]:
        """Name what is left of it in the kernel: pins, device, routes, rules."""
        found = [str(path) for path in self.role.pins.glob("*")]
        node = self.role.name
        for what in ("link", "route show table all", "rule"):
            shown = topology.run_in(node, ["ip", *what.split()])
            found += [
                line.strip()
                for line in shown.splitlines()
                if "mip0" in line or topology.HOME_ADDRESS in line
            ]
        return found


def _entries(pin: Path) -> int:
    if not pin.exists():
        raise LabError(f"{pin}: no such map is pinned")
    shown = json.loads(topology.run(["bpftool", "-j", "map", "dump", "pinned", str(pin)]))
    return len(shown)


def wait_until(what: str, condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait for something to become true; LabError naming it if it does not."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout_s:g} s in vain until {what}")
        time.sleep(_POLL_S)
