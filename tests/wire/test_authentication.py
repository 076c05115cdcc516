import pytest

from flowbind.wire.authentication import Authentication, authentication_header
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType

KINDS = [
    (ExtensionType.MOBILE_HOME_AUTHENTICATION, 32),
    (ExtensionType.MOBILE_FOREIGN_AUTHENTICATION, 33),
    (ExtensionType.FOREIGN_HOME_AUTHENTICATION, 34),
]


@pytest.mark.rfc("5944", "3.5.2")
@pytest.mark.rfc("5944", "3.5.3")
@pytest.mark.rfc("5944", "3.5.4")
@pytest.mark.rfc("5944", "1.6", "SA-2")
@pytest.mark.parametrize(("kind", "number"), KINDS)
def test_type_length_spi_authenticator(kind, number):
    octets = bytes((number, 20)) + bytes.fromhex("00000100") + bytes(range(16))
    extension = Authentication(kind, 256, bytes(range(16)))

    assert extension.encode() == octets
    assert Authentication.decode(kind, octets[2:]) == extension
    assert authentication_header(kind, 256, 16) == octets[:6]


@pytest.mark.parametrize("octets", [0, 1, 16, 32, 251])
def test_an_authenticator_of_any_length_that_one_octet_can_say(octets):
    extension = Authentication(ExtensionType.MOBILE_HOME_AUTHENTICATION, 0xFFFFFFFF, bytes(octets))

    assert extension.encode()[1] == 4 + octets
    assert Authentication.decode(extension.type, extension.encode()[2:]) == extension


@pytest.mark.rfc("5944", "1.6", "SA-2")
@pytest.mark.parametrize("data", [b"", b"\x00\x00\x01"])
def test_without_room_for_an_spi_there_is_only_silence(data):
    with pytest.raises(WireError) as refused:
        Authentication.decode(ExtensionType.MOBILE_HOME_AUTHENTICATION, data)

    assert str(refused.value) == f"truncated: {len(data)} octets hold no SPI"
    assert refused.value.code is None
