from ipaddress import IPv6Address, IPv6Network

import pytest

from flowbind.wire.dual_stack import (
    LINK_LOCAL,
    Ipv6PrefixReply,
    Ipv6PrefixRequest,
    Ipv6TunnelingMode,
    decode_dual_stack,
)
from flowbind.wire.errors import WireError
from flowbind.wire.extension import UnknownExtension, decode_extensions

PREFIX = IPv6Network("2001:db8:1::/48")


@pytest.mark.rfc("5454", "2.1", "DS-E-1")
def test_golden_request_both_ways(vector):
    extension = Ipv6PrefixRequest.of(PREFIX)

    assert extension.encode() == vector("ipv6-prefix-request")
    assert decode_extensions(vector("ipv6-prefix-request"), 0) == (extension,)
    assert extension.network == PREFIX


@pytest.mark.rfc("5454", "2.2", "DS-E-2")
def test_golden_reply_both_ways(vector):
    extension = Ipv6PrefixReply(1, PREFIX.network_address, 48)

    assert extension.encode() == vector("ipv6-prefix-reply")
    assert decode_extensions(vector("ipv6-prefix-reply"), 0) == (extension,)
    assert extension.network == PREFIX


@pytest.mark.rfc("5454", "2.2", "DS-E-2")
def test_a_link_local_address_is_no_prefix(vector):
    extension = Ipv6PrefixReply(0, IPv6Address("fe80::1"), LINK_LOCAL)

    assert extension.encode() == vector("ipv6-link-local-reply")
    assert decode_extensions(vector("ipv6-link-local-reply"), 0) == (extension,)
    assert extension.network is None
    assert Ipv6PrefixRequest(IPv6Address("fe80::1"), LINK_LOCAL).network is None


@pytest.mark.rfc("5454", "2.3", "DS-E-3")
def test_golden_tunneling_mode_both_ways(vector):
    assert Ipv6TunnelingMode().encode() == vector("ipv6-tunneling-mode")
    assert decode_extensions(vector("ipv6-tunneling-mode"), 0) == (Ipv6TunnelingMode(),)


@pytest.mark.rfc("5454", "2.1", "DS-E-4")
def test_bits_behind_the_prefix_and_reserved_octets_are_ignored():
    octets = IPv6Address("2001:db8:1:ffff::1").packed

    request = decode_dual_stack(bytes((1, 50)) + octets)
    reply = decode_dual_stack(bytes((2, 9, 48, 0xFF)) + octets)

    assert request == Ipv6PrefixRequest(IPv6Address("2001:db8:1:c000::"), 50)
    assert reply == Ipv6PrefixReply(9, PREFIX.network_address, 48)
    assert reply.encode() == bytes((152, 20, 2, 9, 48, 0)) + PREFIX.network_address.packed
    assert decode_dual_stack(b"\x03\xff") == Ipv6TunnelingMode()


@pytest.mark.parametrize(("length", "prefix"), [(0, "::"), (1, "8000::"), (128, "ffff::1")])
def test_the_longest_and_the_shortest_prefix(length, prefix):
    request = Ipv6PrefixRequest.decode(bytes((1, length)) + IPv6Address("ffff::1").packed)

    assert request.network == IPv6Network(f"{prefix}/{length}")


@pytest.mark.rfc("5454", "2.1")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(18),
        b"\x04\x00",
        b"\x01\x40" + bytes(15),
        b"\x01\x40" + bytes(17),
        b"\x01\x81" + bytes(16),
        b"\x01\xfe" + bytes(16),
        b"\x02\x01\x81\x00" + bytes(16),
        b"\x02\x01\x40\x00" + bytes(15),
        b"\x03",
        b"\x03\x00\x00",
    ],
)
def test_what_is_not_understood_is_skipped(data):
    with pytest.raises(WireError) as refused:
        decode_dual_stack(data)

    assert refused.value.reason == "unknown-dual-stack-extension"
    assert refused.value.code is None
    framed = bytes((152, len(data))) + data
    assert decode_extensions(framed, 0) == (UnknownExtension(152, data),)


@pytest.mark.rfc("5454", "5", "DS-E-5")
@pytest.mark.parametrize(
    ("code", "accepts"), [(0, True), (1, True), (7, True), (8, False), (9, False), (255, False)]
)
def test_which_codes_accept(code, accepts):
    assert Ipv6PrefixReply(code, PREFIX.network_address, 48).accepts is accepts
