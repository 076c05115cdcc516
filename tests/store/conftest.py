"""Stores to test and records to keep."""

from ipaddress import IPv4Address

import pytest

from flowbind.model.binding import Binding, Encapsulation, NodeRecord
from flowbind.model.flow import FlowRule
from flowbind.store import open_store
from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import Span, TrafficSelector


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    """Either store, open and empty."""
    url = "memory:" if request.param == "memory" else f"sqlite://{tmp_path}/flowbind.db"
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def record():
    """Make a record with something in every field."""

    def make(last_octet, identification=0xE5E6_0102_0304_0506):
        binding = Binding(
            bid=1,
            care_of_address=IPv4Address(f"192.0.2.{last_octet}"),
            encapsulation=Encapsulation.GRE,
            reverse_tunnel=True,
            lifetime_s=600,
            expires_at=1_790_000_000.25,
            identification=identification,
            access_technology=4,
            label=7,
            interface="wlan0",
        )
        selector = TrafficSelector(source_port=Span(5060, 5061), protocol=Span(17))
        rule = FlowRule(FlowAction.FORWARD, (2, 1), selector, owner=1, name="voice ünïcode")
        return NodeRecord(IPv4Address(f"10.9.0.{last_octet}"), identification, (binding,), (rule,))

    return make
