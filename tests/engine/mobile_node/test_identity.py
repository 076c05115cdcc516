"""A node that is known by its NAI and is given its home address (RFC 2794, RFC 5944 3.6)."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.association import Replay
from flowbind.effects import DeleteNode, ProgramForwarding, RemoveForwarding, SaveNode
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import DeregisterRequested, EffectFailed, InterfaceUp, Restored
from flowbind.model.binding import NodeRecord
from flowbind.wire.message import first
from flowbind.wire.nai import NetworkAccessIdentifier

NOWHERE = IPv4Address(0)
GIVEN = IPv4Address("10.9.0.128")
OTHER = IPv4Address("10.9.0.129")
NAI = "node5@fleet.example"


class Nameless:
    """A trip of a node without a home address; every reply tells `given`."""

    def __init__(self, make_trip, nai=NAI, home_address=None, **changes):
        self.trip = make_trip(**changes)
        self.trip.config = structs.replace(self.trip.config, home_address=home_address, nai=nai)
        self.given = GIVEN
        self.restart()

    def restart(self, *records):
        self.trip.engine = MobileNode(self.trip.config, self.trip.nonces)
        self.trip.hear(Restored(records))

    def up(self, name, code=0):
        self.trip.hear(InterfaceUp(name, self.trip.address_of(name)))
        self.answer(code)

    def answer(self, code=0, **fields):
        self.trip.answer(code, home_address=fields.pop("home_address", self.given), **fields)

    @property
    def effects(self):
        kinds = (ProgramForwarding, RemoveForwarding, SaveNode, DeleteNode)
        return [each for each in self.trip.last if isinstance(each, kinds)]

    @property
    def home_addresses(self):
        """The home addresses of what the last event asked to be forwarded and kept."""
        return [
            each.node.home_address if isinstance(each, ProgramForwarding)
            else each.record.home_address if isinstance(each, SaveNode)
            else each.home_address
            for each in self.effects
        ]  # fmt: skip


@pytest.fixture
def nameless(make_trip):
    return Nameless(make_trip)


@pytest.mark.rfc("2794", "2", "NAI-1", "NAI-2")
@pytest.mark.rfc("5944", "3.6.1.2", "MN-19")
def test_the_first_request_has_a_name_and_no_home_address(nameless):
    nameless.trip.hear(InterfaceUp("wlan0", nameless.trip.address_of("wlan0")))
    asked = nameless.trip.asked
    assert asked.home_address == NOWHERE
    assert asked.extensions[0] == NetworkAccessIdentifier(NAI)
    assert nameless.trip.sent.source == nameless.trip.address_of("wlan0")
    # Nothing can be forwarded yet.
    assert not any(isinstance(each, ProgramForwarding) for each in nameless.effects)


@pytest.mark.rfc("5944", "3.6", "MN-3")
def test_the_home_address_of_the_reply_is_taken(nameless):
    nameless.up("wlan0")
    assert [type(each) for each in nameless.effects] == [ProgramForwarding, SaveNode]
    assert nameless.home_addresses == [GIVEN, GIVEN]
    assert nameless.trip.record.nai == NAI
    assert nameless.trip.state("wlan0") == "up"
    assert f"the home agent gives the home address {GIVEN}" in nameless.trip.logged


@pytest.mark.rfc("7629", "5.1", "A-28")
def test_further_interfaces_register_with_the_address_given_first(nameless):
    nameless.up("wlan0")
    nameless.trip.hear(InterfaceUp("wwan0", nameless.trip.address_of("wwan0")))
    assert nameless.trip.asked.home_address == GIVEN
    assert first(nameless.trip.asked, NetworkAccessIdentifier) == NetworkAccessIdentifier(NAI)
    nameless.answer()
    assert nameless.trip.bids == [1, 2]


def test_a_reply_about_another_address_is_not_ours(nameless):
    nameless.up("wlan0")
    nameless.trip.hear(InterfaceUp("wwan0", nameless.trip.address_of("wwan0")))
    nameless.answer(home_address=OTHER)
    assert nameless.trip.engine.statistics["discarded_home-address-unknown"] == 1
    assert nameless.trip.record.home_address == GIVEN


@pytest.mark.rfc("2794", "3", "NAI-4")
def test_a_reply_that_accepts_without_an_address_is_none(nameless):
    nameless.given = NOWHERE
    nameless.up("wlan0")
    assert nameless.trip.engine.statistics["discarded_home-address-missing"] == 1
    assert nameless.trip.state("wlan0") == "registering"


def test_a_denial_gives_nothing(nameless):
    nameless.up("wlan0", 130)
    assert nameless.trip.engine.identity.home_address is None
    assert nameless.trip.engine.statistics["denied_130"] == 1
    nameless.given = NOWHERE
    nameless.trip.wait(2.0)
    nameless.answer(133, clock_s=20.0)
    assert nameless.trip.asked.home_address == NOWHERE
    nameless.given = GIVEN
    nameless.answer()
    assert nameless.trip.record.home_address == GIVEN


def test_the_address_outlives_a_restart_and_the_bindings(nameless):
    nameless.up("wlan0")
    nameless.trip.hear(DeregisterRequested())
    nameless.answer()
    (kept,) = [each.record for each in nameless.effects if isinstance(each, SaveNode)]
    assert (kept.home_address, kept.bindings) == (GIVEN, ())
    nameless.restart(kept)
    nameless.trip.hear(InterfaceUp("wwan0", nameless.trip.address_of("wwan0")))
    assert nameless.trip.asked.home_address == GIVEN


def test_a_restart_forwards_on_by_the_address_given(nameless):
    nameless.up("wlan0")
    record = nameless.trip.record
    nameless.restart(record)
    assert nameless.home_addresses == [GIVEN, GIVEN]
    assert [type(each) for each in nameless.effects] == [ProgramForwarding, SaveNode]


@pytest.mark.parametrize(
    "record",
    [NodeRecord(GIVEN, 0), NodeRecord(GIVEN, 0, nai="node6@fleet.example")],
    ids=["configured", "another name"],
)
def test_the_record_of_another_node_is_deleted(nameless, record):
    nameless.restart(record)
    assert DeleteNode(GIVEN, record) in nameless.effects
    assert nameless.trip.engine.identity.home_address is None


def test_an_address_that_was_given_away_is_let_go_and_another_taken(nameless):
    nameless.up("wlan0")
    nameless.up("wwan0")
    nameless.trip.down("wwan0")
    nameless.answer()
    nameless.trip.wait(500)
    assert nameless.trip.asked.home_address == GIVEN
    nameless.answer(129)
    assert nameless.trip.engine.statistics["home_address_lost"] == 1
    assert [type(each) for each in nameless.effects] == [RemoveForwarding, DeleteNode]
    assert nameless.home_addresses == [GIVEN, GIVEN]
    assert nameless.trip.record.bindings == ()
    nameless.trip.wait(2.0)
    assert nameless.trip.asked.home_address == NOWHERE
    nameless.given = OTHER
    nameless.answer()
    assert nameless.home_addresses == [OTHER, OTHER]
    assert nameless.trip.state("wlan0") == "up"


def test_an_address_by_which_another_path_carries_packets_is_kept(nameless):
    nameless.up("wlan0")
    nameless.up("wwan0", 129)
    assert nameless.trip.record.home_address == GIVEN
    assert nameless.trip.state("wlan0") == "up"
    assert nameless.trip.engine.statistics["home_address_lost"] == 0


def test_a_configured_address_is_never_let_go(make_trip):
    trip = make_trip()
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(129)
    trip.wait(2.0)
    assert trip.asked.home_address == trip.home


@pytest.mark.rfc("2794", "2", "NAI-2")
def test_a_node_with_both_says_both(make_trip):
    named = Nameless(make_trip, home_address=GIVEN)
    named.up("wlan0")
    assert named.trip.asked.home_address == GIVEN
    assert first(named.trip.asked, NetworkAccessIdentifier) == NetworkAccessIdentifier(NAI)
    assert named.trip.record.nai is None


def test_what_could_not_be_undone_for_an_address_is_tried_again(nameless):
    nameless.up("wlan0")
    nameless.trip.wait(500)
    nameless.answer(129)
    remove, delete = nameless.effects
    nameless.trip.hear(EffectFailed(remove, (delete,), "the test"))
    nameless.trip.wait(1.5)
    nameless.given = OTHER
    nameless.answer()
    effects = nameless.trip.wait(6.0)
    again = [each for each in effects if isinstance(each, RemoveForwarding | DeleteNode)]
    assert [(type(each), each.home_address) for each in again] == [
        (RemoveForwarding, GIVEN),
        (DeleteNode, GIVEN),
    ]


def test_by_nonces_the_request_of_a_silent_path_names_the_address_once_it_is_known(make_trip):
    association = structs.replace(make_trip().association, replay=Replay.NONCES)
    nameless = Nameless(make_trip, associations=(association,))
    nameless.trip.hear(InterfaceUp("wlan0", nameless.trip.address_of("wlan0")))
    nameless.trip.hear(InterfaceUp("wwan0", nameless.trip.address_of("wwan0")))
    while nameless.trip.sent.interface != "wwan0":
        nameless.trip.wait(0.5)
    assert nameless.trip.asked.home_address == NOWHERE
    nameless.answer()
    nameless.trip.wait(3.0)
    assert nameless.trip.asked.home_address == GIVEN
