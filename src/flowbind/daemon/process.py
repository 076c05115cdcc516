"""What every daemon's process does alike: warn, say that it is ready, wait for the end."""

import asyncio
import gc
import logging
import signal
from collections.abc import Coroutine, Iterable
from typing import Any, Final, NoReturn

from flowbind.dataplane.base import Reconciliation

_log = logging.getLogger("flowbind")

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


def warn(warnings: Iterable[str]) -> None:
    """Tell the operator what is accepted and may not be meant."""
    for warning in warnings:
        _log.warning(warning)


def tell_what_was_found(found: Reconciliation) -> None:
    """Tell what a start found in the kernel and what became of it."""
    if found.adopted or found.updated or found.removed:
        _log.info(
            "forwarding taken over: %d nodes as they were, %d brought up to date, %d removed",
            found.adopted,
            found.updated,
            found.removed,
        )


async def until_told(*duties: Coroutine[Any, Any, NoReturn]) -> None:
    """Do these duties until SIGTERM or SIGINT. A duty that fails ends the daemon with its error."""
    # What the start has made stays: no collection is to go through it.
    gc.freeze()
    gc.enable()
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, told.set)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(duty) for duty in duties]
    tasks.append(asyncio.create_task(told.wait()))
    done, busy = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in busy:
        task.cancel()
    for task in done:
        task.result()
    _log.info("ending; what is forwarded goes on")
