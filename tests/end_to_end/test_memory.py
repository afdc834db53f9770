"""Kafka is away for long, at full feed: the memory of `candles run` stays where it was."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from connectors.sandbox.kafka import LocalKafka
from connectors.sandbox.server import Sandbox
from tests.end_to_end.program import Program, carrying, summed
from tests.end_to_end.stage import Stage, eventually, report
from tests.end_to_end.truth import Findings, single_object

pytestmark = pytest.mark.kafka

SPEED = 120.0
"""Market time runs so fast: an absence of a minute is one of two hours to REST."""
WISHES = [
    f"{market}:{pair}-USDT:1m"
    for market in ("binance_spot", "binance_us", "binance_perpetual", "okx_spot", "okx_perpetual")
    for pair in ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")
]
"""Busy, streamed, and each bar's last word is flagged: so market time may run very fast."""
FULL_FEED = 21_000
"""The states of all wishes in half an hour at the speed of the world: 11.7 a second, measured."""
PAGE = 1000
"""So many bars of history a run fetches first, which are a page or more of every exchange's REST:
it is warm when its buffers have been used once."""
GROWTH = 0.10
"""The part by which memory may be larger than it was."""
RECOVERY = 120.0
"""Real seconds within which everything is complete again, on a busy machine too."""
FETCHED = ("REST_ROW", "REST_CONFIRMED")
"""Why candles that REST has given are thought closed."""


def resident(program: Program) -> float:
    """The memory that it has (RSS), in MB."""
    command = ["ps", "-o", "rss=", "-p", str(program._process.pid)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return int(told.stdout) / 1000


@dataclass(frozen=True)
class Absence:
    """What came of one: memory in MB before, at its end, and when all was complete again.

    ``states`` were received meanwhile, and ``conflated`` of all. ``forgotten`` are the slots that
    closed meanwhile, of which nothing could be written; so many of them were ``fetched`` from the
    exchange's history afterwards, the ``late`` ones behind newer candles.
    """

    before: float
    away: float
    after: float
    states: int
    conflated: int
    forgotten: int
    fetched: int
    late: int

    def __str__(self) -> str:
        return (
            f"memory {self.before:.1f} MB, {self.away:.1f} at the end of the absence, "
            f"{self.after:.1f} when all was complete; {self.states} states received meanwhile, "
            f"{self.conflated} conflated; {self.forgotten} slots forgotten, {self.fetched} fetched "
            f"again, {self.late} of them late"
        )

    @property
    def growth(self) -> float:
        """By which part memory was larger than before, at most."""
        return max(self.away, self.after) / self.before - 1


async def through_absence(
    kafka: LocalKafka, stage: Stage, wishes: list[str], folder: Path, seconds: float
) -> Absence:
    """Run while Kafka is away for so long: afterwards nothing may be lost, doubled or wrong."""
    since = stage.market - PAGE * 60
    stage.wishes.update(dict.fromkeys(wishes, since))
    began = time.monotonic()
    async with carrying(stage, folder, wishes, "--since", str(int(since))) as program:
        await correct(stage)
        before, left = resident(program), stage.market
        await absent(kafka, seconds)
        away, back = resident(program), stage.market
        await correct(stage)
        after = resident(program)
        program.terminate()
        await program.ended()
    lasted = time.monotonic() - began
    figures = summed(program.said)
    candles = [single_object(record) for record in await stage.records("closed")]
    missed = [it for it in candles if left < it["close_time"] / 1000 <= back and not it["revision"]]
    return Absence(
        before,
        away,
        after,
        states=int(figures["received"] * seconds / lasted),
        conflated=figures["conflated"],
        forgotten=len(missed),
        fetched=sum(it["close_reason"] in FETCHED for it in missed),
        late=sum(it["late"] for it in missed),
    )


async def absent(kafka: LocalKafka, seconds: float) -> None:
    """First its connections are there and nobody answers, then nobody listens."""
    kafka.pause(1)
    try:
        await asyncio.sleep(seconds / 2)
        await kafka.kill(1)
        await asyncio.sleep(seconds / 2)
    finally:
        await kafka.restart(1)


async def correct(stage: Stage) -> None:
    """Wait until everything that has closed by now is in Kafka, once, and as it is true."""
    until = stage.market
    found: list[Findings] = []

    async def nothing_amiss() -> bool:
        found.append(await stage.judge(until))
        return not found[-1].amiss

    await eventually(nothing_amiss, lambda: f"{found[-1]}: {found[-1].amiss[:5]}", RECOVERY, 1.0)
    report(found[-1])


@pytest.fixture
async def stage(own_kafka: LocalKafka, prefix: str, seed: int) -> AsyncIterator[Stage]:
    """A fast sandbox, and a prefix in the Kafka that may be harmed."""
    report(f"CANDLE_SEED={seed} repeats it")
    async with Sandbox(0, SPEED, seed) as sandbox:
        yield Stage(sandbox, own_kafka.bootstrap, prefix, Random(seed))


async def test_forty_seconds(stage: Stage, own_kafka: LocalKafka, tmp_path: Path) -> None:
    """After 40 s without Kafka memory is where it was, and nothing is lost, doubled or wrong."""
    wishes = WISHES[::3]
    absence = await through_absence(own_kafka, stage, wishes, tmp_path, 40.0)
    report(absence)
    assert absence.forgotten > 30 * len(wishes), f"too few bars closed: {absence}"
    assert absence.growth < GROWTH, f"where does it grow? {absence}"


@pytest.mark.slow
async def test_half_an_hour(stage: Stage, own_kafka: LocalKafka, tmp_path: Path) -> None:
    """After half an hour without Kafka at full feed memory is where it was, and nothing is amiss.

    Market time is compressed: in the 240 s some 28,000 states come, against 21,000 in half an hour
    at the speed of the world; open updates have to be conflated; and eight hours of slots, some
    14,000, are forgotten and fetched again, of which half an hour has 900.
    """
    absence = await through_absence(own_kafka, stage, WISHES, tmp_path, 240.0)
    report(absence)
    assert absence.states > FULL_FEED, f"a faster sandbox is needed: {absence}"
    assert absence.conflated > 0, f"the bound of open updates was not met: {absence}"
    assert absence.forgotten > 30 * len(WISHES), f"too few bars closed: {absence}"
    assert absence.growth < GROWTH, f"where does it grow? {absence}"
