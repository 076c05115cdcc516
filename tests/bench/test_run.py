import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import run


def test_the_usual_is_measured_unless_told_otherwise():
    given = run.given([])
    assert given.parts == ["tunnels", "registrations", "flood", "codec", "memory", "restart"]
    assert (given.rounds, given.seconds) == (5, 3.0)


def test_a_group_stands_for_its_parts_and_each_is_measured_once():
    given = run.given(["rules", "dataplane", "codec"])
    assert given.parts == [
        "rules", "tunnels", "kernel", "peers", "nodes", "aggregate", "upgrade", "codec",
    ]  # fmt: skip
    assert given.many_nodes == 500_000
    assert set(run.given(["all"]).parts) == set(run.PARTS)


def test_quick_is_one_round_of_one_second():
    given = run.given(["--quick", "registrations"])
    assert given.parts == ["registrations"]
    assert (given.rounds, given.seconds) == (1, 1.0)
    assert given.nodes < run.given([]).nodes


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["--rounds", "0"], ["--seconds", "0"], ["--seconds", "31"]]
)
def test_wrong_use_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        run.given(arguments)
    assert ended.value.code == 2
    assert "bench: error:" in capsys.readouterr().err


@pytest.mark.root
def test_registrations_are_measured_and_nothing_is_left(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = _left_behind()
    kept = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench.run", "--quick", "--json", str(kept)]
    done = subprocess.run(
        [*command, "--store", str(tmp_path), "registrations"],
        cwd=run.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "all of them were on the disk" in done.stdout
    figures = json.loads(kept.read_text())["sections"][0]["figures"]
    assert all(figure["median"] > 0 for figure in figures)
    assert _left_behind() == before
    assert [each.name for each in tmp_path.iterdir()] == [kept.name]


def _left_behind() -> set[str]:
    return {str(path) for path in (*Path("/run").glob("fbb-*"), *Path("/run/netns").glob("fbb-*"))}
