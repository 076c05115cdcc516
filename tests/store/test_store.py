"""What BindingStore promises, of every store."""

from ipaddress import IPv4Address

import pytest
from msgspec import structs

from flowbind.effects import DeleteNode, SaveNode
from flowbind.model.binding import NodeRecord
from flowbind.store import StoreError


def test_is_empty_at_first(store):
    assert store.load() == ()


def test_gives_back_what_was_saved(store, record):
    store.commit([SaveNode(record(5))])
    assert store.load() == (record(5),)


def test_gives_back_the_extremes(store):
    records = (
        NodeRecord(IPv4Address("0.0.0.0"), 0),  # noqa: S104 -- an address, not a socket
        NodeRecord(IPv4Address("10.0.0.1"), 0, nonce=0),
        NodeRecord(IPv4Address("255.255.255.255"), (1 << 64) - 1, nonce=(1 << 32) - 1),
    )
    store.commit([SaveNode(each) for each in records])
    assert store.load() == records


def test_orders_by_home_address_as_a_number(store, record):
    store.commit([SaveNode(record(octet)) for octet in (100, 5, 20)])
    assert [each.home_address.packed[3] for each in store.load()] == [5, 20, 100]


def test_replaces_a_record(store, record):
    store.commit([SaveNode(record(5))])
    changed = structs.replace(record(5), identification=9, rules=())
    store.commit([SaveNode(changed, previous=record(5))])
    assert store.load() == (changed,)


def test_forgets_a_record_and_only_that(store, record):
    store.commit([SaveNode(record(5)), SaveNode(record(6))])
    store.commit([DeleteNode(record(5).home_address)])
    assert store.load() == (record(6),)
    store.commit([DeleteNode(record(5).home_address)])
    assert store.load() == (record(6),)


def test_applies_changes_in_order(store, record):
    address = record(5).home_address
    store.commit([SaveNode(record(5)), DeleteNode(address), SaveNode(record(5, 2))])
    assert store.load() == (record(5, 2),)
    store.commit([SaveNode(record(5, 3)), SaveNode(record(5, 4)), DeleteNode(address)])
    assert store.load() == ()


def test_takes_an_empty_commit(store, record):
    store.commit([SaveNode(record(5))])
    store.commit([])
    assert store.load() == (record(5),)


def test_takes_many(store, record):
    many = [
        NodeRecord(IPv4Address("10.0.0.0") + offset, offset, record(5).bindings)
        for offset in range(5000)
    ]
    store.commit([SaveNode(each) for each in many])
    assert store.load() == tuple(many)


def test_once_closed_it_says_so(store, record):
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.load()
    with pytest.raises(StoreError, match="closed"):
        store.commit([SaveNode(record(5))])
