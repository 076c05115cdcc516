"""IPv6 prefixes, between both engines (RFC 5454)."""

from ipaddress import IPv6Network

import pytest

ONE, TWO = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/48")


@pytest.mark.rfc("5454", "3.3", "DS-HA-1")
@pytest.mark.rfc("5454", "3.5", "DS-MN-3")
def test_both_ends_forward_the_same_prefixes(make_world):
    world = make_world(agent={"prefixes": (ONE,)}, ipv6_prefixes=(ONE, TWO))
    world.up("wlan0", "wwan0")
    assert world.forwarding["agent"].prefixes == (ONE,)
    assert world.forwarding["node"].prefixes == (ONE,)
    assert world.node.statistics["prefix_refused"] == 1
