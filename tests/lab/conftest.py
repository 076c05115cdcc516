"""A story made up for the tests of its reports, and packets made up for those of its observers."""

import math

import pytest

from flowbind.lab import topology
from flowbind.lab.results import FlowResult, Mark, PhaseResult, Series, StoryResult
from flowbind.lab.stage import TITLES
from flowbind.lab.story import PHASES
from flowbind.lab.traffic.tally import BIN_S

NETWORKS = tuple(access.name for access in topology.ACCESSES)
PHASE_S = 8.0


def _flow(name, expected, network, sent, *, lost=0, failures=()):
    observed = {each: (sent - lost if each == network else 0) for each in NETWORKS}
    return FlowResult(
        name=name, expected=expected, observed=observed, sent=sent, lost=lost, failures=failures
    )


@pytest.fixture
def make_story():
    def make(*, failing=False):
        first_bin = 17_000_000_000
        start = first_bin * BIN_S
        phases = []
        for number, (name, _) in enumerate(PHASES, start=1):
            begins = start + 0.4 + (number - 1) * PHASE_S
            failures = ("7 of 900 were lost, none may be",) if failing and number == 4 else ()
            telemetry = (_flow("telemetry (DROP rule)", "dropped", None, 150, lost=150),)
            phases.append(
                PhaseResult(
                    number=number,
                    name=name,
                    started_at=begins,
                    ended_at=begins + PHASE_S,
                    flows=(
                        _flow("voice: RTP", "lte", "lte", 2000),
                        _flow("HTTP download", "wlan", "wlan", 9000, failures=failures),
                        *(telemetry if number >= 6 else ()),
                    ),
                    notes=("registered in 0.03 s, 7 flow bindings",),
                    failures=(),
                )
            )
        bins = round((len(PHASES) * PHASE_S + 0.4) / BIN_S)
        wave = [round(150 * (1 + 0.2 * math.sin(i / 9))) for i in range(bins)]
        half = bins // 2
        later = [round(each / 6) if i > bins // 4 else 0 for i, each in enumerate(wave)]
        series = tuple(
            Series(
                flow,
                title,
                {
                    "wlan": [*wave[:half], *([0] * (bins - half))],
                    "lte": [*([0] * half), *wave[half:]],
                    "cdma": later,
                },
            )
            for flow, title in TITLES.items()
        )
        marks = tuple(
            Mark(phase.started_at + offset, text)
            for phase in phases
            for offset, text in ((0.1, "something <happens>"), (3.0, "and something else"))
        )
        return StoryResult(
            phases=tuple(phases),
            evidence=("the captures missed no packet",),
            failures=(),
            marks=marks,
            series=series,
            first_bin=first_bin,
        )

    return make
