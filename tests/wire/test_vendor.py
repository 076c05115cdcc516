import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.extension import MalformedExtension, UnknownExtension, decode_extensions
from flowbind.wire.iana import ReplyCode
from flowbind.wire.vendor import CriticalVendorExtension, NormalVendorExtension

VALUE = bytes.fromhex("0001")


@pytest.mark.rfc("3115", "2.1")
def test_critical_both_ways(vector):
    extension = CriticalVendorExtension(9, 14, VALUE)

    assert extension.encode() == vector("critical-vendor")
    assert decode_extensions(vector("critical-vendor"), 0) == (extension,)


@pytest.mark.rfc("3115", "2.2")
def test_normal_both_ways(vector):
    extension = NormalVendorExtension(9, 14, VALUE)

    assert extension.encode() == vector("normal-vendor")
    assert decode_extensions(vector("normal-vendor"), 0) == (extension,)


@pytest.mark.rfc("3115", "2.1")
@pytest.mark.rfc("3115", "2.2")
def test_the_longest_and_the_shortest_value():
    for value in (b"", bytes(0xFFFF - 6)):
        critical = CriticalVendorExtension(0x00FFFFFF, 0xFFFF, value)
        assert decode_extensions(critical.encode(), 0) == (critical,)
    for value in (b"", bytes(255 - 8)):
        normal = NormalVendorExtension(0x00FFFFFF, 0xFFFF, value)
        assert decode_extensions(normal.encode(), 0) == (normal,)
    with pytest.raises(ValueError, match="256"):
        NormalVendorExtension(9, 14, bytes(255 - 7)).encode()


@pytest.mark.rfc("3115", "2.1")
def test_reserved_octets_are_ignored_and_sent_as_zero():
    critical = bytes.fromhex("26 ff 0006 00000009 000e")
    normal = bytes.fromhex("86 08 ffff 00000009 000e")

    assert decode_extensions(critical + normal, 0) == (
        CriticalVendorExtension(9, 14, b""),
        NormalVendorExtension(9, 14, b""),
    )
    assert CriticalVendorExtension(9, 14, b"").encode()[1] == 0
    assert NormalVendorExtension(9, 14, b"").encode()[2:4] == bytes(2)


@pytest.mark.parametrize("octets", range(6))
def test_a_critical_one_that_names_no_vendor_is_answered_with_134(octets):
    (malformed,) = decode_extensions(bytes((38, 0, 0, octets)) + bytes(octets), 0)

    assert isinstance(malformed, MalformedExtension)
    assert (malformed.reason, malformed.detail) == (
        "vendor-extension-malformed",
        f"{octets} octets name no vendor and type",
    )
    assert malformed.code is ReplyCode.POORLY_FORMED_REQUEST


@pytest.mark.rfc("3115", "2.3")
@pytest.mark.parametrize("octets", range(8))
def test_a_normal_one_that_names_no_vendor_is_passed_over(octets):
    assert decode_extensions(bytes((134, octets)) + bytes(octets), 0) == (
        UnknownExtension(134, bytes(octets)),
    )
    with pytest.raises(WireError, match=f"{octets} octets name no vendor and type"):
        NormalVendorExtension.decode(bytes(octets))
