"""Replay protection by nonces at the home agent (RFC 5944 5.7.2). The first nonce is 1001."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.association import Replay
from flowbind.effects import SaveNode
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import EffectFailed
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig

OWN = 7


@pytest.fixture
def desk(make_desk):
    return make_desk(structs.replace(make_desk.association, replay=Replay.NONCES))


def halves(desk):
    """The nonce of the reply, and the mobile node's half."""
    return divmod(desk.reply.identification, 1 << 32)


def asking(nonce, own=OWN):
    return {"identification": (nonce << 32) | own}


def met(desk):
    """A node that has registered BID 1; the nonce that it was told last."""
    assert desk.ask(desk.multipath(1), **asking(0)) == 133
    assert desk.ask(desk.multipath(1), **asking(1001)) == 0
    desk.now += 1
    return 1002


@pytest.mark.rfc("5944", "5.7.2", "ID-12", "ID-16")
def test_the_first_request_is_told_a_nonce_with_which_the_next_is_accepted(desk):
    assert desk.ask(desk.multipath(1), **asking(0)) == 133
    assert halves(desk) == (1001, OWN)
    assert desk.engine.statistics == {"refused_nonce-not-the-last": 1}
    assert desk.ask(desk.multipath(1), **asking(1001, 8)) == 0
    assert halves(desk) == (1002, 8)
    assert desk.bids == [1]


@pytest.mark.rfc("5944", "5.7.2")
@pytest.mark.parametrize("clock_s", [0.0, 1e8, -1e8])
def test_no_clock_is_needed(desk, clock_s):
    desk.now += clock_s
    nonce = met(desk)
    assert desk.ask(desk.multipath(1), **asking(nonce)) == 0


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
def test_a_nonce_is_good_once(desk):
    nonce = met(desk)
    request = desk.request(desk.multipath(2), **asking(nonce))
    assert desk.hear(request) == 0
    before = desk.record
    assert desk.hear(request) == 133
    assert desk.record == structs.replace(before, nonce=1004)
    desk.now += 1
    assert desk.hear(request) == 133
    assert halves(desk) == (1005, OWN)


@pytest.mark.rfc("5944", "5.7.2", "ID-14")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"home_agent": IPv4Address("10.9.0.1")}, 136),
        ({"care_of_address": IPv4Address("224.0.0.1")}, 134),
    ],
)
def test_every_denial_tells_a_new_nonce_and_uses_the_old_one_up(desk, fields, code):
    nonce = met(desk)
    request = desk.request(desk.multipath(1), **asking(nonce), **fields)
    assert desk.hear(request) == code
    assert halves(desk) == (1003, OWN)
    assert desk.hear(request) == 133
    assert desk.ask(desk.multipath(1), **asking(1004)) == 0


@pytest.mark.rfc("5944", "5.7.2")
def test_a_nonce_is_durable_before_it_is_told(desk):
    assert desk.ask(desk.multipath(1), **asking(0)) == 133
    assert desk.kinds == ["SaveNode", "SendDatagram", "Log"]
    assert desk.last[0] == SaveNode(NodeRecord(desk.home, 0, nonce=1001), None)
    assert desk.ask(desk.multipath(1), **asking(1001)) == 0
    assert desk.kinds[:3] == ["ProgramForwarding", "SaveNode", "SendDatagram"]
    assert desk.last[1] == SaveNode(desk.record, NodeRecord(desk.home, 0, nonce=1001))
    assert desk.record.nonce == 1002


def test_a_restart_expects_the_nonce_told_last(desk):
    nonce = met(desk)
    desk.restart()
    assert desk.ask(desk.multipath(1), **asking(nonce)) == 0


def test_the_nonce_outlives_the_last_binding(desk):
    met(desk)
    desk.now += 700
    desk.hear(desk.timer)
    assert desk.record == NodeRecord(desk.home, 0, nonce=1002)
    assert desk.ask(desk.multipath(1), **asking(1001)) == 133


@pytest.mark.rfc("5944", "5.7.2", "ID-15")
def test_who_has_no_key_changes_nothing_and_is_told_nothing_new(desk):
    wrong = structs.replace(desk.engine.config.mobile_nodes[0].associations[0], key=bytes(16))
    assert desk.ask(desk.multipath(1), association=wrong, **asking(5)) == 131
    assert (halves(desk), desk.engine.records) == ((5, OWN), {})
    nonce = met(desk)
    before = desk.record
    desk.now += 1
    assert desk.ask(desk.multipath(1), association=wrong, **asking(5)) == 131
    assert (halves(desk), desk.record) == ((nonce, OWN), before)
    assert desk.kinds == ["SendDatagram", "Log"]
    assert desk.ask(desk.multipath(1), **asking(nonce)) == 0


@pytest.mark.parametrize("at", [0, 1], ids=["forwarding", "store"])
def test_a_nonce_stays_told_when_the_registration_is_undone(desk, at):
    nonce = met(desk)
    before = desk.record
    request = desk.request(desk.multipath(2), **asking(nonce))
    assert desk.hear(request) == 0
    failed = EffectFailed(desk.last[at], tuple(desk.last[at + 1 :]), "no space left")
    assert desk.hear(failed) == 130
    assert halves(desk) == (1003, OWN)
    assert desk.record == structs.replace(before, nonce=1003)
    assert desk.hear(request) == 133
    assert desk.ask(desk.multipath(2), **asking(1004)) == 0


def test_a_denial_that_cannot_be_recorded_becomes_130(desk):
    met(desk)
    assert desk.ask(desk.multipath(1), **asking(0)) == 133
    assert desk.hear(EffectFailed(desk.last[0], tuple(desk.last[1:]), "no space left")) == 130
    assert halves(desk) == (1003, OWN)
    assert desk.bids == [1]
    assert desk.ask(desk.multipath(1), **asking(1003)) == 0


@pytest.mark.rfc("5944", "5.7")
def test_nonces_and_timestamps_of_one_node_do_not_disturb_each_other(make_desk):
    by_nonces = structs.replace(make_desk.association, spi=300, replay=Replay.NONCES)
    desk = make_desk(make_desk.association, by_nonces)
    assert desk.ask(desk.multipath(1)) == 0
    replay = desk.identification
    assert desk.ask(desk.multipath(1), association=by_nonces, **asking(0)) == 133
    assert desk.ask(desk.multipath(1), association=by_nonces, **asking(1001)) == 0
    assert desk.ask(desk.multipath(1), identification=replay) == 133
    assert desk.ask(desk.multipath(1)) == 0
    assert desk.reply.identification == desk.identification
    assert desk.ask(desk.multipath(1), association=by_nonces, **asking(1002)) == 0


def test_timestamps_can_follow_upon_nonces(desk, make_desk):
    met(desk)
    later = make_desk()
    later.restart(desk.record)
    assert later.ask(later.multipath(1)) == 0


def test_without_a_source_of_nonces_there_is_none_to_tell(desk):
    engine = HomeAgent(HomeAgentConfig(desk.address, (), desk.config.mobile_nodes))
    with pytest.raises(RuntimeError):
        engine.handle(desk.request(desk.multipath(1), **asking(0)), desk.now)
