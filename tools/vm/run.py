#!/usr/bin/env python3
"""Run a command under Debian's stock cloud kernel, over this machine's files: `make vm-test`.

::

    tools/vm/run.py [--processors 2] [--memory 3G] [--minutes 30] -- COMMAND...

The guest of qemu sees the host's files through virtiofs, below an overlay in memory: it may
write anywhere, and nothing of it reaches the host. It has no network but what it makes itself.
The command gets the directory that it was given in and the variables of the environment named in
`_PASSED`; what it prints is printed as it comes, and its status is ours: 124 if the time is up,
125 if the guest did not get as far. What is missing is installed (qemu) or downloaded into
build/vm (the kernel, which is unpacked but not installed). Needs root for it, and for virtiofs.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "vm"
HERE = Path(__file__).resolve().parent
META_PACKAGE = "linux-image-cloud-amd64"
TIME_IS_UP = 124
NO_GUEST = 125

_VIRTIOFSD = (Path("/usr/lib/qemu/virtiofsd"), Path("/usr/libexec/virtiofsd"))
_FIRST_MODULES = ("virtio_pci", "virtio_console", "virtiofs", "overlay")
_PASSED = ("PATH", "HOME", "LANG", "PYTHONPATH", "COLUMNS")
_APPEND = (
    "console=ttyS0 panic=-1 quiet random.trust_cpu=on mitigations=off nokaslr tsc=reliable "
    "no_timer_check rdinit=/init audit=0"
)
_SOCKET_S = 10.0
_POLL_S = 0.05


def main() -> int:
    """Boot, run, and return the command's status."""
    given = _given()
    signal.signal(signal.SIGTERM, _end)
    if os.geteuid() != 0:
        sys.exit("vm: needs root: virtiofs shows the guest this machine's files")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    subprocess.run([ROOT / "tools" / "install", "vm"], check=True)
    kernel = _kernel()
    begun_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="run-", dir=BUILD) as directory:
        status = _boot(kernel, Path(directory), given)
    _say(f"{' '.join(given.command[:4])} ...: status {status} after {_since(begun_at)}")
    return status


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End in order, so that no guest is left behind."""
    sys.exit(TIME_IS_UP)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processors", type=int, default=2)
    parser.add_argument("--memory", default="3G", help="the guest's, also for what it writes (3G)")
    parser.add_argument("--minutes", type=float, default=30.0, help="after which it is ended (30)")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    return parser.parse_args()


# ---- what is needed


def _kernel() -> Path:
    """Return the directory that the kernel is unpacked in, after downloading it if need be."""
    there = BUILD / "kernel"
    if (there / "complete").exists():
        return there
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(there, ignore_errors=True)
    shown = subprocess.run(
        ["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True, check=False
    ).stdout
    package = next((word for word in shown.split() if word.startswith("linux-image-")
                    and word != META_PACKAGE), None)  # fmt: skip
    if package is None:
        sys.exit(
            f"vm: this system knows no package {META_PACKAGE}: it takes Debian (apt-get update)"
        )
    _say(f"downloading {package} into {BUILD.relative_to(ROOT)}")
    _apt("download", package, directory=BUILD)
    archive = next(BUILD.glob(f"{package}_*.deb"))
    subprocess.run(["dpkg", "-x", archive, there], check=True)
    archive.unlink()
    subprocess.run(["depmod", "-b", there, _version(there)], check=True)
    (there / "complete").touch()
    return there


def _version(kernel: Path) -> str:
    return next((kernel / "lib" / "modules").iterdir()).name


def _apt(*arguments: str, directory: Path = ROOT) -> None:
    done = subprocess.run(
        ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *arguments],
        cwd=directory, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"vm: apt-get {' '.join(arguments)} failed:\n{done.stdout[-1500:]}{done.stderr}")


# ---- the guest


def _boot(kernel: Path, directory: Path, given: argparse.Namespace) -> int:
    _write_job(kernel, directory, given.command)
    with ExitStack() as stack:
        socket = stack.enter_context(_host_files(directory))
        output = os.dup(sys.stdout.fileno())  # qemu takes none of the first three
        stack.callback(os.close, output)
        guest = subprocess.Popen(
            _qemu(kernel, directory, socket, output, given),
            stdin=subprocess.DEVNULL,
            pass_fds=(output,),
            stderr=(directory / "qemu.log").open("w"),
            process_group=0,
        )
        stack.callback(guest.wait)
        stack.callback(guest.kill)
        try:
            guest.wait(given.minutes * 60)
        except subprocess.TimeoutExpired:
            _say(f"ended after {given.minutes:g} minutes")
            return TIME_IS_UP
    return _status(directory)


def _status(directory: Path) -> int:
    try:
        return int((directory / "status").read_text())
    except (OSError, ValueError):
        console = ""
        if (directory / "console.log").exists():
            console = (directory / "console.log").read_text(errors="replace")
        words = console.partition("Call Trace")[0].splitlines()[-25:]
        log = (directory / "qemu.log").read_text().strip()
        _say("\n".join(["the guest came to no end of its own; its last words:", *words, log]))
        return NO_GUEST


def _write_job(kernel: Path, directory: Path, command: Sequence[str]) -> None:
    exports = [
        f"export {name}={shlex.quote(os.environ[name])}" for name in _PASSED if name in os.environ
    ]
    lines = [f"cd {shlex.quote(str(Path.cwd()))}", *exports, f"exec {shlex.join(command)}"]
    (directory / "command").write_text("\n".join(lines) + "\n")
    image = directory / "initramfs"
    for name in ("bin", "modules", "proc", "sys", "dev", "host"):
        (image / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "busybox", image / "bin" / "busybox")
    shutil.copy(HERE / "init", image / "init")
    order = []
    for module in _with_dependencies(kernel, _FIRST_MODULES):
        shutil.copy(module, image / "modules")
        order.append(module.name)
    (image / "order").write_text("\n".join(order) + "\n")
    modules = kernel / "lib" / "modules" / _version(kernel)
    variables = {"STAGE": HERE / "stage", "JOB": directory, "MODULES": modules}
    text = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items())
    (image / "job").write_text(text)
    with (directory / "initramfs.cpio").open("wb") as archive:
        names = "\n".join(str(each.relative_to(image)) for each in sorted(image.rglob("*")))
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=image, stdout=archive,
                       stderr=subprocess.DEVNULL, input=names.encode(), check=True)  # fmt: skip


def _with_dependencies(kernel: Path, wanted: Sequence[str]) -> list[Path]:
    """Return the files of modules in the order that they can be loaded in."""
    top = kernel / "lib" / "modules" / _version(kernel)
    needs: dict[str, tuple[Path, list[str]]] = {}
    for line in (top / "modules.dep").read_text().splitlines():
        path, others = line.split(":")
        needs[_module(path)] = top / path, [_module(each) for each in others.split()]
    found: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in found or name not in needs:  # not there: it is built in
            return
        path, others = needs[name]
        for each in others:
            add(each)
        found[name] = path

    for name in wanted:
        add(name)
    return list(found.values())


def _module(path: str) -> str:
    return Path(path).name.split(".ko")[0].replace("-", "_")


@contextmanager
def _host_files(directory: Path) -> Iterator[Path]:
    """Serve this machine's files to the guest; yields the socket."""
    server = next((each for each in _VIRTIOFSD if each.exists()), None)
    if server is None:
        sys.exit("vm: virtiofsd is missing: apt-get install qemu-system-common or virtiofsd")
    socket = directory / "files.sock"
    with (directory / "files.log").open("w") as log:
        process = subprocess.Popen(
            [server, f"--socket-path={socket}", "-o", "source=/", "-o", "cache=always",
             "-o", "sandbox=chroot", "--thread-pool-size=0"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
        )  # fmt: skip
    try:
        until = time.monotonic() + _SOCKET_S
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"vm: virtiofsd: {(directory / 'files.log').read_text().strip()}")
            time.sleep(_POLL_S)
        yield socket
    finally:
        process.kill()
        process.wait()


def _qemu(
    kernel: Path, directory: Path, socket: Path, output: int, given: argparse.Namespace
) -> list[str]:
    image = next((kernel / "boot").glob("vmlinuz-*"))
    return [
        "qemu-system-x86_64", "-M", "q35,hpet=off,memory-backend=memory", "-m", given.memory,
        "-smp", str(given.processors), "-object",
        f"memory-backend-memfd,id=memory,size={given.memory},share=on",
        "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,la57=off",
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-kernel", str(image), "-initrd", str(directory / "initramfs.cpio"), "-append", _APPEND,
        "-serial", f"file:{directory / 'console.log'}",
        "-device", "virtio-serial-pci",
        "-add-fd", f"fd={output},set=1",  # append=on: a pipe cannot be truncated
        "-chardev", "file,id=out,path=/dev/fdset/1,append=on",
        "-device", "virtserialport,chardev=out,nr=1",
        "-chardev", f"file,id=status,path={directory / 'status'}",
        "-device", "virtserialport,chardev=status,nr=2",
        "-chardev", f"socket,id=files,path={socket}",
        "-device", "vhost-user-fs-pci,chardev=files,tag=host,queue-size=1024",
    ]  # fmt: skip


def _since(moment: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - moment), 60)
    return f"{minutes} min {seconds} s"


def _say(text: str) -> None:
    print(f"vm: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
