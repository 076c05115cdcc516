"""What requests and denials bear of the RFCs around 5944: services, vendors' extensions, words.

No vendor is known here, so each critical one is unknown (RFC 3115). A node that is configured with
services may have those and the default one (RFC 5446); with any other node the extension is passed
over, as by whoever does not know it.
"""

from typing import Final

from flowbind.engine.home_agent.assignment import redirection
from flowbind.engine.refusal import Refused
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.wire.extension import Extension, MalformedExtension
from flowbind.wire.iana import ExtensionType, MessageStringSubtype, ReplyCode
from flowbind.wire.message import split_at_authentication
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationRequest
from flowbind.wire.service_selection import ServiceSelection
from flowbind.wire.strings import MessageString
from flowbind.wire.vendor import CriticalVendorExtension

Extensions = tuple[Extension, ...]

_KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION
_VENDOR: Final = ExtensionType.CRITICAL_VENDOR
_POORLY_FORMED: Final = ReplyCode.POORLY_FORMED_REQUEST


def check_vendors(protected: Extensions, exposed: Extensions) -> None:
    """RFC 3115 2.3: 140 for what the node has sent, 141 for what a foreign agent has added."""
    if any(map(_is_critical, protected)):
        code = ReplyCode.VENDOR_EXTENSION_OF_MOBILE_NODE_UNKNOWN
        raise Refused("vendor-extension-unknown", code)
    if any(map(_is_critical, exposed)):
        code = ReplyCode.VENDOR_EXTENSION_OF_FOREIGN_AGENT_UNKNOWN
        raise Refused("vendor-extension-of-others-unknown", code)


def _is_critical(extension: Extension) -> bool:
    if isinstance(extension, MalformedExtension):
        return extension.type == _VENDOR
    return isinstance(extension, CriticalVendorExtension)


def check_service(protected: Extensions, entry: MobileNodeEntry) -> None:
    """RFC 5446 4.2: 151 for a service that the node may not have. 3: one at the most, behind the
    NAI.
    """
    if not entry.services:
        return
    asked = [each for each in protected if isinstance(each, ServiceSelection)]
    if not asked:
        return
    named = [each for each in protected if isinstance(each, NetworkAccessIdentifier)]
    if len(asked) > 1 or (named and protected.index(named[0]) > protected.index(asked[0])):
        raise Refused("service-selection-misplaced", _POORLY_FORMED)
    if asked[0].identifier not in entry.services:
        raise Refused("service-not-authorized", ReplyCode.SERVICE_AUTHORIZATION_FAILED)


def service_echoed(request: RegistrationRequest, entry: MobileNodeEntry) -> Extensions:
    """RFC 5446 3: the reply may have the extension unchanged; here it tells that it was heard."""
    if not entry.services:
        return ()
    protected, _authentication, _exposed = split_at_authentication(request, _KIND)
    return tuple(each for each in protected if isinstance(each, ServiceSelection))[:1]


def told_of_denial(config: HomeAgentConfig, refusal: Refused) -> Extensions:
    """Return what a denial tells: where else to register, and in words why (RFC 4433, RFC 4917)."""
    redirected = redirection(config, refusal.code) if refusal.code else ()
    return (*redirected, *in_words(config, refusal.reason))


def in_words(config: HomeAgentConfig, reason: str) -> Extensions:
    """Return the name of a refusal as a message for people, if the operator wants that told."""
    if not config.message_strings:
        return ()
    return (MessageString.of(MessageStringSubtype.HOME_AGENT, reason.replace("-", " ")),)
