"""The home agent's end of generic notifications (RFC 6098 4.7)."""

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address

from msgspec import structs

from flowbind.effects import Effect, SaveNode
from flowbind.engine.home_agent.contact import association_with, contact_of
from flowbind.engine.home_agent.validation import association_of
from flowbind.engine.notifications import HOME_AGENT, Notifications, Peer, Route
from flowbind.engine.refusal import Refused
from flowbind.events import NotifyRequested, Received
from flowbind.model.binding import NodeRecord
from flowbind.model.config import MobileNodeEntry
from flowbind.wire.iana import MOBILE_IP_PORT
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment


class NodeNotifications:
    """Speaks to the nodes of the `records`. Both mappings are the agent's own."""

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
        self.exchange = Notifications(HOME_AGENT, self.route_of, statistics)

    def route_of(self, wanted: NotifyRequested) -> Route | None:
        """Return how to reach a node at the binding that is meant, the first if none is.

        It is the way that its last request took (4.1), back.
        """
        record = self._records.get(wanted.home_address)
        bindings = record.bindings if record else ()
        binding = next((each for each in bindings if wanted.bid in {None, each.bid}), None)
        if record is None or binding is None:
            return None
        return Route(
            association=association_with(record, self._entries[wanted.home_address]),
            home_agent=self._address,
            care_of_address=binding.care_of_address,
            source=self._address,
            source_port=MOBILE_IP_PORT,
            destination=binding.source or binding.care_of_address,
            destination_port=binding.source_port or MOBILE_IP_PORT,
        )

    def heard(self, event: Received, message: GenericNotification, now: float) -> list[Effect]:
        """Take in a notification, whose Identification is durable before it is acknowledged.

        Raises Refused for what is passed over.
        """
        peer = self._peer(message)
        accepted, effects = self.exchange.heard(event, message, peer, now)
        if accepted is None:
            return effects
        before = self._records[message.home_address]
        contact = structs.replace(contact_of(before), notification=accepted)
        after = structs.replace(before, contact=contact)
        self._records[message.home_address] = after
        return [SaveNode(after, before), *effects]

    def answered(
        self, event: Received, message: NotificationAcknowledgment, now: float
    ) -> list[Effect]:
        """Take in an acknowledgment. Raises Refused for what is passed over."""
        return self.exchange.answered(event, message, self._peer(message), now)

    def _peer(self, message: GenericNotification | NotificationAcknowledgment) -> Peer:
        entry = self._entries.get(message.home_address)
        record = self._records.get(message.home_address)
        if entry is None or record is None:
            raise Refused("no-security-association")
        return Peer(
            name=str(message.home_address),
            association=association_of(message, entry),
            home_agent=self._address,
            care_of_addresses=tuple(each.care_of_address for each in record.bindings),
            last=contact_of(record).notification,
        )
