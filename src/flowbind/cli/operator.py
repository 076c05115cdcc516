"""The commands that ask a running daemon: one request over its control socket, one answer shown.

Without `--socket` the daemon of this host is found by its default socket. A host that runs both
roles has two; then there is no right guess, and the operator must say which.
"""

import time
import tomllib
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from flowbind.cli import views
from flowbind.control.client import ControlError, ask
from flowbind.control.messages import (
    LONGEST_MEASUREMENT_S,
    BindingsRequest,
    DeregisterRequest,
    ExplainRequest,
    Failed,
    FlowsRequest,
    NotificationsRequest,
    NotifyRequest,
    PathsRequest,
    PolicyRequest,
    PolicySetRequest,
    RegisterRequest,
    Request,
    Response,
    RevokeRequest,
    StatusRequest,
)
from flowbind.model.encoding import to_json

RUN_DIRECTORY: Final = Path("/run/flowbind")
_REFRESH_S: Final = 1.0
_POLICY_TABLES: Final = frozenset({"flow", "interface", "mobile-node"})

SocketOption = Annotated[
    Path | None,
    typer.Option("--socket", metavar="PATH", help="Control socket of the daemon to ask."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as one line of JSON.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Ask again every second.")]
InterfaceOption = Annotated[
    str | None, typer.Option("--interface", metavar="NAME", help="This interface alone.")
]


class FlowOrder(StrEnum):
    """What flows may be sorted by: the highest first, or the most recent."""

    RATE = "rate"
    VOLUME = "volume"
    AGE = "age"
    RECENT = "recent"


class Failure(typer.TyperException):
    """The request could not be carried out: one line for the operator, exit status 1."""


class Misuse(Failure):
    """The command was given what it cannot work with: one line, exit status 2."""

    exit_code = 2


def status(
    socket: SocketOption = None, json: JsonOption = False, watch: WatchOption = False
) -> None:
    """The daemon in one look, with everything that it counted."""
    _show(StatusRequest(), socket, json=json, watch=watch)


def bindings(
    socket: SocketOption = None, json: JsonOption = False, watch: WatchOption = False
) -> None:
    """Every binding: home address, care-of address, BID, rest of its lifetime."""
    _show(BindingsRequest(), socket, json=json, watch=watch)


def paths(
    socket: SocketOption = None, json: JsonOption = False, watch: WatchOption = False
) -> None:
    """Every tunnel: its ends, its state and, at a mobile node, its measurements."""
    _show(PathsRequest(), socket, json=json, watch=watch)


def flows(
    bid: Annotated[int | None, typer.Option("--bid", help="Those on the path of this BID.")] = None,
    match: Annotated[
        str | None, typer.Option("--match", metavar="EXPRESSION", help="Those that this selects.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="The first N of them.")
    ] = None,
    sort: Annotated[
        FlowOrder | None, typer.Option("--sort", help="By what, instead of by their rate.")
    ] = None,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            metavar="SECONDS",
            min=0.0,
            max=LONGEST_MEASUREMENT_S,
            help="How long rates are measured; 0 for not at all.",
        ),
    ] = 1.0,
    socket: SocketOption = None,
    json: JsonOption = False,
    watch: WatchOption = False,
) -> None:
    """The live flows, the path that each of them takes, and at what rate."""
    request = FlowsRequest(bid, match, top, sort.value if sort else None, interval)
    _show(request, socket, json=json, watch=watch)


def explain(
    packet: Annotated[
        str, typer.Argument(help='For instance "udp 203.0.113.9:5004 -> 10.9.0.5:40000".')
    ],
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Which rule and which path a packet takes, and why."""
    _show(ExplainRequest(packet), socket, json=json)


def notifications(
    socket: SocketOption = None, json: JsonOption = False, watch: WatchOption = False
) -> None:
    """The last notifications, said and heard (RFC 6098)."""
    _show(NotificationsRequest(), socket, json=json, watch=watch)


policy_app = typer.Typer(
    invoke_without_command=True, help="The flow rules in force, in order of precedence."
)


@policy_app.callback()
def policy(
    context: typer.Context,
    socket: SocketOption = None,
    json: JsonOption = False,
    watch: WatchOption = False,
) -> None:
    """The flow rules in force, in order of precedence."""
    if context.invoked_subcommand is None:
        _show(PolicyRequest(), socket, json=json, watch=watch)
    elif socket or json or watch:
        raise Misuse(f"options belong behind the command: policy {context.invoked_subcommand} ...")


@policy_app.command("set")
def policy_set(
    file: Annotated[Path, typer.Argument(help="TOML file; its [[flow]] tables are taken.")],
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Replace the running flow policy; the mobile node registers it at once.

    It outlives a restart of the daemon, until the [[flow]] tables of its configuration change.
    """
    request = PolicySetRequest(_read_flows(file), source=str(file))
    _show(request, socket or RUN_DIRECTORY / "mobile-node.sock", json=json)


def register(
    interface: InterfaceOption = None, socket: SocketOption = None, json: JsonOption = False
) -> None:
    """Register one interface again now, or renew all of them in one request (B bit)."""
    _show(RegisterRequest(interface), socket or RUN_DIRECTORY / "mobile-node.sock", json=json)


def deregister(
    interface: InterfaceOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="All of them, in one request (B bit, lifetime 0).")
    ] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Deregister one interface, whose flows then move to the others, or all of them."""
    if every == (interface is not None):
        raise Misuse("give either --interface NAME or --all")
    _show(DeregisterRequest(interface), socket or RUN_DIRECTORY / "mobile-node.sock", json=json)


HomeAddress = Annotated[str, typer.Argument(help="The home address of the mobile node.")]
BidOption = Annotated[int | None, typer.Option("--bid", help="The binding with this BID alone.")]


def revoke(
    home_address: HomeAddress,
    bid: BidOption = None,
    care_of_address: Annotated[
        str | None,
        typer.Option("--care-of", metavar="ADDRESS", help="The binding of this address alone."),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """End the bindings of a mobile node at once, and tell it so (RFC 3543)."""
    if bid is not None and care_of_address is not None:
        raise Misuse("give either --bid or --care-of")
    request = RevokeRequest(home_address, bid, care_of_address)
    _show(request, socket or RUN_DIRECTORY / "home-agent.sock", json=json)


Saying = Annotated[str, typer.Argument(help="What to say: 1 to 254 octets.")]
AcknowledgeOption = Annotated[
    bool,
    typer.Option("--acknowledge/--no-acknowledge", help="Repeat it until it is acknowledged."),
]


def notify_node(
    home_address: HomeAddress,
    text: Saying,
    bid: BidOption = None,
    acknowledge: AcknowledgeOption = True,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Say something to a mobile node (RFC 6098); `flowbind notifications` tells how it ends."""
    request = NotifyRequest(text, home_address, bid, acknowledge)
    _show(request, socket or RUN_DIRECTORY / "home-agent.sock", json=json)


def notify_agent(
    text: Saying,
    acknowledge: AcknowledgeOption = True,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Say something to the home agent (RFC 6098); `flowbind notifications` tells how it ends."""
    request = NotifyRequest(text, acknowledge=acknowledge)
    _show(request, socket or RUN_DIRECTORY / "mobile-node.sock", json=json)


def _show(request: Request, socket: Path | None, *, json: bool, watch: bool = False) -> None:
    path = socket or _only_socket()
    if not watch:
        _write(_answer(path, request), json=json)
        return
    console = Console()
    with suppress(KeyboardInterrupt):
        if console.is_terminal and not json:
            _watch(console, path, request)
        else:
            _follow(path, request, json=json)


def _watch(console: Console, path: Path, request: Request) -> NoReturn:
    """Keep one screen up to date. A daemon that restarts is worth watching too."""
    first = views.rich_tables(views.view(_answer(path, request)))
    with Live(first, console=console, screen=True, auto_refresh=False) as live:
        live.refresh()
        while True:
            time.sleep(_REFRESH_S)
            try:
                shown = views.rich_tables(views.view(_answer(path, request)))
            except Failure as failure:
                shown = Text(failure.message, style="red")
            live.update(shown, refresh=True)


def _follow(path: Path, request: Request, *, json: bool) -> NoReturn:
    """Write one answer after the other; the first that does not come ends it."""
    while True:
        _write(_answer(path, request), json=json)
        time.sleep(_REFRESH_S)
        if not json:
            typer.echo()


def _write(response: Response, *, json: bool) -> None:
    if json:
        typer.echo(to_json(response).decode())
        return
    console = Console()
    tables = views.view(response)
    if console.is_terminal:
        console.print(views.rich_tables(tables))
    else:
        typer.echo(views.plain_lines(tables))


def _answer(path: Path, request: Request) -> Response:
    try:
        response = ask(path, request)
    except ControlError as error:
        raise Failure(str(error)) from error
    if isinstance(response, Failed):
        raise Failure(response.error)
    return response


def _only_socket() -> Path:
    candidates = [RUN_DIRECTORY / f"{role}.sock" for role in ("home-agent", "mobile-node")]
    found = [path for path in candidates if path.exists()]
    if not found:
        raise Failure(f"no daemon runs here: there is neither {' nor '.join(map(str, candidates))}")
    if len(found) > 1:
        raise Misuse(f"two daemons run here: say --socket {' or '.join(map(str, found))}")
    return found[0]


def _read_flows(file: Path) -> tuple[dict[str, Any], ...]:
    try:
        tables = tomllib.loads(file.read_text())
    except OSError as error:
        raise Misuse(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise Misuse(f"{file}: {error}") from error
    strangers = sorted(tables.keys() - _POLICY_TABLES)
    if strangers:
        raise Misuse(f"{file}: {strangers[0]}: not part of a policy")
    if "flow" not in tables:
        # An empty file by mistake must not clear the policy.
        raise Misuse(f"{file}: no [[flow]]; write `flow = []` to remove every rule")
    try:
        return msgspec.convert(tables["flow"], tuple[dict[str, Any], ...])
    except msgspec.ValidationError as error:
        raise Misuse(f"{file}: flow: must be an array of tables, [[flow]]") from error
