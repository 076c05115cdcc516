"""The story on a terminal: live while it is played, and a table at its end."""

import time
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from flowbind.lab import topology
from flowbind.lab.results import FlowResult, PhaseResult, StoryResult, complaints

_TEXT_WIDTH = 30
_WIDTHS = (50, _TEXT_WIDTH, *(6 for _access in topology.ACCESSES), 6, 5, 2)
TABLE_WIDTH = sum(_WIDTHS) + len(_WIDTHS)
_HEADINGS = ["   flow", "expected", *(each.title for each in topology.ACCESSES), "sent", "lost", ""]

_GOOD, _BAD = "[green]ok[/]", "[bold red]FAILED[/]"


class Progress:
    """Tells the story as it goes on. On a terminal the last line moves."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = console.status("") if console.is_terminal else None
        self._began_at = time.monotonic()

    def begins(self, number: int, name: str) -> None:
        """Announce a phase."""
        self._console.print(f"[bold]{number}  {escape(name)}[/]")

    def says(self, text: str) -> None:
        """Show what is being done."""
        elapsed_s = time.monotonic() - self._began_at
        self._console.print(f"   [dim]{elapsed_s:5.1f} s[/]  {escape(text)}")
        if self._status is not None:
            self._status.start()
            self._status.update(f"[dim]{escape(text)}[/]")

    def ends(self, phase: PhaseResult) -> None:
        """Give the verdict on a phase."""
        self.rests()
        for failure in phase.failures:
            self._console.print(f"   [red]{escape(failure)}[/]")
        for flow in phase.flows:
            for failure in flow.failures:
                self._console.print(f"   [red]{escape(flow.name)}: {escape(failure)}[/]")
        self._console.print(f"   {_GOOD if phase.ok else _BAD}")

    def rests(self) -> None:
        """Stop the moving line."""
        if self._status is not None:
            self._status.stop()


def print_table(console: Console, result: StoryResult) -> None:
    """Print the story phase by phase."""
    console.print("\n[bold]Packets seen in the access routers, by inner 5-tuple[/]\n")
    console.print(_rows([_HEADINGS], style="dim"))
    for phase in result.phases:
        verdict = _GOOD if phase.ok else _BAD
        console.print(f"\n[bold]{phase.number}  {escape(phase.name)}[/]  {verdict}")
        console.print(_rows([_cells(flow) for flow in phase.flows]))
    console.print()


def _rows(rows: Iterable[list[str]], style: str = "") -> Table:
    """One phase's rows; fixed widths line up those of all phases."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), style=style)
    for width in _WIDTHS:
        table.add_column(width=width, justify="left" if width >= _TEXT_WIDTH else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(flow: FlowResult) -> list[str]:
    seen = [
        str(count) if (count := flow.observed.get(access.name, 0)) else "[dim]-[/]"
        for access in topology.ACCESSES
    ]
    verdict = "[red]x[/]" if flow.failures else ""
    return [
        f"   {escape(flow.name)}",
        flow.expected,
        *seen,
        str(flow.sent),
        str(flow.lost),
        verdict,
    ]


def print_verdict(console: Console, result: StoryResult, took_s: float) -> None:
    """Print what was checked of the whole, what failed, and the verdict."""
    for line in result.evidence:
        console.print(f"{_GOOD}  {escape(line)}")
    for line in complaints(result):
        console.print(f"{_BAD}  {escape(line)}")
    good = sum(phase.ok for phase in result.phases)
    colour = "green" if result.ok else "red"
    console.print(
        f"[bold {colour}]{good} of 8 phases hold[/]"
        f"{'' if result.ok else ', so the demo has failed'}. It took {took_s:.0f} s."
    )
