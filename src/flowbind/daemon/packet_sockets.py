"""Packet sockets on links: filtered by the kernel, and there as long as their link is up."""

import asyncio
import ctypes
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from flowbind.daemon.errors import DaemonError
from flowbind.daemon.loop import EngineLoop
from flowbind.events import Event, LinkDown, LinkUp

_log = logging.getLogger("flowbind")

BATCH: Final = 64
"""The most packets that are handled before anything else has its turn."""
MAX_PACKET: Final = 2048
ETHERTYPE_IPV4: Final = 0x0800
SOL_PACKET: Final = 263

_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION: Final = struct.Struct("=HBBI")

Filter = Sequence[Iterable[int]]
"""Classic BPF: of each instruction the code, both jumps and the operand."""


class LinkPort(Protocol):
    """What hears something on a link."""

    def fileno(self) -> int:
        """Return the descriptor, for the event loop."""
        ...

    def receive(self) -> Sequence[Event]:
        """Return what is there, a batch at the most."""
        ...

    def close(self) -> None:
        """Hear nothing any more."""
        ...


PortT = TypeVar("PortT", bound=LinkPort)


class LinkPorts(Generic[PortT]):
    """What hears on the links that are up. `make` raises DaemonError where it cannot."""

    def __init__(self, make: Callable[[str], PortT]) -> None:
        self._make = make
        self._ports: dict[str, PortT] = {}

    def get(self, interface: str) -> PortT | None:
        """Return what hears on a link, None if it is not up."""
        return self._ports.get(interface)

    def follow(self, event: LinkUp | LinkDown, loop: EngineLoop) -> None:
        """Tell the engine from now on of what is heard on a link, or no more."""
        if isinstance(event, LinkDown):
            self._close(event.name)
        elif event.name not in self._ports:
            try:
                port = self._make(event.name)
            except DaemonError as error:
                # It went away again; the next notification says what is true then.
                _log.warning("%s", error)
                return
            self._ports[event.name] = port
            asyncio.get_running_loop().add_reader(port, lambda: loop.submit(*port.receive()))

    def close_all(self) -> None:
        """Hear nothing any more."""
        for interface in tuple(self._ports):
            self._close(interface)

    def _close(self, interface: str) -> None:
        port = self._ports.pop(interface, None)
        if port is not None:
            port.close()


def packet_socket(
    interface: str, instructions: Filter, prepare: Callable[[socket.socket], None]
) -> socket.socket:
    """Open a socket for IPv4 packets on a link. Raises OSError."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    try:
        # All this first: bound to nothing, the socket hears nothing yet.
        attach_filter(opened, instructions)
        prepare(opened)
        opened.bind((interface, ETHERTYPE_IPV4))
    except OSError:
        opened.close()
        raise
    return opened


def attach_filter(listener: socket.socket, instructions: Filter) -> None:
    """Have the kernel pass on only what these instructions accept. Raises OSError."""
    assembled = b"".join(_INSTRUCTION.pack(*each) for each in instructions)
    octets = ctypes.create_string_buffer(assembled, len(assembled))
    program = struct.pack("HP", len(instructions), ctypes.addressof(octets))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
