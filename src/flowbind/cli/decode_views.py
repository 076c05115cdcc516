"""Reports on datagrams as text for people and as JSON for programs (docs/decode.md)."""

from typing import Any, Final

from rich.text import Text

from flowbind.cli.decode_extensions import Part
from flowbind.cli.decode_fields import Field, moment
from flowbind.cli.decode_report import Report
from flowbind.wire.iana import MessageType
from flowbind.wire.names import MESSAGE_NAMES

_INDENT: Final = 2
_VALUES_AT: Final = 22
_GOOD: Final = {True: "green", False: "bold red", None: ""}
_PROBLEM: Final = "bold red"


def lines_of(report: Report) -> Text:
    """Draw a report, with colours for a terminal; its `plain` is the text alone."""
    lines = Text()
    _packet_line(lines, report)
    lines.append(report.message, style="bold")
    if report.type is not None:
        if report.type in MESSAGE_NAMES and report.type not in set(MessageType):
            lines.append(" (not spoken here)")
        lines.append(f", {len(report.datagram.payload)} octets")
    lines.append("\n")
    for field in report.fields:
        _field_line(lines, field, _INDENT)
    for part in report.extensions:
        _part_lines(lines, part)
    for problem in report.problems:
        _problem_line(lines, problem, _INDENT)
    lines.rstrip()
    return lines


def _packet_line(lines: Text, report: Report) -> None:
    datagram = report.datagram
    if datagram.number is None:
        return
    words = [f"#{datagram.number}"]
    if datagram.at is not None:
        words.append(f"{moment(datagram.at)} UTC")
    if datagram.source is not None:
        words.append(f"{datagram.source} -> {datagram.destination}")
    lines.append("  ".join(words) + "\n", style="cyan")


def _part_lines(lines: Text, part: Part) -> None:
    number = str(part.type)
    if part.subtype is not None:
        number += f", subtype {part.subtype}"
        number += "" if part.subtype_name == part.name else f": {part.subtype_name}"
    lines.append(" " * _INDENT)
    lines.append(part.name, style="bold")
    lines.append(f" ({number})\n")
    for field in part.fields:
        _field_line(lines, field, 2 * _INDENT)
    if part.problem:
        _problem_line(lines, part.problem, 2 * _INDENT)


def _field_line(lines: Text, field: Field, indent: int) -> None:
    if not field.text:
        return
    name = f"{field.name}  ".ljust(_VALUES_AT - indent)
    lines.append(" " * indent + name, style="dim")
    lines.append(printable(field.text) + "\n", style=_GOOD[field.good])


def _problem_line(lines: Text, problem: str, indent: int) -> None:
    lines.append(f"{' ' * indent}! {printable(problem)}\n", style=_PROBLEM)


def printable(text: str) -> str:
    """Return the text with everything escaped that a terminal might obey."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def json_of(report: Report) -> dict[str, Any]:
    """Return a report as docs/decode.md describes it."""
    datagram = report.datagram
    return {
        "packet": datagram.number,
        "time": None if datagram.at is None else moment(datagram.at).replace(" ", "T") + "Z",
        "source": datagram.source,
        "destination": datagram.destination,
        "octets": len(datagram.payload),
        "type": report.type,
        "message": report.message,
        **{field.key: field.value for field in report.fields},
        "extensions": [_json_of_part(part) for part in report.extensions],
        "problems": list(report.problems),
    }


def _json_of_part(part: Part) -> dict[str, Any]:
    return {
        "type": part.type,
        "subtype": part.subtype,
        "subtype_name": part.subtype_name,
        "name": part.name,
        **{field.key: field.value for field in part.fields},
        "problem": part.problem or None,
    }
