"""Our data plane at one end, the kernel's own `ipip` and `gre` devices at the other.

Only in the virtual machine of `make vm-test`: not every kernel has these devices.
"""

import pytest

from flowbind.model.binding import Encapsulation
from tests.netns.hosts import CORRESPONDENT, HOME, node_at, ping, transfer

pytestmark = [pytest.mark.root, pytest.mark.vm]

MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)


@pytest.mark.parametrize("encapsulation", [Encapsulation.IP_IN_IP, Encapsulation.GRE])
@pytest.mark.parametrize("ours", ["ha", "mn"])
def test_tcp_and_ping_both_ways(end, kernel_tunnel, offload, ours, encapsulation):
    plane = end(ours)
    plane.program(node_at(ours, encapsulation, bids=(1,)))
    kernel_tunnel("mn" if ours == "ha" else "ha", encapsulation)
    assert ping("cn", CORRESPONDENT, HOME)
    assert ping("mn", HOME, CORRESPONDENT)
    transfer(CN, MN)
    transfer(MN, CN)
    counted = plane.plane.statistics()
    assert {name for name, value in counted.items() if value and name.startswith("drop_")} == set()
    assert counted["encapsulated_octets"] > 3 << 20
    assert counted["decapsulated_octets"] > 3 << 20
