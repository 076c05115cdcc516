"""Packets at hooks where programs change, and where there are others beside ours."""

from ipaddress import IPv4Address

import pytest

from flowbind.dataplane.base import Attach
from flowbind.dataplane.ebpf.libbpf import Library
from flowbind.dataplane.ebpf.links import kernel_has_links
from tests.dataplane.foreign import DROPS, PASSES_ON, at_clsact, at_tcx, compiled
from tests.dataplane.kernel import run
from tests.netns.hosts import CORRESPONDENT, HOME, Ping, inside, node_at, ping

pytestmark = pytest.mark.root

AGENT_AT_CORRESPONDENT = IPv4Address("203.0.113.1")


@pytest.fixture
def by_links():
    if not kernel_has_links(Library()):
        pytest.skip("this kernel has no TCX")


def test_one_way_to_attach_becomes_the_other_under_way(tunnels, by_links):
    """No packet is lost, and none goes through both: each is counted once."""
    ends = tunnels()
    for each in ends:
        # The kernel loses packets when it makes the qdisc, so that is done before.
        each.reopen(attach=Attach.CLSACT)
    names = ("encapsulated_packets", "decapsulated_packets")
    before = [each.counted(name) for each in ends for name in names]
    under_way = [Ping("cn", CORRESPONDENT, HOME, 200), Ping("mn", HOME, CORRESPONDENT, 200)]
    changed = 0
    while any(each.running() for each in under_way):
        for each in ends:
            each.reopen(attach=(Attach.AUTO, Attach.CLSACT)[changed % 2])
        changed += 1
    assert [each.lost() for each in under_way] == [0, 0]
    after = [each.counted(name) for each in ends for name in names]
    assert [new - old for old, new in zip(before, after, strict=True)] == [400] * 4
    assert changed > 2


@pytest.fixture(params=["tcx", "clsact"])
def attach_foreign(request, tmp_path):
    """Attach a program of somebody else at the home agent's link to the correspondent."""
    if request.param == "tcx":
        request.getfixturevalue("by_links")

    def attach(verdict):
        foreign = compiled(tmp_path, verdict)
        if request.param == "clsact":
            at_clsact(foreign, "cn0", "pref", "5")
        else:
            context = at_tcx(foreign, "cn0")
            context.__enter__()
            request.addfinalizer(lambda: context.__exit__(None, None, None))

    yield attach
    with inside("ha"):
        if "clsact" in run("tc", "qdisc", "show", "dev", "cn0"):
            run("tc", "qdisc", "del", "dev", "cn0", "clsact")


@pytest.mark.parametrize("attach", Attach)
def test_what_another_program_passes_on_comes_to_ours(end, attach, attach_foreign):
    with inside("ha"):
        attach_foreign(PASSES_ON)
    for each in (end("ha", attach=attach), end("mn", attach=attach)):
        each.program(node_at(each.host))
    assert ping("cn", CORRESPONDENT, HOME)
    assert ping("cn", CORRESPONDENT, AGENT_AT_CORRESPONDENT)


def test_what_ours_passes_on_comes_to_another_program(tunnels, attach_foreign):
    """Which drops it here; what goes into a tunnel it never sees."""
    tunnels()
    assert ping("cn", CORRESPONDENT, AGENT_AT_CORRESPONDENT)
    with inside("ha"):
        attach_foreign(DROPS)
    assert ping("cn", CORRESPONDENT, HOME)
    assert Ping("cn", CORRESPONDENT, AGENT_AT_CORRESPONDENT, 3).lost() == 3
