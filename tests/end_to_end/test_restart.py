"""A run ends, in one way or another, and the next one goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.program import BOUND, carrying, summed
from tests.end_to_end.stage import MARKETS, QUIET, SPEED, Stage, eventually, report

pytestmark = pytest.mark.kafka

WISHES = [
    f"{market}:{pair}-{quote}:1m" for market, quote in MARKETS.items() for pair in ("BTC", QUIET)
]
GAP = 2 * 60
"""Market seconds without any run."""


async def go_on(stage: Stage, folder: Path) -> None:
    """Another run under the same prefix: nothing may be lost over the gap, nothing doubled."""
    await stage.reach(stage.market + GAP)
    async with carrying(stage, folder, WISHES) as second:
        assert (await second.event("shard.taken"))["resumed"] == len(WISHES)
        until = stage.market + 60
        findings = await stage.complete(until)
        second.terminate()
        await second.ended()
        summed(second.said)
    assert findings.amiss == []
    assert (await stage.judge(until)).amiss == []
    assert (await stage.journal())["overstepped"] == []


async def test_stopped_and_started_again(stage: Stage, tmp_path: Path) -> None:
    """A run that was stopped in order is continued: the bars of the gap come first, each once."""
    async with carrying(stage, tmp_path, WISHES) as first:
        await stage.complete(stage.market + 60)
        first.terminate()
        await first.ended(BOUND)
        assert first.status == 0, first.wrote
    await go_on(stage, tmp_path)


async def test_stopped_at_once_and_started_again(stage: Stage, tmp_path: Path) -> None:
    """A run that is stopped when it was just accepted leaves behind where its coverage begins."""
    async with carrying(stage, tmp_path, WISHES) as first:
        first.terminate()
        await first.ended(BOUND)
        assert first.status == 0, first.wrote
    await go_on(stage, tmp_path)


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
async def test_killed_and_started_again(stage: Stage, tmp_path: Path, times: int) -> None:
    """A run that was killed at any moment is continued: nothing lost, nothing doubled."""
    for _ in range(times):
        async with carrying(stage, tmp_path, WISHES) as doomed:
            await doomed.event("shard.taken")
            await stage.reach(stage.market + SPEED + stage.luck.random() * SPEED)
            doomed.kill()
    await go_on(stage, tmp_path)


@pytest.mark.slow
async def test_corrected_between_two_runs(stage: Stage, tmp_path: Path) -> None:
    """What the exchange corrects while nobody runs is published again by the next run.

    That one knows no figures of what it finds published, and has to read them back from Kafka.
    """
    wishes = [wish for wish in WISHES if QUIET not in wish]
    async with carrying(stage, tmp_path, wishes) as first:
        await stage.complete(stage.market + 15 * 60)
        first.terminate()
        await first.ended()
    stopped = stage.market
    await stage.misbehave("late_correction", age=8 * 60)
    async with carrying(stage, tmp_path, wishes) as second:
        await eventually(lambda: corrected(stage, stopped, len(wishes)), lambda: "no revision")
        assert second.events("recall.failed") == []
    assert (await stage.judge(stopped)).amiss == []


async def corrected(stage: Stage, until: float, bars: int) -> bool:
    """Whether so many bars are told as they are now, and not only as they were."""
    findings = await stage.judge(until)
    return not findings.wrong and findings.revisions >= bars


async def test_a_second_run_fences_the_first(stage: Stage, tmp_path: Path) -> None:
    """Of two runs under one prefix the first ends with a sentence, and nothing is doubled."""
    async with carrying(stage, tmp_path, WISHES) as first:
        await stage.reach(stage.market + 90)
        async with carrying(stage, tmp_path, WISHES) as second:
            took = await first.ended(BOUND)
            assert first.status == 1, first.wrote
            sentence = first.wrote.strip().splitlines()[-1]
            assert sentence == (
                f"candles: another run has taken {stage.prefix}.coverage.fixed over: stop that "
                "one, or run this one under another --prefix"
            )
            report(f"the first run ended {took:.1f} s after the second was accepted")
            until = stage.market + 60
            findings = await stage.complete(until)
            assert second.status is None, second.wrote
    assert findings.amiss == []
