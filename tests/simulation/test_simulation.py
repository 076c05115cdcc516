"""A few seeds of the simulation, and that a seed is all there is to a run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import invariants, run, world

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_hours_of_trouble_hold_what_must_hold(seed):
    world.World(seed).run(2.0)


def test_a_seed_is_all_there_is_to_a_run():
    seed, hours = 5, 0.5
    here = world.World(seed)
    here.run(hours)
    command = [sys.executable, "-m", "tests.simulation.run", f"--seed={seed}", f"--hours={hours}"]
    # In another process the hashes of strings, and so the order of sets, are others.
    there = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert here.journal.digest[:16] in there.stdout
    other = world.World(seed + 1)
    other.run(hours)
    assert here.journal.digest != other.journal.digest


def test_a_failure_tells_how_to_see_it_again(monkeypatch, capsys):
    monkeypatch.setattr(invariants.Bucket, "take", lambda _self, _now: False)
    assert not run.run(seed=1, hours=1.0, last=5, about="")
    printed = capsys.readouterr().out
    assert "sends more than one request a second" in printed
    assert "make simulate SEED=1 HOURS=1" in printed
