"""`flowbind check`: what a daemon would do with a configuration, or all that is wrong with it.

Nothing but the configuration and the files with keys is opened. No key is shown, nor anything that
depends on one. The JSON object is documented in docs/configuration.md and only ever grows.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Final

from msgspec import Struct

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.daemon.config import ConfigError, HomeAgentSettings, Settings, read_settings
from flowbind.daemon.config_values import access_name
from flowbind.model.config import (
    HomeAgentConfig,
    HomeDetection,
    InterfaceConfig,
    MobileNodeEntry,
    StaticFlow,
)
from flowbind.model.encoding import to_json
from flowbind.model.flow import PolicyRule
from flowbind.model.match import describe_selector, why_nothing_matches
from flowbind.model.tunnel import Balance
from flowbind.wire.traffic_selector import TrafficSelector

_OK: Final = 0
_UNUSABLE: Final = 2
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


class SelectorReport(Struct, frozen=True):
    """One selector of a rule, as an expression; `never` tells why no packet can match it."""

    match: str
    never: str | None


class FlowReport(Struct, frozen=True, kw_only=True):
    """One rule. A mobile node's has interfaces with their BIDs, a home agent's has If-Labels."""

    name: str
    action: str
    interfaces: tuple[str, ...] | None = None
    bids: tuple[int, ...] | None = None
    labels: tuple[int, ...] | None = None
    selectors: tuple[SelectorReport, ...]


class InterfaceReport(Struct, frozen=True, kw_only=True):
    """One interface of a mobile node. `share` of the flows that no rule names, if all are up."""

    name: str
    bid: int
    label: int
    access: str
    access_number: int
    weight: int
    share: float
    encapsulation: str
    home: str
    nat_traversal: str
    gre_key: bool
    gre_sequence: bool


class LabelWeight(Struct, frozen=True):
    """The weight of the paths with an If-Label."""

    label: int
    weight: int


class AssociationReport(Struct, frozen=True, kw_only=True):
    """A security association, without its key."""

    spi: int
    algorithm: str
    timestamp_tolerance_s: float
    replay: str


class NodeReport(Struct, frozen=True, kw_only=True):
    """A mobile node that a home agent serves. Its first association is also shown by itself."""

    home_address: str | None
    spi: int
    algorithm: str
    timestamp_tolerance_s: float
    associations: tuple[AssociationReport, ...]
    multipath: bool
    label_weights: tuple[LabelWeight, ...]
    simultaneous_bindings: bool
    ipv6_prefixes: tuple[str, ...]
    nai: str | None
    services: tuple[str, ...]
    aaa_spi: int | None
    balance: str


class ForeignAgentReport(Struct, frozen=True, kw_only=True):
    """A foreign agent that shares security associations with the home agent, without their keys."""

    address: str
    spis: tuple[int, ...]


class _Host(Struct, frozen=True, kw_only=True):
    """What both roles have."""

    ok: bool = True
    flows: tuple[FlowReport, ...]
    socket: str
    store: str
    device: str
    pin_path: str
    attach: str
    log_level: str
    mtu: int
    mss_clamping: bool
    warnings: tuple[str, ...]


class HomeAgentReport(_Host, frozen=True, kw_only=True, tag_field="role", tag="home-agent"):
    """What a home agent would do. `interfaces` None stands for every one that is up."""

    address: str
    home_networks: tuple[str, ...]
    max_lifetime_s: int
    max_bindings: int
    overwrite_scope: str
    unknown_bid: str
    policy_in_reply: bool
    strict_reserved: bool
    revocation: bool
    notifications: bool
    require_aaa: bool
    interfaces: tuple[str, ...] | None
    shortcut: bool
    shortcut_out: bool
    home_link: str | None
    advertisement_interval_s: float
    address_pool: tuple[str, ...]
    encapsulations: tuple[str, ...]
    gre_sequence: bool
    nat_traversal: bool
    udp_forced: bool
    keepalive_interval_s: int
    deny_source_mismatch: bool
    discovery: bool
    message_strings: bool
    max_nodes: int | None
    redirect_to: str | None
    balance: str
    mobile_nodes: tuple[NodeReport, ...]
    foreign_agents: tuple[ForeignAgentReport, ...]


class MobileNodeReport(_Host, frozen=True, kw_only=True, tag_field="role", tag="mobile-node"):
    """What a mobile node would do. `associations` has the one in use, then those in readiness."""

    home_address: str | None
    nai: str | None
    service: str | None
    home_agent: str | None
    assigning_home_agents: tuple[str, ...]
    spi: int
    algorithm: str
    associations: tuple[AssociationReport, ...]
    multipath: str
    balance: str
    simultaneous: bool
    broadcast_datagrams: bool
    ipv6_prefixes: tuple[str, ...]
    lifetime_s: int
    exchange_policy: bool
    accept_policy: bool
    revocation: bool
    notifications: bool
    aaa_spi: int | None
    default_route: bool
    probe_interval_s: float
    probe_dead_after: int
    home_network: str | None
    interfaces: tuple[InterfaceReport, ...]


class _Unusable(Struct, frozen=True, kw_only=True):
    ok: bool = False
    problems: tuple[str, ...]


Report = HomeAgentReport | MobileNodeReport


def run_check(path: Path, *, as_json: bool) -> int:
    """Print what a configuration means, or what is wrong with it; return the exit status."""
    try:
        report = describe(read_settings(path))
    except ConfigError as error:
        if as_json:
            _print(to_json(_Unusable(problems=error.problems)).decode())
        for problem in error.problems:
            sys.stderr.write(f"flowbind: {problem}\n")
        return _UNUSABLE
    _print(to_json(report).decode() if as_json else as_text(report))
    return _OK


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def describe(settings: Settings) -> Report:
    """Return what a daemon would do with these settings."""
    if isinstance(settings, HomeAgentSettings):
        return _describe_home_agent(settings)
    config = settings.engine
    return MobileNodeReport(
        flows=tuple(_policy_report(rule, config.interfaces) for rule in config.policy),
        socket=settings.socket,
        store=settings.store,
        device=settings.device,
        pin_path=settings.pin_path,
        attach=settings.attach.value,
        log_level=settings.log_level,
        mtu=settings.mtu,
        mss_clamping=settings.mss_clamping,
        warnings=settings.warnings,
        home_address=str(config.home_address) if config.home_address else None,
        nai=config.nai,
        service=config.service,
        home_agent=str(config.home_agent) if config.home_agent else None,
        assigning_home_agents=tuple(map(str, config.assigning_home_agents)),
        spi=config.association.spi,
        algorithm=config.association.algorithm.value,
        associations=tuple(map(_association_report, config.associations)),
        multipath=config.multipath,
        balance=config.balance.value,
        simultaneous=config.simultaneous,
        broadcast_datagrams=config.broadcast_datagrams,
        ipv6_prefixes=tuple(map(str, config.ipv6_prefixes)),
        lifetime_s=config.lifetime_s,
        exchange_policy=config.exchange_policy,
        accept_policy=config.accept_policy,
        revocation=config.revocation,
        notifications=config.notifications,
        aaa_spi=config.aaa.spi if config.aaa else None,
        default_route=settings.default_route,
        probe_interval_s=config.probe_interval_s,
        probe_dead_after=config.probe_dead_after,
        home_network=str(config.home_network) if config.home_network else None,
        interfaces=_interface_reports(config.interfaces),
    )


def _describe_home_agent(settings: HomeAgentSettings) -> HomeAgentReport:
    config = settings.engine
    return HomeAgentReport(
        flows=tuple(_static_report(flow) for flow in config.static_flows),
        socket=settings.socket,
        store=settings.store,
        device=settings.device,
        pin_path=settings.pin_path,
        attach=settings.attach.value,
        log_level=settings.log_level,
        mtu=settings.mtu,
        mss_clamping=settings.mss_clamping,
        warnings=settings.warnings,
        address=str(config.address),
        home_networks=tuple(map(str, config.home_networks)),
        max_lifetime_s=config.max_lifetime_s,
        max_bindings=config.max_bindings,
        overwrite_scope=config.overwrite_scope.value,
        unknown_bid=config.unknown_bid.value,
        policy_in_reply=config.policy_in_reply,
        strict_reserved=config.strict_reserved,
        revocation=config.revocation,
        notifications=config.notifications,
        require_aaa=config.require_aaa,
        interfaces=settings.interfaces,
        shortcut=settings.shortcut,
        shortcut_out=settings.shortcut_out,
        home_link=config.home_link,
        advertisement_interval_s=config.advertisement_interval_s,
        address_pool=tuple(map(str, config.address_pool)),
        encapsulations=tuple(each.value for each in config.encapsulations),
        gre_sequence=config.gre_sequence,
        nat_traversal=config.nat_traversal,
        udp_forced=config.udp_forced,
        keepalive_interval_s=config.keepalive_interval_s,
        deny_source_mismatch=config.deny_source_mismatch,
        discovery=config.discovery,
        message_strings=config.message_strings,
        max_nodes=config.max_nodes,
        redirect_to=str(config.redirect_to) if config.redirect_to else None,
        balance=config.balance.value,
        mobile_nodes=tuple(_node_report(each, config) for each in config.mobile_nodes),
        foreign_agents=tuple(
            ForeignAgentReport(
                address=str(each.address), spis=tuple(own.spi for own in each.associations)
            )
            for each in config.foreign_agents
        ),
    )


def _node_report(entry: MobileNodeEntry, config: HomeAgentConfig) -> NodeReport:
    associations = tuple(map(_association_report, entry.associations))
    return NodeReport(
        home_address=str(entry.home_address) if entry.home_address else None,
        spi=associations[0].spi,
        algorithm=associations[0].algorithm,
        timestamp_tolerance_s=associations[0].timestamp_tolerance_s,
        associations=associations,
        multipath=entry.multipath,
        label_weights=tuple(LabelWeight(label, weight) for label, weight in entry.label_weights),
        simultaneous_bindings=entry.simultaneous_bindings,
        ipv6_prefixes=tuple(map(str, entry.ipv6_prefixes)),
        nai=entry.nai,
        services=entry.services,
        aaa_spi=entry.aaa.spi if entry.aaa else None,
        balance=(entry.balance or config.balance).value,
    )


def _association_report(association: SecurityAssociation) -> AssociationReport:
    return AssociationReport(
        spi=association.spi,
        algorithm=association.algorithm.value,
        timestamp_tolerance_s=association.timestamp_tolerance_s,
        replay=association.replay.value,
    )


def _interface_reports(interfaces: tuple[InterfaceConfig, ...]) -> tuple[InterfaceReport, ...]:
    total = sum(each.weight for each in interfaces)
    return tuple(
        InterfaceReport(
            name=each.name,
            bid=each.bid,
            label=each.label,
            access=access_name(each.access_technology),
            access_number=each.access_technology,
            weight=each.weight,
            share=round(each.weight / total, 4),
            encapsulation=each.encapsulation.value,
            home=each.home.value,
            nat_traversal=each.nat_traversal.value,
            gre_key=each.gre_key,
            gre_sequence=each.gre_sequence,
        )
        for each in interfaces
    )


def _policy_report(rule: PolicyRule, interfaces: tuple[InterfaceConfig, ...]) -> FlowReport:
    names = {each.bid: each.name for each in interfaces}
    return FlowReport(
        name=rule.name,
        action=rule.action.name.lower(),
        interfaces=tuple(names[bid] for bid in rule.bids),
        bids=rule.bids,
        selectors=_selector_reports(rule.selectors),
    )


def _static_report(flow: StaticFlow) -> FlowReport:
    return FlowReport(
        name=flow.name,
        action=flow.action.name.lower(),
        labels=flow.labels,
        selectors=_selector_reports(flow.selectors),
    )


def _selector_reports(selectors: Iterable[TrafficSelector]) -> tuple[SelectorReport, ...]:
    return tuple(SelectorReport(describe_selector(s), why_nothing_matches(s)) for s in selectors)


# ---- for people


def as_text(report: Report) -> str:
    """Write a report for people to read."""
    if isinstance(report, HomeAgentReport):
        parts = _home_agent_text(report)
    else:
        parts = _mobile_node_text(report)
    return "\n".join([*parts, *_flow_text(report), *_host_text(report), *_warning_text(report)])


def _home_agent_text(report: HomeAgentReport) -> Iterator[str]:
    yield f"home agent at {report.address} for {', '.join(report.home_networks)}"
    yield f"  registrations  for {_duration(report.max_lifetime_s)} at most"
    yield f"  bindings       {report.max_bindings} at most for each mobile node"
    yield f"  O bit          {_OVERWRITES[report.overwrite_scope]}"
    yield f"  rules          refused where {_REFUSED[report.unknown_bid]} registered"
    yield f"  replies        {'with' if report.policy_in_reply else 'without'} the policy in force"
    yield f"  reserved bits  {'refused' if report.strict_reserved else 'ignored'}"
    yield f"  revocation     {'told to nodes that ask' if report.revocation else 'not told'}"
    yield f"  notifications  {_HEARD[report.notifications]}"
    yield f"  interfaces     {', '.join(report.interfaces or ['all that are up'])}"
    yield f"  short cut      {_SHORT_CUTS[report.shortcut, report.shortcut_out]}"
    numbered = "; GRE packets are numbered" if report.gre_sequence else ""
    yield f"  tunnels        {', '.join(report.encapsulations)}{numbered}"
    yield f"  home link      {_home_link_text(report)}"
    if report.require_aaa:
        yield "  AAA            every request needs a Mobile-AAA authenticator"
    if report.discovery:
        yield "  discovery      answered on the broadcast addresses of the home networks"
    if report.message_strings:
        yield "  denials        tell their reason in words"
    if report.redirect_to:
        yield f"  redirection    to {report.redirect_to} once {report.max_nodes} nodes are here"
    if report.nat_traversal or report.deny_source_mismatch:
        yield f"  NAT            {_nat_text(report)}"
    if report.address_pool:
        yield f"  address pool   {', '.join(report.address_pool)}"
    yield ""
    yield _count(len(report.mobile_nodes), "mobile node")
    yield from _columns([row for each in report.mobile_nodes for row in _node_rows(each)])
    if report.foreign_agents:
        yield ""
        yield _count(len(report.foreign_agents), "foreign agent")
        yield from _columns(
            [
                (each.address, f"SPI {', '.join(map(str, each.spis))}")
                for each in report.foreign_agents
            ]
        )


def _home_link_text(report: HomeAgentReport) -> str:
    if report.home_link is None:
        return "none: every node is away"
    return f"{report.home_link}, advertised every {_duration(report.advertisement_interval_s)}"


def _nat_text(report: HomeAgentReport) -> str:
    refused = "; refused without a tunnel in UDP" if report.deny_source_mismatch else ""
    if not report.nat_traversal:
        return f"no tunnels in UDP{refused}"
    forced = ", and to who insists" if report.udp_forced else ""
    keepalives = f"keepalives every {report.keepalive_interval_s} s"
    return f"tunnels in UDP to nodes that ask{forced}, {keepalives}{refused}"


def _node_rows(node: NodeReport) -> Iterator[tuple[str, ...]]:
    first, *further = (
        (
            f"SPI {each.spi}",
            each.algorithm,
            _replay_text(each),
        )
        for each in node.associations
    )
    weights = ", ".join(f"label {w.label}: weight {w.weight}" for w in node.label_weights)
    address = node.home_address or "of the pool"
    yield f"{node.nai}, {address}" if node.nai else address, *first, _bindings_text(node), weights
    for each in further:
        yield "", *each, "", ""
    if node.aaa_spi is not None:
        yield "", f"SPI {node.aaa_spi}", "Mobile-AAA", "", "", ""


def _bindings_text(node: NodeReport) -> str:
    kinds = [
        *(["multipath"] if node.multipath else []),
        *(["simultaneous"] if node.simultaneous_bindings else []),
    ]
    spread = ", spread by packets" if node.balance == Balance.PACKET else ""
    ipv6 = f", IPv6 {', '.join(node.ipv6_prefixes)}" if node.ipv6_prefixes else ""
    return (" or ".join(kinds) or "one binding") + spread + ipv6


def _replay_text(association: AssociationReport) -> str:
    if association.replay == Replay.NONCES:
        return "nonces"
    return f"clock within {_duration(association.timestamp_tolerance_s)}"


def _whose_text(report: MobileNodeReport) -> str:
    if report.assigning_home_agents:
        return f"assigned by {' or '.join(report.assigning_home_agents)}"
    return report.home_agent or "to be found"


def _mobile_node_text(report: MobileNodeReport) -> Iterator[str]:
    dead_after_s = report.probe_interval_s * report.probe_dead_after
    address = report.home_address or "an address that it is given"
    node = f"{report.nai}, {address}" if report.nai else address
    yield f"mobile node {node}, home agent {_whose_text(report)}"
    names = chain(("association",), repeat("in readiness"))
    for name, each in zip(names, report.associations, strict=False):
        yield f"  {name:<13}  SPI {each.spi}, {each.algorithm}, {each.replay}"
    if report.aaa_spi is not None:
        yield f"  Mobile-AAA     SPI {report.aaa_spi}"
    multipath = _SIMULTANEOUS if report.simultaneous else _MULTIPATH[report.multipath]
    yield f"  multipath      {multipath}"
    if report.balance == Balance.PACKET:
        yield "  balance        packets, not flows: those of one flow may overtake each other"
    if report.broadcast_datagrams:
        yield "  broadcasts     asked for"
    if report.ipv6_prefixes:
        yield f"  IPv6           {', '.join(report.ipv6_prefixes)}"
    yield f"  registrations  for {_duration(report.lifetime_s)}"
    yield f"  policy         {_POLICY[report.exchange_policy, report.accept_policy]}"
    yield f"  revocation     {'heard, on port 434' if report.revocation else 'not heard of'}"
    yield f"  notifications  {_HEARD[report.notifications]}"
    yield (
        f"  probes         every {_duration(report.probe_interval_s)}, a path is dead after "
        f"{report.probe_dead_after} lost ({_duration(dead_after_s)})"
    )
    yield f"  default route  {_yes(report.default_route)}"
    yield f"  home           {_home_text(report)}"
    yield ""
    yield _count(len(report.interfaces), "interface")
    rows = [
        (
            each.name,
            f"BID {each.bid}",
            f"label {each.label}",
            each.access,
            each.encapsulation + _gre_text(each) + _IN_UDP[each.nat_traversal],
            f"weight {each.weight}",
            f"{each.share:.0%} of the flows without a rule",
        )
        for each in report.interfaces
    ]
    yield from _columns(rows)


def _gre_text(interface: InterfaceReport) -> str:
    key = " with a key" if interface.gre_key else ""
    return key + (", numbered" if interface.gre_sequence else "")


def _home_text(report: MobileNodeReport) -> str:
    if report.home_network is None:
        return "never: always away"
    able = ", ".join(each.name for each in report.interfaces if each.home == HomeDetection.AUTO)
    return f"{report.home_network}, where the home agent is heard on {able or 'no interface'}"


_SHORT_CUTS: Final = {
    (True, True): "to and from nodes",
    (True, False): "to nodes",
    (False, True): "from nodes",
    (False, False): "none",
}
"""By whether there is one to nodes, and one from them."""
_HEARD: Final = {True: "said and heard", False: "off"}
_OVERWRITES: Final = {
    "all": "replaces all bindings of a node",
    "same-bid": "replaces the binding of its own BID",
}
_REFUSED: Final = {
    "none-known": "none of their BIDs is",
    "any-unknown": "one of their BIDs is not",
}
_POLICY: Final = {
    (True, False): "sent to the home agent",
    (False, False): "kept here",
    (False, True): "kept here until the home agent tells another one",
}
_MULTIPATH: Final = {
    "require": "required",
    "prefer": "preferred; with a home agent that has none, one binding at a time",
    "off": "off: one binding at a time",
}
_IN_UDP: Final = {"off": "", "auto": ", in UDP behind a NAT", "force": ", in UDP"}
_SIMULTANEOUS: Final = "off: simultaneous bindings asked for, a copy of each packet on every path"


_FOR: Final = {HomeAgentReport: " for nodes that send none", MobileNodeReport: ""}


def _flow_text(report: Report) -> Iterator[str]:
    yield ""
    if not report.flows:
        what = report.balance
        yield f"no flow rules{_FOR[type(report)]}: every {what} is spread over the paths by weight"
        return
    rules = _count(len(report.flows), "flow rule")
    selectors = _count(sum(len(each.selectors) for each in report.flows), "selector")
    yield f"{rules}{_FOR[type(report)]}, {selectors}; the first that can be followed decides"
    for position, flow in enumerate(report.flows, 1):
        yield f"  {position}  {flow.name}: {_targets(flow)}"
        for selector in flow.selectors:
            never = f"   never matches: {selector.never}" if selector.never else ""
            yield f"       {selector.match}{never}"


def _targets(flow: FlowReport) -> str:
    if flow.action == "drop":
        return "drop"
    if flow.labels is not None:
        return " or ".join(f"label {label}" for label in flow.labels)
    pairs = zip(flow.interfaces or (), flow.bids or (), strict=True)
    return " or ".join(f"{name} (BID {bid})" for name, bid in pairs)


_ATTACHED: Final = {"auto": "", "clsact": " with filters at clsact"}


def _host_text(report: Report) -> Iterator[str]:
    yield ""
    attached = _ATTACHED[report.attach]
    yield f"device {report.device}{attached}, maps pinned in {report.pin_path}"
    yield f"store {report.store}"
    yield f"socket {report.socket}"
    yield f"log level {report.log_level}"
    clamped = "the MSS of TCP is lowered" if report.mss_clamping else "the MSS of TCP is left alone"
    yield f"networks take {report.mtu} octets at most, {clamped}"


def _warning_text(report: Report) -> Iterator[str]:
    if report.warnings:
        yield ""
    for warning in report.warnings:
        yield f"warning: {warning}"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(cells)).rstrip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _duration(seconds: float) -> str:
    for unit, size in (("h", _HOUR_S), ("m", _MINUTE_S)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
