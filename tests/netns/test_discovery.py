"""A real mobile node that finds its real home agent (RFC 5944 3.6.1.2, 3.8.2.1)."""

import time

import pytest

from tests.netns.hosts import CORRESPONDENT, HOME, ping

pytestmark = pytest.mark.root


@pytest.mark.rfc("5944", "3.8.2.1", "HA-19")
@pytest.mark.rfc("5944", "3.6.1.1", "MN-12")
def test_a_node_finds_its_home_agent_and_passes_packets(configured):
    configured.change("ha", discovery=True)
    configured.change("mn", home_agent=None, home_network="10.9.0.0/24")
    configured.start("ha")
    configured.start("mn")
    assert configured.up("mn", 2) == str(HOME)
    assert configured.ask("mn", "status")["home_agent"] == "198.51.100.1"
    assert configured.counted("ha", "refused_sent-to-broadcast") == 1
    assert ping("cn", CORRESPONDENT, HOME)
    # A new run knows it from the start.
    configured.stop("mn")
    configured.start("mn")
    assert ping("cn", CORRESPONDENT, HOME)
    configured.up("mn", 2)
    assert configured.counted("ha", "refused_sent-to-broadcast") == 1


def test_a_home_agent_that_is_not_told_to_is_not_found(configured):
    configured.change("mn", home_agent=None, home_network="10.9.0.0/24")
    configured.start("ha")
    configured.start("mn")
    time.sleep(5)
    rows = configured.ask("mn", "paths")["paths"]
    assert {row["state"] for row in rows} == {"registering"}
    assert configured.counted("ha", "refused_sent-to-broadcast") == 0
