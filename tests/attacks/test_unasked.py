"""Revocations and notifications by somebody without the key, of another time or direction."""

import pytest
from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import protect
from flowbind.auth.identifiers import timestamp_of
from flowbind.auth.replay import to_ntp
from flowbind.effects import Log, SendDatagram
from flowbind.events import InterfaceUp, NotifyRequested, Received, RevokeRequested
from flowbind.wire.iana import ExtensionType, MessageStringSubtype, RequestFlag
from flowbind.wire.message import decode
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from flowbind.wire.revocation_support import RevocationSupport
from flowbind.wire.strings import MessageString

FORGED = SecurityAssociation(256, b"some other key!!")
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION
DIRECT = RequestFlag.DECAPSULATION_BY_MOBILE_NODE
KINDS = ["revocation", "revocation-acknowledgment", "notification", "acknowledgment"]
FLOOD = 2000


@pytest.fixture
def desk(make_desk):
    """A home agent that may speak first, and has said all that it can."""
    desk = make_desk(revocation=True, notifications=True)
    for bid in (1, 2):
        asked = desk.request(desk.multipath(bid), RevocationSupport(1), flags=DIRECT)
        source = desk.care_of_address(bid)
        assert desk.hear(structs.replace(asked, source=source)) == 0
    desk.now += 10
    (desk.revocation,) = said(desk.engine.handle(RevokeRequested(desk.home, bid=1), desk.now))
    (desk.notice,) = said(desk.engine.handle(NotifyRequested(desk.home, "hello"), desk.now))
    return desk


@pytest.fixture
def trip(make_trip):
    """A mobile node that listens, and has said all that it can."""
    trip = make_trip(revocation=True, notifications=True)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(extensions=(RevocationSupport(timestamp_of(trip.now)),))
    trip.wait(10)
    (trip.notice,) = said(trip.engine.handle(NotifyRequested(trip.home, "hello"), trip.now))
    return trip


def said(effects):
    return [each for each in effects if isinstance(each, SendDatagram)]


def messages(end, home_agent, care_of_address, direction):
    """One of each kind, as if it came to this end now."""
    strings = (MessageString.of(MessageStringSubtype.HOME_AGENT, "hello"),)
    addresses = (end.home, home_agent, care_of_address)
    identifier = timestamp_of(end.now)
    return {
        "revocation": Revocation(True, True, *addresses, identifier),
        "revocation-acknowledgment": RevocationAcknowledgment(True, end.home, identifier),
        "notification": GenericNotification(
            direction, True, *addresses, to_ntp(end.now), extensions=strings
        ),
        "acknowledgment": NotificationAcknowledgment(direction, 0, *addresses, to_ntp(end.now)),
    }


def to_desk(desk, payload):
    return desk.engine.handle(
        Received(payload, desk.care_of_address(2), 434, desk.address, 434), desk.now
    )


def to_trip(trip, payload):
    event = Received(payload, trip.agent, 434, trip.address_of("wlan0"), 434, "wlan0")
    return trip.engine.handle(event, trip.now)


def state_of(engine, record):
    """What an attacker must not change, but for what is counted."""
    return record, engine.notices, engine.deadline()


# ---- forgery


@pytest.mark.parametrize("kind", KINDS)
def test_a_forgery_changes_nothing_at_a_home_agent(desk, kind):
    message = messages(desk, desk.address, desk.care_of_address(2), 2)[kind]
    before = state_of(desk.engine, desk.record)
    count = desk.engine.statistics.total()
    for _ in range(FLOOD):
        assert to_desk(desk, protect(message, KIND, FORGED)) == []
    assert state_of(desk.engine, desk.record) == before
    assert desk.engine.statistics.total() == count + FLOOD


@pytest.mark.parametrize("kind", KINDS)
def test_a_forgery_changes_nothing_at_a_mobile_node(trip, kind):
    message = messages(trip, trip.agent, trip.address_of("wlan0"), 0)[kind]
    before = state_of(trip.engine, trip.record)
    count = trip.engine.statistics.total()
    for _ in range(FLOOD):
        assert not said(to_trip(trip, protect(message, KIND, FORGED)))
    assert state_of(trip.engine, trip.record) == before
    assert trip.engine.statistics.total() == count + FLOOD


# ---- reflection


def test_what_a_home_agent_says_is_nothing_to_it(desk):
    before = state_of(desk.engine, desk.record)
    for datagram in (desk.revocation, desk.notice):
        assert to_desk(desk, datagram.payload) == []
    assert state_of(desk.engine, desk.record) == before
    assert desk.engine.statistics["discarded_not-a-request"] == 1
    assert desk.engine.statistics["discarded_notification-direction"] == 1


def test_what_a_mobile_node_says_is_nothing_to_it(trip):
    before = state_of(trip.engine, trip.record)
    assert to_trip(trip, trip.notice.payload) == []
    assert state_of(trip.engine, trip.record) == before
    assert trip.engine.statistics["discarded_notification-direction"] == 1


def test_an_acknowledgment_that_comes_back_acknowledges_nothing(trip, desk):
    trip.now = desk.now
    revoked = to_trip(trip, protect(_revocation(trip), KIND, trip.association))
    (acknowledgment,) = [each for each in said(revoked) if each.payload[0] == 15]
    assert not said(to_trip(trip, acknowledgment.payload))
    assert trip.engine.statistics["discarded_not-a-reply"] == 1


# ---- replay


def _revocation(trip):
    return messages(trip, trip.agent, trip.address_of("wlan0"), 0)["revocation"]


def test_a_revocation_ends_one_binding_however_often_it_comes(trip):
    payload = protect(_revocation(trip), KIND, trip.association)
    assert [each.payload[0] for each in said(to_trip(trip, payload))] == [15]
    for _ in range(FLOOD):
        assert to_trip(trip, payload) == []
    trip.wait(20)
    trip.answer(extensions=(RevocationSupport(timestamp_of(trip.now)),))
    assert trip.bids == [1]
    for _ in range(FLOOD):
        assert to_trip(trip, payload) == []
    assert trip.bids == [1]
    assert trip.engine.statistics["revoked"] == 1
    assert trip.engine.statistics["discarded_revocation-replayed"] == 2 * FLOOD


@pytest.mark.parametrize("where", ["agent", "node"])
def test_a_notification_is_heard_once_and_its_replays_are_answered_seldom(desk, trip, where):
    if where == "agent":
        end, hear, addresses = desk, to_desk, (desk.address, desk.care_of_address(2), 2)
    else:
        end, hear, addresses = trip, to_trip, (trip.agent, trip.address_of("wlan0"), 0)
    heard = messages(end, *addresses)["notification"]
    payload = protect(heard, KIND, end.association)
    assert len(said(hear(end, payload))) == 1
    notices = end.engine.notices
    answers, logs = 0, 0
    for _ in range(FLOOD):
        effects = hear(end, payload)
        answers += len(said(effects))
        logs += sum(isinstance(each, Log) for each in effects)
    assert (answers, logs) == (1, 0)
    assert end.engine.notices == notices


def test_a_node_that_says_too_much_is_not_logged_for_it(desk):
    accepted = 0
    for number in range(FLOOD):
        message = messages(desk, desk.address, desk.care_of_address(2), 2)["notification"]
        message = structs.replace(message, identification=message.identification + (number << 12))
        effects = to_desk(desk, protect(message, KIND, desk.association))
        accepted += sum(isinstance(each, Log) for each in effects)
    assert accepted == 1
    assert len(desk.engine.notices) == 2


def test_the_memory_of_notifications_is_bounded(desk):
    for _ in range(300):
        desk.now += 1
        message = messages(desk, desk.address, desk.care_of_address(2), 2)["notification"]
        assert said(to_desk(desk, protect(message, KIND, desk.association)))
    assert len(desk.engine.notices) == 64


def test_a_recorded_acknowledgment_of_an_earlier_revocation_ends_no_later_one(desk):
    told = decode(desk.revocation.payload)
    assert isinstance(told, Revocation)
    answer = RevocationAcknowledgment(True, desk.home, told.identifier)
    old = protect(answer, KIND, desk.association)
    assert to_desk(desk, old) != []
    desk.now += 5
    desk.engine.handle(RevokeRequested(desk.home, bid=2), desk.now)
    assert to_desk(desk, old) == []
    assert len(desk.record.contact.revoked) == 1
    assert desk.engine.statistics["discarded_revocation-not-sent"] == 1
