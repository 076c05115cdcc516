"""docs/operations.md explains every counter that `flowbind status` can print."""

import re

from flowbind.dataplane.ebpf import layout
from tests.docs.documents import ROOT

MANUAL = (ROOT / "docs" / "operations.md").read_text()
SOURCE = ROOT / "src" / "flowbind"


def explained():
    rows = re.findall(r"^\| ((?:`[a-z0-9_-]+`(?:, )?)+)", MANUAL, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def reasons(*directories, error):
    """The names that errors of this kind are raised with."""
    pattern = re.compile(rf"\b{error}\(\s*f?\"([a-z0-9-]+)\"")
    found = set()
    for directory in directories:
        for file in (SOURCE / directory).rglob("*.py"):
            found |= set(pattern.findall(file.read_text()))
    return found


def test_the_counters_of_the_data_plane():
    assert set(layout.COUNTERS) <= explained()


def test_the_counters_of_the_engines():
    counted = set()
    for file in (SOURCE / "engine").rglob("*.py"):
        for found in re.finditer(r"statistics\[(.+?)\] \+=", file.read_text()):
            names = re.findall(r"(?<!f)\"([a-z_-]+)\"", found[1])
            # The manual has a table of reasons below each of these two.
            counted |= {re.sub("^(refused|discarded)_", "", name) for name in names}
    assert len(counted) >= 6
    assert counted <= explained()


def test_the_reasons_of_refusals():
    raised = reasons("engine", error="Refused")
    raised |= reasons("auth", error="ReplayError") | reasons("auth", error="AuthenticationError")
    raised |= reasons("wire", error="WireError") | reasons("wire", error="_malformed")
    assert len(raised) >= 30
    assert raised <= explained()
