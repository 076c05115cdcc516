"""The GRE Key extension (RFC 6245 section 5): Type 48, Sub-Type 0, Length 4 in two octets, the key.

In a request 0 asks the home agent for a key of both directions; any other is that of the sender.
The key tells flows apart, and keeps no secret.
"""

import struct
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType

SUBTYPE: Final = 0

_HEADER: Final = struct.Struct("!BBH")
_KEY: Final = struct.Struct("!I")
_UNKNOWN: Final = "unknown-gre-key-extension"


class GreKey(Frozen, frozen=True):
    """The key of GRE packets that are sent to whoever says it."""

    key: int

    @staticmethod
    def decode(subtype: int | None, data: bytes) -> "GreKey":
        """Decode the octets behind Length. Raises WireError for what nobody understands."""
        if subtype != SUBTYPE or len(data) != _KEY.size:
            what = f"subtype {subtype}, {len(data)} octets"
            raise WireError(_UNKNOWN, what)
        return GreKey(*_KEY.unpack(data))

    def encode(self) -> bytes:
        """Encode the whole extension."""
        return _HEADER.pack(ExtensionType.GRE_KEY, SUBTYPE, _KEY.size) + _KEY.pack(self.key)
