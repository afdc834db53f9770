"""SIGTERM: what is decided is written, in bounded time, and the last line is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sandbox.kafka import LocalKafka
from tests.end_to_end.program import BOUND, carrying, summed
from tests.end_to_end.stage import Stage, report

pytestmark = pytest.mark.kafka

WISHES = [
    *("binance_spot:BTC-USDT:1m", "okx_perpetual:ETH-USDT:1m"),
    *("kucoin_perpetual:BTC-USDT:1m", "coinbase_exchange:BTC-USD:1m"),
]


async def test_sigterm_drains(stage: Stage, tmp_path: Path) -> None:
    """A run that is told to stop does so soon; its last line adds up and is what Kafka has."""
    async with carrying(stage, tmp_path, WISHES) as run:
        await stage.reach(stage.market + 150)
        run.terminate()
        stopped = stage.market
        took = await run.ended(BOUND)
    assert run.status == 0, run.wrote
    assert took < 8, f"it took {took:.1f} s to stop, with a Kafka that answers"
    figures = summed(run.said)
    assert figures["published"] == len(await stage.records("live"))
    assert figures["closed"] == len(await stage.records("closed"))
    assert (figures["conflated"], figures["failed"], figures["unwanted"]) == (0, 0, 0)
    assert figures["published"] > 0 < figures["settled"]
    assert all(line.startswith("{") for line in run.wrote.splitlines()), "more than a log"
    assert run.events("loop.failed") == [], "something was left to itself"
    findings = await stage.judge(stopped - 120)
    assert findings.amiss == []


async def test_sigterm_before_anything_came(stage: Stage, tmp_path: Path) -> None:
    """A run that is stopped at once ends in order."""
    async with carrying(stage, tmp_path, WISHES) as run:
        run.terminate()
        await run.ended(BOUND)
    assert run.status == 0, run.wrote
    summed(run.said)


@pytest.mark.slow
async def test_sigterm_while_kafka_is_frozen(
    own_stage: Stage, own_kafka: LocalKafka, tmp_path: Path
) -> None:
    """With a Kafka that does not answer a run still ends in time, and admits what failed."""
    async with carrying(own_stage, tmp_path, WISHES) as run:
        await own_stage.reach(own_stage.market + 120)
        own_kafka.pause(1)
        try:
            await own_stage.reach(own_stage.market + 60)
            run.terminate()
            took = await run.ended(60.0)
        finally:
            own_kafka.resume(1)
    report(f"it took {took:.1f} s")
    figures = summed(run.said)
    assert figures["failed"] > 0, run.said
    assert run.status == 0, run.wrote
