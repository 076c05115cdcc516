import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.iana import ReplyCode
from flowbind.wire.nai import NetworkAccessIdentifier


@pytest.mark.rfc("2794", "2")
def test_type_length_name():
    octets = b"\x83\x13node5@fleet.example"

    assert NetworkAccessIdentifier("node5@fleet.example").encode() == octets
    assert NetworkAccessIdentifier.decode(octets[2:]) == NetworkAccessIdentifier(
        "node5@fleet.example"
    )


@pytest.mark.rfc("2794", "2")
def test_as_long_as_one_octet_can_say_and_no_longer():
    longest = NetworkAccessIdentifier("n" * 255)

    assert NetworkAccessIdentifier.decode(longest.encode()[2:]) == longest
    with pytest.raises(ValueError, match="256"):
        NetworkAccessIdentifier("n" * 256).encode()


def test_octets_are_counted_and_not_characters():
    assert NetworkAccessIdentifier("ü@x").encode() == b"\x83\x04\xc3\xbc@x"


@pytest.mark.parametrize("data", [b"", b"\xff", b"node\xc3", b"a\x00", b"a\x1b[2Jb", b"a\n"])
def test_what_is_no_name_is_answered_with_134(data):
    with pytest.raises(WireError) as refused:
        NetworkAccessIdentifier.decode(data)

    assert refused.value.reason == "nai-malformed"
    assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST
