"""The agent, the node and the wire of other tests, for somebody who means no good."""

import pytest

from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from tests.engine.home_agent.conftest import Desk
from tests.engine.mobile_node.conftest import Trip
from tests.network.conftest import World, agent_config, node_config, nonces


@pytest.fixture
def make_desk():
    return Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def make_trip():
    return Trip


@pytest.fixture
def trip() -> Trip:
    return Trip()


@pytest.fixture
def world() -> World:
    return World(HomeAgent(agent_config(), nonces()), MobileNode(node_config(), nonces()))
