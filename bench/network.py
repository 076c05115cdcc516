"""Three hosts in network namespaces: a correspondent, a home agent, a mobile node.

::

    fbb-cn  203.0.113.9/24 --- 203.0.113.1  fbb-ha  198.51.100.1/24 --- 198.51.100.7  fbb-mn
                                            home network 10.9.0.0/24          home address 10.9.0.5

The address 198.51.100.7 is reached by plain routing, 10.9.0.5 through a tunnel over the same links.
"""

import fcntl
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import netns

CORRESPONDENT = "203.0.113.9"
HOME_AGENT = "198.51.100.1"
CARE_OF_ADDRESS = "198.51.100.7"
HOME_ADDRESS = "10.9.0.5"
HOME_NETWORK = "10.9.0.0/24"

_PREFIX = "fbb-"
_LOCK = Path("/run/fbb.lock")
_NODES = ("cn", "ha", "mn")
_COMMANDS = """\
link add ha0 netns fbb-cn type veth peer name cn0 netns fbb-ha
link add mn0 netns fbb-ha type veth peer name ha0 netns fbb-mn
"""
_ADDRESSES = {
    "cn": ("link set lo up", "link set ha0 up", f"addr add {CORRESPONDENT}/24 dev ha0",
           "route add default via 203.0.113.1"),
    "ha": ("link set lo up", "link set cn0 up", "link set mn0 up",
           "addr add 203.0.113.1/24 dev cn0", f"addr add {HOME_AGENT}/24 dev mn0"),
    "mn": ("link set lo up", "link set ha0 up", f"addr add {CARE_OF_ADDRESS}/24 dev ha0",
           f"route add default via {HOME_AGENT}"),
}  # fmt: skip
_SETTINGS = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.core.rmem_max=4194304",
)


def inside(node: str, *command: str) -> list[str]:
    """Return the command that runs a command inside a node."""
    return ["ip", "netns", "exec", _PREFIX + node, *command]


def run(command: Sequence[str], given: str | None = None) -> str:
    """Run a command to its end and return what it printed; SystemExit with its words if not."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(command)}: {done.stderr.strip() or done.stdout[-300:]}")
    return done.stdout


def devices(node: str) -> list[str]:
    """Return the names of a node's devices but the loopback."""
    shown = json.loads(run(["ip", "-n", _PREFIX + node, "-j", "link", "show"]))
    return [each["ifname"] for each in shown if each["ifname"] != "lo"]


def socket_in(node: str, kind: int, protocol: int = 0) -> socket.socket:
    """Return a socket of a node's network, which it stays in. For one thread at a time."""
    with Path("/proc/self/ns/net").open() as own:
        netns.setns(_PREFIX + node)
        try:
            return socket.socket(socket.AF_INET, kind, protocol)
        finally:
            netns.setns(own.fileno())


@contextmanager
def hosts() -> Iterator[Path]:
    """Make the three hosts; yields a directory on a BPF file system below /run for pins."""
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root: network namespaces and BPF")
    with _alone():
        remove()
        pins = Path(tempfile.mkdtemp(prefix="fbb-", dir="/run"))
        run(["mount", "-t", "bpf", "bpf", str(pins)])
        try:
            _make()
            yield pins
        finally:
            remove()
            run(["umount", str(pins)])
            pins.rmdir()


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other run uses the names of these hosts."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make() -> None:
    run(["ip", "-batch", "-"], "".join(f"netns add {_PREFIX}{node}\n" for node in _NODES))
    run(["ip", "-batch", "-"], _COMMANDS)
    for node in _NODES:
        run(inside(node, "sysctl", "-q", "-e", "-w", *_SETTINGS))
        run(["ip", "-n", _PREFIX + node, "-batch", "-"], "\n".join(_ADDRESSES[node]) + "\n")


def remove() -> None:
    """Take away what an earlier run left, or this one made."""
    for node in _NODES:
        if Path("/run/netns", _PREFIX + node).exists():
            run(["ip", "netns", "del", _PREFIX + node])
