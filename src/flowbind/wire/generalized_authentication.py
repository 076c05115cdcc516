"""The Generalized Mobile IP Authentication extension (RFC 4721 section 6).

    Type 36, Subtype, Length (2), SPI (4), Authenticator

Unlike types 32 to 34 it is of the long format. Subtype 1 is for the mobile node's AAA server.
"""

from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.authentication import SPI_OCTETS
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType


class GeneralizedAuthentication(Frozen, frozen=True):
    """An authenticator for a third party; it covers all octets in front of itself."""

    subtype: int
    spi: int
    authenticator: bytes

    @staticmethod
    def decode(subtype: int, data: bytes) -> "GeneralizedAuthentication":
        """Decode the octets behind Length. Raises WireError."""
        if len(data) < SPI_OCTETS:
            raise WireError("truncated", f"{len(data)} octets hold no SPI")
        spi = int.from_bytes(data[:SPI_OCTETS], "big")
        return GeneralizedAuthentication(subtype, spi, data[SPI_OCTETS:])

    def encode(self) -> bytes:
        """Encode the whole extension."""
        octets = len(self.authenticator)
        return generalized_header(self.subtype, self.spi, octets) + self.authenticator


_TYPE: Final = int(ExtensionType.GENERALIZED_AUTHENTICATION)


def generalized_header(subtype: int, spi: int, authenticator_octets: int) -> bytes:
    """Type, Subtype, Length and SPI: the part of the extension that its authenticator covers."""
    length = SPI_OCTETS + authenticator_octets
    return bytes((_TYPE, subtype)) + length.to_bytes(2, "big") + spi.to_bytes(SPI_OCTETS, "big")
