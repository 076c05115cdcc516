"""Nodes that have no home agent yet (RFC 4433 5.3)."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.engine.home_agent import HomeAgent
from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.iana import DynamicHomeAgentSubtype
from flowbind.wire.message import first
from flowbind.wire.nai import NetworkAccessIdentifier

NAI = NetworkAccessIdentifier("node5@fleet.example")
OTHER = IPv4Address("203.0.113.1")
ANY = ["0.0.0.0", "255.255.255.255"]  # noqa: S104 -- no socket is bound to it


@pytest.fixture
def make_named(make_desk):
    """A desk whose node is known by its name."""

    def make(**changes):
        desk = make_desk(**changes)
        entry = structs.replace(desk.config.mobile_nodes[0], nai=NAI.nai)
        desk.config = structs.replace(desk.config, mobile_nodes=(entry,))
        desk.engine = HomeAgent(desk.config, desk.nonces)
        return desk

    return make


@pytest.fixture
def named(make_named):
    return make_named()


def requested(home_agent):
    return DynamicHomeAgent(DynamicHomeAgentSubtype.REQUESTED, home_agent)


def ask(desk, *extensions, home_agent=ANY[0], **fields):
    return desk.ask(NAI, *extensions, home_agent=IPv4Address(home_agent), **fields)


@pytest.mark.rfc("4433", "5.3.1", "DHA-HA-1")
@pytest.mark.parametrize("home_agent", ANY)
def test_who_has_no_home_agent_is_taken_and_told_ours(named, home_agent):
    assert ask(named, home_agent=home_agent) == 0
    assert named.reply.home_agent == named.address
    assert ask(named, requested(named.address), home_agent=home_agent) == 0


@pytest.mark.rfc("4433", "5.1", "DHA-MN-1")
@pytest.mark.parametrize("home_agent", ANY)
def test_a_node_without_a_name_has_to_name_its_home_agent(named, desk, home_agent):
    assert named.ask(home_agent=IPv4Address(home_agent)) == 136
    assert named.reply.home_agent == named.address
    # Nor does it help to call oneself as one likes.
    assert ask(desk, home_agent=home_agent) == 136


@pytest.mark.rfc("4433", "5.3", "DHA-HA-2")
def test_who_asks_for_another_home_agent_is_denied_with_136(named):
    assert ask(named, requested(OTHER)) == 136
    assert named.engine.statistics["refused_requested-home-agent-unknown"] == 1


def test_a_home_agent_that_is_asked_for_behind_the_authentication_says_nothing(named):
    request = named.request(NAI, home_agent=IPv4Address(0), behind=requested(OTHER).encode())
    assert named.hear(request) == 0


@pytest.mark.rfc("4433", "3.4.2", "DHA-HA-3")
@pytest.mark.rfc("4433", "5.3", "DHA-HA-4")
def test_when_there_are_enough_nodes_others_are_redirected(make_named):
    desk = make_named(max_nodes=0, redirect_to=OTHER)
    assert ask(desk) == 143
    told = first(desk.reply, DynamicHomeAgent)
    assert told == DynamicHomeAgent(DynamicHomeAgentSubtype.REDIRECTED, OTHER)
    assert desk.reply.home_agent == desk.address
    assert desk.engine.records == {}
    # Who knows where it wants to be is not sent away.
    assert desk.ask(NAI) == 0


def test_who_is_here_already_stays(make_named):
    desk = make_named(max_nodes=1, redirect_to=OTHER)
    assert ask(desk) == 0
    assert ask(desk) == 0
    assert ask(desk, lifetime_s=0) == 0


def test_nobody_is_redirected_without_a_key(make_named):
    desk = make_named(max_nodes=0, redirect_to=OTHER)
    wrong = type(desk.association)(256, bytes(16))
    assert ask(desk, association=wrong) == 131


def test_other_denials_tell_of_no_other_home_agent(make_named):
    desk = make_named(max_nodes=0, redirect_to=OTHER)
    assert ask(desk, identification=1) == 133
    assert first(desk.reply, DynamicHomeAgent) is None
