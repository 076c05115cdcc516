"""Gratuitous ARP on a link (RFC 5944 4.6)."""

import fcntl
import logging
import socket
import struct
from ipaddress import IPv4Address
from typing import Final

from flowbind.effects import AnnounceAddress
from flowbind.wire.arp import LINK_ADDRESS_OCTETS, gratuitous_arp

_log = logging.getLogger("flowbind")

_ETHERTYPE_ARP: Final = 0x0806
_BROADCAST: Final = b"\xff" * LINK_ADDRESS_OCTETS
_SIOCGARP: Final = 0x8954
_ARPREQ: Final = struct.Struct("=HH4s8xH6s8xi16x16s")


def announce(effect: AnnounceAddress) -> None:
    """Broadcast one. What cannot be sent is lost; it is said several times."""
    name, address = effect.interface, effect.address
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as link:
            link.bind((name, _ETHERTYPE_ARP))
            own: bytes = link.getsockname()[4]
            there = neighbour_at(name, address) if effect.neighbour else own
            if there is None:
                _log.debug("%s: nobody has answered for %s yet", name, address)
                return
            target = (name, _ETHERTYPE_ARP, 0, 0, _BROADCAST)
            link.sendto(gratuitous_arp(address, there), target)
    except OSError as error:
        _log.debug("%s: announcing %s: %s", name, address, error.strerror)


def neighbour_at(interface: str, address: IPv4Address) -> bytes | None:
    """Return the link-layer address by which the kernel reaches a neighbour, None if it has none
    yet. Raises OSError.
    """
    asked = _ARPREQ.pack(socket.AF_INET, 0, address.packed, 0, b"", 0, interface.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGARP, asked)
        except OSError as error:
            _log.debug("%s: no neighbour %s: %s", interface, address, error.strerror)
            return None
    found: bytes = _ARPREQ.unpack(answer)[4]
    return found if any(found) else None
