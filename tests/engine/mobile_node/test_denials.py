"""Denials (RFC 5944 3.6.2.3), 153, and multipath = require, prefer or off (RFC 7629 5.1)."""

import pytest
from msgspec import structs

from flowbind.events import (
    DeregisterRequested,
    InterfaceUp,
    PolicyReplaced,
    RegisterRequested,
    Restored,
)
from flowbind.wire.iana import RequestFlag


def trying(make_trip, multipath):
    trip = make_trip(multipath=multipath)
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    return trip


def is_plain(trip):
    return trip.multipath is None


# ---- any code


@pytest.mark.rfc("5944", "3.6.2.3", "MN-33")
@pytest.mark.rfc("5944", "2.4.2", "MN-6")
@pytest.mark.parametrize("code", [128, 129, 130, 131, 135, 136, 139, 191])
def test_a_denied_request_is_repeated_ever_more_seldom(trip, code):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    waits = []
    for _ in range(8):
        trip.answer(code)
        assert not trip.asks
        assert trip.logged == [f"wlan0: the home agent denies with code {code}"]
        deadline = trip.engine.deadline()
        assert deadline is not None
        waits.append(round(deadline - trip.now))
        trip.wait(deadline - trip.now)
        assert trip.asks
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    trip.answer()
    assert trip.bids == [1]


def test_a_denied_renewal_leaves_the_binding_until_its_end(trip):
    trip.up("wlan0")
    trip.wait(480)
    trip.answer(130)
    assert trip.bids == [1]
    assert trip.state("wlan0") == "up"


@pytest.mark.rfc("5944", "3.4", "LT-4")
@pytest.mark.parametrize("granted_s", [1, 3600])
def test_the_lifetime_in_a_denial_means_nothing(trip, granted_s):
    trip.up("wlan0")
    trip.wait(480)
    before = trip.record
    trip.answer(130, granted_s=granted_s)
    assert trip.record == before


def test_a_denied_deregistration_is_repeated(trip):
    trip.up("wlan0", "wwan0")
    trip.hear(DeregisterRequested("wlan0"))
    trip.answer(130)
    assert trip.bids == [1, 2]
    trip.wait(1)
    trip.answer()
    assert trip.bids == [2]


def test_a_registration_granted_for_no_time_is_a_denial(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(0, lifetime_s=0)
    assert trip.bids == []
    assert not trip.asks


# ---- 153


@pytest.mark.rfc("7629", "5.1", "MP-MN-8")
def test_after_153_every_binding_is_registered_anew(make_trip):
    trip = make_trip(make_trip.rule(80, 2), make_trip.rule(81, 1))
    trip.up("wlan0", "wwan0")
    trip.wait(480)
    assert trip.policy == [(80, 2), (81, 1)]
    trip.answer(153)
    assert trip.state("wwan0") == "registering"
    assert (trip.multipath.bid, trip.policy) == (1, [(81, 1)])
    trip.answer()
    assert trip.multipath.bid == 2
    trip.answer_all()
    assert trip.bids == [1, 2]
    assert (trip.multipath.bid, trip.policy) == (1, [(80, 2), (81, 1)])


@pytest.mark.rfc("7629", "5.1", "MP-MN-8")
def test_a_home_agent_that_still_says_153_gets_no_policy_until_there_is_another(make_trip):
    trip = make_trip(make_trip.rule(80, 1, 2))
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(153)
    assert trip.policy == [(80, 1, 2)]
    trip.answer(153)
    assert trip.policy == []
    trip.answer()
    assert trip.bids == [1]
    assert not trip.asks
    trip.hear(PolicyReplaced((trip.rule(80, 1),)))
    assert trip.policy == [(80, 1)]


@pytest.mark.rfc("7629", "5.1")
@pytest.mark.parametrize("down", [False, True])
def test_153_counts_bindings_of_interfaces_that_are_not_up_as_lost(make_trip, down):
    trip = make_trip(make_trip.rule(80, 1), make_trip.rule(81, 2))
    trip.up("wlan0")
    record = structs.replace(trip.record, rules=())
    trip = make_trip(make_trip.rule(80, 1), make_trip.rule(81, 2))
    trip.hear(Restored((record,)))
    if down:
        trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
        trip.down("wlan0")
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    trip.wait(1)
    if (81, 2) in trip.policy and (80, 1) in trip.policy:
        trip.answer(153)
    assert trip.policy == [(81, 2)]


@pytest.mark.rfc("7629", "5.1")
def test_153_counts_only_if_it_cannot_be_about_another_binding(make_trip):
    trip = make_trip(make_trip.rule(80, 1), make_trip.rule(82, 3))
    trip.up("cdma0", "wlan0")
    trip.hear(RegisterRequested("cdma0"))
    assert trip.policy == [(80, 1), (82, 3)]
    trip.answer(153)
    assert trip.policy == [(82, 3)]
    while trip.sent.interface != "wlan0":
        trip.wait(0.1)
    trip.answer()
    while trip.sent.interface != "cdma0":
        trip.wait(0.1)
    assert trip.policy == [(80, 1), (82, 3)]
    trip.answer(153)
    assert trip.policy == [(82, 3)]


# ---- 152


@pytest.mark.rfc("7629", "5.1", "MP-MN-6", "MP-MN-7")
def test_152_makes_a_node_that_prefers_multipath_a_plain_one_for_good(make_trip):
    trip = trying(make_trip, "prefer")
    trip.answer(152)
    # The plain binding will have another tunnel, which is awaited from now on.
    assert trip.kinds == ["ProgramForwarding", "SendDatagram", "Log"]
    assert trip.multipath is None
    trip.answer()
    assert trip.bids == [None]
    assert trip.paths == [(0, True)]
    for _ in range(5):
        trip.wait(480)
        assert trip.multipath is None
        trip.answer()
    assert trip.engine.statistics["fallback"] == 1


@pytest.mark.rfc("7629", "5.1", "MP-MN-7b")
def test_152_is_no_way_out_where_multipath_is_required(make_trip):
    trip = trying(make_trip, "require")
    trip.answer(152)
    assert trip.kinds == ["Log"]
    assert trip.datagrams(trip.wait(59)) == []
    assert len(trip.datagrams(trip.wait(1))) == 1
    assert trip.multipath is not None


# ---- silence


@pytest.mark.rfc("7629", "5.1")
def test_only_the_answer_to_a_plain_request_makes_a_silent_agent_a_plain_one(make_trip):
    trip = trying(make_trip, "prefer")
    plain = []
    for _ in range(6):
        trip.wait(trip.engine.deadline() - trip.now)
        plain.append(trip.multipath is None)
    assert plain == [False, False, True, False, True, False]
    assert trip.engine.statistics["fallback"] == 0
    trip.wait(8)
    assert trip.multipath is None
    trip.answer()
    assert trip.bids == [None]
    assert trip.logged[0] == "no answer to multipath, but to RFC 5944, falling back to it"
    assert trip.engine.statistics["fallback"] == 1


def test_a_silent_path_does_not_keep_another_from_multipath(make_trip):
    trip = trying(make_trip, "prefer")
    trip.wait(20)
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    while trip.sent.interface != "wwan0":
        trip.wait(trip.engine.deadline() - trip.now)
    assert trip.multipath is not None
    trip.answer()
    assert trip.bids == [2]
    trip.wait(400)
    assert (trip.sent.interface, trip.asked.lifetime_s, trip.multipath.bid) == ("wwan0", 0, 1)
    trip.answer()
    while trip.sent.interface != "wlan0":
        trip.wait(trip.engine.deadline() - trip.now)
    assert trip.multipath is not None


@pytest.mark.parametrize("multipath", ["require", "prefer"])
def test_where_multipath_is_known_silence_is_only_silence(make_trip, multipath):
    trip = make_trip(multipath=multipath)
    trip.up("wlan0")
    trip.down("wlan0")
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    for _ in range(10):
        trip.wait(8)
        assert trip.multipath is not None


@pytest.mark.parametrize("code", [70, 134])
def test_an_agent_that_does_not_understand_is_asked_plainly_for_five_minutes(make_trip, code):
    trip = trying(make_trip, "prefer")
    trip.answer(code)
    assert is_plain(trip)
    trip.answer()
    trip.wait(480)
    assert not is_plain(trip)
    trip.answer()
    assert trip.bids == [1]


# ---- plain RFC 5944


def test_without_multipath_there_is_one_binding_on_the_first_interface(make_trip):
    trip = make_trip(multipath="off")
    trip.up("wwan0")
    assert trip.multipath is None
    assert trip.policy == []
    assert trip.bids == [None]
    trip.up("wlan0")
    assert trip.asked.care_of_address == trip.address_of("wlan0")
    assert [each.care_of_address for each in trip.record.bindings] == [trip.address_of("wlan0")]
    trip.up("cdma0")
    assert trip.sent.interface == "wlan0"


def test_without_multipath_another_interface_takes_over(make_trip):
    trip = make_trip(multipath="off")
    trip.up("wlan0", "wwan0")
    assert [each.interface for each in trip.record.bindings] == ["wlan0"]
    trip.down("wlan0")
    assert (trip.sent.interface, trip.asked.lifetime_s) == ("wwan0", 600)
    trip.answer()
    assert not trip.asks
    assert [each.interface for each in trip.record.bindings] == ["wwan0"]
    trip.up("wlan0")
    assert [each.interface for each in trip.record.bindings] == ["wlan0"]


@pytest.mark.rfc("5944", "3.6.1.2", "MN-14", "MN-22")
def test_a_plain_node_deregisters_all_by_its_home_address(make_trip):
    trip = make_trip(multipath="off")
    trip.up("wlan0")
    trip.hear(DeregisterRequested())
    assert (trip.asked.care_of_address, trip.asked.lifetime_s) == (trip.home, 0)
    assert RequestFlag.DECAPSULATION_BY_MOBILE_NODE not in trip.asked.flags
    assert trip.multipath is None
