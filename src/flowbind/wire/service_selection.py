"""The Service Selection extension (RFC 5446 section 3): Type 151, Length, the identifier."""

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, ReplyCode
from flowbind.wire.text import name_of


class ServiceSelection(Frozen, frozen=True):
    """Which of its services a mobile node wants, such as `voip.example`."""

    identifier: str

    @staticmethod
    def decode(data: bytes) -> "ServiceSelection":
        """Decode the octets behind Length. Raises WireError with code 134."""
        identifier = name_of(data)
        if not identifier:
            code = ReplyCode.POORLY_FORMED_REQUEST
            raise WireError("service-selection-malformed", "not an identifier", code)
        return ServiceSelection(identifier)

    def encode(self) -> bytes:
        """Encode the whole extension."""
        octets = self.identifier.encode("utf-8")
        return bytes((ExtensionType.SERVICE_SELECTION, len(octets))) + octets
