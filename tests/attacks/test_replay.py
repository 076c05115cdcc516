"""A request that was seen on its way is sent again: by whom, when and as often as he likes."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.effects import Log, SaveNode, SendDatagram

ELSEWHERE = IPv4Address("192.0.2.66")
OTHER = SecurityAssociation(300, bytes(range(16)))
"""Another SPI with the very same key: nobody should, somebody will."""


def from_elsewhere(event, number=0):
    return structs.replace(event, source=ELSEWHERE + number)


def registered(desk):
    """A request that has been accepted, and a second later."""
    request = desk.request(desk.multipath(1))
    assert desk.hear(request) == 0
    desk.now += 1
    return request


def changes(effects):
    return [each for each in effects if not isinstance(each, SendDatagram | Log)]


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.parametrize("later_s", [0.0, 5.0, 60.0, 1e6])
def test_an_old_request_changes_nothing_however_old(desk, later_s):
    request = registered(desk)
    before = desk.record
    desk.now += later_s
    assert desk.hear(from_elsewhere(request)) == 133
    assert not changes(desk.last)
    assert desk.record == before


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
def test_of_the_same_request_twice_at_once_one_is_accepted(desk):
    request = desk.request(desk.multipath(1))
    assert [desk.hear(request), desk.hear(request)] == [0, 133]
    assert desk.engine.statistics["accepted"] == 1


def test_a_restart_opens_no_window(desk):
    request = registered(desk)
    desk.restart()
    assert desk.hear(request) == 133
    assert desk.bids == [1]


def test_a_registration_does_not_come_back_after_the_deregistration(desk):
    request = registered(desk)
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    desk.restart()
    assert desk.hear(request) == 133
    assert desk.bids == []


def test_a_deregistration_does_not_come_back_after_the_registration(desk):
    registered(desk)
    goodbye = desk.request(desk.multipath(1), lifetime_s=0)
    assert desk.hear(goodbye) == 0
    registered(desk)
    assert desk.hear(goodbye) == 133
    assert desk.bids == [1]


def test_an_expired_binding_does_not_come_back(desk):
    request = registered(desk)
    desk.wake()
    assert desk.bids == []
    assert desk.hear(request) == 133
    assert desk.bids == []


@pytest.mark.rfc("5944", "3.5.1", "AUTH-5")
def test_a_request_cannot_be_moved_to_another_spi_with_the_same_key(make_desk):
    desk = make_desk(make_desk.association, OTHER)
    request = desk.request(desk.multipath(1))
    spi_at = len(request.payload) - 16 - 4
    moved = request.payload[:spi_at] + OTHER.spi.to_bytes(4, "big") + request.payload[spi_at + 4 :]
    assert desk.hear(desk.received(moved)) == 131
    assert desk.engine.records == {}


def test_what_one_spi_has_used_another_does_not_accept(make_desk):
    desk = make_desk(make_desk.association, OTHER)
    registered(desk)
    used = desk.identification
    assert desk.ask(desk.multipath(2), association=OTHER, identification=used) == 133


# ---- as often as he likes


@pytest.mark.parametrize("sources", [1, 1000])
def test_a_flood_of_replays_makes_few_denials_and_fewer_lines(desk, sources):
    request = registered(desk)
    replies, lines = 0, 0
    for number in range(5000):
        desk.now += 0.001
        desk.hear(from_elsewhere(request, number % sources))
        replies += len(desk.replies)
        lines += sum(isinstance(each, Log) for each in desk.last)
        assert not changes(desk.last)
    assert 4 <= replies <= (5 if sources == 1 else 4 * 5)
    assert 4 <= lines <= 5
    # Each is counted all the same.
    assert desk.engine.statistics["refused_timestamp-not-later"] == 5000


def test_the_node_corrects_its_clock_in_the_midst_of_a_flood(desk):
    request = registered(desk)
    for _ in range(100):
        desk.now += 0.001
        desk.hear(from_elsewhere(request))
    assert desk.hear(request) == 133
    desk.now += 0.001
    desk.hear(from_elsewhere(request))
    assert desk.ask(desk.multipath(1)) == 0


def test_a_denied_request_is_denied_once_a_second_too(desk):
    # It was never accepted, so its time is good for seven seconds more.
    request = desk.request(desk.multipath(1), home_agent=ELSEWHERE)
    codes: list[int | None] = []
    for _ in range(100):
        codes.append(desk.hear(from_elsewhere(request, len(codes))))
        desk.now += 0.02
    assert codes.count(136) == 2


def test_another_request_that_is_denied_is_denied_at_once(desk):
    assert [desk.ask(desk.multipath(1), home_agent=ELSEWHERE) for _ in range(9)] == [136] * 9


# ---- with nonces


@pytest.fixture
def by_nonces(make_desk):
    desk = make_desk(structs.replace(make_desk.association, replay=Replay.NONCES))
    assert desk.ask(desk.multipath(1), identification=7) == 133
    return desk


def asking(desk, own):
    return desk.request(desk.multipath(1), identification=desk.record.nonce << 32 | own)


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
def test_a_flood_of_replays_uses_up_few_nonces(by_nonces):
    desk = by_nonces
    request = asking(desk, 8)
    assert desk.hear(request) == 0
    desk.now += 1
    told, saved = {desk.record.nonce}, 0
    for _ in range(1000):
        desk.now += 0.001
        desk.hear(from_elsewhere(request))
        told.add(desk.record.nonce)
        saved += sum(isinstance(each, SaveNode) for each in desk.last)
    assert len(told) - 1 == saved <= 2


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
def test_the_node_gets_through_a_flood_of_replays(by_nonces):
    desk = by_nonces
    old = asking(desk, 8)
    assert desk.hear(old) == 0
    mine = asking(desk, 9)
    desk.now += 1
    assert desk.hear(from_elsewhere(old)) == 133
    assert desk.hear(mine) == 133
    desk.hear(from_elsewhere(old))
    assert desk.hear(asking(desk, 10)) == 0
