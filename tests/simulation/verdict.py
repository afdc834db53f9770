"""What is wrong with what was committed, judged by the truth alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from connectors.coverage import Coverage, RunState
from connectors.memory import Published
from connectors.model import CandleData
from tests.simulation.market import Truth

if TYPE_CHECKING:
    from tests.simulation.log import Log

VERDICTS: Final = ("lost", "doubled", "wrong", "out of order", "undeclared", "late", "raised")

MISSING: Final = "still missing"


class Finding(NamedTuple):
    """Something that must not be: one of ``VERDICTS``, the pair, the slot, and what it is."""

    verdict: str
    pair: int
    slot: int
    told: str


class Terms(NamedTuple):
    """What may be expected.

    ``is_due(slot)``: whether all must have healed of it. ``is_spared(slot)``: whether it may be
    missing if that is declared. ``heard``: the stream's last state of each bar, which is all the
    truth there is where REST does not have it and frames do not say closed.
    """

    is_due: Callable[[int], bool]
    is_spared: Callable[[int], bool]
    heard: dict[int, CandleData]


def judged(log: Log, truth: Truth, first: int, until: float, terms: Terms) -> Iterator[Finding]:
    """What is wrong in the end, of slots from ``first`` on that closed before ``until``."""
    coverage = log.coverage
    if coverage is None:
        yield Finding("lost", log.pair, first, "nothing at all was committed")
        return
    if coverage.start != first:
        yield Finding("undeclared", log.pair, first, f"coverage starts at {coverage.start}")
    slot = first
    while (end := truth.grid.after(slot)) <= until:
        published = log.newest.get(slot)
        if not terms.is_due(slot):
            pass
        elif published is not None:
            if told := _different(published, truth, terms.heard.get(slot)):
                yield Finding("wrong", log.pair, slot, told)
        elif (told := _absent(coverage, truth, slot)) and not (
            told == MISSING and terms.is_spared(slot)
        ):
            yield Finding("lost", log.pair, slot, told)
        slot = end


def _absent(coverage: Coverage, truth: Truth, slot: int) -> str:
    """Why there should be a candle; nothing if there need not be one."""
    run = next((run for run in coverage.runs if run.start <= slot < run.end), None)
    if run is None:
        return "not even covered"
    if run.state is not RunState.SETTLED:
        return MISSING
    offered = truth.is_offered(slot)
    return "said to be empty" if offered else ""


def _different(published: Published, truth: Truth, heard: CandleData | None) -> str:
    candle = published.candle
    if not truth.is_offered(candle.timestamp):
        return f"{told(candle)} was published, but bars without trades are left out there"
    final = heard or truth.final(candle.timestamp)
    if figures(candle) == figures(final):
        return ""
    return f"{published.reason.name} {told(candle)}, the truth is {told(final)}"


def figures(candle: CandleData) -> tuple[float, ...]:
    """What is compared."""
    return candle.open, candle.high, candle.low, candle.close, round(candle.volume, 9)


def told(candle: CandleData) -> str:
    """Its figures in short."""
    *prices, volume = figures(candle)
    return f"{' '.join(f'{price:.2f}' for price in prices)} volume {volume:.3f}"
