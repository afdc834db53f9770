"""Pure: one subscription's ledger: what REST is asked about its slots, and what its replies decide.

``rows`` takes a reply; ``tick`` lets time pass and says what REST is to be asked, the most urgent
first (``connectors.inquiry``). What is decided of each slot, and why, is ``connectors.slots``.

* The head, when it is overdue, or when the stream thinks that its bar is over. While a stream that
  leaves out bars without trades is quiet, REST is not asked bar by bar.
* What is missing behind the head, newest first, as far as the exchange's history reaches.
* *Unsure* candles: what REST says soon after a close may lack the last trades, and so may the
  stream's own word; they are read again when REST must have caught up, and revised if they differ.
* All that was published, at last, in large pages: the *audit*.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from operator import attrgetter

from connectors.clock import Clock
from connectors.comparison import behind, filled
from connectors.coverage import RunState, SlotState
from connectors.inquiry import Inquiry, Kind, Span
from connectors.memory import Word
from connectors.model import CandleData, CloseReason, Grid, Subscription
from connectors.rules import AUDIT, FUTURE, LAG, REREAD, Rules
from connectors.slots import Over, Slots


class Ledger(Slots):
    """See the head of the module, and ``Slots``, whose hooks are told here which ledger calls."""

    def __init__(
        self,
        subscription: Subscription,
        grid: Grid,
        rules: Rules,
        clock: Clock,
        wake: Callable[[Ledger, float], None],
        touch: Callable[[Ledger], None],
        recall: Callable[[Ledger, int, int], None],
        since: float | None = None,
    ) -> None:
        super().__init__(
            subscription,
            grid,
            rules,
            clock,
            wake=partial(wake, self),
            touch=partial(touch, self),
            recall=partial(recall, self),
            since=since,
        )

    def forget(self) -> None:
        """As ``Slots.forget``; what is under way is not waited for any more."""
        super().forget()
        self._inquiries = {kind: Inquiry() for kind in Kind}

    # --- time ---

    def tick(self, market: float, real: float) -> Span | None:
        """Let time pass; what REST is to be asked now, or None."""
        if self.begun:
            self._by_clock(real)
            self._unconfirmed(real)
            self._release_until(real)
            self._declare_missing(market, real)
            self._recall_doubts()
        return self._question(market, real) if self.rules.rest else None

    def due(self) -> float:
        """The real time of the next ``tick`` that can change something."""
        times = [inf]
        if self.begun:
            times += [self._decide_at(), self._presumed_at()]
            if self._slot >= 0:
                times.append(self._past_at(self._slot))
            if self._memory.doubts and not self._recalling:
                return -inf
        if self.rules.rest:
            times += [max(self._due_at(kind), self._inquiries[kind].free_at) for kind in Kind]
        return min(times)

    def _unconfirmed(self, real: float) -> None:
        """REST did not confirm an inferred close in time: the stream's own state stands."""
        while (over := self._inferred(self.coverage.head)) and real >= self._decide_at():
            self._decided(Word(over.state, over.reason, sure=False))
            self._release()
            self._inquiries[Kind.HEAD].progress()

    def _recall_doubts(self) -> None:
        """Have told what is published of slots that REST contradicts."""
        doubts = self._memory.doubts
        if doubts and not self._recalling:
            self._recalling = True
            self._recall(min(doubts), self.grid.after(max(doubts)))

    # --- replies ---

    def rows(self, rows: list[CandleData], asked: Span, market: float, real: float) -> None:
        """The rows that REST gave for ``asked``, oldest first; ``market`` is now.

        Rows outside of what was asked prove nothing, and a reply of nothing else is no answer.
        Raises ValueError for a row at whose open time no bar opens; then call ``failed``.
        """
        inside = [row for row in rows if asked.start <= row.timestamp < asked.end]
        for row in inside:
            self._learn(row.timestamp)
        before = self._progress
        if self.begun and (inside or not rows):
            at = min(market, asked.at)
            traded = [row for row in inside if not self._is_empty_row(row)]
            for row in traded:
                if self._memory.numbers.get(row.timestamp, 0) <= asked.known:
                    self._row(row, at)
            there = [row.timestamp for row in inside]
            self._find_empty({row.timestamp for row in traded}, there, asked, at)
            self._audited(asked)
            self._release_until(real)
        for inquiry in self._inquiries.values():
            inquiry.rest_answers()
        if self._progress == before:
            self._inquiries[asked.kind].in_vain(asked, real, -inf)
        else:
            self._inquiries[asked.kind].progress(asked)
        self._wake(self.due())

    def failed(self, asked: Span, real: float, retry_at: float = -inf) -> None:
        """REST could not answer; ``retry_at`` is the earliest time to ask again, where told."""
        inquiry = self._inquiries[asked.kind]
        inquiry.in_vain(asked, real, retry_at)
        inquiry.unanswered = retry_at <= real
        self._wake(self.due())

    def _row(self, row: CandleData, at: float) -> None:
        """One row as REST had it at ``at``."""
        slot = row.timestamp
        over = self._over.get(slot)
        proven = at >= self._sure_from(slot) + AUDIT
        sure = proven or row.closed is True or at >= self._sure_from(slot)
        if row.closed is False or not (sure or self._may_be_early(slot, over, at)):
            return
        if over is None:
            self._decided(Word(row, CloseReason.REST_ROW, sure, proven))
        elif proven or not behind(row, over.state):
            row = filled(row, over.state)
            self._decided(Word(row, CloseReason.REST_CONFIRMED, sure, proven))

    def _may_be_early(self, slot: int, over: Over | None, at: float) -> bool:
        """Whether a row may be published that is to be read again when REST has caught up."""
        if self._has_flags or self.coverage.slot(slot) is not SlotState.AHEAD:
            return False
        told = over is not None and over.since <= self._clock.real_at(at)
        return told or at >= self.grid.after(slot) + self.rules.grace

    def _is_empty_row(self, row: CandleData) -> bool:
        """A flat row without volume, of a bar that the stream leaves out: there is no candle."""
        return self.rules.stream_skips and row.volume == 0 and row.high == row.low

    def _audited(self, asked: Span) -> None:
        """An audit of these slots has been answered."""
        if asked.kind is Kind.AUDIT and asked.start <= self._memory.audited:
            self._memory.advance(asked.end)
            self._progress += 1

    def _find_empty(self, present: set[int], there: list[int], asked: Span, at: float) -> None:
        """Slots that were asked for and had no trades, since their rows are not ``there``.

        Where history is about to end, an older row proves that it reaches so far.
        """
        until = self._complete_until(max(there, default=asked.start), asked, at)
        start = max(asked.start, min([self._oldest(at, margin=True), *there]))
        start = self.grid.after(self.grid.floor(start - 1))  # a lesson begins anywhere
        for run in self.coverage.missing():
            self._empty(max(run.start, start), min(run.end, until), present)
        if start <= self.coverage.head:
            self._empty(self.coverage.head, until, present)

    def _complete_until(self, newest: int, asked: Span, at: float) -> int:
        past = min(asked.end, self._past_until(at))
        wait = max(self.rules.grace, LAG)
        return self._inquiries[asked.kind].complete_until(newest, past, at, wait)

    def _empty(self, start: int, until: int, present: set[int]) -> None:
        slot = start
        while slot < until:
            end = self.grid.after(slot)
            if slot == self.coverage.head and slot in self._closed:
                self._publish_head()
            elif slot not in present and slot not in self._over:
                self._quiet = True
                self.coverage.empty(slot, end)
                self._progress += 1
                self._touch()
            elif self.coverage.slot(slot) is SlotState.AHEAD:
                return
            slot = end

    # --- is the stream alive? ---

    def newest(self, market: float) -> Span:
        """The running bar and the one before, to see whether the stream has told of them."""
        running = self.grid.floor(market) if self.grid.known else int(market)
        return Span(self.grid.after(running, -1), self.grid.after(running), Kind.REPAIR, market)

    def outrun_by(self, rows: list[CandleData]) -> bool:
        """Whether these rows tell of trades that the stream has not told of."""
        if not rows:
            return False
        newest = max(rows, key=attrgetter("timestamp"))
        if self._state is not None and newest.timestamp == self._state.timestamp:
            return behind(self._state, newest)
        return newest.timestamp >= self._slot and newest.volume > 0

    # --- questions ---

    def _question(self, market: float, real: float) -> Span | None:
        """What REST is to be asked now: for the head first."""
        for kind, inquiry in self._inquiries.items():
            if real >= inquiry.free_at and real >= self._due_at(kind):
                span = self._span(kind, market, real)
                if span is not None:
                    return inquiry.ask(span)
        return None

    def _due_at(self, kind: Kind) -> float:
        """When REST is to be asked, and why."""
        if kind is Kind.HEAD:
            return self._overdue_at()
        if not self.begun or len(self.pending) >= self.rules.page:
            return inf  # what is not written yet must not become too much for a transaction
        return self._repair_at() if kind is Kind.REPAIR else self._audit_at()

    def _span(self, kind: Kind, market: float, real: float) -> Span | None:
        if kind is Kind.HEAD:
            return (
                self._page_from(self.coverage.head, market) if self.begun else self._lesson(market)
            )
        if kind is Kind.REPAIR:
            return self._next_repair(market, real)
        return self._next_audit(market)

    def _lesson(self, market: float) -> Span:
        """Some rows to learn the grid from, once the ledger is to begin."""
        start = int(market) - 3 * self.grid.step
        return Span(start, int(market) + 1, Kind.HEAD, market, self._progress)

    def _overdue_at(self) -> float:
        """When REST is to be asked for the head, or for the grid."""
        if not self.begun:
            return self._began[1]
        head = self.coverage.head
        over = self._inferred(head)
        if over is not None:
            return over.since if self.rules.confirm else inf
        if self._is_quiet(head):
            return self._clock.real_at(self._audit_from(head))
        return (
            self._clock.real_at(self._sure_from(head)) if self._has_flags else self._past_at(head)
        )

    def _page_from(self, head: int, market: float) -> Span:
        """From the head to the running bar, whose row proves that earlier ones are complete."""
        start = head
        if not self._has_flags:
            start = max(self.coverage.start, self.grid.after(head, -REREAD))
        newest = max(self.grid.floor(market), self._slot, head)
        end = min(self.grid.after(newest), self.grid.after(start, self.rules.page))
        return Span(start, end, Kind.HEAD, market, self._progress)

    def _repair_at(self) -> float:
        """When REST is to be asked for something behind the head."""
        if any(run.state is RunState.MISSING for run in self.coverage.runs):
            return -inf
        return min(self._memory.unsure.values(), default=inf)

    def _next_repair(self, market: float, real: float) -> Span | None:
        self._give_up(market)
        runs = [(r.start, r.end) for r in self.coverage.runs if r.state is RunState.MISSING]
        unsure = self._memory.unsure.items()
        runs += [(slot, self.grid.after(slot)) for slot, at in unsure if at <= real]
        if not runs:
            return None
        start, end = self._inquiries[Kind.REPAIR].page_of(runs, self.grid, self.rules.page)
        return Span(start, end, Kind.REPAIR, market, self._progress)

    def _give_up(self, market: float) -> None:
        """Slots that the exchange's history does not reach any more cannot be had."""
        oldest = self._oldest(market)
        reason = f"the exchange's history reaches {self.rules.reach} bars back"
        for run in self.coverage.missing():
            if run.state is RunState.MISSING and run.start < oldest:
                self.coverage.give_up(run.start, min(run.end, oldest), reason, int(market))
                self._touch()

    def _oldest(self, market: float, *, margin: bool = False) -> int:
        """The first slot that REST's history still has; with a margin for clocks that differ."""
        reach = self.rules.reach
        if reach is None:
            return self.coverage.start
        spare = min(reach * self.grid.step / 4, FUTURE) if margin else 0.0
        return self.grid.after(self.grid.floor(market + spare), -reach)

    def _audit_at(self) -> float:
        """When REST is to be asked for what was published long ago."""
        if self._memory.audited >= self.coverage.head or self._memory.doubts:
            return inf
        return self._clock.real_at(self._audit_from(self._memory.audited))

    def _next_audit(self, market: float) -> Span:
        start = self._memory.audited
        proven = self.grid.floor(market - self.rules.proven)
        end = min(proven, self.coverage.head, self.grid.after(start, self.rules.page))
        return Span(start, end, Kind.AUDIT, market, self._progress)
