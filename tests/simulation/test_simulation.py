"""Hundreds of seeded lives of a few subscriptions, each compared with the truth."""

from __future__ import annotations

import pytest

from tests.simulation.market import KINDS, Kind
from tests.simulation.world import Faults, World, told

TOGETHER = 25


def survives(world: World) -> int:
    """Run it; how many candles were committed. Fails with the story of the pair that went wrong."""
    wrong = world.run()
    if wrong:
        pytest.fail(told(world), pytrace=False)
    return sum(len(carried.kept.candles) for carried in world.carried.values())


@pytest.mark.parametrize("first", range(0, 200, TOGETHER))
def test_nothing_is_lost_doubled_wrong_or_undeclared(first: int) -> None:
    """Whatever fails, Kafka ends with the truth, each candle once, each hole declared."""
    assert sum(survives(World(seed)) for seed in range(first, first + TOGETHER)) > 100 * TOGETHER


@pytest.mark.slow
@pytest.mark.parametrize("first", range(200, 2_200, TOGETHER))
def test_the_same_for_longer(first: int) -> None:
    """Ten times as many lives."""
    assert sum(survives(World(seed)) for seed in range(first, first + TOGETHER)) > 100 * TOGETHER


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_without_faults_nothing_is_late_revised_or_asked_in_vain(kind: Kind) -> None:
    """On a good day each bar is published once, in order, for every kind of exchange."""
    world = World(7, kinds=[kind], faults=Faults())
    world.skew = 0.0
    survives(world)
    (carried,) = world.carried.values()
    assert [it.candle.timestamp for it in carried.kept.candles] == sorted(carried.kept.newest)
    assert not any(it.late or it.revision for it in carried.kept.candles)
    assert carried.kept.coverage is not None
    assert not carried.kept.coverage.missing()
