"""Somebody on the way who sees every datagram and has no key: he replays, reflects and forges."""

from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address
from random import Random

from msgspec import structs

from flowbind.auth.association import FIRST_USABLE_SPI, SecurityAssociation
from flowbind.auth.authenticator import protect
from flowbind.events import Received
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, ReplyCode
from flowbind.wire.message import authentication_of, decode
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from tests.simulation.journal import Journal
from tests.simulation.scenario import AGENT, association
from tests.simulation.wire import garbled

ELSEWHERE = IPv4Address("203.0.113.66")
SPOOFED = 20
"""How many addresses he pretends to have, from ELSEWHERE on."""
RECENT = 30
KEPT = 3000
LARGEST_FLOOD = 300
_KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION


class Attacker:
    """Sends to the home agent and to nodes what he likes, but for what needs a key."""

    def __init__(
        self,
        chance: Random,
        journal: Journal,
        to_agent: Callable[[Received], None],
        to_node: Callable[[Received], None],
    ) -> None:
        self._chance = chance
        self._journal = journal
        self._to_agent = to_agent
        self._to_node = to_node
        self._recent: deque[Received] = deque(maxlen=RECENT)
        self._ever: list[Received] = []

    def overhear(self, received: Received) -> None:
        """See a datagram on its way. Of very many, some are forgotten."""
        self._recent.append(received)
        if len(self._ever) < KEPT:
            self._ever.append(received)
        else:
            self._ever[self._chance.randrange(KEPT)] = received

    def strike(self) -> None:
        """Send one datagram, or seldom very many at once."""
        if not self._ever:
            return
        number = 1
        if self._chance.random() < 0.02:
            number = self._chance.randint(10, LARGEST_FLOOD)
            self._journal.tell(f"a flood of {number} datagrams")
        for _ in range(number):
            self._send(self._datagram())

    def _datagram(self) -> Received:
        seen = self._chance.choice(self._chance.choice((self._recent, self._ever)))
        deeds = (self._as_it_was, self._elsewhere, self._reflected, self._bent, self._forged)
        return self._chance.choice(deeds)(seen)

    def _send(self, received: Received) -> None:
        if received.destination == AGENT:
            self._to_agent(received)
        else:
            self._to_node(received)

    def _as_it_was(self, seen: Received) -> Received:
        return seen

    def _elsewhere(self, seen: Received) -> Received:
        """Send it from another address, or to another node."""
        source = ELSEWHERE + self._chance.randrange(SPOOFED)
        if seen.destination == AGENT:
            port = self._chance.randrange(1, 1 << 16)
            return structs.replace(seen, source=source, source_port=port)
        other = self._chance.choice(self._ever)
        return structs.replace(
            seen, destination=other.destination, destination_port=other.destination_port
        )

    def _reflected(self, seen: Received) -> Received:
        """Send it back to where it came from, as if from where it went to."""
        return structs.replace(
            seen,
            source=seen.destination,
            source_port=seen.destination_port,
            destination=seen.source,
            destination_port=seen.source_port,
        )

    def _bent(self, seen: Received) -> Received:
        return garbled(seen, self._chance)

    def _forged(self, seen: Received) -> Received:
        """Make another message of it, with an authenticator of a key that nobody has."""
        try:
            message = decode(seen.payload)
        except WireError:
            return seen
        if isinstance(message, RegistrationRequest):
            message = self._other_request(message)
        elif isinstance(message, RegistrationReply):
            message = self._other_reply(message)
        elif isinstance(message, Revocation | RevocationAcknowledgment):
            later = message.identifier + self._chance.choice((0, 1, 1 << 31))
            message = structs.replace(message, identifier=later % (1 << 32), extensions=())
        else:
            return seen
        return structs.replace(seen, payload=protect(message, _KIND, self._own_key(seen.payload)))

    def _other_request(self, message: RegistrationRequest) -> RegistrationRequest:
        chance = self._chance
        multipath = Multipath(4, 1, chance.randint(1, 254))
        extensions = chance.choice(((), (multipath,), (multipath, multipath)))
        return structs.replace(
            message,
            lifetime_s=chance.choice((0, message.lifetime_s, 0xFFFF)),
            care_of_address=chance.choice((ELSEWHERE, message.care_of_address, AGENT)),
            identification=(message.identification + chance.choice((0, 1 << 12, 1 << 32)))
            % (1 << 64),
            extensions=extensions,
        )

    def _other_reply(self, message: RegistrationReply) -> RegistrationReply:
        code = self._chance.choice(list(ReplyCode))
        lifetime_s = self._chance.choice((0, message.lifetime_s, 0xFFFF))
        return structs.replace(message, code=code, lifetime_s=lifetime_s, extensions=())

    def _own_key(self, payload: bytes) -> SecurityAssociation:
        """Draw a key, and often the SPI that the datagram had."""
        own = association(self._chance)
        seen = authentication_of(decode(payload), _KIND)
        usable = seen is not None and seen.spi >= FIRST_USABLE_SPI and self._chance.random() < 0.7
        return structs.replace(own, spi=seen.spi) if seen and usable else own
