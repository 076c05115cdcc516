"""All that can happen to an engine. Plain frozen data, so any run can be recorded and replayed."""

from ipaddress import IPv4Address

from msgspec import Struct

from flowbind.effects import Effect
from flowbind.model.binding import NodeRecord
from flowbind.model.flow import PolicyRule


class Received(Struct, frozen=True, tag=True):
    """A datagram arrived on UDP port 434 (or the port a request left from)."""

    payload: bytes
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    interface: str | None = None


class TimerExpired(Struct, frozen=True, tag=True):
    """The moment that `deadline()` named has come."""


class Restored(Struct, frozen=True, tag=True):
    """The first event of a run: what the store held."""

    records: tuple[NodeRecord, ...] = ()


class EffectFailed(Struct, frozen=True, tag=True):
    """An effect could not be performed; `unperformed` are those behind it in the same list."""

    effect: Effect
    unperformed: tuple[Effect, ...]
    reason: str


class InterfaceUp(Struct, frozen=True, tag=True):
    """An interface of the mobile node is usable with this care-of address.

    `port` is the one that its requests leave from, 0 if that is not known.
    """

    name: str
    address: IPv4Address
    port: int = 0


class InterfaceDown(Struct, frozen=True, tag=True):
    """An interface lost its carrier, its address, or is gone."""

    name: str


class LinkAddress(Struct, frozen=True):
    """An address of this host on a link, and the length of the link's prefix."""

    address: IPv4Address
    prefix_length: int


class LinkUp(Struct, frozen=True, tag=True):
    """A link where nodes are or may be at home has carrier; told again when its addresses change.

    At a mobile node it need not have any address.
    """

    name: str
    addresses: tuple[LinkAddress, ...] = ()


class LinkDown(Struct, frozen=True, tag=True):
    """Such a link lost its carrier, or is gone."""

    name: str


class IcmpReceived(Struct, frozen=True, tag=True):
    """A message of agent discovery arrived on such a link (RFC 5944 2)."""

    message: bytes
    source: IPv4Address
    interface: str


class TunnelErrorHeard(Struct, frozen=True, tag=True):
    """An ICMP error arrived, from its Type on, which may be about a packet in a tunnel."""

    message: bytes


class BroadcastHeard(Struct, frozen=True, tag=True):
    """An IPv4 packet was broadcast by another on the link where nodes are at home."""

    packet: bytes
    interface: str


class ProbeAnswered(Struct, frozen=True, tag=True):
    """An echo reply came back through the tunnel of this BID."""

    bid: int
    sequence: int


class PolicyReplaced(Struct, frozen=True, tag=True):
    """The operator replaced the flow policy of the running mobile node."""

    policy: tuple[PolicyRule, ...]


class RegisterRequested(Struct, frozen=True, tag=True):
    """The operator wants an interface registered again, or all at once (RFC 7629 5.1, B bit)."""

    interface: str | None = None


class DeregisterRequested(Struct, frozen=True, tag=True):
    """The operator wants an interface deregistered, or all at once (B bit, lifetime 0)."""

    interface: str | None = None


class RevokeRequested(Struct, frozen=True, tag=True):
    """The operator of a home agent ends bindings of a node: all, or by BID or care-of address."""

    home_address: IPv4Address
    bid: int | None = None
    care_of_address: IPv4Address | None = None


class NotifyRequested(Struct, frozen=True, tag=True):
    """The operator has something to say to the other end (RFC 6098), about this home address.

    `bid` names the binding that a home agent says it over.
    """

    home_address: IPv4Address
    text: str
    bid: int | None = None
    acknowledge: bool = True


Event = (
    Received
    | TimerExpired
    | Restored
    | EffectFailed
    | InterfaceUp
    | InterfaceDown
    | LinkUp
    | LinkDown
    | IcmpReceived
    | TunnelErrorHeard
    | BroadcastHeard
    | ProbeAnswered
    | PolicyReplaced
    | RegisterRequested
    | DeregisterRequested
    | RevokeRequested
    | NotifyRequested
)
