"""`make fuzz`: every target in turns. `python -m fuzz.run --help`."""

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flowbind.wire.errors import WireError
from flowbind.wire.extension import REGISTRY, Framing, long_header, spans_of_extensions
from flowbind.wire.message import decode, offset_of_extensions
from fuzz.targets import TARGETS

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / "build" / "fuzz"
LONGEST: Final = 4096
SLOW_S: Final = 10
"""An input that takes so long is one that breaks something."""

_VECTORS: Final = ROOT / "tests" / "vectors"
_OF_OCTETS: Final = frozenset({"wire", "capture", "home-agent", "mobile-node"})
"""The targets that what messages and extensions begin with may help."""

_ADVERTISEMENT: Final = bytes.fromhex("09007ed501020708 0a09000100000000 1006000707082400 13011800")
_IPV4: Final = bytes.fromhex("45000030000040000101 0000 0a090001 e0000001")
_DISCOVERY: Final = (
    _ADVERTISEMENT,
    bytes.fromhex("0a00f5ff00000000"),
    _IPV4 + _ADVERTISEMENT,
)

_FIXED_REPLY: Final = bytes.fromhex("03000708 0a000002 c0000201 e8d4a51000000001")
_LONGEST_WORD: Final = 64
_EXECUTED: Final = re.compile(r"^stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)
_SAVED: Final = re.compile(r"Test unit written to (\S+)")
_WORDS: Final = {
    "match": ("udp remote port 5060-5061", "tcp,sctp net 10.0.0.0/8 dscp ef", "esp spi 0x100"),
    "control": (
        '{"type":"status"}\n{"type":"paths"}\n{"type":"flows"}\n{"type":"bindings"}',
        '{"type":"explain","packet":"udp 203.0.113.9:5004 -> 10.9.0.5:40000"}',
        '{"type":"policy-set","flows":[{"name":"a","match":"tcp port 80","interfaces":["wlan0"]}]}',
        '{"type":"register","interface":"wlan0"}\n{"type":"deregister","interface":null}',
    ),
}


def golden() -> tuple[list[bytes], list[bytes]]:
    """Return the golden messages, and the golden extensions and what else they are made of."""
    messages: list[bytes] = []
    others: list[bytes] = []
    for file in sorted(_VECTORS.glob("*.toml")):
        for each in map(bytes.fromhex, tomllib.loads(file.read_text()).values()):
            try:
                decode(each)
            except WireError:
                others.append(each)
            else:
                messages.append(each)
    return messages, others


def seeds(name: str) -> list[bytes]:
    """Return inputs to begin with: the golden messages, and words of each language."""
    messages, others = golden()
    match name:
        case "wire":
            return [*messages, *(_FIXED_REPLY + each for each in others)]
        case "selector":
            return others
        case "capture":
            return [*messages, *map(_pcap, messages), *(_FIXED_REPLY + each for each in others)]
        case "home-agent":
            # Knobs, a step, the fields, and extensions with their number of octets in front; the
            # other step with a message: which key, and which kind.
            asked = [bytes((0, 0, 0, 2, 0, 0, 1, 2, len(each))) + each for each in others]
            return asked + [bytes((0, 6, 0, 0)) + _said(each) for each in messages]
        case "mobile-node":
            # Knobs, an interface that comes up, nothing that fails, a reply with extensions.
            heard = [bytes((0x40, 0, 0, 15, 1, 0, 0, 0, 0, len(each))) + each for each in others]
            return heard + [bytes((0x40, 0, 0, 15, 6)) + _said(each) for each in messages]
        case _:
            return list(_DISCOVERY if name == "discovery" else _of_words(name))


def _of_words(name: str) -> list[bytes]:
    return [each.encode() for each in _WORDS.get(name, ())]


def words() -> str:
    """Return a dictionary for libFuzzer: golden extensions, and how each type begins."""
    _messages, others = golden()
    heads = [
        long_header(number, 1, 4) if row.framing is Framing.LONG else bytes((number, 4, 1))
        for number, row in REGISTRY.items()
    ]
    found = heads + [each for each in others if len(each) <= _LONGEST_WORD]
    escaped = ["".join(f"\\x{octet:02x}" for octet in each) for each in found]
    return "".join(f'"{each}"\n' for each in escaped)


def _said(message: bytes) -> bytes:
    """Write a message for `fuzz.octets.message`, without its authentication."""
    start = offset_of_extensions(message)
    spans = spans_of_extensions(message, start)
    extensions = message[start : spans[-1][1]]
    return message[:start] + bytes((len(extensions),)) + extensions


def _pcap(payload: bytes) -> bytes:
    ip = bytes.fromhex("4500000000000000401100000a010002c6336401")
    octets = bytearray(ip + bytes.fromhex("01b201b2") + (len(payload) + 8).to_bytes(2, "big"))
    octets += bytes(2) + payload
    octets[2:4] = len(octets).to_bytes(2, "big")
    head = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000065000000")
    return head + bytes(8) + len(octets).to_bytes(4, "little") * 2 + bytes(octets)


def fuzz(name: str, seconds: int) -> tuple[int, Path | None]:
    """Fuzz one target; returns how often it ran, and the input that broke it, if one did."""
    corpus, crashes = BUILD / "corpus" / name, BUILD / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    for number, octets in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(octets)
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "timeout": SLOW_S,
        "rss_limit_mb": 2048,
        "print_final_stats": 1,
        "artifact_prefix": f"{crashes}/{name}-",
    }
    command = [sys.executable, "-m", "fuzz.one", name, str(corpus)]
    command += [f"-{option}={value}" for option, value in options.items()]
    if name in _OF_OCTETS:
        (BUILD / "words").write_text(words())
        command.append(f"-dict={BUILD / 'words'}")
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False
    )
    executed, saved = _EXECUTED.search(done.stderr), _SAVED.search(done.stderr)
    if done.returncode:
        print(done.stdout + done.stderr[-4000:], file=sys.stderr)
        if saved is None:
            raise SystemExit(f"fuzz: {name} could not be run")
    return int(executed[1]) if executed else 0, Path(saved[1]) if saved else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets in turns and say what came of it."""
    parser = argparse.ArgumentParser("make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=7.0, help="for all of them together")
    options = parser.parse_args(arguments)
    names: list[str] = options.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no target {unknown[0]}: {', '.join(TARGETS)}")
    seconds = max(1, round(options.minutes * 60 / len(names)))
    broken = 0
    for name in names:
        executed, saved = fuzz(name, seconds)
        print(
            f"{name:<12} {executed:>9} executions, {'one crash' if saved else 'no crash'}",
            flush=True,
        )
        if saved is not None:
            broken += 1
            print(f"             again: {sys.executable} -m fuzz.one {name} {saved}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
