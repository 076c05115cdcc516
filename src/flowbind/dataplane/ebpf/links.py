"""TCX links: attaching with an owner, in kernels that can (6.6 and later).

A link is pinned below the maps, by the index of its interface. It puts another program in place in
one call, nobody else can replace or detach it, and it goes with its interface. libbpf 1.1 does not
know TCX, but its general calls for links do for it.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.filters import EGRESS, INGRESS
from flowbind.dataplane.ebpf.libbpf import Library
from flowbind.dataplane.netlink import index_of

_TCX: Final = {INGRESS: 46, EGRESS: 47}
"""BPF_TCX_INGRESS, BPF_TCX_EGRESS."""

_NAMES: Final = {INGRESS: "ingress", EGRESS: "egress"}
_LOOPBACK: Final = 1


class _LinkInfo(ctypes.Structure):
    """struct bpf_link_info of a TCX link. `ifindex` is 0 when the interface is gone."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("program", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
    )


def kernel_has_links(library: Library) -> bool:
    """Tell whether this kernel has TCX."""
    count = ctypes.c_uint32(0)
    asked = ("bpf_prog_query", _LOOPBACK, _TCX[INGRESS], 0, None, None, ctypes.byref(count))
    return library.number(*asked) == 0


class Links:
    """The links in one directory."""

    def __init__(self, library: Library, directory: Path) -> None:
        self._library = library
        self._directory = directory

    def attach(self, interface: str, attach_point: int, program_fd: int) -> None:
        """Attach a program, behind those of others that are there; or put it in the place of ours.

        Raises DataPlaneError.
        """
        ifindex = index_of(interface)
        pin = self._pin(ifindex, attach_point)
        try:
            if self._ifindex(pin) == ifindex:
                self._update(pin, program_fd)
            else:
                self._create(pin, ifindex, attach_point, program_fd)
        except DataPlaneError as error:
            raise DataPlaneError(f"interface {interface}: {error}") from error

    def _update(self, pin: Path, program_fd: int) -> None:
        fd = self._library.call("bpf_obj_get", str(pin).encode())
        try:
            self._library.call("bpf_link_update", fd, program_fd, None)
        finally:
            os.close(fd)

    def _create(self, pin: Path, ifindex: int, attach_point: int, program_fd: int) -> None:
        pin.unlink(missing_ok=True)
        pin.parent.mkdir(parents=True, exist_ok=True)
        link = self._library.call("bpf_link_create", program_fd, ifindex, _TCX[attach_point], None)
        try:
            self._library.call("bpf_obj_pin", link, str(pin).encode())
        finally:
            os.close(link)

    def detach(self, interface: str, attach_point: int) -> bool:
        """Take our program off; tells whether it was there."""
        pin = self._pin(index_of(interface), attach_point)
        there = pin.exists()
        pin.unlink(missing_ok=True)
        return there

    def forget_gone(self) -> None:
        """Remove the pins of links whose interface is no more."""
        pins = list(self._directory.iterdir()) if self._directory.is_dir() else []
        for pin in pins:
            if not self._ifindex(pin):
                pin.unlink()

    def _pin(self, ifindex: int, attach_point: int) -> Path:
        return self._directory / f"{ifindex}_{_NAMES[attach_point]}"

    def _ifindex(self, pin: Path) -> int:
        """Return where a pinned link is attached, 0 if nowhere or if there is none."""
        fd = self._library.number("bpf_obj_get", str(pin).encode())
        if fd < 0:
            return 0
        try:
            info = _LinkInfo()
            self._library.describe(fd, info)
        finally:
            os.close(fd)
        return int(info.ifindex)
