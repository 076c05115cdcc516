"""The processes of the lab: started in a namespace, written down, ended without mistaking anyone.

A process number says little once its owner has gone, and the lab may be taken down by another
command than the one that built it, even after a crash. So each start leaves a file with the number
and the command, and nothing is ended unless the process still runs that command in that namespace.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from flowbind.lab import topology

PROCESS_DIRECTORY = topology.RUN_DIRECTORY / "processes"
LOG_DIRECTORY = topology.RUN_DIRECTORY / "log"

_GRACE_S = 3.0
_POLL_S = 0.02


class ProcessFile(Struct, frozen=True):
    """What is written down of one process."""

    name: str
    pid: int
    namespace: str
    command: tuple[str, ...]


class Process:
    """A program running inside a node; what it prints goes to `NAME.out` and `NAME.err`."""

    def __init__(
        self, name: str, popen: subprocess.Popen[bytes], output: Path, errors: Path
    ) -> None:
        self.name = name
        self.output = output
        self.errors = errors
        self._popen = popen
        self._asked = False

    @property
    def pid(self) -> int:
        """The process number."""
        return self._popen.pid

    def ended(self) -> bool:
        """Tell whether it has ended by itself."""
        return self._popen.poll() is not None

    def ask_to_end(self) -> None:
        """Send SIGTERM, once: a second one could hit an interpreter that is ending already."""
        if not self._asked and self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
        self._asked = True

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, nothing said."""
        self._popen.kill()
        self._popen.wait()
        (PROCESS_DIRECTORY / self.name).unlink(missing_ok=True)

    def stop(self, grace_s: float = _GRACE_S) -> int:
        """End it, by force if it does not listen, and return its exit status."""
        self.ask_to_end()
        try:
            status = self._popen.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        (PROCESS_DIRECTORY / self.name).unlink(missing_ok=True)
        return status

    def last_words(self) -> str:
        """Return the last line it wrote to standard error, to say why it ended."""
        lines = self.errors.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def start(node: str, name: str, command: Sequence[str]) -> Process:
    """Run a program inside a node, in the background. Logs are appended to over restarts."""
    PROCESS_DIRECTORY.mkdir(parents=True, exist_ok=True)
    LOG_DIRECTORY.mkdir(parents=True, exist_ok=True)
    output, errors = LOG_DIRECTORY / f"{name}.out", LOG_DIRECTORY / f"{name}.err"
    namespace = topology.node(node).namespace
    with output.open("ab") as stdout, errors.open("ab") as stderr:
        popen = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    record = ProcessFile(name, popen.pid, namespace, tuple(command))
    (PROCESS_DIRECTORY / name).write_bytes(msgspec.json.encode(record))
    # Until `ip` has entered the namespace nobody could tell that the process belongs to the lab.
    deadline = time.monotonic() + _GRACE_S
    while popen.poll() is None and not is_alive(record) and time.monotonic() < deadline:
        time.sleep(_POLL_S / 10)
    return Process(name, popen, output, errors)


def written_down() -> tuple[ProcessFile, ...]:
    """Return the processes that were started and not ended through `Process.stop`."""
    found: list[ProcessFile] = []
    for path in sorted(PROCESS_DIRECTORY.glob("*")):
        with suppress(msgspec.MsgspecError, OSError):
            found.append(msgspec.json.decode(path.read_bytes(), type=ProcessFile))
    return tuple(found)


def is_alive(record: ProcessFile) -> bool:
    """Tell whether this very process still runs: same number, same command, same namespace."""
    process = Path(f"/proc/{record.pid}")
    try:
        words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        inode = (process / "ns/net").stat().st_ino
    except OSError:
        return False
    command = [os.fsencode(word) for word in record.command]
    return (
        words[-len(command) :] == command
        and inode == topology.namespace_inode(record.namespace)
        and not _is_zombie(process)
    )


def end_all() -> int:
    """End whatever of the lab still runs, whoever started it; return how many there were.

    That is the processes written down and any other inside the lab's namespaces (a shell opened
    with `lab exec`, say): a namespace outlives its name as long as a process sits in it.
    """
    pids = {record.pid for record in written_down() if is_alive(record)} | set(_inhabitants())
    pids.discard(os.getpid())
    for how in (signal.SIGTERM, signal.SIGKILL):
        remaining = _signal(pids, how)
        deadline = time.monotonic() + _GRACE_S
        while remaining and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            remaining &= set(_inhabitants())
        if not remaining:
            break
    return len(pids)


def _signal(pids: set[int], how: signal.Signals) -> set[int]:
    inhabitants = set(_inhabitants())
    for pid in pids & inhabitants:
        with suppress(ProcessLookupError):
            os.kill(pid, how)
    return pids & inhabitants


def _inhabitants() -> list[int]:
    inodes = {topology.namespace_inode(namespace) for namespace in topology.present()}
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "ns/net").stat().st_ino in inodes and not _is_zombie(process):
                found.append(int(process.name))
    return found


def _is_zombie(process: Path) -> bool:
    # The command may hold spaces and brackets; the state is the first word after the last ")".
    return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
