"""The mobile node's end of generic notifications (RFC 6098 4.5), with co-located addresses."""

from flowbind.effects import Effect
from flowbind.engine.hearing import understood
from flowbind.engine.mobile_node.registration import Registration
from flowbind.engine.mobile_node.state import Interface
from flowbind.engine.notifications import MOBILE_NODE, Notifications, Peer, Route
from flowbind.engine.refusal import Refused
from flowbind.events import NotifyRequested, Received
from flowbind.model.binding import Contact, NodeRecord
from flowbind.wire.errors import WireError
from flowbind.wire.iana import MOBILE_IP_PORT
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment


class AgentNotifications:
    """Speaks to the home agent over what a Registration has registered."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._config = registration.config
        self._last = 0
        self.exchange = Notifications(MOBILE_NODE, self.route_of, registration.statistics)

    @property
    def contact(self) -> Contact | None:
        """What a restart needs: the Identification that was accepted last."""
        return Contact(notification=self._last) if self._last else None

    def restore(self, record: NodeRecord) -> None:
        """Take up where a former run stopped."""
        self._last = record.contact.notification if record.contact else 0

    def route_of(self, _wanted: NotifyRequested) -> Route | None:
        """Return how to reach the home agent: over the first interface that may speak."""
        for interface in self._registration.interfaces.values():
            if interface.usable and interface.address and interface.binding:
                return self._route(interface)
        return None

    def _route(self, interface: Interface) -> Route:
        assert interface.address is not None  # noqa: S101 -- only such a one may speak
        assert interface.binding is not None  # noqa: S101 -- as above
        return Route(
            association=self._config.association,
            home_agent=self._registration.identity.home_agent,
            care_of_address=interface.binding.care_of_address,
            source=interface.address,
            source_port=0,
            destination=self._registration.identity.home_agent,
            destination_port=MOBILE_IP_PORT,
            interface=interface.name,
            clock_offset_s=self._registration.clock_offset_s,
        )

    def on_received(self, event: Received, now: float) -> list[Effect]:
        """Take in a notification or an acknowledgment. What is wrong with one is passed over."""
        try:
            return self._taken(event, now)
        except Refused as refusal:
            self._registration.statistics[f"discarded_{refusal.reason}"] += 1
            return []

    def _taken(self, event: Received, now: float) -> list[Effect]:
        try:
            message = understood(event.payload)
        except WireError as error:
            raise Refused(error.reason) from error
        assert isinstance(message, GenericNotification | NotificationAcknowledgment)  # noqa: S101
        if message.home_address != self._registration.identity.home_address:
            raise Refused("home-address-unknown")
        peer = self._peer()
        if isinstance(message, NotificationAcknowledgment):
            return self.exchange.answered(event, message, peer, now)
        accepted, effects = self.exchange.heard(event, message, peer, now)
        if accepted is not None:
            self._last = accepted
        return effects

    def _peer(self) -> Peer:
        bindings = (each.binding for each in self._registration.interfaces.values())
        return Peer(
            name="the home agent",
            association=self._config.association,
            home_agent=self._registration.identity.home_agent,
            care_of_addresses=tuple(each.care_of_address for each in bindings if each),
            last=self._last,
            clock_offset_s=self._registration.clock_offset_s,
        )
