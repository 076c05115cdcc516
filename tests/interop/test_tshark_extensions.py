"""What tshark makes of the messages and extensions around RFC 5944, field by field.

tshark without our dissector: what it knows of these octets, other people have taught it.
"""

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from flowbind.wire.authentication import Authentication
from flowbind.wire.challenge import Challenge
from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.iana import ExtensionType, RequestFlag
from flowbind.wire.message import decode, encode
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from flowbind.wire.revocation_support import RevocationSupport
from flowbind.wire.service_selection import ServiceSelection
from flowbind.wire.strings import ForeignAgentError, MessageString
from flowbind.wire.vendor import CriticalVendorExtension, NormalVendorExtension
from tests.interop.captures import in_udp, write
from tests.interop.strategies import addresses, authentications, examples, names, unsigned

REPLY = bytes.fromhex("03000708 0a000002 c0000201 e8d4a51000000001")
MHAE = bytes.fromhex("2014 00000100 f09b6d338ac0ab474cf41c319abd9233")

VENDORS_OF_THEIR_OWN = {5535, 12951}
"""3GPP2 and Verizon: of their extensions tshark dissects the value too."""

extensions = st.one_of(
    names(),
    authentications(ExtensionType.MOBILE_FOREIGN_AUTHENTICATION),
    authentications(ExtensionType.FOREIGN_HOME_AUTHENTICATION),
    st.builds(
        GeneralizedAuthentication, unsigned(8), unsigned(32), st.binary(min_size=16, max_size=64)
    ),
    st.builds(Challenge, st.binary(min_size=1, max_size=255)),
    st.builds(RevocationSupport, unsigned(32), st.booleans()),
    st.builds(MessageString, st.integers(1, 2), st.binary(min_size=1, max_size=254)),
    st.builds(ForeignAgentError, unsigned(8)),
    st.builds(ServiceSelection, st.text("abcü.", min_size=1, max_size=99)),
    st.builds(DynamicHomeAgent, st.integers(1, 2), addresses),
    *(
        st.builds(
            kind,
            unsigned(24).filter(lambda vendor: vendor not in VENDORS_OF_THEIR_OWN),
            unsigned(16),
            st.binary(min_size=1, max_size=200),
        )
        for kind in (CriticalVendorExtension, NormalVendorExtension)
    ),
)
behind = st.tuples(st.lists(extensions, max_size=4), authentications()).map(
    lambda parts: (*parts[0], parts[1])
)
messages = st.one_of(
    st.builds(
        RegistrationRequest,
        unsigned(8).map(RequestFlag),
        unsigned(16),
        *[addresses] * 3,
        unsigned(64),
        behind,
    ),
    st.builds(RegistrationReply, unsigned(8), unsigned(16), *[addresses] * 2, unsigned(64), behind),
    st.builds(Revocation, *[st.booleans()] * 2, *[addresses] * 3, unsigned(32), behind),
    st.builds(RevocationAcknowledgment, st.booleans(), addresses, unsigned(32), behind),
)


def shown_by_tshark(path, payloads):
    """Give each packet as (field, value in hex) in tshark's order, and whether it is malformed."""
    write(path, [in_udp(each) for each in payloads])
    document = subprocess.run(
        ["tshark", "-n", "-r", path, "-T", "pdml"], capture_output=True, check=True, timeout=100
    ).stdout
    found = []
    for packet in ET.fromstring(document).findall("packet"):  # noqa: S314 - made by tshark here
        fields = [
            (field.get("name", ""), field.get("value") or "")
            for proto in packet.findall("proto[@name='mip']")
            for field in proto.iter("field")
        ]
        malformed = packet.find("proto[@name='_ws.malformed']") is not None
        found.append((fields, malformed))
    assert len(found) == len(payloads)
    return found


def hexadecimal(value, octets):
    return f"{value:0{2 * octets}x}"


def fields_of(message):
    """What tshark should show, if it reads the message as we have meant it."""
    match message:
        case RegistrationRequest():
            yield "mip.type", "01"
            yield "mip.flags", hexadecimal(message.flags, 1)
            yield "mip.life", hexadecimal(message.lifetime_s, 2)
            yield "mip.homeaddr", message.home_address.packed.hex()
            yield "mip.haaddr", message.home_agent.packed.hex()
            yield "mip.coa", message.care_of_address.packed.hex()
            yield "mip.ident", hexadecimal(message.identification, 8)
        case RegistrationReply():
            yield "mip.type", "03"
            yield "mip.code", hexadecimal(message.code, 1)
            yield "mip.life", hexadecimal(message.lifetime_s, 2)
            yield "mip.homeaddr", message.home_address.packed.hex()
            yield "mip.haaddr", message.home_agent.packed.hex()
            yield "mip.ident", hexadecimal(message.identification, 8)
        case Revocation():
            yield "mip.type", "07"
            yield "mip.rev.a", str(int(message.by_home_agent))
            yield "mip.rev.i", str(int(message.inform))
            yield "mip.homeaddr", message.home_address.packed.hex()
            yield "mip.rev.hda", message.home_domain.packed.hex()
            yield "mip.rev.fda", message.foreign_domain.packed.hex()
            yield "mip.revid", hexadecimal(message.identifier, 4)
        case RevocationAcknowledgment():
            yield "mip.type", "0f"
            yield "mip.ack.i", str(int(message.inform))
            yield "mip.homeaddr", message.home_address.packed.hex()
            yield "mip.revid", hexadecimal(message.identifier, 4)
        case _:
            raise AssertionError(message)
    for extension in message.extensions:
        yield "mip.ext.type", extension.encode()[:1].hex()
        yield from FIELDS_OF[type(extension)](extension)


def short(extension, *fields):
    """Length has one octet behind Type, and the fields come behind it."""
    return [("mip.ext.len", extension.encode()[1:2].hex()), *fields]


def long(extension, *fields):
    """Length has two octets, and stands behind a subtype or what is in its place."""
    return [("mip.ext.len", extension.encode()[2:4].hex()), *fields]


def authenticator(extension):
    spi = ("mip.auth.spi", hexadecimal(extension.spi, 4))
    return spi, ("mip.auth.auth", extension.authenticator.hex())


def vendor(extension, kind):
    return (
        (f"mip.ext.{kind}.vendor_id", hexadecimal(extension.vendor, 4)),
        (f"mip.ext.{kind}.vendor_type", hexadecimal(extension.vendor_type, 2)),
        (f"mip.ext.{kind}.vendor_value", extension.value.hex()),
    )


FIELDS_OF: dict[type, Callable] = {
    Authentication: lambda each: short(each, *authenticator(each)),
    GeneralizedAuthentication: lambda each: [
        ("mip.ext.auth.subtype", hexadecimal(each.subtype, 1)),
        *long(each, *authenticator(each)),
    ],
    NetworkAccessIdentifier: lambda each: short(each, ("mip.nai", each.nai.encode().hex())),
    RevocationSupport: lambda each: short(
        each,
        ("mip.ext.rev.i", str(int(each.inform))),
        ("mip.ext.rev.tstamp", hexadecimal(each.timestamp, 4)),
    ),
    MessageString: lambda each: short(
        each,
        ("mip.ext.msgstr.subtype", hexadecimal(each.subtype, 1)),
        ("mip.ext.msgstr.text", each.octets.hex()),
    ),
    DynamicHomeAgent: lambda each: short(
        each,
        ("mip.ext.dynha.subtype", hexadecimal(each.subtype, 1)),
        ("mip.ext.dynha.ha", each.home_agent.packed.hex()),
    ),
    CriticalVendorExtension: lambda each: long(each, *vendor(each, "cvse")),
    NormalVendorExtension: lambda each: short(each, *vendor(each, "nvse")),
    # Of these three it knows where they end, and nothing of what is in them.
    Challenge: lambda each: short(each, ("mip.extension", each.value.hex())),
    ServiceSelection: lambda each: short(each, ("mip.extension", each.identifier.encode().hex())),
    ForeignAgentError: lambda each: short(each, ("mip.extension", f"00{each.status:02x}")),
}


def compared(fields, expected):
    """Of what tshark shows, the fields that are to be compared: bits of flags come one by one."""
    known = {name for name, _value in expected}
    return [(name, value) for name, value in fields if name in known]


@pytest.mark.rfc("3115", "2.1")
@pytest.mark.rfc("3115", "2.2")
@pytest.mark.rfc("3543", "3.2")
@pytest.mark.rfc("3543", "3.3")
@pytest.mark.rfc("3543", "3.4")
@pytest.mark.rfc("4433", "3.4")
@pytest.mark.rfc("4636", "3")
@pytest.mark.rfc("4721", "4")
@pytest.mark.rfc("4721", "5")
@pytest.mark.rfc("4917", "3")
@pytest.mark.rfc("5446", "3")
def test_tshark_reads_every_field_as_it_is_meant(tmp_path):
    sent = examples(messages, 250)
    reached = {type(each) for each in sent} | {type(e) for each in sent for e in each.extensions}
    assert len(reached) == 15
    shown = shown_by_tshark(tmp_path / "c.pcap", [encode(each) for each in sent])

    for message, (fields, malformed) in zip(sent, shown, strict=True):
        expected = list(fields_of(message))
        assert compared(fields, expected) == expected, message
        assert not malformed, message


WHAT_TSHARK_KNOWS_BESIDES = {
    "udp-tunnel-request": [
        ("mip.ext.utrq.subtype", "00"),
        ("mip.ext.utrq.f", "1"),
        ("mip.ext.utrq.r", "0"),
        ("mip.ext.utrq.encaptype", "2f"),
    ],
    "udp-tunnel-reply": [
        ("mip.ext.utrp.subtype", "00"),
        ("mip.ext.utrp.code", "00"),
        ("mip.ext.utrp.f", "1"),
        ("mip.ext.utrp.keepalive", "006e"),
    ],
    "mobile-network-request": [
        ("mip.ext.mne.subtype", "00"),
        ("mip.ext.mne.prefix_length", "18"),
        ("mip.ext.mne.prefix", "cb007100"),
    ],
    "mobile-network-acknowledgement": [
        ("mip.ext.mne.subtype", "01"),
        ("mip.ext.mne.code", "02"),
        ("mip.ext.mne.prefix_length", "18"),
        ("mip.ext.mne.prefix", "cb007100"),
    ],
}
"""Extensions that `flowbind decode` alone reads; tests/cli/test_decode_others.py has our fields."""


@pytest.mark.rfc("3519", "3.1")
@pytest.mark.rfc("3519", "3.2")
@pytest.mark.rfc("5177", "4.1")
@pytest.mark.rfc("5177", "4.2")
def test_tshark_reads_the_golden_extensions_that_are_only_shown(vector, tmp_path):
    payloads = [REPLY + vector(name) + MHAE for name in WHAT_TSHARK_KNOWS_BESIDES]
    shown = shown_by_tshark(tmp_path / "c.pcap", payloads)

    for expected, (fields, malformed) in zip(
        WHAT_TSHARK_KNOWS_BESIDES.values(), shown, strict=True
    ):
        assert compared(fields, expected) == expected
        assert not malformed


WHERE_TSHARK_GOES_ASTRAY = {
    # It knows the names of messages 22 and 23 and throws an exception instead of reading them.
    "notification": True,
    "notification-acknowledgment": True,
    # It knows nothing but the short format of erratum 898; the figure of RFC 4433 is long.
    "dynamic-home-agent-long": True,
    # It takes type 48 for a simple one, so Subtype 0 is its Length, and goes on in the middle.
    "gre-key": False,
}
"""Whether it then says that the packet is malformed. Where this fails, tshark has learnt."""


@pytest.mark.parametrize("name", WHERE_TSHARK_GOES_ASTRAY)
def test_where_tshark_is_wrong(vector, tmp_path, name):
    octets = vector(name)
    payload = octets if name.startswith("notification") else REPLY + octets + MHAE
    ((fields, malformed),) = shown_by_tshark(tmp_path / "c.pcap", [payload])

    assert malformed is WHERE_TSHARK_GOES_ASTRAY[name]
    types = [int(value, 16) for field, value in fields if field == "mip.ext.type"]
    assert types != [each.encode()[0] for each in decode(payload).extensions]
