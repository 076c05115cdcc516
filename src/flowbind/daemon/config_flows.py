"""The [[flow]] tables: at a mobile node by interface or If-Label, at a home agent by If-Label."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from flowbind.daemon import config_values as values
from flowbind.daemon.config_reader import Findings, Found, Key, read_array, read_table
from flowbind.model.config import StaticFlow
from flowbind.model.flow import PolicyRule
from flowbind.model.match import describe_selector, why_nothing_matches
from flowbind.model.tunnel import MAX_RULES
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import TrafficSelector

Labels = Mapping[int, tuple[int, ...]]
"""The BIDs of the interfaces with each If-Label, in the order of the configuration."""

_OCTETS_FOR_RULES: Final = 1400
"""What 1500 octets leave beside the headers of IP and UDP, the request and its authentication."""

_ACTIONS: Final = {"forward": FlowAction.FORWARD, "drop": FlowAction.DROP}
_read_action: Final = values.one_of(*_ACTIONS)
_FLOW_KEYS: Final = (
    Key("name", "name", values.name),
    Key("match", "selectors", values.match_expression, required=True),
    Key("action", "action", lambda value: _ACTIONS[_read_action(value)]),
)
_LABELS: Final = Key(
    "labels", "labels", values.list_of(values.number(1, values.HIGHEST_LABEL), "If-Labels")
)


def bids_by_label(interfaces: Iterable[tuple[int | None, int]]) -> Labels:
    """Gather the BIDs of interfaces by If-Label, None for a label that could not be read."""
    found: dict[int, tuple[int, ...]] = {}
    for label, bid in interfaces:
        if label is not None:
            found[label] = (*found.get(label, ()), bid)
    return found


def read_policy_rules(
    findings: Findings,
    document: Mapping[str, object],
    interfaces: Mapping[str, int],
    labels: Labels,
    *,
    ipv6: bool,
) -> tuple[PolicyRule, ...]:
    """Read the policy of a mobile node whose interfaces have these BIDs, by name and by If-Label.

    Without `ipv6` it has no prefixes, and no packets that a rule for IPv6 would be about.

    The rules are worth nothing if a problem was found.
    """
    targets = (
        Key("interfaces", "bids", values.bids_of(interfaces)),
        Key("labels", "bids", values.bids_with(labels)),
    )
    flows = _read_flows(findings, document, targets, ipv6=ipv6)
    return tuple(PolicyRule(**found) for found in flows)


def warn_of_fragments(findings: Findings, policy: tuple[PolicyRule, ...]) -> None:
    """Note that a registration with these rules does not fit into one packet of usual size."""
    octets = sum(
        len(FlowBinding(rule.action, rule.bids, selector).encode())
        for rule in policy
        for selector in rule.selectors
    )
    if octets > _OCTETS_FOR_RULES:
        findings.warn(
            "[[flow]]",
            f"all rules together take {octets} octets of a registration, more than the "
            f"{_OCTETS_FOR_RULES} of one packet: some networks drop fragments",
        )


def read_static_flows(findings: Findings, document: Mapping[str, object]) -> tuple[StaticFlow, ...]:
    """Read the policy of a home agent for nodes that send none.

    The flows are worth nothing if a problem was found.
    """
    return tuple(StaticFlow(**found) for found in _read_flows(findings, document, (_LABELS,)))


def _read_flows(
    findings: Findings,
    document: Mapping[str, object],
    targets: tuple[Key, ...],
    *,
    ipv6: bool = True,
) -> list[Found]:
    """Read rules that name their paths by one of the `targets`."""
    flows: list[Found] = []
    names: dict[str, str] = {}
    selected: dict[TrafficSelector, str] = {}
    selectors = 0
    for position, (where, table) in enumerate(read_array(findings, document, "flow", "name"), 1):
        found = read_table(findings, where, table, (*_FLOW_KEYS, *targets))
        name = found.setdefault("name", f"flow-{position}")
        if name in names:
            findings.problem(where, f"name: {names[name]} is called {values.shown(name)} already")
        names.setdefault(name, where)
        _check_action(findings, where, table, [each.name for each in targets])
        found.setdefault("action", FlowAction.FORWARD)
        _check_selectors(findings, where, found, selected)
        if not ipv6 and any(map(_concerns_ipv6, found.get("selectors", ()))):
            findings.problem(where, "match: a node without ipv6-prefixes has no packets of IPv6")
        selectors += len(found.setdefault("selectors", ()))
        flows.append(found)
    if selectors > MAX_RULES:
        findings.problem(
            "[[flow]]", f"all rules together need {selectors} selectors, more than {MAX_RULES}"
        )
    return flows


def _concerns_ipv6(selector: TrafficSelector) -> bool:
    return selector.format is SelectorFormat.IPV6_BINARY


def _check_action(
    findings: Findings, where: str, table: Mapping[str, object], targets: Sequence[str]
) -> None:
    dropping = table.get("action") == "drop"
    given = [each for each in targets if each in table]
    if dropping:
        for each in given:
            findings.problem(where, f'{each}: a rule with action "drop" has none')
    elif not given:
        either = ", ".join(targets)
        findings.problem(where, f'expected either {either} or action = "drop"')
    elif len(given) > 1:
        findings.problem(where, f"{' and '.join(given)}: expected only one of them")


def _check_selectors(
    findings: Findings, where: str, found: Found, selected: dict[TrafficSelector, str]
) -> None:
    """Find selectors without any packet, and those that two rules have.

    RFC 7629 gives rules no names: a peer takes the second for a new version of the first, and the
    two directions of a flow would go different ways.
    """
    selectors: tuple[TrafficSelector, ...] = found.get("selectors", ())
    for selector in selectors:
        reason = why_nothing_matches(selector)
        if reason is not None:
            findings.warn(where, f"match: {describe_selector(selector)}: {reason}")
        other = selected.get(selector)
        if found["action"] is FlowAction.FORWARD and other is not None:
            findings.problem(
                where,
                f"match: {other} selects {describe_selector(selector)} already: "
                "name all of its paths in one rule",
            )
    if found["action"] is FlowAction.FORWARD:
        selected.update(dict.fromkeys(selectors, where))
