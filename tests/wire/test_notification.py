from ipaddress import IPv4Address

import pytest

from flowbind.wire.authentication import Authentication
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, MessageDirection, NotificationCode
from flowbind.wire.message import decode, encode
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment
from flowbind.wire.strings import MessageString

MHAE = ExtensionType.MOBILE_HOME_AUTHENTICATION
ADDRESSES = (IPv4Address("10.0.0.2"), IPv4Address("192.0.2.1"), IPv4Address("198.51.100.7"))
NOTIFICATION = GenericNotification(
    MessageDirection.HOME_AGENT_TO_MOBILE_NODE,
    True,
    *ADDRESSES,
    0xE8D4A510_00000001,
    (
        MessageString(1, b"maintenance"),
        Authentication(MHAE, 256, bytes.fromhex("bf5501f8ea607755e4e1b6e8309a8944")),
    ),
)
ACKNOWLEDGMENT = NotificationAcknowledgment(
    MessageDirection.MOBILE_NODE_TO_HOME_AGENT,
    NotificationCode.ACCEPTED,
    *ADDRESSES,
    0xE8D4A510_00000001,
    (Authentication(MHAE, 256, bytes.fromhex("1c14c25efd97ec7586523225e1f11d4e")),),
)


@pytest.mark.rfc("6098", "4.1")
def test_the_golden_notification_both_ways(vector):
    assert decode(vector("notification")) == NOTIFICATION
    assert encode(NOTIFICATION) == vector("notification")


@pytest.mark.rfc("6098", "4.2")
def test_the_golden_acknowledgment_both_ways(vector):
    assert decode(vector("notification-acknowledgment")) == ACKNOWLEDGMENT
    assert encode(ACKNOWLEDGMENT) == vector("notification-acknowledgment")


@pytest.mark.rfc("6098", "4.1")
def test_without_the_bit_no_acknowledgment_is_wanted(vector):
    octets = vector("notification")
    message = decode(octets[:2] + bytes(2) + octets[4:])

    assert isinstance(message, GenericNotification)
    assert message.acknowledge is False
    assert encode(message) == octets[:2] + bytes(2) + octets[4:]


@pytest.mark.rfc("6098", "4.1")
@pytest.mark.rfc("6098", "4.2")
@pytest.mark.parametrize(
    ("name", "reserved"),
    [("notification", "007fff"), ("notification-acknowledgment", "0000ff")],
)
def test_reserved_bits_are_ignored_and_sent_as_zero(vector, name, reserved):
    octets = vector(name)
    fields = int.from_bytes(octets[1:4], "big") | int(reserved, 16)
    message = decode(octets[:1] + fields.to_bytes(3, "big") + octets[4:])

    assert message == decode(octets)
    assert encode(message) == octets


@pytest.mark.rfc("6098", "4.2")
@pytest.mark.parametrize(("direction", "code"), [(0, 64), (5, 197), (6, 9), (255, 255)])
def test_a_direction_or_a_code_that_is_not_known_here_is_no_error(vector, direction, code):
    octets = vector("notification-acknowledgment")
    octets = octets[:1] + bytes((direction, code)) + octets[3:]
    message = decode(octets)

    assert isinstance(message, NotificationAcknowledgment)
    assert (message.direction, message.code) == (direction, code)
    assert encode(message) == octets


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (22, "23 octets are no Generic Notification"),
        (23, "23 octets acknowledge no notification"),
    ],
)
def test_one_that_is_cut_short_is_refused_in_silence(number, what):
    octets = bytes((number,)) + bytes(22)
    with pytest.raises(WireError, match=f"truncated: {what}") as refused:
        decode(octets)

    assert refused.value.code is None
    assert decode(octets + b"\x00").extensions == ()
