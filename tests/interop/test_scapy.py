"""scapy's Mobile IP, by other people: the fixed parts of RFC 5944 and MIP Tunnel Data, both ways.

It knows no extensions; what it leaves over has to be ours, octet by octet.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.mobileip import MobileIP, MobileIPRRP, MobileIPRRQ, MobileIPTunnelData
from scapy.packet import Raw

from flowbind.cli.captures import Datagram
from flowbind.cli.decode_report import report_on
from flowbind.cli.decode_views import json_of
from flowbind.model.encoding import to_json
from flowbind.wire.message import decode, encode
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from tests.interop.strategies import replies, requests


def fields_of_scapy(packet):
    layer = packet.payload
    said = {name: getattr(layer, name) for name in layer.fields}
    said["type"] = packet.type
    said["rest"] = bytes(layer.payload)
    return said


def fields_of_ours(message):
    said = {
        "lifetime": message.lifetime_s,
        "homeaddr": str(message.home_address),
        "haaddr": str(message.home_agent),
        "id": message.identification,
        "rest": b"".join(each.encode() for each in message.extensions),
    }
    if isinstance(message, RegistrationRequest):
        return said | {"type": 1, "flags": message.flags, "coaddr": str(message.care_of_address)}
    return said | {"type": 3, "code": message.code}


@pytest.mark.rfc("5944", "3.3")
@pytest.mark.rfc("5944", "3.4")
@given(st.one_of(requests(), replies()))
def test_scapy_reads_what_is_sent(message):
    assert fields_of_scapy(MobileIP(encode(message))) == fields_of_ours(message)


@pytest.mark.rfc("5944", "3.3")
@pytest.mark.rfc("5944", "3.4")
@given(st.one_of(requests(), replies()))
def test_what_scapy_sends_is_read(message):
    said = fields_of_ours(message)
    number, rest = said.pop("type"), Raw(said.pop("rest"))
    layer = MobileIPRRQ(**said) if number == 1 else MobileIPRRP(**said)
    payload = bytes(MobileIP(type=number) / layer / rest)

    assert payload == encode(message)
    assert isinstance(decode(payload), RegistrationRequest | RegistrationReply)
    assert decode(payload) == message


@pytest.mark.rfc("3519", "3.3")
@pytest.mark.parametrize("number", [4, 47, 55])
def test_tunnel_data_of_scapy_is_shown(number):
    inner = IP(src="10.0.0.2", dst="203.0.113.9") / UDP(sport=5004, dport=5004)
    payload = bytes(MobileIP(type=4) / MobileIPTunnelData(nexthdr=number) / inner)
    shown = json.loads(to_json(json_of(report_on(Datagram(payload), {}))))

    assert (shown["type"], shown["next_header"]) == (4, number)
    assert shown["inner_octets"] == len(inner)
    assert shown["problems"] == []
