"""Where the maps are pinned: a directory on a BPF file system, held by one daemon at a time."""

import ctypes
import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from flowbind.dataplane.base import DataPlaneError

BPF_FILE_SYSTEM: Final = Path("/sys/fs/bpf")

_BPF_FS_MAGIC: Final = 0xCAFE4A11


class Pins:
    """The directory, locked until `close`. `fresh` tells that it was not there before."""

    def __init__(self, path: Path, names: Collection[str]) -> None:
        self.path = path
        self.fresh = not path.exists()
        self._names = names
        self._lock_fd: int | None = None
        _mount_if_missing(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataPlaneError(f"{path}: {error.strerror}") from error
        try:
            self._lock_fd = _lock(path)
            self._check()
        except DataPlaneError:
            if self.fresh:
                self._remove_directories()
            self.close()
            raise

    def _check(self) -> None:
        if not _is_bpf_file_system(self.path):
            raise DataPlaneError(
                f"{self.path} is not on a BPF file system (mount -t bpf bpf DIRECTORY)"
            )
        foreign = sorted(each.name for each in self.path.iterdir() if each.name not in self._names)
        if foreign:
            raise DataPlaneError(f"{self.path} holds what is not ours: {', '.join(foreign)}")

    def remove(self) -> None:
        """Remove the pins and their directory."""
        for name in self._names:
            (self.path / name).unlink(missing_ok=True)
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
        """Let go of the lock; a second call does nothing."""
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            os.close(fd)


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise DataPlaneError(f"{path} is in use by another daemon") from error
    return fd


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
