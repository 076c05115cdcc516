"""Counting what was sent and what arrived, in bins of the time of *sending*.

Both ends of a flow count a packet in the bin of the moment it was sent, which the packet carries.
So the loss of any stretch of time is what one end sent in it less what the other received of it,
however long the packets were under way, once they had the time to arrive.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

BIN_S = 0.1
REPORT_EVERY_S = 0.2
_NANOSECONDS_PER_BIN = int(BIN_S * 1e9)


def bin_of_ns(at_ns: int) -> int:
    """Return the bin that a moment in Unix nanoseconds falls into."""
    return at_ns // _NANOSECONDS_PER_BIN


def bin_of(at: float) -> int:
    """Return the bin that a moment in Unix seconds falls into."""
    return bin_of_ns(round(at * 1e9))


class Ready(Struct, frozen=True, tag="ready"):
    """The program has its sockets and may be sent to."""


class Report(Struct, frozen=True, tag="report", omit_defaults=True):
    """What happened to one flow at one end since the report before.

    `sent` and `received` are by bin of sending, `octets` by bin of arrival. `longest_gap_ms` is the
    longest silence that ended in this report; `late` counts packets overtaken by a later one.
    """

    flow: str
    at: float
    sent: dict[int, int]
    received: dict[int, int]
    octets: dict[int, int]
    late: int = 0
    duplicates: int = 0
    corrupt: int = 0
    longest_gap_ms: float = 0.0


class Tally:
    """The account of one flow at one end, emptied by each report."""

    def __init__(self, flow: str) -> None:
        self.flow = flow
        self._sent: Counter[int] = Counter()
        self._received: Counter[int] = Counter()
        self._octets: Counter[int] = Counter()
        self._seen: set[tuple[int, int]] = set()
        self._highest: dict[int, int] = {}
        self._late = self._duplicates = self._corrupt = 0
        self._last_arrival_ns = 0
        self._longest_gap_ns = 0

    def sent(self, at_ns: int, count: int = 1) -> None:
        """Count packets sent at this moment."""
        self._sent[bin_of_ns(at_ns)] += count

    def received(self, key: int, sequence: int, sent_at_ns: int, octets: int) -> None:
        """Count one packet of the sub-flow `key`, whose sequence numbers are its own."""
        now_ns = time.time_ns()
        if self._last_arrival_ns:
            self._longest_gap_ns = max(self._longest_gap_ns, now_ns - self._last_arrival_ns)
        self._last_arrival_ns = now_ns
        if (key, sequence) in self._seen:
            self._duplicates += 1
            return
        self._seen.add((key, sequence))
        self._late += sequence < self._highest.get(key, -1)
        self._highest[key] = max(sequence, self._highest.get(key, -1))
        self._received[bin_of_ns(sent_at_ns)] += 1
        self._octets[bin_of_ns(now_ns)] += octets

    def corrupt(self) -> None:
        """Count a record that is not what was sent."""
        self._corrupt += 1

    def report(self) -> Report:
        """Return the account since the last time and begin a new one."""
        report = Report(
            flow=self.flow,
            at=time.time(),
            sent=dict(self._sent),
            received=dict(self._received),
            octets=dict(self._octets),
            late=self._late,
            duplicates=self._duplicates,
            corrupt=self._corrupt,
            longest_gap_ms=round(self._longest_gap_ns / 1e6, 1),
        )
        for counter in (self._sent, self._received, self._octets):
            counter.clear()
        self._late = self._duplicates = self._corrupt = self._longest_gap_ns = 0
        return report


class Reporter:
    """Prints the reports of a program when they are due."""

    def __init__(self, *tallies: Tally) -> None:
        self._tallies = tallies
        self._due_at = 0.0

    def ready(self) -> None:
        """Say that the program can receive."""
        _print(Ready())

    def tick(self, *, last: bool = False) -> None:
        """Print the reports if it is time to."""
        now = time.monotonic()
        if not last and now < self._due_at:
            return
        self._due_at = now + REPORT_EVERY_S
        for tally in self._tallies:
            _print(tally.report())


def _print(line: Ready | Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


class Window(Struct, frozen=True):
    """What a flow did over a stretch of time."""

    sent: int
    received: int
    late: int = 0

    @property
    def lost(self) -> int:
        """How many of those sent have not arrived."""
        return self.sent - self.received


class Ledger:
    """The sum of the reports of many programs, read from their growing output files."""

    def __init__(self) -> None:
        self._files: dict[Path, int] = {}
        self._ready: set[Path] = set()
        self._sent: dict[str, Counter[int]] = {}
        self._received: dict[str, Counter[int]] = {}
        self._octets: dict[str, Counter[int]] = {}
        self._gaps: dict[str, list[tuple[float, float]]] = {}
        self.corrupt: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        self.duplicates: Counter[str] = Counter()

    def watch(self, path: Path) -> None:
        """Read this file from now on."""
        self._files.setdefault(path, 0)

    def is_ready(self, path: Path) -> bool:
        """Tell whether the program writing there has said that it is ready."""
        self.poll()
        return path in self._ready

    def poll(self) -> None:
        """Take in the whole lines that have been written since the last time."""
        for path, offset in self._files.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._files[path] = offset + len(whole)
            for line in whole.splitlines():
                self._take(path, line)

    def _take(self, path: Path, line: bytes) -> None:
        said: Ready | Report = msgspec.json.decode(line, type=Ready | Report)
        if isinstance(said, Ready):
            self._ready.add(path)
            return
        self._sent.setdefault(said.flow, Counter()).update(said.sent)
        self._received.setdefault(said.flow, Counter()).update(said.received)
        self._octets.setdefault(said.flow, Counter()).update(said.octets)
        self._gaps.setdefault(said.flow, []).append((said.at, said.longest_gap_ms))
        self.corrupt[said.flow] += said.corrupt
        self.late[said.flow] += said.late
        self.duplicates[said.flow] += said.duplicates

    def window(self, flow: str, first_bin: int, end_bin: int) -> Window:
        """Add up the bins of sending from `first_bin` up to, not including, `end_bin`."""
        return Window(
            sent=_add_up(self._sent.get(flow), first_bin, end_bin),
            received=_add_up(self._received.get(flow), first_bin, end_bin),
        )

    def octets(self, flow: str, first_bin: int, end_bin: int) -> int:
        """Add up what arrived in these bins."""
        return _add_up(self._octets.get(flow), first_bin, end_bin)

    def longest_gap_ms(self, flow: str, start_at: float, end_at: float) -> float:
        """Return the longest silence reported between two moments."""
        gaps = self._gaps.get(flow, [])
        return max((gap for at, gap in gaps if start_at <= at < end_at), default=0.0)


def _add_up(counts: Counter[int] | None, first_bin: int, end_bin: int) -> int:
    if counts is None:
        return 0
    return sum(count for at, count in counts.items() if first_bin <= at < end_bin)
