from dataclasses import dataclass

import pytest

from bench import mobile_nodes
from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import protect, verify
from flowbind.auth.replay import to_ntp
from flowbind.wire.iana import ExtensionType, ReplyCode
from flowbind.wire.message import decode, first
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply, RegistrationRequest

NOW = 1_800_000_000.0
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION


@dataclass
class Sent:
    request: RegistrationRequest
    payload: bytes
    answer: bytes
    association: SecurityAssociation
    key: bytes


@pytest.fixture
def sent() -> Sent:
    request = mobile_nodes.requests(range(7, 9), NOW, 1)[0]
    decoded = decode(request.payload)
    assert isinstance(decoded, RegistrationRequest)
    key = mobile_nodes.key(7)
    association = SecurityAssociation(mobile_nodes.SPI, key)
    return Sent(decoded, request.payload, request.answer, association, key)


def test_a_request_is_what_the_home_agent_reads(sent):
    verify(sent.payload, KIND, sent.association)
    assert sent.request.lifetime_s == mobile_nodes.LIFETIME_S
    assert sent.request.home_address.packed == mobile_nodes.home_address(7)
    assert sent.request.identification == to_ntp(NOW)
    assert first(sent.request, Multipath) is not None


def test_requests_go_round_the_nodes_and_are_each_later_than_the_one_before():
    found = [decode(each.payload) for each in mobile_nodes.requests(range(3), NOW, 7)]
    homes = [each.home_address.packed for each in found]
    assert homes == [mobile_nodes.home_address(at % 3) for at in range(7)]
    stamps = [each.identification for each in found if isinstance(each, RegistrationRequest)]
    assert len(stamps) == 7
    assert stamps == sorted(set(stamps))


def test_each_path_of_a_node_has_a_care_of_address_of_its_own():
    found = [decode(mobile_nodes.requests([7], NOW, 1, bid)[0].payload) for bid in (1, 2, 3)]
    assert [first(each, Multipath) for each in found] == [Multipath(4, 1, bid) for bid in (1, 2, 3)]
    assert (
        len({each.care_of_address for each in found if isinstance(each, RegistrationRequest)}) == 3
    )
    assert len({each.home_address for each in found}) == 1


def test_the_bare_loop_replies_as_the_home_agent_does(sent):
    reply = RegistrationReply(
        ReplyCode.ACCEPTED,
        mobile_nodes.LIFETIME_S,
        sent.request.home_address,
        sent.request.home_agent,
        sent.request.identification,
    )
    expected = protect(reply, KIND, sent.association)
    assert mobile_nodes.reply_to(sent.payload, sent.key) == expected
    assert mobile_nodes.accepts(expected)
    assert mobile_nodes.is_authentic(expected, sent.key)
    assert expected[4:20] == sent.answer


def test_the_bare_loop_verifies(sent):
    assert mobile_nodes.reply_to(sent.payload, b"another key") is None


def test_a_denial_is_no_acceptance(sent):
    reply = mobile_nodes.reply_to(sent.payload, sent.key)
    assert reply
    denial = reply[:1] + bytes((ReplyCode.INSUFFICIENT_RESOURCES,)) + reply[2:]
    assert not mobile_nodes.accepts(denial)
    assert not mobile_nodes.is_authentic(denial, sent.key)
