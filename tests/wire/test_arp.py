"""Gratuitous ARP, with scapy as the second eye."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.l2 import ARP

from flowbind.wire.arp import gratuitous_arp


@pytest.mark.rfc("5944", "4.6", "ARP-2")
def test_both_protocol_addresses_are_that_of_the_entry():
    shown = ARP(gratuitous_arp(IPv4Address("10.9.0.5"), bytes.fromhex("020000000001")))
    assert (shown.hwtype, shown.ptype, shown.op) == (1, 0x0800, 1)
    assert (shown.psrc, shown.pdst) == ("10.9.0.5", "10.9.0.5")
    assert (shown.hwsrc, shown.hwdst) == ("02:00:00:00:00:01", "00:00:00:00:00:00")
