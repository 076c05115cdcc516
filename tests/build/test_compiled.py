"""The modules that can be compiled: here as source, by `make test-compiled` as what mypyc made."""

import ast
import importlib
import os
import re
import runpy
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import pytest

from flowbind.frozen import Frozen, Sparse
from flowbind.model.encoding import to_json
from flowbind.wire.traffic_selector import Span, TrafficSelector

ROOT = Path(__file__).parent.parent.parent
COMPILED = os.environ.get("FLOWBIND_COMPILED") == "1"


@pytest.fixture
def sources(monkeypatch) -> list[Path]:
    monkeypatch.chdir(ROOT)
    found = runpy.run_path("setup.py")["modules"]()
    assert len(found) > 10
    return [Path(each) for each in found]


def imported(source: Path) -> ModuleType:
    return importlib.import_module(".".join(source.relative_to("src").with_suffix("").parts))


def test_the_modules_are_imported_in_the_form_that_is_to_be_tested(sources):
    for source in sources:
        file = imported(source).__file__ or ""
        assert file.endswith(tuple(EXTENSION_SUFFIXES)) == COMPILED, file


def test_no_keyword_of_a_class_is_lost_when_it_is_compiled(sources):
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ClassDef) and node.keywords:
                names = {each.id for each in node.bases if isinstance(each, ast.Name)}
                assert names <= {"Frozen", "Sparse"}, f"{source}: {node.name} has other bases"


def test_all_data_is_frozen(sources):
    for source in sources:
        for each in vars(imported(source)).values():
            if isinstance(each, type) and issubclass(each, Frozen | Sparse):
                assert each.__struct_config__.frozen, each


def test_what_has_its_default_is_not_encoded():
    assert to_json(TrafficSelector(protocol=Span(6))) == b'{"protocol":{"start":6}}'


def test_a_simulated_run_goes_the_same_way_with_the_source():
    """By `make test-compiled` once compiled and once not; else twice the same."""
    source = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    assert hash_of_a_run(dict(os.environ)) == hash_of_a_run(source)


def hash_of_a_run(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.run", "--seed", "3", "--hours", "0.1"],
        cwd=ROOT,
        env=environment | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"hash (\w+)", done.stdout)
    assert found, done.stdout
    return found[1]
