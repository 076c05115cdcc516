"""The network of RFC 7629 figure 1, in namespaces.

::

    203.0.113.0/24      198.51.100.0/24        +--.1/30--[ wlan ]--10.1.0.0/24--wlan0--+
    correspondent ------- home-agent ------- internet --[ lte  ]--10.2.0.0/24--wwan0-- mobile-node
         .9           .1          .1      .254 +--.9/30--[ cdma ]--10.3.0.0/24--cdma0--+   10.9.0.5
                    home network 10.9.0.0/24      172.16.0.x

Every box is a namespace ``fb-...``, every line a veth pair. The three access routers shape both
directions, so the links differ as the real ones do. The links of the mobile node start down:
`attach` is what a wireless network does when the node comes into reach. Nobody but the home agent
and the mobile node knows the home network; a packet for it that leaves a tunnel is lost, and seen.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from flowbind.lab.errors import LabError

RUN_DIRECTORY = Path("/run/flowbind/lab")
BPF_DIRECTORY = RUN_DIRECTORY / "bpf"
NETNS_DIRECTORY = Path("/run/netns")

HOME_ADDRESS = "10.9.0.5"
HOME_NETWORK = "10.9.0.0/24"
HOME_AGENT = "198.51.100.1"
CORRESPONDENT = "203.0.113.9"


class Node(Struct, frozen=True):
    """A namespace; `aliases` are other words for it that `lab exec` takes."""

    name: str
    namespace: str
    aliases: tuple[str, ...]
    forwards: bool = True


class End(Struct, frozen=True):
    """One end of a link. Without `address` the end stays down until the node attaches."""

    node: str
    device: str
    address: str | None


class Link(Struct, frozen=True):
    """A veth pair."""

    left: End
    right: End


class Access(Struct, frozen=True, kw_only=True):
    """An access network and how the mobile node meets it.

    `rate_mbit` holds in both directions; `queue_octets` is the FIFO before it, deep enough that an
    orderly move loses nothing. `weight` is the share of the flows that no rule names.
    """

    name: str
    title: str
    interface: str
    bid: int
    weight: int
    rate_mbit: int
    queue_octets: int
    router: str
    care_of_address: str
    metric: int
    encapsulation: str = "ipip"


NODES = (
    Node("correspondent", "fb-cn", ("cn", "fb-cn"), forwards=False),
    Node("home-agent", "fb-ha", ("ha", "fb-ha")),
    Node("internet", "fb-inet", ("inet", "fb-inet")),
    Node("wlan", "fb-wlan", ("fb-wlan", "wifi")),
    Node("lte", "fb-lte", ("fb-lte",)),
    Node("cdma", "fb-cdma", ("fb-cdma",)),
    Node("mobile-node", "fb-mn", ("mn", "fb-mn"), forwards=False),
)

ACCESSES = (
    Access(name="wlan", title="WLAN", interface="wlan0", bid=1, weight=3, rate_mbit=40,
           queue_octets=1_000_000, router="10.1.0.1", care_of_address="10.1.0.2", metric=100),
    Access(name="lte", title="LTE", interface="wwan0", bid=2, weight=2, rate_mbit=20,
           queue_octets=1_000_000, router="10.2.0.1", care_of_address="10.2.0.2", metric=200,
           encapsulation="gre"),
    Access(name="cdma", title="CDMA", interface="cdma0", bid=3, weight=1, rate_mbit=5,
           queue_octets=400_000, router="10.3.0.1", care_of_address="10.3.0.2", metric=300),
)  # fmt: skip

LINKS = (
    Link(
        End("correspondent", "ha0", f"{CORRESPONDENT}/24"),
        End("home-agent", "cn0", "203.0.113.1/24"),
    ),
    Link(
        End("home-agent", "inet0", f"{HOME_AGENT}/24"),
        End("internet", "ha0", "198.51.100.254/24"),
    ),
    Link(End("internet", "wlan0", "172.16.0.1/30"), End("wlan", "up0", "172.16.0.2/30")),
    Link(End("internet", "lte0", "172.16.0.5/30"), End("lte", "up0", "172.16.0.6/30")),
    Link(End("internet", "cdma0", "172.16.0.9/30"), End("cdma", "up0", "172.16.0.10/30")),
    Link(End("wlan", "mn0", "10.1.0.1/24"), End("mobile-node", "wlan0", None)),
    Link(End("lte", "mn0", "10.2.0.1/24"), End("mobile-node", "wwan0", None)),
    Link(End("cdma", "mn0", "10.3.0.1/24"), End("mobile-node", "cdma0", None)),
)

ROUTES = (
    ("correspondent", "default via 203.0.113.1"),
    ("home-agent", "default via 198.51.100.254"),
    ("internet", "203.0.113.0/24 via 198.51.100.1"),
    ("internet", "10.1.0.0/24 via 172.16.0.2"),
    ("internet", "10.2.0.0/24 via 172.16.0.6"),
    ("internet", "10.3.0.0/24 via 172.16.0.10"),
    ("wlan", "default via 172.16.0.1"),
    ("lte", "default via 172.16.0.5"),
    ("cdma", "default via 172.16.0.9"),
)

_BURST = "64kb"


def node(name: str) -> Node:
    """Find a node by its name or by another word for it."""
    for candidate in NODES:
        if name == candidate.name or name in candidate.aliases:
            return candidate
    known = ", ".join(each.name for each in NODES)
    raise LabError(f"there is no node {name!r} in the lab: {known}")


def access(name: str) -> Access:
    """Find an access network by its name."""
    for candidate in ACCESSES:
        if candidate.name == name:
            return candidate
    raise LabError(f"there is no access network {name!r} in the lab")


def run(arguments: Iterable[str], *, given: str | None = None) -> str:
    """Run a tool to its end and return what it printed; LabError with its own words if it fails."""
    command = list(arguments)
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]}: not installed") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"{' '.join(command)}: {words[0] if words else 'failed'}")
    return done.stdout


def run_in(name: str, arguments: Iterable[str], *, given: str | None = None) -> str:
    """Run a tool to its end inside a node."""
    return run(["ip", "netns", "exec", node(name).namespace, *arguments], given=given)


def present() -> tuple[str, ...]:
    """Name the namespaces of the lab that exist now."""
    return tuple(each.namespace for each in NODES if (NETNS_DIRECTORY / each.namespace).exists())


def namespace_inode(namespace: str) -> int | None:
    """Identify a network namespace; None if there is no such one."""
    try:
        return (NETNS_DIRECTORY / namespace).stat().st_ino
    except FileNotFoundError:
        return None


def build() -> None:
    """Make the whole topology; the links of the mobile node are left down."""
    if present():
        raise LabError("the lab is up already")
    _mount_bpf()
    run(["ip", "-batch", "-"], given="\n".join(_creation_lines()) + "\n")
    for each in NODES:
        run(["ip", "-n", each.namespace, "-batch", "-"], given="\n".join(_node_lines(each)) + "\n")
        _write_settings(each)
    for each_access in ACCESSES:
        _shape(each_access)


def remove() -> None:
    """Take away the namespaces, the mount and the run directory, whichever of them exist."""
    for namespace in present():
        run(["ip", "netns", "del", namespace])
    while os.path.ismount(BPF_DIRECTORY):
        run(["umount", str(BPF_DIRECTORY)])
    shutil.rmtree(RUN_DIRECTORY, ignore_errors=True)


def attach(name: str) -> None:
    """Bring the mobile node into reach of an access network: link, address, default route."""
    there = access(name)
    run(
        ["ip", "-n", node("mobile-node").namespace, "-batch", "-"],
        given=(
            f"link set {there.interface} up\n"
            f"addr replace {there.care_of_address}/24 dev {there.interface}\n"
            f"route replace default via {there.router} dev {there.interface}"
            f" metric {there.metric}\n"
        ),
    )


def cut(name: str) -> None:
    """Let an access router forward nothing any more, without a word: no carrier is lost."""
    run_in(
        access(name).name,
        ["nft", "-f", "-"],
        given="table ip cut {"
        " chain everything { type filter hook forward priority 0; policy drop; };"
        " }",
    )


def heal(name: str) -> None:
    """Undo `cut`."""
    run_in(access(name).name, ["nft", "delete", "table", "ip", "cut"])


def _mount_bpf() -> None:
    # `ip netns exec` hides /sys/fs/bpf behind a private /sys, so both daemons pin here.
    BPF_DIRECTORY.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(BPF_DIRECTORY):
        run(["mount", "-t", "bpf", "bpf", str(BPF_DIRECTORY)])


def _creation_lines() -> Iterator[str]:
    for each in NODES:
        yield f"netns add {each.namespace}"
    for link in LINKS:
        left, right = link.left, link.right
        yield (
            f"link add {left.device} netns {node(left.node).namespace} type veth"
            f" peer name {right.device} netns {node(right.node).namespace}"
        )


def _node_lines(this: Node) -> Iterator[str]:
    yield "link set lo up"
    for link in LINKS:
        for end in (link.left, link.right):
            if end.node != this.name:
                continue
            # One packet per segment: what the access routers count is then what a wire would carry.
            yield f"link set {end.device} gso_max_segs 1"
            if end.address is not None:
                yield f"addr add {end.address} dev {end.device}"
                yield f"link set {end.device} up"
    for name, route in ROUTES:
        if name == this.name:
            yield f"route add {route}"


def _write_settings(this: Node) -> None:
    settings = {
        "net.ipv4.conf.all.rp_filter": 0,
        "net.ipv4.conf.default.rp_filter": 0,
        "net.ipv4.conf.all.send_redirects": 0,
        "net.ipv4.conf.default.send_redirects": 0,
        "net.ipv6.conf.all.disable_ipv6": 1,
        "net.ipv6.conf.default.disable_ipv6": 1,
        "net.ipv4.ip_forward": int(this.forwards),
    }
    run_in(
        this.name, ["sysctl", "-q", "-w", *(f"{key}={value}" for key, value in settings.items())]
    )


def _shape(there: Access) -> None:
    for device in ("up0", "mn0"):
        run(
            ["tc", "-n", node(there.name).namespace, "qdisc", "add", "dev", device, "root", "tbf",
             "rate", f"{there.rate_mbit}mbit", "burst", _BURST, "limit", str(there.queue_octets)]
        )  # fmt: skip
