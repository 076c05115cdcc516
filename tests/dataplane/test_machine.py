"""Each thing that a machine may lack is really taken away, and named with what to do about it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flowbind.dataplane.ebpf.plane import OBJECT

pytestmark = pytest.mark.root

CHECK = [sys.executable, "-m", "flowbind.daemon", "check", "--machine"]
LIBRARY = next(Path("/usr/lib").glob("*-linux-gnu/libbpf.so.1"))
NUMBER_OF_BPF = {"x86_64": 321, "aarch64": 280}

# A filter of seccomp (classic BPF): the number of the call, ours? EPERM, else go on.
WITHOUT_BPF = """
import ctypes, os, struct, sys
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, int(sys.argv[1])), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in lines))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


def hidden(path):
    """Run what follows where nothing is at this path."""
    kind = "mount -t tmpfs none" if path.is_dir() else "mount --bind /dev/null"
    return ["unshare", "-m", "sh", "-c", f'{kind} {path} && exec "$@"', "sh"]


TAKEN_AWAY = {
    "root": (
        [shutil.which("setpriv"), "--reuid", "65534", "--clear-groups"],
        "forwarding needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN)",
    ),
    "capabilities": (
        ["setpriv", "--bounding-set", "-net_admin,-sys_admin", "--inh-caps", "-all"],
        "root has no CAP_NET_ADMIN and no CAP_SYS_ADMIN here: give the container or the unit these",
    ),
    "TUN": (
        hidden(Path("/dev/net")),
        "/dev/net/tun: No such file or directory: load the module tun, or let the container have"
        " the device",
    ),
    "libbpf": (hidden(LIBRARY.resolve()), "libbpf is not installed (Debian package libbpf1)"),
    "object": (hidden(OBJECT.parent), f"{OBJECT} is missing: build it with `make bpf`"),
    "system call": (
        [sys.executable, "-c", WITHOUT_BPF, str(NUMBER_OF_BPF[os.uname().machine])],
        "the system call bpf: Operation not permitted: a seccomp filter, or a kernel without it",
    ),
    "kernel": (["setarch", "--uname-2.6"], "is too old: 5.15 or later is needed"),
}


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_what_is_taken_away_is_named(what):
    prefix, words = TAKEN_AWAY[what]
    done = run(*prefix, *CHECK)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("flowbind: ")
    assert line.endswith(words)


def test_all_that_is_missing_is_told_at_once():
    done = run(*hidden(Path("/dev/net")), *hidden(OBJECT.parent), *CHECK, "--json")
    report = json.loads(done.stdout)
    assert (report["ok"], report["attach"]) == (False, None)
    assert [each.split(" ")[0] for each in report["missing"]] == [str(OBJECT), "/dev/net/tun:"]


def test_with_all_of_it_the_machine_can_forward():
    done = run(*CHECK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "can forward, programs at " in done.stdout


@pytest.mark.parametrize("what", ["capabilities", "TUN", "object", "system call", "kernel"])
def test_a_start_says_the_same(what, tmp_path):
    prefix, words = TAKEN_AWAY[what]
    file = tmp_path / "home-agent.toml"
    file.write_text(
        f"""
        [home-agent]
        address = "198.51.100.1"
        home-networks = ["10.9.0.0/24"]
        socket = "{tmp_path}/socket"
        store = "memory:"
        pin-path = "/sys/fs/bpf/flowbind-test-{os.getpid()}"
        """
    )
    file.chmod(0o600)
    daemon = [sys.executable, "-m", "flowbind.daemon", "home-agent", "-c", str(file)]
    network = 'ip link set lo up && ip addr add 198.51.100.1/32 dev lo && exec "$@"'
    done = run("unshare", "-n", "sh", "-c", network, "sh", *prefix, *daemon)
    assert done.returncode == 1
    assert f"{words}\n" in done.stderr
    assert "Traceback" not in done.stderr
