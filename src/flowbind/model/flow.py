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
