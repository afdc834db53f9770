"""The clock of a sandbox, as a connector follows it."""

from __future__ import annotations

import time

import pytest
from aiohttp import web

from connectors.errors import Unreachable
from connectors.sandbox.client import sandbox_clock
from connectors.sandbox.server import Sandbox
from tests.sandbox.pretend import NOON


async def test_clock_follows() -> None:
    """Market time is the sandbox's, within the time that asking took, and runs as fast."""
    async with Sandbox(0, speed=60.0, start=NOON) as sandbox:
        asked = time.monotonic()
        clock = await sandbox_clock(f"{sandbox.url}/")
        took = time.monotonic() - asked
        apart = clock.market() - sandbox.clock.now().market

    assert clock.speed == 60
    assert abs(apart) <= 60 * took + 0.1


async def test_nothing_there() -> None:
    """Where nothing answers, the sentence says how to start a sandbox."""
    with pytest.raises(Unreachable, match=r"^nothing answers at http://127.0.0.1:9: start a sand"):
        await sandbox_clock("http://127.0.0.1:9")


@pytest.mark.parametrize("answer", ["hello", "[]", '{"now": "noon", "speed": 1}', '{"now": 1}'])
async def test_something_else_there(answer: str) -> None:
    """Where something else answers, that is said."""

    async def answers(_: web.Request) -> web.Response:
        return web.Response(text=answer)

    app = web.Application()
    app.router.add_get("/-/clock", answers)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        with pytest.raises(Unreachable, match=f"^it is no sandbox that answers at {url}: start"):
            await sandbox_clock(url)
    finally:
        await runner.cleanup()
