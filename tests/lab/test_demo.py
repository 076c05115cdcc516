"""The whole story, as `make demo` plays it."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from flowbind.lab import topology
from flowbind.lab.story import PHASES

COMMAND = [sys.executable, "-c", "from flowbind.cli.main import main; main()", "lab", "demo"]


@pytest.mark.root
@pytest.mark.timeout(400)
def test_every_phase_holds_and_nothing_is_left(tmp_path):
    page, capture = tmp_path / "demo.html", tmp_path / "signalling.pcap"
    done = subprocess.run(
        [*COMMAND, "--json", "--html", str(page), "--pcap", str(capture)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    assert story["ok"] is True
    assert [phase["name"] for phase in story["phases"]] == [name for name, _ in PHASES]
    for phase in story["phases"]:
        assert phase["ok"] is True
        for flow in phase["flows"]:
            assert flow.keys() >= {"name", "expected", "observed", "sent", "lost"}
            assert flow["observed"].keys() == {"wlan", "lte", "cdma"}
    ET.fromstring(page.read_text().removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - our own page
    assert capture.stat().st_size > 1000
    assert topology.present() == ()
    assert not topology.RUN_DIRECTORY.exists()
