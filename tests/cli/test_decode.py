"""`flowbind decode`: hex, captures, what is wrong, and that hostile octets end in no traceback."""

import io
import json
import os
import re
import struct
import sys
import tomllib
from pathlib import Path

import dpkt
import pytest
import typer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, PcapWriter

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.auth.authenticator import protect
from flowbind.cli.captures import Datagram
from flowbind.cli.decode_report import report_on
from flowbind.cli.decode_views import json_of, lines_of
from flowbind.model.encoding import to_json
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import decode
from flowbind.wire.nai import NetworkAccessIdentifier

KEY = "000102030405060708090a0b0c0d0e0f"
RIGHT = ("--key", f"256={KEY}")
WRONG = ("--key", f"256={KEY[::-1]}")
NODE, AGENT = "198.51.100.7", "192.0.2.1"
VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN = {
    name: octets
    for file in ("rfc7629.toml", "extensions.toml")
    for name, octets in tomllib.loads((VECTORS / file).read_text()).items()
}

REQUEST_TEXT = """\
Registration Request, 70 octets
  Flags               D (Decapsulation by mobile node), T (Reverse Tunneling requested)
  Lifetime            1800 s (30m00s)
  Home Address        10.0.0.2
  Home Agent          192.0.2.1
  Care-of Address     198.51.100.7
  Identification      0xe8d4a51000000001, 2023-10-14 05:26:40.000000 UTC
  Multipath (154, subtype 1)
    If-ATT            4 (IEEE 802.11a/b/g)
    If-Label          1
    Binding ID        1
    B                 0
    O                 0
  Flow-Binding (154, subtype 2)
    Action            1 (FORWARD)
    Binding IDs       1, else 2
    TS Format         1 (IPv4 binary traffic selector)
    Traffic Selector  tcp remote port 80
  Mobile-Home Authentication (32)
    SPI               256
    Authenticator     f09b6d338ac0ab474cf41c319abd9233"""


@pytest.fixture
def request_octets(vector):
    return vector("request")


@pytest.fixture
def reply_octets(vector):
    return vector("reply")


def to_agent(payload: bytes):
    return IP(src=NODE, dst=AGENT) / UDP(sport=40000, dport=434) / Raw(payload)


def to_node(payload: bytes):
    return IP(src=AGENT, dst=NODE) / UDP(sport=434, dport=40000) / Raw(payload)


def write(path: Path, *packets, link_type: int = 1, **options) -> str:
    with PcapWriter(str(path), linktype=link_type, **options) as file:
        for at, packet in enumerate(packets):
            packet.time = 1_700_000_000.5 + at
            file.write(packet)
    return str(path)


def objects(outcome):
    return [json.loads(line) for line in outcome.out.splitlines()]


# Hex


def test_the_golden_request_reads_as_the_rfc_names_it(flowbind, request_octets):
    outcome = flowbind("decode", request_octets.hex())

    assert outcome.out == REQUEST_TEXT + "\n"
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize(
    "write_hex",
    [
        lambda octets: octets.hex(),
        lambda octets: octets.hex().upper(),
        lambda octets: octets.hex(":"),
        lambda octets: octets.hex(" ", 4) + "\n",
        lambda octets: "0x" + octets.hex(),
        lambda octets: " ".join(f"0x{octet:02x}" for octet in octets),
        lambda octets: "\n\t" + octets.hex("\n"),
    ],
)
def test_hex_however_it_is_written(flowbind, request_octets, write_hex):
    assert flowbind("decode", write_hex(request_octets)).out == REQUEST_TEXT + "\n"


def test_hex_by_standard_input_and_from_a_file(flowbind, request_octets, monkeypatch, tmp_path):
    text = b"\n" + request_octets.hex(" ").encode() + b"\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    (tmp_path / "message.txt").write_bytes(text)

    assert flowbind("decode", "-").out == REQUEST_TEXT + "\n"
    assert flowbind("decode", str(tmp_path / "message.txt")).out == REQUEST_TEXT + "\n"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "nothing to decode"),
        ("012", "3 hex digits are not whole octets"),
        ("no-such-file.pcap", "no-such-file.pcap: no such file, and not hex"),
        ("x" * 5000, "no such file"),
        ("01\x1b[2Jzz", r"\x1b"),
        ("/", "/: Is a directory"),
        ("/dev/null", "/dev/null: neither a capture (pcap, pcapng) nor hex"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(flowbind, source, complaint):
    outcome = flowbind("decode", source)

    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("flowbind: ")
    assert complaint in outcome.err
    assert outcome.err.count("\n") == 1


# Fields


@pytest.mark.rfc("5944", "3.3")
def test_every_flag_and_the_lifetimes_with_a_meaning(flowbind, request_octets):
    octets = bytearray(request_octets)
    octets[1] = 0xFF
    octets[2:4] = b"\xff\xff"
    shown = flowbind("decode", bytes(octets).hex()).out

    assert (
        "S (Simultaneous bindings), B (Broadcast datagrams), D (Decapsulation by mobile node), "
        "M (Minimal encapsulation), G (GRE encapsulation), r (reserved), "
        "T (Reverse Tunneling requested), x (reserved)\n" in shown
    )
    assert "65535 (infinity)\n" in shown

    octets[1:4] = bytes(3)
    shown = flowbind("decode", bytes(octets).hex()).out
    assert "Flags               none\n" in shown
    assert "Lifetime            0 (deregistration)\n" in shown


@pytest.mark.rfc("5944", "3.4")
@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (0, "0 (registration accepted)\n"),
        (1, "1 (registration accepted, but simultaneous mobility bindings unsupported)\n"),
        (69, "69 (requested Lifetime too long), denied by the foreign agent\n"),
        (152, "152 (MULTIPATH_NOT_ALLOWED), denied by the home agent\n"),
        (153, "153 (INVALID_FB_IDENTIFIER), denied by the home agent\n"),
        (250, "250 (unassigned), denied\n"),
    ],
)
def test_reply_codes(flowbind, reply_octets, code, shown):
    octets = reply_octets[:1] + bytes((code,)) + bytes(2) + reply_octets[4:]
    outcome = flowbind("decode", octets.hex())

    assert f"Code                {shown}" in outcome.out
    # The Lifetime of a denial means nothing.
    assert ("0 (deregistration)" in outcome.out) is (code < 2)
    assert outcome.status == 0


@pytest.mark.parametrize(
    ("identification", "date"),
    [
        (0xFFFFFFFF_80000000, "2036-02-07 06:28:15.500000 UTC"),
        (0x00000000_00000000, "2036-02-07 06:28:16.000000 UTC"),
        (0x7FFFFFFF_FFFFFFFF, "2104-02-26 09:42:24.000000 UTC"),
        (0x80000000_00000000, "1968-01-20 03:14:08.000000 UTC"),
    ],
)
def test_identification_as_a_date_in_the_nearest_era(flowbind, reply_octets, identification, date):
    octets = reply_octets[:12] + identification.to_bytes(8, "big") + reply_octets[20:]

    assert f"0x{identification:016x}, {date}\n" in flowbind("decode", octets.hex()).out


@pytest.mark.rfc("7629", "4.2")
def test_each_kind_of_extension(flowbind, request_octets, vector):
    octets = (
        request_octets[:24]
        + vector("multipath-bulk")
        + vector("flow-binding-drop")
        + b"\x9a\x02\x00\x08\x01\x01\x07\x01" + bytes(4)
        + NetworkAccessIdentifier("node5@fleet.example").encode()
        + bytes.fromhex("00 86 02 abcd 9f 00 30 01 0004 00000007")
        + request_octets[-22:]
    )  # fmt: skip
    shown = flowbind("decode", octets.hex()).out

    for part in (
        "    If-ATT            8 (3GPP E-UTRAN)\n",
        "    B                 1 (bulk re-registration)\n",
        "    Action            0 (DROP)\n    Binding IDs       255 (ignored)\n",
        "    Binding IDs       7\n",
        "    Traffic Selector  any\n",
        "  Mobile Node NAI (131)\n    NAI               node5@fleet.example\n",
        "  One-byte Padding (0)\n",
        "  Normal Vendor/Organization Specific (134)\n    Data              abcd\n"
        "    ! it makes no sense: a receiver passes over it\n",
        "  unassigned (159)\n    Data              none\n",
        "  GRE Key (48, subtype 1: unassigned)\n    Data              00000007\n",
    ):
        assert part in shown


def test_a_selector_that_nothing_matches_is_said_to_be_one(flowbind, request_octets):
    binding = bytes.fromhex("9a02000b 01 01 01 01 02080000 0050 01")
    shown = flowbind("decode", (request_octets[:32] + binding + request_octets[-22:]).hex()).out

    assert "icmp remote port 80 (matches nothing: packets of icmp do not have ports)" in shown


# What is wrong


@pytest.mark.rfc("7629", "4.1")
@pytest.mark.rfc("7629", "4.2")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda o: o[:32] + o[24:], "2 Multipath extensions: at most one is allowed"),
        (lambda o: o[:31] + b"\xc0" + o[32:], "B and O are both set"),
        (lambda o: o[:2] + b"\0\0" + o[4:31] + b"\x40" + o[32:], "O is set in a deregistration"),
        (lambda o: o + o[24:32], "an extension of type 154 behind the Mobile-Home"),
        (lambda o: o + b"\x9a\x01\x00\x00", "an extension of type 154 behind the Mobile-Home"),
        (lambda o: o + b"\x83\x01n", "a Mobile Node NAI extension behind the Mobile-Home"),
        (lambda o: o[:39] + b"\xff" + o[40:], "BID 255 is reserved"),
        (lambda o: o[:38] + b"\x00" + o[39:], "BID 0 is reserved"),
        (lambda o: o[:48], "no authorization-enabling extension"),
        (lambda o: o[:50] + b"\x00\x00\x00\xff" + o[54:], "SPI 255 is reserved"),
        (lambda o: o[:29] + b"\x00" + o[30:], "multipath-label (If-Label 0 is not legal)"),
        (lambda o: o[:30] + b"\x00" + o[31:], "multipath-bid (BID 0 is reserved)"),
        (lambda o: o[:36] + b"\x07" + o[37:], "flow-binding-action (7)"),
        (lambda o: o[:-1], "truncated: 20 octets wanted, 19 left; from here on not decoded: 2014"),
        (lambda o: o[:20], "truncated: 20 octets are no Registration Request"),
        (lambda o: o[:32] + b"\x04\x00" + o[32:], "unknown-extension: type 4 may not"),
        (lambda o: b"\x63" + o[1:], "message type 99 is unknown"),
    ],
)
def test_what_is_wrong_is_said_and_is_status_1(flowbind, request_octets, change, problem):
    octets = change(request_octets)
    outcome = flowbind("decode", octets.hex())
    (found,) = objects(flowbind("decode", octets.hex(), "--json"))

    assert f"! {problem}" in outcome.out
    assert outcome.status == 1
    assert outcome.err == ""
    said = [*found["problems"], *(each["problem"] or "" for each in found["extensions"])]
    assert any(each.startswith(problem) for each in said)


@pytest.mark.rfc("7629", "4.1")
def test_multipath_in_a_reply_is_wrong(flowbind, reply_octets, vector):
    octets = reply_octets[:20] + vector("multipath-wlan") + reply_octets[20:]

    assert "! a Multipath extension in a Registration Reply" in flowbind("decode", octets.hex()).out


def test_what_comes_before_an_extension_that_ends_it_all_is_shown(flowbind, request_octets):
    outcome = flowbind("decode", (request_octets[:32] + b"\x04\x00").hex())

    assert outcome.out.startswith(
        REQUEST_TEXT[: REQUEST_TEXT.index("  Flow-Binding")].replace("70", "34")
    )
    assert "not decoded: 0400\n" in outcome.out


@pytest.mark.parametrize(
    ("octets", "title"),
    [
        ("04040000" + "45" * 20, "MIP Tunnel Data, 24 octets\n  Next Header         4 (IPv4)\n"),
        ("1000", "Low-Latency Handoff Request (not spoken here), 2 octets\n  Data    "),
        ("11", "Low-Latency Handoff Reply (not spoken here), 1 octets\n  Data    "),
        ("12", "Regional Registration Request (not spoken here), 1 octets\n"),
        ("13", "Regional Registration Reply (not spoken here), 1 octets\n"),
        ("14", "Fast Binding Update (not spoken here), 1 octets\n"),
        ("15", "Fast Binding Acknowledgment (not spoken here), 1 octets\n"),
        ("18", "Home Test Init (not spoken here), 1 octets\n"),
        ("19", "Care-of Test Init (not spoken here), 1 octets\n"),
        ("1a", "Home Test (not spoken here), 1 octets\n"),
        ("1b", "Care-of Test (not spoken here), 1 octets\n"),
        ("ff", "Experimental Message (not spoken here), 1 octets\n"),
    ],
)
def test_other_messages_are_named_and_no_error(flowbind, octets, title):
    outcome = flowbind("decode", octets)

    assert outcome.out.startswith(title)
    assert outcome.status == 0


def test_a_name_cannot_command_the_terminal(flowbind, request_octets):
    hostile = b"\x9f\x04\x1b[2J" + b"\x83\x05a\x1b[2J"
    outcome = flowbind("decode", (request_octets[:24] + hostile + request_octets[-22:]).hex())

    assert "\x1b" not in outcome.out
    # Of a name that is printable and still none to rely on, nothing is taken for markup.
    text = lines_of(report_on(Datagram(request_octets[:24] + b"\x83\x06[bold]"), {}))
    assert "[bold]" in text.plain


def test_a_terminal_gets_colours_and_the_same_words(flowbind, request_octets, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    outcome = flowbind("decode", request_octets.hex(), *WRONG)

    assert "\x1b[1;31mf09b6d338ac0ab474cf41c319abd9233  WRONG\x1b[0m" in outcome.out
    assert re.sub(r"\x1b\[[0-9;]*m", "", outcome.out) == REQUEST_TEXT + "  WRONG\n"


@pytest.mark.rfc("4721", "6")
def test_authorization_by_the_home_network_s_aaa_will_do(flowbind, request_octets):
    aaa = bytes.fromhex("24010014 00000100") + bytes(16)
    outcome = flowbind("decode", (request_octets[:24] + aaa).hex())

    assert outcome.status == 0
    assert "Generalized Mobile IP Authentication (36, subtype 1: Mobile-AAA" in outcome.out


# Keys


@pytest.mark.parametrize("name", ["request", "reply"])
def test_a_right_key_verifies(flowbind, vector, name):
    outcome = flowbind("decode", vector(name).hex(), *RIGHT)
    (found,) = objects(flowbind("decode", vector(name).hex(), "--json", *RIGHT))

    assert outcome.out.endswith(f"{vector(name)[-16:].hex()}  verified\n")
    assert outcome.status == 0
    assert found["extensions"][-1]["verified"] is True


def test_a_wrong_key_does_not_and_is_status_1(flowbind, request_octets):
    outcome = flowbind("decode", request_octets.hex(), *WRONG)
    (found,) = objects(flowbind("decode", request_octets.hex(), "--json", *WRONG))

    assert outcome.out.endswith("  WRONG\n")
    assert (outcome.status, outcome.err) == (1, "")
    assert found["extensions"][-1]["verified"] is False


def test_a_key_of_another_spi_says_nothing(flowbind, request_octets):
    outcome = flowbind("decode", request_octets.hex(), "--key", f"257={KEY}")
    (found,) = objects(flowbind("decode", request_octets.hex(), "--json"))

    assert outcome.out == REQUEST_TEXT + "\n"
    assert outcome.status == 0
    assert found["extensions"][-1]["verified"] is None


def test_of_several_keys_with_one_spi_any_may_be_right(flowbind, request_octets):
    # Each mobile node has its own association, and most of them begin with SPI 256.
    assert flowbind("decode", request_octets.hex(), *WRONG, *RIGHT).status == 0
    assert flowbind("decode", request_octets.hex(), *WRONG, *WRONG).status == 1


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_algorithm_can_be_named(flowbind, request_octets, algorithm):
    bare = decode(request_octets[:48])
    association = SecurityAssociation(300, bytes.fromhex(KEY), algorithm)
    octets = protect(bare, ExtensionType.MOBILE_HOME_AUTHENTICATION, association)

    assert flowbind("decode", octets.hex(), "--key", f"300={KEY}:{algorithm}").status == 0
    others = [other for other in Algorithm if other is not algorithm]
    for other in others:
        assert flowbind("decode", octets.hex(), "--key", f"300={KEY}:{other}").status == 1


def test_each_authenticator_is_verified_over_what_it_covers(flowbind, request_octets):
    ours = SecurityAssociation(256, bytes.fromhex(KEY))
    octets = protect(decode(request_octets), ExtensionType.MOBILE_FOREIGN_AUTHENTICATION, ours)
    (found,) = objects(flowbind("decode", octets.hex(), "--json", *RIGHT))

    assert [each.get("verified") for each in found["extensions"]] == [None, None, True, True]


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        (KEY, "expected SPI=HEX or SPI=HEX:ALGORITHM"),
        (f"{KEY}=256", "expected SPI=HEX or SPI=HEX:ALGORITHM"),
        (f"={KEY}", "expected SPI=HEX or SPI=HEX:ALGORITHM"),
        (f"²={KEY}", "expected SPI=HEX or SPI=HEX:ALGORITHM"),
        (f"256={KEY}:md4", "algorithms: hmac-md5, hmac-sha256, keyed-md5"),
        (f"256={KEY}0", "the key of SPI 256 is not hex"),
        (f"256=secret{KEY}", "the key of SPI 256 is not hex"),
        (f"5={KEY}", "SPI 5 is not between 256 and 4294967295"),
        ("256=", "the key is empty"),
    ],
)
def test_a_bad_key_is_one_line_that_does_not_repeat_it(flowbind, request_octets, key, complaint):
    outcome = flowbind("decode", request_octets.hex(), "--key", key)

    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("flowbind: --key: ")
    assert complaint in outcome.err
    assert outcome.err.count("\n") == 1
    assert KEY not in outcome.err
    assert "secret" not in outcome.err


def test_keys_are_not_shown_anywhere(flowbind, request_octets, tmp_path):
    path = write(tmp_path / "c.pcap", Ether() / to_agent(request_octets))
    for arguments in ((), ("--json",)):
        outcome = flowbind("decode", path, *RIGHT, *arguments)
        assert KEY not in outcome.out + outcome.err


# Captures

LINKS = [
    ("Ethernet", 1, lambda packet: Ether() / packet),
    ("VLAN", 1, lambda packet: Ether() / Dot1Q(vlan=5) / packet),
    ("QinQ", 1, lambda packet: Ether(type=0x88A8) / Dot1Q(vlan=5) / Dot1Q(vlan=6) / packet),
    ("Linux cooked", 113, lambda packet: CookedLinux(proto=0x0800) / packet),
    ("Linux cooked 2", 276, lambda packet: CookedLinuxV2(proto=0x0800) / packet),
    ("raw IP", 101, lambda packet: packet),
    ("raw IP of old", 12, lambda packet: packet),
    ("IPv4", 228, lambda packet: packet),
]


@pytest.mark.parametrize(
    ("number", "link"), [row[1:] for row in LINKS], ids=[row[0] for row in LINKS]
)
@pytest.mark.parametrize("options", [{}, {"endianness": ">"}, {"nano": True}])
def test_captures_of_each_link_layer(flowbind, tmp_path, vector, number, link, options):
    packets = [link(to_agent(vector("request"))), link(to_node(vector("reply")))]
    path = write(tmp_path / "c.pcap", *packets, link_type=number, **options)
    outcome = flowbind("decode", path, *RIGHT)

    assert outcome.status == 0, outcome
    assert outcome.out.startswith(
        "#1  2023-11-14 22:13:20.500000 UTC  198.51.100.7:40000 -> 192.0.2.1:434\n"
        + REQUEST_TEXT
        + "  verified\n\n"
        "#2  2023-11-14 22:13:21.500000 UTC  192.0.2.1:434 -> 198.51.100.7:40000\n"
        "Registration Reply, 42 octets\n"
    )
    assert outcome.out.endswith("\n\n2 messages; authenticators: 2 verified\n")


def test_what_is_not_ours_is_skipped_and_counted(flowbind, tmp_path, request_octets):
    path = write(
        tmp_path / "c.pcap",
        Ether() / ARP(),
        Ether() / IPv6() / UDP(sport=434, dport=434) / Raw(request_octets),
        Ether() / IP() / ICMP(),
        Ether() / IP() / TCP(dport=434),
        Ether() / IP() / UDP(sport=53, dport=53) / Raw(request_octets),
        Ether() / IP(frag=2) / UDP(sport=434, dport=434) / Raw(request_octets),
        Ether(type=0x88CC) / Raw(b"lldp"),
        Ether(type=0x8847) / Raw(b"\0\0\x01\0"),  # MPLS with nothing in it, at which dpkt gives up
        Ether() / to_agent(request_octets),
    )
    outcome = flowbind("decode", path)

    assert outcome.out.startswith("#9  ")
    assert outcome.out.endswith(
        "\n1 message; authenticators: 1 without a key; "
        "8 packets skipped (4 not IPv4, 2 not UDP, 1 not port 434, 1 a later fragment)\n"
    )
    assert outcome.status == 0


def test_a_capture_without_a_message_says_so(flowbind, tmp_path):
    outcome = flowbind("decode", write(tmp_path / "c.pcap", Ether() / ARP()))

    assert outcome.out == "0 messages; 1 packet skipped (1 not IPv4)\n"
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (bytes(Ether(type=0x0800)) + b"\x45\x00", "the IPv4 header is cut short or wrong"),
        (bytes(Ether(type=0x0800)) + b"\x65" + bytes(39), "the IPv4 header is cut short or wrong"),
        (bytes(Ether(type=0x0800)) + b"\x42" + bytes(39), "the IPv4 header is cut short or wrong"),
        (bytes(Ether() / IP(proto=17) / Raw(b"\x01\xb2")), "the UDP header is cut short"),
        (
            bytes(Ether() / IP() / UDP(sport=434, dport=434, len=5)),
            "a UDP length of 5 is less than the UDP header",
        ),
        (
            bytes(Ether() / IP() / UDP(sport=434, dport=434, len=100) / Raw(b"\x07abc")),
            "only 4 of 92 octets are there",
        ),
        (
            bytes(Ether() / IP(flags="MF") / UDP(sport=434, dport=434) / Raw(b"\x07abc")),
            "only the first fragment of a datagram; fragments are not put together",
        ),
    ],
)
def test_a_malformed_packet_is_named(flowbind, tmp_path, frame, fault):
    path = write(tmp_path / "c.pcap", Raw(frame))
    outcome = flowbind("decode", path)

    assert outcome.out.startswith("#1  2023-11-14 22:13:20.500000 UTC")
    assert f"  ! {fault}\n" in outcome.out
    assert (outcome.status, outcome.err) == (1, "")


def test_an_empty_datagram_is_named(flowbind, tmp_path):
    outcome = flowbind("decode", write(tmp_path / "c.pcap", Ether() / to_agent(b"")))

    assert "\nEmpty datagram\n  ! no message in it\n" in outcome.out
    assert outcome.status == 1


def test_a_link_layer_that_is_not_known_is_an_error(flowbind, tmp_path, request_octets):
    outcome = flowbind("decode", write(tmp_path / "c", Ether() / ARP(), link_type=105), "--json")

    assert outcome.status == 1
    assert (
        outcome.err
        == f"flowbind: {tmp_path / 'c'}: 1 packet of a link layer that is not known here\n"
    )


@pytest.mark.parametrize("cut", [1, 15, 16, 17, 60, 127])
def test_a_capture_that_is_cut_short_gives_what_it_has(flowbind, tmp_path, request_octets, cut):
    path = Path(write(tmp_path / "c.pcap", *[Ether() / to_agent(request_octets)] * 2))
    path.write_bytes(path.read_bytes()[:-cut])
    outcome = flowbind("decode", str(path))

    assert outcome.out.count("Registration Request, 70 octets") == 1
    assert outcome.out.endswith("\n1 message; authenticators: 1 without a key\n")
    assert outcome.err == f"flowbind: {path}: cut short behind packet 1\n"
    assert outcome.status == 1


@pytest.mark.parametrize("octets", [4, 10, 23])
def test_a_capture_cut_in_its_header(flowbind, tmp_path, octets):
    path = Path(write(tmp_path / "c.pcap", Ether() / ARP()))
    path.write_bytes(path.read_bytes()[:octets])
    outcome = flowbind("decode", str(path))

    assert outcome.err == f"flowbind: {path}: cut short in front of the first packet\n"
    assert outcome.status == 1


def test_a_record_longer_than_any_is_damage(flowbind, tmp_path):
    path = Path(write(tmp_path / "c.pcap", Ether() / ARP()))
    path.write_bytes(path.read_bytes() + struct.pack("<IIII", 0, 0, 0xFFFFFFF0, 0))
    outcome = flowbind("decode", str(path))

    assert outcome.err == (
        f"flowbind: {path}: damaged behind packet 1: a record of 4294967280 octets\n"
    )


def test_a_capture_written_by_dpkt_by_standard_input(flowbind, monkeypatch, request_octets):
    file = io.BytesIO()
    dpkt.pcap.Writer(file).writepkt(bytes(Ether() / to_agent(request_octets)), ts=0.25)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.getvalue())))
    outcome = flowbind("decode", "-", *RIGHT)

    assert outcome.out.startswith("#1  1970-01-01 00:00:00.250000 UTC  ")
    assert outcome.status == 0


# pcapng


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    length = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type: int, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link_type, 0, 0) + options, order)


def enhanced(number: int, ticks: int, frame: bytes, order: str = "<") -> bytes:
    head = struct.pack(
        f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
    )
    return block(6, head + frame + bytes(-len(frame) % 4), order)


def test_pcapng_as_others_write_it(flowbind, tmp_path, vector):
    path = tmp_path / "c.pcapng"
    with PcapNgWriter(str(path)) as file:
        packet = Ether() / to_agent(vector("request"))
        packet.time = 1_700_000_000.5
        file.write(packet)
    outcome = flowbind("decode", str(path), *RIGHT)

    assert outcome.out.startswith("#1  2023-11-14 22:13:20.500000 UTC  198.51.100.7:40000 ->")
    assert outcome.status == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_each_interface_of_pcapng_has_its_link_layer_and_its_clock(
    flowbind, tmp_path, vector, order
):
    # A mobile node with WLAN, Ethernet frames, and a modem, bare IP: nanoseconds, and from 2023 on.
    resolution = struct.pack(f"{order}HHBxxx", 9, 1, 9)
    offset = struct.pack(f"{order}HHq", 14, 8, 1_700_000_000)
    path = tmp_path / "c.pcapng"
    path.write_bytes(
        section(order)
        + interface(1, order=order)
        + interface(101, resolution + offset + bytes(4), order)
        + block(0xBAD, b"what", order)
        + enhanced(0, 1_700_000_000_500_000, bytes(Ether() / to_agent(vector("request"))), order)
        + enhanced(1, 1_500_000_000, bytes(to_node(vector("reply"))), order)
        + section("<")
        + interface(101)
        + block(3, struct.pack("<I", 70) + bytes(to_node(vector("reply"))) + bytes(2))
    )
    outcome = flowbind("decode", str(path), "--json", *RIGHT)

    assert [(each["time"], each["message"]) for each in objects(outcome)] == [
        ("2023-11-14T22:13:20.500000Z", "Registration Request"),
        ("2023-11-14T22:13:21.500000Z", "Registration Reply"),
        (None, "Registration Reply"),
    ]
    assert outcome.status == 0


def test_a_moment_beyond_the_calendar_is_not_known(flowbind, tmp_path, reply_octets):
    path = tmp_path / "c.pcapng"
    path.write_bytes(
        section() + interface(101) + enhanced(0, (1 << 64) - 1, bytes(to_node(reply_octets)))
    )
    (found,) = objects(flowbind("decode", str(path), "--json"))

    assert found["time"] is None
    assert flowbind("decode", str(path)).out.startswith("#1  192.0.2.1:434 -> ")


def test_pcapng_options_without_end_take_no_time(flowbind, tmp_path):
    # Half a million empty options of some other kind: looked at once each, and no more.
    path = tmp_path / "c.pcapng"
    path.write_bytes(section() + interface(1, b"\x01\x00\x00\x00" * 500_000))
    outcome = flowbind("decode", str(path))

    assert (outcome.status, outcome.out) == (0, "0 messages\n")


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (section() + enhanced(0, 0, b""), "damaged in front of the first packet: a block that"),
        (section() + block(6, b"1234"), "damaged in front of the first packet: a block that"),
        (section()[:8] + b"abcd", "damaged in front of the first packet: no byte order known"),
        (
            section() + struct.pack("<II", 6, 8),
            "damaged in front of the first packet: a block of 8",
        ),
        (section() + block(5, b"1234")[:-1] + b"\x07", "the two lengths of a block differ"),
        (section()[:-1], "cut short in front of the first packet"),
        (section() + struct.pack("<II", 6, 64), "cut short in front of the first packet"),
    ],
)
def test_pcapng_that_makes_no_sense(flowbind, tmp_path, octets, complaint):
    path = tmp_path / "c.pcapng"
    path.write_bytes(octets)
    outcome = flowbind("decode", str(path))

    assert complaint in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.status == 1


# JSON


def test_the_json_of_the_golden_request(flowbind, request_octets, tmp_path):
    path = write(tmp_path / "c.pcap", Ether() / to_agent(request_octets))
    (found,) = objects(flowbind("decode", path, "--json", *RIGHT))

    assert found == {
        "packet": 1,
        "time": "2023-11-14T22:13:20.500000Z",
        "source": "198.51.100.7:40000",
        "destination": "192.0.2.1:434",
        "octets": 70,
        "type": 1,
        "message": "Registration Request",
        "flags": ["D", "T"],
        "lifetime_s": 1800,
        "home_address": "10.0.0.2",
        "home_agent": "192.0.2.1",
        "care_of_address": "198.51.100.7",
        "identification": "0xe8d4a51000000001",
        "identification_time": "2023-10-14T05:26:40.000000Z",
        "extensions": [
            {
                "type": 154,
                "subtype": 1,
                "subtype_name": "Multipath",
                "name": "Multipath",
                "access_technology": 4,
                "access_technology_name": "IEEE 802.11a/b/g",
                "label": 1,
                "bid": 1,
                "bulk": False,
                "overwrite": False,
                "problem": None,
            },
            {
                "type": 154,
                "subtype": 2,
                "subtype_name": "Flow-Binding",
                "name": "Flow-Binding",
                "action": "FORWARD",
                "bids": [1, 2],
                "ts_format": 1,
                "match": "tcp remote port 80",
                "selector": "02080000005006",
                "problem": None,
            },
            {
                "type": 32,
                "subtype": None,
                "subtype_name": None,
                "name": "Mobile-Home Authentication",
                "spi": 256,
                "authenticator": "f09b6d338ac0ab474cf41c319abd9233",
                "verified": True,
                "problem": None,
            },
        ],
        "problems": [],
    }


def test_the_json_of_a_reply_and_of_what_is_no_message(flowbind, reply_octets):
    (reply,) = objects(flowbind("decode", reply_octets.hex(), "--json"))
    (other,) = objects(flowbind("decode", "1000", "--json"))

    assert (reply["packet"], reply["time"], reply["source"]) == (None, None, None)
    assert (reply["code"], reply["code_name"]) == (0, "registration accepted")
    assert (other["type"], other["message"]) == (16, "Low-Latency Handoff Request")
    assert (other["data"], other["extensions"], other["problems"]) == ("00", [], [])


def test_the_documented_fields_are_the_fields(flowbind, vector):
    documented = (Path(__file__).parents[2] / "docs" / "decode.md").read_text()
    octets = (
        vector("request")[:48]
        + bytes.fromhex("83 01 6e 86 01 00 9a 01 0000")
        + vector("request")[48:]
    )
    found = objects(flowbind("decode", octets.hex(), "--json"))
    found += objects(flowbind("decode", vector("reply").hex(), "--json"))
    found += objects(flowbind("decode", "04040000", "--json"))
    for octets in map(bytes.fromhex, GOLDEN.values()):
        message = octets if octets in golden() else vector("reply")[:20] + octets
        found += objects(flowbind("decode", message.hex(), "--json"))
    names = {name for each in found for name in each}
    names |= {name for each in found for part in each["extensions"] for name in part}

    assert {name for name in names if f"`{name}`" not in documented} == set()
    assert REQUEST_TEXT in documented


# Hostile octets, and a reader that leaves


def shown(payload: bytes) -> None:
    keys = {256: (SecurityAssociation(256, b"key"),)}
    report = report_on(Datagram(payload), keys)
    text = lines_of(report)
    assert text.plain
    json.loads(to_json(json_of(report)))
    with open("/dev/null", "w") as nowhere:  # noqa: PTH123
        Console(file=nowhere, force_terminal=True).print(text)


def golden() -> list[bytes]:
    octets = [bytes.fromhex(each) for each in GOLDEN.values()]
    return [each for each in octets if each[0] in {1, 3, 7, 15, 22, 23}]


@st.composite
def near_messages(draw: st.DrawFn) -> bytes:
    octets = bytearray(draw(st.sampled_from(golden())))
    for _ in range(draw(st.integers(0, 4))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets[: draw(st.integers(0, len(octets)))]) + draw(st.binary(max_size=30))


@given(st.binary(max_size=100) | near_messages())
@example(b"\x01")
@example(b"\x04")
def test_any_payload_is_shown(payload):
    shown(payload)


@given(st.binary(max_size=400), st.sampled_from([1, 12, 113, 276, 101, 105]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_frame_is_shown_or_skipped(flowbind, tmp_path, frame, link_type):
    path = tmp_path / "c.pcap"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link_type)
    path.write_bytes(header + struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)

    assert flowbind("decode", str(path)).status in {0, 1}


@st.composite
def damaged_captures(draw: st.DrawFn) -> bytes:
    file = io.BytesIO()
    writer = draw(st.sampled_from([dpkt.pcap.Writer, dpkt.pcapng.Writer]))(file)
    for payload in golden():
        writer.writepkt(bytes(Ether() / to_agent(payload)), ts=1.0)
    octets = bytearray(file.getvalue())
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, 120) | st.integers(0, len(octets) - 1))
        octets[at] = draw(st.integers(0, 255))
    return bytes(octets[: draw(st.integers(0, len(octets)))])


@given(damaged_captures())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_capture_ends_in_a_status_and_at_most_one_line(flowbind, tmp_path, octets):
    path = tmp_path / "c"
    path.write_bytes(octets)
    outcome = flowbind("decode", str(path))

    assert outcome.status in {0, 1, 2}
    assert outcome.err.count("\n") <= 1


def test_when_nobody_reads_on_it_ends_quietly(flowbind, request_octets, monkeypatch):
    def gone(*_arguments, **_options):
        raise BrokenPipeError

    replaced: list[tuple[int, int]] = []
    monkeypatch.setattr(typer, "echo", gone)
    monkeypatch.setattr(os, "dup2", lambda *pair: replaced.append(pair))
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    outcome = flowbind("decode", request_octets.hex())

    assert (outcome.status, outcome.out, outcome.err) == (1, "", "")
    assert [out for _, out in replaced] == [1]
