"""A third opinion: unmodified ccxt.pro reads candles off the sandbox and sees the truth.

Nothing of ccxt is replaced but the addresses; besides, it is told which kinds of markets to load
(the sandbox has no coin-margined Binance to list), and to keep all candles that it watched.

Where what ccxt says differs from the truth, and why:

* perpetuals of KuCoin: ccxt's volume is in contracts; times `contractSize` it is the truth;
* spot of KuCoin, live: no frame follows a bar's end, so the last state may lack the last trades;
  and ccxt overlooks `add` frames, so it would miss bars with a single one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import ccxt.pro
import pytest

from connectors.sandbox.server import Sandbox

SPEED = 120
MINUTE = 60_000
WANTED = 4
"""Bars that are watched from their beginning to their end."""


class Case(NamedTuple):
    """One market as the sandbox and as ccxt call it."""

    market: str
    trading_pair: str
    exchange: str
    kinds: tuple[str, ...]
    symbol: str

    def __str__(self) -> str:
        return f"{self.market}:{self.trading_pair}"


CASES = (
    Case("binance_spot", "BTC-USDT", "binance", ("spot",), "BTC/USDT"),
    Case("binance_perpetual", "BTC-USDT", "binance", ("linear",), "BTC/USDT:USDT"),
    Case("okx_spot", "BTC-USDT", "okx", ("spot",), "BTC/USDT"),
    Case("okx_perpetual", "BTC-USDT", "okx", ("swap",), "BTC/USDT:USDT"),
    Case("okx_perpetual", "BTC-USD", "okx", ("swap",), "BTC/USD:BTC"),
    Case("kucoin_spot", "BTC-USDT", "kucoin", ("spot",), "BTC/USDT"),
    Case("kucoin_perpetual", "BTC-USDT", "kucoin", ("swap",), "BTC/USDT:USDT"),
)
QUIET = (
    Case("okx_spot", "ALGO-USDT", "okx", ("spot",), "ALGO/USDT"),
    Case("kucoin_spot", "ALGO-USDT", "kucoin", ("spot",), "ALGO/USDT"),
)
LOSSLESS = tuple(case for case in CASES if case.market != "kucoin_spot")


def addresses(http: str) -> dict[str, dict[str, Any]]:
    """Return the addresses that are replaced in each of ccxt's exchanges."""
    ws = http.replace("http://", "ws://")
    return {
        "binance": {
            "public": f"{http}/binance_spot/api/v3",
            "fapiPublic": f"{http}/binance_perpetual/fapi/v1",
            "ws": {
                "spot": f"{ws}/binance_spot/ws",
                "future": f"{ws}/binance_perpetual/ws",
            },
        },
        "kucoin": {
            "public": f"{http}/kucoin_spot",
            "futuresPublic": f"{http}/kucoin_perpetual",
        },
    }


@asynccontextmanager
async def client(sandbox: Sandbox, case: Case) -> AsyncIterator[Any]:
    """Open ccxt's own exchange, pointed at the sandbox, and close it."""
    okx = f"{sandbox.url}/{case.market}"
    replaced = addresses(sandbox.url) | {
        "okx": {"rest": okx, "ws": f"{okx.replace('http', 'ws')}/ws/v5"}
    }
    exchange = getattr(ccxt.pro, case.exchange)(
        {
            "newUpdates": False,
            "urls": {"api": replaced[case.exchange]},
            "options": {"fetchMarkets": {"types": list(case.kinds)}},
        }
    )
    try:
        yield exchange
    finally:
        await exchange.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox on a free port, two minutes of market time a second."""
    async with Sandbox(port=0, speed=SPEED, seed=3) as running:
        yield running


async def asked(sandbox: Sandbox, path: str) -> Any:
    """Return what a control address of the sandbox says."""
    async with aiohttp.ClientSession() as session, session.get(sandbox.url + path) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def truth(sandbox: Sandbox, case: Case, first: int, last: int) -> list[list[float]]:
    """Return the true bars with open time in `[first, last]` (ms) in ccxt's form."""
    path = f"/-/truth/{case.market}/{case.trading_pair}/1m"
    span = f"?start={first / 1_000}&end={last / 1_000 + 1}"
    names = ("open", "high", "low", "close", "volume")
    return [
        [bar["open_time"] * 1_000, *(bar[name] for name in names)]
        for bar in (await asked(sandbox, path + span))["candles"]
    ]


def in_base_units(exchange: Any, case: Case, rows: list[list[float]]) -> list[list[Any]]:
    """Return ccxt's rows with KuCoin's contracts converted, see the head of this file."""
    if case.market != "kucoin_perpetual":
        return rows
    size = exchange.market(case.symbol)["contractSize"]
    return [[*row[:5], pytest.approx(row[5] * size, rel=1e-12)] for row in rows]


async def watched(exchange: Any, case: Case) -> list[list[float]]:
    """Watch until `WANTED` bars ran from beginning to end, and another two began after them."""
    while True:
        rows: list[list[float]] = await exchange.watch_ohlcv(case.symbol, "1m")
        if len(rows) >= WANTED + 3:
            return sorted(rows)[1 : WANTED + 1]


@pytest.mark.parametrize("case", CASES + QUIET, ids=str)
@pytest.mark.parametrize("hours", [1, 48], ids=["recent", "old"])
async def test_fetch_ohlcv(sandbox: Sandbox, case: Case, hours: int) -> None:
    """What ccxt fetches of the past, near and far, is the truth."""
    first = (int(sandbox.clock.now().market) // 60 - hours * 60) * MINUTE
    last = first + 49 * MINUTE
    async with client(sandbox, case) as exchange:
        rows = await exchange.fetch_ohlcv(case.symbol, "1m", since=first, limit=50)
        rows = in_base_units(exchange, case, [row for row in rows if row[0] <= last])

    expected = await truth(sandbox, case, first, last)
    assert expected
    assert expected == rows


@pytest.mark.parametrize("case", LOSSLESS, ids=str)
async def test_watch_ohlcv(sandbox: Sandbox, case: Case) -> None:
    """The bars that ccxt watched from beginning to end are the truth, none left out."""
    async with client(sandbox, case) as exchange, asyncio.timeout(30):
        rows = in_base_units(exchange, case, await watched(exchange, case))

    assert await truth(sandbox, case, int(rows[0][0]), int(rows[-1][0])) == rows


async def test_watch_ohlcv_of_a_stream_without_closing_frames(sandbox: Sandbox) -> None:
    """What ccxt watched on KuCoin's spot socket is the truth but for a bar's last trades."""
    case = next(case for case in CASES if case.market == "kucoin_spot")
    async with client(sandbox, case) as exchange, asyncio.timeout(30):
        rows = await watched(exchange, case)

    expected = await truth(sandbox, case, int(rows[0][0]), int(rows[-1][0]))
    true_bars = {bar[0]: bar[1:] for bar in expected}
    for open_time, *figures in rows:
        true, seen = true_bars[open_time], figures
        assert true[0] == seen[0], "the open price"
        assert true[2] <= seen[2] <= seen[1] <= true[1], "low and high"
        assert seen[2] <= seen[3] <= seen[1], "the close price"
        assert 0 < seen[4] <= true[4], "the volume"


async def test_a_known_client_oversteps_nothing(sandbox: Sandbox) -> None:
    """No limit of the sandbox is so strict that ccxt, as it is, would overstep it."""
    for case in CASES:
        async with client(sandbox, case) as exchange, asyncio.timeout(30):
            await exchange.fetch_ohlcv(case.symbol, "1m", limit=5)
            await exchange.watch_ohlcv(case.symbol, "1m")

    assert (await asked(sandbox, "/-/journal"))["overstepped"] == []
