import json
import os
import subprocess
import sys

import pytest

from bench import run


@pytest.mark.root
def test_packets_keep_flowing_while_the_daemon_with_many_bindings_starts_again(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    kept = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench.run", "--quick", "--json", str(kept)]
    subprocess.run([*command, "--store", str(tmp_path), "restart"], cwd=run.ROOT, check=True)
    section = json.loads(kept.read_text())["sections"][0]
    found = {each["what"]: each["median"] for each in section["figures"]}
    assert found["packets through a tunnel meanwhile"] > 100
    assert found["lost of these"] == 0
    assert found["resident beyond that"] > 100
