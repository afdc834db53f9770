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
                told = await reply.json()
            answered = time.monotonic()
        return Clock(
            speed=float(told["speed"]),
            real_origin=(asked + answered) / 2,
            market_origin=float(told["now"]),
        )
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise Unreachable(
            f"no sandbox answers at {sandbox} ({str(error) or type(error).__name__}): "
            "start one with candles sandbox, or correct its address"
        ) from error
