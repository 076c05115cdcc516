"""A network namespace and a BPF file system for one test, in this very process."""

import ctypes
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


@contextmanager
def own_network() -> Iterator[None]:
    """Be in a new network namespace, which goes with all that is in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    assert libc.unshare(_CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    try:
        # Addresses of IPv6 come by themselves, after a while, and would look like a change.
        for scope in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")
        run("ip", "link", "set", "lo", "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        yield
    finally:
        assert libc.setns(home, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(home)


@contextmanager
def bpf_directory() -> Iterator[Path]:
    """Mount a BPF file system of the test's own."""
    directory = Path(tempfile.mkdtemp(prefix="fbt-", dir="/run"))
    run("mount", "-t", "bpf", "bpf", str(directory))
    try:
        yield directory
    finally:
        # A test that failed may still hold its lock there.
        run("umount", "--lazy", str(directory))
        directory.rmdir()


def pinned(directory: Path) -> list[str]:
    """Name what is pinned below a directory; the kernel's own two files are none of it."""
    ours = (each.relative_to(directory) for each in directory.rglob("*"))
    return sorted(str(each) for each in ours if each.suffix != ".debug")


def attached(interface: str, direction: str = "ingress") -> list[str]:
    """Name the programs at a hook in the order in which they are asked: by TCX, then by clsact."""
    shown = (
        run("bpftool", "-j", "prog", "show", "id", str(each))
        for each in attached_numbers(interface, direction)
    )
    return [json.loads(each)["name"] for each in shown]


def attached_numbers(interface: str, direction: str = "ingress") -> list[int]:
    """The numbers of the programs at a hook."""
    filters = json.loads(run("tc", "-j", "filter", "show", "dev", interface, direction))
    options = [each.get("options", {}) for each in filters]
    return _by_links(interface, direction) + [
        each["prog"]["id"] for each in options if "prog" in each
    ]


def _by_links(interface: str, direction: str) -> list[int]:
    """What is attached by TCX, which this bpftool does not know yet."""
    numbers = (ctypes.c_uint32 * 16)()
    count = ctypes.c_uint32(16)
    asked = socket.if_nametoindex(interface), {"ingress": 46, "egress": 47}[direction]
    libbpf = ctypes.CDLL("libbpf.so.1")
    if libbpf.bpf_prog_query(*asked, 0, None, numbers, ctypes.byref(count)):
        return []
    return list(numbers[: count.value])
