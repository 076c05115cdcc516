"""Which interfaces are usable, from what the kernel says of links, addresses and routes."""

import asyncio
import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

import pytest
from msgspec import structs

from flowbind.daemon.links import (
    AccessLinks,
    Address,
    HomeLink,
    HomeLinks,
    Link,
    Links,
    Route,
    Snapshot,
    care_of_addresses,
    home_links,
)
from flowbind.events import InterfaceDown, InterfaceUp, LinkAddress, LinkDown, LinkUp


class Whom(NamedTuple):
    home_agent: IPv4Address
    home_address: IPv4Address | None


AGENT = IPv4Address("198.51.100.1")
HOME = IPv4Address("10.9.0.5")
CARE_OF = IPv4Address("192.0.2.7")
OTHER = IPv4Address("192.0.2.8")

WLAN = Link(2, "wlan0", carrier=True)
DEFAULT = Route(2, IPv4Network("0.0.0.0/0"))
OWN = (Address(2, CARE_OF),)

CLONE_NEWNET = 0x40000000


def unshare():
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@pytest.fixture
def in_fresh_namespace():
    """Run a function in a network namespace that goes with its thread."""
    with ThreadPoolExecutor(max_workers=1, initializer=unshare) as thread:
        yield lambda function: thread.submit(function).result()


def usable(links=(WLAN,), addresses=OWN, routes=(DEFAULT,)):
    return care_of_addresses(Snapshot(links, addresses, routes), ["wlan0"], AGENT, HOME)


@pytest.mark.rfc("5944", "1.7", "LOC-1")
def test_carrier_address_and_route_make_an_interface_usable():
    assert usable() == {"wlan0": CARE_OF}


@pytest.mark.parametrize(
    "missing",
    [
        {"links": ()},
        {"links": (Link(2, "wlan0", carrier=False),)},
        {"links": (Link(2, "eth0", carrier=True),)},
        {"addresses": ()},
        {"addresses": (Address(3, CARE_OF),)},
        {"addresses": (Address(2, HOME),)},
        {"routes": ()},
        {"routes": (Route(3, IPv4Network("0.0.0.0/0")),)},
        {"routes": (Route(2, IPv4Network("192.0.2.0/24")),)},
    ],
    ids=str,
)
def test_each_of_them_is_needed(missing):
    assert usable(**missing) == {}


def test_the_address_that_the_route_prefers_is_the_care_of_address():
    both = (Address(2, CARE_OF), Address(2, OTHER))
    assert usable(addresses=both) == {"wlan0": CARE_OF}
    preferring = Route(2, IPv4Network("0.0.0.0/0"), OTHER)
    assert usable(addresses=both, routes=(preferring,)) == {"wlan0": OTHER}
    # A preference that left with its address is none.
    assert usable(routes=(preferring,)) == {"wlan0": CARE_OF}


def test_a_host_route_will_do():
    assert usable(routes=(Route(2, IPv4Network("198.51.100.1/32")),)) == {"wlan0": CARE_OF}


def test_a_home_link_needs_carrier_and_arp_and_no_address():
    links = (Link(2, "eth1", carrier=True), Link(3, "ppp0", carrier=True, ethernet=False))
    gateway = Address(2, IPv4Address("10.9.0.1"), 24)
    names = ("eth1", "ppp0")
    assert home_links(Snapshot(links), names) == {"eth1": HomeLink(links[0], ())}
    found = home_links(Snapshot(links, (gateway,)), names)
    assert found == {"eth1": HomeLink(links[0], (LinkAddress(gateway.address, 24),))}
    # Whether the node is at home is no news about the link.
    at_home = Snapshot(links, (gateway, Address(2, HOME, 24)))
    assert home_links(at_home, names, HOME) == found
    assert home_links(Snapshot((Link(2, "eth1", carrier=False),)), names) == {}


def test_changes_of_a_home_link_are_told():
    told: list[LinkUp | LinkDown] = []
    watched = HomeLinks(("eth1",), told.append)
    gateway = Address(2, IPv4Address("10.9.0.1"), 24)
    up = (Link(2, "eth1", carrier=True),)
    for snapshot in (Snapshot(up), Snapshot(up), Snapshot(up, (gateway,)), Snapshot(), Snapshot()):
        watched.look(snapshot)
    address = LinkAddress(gateway.address, 24)
    assert told == [LinkUp("eth1"), LinkUp("eth1", (address,)), LinkDown("eth1")]


def test_a_home_link_that_was_down_between_two_looks_was_down():
    told: list[LinkUp | LinkDown] = []
    watched = HomeLinks(("eth1",), told.append)
    plain = Link(2, "eth1", carrier=True, carrier_changes=1)
    others = structs.replace(plain, carrier_changes=3), structs.replace(plain, index=7)
    for link in (plain, plain, *others):
        watched.look(Snapshot((link,)))
    up, down = LinkUp("eth1"), LinkDown("eth1")
    assert told == [up, down, up, down, up]


CHANGES = (
    ("link set wlan0 up", "link set peer0 up", "addr add 192.0.2.7/24 dev wlan0"),
    ("route add default via 192.0.2.1 dev wlan0",),
    (
        "addr del 192.0.2.7/24 dev wlan0",
        "addr add 192.0.2.8/24 dev wlan0",
        "route replace default via 192.0.2.1 dev wlan0",
    ),
    ("link set peer0 down",),
    ("link set peer0 up",),
    ("link del wlan0",),
)


def ip(*commands):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n", text=True, check=True)


@pytest.mark.root
def test_changes_are_told_as_they_happen(in_fresh_namespace):
    """Real links in a namespace of its own."""

    async def watch():
        told: asyncio.Queue[InterfaceUp | InterfaceDown] = asyncio.Queue()
        access = AccessLinks(["wlan0", "wwan0"], Whom(AGENT, HOME), told.put_nowait)
        links = Links(access.look, routes=True)
        watching = asyncio.create_task(links.watch())
        await asyncio.sleep(0.2)
        found = []
        for commands in CHANGES:
            ip(*commands)
            await asyncio.sleep(0.3)
            found.append([told.get_nowait() for _ in range(told.qsize())])
        watching.cancel()
        return found

    def play():
        ip("link add wlan0 type veth peer name peer0")
        return asyncio.run(watch())

    up, moved = InterfaceUp("wlan0", CARE_OF), InterfaceUp("wlan0", OTHER)
    found = in_fresh_namespace(play)
    assert found[:2] == [[], [up]]
    assert found[2][-1] == moved
    assert found[3:] == [[InterfaceDown("wlan0")], [moved], [InterfaceDown("wlan0")]]
