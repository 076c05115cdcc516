"""Very many datagrams, and very large ones."""

import itertools
import time
from ipaddress import IPv4Address
from typing import Any

import pytest

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.effects import Effect, Log, SendDatagram
from flowbind.engine.home_agent.flows import replaced
from flowbind.model.tunnel import MAX_RULES
from flowbind.wire.errors import WireError
from flowbind.wire.extension import MAX_EXTENSIONS, UnknownExtension, walk_extensions
from flowbind.wire.message import decode
from flowbind.wire.nai import NetworkAccessIdentifier

FORGED = SecurityAssociation(256, b"some other key!!")
STRANGERS = int(IPv4Address("10.9.1.0"))
MOST_OCTETS = 65_507


def sizes(engine):
    """How much each table of an engine holds; one that grows with what is sent shows here."""
    return {
        name: len(each)
        for name, each in vars(engine).items()
        if isinstance(each, dict | list | set) and name != "statistics"
    }


def slowness(work, small, large):
    """How much longer the larger takes for each octet. The best of a few: others run here too."""

    def seconds(octets):
        best = float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            work(octets)
            best = min(best, time.perf_counter() - begun)
        return best / len(octets)

    return seconds(large) / seconds(small)


# ---- many


def test_requests_for_many_home_addresses_leave_nothing_and_the_node_is_served(desk):
    desk.register(1)
    before = sizes(desk.engine)
    for number in range(5000):
        stranger = IPv4Address(STRANGERS + number)
        assert desk.ask(home_address=stranger, association=FORGED) is None
        assert desk.last == []
    assert sizes(desk.engine) == before
    assert desk.ask(desk.multipath(2)) == 0


def test_forged_requests_for_a_node_leave_nothing_and_the_node_is_served(desk):
    desk.register(1)
    record = desk.record
    for number in range(5000):
        spi = SecurityAssociation(256 + number % 7, FORGED.key)
        event = desk.request(desk.multipath(number % 200 + 1), association=spi)
        desk.hear(event)
        desk.now += 0.01
    assert desk.record == record
    held = list(vars(desk.engine._denials)["_said"].values())
    assert sum(len(each) for each in held) <= 1
    assert len(desk.engine.statistics) < 10
    desk.ask(desk.multipath(2))
    assert desk.reply.code == 0


def test_what_is_denied_from_very_many_addresses_is_not_remembered(desk):
    request = desk.request(desk.multipath(1))
    assert desk.hear(request) == 0
    for number in range(5000):
        desk.hear(type(request)(request.payload, IPv4Address(number), 1, desk.address, 434))
        desk.now += 0.3
    held = list(vars(desk.engine._denials)["_said"].values())
    # Of two reasons: later it is too old as well.
    assert sum(len(each) for each in held) <= 2 * 4


def test_names_of_counters_do_not_come_from_outside(desk):
    for first, second in itertools.product(range(256), (0, 1, 154, 255)):
        desk.hear(desk.received(bytes((first, second)) * 40))
        desk.hear(desk.received(desk.request().payload[:24] + bytes((first, second, 0, 1))))
    assert len(desk.engine.statistics) < 20


def test_forged_replies_leave_nothing_at_the_node(trip):
    trip.up("wlan0")
    before = sizes(trip.engine)
    effects: list[Effect] = []
    for code in range(256):
        for identification in (0, 1 << 63, trip.asked.identification):
            forged = trip.reply(code, identification=identification, association=FORGED)
            effects += trip.hear(forged)
    # One line in the log, for all of them.
    assert [type(each) for each in effects] == [Log]
    assert sizes(trip.engine) == before
    assert len(trip.engine.statistics) < 10


# ---- amplification


@pytest.mark.parametrize("code", [0, 131, 133, 134, 136])
def test_a_reply_is_at_most_twice_as_large_as_what_it_answers(desk, code):
    made_by: dict[int, dict[str, Any]] = {
        0: {},
        131: {"association": FORGED},
        133: {"identification": 0},
        134: {"care_of_address": IPv4Address(0)},
        136: {"home_agent": IPv4Address("192.0.2.99")},
    }
    for extensions in ((), (NetworkAccessIdentifier("n" * 255),) * 200):
        desk.now += 1
        event = desk.request(*extensions, **made_by[code])
        assert desk.hear(event) == code
        (reply,) = [each for each in desk.last if isinstance(each, SendDatagram)]
        assert len(reply.payload) <= len(event.payload)
    assert len(reply.payload) < 400


def test_the_smallest_forgery_is_answered_by_no_more_than_twice_its_size(make_desk):
    strong = SecurityAssociation(256, bytes(16), Algorithm.HMAC_SHA256)
    desk = make_desk(strong)
    empty = desk.request(association=strong).payload[:24] + b"\x20\x04\x00\x00\x01\x00"
    assert desk.hear(desk.received(empty)) == 131
    (reply,) = desk.replies
    assert len(reply.payload) <= 2 * len(empty)


# ---- large


@pytest.mark.parametrize(
    "extension",
    [
        b"\x00",
        b"\x80\x00",
        b"\x83\x01a",
        b"\x22\x04\x00\x00\x01\x00",
        b"\x9a\x01\x00\x04\x04\x01\x01\x00",
        b"\x9a\x02\x00\x08\x01\x01\x01\x01\x00\x00\x00\x00",
        b"\x9a\x02\x00\x00",
    ],
)
def test_no_more_extensions_are_decoded_than_a_message_may_have(desk, extension):
    whole = b"\x01" + bytes(23) + extension * MAX_EXTENSIONS
    assert len(decode(whole).extensions) == MAX_EXTENSIONS
    filled = whole + extension * ((MOST_OCTETS - len(whole)) // len(extension))
    with pytest.raises(WireError) as refused:
        decode(filled)
    assert (refused.value.reason, refused.value.code) == ("too-many-extensions", None)
    # Nobody looks at what is behind them.
    walked = walk_extensions(filled, 24)
    assert len(list(itertools.islice(walked, MAX_EXTENSIONS))) == MAX_EXTENSIONS
    with pytest.raises(WireError):
        next(walked)
    assert desk.hear(desk.received(filled)) is None
    assert desk.engine.statistics == {"discarded_too-many-extensions": 1}


def test_as_many_extensions_as_a_message_may_have_are_accepted(desk):
    vendors = (UnknownExtension(134, b"\x00\x00\x00\x00\x00\x09\x00\x01"),)
    assert desk.ask(*vendors * (MAX_EXTENSIONS - 2), desk.multipath(1)) == 0
    desk.now += 1
    assert desk.ask(*vendors * (MAX_EXTENSIONS - 1), desk.multipath(1)) is None


def test_more_rules_than_a_node_may_have_are_denied(desk):
    rules = [desk.forward(port, 1) for port in range(MAX_RULES + 1)]
    assert desk.ask(desk.multipath(1), *rules) == 130
    assert desk.engine.records == {}


def test_rules_cost_time_in_proportion(desk):
    rules = tuple(desk.forward(port, 1) for port in range(4500))

    def work(sent):
        assert len(replaced((), sent, 1, frozenset({1}))) > MAX_RULES

    assert slowness(work, rules[:300], rules) < 5
