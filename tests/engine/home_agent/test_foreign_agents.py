"""Requests that a foreign agent relays which shares a security association with the home agent."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.auth.authenticator import protect_further, verify
from flowbind.events import EffectFailed, Received
from flowbind.model.config import ForeignAgentEntry
from flowbind.wire.authentication import Authentication
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import all_of

AGENT = IPv4Address("192.0.2.254")
FIRST = SecurityAssociation(300, b"between agents..")
SECOND = SecurityAssociation(301, b"another of these", Algorithm.HMAC_SHA256)
FORGED = SecurityAssociation(300, b"nobody knows it.")
KIND = ExtensionType.FOREIGN_HOME_AUTHENTICATION
MOBILE_HOME = ExtensionType.MOBILE_HOME_AUTHENTICATION


@pytest.fixture
def desk(make_desk):
    return make_desk(foreign_agents=(ForeignAgentEntry(AGENT, (FIRST, SECOND)),))


def relayed(event, *associations, source=AGENT):
    """What a foreign agent makes of a request: its address, and its authentications."""
    payload = event.payload
    for each in associations:
        payload = protect_further(payload, KIND, each)
    return Received(payload, source, 434, event.destination, 434)


def request(desk, **fields):
    return desk.request(care_of_address=AGENT, **fields)


def kinds(desk):
    return [each.type for each in all_of(desk.reply, Authentication)]


@pytest.mark.rfc("5944", "3.8.1", "HA-5", "HA-6")
@pytest.mark.rfc("5944", "3.8.3.3", "HA-6")
@pytest.mark.rfc("5944", "3.5.4", "AUTH-12")
@pytest.mark.parametrize("association", [FIRST, SECOND])
def test_a_request_and_its_reply_are_authenticated_between_the_agents(desk, association):
    assert desk.hear(relayed(request(desk), association)) == 0
    (reply,) = desk.replies
    assert (reply.destination, reply.destination_port) == (AGENT, 434)
    assert kinds(desk) == [MOBILE_HOME, KIND]
    verify(reply.payload, KIND, association)
    verify(reply.payload, MOBILE_HOME, desk.association)


@pytest.mark.rfc("5944", "3.8.1", "HA-5", "HA-6")
@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ((), "absent"),
        ((FORGED,), "wrong"),
        ((structs.replace(FIRST, spi=302),), None),
        ((FIRST, FIRST), "repeated"),
    ],
    ids=["absent", "wrong", "spi", "repeated"],
)
def test_what_a_foreign_agent_ought_to_have_added_is_missed_with_132(desk, added, reason):
    assert desk.hear(relayed(request(desk), *added)) == 132
    name = f"foreign-agent-authenticator-{reason}" if reason else "foreign-agent-spi-unknown"
    assert desk.engine.statistics == {f"refused_{name}": 1}
    assert desk.engine.records == {}
    # The denial tells the agent that it is ours.
    (reply,) = desk.replies
    assert kinds(desk) == [MOBILE_HOME, KIND]
    verify(reply.payload, KIND, FIRST)


@pytest.mark.rfc("5944", "3.5.4")
def test_a_deregistration_is_not_authenticated_between_agents(desk):
    assert desk.hear(relayed(request(desk), FIRST)) == 0
    assert desk.hear(relayed(request(desk, lifetime_s=0))) == 0
    assert kinds(desk) == [MOBILE_HOME]
    assert desk.record.bindings == ()


@pytest.mark.rfc("5944", "3.8.2.1", "HA-17")
def test_the_association_belongs_to_the_address_of_its_agent(desk):
    elsewhere = IPv4Address("192.0.2.253")
    assert desk.hear(relayed(request(desk), FIRST, source=elsewhere)) is None
    assert desk.engine.statistics == {"refused_foreign-agent-unknown": 1}


def test_who_comes_without_an_agent_is_asked_for_none(desk):
    desk.register(1)
    assert kinds(desk) == [MOBILE_HOME]


@pytest.mark.rfc("5944", "3.8.2.1", "HA-12")
def test_each_wrong_authenticator_that_an_agent_vouches_for_is_answered_with_131(desk):
    wrong = SecurityAssociation(256, b"not the node's..")
    codes = [desk.hear(relayed(request(desk, association=wrong), FIRST)) for _ in range(3)]
    assert codes == [131, 131, 131]
    assert kinds(desk) == [MOBILE_HOME, KIND]
    # Without one it is answered once a second, since it may come from anybody.
    desk.now += 2
    unvouched = [desk.hear(relayed(request(desk, association=wrong), FORGED)) for _ in range(3)]
    assert unvouched == [131, None, None]


def test_a_denial_instead_of_a_reply_is_authenticated_like_it(desk):
    desk.hear(relayed(request(desk), SECOND))
    failed, *unperformed = desk.last
    assert desk.hear(EffectFailed(failed, tuple(unperformed), "no room")) == 130
    (denial,) = desk.replies
    assert kinds(desk) == [MOBILE_HOME, KIND]
    verify(denial.payload, KIND, SECOND)
