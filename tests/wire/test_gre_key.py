import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.extension import UnknownExtension, decode_extensions
from flowbind.wire.gre_key import GreKey


@pytest.mark.rfc("6245", "5", "GX-1")
def test_golden_extension_both_ways(vector):
    extension = GreKey(0x1234)

    assert extension.encode() == vector("gre-key")
    assert decode_extensions(vector("gre-key"), 0) == (extension,)


@pytest.mark.rfc("6245", "5", "GX-1")
@pytest.mark.parametrize("key", [0, 1, 0xFFFFFFFF])
def test_any_key_can_be_said(key):
    assert decode_extensions(GreKey(key).encode(), 0) == (GreKey(key),)


@pytest.mark.parametrize("data", ["", "000000", "0000000000"])
def test_of_another_length_it_is_unknown(data):
    octets = bytes.fromhex(data)
    (extension,) = decode_extensions(bytes((48, 0, 0, len(octets))) + octets, 0)

    assert extension == UnknownExtension(48, octets, 0)
    with pytest.raises(WireError) as refused:
        GreKey.decode(0, octets)
    assert (refused.value.reason, refused.value.code) == ("unknown-gre-key-extension", None)


def test_of_another_subtype_it_is_unknown():
    (extension,) = decode_extensions(bytes.fromhex("30 01 0004 00000001"), 0)

    assert extension == UnknownExtension(48, bytes.fromhex("00000001"), 1)
