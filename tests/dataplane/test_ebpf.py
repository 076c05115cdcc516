"""The plane in the kernel: what it makes, adopts, refuses and removes."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from flowbind.dataplane.base import Attach, DataPlaneError, Reconciliation
from flowbind.dataplane.ebpf.plane import (
    EbpfDataPlane,
    cleanup_ebpf,
    open_ebpf,
)
from flowbind.dataplane.netlink import Device
from tests.dataplane.kernel import attached, attached_numbers, pinned, run
from tests.dataplane.nodes import HOME, OTHER_HOME, drop, forward, node, path, udp_to

pytestmark = pytest.mark.root

EVERYWHERE = ("route", "show", "table", "all")
MAPS = [
    "counters_map",
    "flows6_map",
    "flows_map",
    "fragments6_map",
    "fragments_map",
    "nodes_map",
    "packet6_map",
    "policies6_map",
    "policies_map",
    "prefixes_map",
    "settings_map",
]


def state():
    """Everything of the network namespace that a plane may touch."""
    shown = [run("ip", "-br", "link"), run("ip", "addr", "show", "scope", "global")]
    shown += [run("ip", *EVERYWHERE), run("ip", "rule"), run("tc", "qdisc")]
    shown += [run("tc", "filter", "show", "dev", name, "ingress") for name in ("wlan0", "wwan0")]
    shown += [str(attached(name)) for name in ("wlan0", "wwan0")]
    return "\n".join(shown)


@pytest.fixture(params=list(Attach))
def attach(request):
    """By TCX, if this kernel has it, and by filters at clsact."""
    return request.param


@pytest.fixture
def home_agent(home_agent, attach):
    return structs.replace(home_agent, attach=attach)


@pytest.fixture
def mobile_node(mobile_node, attach):
    return structs.replace(mobile_node, attach=attach)


def test_the_home_agent_attaches_everywhere_and_routes_its_networks(home_agent):
    plane = open_ebpf(structs.replace(home_agent, shortcut=False))
    assert attached("wlan0") == attached("far1") == ["home_agent_link"]
    assert attached("mip0", "egress") == ["home_agent_device"]
    assert "10.9.0.0/24" in run("ip", "route", "show", "dev", "mip0")
    assert "mtu 1476" in run("ip", "link", "show", "mip0")
    assert plane.warnings == []
    plane.cleanup()


def test_the_home_agent_attaches_where_it_is_told_and_nowhere_else(home_agent):
    open_ebpf(home_agent).close()
    plane = open_ebpf(structs.replace(home_agent, interfaces=("wwan0",)))
    assert attached("wlan0") == []
    assert attached("wwan0") == ["home_agent_link"]
    plane.cleanup()


def test_the_mobile_node_attaches_where_its_paths_are(mobile_node):
    plane = open_ebpf(mobile_node)
    assert attached("wlan0") == []
    plane.program(node([path(1, interface="wlan0")]))
    assert attached("wlan0") == ["mobile_node_link"]
    if "clsact" in run("tc", "qdisc", "show", "dev", "wlan0"):
        run("tc", "qdisc", "del", "dev", "wlan0", "clsact")
    plane.program(node([path(1, interface="wlan0")]))
    assert attached("wlan0") == ["mobile_node_link"]
    plane.cleanup()


def test_the_mobile_node_routes_from_its_home_address(mobile_node):
    plane = open_ebpf(structs.replace(mobile_node, default_route=True))
    assert "10.9.0.5/32" in run("ip", "addr", "show", "mip0")
    assert "from 10.9.0.5 lookup 434" in run("ip", "rule")
    assert "default dev mip0" in run("ip", "route", "show", "table", "434")
    assert "default dev mip0 proto static src 10.9.0.5 metric 1" in run("ip", "route")
    plane.cleanup()


def test_the_mobile_node_takes_the_home_address_that_it_forwards_for(mobile_node):
    plane = open_ebpf(structs.replace(mobile_node, home_address=None, default_route=True))
    assert "default" not in run("ip", "route")
    for home_address, former in ((HOME, OTHER_HOME), (OTHER_HOME, HOME)):
        plane.remove(former)
        plane.program(node([path(1, interface="wlan0")], home=home_address))
        shown = run("ip", "addr", "show", "mip0") + run("ip", "rule") + run("ip", "route")
        assert f"{home_address}/32" in shown
        assert f"from {home_address} lookup 434" in shown
        assert f"default dev mip0 proto static src {home_address} metric 1" in shown
        assert str(former) not in shown
        assert "default dev mip0" in run("ip", "route", "show", "table", "434")
    plane.cleanup()


def test_what_the_configuration_no_longer_says_goes(mobile_node):
    open_ebpf(structs.replace(mobile_node, default_route=True)).close()
    plane = open_ebpf(structs.replace(mobile_node, home_address=OTHER_HOME, mtu=1400))
    assert "default" not in run("ip", "route")
    assert "10.9.0.6/32" in run("ip", "addr", "show", "mip0")
    assert "10.9.0.5" not in run("ip", "addr", "show", "mip0") + run("ip", "rule")
    assert "mtu 1376" in run("ip", "link", "show", "mip0")
    plane.cleanup()


@pytest.mark.parametrize("role", ["home_agent", "mobile_node"])
@pytest.mark.usefixtures("attach")
def test_cleanup_leaves_nothing_behind(role, bpf, request):
    settings = structs.replace(request.getfixturevalue(role), default_route=True)
    before = state()
    plane = open_ebpf(settings)
    plane.program(node([path(1, interface="wlan0"), path(2)], [drop()]))
    assert state() != before
    plane.cleanup()
    assert state() == before
    assert pinned(bpf) == []


def test_cleanup_after_the_daemon_is_gone(mobile_node, bpf):
    before = state()
    plane = open_ebpf(mobile_node)
    plane.program(node([path(1, interface="wlan0")]))
    plane.close()
    cleanup_ebpf(mobile_node)
    assert state() == before
    assert pinned(bpf) == []
    cleanup_ebpf(mobile_node)
    assert state() == before


def test_cleanup_of_a_living_plane_is_refused(mobile_node):
    plane = open_ebpf(mobile_node)
    with pytest.raises(DataPlaneError, match="in use by another"):
        cleanup_ebpf(mobile_node)
    with pytest.raises(DataPlaneError, match="device mip0: in use by another process"):
        cleanup_ebpf(structs.replace(mobile_node, pin_path=mobile_node.pin_path + "-else"))
    plane.cleanup()


def test_both_roles_beside_each_other(home_agent, mobile_node):
    node_plane = open_ebpf(mobile_node)
    node_plane.program(node([path(1, interface="wlan0")]))
    alone = state()
    agent_plane = open_ebpf(structs.replace(home_agent, device="mip1"))
    assert sorted(attached("wlan0")) == ["home_agent_link", "mobile_node_link"]
    agent_plane.cleanup()
    assert state() == alone
    node_plane.cleanup()


def test_two_mobile_nodes_do_not_share_a_routing_table(mobile_node, bpf):
    plane = open_ebpf(mobile_node)
    before = state()
    second = structs.replace(
        mobile_node, device="mip1", pin_path=str(bpf / "second"), home_address=OTHER_HOME
    )
    with pytest.raises(DataPlaneError, match=r"434 holds a route that is not ours: .* to mip0"):
        open_ebpf(second)
    assert state() == before
    plane.cleanup()


def test_a_second_start_adopts_what_is_there(mobile_node):
    first = open_ebpf(mobile_node)
    programmed = node([path(1, interface="wlan0")], [drop(**udp_to(53))])
    first.program(programmed)
    first.close()
    second = open_ebpf(mobile_node)
    assert second.nodes() == (programmed,)
    assert second.reconcile([programmed]) == Reconciliation(1, 0, 0, 0)
    second.cleanup()


def test_a_second_start_puts_its_own_programs_in_place(mobile_node):
    first = open_ebpf(mobile_node)
    first.program(node([path(1, interface="wlan0")]))
    before = attached_numbers("wlan0")
    first.close()
    second = open_ebpf(mobile_node)
    assert attached_numbers("wlan0") != before
    assert attached("wlan0") == ["mobile_node_link"]
    second.cleanup()


def test_a_second_start_while_the_first_lives_is_refused(mobile_node):
    first = open_ebpf(mobile_node)
    before = state()
    with pytest.raises(DataPlaneError, match="mobile-node is in use by another daemon"):
        open_ebpf(mobile_node)
    with pytest.raises(DataPlaneError, match="device mip0: in use by another process"):
        open_ebpf(structs.replace(mobile_node, pin_path=mobile_node.pin_path + "-else"))
    assert state() == before
    first.cleanup()


def test_what_is_not_ours_at_the_pin_path_is_refused(home_agent, bpf):
    (bpf / "home-agent" / "cilium").mkdir(parents=True)
    before = state()
    with pytest.raises(DataPlaneError, match="home-agent holds what is not ours: cilium"):
        open_ebpf(home_agent)
    assert state() == before
    (bpf / "home-agent" / "cilium").rmdir()


def test_a_pin_path_elsewhere_is_refused(home_agent, tmp_path):
    settings = structs.replace(home_agent, pin_path=str(tmp_path / "deep" / "pins"))
    with pytest.raises(DataPlaneError, match=r"pins is not on a BPF file system \(mount -t bpf"):
        open_ebpf(settings)
    assert not (tmp_path / "deep" / "pins").exists()


def test_a_map_of_our_name_that_is_not_ours_is_refused_and_stays(home_agent, bpf):
    (bpf / "home-agent").mkdir()
    run("bpftool", "map", "create", str(bpf / "home-agent" / "nodes_map"), "type", "hash",
        "key", "4", "value", "8", "entries", "1", "name", "nodes_map")  # fmt: skip
    before = state()
    for attempt in (open_ebpf, cleanup_ebpf):
        with pytest.raises(DataPlaneError, match="home-agent holds what is not ours: nodes_map"):
            attempt(home_agent)
    assert state() == before
    assert pinned(bpf) == ["home-agent", "home-agent/nodes_map"]


def test_an_interface_that_is_not_there_is_named(home_agent, bpf):
    before = state()
    with pytest.raises(DataPlaneError, match="there is no interface eth9"):
        open_ebpf(structs.replace(home_agent, interfaces=("wlan0", "eth9")))
    assert state() == before
    assert pinned(bpf) == []


def test_an_interface_of_our_name_that_is_not_ours_is_left_alone(home_agent, bpf):
    run("ip", "link", "add", "mip0", "type", "veth", "peer", "name", "mip1")
    before = state()
    with pytest.raises(DataPlaneError, match="mip0: there is an interface of this name"):
        open_ebpf(home_agent)
    assert state() == before
    assert pinned(bpf) == []


def test_a_foreign_route_is_refused_and_stays(home_agent, bpf):
    run("ip", "addr", "add", "10.9.0.1/24", "dev", "wlan0")
    before = state()
    with pytest.raises(DataPlaneError, match=r"there is a route to 10.9.0.0/24 already"):
        open_ebpf(home_agent)
    assert state().replace("qdisc clsact ffff: dev wlan0", "") == before
    assert pinned(bpf) == []


def test_a_device_name_that_is_too_long_is_refused(home_agent):
    with pytest.raises(DataPlaneError, match="longer than 15 octets"):
        open_ebpf(structs.replace(home_agent, device="a-device-name-of-20"))


def test_a_host_that_forwards_nothing_is_warned_about(home_agent):
    run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    plane = open_ebpf(home_agent)
    assert plane.warnings == ["net.ipv4.ip_forward is 0: this host forwards no packets"]
    plane.cleanup()


def test_a_path_over_an_interface_that_is_gone_sends_nothing(mobile_node):
    plane = open_ebpf(mobile_node)
    programmed = node(
        [path(1, interface="wlan0"), path(2, interface="gone0")], [forward(2, 1, **udp_to(53))]
    )
    plane.program(programmed)
    (read,) = plane.nodes()
    assert read.paths == (
        path(1, interface="wlan0"),
        path(2, interface=None, transmit=False),
    )
    run("ip", "link", "add", "gone0", "type", "veth", "peer", "name", "far2")
    assert plane.reconcile([programmed]) == Reconciliation(0, 1, 0, 0)
    assert plane.nodes() == (programmed,)
    assert attached("gone0") == ["mobile_node_link"]
    plane.cleanup()


def test_an_interface_that_vanished_later_does_not_read_as_it_was(mobile_node):
    run("ip", "link", "add", "gone0", "type", "veth", "peer", "name", "far2")
    plane = open_ebpf(mobile_node)
    programmed = node([path(1, interface="gone0")])
    plane.program(programmed)
    run("ip", "link", "del", "gone0")
    assert plane.nodes() != (programmed,)
    plane.remove(HOME)
    plane.cleanup()


@pytest.mark.parametrize("ours_first", [True, False])
def test_foreign_filters_stay_beside_ours(mobile_node, ours_first):
    plane = open_ebpf(mobile_node)
    if ours_first:
        plane.program(node([path(1, interface="wlan0")]))
    run("tc", "qdisc", "replace", "dev", "wlan0", "clsact")
    run("tc", "filter", "add", "dev", "wlan0", "ingress", "pref", "10", "protocol", "ip",
        "u32", "match", "u32", "0", "0", "flowid", "1:1")  # fmt: skip
    plane.program(node([path(1, interface="wlan0")]))
    assert attached("wlan0") == ["mobile_node_link"]
    plane.cleanup()
    shown = run("tc", "filter", "show", "dev", "wlan0", "ingress")
    assert "u32" in shown
    assert "bpf" not in shown


def test_a_link_without_ethernet_headers_takes_the_other_program(home_agent):
    raw = Device("raw0")
    open_ebpf(structs.replace(home_agent, interfaces=("wlan0", "raw0"))).close()
    assert attached("raw0") == ["home_agent_raw"]
    assert attached("wlan0") == ["home_agent_link"]
    cleanup_ebpf(home_agent)
    assert attached("raw0") == []
    raw.remove()


def test_opens_and_cleans_up_within_a_running_event_loop(home_agent, bpf):
    async def within():
        plane = open_ebpf(home_agent)
        plane.program(node([path(1)]))
        plane.cleanup()

    asyncio.run(within())
    assert pinned(bpf) == []


def test_pins_everything_that_outlives_the_daemon(home_agent, bpf):
    plane = open_ebpf(home_agent)
    held = {Path(name).name for name in pinned(bpf)}
    assert set(MAPS) <= held
    assert not {"filling", "filled"} & held
    plane.cleanup()


def test_counts_from_zero_under_every_name(home_agent):
    plane = open_ebpf(home_agent)
    statistics = plane.statistics()
    assert set(statistics.values()) == {0}
    assert statistics.keys() > {"encapsulated_packets", "echo_answered", "drop_by_rule"}
    plane.cleanup()


def test_without_root_it_says_so(monkeypatch, home_agent):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(DataPlaneError, match="needs root"):
        open_ebpf(home_agent)


def test_without_the_object_it_names_the_command(monkeypatch, home_agent, tmp_path, bpf):
    before = state()
    monkeypatch.setattr("flowbind.dataplane.ebpf.plane.OBJECT", tmp_path / "missing.o")
    with pytest.raises(DataPlaneError, match=r"missing.o is missing: build it with `make bpf`"):
        open_ebpf(home_agent)
    assert state() == before
    assert pinned(bpf) == []


def test_many_nodes_are_read_back(home_agent):
    plane = open_ebpf(home_agent)
    many = [node([path(1)], home=HOME + offset) for offset in range(3000)]
    assert plane.reconcile(many).added == 3000
    assert plane.nodes() == tuple(many)
    assert plane.reconcile(many) == Reconciliation(3000, 0, 0, 0)
    plane.cleanup()


def test_a_node_that_returns_meets_no_flow_of_its_earlier_life(home_agent):
    plane = open_ebpf(home_agent)
    generations = set[int]()
    for _ in range(3):
        plane.program(node([path(1)]))
        generations.add(_generation(plane))
        plane.remove(HOME)
    assert len(generations) == 3
    plane.cleanup()


def test_a_policy_in_force_is_not_written_over(home_agent):
    plane = open_ebpf(home_agent)
    policies = plane._maps["policies_map"]
    plane.program(node([path(1)], [drop()]))
    ((key, in_force),) = policies.items()
    plane.program(node([path(1)], [forward(1)]))
    assert policies.lookup(key) == in_force
    assert len(list(policies.items())) == 2
    plane.cleanup()


def _generation(plane: EbpfDataPlane) -> int:
    held = plane._node(HOME)
    assert held is not None
    return int(held.generation)


def test_a_node_that_takes_less_has_a_route_of_its_own(home_agent):
    run("ip", "addr", "add", "192.0.2.254/24", "dev", "wlan0")
    run("ip", "link", "set", "wlan0", "mtu", "1400")
    plane = open_ebpf(home_agent)
    plane.program(node([path(1)]))
    assert plane.mtu(HOME) == 1376
    assert "10.9.0.5 proto static mtu lock 1376" in run("ip", "route", "show", "dev", "mip0")
    plane.close()
    run("ip", "link", "set", "wlan0", "mtu", "1500")
    plane = open_ebpf(home_agent)
    assert "10.9.0.5 proto static mtu lock 1376" in run("ip", "route", "show", "dev", "mip0")
    assert tuple(plane.measure()) == (HOME,)
    assert plane.mtu(HOME) == 1476
    assert "10.9.0.5" not in run("ip", "route", "show", "dev", "mip0")
    run("ip", "link", "set", "wlan0", "mtu", "1300")
    assert tuple(plane.measure()) == (HOME,)
    assert "mtu lock 1276" in run("ip", "route", "show", "dev", "mip0")
    plane.remove(HOME)
    assert "10.9.0.5" not in run("ip", "route", "show", "dev", "mip0")
    plane.cleanup()


def test_a_route_on_the_way_may_take_less_than_its_interface(home_agent):
    run("ip", "addr", "add", "192.0.2.254/24", "dev", "wlan0")
    run("ip", "route", "add", "192.0.2.1", "dev", "wlan0", "mtu", "1300")
    plane = open_ebpf(home_agent)
    plane.program(node([path(1), path(2)]))
    assert plane.mtu(HOME) == 1276
    plane.program(node([path(1, transmit=False), path(2)]))
    assert plane.mtu(HOME) == 1476
    plane.cleanup()


def test_the_device_of_a_mobile_node_takes_what_all_its_paths_take(mobile_node):
    run("ip", "link", "set", "wwan0", "mtu", "1300")
    plane = open_ebpf(mobile_node)
    both = node([path(1, interface="wlan0"), path(2, interface="wwan0")])
    plane.program(both)
    assert "mtu 1276" in run("ip", "link", "show", "mip0")
    plane.close()
    plane = open_ebpf(mobile_node)
    assert "mtu 1276" in run("ip", "link", "show", "mip0")
    plane.program(node([path(1, interface="wlan0")]))
    assert "mtu 1476" in run("ip", "link", "show", "mip0")
    plane.cleanup()


def test_no_link_is_taken_to_be_larger_than_configured(home_agent):
    run("ip", "addr", "add", "192.0.2.254/24", "dev", "wlan0")
    run("ip", "link", "set", "wlan0", "mtu", "9000")
    for mtu, inner in ((1500, 1476), (9000, 8976)):
        plane = open_ebpf(structs.replace(home_agent, mtu=mtu))
        plane.program(node([path(1)]))
        assert f"mtu {inner}" in run("ip", "link", "show", "mip0")
        assert plane.mtu(HOME) == inner
        plane.cleanup()
