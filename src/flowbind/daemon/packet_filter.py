"""Classic BPF: what a packet socket is told of, decided in the kernel."""

import ctypes
import socket
import struct
from collections.abc import Iterable
from typing import Final

_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION: Final = struct.Struct("=HBBI")


def attach(listener: socket.socket, *instructions: Iterable[int]) -> None:
    """Attach a filter: of each instruction the code, both jumps and the operand. Raises OSError."""
    assembled = b"".join(_INSTRUCTION.pack(*each) for each in instructions)
    octets = ctypes.create_string_buffer(assembled, len(assembled))
    program = struct.pack("HP", len(instructions), ctypes.addressof(octets))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
