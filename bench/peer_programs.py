"""OpenVPN, WireGuard-go and tinc, as Debian has them, between the hosts of `bench.network`.

Each makes a tunnel between the home agent's host and the mobile node's, at whose ends are
10.9.8.1 and 10.9.8.2; what the correspondent sends to the latter goes through it, and so does
what comes back.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench import network
from bench.network import inside

ADDRESS: Final = "10.9.8.2"

_AGENTS_ADDRESS = "10.9.8.1"
_ENDS = {"ha": _AGENTS_ADDRESS, "mn": ADDRESS}
_OUTER = {"ha": network.HOME_AGENT, "mn": network.CARE_OF_ADDRESS}
_TABLE = "98"
_START_S = 15.0
_POLL_S = 0.1
_EVERYTHING = "0.0.0.0/0"


@contextmanager
def running(name: str) -> Iterator[None]:
    """Have this peer's daemons run at both ends, ready for packets."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fbb-")))
        devices = PEERS[name](stack, directory)
        for node, device in devices.items():
            _lead_into(node, device)
            stack.callback(_lead_out, node)
        _wait(f"{name}: no packet passes", _passes)
        yield


def _lead_into(node: str, device: str) -> None:
    _wait(f"no device {device}", lambda: _there(node, device))
    for command in (f"link set {device} up", f"addr replace {_ENDS[node]}/24 dev {device}"):
        network.run(inside(node, "ip", *command.split()))
    if node == "mn":
        network.run(inside(node, "ip", "route", "add", "default", "dev", device, "table", _TABLE))
        network.run(inside(node, "ip", "rule", "add", "from", ADDRESS, "lookup", _TABLE))


def _lead_out(node: str) -> None:
    if node == "mn":
        network.run(inside(node, "ip", "rule", "del", "from", ADDRESS, "lookup", _TABLE))


def _there(node: str, device: str) -> bool:
    command = inside(node, "ip", "link", "show", device)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _passes() -> bool:
    command = inside("ha", "ping", "-n", "-q", "-c", "1", "-W", "1", ADDRESS)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _wait(complaint: str, done: Callable[[], bool]) -> None:
    until = time.monotonic() + _START_S
    while not done():
        if time.monotonic() > until:
            raise SystemExit(f"bench: {complaint}")
        time.sleep(_POLL_S)


def _start(stack: ExitStack, node: str, command: Sequence[str], log: Path) -> None:
    with log.open("a") as file:
        process = subprocess.Popen(
            inside(node, *command), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            process_group=0,
        )  # fmt: skip
    stack.callback(process.wait)
    stack.callback(process.terminate)


# ---- WireGuard


def _wireguard(stack: ExitStack, directory: Path) -> dict[str, str]:
    # Its control sockets have one directory for all namespaces.
    devices = {node: f"fbb{node}" for node in _ENDS}
    keys = {node: network.run(["wg", "genkey"]).strip() for node in _ENDS}
    for node, other in (("ha", "mn"), ("mn", "ha")):
        command = ["wireguard-go", "--foreground", devices[node]]
        _start(stack, node, command, directory / f"{node}.log")
        key = directory / f"{node}.key"
        key.touch(mode=0o600)
        key.write_text(keys[node])
        public = network.run(["wg", "pubkey"], keys[other]).strip()
        _wait("no WireGuard device", partial(_there, node, devices[node]))
        network.run(inside(node, "wg", "set", devices[node], "listen-port", "51820",
                           "private-key", str(key), "peer", public, "allowed-ips", _EVERYTHING,
                           "endpoint", f"{_OUTER[other]}:51820"))  # fmt: skip
    return devices


# ---- OpenVPN


def _openvpn(stack: ExitStack, directory: Path, options: str) -> dict[str, str]:
    prints = {node: _certificate(directory, node) for node in _ENDS}
    for node, other in (("ha", "mn"), ("mn", "ha")):
        role = "--tls-server --dh none" if node == "ha" else "--tls-client"
        command = (
            f"openvpn --dev tun0 --dev-type tun --proto udp --verb 1 {role} --remote "
            f"{_OUTER[other]} --ifconfig {_ENDS[node]} {_ENDS[other]} --cert "
            f"{directory}/{node}.crt --key {directory}/{node}.key --peer-fingerprint "
            f"{prints[other]} --disable-dco {options}"
        )
        _start(stack, node, command.split(), directory / f"{node}.log")
    return dict.fromkeys(_ENDS, "tun0")


def _certificate(directory: Path, node: str) -> str:
    """Make a key and a certificate; returns the fingerprint that the other end knows it by."""
    certificate = directory / f"{node}.crt"
    network.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={node}", "-days", "30",
                 "-keyout", f"{directory}/{node}.key", "-out", str(certificate)])  # fmt: skip
    shown = network.run(["openssl", "x509", "-fingerprint", "-sha256", "-noout", "-in",
                         str(certificate)])  # fmt: skip
    return shown.partition("=")[2].strip()


# ---- tinc


def _tinc(stack: ExitStack, directory: Path, options: str) -> dict[str, str]:
    subnets = {"ha": _EVERYTHING, "mn": f"{ADDRESS}/32"}
    for node, other in (("ha", "mn"), ("mn", "ha")):
        own = directory / node
        (own / "hosts").mkdir(parents=True)
        (own / "tinc.conf").write_text(
            f"Name = {node}\nConnectTo = {other}\nInterface = tinc0\nAddressFamily = ipv4\n"
        )
        host = f"Address = {_OUTER[node]}\nSubnet = {subnets[node]}\n{options}"
        (own / "hosts" / node).write_text(host)
        network.run(["tincd", "-c", str(own), "-K2048"], "\n\n")
    for node, other in (("ha", "mn"), ("mn", "ha")):
        public = (directory / other / "hosts" / other).read_text()
        (directory / node / "hosts" / other).write_text(public)
        command = ["tincd", "-c", str(directory / node), "-D", "--pidfile",
                   str(directory / f"{node}.pid")]  # fmt: skip
        _start(stack, node, command, directory / f"{node}.log")
    return dict.fromkeys(_ENDS, "tinc0")


PEERS: Final[dict[str, Callable[[ExitStack, Path], dict[str, str]]]] = {
    "WireGuard-go": _wireguard,
    "OpenVPN": lambda stack, directory: _openvpn(stack, directory, ""),
    "OpenVPN, no cipher": lambda stack, directory: _openvpn(
        stack, directory, "--data-ciphers none --cipher none --auth none"
    ),
    "tinc": lambda stack, directory: _tinc(stack, directory, ""),
    "tinc, no cipher": lambda stack, directory: _tinc(
        stack, directory, "Cipher = none\nDigest = none\n"
    ),
}
"""What makes each peer's tunnel; it returns the names of the devices at both ends."""
