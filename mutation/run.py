"""`make mutate`: change wire/ and auth/ here and there, and tell which changes no test sees.

mutmut does the changing, in a copy of the tree. It changes what is in functions; tables and other
constants have tests of their own. A change that makes no difference to anybody stands in
`equivalent.toml`, with the reason. `python -m mutation.run --help`.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / "build" / "mutate"
TREE: Final = BUILD / "tree"
COPIED: Final = ("pyproject.toml", "tests/conftest.py", "tests/wire", "tests/auth", "tests/vectors")
MOST_MEMORY: Final = 3 << 29
"""A mutant may be a loop that does not end, and fills lists in the meantime."""

_KILLED: Final = frozenset({"killed", "timeout", "segfault", "suspicious"})
_PREFIX: Final = "flowbind."
_IGNORED: Final = shutil.ignore_patterns("__pycache__", "*.o", "*.so")


class Equivalent(NamedTuple):
    """A change that makes no difference: `old` becomes `new` in a function, `*` is any of them."""

    function: str
    old: str
    new: str

    def covers(self, change: "Change") -> bool:
        """Tell whether a change is this one and nothing besides."""
        if self.function not in {"*", change.function}:
            return False
        parts = change.removed.split(self.old)
        return any(
            self.old.join(parts[:at]) + self.new + self.old.join(parts[at:]) == change.added
            for at in range(1, len(parts))
        )


class Change(NamedTuple):
    """What a mutant changes: the lines of a function that it removes, and those it adds."""

    function: str
    removed: str
    added: str

    def __str__(self) -> str:
        return f"{self.function}\n  - {self.removed}\n  + {self.added}"


class Mutant(NamedTuple):
    """One change of the code and what became of it."""

    name: str
    status: str

    @property
    def function(self) -> str:
        """The function that is changed, such as `wire.extension._frames`."""
        mangled = self.name.removeprefix(_PREFIX).rpartition("__mutmut_")[0]
        module, _dot, function = mangled.rpartition(".")
        return f"{module}.{function.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"

    @property
    def module(self) -> str:
        """The file that is changed, below src/flowbind/."""
        return self.name.removeprefix(_PREFIX).rpartition(".")[0].replace(".", "/") + ".py"


def prepare() -> None:
    """Copy what is mutated and what tests it. Nothing of an earlier run is used again."""
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.copytree(ROOT / "src", TREE / "src", ignore=_IGNORED)
    for name in COPIED:
        source, target = ROOT / name, TREE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=_IGNORED)
        else:
            shutil.copy(source, target)


def mutmut(*arguments: str, show: bool = False) -> str:
    """Run mutmut in the copy; returns what it prints, unless that is shown."""
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=TREE,
        stdout=None if show else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"mutmut {arguments[0]}: {(done.stdout or '')[-2000:]}")
    return done.stdout or ""


def results() -> Iterator[Mutant]:
    """Return what became of each mutant that was tried."""
    for line in mutmut("results", "--all", "true").splitlines():
        name, colon, status = line.strip().partition(": ")
        if colon and status != "not checked":
            yield Mutant(name, status)


def change_of(mutant: Mutant) -> Change:
    """Return what a mutant changes, without the spaces around."""
    lines = [
        line
        for line in mutmut("show", mutant.name).splitlines()
        if not line.startswith(("---", "+++"))
    ]
    removed = [line[1:].strip() for line in lines if line.startswith("-")]
    added = [line[1:].strip() for line in lines if line.startswith("+")]
    return Change(mutant.function, " ".join(removed), " ".join(added))


def equivalents() -> list[Equivalent]:
    """Return the changes that are known to make no difference."""
    rows = tomllib.loads((ROOT / "mutation" / "equivalent.toml").read_text())["equivalent"]
    return [Equivalent(row["function"], row["old"], row["new"]) for row in rows]


def untried() -> set[str]:
    """Return the functions whose mutants cannot be tried."""
    rows = tomllib.loads((ROOT / "mutation" / "equivalent.toml").read_text())["untried"]
    return {row["function"] for row in rows}


def report(mutants: list[Mutant], *, whole: bool) -> int:
    """Print the score of each file and of all; returns 1 if a change is seen by no test."""
    unseen = {each: change_of(each) for each in mutants if each.status not in _KILLED}
    known = equivalents()
    covered = {each: [row for row in known if row.covers(unseen[each])] for each in unseen}
    for module in sorted({each.module for each in mutants}):
        print(_line(module, [each for each in mutants if each.module == module], covered))
    print(_line("all", mutants, covered))
    survivors = [each for each in unseen if not covered[each]]
    for each in survivors:
        print(f"\n{each.status}: {unseen[each]}")
    stale = set(known).difference(*covered.values()) if whole else set[Equivalent]()
    for row in stale:
        print(f"\nin equivalent.toml, and no mutant: {row.function}: {row.old} -> {row.new}")
    return 1 if survivors or stale else 0


def _line(what: str, mutants: list[Mutant], covered: dict[Mutant, list[Equivalent]]) -> str:
    equivalent = sum(bool(covered.get(each)) for each in mutants)
    counted = len(mutants) - equivalent
    killed = sum(each.status in _KILLED for each in mutants)
    score = 100.0 * killed / counted if counted else 100.0
    return f"{what:<34} {counted:>5} changes, {killed:>5} seen by a test: {score:5.1f} %"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the mutants, have the tests look at each, and say what came of it."""
    parser = argparse.ArgumentParser("make mutate", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="such as wire.extension")
    parser.add_argument("--jobs", type=int, default=2, help="how many mutants at once")
    options = parser.parse_args(arguments)
    targets: list[str] = options.targets
    # Inherited by mutmut and by the tests.
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    prepare()
    names = [f"{_PREFIX}{target}.*" for target in targets]
    mutmut("run", "--max-children", str(options.jobs), *names, show=sys.stdout.isatty())
    skipped = untried()
    return report([each for each in results() if each.function not in skipped], whole=not targets)


if __name__ == "__main__":
    sys.exit(main())
