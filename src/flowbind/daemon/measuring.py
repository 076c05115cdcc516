"""Has the data plane look again how large packets may be, whenever a link takes more or less."""

import asyncio
import logging
from contextlib import suppress
from typing import Final, NoReturn

from flowbind.daemon.links import Snapshot
from flowbind.dataplane.base import DataPlane, DataPlaneError

_INTERVAL_S: Final = 600.0
"""How often all nodes are measured at least."""
_BATCH: Final = 256
"""The most nodes that are looked at before anything else has its turn."""

_log = logging.getLogger("flowbind")


class Measuring:
    """Looks at the MTU of every link, at the start too: it may have changed while nobody did."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._known: dict[int, int] | None = None
        self._changed = asyncio.Event()

    def look(self, snapshot: Snapshot) -> None:
        """Note what is different from the last look."""
        found = {link.index: link.mtu for link in snapshot.links}
        if found != self._known:
            self._known = found
            self._changed.set()

    async def watch(self) -> NoReturn:
        """Have the nodes measured after every change, and now and then, until cancelled."""
        while True:
            # What the kernel believes of a route may come and go without a word to anybody.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _INTERVAL_S)
            self._changed.clear()
            try:
                await self._measure()
            except DataPlaneError as error:
                _log.warning("measuring: %s", error)

    async def _measure(self) -> None:
        for number, _home_address in enumerate(self._plane.measure(), start=1):
            if number % _BATCH == 0:
                await asyncio.sleep(0)
