"""Services, vendors' extensions and words (RFC 5446, 3115, 4917)."""

import pytest
from msgspec import structs

from flowbind.auth.association import Replay
from flowbind.effects import RemoveForwarding, SaveNode, SendDatagram
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import EffectFailed
from flowbind.wire.authentication import Authentication
from flowbind.wire.message import all_of, first
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.service_selection import ServiceSelection
from flowbind.wire.strings import MessageString
from flowbind.wire.vendor import CriticalVendorExtension, NormalVendorExtension

NAI = NetworkAccessIdentifier("node5@fleet.example")
VOIP, IMS = ServiceSelection("voip"), ServiceSelection("ims")
CRITICAL = CriticalVendorExtension(9, 14, b"value")


@pytest.fixture
def serving(make_desk):
    """A desk whose node may select the service `voip`."""

    def make(**changes):
        desk = make_desk(**changes.pop("config", {}))
        entry = structs.replace(desk.config.mobile_nodes[0], services=("voip",), **changes)
        desk.config = structs.replace(desk.config, mobile_nodes=(entry,))
        desk.engine = HomeAgent(desk.config, desk.nonces)
        return desk

    return make


@pytest.mark.rfc("5446", "3", "SVC-3")
def test_a_service_that_the_node_may_have_is_granted_and_echoed(serving):
    desk = serving()
    assert desk.ask(NAI, VOIP, desk.multipath(1)) == 0
    assert all_of(desk.reply, ServiceSelection) == (VOIP,)
    kinds = [type(each) for each in desk.reply.extensions]
    assert kinds.index(ServiceSelection) < kinds.index(Authentication)


@pytest.mark.rfc("5446", "3", "SVC-2")
def test_without_a_selection_it_is_the_default_service(serving):
    desk = serving()
    assert desk.ask(desk.multipath(1)) == 0
    assert first(desk.reply, ServiceSelection) is None


@pytest.mark.rfc("5446", "4.2", "SVC-4", "SVC-5")
def test_another_service_is_denied_and_ends_the_bindings(serving):
    desk = serving()
    desk.register(1, 2)
    assert desk.ask(IMS, desk.multipath(1)) == 151
    assert first(desk.reply, ServiceSelection) == IMS
    assert [type(each).__name__ for each in desk.last[:2]] == ["RemoveForwarding", "SaveNode"]
    assert desk.bids == []
    assert desk.rules == []


def test_the_request_that_ended_them_cannot_end_those_that_follow(serving):
    desk = serving()
    desk.register(1)
    request = desk.request(IMS, desk.multipath(1))
    assert desk.hear(request) == 151
    desk.register(1)
    assert desk.hear(request) == 133
    assert desk.bids == [1]


def test_no_request_made_before_it_is_taken_any_more(serving):
    desk = serving()
    desk.register(1)
    earlier = desk.request(desk.multipath(1))
    assert desk.ask(IMS, desk.multipath(1)) == 151
    assert desk.hear(earlier) == 133
    assert desk.bids == []


def test_by_nonces_neither(serving, make_desk):
    by_nonces = structs.replace(make_desk().association, replay=Replay.NONCES)
    desk = serving(associations=(by_nonces,))
    assert desk.ask(desk.multipath(1)) == 133
    told = desk.reply.identification
    assert desk.ask(desk.multipath(1), identification=told) == 0
    request = desk.request(IMS, desk.multipath(1), identification=desk.reply.identification)
    assert desk.hear(request) == 151
    assert desk.bids == []
    assert desk.record.nonce == desk.reply.identification >> 32
    desk.now += 2.0
    assert desk.hear(request) == 133


def test_who_has_no_key_ends_nothing(serving):
    desk = serving()
    desk.register(1)
    wrong = structs.replace(desk.association, key=bytes(16))
    assert desk.ask(IMS, desk.multipath(1), association=wrong) == 131
    assert desk.bids == [1]


def test_what_could_not_be_ended_is_there_again(serving):
    desk = serving()
    desk.register(1)
    desk.ask(IMS, desk.multipath(1))
    failed, *behind = desk.last
    assert isinstance(failed, RemoveForwarding)
    assert desk.hear(EffectFailed(failed, tuple(behind), "the test")) == 130
    assert desk.bids == [1]


@pytest.mark.rfc("5446", "3", "SVC-7")
@pytest.mark.parametrize("extensions", [(VOIP, VOIP), (VOIP, IMS), (VOIP, NAI)])
def test_one_selection_behind_the_nai(serving, extensions):
    desk = serving()
    assert desk.ask(*extensions) == 134
    assert desk.engine.statistics["refused_service-selection-misplaced"] == 1


def test_a_selection_behind_the_authentication_selects_nothing(serving):
    desk = serving()
    assert desk.hear(desk.request(desk.multipath(1), behind=IMS.encode())) == 0
    assert first(desk.reply, ServiceSelection) is None


def test_a_node_without_services_has_its_selection_passed_over(desk):
    assert desk.ask(IMS, desk.multipath(1)) == 0
    assert first(desk.reply, ServiceSelection) is None


@pytest.mark.rfc("3115", "2.3", "VSE-1")
@pytest.mark.parametrize("value", [CRITICAL.encode(), bytes.fromhex("26000002 0000")])
def test_a_critical_extension_of_any_vendor_is_unknown(desk, value):
    request = desk.request(desk.multipath(1), behind=value)
    assert desk.hear(request) == 141
    assert desk.engine.records == {}
    assert desk.ask(CRITICAL, desk.multipath(1)) == 140
    assert desk.engine.records == {}


def test_who_has_no_key_is_told_nothing_of_vendors(desk):
    wrong = structs.replace(desk.association, key=bytes(16))
    assert desk.ask(CRITICAL, association=wrong) == 131


@pytest.mark.rfc("3115", "2", "VSE-3")
def test_a_normal_extension_of_a_vendor_is_passed_over(desk):
    normal = NormalVendorExtension(9, 14, b"value")
    assert desk.hear(desk.request(normal, desk.multipath(1), behind=normal.encode())) == 0
    assert desk.bids == [1]


@pytest.mark.rfc("4917", "3", "STR-2")
@pytest.mark.rfc("4917", "5", "STR-3")
def test_a_denial_says_in_words_why(make_desk):
    desk = make_desk(message_strings=True, allows_multipath=False)
    assert desk.ask(desk.multipath(1)) == 152
    (said,) = all_of(desk.reply, MessageString)
    assert (said.subtype, said.text) == (1, "multipath not allowed")
    kinds = [type(each) for each in desk.reply.extensions]
    assert kinds.index(MessageString) < kinds.index(Authentication)
    assert desk.ask() == 0
    assert first(desk.reply, MessageString) is None


def test_what_cannot_be_carried_out_is_said_in_words_too(make_desk):
    desk = make_desk(message_strings=True)
    desk.ask(desk.multipath(1))
    failed, *behind = desk.last
    assert desk.hear(EffectFailed(failed, tuple(behind), "the test")) == 130
    assert [each.text for each in all_of(desk.reply, MessageString)] == ["insufficient resources"]


def test_without_being_told_to_it_says_nothing(make_desk):
    desk = make_desk(allows_multipath=False)
    assert desk.ask(desk.multipath(1)) == 152
    assert first(desk.reply, MessageString) is None
    assert [type(each) for each in desk.last[:1]] == [SendDatagram]
    assert not any(isinstance(each, SaveNode) for each in desk.last)
