"""What an operator may ask a daemon, and what it answers: one line of JSON each way.

The answers are what `--json` prints, so their fields are a promise. Addresses are strings here:
this is the operator's side of the house. Keys and authenticators never appear.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

LONGEST_MEASUREMENT_S = 5.0
"""So long an operator may have rates measured: well within what an answer may take."""


class StatusRequest(Struct, frozen=True, tag="status"):
    """Role, address, counters."""


class BindingsRequest(Struct, frozen=True, tag="bindings"):
    """Every mobility binding."""


class PathsRequest(Struct, frozen=True, tag="paths"):
    """Every tunnel, with its state and measurements."""


class FlowsRequest(Struct, frozen=True, tag="flows"):
    """The live flows and the path each one takes, or some of them.

    `bid` and `match` select them, `top` is how many at most. With an `interval_s` their rates are
    measured, which takes so long; then those of the highest rate come first, else the most recent.
    `sort` asks for another order.
    """

    bid: int | None = None
    match: str | None = None
    top: Annotated[int, Meta(ge=1)] | None = None
    sort: Literal["rate", "volume", "age", "recent"] | None = None
    interval_s: Annotated[float, Meta(ge=0, le=LONGEST_MEASUREMENT_S)] = 0.0


class PolicyRequest(Struct, frozen=True, tag="policy"):
    """The flow rules in force."""


class ExplainRequest(Struct, frozen=True, tag="explain"):
    """What becomes of a packet such as `udp 203.0.113.9:5004 -> 10.9.0.5:40000`."""

    packet: str


class PolicySetRequest(Struct, frozen=True, tag="policy-set"):
    """Replace the running flow policy by these [[flow]] tables."""

    flows: tuple[dict[str, object], ...]
    source: str = "request"


class RegisterRequest(Struct, frozen=True, tag="register"):
    """Register one interface again, or renew all in one request (B bit)."""

    interface: str | None = None


class DeregisterRequest(Struct, frozen=True, tag="deregister"):
    """Deregister one interface, or all in one request (B bit, lifetime 0)."""

    interface: str | None = None


class RevokeRequest(Struct, frozen=True, tag="revoke"):
    """End the bindings of a node (RFC 3543): all, or one by its BID or its care-of address."""

    home_address: str
    bid: int | None = None
    care_of_address: str | None = None


class NotifyRequest(Struct, frozen=True, tag="notify"):
    """Say something to the other end (RFC 6098). A home agent needs to know to which node."""

    text: str
    home_address: str | None = None
    bid: int | None = None
    acknowledge: bool = True


class NotificationsRequest(Struct, frozen=True, tag="notifications"):
    """The last notifications, said and heard."""


Request = (
    StatusRequest
    | BindingsRequest
    | PathsRequest
    | FlowsRequest
    | PolicyRequest
    | ExplainRequest
    | PolicySetRequest
    | RegisterRequest
    | DeregisterRequest
    | RevokeRequest
    | NotifyRequest
    | NotificationsRequest
)


class Status(Struct, frozen=True, tag="status", kw_only=True):
    """A daemon in one look. `counters` holds engine and data plane counters by name.

    `nai` is a mobile node's own name, if it has one, `message` what its home agent said last.
    """

    role: str
    version: str
    pid: int
    uptime_s: float
    home_agent: str
    home_address: str | None
    mobile_nodes: int
    bindings: int
    multipath: str
    counters: dict[str, int]
    nai: str | None = None
    message: str | None = None


class BindingRow(Struct, frozen=True, kw_only=True):
    """One binding. `remaining_s` is the rest of its lifetime, `nai` the name of its node.

    `ipv6_prefixes` are the node's, which all of its bindings carry (RFC 5454).
    """

    home_address: str
    bid: int | None
    care_of_address: str
    interface: str | None
    access: str
    label: int
    encapsulation: str
    lifetime_s: int
    remaining_s: float
    nai: str | None = None
    ipv6_prefixes: tuple[str, ...] = ()
    gre_send_key: int | None = None
    gre_receive_key: int | None = None


class Bindings(Struct, frozen=True, tag="bindings"):
    """Answer to BindingsRequest, ordered by home address and BID."""

    bindings: tuple[BindingRow, ...]


class PathRow(Struct, frozen=True, kw_only=True):
    """One tunnel. `state` is one of down, registering, up, deregistering, deregistered, dead.

    `home_address` is None as long as the mobile node has been given none. `rtt_ms` and `loss` (0 to
    1) are measured by the mobile node while the path is up, else None. Only a tunnel in UDP has
    ports, and only GRE may have keys. `mtu` is the largest packet that the node is sent in one
    piece, the same for all of its paths, or that it sends. `path_mtu` is what a router on the way
    of this one said that it takes with the outer headers, `error` what one said last of packets
    that did not arrive, and `error_ago_s` when; None if none did within ten minutes.
    """

    home_address: str | None
    bid: int | None
    interface: str | None
    state: str
    local: str
    remote: str
    encapsulation: str
    weight: int
    rtt_ms: float | None = None
    loss: float | None = None
    local_port: int | None = None
    remote_port: int | None = None
    gre_send_key: int | None = None
    gre_receive_key: int | None = None
    mtu: int | None = None
    path_mtu: int | None = None
    error: str | None = None
    error_ago_s: float | None = None


class Paths(Struct, frozen=True, tag="paths"):
    """Answer to PathsRequest."""

    paths: tuple[PathRow, ...]


class FlowRow(Struct, frozen=True, kw_only=True):
    """One live flow as this end forwards it.

    `bid` is None for a dropped one, and for one of which each packet takes a path of its own.
    `bits_per_s` of inner packets and `packets_per_s` are None where they were not measured. A
    `fragment` is one whose first one did not come by, and so without ports.
    """

    protocol: str
    remote: str
    local: str
    bid: int | None
    verdict: str
    rule: str | None
    packets: int
    octets: int
    idle_s: float
    dscp: int = 0
    interface: str | None = None
    care_of_address: str | None = None
    bits_per_s: float | None = None
    packets_per_s: float | None = None
    age_s: float = 0.0
    spi: int | None = None
    fragment: bool = False


class Flows(Struct, frozen=True, tag="flows"):
    """Answer to FlowsRequest."""

    flows: tuple[FlowRow, ...]


class PolicyRow(Struct, frozen=True, kw_only=True):
    """One rule. `active` tells whether its action can be carried out now."""

    home_address: str
    position: int
    name: str
    match: str
    action: str
    bids: tuple[int, ...]
    active: bool


class Policy(Struct, frozen=True, tag="policy"):
    """Answer to PolicyRequest and PolicySetRequest, in order of precedence."""

    rules: tuple[PolicyRow, ...]


class Explanation(Struct, frozen=True, tag="explanation", kw_only=True):
    """What becomes of a packet, and why, in one sentence.

    `cached_generation` tells that the flow cache has it so, as of which state of the node.
    """

    packet: str
    verdict: str
    bid: int | None
    interface: str | None
    rule: str | None
    why: str
    cached_generation: int | None = None


class RevokedRow(Struct, frozen=True, kw_only=True):
    """One binding that was ended. `told`: its node is told until it acknowledges."""

    bid: int | None
    care_of_address: str
    told: bool


class Revoked(Struct, frozen=True, tag="revoked"):
    """Answer to RevokeRequest: what was ended."""

    home_address: str
    bindings: tuple[RevokedRow, ...]


class NotificationRow(Struct, frozen=True, kw_only=True):
    """One notification, `ago_s` seconds old. `direction` is sent or received.

    `state` is received, waiting, sent, acknowledged, unanswered, or denied with the code behind it.
    """

    home_address: str
    direction: str
    state: str
    text: str
    ago_s: float


class Notifications(Struct, frozen=True, tag="notifications"):
    """Answer to NotificationsRequest, oldest first."""

    notifications: tuple[NotificationRow, ...]


class Done(Struct, frozen=True, tag="done"):
    """The request was carried out, or is under way."""

    detail: str = ""


class Failed(Struct, frozen=True, tag="failed"):
    """The request was refused; nothing changed."""

    error: str


Response = (
    Status
    | Bindings
    | Paths
    | Flows
    | Policy
    | Explanation
    | Revoked
    | Notifications
    | Done
    | Failed
)
