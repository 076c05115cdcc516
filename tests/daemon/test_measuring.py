"""A link takes more or less, and the data plane looks again."""

import asyncio
from contextlib import suppress
from ipaddress import IPv4Address

from flowbind.daemon.links import Link, Snapshot
from flowbind.daemon.measuring import Measuring
from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.memory import MemoryDataPlane

HOME = IPv4Address("10.9.0.5")


class Measured(MemoryDataPlane):
    """Counts how many nodes were measured; the first time it fails."""

    def __init__(self):
        super().__init__()
        self.measured = 0

    def measure(self):
        if not self.measured:
            self.measured += 1
            raise DataPlaneError("mip0: no")
        for number in range(1000):
            self.measured += 1
            yield HOME + number


def snapshot(mtu, carrier_changes=0):
    return Snapshot((Link(2, "wlan0", carrier=True, carrier_changes=carrier_changes, mtu=mtu),))


async def turns_of_others():
    for _ in range(10):
        await asyncio.sleep(0)


def test_every_change_is_measured_and_a_failure_is_no_end():
    async def play():
        plane = Measured()
        measuring = Measuring(plane)
        watching = asyncio.create_task(measuring.watch())
        measuring.look(snapshot(1500))
        await turns_of_others()
        assert plane.measured == 1
        measuring.look(snapshot(1500, carrier_changes=2))
        await turns_of_others()
        assert plane.measured == 1
        measuring.look(snapshot(1400))
        await asyncio.sleep(0)
        # Others have their turn in between.
        assert 1 <= plane.measured < 1000
        await turns_of_others()
        assert plane.measured == 1001
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    asyncio.run(play())


def test_without_a_change_they_are_measured_now_and_then(monkeypatch):
    monkeypatch.setattr("flowbind.daemon.measuring._INTERVAL_S", 0.01)

    async def play():
        plane = Measured()
        watching = asyncio.create_task(Measuring(plane).watch())
        await asyncio.sleep(0.5)
        assert plane.measured > 1001
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    asyncio.run(play())
