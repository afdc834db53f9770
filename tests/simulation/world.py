"""One run of a plan: exchange, worker and Kafka live through it in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Final

from connectors.ledger import Ledger
from connectors.memory import STREAM
from connectors.rules import LAG
from tests.simulation.exchange import Exchange
from tests.simulation.log import Log
from tests.simulation.market import Truth
from tests.simulation.plan import KAFKA, UNHEARD, UNTOLD, USELESS, Fault, Plan, What, Wish
from tests.simulation.scene import Pair, Scene
from tests.simulation.story import Story
from tests.simulation.timeline import Timeline
from tests.simulation.verdict import Finding, Terms, judged
from tests.simulation.worker import Worker

SETTLED: Final = 25.0
"""Real seconds after which a calm bar must be decided."""
HEALED: Final = (3, 360.0)
"""So many bars or, if that is less, market seconds after its close a calm bar must be right."""
AUDITED: Final = (10, 4_000.0, 620.0)
"""The same of a bar that only an audit can tell of: so many bars, at most so many market seconds;
and so many more."""
CORRECTABLE: Final = 240.0
"""Market seconds after its close in which a correction is still heard of by an audit."""
HINDERING: Final = (*KAFKA, What.FAILING, What.BUSY, What.WRONG_PAGE, What.BEHIND)
"""With these, more time is needed."""
LATE_ROWS: Final = (What.LAGGING, What.BEHIND)
"""With these, rows may lack trades."""
REPAIRED: Final = 60.0
"""Real seconds without trouble in which all that history has must have been fetched."""
RECOVERED: Final = 45.0
"""Real seconds after which REST that is well again must have been asked again."""


class World:
    """See the head of the module. With ``story``, it is told what happens."""

    def __init__(
        self, plan: Plan, make: Callable[..., Ledger] = Ledger, story: Story | None = None
    ) -> None:
        self.plan = plan
        self._make = make
        pairs = {it.number: _pair(plan, it) for it in plan.wishes}
        time = Timeline(plan.speed, plan.start, plan.skew)
        if story:
            story.listen(time)
        self._scene = Scene(time, pairs, Random(plan.seed), story)
        self._exchange = Exchange(self._scene, plan.page)
        self._worker = self._new_worker()

    @property
    def pairs(self) -> list[Pair]:
        """All subscriptions, and what was committed of them."""
        return list(self._scene.pairs.values())

    @property
    def candles(self) -> int:
        """How many closed candles were committed."""
        return sum(len(pair.log.candles) for pair in self.pairs)

    def run(self) -> list[Finding]:
        """Live through it all; what was wrong, nothing if all is well."""
        time, findings = self._scene.time, self._scene.findings
        for pair in self.pairs:
            self._exchange.open(pair, pair.truth.grid.floor(time.theirs))
        for fault in self.plan.faults:
            if fault.pair is None or fault.pair in self._scene.pairs:
                time.at_theirs(self.plan.start + fault.at, self._begin, fault)
        self._worker.take_over()
        self._worker.connect()
        time.run(self.plan.end, findings)
        return findings or [it for pair in self.pairs for it in self._judge(pair)]

    def _judge(self, pair: Pair) -> Iterator[Finding]:
        until = self.plan.end - self._patience(pair)
        terms = Terms(partial(self._is_due, pair), partial(self._is_spared, pair), pair.heard)
        yield from judged(pair.log, pair.truth, pair.first, until, terms)
        if not pair.alone:
            yield from self._for_a_while(pair)
        if not pair.alone and abs(self.plan.skew) < 1:
            yield from self._needless(pair)
            yield from self._hasty(pair)

    def _for_a_while(self, pair: Pair) -> Iterator[Finding]:
        """What was not right in the end only, though nothing kept it from being so in time."""
        for slot, at in pair.log.denied:
            if not self.plan.hurts((What.BEHIND,), slot, at):
                yield Finding("lost", pair.number, slot, "said to be empty for a while")
        for slot, at in pair.log.known.items():
            seconds = at - pair.truth.grid.after(slot)
            if slot >= self.plan.start and seconds > self._patience(pair):
                since = slot - RECOVERED * self.plan.speed
                if self._is_plain(pair, slot) and not self.plan.hurts(HINDERING, since, at):
                    told = f"only right {seconds:.0f} s after its close"
                    yield Finding("wrong", pair.number, slot, told)

    def _patience(self, pair: Pair) -> float:
        """Market seconds after its close within which a bar must be right on a good day."""
        bars, seconds = HEALED
        healed = min(bars * pair.truth.grid.step, seconds) + abs(self.plan.skew)
        return max(healed, SETTLED * self.plan.speed)

    def _is_due(self, pair: Pair, slot: int) -> bool:
        """Whether a bar must be right by now, though only an audit may have told of it."""
        bars, most, more = AUDITED
        close = pair.truth.grid.after(slot)
        if close + min(bars * pair.truth.grid.step, most) + more <= self.plan.end:
            return True
        return self._is_plain(pair, slot)

    def _is_plain(self, pair: Pair, slot: int) -> bool:
        """Whether nothing about a bar is left to the audit."""
        close = pair.truth.grid.after(slot)
        behind = self.plan.hurts((What.BEHIND,), slot, close + HEALED[1])
        skipped = pair.truth.kind.stream == "skipped" and (
            pair.truth.is_quiet(slot) or self.plan.hurts(UNHEARD, slot, close + HEALED[1])
        )
        told = pair.wish.confirm and slot not in pair.truth.corrected
        return told and not behind and not skipped

    def _is_spared(self, pair: Pair, slot: int) -> bool:
        """Whether nobody can have it: told by no stream, or by a history that was out of reach."""
        if pair.alone or not pair.wish.reach:
            return slot in pair.undone
        grid, reach = pair.truth.grid, pair.wish.reach
        if not pair.truth.is_offered(slot):
            return True  # no row is there to prove it, and none would be lost
        start = max(grid.after(slot), self.plan.start) + pair.truth.kind.grace + LAG
        start, gone = start + abs(self.plan.skew), grid.after(slot, reach)
        return not self.plan.is_calm(USELESS + KAFKA, start, gone, REPAIRED * self.plan.speed)

    def _needless(self, pair: Pair) -> Iterator[Finding]:
        """What need not have been late, since REST always answered in time."""
        for slot, at in pair.log.late:
            since = slot - RECOVERED * self.plan.speed
            hurt = self.plan.hurts(USELESS, since, at)
            backlog = self.plan.hurts(KAFKA, since, at, longest=3 * pair.truth.grid.step)
            presumed = pair.truth.kind.stream == "skipped" and self.plan.hurts(UNTOLD, since, at)
            if slot >= self.plan.start and not (hurt or backlog or presumed):
                yield Finding("late", pair.number, slot, "for no reason")

    def _hasty(self, pair: Pair) -> Iterator[Finding]:
        """Rows that were believed before they could be final, though REST lagged in nothing."""
        truth = pair.truth
        for (candle, reason, _, _), at in zip(pair.log.candles, pair.log.times, strict=True):
            slot = candle.timestamp
            if reason not in STREAM and slot not in truth.corrected:
                final = truth.final(slot)
                if candle.volume != final.volume and not self.plan.hurts(LATE_ROWS, slot, at):
                    told = f"REST was believed too early: {candle.volume} is not {final.volume}"
                    yield Finding("wrong", pair.number, slot, told)

    # --- faults ---

    def _begin(self, fault: Fault) -> None:
        if self._scene.story:
            self._scene.story.fault(fault)
        match fault.what:
            case What.CORRECTED:
                self._correct(self._scene.pairs[fault.pair or 0])
                return
            case What.KILLED:
                self._worker.die()
        self._scene.troubles.begin(fault)
        if fault.what is What.CUT:
            self._worker.disconnect()
        self._scene.time.at_theirs(self.plan.start + fault.end, self._end, fault)

    def _end(self, fault: Fault) -> None:
        self._scene.troubles.end(fault)
        if self._scene.story:
            self._scene.story.fault(fault, ends=True)
        if fault.what is What.KILLED and not self._scene.troubles.of(What.KILLED):
            self._worker = self._new_worker()
        if not self._scene.troubles.of(What.KILLED):
            self._worker.take_over()
            self._worker.connect()

    def _new_worker(self) -> Worker:
        return Worker(self._scene, self._exchange, self.plan.page, self._make)

    def _correct(self, pair: Pair) -> None:
        """The bar that closed last, where somebody can hear of it."""
        now, grid = self._scene.time.theirs, pair.truth.grid
        slot = grid.after(grid.floor(now), -1)
        since = now - grid.after(slot)
        in_time = pair.truth.kind.grace + 1 < since < CORRECTABLE
        if in_time and not pair.alone and not pair.truth.is_quiet(slot):
            self._exchange.correct(pair, slot)


def _pair(plan: Plan, wish: Wish) -> Pair:
    truth = Truth(plan.seed, wish.number, wish.kind, wish.grid, wish.quiet, wish.reach)
    since = truth.grid.after(truth.grid.floor(plan.start), -wish.since) if wish.since else None
    random = Random(plan.seed * 1_000 + wish.number)
    return Pair(wish, truth, Log(wish.number), random, since)
