"""Services, and what replies bear besides (RFC 5446, 3115, 4636, 4917)."""

import pytest
from msgspec import structs

from flowbind.effects import Log
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import InterfaceUp
from flowbind.wire.message import first
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.service_selection import ServiceSelection
from flowbind.wire.strings import ForeignAgentError, MessageString
from flowbind.wire.vendor import CriticalVendorExtension, NormalVendorExtension

CRITICAL = CriticalVendorExtension(9, 14, b"value")
REFUSAL = ForeignAgentError(66)


def ask(trip, name="wlan0"):
    trip.hear(InterfaceUp(name, trip.address_of(name)))


def answer(trip, *extensions, behind=(), **fields):
    """Answer the last request, with extensions in front of the authentication and behind it."""
    reply = trip.reply(extensions=extensions, **fields)
    payload = reply.payload + b"".join(each.encode() for each in behind)
    trip.hear(structs.replace(reply, payload=payload))


@pytest.fixture
def selecting(trip):
    trip.config = structs.replace(trip.config, nai="node5@fleet.example", service="voip")
    trip.engine = MobileNode(trip.config, trip.nonces)
    return trip


@pytest.mark.rfc("5446", "3", "SVC-1")
def test_every_request_selects_the_service_behind_the_nai(selecting):
    ask(selecting)
    for _time in range(2):
        kinds = [type(each) for each in selecting.asked.extensions]
        assert kinds[:2] == [NetworkAccessIdentifier, ServiceSelection]
        assert first(selecting.asked, ServiceSelection) == ServiceSelection("voip")
        selecting.answer()
        selecting.wait(500)


@pytest.mark.rfc("5446", "4.1", "SVC-6")
def test_a_node_that_may_not_have_the_service_has_no_binding(selecting):
    selecting.up("wlan0", "wwan0")
    selecting.wait(480.0)
    selecting.answer(151)
    assert selecting.bids == []
    assert not selecting.interface("wlan0").is_held
    assert selecting.engine.statistics["denied_151"] == 1
    for _second in range(10):
        selecting.wait(1.0)
        selecting.answer_all()
    assert selecting.bids == [1, 2]


@pytest.mark.rfc("3115", "2.3", "VSE-2")
@pytest.mark.rfc("4636", "5", "FAE-2")
@pytest.mark.parametrize("extension", [CRITICAL, REFUSAL], ids=["vendor", "foreign agent"])
def test_what_an_authentic_reply_takes_back_is_given_back(trip, extension):
    ask(trip)
    answer(trip, extension)
    assert trip.state("wlan0") == "registering"
    assert trip.bids == []
    assert trip.engine.statistics["rejected"] == 1
    # What the home agent holds is of no use.
    assert trip.asked.lifetime_s == 0
    trip.answer()
    assert not trip.asks
    trip.wait(3.0)
    assert trip.asked.lifetime_s > 0
    trip.answer()
    assert trip.state("wlan0") == "up"


@pytest.mark.rfc("4636", "4", "FAE-1")
@pytest.mark.rfc("3115", "2.3", "VSE-2")
@pytest.mark.parametrize(
    ("extension", "reason"),
    [(CRITICAL, "vendor-extension-unknown"), (REFUSAL, "foreign-agent-refuses")],
)
def test_what_nobody_vouches_for_makes_a_reply_count_for_nothing(trip, extension, reason):
    ask(trip)
    answer(trip, behind=(extension,))
    assert trip.state("wlan0") == "registering"
    assert trip.bids == []
    assert trip.engine.statistics[f"discarded_{reason}"] == 1
    assert any(reason in text for text in trip.logged)
    # The same reply without it is as good as any.
    trip.answer()
    assert trip.state("wlan0") == "up"


def test_it_is_not_logged_each_time(trip):
    ask(trip)
    answer(trip, behind=(REFUSAL,))
    answer(trip, behind=(REFUSAL,))
    assert trip.logged == []


def test_a_denial_is_a_denial_whatever_is_behind_it(trip):
    ask(trip)
    answer(trip, behind=(REFUSAL,), code=130)
    assert trip.engine.statistics["denied_130"] == 1


@pytest.mark.rfc("3115", "2", "VSE-3")
def test_a_normal_extension_of_a_vendor_is_passed_over(trip):
    normal = NormalVendorExtension(9, 14, b"value")
    ask(trip)
    answer(trip, normal, behind=(normal,))
    assert trip.state("wlan0") == "up"


@pytest.mark.rfc("4917", "3", "STR-1")
def test_words_are_logged_and_shown_and_do_nothing(trip):
    ask(trip)
    answer(trip, MessageString(1, b"prepaid\x1b[2J quota\xff"), code=128)
    said = "prepaid\N{REPLACEMENT CHARACTER}[2J quota\N{REPLACEMENT CHARACTER}"
    assert trip.logged[-1] == f"the home agent says: {said}"
    assert trip.engine.message == said
    trip.wait(2.0)
    answer(trip, MessageString.of(1, "welcome"))
    assert trip.state("wlan0") == "up"
    assert trip.engine.message == "welcome"


def test_the_same_words_are_logged_once(trip):
    ask(trip)
    for _time in range(3):
        answer(trip, MessageString.of(1, "no"), code=128)
        trip.wait(61.0)
    answer(trip, MessageString.of(1, "no"), code=128)
    assert not any("says" in each.text for each in trip.last if isinstance(each, Log))


def test_words_that_nobody_vouches_for_are_not_the_home_agent_s(trip):
    ask(trip)
    answer(trip, behind=(MessageString.of(1, "pay here"),))
    assert trip.engine.message is None
    assert trip.state("wlan0") == "up"
