"""Gratuitous ARP (RFC 5944 4.6, RFC 826)."""

import struct
from ipaddress import IPv4Address
from typing import Final

_LAYOUT: Final = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET: Final = 1
_IPV4: Final = 0x0800
_REQUEST: Final = 1
LINK_ADDRESS_OCTETS: Final = 6


def gratuitous_arp(address: IPv4Address, link_address: bytes) -> bytes:
    """Tell that an address is at this link-layer address: what follows the Ethernet header.

    4.6 leaves the choice between a request and a reply; some hosts pass over replies that nobody
    has asked for.
    """
    return _LAYOUT.pack(
        _ETHERNET,
        _IPV4,
        LINK_ADDRESS_OCTETS,
        len(address.packed),
        _REQUEST,
        link_address,
        address.packed,
        bytes(LINK_ADDRESS_OCTETS),
        address.packed,
    )
