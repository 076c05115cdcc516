from ipaddress import IPv4Address

import pytest

from flowbind.wire.iana import RequestFlag
from flowbind.wire.message import decode, encode
from flowbind.wire.registration import RegistrationReply, RegistrationRequest

HOME_ADDRESS = IPv4Address("10.0.0.2")
HOME_AGENT = IPv4Address("192.0.2.1")
CARE_OF = IPv4Address("198.51.100.7")
REQUEST = RegistrationRequest(
    RequestFlag.DECAPSULATION_BY_MOBILE_NODE | RequestFlag.REVERSE_TUNNELING,
    1800,
    HOME_ADDRESS,
    HOME_AGENT,
    CARE_OF,
    0xE8D4A510_00000001,
)
REPLY = RegistrationReply(0, 1800, HOME_ADDRESS, HOME_AGENT, 0xE8D4A510_00000001)


@pytest.mark.rfc("5944", "3.3")
def test_the_fixed_part_of_a_request(vector):
    octets = vector("request")[:24]

    assert encode(REQUEST) == octets
    assert decode(octets) == REQUEST


@pytest.mark.rfc("5944", "3.4")
def test_the_fixed_part_of_a_reply(vector):
    octets = vector("reply")[:20]

    assert encode(REPLY) == octets
    assert decode(octets) == REPLY


@pytest.mark.rfc("5944", "3.3")
@pytest.mark.parametrize(
    ("flag", "bit"),
    [
        (RequestFlag.SIMULTANEOUS_BINDINGS, 0x80),
        (RequestFlag.BROADCAST_DATAGRAMS, 0x40),
        (RequestFlag.DECAPSULATION_BY_MOBILE_NODE, 0x20),
        (RequestFlag.MINIMAL_ENCAPSULATION, 0x10),
        (RequestFlag.GRE_ENCAPSULATION, 0x08),
        (RequestFlag.RESERVED_R, 0x04),
        (RequestFlag.REVERSE_TUNNELING, 0x02),
        (RequestFlag.RESERVED_X, 0x01),
    ],
)
def test_each_flag_has_its_bit(flag, bit):
    octets = bytearray(encode(REQUEST))
    octets[1] = bit

    message = decode(bytes(octets))

    assert isinstance(message, RegistrationRequest)
    assert message.flags == flag
    assert encode(message) == octets


@pytest.mark.rfc("5944", "3.4")
@pytest.mark.parametrize("code", [2, 9, 116, 127, 194, 255])
def test_a_code_that_is_not_known_here_is_no_error(code):
    octets = bytearray(encode(REPLY))
    octets[1] = code

    message = decode(bytes(octets))

    assert isinstance(message, RegistrationReply)
    assert message.code == code
    assert encode(message) == octets


@pytest.mark.parametrize("lifetime_s", [0, 1, 0xFFFE, 0xFFFF])
def test_the_lifetimes_at_the_ends_of_the_field(lifetime_s):
    octets = bytearray(encode(REQUEST))
    octets[2:4] = lifetime_s.to_bytes(2, "big")

    message = decode(bytes(octets))

    assert isinstance(message, RegistrationRequest)
    assert message.lifetime_s == lifetime_s
