"""Requests and the replies to them (RFC 5944 3.6; RFC 7629 4.1, 5.1)."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.replay import to_ntp
from flowbind.effects import Log, ProgramForwarding, SaveNode, SendProbe
from flowbind.engine.mobile_node.state import State
from flowbind.events import (
    DeregisterRequested,
    InterfaceUp,
    Received,
    RegisterRequested,
    TimerExpired,
)
from flowbind.model.binding import Binding, Encapsulation, NodeRecord
from flowbind.model.tunnel import Balance, NodeForwarding, Path
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import MultipathFlag, RequestFlag
from flowbind.wire.message import all_of
from flowbind.wire.multipath import Multipath

# ---- registration


@pytest.mark.rfc("7629", "5.1", "MP-MN-1", "MP-MN-4")
@pytest.mark.rfc("5944", "3.1", "REG-3")
@pytest.mark.rfc("5944", "3.3", "FMT-1")
@pytest.mark.rfc("5944", "3.6", "MN-4")
@pytest.mark.rfc("5944", "3.6.1.1", "MN-8", "MN-11")
@pytest.mark.rfc("5944", "3.6.1.2", "MN-13", "MN-15", "MN-18", "MN-20", "MN-21")
@pytest.mark.rfc("5944", "5.7.1", "ID-6")
def test_an_interface_that_comes_up_is_registered_through_itself(trip):
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert trip.kinds == ["ProgramForwarding", "DeleteNode", "SendDatagram", "Log"]
    assert trip.sent is not None
    assert (trip.sent.interface, trip.sent.source) == ("wwan0", trip.address_of("wwan0"))
    assert (trip.sent.destination, trip.sent.destination_port) == (trip.agent, 434)
    asked = trip.asked
    assert asked.flags == RequestFlag.DECAPSULATION_BY_MOBILE_NODE | RequestFlag.REVERSE_TUNNELING
    assert (asked.home_address, asked.home_agent) == (trip.home, trip.agent)
    assert (asked.care_of_address, asked.lifetime_s) == (trip.address_of("wwan0"), 600)
    assert asked.identification == to_ntp(trip.now)
    assert trip.multipath == Multipath(8, 2, 2, MultipathFlag(0))


def test_packets_that_overtake_the_reply_are_accepted_and_none_is_sent_yet(trip):
    trip.up("wlan0")
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert trip.paths == [(1, True), (2, False)]
    assert trip.kinds.index("ProgramForwarding") < trip.kinds.index("SendDatagram")
    trip.answer()
    assert trip.paths == [(1, True), (2, True)]


def test_a_path_that_never_was_registered_leaves_no_tunnel(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(130)
    trip.hear(DeregisterRequested("wlan0"))
    trip.wait(2)
    assert [each.tunnel for each in trip.engine.paths] == [None, None, None]


@pytest.mark.rfc("7629", "4.1", "MP-MN-2", "XX-E-5")
@pytest.mark.rfc("5944", "3.2", "AUTH-1", "AUTH-3")
@pytest.mark.rfc("5944", "3.6.1.3", "MN-23")
def test_rfc_7629_extensions_stand_in_front_of_the_authentication(make_trip):
    trip = make_trip(make_trip.rule(80, 1))
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    kinds = [type(each).__name__ for each in trip.asked.extensions]
    assert kinds == ["Multipath", "FlowBinding", "Authentication"]


@pytest.mark.rfc("7629", "5.1", "MP-MN-15")
@pytest.mark.rfc("5944", "3.6.2.2", "MN-30")
def test_an_accepted_registration_brings_up_its_tunnel(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    sent_at, identification = trip.now, trip.asked.identification
    trip.now += 0.05
    trip.answer(lifetime_s=300)
    tunnel = Path(
        bid=1,
        local=trip.address_of("wlan0"),
        remote=trip.agent,
        encapsulation=Encapsulation.IP_IN_IP,
        interface="wlan0",
        label=1,
        weight=3,
    )
    binding = Binding(
        bid=1,
        care_of_address=trip.address_of("wlan0"),
        encapsulation=Encapsulation.IP_IN_IP,
        reverse_tunnel=True,
        lifetime_s=300,
        expires_at=sent_at + 300,
        identification=identification,
        access_technology=4,
        label=1,
        interface="wlan0",
    )
    assert trip.last == [
        ProgramForwarding(NodeForwarding(trip.home, (tunnel,))),
        SaveNode(
            NodeRecord(trip.home, identification, (binding,)),
            NodeRecord(trip.home, identification),
        ),
        Log("info", "wlan0: registered, BID 1, for 300 s"),
    ]
    assert trip.state("wlan0") == "up"
    assert trip.engine.deadline() == trip.now
    assert trip.wait(0) == [SendProbe(tunnel, trip.home, 1)]


def test_packets_are_spread_where_the_configuration_says_so(make_trip):
    trip = make_trip(balance=Balance.PACKET)
    trip.up("wlan0")
    (programmed,) = (each.node for each in trip.last if isinstance(each, ProgramForwarding))
    assert programmed.balance is Balance.PACKET


@pytest.mark.rfc("5944", "5.7.1")
@pytest.mark.rfc("7629", "5.1", "MP-MN-3", "A-25")
def test_requests_are_serialised_on_the_answer_not_on_the_clock(trip):
    for name in ("wlan0", "wwan0", "cdma0"):
        trip.hear(InterfaceUp(name, trip.address_of(name)))
    assert trip.sent is not None
    assert trip.sent.interface == "wlan0"
    for name in ("wwan0", "cdma0"):
        trip.now += 0.02
        trip.answer()
        assert trip.sent.interface == name
    trip.answer()
    assert trip.bids == [1, 2, 3]
    assert trip.now == pytest.approx(trip.start + 0.04)


@pytest.mark.rfc("5944", "5.7.1")
def test_another_interface_waits_no_longer_than_a_second_for_a_silent_one(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert trip.wait(0.9) == []
    (datagram,) = trip.datagrams(trip.wait(0.1))[:1]
    assert datagram.interface in {"wlan0", "wwan0"}
    sent = {each.interface for each in (datagram, *trip.datagrams(trip.wait(1.0)))}
    assert sent == {"wlan0", "wwan0"}


@pytest.mark.rfc("7629", "5.1", "MP-MN-15")
@pytest.mark.parametrize(
    ("encapsulation", "flag"),
    [
        (Encapsulation.GRE, RequestFlag.GRE_ENCAPSULATION),
        (Encapsulation.MINIMAL, RequestFlag.MINIMAL_ENCAPSULATION),
    ],
)
def test_the_encapsulation_that_is_configured_is_asked_for(make_trip, encapsulation, flag):
    trip = make_trip()
    config = trip.interface("wlan0").config
    trip.interface("wlan0").config = type(config)(config.name, 1, 1, 4, encapsulation=encapsulation)
    trip.up("wlan0")
    assert (
        trip.asked.flags & (RequestFlag.GRE_ENCAPSULATION | RequestFlag.MINIMAL_ENCAPSULATION)
        == flag
    )
    (path,) = trip.engine.paths[:1]
    assert path.tunnel is not None
    assert path.tunnel.encapsulation is encapsulation


@pytest.mark.rfc("5944", "3.6.2.2")
@pytest.mark.rfc("7629", "5.2", "A-16")
def test_a_code_1_is_a_success(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(1)
    assert trip.bids == [1]


@pytest.mark.rfc("7629", "4.2", "A-11")
def test_a_policy_in_a_reply_is_no_failure(make_trip):
    trip = make_trip(make_trip.rule(80, 1))
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    (sent,) = all_of(trip.asked, FlowBinding)
    trip.answer(extensions=(sent, structs.replace(sent, bids=(7, 9))))
    assert trip.bids == [1]
    assert trip.state("wlan0") == "up"


def test_interfaces_that_are_not_configured_are_ignored(trip):
    trip.hear(InterfaceUp("eth9", IPv4Address("10.8.0.1")))
    trip.down("eth9")
    trip.hear(RegisterRequested("eth9"))
    trip.hear(DeregisterRequested("eth9"))
    assert trip.sent is None


# ---- replies that are none


@pytest.mark.rfc("5944", "3.6.2.1", "MN-25", "MN-26")
@pytest.mark.rfc("5944", "5.7", "ID-3")
@pytest.mark.rfc("5944", "1.7", "LOG-1")
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"association": SecurityAssociation(256, bytes(16))}, "authenticator-wrong"),
        ({"association": SecurityAssociation(257, bytes(range(16)))}, "spi-unknown"),
        ({"home_address": IPv4Address("10.9.0.6")}, "home-address-unknown"),
        ({"identification": 7}, "unexpected-reply"),
    ],
    ids=["key", "spi", "home-address", "identification"],
)
@pytest.mark.parametrize("code", [0, 133, 152])
def test_a_reply_that_is_not_ours_changes_nothing(trip, fields, reason, code):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(code, **{"identification": trip.asked.identification, **fields})
    assert [each for each in trip.last if not isinstance(each, Log)] == []
    assert trip.state("wlan0") == "registering"
    assert trip.engine.statistics == {"sent": 1, f"discarded_{reason}": 1}


@pytest.mark.rfc("5944", "3.6.2.1", "MN-26")
def test_a_reply_without_authentication_changes_nothing(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    event = trip.reply()
    trip.hear(Received(event.payload[:20], event.source, 434, event.destination, 40000))
    trip.hear(Received(b"\x03", event.source, 434, event.destination, 40000))
    trip.hear(Received(trip.sent.payload, event.source, 434, event.destination, 40000))
    assert trip.bids == []


@pytest.mark.rfc("5944", "3.6.2.1", "MN-27")
@pytest.mark.parametrize("code", [0, 133])
def test_a_reply_with_two_authentications_changes_nothing(trip, code):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    event = trip.reply(code)
    trip.hear(structs.replace(event, payload=event.payload + event.payload[20:]))
    assert trip.last == []
    assert trip.engine.statistics == {"sent": 1, "discarded_authenticator-repeated": 1}


@pytest.mark.rfc("5944", "5.7.1")
def test_a_reply_that_accepts_carries_the_whole_identification(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(0, identification=trip.asked.identification + (1 << 32))
    assert trip.bids == []
    trip.answer(128, identification=trip.asked.identification + (1 << 32))
    assert trip.engine.statistics["denied_128"] == 1


def test_a_reply_counts_once(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    event = trip.reply()
    trip.hear(event)
    trip.wait(100)
    before = trip.record
    trip.hear(event)
    assert trip.record == before


# ---- renewal


@pytest.mark.rfc("7629", "5.1", "MP-MN-9")
@pytest.mark.rfc("5944", "3.6", "MN-5")
def test_a_binding_is_renewed_before_its_end_through_its_interface(trip):
    trip.up("wlan0", "wwan0")
    identification = trip.asked.identification
    requests = trip.datagrams(trip.wait(480))
    assert [each.interface for each in requests] == ["wlan0"]
    assert trip.multipath == Multipath(4, 1, 1, MultipathFlag(0))
    assert trip.asked.identification > identification
    before = trip.record.bindings[0]
    trip.answer()
    assert trip.record.bindings[0].expires_at == before.expires_at + 480
    # The other was wanted at the same moment; neither touches the forwarding.
    assert trip.kinds == ["SaveNode", "SendDatagram"]
    trip.answer()
    assert trip.kinds == ["SaveNode"]


@pytest.mark.rfc("5944", "3.6.2.2", "MN-31", "MN-32")
@pytest.mark.rfc("5944", "3.4", "LT-3")
def test_the_lifetime_counts_from_the_request_and_is_the_shorter_one(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    sent_at = trip.now
    trip.now += 0.9
    trip.answer(lifetime_s=100)
    (binding,) = trip.record.bindings
    assert (binding.lifetime_s, binding.expires_at) == (100, sent_at + 100)


@pytest.mark.rfc("5944", "3.4", "LT-2")
def test_no_more_counts_than_was_asked_for(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(granted_s=3600)
    (binding,) = trip.record.bindings
    assert (binding.lifetime_s, binding.expires_at) == (600, trip.now + 600)


def test_a_registration_that_expires_is_made_anew(trip):
    trip.up("wlan0")
    effects = trip.wait(600)
    assert trip.record.bindings == ()
    assert trip.state("wlan0") == "registering"
    assert [e.text for e in effects if isinstance(e, Log)] == ["wlan0: the registration expired"]
    trip.wait(8)
    trip.answer()
    assert trip.bids == [1]


@pytest.mark.rfc("7629", "5.1", "MP-MN-10", "A-5")
def test_b_renews_every_binding_in_one_request(trip):
    trip.up("wlan0", "wwan0", "cdma0")
    trip.wait(100)
    trip.hear(RegisterRequested())
    assert trip.multipath is not None
    assert trip.multipath.flags == trip.bulk
    trip.answer()
    assert {each.expires_at for each in trip.record.bindings} == {trip.now + 600}
    assert trip.kinds == ["SaveNode", "Log"]
    assert trip.datagrams(trip.wait(479)) == []


# ---- another care-of address


@pytest.mark.rfc("7629", "5.1", "MP-MN-13", "MP-MN-14", "A-1")
def test_an_address_that_changes_is_registered_under_the_same_bid(trip):
    trip.up("wlan0", "wwan0")
    moved = IPv4Address("10.1.0.99")
    trip.hear(InterfaceUp("wlan0", moved))
    assert trip.paths == [(1, False), (2, True)]
    assert trip.multipath == Multipath(4, 1, 1, MultipathFlag(0))
    assert (trip.asked.care_of_address, trip.sent.source) == (moved, moved)
    trip.answer()
    assert trip.paths == [(1, True), (2, True)]
    assert [each.care_of_address for each in trip.record.bindings] == [
        moved,
        trip.address_of("wwan0"),
    ]


def test_the_answer_to_a_request_from_the_address_before_does_not_count(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    late = trip.reply()
    moved = IPv4Address("10.1.0.99")
    trip.hear(InterfaceUp("wlan0", moved))
    assert trip.asked.care_of_address == moved
    trip.hear(late)
    assert trip.bids == []
    trip.answer()
    assert [each.care_of_address for each in trip.record.bindings] == [moved]


def test_an_address_that_is_told_again_is_no_news(trip):
    trip.up("wlan0")
    assert trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0"))) == []


# ---- deregistration


@pytest.mark.rfc("7629", "5.1", "MP-MN-11")
def test_packets_move_before_the_request_to_deregister_leaves(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(DeregisterRequested("wlan0"))
    assert trip.kinds == ["ProgramForwarding", "SendDatagram", "Log"]
    assert trip.paths == [(1, False), (2, True)]
    assert trip.asked.lifetime_s == 0
    assert trip.asked.care_of_address == trip.address_of("wlan0")
    assert trip.multipath == Multipath(4, 1, 1, MultipathFlag(0))
    assert (trip.sent.interface, trip.state("wlan0")) == ("wlan0", "deregistering")
    trip.answer()
    assert (trip.bids, trip.state("wlan0")) == ([2], "down")
    # Packets under way are still accepted for a moment.
    assert trip.kinds == ["SaveNode", "Log"]
    trip.wait(1.0)
    assert trip.paths == [(2, True)]


def test_what_the_operator_deregistered_stays_so_until_asked_for(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(DeregisterRequested("wlan0"))
    trip.answer()
    trip.down("wlan0")
    trip.up("wlan0")
    assert trip.state("wlan0") == "down"
    trip.wait(400)
    assert 1 not in trip.bids
    trip.hear(RegisterRequested("wlan0"))
    trip.answer_all()
    assert 1 in trip.bids


@pytest.mark.rfc("7629", "5.1", "MP-MN-12", "A-5")
def test_b_with_lifetime_0_deregisters_everything(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(DeregisterRequested())
    assert trip.asked.lifetime_s == 0
    assert trip.multipath is not None
    assert trip.multipath.flags == trip.bulk
    trip.answer()
    assert trip.bids == []
    assert trip.kinds == ["ProgramForwarding", "DeleteNode", "Log", "Log"]
    trip.wait(1.0)
    assert trip.kinds == ["RemoveForwarding"]
    assert trip.engine.deadline() is None


@pytest.mark.rfc("7629", "4.1", "MP-E-5")
@pytest.mark.parametrize("name", [None, "wlan0"])
def test_o_is_never_set_in_a_deregistration(make_trip, name):
    trip = make_trip(make_trip.rule(80, 1))
    trip.up("wlan0", "wwan0")
    trip.hear(DeregisterRequested(name))
    assert trip.multipath is not None
    assert not trip.multipath.overwrite


@pytest.mark.rfc("7629", "5.1", "MP-MN-11")
def test_a_lost_interface_is_deregistered_by_another_at_once(trip):
    trip.up("wlan0", "wwan0")
    trip.down("wlan0")
    assert trip.paths == [(2, True)]
    assert trip.sent.interface == "wwan0"
    assert (trip.asked.lifetime_s, trip.asked.care_of_address) == (0, trip.address_of("wlan0"))
    assert trip.multipath == Multipath(4, 1, 1, MultipathFlag(0))
    trip.answer()
    assert trip.bids == [2]


def test_a_lost_interface_is_deregistered_as_soon_as_another_can_speak(trip):
    trip.up("wlan0")
    trip.down("wlan0")
    assert trip.datagrams(trip.last) == []
    trip.wait(5)
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert trip.asked.lifetime_s == 600
    trip.answer()
    assert (trip.sent.interface, trip.asked.lifetime_s) == ("wwan0", 0)
    assert trip.multipath is not None
    assert trip.multipath.bid == 1
    trip.answer()
    assert trip.bids == [2]


def test_a_registration_without_an_answer_is_taken_back_too(trip):
    trip.up("wwan0")
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.down("wlan0")
    assert (trip.sent.interface, trip.asked.lifetime_s) == ("wwan0", 0)
    assert trip.asked.care_of_address == trip.address_of("wlan0")
    assert trip.multipath == Multipath(4, 1, 1, MultipathFlag(0))


def test_an_interface_that_is_back_is_not_deregistered(trip):
    trip.up("wlan0")
    trip.down("wlan0")
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert trip.asked.lifetime_s == 600
    trip.answer()
    assert trip.bids == [1]
    assert trip.datagrams(trip.wait(400)) == []


def test_with_nobody_left_to_speak_the_binding_ends_by_its_lifetime(trip):
    trip.up("wlan0")
    trip.down("wlan0")
    assert trip.bids == [1]
    trip.wait(600)
    assert trip.bids == []
    assert trip.engine.deadline() is None


@pytest.mark.rfc("5944", "3.6.2.1")
def test_the_first_association_is_used_and_a_reply_made_with_another_is_not_believed(make_trip):
    other = SecurityAssociation(257, bytes(16))
    trip = make_trip(associations=(make_trip.association, other))
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    for code in (0, 131, 133):
        trip.answer(code, association=other)
    assert trip.engine.statistics == {"sent": 1, "discarded_spi-unknown": 3}
    trip.answer()
    assert trip.bids == [1]


def test_a_path_that_comes_and_goes_is_deregistered_once_a_second(trip):
    trip.up("wlan0", "wwan0")
    trip.down("wlan0")
    first = trip.now
    assert trip.asked.lifetime_s == 0
    trip.answer()
    trip.wait(0.3)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer_all()
    trip.down("wlan0")
    trip.wait(first + 0.99 - trip.now)
    assert trip.asked.lifetime_s > 0
    trip.wait(0.02)
    assert (trip.sent.interface, trip.asked.lifetime_s) == ("wwan0", 0)


def test_to_renew_all_of_one_plain_binding_is_to_register_it(make_trip):
    trip = make_trip(multipath="off")
    trip.up("wlan0")
    trip.hear(RegisterRequested())
    assert (trip.asked.care_of_address, trip.asked.lifetime_s) == (trip.address_of("wlan0"), 600)
    trip.hear(RegisterRequested("wlan0"))
    trip.answer()
    assert not trip.asks


def test_a_clock_that_is_set_does_not_put_off_a_path_whose_request_was_undone(trip):
    trip.up("wwan0")
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    assert trip.sent.interface == "wlan0"
    trip.now += 300
    trip.hear(TimerExpired())
    assert (trip.sent.interface, trip.asked.lifetime_s) == ("wwan0", 0)
    trip.answer()
    sent = [*trip.datagrams(trip.last), *trip.datagrams(trip.wait(8))]
    assert "wlan0" in [each.interface for each in sent]


@pytest.mark.rfc("5944", "3.6.3")
def test_a_path_that_comes_and_goes_does_not_hurry_a_plain_node(make_trip):
    trip = make_trip(multipath="off")
    trip.up("wlan0")
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert trip.sent.interface == "wlan0"
    trip.interface("wwan0").keepalive.rtt_s = 0.01
    for state in (State.DEAD, State.UP, State.DEAD):
        trip.interface("wlan0").state = state
        effects = trip.hear(TimerExpired())
        assert len(trip.datagrams(effects)) == (trip.now == trip.start)
        trip.wait(0.3)
    assert trip.datagrams(trip.wait(0.05)) == []
    assert len(trip.datagrams(trip.wait(0.2))) == 1


@pytest.mark.rfc("5944", "3.6.1.2")
def test_no_identification_is_that_of_the_request_before(trip):
    trip.up("wlan0")
    registration = trip.engine._registration
    before = trip.asked.identification
    registration.identification = None
    registration.clock_offset_s = -1.0
    trip.now += 1.0
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert trip.sent.interface == "wwan0"
    assert trip.asked.identification != before


@pytest.mark.rfc("5944", "3.6.2.1", "MN-29")
def test_replies_that_are_not_authentic_are_logged_once_a_minute(trip):
    trip.up("wlan0")
    forged = SecurityAssociation(256, bytes(16))
    text = "reply from 198.51.100.1 is not authentic: authenticator-wrong"
    trip.answer(association=forged)
    assert trip.last == [Log("warning", text)]
    trip.now += 59
    trip.answer(association=forged)
    assert trip.last == []
    trip.now += 1
    trip.answer(association=forged)
    assert trip.last == [Log("warning", text)]
    trip.now -= 3600
    trip.answer(association=forged)
    assert trip.last == [Log("warning", text)]
