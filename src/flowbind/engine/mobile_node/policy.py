"""The flow policy of a mobile node, and keeping the home agent's copy equal to it.

RFC 7629 gives a rule no number, so order and deletion follow from who sends it. One BID at a time
carries the policy: every request of that BID holds all rules of which the home agent knows at least
one BID, in order, and replaces what that BID sent before. So the list at the home agent is always
the carrier's last list. When the carrier is deregistered its rules stay, as nobody's, and the next
BID to register becomes the carrier and replaces them.
"""

from dataclasses import dataclass

from flowbind.model.flow import FlowRule, PolicyRule
from flowbind.model.tunnel import MAX_RULES
from flowbind.wire.flow_binding import DROP_BID, FlowBinding
from flowbind.wire.iana import FlowAction, SelectorFormat
from flowbind.wire.traffic_selector import TrafficSelector

Sent = tuple[FlowBinding, ...]
Policy = tuple[PolicyRule, ...]
Bids = tuple[int, ...]


def local_rules(policy: Policy) -> tuple[FlowRule, ...]:
    """Return the rules that our own packets follow, also those whose paths are not up yet."""
    return tuple(
        FlowRule(rule.action, rule.bids, selector.canonical(), None, rule.name)
        for rule in policy
        for selector in rule.selectors
    )


def flow_bindings(policy: Policy, bids: frozenset[int]) -> Sent:
    """Return the Flow-Binding extensions for a home agent that knows these BIDs (A FORWARD of
    which it knows none would be refused with 153).
    """
    return tuple(
        FlowBinding(rule.action, rule.bids or (DROP_BID,), selector)
        for rule in policy
        for selector in rule.selectors
        if rule.action is FlowAction.DROP or not bids.isdisjoint(rule.bids)
    )


def differs(sent: Sent, told: Sent, *, ipv6: bool = False) -> bool:
    """Tell whether a home agent that we sent a policy forwards by another one.

    It passes over rules for IPv6 unless prefixes of ours are registered.
    """
    return _as_kept(sent, ipv6=ipv6) != _as_kept(told, ipv6=ipv6)


def _as_kept(policy: Sent, *, ipv6: bool) -> list[tuple[object, ...]]:
    """A home agent keeps one rule of a selector and an action: the last BIDs in the first place."""
    kept: dict[tuple[FlowAction, TrafficSelector], Bids] = {}
    for each in policy:
        if ipv6 or each.selector.format is SelectorFormat.IPV4_BINARY:
            bids = () if each.action is FlowAction.DROP else each.bids
            kept[each.action, each.selector.canonical()] = bids
    return list(kept.items())


def adopted(told: Sent, known: frozenset[int], *, ipv6: bool = False) -> Policy:
    """Return the rules of a reply as a policy of our own: those whose BIDs we know, as far as they
    fit into the data plane. What the others mean only the home agent knows.
    """
    rules: list[PolicyRule] = []
    for each in told:
        drops = each.action is FlowAction.DROP
        bids = () if drops else tuple(bid for bid in each.bids if bid in known)
        of_use = ipv6 or each.selector.format is SelectorFormat.IPV4_BINARY
        if of_use and (drops or bids):
            name = f"home-agent-{len(rules) + 1}"
            rules.append(PolicyRule(name, (each.selector.canonical(),), each.action, bids))
    return tuple(rules[:MAX_RULES])


@dataclass(slots=True)
class Exchange:
    """What the home agent holds of our policy.

    `held` is the list that the BID `carrier` sent last, made of `policy`. `holders` are the BIDs
    that sent rules, answered or not, and were not seen to be deregistered since. `may_hold` is True
    as long as there may be rules of any BID, registered or not. `refused` means that this home
    agent takes no policy of ours, `denials` counts how often it has not, and the last time it was
    `denied`, since it took one with all of that.
    """

    carrier: int | None = None
    held: Sent = ()
    policy: Policy | None = None
    holders: frozenset[int] = frozenset()
    may_hold: bool = False
    refused: bool = False
    denied: Sent = ()
    denials: int = 0

    def carries(self, bid: int) -> bool:
        """Tell whether a request of this BID is to carry the policy."""
        return not self.refused and self.carrier in {None, bid}

    def overwrites(self, bid: int, carried: Sent | None, policy: Policy) -> bool:
        """Tell whether a request of this BID must overwrite to be rid of rules that are there.

        Those of another BID, which may have taken effect without our hearing of it; or all of them,
        for RFC 7629 has no way to send an empty policy.
        """
        if carried is None:
            return False
        emptied = not carried and self.may_hold and self.policy != policy
        return emptied or not self.holders <= {bid}

    def sent(self, bid: int, carried: Sent | None) -> None:
        """A request of this BID with these extensions is under way."""
        if carried:
            self.holders |= {bid}
            self.may_hold = True

    def accepted(self, bid: int, carried: Sent, policy: Policy, *, overwritten: bool) -> None:
        """The home agent took the policy from this BID."""
        if overwritten:
            self.holders = frozenset({bid}) if carried else frozenset()
            self.may_hold = bool(carried)
        if all(each in carried for each in self.denied):
            self.denials = 0
        self.carrier, self.held, self.policy = bid, carried, policy

    def lost(self, bid: int, *, confirmed: bool) -> None:
        """This BID is registered no more; its rules stay, as nobody's."""
        if self.carrier == bid:
            self.carrier = None
        if confirmed:
            self.holders -= {bid}

    def lacks(self, wanted: Sent, policy: Policy) -> bool:
        """Tell whether the home agent has rules too few, or rules of a former policy."""
        if self.refused:
            return False
        former = self.policy != policy and (self.may_hold or bool(wanted))
        return former or any(each not in self.held for each in wanted)

    def rules(self) -> tuple[FlowRule, ...]:
        """Return the home agent's copy as rules, for the record that a restart reads."""
        return tuple(
            FlowRule(each.action, each.bids, each.selector, self.carrier) for each in self.held
        )

    @staticmethod
    def of_rules(rules: tuple[FlowRule, ...]) -> "Exchange":
        """Return what `rules` was made of; which policy that was is not known any more."""
        held = tuple(FlowBinding(each.action, each.bids, each.selector) for each in rules)
        owners = frozenset(rule.owner for rule in rules if rule.owner is not None)
        carrier = rules[0].owner if rules else None
        return Exchange(carrier, held, holders=owners, may_hold=bool(rules))
