"""Who a mobile node is, and where it registers: what is configured, or what replies have told.

A node that is known by its NAI may leave its home address to its home agent (RFC 2794, RFC 5944
3.6): it asks without one, and the first reply that accepts tells it.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from flowbind.model.binding import NodeRecord
from flowbind.model.config import MobileNodeConfig
from flowbind.wire.extension import Extension
from flowbind.wire.nai import NetworkAccessIdentifier

UNKNOWN: Final = IPv4Address(0)
"""The Home Address of a node that has none yet (RFC 5944 3.6.1.2)."""


@dataclass(slots=True)
class Identity:
    """What a request says of its sender. `home_address` is None until one is given."""

    config: MobileNodeConfig
    home_address: IPv4Address | None
    home_agent: IPv4Address

    @staticmethod
    def of(config: MobileNodeConfig) -> "Identity":
        """Return what a node knows before it has heard anything."""
        return Identity(config, config.home_address, config.home_agent)

    @property
    def is_given(self) -> bool:
        """Whether the home agent gives the home address."""
        return self.config.home_address is None

    @property
    def extensions(self) -> tuple[Extension, ...]:
        """What stands in front of all other extensions of a request (RFC 2794 2)."""
        nai = self.config.nai
        return () if nai is None else (NetworkAccessIdentifier(nai),)

    @property
    def named(self) -> NodeRecord:
        """The record of the node with nothing in it; an address that was given bears its name."""
        nai = self.config.nai if self.is_given else None
        return NodeRecord(self.home_address or UNKNOWN, 0, nai=nai)

    def restore(self, record: NodeRecord) -> bool:
        """Take up an address that was given in a former run; tells whether the record is ours."""
        if not self.is_given:
            return record.home_address == self.home_address
        if record.nai != self.config.nai:
            return False
        self.home_address = None if record.home_address == UNKNOWN else record.home_address
        return True
