"""Throughput through one tunnel beside plain routing, on the same links and in the same run.

Plain routing and every kind of tunnel that the model knows take turns, so that whatever else the
machine does falls on all of them.
"""

from msgspec import Struct

from bench import ends, forwarder, network, traffic
from bench.ends import Ends, Order
from bench.report import Section, figure, tell
from bench.traffic import DOWN, UP
from flowbind.dataplane.base import Role

PLAIN = "plain routing"
KINDS = tuple(forwarder.tunnels(Role.HOME_AGENT))
UP_BY_SHORTCUT = "from the node by shortcut-out"
TCP_AT_LEAST = 0.95
UDP_AT_LEAST = 0.8


class Turn(Struct, frozen=True):
    """One measurement to repeat. `way` is a kind of tunnel, or plain routing."""

    udp: bool
    direction: str
    way: str

    @property
    def what(self) -> str:
        """What it is called in the table."""
        protocol = f"UDP, {traffic.UDP_PAYLOAD} octets," if self.udp else "TCP"
        return f"{protocol} {self.direction}, {self.way}"

    @property
    def reference(self) -> "Turn":
        """What its value is compared with."""
        direction = UP if self.direction == UP_BY_SHORTCUT else self.direction
        return Turn(self.udp, direction, PLAIN)

    @property
    def unit(self) -> str:
        """What its value counts."""
        return "kpackets/s" if self.udp else "Gbit/s"


TURNS = (
    *(Turn(False, direction, way) for direction in (DOWN, UP) for way in (PLAIN, *KINDS)),
    *(Turn(False, UP_BY_SHORTCUT, way) for way in KINDS),
    *(Turn(True, DOWN, way) for way in (PLAIN, *KINDS)),
)


def measure(rounds: int, seconds: float) -> Section:
    """Take all measurements; about (rounds * 36 * (seconds + 2)) long."""
    found: dict[Turn, list[float]] = {turn: [] for turn in TURNS}
    with ends.hosts() as both:
        for at in range(rounds):
            # Every other round backwards, so that no way always comes first.
            for turn in TURNS if at % 2 == 0 else reversed(TURNS):
                found[turn].append(_take(turn, seconds, both))
                tell(
                    f"tunnels, round {at + 1} of {rounds}: "
                    f"{turn.what}: {found[turn][-1]:.3g} {turn.unit}"
                )
    return _section(found)


def _take(turn: Turn, seconds: float, both: Ends) -> float:
    address = network.CARE_OF_ADDRESS
    if turn.way != PLAIN:
        both.obey(Order(turn.way, shortcut_out=turn.direction == UP_BY_SHORTCUT))
        address = network.HOME_ADDRESS
    if turn.udp:
        return traffic.udp(address, seconds)
    return traffic.tcp(address, DOWN if turn.direction == DOWN else UP, seconds)


def _section(found: dict[Turn, list[float]]) -> Section:
    figures = [
        figure(
            turn.what,
            turn.unit,
            values,
            found[turn.reference],
            ratio_at_least=UDP_AT_LEAST if turn.udp else TCP_AT_LEAST,
        )
        for turn, values in found.items()
        if turn.way != PLAIN
    ]
    return Section("through one tunnel", PLAIN, figures)
