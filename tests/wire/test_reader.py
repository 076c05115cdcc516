import struct
from ipaddress import IPv4Address

import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.iana import ReplyCode
from flowbind.wire.reader import Reader


def test_fields_are_read_in_order_and_big_endian():
    reader = Reader(bytes.fromhex("01 0203 0a000002 0405 06 0708"))

    assert reader.unsigned(1) == 1
    assert reader.unsigned(2) == 0x0203
    assert reader.address() == IPv4Address("10.0.0.2")
    assert reader.structure(struct.Struct("!H")) == (0x0405,)
    assert reader.octets(1) == b"\x06"
    assert reader.remaining == 2
    assert reader.rest() == b"\x07\x08"
    assert reader.remaining == 0
    reader.finish()


def test_running_short_is_refused_and_reads_nothing():
    reader = Reader(b"abc", ReplyCode.POORLY_FORMED_REQUEST)

    with pytest.raises(WireError) as refused:
        reader.octets(4)

    assert refused.value.reason == "truncated"
    assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST
    assert reader.rest() == b"abc"


def test_octets_that_nothing_has_read_are_refused():
    reader = Reader(b"abc")
    reader.unsigned(2)

    with pytest.raises(WireError, match="trailing-octets: 1 too many"):
        reader.finish()


def test_a_refusal_reads_as_a_sentence():
    assert str(WireError("truncated")) == "truncated"
    assert str(WireError("truncated", "4 octets wanted")) == "truncated: 4 octets wanted"
