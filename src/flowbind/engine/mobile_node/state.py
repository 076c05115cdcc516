"""What a mobile node knows of its interfaces, and what it wants of its home agent."""

from dataclasses import dataclass, field
from enum import StrEnum, unique
from ipaddress import IPv4Address

from flowbind.engine.mobile_node.keepalive import Keepalive
from flowbind.model.binding import Binding
from flowbind.model.config import InterfaceConfig
from flowbind.model.tunnel import Path
from flowbind.wire.flow_binding import FlowBinding


@unique
class State(StrEnum):
    """Where an interface stands.

    DOWN: no care-of address. REGISTERING: not accepted yet. UP: registered and answering.
    DEREGISTERING: given up by the operator. DEAD: has an address and answers nothing.
    """

    DOWN = "down"
    REGISTERING = "registering"
    UP = "up"
    DEREGISTERING = "deregistering"
    DEAD = "dead"


@unique
class Aim(StrEnum):
    """What a request is for."""

    DEREGISTER_ALL = "deregister-all"
    DEREGISTER = "deregister"
    RENEW_ALL = "renew-all"
    REGISTER = "register"


@dataclass(slots=True)
class Interface:
    """One interface. `tunnel` is what the data plane holds of it, as long as it holds any.

    `wanted` is False once the operator deregistered it. `drain_until` is the moment up to which
    packets that are still on their way are accepted.
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

    @property
    def name(self) -> str:
        """The name of the device."""
        return self.config.name

    @property
    def usable(self) -> bool:
        """Whether a request can be sent through it with a hope of being answered."""
        return self.address is not None and self.state in {State.UP, State.DEREGISTERING}


@dataclass(slots=True)
class Sent:
    """A request that was sent and may be answered."""

    via: Interface
    identification: int
    lifetime_s: int
    at: float
    plain: bool
    policy: tuple[FlowBinding, ...] | None


@dataclass(slots=True)
class Intent:
    """A request that is wanted until it is answered. `not_before` grows with every try."""

    aim: Aim
    interface: Interface | None
    not_before: float
    tries: int = 0
    sent: Sent | None = None
    overwrite: bool = False
    resynchronised: bool = field(default=False)
