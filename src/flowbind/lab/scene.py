"""One phase of the story while it is played: expectations are written down, then judged.

A phase is a row of steps. A step begins before its change and ends when the next begins, so that
no packet falls between two of them: `sent` and `lost` count all of it. Which path a flow takes is
judged in a window at the end of the step, when the change has settled.
"""

import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from flowbind.lab import topology
from flowbind.lab.observe import DOWN, UP, FlowKey
from flowbind.lab.results import FlowResult, Listener, Mark, PhaseResult
from flowbind.lab.stage import TITLES, Stage
from flowbind.lab.traffic.tally import BIN_S, Window, bin_of

SETTLE_S = 0.6
WATCH_S = 2.5
MINIMUM_FLOWS = 300
SHARE_TOLERANCE_POINTS = 10.0
DROPPED = "dropped"
ONE_PATH = "one path"

_DRAIN_S = 4.0
_POLL_S = 0.1
_MINIMUM_SEEN = 0.5
_MINIMUM_HTTP_MBIT = 1.0


class Expectation(Struct, frozen=True):
    """What a flow shall do in a step.

    `path` is an access network, DROPPED, ONE_PATH, or several networks that single flows are
    spread over by weight.
    """

    flow: str
    path: str | tuple[str, ...]
    lossless: bool = True

    @property
    def text(self) -> str:
        """The expectation in a few words."""
        if isinstance(self.path, str):
            return self.path
        if len(self.path) == 1:
            return self.path[0]
        shares = shares_by_weight(self.path)
        return ", ".join(f"{network} {round(shares[network])} %" for network in self.path)


def shares_by_weight(networks: tuple[str, ...]) -> dict[str, float]:
    """Return the share in per cent that each of these networks has by its weight."""
    weights = {network: topology.access(network).weight for network in networks}
    total = sum(weights.values())
    return {network: 100 * weight / total for network, weight in weights.items()}


class Scene:
    """A phase being played."""

    def __init__(self, stage: Stage, listener: Listener, number: int, name: str) -> None:
        self.stage = stage
        self._listener = listener
        self._number, self._name = number, name
        self._started_at = time.time()
        self._flows: list[FlowResult] = []
        self._failures: list[str] = []
        self._notes: list[str] = []
        self.marks: list[Mark] = []
        self._step_bin = bin_of(self._started_at)
        listener.begins(number, name)

    def does(self, text: str) -> None:
        """Announce an action."""
        self.marks.append(Mark(time.time(), text))
        self._listener.says(text)

    def notes(self, text: str) -> None:
        """Keep something seen for the report."""
        self._notes.append(text)
        self._listener.says(text)

    def expects(self, condition: bool, failure: str) -> None:
        """Write down a failure unless the condition holds."""
        if not condition:
            self._failures.append(failure)

    def fails(self, failure: str) -> None:
        """Write down a failure."""
        self._failures.append(failure)

    def watch(self, *expectations: Expectation, suffix: str = "") -> None:
        """Let the change settle, watch, judge, and end the step."""
        time.sleep(SETTLE_S)
        first = bin_of(time.time()) + 1
        time.sleep(WATCH_S)
        end = bin_of(time.time())
        step = (self._step_bin, end)
        self._step_bin = end
        lossless = [each.flow for each in expectations if each.lossless and each.path != DROPPED]
        self._drain(lossless, step)
        self.stage.observation.poll()
        self.stage.last_paths = {
            key: max(counts, key=counts.__getitem__)
            for key, counts in self.stage.observation.paths("unnamed", first, end).items()
        }
        self._flows += [self._judge(each, step, (first, end), suffix) for each in expectations]

    def ends(self) -> PhaseResult:
        """Return the finished phase."""
        result = PhaseResult(
            number=self._number,
            name=self._name,
            started_at=self._started_at,
            ended_at=time.time(),
            flows=tuple(self._flows),
            notes=tuple(self._notes),
            failures=tuple(self._failures),
        )
        self._listener.ends(result)
        return result

    def _drain(self, flows: list[str], step: tuple[int, int]) -> None:
        deadline = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline:
            time.sleep(_POLL_S)
            self.stage.ledger.poll()
            # An end that has not reported yet has sent nothing so far, so ask for a moment more.
            windows = [self.stage.ledger.window(flow, *step) for flow in flows]
            if time.time() > (step[1] + 4) * BIN_S and all(w.lost == 0 for w in windows):
                return

    def _judge(
        self, expected: Expectation, step: tuple[int, int], window: tuple[int, int], suffix: str
    ) -> FlowResult:
        ledger, observation = self.stage.ledger, self.stage.observation
        counted = ledger.window(expected.flow, *step)
        observed = observation.packets(expected.flow, *window)
        failures = _judge_path(self.stage, expected, observed, window)
        failures += _judge_loss(expected, counted)
        if ledger.corrupt[expected.flow]:
            failures.append(f"{ledger.corrupt[expected.flow]} records were not what was sent")
        if expected.flow == "http":
            failures += _judge_throughput(ledger.octets("http", *window), window)
        return FlowResult(
            name=TITLES[expected.flow] + (f" ({suffix})" if suffix else ""),
            expected=expected.text,
            observed=observed,
            sent=counted.sent,
            lost=counted.lost,
            failures=tuple(failures),
        )


def _judge_loss(expected: Expectation, counted: Window) -> list[str]:
    if counted.sent == 0:
        return ["nothing was sent"]
    if expected.path == DROPPED or not expected.lossless or counted.lost == 0:
        return []
    return [f"{counted.lost} of {counted.sent} were lost, none may be"]


def _judge_throughput(octets: int, window: tuple[int, int]) -> list[str]:
    mbit = octets * 8 / ((window[1] - window[0]) * BIN_S) / 1e6
    if mbit >= _MINIMUM_HTTP_MBIT:
        return []
    return [f"the download runs at {mbit:.2f} Mbit/s, at least {_MINIMUM_HTTP_MBIT} is wanted"]


def _judge_path(
    stage: Stage, expected: Expectation, observed: Mapping[str, int], window: tuple[int, int]
) -> list[str]:
    if expected.path == DROPPED:
        seen = sum(observed.values())
        return [f"{seen} packets passed an access router, none may"] if seen else []
    if expected.path == ONE_PATH:
        used = [network for network, count in observed.items() if count]
        return [] if len(used) == 1 else [f"seen on {' and '.join(used) or 'no path'}"]
    if expected.flow == "unnamed":
        networks = (expected.path,) if isinstance(expected.path, str) else expected.path
        return judge_spread(stage.observation.paths(expected.flow, *window), networks)
    return _judge_single(stage, expected, str(expected.path), window)


def _judge_single(
    stage: Stage, expected: Expectation, path: str, window: tuple[int, int]
) -> list[str]:
    failures: list[str] = []
    for direction in (UP, DOWN):
        counts = stage.observation.packets(expected.flow, *window, direction)
        strays = {network: count for network, count in counts.items() if count and network != path}
        if strays:
            failures.append(f"{direction}: expected on {path} only, but seen {strays}")
        if counts[path] == 0:
            failures.append(f"{direction}: no packet on {path}")
    sent = stage.ledger.window(expected.flow, *window).sent
    seen = sum(stage.observation.packets(expected.flow, *window).values())
    if expected.flow != "http" and seen < _MINIMUM_SEEN * sent:
        failures.append(f"{sent} were sent, but only {seen} seen on the paths")
    return failures


def judge_spread(
    paths: Mapping[FlowKey, Mapping[str, int]], networks: tuple[str, ...]
) -> list[str]:
    """Judge flows that are spread by weight: each on one path, the shares about the weights'."""
    failures: list[str] = []
    if len(paths) < MINIMUM_FLOWS:
        failures.append(f"{len(paths)} flows seen, at least {MINIMUM_FLOWS} are wanted")
    split = sum(len(counts) > 1 for counts in paths.values())
    if split:
        failures.append(f"{split} flows were seen on more than one path")
    total = max(1, len(paths))
    wanted = shares_by_weight(networks)
    for network in (each.name for each in topology.ACCESSES):
        share = 100 * sum(network in counts for counts in paths.values()) / total
        target = wanted.get(network, 0.0)
        tolerance = SHARE_TOLERANCE_POINTS if network in wanted and len(wanted) > 1 else 0.0
        if abs(share - target) > tolerance:
            failures.append(f"{share:.1f} % of the flows on {network}, wanted {target:.1f} %")
    return failures


def moved(
    before: Mapping[FlowKey, str], after: Mapping[FlowKey, str], without: Callable[[str, str], bool]
) -> int:
    """Count flows that changed their path although `without(old, new)` says they had no reason."""
    return sum(
        1
        for key, path in before.items()
        if key in after and after[key] != path and without(path, after[key])
    )
