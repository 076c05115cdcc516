"""Where the maps are pinned: a directory on a BPF file system, held by one daemon at a time.

A start makes the maps that it cannot take over in `filling`. That name becomes `filled` when they
hold all they are to hold, and at the end of the start they take the places of the old ones. So a
crash leaves either nothing of them that counts, or all of them: the next start goes on from there.
Packets do not mind, for a program that is attached keeps the maps that it was loaded with.
"""

import ctypes
import fcntl
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.btf import Btf
from flowbind.dataplane.ebpf.libbpf import (
    PINNED_LINK,
    PINNED_MAP,
    BpfMap,
    Library,
    kind_of_pin,
    open_pinned_map,
)

BPF_FILE_SYSTEM: Final = Path("/sys/fs/bpf")

_BPF_FS_MAGIC: Final = 0xCAFE4A11

_FILLING: Final = "filling"
_FILLED: Final = "filled"
LINKS: Final = "links"
QDISCS: Final = "qdiscs"
_DIRECTORIES: Final = (_FILLING, _FILLED, LINKS, QDISCS)

_MARKS: Final = frozenset({"settings_map", "nodes_map", "policies_map"})
"""Maps that every build of flowbind has."""


def is_of_flowbind(types: Btf) -> bool:
    """Tell whether maps or programs with these types are of some build of flowbind."""
    return types.maps() >= _MARKS


class Pins:
    """The directory, locked until `close`, with the maps that are pinned there, and their types.

    `fresh` tells that there were none.
    """

    def __init__(self, library: Library, path: Path) -> None:
        self.path = path
        self.maps: dict[str, tuple[BpfMap, Btf]] = {}
        self._library = library
        self._types: dict[int, Btf] = {}
        self._lock_fd: int | None = None
        found = path.exists()
        _mount_if_missing(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataPlaneError(f"{path}: {error.strerror}") from error
        try:
            self._lock_fd = _lock(path)
            self._read()
        except DataPlaneError:
            if not found:
                self._remove_directories()
            self.close()
            raise
        self.fresh = not self.maps

    def _read(self) -> None:
        if not _is_bpf_file_system(self.path):
            raise DataPlaneError(
                f"{self.path} is not on a BPF file system (mount -t bpf bpf DIRECTORY)"
            )
        foreign = sorted(str(each.relative_to(self.path)) for each in self._foreign())
        if foreign:
            raise DataPlaneError(f"{self.path} holds what is not ours: {', '.join(foreign)}")
        self.discard()
        self.install(self.maps)

    def _foreign(self) -> Iterator[Path]:
        for each in self.path.iterdir():
            if each.name not in _DIRECTORIES and not self._take(each):
                yield each
        for name in (_FILLING, _FILLED):
            for each in _content(self.path / name):
                if not self._take(each):
                    yield each
        for each in _content(self.path / LINKS):
            if kind_of_pin(self._library, each) not in PINNED_LINK:
                yield each

    def _take(self, pin: Path) -> bool:
        """Open a map of ours, of whichever build: its own types say whose it is."""
        if kind_of_pin(self._library, pin) != PINNED_MAP:
            return False
        found = open_pinned_map(self._library, pin)
        types = self._types_of(found)
        if types is None or not is_of_flowbind(types) or pin.name not in types.maps():
            found.close()
            return False
        if pin.parent.name == _FILLING:
            found.close()
            return True
        # One that is filled comes after, and instead of, the one that it is to replace.
        if pin.name in self.maps:
            self.maps[pin.name][0].close()
        self.maps[pin.name] = (found, types)
        return True

    def _types_of(self, found: BpfMap) -> Btf | None:
        number = int(found.info.btf_id)
        if number and number not in self._types:
            self._types[number] = Btf(self._library.types_in_kernel(number))
        return self._types.get(number)

    # ---- a start

    def place_of_new(self, name: str) -> Path:
        """Where a map is to be pinned that is being made."""
        return self.path / _FILLING / name

    def filled(self) -> None:
        """The new maps hold all they are to hold: from now on they count."""
        if (self.path / _FILLING).is_dir():
            (self.path / _FILLING).rename(self.path / _FILLED)

    def install(self, names: Collection[str]) -> None:
        """Put the new maps in the place of the old ones, and keep none but those of these names."""
        filled = self.path / _FILLED
        if filled.is_dir():
            for each in filled.iterdir():
                each.rename(self.path / each.name)
            filled.rmdir()
        for name in self.maps.keys() - set(names):
            (self.path / name).unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what a start had begun to make, unless it counts already."""
        _remove_all(self.path / _FILLING)

    # ---- the end

    def remove(self) -> None:
        """Remove the pins and their directory."""
        for name in _DIRECTORIES:
            _remove_all(self.path / name)
        for each in self.path.iterdir():
            each.unlink()
        self._remove_directories()
        self.close()

    def _remove_directories(self) -> None:
        for directory in (self.path, *self.path.parents):
            if os.path.ismount(directory):
                break
            try:
                directory.rmdir()
            except OSError:
                # It holds something else, so it is not ours alone.
                break

    def close(self) -> None:
        """Let go of the maps and of the lock; a second call does nothing."""
        for each, _types in self.maps.values():
            each.close()
        self.maps = {}
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            os.close(fd)


def _content(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


def _remove_all(directory: Path) -> None:
    for each in _content(directory):
        each.rmdir() if each.is_dir() else each.unlink()
    if directory.is_dir():
        directory.rmdir()


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise DataPlaneError(f"{path} is in use by another daemon{_holder(path)}") from error
    return fd


def _holder(path: Path) -> str:
    """Tell which process holds the lock, if it is one that can be seen from here."""
    inode = str(path.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        # 1: FLOCK  ADVISORY  WRITE 4711 00:2d:5678 0 EOF
        words = line.split()
        if words[1] == "FLOCK" and words[5].split(":")[-1] == inode and words[4].isdigit():
            return f" ({words[4]})"
    return ""


def _mount_if_missing(path: Path) -> None:
    if not path.is_relative_to(BPF_FILE_SYSTEM) or _is_bpf_file_system(BPF_FILE_SYSTEM):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", str(BPF_FILE_SYSTEM).encode(), b"bpf", 0, None) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise DataPlaneError(f"{BPF_FILE_SYSTEM}: cannot mount a BPF file system: {reason}")


def _is_bpf_file_system(path: Path) -> bool:
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(str(path).encode(), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:8], "little") == _BPF_FS_MAGIC
