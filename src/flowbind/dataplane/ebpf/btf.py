"""BTF: the types of an object file, or of a map in the kernel, and how a value of one becomes one
of the other.

Values are carried over by the names of their fields, never by their places, so a build needs no
list of what another one had. The format is the kernel's Documentation/bpf/btf.rst.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from msgspec import Struct

from flowbind.dataplane.base import DataPlaneError

_HEADER: Final = struct.Struct("<HBBIIIII")
_TYPE: Final = struct.Struct("<III")
_MAGIC: Final = 0xEB9F
_BIT_FIELDS: Final = 1 << 31
_MAPS_SECTION: Final = ".maps"


class Kind(IntEnum):
    """BTF_KIND_*."""

    VOID = 0
    INT = 1
    POINTER = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FORWARD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNCTION = 12
    FUNCTION_PROTOTYPE = 13
    VARIABLE = 14
    SECTION = 15
    FLOAT = 16
    DECLARATION_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_ONCE: Final = {Kind.INT: 4, Kind.ARRAY: 12, Kind.VARIABLE: 4, Kind.DECLARATION_TAG: 4}
_EACH: Final = {
    Kind.STRUCT: 12,
    Kind.UNION: 12,
    Kind.ENUM: 8,
    Kind.FUNCTION_PROTOTYPE: 8,
    Kind.SECTION: 12,
    Kind.ENUM64: 12,
}
"""Octets that follow a type: once, or for each of its `vlen` members."""

_ALIASES: Final = {Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG}
_RECORDS: Final = {Kind.STRUCT, Kind.UNION}
_NETWORK_ORDER: Final = "__be"


class Type(Struct, frozen=True):
    """A type as it stands: `size_or_type` and the octets behind it mean what its kind says."""

    kind: Kind
    name: str
    info: int
    size_or_type: int
    behind: bytes


class Field(Struct, frozen=True):
    """A member of a struct or union, `offset` in octets."""

    name: str
    type: int
    offset: int


class Move(Struct, frozen=True):
    """So many octets, from a place of the old value to one of the new."""

    source: int
    target: int
    octets: int


class Btf:
    """Types by their number; number 0 is void. Raises DataPlaneError where it is none."""

    def __init__(self, raw: bytes) -> None:
        try:
            self._read(raw)
        except (struct.error, ValueError, IndexError) as error:
            raise DataPlaneError(f"BTF that cannot be read: {error}") from error

    def _read(self, raw: bytes) -> None:
        magic, _version, _flags, header, types, types_octets, strings, _ = _HEADER.unpack_from(raw)
        if magic != _MAGIC:
            raise ValueError("no BTF")
        self._strings = raw[header + strings :]
        self.types = [Type(Kind.VOID, "", 0, 0, b"")]
        at, end = header + types, header + types + types_octets
        while at < end:
            name, info, size_or_type = _TYPE.unpack_from(raw, at)
            kind = Kind(info >> 24 & 0x1F)
            more = _ONCE.get(kind, 0) + _EACH.get(kind, 0) * (info & 0xFFFF)
            at += _TYPE.size
            self.types.append(Type(kind, self._name(name), info, size_or_type, raw[at : at + more]))
            at += more

    def _name(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(0, offset)].decode()

    def resolve(self, number: int) -> Type:
        """Return what a type is behind its typedefs and qualifiers."""
        found = self.types[number]
        while found.kind in _ALIASES:
            found = self.types[found.size_or_type]
        return found

    def is_network_order(self, number: int) -> bool:
        """Tell whether a number is declared in network order (__be16, __be32, __be64)."""
        return self.types[number].name.startswith(_NETWORK_ORDER)

    def size(self, number: int) -> int:
        """The octets of a type."""
        found = self.resolve(number)
        if found.kind is Kind.ARRAY:
            element, count = self.array(found)
            return count * self.size(element)
        return found.size_or_type

    @staticmethod
    def array(found: Type) -> tuple[int, int]:
        """The type of an array's elements, and how many there are."""
        element, _index, count = struct.unpack("<III", found.behind)
        return element, count

    def fields(self, found: Type, base: int = 0) -> Iterator[Field]:
        """The members of a struct; those of one without a name count as its own."""
        if found.info & _BIT_FIELDS:
            raise DataPlaneError(f"struct {found.name} has bit fields")
        for name, number, bits in struct.iter_unpack("<III", found.behind):
            offset = base + bits // 8
            inner = self.resolve(number)
            if not name and inner.kind in _RECORDS:
                yield from self.fields(inner, offset)
            else:
                yield Field(self._name(name), number, offset)

    def shape(self, number: int) -> object:
        """All that has to be equal of two types for their values to be the same octets."""
        found = self.resolve(number)
        if found.kind is Kind.ARRAY:
            element, count = self.array(found)
            return (count, self.shape(element))
        if found.kind in _RECORDS:
            fields = tuple((f.name, f.offset, self.shape(f.type)) for f in self.fields(found))
            return (found.size_or_type, fields)
        return (found.size_or_type, self.is_network_order(number))

    def enumerators(self, name: str) -> dict[str, int]:
        """The names and values of an enum, none if there is no such one."""
        for each in self.types:
            if each.kind is Kind.ENUM and each.name == name:
                pairs = struct.iter_unpack("<II", each.behind)
                return {self._name(offset): value for offset, value in pairs}
        return {}

    def maps(self) -> set[str]:
        """The names of all maps of the object that these types were compiled for."""
        for each in self.types:
            if each.kind is Kind.SECTION and each.name == _MAPS_SECTION:
                variables = (number for number, *_ in struct.iter_unpack("<III", each.behind))
                return {self.types[number].name for number in variables}
        return set()


def moves(old: Btf, source: int, new: Btf, target: int) -> tuple[Move, ...]:
    """Say how a value of one type becomes one of another: every field that both have, by name.

    The rest of the new value is zero. A number may have become wider or narrower.
    """
    ends: list[Move] = []
    for each in _moves(old, (source, 0), new, (target, 0)):
        last = ends[-1] if ends else Move(0, 0, 0)
        after = (last.source + last.octets, last.target + last.octets)
        if after == (each.source, each.target):
            ends[-1:] = [Move(last.source, last.target, last.octets + each.octets)]
        else:
            ends.append(each)
    return tuple(ends)


def _moves(old: Btf, source: tuple[int, int], new: Btf, target: tuple[int, int]) -> Iterator[Move]:
    before, after = old.resolve(source[0]), new.resolve(target[0])
    if before.kind in _RECORDS and after.kind in _RECORDS:
        held = {each.name: each for each in old.fields(before)}
        for each in new.fields(after):
            if each.name in held:
                former = held[each.name]
                yield from _moves(
                    old,
                    (former.type, source[1] + former.offset),
                    new,
                    (each.type, target[1] + each.offset),
                )
    elif before.kind is after.kind is Kind.ARRAY:
        (former_type, former_count), (type_, count) = old.array(before), new.array(after)
        steps = old.size(former_type), new.size(type_)
        for index in range(min(former_count, count)):
            yield from _moves(
                old,
                (former_type, source[1] + index * steps[0]),
                new,
                (type_, target[1] + index * steps[1]),
            )
    elif not {before.kind, after.kind} & {*_RECORDS, Kind.ARRAY}:
        yield _move_of_number(old, source, new, target)


def _move_of_number(old: Btf, source: tuple[int, int], new: Btf, target: tuple[int, int]) -> Move:
    sizes = old.size(source[0]), new.size(target[0])
    octets = min(sizes)
    # The low octets are the last ones in network order, and the first in the order of BPF here.
    skipped = [size - octets for size in sizes] if new.is_network_order(target[0]) else [0, 0]
    return Move(source[1] + skipped[0], target[1] + skipped[1], octets)


def carried(value: bytes, plan: tuple[Move, ...], octets: int) -> bytes:
    """Make the new value, of so many octets, of an old one."""
    made = bytearray(octets)
    for each in plan:
        made[each.target : each.target + each.octets] = value[
            each.source : each.source + each.octets
        ]
    return bytes(made)
