"""From a node's record to what the data plane forwards by."""

from flowbind.model.binding import Binding, Encapsulation, NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import PLAIN_BID, NodeForwarding, Path
from flowbind.wire.iana import MOBILE_IP_PORT, FlowAction, SelectorFormat


def project(
    config: HomeAgentConfig, entry: MobileNodeEntry, record: NodeRecord
) -> NodeForwarding | None:
    """Return what to forward for a node, None when it has no binding left."""
    if not record.bindings:
        return None
    weights = dict(entry.label_weights)
    return NodeForwarding(
        home_address=record.home_address,
        paths=tuple(_path(config, weights, binding) for binding in record.bindings),
        rules=rules_in_force(config, record),
        prefixes=record.prefixes,
        balance=entry.balance or config.balance,
    )


def rules_in_force(config: HomeAgentConfig, record: NodeRecord) -> tuple[FlowRule, ...]:
    """Return the rules that a node's packets follow: its own, or else the static ones."""
    return record.rules or _static_rules(config, record)


def _path(config: HomeAgentConfig, weights: dict[int, int], binding: Binding) -> Path:
    udp = binding.udp
    return Path(
        bid=PLAIN_BID if binding.bid is None else binding.bid,
        local=config.address,
        remote=udp.address if udp else binding.care_of_address,
        encapsulation=binding.encapsulation,
        label=binding.label,
        weight=weights.get(binding.label, 1),
        local_port=MOBILE_IP_PORT if udp else 0,
        remote_port=udp.port if udp else 0,
        gre_keys=binding.gre_keys,
        gre_sequence=config.gre_sequence and binding.encapsulation is Encapsulation.GRE,
    )


def _static_rules(config: HomeAgentConfig, record: NodeRecord) -> tuple[FlowRule, ...]:
    """The pre-configured policy of a node that has sent none (RFC 7629 section 6)."""
    bid_of = {each.label: each.bid for each in record.bindings if each.bid is not None}
    rules: list[FlowRule] = []
    for flow in config.static_flows:
        bids = tuple(bid_of[label] for label in flow.labels if label in bid_of)
        if bids or flow.action is FlowAction.DROP:
            rules += [
                FlowRule(flow.action, bids, each, None, flow.name)
                for each in flow.selectors
                if record.prefixes or each.format is SelectorFormat.IPV4_BINARY
            ]
    return tuple(rules)


def forwards_alike(before: NodeRecord, after: NodeRecord) -> bool:
    """Tell whether two records of a node come to the same forwarding."""
    return (
        before.rules == after.rules
        and before.prefixes == after.prefixes
        and len(before.bindings) == len(after.bindings)
        and all(map(_forward_alike, before.bindings, after.bindings))
    )


def _forward_alike(before: Binding, after: Binding) -> bool:
    return (
        before.bid == after.bid
        and before.label == after.label
        and before.encapsulation is after.encapsulation
        and before.care_of_address == after.care_of_address
        and before.udp == after.udp
        and before.gre_keys == after.gre_keys
    )
