"""RFC 3543 between a home agent and a co-located mobile node: the home agent's part."""

import itertools
from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import protect, verify
from flowbind.auth.identifiers import timestamp_of
from flowbind.effects import (
    Log,
    ProgramForwarding,
    RemoveForwarding,
    SaveNode,
    SendDatagram,
)
from flowbind.events import EffectFailed, Received, RevokeRequested
from flowbind.model.encoding import from_msgpack, to_msgpack
from flowbind.wire.extension import UnknownExtension
from flowbind.wire.iana import ExtensionType, RequestFlag
from flowbind.wire.message import decode, first, split_at_authentication
from flowbind.wire.registration import RegistrationReply
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from flowbind.wire.revocation_support import RevocationSupport

KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION
DIRECT = RequestFlag.DECAPSULATION_BY_MOBILE_NODE | RequestFlag.REVERSE_TUNNELING
SUPPORT = RevocationSupport(1)
ELSEWHERE = IPv4Address("192.0.2.66")


@pytest.fixture
def desk(make_desk):
    return make_desk(revocation=True)


def register(desk, *bids, extension=SUPPORT, **fields):
    for bid in bids:
        extensions = (desk.multipath(bid), *([extension] if extension else []))
        request = desk.request(*extensions, flags=DIRECT, **fields)
        assert desk.hear(structs.replace(request, source=desk.care_of_address(bid))) == 0


def revoke(desk, **which):
    """The operator revokes; returns the revocations that leave at once."""
    desk.last = desk.engine.handle(RevokeRequested(desk.home, **which), desk.now)
    return sent(desk)


def sent(desk):
    datagrams = [each for each in desk.last if isinstance(each, SendDatagram)]
    messages = [decode(each.payload) for each in datagrams]
    return [each for each in messages if isinstance(each, Revocation)]


def wake(desk):
    desk.now = desk.engine.deadline()
    desk.last = desk.engine.handle(desk.timer, desk.now)
    return sent(desk)


def acknowledge(desk, identifier, association=None, home=None):
    answer = RevocationAcknowledgment(True, home or desk.home, identifier)
    payload = protect(answer, KIND, association or desk.association)
    event = Received(payload, desk.care_of_address(1), 434, desk.address, 434)
    desk.last = desk.engine.handle(event, desk.now)
    return desk.last


def logged(desk):
    return [each.text for each in desk.last if isinstance(each, Log)]


# ---- the agreement


@pytest.mark.rfc("3543", "4.2.1", "RR-HA-1")
@pytest.mark.rfc("3543", "3.2", "RR-E-1", "RR-E-3")
def test_a_request_that_asks_for_it_is_answered_with_it(desk):
    register(desk, 1)
    protected, _authentication, exposed = split_at_authentication(desk.reply, KIND)
    assert protected == (RevocationSupport(timestamp_of(desk.now)),)
    assert exposed == ()
    assert desk.record.bindings[0].revocation == timestamp_of(desk.now)


@pytest.mark.rfc("3543", "3.2", "RR-HA-2")
def test_a_request_that_does_not_ask_is_answered_without_it(desk):
    register(desk, 1, extension=None)
    assert first(desk.reply, RevocationSupport) is None
    assert desk.record.bindings[0].revocation is None


@pytest.mark.rfc("3543", "3.2", "RR-HA-16")
def test_a_home_agent_that_is_not_to_does_without(make_desk):
    desk = make_desk()
    register(desk, 1)
    assert first(desk.reply, RevocationSupport) is None
    assert desk.record.contact is None
    assert desk.record.bindings[0].source is None


@pytest.mark.rfc("3543", "3.2", "RR-E-1")
def test_what_stands_behind_the_authentication_agrees_on_nothing(desk):
    request = desk.request(desk.multipath(1), flags=DIRECT, behind=SUPPORT.encode())
    assert desk.hear(request) == 0
    assert first(desk.reply, RevocationSupport) is None


@pytest.mark.rfc("3543", "3.2", "RR-HA-3")
def test_a_node_that_is_not_co_located_cannot_ask(desk):
    assert desk.ask(desk.multipath(1), SUPPORT) == 0
    assert first(desk.reply, RevocationSupport) is None


def test_a_denial_agrees_on_nothing(desk):
    assert desk.ask(desk.multipath(1), SUPPORT, flags=DIRECT, home_agent=ELSEWHERE) == 136
    assert first(desk.reply, RevocationSupport) is None


def test_a_deregistration_agrees_on_nothing(desk):
    register(desk, 1)
    assert desk.ask(desk.multipath(1), SUPPORT, flags=DIRECT, lifetime_s=0) == 0
    assert first(desk.reply, RevocationSupport) is None


@pytest.mark.rfc("3543", "3.2", "RR-E-2")
def test_reserved_bits_of_the_extension_are_ignored(desk):
    extension = UnknownExtension(ExtensionType.REVOCATION_SUPPORT, b"\x7f\xff" + bytes(4))
    register(desk, 1, extension=extension)
    assert first(desk.reply, RevocationSupport) is not None


def test_a_renewal_that_does_not_ask_any_more_ends_the_agreement(desk):
    register(desk, 1)
    register(desk, 1, extension=None)
    assert desk.record.bindings[0].revocation is None


def test_the_b_bit_agrees_for_all_bindings_and_leaves_them_their_addresses(desk):
    register(desk, 1, 2, extension=None)
    request = desk.request(desk.multipath(1, desk.bulk), SUPPORT, flags=DIRECT)
    assert desk.hear(structs.replace(request, source=desk.care_of_address(1))) == 0
    told = timestamp_of(desk.now)
    assert [each.revocation for each in desk.record.bindings] == [told, told]
    sources = [each.source for each in desk.record.bindings]
    assert sources == [desk.care_of_address(1), desk.care_of_address(2)]


# ---- revoking


@pytest.mark.rfc("3543", "4.2.2.1", "RR-HA-4", "RR-HA-5", "RR-HA-8")
@pytest.mark.rfc("3543", "3.3", "RR-E-4", "RR-E-6", "RR-HA-6")
def test_a_revoked_binding_forwards_no_more_and_its_node_is_told(desk):
    register(desk, 1, 2)
    desk.now += 5
    (message,) = revoke(desk, bid=1)
    assert desk.bids == [2]
    (program,) = [each for each in desk.last if isinstance(each, ProgramForwarding)]
    assert [each.bid for each in program.node.paths] == [2]
    assert message.by_home_agent
    assert message.inform
    assert message.home_address == desk.home
    assert message.home_domain == desk.address
    assert message.foreign_domain == desk.care_of_address(1)
    assert message.identifier == timestamp_of(desk.now)
    (datagram,) = desk.replies
    verify(datagram.payload, KIND, desk.association)
    assert datagram.destination == desk.care_of_address(1)
    assert (datagram.source, datagram.destination_port) == (desk.address, 434)


def test_forwarding_goes_first_then_the_record_then_the_message(desk):
    register(desk, 1)
    desk.now += 5
    revoke(desk)
    assert desk.kinds == ["RemoveForwarding", "SaveNode", "SaveNode", "SendDatagram", "Log"]


@pytest.mark.rfc("3543", "3.3", "RR-HA-7")
def test_it_goes_to_where_the_last_accepted_request_came_from(desk):
    request = desk.request(desk.multipath(1), SUPPORT, flags=DIRECT)
    assert desk.hear(structs.replace(request, source=ELSEWHERE, source_port=9)) == 0
    desk.now += 5
    revoke(desk)
    (datagram,) = desk.replies
    assert (datagram.destination, datagram.destination_port) == (ELSEWHERE, 434)


@pytest.mark.rfc("3543", "4.2.2.1", "RR-HA-4")
def test_each_binding_is_revoked_by_a_message_of_its_own(desk):
    register(desk, 1, 2)
    desk.now += 5
    messages = revoke(desk)
    assert [each.foreign_domain for each in messages] == [
        desk.care_of_address(1),
        desk.care_of_address(2),
    ]
    assert len({each.identifier for each in messages}) == 2
    assert desk.bids == []
    assert [each for each in desk.last if isinstance(each, RemoveForwarding)]


def test_a_care_of_address_names_a_binding_too(desk):
    register(desk, 1, 2)
    desk.now += 5
    (message,) = revoke(desk, care_of_address=desk.care_of_address(2))
    assert message.foreign_domain == desk.care_of_address(2)
    assert desk.bids == [1]


def test_a_plain_binding_is_revoked_too(desk):
    assert desk.ask(SUPPORT, flags=DIRECT) == 0
    desk.now += 5
    assert len(revoke(desk)) == 1
    assert desk.bids == []


def test_a_node_that_did_not_ask_is_cut_off_and_the_log_says_so(desk):
    register(desk, 1, extension=None)
    desk.now += 5
    assert revoke(desk) == []
    assert desk.bids == []
    assert any("not told" in each for each in logged(desk))
    assert desk.engine.deadline() is None


def test_a_stranger_is_not_revoked(desk):
    assert desk.engine.handle(RevokeRequested(ELSEWHERE), desk.now) == []


def test_rules_stay_with_the_bindings_that_do(desk):
    assert desk.ask(desk.multipath(1), desk.forward(80, 1), SUPPORT, flags=DIRECT) == 0
    register(desk, 2)
    revoke(desk, bid=1)
    assert desk.rules == [(80, 1)]
    revoke(desk)
    assert desk.rules == []


# ---- again and again


@pytest.mark.rfc("3543", "3.3", "RR-E-5")
def test_no_message_is_closer_than_a_second_to_the_reply(desk):
    register(desk, 1)
    desk.now += 0.4
    assert revoke(desk) == []
    registered_at = desk.now - 0.4
    (message,) = wake(desk)
    assert desk.now == registered_at + 1
    assert message.identifier > timestamp_of(registered_at)


@pytest.mark.rfc("3543", "4.2.2.1", "RR-HA-9", "RR-HA-10", "RR-HA-11", "RR-HA-12", "RR-HA-13")
def test_it_is_repeated_ever_more_seldom_up_to_the_end_of_the_lifetime(desk):
    register(desk, 1)
    ends_at = desk.record.bindings[0].expires_at
    desk.now += 5
    identifiers = [revoke(desk)[0].identifier]
    moments = [desk.now]
    while desk.record.contact.revoked:
        for each in wake(desk):
            identifiers.append(each.identifier)
            moments.append(desk.now)
            assert each.identifier == timestamp_of(desk.now)
    waits = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert waits[:7] == [1, 2, 4, 8, 16, 32, 64]
    assert set(waits[7:]) == {64}
    assert identifiers == sorted(set(identifiers))
    assert desk.now == ends_at
    assert max(moments) < ends_at
    assert desk.engine.statistics["revocation_unanswered"] == 1
    assert desk.engine.deadline() is None


@pytest.mark.rfc("3543", "3.5", "RR-HA-14")
def test_an_acknowledgment_ends_it(desk):
    register(desk, 1)
    desk.now += 5
    (first_try,) = revoke(desk)
    wake(desk)
    acknowledge(desk, first_try.identifier)
    assert desk.record.contact.revoked == ()
    assert isinstance(desk.last[0], SaveNode)
    assert desk.engine.statistics["revocation_acknowledged"] == 1
    assert desk.engine.deadline() is None


@pytest.mark.rfc("3543", "3.5", "RR-HA-14")
def test_each_acknowledgment_is_for_one_binding(desk):
    register(desk, 1, 2)
    desk.now += 5
    one, two = revoke(desk)
    acknowledge(desk, two.identifier)
    assert [each.care_of_address for each in desk.record.contact.revoked] == [one.foreign_domain]


@pytest.mark.rfc("3543", "3.5", "RR-HA-14", "RR-E-7")
def test_what_acknowledges_nothing_that_was_sent_is_passed_over(desk):
    register(desk, 1)
    desk.now += 5
    (message,) = revoke(desk)
    record = desk.record
    assert acknowledge(desk, message.identifier + 1) == []
    assert acknowledge(desk, message.identifier - 1) == []
    assert desk.engine.statistics["discarded_revocation-not-sent"] == 2
    forged = SecurityAssociation(256, b"some other key!!")
    assert acknowledge(desk, message.identifier, forged) == []
    assert desk.engine.statistics["discarded_authenticator-wrong"] == 1
    stranger = SecurityAssociation(999, bytes(16))
    assert acknowledge(desk, message.identifier, stranger) == []
    assert acknowledge(desk, message.identifier, home=ELSEWHERE) == []
    assert desk.engine.statistics["discarded_no-security-association"] == 2
    assert desk.record is record
    acknowledge(desk, message.identifier)
    assert acknowledge(desk, message.identifier) == []


@pytest.mark.rfc("3543", "3.5", "RR-HA-15")
def test_a_revocation_that_comes_back_is_no_message_for_a_home_agent(desk):
    register(desk, 1)
    desk.now += 5
    revoke(desk)
    (datagram,) = desk.replies
    record = desk.record
    assert desk.engine.handle(desk.received(datagram.payload), desk.now) == []
    assert desk.engine.statistics["discarded_not-a-request"] == 1
    assert desk.record is record


@pytest.mark.parametrize("bid", [1, 2])
def test_a_new_registration_of_the_address_or_the_bid_ends_it(desk, bid):
    register(desk, 1)
    desk.now += 5
    revoke(desk)
    desk.now += 0.5
    register(desk, bid, care_of_address=desk.care_of_address(1 if bid == 2 else 7))
    assert desk.record.contact.revoked == ()
    assert wake(desk) == []


def test_a_registration_of_another_path_does_not_end_it(desk):
    register(desk, 1)
    desk.now += 5
    revoke(desk)
    register(desk, 2)
    assert [each.foreign_domain for each in wake(desk)] == [desk.care_of_address(1)]


def test_a_node_that_deregisters_all_need_not_hear_of_it(desk):
    register(desk, 1, 2)
    desk.now += 5
    revoke(desk, bid=1)
    assert desk.ask(desk.multipath(2, desk.bulk), lifetime_s=0) == 0
    assert desk.record.contact.revoked == ()
    assert desk.engine.deadline() is None


@pytest.mark.rfc("3543", "4.2.2.2", "RR-E-8")
def test_nothing_that_was_sent_is_later_than_the_next_registration(desk):
    register(desk, 1, 2, 3)
    desk.now += 5
    last = max(each.identifier for each in revoke(desk))
    assert last > timestamp_of(desk.now)
    register(desk, 1)
    told = first(desk.reply, RevocationSupport)
    assert told == RevocationSupport(last)
    desk.now += 1
    messages = {each.foreign_domain: each for each in revoke(desk, bid=1)}
    assert messages[desk.care_of_address(1)].identifier > told.timestamp


def test_the_association_is_the_one_that_the_node_used_last(make_desk):
    other = SecurityAssociation(300, bytes(range(16, 32)))
    desk = make_desk(SecurityAssociation(256, bytes(range(16))), other, revocation=True)
    request = desk.request(desk.multipath(1), SUPPORT, flags=DIRECT, association=other)
    assert desk.hear(request) == 0
    desk.now += 5
    revoke(desk)
    (datagram,) = desk.replies
    verify(datagram.payload, KIND, other)


# ---- restart, and what goes wrong


def test_a_restart_goes_on(desk):
    register(desk, 1)
    desk.now += 5
    (before,) = revoke(desk)
    record = from_msgpack(to_msgpack(desk.record), type(desk.record))
    assert record == desk.record
    desk.restart(record)
    assert sent(desk) == []
    restarted_at = desk.now
    (again,) = wake(desk)
    assert desk.now == restarted_at + 1
    assert again.identifier > before.identifier
    acknowledge(desk, again.identifier)
    assert desk.record.contact.revoked == ()


def test_a_restart_after_the_end_gives_it_up(desk):
    register(desk, 1)
    desk.now += 5
    revoke(desk)
    desk.now += 700
    desk.restart()
    while desk.engine.deadline() is not None:
        assert wake(desk) == []
    assert desk.record.contact.revoked == ()


def test_a_message_that_could_not_be_sent_is_sent_later(desk):
    register(desk, 1)
    desk.now += 5
    revoke(desk)
    failed = EffectFailed(desk.last[0], tuple(desk.last[1:]), "no room")
    desk.last = desk.engine.handle(failed, desk.now)
    assert not any(isinstance(each, SendDatagram) for each in desk.last)
    assert desk.bids == []
    assert len(wake(desk)) == 1


def test_a_registration_that_is_undone_brings_no_revocation_back(desk):
    register(desk, 1)
    desk.now += 5
    revoke(desk)
    desk.now += 0.5
    register(desk, 1)
    failed = EffectFailed(desk.last[1], tuple(desk.last[2:]), "no room")
    desk.last = desk.engine.handle(failed, desk.now)
    assert desk.bids == []
    assert desk.record.contact.revoked == ()


def test_an_acknowledgment_of_a_try_long_ago_is_late(desk):
    register(desk, 1)
    desk.now += 5
    tries = [revoke(desk)[0].identifier, *(wake(desk)[0].identifier for _ in range(8))]
    assert acknowledge(desk, tries[0]) == []
    assert acknowledge(desk, tries[1]) != []


def test_a_registration_that_is_undone_leaves_the_revocations_that_were_under_way(desk):
    register(desk, 1)
    desk.now += 5
    (message,) = revoke(desk)
    desk.now += 0.5
    register(desk, 2)
    failed = EffectFailed(desk.last[1], tuple(desk.last[2:]), "no room")
    assert isinstance(desk.last[1], SaveNode)
    desk.last = desk.engine.handle(failed, desk.now)
    (datagram,) = desk.replies
    assert isinstance(decode(datagram.payload), RegistrationReply)
    assert desk.bids == []
    acknowledge(desk, message.identifier)
    assert desk.engine.statistics["revocation_acknowledged"] == 1
