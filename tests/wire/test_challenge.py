import pytest

from flowbind.wire.challenge import Challenge
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ReplyCode


@pytest.mark.rfc("4721", "4")
def test_golden_both_ways(vector):
    extension = Challenge(bytes.fromhex("0badcafe"))

    assert extension.encode() == vector("challenge")
    assert Challenge.decode(vector("challenge")[2:]) == extension


@pytest.mark.rfc("4721", "4")
@pytest.mark.parametrize("octets", [1, 3, 255])
def test_a_challenge_of_any_length_but_none(octets):
    extension = Challenge(bytes(octets))

    assert extension.encode()[1] == octets
    assert Challenge.decode(extension.encode()[2:]) == extension


def test_no_challenge_at_all_is_answered_with_134():
    with pytest.raises(WireError) as refused:
        Challenge.decode(b"")

    assert str(refused.value) == "challenge-empty"
    assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST
