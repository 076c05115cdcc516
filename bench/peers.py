"""TCP through flowbind beside user-space tunnels that one may have instead, between the same hosts.

Each has what it encrypts with by default, and once more nothing, where it can do without:
flowbind does not encrypt. All take turns with flowbind's IP-in-IP. Their daemons may use every
processor, the stream has one, as ours does.
"""

import subprocess

from bench import ends, network, traffic
from bench.ends import Order
from bench.peer_programs import ADDRESS, PEERS, running
from bench.report import Section, figure, tell
from bench.traffic import DOWN

TIMES_AT_LEAST = 15.0


def measure(rounds: int, seconds: float) -> Section:
    """Take all measurements; about (rounds * 6 * (seconds + 4)) long."""
    subprocess.run(["tools/install", "peers"], check=True)
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in PEERS}
    with ends.hosts() as both:
        for at in range(rounds):
            both.obey(Order("ipip"))
            ours.append(traffic.tcp(network.HOME_ADDRESS, DOWN, seconds))
            both.obey(Order(None))
            tell(f"peers, round {at + 1} of {rounds}: IP-in-IP: {ours[-1]:.3g} Gbit/s")
            for name in PEERS if at % 2 == 0 else reversed(PEERS):
                with running(name):
                    theirs[name].append(traffic.tcp(ADDRESS, DOWN, seconds))
                tell(f"peers, round {at + 1} of {rounds}: {name}: {theirs[name][-1]:.3g} Gbit/s")
    figures = [
        figure(f"IP-in-IP / {name}", "Gbit/s", ours, values, ratio_at_least=TIMES_AT_LEAST)
        for name, values in theirs.items()
    ]
    return Section(f"TCP {DOWN}, beside others", "theirs", figures)
