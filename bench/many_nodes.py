"""Packets a second with many mobile nodes in the home agent's maps, beside one.

Packets to one node show what a large table costs in itself; packets to all of them in turn, none
of whose entries is in the processor's caches, stand beside as many flows to one node, so that
both find the flow cache as useless.
"""

from bench import ends, sender
from bench.ends import Order
from bench.report import Section, figure, tell
from bench.sender import Flood

NODES = 500_000
NODES_QUICK = 20_000
AT_LEAST = 0.9


def measure(rounds: int, seconds: float, nodes: int) -> Section:
    """Take all measurements; a round is about a minute long with 500,000 nodes."""
    one: list[float] = []
    all_of_them: list[float] = []
    alone: list[float] = []
    flows_alone: list[float] = []
    installed_s: list[float] = []
    with ends.hosts() as both, sender.counting():
        agent = both.home_agent
        for at in range(rounds):
            agent.obey(Order("ipip"))
            alone.append(sender.thousands(Flood(seconds)))
            flows_alone.append(sender.thousands(Flood(seconds, flows=nodes)))
            installed_s.append(agent.obey(Order("ipip", nodes)))
            one.append(sender.thousands(Flood(seconds)))
            all_of_them.append(sender.thousands(Flood(seconds, nodes=nodes)))
            agent.obey(Order(None))
            tell(
                f"nodes, round {at + 1} of {rounds}: installed in {installed_s[-1]:.1f} s; to one "
                f"of them {one[-1]:.0f}, alone {alone[-1]:.0f}; to all {all_of_them[-1]:.0f}, as "
                f"many flows to one {flows_alone[-1]:.0f} kpackets/s"
            )
    figures = [
        figure("to one of them", "kpackets/s", one, alone, ratio_at_least=AT_LEAST),
        figure("to all in turn", "kpackets/s", all_of_them, flows_alone, ratio_at_least=AT_LEAST),
        figure("installing them", "s", installed_s),
        figure("installing one", "us", [each / nodes * 1e6 for each in installed_s]),
    ]
    return Section(f"with {nodes:,} nodes", "one node", figures)
