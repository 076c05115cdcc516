"""What travels on the wire, by each encapsulation: every packet of it is looked at."""

import socket
from collections import Counter
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest
from msgspec import structs
from scapy.layers.inet import IP, TCP

from flowbind.model.binding import Encapsulation, GreKeys
from flowbind.model.tunnel import NodeForwarding
from tests.dataplane.kernel import run
from tests.netns.hosts import (
    CORRESPONDENT,
    HOME,
    exchange,
    inside,
    node_at,
    ping,
    set_offload,
    transfer,
)

pytestmark = pytest.mark.root

MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)
EACH = pytest.mark.parametrize("encapsulation", Encapsulation)
NUMBER = {Encapsulation.IP_IN_IP: 4, Encapsulation.GRE: 47, Encapsulation.MINIMAL: 55}
_ETHERNET = 14
# Who asks for one protocol does not see what a program takes out of a tunnel.
_EVERYTHING = 3
_BUFFER = 64 << 20


class Wire:
    """The IPv4 packets that an interface has received."""

    def __init__(self, seen: socket.socket) -> None:
        self._seen = seen

    def packets(self) -> list[bytes]:
        found: list[bytes] = []
        while True:
            try:
                frame, address = self._seen.recvfrom(1 << 16)
            except BlockingIOError:
                return found
            if address[2] != socket.PACKET_OUTGOING and frame[12:14] == b"\x08\x00":
                found.append(frame[_ETHERNET:])


@contextmanager
def listening(host, interface):
    with inside(host):
        seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
    with seen:
        # SO_RCVBUFFORCE, for all of a transfer.
        seen.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)
        seen.bind((interface, _EVERYTHING))
        seen.setblocking(False)
        yield Wire(seen)


@contextmanager
def cut_up(host, device):
    """Have the kernel cut up segments where they leave a device, so that a wire sees each."""
    with inside(host):
        set_offload(device, on=False)
    try:
        yield
    finally:
        with inside(host):
            set_offload(device, on=True)


def is_sound(octets):
    """Tell whether scapy writes the very packet that it has read, with all checksums anew."""
    packet = IP(octets[: int.from_bytes(octets[2:4], "big")])
    layer = packet
    while layer:
        if hasattr(layer, "chksum"):
            layer.chksum = None
        layer = layer.payload
    return bytes(packet) == octets


def inner_of(octets):
    """The packet inside, by scapy's eyes alone; of minimal encapsulation, by the RFC's words."""
    if octets[9] == 4:
        return octets[20:]
    if octets[9] == 47:
        return bytes(IP(octets).payload.payload)
    behind = 32 if octets[21] & 0x80 else 28
    header = IP(octets[:20])
    header.proto, header.dst, header.len, header.chksum = (
        octets[20], str(IPv4Address(octets[24:28])), None, None,
    )  # fmt: skip
    if behind == 32:
        header.src = str(IPv4Address(octets[28:32]))
    return bytes(header / octets[behind:])


@EACH
def test_every_packet_on_the_wire_is_sound_though_they_came_as_many_segments_at_once(
    tunnels, encapsulation
):
    agent, _mobile = tunnels(encapsulation, (), (1,))
    with cut_up("ha", "mn0"), listening("mn", "ha0") as wire:
        transfer(CN, MN)
        packets = [each for each in wire.packets() if each[9] in NUMBER.values()]
    assert len(packets) > 2000
    seen = Counter(each[9] for each in packets)
    for each in packets[:: len(packets) // 200]:
        assert len(each) <= 1500
        assert is_sound(each)
        inner = inner_of(each)
        assert is_sound(inner)
        assert (IP(inner).src, IP(inner).dst) == (str(CORRESPONDENT), str(HOME))
        assert IP(inner)[TCP].dataofs
    if encapsulation is Encapsulation.MINIMAL:
        # What the kernel cut up came by IP-in-IP, the rest as it was asked for.
        assert seen.keys() == {4, 55}
    else:
        assert seen.keys() == {NUMBER[encapsulation]}
    assert agent.counted("drop_encapsulation_failed") == 0


@pytest.mark.rfc("2004", "3", "ME-1", "ME-2")
def test_only_whole_packets_have_a_forwarding_header(tunnels):
    tunnels(Encapsulation.MINIMAL, (), (1,))
    with listening("mn", "ha0") as wire:
        assert ping("cn", CORRESPONDENT, HOME)
        assert {each[9] for each in wire.packets()} == {55}
        exchange(CN, MN, bytes(4000))
        assert {each[9] for each in wire.packets()} == {4}
        with inside("ha"):
            run("ping", "-c", "1", "-W", "2", "-T", "tsonly", str(HOME))
        assert {each[9] for each in wire.packets()} == {4}


def test_each_path_of_a_node_has_its_own(end):
    for host in ("ha", "mn"):
        first, second = node_at(host).paths
        paths = (structs.replace(first, encapsulation=Encapsulation.MINIMAL), second)
        end(host).program(NodeForwarding(HOME, paths))
    with listening("mn", "ha0") as first_wire, listening("mn", "ha1") as second_wire:
        for _ in range(40):
            exchange(CN, MN, b"a flow each")
        assert {each[9] for each in first_wire.packets()} == {55}
        assert {each[9] for each in second_wire.packets()} == {4}
    transfer(CN, MN)
    transfer(MN, CN)


def keyed_at(host, keys, **changes):
    """One path of the mobile node by GRE with these keys, which its two ends see crosswise."""
    first, _second = node_at(host).paths
    keys = keys if host == "ha" else GreKeys(keys.receive, keys.send)
    gre = Encapsulation.GRE
    return NodeForwarding(
        HOME, (structs.replace(first, encapsulation=gre, gre_keys=keys, **changes),)
    )


@pytest.mark.rfc("6245", "5", "GX-8")
def test_tcp_and_ping_by_gre_with_keys(end, offload):
    keys = GreKeys(0xDEADBEEF, 7)
    for host in ("ha", "mn"):
        end(host).program(keyed_at(host, keys))
    with listening("mn", "ha0") as wire:
        assert ping("cn", CORRESPONDENT, HOME)
        assert {each[20:28].hex() for each in wire.packets()} == {"20000800deadbeef"}
    with listening("ha", "mn0") as wire:
        assert ping("mn", HOME, CORRESPONDENT)
        assert {each[20:28].hex() for each in wire.packets()} == {"2000080000000007"}
    transfer(CN, MN)
    transfer(MN, CN)
    exchange(CN, MN, bytes(4000))
    exchange(MN, CN, bytes(4000))


@pytest.mark.rfc("2890", "2.2", "GK-3", "GK-4")
def test_numbers_go_on_whatever_is_done_to_the_tunnel(end):
    agent, mobile = end("ha"), end("mn")
    node = keyed_at("ha", GreKeys(1, 1), gre_sequence=True)
    agent.program(node)
    mobile.program(keyed_at("mn", GreKeys(1, 1), gre_sequence=True))
    with listening("mn", "ha0") as wire:
        assert ping("cn", CORRESPONDENT, HOME)
        agent.program(node)
        assert ping("cn", CORRESPONDENT, HOME)
        agent.reopen()
        mobile.reopen()
        assert ping("cn", CORRESPONDENT, HOME)
        numbers = [int.from_bytes(each[28:32], "big") for each in wire.packets()]
    assert numbers == list(range(15))
    transfer(CN, MN)
    transfer(MN, CN)
    assert ping("cn", CORRESPONDENT, HOME)
    for each in (agent, mobile):
        assert each.counted("drop_gre_out_of_sequence") == 0
