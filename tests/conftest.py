"""What all tests share: how hypothesis looks for examples, and the golden messages."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on each run: a gate that fails by chance is no gate.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")

VECTORS = Path(__file__).parent / "vectors"


@pytest.fixture(scope="session")
def vector() -> Callable[[str], bytes]:
    """Give the octets of a golden message of tests/vectors/ by its name."""
    named: dict[str, str] = {}
    for file in sorted(VECTORS.glob("*.toml")):
        named |= tomllib.loads(file.read_text())

    def octets(name: str) -> bytes:
        return bytes.fromhex(named[name])

    return octets
