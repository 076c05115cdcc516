"""A few seeds of the simulation, that a seed is all there is to a run, and what a failure shows."""

import subprocess
import sys
from pathlib import Path

import pytest

from flowbind.engine.home_agent import denials
from tests.simulation import run, traffic
from tests.simulation.chance import KINDS
from tests.simulation.world import World

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 6])
def test_hours_of_trouble_hold_what_must_hold(seed):
    World(seed).run(0.5)


def test_a_seed_is_all_there_is_to_a_run():
    seed, hours = 6, 0.3
    here = World(seed)
    here.run(hours)
    command = [sys.executable, "-m", "tests.simulation.run", f"--seed={seed}", f"--hours={hours}"]
    # In another process the hashes of strings, and so the order of sets, are others.
    there = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert here.journal.digest[:16] in there.stdout
    other = World(seed + 1)
    other.run(hours)
    assert here.journal.digest != other.journal.digest


def test_a_failure_tells_how_to_see_it_again_and_without_what(monkeypatch, capsys):
    monkeypatch.setattr(traffic.Bucket, "take", lambda _self, _now: False)
    monkeypatch.setattr(sys, "argv", ["run", "--seed=1", "--hours=1", "--last=5"])
    assert run.main() == 1
    printed = capsys.readouterr().out
    assert "sends more than one request a second" in printed
    assert "make simulate SEED=1 HOURS=1\n" in printed
    every = ",".join(sorted(KINDS))
    assert f'make simulate SEED=1 HOURS=1 SIMULATE="--without {every}"' in printed


def test_a_home_agent_that_denies_without_end_is_found_out(monkeypatch):
    monkeypatch.setattr(denials, "DENIAL_INTERVAL_S", 0.0)
    assert "is denied with 131 too often" in run.lived(6, 1.0).found
