"""Fill in what an engine does: `python -m tests.conformance.record CASE.toml ...`.

It writes into each case the effects and counters that the engine gives now, for a person to read
and to compare with the RFC, and next to one of a home agent the octets of its datagrams. It judges
nothing.
"""

import sys
from pathlib import Path
from typing import Final

from tests.conformance.case import HOME_AGENT, Case, read_case
from tests.conformance.play import Outcome, fitting, play
from tests.conformance.render import block, inline

_EVENT: Final = "[[event]]"
_EFFECTS: Final = "[[event.effects]]"


def has_octets(case: Case) -> bool:
    """Tell whether every octet of a case is known. A mobile node's Identifications are its own."""
    return case.engine == HOME_AGENT


def octets_of(case: Case, outcomes: list[Outcome]) -> str:
    """Write the datagrams of a case: the moment, `in` to the engine or `out`, and the octets."""
    lines = [
        f"{round(moment, 6):g} {direction} {payload.hex()}"
        for each in outcomes
        for moment, direction, payload in each.datagrams
    ]
    return "\n".join([f"# {case.name}", *lines, ""])


def octets_file(file: Path) -> Path:
    """Where the octets of a case are."""
    return file.with_suffix(".hex")


def filled_in(text: str, outcomes: list[Outcome]) -> str:
    """Return the text of a case with what came of each event."""
    head, *events = text.split(f"{_EVENT}\n")
    parts = [head]
    for event, outcome in zip(events, outcomes, strict=True):
        kept = event.partition(_EFFECTS)[0].splitlines()
        kept = [line for line in kept if not line.startswith(("effects =", "counters ="))]
        parts.append("\n".join([*_trimmed(kept), *_came(outcome), "", ""]))
    return _EVENT.join([parts[0], *[f"\n{each}" for each in parts[1:]]]).rstrip("\n") + "\n"


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(lines).rstrip().splitlines()


def _came(outcome: Outcome) -> list[str]:
    effects = [
        {key: value for key, value in each.items() if key != "text"}
        for each in fitting(outcome.event.effects, outcome.effects)
    ]
    lines = [f"counters = {inline(outcome.counters)}"] if outcome.counters else []
    if not effects:
        return [*lines, "effects = []"]
    return [*lines, *[line for each in effects for line in ["", *block(each)]]]


def record(file: Path) -> None:
    """Fill in one case."""
    case = read_case(file, whole=False)
    outcomes = play(case)
    file.write_text(filled_in(file.read_text(), outcomes[-case.own :]))
    if has_octets(case):
        octets_file(file).write_text(octets_of(case, outcomes))


def main() -> None:
    """Fill in the cases that are named."""
    for argument in sys.argv[1:]:
        record(Path(argument).resolve())


if __name__ == "__main__":
    main()
