"""The Revocation Support extension (RFC 3543 section 3.2).

Type 137, Length 6, I and Reserved (2), Timestamp (4)

Length may grow, should more bits be required one day: what is behind is kept and means nothing.
"""

import struct
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, ReplyCode

_LAYOUT: Final = struct.Struct("!HI")
_TYPE: Final = int(ExtensionType.REVOCATION_SUPPORT)
_INFORM: Final = 0x8000


class RevocationSupport(Frozen, frozen=True):
    """The sender takes revocations. `timestamp` is of the clock that its identifiers come from.

    `inform` (I): a foreign agent would tell the mobile node of a revocation where asked to.
    """

    timestamp: int
    inform: bool = False
    more: bytes = b""

    @staticmethod
    def decode(data: bytes) -> "RevocationSupport":
        """Decode the octets behind Length. Raises WireError with code 134."""
        if len(data) < _LAYOUT.size:
            detail = f"{len(data)} octets instead of {_LAYOUT.size}"
            raise WireError("revocation-support-length", detail, ReplyCode.POORLY_FORMED_REQUEST)
        flags, timestamp = _LAYOUT.unpack_from(data)
        return RevocationSupport(timestamp, bool(flags & _INFORM), data[_LAYOUT.size :])

    def encode(self) -> bytes:
        """Encode the whole extension."""
        data = _LAYOUT.pack(_INFORM if self.inform else 0, self.timestamp) + self.more
        return bytes((_TYPE, len(data))) + data
