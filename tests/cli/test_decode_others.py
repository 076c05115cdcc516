"""`flowbind decode` on what stands around RFC 5944: messages and extensions field by field."""

import json
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter

from flowbind.wire.extension import REGISTRY, Framing
from flowbind.wire.names import SUBTYPE_NAMES, UNASSIGNED, extension_name

KEY = "000102030405060708090a0b0c0d0e0f"
FIXED_REQUEST = bytes.fromhex("01220708 0a000002 c0000201 c6336407 e8d4a51000000001")
FIXED_REPLY = bytes.fromhex("03000708 0a000002 c0000201 e8d4a51000000001")
MHAE = bytes.fromhex("2014 00000100") + bytes(16)
FHAE = bytes.fromhex("2214 00000100") + bytes(16)

MESSAGES: dict[str, tuple[str, dict]] = {
    "revocation": (
        """\
Registration Revocation, 42 octets
  A                   1 (sent by the home agent)
  I                   1
  Home Address        10.0.0.2
  Home Domain Address  192.0.2.1
  Foreign Domain Address  198.51.100.7
  Revocation Identifier  3906250000
  Foreign-Home Authentication (34)
    SPI               256
    Authenticator     318481f6ce90d68dd42f064c9c1c391e  verified
""",
        {
            "type": 7,
            "by_home_agent": True,
            "inform": True,
            "home_address": "10.0.0.2",
            "home_domain": "192.0.2.1",
            "foreign_domain": "198.51.100.7",
            "revocation_identifier": 3906250000,
        },
    ),
    "revocation-acknowledgment": (
        """\
Registration Revocation Acknowledgment, 34 octets
  I                   1
  Home Address        10.0.0.2
  Revocation Identifier  3906250000
  Foreign-Home Authentication (34)
    SPI               256
    Authenticator     ae8cb397d1cb7804af3dc6871a476f06  verified
""",
        {"type": 15, "inform": True, "revocation_identifier": 3906250000},
    ),
    "notification": (
        """\
Generic Notification, 60 octets
  Message Direction   0 (home agent to mobile node)
  A                   1 (acknowledgment required)
  Home Address        10.0.0.2
  Home Agent          192.0.2.1
  Care-of Address     198.51.100.7
  Identification      0xe8d4a51000000001, 2023-10-14 05:26:40.000000 UTC
  Message String (145, subtype 1: from the home agent)
    Text              maintenance
  Mobile-Home Authentication (32)
    SPI               256
    Authenticator     bf5501f8ea607755e4e1b6e8309a8944  verified
""",
        {
            "type": 22,
            "direction": 0,
            "acknowledge": True,
            "care_of_address": "198.51.100.7",
            "identification": "0xe8d4a51000000001",
        },
    ),
    "notification-acknowledgment": (
        """\
Generic Notification Acknowledgment, 46 octets
  Message Direction   2 (mobile node to home agent)
  Code                0 (notification accepted)
  Home Address        10.0.0.2
  Home Agent          192.0.2.1
  Care-of Address     198.51.100.7
  Identification      0xe8d4a51000000001, 2023-10-14 05:26:40.000000 UTC
  Mobile-Home Authentication (32)
    SPI               256
    Authenticator     1c14c25efd97ec7586523225e1f11d4e  verified
""",
        {"type": 23, "direction": 2, "code": 0, "code_name": "notification accepted"},
    ),
}

EXTENSIONS: dict[str, tuple[str, dict]] = {
    "challenge": (
        """\
  MN-FA Challenge (132)
    Challenge         0badcafe
""",
        {"type": 132, "subtype": None, "subtype_name": None, "challenge": "0badcafe"},
    ),
    "mobile-aaa": (
        """\
  Generalized Mobile IP Authentication (36, subtype 1: Mobile-AAA Authentication)
    SPI               300
    Authenticator     000102030405060708090a0b0c0d0e0f
""",
        {"type": 36, "subtype": 1, "spi": 300, "authenticator": KEY, "verified": None},
    ),
    "revocation-support": (
        """\
  Registration Revocation Support (137)
    I                 1 (the mobile node may be informed)
    Timestamp         3906250000
""",
        {"type": 137, "inform": True, "timestamp": 3906250000},
    ),
    "message-string": (
        """\
  Message String (145, subtype 1: from the home agent)
    Text              hello
""",
        {"type": 145, "subtype": 1, "subtype_name": "from the home agent", "text": "hello"},
    ),
    "fa-error": (
        """\
  FA Error (45, subtype 0)
    Status            77 (invalid care-of address), denied by the foreign agent
""",
        {"type": 45, "subtype": 0, "status": 77, "status_name": "invalid care-of address"},
    ),
    "service-selection": (
        """\
  Service Selection (151)
    Service           voip
""",
        {"type": 151, "service": "voip"},
    ),
    "dynamic-home-agent-requested": (
        """\
  Dynamic Home Agent (139, subtype 1: Requested HA)
    Home Agent        192.0.2.1
""",
        {"type": 139, "subtype": 1, "subtype_name": "Requested HA", "home_agent": "192.0.2.1"},
    ),
    "dynamic-home-agent-redirected": (
        """\
  Dynamic Home Agent (139, subtype 2: Redirected HA)
    Home Agent        192.0.2.2
""",
        {"type": 139, "subtype": 2, "home_agent": "192.0.2.2"},
    ),
    "dynamic-home-agent-long": (
        """\
  Dynamic Home Agent (139, subtype 1: Requested HA)
    Home Agent        192.0.2.1
""",
        {"type": 139, "subtype": 1, "home_agent": "192.0.2.1"},
    ),
    "critical-vendor": (
        """\
  Critical Vendor/Organization Specific (38)
    Vendor            9
    Vendor Type       14
    Value             0001
""",
        {"type": 38, "subtype": None, "vendor": 9, "vendor_type": 14, "value": "0001"},
    ),
    "normal-vendor": (
        """\
  Normal Vendor/Organization Specific (134)
    Vendor            9
    Vendor Type       14
    Value             0001
""",
        {"type": 134, "subtype": None, "vendor": 9, "vendor_type": 14, "value": "0001"},
    ),
    "udp-tunnel-request": (
        """\
  UDP Tunnel Request (144, subtype 0)
    F                 1 (with or without a NAT)
    R                 0
    Encapsulation     47 (GRE)
""",
        {"type": 144, "subtype": 0, "force": True, "through_foreign_agent": False,
         "encapsulation": 47, "data": "0000802f0000"},
    ),
    "udp-tunnel-reply": (
        """\
  UDP Tunnel Reply (44, subtype 0)
    Code              0 (will do tunnelling)
    F                 1 (forced by the request)
    Keepalive Interval  110 s
""",
        {"type": 44, "subtype": 0, "code": 0, "code_name": "will do tunnelling", "force": True,
         "keepalive_interval_s": 110},
    ),
    "gre-key": (
        """\
  GRE Key (48, subtype 0)
    Key Identifier    4660 (0x00001234)
""",
        {"type": 48, "subtype": 0, "gre_key": 0x1234, "data": "00001234"},
    ),
    "mobile-network-request": (
        """\
  Mobile Network (148, subtype 0: Mobile Network Request)
    Prefix            203.0.113.0/24
""",
        {"type": 148, "subtype": 0, "prefix": "203.0.113.0/24"},
    ),
    "mobile-network-acknowledgement": (
        """\
  Mobile Network (148, subtype 1: Explicit Mode Acknowledgement)
    Code              2 (mobile router is not authorized for the prefix)
    Prefix            203.0.113.0/24
""",
        {"type": 148, "subtype": 1, "code": 2, "prefix": "203.0.113.0/24"},
    ),
    "ipv6-prefix-request": (
        """\
  Dual Stack (152, subtype 1: IPv6 Prefix Request)
    Prefix            2001:db8:1::/48
""",
        {"type": 152, "subtype": 1, "prefix": "2001:db8:1::/48"},
    ),
    "ipv6-prefix-reply": (
        """\
  Dual Stack (152, subtype 2: IPv6 Prefix Reply)
    Code              1 (accepted, tunnelled to the care-of address)
    Prefix            2001:db8:1::/48
""",
        {"type": 152, "subtype": 2, "code": 1, "prefix": "2001:db8:1::/48"},
    ),
    "ipv6-link-local-reply": (
        """\
  Dual Stack (152, subtype 2: IPv6 Prefix Reply)
    Code              0 (accepted, tunnelled to the home address)
    Prefix            fe80::1 (a link-local address)
""",
        {"type": 152, "subtype": 2, "code": 0, "prefix": "fe80::1"},
    ),
    "ipv6-tunneling-mode": (
        """\
  Dual Stack (152, subtype 3: IPv6 Tunneling Mode)
""",
        {"type": 152, "subtype": 3, "data": "0300"},
    ),
}  # fmt: skip


def object_of(flowbind, octets, *options):
    return json.loads(flowbind("decode", octets.hex(), "--json", *options).out)


@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_field_by_field(flowbind, vector, name):
    text, fields = MESSAGES[name]
    outcome = flowbind("decode", vector(name).hex(), "--key", f"256={KEY}")

    assert (outcome.status, outcome.out) == (0, text)
    assert fields.items() <= object_of(flowbind, vector(name)).items()


@pytest.mark.parametrize("name", EXTENSIONS)
def test_each_extension_field_by_field(flowbind, vector, name):
    text, fields = EXTENSIONS[name]
    octets = FIXED_REPLY + vector(name) + MHAE
    outcome = flowbind("decode", octets.hex())
    extension, authentication = object_of(flowbind, octets)["extensions"]

    assert f"UTC\n{text}  Mobile-Home" in outcome.out
    assert fields.items() <= extension.items()
    assert extension["problem"] is None
    assert authentication["type"] == 32


@pytest.mark.parametrize("number", sorted(REGISTRY))
def test_each_type_of_the_registry_by_its_name(flowbind, number):
    row = REGISTRY[number]
    if row.framing is Framing.PADDING:
        octets = b"\x00"
    elif row.framing is Framing.LONG:
        octets = bytes((number, 1, 0, 0))
    else:
        octets = bytes((number, 0))
    outcome = flowbind("decode", (FIXED_REPLY + octets + MHAE).hex())

    if number in {32, 33, 34, 36}:
        assert "truncated: 0 octets hold no SPI" in outcome.out
    else:
        assert f"\n  {extension_name(number, 1)} ({number}" in outcome.out
        assert "  Mobile-Home Authentication (32)\n" in outcome.out


NAMED = [(number, each) for number, names in SUBTYPE_NAMES.items() for each in names]


@pytest.mark.parametrize(("number", "subtype"), [row for row in NAMED if row[0] != 154])
def test_each_subtype_by_its_name(flowbind, number, subtype):
    data = bytes((subtype,)) + bytes(19)
    octets = bytes((number, len(data))) + data
    if REGISTRY[number].framing is Framing.LONG:
        octets = bytes((number, subtype)) + len(data).to_bytes(2, "big") + data
    (extension,) = object_of(flowbind, FIXED_REPLY + octets)["extensions"]

    assert extension["subtype"] == subtype
    assert extension["subtype_name"] == SUBTYPE_NAMES[number][subtype]


@pytest.mark.parametrize(
    ("octets", "subtype", "name"),
    [
        ("8800", None, None),
        ("880107", 7, UNASSIGNED),
        ("2f090000", 9, UNASSIGNED),
        ("8200", None, None),
        ("820101", None, None),
        ("7f070000", None, None),
        ("26000000", None, None),
    ],
)
def test_a_subtype_that_has_no_name_or_is_none(flowbind, octets, subtype, name):
    (extension,) = object_of(flowbind, FIXED_REPLY + bytes.fromhex(octets))["extensions"]

    assert (extension["subtype"], extension["subtype_name"]) == (subtype, name)


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        ("900600004000 0000", "R                 1 (registered through a foreign agent)\n"),
        ("900600000000 0000", "Encapsulation     0 (as the flags M and G say)\n"),
        ("900600000006 0000", "Encapsulation     6 (not for tunnels)\n"),
        ("2c0600400000 0000", "Code              64 (declined, reason unspecified)\n"),
        ("2c0600410000 0000", "Code              65 (unassigned)\n"),
        ("2c0600000000 0000", "Keepalive Interval  0 (the mobile node's own)\n"),
        ("940802001800 cb007100", "Mobile Network (148, subtype 2: Implicit Mode Acknowl"),
        ("940801040000 00000000", "Code              4 (requested prefix is not assigned)\n"),
        ("2d02 0063", "Status            99 (MISSING_HOMEADDR), denied by the foreign agent\n"),
        ("2600 0000", "! vendor-extension-malformed (0 octets name no vendor and type)"),
        ("9001 00", "! it makes no sense: a receiver passes over it\n"),
        ("2c01 00", "! it makes no sense: a receiver discards the message\n"),
        ("3000 0003 000000", "! it makes no sense: a receiver discards the message\n"),
        ("9405 0018cb0071", "! 5 octets instead of 6\n"),
        ("9801 03", "! it makes no sense: a receiver passes over it\n"),
        ("8b01 01", "! it makes no sense: a receiver passes over it\n"),
        ("9101 01", "! it makes no sense: a receiver passes over it\n"),
        ("8904 8000ffff", "! revocation-support-length (4 octets instead of 6): a home agent"),
        ("9701 ff", "! service-selection-malformed (not an identifier): a home agent"),
        ("8400", "! challenge-empty: a home agent answers 134\n"),
    ],
)
def test_values_with_a_meaning_and_contents_without(flowbind, octets, shown):
    out = flowbind("decode", (FIXED_REPLY + bytes.fromhex(octets) + MHAE).hex()).out

    assert shown in out
    assert "  Mobile-Home Authentication (32)\n" in out


def test_a_type_of_which_only_the_name_is_known_is_no_error(flowbind):
    octets = FIXED_REQUEST + bytes.fromhex("28010004 00000200 930301aabb") + MHAE
    outcome = flowbind("decode", octets.hex())

    assert outcome.status == 0
    assert (
        "  Generalized MN-FA Key Generation Nonce Request (40, subtype 1: from AAA)\n"
        "    Data              00000200\n"
        "  PMIPv4 Skippable (147, subtype 1: Interface ID)\n"
        "    Data              01aabb\n" in outcome.out
    )


RULES = [
    ("revocation", lambda o: o[:20], "no authentication extension: it will be discarded (RFC 3543"),
    ("revocation", lambda o: o[:20] + b"\x84\x01a" + o[20:], None),
    ("revocation-acknowledgment", lambda o: o[:12], "no authentication extension: it will be"),
    ("revocation-acknowledgment", lambda o: o[:12] + MHAE, None),
    ("notification", lambda o: o[:24], "no Mobile-Home Authentication extension: it will be"),
    ("notification", lambda o: o[:1] + b"\x01" + o[2:], "no Foreign-Home Authentication extension"),
    ("notification", lambda o: o[:1] + b"\x03" + o[2:], "no Mobile-Foreign Authentication extens"),
    ("notification", lambda o: o[:1] + b"\x06" + o[2:], "direction 6 is unassigned (RFC 6098 4.1)"),
    ("notification", lambda o: o[:1] + b"\x05" + o[2:24] + FHAE, None),
    ("notification", lambda o: o[:24] + b"\x84\x01a" + o[24:], "an extension that no notification"),
    ("notification-acknowledgment", lambda o: o[:24] + b"\x00" + o[24:], "an extension that no"),
    ("request", lambda o: o[:24] + b"\x91\x02\x01a" + MHAE, "a Message String in a Registration"),
    ("request", lambda o: o[:24] + b"\x97\x01a\x97\x01b" + MHAE, "2 Service Selection extensions"),
    ("request", lambda o: o[:24] + b"\x97\x03\xef\xac\x81" + MHAE, "the name of a service is not"),
    ("request", lambda o: o[:24] + b"\x97\x02fi" + MHAE, None),
    ("request", lambda o: o + b"\x2d\x02\x00\x4d", "an FA Error extension outside of a Registra"),
    ("reply", lambda o: o + b"\x2d\x02\x00\x3f", "status 63 is none of a foreign agent (RFC 4636"),
    ("reply", lambda o: o + b"\x2d\x02\x00\x80", "status 128 is none of a foreign agent"),
    ("reply", lambda o: o + b"\x2d\x02\x00\x40\x2d\x02\x00\x7f", None),
    ("reply", lambda o: o[:20] + b"\x91\x02\x01a" + o[20:], None),
]
AAA = bytes.fromhex("24010014 00000002") + bytes(16)
FOREIGN = bytes.fromhex("2114 00000100") + bytes(16)
RULES += [
    ("reply", lambda o: o + AAA, "a Mobile-AAA Authentication in a Registration Reply (RFC 4721"),
    ("request", lambda o: o[:24] + AAA + MHAE, "a Mobile-AAA Authentication in front of the Mobi"),
    ("request", lambda o: o + FOREIGN + AAA, "a Mobile-AAA Authentication behind the Mobile-For"),
    ("request", lambda o: o + AAA + FOREIGN, None),
    ("request", lambda o: o + AAA[:7] + b"\x03" + AAA[8:], "SPI 3 is reserved (RFC 5944 1.6)"),
    ("request", lambda o: o + b"\x24\x01\x00\x13" + AAA[4:-1], "an authenticator of 15 octets: at"),
    ("request", lambda o: o[:50] + b"\x00\x00\x00\x02" + o[54:], "SPI 2 is reserved (RFC 5944"),
    ("request", lambda o: o[:24] + AAA[:1] + b"\x02" + AAA[2:], "no authorization-enabling exten"),
]


@pytest.mark.rfc("3543", "3.3")
@pytest.mark.rfc("4636", "4")
@pytest.mark.rfc("4721", "6")
@pytest.mark.rfc("4917", "4")
@pytest.mark.rfc("5446", "3")
@pytest.mark.rfc("6098", "4.1")
@pytest.mark.parametrize(("name", "change", "problem"), RULES)
def test_the_rules_of_the_rfcs_around(flowbind, vector, name, change, problem):
    octets = change(vector(name))
    problems = object_of(flowbind, octets)["problems"]

    if problem is None:
        assert problems == []
    else:
        assert [each for each in problems if each.startswith(problem)]


def test_an_aaa_authenticator_is_verified_with_a_key_of_its_spi(flowbind, vector):
    # HMAC-MD5 by OpenSSL over the 28 octets of the fixed part, type, subtype, length and SPI.
    octets = FIXED_REPLY + vector("mobile-aaa")[:8]
    octets += bytes.fromhex("7d32c87590e8f20d9c8b5df18e2a69e9")
    right = object_of(flowbind, octets, "--key", f"300={KEY}")
    wrong = object_of(flowbind, octets, "--key", f"300={KEY[::-1]}")

    assert right["extensions"][0]["verified"] is True
    assert wrong["extensions"][0]["verified"] is False


# Dates of an Identification


def captured(path: Path, identification: int, at: float) -> str:
    octets = FIXED_REPLY[:12] + identification.to_bytes(8, "big") + MHAE
    with PcapWriter(str(path), linktype=1) as file:
        packet = Ether() / IP() / UDP(sport=434, dport=434) / Raw(octets)
        packet.time = at
        file.write(packet)
    return str(path)


YEAR_S = 366 * 86400


@pytest.mark.parametrize(
    ("seconds_off", "plausible"),
    [(0, True), (YEAR_S, True), (-YEAR_S, True), (YEAR_S + 1, False), (-YEAR_S - 1, False)],
)
def test_a_date_far_from_its_capture_is_none(flowbind, tmp_path, seconds_off, plausible):
    # 0xe8d4a510 is 2023-10-14 05:26:40, Unix time 1697261200.
    path = captured(tmp_path / "c.pcap", 0xE8D4A510_00000000, 1_697_261_200 + seconds_off)
    found = json.loads(flowbind("decode", path, "--json").out)

    date = "2023-10-14T05:26:40.000000Z" if plausible else None
    assert found["identification_time"] == date
    shown = "Identification      0xe8d4a51000000000"
    shown += ", 2023-10-14 05:26:40.000000 UTC\n" if plausible else "\n"
    assert shown in flowbind("decode", path).out


def test_a_date_is_near_its_capture_across_the_end_of_the_era(flowbind, tmp_path):
    # Five seconds into the next era of NTP, captured five seconds in front of it.
    path = captured(tmp_path / "c.pcap", 5 << 32, 2**32 - 2_208_988_800 - 5)

    assert "2036-02-07 06:28:21.000000 UTC\n" in flowbind("decode", path).out
