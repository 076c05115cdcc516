"""What this machine needs to have in order to forward: each thing, and what to do if it is missing.

Nothing is changed by looking.
"""

import ctypes
import os
from collections.abc import Iterator
from errno import ENOENT
from pathlib import Path
from typing import Final

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.libbpf import Library
from flowbind.dataplane.ebpf.links import kernel_has_links

OLDEST_KERNEL: Final = (5, 15)
"""What the programs are tested with; older ones lack some of their helpers."""

_CAPABILITIES: Final = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
"""To attach and to route; and for what CAP_BPF does not do: to find a program by its number."""

_TUN: Final = Path("/dev/net/tun")
_NO_PROGRAM: Final = 0xFFFFFFFF


def require(object_file: Path) -> None:
    """Raise DataPlaneError with a line for each thing that is missing."""
    lines = missing(object_file)
    if lines:
        raise DataPlaneError("\n".join(lines))


def missing(object_file: Path) -> tuple[str, ...]:
    """Tell what is missing, a line for each thing; the rest is not looked at without root."""
    if os.geteuid() != 0:
        return ("forwarding needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN)",)
    return (*_of_kernel(), *_of_files(object_file))


def attaches_by_links() -> bool:
    """Tell whether programs would be attached by TCX. Raises DataPlaneError without libbpf."""
    return kernel_has_links(Library())


def _of_kernel() -> Iterator[str]:
    release = os.uname().release
    numbers = release.split("-", 1)[0].split(".")
    if tuple(int(each) for each in numbers[:2] if each.isdigit()) < OLDEST_KERNEL:
        oldest = ".".join(map(str, OLDEST_KERNEL))
        yield f"Linux {release} is too old: {oldest} or later is needed"
    if lacking := _lacking():
        yield f"root has no {' and no '.join(lacking)} here: give the container or the unit these"


def _lacking() -> list[str]:
    words = Path("/proc/self/status").read_text().split()
    held = int(words[words.index("CapEff:") + 1], 16)
    return [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]


def _of_files(object_file: Path) -> Iterator[str]:
    if not object_file.exists():
        yield f"{object_file} is missing: build it with `make bpf`"
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        yield f"{_TUN}: {error.strerror}: load the module tun, or let the container have the device"
    try:
        library = Library()
    except DataPlaneError as error:
        yield str(error)
        return
    yield from _of_system_call(library)


def _of_system_call(library: Library) -> Iterator[str]:
    """Ask for a program that there cannot be: anything but ENOENT says that nobody may ask."""
    result = library.number("bpf_prog_get_fd_by_id", ctypes.c_uint32(_NO_PROGRAM))
    if result >= 0:
        os.close(result)
    elif -result != ENOENT and not _lacking():
        reason = os.strerror(-result)
        yield f"the system call bpf: {reason}: a seccomp filter, or a kernel without it"
