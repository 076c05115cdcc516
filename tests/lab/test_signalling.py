"""The signalling is read from a capture, and tshark reads the same in the copy it is given."""

import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from flowbind.lab.signalling import SignallingTail, disagreements_of_tshark

# spec vector: a Registration Request with Multipath, Flow-Binding and MHAE, and its reply
REQUEST = bytes.fromhex(
    "012207080a000002c0000201c6336407e8d4a51000000001"
    "9a01000404010100"
    "9a02000c010201020102080000005006"
    "201400000100f09b6d338ac0ab474cf41c319abd9233"
)
REPLY = bytes.fromhex(
    "030007080a000002c0000201e8d4a51000000001201400000100e3df212b34a4470d62ef051ca0c51192"
)
NODE, AGENT = "198.51.100.7", "192.0.2.1"


def write(path, *packets):
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, packet in enumerate(packets):
            frame = bytes(Ether() / packet)
            file.write(struct.pack("<IIII", 1000 + at, 0, len(frame), len(frame)) + frame)


@pytest.fixture
def tail(tmp_path):
    write(
        tmp_path / "signalling",
        IP(src=NODE, dst=AGENT) / UDP(sport=40000, dport=434) / Raw(REQUEST),
        IP(src=AGENT, dst=NODE) / UDP(sport=434, dport=40000) / Raw(REPLY),
    )
    return SignallingTail(tmp_path / "signalling")


@pytest.mark.rfc("7629", "4.1")
def test_a_reply_is_paired_with_its_request_by_identification(tail):
    (exchange,) = tail.exchanges()
    assert exchange.accepted
    assert exchange.multipath is not None
    assert (exchange.multipath.bid, exchange.source) == (1, NODE)
    assert tail.exchanges(since=1000.5) == []


def test_tshark_agrees_on_the_copy(tail, tmp_path):
    tail.poll()
    assert disagreements_of_tshark(tail.signals, tmp_path / "copy") == []
    copy = (tmp_path / "copy").read_bytes()
    assert REQUEST[:24] in copy
    assert b"\x9a\x01\x00\x04" not in copy
    assert b"\x9a\x02\x00\x0c" not in copy


def test_a_difference_is_told(tail, tmp_path):
    tail.poll()
    request, reply = tail.signals
    liar = type(request)(request.at, request.packet, request.payload, reply.message)
    found = disagreements_of_tshark([liar, reply], tmp_path / "copy")
    assert any("mip.code" in each for each in found)


def test_garbage_is_told_and_not_paired(tmp_path):
    write(tmp_path / "s", IP(src=NODE, dst=AGENT) / UDP(sport=1, dport=434) / Raw(b"\x99garbage"))
    tail = SignallingTail(tmp_path / "s")
    assert tail.exchanges() == []
    assert len(tail.refused()) == 1
