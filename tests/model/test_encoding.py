from ipaddress import IPv4Address

import msgspec
import pytest

from flowbind.model.binding import Binding, Encapsulation, NodeRecord
from flowbind.model.encoding import from_json, from_msgpack, to_builtins, to_json, to_msgpack

HOME = IPv4Address("10.0.0.2")
RECORD = NodeRecord(
    HOME, 7, (Binding(1, IPv4Address("198.51.100.7"), Encapsulation.GRE, True, 600, 1.5, 7),)
)


def test_people_read_addresses_and_a_store_reads_numbers():
    assert b'"10.0.0.2"' in to_json(RECORD)
    assert msgspec.msgpack.decode(to_msgpack(RECORD))["home_address"] == int(HOME)


def test_both_come_back_as_they_were():
    assert from_json(to_json(RECORD), NodeRecord) == RECORD
    assert from_msgpack(to_msgpack(RECORD), NodeRecord) == RECORD


def test_a_store_with_addresses_as_text_is_read():
    assert from_msgpack(msgspec.msgpack.encode(to_builtins(RECORD)), NodeRecord) == RECORD


def test_a_number_is_no_address_in_json():
    with pytest.raises(msgspec.ValidationError):
        from_json(b'{"home_address": 167772162, "identification": 7}', NodeRecord)


def test_what_is_no_address_is_refused():
    with pytest.raises(msgspec.ValidationError):
        from_msgpack(msgspec.msgpack.encode({"home_address": -1, "identification": 7}), NodeRecord)
