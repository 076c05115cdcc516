"""`make bench`: everything that is measured, in one run. `python -m bench.run --help`."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench import (
    aggregate,
    codec,
    flood,
    kernel_tunnel,
    many_nodes,
    memory,
    peers,
    plot,
    registrations,
    report,
    restart,
    rules,
    tunnels,
    upgrade,
)
from bench.report import Section, tell

ROOT = Path(__file__).resolve().parent.parent
MOST_SECONDS = 30
"""Requests are stamped before a measurement begins, and no home agent takes stale ones."""

_Measure = Callable[[argparse.Namespace], Section]
_DATAPLANE: dict[str, _Measure] = {
    "tunnels": lambda given: tunnels.measure(given.rounds, given.seconds),
    "kernel": lambda given: kernel_tunnel.measure(given.rounds, given.seconds),
    "peers": lambda given: peers.measure(given.rounds, given.seconds),
    "rules": lambda given: rules.measure(given.rounds, given.seconds),
    "nodes": lambda given: many_nodes.measure(given.rounds, given.seconds, given.many_nodes),
    "aggregate": lambda given: aggregate.measure(given.rounds, given.seconds),
    "upgrade": lambda given: upgrade.measure(given.rounds, given.store),
}
_DAEMONS: dict[str, _Measure] = {
    "registrations": lambda given: registrations.measure(given.rounds, given.seconds, given.store),
    "flood": lambda given: flood.measure(given.rounds, given.seconds, given.store),
    "codec": lambda given: codec.measure(given.rounds, given.seconds),
    "memory": lambda given: memory.measure(given.nodes, given.store),
    "restart": lambda given: restart.measure(given.restarted_nodes, given.store),
}
_MEASURES = _DATAPLANE | _DAEMONS
PARTS = tuple(_MEASURES)
GROUPS = {"dataplane": tuple(_DATAPLANE), "all": PARTS}
USUAL = ("tunnels", *_DAEMONS)

_DESCRIPTION = """\
What the tunnels and the daemons cost, beside what each figure is compared with, in one run. Needs
root: everything happens in network namespaces of its own (fbb-*), which it removes again.

tunnels        TCP and small UDP packets through one tunnel, beside plain routing on the same links
kernel         TCP through IP-in-IP beside the kernel's own device (in a virtual machine if need be)
peers          TCP beside OpenVPN, WireGuard-go and tinc, which are installed from Debian
rules          what 64 flow rules cost, in the first packet of a flow and in the others
nodes          packets a second with 500,000 nodes, beside one
aggregate      60 TCP flows over three shaped links, beside what these carry
upgrade        packets lost while another build of the home agent takes over

registrations  requests that the home agent accepts durably on one processor, beside a bare loop
flood          what of these is left while 50,000 forged requests arrive each second
codec          decoding and encoding a request, beside scapy
memory         resident memory of a binding, and its way from the database to the engine
restart        the daemon killed and started again with all of these, while packets flow

dataplane      the first seven of these; all: every one
"""
_EPILOGUE = """\
Exit status: 0 measured, whether or not a threshold was met; 1 could not measure; 2 used wrongly.
docs/performance.md says what the figures mean.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    chosen = given(arguments)
    report_to = chosen.json.resolve() if chosen.json else None
    plot_to = chosen.plot.resolve() if chosen.plot else None
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, _end)
    try:
        machine = report.machine()
        tell(f"flowbind: {machine.flowbind}")
        tell(f"other programs use {machine.busy:.0%} of this machine")
        sections = [_MEASURES[part](chosen) for part in chosen.parts]
    except KeyboardInterrupt:
        tell("interrupted")
        return 1
    print("\n\n".join(map(report.table, sections)))
    if report_to:
        settings = {"rounds": chosen.rounds, "seconds": chosen.seconds, "parts": chosen.parts}
        report_to.write_bytes(report.to_json(machine, settings, sections))
        tell(f"written to {report_to}")
    if plot_to:
        plot_to.write_text(plot.svg(machine, sections))
        tell(f"drawn in {plot_to}")
    return 0


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End in order, so that nothing is left behind."""
    raise KeyboardInterrupt


def given(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. Raises SystemExit (2) if it is wrong."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.parts) - {*PARTS, *GROUPS})
    if unknown:
        parser.error(f"there is no part {unknown[0]}: choose of {', '.join((*PARTS, *GROUPS))}")
    named = [part for name in chosen.parts for part in GROUPS.get(name, (name,))]
    chosen.parts = list(dict.fromkeys(named or USUAL))
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 1.0
    chosen.nodes = memory.NODES_QUICK if chosen.quick else memory.NODES
    chosen.restarted_nodes = restart.NODES_QUICK if chosen.quick else restart.NODES
    chosen.many_nodes = many_nodes.NODES_QUICK if chosen.quick else many_nodes.NODES
    chosen.store = chosen.store.resolve()
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
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(USUAL)} if none is")
    parser.add_argument("--rounds", type=_at_least_one, default=5, help="repetitions (5)")
    parser.add_argument("--seconds", type=_seconds, default=3.0, help="of each measurement (3)")
    parser.add_argument("--quick", action="store_true", help="one round of one second, to try it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what was wanted as SVG")
    parser.add_argument(
        "--store", type=Path, metavar="DIRECTORY", default=Path("/var/tmp"),  # noqa: S108 -- a directory of its own is made below it
        help="on the disk that the home agent's database shall be on (/var/tmp)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
