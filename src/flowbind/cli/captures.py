"""Packets out of a pcap or pcapng capture, which may still be growing.

They are not read by dpkt, whose readers give out a record that is cut short as if it were whole,
and give all interfaces of a pcapng file the link type of the first. A capture of a mobile node has
Ethernet beside raw IP.
"""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Final

from msgspec import Struct

MAGIC_OCTETS: Final = 4

_MICROSECONDS: Final = 1_000_000
_PCAP_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", _MICROSECONDS),
    b"\xa1\xb2\xc3\xd4": (">", _MICROSECONDS),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
_PCAP_HEADER_OCTETS: Final = 24
_LINK_TYPE_MASK: Final = 0xFFFF
_MAX_RECORD_OCTETS: Final = 1 << 24
"""More than any capturing program writes; what claims to be longer is not a record."""

_SECTION_HEADER: Final = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDERS: Final = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_BLOCK_FRAME_OCTETS: Final = 12
_INTERFACE_BLOCK: Final = 1
_OBSOLETE_PACKET_BLOCK: Final = 2
_SIMPLE_PACKET_BLOCK: Final = 3
_PACKET_BLOCK: Final = 6
_END_OF_OPTIONS: Final = 0
_TIMESTAMP_RESOLUTION: Final = 9
_TIMESTAMP_OFFSET: Final = 14

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CaptureError(Exception):
    """The capture cannot be read any further; the message says why."""


class Packet(Struct, frozen=True):
    """One record of a capture. `number` counts from 1, as other programs do."""

    number: int
    at: datetime | None
    link_type: int
    octets: bytes


class Datagram(Struct, frozen=True):
    """One datagram of UDP port 434. `fault` says what is wrong with the packet it came in."""

    payload: bytes
    number: int | None = None
    at: datetime | None = None
    source: str | None = None
    destination: str | None = None
    fault: str = ""


class _Interface(Struct, frozen=True):
    link_type: int
    snap_octets: int
    ticks_per_s: int
    offset_s: int


def is_capture(magic: bytes) -> bool:
    """Tell by its first four octets whether this is a capture that can be read."""
    return magic == _SECTION_HEADER or magic in _PCAP_MAGICS


def read_packets(magic: bytes, file: BinaryIO) -> Iterator[Packet]:
    """Give the packets of a capture whose first four octets have been read already.

    Raises CaptureError where the capture ends too early or makes no sense.
    """
    records = _Records(file)
    if magic == _SECTION_HEADER:
        yield from _PcapngReader(records).packets()
    else:
        yield from _pcap_packets(records, magic)


class _Records:
    """Reads whole records, and knows how many packets have been given out."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.packets = 0

    def exactly(self, count: int) -> bytes:
        """Read `count` octets."""
        if count > _MAX_RECORD_OCTETS:
            raise self.damaged(f"a record of {count} octets")
        octets = self._file.read(count)
        if len(octets) < count:
            raise CaptureError(f"cut short {self._where()}")
        return octets

    def next(self, count: int) -> bytes:
        """Read `count` octets, or none at the end of the capture."""
        first = self._file.read(1)
        return first + self.exactly(count - 1) if first else b""

    def packet(self, at: datetime | None, link_type: int, octets: bytes) -> Packet:
        """Number a packet."""
        self.packets += 1
        return Packet(self.packets, at, link_type, octets)

    def damaged(self, why: str) -> CaptureError:
        """Say that the capture makes no sense from here on."""
        return CaptureError(f"damaged {self._where()}: {why}")

    def _where(self) -> str:
        return f"behind packet {self.packets}" if self.packets else "in front of the first packet"


def _pcap_packets(records: _Records, magic: bytes) -> Iterator[Packet]:
    order, ticks_per_s = _PCAP_MAGICS[magic]
    header = magic + records.exactly(_PCAP_HEADER_OCTETS - MAGIC_OCTETS)
    link_type = struct.unpack_from(f"{order}I", header, 20)[0] & _LINK_TYPE_MASK
    record = struct.Struct(f"{order}IIII")
    while head := records.next(record.size):
        seconds, ticks, captured, _on_the_wire = record.unpack(head)
        octets = records.exactly(captured)
        yield records.packet(_moment(seconds * ticks_per_s + ticks, ticks_per_s), link_type, octets)


class _PcapngReader:
    """Reads the blocks of a pcapng file: each section has its byte order and its interfaces."""

    def __init__(self, records: _Records) -> None:
        self._records = records
        self._order = ""
        self._interfaces: list[_Interface] = []

    def packets(self) -> Iterator[Packet]:
        """Give the packets of all sections. The first four octets have been read already."""
        head = _SECTION_HEADER + self._records.exactly(4)
        while head:
            try:
                packet = self._block(head)
            except (struct.error, IndexError) as error:
                raise self._records.damaged("a block that makes no sense") from error
            if packet is not None:
                yield packet
            head = self._records.next(8)

    def _block(self, head: bytes) -> Packet | None:
        begun = b""
        if head[:4] == _SECTION_HEADER:
            begun = self._records.exactly(4)
            if begun not in _BYTE_ORDERS:
                raise self._records.damaged("no byte order known")
            self._order = _BYTE_ORDERS[begun]
            self._interfaces = []
        kind, length = self._unpack("II", head)
        body_octets = length - _BLOCK_FRAME_OCTETS
        if body_octets < len(begun):
            raise self._records.damaged(f"a block of {length} octets")
        body = begun + self._records.exactly(body_octets - len(begun))
        if self._records.exactly(4) != head[4:]:
            raise self._records.damaged("the two lengths of a block differ")
        if kind == _INTERFACE_BLOCK:
            self._interfaces.append(self._interface(body))
        return self._packet(kind, body)

    def _packet(self, kind: int, body: bytes) -> Packet | None:
        if kind == _SIMPLE_PACKET_BLOCK:
            interface = self._interfaces[0]
            (on_the_wire,) = self._unpack("I", body)
            captured = min(on_the_wire, interface.snap_octets or on_the_wire)
            return self._records.packet(None, interface.link_type, body[4 : 4 + captured])
        if kind not in {_PACKET_BLOCK, _OBSOLETE_PACKET_BLOCK}:
            return None
        layout = "IIIII" if kind == _PACKET_BLOCK else "HxxIIII"
        number, high, low, captured, _on_the_wire = self._unpack(layout, body)
        interface = self._interfaces[number]
        ticks = (high << 32 | low) + interface.offset_s * interface.ticks_per_s
        at = _moment(ticks, interface.ticks_per_s)
        return self._records.packet(at, interface.link_type, body[20 : 20 + captured])

    def _interface(self, body: bytes) -> _Interface:
        link_type, snap_octets = self._unpack("HxxI", body)
        options = dict(self._options(body[8:]))
        ticks_per_s, offset_s = _MICROSECONDS, 0
        if resolution := options.get(_TIMESTAMP_RESOLUTION):
            ticks_per_s = (2 if resolution[0] & 0x80 else 10) ** (resolution[0] & 0x7F)
        if offset := options.get(_TIMESTAMP_OFFSET):
            (offset_s,) = self._unpack("q", offset)
        return _Interface(link_type, snap_octets, ticks_per_s, offset_s)

    def _options(self, octets: bytes) -> Iterator[tuple[int, bytes]]:
        start = 0
        while start < len(octets):
            code, length = self._unpack("HH", octets[start : start + 4])
            if code == _END_OF_OPTIONS:
                return
            start += 4
            yield code, octets[start : start + length]
            start += length + -length % 4

    def _unpack(self, layout: str, octets: bytes) -> tuple[int, ...]:
        return struct.unpack_from(self._order + layout, octets)


def _moment(ticks: int, ticks_per_s: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=ticks * _MICROSECONDS // ticks_per_s)
    except OverflowError:
        return None
