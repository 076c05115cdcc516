"""One end of the tunnel: holds flowbind's data plane, does as it is told on standard input.

A line is the encapsulation to use from now on; each is answered with a line once it is in force.
"""

import sys
from ipaddress import IPv4Address, IPv4Network

from bench import network
from flowbind.dataplane.base import Role
from flowbind.dataplane.ebpf.plane import EbpfSettings, open_ebpf
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import NodeForwarding, Path

AGENT = IPv4Address(network.HOME_AGENT)
CARE_OF = IPv4Address(network.CARE_OF_ADDRESS)
HOME = IPv4Address(network.HOME_ADDRESS)


def settings(role: Role, pins: str) -> EbpfSettings:
    """Return the settings of a real home agent or mobile node."""
    if role is Role.HOME_AGENT:
        return EbpfSettings(
            role, "mip0", pins, AGENT, (IPv4Network(network.HOME_NETWORK),),
            interfaces=("cn0", "mn0"), udp_tunnels=True,
        )  # fmt: skip
    return EbpfSettings(role, "mip0", pins, AGENT, home_address=HOME, udp_tunnels=True)


def forwarding(role: Role, kind: str) -> NodeForwarding:
    """Return a node with one tunnel of this kind, as this end sees it."""
    encapsulation = Encapsulation(kind.removeprefix("udp-"))
    ours, theirs = (434, 40123) if kind.startswith("udp-") else (0, 0)
    if role is Role.HOME_AGENT:
        path = Path(1, AGENT, CARE_OF, encapsulation, local_port=ours, remote_port=theirs)
    else:
        path = Path(1, CARE_OF, AGENT, encapsulation, "ha0", local_port=theirs, remote_port=ours)
    return NodeForwarding(HOME, (path,))


def main() -> None:
    """Serve until standard input ends, then remove everything."""
    role = Role(sys.argv[1])
    plane = open_ebpf(settings(role, sys.argv[2]))
    for line in sys.stdin:
        plane.program(forwarding(role, line.strip()))
        print("ready", flush=True)
    plane.cleanup()


main()
