"""docs/conformance.md says what the clauses and the marks of the tests say."""

import pytest

from tests.conformance.table import (
    DOCUMENT,
    Clause,
    Mark,
    UnreadableMarkError,
    marks_of,
    problems,
    read_clauses,
    read_marks,
    render,
)

MUST = Clause("X-1", "5944", ("3.8", "4.2"), "MUST", "It is.", "", "")
TESTED = Mark("test_it.py::test_it", "5944", "3.8", ("X-1",))


def test_clauses_and_marks_fit_each_other():
    assert problems(read_clauses(), read_marks()) == []


def test_the_document_is_what_make_conformance_writes():
    assert DOCUMENT.read_text() == render(read_clauses(), read_marks())


@pytest.mark.parametrize(
    ("clauses", "marks", "problem"),
    [
        ([MUST], [], "X-1 is a MUST without a test"),
        ([MUST._replace(level="MUST NOT")], [], "X-1 is a MUST NOT without a test"),
        ([MUST, MUST], [TESTED], "X-1 is there twice"),
        ([], [TESTED], "test_it.py::test_it: X-1 is no clause"),
        (
            [MUST],
            [TESTED._replace(section="3.8.1")],
            "test_it.py::test_it: X-1 is not in RFC 5944 3.8.1",
        ),
        (
            [MUST],
            [TESTED._replace(rfc="7629")],
            "test_it.py::test_it: X-1 is not in RFC 7629 3.8",
        ),
        (
            [MUST._replace(state="not yet")],
            [TESTED],
            "X-1 is not yet there, and test_it.py::test_it tests it",
        ),
    ],
)
def test_what_does_not_fit_is_told(clauses, marks, problem):
    assert problems(clauses, marks) == [problem]


@pytest.mark.parametrize(
    "clause",
    [
        MUST._replace(level="SHOULD"),
        MUST._replace(level="must"),
        MUST._replace(state="not yet"),
        MUST._replace(state="otherwise"),
    ],
)
def test_what_may_go_without_a_test(clause):
    assert problems([clause], []) == []


def test_a_clause_is_held_by_any_of_its_sections():
    assert problems([MUST], [TESTED._replace(section="4.2")]) == []


@pytest.fixture
def file(tmp_path):
    def write(text):
        there = tmp_path / "test_it.py"
        there.write_text(text)
        return list(marks_of(there))

    return write


def test_marks_are_read_from_functions_and_methods(file):
    text = (
        "import pytest\n"
        '@pytest.mark.rfc("5944", "3.8", "X-1")\n'
        '@pytest.mark.rfc("5944", "4.2")\n'
        "def test_it(): pass\n"
        "class TestIt:\n"
        '    @pytest.mark.rfc("5944", "3.8", "X-1", "X-2")\n'
        "    async def test_more(self): pass\n"
    )
    assert file(text) == [
        TESTED,
        Mark("test_it.py::test_it", "5944", "4.2", ()),
        Mark("test_it.py::test_more", "5944", "3.8", ("X-1", "X-2")),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'pytestmark = pytest.mark.rfc("5944", "3.8")',
        '@pytest.mark.rfc("5944")\ndef test_it(): pass',
        '@pytest.mark.rfc(5944, "3.8")\ndef test_it(): pass',
        '@pytest.mark.rfc("5944", SECTION)\ndef test_it(): pass',
        '@pytest.mark.rfc("5944", section="3.8")\ndef test_it(): pass',
        '@pytest.mark.rfc("5944", "3.8")\nclass TestIt: pass',
    ],
)
def test_a_mark_that_would_be_overlooked_is_an_error(file, text):
    with pytest.raises(UnreadableMarkError, match=r"test_it\.py"):
        file(text)


@pytest.mark.parametrize(
    "row",
    [
        'level = "MUST"\nclause = "It is."',
        'section = "1"\nlevel = "MUSTN\'T"\nclause = "It is."',
        'section = "1"\nlevel = "MUST"\nclause = "It is."\nstate = "soon"\nreason = "No time."',
        'section = "1"\nlevel = "MUST"\nclause = "It is."\nstate = "not yet"',
        'section = "1"\nlevel = "MUST"\nclause = "It is."\nreason = "No time."',
        'section = "1"\nlevel = "MUST"\nclause = "It is."\ntests = 3',
    ],
)
def test_a_clause_that_is_not_whole_is_an_error(tmp_path, row):
    there = tmp_path / "clauses.toml"
    there.write_text(f'["5944".X-1]\n{row}\n')
    with pytest.raises((KeyError, ValueError)):
        read_clauses(there)
