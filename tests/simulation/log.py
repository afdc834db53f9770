"""A pretended Kafka: what was committed of each subscription, and whether that fits together."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field, fields, replace
from math import inf
from operator import attrgetter
from typing import Final

from connectors.coverage import Coverage, Run, digest_of
from connectors.memory import Published
from connectors.model import CandleData
from tests.simulation.verdict import Finding, figures

_RUN: Final = attrgetter(*(it.name for it in fields(Run)))
_WORD: Final = 1 << 64


def copied(coverage: Coverage) -> Coverage:
    """What a reader of Kafka gets: nothing shared with the writer."""
    runs = [Run(*_RUN(run)) for run in coverage.runs]
    return replace(coverage, runs=runs, recent=dict(coverage.recent))


@dataclass
class Part:
    """What one transaction holds of one subscription."""

    pair: int
    candles: list[Published]
    coverage: Coverage


class Digests:
    """Digests of committed candles by slot, summed up so that any run can be looked up."""

    def __init__(self) -> None:
        self._digests: dict[int, int] = {}
        self._slots: list[int] = []
        self._sums = [0]

    def put(self, slot: int, digest: int) -> None:
        """The digest of a slot's newest candle."""
        known = slot in self._digests
        self._digests[slot] = digest
        if not known and (not self._slots or slot > self._slots[-1]):
            self._slots.append(slot)
        else:
            if not known:
                insort(self._slots, slot)
            del self._sums[bisect_left(self._slots, slot) + 1 :]

    def of(self, start: int, end: int) -> tuple[int, int]:
        """How many candles there are in ``[start, end)``, and the sum of their digests."""
        for slot in self._slots[len(self._sums) - 1 :]:
            self._sums.append(self._sums[-1] + self._digests[slot])
        first, last = bisect_left(self._slots, start), bisect_left(self._slots, end)
        return last - first, (self._sums[last] - self._sums[first]) % _WORD


@dataclass
class Log:
    """All that was committed of one subscription, in the order in which it was."""

    pair: int
    coverage: Coverage | None = None
    candles: list[Published] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """Market time at which each of them was committed."""
    newest: dict[int, Published] = field(default_factory=dict)
    late: list[tuple[int, float]] = field(default_factory=list)
    """Slots of candles that came late, and the market time of that."""
    denied: list[tuple[int, float]] = field(default_factory=list)
    """The same of those that had been said to be empty."""
    known: dict[int, float] = field(default_factory=dict)
    """Market time at which the newest candle of a slot was committed."""
    _highest: int = -1
    _lowest: float = inf
    _digests: Digests = field(default_factory=Digests)

    def commit(self, part: Part, market: float) -> list[Finding]:
        """Take a part over; what is wrong with it at once."""
        findings: list[Finding] = []
        for published in part.candles:
            findings += self._add(published, market)
        self.coverage = part.coverage
        return findings + self._disagreements(part.coverage)

    def _add(self, published: Published, market: float) -> list[Finding]:
        candle, _, revision, late = published
        slot = candle.timestamp
        known = self.newest.get(slot)
        findings = self._sequence(candle, revision, known)
        self.known[slot] = market
        if late:
            self.late.append((slot, market))
            if self._is_settled(slot):
                self.denied.append((slot, market))
        elif revision == 0 and slot < self._highest:
            findings.append(self._finding("out of order", slot, f"after {self._highest}"))
        self._highest, self._lowest = max(self._highest, slot), min(self._lowest, slot)
        self.candles.append(published)
        self.times.append(market)
        self.newest[slot] = published
        self._digests.put(slot, digest_of(candle))
        return findings

    def _sequence(
        self, candle: CandleData, revision: int, known: Published | None
    ) -> list[Finding]:
        slot = candle.timestamp
        if known is None:
            told = f"revision {revision} is the first"
            return [self._finding("doubled", slot, told)] if revision else []
        findings = []
        if revision != known.revision + 1:
            told = f"revision {revision} follows revision {known.revision}"
            findings.append(self._finding("doubled", slot, told))
        if candle.volume < known.candle.volume - 1e-9:
            findings.append(self._finding("wrong", slot, "a revision takes trades back"))
        if figures(known.candle) == figures(candle):
            findings.append(self._finding("doubled", slot, f"revision {revision} changes nothing"))
        return findings

    def _is_settled(self, slot: int) -> bool:
        runs = self.coverage.runs if self.coverage else []
        return any(run.start <= slot < run.end and not run.missing for run in runs)

    def _disagreements(self, coverage: Coverage) -> list[Finding]:
        """Where coverage does not speak of exactly what was committed."""
        findings, runs = [], coverage.runs
        end = coverage.start
        for run in runs:
            if run.start != end:
                told = f"coverage has a gap from {end} to {run.start}"
                findings.append(self._finding("undeclared", end, told))
            end = run.end
            count, digest = self._digests.of(run.start, end)
            if (run.count, run.digest) != (count, digest):
                told = f"coverage says {run}, committed were {count}"
                findings.append(self._finding("undeclared", run.start, told))
        if self._highest >= end or self._lowest < coverage.start:
            told = f"a candle was committed that coverage of {coverage.start}..{end} omits"
            findings.append(self._finding("undeclared", self._highest, told))
        return findings

    def _finding(self, verdict: str, slot: int, told: str) -> Finding:
        return Finding(verdict, self.pair, slot, told)
