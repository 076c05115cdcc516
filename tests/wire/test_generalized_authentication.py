import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.generalized_authentication import GeneralizedAuthentication, generalized_header


@pytest.mark.rfc("4721", "5")
@pytest.mark.rfc("4721", "6")
def test_golden_both_ways(vector):
    octets = vector("mobile-aaa")
    extension = GeneralizedAuthentication(1, 300, bytes(range(16)))

    assert extension.encode() == octets
    assert GeneralizedAuthentication.decode(1, octets[4:]) == extension
    assert generalized_header(1, 300, 16) == octets[:8]


@pytest.mark.rfc("4721", "5")
@pytest.mark.parametrize("octets", [0, 16, 252, 0xFFFF - 4])
def test_its_length_has_two_octets_and_counts_the_spi(octets):
    extension = GeneralizedAuthentication(4, 0xFFFFFFFF, bytes(octets))
    encoded = extension.encode()

    assert encoded[:4] == bytes((36, 4)) + (4 + octets).to_bytes(2, "big")
    assert GeneralizedAuthentication.decode(4, encoded[4:]) == extension


@pytest.mark.parametrize("octets", range(4))
def test_without_room_for_an_spi_there_is_only_silence(octets):
    with pytest.raises(WireError) as refused:
        GeneralizedAuthentication.decode(1, bytes(octets))

    assert str(refused.value) == f"truncated: {octets} octets hold no SPI"
    assert refused.value.code is None
