"""Hundreds of seeded lives of a few subscriptions, each compared with the truth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.campaign import simulate, story_of
from tests.simulation.market import KINDS, Kind
from tests.simulation.plan import Plan, Wish
from tests.simulation.world import World

TOGETHER = 20
MANY = 2_000
"""So many seeds make a million closed candles."""


@pytest.mark.parametrize("first", range(0, 100, TOGETHER))
def test_nothing_is_lost_doubled_wrong_or_undeclared(first: int) -> None:
    """Whatever fails, Kafka ends with the truth, each candle once, each hole declared."""
    tally = simulate(range(first, first + TOGETHER))
    if tally.failed is not None:
        pytest.fail(story_of(tally.failed), pytrace=False)
    assert tally.candles > 400 * TOGETHER, "the runs have become too short to show anything"


@pytest.mark.slow
def test_a_million_candles(capsys: pytest.CaptureFixture[str]) -> None:
    """The same of a million closed candles; the figures are printed."""
    tally = simulate(range(MANY))
    if tally.failed is not None:
        pytest.fail(story_of(tally.failed), pytrace=False)
    with capsys.disabled():
        print(f"\n{tally}")  # noqa: T201 - they are what the run is for
    assert tally.candles > 1_000_000


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_without_faults_nothing_is_late_revised_or_asked_in_vain(kind: Kind) -> None:
    """On a good day each bar is published once, in order, for every kind of exchange."""
    plan = replace(Plan.drawn(7), wishes=(Wish(0, kind, "1m", 0.3),), faults=(), skew=0.0)
    world = World(plan)
    assert world.run() == []
    (pair,) = world.pairs
    assert [it.candle.timestamp for it in pair.log.candles] == sorted(pair.log.newest)
    assert not any(it.late or it.revision for it in pair.log.candles)
    assert pair.log.coverage is not None
    assert not pair.log.coverage.missing()
