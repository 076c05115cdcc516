"""The targets of `make fuzz`, for a moment and without a fuzzer, so that they cannot rot."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz.octets import Octets
from fuzz.run import golden, seeds, words
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


def test_the_golden_messages_and_extensions_are_what_a_fuzzer_begins_with(vector):
    messages, others = golden()

    assert {each[0] for each in messages} == {1, 3, 7, 15, 22, 23}
    assert vector("critical-vendor") in others
    assert {each[0] for each in seeds("wire")} == {1, 3, 7, 15, 22, 23}
    assert '"\\x9a\\x01\\x00\\x04"\n' in words()


def test_a_message_is_read_as_it_was_written(vector):
    said = [each[4:] for each in seeds("home-agent") if each[1] == 6]
    (notification,) = [each for each in said if each[0] == 22]

    # Without its authentication, and with the number of octets of its extensions in between.
    assert Octets(notification).message((3, 22)) == vector("notification")[:-22]
    # The 23rd type of two is the second one, whose fixed part is as long.
    assert Octets(b"\x17" + notification[1:]).message((3, 22))[:1] == b"\x16"


@given(data=st.binary(max_size=9))
@example(b"")
def test_choices_never_end(data):
    octets = Octets(data)
    assert octets.number(2) < 1 << 16
    assert octets.below(7) < 7
    assert len(octets.counted()) <= 255
    assert len(octets.message((3, 22))) >= 20
    octets.some(9)
    assert not octets.left
    assert octets.message((3, 22)) == b"\x03" + bytes(19)
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
