"""Nodes that leave the home link and return to it, seen by the home agent (RFC 5944 3.8, 4.6)."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.effects import (
    AnnounceAddress,
    Log,
    ProgramForwarding,
    RemoveForwarding,
    SaveNode,
    SendDatagram,
)
from flowbind.engine.announcements import INTERVAL_S, TIMES
from flowbind.events import EffectFailed, LinkAddress, LinkDown, LinkUp, TimerExpired

LINK = "eth1"


@pytest.fixture
def desk(make_desk):
    return make_desk(home_link=LINK)


def announced(effects) -> list[AnnounceAddress]:
    return [each for each in effects if isinstance(each, AnnounceAddress)]


def from_home(desk, **fields):
    """What a node sends that has come home: from its home address, with nothing of RFC 7629."""
    request = desk.request(lifetime_s=0, care_of_address=desk.home, **fields)
    return structs.replace(request, source=desk.home)


def said_until(desk, seconds: float) -> list[AnnounceAddress]:
    """Let time pass; return the announcements of it."""
    until, found = desk.now + seconds, []
    while (deadline := desk.engine.deadline()) is not None and deadline <= until:
        desk.now = deadline
        found += announced(desk.engine.handle(TimerExpired(), desk.now))
    desk.now = until
    return found


@pytest.mark.rfc("5944", "3.8.2.2", "HA-29")
@pytest.mark.rfc("5944", "4.6", "ARP-2")
def test_a_first_binding_is_announced_and_others_are_not(desk):
    desk.register(1)
    ours = AnnounceAddress(desk.home, LINK)
    assert announced(desk.last) == [ours]
    assert said_until(desk, 60) == [ours] * (TIMES - 1)
    desk.register(1, 2)
    assert announced(desk.last) == []
    assert said_until(desk, 60) == []


@pytest.mark.rfc("5944", "4.6", "ARP-8")
def test_a_node_that_leaves_is_forwarded_before_it_is_announced(desk):
    desk.register(1)
    assert desk.kinds == [
        "ProgramForwarding", "SaveNode", "SendDatagram", "AnnounceAddress", "Log",
    ]  # fmt: skip


@pytest.mark.rfc("5944", "4.6", "ARP-3", "ARP-8")
def test_a_node_that_returns_is_announced_where_it_is(desk):
    desk.register(1, 2)
    said_until(desk, 60)
    assert desk.hear(from_home(desk)) == 0
    kinds = [kind for kind in desk.kinds if kind != "Log"]
    # Proxy ARP ends with the forwarding, before anything is said.
    assert kinds == ["RemoveForwarding", "SaveNode", "SendDatagram", "AnnounceAddress"]
    there = AnnounceAddress(desk.home, LINK, neighbour=True)
    assert announced(desk.last) == [there]
    assert said_until(desk, 60) == [there] * (TIMES - 1)
    assert desk.record.bindings == ()


@pytest.mark.rfc("5944", "4.6", "ARP-3")
def test_a_node_that_was_at_home_all_the_time_is_announced_too(desk):
    assert desk.hear(from_home(desk)) == 0
    assert announced(desk.last) == [AnnounceAddress(desk.home, LINK, neighbour=True)]


def test_a_node_that_deregisters_elsewhere_is_not_announced_at_home(desk):
    desk.register(1)
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    assert announced(desk.last) == []
    assert said_until(desk, 60) == []


def test_a_node_whose_bindings_expire_is_announced_no_more(make_desk):
    desk = make_desk(home_link=LINK, max_lifetime_s=1)
    desk.register(1)
    assert INTERVAL_S * (TIMES - 1) > 1
    assert len(said_until(desk, 60)) <= 1


@pytest.mark.rfc("5944", "4.6", "ARP-4")
@pytest.mark.rfc("5944", "3.8.3.1", "HA-33")
def test_a_deregistration_that_is_denied_changes_nothing_and_is_answered_at_home(desk):
    desk.register(1)
    said_until(desk, 60)
    before = desk.record
    stale = from_home(desk, identification=before.identification)
    assert desk.hear(stale) == 133
    assert desk.record == before
    assert desk.kinds == ["SendDatagram", "Log"]
    (reply,) = desk.replies
    assert (reply.destination, reply.interface) == (desk.home, LINK)
    assert said_until(desk, 60) == []


@pytest.mark.rfc("5944", "3.8.3.1", "HA-33")
def test_the_reply_to_a_node_at_home_goes_onto_the_home_link(desk):
    desk.register(1)
    assert desk.replies[0].interface is None
    desk.hear(from_home(desk))
    (reply,) = desk.replies
    assert (reply.destination, reply.interface) == (desk.home, LINK)


def test_without_a_home_link_nothing_is_said_there(make_desk):
    desk = make_desk()
    desk.register(1)
    assert desk.kinds == ["ProgramForwarding", "SaveNode", "SendDatagram", "Log"]
    desk.hear(from_home(desk))
    assert [each.interface for each in desk.replies] == [None]
    assert announced(desk.last) == []


def fail(desk, kind):
    """Have the first effect of a kind fail, as the daemon tells it."""
    at = next(at for at, each in enumerate(desk.last) if isinstance(each, kind))
    failed = EffectFailed(desk.last[at], tuple(desk.last[at + 1 :]), "no")
    desk.hear(failed)


@pytest.mark.parametrize("kind", [ProgramForwarding, SaveNode])
def test_a_first_binding_that_cannot_be_made_is_not_announced(desk, kind):
    desk.register(1)
    fail(desk, kind)
    assert desk.reply.code == 130
    assert announced(desk.last) == []
    assert said_until(desk, 60) == []


@pytest.mark.rfc("5944", "4.6", "ARP-4")
def test_a_return_that_cannot_be_recorded_is_not_announced(desk):
    desk.register(1)
    said_until(desk, 60)
    desk.hear(from_home(desk))
    fail(desk, SaveNode)
    assert desk.reply.code == 130
    assert isinstance(desk.last[1], ProgramForwarding)
    (reply,) = desk.replies
    assert reply.interface == LINK
    assert said_until(desk, 60) == []


def test_what_a_link_that_was_down_has_forgotten_is_asked_for_again(desk):
    addresses = (LinkAddress(IPv4Address("10.9.0.1"), 24),)
    desk.register(1)
    said_until(desk, 60)
    desk.hear(LinkDown(LINK))
    desk.hear(LinkUp(LINK, addresses))
    desk.wake()
    assert any(isinstance(each, ProgramForwarding) for each in desk.last)
    assert not any(isinstance(each, RemoveForwarding | SendDatagram) for each in desk.last)


def test_a_link_without_an_address_in_a_home_network_is_warned_of(desk):
    desk.hear(LinkUp(LINK, (LinkAddress(IPv4Address("192.0.2.1"), 24),)))
    (warning,) = [each for each in desk.last if isinstance(each, Log)]
    assert (warning.level, "10.9.0.0/24" in warning.text) == ("warning", True)
    desk.hear(LinkUp(LINK, (LinkAddress(IPv4Address("10.9.0.1"), 24),)))
    assert desk.last == []
