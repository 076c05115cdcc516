"""The few calls of libbpf that flowbind needs, by ctypes. Nothing else touches the library.

libbpf 1.1, which Debian 12 ships, has all of them. Errors are DataPlaneError with the call's name
and the kernel's reason; libbpf itself prints nothing.
"""

import ctypes
import os
from collections.abc import Collection, Iterator
from errno import ENOENT
from pathlib import Path
from typing import Any, Final

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.netlink import index_of

INGRESS: Final = 1
EGRESS: Final = 2

_TC_REPLACE: Final = 1
_PRIORITY: Final = 1
_NAME_OCTETS: Final = 15
_AT_ONCE: Final = 1024


class _TcHook(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )


class _TcOptions(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )


class _ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info as far as the name."""

    _fields_ = (
        ("before", ctypes.c_uint8 * 64),
        ("name", ctypes.c_char * (_NAME_OCTETS + 1)),
    )


class TestRunOptions(ctypes.Structure):
    """struct bpf_test_run_opts: one packet through a loaded program, for tests and benchmarks."""

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

    def number(self, name: str, *arguments: Any) -> int:  # noqa: ANN401
        """Call a function whose result may be negative without being an errno."""
        return int(getattr(self._library, name)(*arguments))


class BpfMap:
    """A map of the kernel by its file descriptor. Keys and values are octets."""

    def __init__(self, library: Library, fd: int, key_octets: int, value_octets: int) -> None:
        self._library = library
        self.fd = fd
        self._key_octets = key_octets
        self._value_octets = value_octets

    def update(self, key: bytes, value: bytes) -> None:
        """Write an entry. Raises DataPlaneError."""
        self._library.call("bpf_map_update_elem", self.fd, key, value, ctypes.c_uint64(0))

    def lookup(self, key: bytes) -> bytes | None:
        """Read an entry, None if there is none."""
        value = ctypes.create_string_buffer(self._value_octets)
        if self._library.number("bpf_map_lookup_elem", self.fd, key, value) < 0:
            return None
        return value.raw

    def delete(self, key: bytes) -> bool:
        """Remove an entry; tells whether there was one."""
        return self._library.number("bpf_map_delete_elem", self.fd, key) >= 0

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all entries of a hash. A concurrent change may hide or repeat one."""
        keys = ctypes.create_string_buffer(_AT_ONCE * self._key_octets)
        values = ctypes.create_string_buffer(_AT_ONCE * self._value_octets)
        position = ctypes.create_string_buffer(max(4, self._key_octets))
        before: ctypes.Array[ctypes.c_char] | None = None
        more = True
        while more:
            count = ctypes.c_uint32(_AT_ONCE)
            more = self._read_batch(before, position, keys, values, ctypes.byref(count))
            yield from zip(
                _cut(keys, self._key_octets, count.value),
                _cut(values, self._value_octets, count.value),
                strict=True,
            )
            before = position

    def _read_batch(self, *arguments: Any) -> bool:  # noqa: ANN401
        result = self._library.number("bpf_map_lookup_batch", self.fd, *arguments, None)
        if result < 0 and result != -ENOENT:
            raise DataPlaneError(f"bpf_map_lookup_batch: {os.strerror(-result)}")
        return result == 0


def _cut(buffer: ctypes.Array[ctypes.c_char], octets: int, count: int) -> list[bytes]:
    view = memoryview(buffer)
    return [bytes(view[at : at + octets]) for at in range(0, count * octets, octets)]


class BpfObject:
    """A BPF object file, opened, then loaded over pinned maps."""

    def __init__(self, library: Library, path: Path) -> None:
        if not path.exists():
            raise DataPlaneError(f"{path} is missing: build it with `make bpf`")
        self._library = library
        self._object = library.pointer("bpf_object__open_file", str(path).encode(), None)

    def pin_map_at(self, name: str, path: Path) -> None:
        """Before loading: take the map from this pin if it is there, pin it there if not."""
        bpf_map = self._library.pointer("bpf_object__find_map_by_name", self._object, name.encode())
        self._library.call("bpf_map__set_pin_path", bpf_map, str(path).encode())

    def load(self) -> None:
        """Load maps and programs into the kernel. Raises DataPlaneError."""
        self._library.call("bpf_object__load", self._object)

    def map(self, name: str, key_octets: int, value_octets: int) -> BpfMap:
        """Return a loaded map."""
        bpf_map = self._library.pointer("bpf_object__find_map_by_name", self._object, name.encode())
        fd = self._library.call("bpf_map__fd", bpf_map)
        return BpfMap(self._library, fd, key_octets, value_octets)

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


class Filters:
    """The filters at tc that are ours: one handle, and only programs of these names."""

    def __init__(self, library: Library, handle: int, names: Collection[str]) -> None:
        self._library = library
        self._handle = handle
        self._names = {name[:_NAME_OCTETS] for name in names}

    def attach(self, interface: str, attach_point: int, program_fd: int) -> None:
        """Attach a program, replacing ours in one step if it is there. Raises DataPlaneError."""
        hook = _hook(interface, attach_point)
        # EEXIST only says that somebody made the clsact qdisc before us.
        self._library.number("bpf_tc_hook_create", ctypes.byref(hook))
        held = self._held(hook)
        if held is not None and held not in self._names:
            raise DataPlaneError(
                f"interface {interface}: the filter {self._handle:#x} at tc is foreign: {held}"
            )
        options = self._options(prog_fd=program_fd, flags=_TC_REPLACE)
        try:
            self._library.call("bpf_tc_attach", ctypes.byref(hook), ctypes.byref(options))
        except DataPlaneError as error:
            raise DataPlaneError(f"interface {interface}: {error}") from error

    def detach(self, interface: str, attach_point: int) -> bool:
        """Take our program off; tells whether it was there. A foreign one stays."""
        hook = _hook(interface, attach_point)
        if self._held(hook) not in self._names:
            return False
        options = self._options()
        self._library.call("bpf_tc_detach", ctypes.byref(hook), ctypes.byref(options))
        return True

    def _held(self, hook: _TcHook) -> str | None:
        """Return the name of the program at our handle, None if there is none."""
        options = self._options()
        if self._library.number("bpf_tc_query", ctypes.byref(hook), ctypes.byref(options)) < 0:
            return None
        fd = self._library.call("bpf_prog_get_fd_by_id", options.prog_id)
        try:
            info = _ProgramInfo()
            octets = ctypes.c_uint32(ctypes.sizeof(info))
            self._library.call(
                "bpf_obj_get_info_by_fd", fd, ctypes.byref(info), ctypes.byref(octets)
            )
        finally:
            os.close(fd)
        name: bytes = info.name
        return name.decode()

    def _options(self, prog_fd: int = 0, flags: int = 0) -> _TcOptions:
        size = ctypes.sizeof(_TcOptions)
        return _TcOptions(size, prog_fd, flags, 0, self._handle, _PRIORITY, 0)


def _hook(interface: str, attach_point: int) -> _TcHook:
    return _TcHook(ctypes.sizeof(_TcHook), index_of(interface), attach_point, 0, 0)


def remove_clsact(library: Library, interface: str) -> None:
    """Remove the qdisc that holds filters, with whatever it holds."""
    hook = _hook(interface, INGRESS | EGRESS)
    library.number("bpf_tc_hook_destroy", ctypes.byref(hook))


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
