"""The commands that become a daemon's process: run, cleanup, check.

This process is replaced, so that signals, exit status and standard error are the daemon's own.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

ConfigurationOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration (TOML).")
]


def home_agent_run(config: ConfigurationOption) -> None:
    """Run the home agent in the foreground. It ends at SIGTERM; what it forwards goes on."""
    become("home-agent", "-c", str(config))


def home_agent_cleanup(config: ConfigurationOption) -> None:
    """Remove what the home agent left in the kernel: device, programs, maps, routes."""
    become("home-agent", "cleanup", "-c", str(config))


def mobile_node_run(config: ConfigurationOption) -> None:
    """Run the mobile node in the foreground. It ends at SIGTERM; what it forwards goes on."""
    become("mobile-node", "-c", str(config))


def mobile_node_cleanup(config: ConfigurationOption) -> None:
    """Remove what the mobile node left in the kernel: device, programs, maps, routes."""
    become("mobile-node", "cleanup", "-c", str(config))


def check(
    file: Annotated[Path | None, typer.Argument(help="Configuration of any role.")] = None,
    machine: Annotated[
        bool, typer.Option("--machine", help="Tell whether this host can forward instead.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read a configuration and print what a daemon would do with it, or what is wrong with it."""
    if (file is None) != machine:
        raise typer.BadParameter("give either a FILE or --machine")
    what = "--machine" if file is None else str(file)
    become("check", what, *(["--json"] if json else []))


def become(*arguments: str) -> NoReturn:
    """Become `python -m flowbind.daemon` with these arguments."""
    sys.stdout.flush()
    # -P: the directory the operator stands in is no place to import from, least of all as root.
    command = [sys.executable, "-P", "-m", "flowbind.daemon", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 -- no shell is the point
