"""What is wrong with a message that decodes: the MUSTs that can be judged from it alone."""

from collections.abc import Iterator
from types import UnionType
from typing import Final
from unicodedata import is_normalized

from flowbind.auth.association import FIRST_USABLE_SPI
from flowbind.wire.authentication import Authentication
from flowbind.wire.extension import Extension, MalformedExtension
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.iana import (
    ExtensionType,
    FlowAction,
    GeneralizedAuthenticationSubtype,
    MessageDirection,
)
from flowbind.wire.message import Message, all_of, authentication_of, split_at_authentication
from flowbind.wire.multipath import HIGHEST_BID, LOWEST_BID, Multipath
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.names import extension_name
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from flowbind.wire.service_selection import ServiceSelection
from flowbind.wire.strings import ForeignAgentError, MessageString

_OF_A_MOBILE_NODE: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION
_WITH_A_FOREIGN_AGENT: Final = ExtensionType.MOBILE_FOREIGN_AUTHENTICATION
_BETWEEN_AGENTS: Final = ExtensionType.FOREIGN_HOME_AUTHENTICATION

_IN_NOTIFICATIONS: Final = (Authentication, MessageString)
_AUTHENTICATION_OF: Final[dict[int, ExtensionType]] = {
    MessageDirection.HOME_AGENT_TO_MOBILE_NODE: _OF_A_MOBILE_NODE,
    MessageDirection.HOME_AGENT_TO_FOREIGN_AGENT: _BETWEEN_AGENTS,
    MessageDirection.MOBILE_NODE_TO_HOME_AGENT: _OF_A_MOBILE_NODE,
    MessageDirection.MOBILE_NODE_TO_FOREIGN_AGENT: _WITH_A_FOREIGN_AGENT,
    MessageDirection.FOREIGN_AGENT_TO_MOBILE_NODE: _WITH_A_FOREIGN_AGENT,
    MessageDirection.FOREIGN_AGENT_TO_HOME_AGENT: _BETWEEN_AGENTS,
}

_CHAP_SPI: Final = 2
"""What says that a RADIUS server verifies an authenticator of type 36 (RFC 4721 8)."""

_LEAST_AUTHENTICATOR_OCTETS: Final = 16
_FIRST_STATUS: Final = 64
_LAST_STATUS: Final = 127


def violations(message: Message) -> Iterator[str]:
    """Say which rules a message breaks, and where the rule is."""
    match message:
        case RegistrationRequest():
            yield from _of_request(message)
        case RegistrationReply():
            yield from _of_reply(message)
        case GenericNotification() | NotificationAcknowledgment():
            yield from _of_notification(message)
        case Revocation() | RevocationAcknowledgment():
            if not _has(message, _BETWEEN_AGENTS, _OF_A_MOBILE_NODE):
                yield "no authentication extension: it will be discarded (RFC 3543 3.3, 3.4)"
    yield from _of_order(message)
    yield from _of_authenticators(message)
    yield from _of_foreign_agent_errors(message)
    for binding in all_of(message, FlowBinding):
        for bid in binding.bids:
            if binding.action is FlowAction.FORWARD and not LOWEST_BID <= bid <= HIGHEST_BID:
                yield f"BID {bid} is reserved (RFC 7629 4.1)"


def _of_request(request: RegistrationRequest) -> Iterator[str]:
    multipaths = all_of(request, Multipath)
    if len(multipaths) > 1:
        yield f"{len(multipaths)} Multipath extensions: at most one is allowed (RFC 7629 4.1)"
    for multipath in multipaths:
        if multipath.bulk and multipath.overwrite:
            yield "B and O are both set (RFC 7629 4.1)"
        if multipath.overwrite and request.lifetime_s == 0:
            yield "O is set in a deregistration (RFC 7629 4.1)"
    if not _has(request, _OF_A_MOBILE_NODE) and not any(map(_is_mobile_aaa, request.extensions)):
        yield "no authorization-enabling extension: it will be discarded (RFC 5944 3.2)"
    if all_of(request, MessageString):
        yield "a Message String in a Registration Request (RFC 4917 4)"
    services = all_of(request, ServiceSelection)
    if len(services) > 1:
        yield f"{len(services)} Service Selection extensions: at most one is allowed (RFC 5446 3)"
    if not all(is_normalized("NFKC", each.identifier) for each in services):
        yield "the name of a service is not in normalization form KC (RFC 5446 3)"


def _of_reply(reply: RegistrationReply) -> Iterator[str]:
    if all_of(reply, Multipath):
        yield "a Multipath extension in a Registration Reply (RFC 7629 4.1)"
    if any(map(_is_mobile_aaa, reply.extensions)):
        yield "a Mobile-AAA Authentication in a Registration Reply (RFC 4721 6)"


def _of_foreign_agent_errors(message: Message) -> Iterator[str]:
    for error in all_of(message, ForeignAgentError):
        if not _FIRST_STATUS <= error.status <= _LAST_STATUS:
            yield f"status {error.status} is none of a foreign agent (RFC 4636 4)"
        if not isinstance(message, RegistrationReply):
            yield "an FA Error extension outside of a Registration Reply (RFC 4636 4)"


def _of_notification(message: GenericNotification | NotificationAcknowledgment) -> Iterator[str]:
    for extension in message.extensions:
        if not isinstance(extension, _IN_NOTIFICATIONS):
            yield "an extension that no notification may have: it will be discarded (RFC 6098 4.1)"
    wanted = _AUTHENTICATION_OF.get(message.direction)
    if wanted is None:
        yield f"direction {message.direction} is unassigned (RFC 6098 4.1)"
    elif not _has(message, wanted):
        yield f"no {extension_name(wanted)} extension: it will be discarded (RFC 6098 4.1, 4.2)"


def _of_authenticators(message: Message) -> Iterator[str]:
    for each in message.extensions:
        if not isinstance(each, Authentication | GeneralizedAuthentication):
            continue
        chap = isinstance(each, GeneralizedAuthentication) and each.spi == _CHAP_SPI
        if each.spi < FIRST_USABLE_SPI and not chap:
            yield f"SPI {each.spi} is reserved (RFC 5944 1.6)"
        octets = len(each.authenticator)
        if isinstance(each, GeneralizedAuthentication) and octets < _LEAST_AUTHENTICATOR_OCTETS:
            yield f"an authenticator of {octets} octets: at least 16 are needed (RFC 4721 5)"


def _is_mobile_aaa(extension: Extension) -> bool:
    return (
        isinstance(extension, GeneralizedAuthentication)
        and extension.subtype == GeneralizedAuthenticationSubtype.MN_AAA
    )


def _has(message: Message, *kinds: ExtensionType) -> bool:
    return any(authentication_of(message, kind) is not None for kind in kinds)


def _of_order(message: Message) -> Iterator[str]:
    before, authentication, after = split_at_authentication(message, _OF_A_MOBILE_NODE)
    if any(map(_is_mobile_aaa, before)):
        yield "a Mobile-AAA Authentication in front of the Mobile-Home one (RFC 4721 6)"
    _in_front, foreign, behind_foreign = split_at_authentication(message, _WITH_A_FOREIGN_AGENT)
    if foreign is not None and any(map(_is_mobile_aaa, behind_foreign)):
        yield "a Mobile-AAA Authentication behind the Mobile-Foreign one (RFC 4721 6)"
    if authentication is None:
        return
    behind = "behind the Mobile-Home Authentication extension, which does not cover it"
    for extension in after:
        if _is_of_type(extension, ExtensionType.MULTIPATH, Multipath | FlowBinding):
            yield f"an extension of type 154 {behind} (RFC 7629 4.1, 4.2)"
        if isinstance(message, RegistrationReply):
            continue
        if _is_of_type(extension, ExtensionType.NAI, NetworkAccessIdentifier):
            yield f"a Mobile Node NAI extension {behind} (RFC 2794 2)"


def _is_of_type(extension: Extension, number: int, kind: type | UnionType) -> bool:
    if isinstance(extension, MalformedExtension):
        return extension.type == number
    return isinstance(extension, kind)
