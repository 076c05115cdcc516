"""Generic Notification and its acknowledgment (RFC 6098 sections 4.1 and 4.2)."""

import struct
from ipaddress import IPv4Address
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.extension import Extension
from flowbind.wire.iana import MessageType

NOTIFICATION_LAYOUT: Final = struct.Struct("!BBHIIIQ")
NOTIFICATION_ACKNOWLEDGMENT_LAYOUT: Final = struct.Struct("!BBBBIIIQ")

ACKNOWLEDGE: Final = 0x8000

_NOTIFICATION: Final = int(MessageType.GENERIC_NOTIFICATION)
_ACKNOWLEDGMENT: Final = int(MessageType.GENERIC_NOTIFICATION_ACKNOWLEDGMENT)


class GenericNotification(Frozen, frozen=True):
    """One end has something to say, in a Message String. `acknowledge` is the A bit.

    `direction` may be one that is not in MessageDirection.
    """

    direction: int
    acknowledge: bool
    home_address: IPv4Address
    home_agent: IPv4Address
    care_of_address: IPv4Address
    identification: int
    extensions: tuple[Extension, ...] = ()

    def encode_fixed(self) -> bytes:
        """Encode the fixed part."""
        return NOTIFICATION_LAYOUT.pack(
            _NOTIFICATION,
            self.direction,
            ACKNOWLEDGE if self.acknowledge else 0,
            int(self.home_address),
            int(self.home_agent),
            int(self.care_of_address),
            self.identification,
        )


class NotificationAcknowledgment(Frozen, frozen=True):
    """The answer to a Generic Notification. `code` may be one that is not in NotificationCode."""

    direction: int
    code: int
    home_address: IPv4Address
    home_agent: IPv4Address
    care_of_address: IPv4Address
    identification: int
    extensions: tuple[Extension, ...] = ()

    def encode_fixed(self) -> bytes:
        """Encode the fixed part."""
        return NOTIFICATION_ACKNOWLEDGMENT_LAYOUT.pack(
            _ACKNOWLEDGMENT,
            self.direction,
            self.code,
            0,
            int(self.home_address),
            int(self.home_agent),
            int(self.care_of_address),
            self.identification,
        )
