"""The flow policy of a mobile node, and keeping the home agent's copy equal to it.

RFC 7629 gives a rule no number, so order and deletion follow from who sends it. One BID at a time
carries the policy: every request of that BID holds all rules of which the home agent knows at least
one BID, in order, and replaces what that BID sent before. So the list at the home agent is always
the carrier's last list. When the carrier is deregistered its rules stay, as nobody's, and the next
BID to register becomes the carrier and replaces them.
"""

from dataclasses import dataclass

from flowbind.model.config import PolicyRule
from flowbind.model.flow import FlowRule
from flowbind.wire.flow_binding import DROP_BID, FlowBinding
from flowbind.wire.iana import FlowAction

Sent = tuple[FlowBinding, ...]


def local_rules(policy: tuple[PolicyRule, ...]) -> tuple[FlowRule, ...]:
    """Return the rules that our own packets follow, also those whose paths are not up yet."""
    return tuple(
        FlowRule(rule.action, rule.bids, selector.canonical(), None, rule.name)
        for rule in policy
        for selector in rule.selectors
    )


def flow_bindings(policy: tuple[PolicyRule, ...], bids: frozenset[int]) -> Sent:
    """Return the Flow-Binding extensions for a home agent that knows these BIDs (A FORWARD of
    which it knows none would be refused with 153).
    """
    return tuple(
        FlowBinding(rule.action, rule.bids or (DROP_BID,), selector)
        for rule in policy
        for selector in rule.selectors
        if rule.action is FlowAction.DROP or not bids.isdisjoint(rule.bids)
    )


@dataclass(slots=True)
class Exchange:
    """What the home agent holds of our policy: `held`, carried by the BID `carrier`."""

    carrier: int | None = None
    held: Sent = ()

    def carries(self, bid: int) -> bool:
        """Tell whether a request of this BID is to carry the policy."""
        return self.carrier is None or self.carrier == bid

    def accepted(self, bid: int, sent: Sent) -> None:
        """The home agent took the policy from this BID."""
        self.carrier, self.held = bid, sent

    def lost(self, bid: int) -> None:
        """This BID is registered no more."""
        if self.carrier == bid:
            self.carrier = None

    def lacks(self, wanted: Sent) -> bool:
        """Tell whether the home agent lacks a rule that it could have."""
        return any(each not in self.held for each in wanted)

    def rules(self) -> tuple[FlowRule, ...]:
        """Return the home agent's copy as rules, for the record that a restart reads."""
        return tuple(
            FlowRule(each.action, each.bids, each.selector, self.carrier) for each in self.held
        )

    @staticmethod
    def of_rules(rules: tuple[FlowRule, ...]) -> "Exchange":
        """Return what `rules` was made of."""
        held = tuple(FlowBinding(each.action, each.bids, each.selector) for each in rules)
        return Exchange(rules[0].owner if rules else None, held)
