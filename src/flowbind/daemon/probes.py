"""Keepalives: an ICMP echo request inside one tunnel, to the home agent and back by the same path.

The inner packet goes from the home address to the home agent, which answers it on the path that it
came by. The echo identifier holds the BID, and a secret of this run in the data keeps answers that
nobody asked for from being believed.
"""

import logging
import secrets
import socket
import struct
from ipaddress import IPv4Address
from typing import Final

from flowbind.daemon.errors import DaemonError
from flowbind.daemon.sockets import hear_only, ignore_path_mtu, leaving
from flowbind.daemon.tunnelled import tunnelled
from flowbind.effects import SendProbe
from flowbind.events import ProbeAnswered
from flowbind.wire.ipv4 import Packet, checksum_of

_log = logging.getLogger("flowbind")

_ICMP: Final = struct.Struct("!BBHHH")

_DSCP_CS6: Final = 0xC0
"""Network control: a keepalive that waits behind a download says nothing about the path."""
_ECHO_REPLY: Final = 0
_ECHO_REQUEST: Final = 8
_SECRET_OCTETS: Final = 16
_MAX_PACKET: Final = 2048


class Probes:
    """Sends keepalives and recognises their answers, which come from the home agent asked last."""

    def __init__(self) -> None:
        self._home_agent: IPv4Address | None = None
        self._secret = secrets.token_bytes(_SECRET_OCTETS)
        try:
            self._out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._in = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except OSError as error:
            raise DaemonError(f"raw socket: {error.strerror}: run as root") from error
        self._in.setblocking(False)
        self._out.setblocking(False)
        ignore_path_mtu(self._in)
        hear_only(self._in, (_ECHO_REPLY,))

    def fileno(self) -> int:
        """Return the descriptor that answers arrive at."""
        return self._in.fileno()

    def send(self, probe: SendProbe) -> None:
        """Send one echo request through the tunnel of the probe's path."""
        self._home_agent = probe.path.remote
        try:
            index = socket.if_nametoindex(probe.path.interface or "")
            self._out.sendmsg(
                [encode_probe(probe, self._secret)],
                leaving(probe.path.local, index),
                0,
                (str(probe.path.remote), 0),
            )
        except OSError as error:
            # It counts as one that is not answered, which is what it is.
            _log.debug("keepalive on %s: %s", probe.path.interface, error.strerror)

    def receive(self) -> list[ProbeAnswered]:
        """Return the answers that are there."""
        found: list[ProbeAnswered] = []
        while True:
            try:
                packet, (source, _port) = self._in.recvfrom(_MAX_PACKET)
            except BlockingIOError:
                return found
            except OSError:
                continue
            answer = decode_answer(packet, self._secret)
            if answer is not None and source == str(self._home_agent):
                found.append(answer)

    def close(self) -> None:
        """Close both sockets."""
        self._in.close()
        self._out.close()


def encode_probe(probe: SendProbe, secret: bytes) -> bytes:
    """Return the whole packet, outer header first."""
    echo = _echo_request(probe.path.bid, probe.sequence, secret)
    there = probe.path.remote
    inner = Packet(probe.home_address, there, socket.IPPROTO_ICMP, echo, traffic_class=_DSCP_CS6)
    return tunnelled(probe.path, inner.encode())


def decode_answer(packet: bytes, secret: bytes) -> ProbeAnswered | None:
    """Recognise an answer to a probe of this run; None for any other packet."""
    start = (packet[0] & 0x0F) * 4 if packet else 0
    if len(packet) != start + _ICMP.size + len(secret):
        return None
    kind, code, _checksum, bid, sequence = _ICMP.unpack_from(packet, start)
    if (kind, code) != (_ECHO_REPLY, 0):
        return None
    if not secrets.compare_digest(packet[start + _ICMP.size :], secret):
        return None
    return ProbeAnswered(bid, sequence)


def _echo_request(identifier: int, sequence: int, data: bytes) -> bytes:
    unsummed = _ICMP.pack(_ECHO_REQUEST, 0, 0, identifier, sequence) + data
    return _ICMP.pack(_ECHO_REQUEST, 0, checksum_of(unsummed), identifier, sequence) + data
