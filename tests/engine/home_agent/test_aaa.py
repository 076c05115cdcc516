"""The Mobile-AAA Authentication at a home agent (RFC 4721 3.4)."""

import pytest
from msgspec import structs

from flowbind.auth.aaa import CHAP_SPI, NO_CHALLENGE, AaaAssociation, protect_aaa
from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import verify
from flowbind.engine.home_agent import HomeAgent
from flowbind.wire.challenge import Challenge
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import first, split_at_authentication

AAA = AaaAssociation(CHAP_SPI, b"the key of the home domain")
OTHER = AaaAssociation(CHAP_SPI, b"another key")
CHALLENGE = Challenge(b"\x17abcdefg")
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION


@pytest.fixture
def make(make_desk):
    def with_key(aaa=AAA, **changes):
        desk = make_desk(**changes)
        (entry,) = desk.config.mobile_nodes
        nodes = (structs.replace(entry, aaa=aaa),)
        desk.config = structs.replace(desk.config, mobile_nodes=nodes)
        desk.engine = HomeAgent(desk.config, desk.nonces)
        return desk

    return with_key


def ask(desk, aaa=AAA, challenge=None, behind=b"", **fields):
    """Ask with what stands behind the Mobile-Home Authentication; returns the code."""
    request = desk.request(desk.multipath(1), **fields)
    payload = request.payload + (challenge.encode() if challenge else b"")
    if aaa:
        payload = protect_aaa(payload, aaa, challenge.value if challenge else NO_CHALLENGE)
    return desk.hear(structs.replace(request, payload=payload + behind))


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("spi", [CHAP_SPI, 300])
def test_a_right_one_is_accepted(make, required, spi):
    key = AaaAssociation(spi, AAA.key)
    desk = make(key, require_aaa=required)
    assert ask(desk, key) == 0
    assert ask(desk, key, lifetime_s=0) == 0


@pytest.mark.rfc("4721", "3.4", "AAA-HA-2")
@pytest.mark.parametrize("required", [False, True])
def test_a_wrong_one_is_denied_and_changes_nothing(make, required):
    desk = make(require_aaa=required)
    assert ask(desk, OTHER) == 144
    assert desk.engine.records == {}
    assert desk.engine.statistics["refused_aaa-authenticator-wrong"] == 1
    assert ask(desk, AaaAssociation(300, AAA.key)) == 144
    assert desk.engine.statistics["refused_aaa-spi-unknown"] == 1


@pytest.mark.rfc("4721", "3.4", "AAA-HA-4")
def test_none_is_denied_where_one_is_required(make):
    desk = make(require_aaa=True)
    assert ask(desk, None) == 144
    assert desk.engine.records == {}
    assert ask(make(), None) == 0


def test_without_a_key_nobody_is_let_in_where_one_is_required(make):
    desk = make(None, require_aaa=True)
    assert ask(desk) == 144
    assert desk.engine.statistics["refused_aaa-key-absent"] == 1


def test_without_a_key_it_is_passed_over(make):
    assert ask(make(None), OTHER) == 0


def test_first_comes_the_mobile_home_authentication(make):
    desk = make(require_aaa=True)
    forged = SecurityAssociation(256, b"some other key!!")
    assert ask(desk, association=forged) == 131
    assert ask(desk, identification=1) == 133


@pytest.mark.rfc("4721", "6", "AAA-HA-3")
def test_in_front_of_the_mobile_home_authentication_it_does_not_count(make):
    desk = make()
    extension = GeneralizedAuthentication(1, CHAP_SPI, bytes(16))
    assert desk.ask(desk.multipath(1), extension) == 134
    assert desk.engine.statistics["refused_aaa-order"] == 1


@pytest.mark.rfc("4721", "3.1", "AAA-E-3")
@pytest.mark.parametrize("wrong", ["behind", "two", "again"])
def test_the_challenge_comes_before_it_and_there_is_one_of_each(make, wrong):
    desk = make()
    extension = GeneralizedAuthentication(1, CHAP_SPI, bytes(16)).encode()
    if wrong == "behind":
        assert ask(desk, behind=CHALLENGE.encode()) == 134
    elif wrong == "two":
        assert ask(desk, challenge=CHALLENGE, behind=CHALLENGE.encode()) == 134
    else:
        assert ask(desk, behind=extension) == 134
    assert desk.engine.records == {}


@pytest.mark.rfc("4721", "3.4", "AAA-HA-1")
@pytest.mark.rfc("4721", "6", "AAA-HA-5")
@pytest.mark.parametrize("code", [0, 136, 144])
def test_a_challenge_is_echoed_behind_the_authentication(make, code):
    desk = make()
    fields = {"home_agent": desk.home} if code == 136 else {}
    key = OTHER if code == 144 else AAA
    assert ask(desk, key, CHALLENGE, **fields) == code
    protected, authentication, exposed = split_at_authentication(desk.reply, KIND)
    assert authentication is not None
    assert exposed == (CHALLENGE,)
    assert not any(isinstance(each, GeneralizedAuthentication) for each in protected)


def test_a_challenge_without_an_aaa_authenticator_is_echoed_too(make):
    desk = make()
    assert ask(desk, None, CHALLENGE) == 0
    assert first(desk.reply, Challenge) == CHALLENGE


@pytest.mark.rfc("4721", "3.4", "AAA-HA-6")
def test_who_has_no_key_does_not_know_the_challenge(make):
    desk = make(None)
    assert ask(desk, None, CHALLENGE) == 0
    assert first(desk.reply, Challenge) is None


def test_the_reply_is_still_authentic(make):
    desk = make()
    ask(desk, challenge=CHALLENGE)
    (datagram,) = desk.replies
    verify(datagram.payload, KIND, desk.association)
