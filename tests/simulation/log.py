"""A pretended Kafka: what was committed, and the oracle that compares it with the truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from connectors.coverage import Coverage, Run, RunState, digest_of
from connectors.ledger import Published
from connectors.model import CandleData, Subscription
from tests.simulation.market import STEP, Truth


def copied(coverage: Coverage) -> Coverage:
    """What a reader of Kafka gets: nothing shared with the writer."""
    return Coverage(coverage.start, [replace(run) for run in coverage.runs], dict(coverage.recent))


@dataclass
class Part:
    """What one transaction holds of one subscription."""

    subscription: Subscription
    candles: list[Published]
    coverage: Coverage
    began: float


@dataclass
class Kept:
    """All that was committed of one subscription."""

    truth: Truth
    coverage: Coverage | None = None
    first: int = 0
    candles: list[Published] = field(default_factory=list)
    newest: dict[int, Published] = field(default_factory=dict)
    digests: dict[int, int] = field(default_factory=dict)
    heard: dict[int, CandleData] = field(default_factory=dict)
    """The stream's last state of each bar, where nothing else is known of it."""

    def hear(self, state: CandleData) -> None:
        """The stream delivered this."""
        known = self.heard.get(state.timestamp)
        if known is None or state.volume >= known.volume:
            self.heard[state.timestamp] = state

    def has(self, slot: int) -> bool:
        """Whether a candle of the slot was committed."""
        return slot in self.newest

    def commit(self, part: Part) -> list[str]:
        """Take a part over; what is wrong with it at once."""
        if self.coverage is None:
            self.first = self.truth.grid.floor(part.began)
        faults = [fault for published in part.candles for fault in self._add(published)]
        self.coverage = copied(part.coverage)
        return faults + self._disagreements(self.coverage)

    def _add(self, published: Published) -> list[str]:
        candle, _, revision, late = published
        slot = candle.timestamp
        known = self.newest.get(slot)
        faults = []
        if known is not None and revision <= known.revision:
            faults.append(f"doubled: {slot} revision {revision}")
        if known is not None and _figures(known.candle) == _figures(candle):
            faults.append(f"revision {revision} of {slot} changes nothing")
        if revision != (0 if known is None else known.revision + 1):
            faults.append(f"revision {revision} of {slot} follows {known}")
        if not late and revision == 0 and self.newest and slot < max(self.newest):
            faults.append(f"out of order: {slot} after {max(self.newest)}")
        self.candles.append(published)
        self.newest[slot] = published
        self.digests[slot] = digest_of(candle)
        return faults

    def _disagreements(self, coverage: Coverage) -> list[str]:
        """Where coverage does not speak of exactly what was committed."""
        faults = []
        if [r.start for r in coverage.runs[1:]] != [r.end for r in coverage.runs[:-1]]:
            faults.append(f"coverage has gaps: {coverage.runs}")
        for run in coverage.runs:
            mine = [it for slot, it in self.digests.items() if run.start <= slot < run.end]
            if (run.count, run.digest) != (len(mine), sum(mine) % 2**64):
                faults.append(f"coverage says {run}, committed were {len(mine)}")
        if any(slot >= coverage.head or slot < coverage.start for slot in self.newest):
            faults.append("a candle was committed that coverage does not speak of")
        return faults

    # --- the verdict at the end ---

    def verdict(self, until: int, spared: set[int]) -> list[str]:
        """What is wrong when all has healed; ``spared`` slots may be missing if that is declared.

        Every slot from the start on that closed before ``until`` counts.
        """
        if self.coverage is None:
            return ["lost: nothing at all was committed"]
        faults = []
        if self.coverage.start != self.first:
            faults.append(f"coverage starts at {self.coverage.start}, not at {self.first}")
        for slot in range(self.first, until, STEP):
            faults += self._slot(slot, self._run(slot), slot in spared)
        return faults

    def needless(self) -> list[str]:
        """What need not have been late, since REST always answered in time."""
        return [f"late: {it} for no reason" for it in self.candles if it.late]

    def _run(self, slot: int) -> Run | None:
        assert self.coverage is not None
        runs = (run for run in self.coverage.runs if run.start <= slot < run.end)
        return next(runs, None)

    def _slot(self, slot: int, run: Run | None, spared: bool) -> list[str]:
        published = self.newest.get(slot)
        if published is not None:
            return self._wrong(published)
        if run is None:
            return [f"lost: {slot} is not even covered"]
        if run.state is RunState.SETTLED and self._is_offered(slot):
            return [f"lost: {slot} is said to be empty"]
        if run.missing and not spared:
            return [f"lost: {slot} is still missing: {run.reason}"]
        return []

    def _is_offered(self, slot: int) -> bool:
        return self.truth.kind.rest == "sent" or not self.truth.is_quiet(slot)

    def _wrong(self, published: Published) -> list[str]:
        candle, truth = published.candle, self.truth.final(published.candle.timestamp)
        if self.truth.kind.rest is None and not self.truth.kind.flagged:
            truth = self.heard[candle.timestamp]
        if _figures(candle) == _figures(truth):
            return []
        return [f"wrong: {published}, the truth is {truth}"]


def _figures(candle: CandleData) -> tuple[float, ...]:
    volume = round(candle.volume, 9)
    return candle.open, candle.high, candle.low, candle.close, volume
