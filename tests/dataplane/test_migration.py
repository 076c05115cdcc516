"""Maps of another build: what is carried over, what is shared, and that no crash makes a mix."""

import pytest

from flowbind.dataplane.ebpf.plane import cleanup_ebpf, open_ebpf
from tests.dataplane.kernel import attached, pinned, run
from tests.dataplane.nodes import OTHER_HOME, drop, forward, node, path, udp_to
from tests.dataplane.other_build import other_build, start

pytestmark = pytest.mark.root

NODES = (
    node([path(1, weight=7), path(2, label=9, transmit=False)], [drop(**udp_to(53)), forward(2)]),
    node([path(3)], home=OTHER_HOME),
)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return other_build(tmp_path_factory.mktemp("other"))


@pytest.fixture
def held(home_agent):
    """What a home agent of this build has left: two nodes, and something counted."""
    plane = open_ebpf(home_agent)
    plane.reconcile(NODES)
    _count(plane, "drop_loop", 5)
    plane.close()
    return home_agent


def _count(plane, name, amount):
    index = list(plane.statistics()).index(name).to_bytes(4, "little")
    counters = plane._maps["counters_map"]
    values = memoryview(bytearray(counters.lookup(index))).cast("Q")
    values[0] += amount
    counters.update(index, bytes(values))


def map_ids(settings):
    return {name: id_of(settings, name) for name in ("nodes_map", "policies_map", "flows_map")}


def id_of(settings, name):
    return run("bpftool", "map", "show", "pinned", f"{settings.pin_path}/{name}").split(":")[0]


def test_a_build_with_other_layouts_finds_the_nodes_as_they_were(held, other):
    before = map_ids(held)
    assert start(other, held) == NODES
    after = map_ids(held)
    assert after["nodes_map"] != before["nodes_map"]
    assert start(None, held) == NODES
    cleanup_ebpf(held)


def test_maps_of_the_same_layout_are_shared_with_what_is_still_attached(held, other):
    before = map_ids(held)
    start(other, held)
    after = map_ids(held)
    assert (after["policies_map"], after["flows_map"]) == (
        before["policies_map"],
        before["flows_map"],
    )
    cleanup_ebpf(held)


def test_counters_are_carried_over_by_their_names(held, other):
    start(other, held)
    plane = open_ebpf(held)
    counted = plane.statistics()
    assert {name: count for name, count in counted.items() if count} == {"drop_loop": 5}
    plane.cleanup()


def test_nobody_is_warned_of_what_outlives_no_packet(held, other):
    start(other, held)
    plane = open_ebpf(held)
    assert not [each for each in plane.warnings if "forgotten" in each]
    plane.cleanup()


def test_a_map_that_only_one_build_has_comes_and_goes_with_it(held, other, bpf):
    before = pinned(bpf)
    start(other, held)
    assert set(pinned(bpf)) - set(before) == {"home-agent/more_map"}
    start(None, held)
    assert pinned(bpf) == before
    start(other, held)
    cleanup_ebpf(held)
    assert pinned(bpf) == []


@pytest.mark.timeout(600)
def test_a_start_goes_on_from_wherever_one_was_killed(held, other, bpf):
    """One step after the other, by turns in the one direction and in the other."""
    before = pinned(bpf)
    step, completed = 0, 0
    while completed < 2:
        step += 1
        build = (other, None)[step % 2]
        found = start(build, held, killed_at=step)
        completed = 0 if found is None else completed + 1
        assert found in (None, NODES)
        if not step % 5:
            # One that nobody kills, after several that were.
            assert start(build, held) == NODES
    assert step > 20
    assert start(None, held) == NODES
    assert pinned(bpf) == before
    cleanup_ebpf(held)
    assert pinned(bpf) == []


@pytest.mark.timeout(600)
def test_a_first_start_may_be_killed_anywhere_too(home_agent, bpf):
    step, killed = 0, True
    while killed:
        step += 1
        killed = start(None, home_agent, killed_at=step) is None
        assert start(None, home_agent) == ()
        cleanup_ebpf(home_agent)
        assert pinned(bpf) == []
    assert step > 20


def everything(bpf):
    """All of the network namespace and of the BPF file system that a plane may touch."""
    asked = ("addr",), ("route", "show", "table", "all"), ("rule",), ("neigh", "show", "proxy")
    shown = [run("ip", *each) for each in asked] + [run("tc", "qdisc")]
    return [*shown, *pinned(bpf), *(str(attached(name)) for name in ("wlan0", "wwan0"))]


@pytest.mark.parametrize("step", [3, 10, 20, 30])
def test_cleanup_removes_what_a_killed_start_of_another_build_has_left(
    home_agent, other, bpf, step
):
    before = everything(bpf)
    start(other, home_agent, killed_at=step)
    cleanup_ebpf(home_agent)
    assert everything(bpf) == before
