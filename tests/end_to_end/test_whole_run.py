"""`candles run` on all markets while everything goes wrong, compared with the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.program import BOUND, carrying, summed
from tests.end_to_end.stage import SPEED, Stage, eventually, everywhere, report

pytestmark = pytest.mark.kafka

RECOVERY = 30.0
"""Real seconds after the faults within which nothing may be missing any more."""
WEBSOCKET_MARKETS = 8


async def trouble(stage: Stage, seed: int) -> None:
    """Everything that the sandbox can do wrong, again and again."""
    await stage.misbehave("drop", every=4.0, seed=seed)
    await stage.misbehave("garble", every=1.3, seed=seed)
    await stage.misbehave("refuse", match="ETH-*:1m", every=13.0, duration=5.0)
    await stage.misbehave("silent_subscription", match="BTC-*:1m", every=7.0, duration=1.0)
    await stage.misbehave("rate_limit", every=9.0, duration=1.5)
    await stage.misbehave("server_error", every=5.0, duration=1.0, seed=seed)


@pytest.mark.parametrize("seconds", [20.0, pytest.param(60.0, marks=pytest.mark.slow)])
async def test_a_run_in_trouble(stage: Stage, tmp_path: Path, seed: int, seconds: float) -> None:
    """Whatever the exchanges do: every closed candle is in Kafka, once, true and in order."""
    refusal = await stage.misbehave("refuse", match="ETH-*:1m")
    async with carrying(stage, tmp_path, everywhere()) as run:
        await run.event("subscription.rejected")
        await stage.forgive(refusal)
        await trouble(stage, seed)
        until = stage.market + seconds * SPEED
        await stage.reach(until)
        await stage.behave()
        findings = await stage.complete(until, RECOVERY)
        report(findings, f"· complete {(stage.market - until) / SPEED:.1f} s after the faults")
        run.terminate()
        await run.ended(BOUND)
        said = run.said
    assert findings.amiss == []
    assert (await stage.judge(until)).amiss == [], "the last transactions did harm"
    assert findings.expected > 20 * seconds
    journal = await stage.journal()
    assert journal["overstepped"] == []
    assert len(journal["connections"]) >= WEBSOCKET_MARKETS * (1 + seconds // 8), "few were cut"
    for event in ("connection.lost", "frame.unreadable", "rest.failed"):
        assert run.events(event), f"no {event}: the faults had no effect, order harder ones"
    assert not run.events("task.failed"), run.events("task.failed")
    assert len(await stage.records("closed")) == summed(said)["closed"]


@pytest.mark.slow
async def test_a_quiet_life(stage: Stage, tmp_path: Path) -> None:
    """Heartbeats of every kind keep each connection alive beyond its exchange's patience."""
    async with carrying(stage, tmp_path, everywhere()) as run:
        await stage.reach(stage.market + 100 * SPEED)
        assert run.events("connection.lost") == []
        assert len((await stage.journal())["connections"]) == WEBSOCKET_MARKETS
        until = stage.market
        findings = await stage.complete(until)
    assert findings.amiss == []
    assert (findings.late, findings.revisions) == (0, 0), findings


@pytest.mark.slow
async def test_an_exchange_that_is_away(stage: Stage, tmp_path: Path) -> None:
    """The candles of an exchange that is away come when it is back, those of others at once."""
    wishes = ["binance_spot:BTC-USDT:1m", "kucoin_spot:BTC-USDT:1m"]
    async with carrying(stage, tmp_path, wishes) as run:
        await stage.misbehave("drop", market="kucoin_spot", every=0.05, duration=60.0)
        away = await stage.misbehave("server_error", market="kucoin_spot")
        until = stage.market + 200
        await stage.reach(until)
        alone = Stage(stage.sandbox, stage.kafka, stage.prefix, stage.luck)
        alone.wishes = {wishes[0]: stage.wishes[wishes[0]]}
        await alone.complete(until - 60, 3.0)
        await stage.behave()
        findings = await stage.complete(until)

        async def back() -> bool:
            alive = (await stage.journal("kucoin_spot"))["subscriptions"]
            return bool(alive)

        await eventually(back, lambda: f"no new connection: {run.wrote[-1000:]}", RECOVERY)
    assert findings.amiss == [], away
