"""Registration Replies of a home agent (RFC 5944 3.8.3)."""

from ipaddress import IPv4Address
from typing import Final, TypeGuard

from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import protect
from flowbind.auth.nonces import with_nonce
from flowbind.auth.replay import mismatch_identification
from flowbind.effects import Effect, SendDatagram
from flowbind.engine.home_agent.around import in_words
from flowbind.engine.home_agent.validation import KIND, association_of
from flowbind.events import Received
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.model.flow import FlowRule
from flowbind.wire.extension import Extension
from flowbind.wire.flow_binding import DROP_BID, FlowBinding
from flowbind.wire.iana import MOBILE_IP_PORT, ExtensionType, MessageType, ReplyCode
from flowbind.wire.message import all_of, decode, split_at_authentication
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.service_selection import ServiceSelection

Policy = tuple[FlowBinding, ...]

_REPLY: Final = int(MessageType.REGISTRATION_REPLY)


def reply_to(
    event: Received,
    request: RegistrationRequest,
    config: HomeAgentConfig,
    association: SecurityAssociation,
    code: ReplyCode,
    now: float,
    lifetime_s: int = 0,
    nonce: int | None = None,
    told: tuple[Extension, ...] = (),
) -> SendDatagram:
    """Build the reply: addresses and ports swapped, the NAI echoed, what is told, authenticated.

    Only the NAI in front of the authenticator is echoed, where RFC 2794 wants it: what somebody on
    the way has added behind is not to leave again with our signature.

    The high half of the Identification is the nonce, if there is one (5.7.2). Otherwise code 133
    carries our clock there (5.7.1).
    """
    identification = request.identification
    if nonce is not None:
        identification = with_nonce(nonce, identification)
    elif code is ReplyCode.IDENTIFICATION_MISMATCH:
        identification = mismatch_identification(identification, now)
    reply = RegistrationReply(
        code=code,
        lifetime_s=lifetime_s,
        home_address=request.home_address,
        home_agent=config.address,
        identification=identification,
        extensions=(*_echoed(request), *told),
    )
    return SendDatagram(
        payload=protect(reply, ExtensionType.MOBILE_HOME_AUTHENTICATION, association),
        source=config.address,
        source_port=MOBILE_IP_PORT,
        destination=event.source,
        destination_port=event.source_port,
        # 3.8.3.1: past any binding that there may be.
        interface=config.home_link if is_from_home(request, event.source) else None,
    )


def is_from_home(request: RegistrationRequest, source: IPv4Address) -> bool:
    """Tell whether this is how a node deregisters that has returned home (3.8.3.1)."""
    at_home = request.care_of_address == request.home_address == source
    return at_home and request.lifetime_s == 0


def policy_of(rules: tuple[FlowRule, ...]) -> Policy:
    """Return the Flow-Binding extensions that tell these rules to their node (RFC 7629 4.2)."""
    return tuple(
        FlowBinding(rule.action, rule.bids or (DROP_BID,), rule.selector) for rule in rules
    )


def _echoed(request: RegistrationRequest) -> tuple[Extension, ...]:
    protected, _authentication, _exposed = split_at_authentication(request, KIND)
    return tuple(each for each in protected if isinstance(each, NetworkAccessIdentifier))[:1]


def is_reply(effect: Effect) -> TypeGuard[SendDatagram]:
    """Tell whether an effect is a Registration Reply."""
    return isinstance(effect, SendDatagram) and effect.payload[0] == _REPLY


def home_address_of(reply: SendDatagram) -> IPv4Address:
    """Return the home address that a reply of ours is about."""
    return _decoded(reply).home_address


def _decoded(datagram: SendDatagram) -> RegistrationReply:
    reply = decode(datagram.payload)
    assert isinstance(reply, RegistrationReply)  # noqa: S101 -- we made it
    return reply


def denial_instead_of(
    accepted: SendDatagram, entry: MobileNodeEntry, config: HomeAgentConfig
) -> SendDatagram:
    """Turn a reply that was never sent into a denial for want of resources (130).

    The security association stays that of the reply, and so of its request.
    """
    reply = _decoded(accepted)
    denial = RegistrationReply(
        code=ReplyCode.INSUFFICIENT_RESOURCES,
        lifetime_s=0,
        home_address=reply.home_address,
        home_agent=reply.home_agent,
        identification=reply.identification,
        extensions=(
            *all_of(reply, NetworkAccessIdentifier),
            *all_of(reply, ServiceSelection),
            *in_words(config, "insufficient-resources"),
        ),
    )
    payload = protect(
        denial, ExtensionType.MOBILE_HOME_AUTHENTICATION, association_of(reply, entry)
    )
    return structs.replace(accepted, payload=payload)
