"""docs/match.md says of the match language what the code does."""

import re
from pathlib import Path

import pytest

from flowbind.model.match import (
    MAX_SELECTORS,
    MatchError,
    compile_match,
    describe_selector,
    parse_packet,
)
from flowbind.model.match_words import CODE_POINTS, PROTOCOLS, SERVICES
from flowbind.model.tunnel import MAX_RULES

MANUAL = (Path(__file__).parents[2] / "docs" / "match.md").read_text()


def section(heading):
    return MANUAL.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def table(heading):
    """The rows of the table below a heading, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize(("expression", "cost"), table("What an expression costs"))
def test_an_expression_costs_what_the_manual_says(expression, cost):
    assert len(compile_match(expression.strip("`"))) == int(cost.partition(":")[0])


def test_the_limits_are_those_of_the_manual():
    text = section("What an expression costs")
    assert f"at most {MAX_SELECTORS} selectors" in text
    assert f"at most {MAX_RULES}." in text


@pytest.mark.parametrize(
    "written",
    [expression for _, expression in table("Examples")]
    + [term for terms, _ in table("Terms") for term in terms.split(", ") if term != "..."],
)
def test_every_example_compiles_to_what_check_would_print(written):
    for selector in compile_match(written.strip("`")):
        assert compile_match(describe_selector(selector)) == (selector,)


def test_every_name_is_listed_with_its_number():
    protocols, ports, code_points = section("Names").split("* **")[1:]
    for text, names in ((protocols, PROTOCOLS), (ports, SERVICES)):
        listed = {
            name: int(number)
            for names_of, number in re.findall(r"((?:`[a-z0-9-]+`\s+)+)([0-9]+)", text)
            for name in re.findall(r"`([^`]+)`", names_of)
        }
        assert listed == names
    for name in CODE_POINTS:
        if not name.startswith(("cs", "af")):
            assert f"`{name}` {CODE_POINTS[name]}" in code_points


@pytest.mark.parametrize(
    ("expression", "line"),
    list(
        zip(
            ["tcp prot 80", "net 10.9.0.5/24", "udp remote port 80 port 81"],
            [line for line in section("Errors").splitlines() if line.startswith("mn.toml")],
            strict=True,
        )
    ),
)
def test_an_error_reads_as_in_the_manual(expression, line):
    with pytest.raises(MatchError) as caught:
        compile_match(expression)
    assert line.endswith(f": match: {caught.value}")


@pytest.mark.parametrize("packet", re.findall(r'flowbind explain "(.*)"', section("Packets")))
def test_every_packet_can_be_read(packet):
    assert parse_packet(packet).protocol
