"""What a daemon answered, as tables for people.

A terminal gets rich tables with colours. Anything else gets plain columns, one row a line and
nothing cut off, so that grep and awk work. Programs should use `--json`.
"""

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flowbind.control.messages import (
    BindingRow,
    Bindings,
    Done,
    Explanation,
    Failed,
    FlowRow,
    Flows,
    NotificationRow,
    Notifications,
    PathRow,
    Paths,
    Policy,
    PolicyRow,
    Response,
    Revoked,
    Status,
)

_COLOURS: Final = {
    "up": "green",
    "forward": "green",
    "yes": "green",
    "registering": "yellow",
    "deregistering": "yellow",
    "no": "yellow",
    "no-path": "yellow",
    "no-node": "yellow",
    "deregistered": "yellow",
    "down": "red",
    "dead": "red",
    "drop": "red",
}

_KIBI: Final = 1024
_KILO: Final = 1000
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86400


class View(Struct, frozen=True):
    """A table. `numbers` names the columns that line up on the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()
    empty: str = ""
    headed: bool = True


def view(response: Response) -> tuple[View, ...]:
    """Turn an answer into the tables that show it."""
    match response:
        case Status():
            shown = _status(response)
        case Bindings():
            shown = (_bindings(response.bindings),)
        case Paths():
            shown = (_paths(response.paths),)
        case Flows():
            shown = (_flows(response.flows),)
        case Policy():
            shown = (_policy(response.rules),)
        case Explanation():
            shown = (_explanation(response),)
        case Revoked():
            shown = (_revoked(response),)
        case Notifications():
            shown = (_notifications(response.notifications),)
        case Done() | Failed():
            shown = (_sentence(response),)
    return shown


def rich_tables(views: Iterable[View]) -> RenderableType:
    """Draw for a terminal."""
    return Group(*(_rich_table(each) for each in views))


def plain_lines(views: Iterable[View]) -> str:
    """Draw for a file or a pipe."""
    return "\n\n".join(_plain_table(each) for each in views)


def duration(seconds: float) -> str:
    """Say a duration as a person would: 4.2s, 12m05s, 3h07m, 2d04h."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m{whole % _MINUTE_S:02}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h{whole % _HOUR_S // _MINUTE_S:02}m"
    return f"{whole // _DAY_S}d{whole % _DAY_S // _HOUR_S:02}h"


def volume(octets: int) -> str:
    """Say a number of octets in binary units: 812 B, 4.0 KiB, 1.3 GiB."""
    if octets < _KIBI:
        return f"{octets} B"
    amount = float(octets)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= _KIBI
        if amount < _KIBI:
            return f"{amount:.1f} {unit}"
    return f"{amount / _KIBI:.1f} TiB"


def rate(bits_per_s: float) -> str:
    """Say a rate in decimal units: 812 bit/s, 4.0 kbit/s, 1.3 Gbit/s."""
    if bits_per_s < _KILO:
        return f"{bits_per_s:.0f} bit/s"
    for unit in ("kbit/s", "Mbit/s"):
        bits_per_s /= _KILO
        if bits_per_s < _KILO:
            return f"{bits_per_s:.1f} {unit}"
    return f"{bits_per_s / _KILO:.1f} Gbit/s"


def _or_dash(value: object | None, text: Callable[[str], str] = str) -> str:
    return "-" if value is None else text(str(value))


def _status(status: Status) -> tuple[View, ...]:
    facts = (
        ("role", status.role),
        ("version", status.version),
        ("pid", str(status.pid)),
        ("uptime", duration(status.uptime_s)),
        ("home agent", status.home_agent),
        ("home address", _or_dash(status.home_address)),
        *((("NAI", status.nai),) if status.nai else ()),
        *((("home agent says", status.message),) if status.message else ()),
        ("mobile nodes", str(status.mobile_nodes)),
        ("bindings", str(status.bindings)),
        ("multipath", status.multipath),
    )
    counted = tuple((name, str(count)) for name, count in sorted(status.counters.items()) if count)
    return (
        View(("", ""), facts, headed=False),
        View(("counter", "count"), counted, frozenset({"count"}), "nothing counted yet"),
    )


def _bindings(rows: tuple[BindingRow, ...]) -> View:
    named = any(row.nai for row in rows)
    dual = any(row.ipv6_prefixes for row in rows)
    return View(
        (*(("NAI",) if named else ()), "home address", "BID", "care-of address", "interface",
         "access", "label", "tunnel", "lifetime", "remaining", *(("IPv6",) if dual else ())),
        tuple(
            (*((_or_dash(row.nai),) if named else ()),
             row.home_address, _or_dash(row.bid), row.care_of_address, _or_dash(row.interface),
             row.access, str(row.label), row.encapsulation, duration(row.lifetime_s),
             duration(row.remaining_s),
             *((" ".join(row.ipv6_prefixes) or "-",) if dual else ()))
            for row in rows
        ),
        frozenset({"BID", "label", "lifetime", "remaining"}),
        "no bindings",
    )  # fmt: skip


def _paths(rows: tuple[PathRow, ...]) -> View:
    return View(
        ("home address", "BID", "interface", "state", "local", "remote", "tunnel", "weight",
         "RTT", "loss", "MTU", "last error"),
        tuple(
            (_or_dash(row.home_address), _or_dash(row.bid), _or_dash(row.interface), row.state,
             _end(row.local, row.local_port), _end(row.remote, row.remote_port),
             row.encapsulation, str(row.weight),
             "-" if row.rtt_ms is None else f"{row.rtt_ms:.1f} ms",
             "-" if row.loss is None else f"{row.loss:.0%}", _mtu(row), _last_error(row))
            for row in rows
        ),
        frozenset({"BID", "weight", "RTT", "loss", "MTU"}),
        "no paths",
    )  # fmt: skip


def _mtu(row: PathRow) -> str:
    """The node's, and behind it what a router on the way of this path has said."""
    return _or_dash(row.mtu) if row.path_mtu is None else f"{row.mtu} ({row.path_mtu})"


def _last_error(row: PathRow) -> str:
    return "-" if row.error is None else f"{row.error}, {row.error_ago_s:.0f} s ago"


def _end(address: str, port: int | None) -> str:
    return address if port is None else f"{address}:{port}"


def _flows(rows: tuple[FlowRow, ...]) -> View:
    return View(
        ("protocol", "remote", "local", "DSCP", "verdict", "BID", "via", "rule", "rate",
         "packets/s", "packets", "volume", "age", "idle"),
        tuple(
            (row.protocol, row.remote, row.local, str(row.dscp), row.verdict, _or_dash(row.bid),
             _or_dash(row.interface or row.care_of_address), _or_dash(row.rule),
             "-" if row.bits_per_s is None else rate(row.bits_per_s),
             "-" if row.packets_per_s is None else f"{row.packets_per_s:.1f}",
             str(row.packets), volume(row.octets), duration(row.age_s), duration(row.idle_s))
            for row in rows
        ),
        frozenset({"DSCP", "BID", "rate", "packets/s", "packets", "volume", "age", "idle"}),
        "no live flows",
    )  # fmt: skip


def _policy(rows: tuple[PolicyRow, ...]) -> View:
    return View(
        ("home address", "#", "name", "match", "action", "BIDs", "active"),
        tuple(
            (row.home_address, str(row.position), row.name or "-", row.match, row.action,
             " ".join(str(bid) for bid in row.bids) or "-", "yes" if row.active else "no")
            for row in rows
        ),
        frozenset({"#"}),
        "no rules: every flow is spread over the paths by weight",
    )  # fmt: skip


def _explanation(explanation: Explanation) -> View:
    rows = (
        ("packet", explanation.packet),
        ("verdict", explanation.verdict),
        ("BID", _or_dash(explanation.bid)),
        ("interface", _or_dash(explanation.interface)),
        ("rule", _or_dash(explanation.rule)),
        ("cached", _cached_text(explanation.cached_generation)),
        ("why", explanation.why),
    )
    return View(("", ""), rows, headed=False)


def _cached_text(generation: int | None) -> str:
    return "no" if generation is None else f"yes, of generation {generation}"


def _revoked(revoked: Revoked) -> View:
    rows = tuple(
        (revoked.home_address, _or_dash(row.bid), row.care_of_address, "yes" if row.told else "no")
        for row in revoked.bindings
    )
    return View(("revoked", "BID", "care-of address", "being told"), rows, frozenset({"BID"}))


def _notifications(rows: tuple[NotificationRow, ...]) -> View:
    return View(
        ("ago", "home address", "direction", "state", "text"),
        tuple(
            (duration(row.ago_s), row.home_address, row.direction, row.state, row.text)
            for row in rows
        ),
        frozenset({"ago"}),
        "no notifications",
    )


def _sentence(response: Done | Failed) -> View:
    text = response.error if isinstance(response, Failed) else response.detail or "done"
    return View(("",), ((text,),), headed=False)


def _rich_table(this: View) -> RenderableType:
    if not this.rows:
        return Text(this.empty, style="dim")
    table = Table(box=None, show_header=this.headed, header_style="bold", pad_edge=False)
    for column in this.columns:
        table.add_column(
            column, justify="right" if column in this.numbers else "left", overflow="fold"
        )
    for row in this.rows:
        first = Text(row[0], style="" if this.headed else "dim")
        table.add_row(first, *(Text(cell, style=_COLOURS.get(cell, "")) for cell in row[1:]))
    return table


def _plain_table(this: View) -> str:
    if not this.rows:
        return this.empty
    rows = (this.columns, *this.rows) if this.headed else this.rows
    widths = [max(len(row[at]) for row in rows) for at in range(len(this.columns))]
    aligned = (
        (
            cell.rjust(width) if column in this.numbers else cell.ljust(width)
            for column, cell, width in zip(this.columns, row, widths, strict=True)
        )
        for row in rows
    )
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)
