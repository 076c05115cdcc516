"""The Multipath extension (RFC 7629 4.1).

 0                   1                   2                   3
+---------------+---------------+-------------------------------+
|   Type 154    |   Subtype 1   |            Length 4           |
+---------------+---------------+---------------+-+-+-----------+
|    If-ATT     |    If-Label   |   Binding ID  |B|O| Reserved  |
+---------------+---------------+---------------+-+-+-----------+
"""

from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, MultipathFlag, MultipathSubtype, ReplyCode

LOWEST_BID: Final = 1
HIGHEST_BID: Final = 254

_DATA_OCTETS: Final = 4
_HEAD: Final = bytes((ExtensionType.MULTIPATH, MultipathSubtype.MULTIPATH, 0, _DATA_OCTETS))
_BULK: Final = MultipathFlag.BULK_REREGISTRATION
_OVERWRITE: Final = MultipathFlag.OVERWRITE
_DEFINED_FLAGS: Final = _BULK | _OVERWRITE
_FLAGS_OF: Final = tuple(MultipathFlag(octet) & _DEFINED_FLAGS for octet in range(256))
"""Looked up, because the arithmetic of flags takes longer than the rest of decoding."""


class Multipath(Frozen, frozen=True):
    """The interface that a Registration Request registers."""

    access_technology: int
    label: int
    bid: int
    flags: MultipathFlag = MultipathFlag(0)

    @property
    def bulk(self) -> bool:
        """B: the lifetime applies to every binding of the mobile node."""
        return _BULK in self.flags

    @property
    def overwrite(self) -> bool:
        """O: this binding replaces all others."""
        return _OVERWRITE in self.flags

    @staticmethod
    def decode(data: bytes) -> "Multipath":
        """Decode the octets behind Length. Raises WireError with code 134."""
        if len(data) != _DATA_OCTETS:
            raise _malformed("multipath-length", f"{len(data)} octets instead of 4")
        access_technology, label, bid, flags = data
        if not LOWEST_BID <= bid <= HIGHEST_BID:
            raise _malformed("multipath-bid", f"BID {bid} is reserved")
        if label == 0:
            raise _malformed("multipath-label", "If-Label 0 is not legal")
        return Multipath(access_technology, label, bid, _FLAGS_OF[flags])

    def encode(self) -> bytes:
        """Encode the whole extension."""
        return _HEAD + bytes((self.access_technology, self.label, self.bid, self.flags))


def _malformed(reason: str, detail: str) -> WireError:
    return WireError(reason, detail, ReplyCode.POORLY_FORMED_REQUEST)
