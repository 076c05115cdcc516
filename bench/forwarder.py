"""One end of the tunnel: holds flowbind's data plane, does as it is told on standard input.

A line is an order as JSON; each is answered, once it is in force, with the seconds that it took.
"""

import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import msgspec
from msgspec import structs

from bench import links, mobile_nodes, network
from bench.ends import Order
from flowbind.dataplane.base import Role
from flowbind.dataplane.ebpf.plane import EbpfDataPlane, EbpfSettings, open_ebpf
from flowbind.model.binding import Encapsulation, GreKeys
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import NodeForwarding, Path
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import Span, TrafficSelector

AGENT = IPv4Address(network.HOME_AGENT)
CARE_OF = IPv4Address(network.CARE_OF_ADDRESS)
HOME = IPv4Address(network.HOME_ADDRESS)

_KEYS = GreKeys(7629, 7629)
_UDP = 17
_UNUSED_PORTS = 62_000
_ANY_PORT = Span(0, 65_535)


def settings(role: Role, pins: str, *, shortcut_out: bool) -> EbpfSettings:
    """Return the settings of a real home agent or mobile node."""
    if role is Role.HOME_AGENT:
        networks = (IPv4Network(network.HOME_NETWORK), mobile_nodes.HOME_NETWORK)
        return EbpfSettings(
            role, "mip0", pins, AGENT, networks, udp_tunnels=True, shortcut_out=shortcut_out
        )
    return EbpfSettings(role, "mip0", pins, AGENT, home_address=HOME, udp_tunnels=True)


def tunnels(role: Role) -> dict[str, Path]:
    """Return a tunnel of each kind that there is, as this end sees it, by its word."""
    found = [
        path(role, encapsulation, in_udp=in_udp)
        for in_udp in (False, True)
        for encapsulation in Encapsulation
    ]
    found += [
        structs.replace(each, gre_keys=_KEYS)
        for each in found
        if each.encapsulation is Encapsulation.GRE
    ]
    return {each.kind: each for each in found}


def path(role: Role, encapsulation: Encapsulation, *, in_udp: bool) -> Path:
    """Return a tunnel between the hosts, as this end sees it."""
    ours, theirs = (434, 40123) if in_udp else (0, 0)
    if role is Role.HOME_AGENT:
        return Path(1, AGENT, CARE_OF, encapsulation, local_port=ours, remote_port=theirs)
    return Path(1, CARE_OF, AGENT, encapsulation, "ha0", local_port=theirs, remote_port=ours)


def paths(role: Role, weights: tuple[int, ...]) -> Iterator[Path]:
    """Yield tunnels over the shaped links that have a weight."""
    for bid, weight in enumerate(weights, 1):
        if not weight:
            continue
        there = IPv4Address(links.care_of_address(bid))
        if role is Role.HOME_AGENT:
            yield Path(bid, AGENT, there, Encapsulation.IP_IN_IP, weight=weight)
        else:
            device = links.device(bid)
            yield Path(bid, there, AGENT, Encapsulation.IP_IN_IP, device, weight=weight)


def rules(count: int) -> tuple[FlowRule, ...]:
    """Return rules for UDP by port, of which the last one matches what is sent."""
    spans = [Span(_UNUSED_PORTS + at) for at in range(count - 1)] + [_ANY_PORT] * (count > 0)
    return tuple(
        FlowRule(FlowAction.FORWARD, (1,), TrafficSelector(source_port=span, protocol=Span(_UDP)))
        for span in spans
    )


def program(plane: EbpfDataPlane, role: Role, order: Order) -> None:
    """Forward as the order says."""
    if order.weights:
        chosen = tuple(paths(role, order.weights))
    else:
        chosen = (tunnels(role)[order.encapsulation or ""],)
    plane.program(NodeForwarding(HOME, chosen, rules(order.rules)))
    for node in range(order.nodes):
        home_address = IPv4Address(mobile_nodes.home_address(node))
        plane.program(NodeForwarding(home_address, chosen))


class Forwarder:
    """Holds the data plane of one end, as long as there shall be one."""

    def __init__(self, role: Role, pins: str) -> None:
        self._role, self._pins = role, pins
        self._shortcut_out = False
        self._plane: EbpfDataPlane | None = None

    def obey(self, order: Order) -> float:
        """Carry out an order; returns the seconds that it took, without opening a plane."""
        begun_at = time.monotonic()
        if order.encapsulation is None:
            self.end()
            return time.monotonic() - begun_at
        plane = self._opened(shortcut_out=order.shortcut_out)
        begun_at = time.monotonic()
        program(plane, self._role, order)
        return time.monotonic() - begun_at

    def _opened(self, *, shortcut_out: bool) -> EbpfDataPlane:
        if self._plane and self._shortcut_out != shortcut_out and self._role is Role.HOME_AGENT:
            self._plane.close()
            self._plane = None
        if self._plane is None:
            chosen = settings(self._role, self._pins, shortcut_out=shortcut_out)
            self._plane = open_ebpf(chosen)
            self._shortcut_out = shortcut_out
        return self._plane

    def end(self) -> None:
        """Remove everything."""
        if self._plane:
            self._plane.cleanup()
            self._plane = None


def main() -> None:
    """Serve until standard input ends, then remove everything."""
    forwarder = Forwarder(Role(sys.argv[1]), sys.argv[2])
    for line in sys.stdin:
        print(forwarder.obey(msgspec.json.decode(line, type=Order)), flush=True)
    forwarder.end()


if __name__ == "__main__":
    main()
