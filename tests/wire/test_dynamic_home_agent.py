from ipaddress import IPv4Address

import pytest

from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.extension import UnknownExtension, decode_extensions

FIRST, SECOND = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
GOLDEN = [
    ("dynamic-home-agent-requested", DynamicHomeAgent(1, FIRST)),
    ("dynamic-home-agent-redirected", DynamicHomeAgent(2, SECOND)),
    ("dynamic-home-agent-long", DynamicHomeAgent(1, FIRST, long=True)),
]


@pytest.mark.rfc("4433", "3.4")
@pytest.mark.parametrize(("name", "extension"), GOLDEN)
def test_golden_both_ways(vector, name, extension):
    assert extension.encode() == vector(name)
    assert decode_extensions(vector(name), 0) == (extension,)


def test_what_is_sent_is_the_short_one():
    assert not DynamicHomeAgent(1, FIRST).long


@pytest.mark.parametrize(
    "octets",
    ["8b00", "8b0101", "8b0401c00002", "8b0601c000020100", "8b0500c0000201", "8b0503c0000201"],
)
def test_one_of_another_length_or_subtype_is_passed_over(octets):
    payload = bytes.fromhex(octets)

    assert decode_extensions(payload, 0) == (UnknownExtension(139, payload[2:]),)
