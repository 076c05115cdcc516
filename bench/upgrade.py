"""The home agent's daemon replaced by another build of itself, while packets go through a tunnel.

The other build has maps of another layout, a map more, and counters in other places, so that all of
what the kernel holds has to be taken over. Each round goes to the other build and back.
"""

import tempfile
import time
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

from bench import mobile_nodes, network, traffic
from bench.home_agent import HomeAgent
from bench.report import Section, figure, tell
from bench.restart import first_reply, lead_tunnels_to_the_node
from bench.sequence import RATE, Packets
from tests.dataplane.other_build import other_build

_NODE = 0
_BEFORE_S = 0.5


def measure(rounds: int, store: Path) -> Section:
    """Take all measurements; about (rounds * 10 s) long."""
    lost: list[float] = []
    sent: list[float] = []
    lasted_s: list[float] = []
    with ExitStack() as stack:
        pins = stack.enter_context(network.hosts())
        lead_tunnels_to_the_node()
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fbb-", dir=store)))
        other = directory / "other"
        other.mkdir()
        builds = [other_build(other), None]
        tell("upgrade: the other build is made")
        processor = traffic.processors()[-1]

        def start(build: Path | None) -> HomeAgent:
            agent = HomeAgent(directory, pins, 1, processor, build)
            stack.callback(agent.kill)
            agent.wait()
            return agent

        running = start(None)
        first_reply()
        for at in range(rounds):
            with Packets(str(IPv4Address(mobile_nodes.home_address(_NODE)))) as packets:
                time.sleep(_BEFORE_S)
                begun_at = time.monotonic()
                for build in builds:
                    running.end()
                    running = start(build)
                lasted_s.append((time.monotonic() - begun_at) / len(builds))
                time.sleep(_BEFORE_S)
            sent.append(packets.sent)
            lost.append(packets.lost)
            tell(
                f"upgrade, round {at + 1} of {rounds}: {packets.lost} of {packets.sent} packets "
                f"lost, {lasted_s[-1]:.1f} s each"
            )
    figures = [
        figure("packets lost, all rounds", "", [sum(lost)], at_most=0.0),
        figure("packets sent, all rounds", "", [sum(sent)]),
        figure("from the end of a build to answers of the other", "s", lasted_s),
    ]
    note = f"{RATE:,} packets a second; {rounds} times to the other build and back"
    return Section("upgrade under load", "", figures, (note,))
