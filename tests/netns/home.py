"""A home network that is a link, and a mobile node that may be plugged into it.

::

                         10.9.0.0/24, the home link
    host 10.9.0.20 eth0 ---+
                           | switch +--- eth1 10.9.0.1     agent   198.51.100.1 acc0 ---+
    node  home0 -----------+                               203.0.113.1 cn0 ---+        |
    node  wlan0 198.51.100.7 ---------------------------------------------------------+
                                                           cn 203.0.113.9 ----+

The port of the switch that the node is at goes up and down. Names are those of tests.netns.hosts,
with other hosts.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from tests.dataplane.kernel import run
from tests.netns.hosts import inside, namespace

AGENT, HOME, HOST = IPv4Address("10.9.0.1"), IPv4Address("10.9.0.5"), IPv4Address("10.9.0.20")
CORRESPONDENT = IPv4Address("203.0.113.9")
HOSTS = ("h-switch", "h-agent", "h-host", "h-node", "h-cn")
SWITCH, AT_AGENT, AT_HOST, AT_NODE, AT_CN = HOSTS

_LINKS = (
    (SWITCH, "agent", AT_AGENT, "eth1"),
    (SWITCH, "host", AT_HOST, "eth0"),
    (SWITCH, "node", AT_NODE, "home0"),
    (AT_AGENT, "acc0", AT_NODE, "wlan0"),
    (AT_AGENT, "cn0", AT_CN, "eth0"),
)
_SETTINGS = {
    "ipv4/conf/all/rp_filter": "1",
    "ipv4/conf/default/rp_filter": "1",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}
_COMMANDS = {
    SWITCH: (
        "link add br0 type bridge forward_delay 0", "link set br0 up",
        *[f"link set {port} master br0" for port in ("agent", "host", "node")],
        "link set agent up", "link set host up",
    ),
    AT_AGENT: (
        "addr add 10.9.0.1/24 dev eth1", "addr add 198.51.100.1/24 dev acc0",
        "addr add 203.0.113.1/24 dev cn0", "link set eth1 up", "link set acc0 up",
        "link set cn0 up",
    ),
    AT_HOST: (
        "addr add 10.9.0.20/24 dev eth0", "link set eth0 up", "route add default via 10.9.0.1",
    ),
    AT_NODE: (
        "addr add 198.51.100.7/24 dev wlan0", "link set wlan0 up", "link set home0 up",
        "route add default via 198.51.100.1 dev wlan0 metric 100",
    ),
    AT_CN: (
        "addr add 203.0.113.9/24 dev eth0", "link set eth0 up",
        "route add default via 203.0.113.1",
    ),
}  # fmt: skip


@contextmanager
def home_network() -> Iterator[None]:
    """Make it; it goes with everything in it."""
    try:
        for host in HOSTS:
            run("ip", "netns", "add", namespace(host))
        for left, left_device, right, right_device in _LINKS:
            run("ip", "link", "add", left_device, "netns", namespace(left), "type", "veth",
                "peer", "name", right_device, "netns", namespace(right))  # fmt: skip
        for host, commands in _COMMANDS.items():
            with inside(host):
                for key, value in _SETTINGS.items():
                    Path("/proc/sys/net", key).write_text(value)
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1" if host == AT_AGENT else "0")
                for command in ("link set lo up", *commands):
                    run("ip", *command.split())
        yield
    finally:
        for host in HOSTS:
            if Path("/run/netns", namespace(host)).exists():
                run("ip", "netns", "del", namespace(host))


def plug(*, home: bool) -> None:
    """Plug the node's home0 into the home link, or pull it out."""
    with inside(SWITCH):
        run("ip", "link", "set", "node", "up" if home else "down")


def link_address(host: str, device: str) -> str:
    """The Ethernet address of a device."""
    with inside(host):
        (shown,) = json.loads(run("ip", "-j", "link", "show", device))
    return str(shown["address"])


def neighbour(host: str, device: str, address: IPv4Address) -> str | None:
    """The Ethernet address that a host has in its cache for a neighbour."""
    with inside(host):
        words = run("ip", "neigh", "show", str(address), "dev", device).split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else None


def wait_until(what: str, holds: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"{what} did not come"
        time.sleep(0.05)
