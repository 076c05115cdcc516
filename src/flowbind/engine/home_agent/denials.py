"""How often a home agent says no.

Whoever has seen a request on its way can send it again, as often as he likes and from any address,
and it is denied each time. Each denial is a datagram, a line in the log, and with nonces a record
on the disk and the end of the nonce that the node was about to use.
"""

from ipaddress import IPv4Address
from typing import Final

from flowbind.engine.refusal import Refused
from flowbind.model.config import MobileNodeEntry
from flowbind.wire.iana import ReplyCode
from flowbind.wire.registration import RegistrationRequest

_Node = str | IPv4Address | None

DENIAL_INTERVAL_S: Final = 1.0

_MOST: Final[dict[ReplyCode | None, int]] = {
    ReplyCode.MOBILE_NODE_FAILED_AUTHENTICATION: 1,
    ReplyCode.IDENTIFICATION_MISMATCH: 4,
}
"""How many sources hear of it in an interval: of 131, for which nobody needs to have seen anything,
one; of 133 as many as a node may have interfaces in use, and no crowd."""


class Denials:
    """Remembers what was denied lately. It grows with the nodes configured, and not with time.

    For 131 and 133 the sources are told apart: somebody elsewhere who sends old requests is not to
    use up the denial that the node itself needs to correct its clock or its nonce. Any other denial
    is of a request that nobody but the node can make, and only the very same one is held back.
    """

    def __init__(self) -> None:
        self._said: dict[tuple[_Node, str], dict[IPv4Address | int, float]] = {}

    def place(
        self,
        entry: MobileNodeEntry,
        request: RegistrationRequest,
        refusal: Refused,
        source: IPv4Address,
        now: float,
    ) -> int:
        """Return its place among its kind in the interval, counted from 1; 0 if it must wait."""
        key = (entry.nai or entry.home_address, refusal.reason)
        known = self._said.get(key, {})
        said = {each: at for each, at in known.items() if now - at < DENIAL_INTERVAL_S}
        most = _MOST.get(refusal.code)
        told = request.identification if most is None else source
        if told in said or len(said) == most:
            return 0
        said[told] = now
        self._said[key] = said
        return 1 if most is None else len(said)
