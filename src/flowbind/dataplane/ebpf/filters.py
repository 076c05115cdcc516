"""The programs at tc: who holds a hook, and putting ours there in one step."""

import ctypes
import os
from collections.abc import Collection
from typing import Final

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.libbpf import Library
from flowbind.dataplane.netlink import index_of

INGRESS: Final = 1
EGRESS: Final = 2

_TC_REPLACE: Final = 1
_PRIORITY: Final = 1
_NAME_OCTETS: Final = 15


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
    """struct bpf_prog_info as far as the name."""

    _fields_ = (
        ("before", ctypes.c_uint8 * 64),
        ("name", ctypes.c_char * (_NAME_OCTETS + 1)),
    )


class Filters:
    """The filters at tc that are ours: one handle, and only programs of these names."""

    def __init__(self, library: Library, handle: int, names: Collection[str]) -> None:
        self._library = library
        self._handle = handle
        self._names = {name[:_NAME_OCTETS] for name in names}

    def attach(self, interface: str, attach_point: int, program_fd: int) -> None:
        """Attach a program, replacing ours in one step if it is there. Raises DataPlaneError."""
        hook = _hook(interface, attach_point)
        # EEXIST only says that somebody made the clsact qdisc before us.
        self._library.number("bpf_tc_hook_create", ctypes.byref(hook))
        held = self._held(hook)
        if held is not None and held not in self._names:
            raise DataPlaneError(
                f"interface {interface}: the filter {self._handle:#x} at tc is foreign: {held}"
            )
        options = self._options(prog_fd=program_fd, flags=_TC_REPLACE)
        try:
            self._library.call("bpf_tc_attach", ctypes.byref(hook), ctypes.byref(options))
        except DataPlaneError as error:
            raise DataPlaneError(f"interface {interface}: {error}") from error

    def detach(self, interface: str, attach_point: int) -> bool:
        """Take our program off; tells whether it was there. A foreign one stays."""
        hook = _hook(interface, attach_point)
        if self._held(hook) not in self._names:
            return False
        options = self._options()
        self._library.call("bpf_tc_detach", ctypes.byref(hook), ctypes.byref(options))
        return True

    def _held(self, hook: _TcHook) -> str | None:
        """Return the name of the program at our handle, None if there is none."""
        options = self._options()
        if self._library.number("bpf_tc_query", ctypes.byref(hook), ctypes.byref(options)) < 0:
            return None
        fd = self._library.call("bpf_prog_get_fd_by_id", options.prog_id)
        try:
            info = _ProgramInfo()
            octets = ctypes.c_uint32(ctypes.sizeof(info))
            self._library.call(
                "bpf_obj_get_info_by_fd", fd, ctypes.byref(info), ctypes.byref(octets)
            )
        finally:
            os.close(fd)
        name: bytes = info.name
        return name.decode()

    def _options(self, prog_fd: int = 0, flags: int = 0) -> _TcOptions:
        size = ctypes.sizeof(_TcOptions)
        return _TcOptions(size, prog_fd, flags, 0, self._handle, _PRIORITY, 0)


def _hook(interface: str, attach_point: int) -> _TcHook:
    return _TcHook(ctypes.sizeof(_TcHook), index_of(interface), attach_point, 0, 0)


def remove_clsact(library: Library, interface: str) -> None:
    """Remove the qdisc that holds filters, with whatever it holds."""
    hook = _hook(interface, INGRESS | EGRESS)
    library.number("bpf_tc_hook_destroy", ctypes.byref(hook))
