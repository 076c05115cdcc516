"""A mobile node that is assigned its home agent (RFC 4433 5.1.2)."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.authenticator import protect
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import InterfaceUp, Received, Restored
from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.iana import DynamicHomeAgentSubtype, ExtensionType
from flowbind.wire.message import first
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationReply

FIRST, SECOND, THIRD = (IPv4Address(f"198.51.100.{n}") for n in (1, 2, 3))
GIVEN = IPv4Address("10.9.0.128")


class Unassigned:
    """A trip of a node that asks FIRST and SECOND for a home agent."""

    def __init__(self, trip):
        self.trip = trip
        trip.config = structs.replace(
            trip.config, home_address=None, home_agent=None, nai="node5@fleet.example",
            assigning_home_agents=(FIRST, SECOND),
        )  # fmt: skip
        self.restart()

    def restart(self, *records):
        self.trip.engine = MobileNode(self.trip.config, self.trip.nonces)
        self.trip.hear(Restored(records))

    def up(self, name="wlan0"):
        self.trip.hear(InterfaceUp(name, self.trip.address_of(name)))

    def answer(self, code=0, to=None, home_agent=None, key=None):
        """The home agent that was asked answers, with a redirection to another one if `to`."""
        asked = self.trip.asked
        extensions = (DynamicHomeAgent(DynamicHomeAgentSubtype.REDIRECTED, to),) if to else ()
        reply = RegistrationReply(
            code,
            asked.lifetime_s,
            GIVEN,
            home_agent or self.asked,
            asked.identification,
            extensions,
        )
        association = key or self.trip.association
        payload = protect(reply, ExtensionType.MOBILE_HOME_AUTHENTICATION, association)
        sent = self.trip.sent
        self.trip.hear(Received(payload, self.asked, 434, sent.source, 40000, sent.interface))

    @property
    def asked(self):
        return self.trip.sent.destination

    @property
    def requested(self):
        return first(self.trip.asked, DynamicHomeAgent)


@pytest.fixture
def unassigned(trip):
    return Unassigned(trip)


@pytest.mark.rfc("4433", "5.1", "DHA-MN-1", "DHA-MN-2")
@pytest.mark.rfc("4433", "5.1.2", "DHA-MN-3")
def test_the_first_request_names_no_home_agent_but_the_one_it_goes_to(unassigned):
    unassigned.up()
    asked = unassigned.trip.asked
    assert (asked.home_agent, asked.home_address) == (IPv4Address(0), IPv4Address(0))
    assert unassigned.asked == FIRST
    assert first(asked, NetworkAccessIdentifier) == NetworkAccessIdentifier("node5@fleet.example")
    assert unassigned.requested == DynamicHomeAgent(DynamicHomeAgentSubtype.REQUESTED, FIRST)


@pytest.mark.rfc("4433", "5.1.2", "DHA-MN-4")
def test_the_one_that_accepts_is_the_home_agent_from_then_on(unassigned):
    unassigned.up()
    unassigned.answer()
    assert unassigned.trip.state("wlan0") == "up"
    unassigned.up("wwan0")
    asked = unassigned.trip.asked
    assert (unassigned.asked, asked.home_agent, asked.home_address) == (FIRST, FIRST, GIVEN)
    assert unassigned.requested is None
    assert unassigned.trip.record.home_agent == FIRST
    unassigned.restart(unassigned.trip.record)
    unassigned.up()
    unassigned.trip.wait(600)
    assert unassigned.trip.asked.home_agent == FIRST


@pytest.mark.rfc("4433", "5.1.2", "DHA-MN-5")
def test_a_redirection_is_followed_at_once(unassigned):
    unassigned.up()
    unassigned.answer(143, to=THIRD)
    assert unassigned.asked == THIRD
    assert unassigned.requested == DynamicHomeAgent(DynamicHomeAgentSubtype.REQUESTED, THIRD)
    unassigned.answer()
    assert unassigned.trip.record.home_agent == THIRD
    assert unassigned.trip.interface("wlan0").tunnel.remote == THIRD


@pytest.mark.rfc("4433", "5.1.2", "DHA-MN-5")
def test_a_redirection_that_is_not_authentic_is_not_followed(unassigned):
    unassigned.up()
    unassigned.answer(
        143, to=THIRD, key=structs.replace(unassigned.trip.association, key=b"0" * 16)
    )
    unassigned.trip.wait(1.0)
    assert unassigned.asked == FIRST


@pytest.mark.rfc("4433", "4.2", "DHA-MN-6")
def test_a_redirection_in_a_circle_is_not_followed(unassigned):
    unassigned.up()
    unassigned.answer(143, to=THIRD)
    unassigned.answer(143, to=FIRST)
    assert not unassigned.trip.asks
    assert unassigned.trip.engine.statistics["redirected"] == 2
    unassigned.trip.wait(5.0)
    # THIRD is none of the configured ones: it begins with the first again, not at once.
    assert unassigned.asked == FIRST


@pytest.mark.parametrize("to", [None, FIRST, IPv4Address("224.0.0.1"), IPv4Address(0)])
def test_a_redirection_to_nowhere_lets_the_next_be_asked(unassigned, to):
    unassigned.up()
    unassigned.answer(143, to=to)
    assert not unassigned.trip.asks
    unassigned.trip.wait(2.0)
    assert unassigned.asked == SECOND


def test_one_that_is_silent_or_says_no_lets_the_next_be_asked(unassigned):
    unassigned.up()
    unassigned.trip.wait(10.0)
    assert unassigned.asked == SECOND
    unassigned.answer(129)
    unassigned.trip.wait(5.0)
    assert unassigned.asked == FIRST


@pytest.mark.rfc("4433", "10", "DHA-MN-7")
def test_one_that_knows_no_assignment_is_named(unassigned):
    unassigned.up()
    unassigned.answer(136)
    asked = unassigned.trip.asked
    assert (unassigned.asked, asked.home_agent) == (FIRST, FIRST)
    assert unassigned.requested == DynamicHomeAgent(DynamicHomeAgentSubtype.REQUESTED, FIRST)
    unassigned.answer()
    assert unassigned.trip.record.home_agent == FIRST


@pytest.mark.rfc("4433", "5.1", "DHA-MN-8")
def test_replies_of_another_home_agent_are_not_part_of_the_session(unassigned):
    unassigned.up()
    unassigned.answer()
    unassigned.up("wwan0")
    unassigned.answer(home_agent=SECOND)
    assert unassigned.trip.engine.statistics["discarded_home-agent-unknown"] == 1


def test_a_home_agent_that_is_silent_for_long_is_left_with_its_address(unassigned):
    unassigned.up()
    unassigned.answer()
    unassigned.restart(unassigned.trip.record)
    unassigned.up()
    unassigned.trip.wait(700)
    asked = unassigned.trip.asked
    assert (asked.home_agent, asked.home_address) == (IPv4Address(0), IPv4Address(0))
    assert unassigned.trip.record.home_agent is None


def test_a_configured_home_agent_redirects_nobody(trip):
    trip.hear(InterfaceUp("wlan0", trip.address_of("wlan0")))
    trip.answer(143, extensions=(DynamicHomeAgent(DynamicHomeAgentSubtype.REDIRECTED, THIRD),))
    trip.wait(5.0)
    assert trip.sent.destination == trip.agent


def test_all_interfaces_go_to_the_next_together(unassigned):
    unassigned.up()
    unassigned.up("wwan0")
    while unassigned.asked != SECOND:
        unassigned.trip.wait(0.5)
    for _second in range(4):
        unassigned.trip.wait(1.0)
        assert unassigned.asked == SECOND
    unassigned.answer()
    # Whoever waits in vain for the first does not wait on.
    assert unassigned.trip.asks
    assert unassigned.trip.asked.home_agent == SECOND
