"""The story of RFC 7629 section 3 (figure 3, continued), in eight phases.

Each phase does something to the network or to a daemon and says what must come of it. Which path a
packet took is told by the access routers, what was lost by the two ends of the traffic.
"""

import time
from collections.abc import Callable

from flowbind.control.messages import (
    Bindings,
    BindingsRequest,
    DeregisterRequest,
    Done,
    Policy,
    PolicySetRequest,
    RegisterRequest,
)
from flowbind.lab import agents, topology
from flowbind.lab.agents import wait_until
from flowbind.lab.errors import LabError
from flowbind.lab.evidence import check_evidence
from flowbind.lab.results import Listener, Mark, PhaseResult, Series, StoryResult
from flowbind.lab.scene import DROPPED, ONE_PATH, Expectation, Scene, moved
from flowbind.lab.signalling import Exchange
from flowbind.lab.stage import TITLES, Stage
from flowbind.lab.traffic.tally import bin_of
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import FlowAction
from flowbind.wire.message import all_of

_BIDS = {each.name: each.bid for each in topology.ACCESSES}
_REGISTER_S = 10.0
_DETECT_S = 15.0
_RETURN_S = 45.0
_FRESH_S = 5.0
_DRAIN_S = 5.0

Part = Callable[[Scene], None]


def _everyone(http: str, voice: str, spread: tuple[str, ...]) -> tuple[Expectation, ...]:
    return (
        Expectation("sip", voice),
        Expectation("rtp", voice),
        Expectation("http", http),
        Expectation("unnamed", spread),
    )


ALL = ("wlan", "lte", "cdma")


def wlan_attaches(scene: Scene) -> None:
    """Phase 1: the node registers over WLAN; everything goes there."""
    exchange = _attach(scene, "wlan")
    scene.expects(_rules(exchange) > 0, "the request carries no Flow-Binding extension")
    scene.does("voice, a download and 400 other flows begin")
    scene.stage.start_traffic()
    scene.watch(*_everyone("wlan", "wlan", ("wlan",)))


def lte_attaches(scene: Scene) -> None:
    """Phase 2: voice moves to LTE, HTTP stays on WLAN."""
    _attach(scene, "lte")
    scene.watch(*_everyone("wlan", "lte", ("wlan", "lte")))


def cdma_attaches(scene: Scene) -> None:
    """Phase 3: the flows that no rule names spread over the three by weight."""
    before = scene.stage.last_paths
    _attach(scene, "cdma")
    scene.watch(*_everyone("wlan", "lte", ALL))
    strays = moved(before, scene.stage.last_paths, lambda _old, new: new != "cdma")
    scene.expects(strays == 0, f"{strays} flows moved, but not to the new path")


def wlan_is_deregistered(scene: Scene) -> None:
    """Phase 4: an orderly goodbye loses nothing."""
    before = scene.stage.last_paths
    scene.does("the mobile node deregisters WLAN")
    since = time.time()
    scene.stage.mobile_node.ask(DeregisterRequest(interface="wlan0"), Done)
    _wait_for_bindings(scene, {"lte", "cdma"}, _REGISTER_S)
    _expect_deregistration(scene, since, "wlan", over=None)
    scene.watch(*_everyone("lte", "lte", ("lte", "cdma")))
    strays = moved(before, scene.stage.last_paths, lambda old, _new: old != "wlan")
    scene.expects(strays == 0, f"{strays} flows moved although their path was not touched")


def wlan_is_cut(scene: Scene) -> None:
    """Phase 5: a path dies without a word, is given up, and is taken back."""
    scene.does("the mobile node registers WLAN again")
    scene.stage.mobile_node.ask(RegisterRequest(interface="wlan0"), Done)
    _wait_for_bindings(scene, set(ALL), _REGISTER_S)
    scene.watch(*_everyone("wlan", "lte", ALL), suffix="WLAN again")

    scene.does("WLAN is cut: its router forwards nothing, no carrier is lost")
    since = time.time()
    topology.cut("wlan")
    _wait_for_bindings(scene, {"lte", "cdma"}, _DETECT_S)
    scene.notes(f"noticed and deregistered after {time.time() - since:.1f} s")
    _expect_deregistration(scene, since, "wlan", over={"lte", "cdma"})
    scene.watch(
        Expectation("sip", "lte"),
        Expectation("rtp", "lte"),
        Expectation("http", "lte"),
        Expectation("unnamed", ("lte", "cdma"), lossless=False),
        suffix="WLAN cut",
    )

    scene.does("WLAN is healed")
    since = time.time()
    topology.heal("wlan")
    _wait_for_bindings(scene, set(ALL), _RETURN_S)
    scene.notes(f"taken back after {time.time() - since:.1f} s")
    scene.watch(*_everyone("wlan", "lte", ALL), suffix="WLAN back")


def telemetry_is_dropped(scene: Scene) -> None:
    """Phase 6: a DROP rule drops its flow at both ends and nothing else."""
    scene.does("telemetry begins (UDP 9999), which no rule names")
    scene.stage.start_telemetry()
    scene.watch(
        Expectation("telemetry", ONE_PATH),
        *_everyone("wlan", "lte", ALL),
        suffix="before",
    )
    scene.does("the policy is replaced by one that drops telemetry")
    since = time.time()
    flows = (*agents.POLICY, agents.NO_TELEMETRY)
    scene.stage.mobile_node.ask(PolicySetRequest(flows=flows, source="lab demo"), Policy)
    wait_until(
        "the home agent has accepted a DROP rule",
        lambda: any(
            exchange.accepted and _drops(exchange)
            for exchange in scene.stage.signalling.exchanges(since)
        ),
        _REGISTER_S,
    )
    scene.watch(
        Expectation("telemetry", DROPPED),
        *_everyone("wlan", "lte", ALL),
        suffix="DROP rule",
    )


def daemons_are_killed(scene: Scene) -> None:
    """Phase 7: kill -9 of either daemon loses no packet, and a restart adopts what it finds."""
    steady = (Expectation("telemetry", DROPPED), *_everyone("wlan", "lte", ALL))
    stage = scene.stage
    scene.does("kill -9 of the home agent")
    stage.home_agent.kill()
    scene.watch(*steady, suffix="home agent dead")
    scene.does("the home agent starts again")
    stage.home_agent.start()
    scene.expects(
        stage.home_agent.bids() == set(_BIDS.values()),
        f"after its restart the home agent has bindings {sorted(stage.home_agent.bids())}",
    )
    since = time.time()
    stage.mobile_node.ask(RegisterRequest(interface="wlan0"), Done)
    _wait_for_acceptance(scene, since, 1, "the next renewal is accepted")
    scene.watch(*steady, suffix="home agent restarted")

    scene.does("kill -9 of the mobile node")
    stage.mobile_node.kill()
    scene.watch(*steady, suffix="mobile node dead")
    scene.does("the mobile node starts again")
    since = time.time()
    stage.mobile_node.start()
    _wait_for_acceptance(scene, since, len(ALL), "the mobile node has renewed every path")
    _wait_for_bindings(scene, set(ALL), _REGISTER_S)
    scene.watch(*steady, suffix="mobile node restarted")


def everything_ends(scene: Scene) -> None:
    """Phase 8: one request renews all, one removes all."""
    stage = scene.stage
    scene.does("one bulk request (B) renews every binding")
    since = time.time()
    stage.mobile_node.ask(RegisterRequest(), Done)
    _wait_for_acceptance(scene, since, 1, "the bulk renewal is accepted")
    requests = stage.signalling.exchanges(since)
    bulk = [each for each in requests if each.multipath is not None and each.multipath.bulk]
    scene.expects(
        len(requests) == 1 and len(bulk) == 1,
        f"{len(requests)} requests were sent, {len(bulk)} with B set, instead of one with B",
    )
    ages = [
        each.lifetime_s - each.remaining_s
        for each in stage.home_agent.ask(BindingsRequest(), Bindings).bindings
    ]
    scene.expects(
        len(ages) == len(ALL) and max(ages) < _FRESH_S,
        f"renewed {', '.join(f'{age:.1f}' for age in ages)} s ago instead of just now",
    )
    scene.watch(
        Expectation("telemetry", DROPPED),
        *_everyone("wlan", "lte", ALL),
        suffix="bulk renewal",
    )
    scene.does("the traffic ends")
    early = stage.stop_traffic()
    scene.expects(not early, f"ended before they were told to: {', '.join(early)}")
    _deregister_all(scene)
    _clean_up(scene)


def _deregister_all(scene: Scene) -> None:
    stage = scene.stage
    scene.does("one bulk request (B, lifetime 0) removes every binding")
    since = time.time()
    stage.mobile_node.ask(DeregisterRequest(), Done)
    wait_until("the home agent has no binding left", lambda: not stage.home_agent.bids(), 10.0)
    wait_until("the mobile node has no tunnel left", lambda: not stage.mobile_node.paths_up(), 10.0)
    requests = stage.signalling.exchanges(since)
    good = [
        each
        for each in requests
        if each.accepted
        and each.request.lifetime_s == 0
        and each.multipath is not None
        and each.multipath.bulk
    ]
    scene.expects(
        len(requests) == len(good) == 1,
        f"{len(requests)} requests, of which {len(good)} accepted with B and lifetime 0",
    )
    for agent in (stage.home_agent, stage.mobile_node):
        bids = agent.bids()
        scene.expects(not bids, f"the {agent.role.name} still has bindings {sorted(bids)}")
        # A mobile node goes on accepting for a moment what is still on its way to it.
        wait_until(
            f"no entry is left in the maps of the {agent.role.name}",
            agent.forwards_nothing,
            _DRAIN_S,
        )


def _clean_up(scene: Scene) -> None:
    scene.does("both daemons end and clean up")
    for agent in (scene.stage.mobile_node, scene.stage.home_agent):
        agent.stop()
        agent.cleanup()
        left = agent.leftovers()
        scene.expects(not left, f"{agent.role.name}: left in the kernel: {'; '.join(left)}")


PHASES: tuple[tuple[str, Part], ...] = (
    ("WLAN attaches: every flow uses WLAN", wlan_attaches),
    ("LTE attaches: voice moves to LTE, HTTP stays on WLAN", lte_attaches),
    ("CDMA attaches: unnamed flows spread over three paths by weight", cdma_attaches),
    ("WLAN is deregistered: its flows move, nothing is lost", wlan_is_deregistered),
    ("WLAN is cut without a word, is given up, and comes back", wlan_is_cut),
    ("A DROP rule drops telemetry, and nothing else", telemetry_is_dropped),
    ("kill -9 of either daemon: no packet is lost", daemons_are_killed),
    ("Bulk renewal, then bulk deregistration: nothing is left", everything_ends),
)


def play(stage: Stage, listener: Listener) -> StoryResult:
    """Play the story on an open stage. A phase that cannot go on ends the story."""
    first_bin = bin_of(time.time())
    results: list[PhaseResult] = []
    marks: list[Mark] = []
    for number, (name, part) in enumerate(PHASES, start=1):
        scene = Scene(stage, listener, number, name)
        broken = False
        try:
            part(scene)
        except LabError as error:
            scene.fails(str(error))
            broken = True
        results.append(scene.ends())
        marks += scene.marks
        if broken:
            break
    evidence, failures = check_evidence(stage)
    end_bin = bin_of(results[-1].ended_at)
    series = tuple(
        Series(flow, title, stage.observation.series(flow, first_bin, end_bin))
        for flow, title in TITLES.items()
    )
    return StoryResult(
        phases=tuple(results),
        evidence=tuple(evidence),
        failures=tuple(failures),
        marks=tuple(marks),
        series=series,
        first_bin=first_bin,
    )


def _attach(scene: Scene, network: str) -> Exchange:
    access = topology.access(network)
    scene.does(f"{access.title} attaches: {access.interface} gets {access.care_of_address}")
    since = time.time()
    topology.attach(network)
    expected = {each.bid for each in topology.ACCESSES if each.bid <= access.bid}
    wait_until(
        f"the home agent has bindings {sorted(expected)}",
        lambda: scene.stage.home_agent.bids() == expected,
        _REGISTER_S,
    )
    wait_until(
        f"the mobile node calls paths {sorted(expected)} up",
        lambda: scene.stage.mobile_node.paths_up() == expected,
        _REGISTER_S,
    )
    found = [
        exchange
        for exchange in scene.stage.signalling.exchanges(since)
        if exchange.multipath is not None
        and exchange.multipath.bid == access.bid
        and str(exchange.request.care_of_address) == access.care_of_address
    ]
    if not found:
        raise LabError(f"no request with Multipath and BID {access.bid} was seen on the wire")
    codes = [exchange.reply.code if exchange.reply else "no reply" for exchange in found]
    scene.expects(found[-1].accepted, f"the replies were {codes}, wanted code 0")
    scene.notes(f"registered in {time.time() - since:.2f} s, {_rules(found[-1])} flow bindings")
    return found[-1]


def _rules(exchange: Exchange) -> int:
    return len(all_of(exchange.request, FlowBinding))


def _drops(exchange: Exchange) -> bool:
    bindings = all_of(exchange.request, FlowBinding)
    return any(each.action == FlowAction.DROP for each in bindings)


def _wait_for_bindings(scene: Scene, networks: set[str], timeout_s: float) -> None:
    expected = {_BIDS[network] for network in networks}
    wait_until(
        f"the home agent has bindings {sorted(expected)}",
        lambda: scene.stage.home_agent.bids() == expected,
        timeout_s,
    )
    wait_until(
        f"the mobile node calls paths {sorted(expected)} up",
        lambda: scene.stage.mobile_node.paths_up() == expected,
        timeout_s,
    )


def _wait_for_acceptance(scene: Scene, since: float, count: int, what: str) -> None:
    def accepted() -> bool:
        exchanges = scene.stage.signalling.exchanges(since)
        return len({e.multipath.bid for e in exchanges if e.accepted and e.multipath}) >= count

    wait_until(what, accepted, _REGISTER_S)


def _expect_deregistration(scene: Scene, since: float, network: str, over: set[str] | None) -> None:
    """Look for the request that removed a binding, and for the network that it came through."""
    networks = {each.care_of_address: each.name for each in topology.ACCESSES}
    sources = {
        networks.get(each.source, each.source)
        for each in scene.stage.signalling.exchanges(since)
        if each.multipath is not None
        and each.multipath.bid == _BIDS[network]
        and each.request.lifetime_s == 0
    }
    scene.expects(bool(sources), f"no deregistration of {network} was seen on the wire")
    if over is not None:
        scene.expects(sources <= over, f"{network} was deregistered over {sorted(sources)}")
