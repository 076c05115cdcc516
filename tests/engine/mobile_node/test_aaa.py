"""The Mobile-AAA Authentication of a co-located mobile node (RFC 4721 3.1)."""

import pytest

from flowbind.auth.aaa import CHAP_SPI, AaaAssociation, verify_aaa
from flowbind.events import DeregisterRequested, InterfaceUp
from flowbind.wire.authentication import Authentication
from flowbind.wire.challenge import Challenge
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.message import first

AAA = AaaAssociation(CHAP_SPI, b"the key of the home domain")


@pytest.mark.rfc("4721", "3.1", "AAA-MN-1", "AAA-MN-3")
@pytest.mark.rfc("4721", "6", "AAA-HA-3")
@pytest.mark.parametrize("spi", [CHAP_SPI, 300])
def test_each_request_has_it_behind_the_mobile_home_authentication(make_trip, spi):
    key = AaaAssociation(spi, AAA.key)
    trip = make_trip(aaa=key, revocation=True)
    trip.up("wlan0")
    requests = [trip.sent]
    trip.hear(DeregisterRequested())
    requests.append(trip.sent)
    for each in requests:
        verify_aaa(each.payload, key)
        kinds = [type(extension) for extension in trip.asked.extensions]
        assert kinds[-2:] == [Authentication, GeneralizedAuthentication]
        assert first(trip.asked, Challenge) is None


def test_a_node_without_a_key_has_none(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert first(trip.asked, GeneralizedAuthentication) is None


def test_a_denial_is_told_and_the_request_repeated_seldom(make_trip):
    trip = make_trip(aaa=AAA)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(144)
    assert any("144" in each for each in trip.logged)
    assert trip.engine.statistics["denied_144"] == 1
