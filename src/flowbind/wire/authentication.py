"""Authentication extensions 32, 33 and 34 (RFC 5944 3.5.2 to 3.5.4)."""

from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType

AUTHENTICATION_TYPES: Final[dict[int, ExtensionType]] = {
    int(each): each
    for each in (
        ExtensionType.MOBILE_HOME_AUTHENTICATION,
        ExtensionType.MOBILE_FOREIGN_AUTHENTICATION,
        ExtensionType.FOREIGN_HOME_AUTHENTICATION,
    )
}

SPI_OCTETS: Final = 4


class Authentication(Frozen, frozen=True):
    """One authentication extension. The authenticator covers all octets in front of itself."""

    type: ExtensionType
    spi: int
    authenticator: bytes

    @staticmethod
    def decode(extension_type: ExtensionType, data: bytes) -> "Authentication":
        """Decode the octets behind Type and Length. Raises WireError."""
        if len(data) < SPI_OCTETS:
            raise WireError("truncated", f"{len(data)} octets hold no SPI")
        spi = int.from_bytes(data[:SPI_OCTETS], "big")
        return Authentication(extension_type, spi, data[SPI_OCTETS:])

    def encode(self) -> bytes:
        """Encode the whole extension."""
        return authentication_header(self.type, self.spi, len(self.authenticator)) + (
            self.authenticator
        )


def authentication_header(kind: ExtensionType, spi: int, authenticator_octets: int) -> bytes:
    """Type, Length and SPI: the part of the extension that its authenticator covers."""
    return bytes((kind, SPI_OCTETS + authenticator_octets)) + spi.to_bytes(SPI_OCTETS, "big")
