"""Simulated hours by the thousand: `python -m tests.simulation.run --seed N --hours N`.

A failure shows its seed, what happened last, and the command that plays it again.
"""

import argparse
import logging
import random
import sys
import time
import traceback

from tests.simulation.world import World


def main() -> int:
    """Run the simulation as the command line says."""
    logging.getLogger("flowbind").setLevel(logging.CRITICAL + 1)
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="what the run is made of")
    parser.add_argument("--hours", type=float, default=100.0, help="simulated hours of one seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after another")
    parser.add_argument("--last", type=int, default=40, help="how many events a failure shows")
    parser.add_argument("--about", default="", help="show only events that have this in them")
    chosen = parser.parse_args()
    first = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
    failed = [
        seed
        for seed in range(first, first + chosen.seeds)
        if not run(seed, chosen.hours, chosen.last, chosen.about)
    ]
    if failed:
        print(f"failed: seeds {', '.join(map(str, failed))}")
    return 1 if failed else 0


def run(seed: int, hours: float, last: int, about: str) -> bool:
    """Run one seed and print what came of it. Tells whether all held."""
    began = time.perf_counter()
    world = World(seed)
    found = ""
    try:
        world.run(hours)
    except Exception:
        found = traceback.format_exc()
    took_s = time.perf_counter() - began
    node_hours = len(world.nodes) * max(world.journal.at, 1.0) / 3600
    if found:
        print("\n".join(world.journal.last(last, about)))
        print(found)
    print(
        f"seed {seed}: {node_hours:.1f} simulated node-hours, {world.journal.events} events, "
        f"{1000 * took_s / node_hours:.0f} ms for a node-hour, {world.calms} calms, "
        f"agreement after {world.slowest_s:.0f} s at the latest, hash {world.journal.digest[:16]}"
    )
    if found:
        print(f"seed {seed} failed at {world.journal.at:.6f} s. To play it again:")
        print(f"    make simulate SEED={seed} HOURS={hours:g}")
    return not found


if __name__ == "__main__":
    sys.exit(main())
