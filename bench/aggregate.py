"""Sixty TCP flows over three shaped links by the weighted spread, beside what the links carry.

What a link carries alone is measured with plain routing, in each round: payload, as everything
here. Weights are as an operator would give them for these speeds. The best link alone, with a
slow one, and all three take turns, so that it shows whether a slow link does harm.
"""

from bench import ends, links, network, traffic
from bench.ends import Ends, Order
from bench.report import Section, figure, tell
from bench.traffic import DOWN, UP

SPEEDS = (50, 30, 20)
"""Mbit/s of the links. The last one is also the slow one that is added to the first."""

WEIGHTS = (5, 3, 2)
FLOWS = 60
AT_LEAST = 0.95
NEVER_BELOW = 1.0

_LEAST_SECONDS = 3.0
"""So long a queue of 50 ms at the begin and at the end makes no difference."""

_SUM = "the links alone, by plain routing"
_BEST = "the best link"
_WITH_SLOW = "the best link with the slowest"
_ALL = "all links"
_CHOICES = {
    _BEST: (WEIGHTS[0], 0, 0),
    _WITH_SLOW: (WEIGHTS[0], 0, WEIGHTS[2]),
    _ALL: WEIGHTS,
}
"""The weights of the links, 0 for one that the node does not use."""


def measure(rounds: int, seconds: float) -> Section:
    """Take all measurements; about (rounds * 12 * (seconds + 2)) long."""
    seconds = max(seconds, _LEAST_SECONDS)
    found: dict[tuple[str, str], list[float]] = {}
    with ends.hosts() as both:
        links.make(SPEEDS)
        for at in range(rounds):
            for direction in (DOWN, UP):
                for what, value in _round(both, direction, seconds):
                    found.setdefault((what, direction), []).append(value)
                    tell(
                        f"aggregate, round {at + 1} of {rounds}: {direction}, {what}: "
                        f"{value:.1f} Mbit/s"
                    )
    return _section(found)


def _round(both: Ends, direction: str, seconds: float) -> list[tuple[str, float]]:
    alone = [
        _mbit_s(links.care_of_address(number), direction, seconds)
        for number in range(1, len(SPEEDS) + 1)
    ]
    found = [(_SUM, sum(alone))]
    for what, weights in _CHOICES.items():
        both.obey(Order("ipip", weights=weights))
        found.append((what, _mbit_s(network.HOME_ADDRESS, direction, seconds)))
    return found


def _mbit_s(address: str, direction: str, seconds: float) -> float:
    return traffic.tcp(address, direction, seconds, FLOWS) * 1e3


def _section(found: dict[tuple[str, str], list[float]]) -> Section:
    figures = []
    for direction in (DOWN, UP):
        together = found[_ALL, direction]
        best = found[_BEST, direction]
        with_slow = found[_WITH_SLOW, direction]
        figures += [
            figure(
                f"{direction}, {_ALL} / the sum of the links alone",
                "Mbit/s",
                together,
                found[_SUM, direction],
                ratio_at_least=AT_LEAST,
            ),
            figure(
                f"{direction}, {_WITH_SLOW} / the best alone",
                "Mbit/s",
                with_slow,
                best,
                ratio_at_least=NEVER_BELOW,
            ),
        ]
    speeds = ", ".join(map(str, SPEEDS))
    note = f"links of {speeds} Mbit/s with weights {', '.join(map(str, WEIGHTS))}"
    return Section(f"aggregate of {FLOWS} flows", "beside", figures, (note,))
