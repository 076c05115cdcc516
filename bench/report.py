"""Figures: what they are compared with, whether that is enough, and how they are shown."""

import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from operator import truediv
from pathlib import Path

import msgspec
from msgspec import Struct

from flowbind.cli.main import BUILD

_STARTED_AT = time.monotonic()
_SECONDS_TO_LOOK = 1.0
_TEXT_COLUMNS = (0, 1, 7)


class Threshold(Struct, frozen=True):
    """The least or the most that is wanted: of the `ratio` to the reference, or of the `median`."""

    of: str
    at_least: float | None
    met: bool
    at_most: float | None = None


class Figure(Struct, frozen=True):
    """The median of the rounds, and that of the reference in the same rounds.

    `ratio` is the median of the rounds' ratios, so that what disturbs a round disturbs both sides.
    """

    what: str
    unit: str
    median: float
    least: float
    most: float
    reference: float | None = None
    ratio: float | None = None
    threshold: Threshold | None = None


class Section(Struct, frozen=True):
    """Figures that have their reference in common, and what else was found."""

    title: str
    reference: str
    figures: list[Figure]
    notes: tuple[str, ...] = ()


class Machine(Struct, frozen=True):
    """What the figures are of. `flowbind` is compiled or pure Python, and `busy` the share of the
    machine that other programs had at the start.
    """

    kernel: str
    processors: int
    processor: str
    python: str
    flowbind: str
    busy: float


def figure(
    what: str,
    unit: str,
    values: Sequence[float],
    reference: Sequence[float] = (),
    *,
    ratio_at_least: float | None = None,
    ratio_at_most: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Figure:
    """Make a figure of the values of all rounds, beside those of the reference if it has one."""
    median = statistics.median(values)
    ratio = None
    threshold = None
    if reference:
        ratio = statistics.median(map(truediv, values, reference))
    if at_least is not None:
        threshold = Threshold("median", at_least, median >= at_least)
    elif at_most is not None:
        threshold = Threshold("median", None, median <= at_most, at_most)
    elif ratio is not None and ratio_at_least is not None:
        threshold = Threshold("ratio", ratio_at_least, ratio >= ratio_at_least)
    elif ratio is not None and ratio_at_most is not None:
        threshold = Threshold("ratio", None, ratio <= ratio_at_most, ratio_at_most)
    theirs = statistics.median(reference) if reference else None
    return Figure(what, unit, median, min(values), max(values), theirs, ratio, threshold)


def tell(text: str) -> None:
    """Tell the impatient how far the measurement is."""
    print(f"bench {time.monotonic() - _STARTED_AT:5.0f} s  {text}", file=sys.stderr, flush=True)


def machine() -> Machine:
    """Describe this machine in general terms, before anything is measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return Machine(
        kernel=kernel(),
        processors=len(os.sched_getaffinity(0)),
        processor=next(names, "unknown"),
        python=platform.python_version(),
        flowbind=BUILD,
        busy=_busy(),
    )


def kernel() -> str:
    """Name the kernel that runs this."""
    return f"Linux {platform.release().split('-')[0]} {platform.machine()}"


def _busy() -> float:
    idle_before, all_before = _ticks()
    time.sleep(_SECONDS_TO_LOOK)
    idle, total = _ticks()
    return 1 - (idle - idle_before) / (total - all_before)


def _ticks() -> tuple[int, int]:
    """Return the idle and all ticks of all processors so far."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    _user, _nice, _system, idle, waiting = ticks[:5]
    return idle + waiting, sum(ticks)


def table(section: Section) -> str:
    """Return a section as lines for a terminal."""
    rows: list[tuple[str, ...]] = [
        (section.title, "", "median", "least", "most", section.reference, "ratio", "wanted")
    ]
    rows += [_row(each) for each in section.figures]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column in _TEXT_COLUMNS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *section.notes])


def _row(each: Figure) -> tuple[str, ...]:
    numbers = (each.median, each.least, each.most, each.reference, each.ratio)
    wanted = ""
    if each.threshold:
        of = "ratio " if each.threshold.of == "ratio" else ""
        met = "met" if each.threshold.met else "MISSED"
        least, most = each.threshold.at_least, each.threshold.at_most
        bound = f"<= {_number(most)}" if least is None else f">= {_number(least)}"
        wanted = f"{of}{bound}: {met}"
    return each.what, each.unit, *map(_number, numbers), wanted


def _number(value: float | None) -> str:
    """Return a number in three digits or, from a thousand on, all of them."""
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{2 - (value >= 10) - (value >= 100)}f}"


def to_json(on: Machine, settings: dict[str, object], sections: Sequence[Section]) -> bytes:
    """Return everything as JSON, for a later comparison."""
    found = {"machine": on, "settings": settings, "sections": sections}
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
