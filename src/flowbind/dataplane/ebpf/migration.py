"""Maps of another build: taken over as they are, or made anew and filled from the old ones.

A map of the same layout is shared with the programs that are still attached, so nothing of it is
lost or missed. For any other a new one is made beside it. What is state is carried over field by
field (`btf.moves`), counters by their names; a cache of another layout begins empty.
"""

import logging
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from flowbind.dataplane.ebpf import libbpf
from flowbind.dataplane.ebpf.btf import Btf, carried, moves
from flowbind.dataplane.ebpf.libbpf import BpfMap, BpfObject, MapInfo
from flowbind.dataplane.ebpf.pins import Pins

_STATE: Final = frozenset({libbpf.HASH, libbpf.ARRAY, libbpf.LPM_TRIE})
_ENUM_OF: Final = {"counters_map": "counter"}
"""Arrays whose index is a name of an enum. Any other of a processor's own holds nothing beyond one
packet."""

_log = logging.getLogger("flowbind")


class _Layout(Struct, frozen=True):
    """A map as one build has it."""

    name: str
    info: MapInfo
    types: Btf

    def shape(self) -> object:
        """All that has to be equal for two builds to share a map."""
        info = self.info
        return (
            (info.kind, info.key_octets, info.value_octets, info.max_entries, info.flags),
            self.types.shape(info.key_type),
            self.types.shape(info.value_type),
            self.types.enumerators(_ENUM_OF.get(self.name, "")),
        )


class Migration:
    """Of what is pinned, to what an object wants. Made before the object is loaded.

    Every method raises DataPlaneError.
    """

    def __init__(self, bpf_object: BpfObject, pins: Pins) -> None:
        self._object = bpf_object
        self._pins = pins
        self._types = Btf(bpf_object.btf())
        self._new: list[str] = []
        for name in bpf_object.map_names():
            place = pins.path / name
            if not self._is_shared(name):
                self._new.append(name)
                place = pins.place_of_new(name)
            bpf_object.pin_map_at(name, place)

    def _is_shared(self, name: str) -> bool:
        if name not in self._pins.maps:
            return False
        return self._wanted(name).shape() == self._held(name).shape()

    def _wanted(self, name: str) -> _Layout:
        return _Layout(name, self._object.map_info(name), self._types)

    def _held(self, name: str) -> _Layout:
        held, types = self._pins.maps[name]
        return _Layout(name, held.info, types)

    def fill(self) -> tuple[str, ...]:
        """Fill the new maps, once they are loaded; then they count. Returns warnings."""
        warnings: list[str] = []
        for name in self._new:
            if name not in self._pins.maps or self._is_passing(name):
                continue
            entries = self._entries(name)
            if entries is None:
                warnings.append(f"{name} had another layout: what it held is forgotten")
                continue
            count = self._object.map(name).update_all(entries)
            _log.info("%s had another layout: %d entries are carried over", name, count)
        self._pins.filled()
        return tuple(warnings)

    def _is_passing(self, name: str) -> bool:
        return self._wanted(name).info.kind == libbpf.PERCPU_ARRAY and name not in _ENUM_OF

    def _entries(self, name: str) -> Iterator[tuple[bytes, bytes]] | None:
        """The entries of an old map, as the new one has them; None of what is not carried over."""
        old, new, held = self._held(name), self._wanted(name), self._pins.maps[name][0]
        if old.info.kind != new.info.kind:
            return None
        if name in _ENUM_OF:
            return _named(held, old, new)
        if new.info.kind in _STATE:
            return _converted(held, old, new)
        return None


def _converted(held: BpfMap, old: _Layout, new: _Layout) -> Iterator[tuple[bytes, bytes]]:
    keys = moves(old.types, old.info.key_type, new.types, new.info.key_type)
    values = moves(old.types, old.info.value_type, new.types, new.info.value_type)
    octets = new.info.key_octets, new.info.value_octets
    for key, value in held.items():
        yield carried(key, keys, octets[0]), carried(value, values, octets[1])


def _named(held: BpfMap, old: _Layout, new: _Layout) -> Iterator[tuple[bytes, bytes]]:
    """What both builds count, under the number that the new one has for it."""
    before = old.types.enumerators(_ENUM_OF[old.name])
    for name, index in new.types.enumerators(_ENUM_OF[new.name]).items():
        if name not in before or index >= new.info.max_entries:
            continue
        value = held.lookup(before[name].to_bytes(4, "little"))
        if value is not None:
            yield index.to_bytes(4, "little"), value
