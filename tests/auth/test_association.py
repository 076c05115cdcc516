import pytest
from rich.pretty import pretty_repr

from flowbind.auth.association import Algorithm, SecurityAssociation

KEY = b"a secret of ours"


@pytest.mark.rfc("5944", "1.6", "SA-1")
@pytest.mark.parametrize("spi", [256, 0xFFFFFFFF])
def test_the_ends_of_the_usable_spis(spi):
    assert SecurityAssociation(spi, KEY).spi == spi


@pytest.mark.rfc("5944", "1.6", "SA-1")
@pytest.mark.parametrize("spi", [-1, 0, 2, 255, 1 << 32])
def test_a_reserved_spi_is_refused(spi):
    with pytest.raises(ValueError, match=f"SPI {spi} is not between 256 and 4294967295"):
        SecurityAssociation(spi, KEY)


def test_an_empty_key_is_refused():
    with pytest.raises(ValueError, match=r"^the key is empty$"):
        SecurityAssociation(256, b"")


@pytest.mark.rfc("5944", "5.1", "AUTH-8")
@pytest.mark.rfc("5944", "5.7.1", "ID-11")
def test_the_defaults_are_those_of_the_rfc():
    association = SecurityAssociation(256, KEY)

    assert association.algorithm is Algorithm.HMAC_MD5
    assert association.timestamp_tolerance_s == 7


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, pretty_repr])
def test_the_key_is_never_shown(show):
    association = SecurityAssociation(256, KEY, Algorithm.HMAC_SHA256)
    for holder in (association, [association], {"association": association}):
        shown = show(holder)
        assert "secret" not in shown
        assert KEY.hex() not in shown
        assert "SecurityAssociation(spi=256, algorithm='hmac-sha256')" in shown
