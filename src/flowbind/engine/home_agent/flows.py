"""Flow bindings of a node (RFC 7629 4.2, 5.2).

The RFC gives a rule neither a name nor a priority nor a way to delete it, so these are decided
here. A rule is known by its selector and action. It belongs to the BID whose request carried it
last. A request that carries Flow-Binding extensions replaces the rules of its BID, and those whose
BID is registered no more; one that carries none leaves all rules as they are. A rule that another
BID owns keeps its place when it is sent again. The first match wins.
"""

from flowbind.engine.refusal import Refused
from flowbind.model.config import OverwriteScope, UnknownBid
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import MAX_RULES
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import FlowAction, ReplyCode, SelectorFormat
from flowbind.wire.traffic_selector import TrafficSelector

Rules = tuple[FlowRule, ...]


def check_identifiers(
    sent: tuple[FlowBinding, ...],
    bids: frozenset[int],
    unknown_bid: UnknownBid = UnknownBid.NONE_KNOWN,
) -> None:
    """Refuse (153) a FORWARD of whose BIDs not one is registered (RFC 7629 5.2).

    Its list is for falling through, so it may name BIDs that come later or have gone. Who reads
    "any of the binding identifiers" as RFC 6089 5.3.2.1 does refuses these too.
    """
    for flow_binding in sent:
        if flow_binding.action is FlowAction.DROP:
            continue
        strict = unknown_bid is UnknownBid.ANY_UNKNOWN
        named = flow_binding.bids
        if bids.isdisjoint(named) or (strict and not bids.issuperset(named)):
            raise Refused("flow-binding-bid-unknown", ReplyCode.INVALID_FB_IDENTIFIER)


def check_number(rules: Rules) -> None:
    """Refuse (130) more rules than the data plane takes for one node."""
    if len(rules) > MAX_RULES:
        raise Refused("too-many-rules", ReplyCode.INSUFFICIENT_RESOURCES)


def overwritten(rules: Rules, bid: int, scope: OverwriteScope) -> Rules:
    """Return the rules that the O bit in a registration of `bid` leaves (RFC 7629 5.1, 5.2)."""
    if scope is OverwriteScope.ALL:
        return ()
    return tuple(rule for rule in rules if rule.owner != bid)


def replaced(
    rules: Rules,
    sent: tuple[FlowBinding, ...],
    owner: int | None,
    bids: frozenset[int],
    *,
    ipv6: bool = False,
) -> Rules:
    """Return the rules after a request of `owner` that carried `sent`.

    A node without prefixes of IPv6 (RFC 5454) has no use for selectors of that format.
    """
    if not sent:
        return rules
    kept = {_known_by(rule): rule for rule in rules if rule.owner != owner and rule.owner in bids}
    for flow_binding in sent:
        if ipv6 or flow_binding.selector.format is SelectorFormat.IPV4_BINARY:
            rule = _rule(flow_binding, owner)
            kept[_known_by(rule)] = rule
    return tuple(kept.values())


def _rule(flow_binding: FlowBinding, owner: int | None) -> FlowRule:
    dropping = flow_binding.action is FlowAction.DROP
    return FlowRule(
        action=flow_binding.action,
        bids=() if dropping else flow_binding.bids,
        selector=flow_binding.selector.canonical(),
        owner=owner,
    )


def _known_by(rule: FlowRule) -> tuple[TrafficSelector, FlowAction]:
    # A key, not a search: one request has room for thousands, before their number is checked.
    return rule.selector, rule.action
