"""ICMP errors: heard by a raw socket, as far as they may be about tunnels, and told to senders."""

import logging
import socket
from typing import Final

from flowbind.daemon.errors import DaemonError
from flowbind.daemon.packet_sockets import BATCH, Filter, attach_filter
from flowbind.daemon.sockets import close_reader, hear_only, ignore_path_mtu, leaving
from flowbind.effects import SendIcmpError
from flowbind.events import TunnelErrorHeard
from flowbind.wire.iana import IcmpType

_log = logging.getLogger("flowbind")

_MAX_PACKET: Final = 1500
_HEARD: Final = (IcmpType.DESTINATION_UNREACHABLE, IcmpType.TIME_EXCEEDED)
_TUNNELS: Final = (4, 17, 47, 55)
"""IP-in-IP, UDP, GRE and minimal encapsulation: what the packet that is quoted has to be."""
_QUOTED_PROTOCOL: Final = 8 + 9


def _filter() -> Filter:
    ours = [(0x15, len(_TUNNELS) - at, 0, each) for at, each in enumerate(_TUNNELS)]
    return (
        (0xB1, 0, 0, 0),  # X = octets of the IP header
        (0x50, 0, 0, _QUOTED_PROTOCOL),  # A = Protocol of the packet that is quoted
        *ours,  # one of these: accept
        (0x06, 0, 0, 0),
        (0x06, 0, 0, _MAX_PACKET),
    )


class ErrorPort:
    """A raw ICMP socket. Raises DaemonError if there is none to be had."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except OSError as error:
            raise DaemonError(f"raw socket: {error.strerror}: run as root") from error
        self._socket.setblocking(False)
        hear_only(self._socket, _HEARD)
        attach_filter(self._socket, _filter())
        ignore_path_mtu(self._socket)

    def fileno(self) -> int:
        """Return the descriptor, for the event loop."""
        return self._socket.fileno()

    def receive(self) -> list[TunnelErrorHeard]:
        """Return the errors that are there, a batch at the most."""
        found: list[TunnelErrorHeard] = []
        for _ in range(BATCH):
            try:
                packet = self._socket.recv(_MAX_PACKET)
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    _log.debug("receiving ICMP errors: %s", error.strerror)
                break
            found.append(TunnelErrorHeard(packet[(packet[0] & 0x0F) * 4 :]))
        return found

    def send(self, effect: SendIcmpError) -> None:
        """Tell a sender. What cannot be sent is lost, as it may be on the way."""
        try:
            self._socket.sendmsg(
                [effect.message],
                leaving(effect.source),
                0,
                (str(effect.destination), 0),
            )
        except OSError as error:
            _log.debug("ICMP error to %s: %s", effect.destination, error.strerror)

    def close(self) -> None:
        """Close the socket."""
        close_reader(self._socket)
