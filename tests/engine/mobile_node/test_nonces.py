"""Replay protection by nonces at the mobile node (RFC 5944 5.7.2, 3.6.3)."""

import pytest
from msgspec import structs

from flowbind.auth.association import Replay
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import InterfaceUp, PolicyReplaced, Restored


@pytest.fixture
def trip(make_trip):
    association = structs.replace(make_trip.association, replay=Replay.NONCES)
    return make_trip(associations=(association,), multipath="require")


def up(trip, name="wlan0"):
    trip.hear(InterfaceUp(name, trip.address_of(name)))


def halves(trip):
    return divmod(trip.asked.identification, 1 << 32)


def tell(trip, nonce, code=0):
    """Answer the last request, and tell this nonce."""
    own = trip.asked.identification & 0xFFFFFFFF
    trip.answer(code, identification=(nonce << 32) | own)


@pytest.mark.rfc("5944", "5.7.2", "ID-12", "ID-16", "ID-17")
def test_a_request_has_the_nonce_of_the_last_reply_and_a_fresh_half_of_its_own(trip):
    up(trip)
    tell(trip, 9001, code=133)
    assert trip.asks
    nonce, first = halves(trip)
    assert nonce == 9001
    tell(trip, 9002)
    assert trip.bids == [1]
    up(trip, "wwan0")
    nonce, second = halves(trip)
    assert (nonce, second != first) == (9002, True)
    tell(trip, 9003)
    assert trip.bids == [1, 2]


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
def test_133_is_answered_at_once_and_says_nothing_about_the_clock(trip):
    up(trip)
    tell(trip, 9001, code=133)
    assert trip.kinds == ["SendDatagram", "Log"]
    assert trip.logged == ["the home agent wants another nonce, sending the request again"]
    tell(trip, 9002, code=133)
    assert not trip.asks
    trip.wait(1.0)
    assert halves(trip)[0] == 9002


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
def test_a_nonce_that_is_used_up_while_a_request_waits_is_no_reason_to_wait_on(trip):
    """Every other denial is answered at once, so that a path which brings no replies, but whose
    requests arrive, does not keep the others from being registered.
    """
    up(trip)
    at_once = []
    for nonce in range(9001, 9009):
        tell(trip, nonce, code=133)
        at_once.append(trip.asks)
        while halves(trip)[0] != nonce:
            trip.wait(0.5)
    assert at_once == [True, False] * 4


@pytest.mark.rfc("5944", "5.7.2")
@pytest.mark.parametrize("code", [128, 130, 131, 134, 136])
def test_any_denial_tells_the_nonce_of_the_next_request(trip, code):
    up(trip)
    tell(trip, 9001, code=code)
    trip.wait(60.0)
    assert halves(trip)[0] == 9001


@pytest.mark.rfc("5944", "3.6.3", "ID-18")
def test_an_unanswered_request_is_sent_again_unchanged(trip):
    up(trip)
    first = trip.sent
    repeated = trip.datagrams(trip.wait(8))
    assert repeated == [first, first, first]
    assert trip.engine.statistics["sent"] == 4


@pytest.mark.rfc("5944", "3.6.3")
def test_a_reply_to_the_first_try_is_one_to_every_try_and_the_lifetime_counts_from_the_first(trip):
    up(trip)
    reply = trip.reply(0)
    trip.wait(3)
    trip.hear(reply)
    assert trip.bids == [1]
    assert trip.record.bindings[0].expires_at == trip.start + 600


@pytest.mark.rfc("5944", "5.7", "ID-4")
def test_a_request_that_says_something_else_by_now_is_another_one(trip):
    up(trip)
    before = halves(trip)
    trip.hear(PolicyReplaced((trip.rule(80, 1),)))
    trip.wait(1.0)
    assert trip.policy == [(80, 1)]
    assert halves(trip)[1] != before[1]


@pytest.mark.rfc("5944", "5.7")
def test_a_request_is_made_anew_when_another_nonce_has_been_told_since(trip):
    up(trip)
    _, own = halves(trip)
    up(trip, "wwan0")
    while trip.sent.interface != "wwan0":
        trip.wait(1.0)
    tell(trip, 9005, code=130)
    while trip.sent.interface != "wlan0":
        trip.wait(1.0)
    assert halves(trip)[0] == 9005
    assert halves(trip)[1] != own


def test_no_two_requests_under_way_have_the_same_half(trip):
    trip.engine = MobileNode(trip.config, iter([7, 70, 7, 7, 8, 80]).__next__)
    up(trip)
    assert trip.asked.identification == (70 << 32) | 7
    up(trip, "wwan0")
    trip.wait(2.0)
    assert trip.sent.interface == "wwan0"
    assert trip.asked.identification == (80 << 32) | 8


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
def test_a_reply_that_answers_nothing_tells_no_nonce(trip):
    up(trip)
    tell(trip, 9001)
    late = trip.reply(133, identification=(9999 << 32) | (trip.asked.identification & 0xFFFFFFFF))
    trip.hear(late)
    assert trip.engine.statistics["discarded_unexpected-reply"] == 1
    up(trip, "wwan0")
    assert halves(trip)[0] == 9001


def test_a_restart_goes_on_with_the_last_nonce(trip):
    up(trip)
    tell(trip, 9001)
    record = trip.record
    assert record.nonce == 9001
    trip.engine = MobileNode(trip.config, trip.nonces)
    trip.hear(Restored((record,)))
    up(trip)
    assert halves(trip)[0] == 9001
