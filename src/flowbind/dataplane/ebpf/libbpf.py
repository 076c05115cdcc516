"""The few calls of libbpf that flowbind needs, by ctypes. Nothing else touches the library.

libbpf 1.1, which Debian 12 ships, has all of them. Errors are DataPlaneError with the call's name
and the kernel's reason; libbpf itself prints nothing.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator
from errno import ENOENT
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flowbind.dataplane.base import DataPlaneError

HASH: Final = 1
ARRAY: Final = 2
LPM_TRIE: Final = 11
PERCPU_HASH: Final = 5
PERCPU_ARRAY: Final = 6
LRU_HASH: Final = 9
LRU_PERCPU_HASH: Final = 10
"""Kinds of maps (BPF_MAP_TYPE_*)."""

PER_PROCESSOR: Final = frozenset({PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH})

PINNED_MAP: Final = "anon_inode:bpf-map"
PINNED_LINK: Final = ("anon_inode:bpf-link", "anon_inode:bpf_link")
"""Kinds of pins, as kernels call them, and have called them."""

_AT_ONCE: Final = 1024


class TestRunOptions(ctypes.Structure):
    """struct bpf_test_run_opts: one packet through a loaded program."""

    __test__ = False
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


def _print_nothing(_level: int, _format: bytes, _arguments: int) -> int:
    # The arguments are a C va_list, which ctypes cannot read; errno says enough.
    return 0


# It must live as long as the process, for libbpf keeps calling it.
_PRINTER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(
    _print_nothing
)


_POINTERS: Final = (
    "bpf_object__open_file",
    "bpf_object__find_map_by_name",
    "bpf_object__find_program_by_name",
    "bpf_object__next_map",
    "bpf_object__btf",
    "bpf_map__name",
    "btf__load_from_kernel_by_id",
    "btf__raw_data",
)


def _open_library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise DataPlaneError("libbpf is not installed (Debian package libbpf1)") from error
    for call in _POINTERS:
        getattr(library, call).restype = ctypes.c_void_p
    return library


class Library:
    """libbpf, told to print nothing."""

    def __init__(self) -> None:
        self._library = _open_library()
        self._library.libbpf_set_print(_PRINTER)

    def call(self, name: str, *arguments: Any) -> int:  # noqa: ANN401 -- whatever C takes
        """Call a function that returns a negative errno when it fails. Raises DataPlaneError."""
        result = int(getattr(self._library, name)(*arguments))
        if result < 0:
            raise DataPlaneError(f"{name}: {os.strerror(-result)}")
        return result

    def pointer(self, name: str, *arguments: Any) -> ctypes.c_void_p:  # noqa: ANN401
        """Call a function that returns NULL when it fails. Raises DataPlaneError."""
        result = getattr(self._library, name)(*arguments)
        if not result:
            raise DataPlaneError(f"{name}: {os.strerror(ctypes.get_errno())}")
        return ctypes.c_void_p(result)

    def maybe(self, name: str, *arguments: Any) -> ctypes.c_void_p | None:  # noqa: ANN401
        """Call a function that returns NULL when there is nothing."""
        result = getattr(self._library, name)(*arguments)
        return ctypes.c_void_p(result) if result else None

    def text(self, name: str, *arguments: Any) -> str:  # noqa: ANN401
        """Call a function that returns a string."""
        return ctypes.string_at(self.pointer(name, *arguments)).decode()

    def describe(self, fd: int, info: ctypes.Structure) -> None:
        """Fill in what the kernel says of a map, a program or a link. Raises DataPlaneError."""
        octets = ctypes.c_uint32(ctypes.sizeof(info))
        self.call("bpf_obj_get_info_by_fd", fd, ctypes.byref(info), ctypes.byref(octets))

    def types_of(self, btf: ctypes.c_void_p) -> bytes:
        """Return the octets of types that libbpf holds."""
        octets = ctypes.c_uint32(0)
        return ctypes.string_at(
            self.pointer("btf__raw_data", btf, ctypes.byref(octets)), octets.value
        )

    def types_in_kernel(self, number: int) -> bytes:
        """Return the octets of types (BTF) that were loaded with maps or programs."""
        btf = self.pointer("btf__load_from_kernel_by_id", number)
        try:
            return self.types_of(btf)
        finally:
            self.number("btf__free", btf)

    def number(self, name: str, *arguments: Any) -> int:  # noqa: ANN401
        """Call a function whose result may be negative without being an errno."""
        return int(getattr(self._library, name)(*arguments))


class MapInfo(ctypes.Structure):
    """struct bpf_map_info: what the kernel says of a map."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_octets", ctypes.c_uint32),
        ("value_octets", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
        ("ifindex", ctypes.c_uint32),
        ("vmlinux_type", ctypes.c_uint32),
        ("namespace_device", ctypes.c_uint64),
        ("namespace_inode", ctypes.c_uint64),
        ("btf_id", ctypes.c_uint32),
        ("key_type", ctypes.c_uint32),
        ("value_type", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("extra", ctypes.c_uint64),
    )


_ASKED: Final = {
    "kind": "type",
    "key_octets": "key_size",
    "value_octets": "value_size",
    "max_entries": "max_entries",
    "flags": "map_flags",
    "key_type": "btf_key_type_id",
    "value_type": "btf_value_type_id",
}
"""What is known of a map before it is loaded: bpf_map__*."""


class BpfMap:
    """A map of the kernel by its file descriptor. Keys and values are octets.

    A value of a map that is per processor holds those of all of them, one behind the other.
    """

    def __init__(self, library: Library, fd: int) -> None:
        self._library = library
        self.fd = fd
        self.info = MapInfo()
        library.describe(fd, self.info)
        self.key_octets: int = self.info.key_octets
        self.value_octets: int = self.info.value_octets
        if self.info.kind in PER_PROCESSOR:
            processors = library.call("libbpf_num_possible_cpus")
            self.value_octets = -(-self.value_octets // 8) * 8 * processors

    def update(self, key: bytes, value: bytes) -> None:
        """Write an entry. Raises DataPlaneError."""
        self._library.call("bpf_map_update_elem", self.fd, key, value, ctypes.c_uint64(0))

    def update_all(self, entries: Iterable[tuple[bytes, bytes]]) -> int:
        """Write many entries; returns how many there were. Raises DataPlaneError."""
        written = 0
        pending = iter(entries)
        while batch := tuple(islice(pending, _AT_ONCE)):
            count = ctypes.c_uint32(len(batch))
            keys, values = (b"".join(column) for column in zip(*batch, strict=True))
            self._library.call(
                "bpf_map_update_batch", self.fd, keys, values, ctypes.byref(count), None
            )
            written += len(batch)
        return written

    def lookup(self, key: bytes) -> bytes | None:
        """Read an entry, None if there is none."""
        value = ctypes.create_string_buffer(self.value_octets)
        if self._library.number("bpf_map_lookup_elem", self.fd, key, value) < 0:
            return None
        return value.raw

    def delete(self, key: bytes) -> bool:
        """Remove an entry; tells whether there was one."""
        return self._library.number("bpf_map_delete_elem", self.fd, key) >= 0

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all entries. A concurrent change may hide or repeat one."""
        keys = ctypes.create_string_buffer(_AT_ONCE * self.key_octets)
        values = ctypes.create_string_buffer(_AT_ONCE * self.value_octets)
        position = ctypes.create_string_buffer(max(4, self.key_octets))
        before: ctypes.Array[ctypes.c_char] | None = None
        more = True
        while more:
            count = ctypes.c_uint32(_AT_ONCE)
            more = self._read_batch(before, position, keys, values, ctypes.byref(count))
            yield from zip(
                _cut(keys, self.key_octets, count.value),
                _cut(values, self.value_octets, count.value),
                strict=True,
            )
            before = position

    def _read_batch(self, *arguments: Any) -> bool:  # noqa: ANN401
        result = self._library.number("bpf_map_lookup_batch", self.fd, *arguments, None)
        if result < 0 and result != -ENOENT:
            raise DataPlaneError(f"bpf_map_lookup_batch: {os.strerror(-result)}")
        return result == 0

    def close(self) -> None:
        """Close the descriptor of a map that was opened from its pin."""
        os.close(self.fd)


def _cut(buffer: ctypes.Array[ctypes.c_char], octets: int, count: int) -> list[bytes]:
    view = memoryview(buffer)
    return [bytes(view[at : at + octets]) for at in range(0, count * octets, octets)]


def kind_of_pin(library: Library, path: Path) -> str:
    """Tell what is pinned there: one of the kinds of pins, something else, or "" for nothing."""
    fd = library.number("bpf_obj_get", str(path).encode())
    if fd < 0:
        return ""
    try:
        return Path(f"/proc/self/fd/{fd}").readlink().name
    finally:
        os.close(fd)


def open_pinned_map(library: Library, path: Path) -> BpfMap:
    """Open a map. Raises DataPlaneError."""
    return BpfMap(library, library.call("bpf_obj_get", str(path).encode()))


class BpfObject:
    """A BPF object file, opened, then loaded over pinned maps."""

    def __init__(self, library: Library, path: Path) -> None:
        if not path.exists():
            raise DataPlaneError(f"{path} is missing: build it with `make bpf`")
        self._library = library
        self._object = library.pointer("bpf_object__open_file", str(path).encode(), None)

    def btf(self) -> bytes:
        """Return its types (BTF), as they stand in the file."""
        return self._library.types_of(self._library.pointer("bpf_object__btf", self._object))

    def _handle(self, name: str) -> ctypes.c_void_p:
        return self._library.pointer("bpf_object__find_map_by_name", self._object, name.encode())

    def map_names(self) -> tuple[str, ...]:
        """Name its maps, but for those that hold the variables of the programs."""
        found: list[str] = []
        each = self._library.maybe("bpf_object__next_map", self._object, None)
        while each:
            if not self._library.number("bpf_map__is_internal", each):
                found.append(self._library.text("bpf_map__name", each))
            each = self._library.maybe("bpf_object__next_map", self._object, each)
        return tuple(found)

    def map_info(self, name: str) -> MapInfo:
        """Tell, before loading, what the kernel will say of a map."""
        handle = self._handle(name)
        return MapInfo(
            **{
                field: self._library.number(f"bpf_map__{call}", handle)
                for field, call in _ASKED.items()
            }
        )

    def pin_map_at(self, name: str, path: Path) -> None:
        """Before loading: take the map from this pin if it is there, pin it there if not."""
        self._library.call("bpf_map__set_pin_path", self._handle(name), str(path).encode())

    def load(self) -> None:
        """Load maps and programs into the kernel. Raises DataPlaneError."""
        self._library.call("bpf_object__load", self._object)

    def map(self, name: str) -> BpfMap:
        """Return a loaded map, which is closed with the object."""
        return BpfMap(self._library, self._library.call("bpf_map__fd", self._handle(name)))

    def program_fd(self, name: str) -> int:
        """Return the descriptor of a loaded program."""
        program = self._library.pointer(
            "bpf_object__find_program_by_name", self._object, name.encode()
        )
        return self._library.call("bpf_program__fd", program)

    def close(self) -> None:
        """Close every descriptor; what is pinned or attached lives on."""
        self._library.number("bpf_object__close", self._object)
        self._object = ctypes.c_void_p(None)


def run_program(
    library: Library, program_fd: int, packet: bytes, context: bytes = b""
) -> tuple[int, bytes]:
    """Run a program over one packet with BPF_PROG_TEST_RUN. Returns the verdict and the packet.

    `context` is the struct __sk_buff that the program shall see.
    """
    source = ctypes.create_string_buffer(packet, len(packet))
    output = ctypes.create_string_buffer(len(packet) + 256)
    seen = ctypes.create_string_buffer(context, len(context)) if context else None
    options = TestRunOptions(
        size=ctypes.sizeof(TestRunOptions),
        data_in=ctypes.addressof(source),
        data_out=ctypes.addressof(output),
        data_size_in=len(packet),
        data_size_out=len(output),
        ctx_in=ctypes.addressof(seen) if seen else None,
        ctx_size_in=len(context),
        repeat=1,
    )
    library.call("bpf_prog_test_run_opts", program_fd, ctypes.byref(options))
    verdict = ctypes.c_int32(options.retval).value
    return verdict, output.raw[: options.data_size_out]
