"""The processes that hold flowbind's data plane at the ends of a tunnel."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import network
from bench.network import inside


class Order(Struct, frozen=True):
    """What a data plane shall do: forward for the node of `bench.network`, or be no more (None).

    `encapsulation` is the `kind` of a path. There are as many `nodes` of `bench.mobile_nodes`
    beside it, and as many `rules`, of which the last one matches. With `weights` it has paths
    over the shaped links of `bench.links`, but for those of weight 0, instead of the one path.
    With `shortcut_out` packets of the node do not pass the routing of its home agent.
    """

    encapsulation: str | None
    nodes: int = 0
    rules: int = 0
    weights: tuple[int, ...] = ()
    shortcut_out: bool = False


class End:
    """The process at one end."""

    def __init__(self, node: str, role: str, pins: Path) -> None:
        self._process = subprocess.Popen(
            inside(node, sys.executable, "-m", "bench.forwarder", role, str(pins / role)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def obey(self, order: Order) -> float:
        """Have it carry out an order; returns the seconds that it took."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise SystemExit("bench: no pipe to the data plane")
        stdin.write(msgspec.json.encode(order).decode() + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise SystemExit("bench: the data plane ended")
        return float(answer)

    def close(self) -> None:
        """End it at once, whatever it is at; what it has made goes with the hosts."""
        self._process.kill()
        self._process.communicate()


class Ends:
    """Both ends: a home agent's and a mobile node's."""

    def __init__(self, home_agent: End, mobile_node: End) -> None:
        self.home_agent = home_agent
        self.mobile_node = mobile_node

    def obey(self, order: Order) -> None:
        """Have both carry out an order."""
        self.home_agent.obey(order)
        self.mobile_node.obey(order)


@contextmanager
def hosts() -> Iterator[Ends]:
    """Make the hosts of `bench.network` with a data plane at both ends."""
    with ExitStack() as stack:
        pins = stack.enter_context(network.hosts())
        ends = Ends(End("ha", "home-agent", pins), End("mn", "mobile-node", pins))
        stack.callback(ends.mobile_node.close)
        stack.callback(ends.home_agent.close)
        yield ends
