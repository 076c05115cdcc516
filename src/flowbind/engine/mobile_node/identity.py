"""Who a mobile node is, and where it registers: what is configured, or what replies have told.

A node that is known by its NAI may leave its home address to its home agent (RFC 2794, RFC 5944
3.6): it asks without one, and the first reply that accepts tells it.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from flowbind.model.binding import NodeRecord
from flowbind.model.config import MobileNodeConfig
from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.extension import Extension
from flowbind.wire.iana import DynamicHomeAgentSubtype
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.service_selection import ServiceSelection

UNKNOWN: Final = IPv4Address(0)
"""The Home Address of a node that has none yet (RFC 5944 3.6.1.2)."""


@dataclass(slots=True)
class Identity:
    """What a request says of its sender, and where it goes.

    `home_address` is None until one is given. `home_agent` is the broadcast address of the home
    network as long as a node that looks for its home agent has found none. A node that is assigned
    one (RFC 4433) asks several in turn until it has registered: `assigned`; `redirected_by` are
    those that have sent it on meanwhile, and with `legacy` the one that it asks has to be named.
    """

    config: MobileNodeConfig
    home_address: IPv4Address | None
    home_agent: IPv4Address
    assigned: bool = False
    legacy: bool = False
    redirected_by: set[IPv4Address] = field(default_factory=set[IPv4Address])

    @staticmethod
    def of(config: MobileNodeConfig) -> "Identity":
        """Return what a node knows before it has heard anything."""
        return Identity(config, config.home_address, _first_home_agent(config))

    @property
    def is_given(self) -> bool:
        """Whether the home agent gives the home address."""
        return self.config.home_address is None

    @property
    def is_looking(self) -> bool:
        """Whether the home agent is still to be found (RFC 5944 3.6.1.2)."""
        return self.config.home_agent is None and self.home_agent == _everywhere(self.config)

    def find(self, home_agent: IPv4Address) -> bool:
        """Take the home agent that a reply tells; tells whether it is one to register with."""
        if not self.is_looking or home_agent == self.home_agent or not _is_host(home_agent):
            return False
        self.home_agent = home_agent
        return True

    def look(self) -> None:
        """Look for a home agent again."""
        self.home_agent = _first_home_agent(self.config)
        self._begin_anew()

    # ---- assignment (RFC 4433)

    @property
    def is_unassigned(self) -> bool:
        """Whether the home agent that is asked is only one that may take the node."""
        return bool(self.config.assigning_home_agents) and not self.assigned

    @property
    def home_agent_field(self) -> IPv4Address:
        """5.1: 0.0.0.0 before the node is assigned; who knows nothing of that is named."""
        return UNKNOWN if self.is_unassigned and not self.legacy else self.home_agent

    def assign(self, home_agent: IPv4Address) -> None:
        """5.1.2: the home agent that has accepted is the one for the rest of the session."""
        self._begin_anew()
        self.home_agent = home_agent
        self.assigned = True

    def redirect(self, by: IPv4Address, to: IPv4Address) -> bool:
        """4.2: ask another home agent; tells whether it is none that has sent us on already."""
        self.redirected_by.add(by)
        if not _is_host(to) or to in self.redirected_by:
            return False
        self.home_agent = to
        self.legacy = False
        return True

    def ask_next(self) -> None:
        """Ask the next of the home agents that are configured to assign one."""
        known = self.config.assigning_home_agents
        at = known.index(self.home_agent) + 1 if self.home_agent in known else 0
        self._begin_anew()
        self.home_agent = known[at % len(known)]

    def _begin_anew(self) -> None:
        self.assigned = self.legacy = False
        self.redirected_by.clear()

    # ---- what it says

    @property
    def extensions(self) -> tuple[Extension, ...]:
        """What stands in front of all other extensions of a request (RFC 2794 2)."""
        nai = self.config.nai
        extensions: tuple[Extension, ...] = () if nai is None else (NetworkAccessIdentifier(nai),)
        if self.config.service is not None:
            # RFC 5446 3: in every request, behind the NAI.
            extensions = (*extensions, ServiceSelection(self.config.service))
        if self.is_unassigned:
            requested = DynamicHomeAgent(DynamicHomeAgentSubtype.REQUESTED, self.home_agent)
            return (*extensions, requested)
        return extensions

    @property
    def named(self) -> NodeRecord:
        """The record of the node with nothing in it but what it has learned of itself."""
        nai = self.config.nai if self.is_given else None
        unknown = self.config.home_agent or self.is_looking or self.is_unassigned
        found = None if unknown else self.home_agent
        return NodeRecord(self.home_address or UNKNOWN, 0, nai=nai, home_agent=found)

    def restore(self, record: NodeRecord) -> bool:
        """Take up what was learned in a former run; tells whether the record is ours."""
        if self.is_given:
            if record.nai != self.config.nai:
                return False
            self.home_address = None if record.home_address == UNKNOWN else record.home_address
        elif record.home_address != self.home_address:
            return False
        if self.config.home_agent is None and record.home_agent is not None:
            self.home_agent = record.home_agent
            self.assigned = bool(self.config.assigning_home_agents)
        return True


def _first_home_agent(config: MobileNodeConfig) -> IPv4Address:
    return next(iter(config.assigning_home_agents), config.home_agent or _everywhere(config))


def _everywhere(config: MobileNodeConfig) -> IPv4Address:
    """Return where a node looks for its home agent: the broadcast address of its home network."""
    return UNKNOWN if config.home_network is None else config.home_network.broadcast_address


def _is_host(address: IPv4Address) -> bool:
    return not (
        address.is_multicast or address.is_loopback or address.is_reserved or not int(address)
    )
