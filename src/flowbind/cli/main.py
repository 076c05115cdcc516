"""`flowbind`: the command line, put together.

Exit status 0 means done, 1 failed, 2 used wrongly. An error is one line on standard error.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from typing import Annotated, Final

import typer

from flowbind.cli import daemons, operator
from flowbind.cli.decode import decode
from flowbind.cli.key import key_app
from flowbind.cli.lab import lab_app
from flowbind.wire import message

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Mobile IPv4 with flow bindings: one address over several networks at once.",
)
home_agent_app = typer.Typer(no_args_is_help=True, help="The home agent on this host.")
mobile_node_app = typer.Typer(no_args_is_help=True, help="The mobile node on this host.")

home_agent_app.command("run")(daemons.home_agent_run)
home_agent_app.command("cleanup")(daemons.home_agent_cleanup)
home_agent_app.command("revoke")(operator.revoke)
home_agent_app.command("notify")(operator.notify_node)
mobile_node_app.command("run")(daemons.mobile_node_run)
mobile_node_app.command("cleanup")(daemons.mobile_node_cleanup)
mobile_node_app.command("register")(operator.register)
mobile_node_app.command("deregister")(operator.deregister)
mobile_node_app.command("notify")(operator.notify_agent)

_COMPILED: Final = message.__file__.endswith(tuple(EXTENSION_SUFFIXES))
BUILD: Final = "compiled" if _COMPILED else "pure Python"
"""Which of the two kinds of wheel this is (setup.py)."""

_DAEMONS: Final = "Run a daemon"
_QUESTIONS: Final = "Ask a running daemon"
_TOOLS: Final = "Tools"

app.add_typer(home_agent_app, name="home-agent", rich_help_panel=_DAEMONS)
app.add_typer(mobile_node_app, name="mobile-node", rich_help_panel=_DAEMONS)
app.command("check", rich_help_panel=_DAEMONS)(daemons.check)
app.command("status", rich_help_panel=_QUESTIONS)(operator.status)
app.command("bindings", rich_help_panel=_QUESTIONS)(operator.bindings)
app.command("paths", rich_help_panel=_QUESTIONS)(operator.paths)
app.command("flows", rich_help_panel=_QUESTIONS)(operator.flows)
app.add_typer(operator.policy_app, name="policy", rich_help_panel=_QUESTIONS)
app.command("explain", rich_help_panel=_QUESTIONS)(operator.explain)
app.command("notifications", rich_help_panel=_QUESTIONS)(operator.notifications)
app.command("decode", rich_help_panel=_TOOLS)(decode)
app.add_typer(key_app, name="key", rich_help_panel=_TOOLS)
app.add_typer(lab_app, name="lab", rich_help_panel=_TOOLS)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flowbind {version('flowbind')} ({BUILD})")
        raise typer.Exit


@app.callback()
def flowbind(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version, and whether it is compiled.",
        ),
    ] = False,
) -> None:
    """Mobile IPv4 with flow bindings: one address over several networks at once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its status."""
    try:
        status = app(arguments, prog_name="flowbind", standalone_mode=False)
    except typer.TyperException as error:
        message = error.format_message().strip()
        if message:
            typer.echo(f"flowbind: {message}", err=True)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)
