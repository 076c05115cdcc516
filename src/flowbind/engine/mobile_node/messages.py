"""Registration Requests out (RFC 5944 3.6.1, RFC 7629 5.1), Registration Replies in (3.6.2)."""

from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.aaa import protect_aaa
from flowbind.auth.authenticator import AuthenticationError, protect, verify
from flowbind.auth.identifiers import timestamp_of
from flowbind.effects import SendDatagram
from flowbind.engine.hearing import understood
from flowbind.engine.mobile_node.identity import UNKNOWN, Identity
from flowbind.engine.mobile_node.state import Interface, Sent
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.model.binding import Encapsulation
from flowbind.model.config import InterfaceConfig, MobileNodeConfig
from flowbind.wire.authentication import Authentication
from flowbind.wire.dynamic_home_agent import DynamicHomeAgent
from flowbind.wire.errors import WireError
from flowbind.wire.extension import Extension
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import (
    MOBILE_IP_PORT,
    DynamicHomeAgentSubtype,
    ExtensionType,
    MultipathFlag,
    ReplyCode,
    RequestFlag,
)
from flowbind.wire.message import all_of, split_at_authentication
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.revocation_support import RevocationSupport
from flowbind.wire.strings import ForeignAgentError, MessageString
from flowbind.wire.vendor import CriticalVendorExtension

ACCEPTED: Final = frozenset({ReplyCode.ACCEPTED, ReplyCode.ACCEPTED_NO_SIMULTANEOUS_BINDINGS})

_REDIRECTED: Final = DynamicHomeAgentSubtype.REDIRECTED
_KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION
_BITS: Final = {
    Encapsulation.GRE: RequestFlag.GRE_ENCAPSULATION,
    Encapsulation.MINIMAL: RequestFlag.MINIMAL_ENCAPSULATION,
}


def multipath_of(config: InterfaceConfig, flags: MultipathFlag) -> Multipath:
    """The Multipath extension that registers an interface."""
    return Multipath(config.access_technology, config.label, config.bid, flags)


def flags_of(config: MobileNodeConfig, subject: InterfaceConfig, *, ends: bool) -> RequestFlag:
    """D: we decapsulate ourselves. T: our packets come back through the tunnel.

    S: the other bindings are to stay. B: broadcasts are to come too. A deregistration says nothing
    of either. M or G: the packets are to come otherwise than by IP-in-IP.
    """
    flags = RequestFlag.DECAPSULATION_BY_MOBILE_NODE | RequestFlag.REVERSE_TUNNELING
    if config.simultaneous and not ends:
        flags |= RequestFlag.SIMULTANEOUS_BINDINGS
    if config.broadcast_datagrams and not ends:
        flags |= RequestFlag.BROADCAST_DATAGRAMS
    return flags | _BITS.get(subject.encapsulation, RequestFlag(0))


def support_of(config: MobileNodeConfig, sent: Sent) -> tuple[RevocationSupport, ...]:
    """Return what a request says of revocation: that a co-located node takes it (3.2)."""
    co_located = sent.care_of_address != sent.home_address
    if not config.revocation or not sent.lifetime_s or not co_located:
        return ()
    return (RevocationSupport(timestamp_of(sent.at)),)


def request(
    identity: Identity,
    via: Interface,
    source: IPv4Address,
    flags: RequestFlag,
    lifetime_s: int,
    care_of_address: IPv4Address,
    identification: int,
    extensions: tuple[Extension, ...],
) -> SendDatagram:
    """Build a request, authenticated, out of the interface `via` (RFC 5944 3.6.1)."""
    if care_of_address == identity.home_address:
        # 3.6.1.2: D is for a care-of address that is co-located, which this one is not.
        flags &= ~RequestFlag.DECAPSULATION_BY_MOBILE_NODE
    message = RegistrationRequest(
        flags=flags,
        lifetime_s=lifetime_s,
        home_address=identity.home_address or UNKNOWN,
        home_agent=identity.home_agent_field,
        care_of_address=care_of_address,
        identification=identification,
        extensions=(*identity.extensions, *extensions),
    )
    payload = protect(message, _KIND, identity.config.association)
    if identity.config.aaa:
        # RFC 4721 3.1: without a foreign agent there is no challenge.
        payload = protect_aaa(payload, identity.config.aaa)
    return SendDatagram(
        payload=payload,
        source=source,
        source_port=0,
        destination=identity.home_agent,
        destination_port=MOBILE_IP_PORT,
        interface=via.name,
    )


def policy_of(reply: RegistrationReply) -> tuple[FlowBinding, ...]:
    """Return the Flow-Binding extensions of a reply (RFC 7629 4.2), of which none counts that its
    authentication does not cover.
    """
    protected, _authentication, _exposed = split_at_authentication(reply, _KIND)
    return tuple(each for each in protected if isinstance(each, FlowBinding))


def redirected_to(reply: RegistrationReply) -> IPv4Address | None:
    """Return the home agent that a reply sends to (RFC 4433 3.4.2), if it authentically does."""
    protected, _authentication, _exposed = split_at_authentication(reply, _KIND)
    for each in protected:
        if isinstance(each, DynamicHomeAgent) and each.subtype == _REDIRECTED:
            return each.home_agent
    return None


def reply_of(identity: Identity, event: Received) -> RegistrationReply:
    """Decode and authenticate a reply (3.6.2.1). Raises Refused: all of it is silent.

    Without a foreign agent in between, every reply comes from the home agent and must prove it.
    """
    try:
        message = understood(event.payload)
    except WireError as error:
        raise Refused(error.reason) from error
    if not isinstance(message, RegistrationReply):
        raise Refused("not-a-reply")
    if identity.home_address not in {None, message.home_address}:
        raise Refused("home-address-unknown")
    try:
        verify(event.payload, _KIND, identity.config.association)
    except AuthenticationError as error:
        raise Refused(error.reason) from error
    if [each.type for each in all_of(message, Authentication)].count(_KIND) > 1:
        raise Refused("authenticator-repeated")
    if identity.assigned and message.home_agent != identity.home_agent:
        # RFC 4433 5.1: the session is with the one that is assigned.
        raise Refused("home-agent-unknown")
    if message.home_address == UNKNOWN and message.code in ACCEPTED:
        # RFC 2794 3: a registration is about some address.
        raise Refused("home-address-missing")
    if message.code in ACCEPTED:
        _check_exposed(message)
    return message


def _check_exposed(reply: RegistrationReply) -> None:
    """RFC 4636 4, RFC 3115 2.3: what takes back what the home agent has granted stands where nobody
    vouches for it. It makes this reply count for nothing, as if whoever has added it had lost it;
    the request is repeated, and a reply without it is as good as any.
    """
    _protected, _authentication, exposed = split_at_authentication(reply, _KIND)
    if any(isinstance(each, ForeignAgentError) for each in exposed):
        raise Refused("foreign-agent-refuses")
    if any(isinstance(each, CriticalVendorExtension) for each in exposed):
        raise Refused("vendor-extension-unknown")


def rejection_of(reply: RegistrationReply) -> str | None:
    """Say why a reply that grants something counts as one that does not (RFC 3115 2.3)."""
    protected, _authentication, _exposed = split_at_authentication(reply, _KIND)
    for each in protected:
        if isinstance(each, CriticalVendorExtension):
            return f"it has an extension of vendor {each.vendor} that is unknown here"
        if isinstance(each, ForeignAgentError):
            return f"it has the error {each.status} of a foreign agent"
    return None


def message_of(reply: RegistrationReply) -> str | None:
    """Return what the home agent says in words (RFC 4917), if its authentication covers it."""
    protected, _authentication, _exposed = split_at_authentication(reply, _KIND)
    strings = (each for each in protected if isinstance(each, MessageString))
    return next((each.text for each in strings), None)
