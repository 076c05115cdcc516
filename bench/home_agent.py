"""The home agent's own process, as an operator would start it, on one processor."""

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import mobile_nodes, network
from bench.network import inside
from flowbind.auth.replay import to_ntp
from flowbind.control.client import ControlError, ask
from flowbind.control.messages import StatusRequest
from flowbind.store import open_store

_START_S = 300.0
_POLL_S = 0.05
_SYNCED_WRITES = 200
_PAGE = bytes(4096)


class HomeAgent:
    """The real daemon, with its own configuration file, socket, log and database in a directory.

    `source` is where another build of it is imported from.
    """

    def __init__(
        self, directory: Path, pins: Path, nodes: int, processor: int, source: Path | None = None
    ) -> None:
        self._database = directory / "home-agent.db"
        self._socket = directory / "home-agent.sock"
        self._log = directory / "home-agent.log"
        configuration = directory / "home-agent.toml"
        configuration.touch(mode=0o600)
        configuration.write_text(self._configuration(pins / "home-agent", nodes))
        command = [sys.executable, "-m", "flowbind.daemon", "home-agent", "-c", str(configuration)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                inside("ha", "taskset", "-c", str(processor), *command),
                stderr=log,
                env=os.environ | ({"PYTHONPATH": str(source)} if source else {}),
                process_group=0,
            )
        self.pid = self._process.pid

    def _configuration(self, pins: Path, nodes: int) -> str:
        return f"""\
[home-agent]
address = "{network.HOME_AGENT}"
home-networks = ["{mobile_nodes.HOME_NETWORK}"]
interfaces = ["cn0", "mn0"]
socket = "{self._socket}"
store = "sqlite://{self._database}"
pin-path = "{pins}"
{mobile_nodes.configuration(nodes)}"""

    def wait(self) -> None:
        """Wait until it answers its operator. Raises SystemExit with its last words if not."""
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._log.read_text().strip().splitlines()[-1:]
                raise SystemExit(f"bench: the home agent did not start: {words}")
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        try:
            ask(self._socket, StatusRequest())
        except ControlError:
            return False
        return True

    def resident_octets(self) -> int:
        """Return what it has in memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def end(self) -> None:
        """End it as its operator would."""
        os.kill(self.pid, signal.SIGTERM)
        self._process.wait()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def durable_since(self, moment_s: float) -> int:
        """Count the nodes whose record on the disk is of a request stamped since then."""
        store = open_store(f"sqlite://{self._database}")
        try:
            since = to_ntp(moment_s)
            return sum(
                bool(each.bindings) and each.identification >= since for each in store.load()
            )
        finally:
            store.close()


def file_system_of(directory: Path) -> str:
    """Return the type of the file system that a directory is on."""
    where = directory.resolve()
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [each for each in mounts if where.is_relative_to(each[1])]
    return max(above, key=lambda each: len(each[1]))[2]


def synced_write_ms(directory: Path) -> float:
    """Return the milliseconds that the disk takes for one page, written through."""
    path = directory / "page"
    lasted: list[float] = []
    with path.open("wb", buffering=0) as file:
        for _count in range(_SYNCED_WRITES):
            begun_at = time.perf_counter()
            file.write(_PAGE)
            os.fdatasync(file.fileno())
            lasted.append(time.perf_counter() - begun_at)
    path.unlink()
    return statistics.median(lasted) * 1e3
