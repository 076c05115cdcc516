"""Gratuitous ARP, said a few times, since nobody acknowledges a broadcast (RFC 5944 4.6)."""

from ipaddress import IPv4Address
from typing import Final

from flowbind.effects import AnnounceAddress
from flowbind.engine.deadlines import Deadlines

TIMES: Final = 3
INTERVAL_S: Final = 1.0


class Announcements:
    """What is being announced: of each address the latest."""

    def __init__(self) -> None:
        self._left: dict[IPv4Address, tuple[AnnounceAddress, int]] = {}
        self._deadlines: Deadlines[IPv4Address] = Deadlines()

    def begin(self, announcement: AnnounceAddress, now: float) -> AnnounceAddress:
        """Return an announcement for the first time; what was said of this address before ends."""
        self._left[announcement.address] = announcement, TIMES - 1
        self._deadlines.set(announcement.address, now + INTERVAL_S)
        return announcement

    def end(self, address: IPv4Address) -> None:
        """It may not be true any more."""
        self._left.pop(address, None)
        self._deadlines.clear(address)

    def deadline(self) -> float | None:
        """When something is to be said again."""
        return self._deadlines.next()

    def due(self, now: float) -> list[AnnounceAddress]:
        """Return what is to be said again now."""
        said: list[AnnounceAddress] = []
        for address in self._deadlines.expired(now):
            announcement, left = self._left.pop(address)
            said.append(announcement)
            if left > 1:
                self._left[address] = announcement, left - 1
                self._deadlines.set(address, now + INTERVAL_S)
        return said
