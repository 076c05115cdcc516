import json
import os
import subprocess
import sys

import pytest

from bench import forger, mobile_nodes, run
from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import AuthenticationError, verify
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import decode


def test_what_is_forged_has_a_good_form_and_a_wrong_authenticator():
    for node, payload in enumerate(forger.forged(20)):
        association = SecurityAssociation(mobile_nodes.SPI, mobile_nodes.key(node))
        assert decode(payload).home_address.packed == mobile_nodes.home_address(node)
        with pytest.raises(AuthenticationError, match="authenticator-wrong"):
            verify(payload, ExtensionType.MOBILE_HOME_AUTHENTICATION, association)


@pytest.mark.root
def test_nodes_are_served_while_forged_requests_arrive(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    kept = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench.run", "--quick", "--json", str(kept)]
    subprocess.run([*command, "--store", str(tmp_path), "flood"], cwd=run.ROOT, check=True)
    section = json.loads(kept.read_text())["sections"][0]
    found = {each["what"]: each for each in section["figures"]}
    assert found["renewals in the flood"]["median"] > 0
    assert found["renewals in the flood"]["reference"] > 0
    assert found["forged requests that arrived"]["median"] > 1000
