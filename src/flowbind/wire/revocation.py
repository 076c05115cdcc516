"""Registration Revocation and its acknowledgment (RFC 3543 sections 3.3 and 3.4).

The I bit of the acknowledgment stands where the revocation has its A bit.
"""

import struct
from ipaddress import IPv4Address
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.extension import Extension
from flowbind.wire.iana import MessageType

REVOCATION_LAYOUT: Final = struct.Struct("!BBHIIII")
REVOCATION_ACKNOWLEDGMENT_LAYOUT: Final = struct.Struct("!BBHII")

REVOKED_BY_HOME_AGENT: Final = 0x8000
REVOKED_INFORM: Final = 0x4000
ACKNOWLEDGED_INFORM: Final = 0x8000

_REVOCATION: Final = int(MessageType.REVOCATION)
_ACKNOWLEDGMENT: Final = int(MessageType.REVOCATION_ACKNOWLEDGMENT)


class Revocation(Frozen, frozen=True):
    """An agent ends a binding. `foreign_domain` is the foreign agent or the care-of address.

    `by_home_agent` is the A bit, `inform` the I bit: whether the mobile node is to be told.
    `identifier` is a timestamp of 32 bits.
    """

    by_home_agent: bool
    inform: bool
    home_address: IPv4Address
    home_domain: IPv4Address
    foreign_domain: IPv4Address
    identifier: int
    extensions: tuple[Extension, ...] = ()

    def encode_fixed(self) -> bytes:
        """Encode the fixed part."""
        flags = REVOKED_BY_HOME_AGENT if self.by_home_agent else 0
        flags |= REVOKED_INFORM if self.inform else 0
        return REVOCATION_LAYOUT.pack(
            _REVOCATION,
            0,
            flags,
            int(self.home_address),
            int(self.home_domain),
            int(self.foreign_domain),
            self.identifier,
        )


class RevocationAcknowledgment(Frozen, frozen=True):
    """The answer to a Registration Revocation, known by home address and identifier."""

    inform: bool
    home_address: IPv4Address
    identifier: int
    extensions: tuple[Extension, ...] = ()

    def encode_fixed(self) -> bytes:
        """Encode the fixed part."""
        flags = ACKNOWLEDGED_INFORM if self.inform else 0
        return REVOCATION_ACKNOWLEDGMENT_LAYOUT.pack(
            _ACKNOWLEDGMENT, 0, flags, int(self.home_address), self.identifier
        )
