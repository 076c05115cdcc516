"""RFC 3543 between a home agent and a co-located mobile node: the mobile node's part."""

import itertools
from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.auth.authenticator import protect, verify
from flowbind.auth.identifiers import timestamp_of
from flowbind.effects import ProgramForwarding, SaveNode, SendDatagram
from flowbind.engine.mobile_node.revocation import FIRST_WAIT_S, LONGEST_WAIT_S
from flowbind.events import (
    DeregisterRequested,
    InterfaceUp,
    Received,
    RegisterRequested,
    Restored,
)
from flowbind.model.encoding import from_msgpack, to_msgpack
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import decode, first, split_at_authentication
from flowbind.wire.registration import RegistrationRequest
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from flowbind.wire.revocation_support import RevocationSupport

KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION
ELSEWHERE = IPv4Address("192.0.2.66")


@pytest.fixture
def trip(make_trip):
    return make_trip(revocation=True)


def answer(trip, timestamp=None):
    support = RevocationSupport(timestamp_of(trip.now) if timestamp is None else timestamp)
    trip.answer(extensions=(support,))


def up(trip, *names):
    for name in names:
        trip.hear(InterfaceUp(name, trip.address_of(name)))
        while trip.unanswered:
            answer(trip)


def revocation(trip, name="wlan0", association=None, **fields):
    message = Revocation(
        by_home_agent=fields.pop("by_home_agent", True),
        inform=True,
        home_address=fields.pop("home_address", trip.home),
        home_domain=fields.pop("home_domain", trip.agent),
        foreign_domain=fields.pop("foreign_domain", trip.address_of(name)),
        identifier=fields.pop("identifier", timestamp_of(trip.now)),
    )
    payload = protect(message, KIND, association or trip.association)
    return Received(payload, trip.agent, 4343, trip.address_of(name), 434, name)


def revoke(trip, name="wlan0", **fields):
    """The home agent revokes; returns what acknowledges it, None for silence."""
    trip.hear(revocation(trip, name, **fields))
    for each in trip.last:
        if isinstance(each, SendDatagram):
            message = decode(each.payload)
            if isinstance(message, RevocationAcknowledgment):
                verify(each.payload, KIND, trip.association)
                return each
    return None


def said(datagram):
    message = decode(datagram.payload)
    assert isinstance(message, RevocationAcknowledgment)
    return message


# ---- the agreement


@pytest.mark.rfc("3543", "4.2.1", "RR-MN-1")
@pytest.mark.rfc("3543", "3.2", "RR-E-1", "RR-E-3")
def test_a_request_asks_for_it_where_the_authentication_covers_it(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    protected, _authentication, exposed = split_at_authentication(trip.asked, KIND)
    assert protected[-1] == RevocationSupport(timestamp_of(trip.now))
    assert exposed == ()


def test_a_node_that_is_not_to_does_not_ask(make_trip):
    trip = make_trip()
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert first(trip.asked, RevocationSupport) is None
    answer(trip)
    assert trip.record.bindings[0].revocation is None


def test_a_deregistration_does_not_ask(trip):
    up(trip, "wlan0")
    trip.hear(DeregisterRequested())
    assert trip.asked.lifetime_s == 0
    assert first(trip.asked, RevocationSupport) is None


@pytest.mark.rfc("3543", "3.2", "RR-MN-2")
def test_the_home_address_is_no_co_located_care_of_address(trip):
    trip.hear(InterfaceUp("wlan0", trip.home))
    assert trip.asked.care_of_address == trip.home
    assert first(trip.asked, RevocationSupport) is None


def test_with_nonces_a_repetition_is_unchanged(make_trip):
    association = SecurityAssociation(256, bytes(range(16)), replay=Replay.NONCES)
    trip = make_trip(revocation=True, associations=(association,))
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    before = trip.sent
    trip.wait(1.5)
    assert trip.sent.payload == before.payload


@pytest.mark.rfc("7629", "2.2", "A-22")
def test_an_address_that_another_path_took_over_is_revoked_there_and_once(trip):
    """The home agent has one binding of it. Of two, each would be ended by the same message."""
    up(trip, "wlan0")
    trip.hear(InterfaceUp("wlan0", ELSEWHERE))
    trip.hear(InterfaceUp("wwan0", trip.address_of("wlan0")))
    while trip.asked.care_of_address == ELSEWHERE:
        trip.wait(0.5)
    answer(trip)
    assert trip.bids == [2]
    message = revocation(trip, identifier=timestamp_of(trip.now) + 1)
    trip.hear(message)
    assert trip.bids == []
    trip.hear(message)
    assert trip.last == []


def test_an_agreement_is_durable(trip):
    trip.now += 100
    up(trip, "wlan0")
    (binding,) = trip.record.bindings
    assert binding.revocation == timestamp_of(trip.now)
    assert from_msgpack(to_msgpack(binding), type(binding)) == binding


def test_what_is_not_authenticated_agrees_on_nothing(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    reply = trip.reply()
    trip.hear(structs.replace(reply, payload=reply.payload + RevocationSupport(1).encode()))
    assert trip.record.bindings[0].revocation is None


def test_the_b_bit_agrees_for_all(trip):
    up(trip, "wlan0", "wwan0")
    trip.now += 10
    trip.hear(RegisterRequested())
    assert first(trip.asked, RevocationSupport) == RevocationSupport(timestamp_of(trip.now))
    answer(trip)
    told = timestamp_of(trip.now)
    assert [each.revocation for each in trip.record.bindings] == [told, told]


# ---- being revoked


@pytest.mark.rfc("3543", "4.2.2.3", "RR-MN-5", "RR-MN-6")
@pytest.mark.rfc("3543", "3.4", "RR-E-9", "RR-E-10", "RR-E-11")
def test_it_is_acknowledged_and_the_binding_is_gone(trip):
    up(trip, "wlan0", "wwan0")
    trip.wait(5)
    datagram = revoke(trip)
    assert datagram is not None
    assert (datagram.source, datagram.source_port) == (trip.address_of("wlan0"), 434)
    assert (datagram.destination, datagram.destination_port) == (trip.agent, 4343)
    assert datagram.interface == "wlan0"
    acknowledgment = said(datagram)
    assert acknowledgment.home_address == trip.home
    assert acknowledgment.identifier == timestamp_of(trip.now)
    assert trip.bids == [2]
    assert trip.paths == [(1, False), (2, True)]
    assert trip.engine.statistics["revoked"] == 1


def test_packets_move_and_the_record_is_saved_before_it_is_acknowledged(trip):
    up(trip, "wlan0", "wwan0")
    trip.wait(5)
    revoke(trip)
    kinds = [type(each) for each in trip.last]
    assert kinds.index(ProgramForwarding) < kinds.index(SaveNode) < kinds.index(SendDatagram)


def test_without_another_path_nothing_is_sent_any_more(trip):
    up(trip, "wlan0")
    trip.wait(5)
    revoke(trip)
    assert trip.bids == []
    assert trip.paths == [(1, False)]


@pytest.mark.rfc("3543", "4.2.2.3", "RR-MN-4")
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"by_home_agent": False}, "revocation-reflected"),
        ({"home_address": ELSEWHERE}, "home-address-unknown"),
        ({"home_domain": ELSEWHERE}, "home-agent-unknown"),
        ({"foreign_domain": ELSEWHERE}, "revocation-of-nothing"),
        ({"association": SecurityAssociation(256, b"some other key!!")}, "authenticator-wrong"),
        ({"association": SecurityAssociation(300, bytes(range(16)))}, "spi-unknown"),
    ],
)
@pytest.mark.rfc("3543", "3.5", "RR-E-7", "RR-MN-3")
def test_what_is_not_about_a_binding_of_ours_is_passed_over(trip, fields, reason):
    up(trip, "wlan0")
    trip.wait(5)
    record = trip.record
    assert revoke(trip, **fields) is None
    assert trip.last == []
    assert trip.record == record
    assert trip.engine.statistics[f"discarded_{reason}"] == 1


@pytest.mark.rfc("3543", "3.5", "RR-MN-3")
@pytest.mark.rfc("3543", "4.2.2.2", "RR-E-8")
@pytest.mark.parametrize("ago_s", [0, 1, 1000])
def test_a_revocation_that_the_registration_does_not_precede_is_a_replay(trip, ago_s):
    up(trip, "wlan0")
    assert revoke(trip, identifier=timestamp_of(trip.now - ago_s)) is None
    assert trip.engine.statistics["discarded_revocation-replayed"] == 1
    assert trip.bids == [1]


def test_identifiers_are_compared_across_the_end_of_their_era(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    answer(trip, timestamp=0xFFFF_FFF0)
    assert revoke(trip, identifier=0xFFFF_FF00) is None
    assert revoke(trip, identifier=3) is not None


def test_without_an_agreement_it_is_passed_over(make_trip):
    trip = make_trip()
    trip.up("wlan0")
    trip.wait(5)
    assert revoke(trip) is None
    assert trip.engine.statistics["discarded_revocation-not-agreed"] == 1


@pytest.mark.rfc("3543", "3.4", "RR-E-9")
def test_the_next_message_is_acknowledged_again_and_the_same_one_is_not(trip):
    up(trip, "wlan0", "wwan0")
    trip.wait(5)
    assert revoke(trip) is not None
    assert revoke(trip) is None
    assert trip.engine.statistics["discarded_revocation-replayed"] == 1
    trip.now += 1
    again = revoke(trip)
    assert again is not None
    assert said(again).identifier == timestamp_of(trip.now)
    assert trip.engine.statistics["revoked"] == 1
    assert trip.engine.statistics["revoked_again"] == 1


def test_beyond_the_end_of_the_lifetime_it_is_not_acknowledged_any_more(trip):
    up(trip, "wlan0")
    trip.interface("wlan0").wanted = False
    revoked_at = trip.now + 5
    trip.now = revoked_at
    assert revoke(trip) is not None
    trip.now += 600
    assert revoke(trip) is None


# ---- what it does next


@pytest.mark.rfc("3543", "4", "RR-MN-8")
def test_it_registers_again_after_a_while_and_meanwhile_goes_on_with_the_others(trip):
    up(trip, "wlan0", "wwan0")
    trip.wait(5)
    revoke(trip)
    revoked_at = trip.now
    effects = trip.wait(4.9)
    assert trip.state("wwan0") == "up"
    assert not _requests(trip, effects)
    effects = trip.wait(5.2)
    request = _requests(trip, effects)[0]
    assert request.care_of_address == trip.address_of("wlan0")
    assert FIRST_WAIT_S <= trip.now - revoked_at <= 2 * FIRST_WAIT_S + 0.2
    answer(trip)
    assert sorted(trip.bids) == [1, 2]


def revoked_for(trip):
    """Let the home agent revoke; returns for how long the path is left alone then."""
    assert revoke(trip) is not None
    return trip.interface("wlan0").register_after - trip.now


def recover(trip):
    trip.wait(LONGEST_WAIT_S)
    answer(trip)
    assert trip.bids == [1]


def test_each_revocation_of_a_path_doubles_the_while(trip):
    up(trip, "wlan0")
    waits = []
    for _ in range(10):
        trip.wait(5)
        waits.append(revoked_for(trip))
        recover(trip)
    ratios = [later / earlier for earlier, later in itertools.pairwise(waits)]
    assert ratios[:6] == pytest.approx([2.0] * 6)
    assert ratios[-1] == 1.0
    assert max(waits) <= LONGEST_WAIT_S


def test_after_a_long_time_in_peace_the_while_is_short_again(trip):
    up(trip, "wlan0")
    trip.wait(5)
    short = revoked_for(trip)
    recover(trip)
    trip.wait(5)
    assert revoked_for(trip) > short
    for _ in range(3):
        recover(trip)
    trip.wait(5)
    assert revoked_for(trip) == short


def test_not_all_nodes_return_at_once(make_trip):
    waits = set()
    for number in range(8):
        trip = make_trip(revocation=True)
        other = structs.replace(trip.config, home_address=trip.home + number)
        trip.engine = type(trip.engine)(other, trip.nonces)
        trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
        support = RevocationSupport(timestamp_of(trip.now))
        trip.answer(extensions=(support,), home_address=trip.home + number)
        trip.wait(5)
        assert revoke(trip, home_address=trip.home + number) is not None
        waits.add(round(trip.interface("wlan0").register_after - trip.now, 3))
    assert len(waits) > 4


def test_the_operator_need_not_wait(trip):
    up(trip, "wlan0")
    trip.wait(5)
    revoke(trip)
    trip.hear(RegisterRequested("wlan0"))
    assert trip.asks
    answer(trip)
    assert trip.bids == [1]


def test_the_same_second_is_not_too_early_for_another_registration(trip):
    up(trip, "wlan0")
    trip.wait(5)
    revoke(trip)
    trip.hear(RegisterRequested("wlan0"))
    answer(trip, timestamp_of(trip.now))
    assert trip.bids == [1]
    assert revoke(trip) is None


def test_a_reply_that_the_revocation_has_overtaken_makes_no_binding(trip):
    up(trip, "wlan0")
    trip.wait(480)
    assert trip.unanswered
    granted_at = trip.now
    late = trip.reply(extensions=(RevocationSupport(timestamp_of(granted_at)),))
    trip.now += 1
    assert revoke(trip) is not None
    trip.hear(late)
    assert trip.bids == []
    assert trip.engine.statistics["discarded_reply-before-revocation"] == 1


@pytest.mark.rfc("3543", "4", "RR-MN-7")
def test_a_node_ends_its_bindings_by_deregistration_alone(trip):
    up(trip, "wlan0", "wwan0")
    trip.down("wlan0")
    effects = [*trip.last, *trip.wait(30)]
    messages = [decode(each.payload) for each in trip.datagrams(effects)]
    assert messages
    assert all(isinstance(each, RegistrationRequest) for each in messages)


def test_a_restart_remembers_what_was_agreed_and_what_was_revoked(trip, make_trip):
    up(trip, "wlan0", "wwan0")
    trip.wait(5)
    old = revocation(trip, "wwan0", identifier=timestamp_of(trip.now - 5))
    revoke(trip)
    record = trip.record
    again = make_trip(revocation=True)
    again.now = trip.now
    again.hear(Restored((record,)))
    assert again.bids == [2]
    again.hear(old)
    assert again.bids == [2]
    again.now += 1
    assert revoke(again, "wwan0") is not None
    assert again.bids == []


def _requests(trip, effects):
    messages = [decode(each.payload) for each in trip.datagrams(effects)]
    return [each for each in messages if isinstance(each, RegistrationRequest)]


def test_a_registration_that_is_under_way_waits_too(trip):
    up(trip, "wlan0")
    trip.wait(480)
    assert trip.unanswered
    assert revoke(trip, identifier=timestamp_of(trip.now)) is not None
    assert not _requests(trip, trip.wait(FIRST_WAIT_S - 0.1))
    assert _requests(trip, trip.wait(FIRST_WAIT_S + 0.2))
