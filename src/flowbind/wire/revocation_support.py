"""The Revocation Support extension (RFC 3543 section 3.2).

Type 137, Length 6, I and Reserved (2), Timestamp (4)
"""

import struct
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, ReplyCode

_LAYOUT: Final = struct.Struct("!HI")
_HEAD: Final = bytes((ExtensionType.REVOCATION_SUPPORT, _LAYOUT.size))
_INFORM: Final = 0x8000


class RevocationSupport(Frozen, frozen=True):
    """The sender takes revocations. `timestamp` is of the clock that its identifiers come from.

    `inform` (I): a foreign agent would tell the mobile node of a revocation where asked to.
    """

    timestamp: int
    inform: bool = False

    @staticmethod
    def decode(data: bytes) -> "RevocationSupport":
        """Decode the octets behind Length. Raises WireError with code 134."""
        if len(data) != _LAYOUT.size:
            detail = f"{len(data)} octets instead of {_LAYOUT.size}"
            raise WireError("revocation-support-length", detail, ReplyCode.POORLY_FORMED_REQUEST)
        flags, timestamp = _LAYOUT.unpack(data)
        return RevocationSupport(timestamp, bool(flags & _INFORM))

    def encode(self) -> bytes:
        """Encode the whole extension."""
        return _HEAD + _LAYOUT.pack(_INFORM if self.inform else 0, self.timestamp)
