"""Tunnelled packets that came in fragments.

The programs leave fragments to the stack, which puts them together and has nobody to give them to.
Here they are taken, and put onto the loopback, where the very programs that take all others take
them too: so the same is checked, and the same counted.
"""

import asyncio
import logging
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from typing import Final

from flowbind.daemon.errors import DaemonError
from flowbind.daemon.packet_sockets import BATCH, ETHERTYPE_IPV4, Filter, attach_filter
from flowbind.daemon.sockets import IP_PKTINFO, PACKET_INFO, close_reader, ignore_path_mtu
from flowbind.dataplane.netlink import LOOPBACK
from flowbind.wire.iana import MOBILE_IP_PORT, MessageType

_log = logging.getLogger("flowbind")

_LARGEST_PACKET: Final = 65535
_LOOPBACK_INDEX: Final = 1
_ETHERNET_HEADER: Final = bytes(12) + struct.pack("!H", ETHERTYPE_IPV4)
"""From the loopback to itself."""

_IP_IN_IP: Final = 4
_UDP: Final = 17
_IPV6: Final = 41
_GRE: Final = 47
_MINIMAL: Final = 55
_PROTOCOLS: Final = (_IP_IN_IP, _UDP, _IPV6, _GRE, _MINIMAL)
_SOURCE: Final = slice(12, 16)
_ARRIVED_AT: Final = 0xFFFFF008


def _filter(protocol: int) -> Filter:
    """What came off a link, not off the loopback; of UDP only tunnels (RFC 3519 3.3)."""
    behind = () if protocol != _UDP else (
        (0xB1, 0, 0, 0),  # X = octets of the IP header
        (0x48, 0, 0, 0),  # A = source port
        (0x15, 2, 0, MOBILE_IP_PORT),
        (0x48, 0, 0, 2),  # A = destination port
        (0x15, 0, 2, MOBILE_IP_PORT),
        (0x50, 0, 0, 8),  # A = the octet behind the UDP header
        (0x15, 1, 0, int(MessageType.TUNNEL_DATA)),
        (0x06, 0, 0, 0),
    )  # fmt: skip
    return (
        (0x20, 0, 0, _ARRIVED_AT),  # A = index of the interface
        (0x15, 0, 1, _LOOPBACK_INDEX),
        (0x06, 0, 0, 0),
        *behind,
        (0x06, 0, 0, _LARGEST_PACKET),
    )


class Reassembled:
    """Hears whole what came in fragments, and passes it on.

    This host may have other tunnels, which are left alone: ours end at `address`, None for any, and
    come from `peer`, None for anybody. `is_underlay` tells whether they may come in at an
    interface. Raises DaemonError if there are no raw sockets to be had.
    """

    def __init__(
        self,
        is_underlay: Callable[[str], bool],
        address: IPv4Address | None = None,
        peer: Callable[[], IPv4Address] | None = None,
    ) -> None:
        self.statistics: Counter[str] = Counter()
        self._is_underlay = is_underlay
        self._peer = peer
        with ExitStack() as undo:
            try:
                self._out = undo.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
                self._sockets = [
                    undo.enter_context(_listener(each, address)) for each in _PROTOCOLS
                ]
            except OSError as error:
                raise DaemonError(f"raw socket: {error.strerror}: run as root") from error
            undo.pop_all()

    def pass_on(self, listener: socket.socket) -> None:
        """Pass on what is there at one of the sockets, a batch at the most."""
        for _ in range(BATCH):
            try:
                packet, notes, _flags, _source = listener.recvmsg(
                    _LARGEST_PACKET, socket.CMSG_SPACE(PACKET_INFO.size)
                )
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    _log.debug("receiving what was reassembled: %s", error.strerror)
                return
            self._pass(packet, [data for _level, _kind, data in notes])

    def _pass(self, packet: bytes, notes: list[bytes]) -> None:
        index = PACKET_INFO.unpack(notes[0])[0] if notes else 0
        ours = self._peer is None or packet[_SOURCE] == self._peer().packed
        with suppress(OSError):
            if ours and self._is_underlay(socket.if_indextoname(index)):
                self._out.sendto(_ETHERNET_HEADER + packet, (LOOPBACK, ETHERTYPE_IPV4))
                self.statistics["reassembled"] += 1
                return
        self.statistics["reassembled_elsewhere"] += 1

    def listen(self) -> None:
        """Pass on all that comes, from now on."""
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            loop.add_reader(each, self.pass_on, each)

    def close(self) -> None:
        """Close every socket."""
        for each in self._sockets:
            close_reader(each)
        self._out.close()


def _listener(protocol: int, address: IPv4Address | None) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    try:
        made.setblocking(False)
        attach_filter(made, _filter(protocol))
        ignore_path_mtu(made)
        made.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        if address is not None:
            made.bind((str(address), 0))
    except OSError:
        made.close()
        raise
    return made
