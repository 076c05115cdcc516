"""What is wrong with a message that decodes: the MUSTs that can be judged from it alone."""

from collections.abc import Iterator
from types import UnionType
from typing import Final

from flowbind.auth.association import FIRST_USABLE_SPI
from flowbind.wire.authentication import Authentication
from flowbind.wire.extension import Extension, MalformedExtension
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.generalized_authentication import GeneralizedAuthentication
from flowbind.wire.iana import ExtensionType, FlowAction, GeneralizedAuthenticationSubtype
from flowbind.wire.message import Message, all_of, split_at_authentication
from flowbind.wire.multipath import HIGHEST_BID, LOWEST_BID, Multipath
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.strings import MessageString

_IN_NOTIFICATIONS: Final = (Authentication, MessageString)


def violations(message: Message) -> Iterator[str]:
    """Say which rules a message breaks, and where the rule is."""
    if isinstance(message, RegistrationRequest):
        yield from _of_request(message)
    elif isinstance(message, RegistrationReply):
        if all_of(message, Multipath):
            yield "a Multipath extension in a Registration Reply (RFC 7629 4.1)"
    elif isinstance(message, GenericNotification | NotificationAcknowledgment):
        yield from _of_notification(message)
    yield from _of_order(message)
    for binding in all_of(message, FlowBinding):
        for bid in binding.bids:
            if binding.action is FlowAction.FORWARD and not LOWEST_BID <= bid <= HIGHEST_BID:
                yield f"BID {bid} is reserved (RFC 7629 4.1)"
    for authentication in all_of(message, Authentication):
        if authentication.spi < FIRST_USABLE_SPI:
            yield f"SPI {authentication.spi} is reserved (RFC 5944 1.6)"


def _of_request(request: RegistrationRequest) -> Iterator[str]:
    multipaths = all_of(request, Multipath)
    if len(multipaths) > 1:
        yield f"{len(multipaths)} Multipath extensions: at most one is allowed (RFC 7629 4.1)"
    for multipath in multipaths:
        if multipath.bulk and multipath.overwrite:
            yield "B and O are both set (RFC 7629 4.1)"
        if multipath.overwrite and request.lifetime_s == 0:
            yield "O is set in a deregistration (RFC 7629 4.1)"
    if not any(_enables_authorization(each) for each in request.extensions):
        yield "no authorization-enabling extension: it will be discarded (RFC 5944 3.2)"


def _of_notification(message: GenericNotification | NotificationAcknowledgment) -> Iterator[str]:
    for extension in message.extensions:
        if not isinstance(extension, _IN_NOTIFICATIONS):
            yield "an extension that no notification may have: it will be discarded (RFC 6098 4.1)"


def _enables_authorization(extension: Extension) -> bool:
    if isinstance(extension, GeneralizedAuthentication):
        return extension.subtype == GeneralizedAuthenticationSubtype.MN_AAA
    return (
        isinstance(extension, Authentication)
        and extension.type is ExtensionType.MOBILE_HOME_AUTHENTICATION
    )


def _of_order(message: Message) -> Iterator[str]:
    kind = ExtensionType.MOBILE_HOME_AUTHENTICATION
    _before, authentication, after = split_at_authentication(message, kind)
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
