"""Foreign agents that share a security association with the home agent (RFC 5944 3.8.2.1 c, d).

The association is found by the source address of the request and the SPI. A deregistration is never
authenticated between agents (3.5.4).
"""

from typing import Final

from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import AuthenticationError, protect_further, verify
from flowbind.effects import SendDatagram
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.model.config import ForeignAgentEntry
from flowbind.wire.authentication import Authentication
from flowbind.wire.iana import ExtensionType, ReplyCode
from flowbind.wire.message import Message, decode
from flowbind.wire.registration import RegistrationRequest

_KIND: Final = ExtensionType.FOREIGN_HOME_AUTHENTICATION

Associations = tuple[SecurityAssociation, ...]


class ForeignAgents:
    """The foreign agents of a configuration."""

    def __init__(self, entries: tuple[ForeignAgentEntry, ...]) -> None:
        self._associations = {each.address: each.associations for each in entries}

    def check(self, event: Received, request: RegistrationRequest) -> None:
        """Check what a foreign agent has added to a request (3.8.2.1 c and d). Raises Refused.

        The code is 132 where the agent is known, and there is silence where it is not.
        """
        known = self._associations.get(event.source)
        if known is None:
            if _found(request):
                raise Refused("foreign-agent-unknown")
        elif request.lifetime_s:
            try:
                _verify(event.payload, request, known)
            except AuthenticationError as error:
                code = ReplyCode.FOREIGN_AGENT_FAILED_AUTHENTICATION
                raise Refused(f"foreign-agent-{error.reason}", code) from error

    def vouches_for(self, event: Received, request: RegistrationRequest) -> bool:
        """Tell whether a foreign agent that we know has relayed a request (3.8.2.1 a)."""
        known = self._associations.get(event.source)
        if known is None or request.lifetime_s == 0:
            return False
        try:
            _verify(event.payload, request, known)
        except AuthenticationError:
            return False
        return True

    def authenticated(self, reply: SendDatagram, request: RegistrationRequest) -> SendDatagram:
        """Add the authentication that a reply to a foreign agent has to have (3.8.3.3)."""
        known = self._associations.get(reply.destination)
        if known is None or request.lifetime_s == 0:
            return reply
        return _protected(reply, _association(known, _found(request)))

    def authenticated_alike(self, denial: SendDatagram, reply: SendDatagram) -> SendDatagram:
        """Add it to what is sent instead of a reply, if that one had it."""
        found = _found(decode(reply.payload))
        if not found:
            return denial
        return _protected(denial, _association(self._associations[reply.destination], found))


def _protected(reply: SendDatagram, association: SecurityAssociation) -> SendDatagram:
    return structs.replace(reply, payload=protect_further(reply.payload, _KIND, association))


def _verify(payload: bytes, request: RegistrationRequest, known: Associations) -> None:
    """Raises AuthenticationError unless there is exactly one authentication, and it is right."""
    found = _found(request)
    if len(found) > 1:
        raise AuthenticationError("authenticator-repeated")
    verify(payload, _KIND, _association(known, found))


def _found(message: Message) -> tuple[Authentication, ...]:
    return tuple(
        [
            each
            for each in message.extensions
            if isinstance(each, Authentication) and each.type is _KIND
        ]
    )


def _association(known: Associations, found: tuple[Authentication, ...]) -> SecurityAssociation:
    """Return the association whose SPI is named, the first one if none is."""
    spis = [each.spi for each in found]
    return next((each for each in known if each.spi in spis), known[0])
