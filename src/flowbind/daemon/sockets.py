"""UDP port 434 of a home agent, and the ports that a mobile node sends from.

A mobile node has one socket for each interface, bound to that interface: a request leaves through
the interface that it registers, whatever the routing table prefers (RFC 7629 5.1).
"""

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final

from flowbind.daemon.errors import DaemonError
from flowbind.effects import SendDatagram
from flowbind.events import Received
from flowbind.wire.iana import MOBILE_IP_PORT

_log = logging.getLogger("flowbind")

IP_PKTINFO: Final = 8
PACKET_INFO: Final = struct.Struct("=i4s4s")
"""struct in_pktinfo: index of the interface, address of ours, destination."""

BATCH: Final = 256
"""The most datagrams that share one commit; a full batch still answers within milliseconds."""

_MAX_DATAGRAM: Final = 65535
_RECEIVE_BUFFER_OCTETS: Final = 4 << 20
_SO_RCVBUFFORCE: Final = 33
_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1
_IP_MTU_DISCOVER: Final = 10
_PMTUDISC_INTERFACE: Final = 4


class Port:
    """A UDP socket that is read in batches."""

    def __init__(self, address: IPv4Address, port: int, interface: str | None = None) -> None:
        self.address = address
        self.interface = interface
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        # A request may go to the broadcast address of the home network (RFC 5944 3.6.1.1).
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        ignore_path_mtu(self._socket)
        try:
            if interface is not None:
                self._socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode()
                )
            self._socket.bind((str(address), port))
        except OSError as error:
            self._socket.close()
            raise DaemonError(_why(error, address, port)) from error
        # Without the privilege the system's own limit has to do.
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_OCTETS)
        self.port = int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        """Return the descriptor, for the event loop."""
        return self._socket.fileno()

    def receive(self) -> list[Received]:
        """Return the datagrams that are there, a batch at the most."""
        found: list[Received] = []
        while len(found) < BATCH:
            try:
                payload, (source, source_port) = self._socket.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                # An ICMP error about something sent before; the retransmission deals with it.
                _log.debug("receiving: %s", error.strerror)
                continue
            found.append(
                Received(
                    payload,
                    # Several times faster than to parse the text.
                    IPv4Address(socket.inet_aton(source)),
                    source_port,
                    self.address,
                    self.port,
                    self.interface,
                )
            )
        return found

    def send(self, datagram: SendDatagram) -> None:
        """Send a datagram. One that cannot be sent is lost, as one may be on the way."""
        try:
            address = socket.inet_ntoa(datagram.destination.packed)
            there = (address, datagram.destination_port)
            if datagram.interface is None or datagram.interface == self.interface:
                self._socket.sendto(datagram.payload, there)
            else:
                # Onto that link, also if a route of the destination leads elsewhere.
                index = socket.if_nametoindex(datagram.interface)
                out = leaving(self.address, index)
                self._socket.sendmsg([datagram.payload], out, 0, there)
        except OSError as error:
            _log.debug("sending to %s: %s", datagram.destination, error.strerror)

    def close(self) -> None:
        """Close the socket."""
        close_reader(self._socket)


def leaving(source: IPv4Address, index: int = 0) -> list[tuple[int, int, bytes]]:
    """Have a packet leave from an address, through this interface or, with 0, as routes say."""
    return [(socket.IPPROTO_IP, IP_PKTINFO, PACKET_INFO.pack(index, source.packed, bytes(4)))]


def hear_only(opened: socket.socket, kinds: Iterable[int]) -> None:
    """Have a raw socket hear ICMP messages of these types alone. Raises OSError."""
    others = ~sum(1 << each for each in kinds) & 0xFFFFFFFF
    opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", others))


def ignore_path_mtu(opened: socket.socket) -> None:
    """Have the kernel believe no ICMP error that says of what this socket sends that it is too big.

    It would believe it of the whole way there, and so of the tunnels: those judge for themselves.
    """
    opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_INTERFACE)


def close_reader(opened: socket.socket) -> None:
    """Close a socket. The event loop forgets it first: its number will be another's."""
    with suppress(RuntimeError):
        asyncio.get_running_loop().remove_reader(opened)
    opened.close()


def _why(error: OSError, address: IPv4Address, port: int) -> str:
    where = f"{address}, UDP port {port}" if port else str(address)
    reasons = {
        errno.EADDRINUSE: "in use by another process",
        errno.EADDRNOTAVAIL: "not an address of this host",
        errno.EACCES: "not permitted: run as root",
        errno.EPERM: "not permitted: run as root",
    }
    return f"{where}: {reasons.get(error.errno or 0, error.strerror)}"


def home_agent_port(address: IPv4Address) -> Port:
    """Open UDP port 434 on an address of the home agent, or on a broadcast address.

    Raises DaemonError.
    """
    return Port(address, MOBILE_IP_PORT)


class InterfacePorts:
    """The sockets of a mobile node: one for each interface that has a care-of address.

    `port` 0 leaves the choice of their port to the kernel. `former` are the ports that interfaces
    had in a former run: they keep theirs if they can, for packets may be under way to it (RFC 3519
    4.4).
    """

    def __init__(self, port: int = 0, former: Mapping[str, int] | None = None) -> None:
        self._port = port
        self._former = dict(former or {})
        self._ports: dict[str, Port] = {}

    def open(self, interface: str, address: IPv4Address) -> Port:
        """Send and receive on an interface from this address. Raises DaemonError."""
        self.close(interface)
        port = self._open(interface, address)
        self._ports[interface] = port
        self._former[interface] = port.port
        return port

    def _open(self, interface: str, address: IPv4Address) -> Port:
        former = self._former.get(interface, 0)
        if former and not self._port:
            with suppress(DaemonError):
                return Port(address, former, interface)
        return Port(address, self._port, interface)

    def close(self, interface: str) -> None:
        """Use this interface no more."""
        port = self._ports.pop(interface, None)
        if port is not None:
            port.close()

    def send(self, datagram: SendDatagram) -> None:
        """Send a datagram out of the interface that it names."""
        port = self._ports.get(datagram.interface or "")
        if port is not None:
            port.send(datagram)

    def close_all(self) -> None:
        """Close every socket."""
        for interface in tuple(self._ports):
            self.close(interface)
