"""Mobility bindings and the record of one mobile node (RFC 5944 3.8.1, RFC 7629 2.2).

A home agent holds hundreds of thousands of these. `gc=False` keeps them out of the collector's
passes; frozen data has no cycles for it to find.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Network

from msgspec import Struct

from flowbind.model.flow import FlowRule, RunningPolicy
from flowbind.model.home_link import HomeLink


class Encapsulation(StrEnum):
    """How packets travel over one path (RFC 2003, RFC 2784, RFC 2004)."""

    IP_IN_IP = "ipip"
    GRE = "gre"
    MINIMAL = "minimal"


class GreKeys(Struct, frozen=True, gc=False):
    """The keys of a GRE tunnel (RFC 6245): of what we send, and of what we receive."""

    send: int
    receive: int


class UdpEnd(Struct, frozen=True, gc=False):
    """The node's end of a tunnel in UDP (RFC 3519).

    At a home agent the address and port that the request came from, which is where packets go
    instead of to the care-of address (4.6); at a mobile node its own.
    """

    address: IPv4Address
    port: int


class Broadcasts(StrEnum):
    """How the broadcasts of the home network reach a care-of address, if they do (RFC 5944 4.3)."""

    NONE = "none"
    DIRECT = "direct"
    """D: the node itself decapsulates what is tunnelled to the address."""
    NESTED = "nested"
    """Not D: a foreign agent does, and has to find the node's home address inside."""


class Binding(Struct, frozen=True, omit_defaults=True, gc=False):
    """One care-of address of a mobile node.

    `bid` is None for a plain RFC 5944 binding. A node has one of them, or with the S bit several,
    each with another care-of address. `expires_at` is Unix time in seconds. `source` and
    `source_port` are where the last request came from, at a home agent that may speak first.
    `udp` is where its tunnel ends if that is in UDP (RFC 3519), `gre_keys` are those of one by GRE.
    `revocation` is the timestamp by which it agreed to tell of a revocation (RFC 3543), None if it
    did not.
    """

    bid: int | None
    care_of_address: IPv4Address
    encapsulation: Encapsulation
    reverse_tunnel: bool
    lifetime_s: int
    expires_at: float
    identification: int
    access_technology: int = 0
    label: int = 0
    interface: str | None = None
    source: IPv4Address | None = None
    source_port: int = 0
    revocation: int | None = None
    broadcasts: Broadcasts = Broadcasts.NONE
    udp: UdpEnd | None = None
    gre_keys: GreKeys | None = None


class Contact(Struct, frozen=True, omit_defaults=True, gc=False):
    """What is kept of a peer to whom one may speak first (RFC 3543, RFC 6098).

    `spi` names the association that a mobile node used last. `revoked` are the bindings whose node
    has not acknowledged yet that they are revoked, `revocation` is the last identifier it was sent.
    `notification` is the Identification of the last notification that the peer sent.
    """

    spi: int = 0
    revoked: tuple[Binding, ...] = ()
    revocation: int | None = None
    notification: int = 0


class NodeRecord(Struct, frozen=True, omit_defaults=True, gc=False):
    """All that is kept of one mobile node: what the store writes and a restart reads.

    `identification` is the highest timestamp accepted, in NTP format, 0 if there was none; `nonce`
    the one that the home agent told last, if it told any (RFC 5944 5.7). `bindings` are ordered by
    their registration, `rules` by their precedence. `policy` is a mobile node's own, if it is not
    the configured one. `nai` is the name of a node whose home address was given to it; it may be
    0.0.0.0 as long as none was. `home_agent` is the one that a mobile node has found. `contact` is
    for messages that are no answer. `prefixes` are those of IPv6 that are registered (RFC 5454).
    """

    home_address: IPv4Address
    identification: int
    bindings: tuple[Binding, ...] = ()
    rules: tuple[FlowRule, ...] = ()
    policy: RunningPolicy | None = None
    nonce: int | None = None
    nai: str | None = None
    at_home: HomeLink | None = None
    home_agent: IPv4Address | None = None
    contact: Contact | None = None
    prefixes: tuple[IPv6Network, ...] = ()
