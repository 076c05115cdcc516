"""The MN-FA Challenge extension (RFC 4721 section 4): Type 132, Length, the challenge."""

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType, ReplyCode


class Challenge(Frozen, frozen=True):
    """Octets of a foreign agent that nobody could foresee, sent back to show freshness."""

    value: bytes

    @staticmethod
    def decode(data: bytes) -> "Challenge":
        """Decode the octets behind Length. Raises WireError with code 134."""
        if not data:
            raise WireError("challenge-empty", code=ReplyCode.POORLY_FORMED_REQUEST)
        return Challenge(data)

    def encode(self) -> bytes:
        """Encode the whole extension."""
        return bytes((ExtensionType.CHALLENGE, len(self.value))) + self.value
