"""The conformance table: which test holds the code to which clause of which RFC.

The clauses are in `clauses.toml`, the tests name them by `@pytest.mark.rfc(number, section, *ids)`.
The marks are read from the source of the tests, so that those which need root count everywhere. The
cases below `cases/` have their clause as their directory.
`python -m tests.conformance.table` writes docs/conformance.md.
"""

import ast
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.conformance.case import case_files, name_of, read_case

ROOT: Final = Path(__file__).parents[2]
CLAUSES: Final = Path(__file__).with_name("clauses.toml")
DOCUMENT: Final = ROOT / "docs" / "conformance.md"
CASE: Final = "tests/conformance/test_cases.py::test_case"

LEVELS: Final = (
    "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "must", "should", "may", "rule", "decision",
)  # fmt: skip
STRICT: Final = frozenset({"MUST", "MUST NOT"})
NOT_YET: Final = "not yet"
OTHERWISE: Final = "otherwise"

_TITLES: Final = {
    "7629": "RFC 7629: Flow-Binding Support for Mobile IP",
    "5944": "RFC 5944: IP Mobility Support for IPv4",
    "6088": "RFC 6088: Traffic Selectors for Flow Bindings",
    "6089": "RFC 6089: Flow Bindings in Mobile IPv6, where RFC 7629 is silent",
    "5446": "RFC 5446: Service Selection for Mobile IPv4",
    "3115": "RFC 3115: Mobile IP Vendor/Organization-Specific Extensions",
    "4636": "RFC 4636: Foreign Agent Error Extension for Mobile IPv4",
    "4917": "RFC 4917: Mobile IPv4 Message String Extension",
    "4433": "RFC 4433: Mobile IPv4 Dynamic Home Agent (HA) Assignment",
    "2794": "RFC 2794: Mobile IP Network Access Identifier Extension for IPv4",
    "3543": "RFC 3543: Registration Revocation in Mobile IPv4",
    "2784": "RFC 2784: Generic Routing Encapsulation (GRE)",
    "2890": "RFC 2890: Key and Sequence Number Extensions to GRE",
    "6245": "RFC 6245: GRE Key Extension for Mobile IPv4",
    "2004": "RFC 2004: Minimal Encapsulation within IP",
    "3519": "RFC 3519: Mobile IP Traversal of Network Address Translation Devices",
    "5454": "RFC 5454: Dual-Stack Mobile IPv4",
    "6098": "RFC 6098: Generic Notification Message for Mobile IPv4",
    "4721": "RFC 4721: Mobile IPv4 Challenge/Response Extensions",
}
_COLUMNS: Final = (
    "| Clause | Section | Level | What it asks | State | Tests | Cases |",
    "|---|---|---|---|---|---|---|",
)
_HEAD: Final = """\
# Conformance

What these RFCs ask of a home agent and of a mobile node with co-located care-of addresses, and the
test that holds the code to it. The clauses are in our words; what counts is the RFC. A level in
lower case is one that the RFC writes so. A clause of level MUST NOT or SHOULD NOT says what is not
to be. *rule* is a clause without such a word, *decision* how we read the RFC where it contradicts
itself or says nothing.

Cases are [data](../tests/conformance/cases/README.md), for any implementation: events, and all that
must come of them.

*done* has a test; below MUST it may have none yet. *not yet* is not implemented and *otherwise*
decided against, both for the reason below the clause.

Written by `make conformance` from `tests/conformance/clauses.toml` and the marks of the tests:
change those.
"""


class Clause(NamedTuple):
    """One clause. The first of `sections` is where it is said best."""

    id: str
    rfc: str
    sections: tuple[str, ...]
    level: str
    text: str
    state: str
    reason: str

    @property
    def strict(self) -> bool:
        """Whether the RFC leaves no choice."""
        return self.level in STRICT


class Mark(NamedTuple):
    """One `@pytest.mark.rfc` of a test. `test` reads like the argument of pytest."""

    test: str
    rfc: str
    section: str
    ids: tuple[str, ...]


class UnreadableMarkError(ValueError):
    """A mark that is not on a test function, or whose arguments are not plain strings."""


def read_clauses(path: Path = CLAUSES) -> list[Clause]:
    """Read all clauses in their order. Raises KeyError and ValueError for one that is not whole."""
    tables = tomllib.loads(path.read_text())
    return [
        _clause(number, name, row) for number, rows in tables.items() for name, row in rows.items()
    ]


def _clause(rfc: str, name: str, row: dict[str, str | list[str]]) -> Clause:
    known = {"section", "level", "clause", "state", "reason"}
    if extra := row.keys() - known:
        raise ValueError(f"{name}: {', '.join(sorted(extra))}")
    sections, level, state = row["section"], str(row["level"]), str(row.get("state", ""))
    reason = str(row.get("reason", ""))
    if level not in LEVELS or state not in {"", NOT_YET, OTHERWISE} or bool(state) != bool(reason):
        raise ValueError(f"{name}: level {level!r}, state {state!r}, reason {reason!r}")
    found = (sections,) if isinstance(sections, str) else tuple(sections)
    return Clause(name, rfc, found, level, str(row["clause"]), state, reason)


def read_marks(tests: Path = ROOT / "tests") -> list[Mark]:
    """Read the marks of every test below a directory, then those of the cases.

    Raises UnreadableMarkError.
    """
    of_tests = [mark for file in sorted(tests.rglob("test_*.py")) for mark in marks_of(file)]
    return [*of_tests, *marks_of_cases(read_clauses())]


def marks_of_cases(clauses: list[Clause]) -> list[Mark]:
    """Read what the cases hold to: the clause that is their directory, and others they name.

    A clause that is not there, or is another RFC's, is left for `problems` to find.
    """
    known = {each.id: each for each in clauses}
    marks: list[Mark] = []
    for file in case_files():
        name = name_of(file)
        rfc, own, _ = name.split("/")
        for each in (own, *read_case(file).also):
            clause = known.get(each)
            number = clause.rfc if clause and each != own else rfc
            section = clause.sections[0] if clause else ""
            marks.append(Mark(f"{CASE}[{name}]", number, section, (each,)))
    return marks


def marks_of(file: Path) -> Iterator[Mark]:
    """Read the marks of one file, in the order of its tests. Raises UnreadableMarkError."""
    tree = ast.parse(file.read_text())
    name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file.name
    left = {id(node) for node in ast.walk(tree) if _is_mark(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and _is_mark(decorator):
                    left.discard(id(decorator))
                    yield _mark(f"{name}::{node.name}", decorator)
    if left:
        raise UnreadableMarkError(f"{name}: a mark that is not on a test function")


def _is_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.rfc"


def _mark(test: str, call: ast.Call) -> Mark:
    arguments = [each.value for each in call.args if isinstance(each, ast.Constant)]
    strings = [each for each in arguments if isinstance(each, str)]
    if len(strings) != len(call.args) or len(strings) < 2 or call.keywords:
        raise UnreadableMarkError(f"{test}: {ast.unparse(call)}")
    return Mark(test, strings[0], strings[1], tuple(strings[2:]))


def tests_by_clause(marks: Iterable[Mark]) -> dict[str, list[str]]:
    """Return the tests of each clause, in the order of the marks."""
    found: dict[str, list[str]] = {}
    for mark in marks:
        for each in mark.ids:
            tests = found.setdefault(each, [])
            if mark.test not in tests:
                tests.append(mark.test)
    return found


def problems(clauses: list[Clause], marks: list[Mark]) -> list[str]:
    """Say all that is wrong between the clauses and the marks, one line each."""
    known = {each.id: each for each in clauses}
    tests = tests_by_clause(marks)
    repeated = [name for name, count in Counter(each.id for each in clauses).items() if count > 1]
    found = [f"{name} is there twice" for name in repeated]
    for mark in marks:
        for name in mark.ids:
            clause = known.get(name)
            if clause is None:
                found.append(f"{mark.test}: {name} is no clause")
            elif mark.rfc != clause.rfc or mark.section not in clause.sections:
                found.append(f"{mark.test}: {name} is not in RFC {mark.rfc} {mark.section}")
    for clause in clauses:
        if clause.state == NOT_YET and clause.id in tests:
            found.append(f"{clause.id} is not yet there, and {tests[clause.id][0]} tests it")
        if clause.strict and not clause.state and clause.id not in tests:
            found.append(f"{clause.id} is a {clause.level} without a test")
    return found


def render(clauses: list[Clause], marks: list[Mark]) -> str:
    """Write the document."""
    tests = tests_by_clause(marks)
    parts = [_HEAD, _summary(clauses, tests)]
    for rfc in dict.fromkeys(each.rfc for each in clauses):
        rows = [_row(each, tests.get(each.id, [])) for each in clauses if each.rfc == rfc]
        parts.append("\n".join([f"## {_TITLES[rfc]}\n", *_COLUMNS, *rows, ""]))
    return "\n".join(parts)


def _summary(clauses: list[Clause], tests: dict[str, list[str]]) -> str:
    lines = ["| | Clauses | done, tested | done, no test | not yet | otherwise |"]
    lines.append("|---|---|---|---|---|---|")
    for rfc in dict.fromkeys(each.rfc for each in clauses):
        of_rfc = [each for each in clauses if each.rfc == rfc]
        strict = [each for each in of_rfc if each.strict]
        others = [each for each in of_rfc if not each.strict]
        lines.append(_count(f"RFC {rfc}, MUST and MUST NOT", strict, tests))
        lines.append(_count(f"RFC {rfc}, all others", others, tests))
    return "\n".join([*lines, ""])


def _count(what: str, clauses: list[Clause], tests: dict[str, list[str]]) -> str:
    states = Counter(each.state or ("tested" if each.id in tests else "") for each in clauses)
    counts = (len(clauses), states["tested"], states[""], states[NOT_YET], states[OTHERWISE])
    return f"| {what} | {' | '.join(map(str, counts))} |"


def _row(clause: Clause, tests: list[str]) -> str:
    text = f"{clause.text}<br>*{clause.reason}*" if clause.reason else clause.text
    sections, state = ", ".join(clause.sections), clause.state or "done"
    named, cases = _named(tests), _cases(clause, tests)
    return f"| {clause.id} | {sections} | {clause.level} | {text} | {state} | {named} | {cases} |"


def _named(tests: list[str]) -> str:
    tests = [each for each in tests if not each.startswith(CASE)]
    if not tests:
        return ""
    more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
    return f"`{tests[0].removeprefix('tests/')}`{more}"


def _cases(clause: Clause, tests: list[str]) -> str:
    """Say how many cases there are, with the directory of those that are about this very clause."""
    cases = [each for each in tests if each.startswith(CASE)]
    directory = f"{clause.rfc}/{clause.id}"
    if any(each.startswith(f"{CASE}[{directory}/") for each in cases):
        return f"[{len(cases)}](../tests/conformance/cases/{directory})"
    return str(len(cases)) if cases else ""


def main() -> None:
    """Write docs/conformance.md."""
    DOCUMENT.write_text(render(read_clauses(), read_marks()))


if __name__ == "__main__":
    main()
