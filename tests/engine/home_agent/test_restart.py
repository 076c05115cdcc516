"""Taking up what a former run held, and what becomes of effects that fail."""

import pytest
from msgspec import structs

from flowbind.effects import (
    DeleteNode,
    Log,
    ProgramForwarding,
    RemoveForwarding,
    SaveNode,
    SendDatagram,
)
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import EffectFailed, InterfaceUp, Restored
from flowbind.model.binding import NodeRecord

# ---- restart


def test_a_restart_takes_up_bindings_rules_deadlines_and_forwarding(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    forwarding, record = desk.last[0], desk.record
    desk.now += 10
    desk.restart()
    assert desk.last == [forwarding]
    assert desk.engine.records == {desk.home: record}
    assert desk.engine.deadline() == desk.start + 600


def test_what_expired_in_the_meantime_is_dropped(desk):
    desk.register(1)
    desk.now += 100
    desk.register(2)
    before = desk.record
    desk.now += 550
    desk.restart()
    after = structs.replace(before, bindings=before.bindings[1:])
    assert desk.kinds == ["ProgramForwarding", "SaveNode"]
    assert desk.last[1] == SaveNode(after, before)
    desk.now += 60
    desk.restart(before)
    empty = structs.replace(before, bindings=())
    assert desk.last == [SaveNode(empty, before)]


def test_a_node_that_is_not_configured_any_more_is_forgotten(desk):
    desk.register(1)
    record = desk.record
    engine = HomeAgent(structs.replace(desk.config, mobile_nodes=()))
    assert engine.handle(Restored((record,)), desk.now) == [DeleteNode(desk.home, record)]
    assert engine.records == {}
    assert engine.deadline() is None


def test_an_event_of_a_mobile_node_is_none_of_its_business(desk):
    assert desk.engine.handle(InterfaceUp("eth0", desk.address), desk.now) == []


# ---- failure


def fail(desk, at: int) -> EffectFailed:
    """Have the effect at this place of the last list fail, and those behind it not be done."""
    return EffectFailed(desk.last[at], tuple(desk.last[at + 1 :]), "no space left")


@pytest.mark.parametrize("at", [0, 1], ids=["forwarding", "store"])
def test_a_registration_that_cannot_be_carried_out_is_undone_and_denied_with_130(desk, at):
    desk.register(1)
    forwarding, before = desk.last[0], desk.record
    assert desk.ask(desk.multipath(2)) == 0
    promised = desk.reply
    assert desk.hear(fail(desk, at)) == 130
    assert desk.last == [
        Log("error", "cannot be carried out: no space left"),
        forwarding,
        desk.replies[0],
    ]
    assert desk.reply.identification == promised.identification
    assert desk.reply.lifetime_s == 0
    assert desk.record == structs.replace(before, identification=desk.identification)
    assert desk.engine.handle(desk.timer, desk.start + 600) != []
    assert desk.engine.records[desk.home].bindings == ()


def test_a_first_registration_is_undone_to_nothing_and_can_be_made_again(desk):
    assert desk.ask(desk.multipath(1)) == 0
    assert desk.hear(fail(desk, 1)) == 130
    assert desk.last[1] == RemoveForwarding(desk.home)
    assert desk.record == NodeRecord(desk.home, desk.identification)
    desk.register(1)


def test_a_denied_request_cannot_be_replayed(desk):
    request = desk.request(desk.multipath(1))
    assert desk.hear(request) == 0
    assert desk.hear(fail(desk, 1)) == 130
    assert desk.hear(request) == 133


def test_a_deregistration_that_cannot_be_stored_is_undone_too(desk):
    desk.register(1)
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    assert desk.hear(fail(desk, 1)) == 130
    assert desk.bids == [1]
    assert desk.engine.deadline() == desk.start + 600


def test_an_undo_that_fails_too_still_denies_and_is_repaired_later(desk):
    desk.register(1)
    forwarding = desk.last[0]
    assert desk.ask(desk.multipath(2)) == 0
    assert desk.hear(fail(desk, 0)) == 130
    assert desk.hear(fail(desk, 1)) == 130
    assert desk.kinds == ["Log", "SendDatagram"]
    desk.wake()
    assert desk.now == desk.start + 5
    assert desk.last == [forwarding]
    assert desk.engine.deadline() == desk.start + 600


def test_a_reply_that_cannot_be_sent_is_like_one_that_is_lost(desk):
    assert desk.ask(desk.multipath(1)) == 0
    record = desk.record
    assert desk.hear(fail(desk, 2)) is None
    assert desk.kinds == ["Log"]
    assert desk.record == record


def test_later_requests_are_undone_first_and_a_granted_one_stands(desk):
    desk.register(1)
    before = desk.record
    assert desk.ask(desk.multipath(2)) == 0
    first = fail(desk, 1)
    assert desk.ask(desk.multipath(3)) == 0
    second = fail(desk, 1)
    assert desk.hear(second) == 130
    assert desk.hear(first) == 130
    assert desk.record == structs.replace(before, identification=desk.identification)
    assert desk.ask(desk.multipath(4)) == 0
    assert desk.hear(first) == 130
    assert desk.bids == [1, 4]


@pytest.mark.parametrize("at", [0, 1], ids=["forwarding", "store"])
def test_the_end_of_a_lifetime_is_not_undone(desk, at):
    desk.register(1)
    desk.wake()
    desk.hear(fail(desk, at))
    assert desk.record.bindings == ()
    assert not any(isinstance(each, SendDatagram | SaveNode) for each in desk.last)
    deadline = desk.engine.deadline()
    if at == 0:
        assert deadline == desk.now + 5
        desk.wake()
        assert desk.last == [RemoveForwarding(desk.home)]
    assert desk.engine.deadline() is None


def test_what_stood_behind_a_failure_without_a_reply_is_asked_for_at_once(desk):
    desk.register(1)
    behind = desk.last[0]
    assert isinstance(behind, ProgramForwarding)
    desk.hear(EffectFailed(RemoveForwarding(desk.home), (behind,), "refused"))
    assert desk.engine.deadline() == desk.now
    desk.wake()
    assert desk.last == [behind]
