"""Both daemons, real, with real packets between them: what an operator configures and sees."""

import pytest

from tests.netns.daemons import home_agent_toml, mobile_node_toml
from tests.netns.hosts import CORRESPONDENT, HOME, Ping, ping

pytestmark = pytest.mark.root


@pytest.fixture
def pair(daemon):
    """Start a home agent and a mobile node with more keys, and wait for both paths."""

    def start(node="", mobile_node=""):
        agent = daemon("home-agent", "ha", lambda host: home_agent_toml(host, node))
        mobile = daemon("mobile-node", "mn", lambda host: mobile_node_toml(host + mobile_node))
        agent.wait("both bindings", lambda: agent.bids() == {1, 2})
        return agent, mobile

    return start


def accepted(agent):
    return agent.counters().get("accepted", 0)


@pytest.mark.rfc("5944", "5.7.2")
def test_nonces_through_restarts_of_either_end(pair):
    agent, mobile = pair('replay = "nonces"', 'replay = "nonces"\nlifetime = "5s"')
    assert ping("cn", CORRESPONDENT, HOME)
    for each in (agent, mobile):
        each.kill()
        under_way = Ping("cn", CORRESPONDENT, HOME, 100)
        each.start()
        before = accepted(agent)
        agent.wait("a renewal", lambda before=before: accepted(agent) > before)
        assert under_way.all_answered()
        assert agent.bids() == {1, 2}
    # Both had kept the nonce.
    assert "denied_133" not in mobile.counters()
