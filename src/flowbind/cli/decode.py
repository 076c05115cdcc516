"""`flowbind decode`: what is said on UDP port 434, from a capture or from hex.

Exit status 1 means that something is wrong with a message, with an authenticator or with the
capture itself; what could be read has then been shown all the same.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer
from msgspec import Struct
from rich.console import Console

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.cli.captures import (
    MAGIC_OCTETS,
    CaptureError,
    Datagram,
    is_capture,
    read_packets,
)
from flowbind.cli.decode_extensions import Keys
from flowbind.cli.decode_report import Report, report_on
from flowbind.cli.decode_views import json_of, lines_of, printable
from flowbind.cli.operator import Failure, Misuse
from flowbind.model.encoding import to_json

STANDARD_INPUT: Final = "-"

_MAX_HEX_CHARACTERS: Final = 1 << 20
"""Room for the longest UDP payload however it is spaced; more is not meant as hex."""

_BETWEEN_OCTETS: Final = re.compile(r"[\s:]+")
_KEY_FORM: Final = "--key: expected SPI=HEX or SPI=HEX:ALGORITHM"


def decode(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|HEX|-", help="Capture (pcap, pcapng), hex of one message, or - for stdin."
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a message.")] = False,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPI=HEX[:ALGORITHM]",
            help="Verify authenticators of this SPI; may be repeated. "
            f"ALGORITHM: {', '.join(Algorithm)}.",
        ),
    ] = None,
) -> None:
    """Every message and extension by its RFC name, and what is wrong with it."""
    keys = _read_keys(key or [])
    tally = _Tally()
    printer = _Printer(json=json)
    with _quiet_when_nobody_reads():
        try:
            for datagram in _datagrams(source, tally):
                report = report_on(datagram, keys)
                tally.count(report)
                printer.show(report)
        except CaptureError as error:
            printer.close(tally)
            raise Failure(f"{_name(source)}: {error}") from error
        printer.close(tally)
    if tally.unread:
        unread = _count(tally.unread, "packet")
        raise Failure(f"{_name(source)}: {unread} of a link layer that is not known here")
    if tally.unsound:
        raise typer.Exit(1)


class _Tally:
    """What has been seen so far."""

    def __init__(self) -> None:
        self.messages = 0
        self.unsound = 0
        self.verdicts: Counter[object] = Counter()
        self.skipped: Counter[str] = Counter()
        self.unread = 0
        self.of_capture = False

    def count(self, report: Report) -> None:
        self.messages += 1
        self.verdicts.update(report.verdicts)
        self.unsound += not report.sound or False in report.verdicts

    def __str__(self) -> str:
        said = [_count(self.messages, "message")]
        if self.unsound:
            said.append(f"{self.unsound} with something wrong")
        words = ((True, "verified"), (False, "WRONG"), (None, "without a key"))
        found = [f"{self.verdicts[each]} {word}" for each, word in words if self.verdicts[each]]
        if found:
            said.append(f"authenticators: {', '.join(found)}")
        if self.skipped:
            reasons = ", ".join(f"{count} {why}" for why, count in self.skipped.most_common())
            said.append(f"{_count(self.skipped.total(), 'packet')} skipped ({reasons})")
        return "; ".join(said)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


class _Printer(Struct):
    """Writes reports to standard output, each at once."""

    json: bool
    shown: int = 0

    def show(self, report: Report) -> None:
        if self.json:
            typer.echo(to_json(json_of(report)))
            return
        if self.shown:
            typer.echo()
        self.shown += 1
        console = Console(highlight=False)
        text = lines_of(report)
        if console.is_terminal:
            console.print(text, soft_wrap=True)
        else:
            typer.echo(text.plain)

    def close(self, tally: _Tally) -> None:
        if tally.of_capture and not self.json:
            typer.echo(f"\n{tally}" if self.shown else str(tally))


@contextmanager
def _quiet_when_nobody_reads() -> Generator[None]:
    """End without a word when the reader of our output, such as `head`, has gone."""
    try:
        yield
    except BrokenPipeError:
        # The interpreter flushes standard output once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


def _datagrams(source: str, tally: _Tally) -> Iterator[Datagram]:
    if source == STANDARD_INPUT:
        yield from _from_file(sys.stdin.buffer, source, tally)
    elif _is_file(source):
        try:
            with Path(source).open("rb") as file:
                yield from _from_file(file, source, tally)
        except OSError as error:
            raise Misuse(f"{source}: {error.strerror}") from error
    else:
        octets = _octets_of(source)
        if octets is None:
            raise Misuse(_neither(source))
        yield Datagram(octets)


def _is_file(source: str) -> bool:
    try:
        return bool(source) and Path(source).exists()
    except (OSError, ValueError):
        # Too long for a name, or with a character that no name has.
        return False


def _from_file(file: BinaryIO, source: str, tally: _Tally) -> Iterator[Datagram]:
    magic = file.read(MAGIC_OCTETS)
    if not is_capture(magic):
        text = (magic + file.read(_MAX_HEX_CHARACTERS)).decode("ascii", "replace")
        octets = _octets_of(text)
        if octets is None:
            raise Misuse(f"{_name(source)}: neither a capture (pcap, pcapng) nor hex")
        yield Datagram(octets)
        return
    # dpkt takes a tenth of a second to import, which no other command should pay for.
    from flowbind.cli.datagrams import Skipped, datagram_of  # noqa: PLC0415

    tally.of_capture = True
    for packet in read_packets(magic, file):
        found = datagram_of(packet)
        if isinstance(found, Skipped):
            tally.skipped[found.reason] += 1
            tally.unread += found.unread
        else:
            yield found


def _name(source: str) -> str:
    return "standard input" if source == STANDARD_INPUT else source


def _octets_of(text: str) -> bytes | None:
    """Read hex with spaces, colons, newlines and 0x; None if it is something else."""
    words = [word.lower().removeprefix("0x") for word in _BETWEEN_OCTETS.split(text) if word]
    try:
        return bytes.fromhex("".join(words)) or None
    except ValueError:
        return None


def _neither(source: str) -> str:
    digits = _BETWEEN_OCTETS.sub("", source).lower().removeprefix("0x")
    if digits and not digits.strip("0123456789abcdef"):
        return f"{len(digits)} hex digits are not whole octets"
    return f"{printable(source)}: no such file, and not hex" if source else "nothing to decode"


def _read_keys(texts: list[str]) -> Keys:
    """Read `--key`. No part of what was given is repeated: any of it may be the key."""
    keys: dict[int, tuple[SecurityAssociation, ...]] = {}
    for text in texts:
        spi, equals, rest = text.partition("=")
        digits, colon, algorithm = rest.partition(":")
        if not equals or not spi.isdecimal():
            raise Misuse(_KEY_FORM)
        if colon and algorithm not in list(Algorithm):
            raise Misuse(f"{_KEY_FORM}; algorithms: {', '.join(Algorithm)}")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            raise Misuse(f"--key: the key of SPI {spi} is not hex") from None
        try:
            association = SecurityAssociation(
                int(spi), key, Algorithm(algorithm) if colon else Algorithm.HMAC_MD5
            )
        except ValueError as error:
            raise Misuse(f"--key: {error}") from None
        keys[association.spi] = (*keys.get(association.spi, ()), association)
    return keys
