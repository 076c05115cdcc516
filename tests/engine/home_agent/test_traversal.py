"""Address translators (RFC 3519 4.6): where a tunnel ends, and what the reply says of it."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.effects import ProgramForwarding
from flowbind.model.binding import Encapsulation, UdpEnd
from flowbind.wire.iana import RequestFlag
from flowbind.wire.message import first
from flowbind.wire.udp_tunnel import UdpTunnelReply, UdpTunnelRequest

OUTSIDE = IPv4Address("203.0.113.50")
D, T = RequestFlag.DECAPSULATION_BY_MOBILE_NODE, RequestFlag.REVERSE_TUNNELING
G, M = RequestFlag.GRE_ENCAPSULATION, RequestFlag.MINIMAL_ENCAPSULATION
WILL_DO, DECLINED = UdpTunnelReply(0, 110), UdpTunnelReply(64)


@pytest.fixture
def nat(make_desk):
    return make_desk(nat_traversal=True)


def ask(desk, *extensions, source=OUTSIDE, port=40001, flags=D | T, **fields):
    """Send a request from there, and return the code of the reply."""
    event = desk.request(*extensions, flags=flags, **fields)
    return desk.hear(structs.replace(event, source=source, source_port=port))


def told(desk):
    return first(desk.reply, UdpTunnelReply)


def paths(desk):
    """Where the node's packets go."""
    (program,) = [each for each in desk.last if isinstance(each, ProgramForwarding)]
    return [(each.remote, each.remote_port, each.kind) for each in program.node.paths]


@pytest.mark.rfc("3519", "4.6", "UT-HA-1", "UT-HA-2")
def test_a_translated_request_gets_a_tunnel_to_where_it_came_from(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest()) == 0
    assert told(nat) == WILL_DO
    assert paths(nat) == [(OUTSIDE, 40001, "udp-ipip")]
    (binding,) = nat.record.bindings
    assert binding.udp == UdpEnd(OUTSIDE, 40001)
    assert binding.care_of_address == nat.care_of_address(1)


@pytest.mark.rfc("3519", "4.6", "UT-HA-3")
def test_where_there_is_none_the_tunnel_in_udp_is_declined(nat):
    source = nat.care_of_address(1)
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(), source=source) == 0
    assert told(nat) == DECLINED
    assert paths(nat) == [(source, 0, "ipip")]


@pytest.mark.rfc("3519", "4.6.1")
def test_who_does_not_ask_is_told_nothing(nat):
    assert ask(nat, nat.multipath(1)) == 0
    assert told(nat) is None
    assert paths(nat) == [(nat.care_of_address(1), 0, "ipip")]


@pytest.mark.rfc("3519", "3.1.1", "UT-HA-4")
@pytest.mark.parametrize("flags", [D | T, D | T | G])
def test_force_where_that_is_allowed(make_desk, flags):
    desk = make_desk(nat_traversal=True, udp_forced=True, keepalive_interval_s=20)
    source = desk.care_of_address(1)
    forced = UdpTunnelRequest(4, force=True)
    assert ask(desk, desk.multipath(1), forced, source=source, flags=flags) == 0
    assert told(desk) == UdpTunnelReply(0, 20, forced=True)
    assert paths(desk) == [(source, 40001, "udp-ipip")]


@pytest.mark.rfc("3519", "3.1.1", "UT-HA-4")
def test_force_where_that_is_not_allowed(nat):
    forced = UdpTunnelRequest(force=True)
    assert ask(nat, nat.multipath(1), forced, source=nat.care_of_address(1)) == 129
    assert nat.engine.statistics["refused_udp-tunnel-forced"] == 1
    # Behind a translator nobody has to insist.
    assert ask(nat, nat.multipath(1), forced) == 0


@pytest.mark.rfc("3519", "3.1.4", "UT-HA-5")
@pytest.mark.parametrize(
    ("asked", "flags", "kind"),
    [
        (0, D, "udp-ipip"),
        (0, D | G, "udp-gre"),
        (0, D | G | M, "udp-gre"),
        (4, D | G, "udp-ipip"),
        (4, D | M, "udp-ipip"),
        (47, D, "udp-gre"),
        (0, D | M, "udp-minimal"),
        (55, D | G, "udp-minimal"),
    ],
)
def test_the_encapsulation_is_that_of_the_extension_or_of_the_bits(nat, asked, flags, kind):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(asked), flags=flags) == 0
    assert paths(nat) == [(OUTSIDE, 40001, kind)]


@pytest.mark.rfc("3519", "3.1.4", "UT-HA-5")
@pytest.mark.parametrize(("asked", "flags"), [(6, D), (55, D), (47, D | M), (0, D | M | G)])
def test_an_encapsulation_that_there_is_not(make_desk, asked, flags):
    nat = make_desk(nat_traversal=True, encapsulations=(Encapsulation.IP_IN_IP,))
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(asked), flags=flags) == 142
    assert nat.engine.statistics["refused_udp-encapsulation-unavailable"] == 1


@pytest.mark.rfc("3519", "4.6.1", "UT-HA-7")
def test_only_a_node_that_decapsulates_may_ask(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(), flags=T) == 134
    assert nat.engine.statistics["refused_udp-tunnel-without-d"] == 1


@pytest.mark.rfc("3519", "4.6.1", "UT-HA-7")
def test_what_somebody_adds_behind_the_authenticator(nat):
    behind = UdpTunnelRequest().encode()
    assert ask(nat, nat.multipath(1), behind=behind) == 134
    assert nat.engine.statistics["refused_udp-tunnel-unauthenticated"] == 1
    # A foreign agent asks for itself. That is passed over.
    assert ask(nat, nat.multipath(1), behind=behind, flags=T) == 0
    assert told(nat) is None


@pytest.mark.rfc("3519", "4.6", "UT-HA-10")
def test_a_tunnel_beside_the_foreign_agent_is_declined(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(through_foreign_agent=True)) == 0
    assert told(nat) == DECLINED
    assert paths(nat) == [(nat.care_of_address(1), 0, "ipip")]


@pytest.mark.rfc("3519", "4.4", "UT-HA-11")
def test_another_end_is_taken_from_the_next_request(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest()) == 0
    assert ask(nat, nat.multipath(1), UdpTunnelRequest()) == 0
    assert nat.kinds == ["SaveNode", "SendDatagram"]
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(), port=50000) == 0
    assert paths(nat) == [(OUTSIDE, 50000, "udp-ipip")]
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(), source=nat.care_of_address(1)) == 0
    assert paths(nat) == [(nat.care_of_address(1), 0, "ipip")]


@pytest.mark.rfc("3519", "4.7", "UT-HA-9")
def test_each_path_has_its_own(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest()) == 0
    source = nat.care_of_address(2)
    assert ask(nat, nat.multipath(2), UdpTunnelRequest(), source=source) == 0
    assert paths(nat) == [(OUTSIDE, 40001, "udp-ipip"), (source, 0, "ipip")]


def test_one_private_address_behind_two_translators(nat):
    same = nat.care_of_address(1)
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(), care_of_address=same) == 0
    other = IPv4Address("203.0.113.51")
    fields = {"care_of_address": same, "source": other}
    assert ask(nat, nat.multipath(2), UdpTunnelRequest(), **fields) == 0
    assert [each[0] for each in paths(nat)] == [OUTSIDE, other]


def test_a_binding_outlasts_a_restart_with_its_end(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(47)) == 0
    nat.restart()
    assert paths(nat) == [(OUTSIDE, 40001, "udp-gre")]


def test_a_deregistration_may_come_from_anywhere(make_desk):
    desk = make_desk(nat_traversal=True, deny_source_mismatch=True)
    assert ask(desk, desk.multipath(1), UdpTunnelRequest()) == 0
    assert ask(desk, desk.multipath(1), lifetime_s=0) == 0
    assert desk.bids == []


@pytest.mark.parametrize("traversal", [True, False])
def test_who_comes_from_elsewhere_may_be_refused(make_desk, traversal):
    desk = make_desk(nat_traversal=traversal, deny_source_mismatch=True)
    assert ask(desk, desk.multipath(1)) == 129
    assert desk.engine.statistics["refused_source-mismatch"] == 1
    assert ask(desk, desk.multipath(1), source=desk.care_of_address(1)) == 0


def test_without_leave_the_extension_is_skipped(desk):
    assert ask(desk, desk.multipath(1), UdpTunnelRequest(99, force=True), flags=T) == 0
    assert told(desk) is None
    assert paths(desk) == [(desk.care_of_address(1), 0, "ipip")]


@pytest.mark.parametrize("source", ["198.51.100.1", "10.9.0.5", "127.0.0.1", "255.255.255.255"])
def test_no_tunnel_to_where_none_can_end(nat, source):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(), source=IPv4Address(source)) == 134
    assert nat.engine.statistics["refused_care-of-address-unusable"] == 1


def test_no_tunnel_to_port_0(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(), port=0) == 134
    assert nat.engine.statistics["refused_udp-tunnel-without-port"] == 1


def test_a_request_with_the_reply_extension_is_silently_discarded(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelReply(0)) is None
    assert nat.engine.statistics["discarded_unknown-extension"] == 1


def test_a_denial_says_nothing_of_tunnels(nat):
    assert ask(nat, nat.multipath(1), UdpTunnelRequest(), home_agent=OUTSIDE) == 136
    assert told(nat) is None
