"""Several security associations of one node, told apart by SPI (RFC 5944 1.6, 3.8.2.1)."""

import pytest
from msgspec import structs

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.auth.authenticator import AuthenticationError, verify
from flowbind.events import EffectFailed
from flowbind.wire.iana import ExtensionType

OTHER = SecurityAssociation(257, bytes(range(32)), Algorithm.HMAC_SHA256, 30.0)
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION


@pytest.fixture
def desk(make_desk):
    return make_desk(make_desk.association, OTHER)


def assert_made_with(desk, association):
    (datagram,) = desk.replies
    verify(datagram.payload, KIND, association)
    with pytest.raises(AuthenticationError):
        verify(datagram.payload, KIND, desk.association if association is OTHER else OTHER)


@pytest.mark.rfc("5944", "3.2", "AUTH-4")
@pytest.mark.rfc("5944", "3.5.1", "AUTH-6")
@pytest.mark.rfc("5944", "3.8.2.1", "HA-13")
@pytest.mark.parametrize("first", [True, False])
def test_a_request_is_answered_with_the_association_that_it_names(desk, first):
    association = desk.association if first else OTHER
    assert desk.ask(desk.multipath(1), association=association) == 0
    assert_made_with(desk, association)
    assert desk.ask(desk.multipath(1), association=association, identification=0) == 133
    assert_made_with(desk, association)
    wrong = structs.replace(association, key=bytes(16))
    assert desk.ask(desk.multipath(1), association=wrong) == 131
    assert_made_with(desk, association)


@pytest.mark.rfc("5944", "3.5.1", "AUTH-6")
def test_the_key_of_one_spi_is_not_taken_for_another(desk):
    swapped = structs.replace(OTHER, spi=desk.association.spi)
    assert desk.ask(association=swapped) == 131
    assert desk.engine.records == {}


@pytest.mark.rfc("5944", "3.8.2.1", "HA-9")
def test_an_spi_of_neither_hears_nothing(desk):
    assert desk.ask(association=structs.replace(OTHER, spi=258)) is None
    assert desk.engine.statistics == {"refused_no-security-association": 1}


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
def test_what_was_accepted_under_one_spi_is_a_replay_under_another(desk):
    assert desk.ask(desk.multipath(1)) == 0
    used = desk.identification
    assert desk.ask(desk.multipath(1), association=OTHER, identification=used) == 133


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.rfc("5944", "3.8.2.1", "HA-15")
def test_each_association_has_its_own_tolerance(desk):
    desk.identification = None
    late = desk.request(desk.multipath(1), association=OTHER)
    late_too = desk.request(desk.multipath(2))
    desk.now += 20
    assert desk.hear(late) == 0
    assert desk.hear(late_too) == 133


def test_a_denial_for_a_reply_not_sent_is_made_with_its_association(desk):
    assert desk.ask(desk.multipath(1), association=OTHER) == 0
    assert desk.hear(EffectFailed(desk.last[0], tuple(desk.last[1:]), "no space left")) == 130
    assert_made_with(desk, OTHER)
