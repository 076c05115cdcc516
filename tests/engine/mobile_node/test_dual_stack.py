"""IPv6 prefixes at the mobile node (RFC 5454)."""

from ipaddress import IPv6Network

import pytest

from flowbind.effects import ProgramForwarding
from flowbind.events import DeregisterRequested, RegisterRequested, Restored
from flowbind.wire.dual_stack import Ipv6PrefixReply, Ipv6PrefixRequest, Ipv6TunnelingMode
from flowbind.wire.message import all_of, split_at_authentication

ONE, TWO = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/48")


@pytest.fixture
def dual(make_trip):
    return make_trip(ipv6_prefixes=(ONE, TWO))


def told(prefix, code=1):
    return Ipv6PrefixReply(code, prefix.network_address, prefix.prefixlen)


def asked(trip):
    protected, _authentication, _exposed = split_at_authentication(trip.asked, trip.kind)
    return [
        each.network if isinstance(each, Ipv6PrefixRequest) else "mode"
        for each in protected
        if isinstance(each, Ipv6PrefixRequest | Ipv6TunnelingMode)
    ]


def up(trip, *answers, name="wlan0"):
    trip.hear(trip.interface_up(name))
    trip.answer(extensions=answers)


@pytest.mark.rfc("5454", "3.1", "DS-MN-1")
@pytest.mark.rfc("5454", "3.5", "DS-MN-2")
def test_every_registration_asks_for_all_prefixes_and_tunnels_to_the_care_of_address(dual):
    for name in ("wlan0", "wwan0"):
        up(dual, told(ONE), told(TWO), name=name)
        assert asked(dual) == [ONE, TWO, "mode"]
    dual.hear(RegisterRequested())
    assert dual.multipath.bulk
    assert asked(dual) == [ONE, TWO, "mode"]


def test_a_node_without_prefixes_says_nothing_of_them(trip):
    trip.up("wlan0")
    assert asked(trip) == []
    assert trip.engine.prefixes == ()


@pytest.mark.rfc("5454", "3.8")
def test_a_deregistration_says_nothing_of_prefixes(dual):
    up(dual, told(ONE))
    dual.hear(DeregisterRequested("wlan0"))
    assert dual.asked.lifetime_s == 0
    assert asked(dual) == []


@pytest.mark.rfc("5454", "3.5", "DS-MN-3")
def test_what_is_accepted_is_forwarded(dual):
    up(dual, told(TWO), told(ONE))
    (program,) = [each for each in dual.last if isinstance(each, ProgramForwarding)]
    assert program.node.prefixes == (ONE, TWO)
    assert dual.record.prefixes == (ONE, TWO)
    assert f"IPv6 prefix {ONE} registered" in dual.logged
    up(dual, told(TWO), told(ONE), name="wwan0")
    assert f"IPv6 prefix {ONE} registered" not in dual.logged


@pytest.mark.rfc("5454", "3.5", "DS-MN-4")
def test_without_any_reply_extension_there_is_no_ipv6(dual):
    up(dual)
    assert dual.state("wlan0") == "up"
    assert dual.record.prefixes == ()
    assert "the home agent registers no IPv6 prefixes" in dual.logged
    assert dual.engine.statistics["prefix_refused"] == 1
    up(dual, name="wwan0")
    assert "the home agent registers no IPv6 prefixes" not in dual.logged


@pytest.mark.rfc("5454", "3.5", "DS-MN-5")
@pytest.mark.parametrize("answers", [(), (told(TWO, 8),), (told(TWO, 9),), (told(TWO, 0),)])
def test_what_is_rejected_or_not_mentioned_is_not_registered(dual, answers):
    up(dual, told(ONE), *answers)
    assert dual.record.prefixes == (ONE,)
    assert any(f"the IPv6 prefix {TWO} is not registered" in text for text in dual.logged)


@pytest.mark.rfc("5454", "3.5", "DS-MN-6")
def test_an_answer_about_what_was_not_asked_for_means_nothing(dual):
    up(dual, told(IPv6Network("2001:db8:9::/64")), told(ONE), told(ONE, 9))
    assert dual.record.prefixes == (ONE,)


@pytest.mark.rfc("5454", "3.2", "DS-MN-7")
def test_a_denial_overrides_what_it_says_of_prefixes(dual):
    dual.hear(dual.interface_up("wlan0"))
    dual.answer(130, extensions=(told(ONE),))
    assert dual.engine.prefixes == ()


@pytest.mark.rfc("5454", "3.8")
def test_what_is_accepted_no_more_goes(dual):
    up(dual, told(ONE), told(TWO))
    up(dual, told(TWO), name="wwan0")
    (program,) = [each for each in dual.last if isinstance(each, ProgramForwarding)]
    assert program.node.prefixes == (TWO,)


def test_prefixes_go_with_the_last_binding(dual):
    up(dual, told(ONE))
    dual.hear(DeregisterRequested("wlan0"))
    dual.answer()
    assert dual.record.prefixes == ()


def test_a_restart_goes_on_with_what_is_still_configured(dual, make_trip):
    up(dual, told(ONE), told(TWO))
    other = make_trip(ipv6_prefixes=(TWO,))
    other.hear(Restored((dual.record,)))
    (program,) = [each for each in other.last if isinstance(each, ProgramForwarding)]
    assert program.node.prefixes == (TWO,)


def test_what_was_asked_for_is_one_extension_each(dual):
    dual.hear(dual.interface_up("wlan0"))
    assert len(all_of(dual.asked, Ipv6PrefixRequest)) == 2
    assert len(all_of(dual.asked, Ipv6TunnelingMode)) == 1
