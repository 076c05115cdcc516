"""Vendor/Organization Specific extensions (RFC 3115 section 2).

    critical:  Type 38,  Reserved, Length (2),          Vendor (4), Vendor type (2), Value
    normal:    Type 134, Length,   Reserved (2),        Vendor (4), Vendor type (2), Value

The Length of the critical one counts from the vendor on, as programs in the field have it.
"""

import struct
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, ReplyCode

_VENDOR_AND_TYPE: Final = struct.Struct("!IH")
_RESERVED: Final = bytes(2)


class CriticalVendorExtension(Frozen, frozen=True):
    """One that a receiver has to know, or else denies. `vendor` is an enterprise number."""

    vendor: int
    vendor_type: int
    value: bytes

    @staticmethod
    def decode(data: bytes) -> "CriticalVendorExtension":
        """Decode the octets behind Length. Raises WireError with code 134."""
        return CriticalVendorExtension(*_content(data, 0))

    def encode(self) -> bytes:
        """Encode the whole extension."""
        data = _VENDOR_AND_TYPE.pack(self.vendor, self.vendor_type) + self.value
        return bytes((ExtensionType.CRITICAL_VENDOR, 0)) + len(data).to_bytes(2, "big") + data


class NormalVendorExtension(Frozen, frozen=True):
    """One that a receiver passes over if it does not know it."""

    vendor: int
    vendor_type: int
    value: bytes

    @staticmethod
    def decode(data: bytes) -> "NormalVendorExtension":
        """Decode the octets behind Length. Raises WireError with code 134."""
        return NormalVendorExtension(*_content(data, len(_RESERVED)))

    def encode(self) -> bytes:
        """Encode the whole extension."""
        data = _RESERVED + _VENDOR_AND_TYPE.pack(self.vendor, self.vendor_type) + self.value
        return bytes((ExtensionType.NORMAL_VENDOR, len(data))) + data


def _content(data: bytes, at: int) -> tuple[int, int, bytes]:
    behind = at + _VENDOR_AND_TYPE.size
    if len(data) < behind:
        detail = f"{len(data)} octets name no vendor and type"
        raise WireError("vendor-extension-malformed", detail, ReplyCode.POORLY_FORMED_REQUEST)
    vendor, vendor_type = _VENDOR_AND_TYPE.unpack_from(data, at)
    return vendor, vendor_type, data[behind:]
