"""What `make mutate` says is equivalent is just that change, of a function that there is."""

import importlib
import tomllib
from functools import reduce

import pytest

from mutation.run import ROOT, Change, Equivalent, Mutant, equivalents, report, untried

BIG = Equivalent("*", ', "big")', ", )")
TWO = 'a.to_bytes(2, "big") + b.to_bytes(4, "big")'


@pytest.mark.parametrize(
    ("function", "added", "covered"),
    [
        ("wire.x.f", 'a.to_bytes(2, ) + b.to_bytes(4, "big")', True),
        ("wire.x.f", 'a.to_bytes(2, "big") + b.to_bytes(4, )', True),
        ("wire.x.f", "a.to_bytes(2, ) + b.to_bytes(4, )", False),
        ("wire.x.f", 'a.to_bytes(3, ) + b.to_bytes(4, "big")', False),
        ("wire.x.f", TWO, False),
    ],
)
def test_a_change_is_covered_if_it_is_that_one_alone(function, added, covered):
    assert BIG.covers(Change(function, TWO, added)) is covered
    assert not BIG._replace(function="wire.y.f").covers(Change(function, TWO, added))


@pytest.mark.parametrize(
    ("name", "function", "module"),
    [
        ("flowbind.wire.extension.x__frames__mutmut_3", "wire.extension._frames",
         "wire/extension.py"),
        ("flowbind.wire.nai.xǁNetworkAccessIdentifierǁdecode__mutmut_12",
         "wire.nai.NetworkAccessIdentifier.decode", "wire/nai.py"),
        ("flowbind.auth.association.xǁSecurityAssociationǁ__repr____mutmut_1",
         "auth.association.SecurityAssociation.__repr__", "auth/association.py"),
    ],
)  # fmt: skip
def test_a_mutant_names_its_function(name, function, module):
    mutant = Mutant(name, "killed")

    assert (mutant.function, mutant.module) == (function, module)


def test_what_is_equivalent_is_in_a_function_that_there_is():
    rows = tomllib.loads((ROOT / "mutation" / "equivalent.toml").read_text())
    assert all(row["why"] for row in rows["equivalent"])
    named = {row.function for row in equivalents()} - {"*"} | untried()

    for function in named:
        package, module, *path = function.split(".")
        reduce(getattr, path, importlib.import_module(f"flowbind.{package}.{module}"))


def test_the_score_is_of_what_makes_a_difference(monkeypatch, capsys):
    changes = {
        "flowbind.wire.x.x_f__mutmut_1": Change(
            "wire.x.f", TWO, 'a.to_bytes(2, ) + b.to_bytes(4, "big")'
        ),
        "flowbind.wire.x.x_f__mutmut_2": Change("wire.x.f", "return 1", "return 2"),
    }
    monkeypatch.setattr("mutation.run.change_of", lambda mutant: changes[mutant.name])
    monkeypatch.setattr("mutation.run.equivalents", lambda: [BIG])
    mutants = [
        Mutant("flowbind.wire.x.x_f__mutmut_1", "survived"),
        Mutant("flowbind.wire.x.x_f__mutmut_2", "no tests"),
        Mutant("flowbind.wire.x.x_f__mutmut_3", "killed"),
        Mutant("flowbind.wire.x.x_f__mutmut_4", "timeout"),
    ]

    assert report(mutants, whole=True) == 1
    said = capsys.readouterr().out
    assert "3 changes,     2 seen by a test:  66.7 %" in said
    assert said.endswith("\nno tests: wire.x.f\n  - return 1\n  + return 2\n")

    assert report(mutants[2:], whole=True) == 1
    assert "in equivalent.toml, and no mutant: *" in capsys.readouterr().out
    assert report(mutants[2:], whole=False) == 0
