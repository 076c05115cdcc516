"""What must hold once it is quiet: both ends agree on paths and policy."""

from collections.abc import Iterable
from dataclasses import dataclass

from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.home_agent.projection import rules_in_force
from flowbind.engine.mobile_node import MobileNode
from flowbind.engine.mobile_node.identity import UNKNOWN
from flowbind.model.binding import NodeRecord
from flowbind.model.config import MobileNodeEntry, OverwriteScope, UnknownBid
from flowbind.model.flow import FlowRule
from flowbind.wire.iana import FlowAction
from tests.simulation.hosts import Host
from tests.simulation.wire import Link

Sendable = tuple[FlowAction, tuple[int, ...], object]


@dataclass(slots=True)
class Pair:
    """A node and the home agent, both running.

    A node that crashes forgets what was not answered. With `orphans` the home agent may hold
    bindings of which no node knows, and rules that one of the BIDs in `leftovers` brought.
    """

    agent: Host
    host: Host
    links: list[Link]
    home_agent: HomeAgent
    node: MobileNode
    record: NodeRecord
    orphans: bool
    leftovers: frozenset[int]

    @property
    def entry(self) -> MobileNodeEntry:
        """What the home agent is configured with of this node."""
        entries = self.home_agent.config.mobile_nodes
        return next(each for each in entries if each.name == self.node.config.name)

    @property
    def wanted(self) -> list[Link]:
        """The links that are to be registered, and could be."""
        return [
            each
            for each in self.links
            if each.address is not None and self.node.interfaces[each.name].wanted
        ]

    @property
    def waiting(self) -> set[str]:
        """The links that are left alone for a while, after a revocation or a relapse."""
        now = self.host.now
        paths = [each for each in self.node.paths if each.register_after > now]
        return {each.name for each in paths}

    @property
    def working(self) -> list[Link]:
        """Those that are not silent."""
        waiting = self.waiting
        return [each for each in self.wanted if not each.silent and each.name not in waiting]

    @property
    def silent_bids(self) -> set[int]:
        """The BIDs of which there is no telling whether they are registered."""
        return {each.bid for each in self.links if each.silent}


def disagreement(
    agent: Host, host: Host, links: list[Link], *, orphans: bool, leftovers: frozenset[int]
) -> str:
    """Return what keeps a node and the home agent from agreeing, "" if they do."""
    if not isinstance(agent.engine, HomeAgent) or not isinstance(host.engine, MobileNode):
        return "a daemon is down"
    home_address = host.engine.record.home_address
    record = agent.engine.records.get(home_address) or NodeRecord(home_address, 0)
    if home_address == UNKNOWN and _is_exhausted(agent.engine):
        return ""
    pair = Pair(agent, host, links, agent.engine, host.engine, record, orphans, leftovers)
    if not pair.working:
        return ""
    refused = not pair.entry.multipath and pair.node.config.multipath == "require"
    if home_address == UNKNOWN:
        return "" if refused else "the node has no home address"
    return _disagreement_of_kind(pair)


def _disagreement_of_kind(pair: Pair) -> str:
    """A node has one binding of RFC 5944, several with the S bit, or those of RFC 7629."""
    if pair.node.config.simultaneous and pair.entry.simultaneous_bindings:
        return _simultaneous_disagreement(pair)
    if pair.node._registration.fallback.is_plain(pair.host.now):
        return _plain_disagreement(pair)
    if not pair.entry.multipath:
        required = pair.node.config.multipath == "require"
        return "" if required else "152 has not made the node a plain one"
    return _binding_disagreement(pair) or _path_disagreement(pair) or _policy_disagreement(pair)


def _is_exhausted(agent: HomeAgent) -> bool:
    """Tell whether nodes ask for more home addresses than there are."""
    wanted = [each for each in agent.config.mobile_nodes if each.home_address is None]
    return len(wanted) > sum(network.num_addresses for network in agent.config.address_pool)


def _plain_disagreement(pair: Pair) -> str:
    # There is no telling whether a path brings replies but to register it, again and again.
    addresses = [each.address for each in pair.wanted]
    addresses += [each.address for each in pair.links if each.silent]
    held = [(each.bid, each.care_of_address) for each in pair.record.bindings]
    if not pair.working or (len(held) == 1 and held[0][0] is None and held[0][1] in addresses):
        return ""
    return f"a plain node has {held} registered of {addresses}"


def _simultaneous_disagreement(pair: Pair) -> str:
    """RFC 5944 3.3: every path that works is registered, as far as there is room."""
    held = {each.care_of_address for each in pair.record.bindings}
    working = {each.address for each in pair.working}
    possible = {each.address for each in pair.wanted}
    possible |= {each.address for each in pair.links if each.silent}
    if not working:
        return ""
    if not pair.orphans and not held <= possible:
        return f"the home agent holds {held}, but there is only {possible}"
    if not working <= held:
        # Code 135 keeps out what there is no room for.
        full = len(held) >= pair.home_agent.config.max_bindings
        return "" if full else f"of {working} with simultaneous bindings {held} are registered"
    home_address = pair.record.home_address
    sending = {each.local for each in pair.host.paths(home_address) if each.transmit}
    theirs = {each.remote for each in pair.agent.paths(home_address)}
    if len(sending) != 1 or not sending <= possible or theirs != held:
        return f"the node sends by {sending} of {working}, the home agent to {theirs}"
    return ""


def _binding_disagreement(pair: Pair) -> str:
    held = {each.bid: each.care_of_address for each in pair.record.bindings}
    working = pair.working
    if len(working) == 1 and held == {None: working[0].address}:
        # A node that may be a plain one, and has but one path, turns to multipath when it renews.
        return "" if pair.node.config.multipath == "prefer" else "a plain binding"
    missing = [each for each in working if held.get(each.bid) != each.address]
    if missing and len(working) - len(missing) < _room(pair):
        first = missing[0]
        return f"{first.name} with {first.address} is not registered: {held}"
    possible = {each.bid for each in pair.wanted if each.silent or not pair.orphans}
    if pair.orphans or held.keys() <= possible:
        return ""
    return f"the home agent holds {held}, but there is only {possible}"


def _room(pair: Pair) -> int:
    """How many working links the home agent has room for: code 135 keeps out the others."""
    others = [each for each in pair.record.bindings if each.bid in pair.silent_bids]
    if pair.orphans:
        known = {each.bid for each in pair.working}
        others = [each for each in pair.record.bindings if each.bid not in known]
    return pair.home_agent.config.max_bindings - len(others)


def _path_disagreement(pair: Pair) -> str:
    home_address = pair.record.home_address
    held = {(each.bid, each.care_of_address) for each in pair.record.bindings}
    ours = {(each.bid, each.local) for each in pair.host.paths(home_address) if each.transmit}
    theirs = {(each.bid, each.remote) for each in pair.agent.paths(home_address)}
    wanted = {(each.bid, each.address) for each in pair.working}
    if pair.home_agent.config.max_bindings < len(pair.wanted):
        wanted &= held
    if wanted and ours != wanted:
        return f"the node sends by {ours} and not by {wanted}"
    if not wanted <= theirs and not pair.silent_bids:
        return f"the home agent sends by {theirs} and not by {wanted}"
    return ""


def _policy_disagreement(pair: Pair) -> str:
    record, node, config = pair.record, pair.node, pair.home_agent.config
    if not record.bindings or (pair.orphans and pair.leftovers):
        return ""
    # A binding may be there of which the node does not know: no reply comes back on its path.
    known = frozenset(each.bid for each in record.bindings if each.bid is not None)
    known &= frozenset(each.bid for each in node.record.bindings if each.bid is not None)
    exchange = node._registration.exchange
    # What the carrier sends replaces what it sent before; but there is no way to send nothing.
    owners = {rule.owner for rule in record.rules} - {exchange.carrier if exchange.held else None}
    if owners & pair.leftovers:
        return ""
    if not node.config.exchange_policy:
        if record.rules:
            return f"a policy that nobody sent: {record.rules}"
        return _told_disagreement(pair, known)
    if exchange.refused and config.unknown_bid is UnknownBid.ANY_UNKNOWN:
        return ""
    theirs = record.rules
    if config.overwrite_scope is OverwriteScope.SAME_BID:
        # Here the O bit does not end the rules of other BIDs.
        theirs = tuple(rule for rule in theirs if rule.owner == exchange.carrier)
    ours, held = in_force(node.rules, known), in_force(theirs, known)
    if config.overwrite_scope is OverwriteScope.SAME_BID:
        # A rule that another BID owned keeps its place.
        ours, held = sorted(ours, key=repr), sorted(held, key=repr)
    return "" if ours == held else f"policies differ: {ours} and {held}"


def _told_disagreement(pair: Pair, known: frozenset[int]) -> str:
    """A node that takes the policy that replies tell follows it, as far as it was told any."""
    if not pair.node._policy_adopted or pair.silent_bids:
        return ""
    theirs = _narrowed(rules_in_force(pair.home_agent.config, pair.record), known)
    ours = _narrowed(pair.node.rules, known)
    return "" if ours == theirs else f"the node was told {ours} where {theirs} holds"


def _narrowed(rules: Iterable[FlowRule], bids: frozenset[int]) -> list[Sendable]:
    """Return rules with these BIDs alone."""
    return [
        (action, tuple(each for each in named if each in bids), selector)
        for action, named, selector in in_force(rules, bids)
    ]


def in_force(rules: Iterable[FlowRule], bids: frozenset[int]) -> list[Sendable]:
    """Return the rules that can be followed as long as there are these BIDs."""
    return [
        (rule.action, rule.bids, rule.selector.canonical())
        for rule in rules
        if rule.action is FlowAction.DROP or not bids.isdisjoint(rule.bids)
    ]
