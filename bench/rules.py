"""What 64 flow rules cost the program that decides, beside none.

The kernel itself measures how long a program runs (kernel.bpf_stats_enabled), on real packets:
that of the home agent's link, which finds node and path and encapsulates. Nothing that is around
it, such as sending, makes the difference smaller than it is. The packets a second that come of
it stand beside.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from bench import ends, network, sender
from bench.ends import Order
from bench.report import Section, figure, tell
from bench.sender import Flood
from flowbind.model.tunnel import MAX_RULES

CACHED_AT_MOST = 1.02
FIRST_AT_MOST = 2.0

_PROGRAM = "home_agent_link"
_SWITCH = Path("/proc/sys/kernel/bpf_stats_enabled")
_CACHED, _FIRST = "cached flow", "first packet"
_FLOWS = {_CACHED: 1, _FIRST: sender.FLOWS}
_AT_MOST = {_CACHED: CACHED_AT_MOST, _FIRST: FIRST_AT_MOST}


class Turn(Struct, frozen=True):
    """One measurement to repeat."""

    packets: str
    rules: int


class Sample(Struct, frozen=True):
    """What one packet took of the program, and how many arrived."""

    program_ns: float
    kpackets_s: float


TURNS = tuple(Turn(packets, rules) for packets in _FLOWS for rules in (0, MAX_RULES))


def measure(rounds: int, seconds: float) -> Section:
    """Take all measurements; about (rounds * 4 * (seconds + 2)) long."""
    found: dict[Turn, list[Sample]] = {turn: [] for turn in TURNS}
    with ends.hosts() as both, sender.counting(), _program_times():
        for at in range(rounds):
            for turn in TURNS if at % 2 == 0 else reversed(TURNS):
                both.home_agent.obey(Order("ipip", rules=turn.rules))
                sample = _take(Flood(seconds, flows=_FLOWS[turn.packets]))
                found[turn].append(sample)
                tell(
                    f"rules, round {at + 1} of {rounds}: {turn.packets}, {turn.rules} rules: "
                    f"{sample.program_ns:.0f} ns, {sample.kpackets_s:.0f} kpackets/s"
                )
    return _section(found)


def _take(flood: Flood) -> Sample:
    before = _programs()
    kpackets_s = sender.thousands(flood)
    ran = [
        (runs - before.get(number, (0, 0))[0], ns - before.get(number, (0, 0))[1])
        for number, (runs, ns) in _programs().items()
    ]
    # Others of that name may belong to whoever else uses this machine: ours ran most by far.
    runs, ns = max(ran)
    return Sample(ns / runs, kpackets_s)


def _programs() -> dict[int, tuple[int, int]]:
    """Return how often each program of that name ran and for how many ns, by its number."""
    shown = json.loads(network.run(["bpftool", "-j", "prog", "show"]))
    return {
        each["id"]: (each.get("run_cnt", 0), each.get("run_time_ns", 0))
        for each in shown
        if each.get("name") == _PROGRAM
    }


@contextmanager
def _program_times() -> Iterator[None]:
    before = _SWITCH.read_text()
    _SWITCH.write_text("1")
    try:
        yield
    finally:
        _SWITCH.write_text(before)


def _section(found: dict[Turn, list[Sample]]) -> Section:
    figures = []
    for packets, at_most in _AT_MOST.items():
        none, many = (found[Turn(packets, rules)] for rules in (0, MAX_RULES))
        figures += [
            figure(
                f"{packets}, the program",
                "ns",
                [each.program_ns for each in many],
                [each.program_ns for each in none],
                ratio_at_most=at_most,
            ),
            figure(
                f"{packets}",
                "kpackets/s",
                [each.kpackets_s for each in many],
                [each.kpackets_s for each in none],
            ),
        ]
    note = f"the last of {MAX_RULES} rules matches; first packets are of {sender.FLOWS:,} flows"
    return Section(f"with {MAX_RULES} rules", "no rules", figures, (note,))
