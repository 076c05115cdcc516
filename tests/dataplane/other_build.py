"""Another build of flowbind, as if older or newer than this: its maps are laid out otherwise."""

import os
import re
import shutil
import signal
import sys
from importlib import import_module
from pathlib import Path

from flowbind.dataplane.ebpf.plane import EbpfSettings
from flowbind.model.encoding import from_json, to_json
from flowbind.model.tunnel import NodeForwarding
from tests.dataplane.kernel import run

_ROOT = Path(__file__).parents[2]
_STEPS = {"os.mkdir", "os.rename", "os.rmdir", "os.remove", "fcntl.ioctl", "socket.sendto"}
_MAP = """
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} more_map SEC(".maps");
"""
_CALLS = ("call", "number", "pointer")
_WRITING = ("load", "update", "attach", "detach", "create", "destroy", "pin")


def other_build(directory: Path) -> Path:
    """Make a copy of the tree with a field more in four structs, a counter and a map more.

    The new ones stand first, so that everything else has another place. Returns the directory to
    import it from.
    """
    shutil.copytree(_ROOT / "bpf", directory / "bpf")
    shutil.copytree(
        _ROOT / "src" / "flowbind",
        directory / "src" / "flowbind",
        ignore=shutil.ignore_patterns("objects", "__pycache__", "*.so"),
    )
    for struct in ("node", "path", "settings"):
        _put(directory / "bpf/maps.h", rf"\nstruct {struct} \{{\n", "\t__u32 of_another_build;\n")
    _put(directory / "bpf/maps.h", r"\nstruct scratch \{\n", "\t__u64 of_another_build;\n")
    _put(directory / "bpf/maps.h", r"settings_map SEC\(.*?;\n", _MAP)
    _put(directory / "bpf/drop_reasons.h", r"\nenum counter \{\n", "\tCOUNTER_OF_ANOTHER_BUILD,\n")
    layout = directory / "src/flowbind/dataplane/ebpf/layout.py"
    for value in ("Node", "Path", "Settings"):
        pattern = rf"class {value}Value\(.*?_fields_ = \(\n"
        _put(layout, pattern, '("of_another_build", ctypes.c_uint32),\n')
    _put(layout, r"\nCOUNTERS: Final = \(\n", '"of_another_build",\n')
    run("make", "-s", "-C", str(directory / "bpf"), "CFLAGS=-O2 -g -target bpf")
    return directory / "src"


def _put(file: Path, behind: str, line: str) -> None:
    text, found = re.subn(
        behind, lambda match: match[0] + line, file.read_text(), count=1, flags=re.DOTALL
    )
    assert found, behind
    file.write_text(text)


def start(
    source: Path | None, settings: EbpfSettings, *, killed_at: int = 0
) -> tuple[NodeForwarding, ...] | None:
    """Start a data plane of that build, or of this one, in a process of its own, and end it.

    Returns the nodes that it found, or None if it was killed before the so-manieth step that
    changes anything.
    """
    sys.stdout.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, _start(source, to_json(settings), killed_at))
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error}\n".encode())
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0 or (killed_at and status == -signal.SIGKILL)
    return from_json(answer, tuple[NodeForwarding, ...]) if status == 0 else None


def _start(source: Path | None, settings: bytes, killed_at: int) -> bytes:
    if source:
        for name in [each for each in sys.modules if each.split(".")[0] == "flowbind"]:
            del sys.modules[name]
        sys.path.insert(0, str(source))
    plane_module = import_module("flowbind.dataplane.ebpf.plane")
    encoding = import_module("flowbind.model.encoding")
    if killed_at:
        _kill_at(killed_at, import_module("flowbind.dataplane.ebpf.libbpf").Library)
    plane = plane_module.open_ebpf(encoding.from_json(settings, plane_module.EbpfSettings))
    found: bytes = encoding.to_json(plane.nodes())
    plane.close()
    return found


def _kill_at(step: int, library: type) -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(lambda event, _arguments: count() if event in _STEPS else None)
    for name in _CALLS:
        original = getattr(library, name)

        def counting(self, call, *arguments, original=original):
            if any(word in call for word in _WRITING):
                count()
            return original(self, call, *arguments)

        setattr(library, name, counting)
