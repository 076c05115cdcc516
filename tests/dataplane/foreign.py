"""Programs of somebody else at the same hooks as ours."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowbind.dataplane.ebpf.libbpf import BpfObject, Library
from tests.dataplane.kernel import run

_SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("tc") int foreign(struct __sk_buff *skb) { return VERDICT; }
char license_of_programs[] SEC("license") = "GPL";
"""
PASSES_ON, DROPS = -1, 2
_TCX_INGRESS = 46


def compiled(directory: Path, verdict: int = PASSES_ON) -> Path:
    """Make an object with a program that says this of every packet."""
    source, made = directory / "foreign.c", directory / f"foreign{verdict}.o"
    source.write_text(_SOURCE)
    headers = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    run("clang", "-O2", "-g", "-target", "bpf", headers, f"-DVERDICT={verdict}",
        "-c", str(source), "-o", str(made))  # fmt: skip
    return made


def at_clsact(made: Path, interface: str, *where: str) -> None:
    """Attach a program as a filter."""
    run("tc", "qdisc", "replace", "dev", interface, "clsact")
    run("tc", "filter", "add", "dev", interface, "ingress", *where, "bpf", "direct-action",
        "object-file", str(made), "section", "tc")  # fmt: skip


@contextmanager
def at_tcx(made: Path, interface: str) -> Iterator[None]:
    """Attach a program by a link of its own."""
    library = Library()
    opened = BpfObject(library, made)
    opened.load()
    asked = opened.program_fd("foreign"), socket.if_nametoindex(interface), _TCX_INGRESS, None
    link = library.call("bpf_link_create", *asked)
    yield
    os.close(link)
    opened.close()
