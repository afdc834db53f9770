"""A pair whose trading ends while it is carried. Kafka is pretended."""

from __future__ import annotations

import asyncio
import io
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from connectors import instruments, slots, telemetry, worker
from connectors.clock import Clock
from connectors.coverage import Run, RunState
from connectors.endpoints import Endpoints
from connectors.kafka import Cluster
from connectors.model import Subscription
from connectors.sandbox.server import Sandbox
from connectors.worker import Options, Worker
from tests.end_to_end.stage import SPEED, Stage, eventually
from tests.test_worker import Pretend, Published

GOES_ON = Subscription.parse("binance_spot:BTC-USDT:1m")
ENDS = {
    "binance_spot:ETH-USDT:1m": False,
    "coinbase_exchange:ETH-USD:1m": False,
    "okx_perpetual:ETH-USDT:1m": True,
    "kucoin_spot:ETH-USDT:1m": True,
}
"""Whether it vanishes from the lists and from all knowledge of the exchange."""


class Log:
    """What was told."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        telemetry.configure("json", stream=self.out)

    def told(self, name: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.out.getvalue().splitlines())
        return [line for line in lines if line["event"] == name]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """The log; Kafka is pretended, instruments are read again each second, and holds are short."""

    async def nothing(*_: Any) -> None:
        return

    for name, pretended in {
        "probe": nothing,
        "ensure": nothing,
        "LivePublisher": Published,
        "Shard": Pretend,
    }.items():
        monkeypatch.setattr(worker, name, pretended)
    monkeypatch.setattr(instruments, "AGAIN", 1.0)
    monkeypatch.setattr(slots, "HOLD", 2.0)
    yield Log()
    structlog.reset_defaults()


def after(runs: list[Run], end: float) -> list[Run]:
    """What is known of the slots behind the one in which a pair ended."""
    return [run for run in runs if run.end > end + 60]


async def test_a_pair_that_ends(log: Log, seed: int) -> None:
    """It is told once, with why; nothing is invented after it, nobody hammers, others go on.

    Where the exchange still answers for the pair its later slots are empty, for there are none;
    where it does not know the pair any more they are missing, with the reason.
    """
    wishes = [GOES_ON, *map(Subscription.parse, ENDS)]
    async with Sandbox(0, SPEED, seed) as sandbox:
        stage = Stage(sandbox, "localhost:1", "p", random.Random(seed))
        clock = Clock(SPEED, time.monotonic(), stage.market)
        options = Options(prefix="p", partitions=3)
        async with Worker(
            Cluster("localhost:1"), wishes, clock, Endpoints(sandbox.url), options, seed=1
        ) as made:
            await made.prepare()
            run = asyncio.create_task(made.run())
            await stage.reach(stage.market + 180)
            for wish, vanishes in ENDS.items():
                market = wish.partition(":")[0]
                await stage.misbehave("delist", market=market, match="ETH-*", vanish=vanishes)
            ended, before = stage.market, _candles(await stage.journal())

            async def told() -> bool:
                return len(log.told("pair.ended")) == len(ENDS)

            await eventually(told, lambda: f"told: {log.told('pair.ended')}")
            await stage.reach(ended + 420)
            asked = _candles(await stage.journal()) - before
            bars = (stage.market - ended) / 60
            ledgers = {each: made._lanes[each].ledger for each in wishes}
            assert not run.done()
            made.stop()
            await run
    assert sorted(line["exchange"] for line in log.told("pair.ended")) == sorted(
        wish.partition(":")[0] for wish in ENDS
    )
    assert asked <= 3 * bars * len(ENDS), "an ended pair is asked for too often"
    assert ledgers[GOES_ON].coverage.head > ended + 300
    assert ledgers[GOES_ON].coverage.missing() == []
    for wish, vanishes in ENDS.items():
        runs = after(ledgers[Subscription.parse(wish)].coverage.runs, ended)
        assert runs, f"nothing is known of {wish} after its end"
        missing = [each for each in runs if each.state is RunState.MISSING]
        assert bool(missing) is vanishes, f"{wish}: {runs}"
        assert all(each.reason for each in missing)


def _candles(journal: dict[str, Any]) -> int:
    """How many requests for candles the sandbox has had."""
    return sum(
        count for path, count in journal["requests"].items() if path.endswith(("klines", "candles"))
    )
