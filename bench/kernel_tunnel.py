"""TCP through flowbind's IP-in-IP beside the kernel's own `ipip` device, chosen by policy routing.

The kernel's way is what one would build by hand: nftables marks the packets, a rule looks the
mark up in a table of its own, whose route leads into the device. Both have the same hosts and
addresses, and take turns; while one is there, nothing of the other is. GSO off means that each
segment is a packet of its own from the sender on.

The stock kernel of a Debian machine has the device. Where this one has not, all of it happens in
the virtual machine of `make vm-test`, as `python -m bench.kernel_tunnel ROUNDS SECONDS`.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import msgspec

from bench import ends, network, traffic
from bench.ends import Order
from bench.network import inside
from bench.report import Section, figure, kernel, tell
from bench.traffic import DOWN, UP

AT_LEAST = 1.0

_DEVICE = "fbbipip"
_MTU = 1480
_TABLE = "99"
_MARK = "1"
_OURS, _THEIRS = "flowbind", "the kernel's ipip"
_GSO = {"GSO on": 65_535, "GSO off": 1}
_TURNS = tuple((direction, gso) for direction in (DOWN, UP) for gso in _GSO)
_MARKING = """\
table ip bench {
    chain arriving {
        type filter hook prerouting priority mangle;
        ip daddr %(home)s meta mark set 1;
    }
    chain leaving {
        type route hook output priority mangle;
        ip saddr %(home)s meta mark set 1;
    }
}
"""
_VM_MINUTES = 30


def measure(rounds: int, seconds: float) -> Section:
    """Take all measurements, here or in the virtual machine; it prints how far it is."""
    if _is_there():
        return _measure_here(rounds, seconds)
    tell("kernel: this one has no ipip: booting one that has")
    command = ["tools/vm/run.py", "--minutes", str(_VM_MINUTES), "--", sys.executable, "-m",
               "bench.kernel_tunnel", str(rounds), f"{seconds:g}"]  # fmt: skip
    section = None
    with subprocess.Popen(command, stdout=subprocess.PIPE) as guest:
        for line in guest.stdout or ():
            # What it says while it measures comes the same way.
            if line.startswith(b"{"):
                section = msgspec.json.decode(line, type=Section)
            else:
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
    if guest.returncode != 0 or section is None:
        raise SystemExit("bench: the virtual machine did not measure")
    return section


def _is_there() -> bool:
    add = ["ip", "link", "add", _DEVICE, "type", "ipip", "local", network.HOME_AGENT,
           "remote", network.CARE_OF_ADDRESS]  # fmt: skip
    if subprocess.run(add, capture_output=True, check=False).returncode != 0:
        return False
    network.run(["ip", "link", "del", _DEVICE])
    return True


def _measure_here(rounds: int, seconds: float) -> Section:
    found: dict[tuple[str, str, str], list[float]] = {}
    with ends.hosts() as both:
        for at in range(rounds):
            for whose in (_OURS, _THEIRS) if at % 2 == 0 else (_THEIRS, _OURS):
                both.obey(Order("ipip" if whose == _OURS else None))
                with _the_kernels() if whose == _THEIRS else nullcontext():
                    for direction, gso in _TURNS:
                        _set_gso(gso)
                        value = traffic.tcp(network.HOME_ADDRESS, direction, seconds)
                        found.setdefault((direction, gso, whose), []).append(value)
                        tell(
                            f"kernel, round {at + 1} of {rounds}: {direction}, {gso}, {whose}: "
                            f"{value:.3g} Gbit/s"
                        )
    figures = [
        figure(
            f"TCP {direction}, {gso}",
            "Gbit/s",
            found[direction, gso, _OURS],
            found[direction, gso, _THEIRS],
            ratio_at_least=AT_LEAST,
        )
        for direction, gso in _TURNS
    ]
    return Section("IP-in-IP beside the kernel's", "ipip", figures, (kernel(),))


@contextmanager
def _the_kernels() -> Iterator[None]:
    """Have the kernel's own tunnel at both ends."""
    _make("ha", network.HOME_AGENT, network.CARE_OF_ADDRESS)
    _make("mn", network.CARE_OF_ADDRESS, network.HOME_AGENT)
    network.run(inside("mn", "ip", "addr", "add", f"{network.HOME_ADDRESS}/32", "dev", _DEVICE))
    yield
    for node in ("ha", "mn"):
        network.run(inside(node, "nft", "delete", "table", "ip", "bench"))
        network.run(inside(node, "ip", "rule", "del", "fwmark", _MARK, "lookup", _TABLE))
        network.run(inside(node, "ip", "link", "del", _DEVICE))


def _make(node: str, local: str, remote: str) -> None:
    network.run(inside(node, "nft", "-f", "-"), _MARKING % {"home": network.HOME_ADDRESS})
    for command in (
        f"link add {_DEVICE} mtu {_MTU} type ipip local {local} remote {remote}",
        f"link set {_DEVICE} up",
        f"route add default dev {_DEVICE} table {_TABLE}",
        f"rule add fwmark {_MARK} lookup {_TABLE}",
    ):
        network.run(inside(node, "ip", *command.split()))


def _set_gso(gso: str) -> None:
    for node in ("cn", "ha", "mn"):
        for device in network.devices(node):
            network.run(inside(node, "ip", "link", "set", device, "gso_max_segs", str(_GSO[gso])))


def main() -> None:
    """Measure in the virtual machine."""
    section = _measure_here(int(sys.argv[1]), float(sys.argv[2]))
    print(msgspec.json.encode(section).decode())


if __name__ == "__main__":
    main()
