"""Agent discovery on links: packet sockets that hear ICMP of one type (RFC 5944 2).

A mobile node listens on links where it has no address, and to agents that no route of it leads to;
there the kernel would pass nothing to a socket of the ICMP kind.
"""

import logging
import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final

from flowbind.daemon.errors import DaemonError
from flowbind.daemon.packet_sockets import (
    BATCH,
    ETHERTYPE_IPV4,
    MAX_PACKET,
    SOL_PACKET,
    Filter,
    LinkPorts,
    packet_socket,
)
from flowbind.daemon.sockets import close_reader
from flowbind.effects import SendIcmp
from flowbind.events import IcmpReceived
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ALL_ROUTERS, ALL_SYSTEMS, MOBILE_AGENTS, IcmpType
from flowbind.wire.ipv4 import Packet, decode_packet

_log = logging.getLogger("flowbind")

_TTL: Final = 1
_MULTICAST_PREFIX: Final = bytes.fromhex("01005e")
_TO_ANOTHER_HOST: Final = 3
_PACKET_ADD_MEMBERSHIP: Final = 1
_PACKET_MR_MULTICAST: Final = 0
_LONGEST_LINK_ADDRESS: Final = 8

_GROUPS: Final = {
    IcmpType.ROUTER_ADVERTISEMENT: (ALL_SYSTEMS,),
    IcmpType.ROUTER_SOLICITATION: (ALL_ROUTERS, MOBILE_AGENTS),
}
"""Where messages of each type may be sent to, besides the addresses of who listens."""


class DiscoveryPort:
    """A socket for ICMP of one type on one link. Raises DaemonError if there is none to be had."""

    def __init__(self, interface: str, kind: IcmpType) -> None:
        self.interface = interface

        def join(opened: socket.socket) -> None:
            for group in _GROUPS[kind]:
                _join(opened, interface, group)

        try:
            self._socket = packet_socket(interface, _filter(kind), join)
        except OSError as error:
            raise DaemonError(f"{interface}: agent discovery: {error.strerror}") from error

    def fileno(self) -> int:
        """Return the descriptor, for the event loop."""
        return self._socket.fileno()

    def receive(self) -> list[IcmpReceived]:
        """Return the messages that are there, a batch at the most."""
        found: list[IcmpReceived] = []
        for _ in range(BATCH):
            try:
                octets, address = self._socket.recvfrom(MAX_PACKET)
            except BlockingIOError:
                break
            except OSError as error:
                # The link went down, which rtnetlink tells too.
                _log.debug("%s: agent discovery: %s", self.interface, error.strerror)
                break
            with suppress(WireError):
                packet = decode_packet(octets)
                if address[2] != _TO_ANOTHER_HOST:
                    found.append(IcmpReceived(packet.data, packet.source, self.interface))
        return found

    def send(self, effect: SendIcmp) -> None:
        """Send a message. One that cannot be sent is lost, as one may be on the way."""
        packet = Packet(
            effect.source, effect.destination, socket.IPPROTO_ICMP, effect.message, ttl=_TTL
        )
        there = (self.interface, ETHERTYPE_IPV4, 0, 0, _link_address_of(effect.destination))
        try:
            self._socket.sendto(packet.encode(), there)
        except OSError as error:
            _log.debug("%s: agent discovery: %s", self.interface, error.strerror)

    def close(self) -> None:
        """Close the socket."""
        close_reader(self._socket)


class DiscoveryPorts(LinkPorts[DiscoveryPort]):
    """The sockets of the links that are up."""

    def __init__(self, kind: IcmpType) -> None:
        super().__init__(lambda interface: DiscoveryPort(interface, kind))

    def send(self, effect: SendIcmp) -> None:
        """Send a message on the link that it names."""
        port = self.get(effect.interface)
        if port is not None:
            port.send(effect)


def _link_address_of(group: IPv4Address) -> bytes:
    """Return the Ethernet address of a multicast group (RFC 1112 6.4)."""
    return _MULTICAST_PREFIX + bytes((group.packed[1] & 0x7F,)) + group.packed[2:]


def _join(listener: socket.socket, interface: str, group: IPv4Address) -> None:
    address = _link_address_of(group)
    request = struct.pack(
        f"iHH{_LONGEST_LINK_ADDRESS}s",
        socket.if_nametoindex(interface),
        _PACKET_MR_MULTICAST,
        len(address),
        address,
    )
    listener.setsockopt(SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)


def _filter(kind: IcmpType) -> Filter:
    """Have the kernel pass on unfragmented ICMP of this type alone, of all that is on the link."""
    return (
        (0x30, 0, 0, 9),  # A = protocol
        (0x15, 0, 6, socket.IPPROTO_ICMP),  # another one: refuse
        (0x28, 0, 0, 6),  # A = flags and fragment offset
        (0x45, 4, 0, 0x3FFF),  # a fragment: refuse
        (0xB1, 0, 0, 0),  # X = octets of the IP header
        (0x50, 0, 0, 0),  # A = ICMP type
        (0x15, 0, 1, kind),  # another one: refuse
        (0x06, 0, 0, MAX_PACKET),
        (0x06, 0, 0, 0),
    )
