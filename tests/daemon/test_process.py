import asyncio
import gc

import pytest

from flowbind.daemon.process import until_told


@pytest.fixture
def _no_collector():
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
def test_after_the_start_the_collector_begins_and_leaves_alone_what_the_start_has_made():
    seen = []

    async def duty():
        seen.append((gc.isenabled(), gc.get_freeze_count() > 1000))
        raise OSError("that is all")

    with pytest.raises(OSError, match="that is all"):
        asyncio.run(until_told(duty()))
    assert seen == [(True, True)]
