"""The process that makes the load, as the others see it: an order goes in, a sample comes out."""

import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.load import Order, Outcome
from bench.network import inside


class Sample(Struct, frozen=True):
    """One measurement, and the processor time that the answering process took for it."""

    outcome: Outcome
    processor_s: float

    @property
    def per_s(self) -> float:
        """Accepted requests a second."""
        return self.outcome.accepted / self.outcome.lasted_s

    @property
    def processor_us(self) -> float:
        """Microseconds of processor time for one request."""
        return self.processor_s / self.outcome.accepted * 1e6

    @property
    def use(self) -> float:
        """How much of its processor the answering process had, in percent."""
        return self.processor_s / self.outcome.lasted_s * 100


class Generator:
    """The load generator's process."""

    def __init__(self, processor: int) -> None:
        self._process = subprocess.Popen(
            inside("mn", sys.executable, "-m", "bench.load", str(processor)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def obey(self, order: Order, answering: int) -> Sample:
        """Have it carry out an order, and watch the process that answers."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise SystemExit("bench: no pipe to the load generator")
        before_s = _processor_s(answering)
        stdin.write(msgspec.json.encode(order).decode() + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise SystemExit("bench: the load generator ended")
        outcome = msgspec.json.decode(answer, type=Outcome)
        if outcome.failure:
            raise SystemExit(f"bench: {outcome.failure}")
        return Sample(outcome, _processor_s(answering) - before_s)

    def close(self) -> None:
        """Let it end."""
        self._process.communicate(timeout=20)


def _processor_s(pid: int) -> float:
    """Return the processor time that a process of one thread has had, in seconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
