"""Each part of `make bench-dataplane` for a moment, in real namespaces."""

import json
import os
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from bench import forwarder, run, sender, tunnels
from bench.peer_programs import PEERS
from flowbind.dataplane.base import Role
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import MAX_RULES

root = pytest.mark.root


def test_every_tunnel_of_the_model_is_measured():
    ends = [forwarder.tunnels(role) for role in Role]
    assert list(ends[0]) == list(ends[1]) == list(tunnels.KINDS)
    assert {"gre-key", "udp-gre-key"} <= set(tunnels.KINDS)
    for each in Encapsulation:
        assert {path.in_udp for path in ends[0].values() if path.encapsulation is each} == {
            False,
            True,
        }


def test_the_last_of_the_rules_matches_whatever_is_sent():
    assert forwarder.rules(0) == ()
    *others, last = forwarder.rules(MAX_RULES)
    ports = [sender.SOURCE_PORT + at for at in range(sender.SOCKETS)]
    assert len(others) == MAX_RULES - 1
    unused = [each.selector.source_port for each in others]
    assert not any(span is None or span.contains(port) for span in unused for port in ports)
    assert last.selector.source_port
    assert all(last.selector.source_port.contains(port) for port in ports)


def _measured(tmp_path, *arguments: str) -> dict[str, dict]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    kept, drawn = tmp_path / "figures.json", tmp_path / "figures.svg"
    command = [sys.executable, "-m", "bench.run", "--quick", "--store", str(tmp_path)]
    more = ["--json", str(kept), "--plot", str(drawn), *arguments]
    subprocess.run([*command, *more], cwd=run.ROOT, check=True)
    (section,) = json.loads(kept.read_text())["sections"]
    bars = ElementTree.parse(drawn).findall(".//{*}rect[@class='met']")  # noqa: S314 -- our own
    bars += ElementTree.parse(drawn).findall(".//{*}rect[@class='missed']")  # noqa: S314
    wanted = [each for each in section["figures"] if each["threshold"]]
    assert len(bars) == len(wanted) > 0
    assert {path.name for path in tmp_path.iterdir()} == {kept.name, drawn.name}
    return {each["what"]: each for each in section["figures"]}


@root
def test_tunnels(tmp_path):
    found = _measured(tmp_path, "tunnels")
    assert len(found) == 4 * len(tunnels.KINDS)
    assert all(each["median"] > 0 and each["ratio"] > 0 for each in found.values())


@root
def test_peers(tmp_path):
    missing = [
        each for each in ("openvpn", "tincd", "wireguard-go", "wg") if not shutil.which(each)
    ]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: tools/install peers")
    found = _measured(tmp_path, "peers")
    assert len(found) == len(PEERS)
    assert all(each["reference"] > 0 for each in found.values())


@root
def test_rules(tmp_path):
    found = _measured(tmp_path, "rules")
    cached, first = found["cached flow, the program"], found["first packet, the program"]
    # A first packet goes through all rules, one of a cached flow through none.
    assert first["median"] > cached["median"] > 0
    assert first["ratio"] > 1


@root
def test_many_nodes(tmp_path):
    found = _measured(tmp_path, "nodes")
    assert all(found[what]["median"] > 1 for what in ("to one of them", "to all in turn"))
    assert found["installing them"]["median"] > 0


@root
def test_links_add_up(tmp_path):
    found = _measured(tmp_path, "aggregate")
    assert len(found) == 4
    for what, each in found.items():
        # All of three links is more than the best; what is wanted exactly is for `make bench`.
        assert each["median"] > (55 if "all links" in what else 35)
        assert each["median"] < 100


@root
def test_no_packet_is_lost_by_an_upgrade(tmp_path):
    found = _measured(tmp_path, "upgrade")
    assert found["packets lost, all rounds"]["median"] == 0
    assert found["packets sent, all rounds"]["median"] > 1000
