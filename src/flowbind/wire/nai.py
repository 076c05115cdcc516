"""The Mobile Node NAI extension (RFC 2794 section 2)."""

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, ReplyCode
from flowbind.wire.text import name_of


class NetworkAccessIdentifier(Frozen, frozen=True):
    """The name of a mobile node, such as `node5@fleet.example`."""

    nai: str

    @staticmethod
    def decode(data: bytes) -> "NetworkAccessIdentifier":
        """Decode the octets behind Type and Length. Raises WireError with code 134."""
        nai = name_of(data)
        if not nai:
            raise WireError("nai-malformed", "not a name", ReplyCode.POORLY_FORMED_REQUEST)
        return NetworkAccessIdentifier(nai)

    def encode(self) -> bytes:
        """Encode the whole extension."""
        octets = self.nai.encode("utf-8")
        return bytes((ExtensionType.NAI, len(octets))) + octets
