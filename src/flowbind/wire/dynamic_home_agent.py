"""The Dynamic Home Agent extension (RFC 4433 sections 3.4 and 3.5).

The figure of the RFC has the long format, its erratum 898 the short one. We send the short one and
read both; which one it was is kept, for the octets to come out as they came in.
"""

from ipaddress import IPv4Address
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.iana import ExtensionType

ADDRESS_OCTETS: Final = 4

_TYPE: Final = int(ExtensionType.DYNAMIC_HOME_AGENT)


class DynamicHomeAgent(Frozen, frozen=True):
    """The home agent that a mobile node would like (subtype 1), or is sent to (2)."""

    subtype: int
    home_agent: IPv4Address
    long: bool = False

    def encode(self) -> bytes:
        """Encode the whole extension."""
        address = self.home_agent.packed
        if self.long:
            return bytes((_TYPE, self.subtype, 0, ADDRESS_OCTETS)) + address
        return bytes((_TYPE, 1 + ADDRESS_OCTETS, self.subtype)) + address
