"""Tables of a configuration, read by what is known of their keys.

A value that cannot be read is noted and left out, and reading goes on: an operator wants to see all
that is wrong at once. Defaults are not here but in the Structs that the values are for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from flowbind.daemon.config_values import as_array, as_table, printable, shown, suggestion

Found = dict[str, Any]
"""What a table said, by the fields of a Struct."""

_LONGEST_TITLE: Final = 64


class Findings:
    """What is wrong with a configuration, one line each, and what is only strange about it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def problem(self, where: str, what: str) -> None:
        """Note why this configuration cannot be used."""
        self.problems.append(self._line(where, what))

    def warn(self, where: str, what: str) -> None:
        """Note what the operator should know about a configuration that can be used."""
        self.warnings.append(self._line(where, what))

    def _line(self, where: str, what: str) -> str:
        return printable(": ".join(part for part in (self._source, where, what) if part))


class Key(Struct, frozen=True):
    """A key of a table: its name in TOML, the field it is for, and how its value is read."""

    name: str
    field: str
    read: Callable[[object], object]
    required: bool = False


def read_table(
    findings: Findings, where: str, table: Mapping[str, object], keys: Sequence[Key]
) -> Found:
    """Return the values that could be read, by field."""
    found: Found = {}
    for key in keys:
        if key.name in table:
            try:
                found[key.field] = key.read(table[key.name])
            except ValueError as error:
                findings.problem(where, f"{key.name}: {error}")
        elif key.required:
            findings.problem(where, f"{key.name}: missing")
    unknown(findings, where, "key", table, [key.name for key in keys])
    return found


def unknown(
    findings: Findings, where: str, noun: str, table: Mapping[str, object], known: Sequence[str]
) -> None:
    """Note what nobody asked for: most likely a slip of the pen that would be silently ignored."""
    for name in table:
        if name not in known:
            findings.problem(where, f"unknown {noun} {shown(name)}{suggestion(name, known)}")


def read_array(
    findings: Findings, document: Mapping[str, object], name: str, *names: str
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield each table of an array, with the words that tell an operator which one it is.

    `names` are the keys whose value names such a table; the first that is there does.
    """
    tables = as_array(document.get(name, []))
    if tables is None:
        found = shown(document[name])
        findings.problem("", f"{name}: expected an array of tables [[{name}]], found {found}")
        return
    for position, each in enumerate(tables, 1):
        where = f"[[{name}]] {position}"
        table = as_table(each)
        if table is None:
            findings.problem(where, f"expected a table, found {shown(each)}")
            continue
        title = next((table[each] for each in names if each in table), None)
        known = isinstance(title, str) and 0 < len(title) <= _LONGEST_TITLE
        yield f"{where} ({title})" if known else where, table
