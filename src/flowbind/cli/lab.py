"""`flowbind lab`: the scenario of RFC 7629 in network namespaces."""

from pathlib import Path
from typing import Annotated

import typer

from flowbind.lab import demo as play
from flowbind.lab import topology
from flowbind.lab.agents import HOME_AGENT, MOBILE_NODE
from flowbind.lab.errors import LabError

lab_app = typer.Typer(
    no_args_is_help=True, help="The RFC's own scenario in network namespaces (needs root)."
)

_NEXT = f"""\
the lab is up: {", ".join(node.name for node in topology.NODES)}
  flowbind paths --socket {MOBILE_NODE.socket}
  flowbind bindings --socket {HOME_AGENT.socket}
  flowbind lab exec correspondent -- ping {topology.HOME_ADDRESS}
  flowbind lab exec wlan -- tcpdump -ni up0
  flowbind mobile-node deregister --interface wlan0 --socket {MOBILE_NODE.socket}
  flowbind lab down"""


def _fail(error: LabError) -> typer.Exit:
    typer.echo(f"flowbind: {error}", err=True)
    return typer.Exit(1)


@lab_app.command()
def up() -> None:
    """Build the topology, attach the mobile node everywhere and start both daemons."""
    try:
        play.up()
    except LabError as error:
        raise _fail(error) from error
    typer.echo(_NEXT)


@lab_app.command()
def down() -> None:
    """Remove the lab and end its processes, also after a crash."""
    try:
        there = play.down()
    except LabError as error:
        raise _fail(error) from error
    typer.echo("the lab is gone" if there else "there was no lab")


@lab_app.command(
    "exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def execute(
    node: Annotated[str, typer.Argument(help="correspondent, home-agent, mobile-node, wlan, ...")],
    command: Annotated[list[str], typer.Argument(help="the command, after --")],
) -> None:
    """Run a command inside a node: `flowbind lab exec mobile-node -- ip route`."""
    try:
        status = play.execute(node, command)
    except LabError as error:
        raise _fail(error) from error
    raise typer.Exit(status)


@lab_app.command()
def demo(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the story as one HTML page.")] = None,
    pcap: Annotated[Path | None, typer.Option(help="Keep the captured signalling.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab up at the end.")] = False,
) -> None:
    """Play the eight phases of the story and check every expectation."""
    try:
        status = play.demo(play.DemoOptions(json=json, html=html, pcap=pcap, keep=keep))
    except LabError as error:
        raise _fail(error) from error
    except KeyboardInterrupt:
        typer.echo("flowbind: interrupted; the lab has been taken down", err=True)
        raise typer.Exit(130) from None
    raise typer.Exit(status)
