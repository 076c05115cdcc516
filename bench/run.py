"""`make bench`: everything that is measured, in one run. `python -m bench.run --help`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench import codec, dataplane, flood, memory, registrations, report, restart
from bench.report import Section, tell

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("dataplane", "registrations", "flood", "codec", "memory", "restart")
MOST_SECONDS = 30
"""Requests are stamped before a measurement begins, and no home agent takes stale ones."""

_DESCRIPTION = """\
What the tunnels and the daemons cost, beside what each figure is compared with, in one run. Needs
root: everything happens in network namespaces of its own (fbb-*), which it removes again.

dataplane      TCP and small UDP packets through one tunnel, beside plain routing on the same links
registrations  requests that the home agent accepts durably on one processor, beside a bare loop
flood          what of these is left while 50,000 forged requests arrive each second
codec          decoding and encoding a request, beside scapy
memory         resident memory of a binding, and its way from the database to the engine
restart        the daemon killed and started again with all of these, while packets flow
"""
_EPILOGUE = """\
Exit status: 0 measured, whether or not a threshold was met; 1 could not measure; 2 used wrongly.
docs/performance.md says what the figures mean.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    chosen = given(arguments)
    report_to = chosen.json.resolve() if chosen.json else None
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, _end)
    try:
        machine = report.machine()
        tell(f"flowbind: {machine.flowbind}")
        tell(f"other programs use {machine.busy:.0%} of this machine")
        sections = _measure(chosen)
    except KeyboardInterrupt:
        tell("interrupted")
        return 1
    print("\n\n".join(map(report.table, sections)))
    if report_to:
        settings = {"rounds": chosen.rounds, "seconds": chosen.seconds, "parts": chosen.parts}
        report_to.write_bytes(report.to_json(machine, settings, sections))
        tell(f"written to {report_to}")
    return 0


def _measure(chosen: argparse.Namespace) -> list[Section]:
    sections: list[Section] = []
    if "dataplane" in chosen.parts:
        sections.append(dataplane.measure(chosen.rounds, chosen.seconds))
    if "registrations" in chosen.parts:
        store = chosen.store.resolve()
        sections.append(registrations.measure(chosen.rounds, chosen.seconds, store))
    if "flood" in chosen.parts:
        sections.append(flood.measure(chosen.rounds, chosen.seconds, chosen.store.resolve()))
    if "codec" in chosen.parts:
        sections.append(codec.measure(chosen.rounds, chosen.seconds))
    if "memory" in chosen.parts:
        sections.append(memory.measure(chosen.nodes, chosen.store.resolve()))
    if "restart" in chosen.parts:
        nodes = restart.NODES_QUICK if chosen.quick else restart.NODES
        sections.append(restart.measure(nodes, chosen.store.resolve()))
    return sections


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End in order, so that nothing is left behind."""
    raise KeyboardInterrupt


def given(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. Raises SystemExit (2) if it is wrong."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]}: choose of {', '.join(PARTS)}")
    chosen.parts = chosen.parts or list(PARTS)
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 1.0
    chosen.nodes = memory.NODES_QUICK if chosen.quick else memory.NODES
    return chosen


def _at_least_one(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _seconds(text: str) -> float:
    if not 1 <= (value := float(text)) <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"1 to {MOST_SECONDS}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description=_DESCRIPTION,
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all")
    parser.add_argument("--rounds", type=_at_least_one, default=5, help="repetitions (5)")
    parser.add_argument("--seconds", type=_seconds, default=3.0, help="of each measurement (3)")
    parser.add_argument("--quick", action="store_true", help="one round of one second, to try it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures as JSON")
    parser.add_argument(
        "--store", type=Path, metavar="DIRECTORY", default=Path("/var/tmp"),  # noqa: S108 -- a directory of its own is made below it
        help="on the disk that the home agent's database shall be on (/var/tmp)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
