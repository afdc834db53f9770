"""Waiting for an event, and ending tasks, both in bounded time."""

from __future__ import annotations

import asyncio
from typing import Any, Final

END_SECONDS: Final = 10.0
"""So long a task may take to end when it is cancelled."""
SHORTEST: Final = 0.001
"""A wait is never shorter: whoever waits in a loop lets others run."""


async def happens(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or when so many seconds have passed."""
    try:
        async with asyncio.timeout(max(SHORTEST, seconds)):
            await event.wait()
    except TimeoutError:
        return


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them and wait until they have ended; one that resists is left to itself."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*(asyncio.wait({task}, timeout=END_SECONDS) for task in tasks))
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # or asyncio complains that nobody looked at it
