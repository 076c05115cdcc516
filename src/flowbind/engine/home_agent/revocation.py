"""Registration revocation (RFC 3543): telling a node that a binding of its has ended.

A binding ends when the operator says so, whether its node can be told or not. Where the last
registration agreed on it, the node is told until it acknowledges, which it may never do: the end of
the binding's own lifetime is the end of it. The binding waits for that in its record, so that a
restart goes on.
"""

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Final

from msgspec import structs

from flowbind.auth.authenticator import AuthenticationError, protect, verify
from flowbind.auth.identifiers import next_timestamp, not_before
from flowbind.effects import Effect, Log, SaveNode, SendDatagram
from flowbind.engine.deadlines import Deadlines
from flowbind.engine.home_agent.bindings import left_with
from flowbind.engine.home_agent.contact import association_with, contact_of
from flowbind.engine.home_agent.validation import KIND, association_of
from flowbind.engine.refusal import Refused
from flowbind.events import Received, RevokeRequested
from flowbind.model.binding import Binding, NodeRecord
from flowbind.model.config import MobileNodeEntry
from flowbind.wire.iana import MOBILE_IP_PORT, RequestFlag
from flowbind.wire.message import split_at_authentication
from flowbind.wire.registration import RegistrationRequest
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from flowbind.wire.revocation_support import RevocationSupport

MIN_INTERVAL_S: Final = 1.0
"""3.3: no two messages about one binding are closer than this, the reply to its node included."""
MAX_INTERVAL_S: Final = 64.0
"""The longest time between two tries, each of which waits for twice as long as the one before."""

_IDENTIFIERS: Final = 8
"""How many of the last tries can still be acknowledged."""

_Key = tuple[IPv4Address, IPv4Address]
"""Home address and care-of address: by these a revocation names a binding."""


class _Telling:
    """The tries to tell of one revoked binding, in this run."""

    def __init__(self) -> None:
        self.tries = 0
        self.identifiers: list[int] = []

    def sent(self, identifier: int) -> None:
        self.tries += 1
        self.identifiers = [*self.identifiers, identifier][-_IDENTIFIERS:]

    @property
    def wait_s(self) -> float:
        """How long an acknowledgment is waited for."""
        return min(MIN_INTERVAL_S * (1 << min(self.tries - 1, 16)), MAX_INTERVAL_S)


class Revocations:
    """Sends the revocations that the `records` wait with, and takes the acknowledgments.

    Both mappings are the agent's, and of the records only what is told of revocations is changed.
    """

    def __init__(
        self,
        address: IPv4Address,
        entries: Mapping[IPv4Address, MobileNodeEntry],
        records: dict[IPv4Address, NodeRecord],
        statistics: Counter[str],
    ) -> None:
        self._address = address
        self._entries = entries
        self._records = records
        self._statistics = statistics
        self._tellings: dict[IPv4Address, dict[IPv4Address, _Telling]] = {}
        self._deadlines: Deadlines[_Key] = Deadlines()

    def deadline(self) -> float | None:
        """When something is to be sent, or given up, next."""
        return self._deadlines.next()

    # ---- the agreement (4.2.1)

    @staticmethod
    def agreed(
        message: RegistrationRequest, record: NodeRecord, now: float
    ) -> RevocationSupport | None:
        """Return what the reply to a request that is granted tells, None if it did not ask for it.

        Only what the authentication covers counts, and of a co-located node: no other may ask
        (3.2). The timestamp is not before any identifier that the node was sent, so that none which
        is still on its way can end what is registered now.
        """
        protected, _authentication, _exposed = split_at_authentication(message, KIND)
        asks = any(isinstance(each, RevocationSupport) for each in protected)
        co_located = RequestFlag.DECAPSULATION_BY_MOBILE_NODE in message.flags
        if not asks or not co_located or not message.lifetime_s:
            return None
        return RevocationSupport(not_before(contact_of(record).revocation, now))

    # ---- revoking (4.2.2.1)

    def revoke(self, record: NodeRecord, event: RevokeRequested) -> NodeRecord:
        """Return the record without the bindings that the operator means.

        Those whose nodes can be told are kept apart in it until they are.
        """
        gone = [each for each in record.bindings if is_meant(each, event)]
        left = tuple(each for each in record.bindings if each not in gone)
        contact = contact_of(record)
        told = tuple(each for each in gone if each.revocation is not None)
        self._statistics["revoked"] += len(gone)
        return structs.replace(
            left_with(record, left),
            contact=structs.replace(contact, revoked=(*contact.revoked, *told)),
        )

    def follow(self, record: NodeRecord, earliest: float = 0.0) -> None:
        """Take note of whom a record that holds from now on wants told, and whom no more.

        Nothing is sent before `earliest`, nor too soon behind the reply of the last registration.
        """
        home_address, revoked = record.home_address, contact_of(record).revoked
        if not revoked and home_address not in self._tellings:
            return
        before = self._tellings.pop(home_address, {})
        for care_of_address in before.keys() - {each.care_of_address for each in revoked}:
            self._deadlines.clear((home_address, care_of_address))
        for binding in revoked:
            if binding.care_of_address not in before:
                replied_at = binding.expires_at - binding.lifetime_s
                due_at = max(replied_at + MIN_INTERVAL_S, earliest)
                self._deadlines.set((home_address, binding.care_of_address), due_at)
        if revoked:
            self._tellings[home_address] = {
                each.care_of_address: before.get(each.care_of_address) or _Telling()
                for each in revoked
            }

    def tell(self, now: float) -> list[Effect]:
        """Send what is due."""
        effects: list[Effect] = []
        for key in self._deadlines.expired(now):
            record = self._records[key[0]]
            binding = _revoked(record, key[1])
            if binding.expires_at <= now:
                effects += self._give_up(record, binding)
            else:
                effects += self._send(record, binding, now)
        return effects

    def _send(self, record: NodeRecord, binding: Binding, now: float) -> list[Effect]:
        contact = contact_of(record)
        identifier = next_timestamp(now, contact.revocation, binding.revocation)
        after = structs.replace(record, contact=structs.replace(contact, revocation=identifier))
        self._records[record.home_address] = after
        telling = self._tellings[record.home_address][binding.care_of_address]
        telling.sent(identifier)
        key = record.home_address, binding.care_of_address
        self._deadlines.set(key, min(now + telling.wait_s, binding.expires_at))
        self._statistics["revocation_sent"] += 1
        message = Revocation(
            by_home_agent=True,
            # Irrelevant to a co-located node, and yet it should be set (3.3).
            inform=True,
            home_address=record.home_address,
            home_domain=self._address,
            foreign_domain=binding.care_of_address,
            identifier=identifier,
        )
        association = association_with(record, self._entries[record.home_address])
        datagram = SendDatagram(
            payload=protect(message, KIND, association),
            source=self._address,
            source_port=MOBILE_IP_PORT,
            destination=binding.source or binding.care_of_address,
            destination_port=MOBILE_IP_PORT,
        )
        return [SaveNode(after, record), datagram]

    def _give_up(self, record: NodeRecord, binding: Binding) -> list[Effect]:
        """4.2.2.1: nothing is sent beyond the end of the binding's lifetime."""
        self._statistics["revocation_unanswered"] += 1
        text = f"{record.home_address}: revocation of {binding.care_of_address} not acknowledged"
        return [*self._told(record, binding), Log("warning", text)]

    def _told(self, record: NodeRecord, binding: Binding) -> list[Effect]:
        contact = contact_of(record)
        left = tuple(each for each in contact.revoked if each is not binding)
        after = structs.replace(record, contact=structs.replace(contact, revoked=left))
        self._records[record.home_address] = after
        self.follow(after)
        return [SaveNode(after, record)]

    # ---- acknowledgments (3.5)

    def acknowledged(self, event: Received, message: RevocationAcknowledgment) -> list[Effect]:
        """Take an acknowledgment of a message of ours. Raises Refused: all of it is silent.

        The I bit says nothing about a co-located node.
        """
        entry = self._entries.get(message.home_address)
        if entry is None:
            raise Refused("no-security-association")
        association = association_of(message, entry)
        try:
            verify(event.payload, KIND, association)
        except AuthenticationError as error:
            raise Refused(error.reason) from error
        for care_of_address, telling in self._tellings.get(message.home_address, {}).items():
            if message.identifier in telling.identifiers:
                self._statistics["revocation_acknowledged"] += 1
                record = self._records[message.home_address]
                text = f"{message.home_address}: knows that {care_of_address} is revoked"
                return [*self._told(record, _revoked(record, care_of_address)), Log("info", text)]
        raise Refused("revocation-not-sent")


def _revoked(record: NodeRecord, care_of_address: IPv4Address) -> Binding:
    waiting = contact_of(record).revoked
    return next(each for each in waiting if each.care_of_address == care_of_address)


def is_meant(binding: Binding, event: RevokeRequested) -> bool:
    """Tell whether the operator means this binding."""
    return event.bid in {None, binding.bid} and event.care_of_address in {
        None,
        binding.care_of_address,
    }


def revoked_news(before: NodeRecord, after: NodeRecord) -> list[Effect]:
    """Tell the operator of the bindings that are gone, and of nodes that will not hear of it."""
    gone = [each for each in before.bindings if each not in after.bindings]
    return [_revoked_news(after.home_address, each) for each in gone]


def _revoked_news(home_address: IPv4Address, binding: Binding) -> Log:
    text = f"{home_address}: BID {binding.bid} at {binding.care_of_address} revoked"
    if binding.revocation is None:
        return Log("warning", f"{text}; the node is not told, its registration did not ask for it")
    return Log("info", f"{text}, telling the node")
