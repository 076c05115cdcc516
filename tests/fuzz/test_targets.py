"""The targets of `make fuzz`, for a moment and without a fuzzer, so that they cannot rot."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz.octets import Octets
from fuzz.run import seeds
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=50)
@given(data=st.binary(max_size=300))
def test_any_octets(name, data):
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=50)
@given(data=st.data())
def test_what_a_fuzzer_begins_with_and_a_few_octets_changed(name, data):
    octets = bytearray(data.draw(st.sampled_from(seeds(name) or [bytes(60)])))
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    TARGETS[name](bytes(octets))


@given(data=st.binary(max_size=9))
@example(b"")
def test_choices_never_end(data):
    octets = Octets(data)
    assert octets.number(2) < 1 << 16
    assert octets.below(7) < 7
    assert len(octets.counted()) <= 255
    octets.some(9)
    assert not octets.left
    assert (octets.number(4), octets.below(3), octets.counted()) == (0, 0, b"")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        # Found by the fuzzer: what was in a string and no UTF-8 closed the connection.
        ("control", b'{"type":"flow\x8c":1}'),
        ("control", b'{"type":"status","x":' + 10_000 * b"["),
    ],
)
def test_what_was_found_is_found_no_more(name, data):
    TARGETS[name](data)
