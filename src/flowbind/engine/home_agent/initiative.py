"""What a home agent says without being asked: revocations (RFC 3543) and notifications (RFC 6098).

Without leave to do so, by the configuration, nothing is kept for it.
"""

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address

from flowbind.auth.association import SecurityAssociation
from flowbind.effects import Effect
from flowbind.engine.home_agent.contact import with_contact
from flowbind.engine.home_agent.notification import NodeNotifications
from flowbind.engine.home_agent.revocation import MIN_INTERVAL_S, Revocations
from flowbind.engine.home_agent.validation import Request
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.wire.extension import Extension
from flowbind.wire.message import Message
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment
from flowbind.wire.revocation import RevocationAcknowledgment


class Initiative:
    """Speaks to the nodes of the `records`. Both mappings are the agent's own."""

    def __init__(
        self,
        config: HomeAgentConfig,
        entries: Mapping[IPv4Address, MobileNodeEntry],
        records: dict[IPv4Address, NodeRecord],
        statistics: Counter[str],
    ) -> None:
        self._config = config
        self._statistics = statistics
        self.revocations = Revocations(config.address, entries, records, statistics)
        self.notifications = NodeNotifications(config.address, entries, records, statistics)

    def deadline(self) -> float | None:
        """When something is to be said next."""
        moments = (self.revocations.deadline(), self.notifications.exchange.deadline())
        return min([each for each in moments if each is not None], default=None)

    def due(self, now: float) -> list[Effect]:
        """Say what is to be said by now."""
        return [*self.revocations.tell(now), *self.notifications.exchange.due(now)]

    def granted(
        self,
        record: NodeRecord,
        request: Request,
        event: Received,
        association: SecurityAssociation,
        now: float,
    ) -> tuple[tuple[Extension, ...], NodeRecord]:
        """Note how to speak to the node of a granted request; returns what the reply says of it."""
        wanted = self._config.revocation
        if not wanted and not self._config.notifications and record.contact is None:
            return (), record
        agreed = self.revocations.agreed(request.message, record, now) if wanted else None
        timestamp = agreed.timestamp if agreed else None
        noted = with_contact(record, request, event, association, timestamp)
        return (agreed,) if agreed else (), noted

    def restored(self, record: NodeRecord, now: float) -> None:
        """Take up what a former run has left unsaid; it may have spoken a moment ago."""
        self.revocations.follow(record, now + MIN_INTERVAL_S)

    def heard(self, event: Received, message: Message, now: float) -> list[Effect]:
        """Take in a message that is no request. All that is wrong with it is passed over."""
        try:
            return self._taken(event, message, now)
        except Refused as refusal:
            self._statistics[f"discarded_{refusal.reason}"] += 1
            return []

    def _taken(self, event: Received, message: Message, now: float) -> list[Effect]:
        if isinstance(message, RevocationAcknowledgment):
            return self.revocations.acknowledged(event, message)
        if self._config.notifications and isinstance(message, GenericNotification):
            return self.notifications.heard(event, message, now)
        if self._config.notifications and isinstance(message, NotificationAcknowledgment):
            return self.notifications.answered(event, message, now)
        raise Refused("not-a-request")
