"""Broadcasts: heard on the home link by a packet socket, sent into tunnels by a raw one.

The kernel passes on what others have broadcast, nothing that this host sends or is sent.
"""

import logging
import socket
import struct
from typing import Final

from flowbind.daemon.errors import DaemonError
from flowbind.daemon.loop import EngineLoop
from flowbind.daemon.packet_sockets import BATCH, MAX_PACKET, SOL_PACKET, LinkPorts, packet_socket
from flowbind.daemon.sockets import close_reader
from flowbind.daemon.tunnelled import tunnelled
from flowbind.effects import SendThroughTunnel
from flowbind.events import BroadcastHeard, LinkDown, LinkUp
from flowbind.wire.ipv4 import checksum_of

_log = logging.getLogger("flowbind")

_TO_EVERYBODY: Final = 1
_PACKET_AUXDATA: Final = 8
_AUXDATA: Final = struct.Struct("=III4H")
_CHECKSUM_NOT_READY: Final = 8
_UDP: Final = 17
_UDP_HEADER_OCTETS: Final = 8
_IPV4_HEADER_OCTETS: Final = 20
_BROADCASTS: Final = (
    (0x30, 0, 0, 0xFFFFF004),  # A = who the packet is for
    (0x15, 0, 1, _TO_EVERYBODY),  # anybody else: refuse
    (0x06, 0, 0, MAX_PACKET),
    (0x06, 0, 0, 0),
)


class BroadcastPort:
    """A socket for what is broadcast on one link. Raises DaemonError if there is none to be had."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        try:
            self._socket = packet_socket(interface, _BROADCASTS, _ask_for_notes)
        except OSError as error:
            raise DaemonError(f"{interface}: broadcasts: {error.strerror}") from error

    def fileno(self) -> int:
        """Return the descriptor, for the event loop."""
        return self._socket.fileno()

    def receive(self) -> list[BroadcastHeard]:
        """Return the broadcasts that are there, a batch at the most."""
        found: list[BroadcastHeard] = []
        for _ in range(BATCH):
            try:
                octets, notes, _flags, _address = self._socket.recvmsg(
                    MAX_PACKET, socket.CMSG_SPACE(_AUXDATA.size)
                )
            except BlockingIOError:
                break
            except OSError as error:
                # The link went down, which rtnetlink tells too.
                _log.debug("%s: broadcasts: %s", self.interface, error.strerror)
                break
            status = [_AUXDATA.unpack(data)[0] for _level, _kind, data in notes]
            if any(each & _CHECKSUM_NOT_READY for each in status):
                octets = with_checksum(octets)
            found.append(BroadcastHeard(octets, self.interface))
        return found

    def close(self) -> None:
        """Close the socket."""
        close_reader(self._socket)


def _ask_for_notes(opened: socket.socket) -> None:
    opened.setsockopt(SOL_PACKET, _PACKET_AUXDATA, 1)


def with_checksum(octets: bytes) -> bytes:
    """Complete a UDP checksum that the sending host of a virtual link has left to its device."""
    header = (octets[0] & 0x0F) * 4 if octets else 0
    length = int.from_bytes(octets[2:4], "big")
    room = len(octets) >= length >= header + _UDP_HEADER_OCTETS
    if not room or header < _IPV4_HEADER_OCTETS or octets[9] != _UDP:
        return octets
    datagram = octets[header : header + 6] + bytes(2) + octets[header + 8 : length]
    pseudo_header = octets[12:20] + struct.pack("!HH", _UDP, len(datagram))
    checksum = checksum_of(pseudo_header + datagram) or 0xFFFF
    at = header + 6
    return octets[:at] + checksum.to_bytes(2, "big") + octets[at + 2 :]


class Broadcasts:
    """Hears broadcasts as long as the home link is up, and sends them into tunnels.

    Raises DaemonError if there is no raw socket to be had.
    """

    def __init__(self) -> None:
        self._ports = LinkPorts(BroadcastPort)
        try:
            self._out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        except OSError as error:
            raise DaemonError(f"raw socket: {error.strerror}: run as root") from error
        self._out.setblocking(False)

    def follow(self, event: LinkUp | LinkDown, loop: EngineLoop) -> None:
        """Listen on a link that has come up, and no more on one that has gone down."""
        self._ports.follow(event, loop)

    def send(self, effect: SendThroughTunnel) -> None:
        """Send a packet into a tunnel. What cannot be sent is lost, as it may be on the way."""
        try:
            self._out.sendto(tunnelled(effect.path, effect.packet), (str(effect.path.remote), 0))
        except OSError as error:
            _log.debug("broadcast to %s: %s", effect.path.remote, error.strerror)

    def close(self) -> None:
        """Close every socket."""
        self._ports.close_all()
        self._out.close()
