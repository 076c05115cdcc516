"""What the demo found, as data: the JSON object, the table and the page are views of it."""

from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Struct


class FlowResult(Struct, frozen=True, kw_only=True):
    """One flow, or family of flows, in one step of a phase.

    `observed` are the packets that each access router saw in both directions once the step had
    settled; `sent` and `lost` count the whole step, from before the change. A TCP flow counts
    records of the application, so what TCP repaired is not lost.
    """

    name: str
    expected: str
    observed: Mapping[str, int]
    sent: int
    lost: int
    failures: tuple[str, ...] = ()


class PhaseResult(Struct, frozen=True, kw_only=True):
    """One phase of the story. `failures` are the expectations that did not hold, with numbers."""

    number: int
    name: str
    started_at: float
    ended_at: float
    flows: tuple[FlowResult, ...]
    notes: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Tell whether every expectation held."""
        return not self.failures and not any(flow.failures for flow in self.flows)


class Mark(Struct, frozen=True):
    """Something that happened, for the time axis."""

    at: float
    text: str


class Series(Struct, frozen=True):
    """Packets of one flow per bin, by access network; all series begin at the same bin."""

    flow: str
    title: str
    packets: Mapping[str, list[int]]


class StoryResult(Struct, frozen=True, kw_only=True):
    """The whole demo. `evidence` says what was checked of the captures as a whole."""

    phases: tuple[PhaseResult, ...]
    evidence: tuple[str, ...]
    failures: tuple[str, ...]
    marks: tuple[Mark, ...] = ()
    series: tuple[Series, ...] = ()
    first_bin: int = 0

    @property
    def ok(self) -> bool:
        """Tell whether everything held."""
        return not self.failures and bool(self.phases) and all(phase.ok for phase in self.phases)


class Listener(Protocol):
    """Is told how the story goes on."""

    def begins(self, number: int, name: str) -> None:
        """A phase begins."""
        ...

    def says(self, text: str) -> None:
        """Something is being done, or was seen."""
        ...

    def ends(self, phase: PhaseResult) -> None:
        """A phase has ended."""
        ...


def to_json(result: StoryResult) -> bytes:
    """Return the object that `flowbind lab demo --json` prints."""
    phases = [
        {
            "name": phase.name,
            "ok": phase.ok,
            "flows": [
                {
                    "name": flow.name,
                    "expected": flow.expected,
                    "observed": dict(flow.observed),
                    "sent": flow.sent,
                    "lost": flow.lost,
                }
                for flow in phase.flows
            ],
        }
        for phase in result.phases
    ]
    return msgspec.json.encode({"ok": result.ok, "phases": phases})


def complaints(result: StoryResult) -> list[str]:
    """Say what did not hold, one line each."""
    lines: list[str] = []
    for phase in result.phases:
        where = f"phase {phase.number} ({phase.name})"
        lines += [f"{where}: {failure}" for failure in phase.failures]
        for flow in phase.flows:
            lines += [f"{where}: {flow.name}: {failure}" for failure in flow.failures]
    return lines + list(result.failures)
