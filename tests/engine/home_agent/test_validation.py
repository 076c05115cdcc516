"""Validity checks and their order (RFC 5944 3.8.2.1, 5.7.1; RFC 7629 4.1, 4.2, 5.2)."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import protect, verify
from flowbind.auth.replay import NTP_UNIX_OFFSET_S, to_ntp
from flowbind.effects import Log, ProgramForwarding, SaveNode, SendDatagram
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import Received
from flowbind.model.binding import Encapsulation
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.wire.authentication import Authentication
from flowbind.wire.extension import UnknownExtension
from flowbind.wire.iana import ExtensionType, RequestFlag
from flowbind.wire.message import decode
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationReply

TYPE_154 = 154

GRE, MINIMAL = RequestFlag.GRE_ENCAPSULATION, RequestFlag.MINIMAL_ENCAPSULATION


def raw(subtype: int, data: str) -> UnknownExtension:
    return UnknownExtension(TYPE_154, bytes.fromhex(data), subtype)


# ---- silence


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x04" + bytes(40), b"\xff" * 60])
def test_what_is_no_message_is_discarded(desk, payload):
    assert desk.hear(desk.received(payload)) is None
    assert desk.last == []


@pytest.mark.rfc("5944", "1.7", "LOG-1")
def test_a_reply_is_discarded(desk):
    reply = RegistrationReply(0, 600, desk.home, desk.address, 1)
    kind = ExtensionType.MOBILE_HOME_AUTHENTICATION
    assert desk.hear(desk.received(protect(reply, kind, desk.association))) is None
    assert desk.engine.statistics == {"discarded_not-a-request": 1}


@pytest.mark.rfc("5944", "3.8.2.1", "HA-9")
@pytest.mark.rfc("5944", "3.8.3.2", "HA-37")
@pytest.mark.rfc("5944", "3.2", "AUTH-4")
def test_a_node_without_security_association_hears_nothing(desk):
    assert desk.ask(home_address=IPv4Address("10.9.0.6")) is None
    assert desk.ask(association=SecurityAssociation(257, bytes(range(16)))) is None
    assert desk.engine.statistics == {"refused_no-security-association": 2}
    assert desk.engine.records == {}


@pytest.mark.rfc("5944", "3.8.2.1", "HA-10")
def test_a_request_without_authentication_is_discarded(desk):
    message = decode(desk.request(desk.multipath(1)).payload)
    bare = message.encode_fixed() + message.extensions[0].encode()
    assert desk.hear(desk.received(bare)) is None
    assert desk.engine.statistics == {"refused_no-authentication-extension": 1}


@pytest.mark.rfc("5944", "3.8.2.1", "HA-17")
def test_foreign_home_authentication_of_an_unknown_agent_is_discarded(desk):
    kind = ExtensionType.FOREIGN_HOME_AUTHENTICATION
    assert desk.ask(behind=Authentication(kind, 300, bytes(16)).encode()) is None
    assert desk.engine.statistics == {"refused_foreign-agent-unknown": 1}


@pytest.mark.rfc("5944", "3.8.2.1", "HA-17")
def test_it_is_discarded_in_front_of_the_mobile_node_s_own_too(desk):
    kind = ExtensionType.FOREIGN_HOME_AUTHENTICATION
    assert desk.ask(Authentication(kind, 300, bytes(16)), desk.multipath(1)) is None
    assert desk.engine.statistics == {"refused_foreign-agent-unknown": 1}


@pytest.mark.rfc("5944", "1.8", "EXT-1")
@pytest.mark.rfc("7629", "4.1", "A-10")
def test_an_unknown_extension_that_may_not_be_skipped_silences(desk):
    assert desk.ask(UnknownExtension(99, b"")) is None
    assert desk.ask(raw(3, "00")) is None


@pytest.mark.rfc("5944", "1.8", "EXT-2")
def test_an_unknown_extension_that_may_be_skipped_is_skipped(desk):
    assert desk.ask(UnknownExtension(200, b"x"), desk.multipath(1)) == 0


# ---- authenticator and Identification


@pytest.mark.rfc("5944", "3.8.2.1", "HA-8", "HA-11", "HA-14")
def test_a_wrong_key_is_denied_with_131_once_a_second(desk):
    wrong = SecurityAssociation(256, bytes(16))
    assert desk.ask(association=wrong) == 131
    assert desk.kinds == ["SendDatagram", "Log"]
    assert desk.ask(association=wrong) is None
    desk.now += 1.0
    assert desk.ask(association=wrong) == 131
    assert desk.engine.records == {}


@pytest.mark.rfc("5944", "3.8.2.1", "HA-11")
def test_the_authenticator_is_checked_before_anything_else_is_answered(desk):
    wrong = SecurityAssociation(256, bytes(16))
    assert desk.ask(association=wrong, identification=0, home_agent=IPv4Address(0)) == 131


@pytest.mark.rfc("5944", "3.8.2.1", "HA-8")
@pytest.mark.rfc("5944", "3.5.1", "AUTH-5")
def test_an_octet_changed_anywhere_in_front_is_noticed(desk):
    payload = desk.request(desk.multipath(1)).payload
    for at in range(1, len(payload) - 22):
        changed = bytearray(payload)
        changed[at] ^= 0x10
        desk.hear(desk.received(bytes(changed)))
        desk.now += 1.0
    assert desk.engine.records == {}


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.parametrize(
    ("ahead_s", "code"), [(0, 0), (6.9, 0), (-6.9, 0), (7.1, 133), (-7.1, 133)]
)
def test_a_timestamp_is_valid_within_seven_seconds(desk, ahead_s, code):
    assert desk.ask(identification=to_ntp(desk.now + ahead_s)) == code


@pytest.mark.rfc("5944", "5.7.1", "ID-10")
@pytest.mark.rfc("5944", "5.7", "ID-2")
@pytest.mark.rfc("5944", "3.8.2.1", "HA-16")
def test_133_carries_our_seconds_and_the_low_half_of_the_request(desk):
    assert desk.ask(identification=0x1234_5678_9ABC_D000) == 133
    reply = desk.reply.identification
    assert reply & 0xFFFFFFFF == 0x9ABC_D000
    assert reply >> 32 == to_ntp(desk.now) >> 32


@pytest.mark.rfc("5944", "5.7.1")
@pytest.mark.rfc("5944", "5.7", "ID-2")
def test_other_codes_carry_the_whole_identification(desk):
    for code, fields in ((0, {}), (136, {"home_agent": IPv4Address("192.0.2.9")})):
        desk.now += 1
        assert desk.ask(**fields) == code
        assert desk.reply.identification == desk.identification


@pytest.mark.rfc("5944", "3.8.2.2", "HA-28")
def test_a_duplicate_does_not_extend_the_lifetime(desk):
    request = desk.request(desk.multipath(1))
    assert desk.hear(request) == 0
    before = desk.record
    desk.now += 5
    assert desk.hear(request) == 133
    assert desk.record == before


@pytest.mark.rfc("5944", "5.7.1", "ID-9")
@pytest.mark.rfc("7629", "5.1", "A-25")
def test_one_counter_serves_all_paths_and_outlives_the_bindings(desk):
    first, second = desk.request(desk.multipath(1)), desk.request(desk.multipath(2))
    assert desk.hear(second) == 0
    assert desk.hear(first) == 133
    goodbye = desk.request(desk.multipath(2), lifetime_s=0)
    assert desk.hear(goodbye) == 0
    assert desk.record.bindings == ()
    desk.now += 1
    assert desk.hear(second) == 133
    desk.restart()
    assert desk.hear(second) == 133
    assert desk.record.bindings == ()


def test_a_denied_request_leaves_the_counter_alone(desk):
    desk.register(1)
    before = desk.record
    assert desk.ask(desk.multipath(1), home_agent=IPv4Address(0)) == 136
    assert desk.record == before


# ---- fields


@pytest.mark.rfc("5944", "3.8.3.2", "HA-39", "HA-40")
@pytest.mark.parametrize("home_agent", [0, "255.255.255.255", "10.9.0.255", "192.0.2.1"])
def test_another_home_agent_address_is_denied_with_136_and_ours(desk, home_agent):
    assert desk.ask(home_agent=IPv4Address(home_agent)) == 136
    assert desk.reply.home_agent == desk.address


@pytest.mark.rfc("5944", "3.8.2.3", "HA-31b")
@pytest.mark.parametrize("flag", [RequestFlag.RESERVED_R, RequestFlag.RESERVED_X])
def test_each_reserved_bit_is_denied_with_134_where_asked_to(make_desk, flag):
    desk = make_desk(strict_reserved=True)
    assert desk.ask(flags=RequestFlag.REVERSE_TUNNELING | flag) == 134
    assert desk.engine.records == {}
    assert desk.engine.statistics["refused_reserved-bits"] == 1
    others = RequestFlag(0xFF) ^ RequestFlag.RESERVED_R ^ RequestFlag.RESERVED_X
    assert desk.ask(desk.multipath(1), flags=others) == 0


@pytest.mark.rfc("5944", "3.3", "FMT-1")
@pytest.mark.rfc("5944", "3.8.2.3", "HA-31")
def test_reserved_bits_are_ignored(desk):
    flags = RequestFlag.RESERVED_R | RequestFlag.RESERVED_X
    assert desk.ask(flags=flags) == 0


@pytest.mark.rfc("5944", "3.8.2", "HA-7")
def test_a_wish_for_broadcasts_is_ignored(desk):
    assert desk.ask(desk.multipath(1), flags=RequestFlag.BROADCAST_DATAGRAMS) == 0
    assert desk.bids == [1]


@pytest.mark.parametrize(
    "address",
    [0, "0.1.2.3", "127.0.0.1", "224.0.0.11", "240.0.0.1", "255.255.255.255",
     "10.9.0.255", "198.51.100.1", "10.9.0.5"],
)  # fmt: skip
def test_a_care_of_address_that_no_tunnel_can_end_at_is_denied_with_134(desk, address):
    assert desk.ask(desk.multipath(1), care_of_address=IPv4Address(address)) == 134
    assert desk.ask(care_of_address=IPv4Address(address)) == 134
    assert desk.engine.records == {}


@pytest.mark.rfc("5944", "3.8.2.2", "HA-21")
@pytest.mark.rfc("5944", "3.5.4", "AUTH-11")
def test_the_home_address_is_a_care_of_address_that_may_be_deregistered(desk):
    assert desk.ask(care_of_address=desk.home, lifetime_s=0) == 0


@pytest.mark.rfc("5944", "3.4")
@pytest.mark.rfc("5944", "3.8.2.3", "HA-30")
@pytest.mark.parametrize("flag", [GRE, MINIMAL, GRE | MINIMAL])
def test_an_encapsulation_that_there_is_not_is_denied_with_139(make_desk, flag):
    desk = make_desk(encapsulations=(Encapsulation.IP_IN_IP,))
    assert desk.ask(flags=flag) == 139
    assert desk.ask() == 0


@pytest.mark.rfc("5944", "3.4")
@pytest.mark.parametrize(
    ("flags", "granted"),
    [
        (GRE, Encapsulation.GRE),
        (MINIMAL, Encapsulation.MINIMAL),
        (GRE | MINIMAL, Encapsulation.GRE),
        (RequestFlag(0), Encapsulation.IP_IN_IP),
    ],
)
def test_the_encapsulation_is_as_the_bits_ask(desk, flags, granted):
    assert desk.ask(flags=flags) == 0
    assert [each.encapsulation for each in desk.record.bindings] == [granted]


def test_of_two_encapsulations_the_one_that_there_is(make_desk):
    desk = make_desk(encapsulations=(Encapsulation.IP_IN_IP, Encapsulation.MINIMAL))
    assert desk.ask(flags=GRE | MINIMAL) == 0
    assert desk.record.bindings[0].encapsulation is Encapsulation.MINIMAL


# ---- RFC 7629


@pytest.mark.rfc("7629", "5.2", "MP-HA-1", "MP-HA-2", "A-24")
def test_a_node_without_permission_is_denied_with_152(make_desk):
    desk = make_desk(allows_multipath=False)
    assert desk.ask(desk.multipath(1)) == 152
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 152
    assert desk.engine.records == {}
    assert desk.ask() == 0


@pytest.mark.rfc("7629", "5.2", "MP-HA-1")
def test_permission_comes_before_syntax(make_desk):
    assert make_desk(allows_multipath=False).ask(raw(1, "0401ff00")) == 152


@pytest.mark.rfc("7629", "4.1", "MP-E-1", "MP-E-2", "MP-E-3", "MP-E-4", "A-18", "A-20")
@pytest.mark.parametrize(
    "extensions",
    [
        [raw(1, "040101")],
        [raw(1, "0401010000")],
        [raw(1, "04010000")],
        [raw(1, "0401ff00")],
        [raw(1, "04000100")],
        [raw(1, "040101c0")],
        [raw(1, "04010100"), raw(1, "04010200")],
    ],
    ids=["short", "long", "bid-0", "bid-255", "label-0", "b-and-o", "twice"],
)
def test_a_malformed_multipath_extension_is_denied_with_134(desk, extensions):
    assert desk.ask(*extensions) == 134
    assert desk.engine.records == {}


@pytest.mark.rfc("7629", "4.1", "MP-E-6", "A-20")
def test_reserved_bits_and_unknown_access_technologies_are_accepted(desk):
    assert desk.ask(raw(1, "ff01013f")) == 0
    (binding,) = desk.record.bindings
    assert (binding.access_technology, binding.label, binding.bid) == (255, 1, 1)


@pytest.mark.rfc("7629", "4.2", "FB-E-1", "FB-E-2", "FB-E-4", "A-20")
@pytest.mark.parametrize(
    "data",
    ["0100010108000000", "0109" + "01" * 9 + "0100000000", "0105010203", "0002010201" + "00000000",
     "02010101" + "00000000", "01010100" + "00000000", "01010103" + "00000000",
     "0101010108000000", "01010101" + "04000000"],
    ids=["count-0", "count-9", "list-short", "drop-2", "action-2", "format-0", "format-3",
         "selector-short", "end-alone"],
)  # fmt: skip
def test_a_malformed_flow_binding_is_denied_with_134(desk, data):
    assert desk.ask(desk.multipath(1), raw(2, data)) == 134
    assert desk.engine.records == {}


@pytest.mark.rfc("7629", "4.1", "XX-E-5", "A-23")
def test_what_stands_behind_the_authentication_is_denied_with_134(desk):
    for extension in (desk.multipath(1), desk.forward(80, 1)):
        assert desk.ask(behind=extension.encode()) == 134
    assert desk.engine.records == {}


# ---- the reply


@pytest.mark.rfc("5944", "3.4", "AUTH-2")
@pytest.mark.rfc("5944", "3.8.2.1", "HA-13")
@pytest.mark.rfc("5944", "3.8.3.3", "HA-41")
@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (0, {}),
        (0, {"lifetime_s": 0}),
        (131, {"association": SecurityAssociation(256, bytes(16))}),
        (133, {"identification": 7}),
        (136, {"home_agent": IPv4Address("192.0.2.9")}),
    ],
)
def test_every_reply_ends_with_an_authentication_of_all_in_front_of_it(desk, code, fields):
    nai = NetworkAccessIdentifier("node5@example.net")
    assert desk.ask(nai, **fields) == code
    verify(desk.replies[0].payload, ExtensionType.MOBILE_HOME_AUTHENTICATION, desk.association)
    assert desk.reply.extensions[:-1] == (nai,)


@pytest.mark.rfc("5944", "3.8.2.2", "HA-25", "HA-26")
@pytest.mark.parametrize("lifetime_s", [600, 0])
def test_a_reply_goes_to_where_the_request_came_from_and_nowhere_else(desk, lifetime_s):
    desk.register(1)
    request = desk.request(desk.multipath(1), lifetime_s=lifetime_s)
    elsewhere = IPv4Address("192.0.2.77")
    assert desk.hear(structs.replace(request, source=elsewhere, source_port=5000)) == 0
    (reply,) = desk.replies
    assert (reply.destination, reply.destination_port) == (elsewhere, 5000)


@pytest.mark.rfc("5944", "3.8.3.1", "HA-32")
def test_a_reply_comes_from_our_own_address_whatever_was_asked(desk):
    everybody = IPv4Address("10.9.0.255")
    request = desk.request(desk.multipath(1), home_agent=everybody)
    assert desk.hear(structs.replace(request, destination=everybody)) == 136
    (reply,) = desk.replies
    assert (reply.source, reply.source_port) == (desk.address, 434)


# ---- the whole message


GOLDEN_REQUEST = bytes.fromhex(
    "01220708 0a000002 c0000201 c6336407 e8d4a51000000001 9a010004 04010100"
    "9a02000c 01020102 01 02080000005006 2014 00000100 f09b6d338ac0ab474cf41c319abd9233"
)
GOLDEN_REPLY = bytes.fromhex(
    "03000708 0a000002 c0000201 e8d4a51000000001 2014 00000100 e3df212b34a4470d62ef051ca0c51192"
)


@pytest.mark.rfc("7629", "4.2", "A-12", "A-13")
@pytest.mark.rfc("5944", "3.8.2.2", "HA-20")
@pytest.mark.rfc("5944", "3.8.3.2", "HA-36", "HA-39")
def test_the_golden_request_is_answered_by_the_golden_reply():
    home = IPv4Address("10.0.0.2")
    entry = MobileNodeEntry(home, (SecurityAssociation(256, bytes(range(16))),))
    network = IPv4Network("10.0.0.0/24")
    agent = HomeAgent(HomeAgentConfig(IPv4Address("192.0.2.1"), (network,), (entry,)))
    now = float(0xE8D4A510 - NTP_UNIX_OFFSET_S)
    source = IPv4Address("198.51.100.7")
    event = Received(GOLDEN_REQUEST, source, 40001, agent.config.address, 434)
    effects = agent.handle(event, now)
    assert effects[2] == SendDatagram(GOLDEN_REPLY, agent.config.address, 434, source, 40001)
    assert [type(each) for each in effects] == [ProgramForwarding, SaveNode, SendDatagram, Log]


@pytest.mark.rfc("5944", "3.8.2.1", "HA-19")
@pytest.mark.parametrize("destination", ["10.9.0.255", "255.255.255.255"])
@pytest.mark.parametrize("named", ["198.51.100.1", "10.9.0.255"])
def test_what_is_sent_to_a_broadcast_address_is_denied_with_136_and_our_address(
    desk, destination, named
):
    request = desk.request(desk.multipath(1), home_agent=IPv4Address(named))
    assert desk.hear(structs.replace(request, destination=IPv4Address(destination))) == 136
    assert desk.reply.home_agent == desk.address
    assert desk.replies[0].source == desk.address
    assert desk.engine.statistics["refused_sent-to-broadcast"] == 1
    assert desk.engine.records == {}


def test_who_has_no_key_does_not_find_the_home_agent(desk):
    wrong = structs.replace(desk.association, key=bytes(16))
    request = desk.request(association=wrong)
    everywhere = IPv4Address("10.9.0.255")
    assert desk.hear(structs.replace(request, destination=everywhere)) == 131
