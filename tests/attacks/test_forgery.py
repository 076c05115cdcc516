"""Datagrams by somebody without the key, or from another place than they belong to."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.effects import Log, ProgramForwarding, SendDatagram
from flowbind.events import InterfaceUp, Received
from flowbind.wire.extension import UnknownExtension
from flowbind.wire.message import decode
from flowbind.wire.nai import NetworkAccessIdentifier

ELSEWHERE = IPv4Address("192.0.2.66")
FORGED = SecurityAssociation(256, b"some other key!!")
DENIALS = [152, 134, 70, 133, 128]


def only_logs(effects):
    return all(isinstance(each, Log) for each in effects)


# ---- reflection


def test_a_request_that_is_sent_back_to_the_node_is_no_reply(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    sent = trip.sent
    trip.hear(Received(sent.payload, trip.agent, 434, sent.source, 40000, sent.interface))
    assert trip.last == []
    assert trip.engine.statistics["discarded_not-a-reply"] == 1


def test_a_reply_that_is_sent_back_to_the_home_agent_is_no_request(desk):
    desk.register(1)
    (reply,) = desk.replies
    assert desk.hear(desk.received(reply.payload)) is None
    assert desk.last == []


def test_two_home_agents_do_not_answer_each_other(desk, make_desk):
    # A request whose source claims to be another agent on port 434.
    forged = structs.replace(desk.request(association=FORGED), source=ELSEWHERE, source_port=434)
    assert desk.hear(forged) == 131
    (reply,) = desk.replies
    other = make_desk()
    assert other.hear(other.received(reply.payload)) is None


# ---- another path


def test_the_binding_is_at_the_authentic_address_and_the_reply_goes_to_the_source(desk):
    request = structs.replace(desk.request(desk.multipath(1)), source=ELSEWHERE, source_port=9)
    assert desk.hear(request) == 0
    (binding,) = desk.record.bindings
    assert binding.care_of_address == desk.care_of_address(1)
    (reply,) = desk.replies
    assert (reply.destination, reply.destination_port) == (ELSEWHERE, 9)
    (forwarding,) = [each for each in desk.last if isinstance(each, ProgramForwarding)]
    assert [each.remote for each in forwarding.node.paths] == [binding.care_of_address]


@pytest.mark.parametrize("behind", ["multipath", "forward"])
def test_what_is_added_behind_the_authenticator_is_not_obeyed(desk, behind):
    added = desk.multipath(9) if behind == "multipath" else desk.forward(80, 1)
    assert desk.ask(desk.multipath(1), behind=added.encode()) == 134
    assert desk.engine.records == {}


@pytest.mark.rfc("2794", "2")
def test_a_name_that_was_added_behind_the_authenticator_does_not_leave_with_our_signature(desk):
    added = NetworkAccessIdentifier("mallory@example.net")
    assert desk.ask(desk.multipath(1), behind=added.encode()) == 0
    assert added not in desk.reply.extensions
    assert desk.ask(association=FORGED, behind=added.encode()) == 131
    assert added not in desk.reply.extensions


def test_a_policy_that_was_added_behind_the_authenticator_is_not_followed(make_trip, desk):
    trip = make_trip(exchange_policy=False, accept_policy=True)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    reply = trip.reply()
    trip.hear(structs.replace(reply, payload=reply.payload + desk.drop(80).encode()))
    assert trip.bids == [1]
    assert trip.engine.rules == ()


# ---- bid-down


@pytest.mark.parametrize("code", DENIALS)
@pytest.mark.parametrize("multipath", ["prefer", "require"])
def test_a_forged_denial_changes_nothing(make_trip, code, multipath):
    trip = make_trip(multipath=multipath)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    asked, deadline, held = trip.asked, trip.engine.deadline(), trip.record
    for forgery in (
        trip.reply(code, association=FORGED),
        trip.reply(code, association=structs.replace(trip.association, spi=257)),
        without_authenticator(trip.reply(code)),
        with_another_code(trip.reply(131), code),
    ):
        assert only_logs(trip.hear(forgery))
    assert (trip.asked, trip.engine.deadline(), trip.record) == (asked, deadline, held)
    trip.wait(1)
    assert trip.multipath is not None
    trip.answer()
    assert trip.bids == [1]


def test_silence_alone_changes_nothing(make_trip):
    trip = make_trip(multipath="prefer")
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    kinds = []
    for _ in range(20):
        trip.wait(8)
        kinds.append(trip.multipath is None)
    # It tries without as well, and goes on with.
    assert set(kinds) == {True, False}
    while trip.multipath is None:
        trip.wait(8)
    trip.answer()
    assert trip.bids == [1]
    assert trip.engine.statistics["fallback"] == 0


# ---- the clock


def test_a_forged_133_does_not_set_the_clock(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert only_logs(trip.hear(trip.reply(133, clock_s=86400.0, association=FORGED)))
    assert only_logs(trip.hear(without_authenticator(trip.reply(133, clock_s=86400.0))))
    first = trip.asked.identification
    trip.wait(1)
    assert (trip.asked.identification - first) >> 32 <= 1


def test_a_genuine_133_does_not_set_the_clock_twice(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    genuine = trip.reply(133, clock_s=100.0)
    # On its way for a while: replies are told apart by the fraction of the second of the request.
    trip.now += 0.02
    trip.hear(genuine)
    assert trip.asks
    trip.answer()
    # The clocks are put right, and somebody who has kept the reply sends it again and again.
    trip.wait(480)
    renewal = trip.asked.identification
    assert trip.hear(genuine) == []
    assert trip.engine.statistics["discarded_unexpected-reply"] == 1
    trip.wait(1)
    assert (trip.asked.identification - renewal) >> 32 <= 1


# ---- what is told


def test_no_key_leaves_an_engine(desk, trip):
    key = desk.association.key
    shown = [desk.association, desk.config, desk.engine.config.mobile_nodes, trip.config]
    desk.register(1)
    shown += desk.last
    desk.ask(association=FORGED)
    shown += desk.last
    shown += trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    for each in shown:
        text = repr(each)
        assert repr(key)[2:-1] not in text
        assert key.hex() not in text
    effects = [each for each in shown if isinstance(each, SendDatagram)]
    assert len(effects) == 3
    assert all(key not in each.payload for each in effects)


@pytest.mark.parametrize(
    "name", ["a\nERROR forged line", "a\r", "\x1b[2J", "a\u2028b", "a\u202eb", "\x9b31m"]
)
def test_no_name_reaches_the_log(desk, name):
    octets = name.encode()
    nai = UnknownExtension(131, octets)
    assert desk.ask(nai, desk.multipath(1)) == 134
    message = UnknownExtension(145, b"\x01" + octets)
    assert desk.ask(message, desk.multipath(1)) == 0
    assert desk.ask(message, nai, association=FORGED) == 131
    for each in desk.last:
        if isinstance(each, Log):
            assert each.text.isprintable()
            assert name not in each.text


def without_authenticator(event):
    message = decode(event.payload)
    return structs.replace(event, payload=message.encode_fixed())


def with_another_code(event, code):
    octets = bytearray(event.payload)
    octets[1] = code
    return structs.replace(event, payload=bytes(octets))
