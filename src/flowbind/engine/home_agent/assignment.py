"""Whether a request is for this home agent (RFC 5944 3.8.2.1, 3.8.3.2; RFC 4433 5.3).

A node with a name that has no home agent yet says so by 0.0.0.0 or 255.255.255.255 in the Home
Agent field. It is taken as if it had named us, or is redirected to another home agent when there
are as many nodes here as there should be. Who is here already is never sent away.
"""

from ipaddress import IPv4Address
from typing import Final

from flowbind.engine.home_agent.identity import nai_of
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.extension import Extension
from flowbind.wire.iana import DynamicHomeAgentSubtype, ExtensionType, ReplyCode
from flowbind.wire.message import split_at_authentication
from flowbind.wire.registration import RegistrationRequest

_KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION
_ANY: Final = (IPv4Address(0), IPv4Address("255.255.255.255"))
"""ALL-ZERO-ONE-ADDR."""
_UNKNOWN: Final = ReplyCode.UNKNOWN_HOME_AGENT_ADDRESS


def check_home_agent(
    event: Received,
    message: RegistrationRequest,
    config: HomeAgentConfig,
    entry: MobileNodeEntry,
    before: NodeRecord | None,
    nodes: int,
) -> None:
    """Refuse what is not for us: 136, which tells our address, or 143, which tells another one.

    `nodes` is how many have a binding, `before` what is kept of this one. What was sent to a
    broadcast address is denied whatever it says (dynamic home agent address resolution).
    """
    if event.destination != config.address:
        raise Refused("sent-to-broadcast", _UNKNOWN)
    if message.home_agent == config.address:
        return
    # RFC 4433 5.1: such a node has a name.
    named = entry.nai is not None and nai_of(message) == entry.nai
    if message.home_agent not in _ANY or not named:
        raise Refused("home-agent-unknown", _UNKNOWN)
    if any(each != config.address for each in _requested(message)):
        raise Refused("requested-home-agent-unknown", _UNKNOWN)
    known = before is not None and before.bindings
    full = config.max_nodes is not None and nodes >= config.max_nodes
    if message.lifetime_s and full and not known:
        raise Refused("redirected", ReplyCode.REDIRECT_HOME_AGENT)


def redirection(config: HomeAgentConfig, code: ReplyCode) -> tuple[Extension, ...]:
    """Return what a denial with 143 has to tell: which home agent to ask instead (3.4.2)."""
    if code is not ReplyCode.REDIRECT_HOME_AGENT or config.redirect_to is None:
        return ()
    return (DynamicHomeAgent(DynamicHomeAgentSubtype.REDIRECTED, config.redirect_to),)


def _requested(message: RegistrationRequest) -> list[IPv4Address]:
    protected, _authentication, _exposed = split_at_authentication(message, _KIND)
    return [
        each.home_agent
        for each in protected
        if isinstance(each, DynamicHomeAgent) and each.subtype == DynamicHomeAgentSubtype.REQUESTED
    ]
