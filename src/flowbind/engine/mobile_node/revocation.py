"""Registration revocation (RFC 3543 4.2.2.3): the home agent ends a binding of ours.

Only a binding whose registration agreed on it can be revoked. The node acknowledges, gives up that
binding and no other, and registers it again after a while: the home agent may have had its reasons,
and may have them still. Each revocation of a path doubles the while. All nodes of a home agent may
be told in the same second, so the while also depends on the addresses.

A message that was not acknowledged comes again as another one, after the binding has gone: it is
acknowledged again up to the end of the lifetime that the binding had.
"""

from hashlib import blake2b
from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.authenticator import AuthenticationError, protect, verify
from flowbind.auth.identifiers import is_later
from flowbind.effects import Effect, Log, SendDatagram
from flowbind.engine.hearing import understood
from flowbind.engine.mobile_node.identity import UNKNOWN
from flowbind.engine.mobile_node.messages import support_of
from flowbind.engine.mobile_node.registration import Registration
from flowbind.engine.mobile_node.state import Interface, Sent
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import split_at_authentication
from flowbind.wire.registration import RegistrationReply
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from flowbind.wire.revocation_support import RevocationSupport

FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 640.0
"""After this long without another revocation the next one is a first one again, too."""

_KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION


class Revocations:
    """Takes in what the home agent says of bindings that a Registration has made."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._config = registration.config
        # By care-of address: the last identifier, and the end of the lifetime that was left.
        self._revoked: dict[IPv4Address, tuple[int, float]] = {}
        # By interface: how often in a row, and when last.
        self._times: dict[str, tuple[int, float]] = {}

    # ---- the agreement (4.2.1)

    def note(self, sent: Sent, reply: RegistrationReply) -> None:
        """Note whether the reply that grants a request agrees on revocation.

        Raises Refused for one that is older than a revocation which has overtaken it.
        """
        if not support_of(self._config, sent):
            return
        protected, _authentication, _exposed = split_at_authentication(reply, _KIND)
        told = next((each for each in protected if isinstance(each, RevocationSupport)), None)
        last = self._revoked.get(sent.care_of_address)
        if told and last and is_later(last[0], told.timestamp):
            raise Refused("reply-before-revocation")
        sent.revocation = told.timestamp if told else None

    # ---- being revoked

    def on_received(self, event: Received, now: float) -> list[Effect]:
        """Take in a revocation. All that is wrong with one is passed over."""
        try:
            message = self._authentic(event)
            interface = self._subject(message, now)
        except Refused as refusal:
            self._registration.statistics[f"discarded_{refusal.reason}"] += 1
            return []
        acknowledgment = self._acknowledgment(event, message)
        if interface is None:
            self._registration.statistics["revoked_again"] += 1
            return [acknowledgment]
        return [acknowledgment, self._end(interface, now)]

    def _authentic(self, event: Received) -> Revocation:
        """Decode and authenticate a revocation of a home agent (3.5). Raises Refused."""
        try:
            message = understood(event.payload)
        except WireError as error:
            raise Refused(error.reason) from error
        assert isinstance(message, Revocation)  # noqa: S101 -- the type is looked at before
        if message.home_address != self._registration.identity.home_address:
            raise Refused("home-address-unknown")
        try:
            verify(event.payload, _KIND, self._config.association)
        except AuthenticationError as error:
            raise Refused(error.reason) from error
        if not message.by_home_agent:
            raise Refused("revocation-reflected")
        if message.home_domain != self._registration.identity.home_agent:
            raise Refused("home-agent-unknown")
        return message

    def _subject(self, message: Revocation, now: float) -> Interface | None:
        """Return whose binding it is, None for one that is revoked already. Raises Refused."""
        care_of_address, identifier = message.foreign_domain, message.identifier
        for interface in self._registration.interfaces.values():
            binding = interface.binding
            if binding is None or binding.care_of_address != care_of_address:
                continue
            if binding.revocation is None:
                raise Refused("revocation-not-agreed")
            if not is_later(identifier, binding.revocation):
                raise Refused("revocation-replayed")
            self._revoked = {each: it for each, it in self._revoked.items() if now < it[1]}
            self._revoked[care_of_address] = (identifier, binding.expires_at)
            return interface
        last, until = self._revoked.get(care_of_address, (0, 0.0))
        if now >= until:
            raise Refused("revocation-of-nothing")
        if not is_later(identifier, last):
            raise Refused("revocation-replayed")
        self._revoked[care_of_address] = (identifier, until)
        return None

    def _acknowledgment(self, event: Received, message: Revocation) -> SendDatagram:
        """3.4: addresses and ports swapped. The I bit is nothing to a co-located node."""
        answer = RevocationAcknowledgment(
            inform=message.inform,
            home_address=message.home_address,
            identifier=message.identifier,
        )
        return SendDatagram(
            payload=protect(answer, _KIND, self._config.association),
            source=event.destination,
            source_port=event.destination_port,
            destination=event.source,
            destination_port=event.source_port,
            interface=event.interface,
        )

    def _end(self, interface: Interface, now: float) -> Log:
        self._registration.statistics["revoked"] += 1
        wait_s = self._wait_s(interface, now)
        self._registration.unbind(interface, now, confirmed=True)
        interface.register_after = now + wait_s
        text = f"{interface.name}: the home agent has revoked the binding"
        return Log("warning", f"{text}, to be registered again in {wait_s:.1f} s")

    def _wait_s(self, interface: Interface, now: float) -> float:
        """Return how long to leave a path alone: the first time 5 s to 10 s, in the end 10 min."""
        times, last_at = self._times.get(interface.name, (0, 0.0))
        if now - last_at > 2 * LONGEST_WAIT_S:
            times = 0
        self._times[interface.name] = (times + 1, now)
        wait_s = min(FIRST_WAIT_S * (1 << min(times, 16)), LONGEST_WAIT_S / 2)
        home_address = self._registration.identity.home_address or UNKNOWN
        return wait_s * (1.0 + _share(home_address, interface.config.bid))


def _share(home_address: IPv4Address, bid: int) -> float:
    """Return a number from 0 to 1 that differs from node to node and from path to path."""
    digest = blake2b(home_address.packed + bytes((bid,)), digest_size=4).digest()
    return int.from_bytes(digest, "big") / (1 << 32)
