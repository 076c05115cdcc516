"""The three steps of `flowbind key rotate`, as printed, between two engines."""

import re

import pytest

from flowbind.daemon.config import HomeAgentSettings, read_settings
from flowbind.daemon.rotate import rotate
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import Restored

HOME_AGENT = """\
[home-agent]
address = "198.51.100.1"
home-networks = ["10.9.0.0/24"]

[[mobile-node]]     # the one of the test
home-address = "10.9.0.5"
spi = 256
key-file = "node5"
algorithm = "hmac-sha256"
"""
MOBILE_NODE = """\
[mobile-node]
home-address = "10.9.0.5"
home-agent = "198.51.100.1"
algorithm = "hmac-sha256"
spi = 256
key-file = "node5"

[[interface]]
name = "wlan0"
bid = 1
access = "wlan"

[[interface]]
name = "wwan0"
bid = 2
access = "lte"
"""
PRESENT = re.compile(r"^spi = .*\nkey-file = .*\n", re.MULTILINE)


class Operator:
    """Edits the two files as the plan says, and restarts the daemons with them."""

    def __init__(self, world, directory) -> None:
        self.world = world
        self.files = {"agent": directory / "ha.toml", "node": directory / "mn.toml"}
        (directory / "node5").touch(0o600)
        (directory / "node5").write_text(32 * "a")
        self.write("agent", HOME_AGENT)
        self.write("node", MOBILE_NODE)

    def write(self, who, text):
        self.files[who].touch(0o600)
        self.files[who].write_text(text)

    def start(self):
        self.world.agent, self.world.node = self.engine("agent"), self.engine("node")
        self.world.up("wlan0", "wwan0")

    def engine(self, who):
        settings = read_settings(self.files[who])
        assert settings.warnings == ()
        if isinstance(settings, HomeAgentSettings):
            return HomeAgent(settings.engine)
        return MobileNode(settings.engine)

    def edit(self, who, change):
        self.write(who, change(self.files[who].read_text()))
        self.restart(who)

    def restart(self, who):
        world = self.world
        if who == "agent":
            world.agent = self.engine("agent")
            world.restart_agent()
        else:
            record = world.node.record
            world.node = self.engine("node")
            world.at_node(Restored((record,)))
            world.up("wlan0", "wwan0")


def steps_of(plan):
    """The lines of each step that are to be put into a file."""
    return [
        "".join(
            line.removeprefix("     ") + "\n" for line in step.splitlines() if line[:5] == " " * 5
        )
        for step in re.split(r"^[123]  ", plan, flags=re.MULTILINE)[1:]
    ]


@pytest.mark.rfc("5944", "3.8.2.1")
@pytest.mark.parametrize("begun_at", ["agent", "node"])
def test_a_key_is_changed_without_a_denied_request_or_a_lost_binding(world, tmp_path, begun_at):
    operator = Operator(world, tmp_path)
    operator.start()
    forwarding = world.forwarding["agent"]
    spis = []

    def live():
        """Time enough for renewals; nothing may go wrong meanwhile."""
        world.run(2000)
        assert set(world.replies) == {0}
        assert world.bids == [1, 2]
        assert world.forwarding["agent"] == forwarding
        assert not [name for name in world.agent.statistics if name.startswith("refused")]
        assert world.agent.statistics["expired"] == 0
        assert not [name for name in world.node.statistics if "discarded" in name]
        spis.append(world.requests[-1][1].extensions[-1].spi)

    live()
    first, second, third = steps_of(rotate(operator.files[begun_at], None))
    operator.edit("agent", lambda text: text + first)
    live()
    operator.edit("node", lambda text: PRESENT.sub(second, text))
    live()
    assert third == ""
    operator.edit("agent", lambda text: PRESENT.sub(second, text.removesuffix(first)))
    live()
    assert spis == [256, 256, 257, 257]
    assert "# the one of the test" in operator.files["agent"].read_text()


def test_out_of_order_it_would_be_an_outage(world, tmp_path):
    operator = Operator(world, tmp_path)
    operator.start()
    _, second, _ = steps_of(rotate(operator.files["agent"], None))
    operator.edit("node", lambda text: PRESENT.sub(second, text))
    world.run(2000)
    assert world.agent.statistics["refused_no-security-association"] > 0
    assert world.bids == []
