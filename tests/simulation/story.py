"""The story of one finding: what happened around its slot, as a numbered list with times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from connectors.adapter import RestAnswer, Rows
from connectors.inquiry import Span
from connectors.model import CandleData
from tests.simulation.log import Part
from tests.simulation.plan import Fault, Plan
from tests.simulation.timeline import Timeline
from tests.simulation.verdict import Finding, told

BEFORE: Final = 300.0
"""So many market seconds before its slot does a story begin, but for faults."""


class Story:
    """Told everything, it keeps what concerns the finding. Times are the exchange's."""

    def __init__(self, plan: Plan, about: Finding) -> None:
        self._plan = plan
        self._about = about
        self._time: Timeline | None = None
        self._coverage = ""
        self._lines: list[tuple[float, str, bool]] = []
        """When, what, and whether it is about the slot or a fault."""

    def listen(self, time: Timeline) -> None:
        """The run begins."""
        self._time = time

    def tell(self, words: str, pair: int | None = None, slot: int | None = None) -> None:
        """This happens: to all, to a pair, or to one bar of it."""
        if pair in (None, self._about.pair) and slot in (None, self._about.slot):
            self._lines.append((self._time.theirs if self._time else 0.0, words, slot is not None))

    def fault(self, fault: Fault, *, ends: bool = False) -> None:
        """Something begins to go wrong, or ends to."""
        pair = "" if fault.pair is None else f"of P{fault.pair}: "
        words = f"no longer {fault.what.value}" if ends else fault.told()
        if fault.pair in (None, self._about.pair):
            self.tell(pair + words, self._about.pair, self._about.slot)

    def frame(self, pair: int, state: CandleData, *, lost: bool) -> None:
        """The stream tells of a bar."""
        closed = "closed " * bool(state.closed)
        whom = "a frame nobody gets" if lost else "the stream"
        self.tell(f"{whom} says: {closed}{told(state)}", pair, state.timestamp)

    def answer(self, pair: int, span: Span, answer: RestAnswer | None) -> None:
        """REST answers."""
        slot = self._about.slot
        if not span.start <= slot < span.end:
            return
        asked = f"REST, asked at {_moment(span.at)} for {_slots(span.start, span.end)}"
        if not isinstance(answer, Rows):
            self.tell(f"{asked}: {answer or 'no answer'}", pair, slot)
            return
        mine = [told(row) for row in answer.candles if row.timestamp == slot]
        newest = max((row.timestamp for row in answer.candles), default=None)
        beside = f"newest row {_bar(newest)}" if newest is not None else "no rows"
        self.tell(f"{asked}: {' and '.join(mine) or 'not there'}; {beside}", pair, slot)

    def commit(self, part: Part) -> None:
        """A transaction is committed."""
        slot = self._about.slot
        for candle, reason, revision, late in part.candles:
            if candle.timestamp == slot:
                how = f"{reason.name}, revision {revision}{', late' * late}"
                self.tell(f"published: {told(candle)} ({how})", part.pair, slot)
        run = next((run for run in part.coverage.runs if run.start <= slot < run.end), None)
        state = f"{run.state.name.lower()} {run.reason or ''}".strip() if run else "not yet due"
        if part.pair == self._about.pair and state != self._coverage:
            self._coverage = state
            self.tell(f"coverage: {state}", part.pair, slot)

    def told(self, expected: CandleData) -> str:
        """All of it: the plan, what happened, what was found, what the truth is."""
        pair, slot = self._about.pair, self._about.slot
        plan = self._plan
        wish = next(wish for wish in plan.wishes if wish.number == pair)
        head = (
            f"seed {plan.seed}, P{pair}: {wish.kind.name} {wish.interval}, {wish.quiet:.0%} quiet, "
            f"speed {plan.speed:g}, page {plan.page}, their clock {-plan.skew or 0.0:+.2f} s; "
            f"{len(plan.wishes)} subscriptions, {len(plan.faults)} faults"
        )
        lines = [
            f"{n:3}. {_moment(at)} {words}" for n, (at, words) in enumerate(self._together(), 1)
        ]
        end = f"{self._about.verdict}: bar {_bar(slot)} of P{pair}: {self._about.told}"
        return "\n".join([head, *lines, f"expected: {told(expected)}", end])

    def _together(self) -> list[tuple[float, str]]:
        """The lines; what is said several times on end is said once.

        What befalls all is told only while something is told of the slot.
        """
        last = max((at for at, _, own in self._lines if own), default=0.0)
        first = self._about.slot - BEFORE
        lines: list[tuple[float, str]] = []
        many = 1
        for at, words, own in self._lines:
            if not own and not first <= at <= last:
                continue
            if lines and lines[-1][1].split(" (×")[0] == words:
                many += 1
                lines[-1] = (lines[-1][0], f"{words} (×{many}, until {_moment(at)})")
            else:
                many = 1
                lines.append((at, words))
        return lines


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d %H:%M:%S.%f")[:-4]


def _bar(slot: int) -> str:
    return datetime.fromtimestamp(slot, UTC).strftime("%d %H:%M:%S").removesuffix(":00")


def _slots(start: int, end: int) -> str:
    return f"{_bar(start)}–{_bar(end)}"
