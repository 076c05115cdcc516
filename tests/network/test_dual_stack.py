"""IPv6 prefixes, between both engines (RFC 5454)."""

from ipaddress import IPv6Network

import pytest
from msgspec import structs

from flowbind.events import PolicyReplaced
from flowbind.wire.iana import SelectorFormat

ONE, TWO = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/48")


def of_ipv6(rule):
    selectors = [
        structs.replace(each, format=SelectorFormat.IPV6_BINARY) for each in rule.selectors
    ]
    return structs.replace(rule, name=f"{rule.name}-6", selectors=tuple(selectors))


@pytest.mark.rfc("5454", "3.3", "DS-HA-1")
@pytest.mark.rfc("5454", "3.5", "DS-MN-3")
def test_both_ends_forward_the_same_prefixes(make_world):
    world = make_world(agent={"prefixes": (ONE,)}, ipv6_prefixes=(ONE, TWO))
    world.up("wlan0", "wwan0")
    assert world.forwarding["agent"].prefixes == (ONE,)
    assert world.forwarding["node"].prefixes == (ONE,)
    assert world.node.statistics["prefix_refused"] == 1


@pytest.mark.parametrize("prefixes", [(), (ONE,)])
def test_rules_for_both_versions_of_ip_agree_where_there_are_prefixes(make_world, tools, prefixes):
    agent = {"prefixes": prefixes, "policy_in_reply": True}
    world = make_world(agent=agent, ipv6_prefixes=(ONE,))
    world.up("wlan0", "wwan0", "cdma0")
    world.at_node(PolicyReplaced((tools.voice, of_ipv6(tools.voice), of_ipv6(tools.web))))
    world.run(5)
    formats = [each.selector.format for each in world.record.rules]
    wanted = (SelectorFormat.IPV6_BINARY,) * (2 if prefixes else 0)
    assert formats == [SelectorFormat.IPV4_BINARY, *wanted]
    assert world.node.statistics["policy_differs"] == 0
