"""Reading a pcap file while tcpdump still writes it."""

import struct
from collections.abc import Iterator
from pathlib import Path

from flowbind.lab.errors import LabError

_FILE_HEADER_OCTETS = 24
_RECORD_HEADER = struct.Struct("<IIII")
_MAGIC_MICROSECONDS = b"\xd4\xc3\xb2\xa1"
_LINK_TYPE_ETHERNET = 1
_ETHERNET_OCTETS = 14
_ETHERTYPE_IPV4 = b"\x08\x00"


class PcapTail:
    """The packets of a growing capture, each given out once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def poll(self) -> Iterator[tuple[float, bytes]]:
        """Give the time and the IPv4 octets of each packet written since the last time."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        start = 0
        if self._offset == 0:
            if len(data) < _FILE_HEADER_OCTETS:
                return
            _check_header(self.path, data)
            start = _FILE_HEADER_OCTETS
        while start + _RECORD_HEADER.size <= len(data):
            seconds, microseconds, captured, _ = _RECORD_HEADER.unpack_from(data, start)
            end = start + _RECORD_HEADER.size + captured
            if end > len(data):
                break
            frame = data[start + _RECORD_HEADER.size : end]
            start = end
            if frame[12:14] == _ETHERTYPE_IPV4:
                yield seconds + microseconds / 1e6, frame[_ETHERNET_OCTETS:]
        self._offset += start


def _check_header(path: Path, data: bytes) -> None:
    link_type = int.from_bytes(data[20:24], "little")
    if data[:4] != _MAGIC_MICROSECONDS or link_type != _LINK_TYPE_ETHERNET:
        raise LabError(f"{path}: not a little-endian Ethernet capture in microseconds")
