"""What a connector needs to know of a sandbox that it is pointed at: its clock."""

from __future__ import annotations

import time
from typing import Final

import aiohttp

from connectors.clock import Clock
from connectors.errors import Unreachable

ASK_SECONDS: Final = 10.0


async def sandbox_clock(sandbox: str) -> Clock:
    """A clock whose market time follows that of the sandbox at this address; else Unreachable."""
    limit = aiohttp.ClientTimeout(total=ASK_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=limit) as http:
            asked = time.monotonic()
            async with http.get(f"{sandbox.rstrip('/')}/-/clock") as reply:
                told = await reply.json(content_type=None)
            answered = time.monotonic()
    except (aiohttp.ClientError, TimeoutError):
        raise _no_sandbox(sandbox, "nothing answers at") from None
    except ValueError:
        raise _no_sandbox(sandbox, "it is no sandbox that answers at") from None
    match told:
        case {"now": int() | float() as now, "speed": int() | float() as speed}:
            return Clock(speed=speed, real_origin=(asked + answered) / 2, market_origin=now)
    raise _no_sandbox(sandbox, "it is no sandbox that answers at")


def _no_sandbox(address: str, what: str) -> Unreachable:
    return Unreachable(
        f"{what} {address}: start a sandbox with candles sandbox, or correct the address"
    )
