import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.iana import ReplyCode
from flowbind.wire.revocation_support import RevocationSupport


@pytest.mark.rfc("3543", "3.2")
def test_golden_both_ways(vector):
    extension = RevocationSupport(0xE8D4A510, inform=True)

    assert extension.encode() == vector("revocation-support")
    assert RevocationSupport.decode(vector("revocation-support")[2:]) == extension


@pytest.mark.rfc("3543", "3.2")
def test_reserved_bits_are_ignored_and_sent_as_zero():
    decoded = RevocationSupport.decode(bytes.fromhex("7fff 00000001"))

    assert decoded == RevocationSupport(1, inform=False)
    assert decoded.encode() == bytes.fromhex("89 06 0000 00000001")


@pytest.mark.rfc("3543", "3.2")
def test_a_longer_one_of_a_later_day_is_understood_and_kept():
    decoded = RevocationSupport.decode(bytes.fromhex("8000 00000001 abcd"))

    assert decoded == RevocationSupport(1, inform=True, more=b"\xab\xcd")
    assert decoded.encode() == bytes.fromhex("89 08 8000 00000001 abcd")


@pytest.mark.parametrize("octets", range(6))
def test_a_shorter_one_is_answered_with_134(octets):
    with pytest.raises(WireError) as refused:
        RevocationSupport.decode(bytes(octets))

    assert str(refused.value) == f"revocation-support-length: {octets} octets instead of 6"
    assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST
