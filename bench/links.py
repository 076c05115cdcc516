"""More links between the home agent and the mobile node of `bench.network`, as slow as is wanted.

::

    fbb-ha  198.18.1.1/24 l1 --- l1 198.18.1.7  fbb-mn     50 Mbit/s
            198.18.2.1/24 l2 --- l2 198.18.2.7             30 Mbit/s
            198.18.3.1/24 l3 --- l3 198.18.3.7             20 Mbit/s
"""

from collections.abc import Sequence

from bench.network import HOME_AGENT, inside, run

_PACKETS = "32kb"
_WAIT = "50ms"


def device(number: int) -> str:
    """Return the name of a link, at both of its ends."""
    return f"l{number}"


def care_of_address(number: int) -> str:
    """Return the node's address on a link."""
    return f"198.18.{number}.7"


def make(speeds: Sequence[int]) -> None:
    """Make links of so many Mbit/s, numbered from 1; they go with the hosts."""
    for number, speed in enumerate(speeds, 1):
        name, network = device(number), f"198.18.{number}"
        run(["ip", "link", "add", name, "netns", "fbb-ha", "type", "veth",
             "peer", "name", name, "netns", "fbb-mn"])  # fmt: skip
        for host, address in (("ha", f"{network}.1"), ("mn", care_of_address(number))):
            commands = (
                f"ip addr add {address}/24 dev {name}",
                f"ip link set {name} up",
                f"tc qdisc add dev {name} root tbf rate {speed}mbit burst {_PACKETS} "
                f"latency {_WAIT}",
            )
            for command in commands:
                run(inside(host, *command.split()))
        # What the node sends through this link, the data plane has chosen.
        route = f"ip route add {HOME_AGENT}/32 via {network}.1 dev {name} metric {100 + number}"
        run(inside("mn", *route.split()))
        # And what plain routing sends back leaves by the link that it came from.
        source = care_of_address(number)
        run(inside("mn", "ip", "rule", "add", "from", source, "lookup", str(100 + number)))
        run(inside("mn", "ip", "route", "add", "default", "via", f"{network}.1", "dev", name,
                   "table", str(100 + number)))  # fmt: skip
