"""Clocks that are wrong by minutes: the exchange's, or ours."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import pytest

from connectors.telemetry import counts
from tests.end_to_end.stage import SPEED, Stage
from tests.end_to_end.truth import single_object

pytestmark = pytest.mark.kafka

MINUTES = 4
"""So many minutes of market time are waited for."""
OURS = [
    "binance_spot:BTC-USDT:1m",
    "kucoin_spot:BTC-USDT:1m",
    "coinbase_exchange:BTC-USD:1m",
]
"""Closed by flag, by newer candles and the clock, and polled; these exchanges' clocks are right."""
THEIRS = {
    "okx_spot:BTC-USDT:1m": 120.0,
    "kucoin_perpetual:BTC-USDT:1m": 120.0,
    "coinbase_advanced_trade:BTC-USD:1m": 120.0,
    "binance_us:BTC-USDT:1m": -120.0,
}
"""The same, of exchanges whose clocks are wrong by so many seconds."""


async def test_no_wrong_clock_closes_a_candle_early(stage: Stage) -> None:
    """Ours is fast or slow, or theirs: nothing is published before its close, lost or wrong."""
    told = counts.copy()
    runs = {
        "fast": (_beside(stage, "fast", 180.0), OURS),
        "slow": (_beside(stage, "slow", -180.0), OURS),
        "theirs": (stage, list(THEIRS)),
    }
    for wish, offset in THEIRS.items():
        await stage.misbehave("clock_offset", market=wish.partition(":")[0], offset=offset)
    async with AsyncExitStack() as running:
        for each, wishes in runs.values():
            await running.enter_async_context(each.running(wishes))
        until = stage.market + MINUTES * 60
        for name, (each, _) in runs.items():
            assert (await each.complete(until)).amiss == [], name
    for name, (each, wishes) in runs.items():
        early = await _early(each)
        assert early == [], name
        for exchange in {wish.partition(":")[0] for wish in wishes}:
            assert counts["clock.offset", exchange] > told["clock.offset", exchange], name


def _beside(stage: Stage, name: str, skew: float) -> Stage:
    """Another run at the same sandbox, whose own clock is wrong."""
    return Stage(stage.sandbox, stage.kafka, f"{stage.prefix}-{name}", stage.luck, skew)


async def _early(stage: Stage) -> list[str]:
    """The candles that were published before the market's time of their close."""
    began = time.time() - stage.market / SPEED
    candles = [single_object(record) for record in await stage.records("closed")]
    return [
        f"{it['exchange']} {it['interval']} {it['close_time']}: {it['close_reason']}"
        for it in candles
        if (it["published_at"] / 1000 - began) * SPEED < it["close_time"] / 1000
    ]
