"""The hosts of tests/netns, and at one of them the kernel's own tunnel instead of ours."""

import pytest

from flowbind.model.binding import Encapsulation
from tests.dataplane.kernel import run
from tests.netns.conftest import end, offload, pins, world
from tests.netns.hosts import AGENT, CARE_OF, HOME, inside

__all__ = ["end", "kernel_tunnel", "offload", "pins", "world"]

DEVICE = "kernel0"
_KINDS = {Encapsulation.IP_IN_IP: "ipip", Encapsulation.GRE: "gre"}
_TABLE = "77"


@pytest.fixture
def kernel_tunnel(world):
    """Make a device of the kernel's at a host, toward the other one, and lead packets into it.

    More for `ip link` may be given.
    """
    made = []

    def make(host, encapsulation, *more):
        local, remote = (AGENT, CARE_OF[1]) if host == "ha" else (CARE_OF[1], AGENT)
        made.append(host)
        with inside(host):
            run("ip", "link", "add", DEVICE, "type", _KINDS[encapsulation], "local", str(local),
                "remote", str(remote), "ttl", "64", *more)  # fmt: skip
            run("ip", "link", "set", DEVICE, "up")
            if host == "ha":
                run("ip", "route", "add", f"{HOME}/32", "dev", DEVICE)
                return
            # Strictly, a correspondent's packets would have to come the way that packets to it go.
            run("sysctl", "-q", "-w", f"net.ipv4.conf.{DEVICE}.rp_filter=2")
            run("ip", "addr", "add", f"{HOME}/32", "dev", DEVICE)
            run("ip", "route", "add", "default", "dev", DEVICE, "table", _TABLE)
            run("ip", "rule", "add", "from", str(HOME), "lookup", _TABLE)

    yield make
    for host in made:
        with inside(host):
            run("ip", "link", "del", DEVICE)
            if host == "mn":
                run("ip", "rule", "del", "from", str(HOME), "lookup", _TABLE)
