"""A mobile node that looks for its home agent (RFC 5944 3.6.1.1, 3.6.1.2, 3.6.2.3)."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec import structs

from flowbind.auth.replay import to_ntp
from flowbind.effects import SaveNode
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import InterfaceUp, Restored

EVERYWHERE = IPv4Address("10.9.0.255")


@pytest.fixture
def make_looking(make_trip):
    def make(**changes):
        trip = make_trip(**changes)
        trip.config = structs.replace(
            trip.config, home_agent=None, home_network=IPv4Network("10.9.0.0/24")
        )
        restart(trip)
        return trip

    return make


@pytest.fixture
def looking(make_looking):
    return make_looking()


def restart(trip, *records):
    trip.engine = MobileNode(trip.config, trip.nonces)
    trip.hear(Restored(records))


def up(trip, name):
    trip.hear(InterfaceUp(name, trip.address_of(name)))


def found(trip):
    up(trip, "wlan0")
    trip.answer(136)
    trip.answer_all()


@pytest.mark.rfc("5944", "3.6.1.1", "MN-12")
@pytest.mark.rfc("5944", "3.6.1.2", "MN-12")
def test_the_broadcast_address_of_the_home_network_is_asked(looking):
    up(looking, "wlan0")
    assert looking.asked.home_agent == EVERYWHERE
    assert looking.sent.destination == EVERYWHERE
    assert looking.sent.source == looking.address_of("wlan0")
    # There is no other end of a tunnel yet.
    assert looking.interface("wlan0").tunnel is None


@pytest.mark.rfc("5944", "3.6.2.3", "MN-36")
def test_the_home_agent_that_answers_is_registered_with_at_once(looking):
    up(looking, "wlan0")
    looking.answer(136)
    assert looking.asked.home_agent == looking.agent
    assert looking.sent.destination == looking.agent
    assert f"found the home agent {looking.agent}" in looking.logged
    looking.answer()
    assert looking.state("wlan0") == "up"
    assert looking.interface("wlan0").tunnel.remote == looking.agent
    assert looking.record.home_agent == looking.agent
    assert any(isinstance(each, SaveNode) for each in looking.last)


@pytest.mark.rfc("5944", "3.6.2.3", "MN-36")
def test_the_clock_of_the_home_agent_is_taken_from_136(looking):
    up(looking, "wlan0")
    theirs = to_ntp(looking.now + 100.0) & ~0xFFFFFFFF
    low = looking.asked.identification & 0xFFFFFFFF
    looking.answer(136, identification=theirs | low)
    assert looking.asked.identification >> 32 == theirs >> 32


def test_the_first_that_answers_is_taken_and_all_interfaces_go_there(looking):
    found(looking)
    up(looking, "wwan0")
    assert looking.sent.destination == looking.agent


@pytest.mark.parametrize("told", ["10.9.0.255", "224.0.0.1", "127.0.0.1", "240.0.0.1"])
def test_what_is_no_home_agent_is_not_found(looking, monkeypatch, told):
    up(looking, "wlan0")
    monkeypatch.setattr("tests.engine.mobile_node.conftest.AGENT", IPv4Address(told))
    looking.answer(136)
    looking.wait(3.0)
    assert looking.sent.destination == EVERYWHERE


def test_a_forged_answer_finds_nothing(looking):
    up(looking, "wlan0")
    looking.answer(136, association=structs.replace(looking.association, key=bytes(16)))
    looking.wait(3.0)
    assert looking.sent.destination == EVERYWHERE


def test_a_restart_goes_on_with_the_home_agent_found(looking):
    found(looking)
    restart(looking, looking.record)
    up(looking, "wlan0")
    looking.wait(600)
    assert looking.sent.destination == looking.agent


def test_a_home_agent_that_is_silent_for_long_is_looked_for_again(looking):
    found(looking)
    record = looking.record
    restart(looking, record)
    up(looking, "wlan0")
    looking.probe_answered("wlan0")
    looking.wait(700)
    assert looking.sent.destination == EVERYWHERE
    assert looking.record.bindings == ()


def test_a_configured_home_agent_is_kept_whatever_136_says(trip, monkeypatch):
    up(trip, "wlan0")
    monkeypatch.setattr("tests.engine.mobile_node.conftest.AGENT", IPv4Address("192.0.2.1"))
    trip.answer(136)
    trip.wait(3.0)
    assert trip.sent.destination == trip.agent
