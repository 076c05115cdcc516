"""Filters at the clsact qdisc: the way to attach that every kernel has."""

import ctypes
import os
import socket
from pathlib import Path
from typing import Final

from flowbind.dataplane import netlink
from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.btf import Btf
from flowbind.dataplane.ebpf.libbpf import Library
from flowbind.dataplane.ebpf.pins import is_of_flowbind

INGRESS: Final = 1
EGRESS: Final = 2
"""Where a program is attached (enum bpf_tc_attach_point)."""

_TC_REPLACE: Final = 1
_PRIORITY: Final = 1


class _TcHook(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )


class _TcOptions(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )


class _ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info as far as the types."""

    _fields_ = (
        ("before", ctypes.c_uint8 * 64),
        ("name", ctypes.c_char * 16),
        ("between", ctypes.c_uint8 * 48),
        ("btf_id", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )


class Filters:
    """The filters that are ours, by their handle.

    `notes` is a directory that tells by a name which qdiscs were made here.
    """

    def __init__(self, library: Library, handle: int, notes: Path) -> None:
        self._library = library
        self._handle = handle
        self._notes = notes

    def attach(self, interface: str, attach_point: int, program_fd: int) -> None:
        """Attach a program, replacing ours in one step if it is there. Raises DataPlaneError."""
        hook = _hook(interface, attach_point)
        self._make_qdisc(hook)
        foreign = self._foreign(hook)
        if foreign is not None:
            raise DataPlaneError(
                f"interface {interface}: the filter {self._handle:#x} at tc is foreign: {foreign}"
            )
        options = self._options(prog_fd=program_fd, flags=_TC_REPLACE)
        try:
            self._library.call("bpf_tc_attach", ctypes.byref(hook), ctypes.byref(options))
        except DataPlaneError as error:
            raise DataPlaneError(f"interface {interface}: {error}") from error

    def _make_qdisc(self, hook: _TcHook) -> None:
        note = self._notes / str(hook.ifindex)
        known = note.exists()
        # First: a qdisc that nobody knows of would stay for ever.
        note.mkdir(parents=True, exist_ok=True)
        made = self._library.number("bpf_tc_hook_create", ctypes.byref(hook)) == 0
        if not made and not known:
            note.rmdir()

    def detach(self, interface: str, attach_point: int) -> bool:
        """Take our program off; tells whether it was there. A foreign one stays."""
        hook = _hook(interface, attach_point)
        there = self._program(hook) is not None and self._foreign(hook) is None
        if there:
            options = self._options()
            self._library.call("bpf_tc_detach", ctypes.byref(hook), ctypes.byref(options))
        return there

    def remove_qdisc(self, interface: str) -> None:
        """Remove the qdisc that we made, if nothing else is there by now.

        The kernel stops the queues of the interface for this, and drops what comes meanwhile.
        """
        hook = _hook(interface, INGRESS | EGRESS)
        note = self._notes / str(hook.ifindex)
        if note.exists() and netlink.without_filters([interface]):
            self._library.number("bpf_tc_hook_destroy", ctypes.byref(hook))
            note.rmdir()

    def forget_gone(self) -> None:
        """Remove the notes of qdiscs whose interface is no more."""
        present = {str(index) for index, _name in socket.if_nameindex()}
        notes = list(self._notes.iterdir()) if self._notes.is_dir() else []
        for note in notes:
            if note.name not in present:
                note.rmdir()

    def _program(self, hook: _TcHook) -> int | None:
        """Return the number of the program at our handle, None if there is none."""
        options = self._options()
        if self._library.number("bpf_tc_query", ctypes.byref(hook), ctypes.byref(options)) < 0:
            return None
        return int(options.prog_id)

    def _foreign(self, hook: _TcHook) -> str | None:
        """Return the name of the program at our handle if no build of flowbind made it."""
        number = self._program(hook)
        if number is None:
            return None
        fd = self._library.call("bpf_prog_get_fd_by_id", number)
        try:
            info = _ProgramInfo()
            self._library.describe(fd, info)
        finally:
            os.close(fd)
        if info.btf_id and is_of_flowbind(Btf(self._library.types_in_kernel(info.btf_id))):
            return None
        name: bytes = info.name
        return name.decode()

    def _options(self, prog_fd: int = 0, flags: int = 0) -> _TcOptions:
        size = ctypes.sizeof(_TcOptions)
        return _TcOptions(size, prog_fd, flags, 0, self._handle, _PRIORITY, 0)


def _hook(interface: str, attach_point: int) -> _TcHook:
    return _TcHook(ctypes.sizeof(_TcHook), netlink.index_of(interface), attach_point, 0, 0)
