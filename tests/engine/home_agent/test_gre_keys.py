"""Keys of GRE tunnels (RFC 6245): who is given which, and what it is refused for."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.effects import ProgramForwarding
from flowbind.model.binding import Encapsulation, GreKeys
from flowbind.wire.gre_key import GreKey
from flowbind.wire.iana import ExtensionType, RequestFlag
from flowbind.wire.message import split_at_authentication
from flowbind.wire.udp_tunnel import UdpTunnelRequest

KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION
D, T = RequestFlag.DECAPSULATION_BY_MOBILE_NODE, RequestFlag.REVERSE_TUNNELING
G, M = RequestFlag.GRE_ENCAPSULATION, RequestFlag.MINIMAL_ENCAPSULATION


def told(desk):
    """The keys of the reply, as far as its authentication covers them."""
    protected, _authentication, _exposed = split_at_authentication(desk.reply, KIND)
    return [each.key for each in protected if isinstance(each, GreKey)]


def keys(desk):
    return [each.gre_keys for each in desk.record.bindings]


@pytest.mark.rfc("6245", "4.2", "GX-4", "GX-5", "GX-6", "GX-6a")
@pytest.mark.parametrize("flags", [D | T | G, D | T, D | T | M])
def test_who_asks_with_0_is_given_one_key_for_both_directions(desk, flags):
    assert desk.ask(desk.multipath(1), GreKey(0), flags=flags) == 0
    assert told(desk) == [1]
    (binding,) = desk.record.bindings
    assert (binding.encapsulation, binding.gre_keys) == (Encapsulation.GRE, GreKeys(1, 1))
    (program,) = [each for each in desk.last if isinstance(each, ProgramForwarding)]
    (path,) = program.node.paths
    assert (path.kind, path.gre_keys, path.gre_sequence) == ("gre-key", GreKeys(1, 1), False)


@pytest.mark.rfc("6245", "4.2", "GX-4")
@pytest.mark.rfc("6245", "5", "GX-8")
def test_who_says_its_own_key_gets_packets_with_it_and_is_told_another(desk):
    assert desk.ask(desk.multipath(1), GreKey(0xCAFE), flags=D | T | G) == 0
    assert told(desk) == [1]
    assert keys(desk) == [GreKeys(0xCAFE, 1)]


@pytest.mark.rfc("6245", "4.2", "GX-5")
def test_a_renewal_is_told_the_same_key(desk):
    for own in (0, 0, 7):
        assert desk.ask(desk.multipath(1), GreKey(own), flags=D | T) == 0
        assert told(desk) == [1]
    assert keys(desk) == [GreKeys(7, 1)]
    assert desk.ask(desk.multipath(2), GreKey(0), flags=D | T) == 0
    assert keys(desk) == [GreKeys(7, 1), GreKeys(2, 2)]


def test_nothing_is_forwarded_anew_for_a_renewal(desk):
    desk.ask(desk.multipath(1), GreKey(0), flags=D | T)
    desk.ask(desk.multipath(1), GreKey(0), flags=D | T)
    assert desk.kinds == ["SaveNode", "SendDatagram"]
    desk.ask(desk.multipath(1), GreKey(9), flags=D | T)
    assert desk.kinds[0] == "ProgramForwarding"


def test_who_asks_no_more_has_no_key_and_later_another(desk):
    desk.ask(desk.multipath(1), GreKey(0), flags=D | T)
    assert desk.ask(desk.multipath(1), flags=D | T | G) == 0
    assert (told(desk), keys(desk)) == ([], [None])
    desk.ask(desk.multipath(1), GreKey(0), flags=D | T)
    assert told(desk) == [2]


def test_without_multipath_a_key_belongs_to_the_care_of_address(desk):
    for address, key in ((1, 1), (1, 1), (2, 2)):
        desk.ask(GreKey(0), care_of_address=desk.care_of_address(address), flags=D | T)
        assert told(desk) == [key]


def test_keys_outlast_a_restart_and_are_given_to_nobody_else(desk):
    desk.ask(desk.multipath(1), GreKey(0), flags=D | T)
    desk.ask(desk.multipath(2), GreKey(0), flags=D | T)
    desk.restart()
    assert keys(desk) == [GreKeys(1, 1), GreKeys(2, 2)]
    desk.ask(desk.multipath(3), GreKey(0), flags=D | T)
    assert told(desk) == [3]


@pytest.mark.rfc("6245", "4.2", "GX-3")
def test_without_gre_the_request_is_denied(make_desk):
    desk = make_desk(encapsulations=(Encapsulation.IP_IN_IP, Encapsulation.MINIMAL))
    assert desk.ask(desk.multipath(1), GreKey(0), flags=D | T | M) == 139
    assert told(desk) == []


@pytest.mark.rfc("6245", "4.1", "GX-7")
def test_a_foreign_agent_puts_it_behind_the_authenticator(desk):
    behind = GreKey(0xFA).encode()
    assert desk.ask(desk.multipath(1), behind=behind, flags=T | G) == 0
    assert (told(desk), keys(desk)) == ([1], [GreKeys(0xFA, 1)])


@pytest.mark.rfc("6245", "4.1", "GX-7")
@pytest.mark.parametrize(
    ("extensions", "behind", "flags"),
    [((), GreKey(5).encode(), D | T | G), ((GreKey(5),), b"", T | G)],
)
def test_anywhere_else_it_is_refused(desk, extensions, behind, flags):
    assert desk.ask(desk.multipath(1), *extensions, behind=behind, flags=flags) == 134
    assert desk.engine.statistics["refused_gre-key-misplaced"] == 1
    assert desk.engine.records == {}


@pytest.mark.rfc("6245", "4.2", "GX-2")
@pytest.mark.parametrize(
    "unknown", ["30 01 0004 00000001", "30 00 0003 000000", "30 00 0005 0000000001"]
)
def test_one_that_nobody_understands_silences_the_message(desk, unknown):
    assert desk.ask(desk.multipath(1), behind=bytes.fromhex(unknown), flags=T) is None
    assert desk.engine.statistics["discarded_unknown-extension"] == 1


def test_a_deregistration_gets_no_key(desk):
    desk.ask(desk.multipath(1), GreKey(0), flags=D | T)
    assert desk.ask(desk.multipath(1), GreKey(0), flags=D | T, lifetime_s=0) == 0
    assert told(desk) == []


@pytest.mark.parametrize(
    ("encapsulation", "kind", "key"), [(0, "udp-gre-key", [1]), (47, "udp-gre-key", [1]),
                                       (4, "udp-ipip", []), (55, "udp-minimal", [])],
)  # fmt: skip
def test_in_udp_its_extension_has_the_say(make_desk, encapsulation, kind, key):
    desk = make_desk(nat_traversal=True)
    event = desk.request(desk.multipath(1), UdpTunnelRequest(encapsulation), GreKey(0), flags=D | T)
    outside = IPv4Address("203.0.113.50")
    assert desk.hear(structs.replace(event, source=outside, source_port=40001)) == 0
    (program,) = [each for each in desk.last if isinstance(each, ProgramForwarding)]
    assert [each.kind for each in program.node.paths] == [kind]
    assert told(desk) == key


def test_numbers_are_for_gre_alone(make_desk):
    desk = make_desk(gre_sequence=True)
    desk.ask(desk.multipath(1), flags=D | T)
    desk.ask(desk.multipath(2), flags=D | T | G)
    (program,) = [each for each in desk.last if isinstance(each, ProgramForwarding)]
    assert [each.gre_sequence for each in program.node.paths] == [False, True]
