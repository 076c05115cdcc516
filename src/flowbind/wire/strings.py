"""What agents say in words or in a second status (RFC 4917, RFC 4636).

Both may stand behind the home agent's authentication, where nothing vouches for them.
"""

from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, ReplyCode

_FA_ERROR_OCTETS: Final = 2
LONGEST_TEXT_OCTETS: Final = 254


class MessageString(Frozen, frozen=True):
    """A message for people (RFC 4917 section 2). `subtype` says whose it is.

    The octets are kept as they came: the text has no part in the protocol, so it may be of any
    quality.
    """

    subtype: int
    octets: bytes

    @staticmethod
    def of(subtype: int, text: str) -> "MessageString":
        """Make one of a text, cut to what fits, between two characters."""
        octets = text.encode("utf-8")[:LONGEST_TEXT_OCTETS]
        return MessageString(subtype, octets.decode("utf-8", "ignore").encode("utf-8"))

    @property
    def text(self) -> str:
        """The text, in which nothing is left that a terminal would obey."""
        text = self.octets.decode("utf-8", "replace")
        return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)

    def encode(self) -> bytes:
        """Encode the whole extension."""
        length = 1 + len(self.octets)
        return bytes((ExtensionType.MESSAGE_STRING, length, self.subtype)) + self.octets


class ForeignAgentError(Frozen, frozen=True):
    """A foreign agent refuses what the home agent granted (RFC 4636 section 3)."""

    status: int

    @staticmethod
    def decode(data: bytes) -> "ForeignAgentError":
        """Decode the octets behind Length. Raises WireError with code 134."""
        if len(data) != _FA_ERROR_OCTETS or data[0] != 0:
            detail = f"{data.hex()} instead of a subtype 0 and a status"
            raise WireError("fa-error-malformed", detail, ReplyCode.POORLY_FORMED_REQUEST)
        return ForeignAgentError(data[1])

    def encode(self) -> bytes:
        """Encode the whole extension."""
        return bytes((ExtensionType.FA_ERROR, _FA_ERROR_OCTETS, 0, self.status))
