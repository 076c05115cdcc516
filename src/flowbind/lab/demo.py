"""`flowbind lab up`, `down` and `demo`: what they need, what they leave, how they end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from msgspec import Struct
from rich.console import Console

from flowbind.lab import agents, observe, processes, topology
from flowbind.lab.agents import Agent
from flowbind.lab.errors import LabError
from flowbind.lab.page import page
from flowbind.lab.report import TABLE_WIDTH, Progress, print_table, print_verdict
from flowbind.lab.results import StoryResult, to_json
from flowbind.lab.stage import Stage, take_down
from flowbind.lab.story import play

_TOOLS = (("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables"), ("sysctl", "procps"))
_DEMO_TOOLS = (("tcpdump", "tcpdump"), ("tshark", "tshark"), ("bpftool", "bpftool"))
_LOCK = "\0flowbind-lab"


class DemoOptions(Struct, frozen=True):
    """What `flowbind lab demo` was asked for."""

    json: bool = False
    html: Path | None = None
    pcap: Path | None = None
    keep: bool = False


def require(*, demo: bool = False) -> None:
    """Make sure of root and of the tools; LabError naming the package of what is missing."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces: run it as root (sudo)")
    wanted = _TOOLS + (_DEMO_TOOLS if demo else ())
    missing = [(tool, package) for tool, package in wanted if shutil.which(tool) is None]
    if missing:
        tools = ", ".join(tool for tool, _ in missing)
        packages = " ".join(sorted({package for _, package in missing}))
        raise LabError(f"not installed: {tools} (apt-get install {packages})")


@contextmanager
def exclusively() -> Generator[None, None, None]:
    """Keep a second lab command away: there is one lab to a machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        try:
            # An abstract address goes with its process, so a crash leaves no stale lock.
            lock.bind(_LOCK)
        except OSError as error:
            raise LabError("another `flowbind lab` command is at work") from error
        yield


def up(*, daemons: bool = True) -> None:
    """Build the lab, attach the node to every access network and start both daemons."""
    require()
    with exclusively():
        if topology.present():
            raise LabError("the lab is up already; `flowbind lab down` removes it")
        take_down()
        try:
            topology.build()
            agents.write_configurations()
            for access in topology.ACCESSES:
                topology.attach(access.name)
            if daemons:
                Agent(agents.HOME_AGENT).start()
                Agent(agents.MOBILE_NODE).start()
        except BaseException:
            take_down()
            raise


def down() -> bool:
    """Remove whatever there is of the lab; tell whether there was anything."""
    require()
    with exclusively():
        there = bool(topology.present()) or topology.RUN_DIRECTORY.exists()
        take_down()
        return there


def execute(name: str, command: list[str]) -> int:
    """Run a command in a node, with this terminal, and return its exit status."""
    require()
    node = topology.node(name)
    if node.namespace not in topology.present():
        raise LabError("the lab is not up; `flowbind lab up` builds it")
    inside = ["ip", "netns", "exec", node.namespace, *command]
    return subprocess.run(inside, check=False).returncode


def demo(options: DemoOptions) -> int:
    """Play the story; 0 if everything held, 1 if not."""
    require(demo=True)
    console = Console(stderr=options.json, highlight=False)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    began_at = time.monotonic()
    with exclusively(), _stopping_on_signals():
        if take_down():
            console.print("a lab was up; it has been taken down")
        stage = Stage()
        keep_logs = True
        try:
            result = _play(stage, console)
            _write_files(options, stage, result)
            keep_logs = not result.ok
        except KeyboardInterrupt:
            keep_logs = False
            raise
        finally:
            if not options.keep:
                if keep_logs:
                    console.print(f"logs and captures are kept in {_save_logs()}")
                _close_undisturbed()
        _tell(options, console, result, time.monotonic() - began_at)
    return 0 if result.ok else 1


def _play(stage: Stage, console: Console) -> StoryResult:
    progress = Progress(console)
    progress.says("seven namespaces, two daemons, four captures")
    try:
        stage.open()
        return play(stage, progress)
    finally:
        progress.rests()


def _write_files(options: DemoOptions, stage: Stage, result: StoryResult) -> None:
    if options.html is not None:
        options.html.write_text(page(result), encoding="utf-8")
    if options.pcap is not None:
        options.pcap.write_bytes(stage.signalling_pcap.read_bytes())


def _tell(options: DemoOptions, console: Console, result: StoryResult, took_s: float) -> None:
    print_table(console, result)
    print_verdict(console, result, took_s)
    if options.html is not None:
        console.print(f"page: {options.html}")
    if options.pcap is not None:
        console.print(f"signalling: {options.pcap}")
    if options.keep:
        console.print("the lab is still up; `flowbind lab down` removes it")
    if options.json:
        sys.stdout.buffer.write(to_json(result) + b"\n")
        sys.stdout.buffer.flush()


def _save_logs() -> Path:
    """Copy logs and captures out of the lab's directory before it goes."""
    kept = Path(tempfile.mkdtemp(prefix="flowbind-lab-"))
    for directory in (processes.LOG_DIRECTORY, observe.CAPTURE_DIRECTORY):
        if directory.exists():
            shutil.copytree(directory, kept / directory.name)
    return kept


def _close_undisturbed() -> None:
    previous = {each: signal.signal(each, signal.SIG_IGN) for each in _ENDING}
    try:
        take_down()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _stopping_on_signals() -> Generator[None, None, None]:
    """Make SIGTERM and SIGHUP end the demo as Ctrl-C does, cleaning up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {each: signal.signal(each, interrupt) for each in _ENDING}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
