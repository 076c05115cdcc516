"""A network namespace and a BPF file system for one test, in this very process."""

import ctypes
import os
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
