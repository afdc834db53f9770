"""A run on all markets without any faults, to be looked at from many sides when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from connectors.sandbox.server import Sandbox
from tests.end_to_end.stage import SPEED, Stage, everywhere
from tests.end_to_end.truth import Bar, Candle, Findings, fetch, single_object
from tests.oracle import Record

MINUTES = 6
"""So many minutes of market time are waited for."""


@dataclass(frozen=True)
class Ordinary:
    """What a run has left behind.

    ``during`` is the sandbox's journal while it ran; the ``truth`` is that of the market time
    ``known``.
    """

    kafka: str
    prefix: str
    seed: int
    wishes: dict[str, float]
    until: float
    findings: Findings
    tally: str
    during: dict[str, Any]
    after: dict[str, Any]
    known: float
    truth: dict[str, list[Bar]]
    closed: list[tuple[Record, Candle]]
    live: list[tuple[Record, Candle]]
    others: list[Record]


async def run_ordinary(kafka: str, prefix: str, seed: int) -> Ordinary:
    """Run until a few minutes of candles are complete, and stop."""
    async with Sandbox(0, SPEED, seed) as sandbox:
        stage = Stage(sandbox, kafka, prefix, Random(seed))
        wishes = everywhere()
        async with stage.running(wishes) as running:
            until = stage.market + MINUTES * 60
            await stage.complete(until)
            during = await stage.journal()
        closed, live = await stage.records("closed"), await stage.records("live")
        since = {name: accepted - 3_600 for name, accepted in stage.wishes.items()}
        return Ordinary(
            kafka=kafka,
            prefix=prefix,
            seed=seed,
            wishes=stage.wishes,
            until=until,
            findings=await stage.judge(until),
            tally=str(running.task.result()),
            during=during,
            after=await stage.journal(),
            known=stage.market,
            truth=await fetch(sandbox.url, since),
            closed=[(record, single_object(record)) for record in closed],
            live=[(record, single_object(record)) for record in live],
            others=await stage.read("coverage.fixed", "schemas", "dead-letters"),
        )
