"""Resident memory of the home agent for each binding, and how long a restart with all takes.

A process of its own registers every path of every node, durably; another one begins anew with the
database that it left. Both count what they have beyond what the configuration takes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bench.memory_agent import PATHS, Found
from bench.report import Section, figure, tell

NODES = 200_000
NODES_QUICK = 10_000
OCTETS_AT_MOST = 2048.0


def measure(nodes: int, store: Path) -> Section:
    """Take both measurements once; about 40 seconds long with 200,000 nodes."""
    with tempfile.TemporaryDirectory(prefix="fbb-", dir=store) as directory:
        registered = _found("register", directory, nodes)
        restarted = _found("restart", directory, nodes)
    wanted = nodes * PATHS
    if (registered.bindings, restarted.bindings) != (wanted, wanted):
        raise SystemExit(f"bench: {wanted} bindings wanted: {registered}, {restarted}")
    figures = [
        figure("registered", "octets each", [_each(registered)], at_most=OCTETS_AT_MOST),
        figure("after a restart", "octets each", [_each(restarted)], at_most=OCTETS_AT_MOST),
        figure("restart, database to engine", "s", [restarted.lasted_s]),
    ]
    return Section("memory of a binding", "", figures, (f"{nodes:,} nodes with {PATHS} paths",))


def _found(what: str, directory: str, nodes: int) -> Found:
    command = [sys.executable, "-m", "bench.memory_agent", what, directory, str(nodes)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"bench: could not {what} {nodes} nodes")
    found = msgspec.json.decode(done.stdout, type=Found)
    tell(f"memory, {what}: {found.lasted_s:.1f} s, {_each(found):.0f} octets for each binding")
    return found


def _each(found: Found) -> float:
    return found.octets / found.bindings
