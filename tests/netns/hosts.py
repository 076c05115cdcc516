"""Hosts in network namespaces: a correspondent, a home agent, two mobile nodes, a translator.

::

    cn  203.0.113.9/24 --- 203.0.113.1  ha  198.51.100.1/24 ---ha0 198.51.100.7  mn   10.9.0.5
                                            192.0.2.1/24    ---ha1 192.0.2.7
                                            100.64.2.1/24   ---ha0 100.64.2.7    mn2  10.9.0.6
                                            100.64.3.1/24   ---ha0 100.64.3.2    nat
                                            home network 10.9.0.0/24

    nat  192.168.1.1/24 ---ha2 192.168.1.7  mn
         192.168.2.1/24 ---ha1 192.168.2.7  mn2

Only tests of what an address translator changes use the networks behind `nat`, and make it one.

Every host checks sources strictly (rp_filter 1). A socket belongs to the namespace it was made in,
so all traffic is this process' own.
"""

import ctypes
import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from msgspec import structs

from flowbind.dataplane.base import Role
from flowbind.dataplane.ebpf.plane import EbpfDataPlane, EbpfSettings, open_ebpf
from flowbind.model.binding import Encapsulation
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import NodeForwarding
from flowbind.model.tunnel import Path as Tunnel
from tests.dataplane.kernel import run

CORRESPONDENT = IPv4Address("203.0.113.9")
AGENT = IPv4Address("198.51.100.1")
HOME = IPv4Address("10.9.0.5")
OTHER_HOME = IPv4Address("10.9.0.6")
HOME_NETWORK = IPv4Network("10.9.0.0/24")
CARE_OF = {1: IPv4Address("198.51.100.7"), 2: IPv4Address("192.0.2.7")}
OTHER_CARE_OF = IPv4Address("100.64.2.7")
INTERFACE_OF = {1: "ha0", 2: "ha1"}
NAMES = ("cn", "ha", "mn", "mn2", "nat")
LINKS = (
    "ha cn0 cn ha0",
    "ha mn0 mn ha0",
    "ha mn1 mn ha1",
    "ha mn2 mn2 ha0",
    "ha nat0 nat ha0",
    "nat mn0 mn ha2",
    "nat mn1 mn2 ha1",
)
_ROUTERS = ("ha", "nat")

# A strict host also doubts an ARP request whose source is on another link: arp_announce 2.
_SETTINGS = {
    "ipv4/conf/all/rp_filter": "1",
    "ipv4/conf/all/arp_announce": "2",
    "ipv4/conf/all/send_redirects": "0",
    "ipv6/conf/all/disable_ipv6": "1",
}

_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL = 0x8946
# Checksums, then TCP and generic segmentation (ETHTOOL_STXCSUM, STSO, SGSO).
_OFFLOADS = (0x17, 0x1F, 0x24)
_PREFIX = f"fbt-{os.getpid()}-"
_COMMANDS = {
    "cn": ("addr add 203.0.113.9/24 dev ha0", "link set ha0 up",
           "route add default via 203.0.113.1"),
    "ha": ("addr add 203.0.113.1/24 dev cn0", "addr add 198.51.100.1/24 dev mn0",
           "addr add 192.0.2.1/24 dev mn1", "addr add 100.64.2.1/24 dev mn2",
           "link set cn0 up", "link set mn0 up", "link set mn1 up", "link set mn2 up",
           "addr add 100.64.3.1/24 dev nat0", "link set nat0 up"),
    "mn": ("addr add 198.51.100.7/24 dev ha0", "addr add 192.0.2.7/24 dev ha1",
           "link set ha0 up", "link set ha1 up",
           "route add default via 198.51.100.1 dev ha0 metric 100",
           "route add default via 192.0.2.1 dev ha1 metric 200",
           "addr add 192.168.1.7/24 dev ha2", "link set ha2 up",
           "route add default via 192.168.1.1 dev ha2 metric 300"),
    "mn2": ("addr add 100.64.2.7/24 dev ha0", "link set ha0 up",
            "route add default via 100.64.2.1 dev ha0 metric 100",
            "addr add 192.168.2.7/24 dev ha1", "link set ha1 up",
            "route add default via 192.168.2.1 dev ha1 metric 200"),
    "nat": ("addr add 100.64.3.2/24 dev ha0", "addr add 192.168.1.1/24 dev mn0",
            "addr add 192.168.2.1/24 dev mn1", "link set ha0 up", "link set mn0 up",
            "link set mn1 up", "route add default via 100.64.3.1"),
}  # fmt: skip


def namespace(host: str) -> str:
    return _PREFIX + host


@contextmanager
def hosts() -> Iterator[None]:
    """Make the hosts; they go with everything in them."""
    try:
        for host in NAMES:
            run("ip", "netns", "add", namespace(host))
        for link in LINKS:
            left, left_device, right, right_device = link.split()
            run("ip", "link", "add", left_device, "netns", namespace(left), "type", "veth",
                "peer", "name", right_device, "netns", namespace(right))  # fmt: skip
        for host, commands in _COMMANDS.items():
            with inside(host):
                for key, value in _SETTINGS.items():
                    Path("/proc/sys/net", key).write_text(value)
                Path("/proc/sys/net/ipv4/ip_forward").write_text(str(int(host in _ROUTERS)))
                for command in ("link set lo up", *commands):
                    run("ip", *command.split())
        each_device(_wait_for_carrier)
        yield
    finally:
        for host in NAMES:
            if Path("/run/netns", namespace(host)).exists():
                run("ip", "netns", "del", namespace(host))


@contextmanager
def inside(host: str) -> Iterator[None]:
    """Be in the namespace of a host."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(Path("/run/netns", namespace(host)), os.O_RDONLY)
    try:
        assert libc.setns(there, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        assert libc.setns(home, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(home)
        os.close(there)


def _wait_for_carrier(device: str) -> None:
    while "state UP" not in run("ip", "link", "show", device):
        time.sleep(0.01)


def each_device(change: Callable[[str], object]) -> None:
    """Change every link at both of its ends."""
    for link in LINKS:
        left, left_device, right, right_device = link.split()
        for host, device in ((left, left_device), (right, right_device)):
            with inside(host):
                change(device)


def set_offload(device: str, *, on: bool) -> None:
    """Let a device take many segments at once and checksums undone, or neither."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in _OFFLOADS if on else reversed(_OFFLOADS):
            value = ctypes.create_string_buffer(struct.pack("II", command, on), 8)
            asked = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(control, _SIOCETHTOOL, asked)


def settings_of(host: str, pins: Path, **changes) -> EbpfSettings:
    """The settings of a host's data plane."""
    role = Role.HOME_AGENT if host == "ha" else Role.MOBILE_NODE
    plain = EbpfSettings(role, "mip0", str(pins / host), AGENT)
    if role is Role.HOME_AGENT:
        return structs.replace(plain, home_networks=(HOME_NETWORK,), **changes)
    home = HOME if host == "mn" else OTHER_HOME
    return structs.replace(plain, home_address=home, **changes)


def node_at(
    host: str,
    encapsulation: Encapsulation = Encapsulation.IP_IN_IP,
    rules: tuple[FlowRule, ...] = (),
    bids: tuple[int, ...] = (1, 2),
) -> NodeForwarding:
    """The mobile node `mn` as the home agent or as it itself forwards for it."""
    ours = host == "mn"
    paths = tuple(
        Tunnel(
            bid,
            CARE_OF[bid] if ours else AGENT,
            AGENT if ours else CARE_OF[bid],
            encapsulation,
            interface=INTERFACE_OF[bid] if ours else None,
        )
        for bid in bids
    )
    return NodeForwarding(HOME, paths, rules)


def other_node_at(host: str, encapsulation: Encapsulation) -> NodeForwarding:
    """The mobile node `mn2` as the home agent or as it itself forwards for it."""
    if host == "ha":
        path = Tunnel(1, AGENT, OTHER_CARE_OF, encapsulation)
    else:
        path = Tunnel(1, OTHER_CARE_OF, AGENT, encapsulation, interface="ha0")
    return NodeForwarding(OTHER_HOME, (path,))


class End:
    """A data plane in the namespace of its host."""

    def __init__(self, host: str, pins: Path, **changes) -> None:
        self.host = host
        self.settings = settings_of(host, pins, **changes)
        self.plane = self._open()

    def _open(self) -> EbpfDataPlane:
        with inside(self.host):
            return open_ebpf(self.settings)

    def reopen(self, **changes) -> None:
        """Do as a daemon that is restarted."""
        self.plane.close()
        self.settings = structs.replace(self.settings, **changes)
        self.plane = self._open()

    def program(self, node: NodeForwarding) -> None:
        with inside(self.host):
            self.plane.program(node)

    def cleanup(self) -> None:
        with inside(self.host):
            self.plane.cleanup()

    def counted(self, name: str) -> int:
        return self.plane.statistics()[name]


def socket_in(host: str, kind: int, address: IPv4Address, port: int = 0) -> socket.socket:
    with inside(host):
        made = socket.socket(socket.AF_INET, kind)
    made.settimeout(10)
    made.bind((str(address), port))
    return made


def transfer(sender: tuple[str, IPv4Address], receiver: tuple[str, IPv4Address]) -> None:
    """Send some octets over TCP and see that just those arrive."""
    sent = os.urandom(1 << 16) * 48
    received = bytearray()
    listener = socket_in(receiver[0], socket.SOCK_STREAM, receiver[1])
    listener.listen()

    def receive() -> None:
        connection, _ = listener.accept()
        connection.settimeout(10)
        with connection:
            while chunk := connection.recv(1 << 16):
                received.extend(chunk)

    thread = threading.Thread(target=receive)
    thread.start()
    with listener, socket_in(sender[0], socket.SOCK_STREAM, sender[1]) as connection:
        connection.connect(listener.getsockname())
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        thread.join(10)
    assert bytes(received) == sent


def exchange(
    sender: tuple[str, IPv4Address], receiver: tuple[str, IPv4Address], data: bytes, port: int = 0
) -> None:
    """Send one datagram, which must arrive as it was sent."""
    with (
        socket_in(receiver[0], socket.SOCK_DGRAM, receiver[1], port) as there,
        socket_in(sender[0], socket.SOCK_DGRAM, sender[1]) as here,
    ):
        here.sendto(data, there.getsockname())
        received, source = there.recvfrom(1 << 16)
        assert received == data
        assert source[0] == str(sender[1])


class Ping:
    """A ping that goes on while other things happen."""

    def __init__(self, host: str, source: IPv4Address, target: IPv4Address, count: int) -> None:
        with inside(host):
            self._process = subprocess.Popen(
                ["ping", "-n", "-q", "-i", "0.01", "-c", str(count), "-W", "2", "-I", str(source),
                 str(target)],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        self._count = count

    def running(self) -> bool:
        return self._process.poll() is None

    def all_answered(self) -> bool:
        return self.lost() == 0

    def lost(self) -> int:
        """Wait for its end; returns how many were not answered."""
        shown, _ = self._process.communicate(timeout=60)
        assert f"{self._count} packets transmitted" in shown, shown
        received = re.search(r" (\d+) received", shown)
        assert received, shown
        return self._count - int(received[1])


def ping(host: str, source: IPv4Address, target: IPv4Address) -> bool:
    return Ping(host, source, target, 5).all_answered()


def received_on(host: str, interface: str) -> int:
    """How many packets an interface has received."""
    with inside(host):
        (shown,) = json.loads(run("ip", "-j", "-s", "link", "show", interface))
    return int(shown["stats64"]["rx"]["packets"])
