"""Address translators (RFC 3519 4.4): what the node offers, and what it makes of the answer."""

import pytest
from msgspec import structs

from flowbind.engine.mobile_node import MobileNode
from flowbind.events import InterfaceUp, RegisterRequested, Restored
from flowbind.model.binding import UdpEnd
from flowbind.model.config import NatTraversal
from flowbind.wire.message import first
from flowbind.wire.udp_tunnel import UdpTunnelReply, UdpTunnelRequest

PORT = 40000
WILL_DO, DECLINED = (UdpTunnelReply(0, 20),), (UdpTunnelReply(64),)


@pytest.fixture
def make_behind(make_trip):
    """A node whose first interface may be behind a translator."""

    def make(traversal=NatTraversal.AUTO, **changes):
        trip = make_trip(**changes)
        one, *others = trip.config.interfaces
        interfaces = (structs.replace(one, nat_traversal=traversal), *others)
        trip.config = structs.replace(trip.config, interfaces=interfaces)
        trip.engine = MobileNode(trip.config, trip.nonces)
        return trip

    return make


@pytest.fixture
def behind(make_behind):
    return make_behind()


def up(trip, name="wlan0", port=PORT):
    trip.hear(InterfaceUp(name, trip.address_of(name), port))


def offer(trip):
    return first(trip.asked, UdpTunnelRequest)


def tunnel(trip, name="wlan0"):
    found = trip.interface(name).tunnel
    return (found.kind, found.local_port, found.remote_port, found.transmit)


@pytest.mark.rfc("3519", "4.4", "UT-MN-1")
@pytest.mark.parametrize("force", [False, True])
def test_a_request_offers_a_tunnel_in_udp(make_behind, force):
    trip = make_behind(NatTraversal.FORCE if force else NatTraversal.AUTO)
    up(trip)
    assert offer(trip) == UdpTunnelRequest(0, force=force)
    # The home agent may forward before its reply is there, by either kind.
    assert tunnel(trip) == ("udp-ipip", PORT, 434, False)


@pytest.mark.rfc("3519", "4.4", "UT-MN-2")
def test_one_that_is_accepted_is_used(behind):
    up(behind)
    behind.answer(extensions=WILL_DO)
    assert tunnel(behind) == ("udp-ipip", PORT, 434, True)
    assert behind.record.bindings[0].udp == UdpEnd(behind.address_of("wlan0"), PORT)
    assert behind.logged == ["wlan0: registered, BID 1, for 600 s, in UDP"]


@pytest.mark.rfc("3519", "4.4", "UT-MN-2")
@pytest.mark.parametrize("extensions", [(), DECLINED])
def test_without_an_assent_there_is_none(behind, extensions):
    up(behind)
    behind.answer(extensions=extensions)
    assert tunnel(behind) == ("ipip", 0, 0, True)
    assert behind.record.bindings[0].udp is None


def test_who_insists_hears_of_it_once(make_behind):
    trip = make_behind(NatTraversal.FORCE)
    up(trip)
    trip.answer()
    assert "wlan0: the home agent gives no tunnel in UDP" in trip.logged
    trip.hear(RegisterRequested("wlan0"))
    trip.answer()
    assert trip.logged == []


@pytest.mark.rfc("3519", "4.4", "UT-MN-1")
def test_nobody_else_offers_one(behind):
    up(behind, "wwan0")
    assert offer(behind) is None
    behind.answer(extensions=WILL_DO)
    assert behind.engine.statistics["discarded_udp-tunnel-unasked"] == 1
    assert behind.state("wwan0") == "registering"


def test_without_a_port_none_is_offered(behind):
    up(behind, port=0)
    assert offer(behind) is None


def test_what_the_authenticator_does_not_cover_counts_nothing(behind):
    up(behind)
    event = behind.reply()
    behind.hear(structs.replace(event, payload=event.payload + WILL_DO[0].encode()))
    assert tunnel(behind) == ("ipip", 0, 0, True)


@pytest.mark.rfc("3519", "4.4", "UT-MN-2")
def test_a_renewal_decides_anew(behind):
    up(behind)
    behind.answer(extensions=WILL_DO)
    behind.hear(RegisterRequested("wlan0"))
    assert offer(behind) == UdpTunnelRequest()
    assert tunnel(behind) == ("udp-ipip", PORT, 434, True)
    behind.answer(extensions=DECLINED)
    assert tunnel(behind) == ("ipip", 0, 0, True)


def test_a_request_about_all_paths_speaks_for_its_own(behind):
    up(behind)
    behind.answer(extensions=WILL_DO)
    up(behind, "wwan0")
    behind.answer_all()
    behind.hear(RegisterRequested())
    assert behind.asked.care_of_address == behind.address_of("wlan0")
    assert offer(behind) == UdpTunnelRequest()
    behind.answer(extensions=WILL_DO)
    assert tunnel(behind) == ("udp-ipip", PORT, 434, True)
    assert tunnel(behind, "wwan0") == ("ipip", 0, 0, True)
    behind.hear(RegisterRequested())
    behind.answer(extensions=DECLINED)
    assert tunnel(behind) == ("ipip", 0, 0, True)


def test_a_deregistration_says_nothing_of_it(behind):
    up(behind)
    behind.answer(extensions=WILL_DO)
    up(behind, "wwan0")
    behind.answer_all()
    behind.down("wlan0")
    assert behind.asked.lifetime_s == 0
    assert offer(behind) is None


@pytest.mark.rfc("3519", "4.9", "UT-MN-5")
@pytest.mark.parametrize(
    ("probe_interval_s", "told_s", "paced_s"), [(60.0, 20, 20.0), (0.5, 20, 0.5), (300.0, 0, 110.0)]
)
def test_probes_are_the_keepalives(make_behind, probe_interval_s, told_s, paced_s):
    trip = make_behind(probe_interval_s=probe_interval_s)
    up(trip)
    trip.answer(extensions=(UdpTunnelReply(0, told_s),))
    assert trip.interface("wlan0").keepalive.interval_s == paced_s
    trip.hear(RegisterRequested("wlan0"))
    trip.answer(extensions=DECLINED)
    assert trip.interface("wlan0").keepalive.interval_s == probe_interval_s


@pytest.mark.rfc("3519", "4.10", "UT-MN-6")
def test_a_silent_path_is_registered_again_at_once(make_behind):
    trip = make_behind(probe_interval_s=0.5)
    up(trip)
    trip.answer(extensions=WILL_DO)
    trip.wait(0.1)
    trip.probe_answered("wlan0")
    before = trip.sent
    trip.wait(2.5)
    assert trip.state("wlan0") == "dead"
    assert trip.sent is not before
    assert offer(trip) == UdpTunnelRequest()


def test_a_restored_tunnel_is_used_until_it_is_renewed(behind):
    up(behind)
    behind.answer(extensions=WILL_DO)
    record = behind.record
    behind.engine = MobileNode(behind.config, behind.nonces)
    behind.hear(Restored((record,)))
    assert tunnel(behind) == ("udp-ipip", PORT, 434, True)
    up(behind, port=PORT + 1)
    behind.answer(extensions=WILL_DO)
    assert tunnel(behind) == ("udp-ipip", PORT + 1, 434, True)
