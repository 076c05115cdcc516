"""Our data plane at one end, the kernel's own `ipip` and `gre` devices at the other.

Only in the virtual machine of `make vm-test`: not every kernel has these devices.
"""

import pytest
from msgspec import structs

from flowbind.model.binding import Encapsulation, GreKeys
from tests.netns.hosts import CORRESPONDENT, HOME, node_at, ping, transfer

pytestmark = [pytest.mark.root, pytest.mark.vm]

MN, CN = ("mn", HOME), ("cn", CORRESPONDENT)


@pytest.mark.parametrize(
    ("encapsulation", "keys"),
    [
        (Encapsulation.IP_IN_IP, None),
        (Encapsulation.GRE, None),
        (Encapsulation.GRE, GreKeys(send=7629, receive=6245)),
    ],
    ids=["ipip", "gre", "gre-key"],
)
@pytest.mark.parametrize("ours", ["ha", "mn"])
def test_tcp_and_ping_both_ways(end, kernel_tunnel, offload, ours, encapsulation, keys):
    plane = end(ours)
    node = node_at(ours, encapsulation, bids=(1,))
    (path,) = node.paths
    plane.program(structs.replace(node, paths=(structs.replace(path, gre_keys=keys),)))
    theirs = ("ikey", str(keys.send), "okey", str(keys.receive)) if keys else ()
    kernel_tunnel("mn" if ours == "ha" else "ha", encapsulation, *theirs)
    assert ping("cn", CORRESPONDENT, HOME)
    assert ping("mn", HOME, CORRESPONDENT)
    transfer(CN, MN)
    transfer(MN, CN)
    counted = plane.plane.statistics()
    assert {name for name, value in counted.items() if value and name.startswith("drop_")} == set()
    assert counted["encapsulated_octets"] > 3 << 20
    assert counted["decapsulated_octets"] > 3 << 20
