"""A client of a sandbox over real sockets, for the tests that need one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import websockets
from websockets.asyncio.client import ClientConnection, connect

from connectors.sandbox.server import Sandbox

PATIENCE = 20.0
SPOT = "/binance_spot/stream"
KLINES = "/binance_spot/api/v3/klines"
BTC, ETH = "btcusdt@kline_1m", "ethusdt@kline_1m"


class Client:
    """A client of one sandbox: plain HTTP and plain WebSockets."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.http = http

    async def get(self, path: str, **query: object) -> tuple[int, Any]:
        """Status and JSON of a reply."""
        params = {name: str(value) for name, value in query.items()}
        async with self.http.get(self.sandbox.url + path, params=params) as reply:
            return reply.status, await reply.json(content_type=None)

    async def fault(self, kind: str, **wish: object) -> str:
        """Order a fault and return its id."""
        wish = {"kind": kind, **wish}
        async with self.http.post(f"{self.sandbox.url}/-/faults", json=wish) as reply:
            assert reply.status == 200, await reply.text()
            return str((await reply.json())["id"])

    async def end(self, name: str) -> None:
        """End a fault."""
        async with self.http.delete(f"{self.sandbox.url}/-/faults/{name}") as reply:
            assert reply.status == 200, await reply.text()

    async def connect(self, path: str = SPOT) -> ClientConnection:
        """A new WebSocket."""
        return await connect(self.sandbox.url.replace("http", "ws") + path, max_queue=None)

    async def subscribed(self, *streams: str, path: str = SPOT) -> ClientConnection:
        """A new WebSocket to Binance, whose subscription is confirmed."""
        socket = await self.connect(path)
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1}))
        assert await heard(socket) == {"result": None, "id": 1}
        return socket

    async def journal(self, market: str) -> Any:
        """The journal of a market."""
        return (await self.get("/-/journal", market=market))[1]


async def heard(socket: ClientConnection) -> Any:
    """The next message."""
    return json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))


async def closed_bars(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    """The next closed bars."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = await heard(socket)
        if message.get("data", {}).get("k", {}).get("x"):
            found.append(message["data"]["k"])
    return found


async def silent(socket: ClientConnection, seconds: float) -> bool:
    """Whether nothing comes for that long."""
    try:
        await asyncio.wait_for(socket.recv(), seconds)
    except TimeoutError:
        return True
    return False


async def ended(socket: ClientConnection) -> int | None:
    """The close code, once the connection has ended; None without a goodbye."""
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                await socket.recv()
        except websockets.ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else None


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110  (asked over HTTP, nobody tells)
            await asyncio.sleep(0.02)


def ticket(bar: dict[str, Any]) -> dict[str, float]:
    """A Binance bar as the truth has it."""
    return {
        "open_time": bar["t"] // 1_000,
        "close_time": (bar["T"] + 1) // 1_000,
        "open": float(bar["o"]),
        "high": float(bar["h"]),
        "low": float(bar["l"]),
        "close": float(bar["c"]),
        "volume": float(bar["v"]),
        "quote_asset_volume": float(bar["q"]),
        "n_trades": bar["n"],
        "taker_buy_base_volume": float(bar["V"]),
        "taker_buy_quote_volume": float(bar["Q"]),
        "revision": 0,
    }
