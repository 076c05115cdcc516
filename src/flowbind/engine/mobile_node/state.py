"""What a mobile node knows of its interfaces, and what it wants of its home agent."""

from dataclasses import dataclass
from enum import StrEnum, unique
from ipaddress import IPv4Address
from typing import Final

from msgspec import structs

from flowbind.engine.mobile_node.identity import Identity
from flowbind.engine.mobile_node.keepalive import Keepalive
from flowbind.model.binding import Binding, GreKeys, UdpEnd
from flowbind.model.config import InterfaceConfig
from flowbind.model.flow import PolicyRule
from flowbind.model.tunnel import PLAIN_BID, Path
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import MOBILE_IP_PORT

DRAIN_S: Final = 1.0
"""How long packets that are still on their way through a path given up are accepted."""


@unique
class State(StrEnum):
    """Where an interface stands.

    DOWN: no care-of address, or not to be registered. REGISTERING: not accepted yet. UP: registered
    and answering. DEREGISTERING: given up by the operator. DEAD: has an address, answers nothing.
    HOME: on the home link, where nothing is registered.
    """

    DOWN = "down"
    REGISTERING = "registering"
    UP = "up"
    DEREGISTERING = "deregistering"
    DEAD = "dead"
    HOME = "home"


@unique
class Aim(StrEnum):
    """What a request is for, in order of urgency."""

    DEREGISTER_ALL = "deregister-all"
    RETURN_HOME = "return-home"
    DEREGISTER = "deregister"
    RENEW_ALL = "renew-all"
    REGISTER = "register"
    LEAVE = "leave"
    """Deregister a care-of address that no interface has any more, beside simultaneous bindings."""

    @property
    def ends(self) -> bool:
        """Whether the request is a deregistration."""
        return self in {Aim.DEREGISTER_ALL, Aim.RETURN_HOME, Aim.DEREGISTER, Aim.LEAVE}


@dataclass(slots=True)
class Interface:
    """One interface. `tunnel` is what the data plane holds of it, as long as it holds any.

    `wanted` is False once the operator deregistered it. `binding` is what the home agent holds as
    far as we know, also of an interface that is gone. `drain_until` is the moment up to which
    packets that are still on their way are accepted. `relapses` counts how often in a row the path
    was registered and yet never answered a probe; `register_after` is what follows from it.
    `port` is the UDP port that its requests leave from, 0 if that is not known.
    `unanswered` is a registration that was given up without an answer and not undone since.
    `deregister_after` keeps a path that comes and goes from being deregistered more than once a
    second, `asked_at` from being registered again when the last request is not answered yet.
    """

    config: InterfaceConfig
    keepalive: Keepalive
    address: IPv4Address | None = None
    state: State = State.DOWN
    wanted: bool = True
    binding: Binding | None = None
    tunnel: Path | None = None
    renew_at: float | None = None
    drain_until: float | None = None
    relapses: int = 0
    register_after: float = 0.0
    deregister_after: float = 0.0
    asked_at: float = float("-inf")
    unanswered: "Sent | None" = None
    port: int = 0

    @property
    def name(self) -> str:
        """The name of the device."""
        return self.config.name

    @property
    def usable(self) -> bool:
        """Whether a request can be sent through it with a hope of being answered."""
        speaks = self.state in {State.UP, State.DEREGISTERING}
        return speaks and self.address is not None and self.binding is not None

    @property
    def is_registered_as_is(self) -> bool:
        """Whether the home agent holds the care-of address that the interface has now."""
        return self.binding is not None and self.binding.care_of_address == self.address

    @property
    def is_held(self) -> bool:
        """Whether the home agent holds a binding of it that is not about to be given up."""
        present = self.address is not None or self.tunnel is not None
        return self.binding is not None and present

    def transmit(self, *, allowed: bool) -> None:
        """Let packets into the tunnel, or only accept those that come out of it."""
        if self.tunnel and self.tunnel.transmit is not allowed:
            self.tunnel = structs.replace(self.tunnel, transmit=allowed)

    def release(self, now: float) -> None:
        """Forget a binding that the home agent has forgotten; the tunnel drains."""
        self.binding = None
        self.renew_at = None
        self.keepalive.stop()
        if self.state in {State.UP, State.DEREGISTERING}:
            self.state = State.DOWN
        self.drain(now)

    def drain(self, now: float) -> None:
        """Send nothing more into the tunnel, and accept for a while what is on its way."""
        if self.tunnel:
            self.transmit(allowed=False)
            self.drain_until = now + DRAIN_S

    def forgive(self) -> None:
        """Give the path a fresh chance: it is new, or somebody asks for it."""
        self.relapses = 0
        self.register_after = 0.0
        self.asked_at = float("-inf")


@dataclass(slots=True)
class Sent:
    """A request that was sent and may be answered. `policy` is what `carried` was made of. It was
    sent `at` first and `last_at` last: with nonces it is repeated as it was.

    `overdue_at` is when an answer is not to be expected any more. `revocation` is the timestamp of
    an answer that agrees on revocation. `udp` is our end of the tunnel in UDP that was offered, if
    one was; `in_udp` that the answer takes it, with keepalives every `keepalive_s`, 0 as we like.
    `gre_keys` are those that the answer tells.
    """

    via: Interface
    care_of_address: IPv4Address
    identification: int
    lifetime_s: int
    at: float
    plain: bool
    carried: tuple[FlowBinding, ...] | None
    policy: tuple[PolicyRule, ...]
    overwrites: bool
    home_address: IPv4Address | None
    last_at: float = 0.0
    overdue_at: float = float("inf")
    revocation: int | None = None
    udp: UdpEnd | None = None
    in_udp: bool = False
    keepalive_s: float = 0.0
    gre_keys: GreKeys | None = None

    def binding(self, lifetime_s: int) -> Binding:
        """Return the binding that this request makes if it is granted for so long.

        The lifetime counts from the moment that the request was sent (RFC 5944 3.6.2.2).
        """
        config = self.via.config
        return Binding(
            bid=None if self.plain else config.bid,
            care_of_address=self.care_of_address,
            encapsulation=config.encapsulation,
            reverse_tunnel=True,
            lifetime_s=lifetime_s,
            expires_at=self.at + lifetime_s,
            identification=self.identification,
            access_technology=config.access_technology,
            label=config.label,
            interface=config.name,
            revocation=self.revocation,
            udp=self.udp if self.in_udp else None,
            gre_keys=self.gre_keys,
        )

    @property
    def ends_at(self) -> float:
        """When the binding ends that this request makes if it is granted as it is."""
        return self.at + self.lifetime_s

    @property
    def content(self) -> tuple[object, ...]:
        """What the request says, but for the Identification."""
        asked = (self.via.name, self.care_of_address, self.lifetime_s)
        return *asked, self.plain, self.carried, self.policy, self.overwrites


@dataclass(slots=True)
class Intent:
    """A request that is wanted until it is answered. `not_before` grows with every try.

    `interface` is None for a request about all of them. `care_of_address` is what a deregistration
    names, `until` when it has become pointless. `silent` counts the tries since the home agent was
    last heard about it, `mismatches` how often it wanted another Identification.
    """

    aim: Aim
    interface: Interface | None
    not_before: float
    care_of_address: IPv4Address | None = None
    until: float = float("inf")
    tries: int = 0
    silent: int = 0
    sent: Sent | None = None
    mismatches: int = 0
    bids_denied: bool = False


def path_of(config: InterfaceConfig, node: Identity, binding: Binding) -> Path:
    """Return the path that a binding of an interface stands for.

    Simultaneous bindings have no BID, but here their paths are told apart by those of the
    interfaces.
    """
    without = binding.bid is None and not node.config.simultaneous
    return Path(
        bid=PLAIN_BID if without else config.bid,
        local=binding.care_of_address,
        remote=node.home_agent,
        encapsulation=binding.encapsulation,
        interface=config.name,
        label=binding.label,
        weight=config.weight,
        local_port=binding.udp.port if binding.udp else 0,
        remote_port=MOBILE_IP_PORT if binding.udp else 0,
        gre_keys=binding.gre_keys,
        gre_sequence=config.gre_sequence,
    )
