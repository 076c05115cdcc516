"""What all tests share: how hypothesis looks for examples, and the golden messages."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# The same examples on each run: a gate that fails by chance is no gate.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")

TESTS = Path(__file__).parent
VECTORS = TESTS / "vectors"
ONE_AT_A_TIME = ("tests/lab/", "tests/bench/")
"""Parts whose tests have the lab, and the hosts of the benchmarks, to themselves."""


class Together(LoadFileScheduling):  # type: ignore[misc]
    """Gives whole files to the processes that share the tests, and whole parts where need be."""

    def _split_scope(self, nodeid: str) -> str:
        part = next((part for part in ONE_AT_A_TIME if nodeid.startswith(part)), None)
        return part or nodeid.split("::", maxsplit=1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    """Share the tests out, if several processes do."""
    return Together(config, log)


@pytest.fixture(scope="session")
def vector() -> Callable[[str], bytes]:
    """Give the octets of a golden message of tests/vectors/ by its name."""
    named: dict[str, str] = {}
    for file in sorted(VECTORS.glob("*.toml")):
        named |= tomllib.loads(file.read_text())

    def octets(name: str) -> bytes:
        return bytes.fromhex(named[name])

    return octets
