import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.iana import ReplyCode
from flowbind.wire.service_selection import ServiceSelection


@pytest.mark.rfc("5446", "3")
def test_golden_both_ways(vector):
    extension = ServiceSelection("voip")

    assert extension.encode() == vector("service-selection")
    assert ServiceSelection.decode(vector("service-selection")[2:]) == extension


@pytest.mark.rfc("5446", "3")
@pytest.mark.parametrize("identifier", ["a", "ü", "n" * 255])
def test_octets_are_counted_and_not_characters(identifier):
    octets = ServiceSelection(identifier).encode()

    assert octets[:2] == bytes((151, len(identifier.encode())))
    assert ServiceSelection.decode(octets[2:]) == ServiceSelection(identifier)


@pytest.mark.rfc("5446", "3")
@pytest.mark.parametrize("data", [b"", b"\xff", b"voip\xc3", b"a\x00", b"a\x1b[2Jb", b"a\n"])
def test_what_is_no_identifier_is_answered_with_134(data):
    with pytest.raises(WireError) as refused:
        ServiceSelection.decode(data)

    assert str(refused.value) == "service-selection-malformed: not an identifier"
    assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST
