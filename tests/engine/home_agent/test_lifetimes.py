"""Lifetimes granted and their end (RFC 5944 3.8, 3.8.3.2)."""

import pytest
from msgspec import structs

from flowbind.effects import Log, ProgramForwarding, RemoveForwarding, SaveNode
from flowbind.engine.home_agent.projection import project


@pytest.mark.rfc("5944", "3.8.2.2", "LT-1")
@pytest.mark.rfc("5944", "3.8.3.2", "HA-35")
@pytest.mark.parametrize(
    ("asked_s", "granted_s"), [(1, 1), (600, 600), (1801, 1800), (65535, 1800)]
)
def test_no_more_is_granted_than_asked_for_or_allowed(desk, asked_s, granted_s):
    assert desk.ask(desk.multipath(1), lifetime_s=asked_s) == 0
    assert desk.reply.lifetime_s == granted_s
    assert desk.engine.deadline() == desk.now + granted_s


@pytest.mark.rfc("5944", "3.3")
def test_nothing_is_granted_for_ever(make_desk):
    desk = make_desk(max_lifetime_s=65535)
    assert desk.ask(desk.multipath(1), lifetime_s=65535) == 0
    assert desk.reply.lifetime_s == 65534


@pytest.mark.rfc("5944", "3.8", "HA-1")
@pytest.mark.rfc("5944", "4.2.3", "HA-27")
def test_a_binding_ends_alone_and_in_silence(desk):
    desk.register(1)
    desk.now += 10
    desk.register(2)
    before = desk.record
    desk.wake()
    assert desk.now == desk.start + 600
    after = structs.replace(before, bindings=before.bindings[1:])
    (entry,) = desk.config.mobile_nodes
    forwarding = project(desk.config, entry, after)
    assert forwarding is not None
    assert desk.last == [
        ProgramForwarding(forwarding),
        SaveNode(after, before),
        Log("info", "10.9.0.5: BID 1 deregistered at 10.1.0.2"),
    ]
    assert desk.engine.deadline() == desk.now + 10


def test_the_last_binding_takes_the_rules_along(desk):
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    before = desk.record
    desk.wake()
    after = structs.replace(before, bindings=(), rules=())
    assert desk.last[:2] == [RemoveForwarding(desk.home), SaveNode(after, before)]
    assert desk.engine.deadline() is None
    assert desk.engine.statistics["expired"] == 1


def test_rules_stay_as_long_as_a_binding_does(desk):
    assert desk.ask(desk.multipath(1), desk.forward(80, 1, 2)) == 0
    desk.now += 1
    desk.register(2)
    desk.wake()
    assert desk.bids == [2]
    assert desk.rules == [(80, 1, 2)]


def test_a_renewal_moves_the_deadline(desk):
    desk.register(1)
    desk.now += 599
    desk.register(1)
    assert desk.engine.deadline() == desk.now + 600


def test_a_deregistered_binding_has_no_deadline(desk):
    desk.register(1)
    desk.now += 1
    desk.register(2)
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    assert desk.engine.deadline() == desk.now + 600


def test_waking_it_too_early_changes_nothing(desk):
    desk.register(1)
    before = desk.record
    desk.now += 599
    assert desk.engine.handle(desk.timer, desk.now) == []
    assert desk.record == before
