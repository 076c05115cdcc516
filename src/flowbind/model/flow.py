"""Flow bindings: which packets, and what becomes of them (RFC 7629 4.2)."""

from msgspec import Struct

from flowbind.wire.iana import FlowAction
from flowbind.wire.traffic_selector import TrafficSelector


class FlowRule(Struct, frozen=True, omit_defaults=True):
    """One flow binding in force.

    `bids` are in order of preference, empty for DROP. `owner` is the BID whose registration carried
    the rule, None for a rule of the local configuration. `name` is the operator's word for it.
    """

    action: FlowAction
    bids: tuple[int, ...]
    selector: TrafficSelector
    owner: int | None = None
    name: str = ""


class PolicyRule(Struct, frozen=True, omit_defaults=True):
    """A [[flow]] of the mobile node: several selectors where one expression needs several."""

    name: str
    selectors: tuple[TrafficSelector, ...]
    action: FlowAction
    bids: tuple[int, ...] = ()


class RunningPolicy(Struct, frozen=True, omit_defaults=True):
    """A policy that the operator set at run time, and the configured one that it stands in for.

    It outlives a restart of the daemon, but not a change of the configured policy.
    """

    configured: tuple[PolicyRule, ...]
    running: tuple[PolicyRule, ...]
