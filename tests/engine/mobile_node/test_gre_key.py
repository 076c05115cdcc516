"""Keys of GRE tunnels (RFC 6245) at the mobile node."""

import pytest
from msgspec import structs

from flowbind.engine.mobile_node import MobileNode
from flowbind.events import RegisterRequested, Restored
from flowbind.model.binding import Encapsulation, GreKeys
from flowbind.wire.gre_key import GreKey
from flowbind.wire.iana import RequestFlag
from flowbind.wire.message import split_at_authentication


@pytest.fixture
def keyed(make_trip):
    """A node whose first interface has GRE with a key, and numbers its packets."""
    trip = make_trip()
    one, *others = trip.config.interfaces
    one = structs.replace(one, encapsulation=Encapsulation.GRE, gre_key=True, gre_sequence=True)
    trip.config = structs.replace(trip.config, interfaces=(one, *others))
    trip.engine = MobileNode(trip.config, trip.nonces)
    return trip


def asked(trip):
    protected, _authentication, exposed = split_at_authentication(trip.asked, trip.kind)
    assert not any(isinstance(each, GreKey) for each in exposed)
    return [each.key for each in protected if isinstance(each, GreKey)]


def tunnel(trip, name="wlan0"):
    found = trip.interface(name).tunnel
    return (found.kind, found.gre_keys, found.gre_sequence, found.transmit)


@pytest.mark.rfc("6245", "4.3", "GX-9")
def test_a_registration_asks_for_a_key(keyed):
    keyed.hear(keyed.interface_up("wlan0"))
    assert asked(keyed) == [0]
    assert RequestFlag.GRE_ENCAPSULATION in keyed.asked.flags
    # The home agent may forward before its reply is there.
    assert tunnel(keyed) == ("gre-key", GreKeys(0, 0), True, False)


@pytest.mark.rfc("6245", "5", "GX-8")
def test_the_key_that_is_told_is_that_of_both_directions(keyed):
    keyed.hear(keyed.interface_up("wlan0"))
    keyed.answer(extensions=(GreKey(0xBEEF),))
    assert tunnel(keyed) == ("gre-key", GreKeys(0xBEEF, 0xBEEF), True, True)
    assert keyed.record.bindings[0].gre_keys == GreKeys(0xBEEF, 0xBEEF)


def test_a_renewal_asks_again_and_its_answer_counts(keyed):
    keyed.hear(keyed.interface_up("wlan0"))
    keyed.answer(extensions=(GreKey(1),))
    keyed.hear(RegisterRequested("wlan0"))
    assert asked(keyed) == [0]
    assert tunnel(keyed) == ("gre-key", GreKeys(1, 1), True, True)
    keyed.answer(extensions=(GreKey(2),))
    assert tunnel(keyed) == ("gre-key", GreKeys(2, 2), True, True)


def test_without_one_in_the_answer_there_is_none(keyed):
    keyed.hear(keyed.interface_up("wlan0"))
    keyed.answer()
    assert tunnel(keyed) == ("gre", None, True, True)


def test_who_did_not_ask_passes_over_the_answer(keyed):
    keyed.hear(keyed.interface_up("wwan0"))
    assert asked(keyed) == []
    keyed.answer(extensions=(GreKey(1),))
    assert keyed.engine.statistics["discarded_gre-key-unasked"] == 1
    assert keyed.state("wwan0") == "registering"


def test_what_the_authenticator_does_not_cover_counts_nothing(keyed):
    keyed.hear(keyed.interface_up("wlan0"))
    event = keyed.reply()
    keyed.hear(structs.replace(event, payload=event.payload + GreKey(9).encode()))
    assert tunnel(keyed) == ("gre", None, True, True)


def test_a_restart_goes_on_with_the_key(keyed):
    keyed.hear(keyed.interface_up("wlan0"))
    keyed.answer(extensions=(GreKey(3),))
    record = keyed.record
    keyed.engine = MobileNode(keyed.config, keyed.nonces)
    keyed.hear(Restored((record,)))
    assert tunnel(keyed) == ("gre-key", GreKeys(3, 3), True, True)
