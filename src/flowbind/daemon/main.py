"""The process of a daemon: `python -m flowbind.daemon`, which the command line becomes.

Exit status 0: ended by a signal. 1: could not start, or not clean up. 2: used wrongly, or a
configuration that cannot be used.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flowbind.daemon import home_agent, mobile_node
from flowbind.daemon.check import run_check
from flowbind.daemon.check_machine import run_machine_check
from flowbind.daemon.config import (
    ConfigError,
    HomeAgentSettings,
    MobileNodeSettings,
    Settings,
    read_settings,
)
from flowbind.daemon.errors import DaemonError
from flowbind.daemon.log import start_logging
from flowbind.daemon.rotate import run_rotate
from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.plane import cleanup_ebpf
from flowbind.store.base import StoreError

FAILED: Final = 1
USAGE: Final = 2

_ROLES: Final[dict[str, type]] = {
    "home-agent": HomeAgentSettings,
    "mobile-node": MobileNodeSettings,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a daemon, remove what one left, check a configuration or make a node's next key.

    Returns the exit status.
    """
    given = _parser().parse_args(arguments)
    if given.command == "check":
        if given.machine:
            return run_machine_check(as_json=given.json)
        return run_check(given.file, as_json=given.json)
    if given.command == "rotate-key":
        return run_rotate(given.file, given.node)
    try:
        settings = _settings_of(given.command, given.config)
        start_logging(settings.log_level)
        if given.action == "cleanup":
            _cleanup(settings)
        else:
            _run(settings)
    except ConfigError as error:
        _complain(error)
        return USAGE
    except (DaemonError, StoreError, DataPlaneError) as error:
        _complain(error)
        return FAILED
    return 0


def _settings_of(role: str, path: Path) -> Settings:
    settings = read_settings(path)
    if type(settings) is not _ROLES[role]:
        raise ConfigError((f"{path}: this is not the configuration of a {role}",))
    return settings


def _run(settings: Settings) -> None:
    if os.geteuid() != 0:
        raise DaemonError("a daemon needs root: it makes tunnels (CAP_NET_ADMIN, CAP_BPF)")
    if isinstance(settings, HomeAgentSettings):
        home_agent.run(settings)
    else:
        mobile_node.run(settings)


def _cleanup(settings: Settings) -> None:
    if isinstance(settings, HomeAgentSettings):
        cleanup_ebpf(home_agent.plane_settings(settings))
    else:
        cleanup_ebpf(mobile_node.plane_settings(settings))


def _complain(error: Exception) -> None:
    for line in str(error).splitlines():
        sys.stderr.write(f"flowbind: {line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="flowbind", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for role in _ROLES:
        command = commands.add_parser(role, allow_abbrev=False)
        command.add_argument("action", nargs="?", default="run", choices=("run", "cleanup"))
        command.add_argument("-c", "--config", type=Path, required=True, metavar="FILE")
    check = commands.add_parser("check", allow_abbrev=False)
    what = check.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", type=Path, metavar="FILE")
    what.add_argument("--machine", action="store_true")
    check.add_argument("--json", action="store_true")
    rotate = commands.add_parser("rotate-key", allow_abbrev=False)
    rotate.add_argument("file", type=Path, metavar="FILE")
    rotate.add_argument("--home-address", dest="node", metavar="ADDRESS")
    rotate.add_argument("--nai", dest="node", metavar="NAI")
    return parser
