from ipaddress import IPv4Address

import pytest

from flowbind.wire.authentication import Authentication
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import decode, encode
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment

HOME_ADDRESS = IPv4Address("10.0.0.2")
REVOCATION = Revocation(
    by_home_agent=True,
    inform=True,
    home_address=HOME_ADDRESS,
    home_domain=IPv4Address("192.0.2.1"),
    foreign_domain=IPv4Address("198.51.100.7"),
    identifier=0xE8D4A510,
    extensions=(
        Authentication(
            ExtensionType.FOREIGN_HOME_AUTHENTICATION,
            256,
            bytes.fromhex("318481f6ce90d68dd42f064c9c1c391e"),
        ),
    ),
)
ACKNOWLEDGMENT = RevocationAcknowledgment(
    inform=True,
    home_address=HOME_ADDRESS,
    identifier=0xE8D4A510,
    extensions=(
        Authentication(
            ExtensionType.FOREIGN_HOME_AUTHENTICATION,
            256,
            bytes.fromhex("ae8cb397d1cb7804af3dc6871a476f06"),
        ),
    ),
)


@pytest.mark.rfc("3543", "3.3")
def test_the_golden_revocation_both_ways(vector):
    assert decode(vector("revocation")) == REVOCATION
    assert encode(REVOCATION) == vector("revocation")


@pytest.mark.rfc("3543", "3.4")
def test_the_golden_acknowledgment_both_ways(vector):
    assert decode(vector("revocation-acknowledgment")) == ACKNOWLEDGMENT
    assert encode(ACKNOWLEDGMENT) == vector("revocation-acknowledgment")


@pytest.mark.rfc("3543", "3.3")
@pytest.mark.parametrize(
    ("flags", "by_home_agent", "inform"),
    [(0x0000, False, False), (0x8000, True, False), (0x4000, False, True), (0xC000, True, True)],
)
def test_each_flag_has_its_bit(vector, flags, by_home_agent, inform):
    octets = vector("revocation")
    octets = octets[:2] + flags.to_bytes(2, "big") + octets[4:]
    message = decode(octets)

    assert isinstance(message, Revocation)
    assert (message.by_home_agent, message.inform) == (by_home_agent, inform)
    assert encode(message) == octets


@pytest.mark.rfc("3543", "3.4")
def test_the_inform_bit_of_an_acknowledgment_is_the_first(vector):
    octets = vector("revocation-acknowledgment")
    without = octets[:2] + bytes(2) + octets[4:]
    message = decode(without)

    assert isinstance(message, RevocationAcknowledgment)
    assert message.inform is False
    assert encode(message) == without


@pytest.mark.rfc("3543", "3.3")
@pytest.mark.rfc("3543", "3.4")
@pytest.mark.parametrize(
    ("name", "reserved"), [("revocation", 0x3FFF), ("revocation-acknowledgment", 0x7FFF)]
)
def test_reserved_bits_are_ignored_and_sent_as_zero(vector, name, reserved):
    octets = vector(name)
    flags = int.from_bytes(octets[2:4], "big") | reserved
    message = decode(octets[:1] + b"\xff" + flags.to_bytes(2, "big") + octets[4:])

    assert message == decode(octets)
    assert encode(message) == octets


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        ("07" + "00" * 18, "19 octets are no Registration Revocation"),
        ("0f" + "00" * 10, "11 octets acknowledge no revocation"),
    ],
)
def test_one_that_is_cut_short_is_refused_in_silence(octets, what):
    with pytest.raises(WireError, match=f"truncated: {what}") as refused:
        decode(bytes.fromhex(octets))

    assert refused.value.code is None
    assert decode(bytes.fromhex(octets) + b"\x00").extensions == ()
