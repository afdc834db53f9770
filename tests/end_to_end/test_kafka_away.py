"""Kafka goes away in the middle of a run, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from connectors.sandbox.kafka import LocalKafka
from tests.end_to_end.stage import MARKETS, QUIET, SPEED, Stage, report

pytestmark = pytest.mark.kafka

WISHES = [
    f"{market}:{pair}-{quote}:1m" for market, quote in MARKETS.items() for pair in ("BTC", QUIET)
]
RECOVERY = 60.0
"""Real seconds within which a run has got over Kafka's absence; its own time limits are 15 s."""


async def run_through(stage: Stage, absence: Callable[[], Awaitable[None]]) -> None:
    """Run while Kafka is away: afterwards nothing may be lost, doubled or wrong."""
    async with stage.running(WISHES) as running:
        await stage.complete(stage.market + 60)
        await absence()
        until = stage.market + 60
        findings = await stage.complete(until, RECOVERY)
        report(findings, f"· complete {(stage.market - until) / SPEED:.1f} s later")
    assert findings.amiss == []
    tally = running.task.result()
    assert tally.balanced, tally
    assert (await stage.journal())["overstepped"] == []


async def frozen(kafka: LocalKafka, seconds: float) -> None:
    """Freeze the broker for a while."""
    kafka.pause(1)
    try:
        await asyncio.sleep(seconds)
    finally:
        kafka.resume(1)


async def killed(kafka: LocalKafka) -> None:
    """Kill the broker, and start it again."""
    await kafka.kill(1)
    await asyncio.sleep(2.0)
    await kafka.restart(1)


async def test_a_broker_that_is_killed(own_stage: Stage, own_kafka: LocalKafka) -> None:
    """The only broker is killed and started again: nothing is lost, nothing is doubled."""
    await run_through(own_stage, partial(killed, own_kafka))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [4.0, 25.0])
async def test_a_broker_that_is_frozen(
    own_stage: Stage, own_kafka: LocalKafka, seconds: float
) -> None:
    """The only broker freezes, longer than requests wait or not: nothing is lost or doubled."""
    await run_through(own_stage, partial(frozen, own_kafka, seconds))
