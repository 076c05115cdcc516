"""A host without prefixes has nothing to do with IPv6, and another may have tunnels of it."""

import pytest

from tests.bpf.conftest import UNTOUCHED
from tests.bpf.packets import frame
from tests.bpf.test_ipv6 import down6, frame6, node6, to_agent, up6

pytestmark = pytest.mark.root


@pytest.mark.parametrize("packet", [frame6(down6()), frame(to_agent(up6()))])
def test_all_ipv6_is_left_to_the_stack(agent, packet):
    agent.plane.program(node6())
    assert agent.run("home_agent_link", packet).verdict == UNTOUCHED
