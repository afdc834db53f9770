"""Pure: one subscription's book. Which slot is open, closed, repeated, revised, missing.

States of bars come in by ``settle`` (stream) and ``rows`` (REST); ``tick`` lets time pass and says
what REST is to be asked. What is decided goes into ``coverage`` at once, and closed candles into
``pending`` in the order in which they are to be published; the publisher takes them together with
the coverage that speaks of them. When a transaction fails, the whole book is forgotten and begun
again from the coverage that Kafka holds.

Slots are decided in the order of open times, at ``coverage.head``:

* closed by the exchange's flag, at once;
* where frames carry no flag, a newer candle or the clock says that a bar is over, and REST
  confirms the values; that wait is bounded, then the stream's own state is published;
* by a REST row: polled, or fetched because the slot was skipped or is overdue;
* empty, when REST already returns a later candle, or returned none twice after close and grace.

Newer closed candles are held until the slots before them are decided. The hold is bounded: then
the slots are declared missing, repaired later, and published ``late``.

What REST says soon after a close may lack the last trades, and so may the stream's own word. Such
candles are *unsure*: they are read again when REST must have caught up, and revised if they differ.

``real`` is monotonic seconds, ``market`` UNIX seconds of bars; ``clock`` only converts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from typing import Final, NamedTuple

from connectors.clock import Clock
from connectors.comparison import behind, filled
from connectors.coverage import RECENT, Coverage, RunState, SlotState, digest_of
from connectors.inquiry import Inquiry, Span
from connectors.memory import STREAM, Memory, Published, Word
from connectors.model import CandleData, CloseReason, Grid, Subscription

__all__ = ["Ledger", "Published", "Rules", "Span"]

HOLD: Final = 10.0
"""Real seconds that a slot may hold newer closed candles before it is declared missing."""
CONFIRM: Final = 2.0
"""Real seconds that an inferred close waits for REST to confirm its values."""
LAG: Final = 3.0
"""Market seconds after close and grace in which REST may still lag behind the socket."""
AUDIT: Final = 300.0
"""Market seconds that an unsure candle waits for a poll to read it again by the way."""
REREAD: Final = 2
"""So many bars before the head every poll reads again; as many published ones are remembered."""
FUTURE: Final = 3600.0
"""Market seconds beyond the clock from which on an open time cannot be right."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The facts of an exchange and interval by which slots are decided.

    ``streamed``: candles come over a WebSocket; ``flagged``: its frames say closed; ``rest``: REST
    has the interval, ``page`` slots at a time; ``rest_skips``: REST leaves bars without trades
    out; ``grace``: market seconds after the close in which late frames and rows are to be expected.
    """

    streamed: bool
    flagged: bool
    rest: bool
    rest_skips: bool
    grace: float
    page: int


class _Over(NamedTuple):
    """The stream's last state of a bar that is over, and since when (real) we think so."""

    state: CandleData
    reason: CloseReason
    since: float


class Ledger:
    """See the head of the module.

    ``wake(ledger, real)`` is called when it must be ticked at ``real`` or earlier than it said;
    ``touch(ledger)`` when there is something to write. ``since`` (market time): coverage shall
    reach back to there; history is old missing slots, repaired behind everything fresher.
    """

    def __init__(
        self,
        subscription: Subscription,
        grid: Grid,
        rules: Rules,
        clock: Clock,
        wake: Callable[[Ledger, float], None],
        touch: Callable[[Ledger], None],
        since: float | None = None,
    ) -> None:
        self.subscription = subscription
        self.grid = grid
        self.rules = rules
        self.heard = -inf
        self.ignored = 0
        self._since = since
        self._clock = clock
        self._wake = wake
        self._touch = touch
        self._slot = -1
        self._state: CandleData | None = None
        self._progress = 0
        self._memory = Memory(REREAD if rules.rest else RECENT)
        self.forget()

    # --- begin and forget ---

    def begin(self, coverage: Coverage | None, market: float, real: float) -> None:
        """From here on slots are decided: on from ``coverage``, or (None) from a first bar.

        That is the bar that is running at ``market``, when the wish was accepted.
        """
        self.forget()
        self._began = (market, real)
        if coverage is not None:
            self.coverage, self.begun = coverage, True
            self._learn(coverage.start)
            self._reach_back()
        elif self.grid.known:
            self._start()
        self._resume(real)
        self._wake(self, real)

    def _resume(self, real: float) -> None:
        """What memory knows of the newest candles, Kafka has as well, or does not have yet."""
        remembered = self._memory.forget()
        if self.rules.rest and not self._has_flags:
            self._memory.unsure.update(dict.fromkeys(self.coverage.recent, real))
        for published in remembered:
            candle, reason, revision, _ = published
            known = self.coverage.recent.get(candle.timestamp)
            if known is not None and known.digest == digest_of(candle):
                self._memory.remember(published, self.coverage.recent)
            elif known is None or known.revision < revision:
                self._decided(Word(candle, reason, sure=self._has_flags))
        self._release()

    def forget(self) -> None:
        """Nothing is decided until the next ``begin``, and what was pending is not published.

        The figures of the newest candles are remembered: ``begin`` compares them with coverage.
        """
        self.begun = False
        self.coverage = Coverage(0)
        self.pending: list[Published] = []
        self._began = (inf, inf)
        self._over: dict[int, _Over] = {}
        self._closed: dict[int, Word] = {}
        self._head, self._repair = Inquiry(), Inquiry()

    def take(self) -> list[Published]:
        """What is to be published now, in order; the coverage as it stands speaks of it."""
        taken, self.pending = self.pending, []
        return taken

    def _start(self) -> None:
        self.coverage = Coverage(self.grid.floor(self._began[0]))
        self.begun = True
        self._reach_back()
        self._touch(self)

    def _reach_back(self) -> None:
        start = self.coverage.start if self._since is None else self.grid.floor(self._since)
        if start < self.coverage.start:
            self.coverage.reach_back(start, "history", int(self._began[0]))
            self._touch(self)

    def _learn(self, slot: int) -> None:
        if not self.grid.known:
            self.grid = self.grid.anchored(slot)
        elif not self.grid.holds(slot):
            raise ValueError(f"{self.subscription}: no bar opens at {slot}")
        if not self.begun and self._began[0] < inf:
            self._start()

    # --- the stream ---

    def settle(self, candle: CandleData, real: float) -> bool:
        """A state from the stream; True where it is an update of the open bar.

        Raises ValueError for an open time at which no bar opens.
        """
        self.heard = real
        if candle.timestamp == self._slot and candle.closed is not True:
            state = self._state
            if state is None or candle.volume >= state.volume:
                self._state = candle
                return True
        return self._turn(candle, real)

    def _turn(self, candle: CandleData, real: float) -> bool:
        slot = candle.timestamp
        if slot > self._clock.market_at(real) + FUTURE:
            raise ValueError(f"{self.subscription}: {slot} lies in the future")
        self._learn(slot)
        if slot > self._slot:
            self._leave(CloseReason.NEXT_CANDLE, real)
            self._slot, self._state = slot, candle
            self._wake(self, past := self._past_at(slot))
            if candle.closed is not True:
                return real < past  # a first frame may tell of bars that were over long ago
        if candle.closed is True:
            self._flagged(candle)
        elif slot < self._slot:
            self._told(candle, CloseReason.NEXT_CANDLE, real)
        else:
            self.ignored += 1
        return False

    def _flagged(self, candle: CandleData) -> None:
        slot = candle.timestamp
        if slot == self._slot:
            self._slot, self._state = self.grid.after(slot), None
        self._decided(Word(candle, CloseReason.EXCHANGE_FLAG, sure=True))
        self._release()

    def _leave(self, reason: CloseReason, real: float) -> None:
        """For all that the stream tells, the bar of its newest state is over."""
        state, self._state = self._state, None
        if state is not None:
            self._told(state, reason, real)

    def _told(self, state: CandleData, reason: CloseReason, real: float) -> None:
        """An unflagged state of a bar that is over: the newest one of them counts."""
        slot = state.timestamp
        over = self._over.get(slot)
        if not self.begun or (state.volume == 0 and self.rules.rest and self.rules.rest_skips):
            return
        if over is not None and not behind(state, over.state):
            self._over[slot] = over._replace(state=state)
        elif over is None and self._is_undecided(slot):
            self._over[slot] = _Over(state, reason, real)
            self._wake(self, self.due())
        elif not self.rules.flagged and self._memory.lacks(state):
            self._decided(Word(state, reason, sure=False))
        else:
            self.ignored += 1

    def _is_undecided(self, slot: int) -> bool:
        return self.coverage.slot(slot) is SlotState.AHEAD and slot not in self._closed

    # --- is the stream alive? ---

    def newest(self, market: float) -> Span:
        """The running bar and the one before, to see whether the stream has told of them."""
        running = self.grid.floor(market) if self.grid.known else int(market)
        return Span(self.grid.after(running, -1), self.grid.after(running), False, market)

    def outrun_by(self, rows: list[CandleData]) -> bool:
        """Whether these rows tell of trades that the stream has not told of."""
        if not rows:
            return False
        newest = max(rows, key=attrgetter("timestamp"))
        if self._state is not None and newest.timestamp == self._state.timestamp:
            return behind(self._state, newest)
        return newest.timestamp >= self._slot and newest.volume > 0

    # --- REST ---

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
            for row in inside:
                if self._memory.numbers.get(row.timestamp, 0) <= asked.known:
                    self._row(row, at)
            self._find_empty({row.timestamp for row in inside}, asked, at)
            self._release()
        for inquiry in (self._head, self._repair):
            inquiry.rest_answers()
        if self._progress == before:
            self._inquiry(asked).in_vain(asked, real, -inf)
        else:
            self._inquiry(asked).progress(asked)
        self._wake(self, self.due())

    def failed(self, asked: Span, real: float, retry_at: float = -inf) -> None:
        """REST could not answer; ``retry_at`` is the earliest time to ask again, where told."""
        inquiry = self._inquiry(asked)
        inquiry.in_vain(asked, real, retry_at)
        inquiry.unanswered = retry_at <= real
        self._wake(self, self.due())

    def _inquiry(self, asked: Span) -> Inquiry:
        return self._head if asked.urgent else self._repair

    def _row(self, row: CandleData, at: float) -> None:
        """One row as REST had it at ``at``."""
        slot = row.timestamp
        over = self._over.get(slot)
        sure = row.closed is True or at >= self._sure_from(slot)
        if row.closed is False or not (sure or self._may_be_early(slot, over, at)):
            return
        if over is None:
            self._decided(Word(row, CloseReason.REST_ROW, sure))
        elif not behind(row, over.state):
            self._decided(Word(filled(row, over.state), CloseReason.REST_CONFIRMED, sure))

    def _may_be_early(self, slot: int, over: _Over | None, at: float) -> bool:
        """Whether a row may be published that is to be read again when REST has caught up."""
        if self._has_flags or self.coverage.slot(slot) is not SlotState.AHEAD:
            return False
        told = over is not None and over.since <= self._clock.real_at(at)
        return told or at >= self.grid.after(slot) + self.rules.grace

    def _find_empty(self, present: set[int], asked: Span, at: float) -> None:
        """Slots that were asked for and had no trades, since their rows are not there."""
        until = self._complete_until(present, asked, at)
        for run in self.coverage.missing():
            self._empty(max(run.start, asked.start), min(run.end, until), present)
        if asked.start <= self.coverage.head:
            self._empty(self.coverage.head, until, present)

    def _complete_until(self, present: set[int], asked: Span, at: float) -> int:
        newest = max(present, default=asked.start)
        past = min(asked.end, self._past_until(at))
        wait = max(self.rules.grace, LAG)
        return self._inquiry(asked).complete_until(newest, past, at, wait)

    def _empty(self, start: int, until: int, present: set[int]) -> None:
        slot = start
        while slot < until:
            end = self.grid.after(slot)
            if slot == self.coverage.head and slot in self._closed:
                self._publish_head()
            elif slot not in present and slot not in self._over:
                self.coverage.empty(slot, end)
                self._progress += 1
                self._touch(self)
            elif self.coverage.slot(slot) is SlotState.AHEAD:
                return
            slot = end

    # --- decide ---

    def _decided(self, word: Word) -> None:
        """The closed state of a bar, as far as known."""
        slot = word.candle.timestamp
        if not self.begun:
            self._memory.keep(word)
            return
        match self.coverage.slot(slot):
            case SlotState.AHEAD:
                if slot not in self._closed or word.reason is CloseReason.EXCHANGE_FLAG:
                    self._closed[slot] = word
                self._over.pop(slot, None)
            case SlotState.MISSING:
                self._publish(word, revision=0, late=True)
            case SlotState.SETTLED:
                self._again(word)
            case SlotState.BEFORE:
                self.ignored += 1

    def _again(self, word: Word) -> None:
        """A closed state of a slot that is settled already: a repeat, a revision, or late."""
        slot = word.candle.timestamp
        known = self.coverage.recent.get(slot)
        if known is None and self.coverage.is_empty(slot):
            self._publish(word, revision=0, late=True)
        elif known is None or self._memory.regresses(word):
            self.ignored += 1
        else:
            if word.sure and self._memory.unsure.pop(slot, None) is not None:
                self._progress += 1
            if self._memory.repeats(word.candle, known.digest):
                self.ignored += 1
            else:
                self._publish(word, known.revision + 1, late=False)

    def _release(self) -> None:
        """Publish from the head on what is decided, and hold the rest."""
        while self.coverage.head in self._closed:
            self._publish_head()

    def _publish_head(self) -> None:
        self._publish(self._closed.pop(self.coverage.head), revision=0, late=False)

    def _publish(self, word: Word, revision: int, *, late: bool) -> None:
        candle, reason, sure = word
        slot = candle.timestamp
        self.coverage.publish(slot, self.grid.after(slot), revision, digest_of(candle))
        published = Published(candle, reason, revision, late)
        self.pending.append(published)
        if not sure and self.rules.rest:
            self._memory.unsure[slot] = self._audit_at(slot, reason)
        self._progress += 1
        self._memory.numbers[slot] = self._progress
        self._memory.remember(published, self.coverage.recent)
        self._touch(self)

    def _audit_at(self, slot: int, reason: CloseReason) -> float:
        """When REST is to be asked for an unsure candle; polls read it again by themselves."""
        polled = reason not in STREAM
        sure = self._sure_from(slot)
        return self._clock.real_at(sure + AUDIT if polled else sure)

    # --- time ---

    def tick(self, market: float, real: float) -> Span | None:
        """Let time pass; what REST is to be asked now, or None."""
        if self.begun:
            self._by_clock(real)
            self._unconfirmed(real)
            self._declare_missing(market, real)
        return self._question(market, real) if self.rules.rest else None

    def due(self) -> float:
        """The real time of the next ``tick`` that can change something."""
        rest = self.rules.rest
        if not self.begun:
            return max(self._overdue_at(), self._head.free_at) if rest else inf
        times = [self._decide_at()]
        if self._slot >= 0:
            times.append(self._past_at(self._slot))
        if rest:
            times.append(max(self._overdue_at(), self._head.free_at))
            times.append(max(self._repair_at(), self._repair.free_at))
        return min(times)

    def _by_clock(self, real: float) -> None:
        """The stream's newest bar is past: what still comes of it is late."""
        if self._slot >= 0 and real >= self._past_at(self._slot):
            self._leave(CloseReason.CLOCK, real)
            newest = self._past_until(self._clock.market_at(real))
            self._slot = max(self.grid.after(self._slot), newest)

    def _decide_at(self) -> float:
        """When the head is decided without any word more: as the stream said, or as missing."""
        head = self.coverage.head
        over = self._inferred(head)
        if over is None:
            return max(self._past_at(head), self._began[1]) + HOLD
        return max(self._past_at(head), over.since + CONFIRM if self.rules.rest else -inf)

    def _unconfirmed(self, real: float) -> None:
        """REST did not confirm an inferred close in time: the stream's own state stands."""
        while (over := self._inferred(self.coverage.head)) and real >= self._decide_at():
            self._decided(Word(over.state, over.reason, sure=False))
            self._release()
            self._head.progress()

    def _declare_missing(self, market: float, real: float) -> None:
        """The hold is over: slots that are still undecided do not keep newer ones waiting."""
        head = self.coverage.head
        if self._inferred(head) or real < self._decide_at():
            return
        end = max(self.grid.after(head), self._past_until(self._clock.market_at(real - HOLD)))
        end = min([end, *self._closed, *(slot for slot in self._over if self._inferred(slot))])
        reason = "REST has not given it" if self.rules.rest else "REST has no such interval"
        self.coverage.miss(head, end, reason, self._missing_since(reason, int(market)))
        self._over = {slot: over for slot, over in self._over.items() if slot >= end}
        self._touch(self)
        self._release()

    def _missing_since(self, reason: str, now: int) -> int:
        """An outage is one run, however many slots it takes."""
        last = self.coverage.runs[-1] if self.coverage.runs else None
        if last is None or last.reason != reason or last.since is None:
            return now
        return last.since

    def _question(self, market: float, real: float) -> Span | None:
        """What REST is to be asked now: for the head first."""
        if real >= self._head.free_at and real >= self._overdue_at():
            span = (
                self._page_from(self.coverage.head, market) if self.begun else self._lesson(market)
            )
            return self._head.ask(span)
        if self.begun and real >= self._repair.free_at and real >= self._repair_at():
            return self._repair.ask(self._next_repair(market, real))
        return None

    def _lesson(self, market: float) -> Span:
        """Some rows to learn the grid from, once the ledger is to begin."""
        start = int(market) - 3 * self.grid.step
        return Span(start, int(market) + 1, True, market, self._progress)

    def _overdue_at(self) -> float:
        """When REST is to be asked for the head, or for the grid."""
        if not self.begun:
            return self._began[1]
        head = self.coverage.head
        over = self._inferred(head)
        if over is not None:
            return over.since
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
        return Span(start, end, True, market, self._progress)

    def _repair_at(self) -> float:
        """When REST is to be asked for something behind the head."""
        if any(run.state is RunState.MISSING for run in self.coverage.runs):
            return -inf
        return min(self._memory.unsure.values(), default=inf)

    def _next_repair(self, market: float, real: float) -> Span:
        runs = [(r.start, r.end) for r in self.coverage.runs if r.state is RunState.MISSING]
        unsure = self._memory.unsure.items()
        runs += [(slot, self.grid.after(slot)) for slot, at in unsure if at <= real]
        start, end = self._repair.page_of(runs, self.grid, self.rules.page)
        return Span(start, end, False, market, self._progress)

    @property
    def _has_flags(self) -> bool:
        return self.rules.streamed and self.rules.flagged

    def _inferred(self, slot: int) -> _Over | None:
        """The slot's last state, where that may be published on the stream's word alone."""
        return None if self.rules.flagged else self._over.get(slot)

    def _past_at(self, slot: int) -> float:
        """The real time from which on no late frame or row of a bar is to be expected any more."""
        return self._clock.real_at(self.grid.after(slot) + self.rules.grace)

    def _sure_from(self, slot: int) -> float:
        """The market time from which on a row that REST has of a bar is its last word."""
        return self.grid.after(slot) + self.rules.grace + LAG

    def _past_until(self, market: float) -> int:
        """The end of the last slot that is past."""
        return self.grid.floor(market - self.rules.grace)
