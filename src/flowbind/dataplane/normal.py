"""What every data plane shares: the limits, the normal form of a node, and reconciling."""

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Protocol

from msgspec import structs

from flowbind.dataplane.base import DataPlaneError, Reconciliation
from flowbind.model.binding import Encapsulation
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import MAX_PATHS, MAX_RULES, MAX_WEIGHT, PLAIN_BID, NodeForwarding, Path
from flowbind.wire.flow_binding import MAX_BIDS
from flowbind.wire.iana import FlowAction


class Programmable(Protocol):
    """The part of a data plane that reconciling needs."""

    def program(self, node: NodeForwarding) -> None:
        """See DataPlane."""
        ...

    def remove(self, home_address: IPv4Address) -> None:
        """See DataPlane."""
        ...

    def nodes(self) -> tuple[NodeForwarding, ...]:
        """See DataPlane."""
        ...


def check(node: NodeForwarding) -> None:
    """Refuse what no plane can hold. Raises DataPlaneError."""
    if len(node.paths) > MAX_PATHS:
        raise DataPlaneError(f"{node.home_address}: {len(node.paths)} paths, {MAX_PATHS} at most")
    if len(node.rules) > MAX_RULES:
        raise DataPlaneError(f"{node.home_address}: {len(node.rules)} rules, {MAX_RULES} at most")
    for path in node.paths:
        _check_path(node, path)
    ends = {_place(path) if path.bid == PLAIN_BID else path.bid for path in node.paths}
    if len(ends) != len(node.paths):
        raise DataPlaneError(f"{node.home_address}: two paths have one BID, or none and one tunnel")
    for rule in node.rules:
        if len(rule.bids) > MAX_BIDS:
            raise DataPlaneError(f"{node.home_address}: a rule of more than {MAX_BIDS} BIDs")


def _check_path(node: NodeForwarding, path: Path) -> None:
    if not 1 <= path.weight <= MAX_WEIGHT:
        raise DataPlaneError(f"{node.home_address}: weight {path.weight} of BID {path.bid}")
    if (path.local_port == 0) is not (path.remote_port == 0):
        raise DataPlaneError(f"{node.home_address}: a tunnel in UDP has a port at both ends")
    if path.encapsulation is not Encapsulation.GRE and (path.gre_keys or path.gre_sequence):
        raise DataPlaneError(f"{node.home_address}: only GRE has keys and sequence numbers")


def normalised(node: NodeForwarding) -> NodeForwarding:
    """Return the node as it can be read back: rules canonical, without owner and name.

    The order of the paths decides nothing, so it is by BID, and by tunnel where there is none.
    """
    return structs.replace(
        node,
        paths=tuple(sorted(node.paths, key=_place)),
        rules=tuple(_normal_rule(rule) for rule in node.rules),
        prefixes=tuple(sorted(node.prefixes)),
    )


def _place(path: Path) -> tuple[int, IPv4Address, IPv4Address, int]:
    return path.bid, path.local, path.remote, path.remote_port


def _normal_rule(rule: FlowRule) -> FlowRule:
    bids = () if rule.action is FlowAction.DROP else rule.bids
    return FlowRule(rule.action, bids, rule.selector.canonical())


def reconcile(plane: Programmable, nodes: Iterable[NodeForwarding]) -> Reconciliation:
    """Bring a plane to exactly these nodes, leaving alone what is already right."""
    held = {node.home_address: node for node in plane.nodes()}
    adopted = updated = added = 0
    for node in nodes:
        before = held.pop(node.home_address, None)
        if before == normalised(node):
            adopted += 1
            continue
        plane.program(node)
        updated += before is not None
        added += before is None
    for home_address in held:
        plane.remove(home_address)
    return Reconciliation(adopted, updated, added, len(held))
