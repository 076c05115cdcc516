"""Attaching by TCX and by clsact: one becoming the other, beside others, and what is left."""

import socket
from pathlib import Path

import pytest
from msgspec import structs

from flowbind.dataplane.base import Attach, DataPlaneError
from flowbind.dataplane.ebpf.libbpf import Library
from flowbind.dataplane.ebpf.links import kernel_has_links
from flowbind.dataplane.ebpf.plane import cleanup_ebpf, open_ebpf
from tests.dataplane.foreign import at_clsact, at_tcx, compiled
from tests.dataplane.kernel import attached, pinned, run

pytestmark = pytest.mark.root


@pytest.fixture
def by_links():
    if not kernel_has_links(Library()):
        pytest.skip("this kernel has no TCX")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("foreign"))


def qdiscs():
    return [line for line in run("tc", "qdisc").splitlines() if "clsact" in line]


def test_clsact_becomes_tcx_and_back(home_agent, by_links):
    at = structs.replace(home_agent, attach=Attach.CLSACT)
    open_ebpf(at).close()
    assert attached("wlan0") == ["home_agent_link"]
    assert any("wlan0" in each for each in qdiscs())
    open_ebpf(home_agent).close()
    assert attached("wlan0") == ["home_agent_link"]
    assert attached("mip0", "egress") == ["home_agent_device"]
    open_ebpf(at).close()
    assert attached("wlan0") == ["home_agent_link"]
    assert attached("mip0", "egress") == ["home_agent_device"]
    assert list(Path(home_agent.pin_path, "links").iterdir()) == []
    cleanup_ebpf(home_agent)
    assert qdiscs() == []


def test_a_link_whose_interface_is_gone_is_replaced(home_agent, by_links):
    open_ebpf(home_agent).close()
    links = Path(home_agent.pin_path, "links")
    index = socket.if_nametoindex("wlan0")
    run("ip", "link", "del", "wlan0")
    run("ip", "link", "add", "wlan0", "index", str(index), "type", "veth", "peer", "name", "far0")
    assert attached("wlan0") == []
    open_ebpf(home_agent).close()
    assert attached("wlan0") == ["home_agent_link"]
    run("ip", "link", "del", "wlan0")
    assert (links / f"{index}_ingress").exists()
    open_ebpf(home_agent).close()
    assert not (links / f"{index}_ingress").exists()
    cleanup_ebpf(home_agent)


@pytest.mark.parametrize("attach", Attach)
def test_a_qdisc_that_somebody_else_made_stays(home_agent, attach):
    run("tc", "qdisc", "add", "dev", "wlan0", "clsact")
    before = qdiscs()
    open_ebpf(structs.replace(home_agent, attach=attach)).cleanup()
    assert qdiscs() == before


@pytest.mark.parametrize("attach", Attach)
def test_foreign_programs_stay_beside_ours(home_agent, attach, foreign, by_links):
    with at_tcx(foreign, "wlan0"):
        at_clsact(foreign, "wlan0", "pref", "5")
        open_ebpf(structs.replace(home_agent, attach=attach)).close()
        in_order = {
            Attach.AUTO: ["foreign", "home_agent_link", "foreign"],
            Attach.CLSACT: ["foreign", "home_agent_link", "foreign"],
        }
        assert attached("wlan0") == in_order[attach]
        cleanup_ebpf(home_agent)
        assert attached("wlan0") == ["foreign", "foreign"]


def test_a_foreign_filter_at_our_handle_is_neither_replaced_nor_taken_off(home_agent, foreign):
    at_clsact(foreign, "wlan0", "pref", "1", "handle", "0xfb1")
    by_clsact = structs.replace(home_agent, attach=Attach.CLSACT)
    with pytest.raises(DataPlaneError, match="wlan0: the filter 0xfb1 at tc is foreign: foreign"):
        open_ebpf(by_clsact)
    cleanup_ebpf(by_clsact)
    assert attached("wlan0") == ["foreign"]


def test_a_foreign_pin_among_the_links_is_refused(home_agent, bpf):
    links = Path(home_agent.pin_path, "links")
    links.mkdir(parents=True)
    run("bpftool", "map", "create", str(links / "1_ingress"), "type", "hash",
        "key", "4", "value", "8", "entries", "1", "name", "other")  # fmt: skip
    with pytest.raises(DataPlaneError, match="holds what is not ours: links/1_ingress"):
        open_ebpf(home_agent)
    assert "home-agent/links/1_ingress" in pinned(bpf)
