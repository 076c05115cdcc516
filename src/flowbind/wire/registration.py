"""Registration Request and Registration Reply (RFC 5944 3.3 and 3.4).

A reply carries neither the care-of address nor the BID: the mobile node tells by the low 32 bits
of the Identification which request is answered.
"""

import struct
from ipaddress import IPv4Address
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.extension import Extension
from flowbind.wire.iana import MessageType, RequestFlag

REQUEST_LAYOUT: Final = struct.Struct("!BBHIIIQ")
REPLY_LAYOUT: Final = struct.Struct("!BBHIIQ")

_REQUEST: Final = int(MessageType.REGISTRATION_REQUEST)
_REPLY: Final = int(MessageType.REGISTRATION_REPLY)


class RegistrationRequest(Frozen, frozen=True):
    """A mobile node asks its home agent to create, renew or remove a binding."""

    flags: RequestFlag
    lifetime_s: int
    home_address: IPv4Address
    home_agent: IPv4Address
    care_of_address: IPv4Address
    identification: int
    extensions: tuple[Extension, ...] = ()

    def encode_fixed(self) -> bytes:
        """Encode the fixed part."""
        return REQUEST_LAYOUT.pack(
            _REQUEST,
            self.flags,
            self.lifetime_s,
            int(self.home_address),
            int(self.home_agent),
            int(self.care_of_address),
            self.identification,
        )


class RegistrationReply(Frozen, frozen=True):
    """The answer to a Registration Request. `code` may be one that is not in ReplyCode."""

    code: int
    lifetime_s: int
    home_address: IPv4Address
    home_agent: IPv4Address
    identification: int
    extensions: tuple[Extension, ...] = ()

    def encode_fixed(self) -> bytes:
        """Encode the fixed part."""
        return REPLY_LAYOUT.pack(
            _REPLY,
            self.code,
            self.lifetime_s,
            int(self.home_address),
            int(self.home_agent),
            self.identification,
        )
