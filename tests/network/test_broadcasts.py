"""The B bit between the two engines (RFC 5944 3.3, 4.3)."""

import pytest

from flowbind.events import DeregisterRequested
from flowbind.model.binding import Broadcasts


@pytest.mark.rfc("5944", "3.6.1.2")
@pytest.mark.parametrize("multipath", ["require", "off"])
def test_a_node_asks_for_broadcasts_where_it_is_told_to(make_world, tools, multipath):
    for asks, held in ((True, Broadcasts.DIRECT), (False, Broadcasts.NONE)):
        world = make_world(
            agent={"home_link": "home0"}, multipath=multipath, broadcast_datagrams=asks
        )
        world.up("wlan0", "wwan0")
        assert {each.broadcasts for each in world.record.bindings} == {held}
        world.at_node(DeregisterRequested("wlan0"))
        world.run(2)
        (end,) = [request for _, request in world.requests if request.lifetime_s == 0]
        assert tools.flags.BROADCAST_DATAGRAMS not in end.flags
