"""A bounded reader: no decoder ever looks past the octets it was given.

A decoder that must consume its extension exactly calls `finish`; octets left over are an error.
"""

import struct
from ipaddress import IPv4Address

from flowbind.wire.errors import WireError
from flowbind.wire.iana import ReplyCode


class Reader:
    """Reads big-endian fields from `data` in order. Raises WireError when it runs short."""

    __slots__ = ("_code", "_data", "offset")

    def __init__(self, data: bytes, code: ReplyCode | None = None) -> None:
        self._data = data
        self._code = code
        self.offset = 0

    @property
    def remaining(self) -> int:
        """Octets not read yet."""
        return len(self._data) - self.offset

    def octets(self, count: int) -> bytes:
        """Read `count` octets."""
        end = self.offset + count
        if end > len(self._data):
            raise WireError(
                "truncated", f"{count} octets wanted, {self.remaining} left", self._code
            )
        start, self.offset = self.offset, end
        return self._data[start:end]

    def unsigned(self, size: int) -> int:
        """Read an unsigned integer of `size` octets."""
        return int.from_bytes(self.octets(size), "big")

    def address(self) -> IPv4Address:
        """Read an IPv4 address."""
        return IPv4Address(self.octets(4))

    def structure(self, layout: struct.Struct) -> tuple[int, ...]:
        """Read the fields of a fixed layout."""
        return layout.unpack(self.octets(layout.size))

    def rest(self) -> bytes:
        """Read all that is left."""
        return self.octets(self.remaining)

    def finish(self) -> None:
        """Refuse octets that nothing has read."""
        if self.remaining:
            raise WireError("trailing-octets", f"{self.remaining} too many", self._code)
