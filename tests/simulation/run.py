"""Simulated hours by the thousand: `python -m tests.simulation.run --seed N --hours N`.

A failure shows its seed, what happened last, the command that plays it again, and, if it comes soon
enough to be tried a dozen times, which kinds of trouble it does not need.
"""

import argparse
import logging
import random
import sys
import time
import traceback

from msgspec import Struct

from tests.simulation.chance import KINDS
from tests.simulation.world import World

SHRUNK_WITHIN_S = 20.0
"""A failure that takes longer than this is not tried again, unless somebody asks for it."""


class Outcome(Struct, frozen=True):
    """What came of a run. `found` is what did not hold, "" if all did."""

    world: World
    found: str
    trace: str
    took_s: float

    @property
    def node_hours(self) -> float:
        """How much life was simulated."""
        return len(self.world.nodes) * max(self.world.journal.at, 1.0) / 3600


def main() -> int:
    """Run the simulation as the command line says."""
    logging.getLogger("flowbind").setLevel(logging.CRITICAL + 1)
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="what the run is made of")
    parser.add_argument("--hours", type=float, default=100.0, help="simulated hours of one seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--last", type=int, default=40, help="how many events a failure shows")
    parser.add_argument("--about", default="", help="show only events that have this in them")
    parser.add_argument("--without", default="", help=f"leave these out: {','.join(KINDS)}")
    parser.add_argument("--shrink", action="store_true", help="shrink a late failure, too")
    chosen = parser.parse_args()
    without = frozenset(chosen.without.split(",")) - {""}
    if not without <= set(KINDS):
        parser.error(f"--without takes some of {','.join(KINDS)}")
    first = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
    failed: list[int] = []
    node_hours = took_s = 0.0
    for seed in range(first, first + chosen.seeds):
        outcome = lived(seed, chosen.hours, without)
        show(outcome, seed, chosen.last, chosen.about)
        node_hours += outcome.node_hours
        took_s += outcome.took_s
        if outcome.found:
            failed.append(seed)
            shrinks = chosen.shrink or outcome.took_s < SHRUNK_WITHIN_S
            spare = needless(seed, outcome, without) if shrinks else without
            print("\n".join(to_play_again(seed, chosen.hours, without, spare)), flush=True)
    if chosen.seeds > 1:
        each_ms = 1000 * took_s / node_hours
        print(f"{chosen.seeds} seeds: {node_hours:.0f} node-hours, {each_ms:.0f} ms for each")
    if failed:
        print(f"failed: seeds {', '.join(map(str, failed))}")
    return 1 if failed else 0


def lived(seed: int, hours: float, without: frozenset[str] = frozenset()) -> Outcome:
    """Run one seed."""
    began = time.perf_counter()
    world = World(seed, without)
    found = trace = ""
    try:
        world.run(hours)
    except Exception as error:
        found, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
    return Outcome(world, found, trace, time.perf_counter() - began)


def show(outcome: Outcome, seed: int, last: int, about: str) -> None:
    """Print what came of a run, with what happened last if something did not hold."""
    world = outcome.world
    if outcome.found:
        print("\n".join(world.journal.last(last, about)))
        print(outcome.trace)
    print(
        f"seed {seed}: {outcome.node_hours:.1f} simulated node-hours, "
        f"{world.journal.events} events, "
        f"{1000 * outcome.took_s / outcome.node_hours:.0f} ms for a node-hour, "
        f"{world.calm.number} calms, agreement after {world.calm.slowest_s:.0f} s at the latest, "
        f"hash {world.journal.digest[:16]}",
        flush=True,
    )
    if outcome.found:
        print(f"seed {seed} failed at {world.journal.at:.6f} s: {outcome.found}")


def needless(seed: int, outcome: Outcome, without: frozenset[str]) -> frozenset[str]:
    """Leave out one kind of trouble after the other; return those without which it fails alike.

    The run has then come to something of the same sort, not to the same moment.
    """
    hours = 1.2 * outcome.world.journal.at / 3600 + 0.1
    spare = without
    for kind in KINDS:
        if kind in spare:
            continue
        again = lived(seed, hours, spare | {kind})
        if again.found and _sort(again.found) == _sort(outcome.found):
            spare |= {kind}
    return spare


def _sort(found: str) -> str:
    """What did not hold, without the names, numbers and addresses in it."""
    words = found.replace(",", " ").split()
    return " ".join(word for word in words if word.isalpha())[:40]


def to_play_again(
    seed: int, hours: float, without: frozenset[str], spare: frozenset[str]
) -> list[str]:
    """Return the commands that play a failure again, as it was and shrunk."""
    lines = [
        "To play it again:",
        f"    make simulate SEED={seed} HOURS={hours:g}{_option(without)}",
    ]
    if spare != without:
        lines += ["Nothing else is needed than what is left here, where it looks different:"]
        lines += [f"    make simulate SEED={seed} HOURS={hours:g}{_option(spare)}"]
    return lines


def _option(without: frozenset[str]) -> str:
    return f' SIMULATE="--without {",".join(sorted(without))}"' if without else ""


if __name__ == "__main__":
    sys.exit(main())
