"""Pure: one subscription's book. Which slot is open, closed, repeated, revised, missing.

States of bars come in by ``settle`` (stream) and ``rows`` (REST); ``tick`` lets time pass and says
what REST is to be asked. What is decided goes into ``coverage`` at once, and closed candles into
``pending`` in the order in which they are to be published; the publisher takes them together with
the coverage that speaks of them. When a transaction fails, the whole book is forgotten and begun
again from the coverage that Kafka holds.

Slots are decided in the order of open times, at ``coverage.head``:

* closed by the exchange's flag, at once;
* where frames carry no flag, a newer candle or the clock says that a bar is over, and REST
  confirms the values; that wait is bounded;
* by a REST row: polled, or fetched because the slot was skipped or is overdue;
* empty, when REST already returns a later candle, or returned none twice after close and grace.

Newer closed candles are held until the slots before them are decided. The hold is bounded: then
the slots are declared missing, repaired later, and published ``late``.

``real`` is monotonic seconds, ``market`` UNIX seconds of bars; ``clock`` only converts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isclose
from typing import Final, NamedTuple

from connectors.clock import Clock
from connectors.coverage import Coverage, RunState, SlotState, digest_of
from connectors.model import CandleData, CloseReason, Grid, Subscription

HOLD: Final = 10.0
"""Real seconds that a slot may hold newer closed candles before it is declared missing."""
CONFIRM: Final = 2.0
"""Real seconds that an inferred close waits for REST to confirm its values."""
RETRY: Final = (0.5, 30.0)
"""Real seconds between REST attempts for the same slots: the first, and the longest."""
LAG: Final = 3.0
"""Market seconds (or the grace, if longer) after which a slot that REST lacked is asked for again,
to be believed empty if it is lacking still: REST lags behind the socket."""
REREAD: Final = 2
"""So many bars before the head every poll reads again; as many published ones are remembered."""


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


class Published(NamedTuple):
    """A closed candle on its way to the closed topic."""

    candle: CandleData
    reason: CloseReason
    revision: int
    late: bool


class Span(NamedTuple):
    """Open times ``[start, end)`` that REST is to be asked for; ``urgent``: newer ones wait."""

    start: int
    end: int
    urgent: bool


class _Over(NamedTuple):
    """The stream's last state of a bar that is over, and since when (real) we think so."""

    state: CandleData
    reason: CloseReason
    since: float


class Ledger:
    """See the head of the module.

    ``wake(ledger, real)`` is called when it must be ticked at ``real`` or earlier than it said;
    ``touch(ledger)`` when there is something to write.
    """

    def __init__(
        self,
        subscription: Subscription,
        grid: Grid,
        rules: Rules,
        clock: Clock,
        wake: Callable[[Ledger, float], None],
        touch: Callable[[Ledger], None],
    ) -> None:
        self.subscription = subscription
        self.grid = grid
        self.rules = rules
        self.heard = -inf
        self.ignored = 0
        self._clock = clock
        self._wake = wake
        self._touch = touch
        self._slot = -1
        self._state: CandleData | None = None
        self.forget()

    # --- begin and forget ---

    def begin(self, coverage: Coverage | None, market: float, real: float) -> None:
        """From here on slots are decided: on from ``coverage``, or (None) from the running bar."""
        self.forget()
        self._began = (market, real)
        if coverage is not None:
            self.coverage, self.begun = coverage, True
            self._learn(coverage.start)
        elif self.grid.known:
            self._start()
        self._wake(self, real)

    def forget(self) -> None:
        """Nothing is decided until the next ``begin``, and what was pending is not published."""
        self.begun = False
        self.coverage = Coverage(0)
        self.pending: list[Published] = []
        self._began = (inf, inf)
        self._closed: dict[int, tuple[CandleData, CloseReason]] = {}
        self._over: dict[int, _Over] = {}
        self._last: dict[int, CandleData] = {}
        self._asked: Span | None = None
        self._retry = _Retry()
        self._repair = _Retry()
        self._absent = (-1, 0.0)
        self._unsure: dict[int, CandleData] = {}
        self._decisions = 0

    def take(self) -> list[Published]:
        """What is to be published now, in order; the coverage as it stands speaks of it."""
        taken, self.pending = self.pending, []
        return taken

    def _start(self) -> None:
        self.coverage = Coverage(self.grid.floor(self._began[0]))
        self.begun = True
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
            self._state = candle
            return True
        return self._turn(candle, real)

    def _turn(self, candle: CandleData, real: float) -> bool:
        slot = candle.timestamp
        self._learn(slot)
        if slot > self._slot:
            self._leave(CloseReason.NEXT_CANDLE, real)
            self._slot, self._state = slot, candle
        if candle.closed is True:
            self._flagged(candle, real)
            return False
        if slot < self._slot:
            self._overtaken(candle)
            return False
        return True

    def _flagged(self, candle: CandleData, real: float) -> None:
        slot = candle.timestamp
        if slot == self._slot:
            self._slot, self._state = self.grid.after(slot), None
        self._decided(candle, CloseReason.EXCHANGE_FLAG)
        self._release(real)

    def _leave(self, reason: CloseReason, real: float) -> None:
        """For all that the stream tells, the bar of its newest state is over."""
        state, self._state = self._state, None
        if state is None or not self._is_ahead(state.timestamp):
            return
        if state.volume == 0 and self.rules.rest_skips:
            return
        self._over[state.timestamp] = _Over(state, reason, real)
        self._wake(self, real)

    def _overtaken(self, candle: CandleData) -> None:
        """An unflagged state of a bar that is not the newest any more."""
        over = self._over.get(candle.timestamp)
        if over is None or candle.volume < over.state.volume:
            self.ignored += 1
        else:
            self._over[candle.timestamp] = over._replace(state=candle)

    # --- REST ---

    def rows(self, rows: list[CandleData], asked: Span, market: float, real: float) -> None:
        """The rows that REST gave for ``asked``, oldest first; ``market`` is now.

        Rows outside of what was asked prove nothing and are passed over. Raises ValueError for a
        row at whose open time no bar opens.
        """
        self._asked = None
        rows = [row for row in rows if asked.start <= row.timestamp < asked.end]
        for row in rows:
            self._learn(row.timestamp)
        retry = self._retry if asked.urgent else self._repair
        before = self._decisions
        if self.begun:
            for row in rows:
                if self._is_final(row, market):
                    self._row(row)
            self._find_empty(rows, asked, market)
            self._release(real)
        if self._decisions > before:
            retry.reset()
            self._wake(self, real)
        else:
            self._wake(self, retry.fail(real))

    def failed(self, asked: Span, real: float, retry_at: float = -inf) -> None:
        """REST could not answer; ``retry_at`` is the earliest time to ask again, where told."""
        self._asked = None
        retry = self._retry if asked.urgent else self._repair
        self._wake(self, retry.fail(real, retry_at))

    def _is_final(self, row: CandleData, market: float) -> bool:
        if row.closed is not None:
            return row.closed
        return row.timestamp in self._over or self._is_past(row.timestamp, market)

    def _row(self, row: CandleData) -> None:
        over = self._over.get(row.timestamp)
        if over is None:
            self._decided(row, CloseReason.REST_ROW)
        elif not behind(row, over.state):
            self._decided(filled(row, over.state), CloseReason.REST_CONFIRMED)

    def _find_empty(self, rows: list[CandleData], asked: Span, market: float) -> None:
        """Slots that were asked for and had no trades, since their rows are not there."""
        present = {row.timestamp for row in rows}
        until = self._complete_until(rows, asked, market)
        for run in self.coverage.missing():
            self._empty(max(run.start, asked.start), min(run.end, until), present)
        if asked.start <= self.coverage.head:
            self._empty(self.coverage.head, until, present)

    def _complete_until(self, rows: list[CandleData], asked: Span, market: float) -> int:
        """REST has, for slots before this one, all the rows that it will ever have."""
        newest = rows[-1].timestamp if rows else asked.start
        past = min(asked.end, self._past_until(market))
        if newest >= self.grid.after(past, -1):
            return newest
        if self._absent[0] != newest:
            self._absent = (newest, market)
        waited = market - self._absent[1]
        return past if waited >= max(self.rules.grace, LAG) else newest

    def _empty(self, start: int, until: int, present: set[int]) -> None:
        slot = start
        while slot < until:
            end = self.grid.after(slot)
            if slot == self.coverage.head and slot in self._closed:
                self._publish_head()
            elif slot not in present and slot not in self._over:
                self.coverage.empty(slot, end)
                self._decisions += 1
                self._touch(self)
            elif self.coverage.slot(slot) is SlotState.AHEAD:
                return
            slot = end

    # --- decide ---

    def _is_ahead(self, slot: int) -> bool:
        return self.begun and self.coverage.slot(slot) is SlotState.AHEAD

    def _decided(self, candle: CandleData, reason: CloseReason) -> None:
        """The final state of a bar, as far as known."""
        slot = candle.timestamp
        if not self.begun:
            return
        match self.coverage.slot(slot):
            case SlotState.AHEAD:
                self._closed.setdefault(slot, (candle, reason))
                self._over.pop(slot, None)
            case SlotState.MISSING:
                self._publish(candle, reason, revision=0, late=True)
            case SlotState.SETTLED:
                self._again(candle, reason)
            case SlotState.BEFORE:
                self.ignored += 1

    def _again(self, candle: CandleData, reason: CloseReason) -> None:
        """A closed state of a slot that is settled already: a repeat, a revision, or late."""
        slot = candle.timestamp
        known = self.coverage.recent.get(slot)
        published = self._unsure.pop(slot, None) or self._last.get(slot)
        if known is None and self.coverage.is_empty(slot):
            self._publish(candle, reason, revision=0, late=True)
        elif known and published and not equal(candle, published):
            self._publish(candle, reason, revision=known.revision + 1, late=False)
        else:
            self.ignored += 1

    def _release(self, real: float) -> None:
        """Publish from the head on what is decided, and hold the rest."""
        if not self.begun:
            return
        while self.coverage.head in self._closed:
            self._publish_head()
        if self._closed:
            self._wake(self, real)

    def _publish_head(self) -> None:
        candle, reason = self._closed.pop(self.coverage.head)
        self._publish(candle, reason, revision=0, late=False)

    def _publish(
        self, candle: CandleData, reason: CloseReason, *, revision: int, late: bool
    ) -> None:
        slot = candle.timestamp
        self.coverage.publish(slot, self.grid.after(slot), revision, digest_of(candle))
        self.pending.append(Published(candle, reason, revision, late))
        self._decisions += 1
        self._last[slot] = candle
        if len(self._last) > REREAD:
            del self._last[min(self._last)]
        self._touch(self)

    # --- time ---

    def tick(self, market: float, real: float) -> Span | None:
        """Let time pass; what REST is to be asked now, or None."""
        if self.begun:
            self._by_clock(market, real)
            self._unconfirmed(market, real)
            self._declare_missing(market, real)
        if self._asked is None and self.rules.rest:
            self._asked = self._errand(market, real)
            return self._asked
        return None

    def due(self) -> float:
        """The real time of the next ``tick`` that can change something."""
        if not self.begun:
            return inf if self._asked else max(self._began[1], self._retry.at)
        head = self.coverage.head
        past = self._clock.real_at(self.grid.after(head) + self.rules.grace)
        times = [max(past, self._began[1]) + HOLD]
        if self._state is not None:
            times.append(self._clock.real_at(self.grid.after(self._slot) + self.rules.grace))
        over = self._inferred(head)
        if over is not None:
            times.append(over.since + CONFIRM if self.rules.rest else past)
        if self._asked is None and self.rules.rest:
            times.append(max(over.since if over else past, self._retry.at))
            if self._repairable() is not None:
                times.append(self._repair.at)
        return min(times)

    def _by_clock(self, market: float, real: float) -> None:
        if self._state is not None and self._is_past(self._slot, market):
            self._leave(CloseReason.CLOCK, real)

    def _unconfirmed(self, market: float, real: float) -> None:
        """REST did not confirm an inferred close in time: the stream's own state stands."""
        while over := self._inferred(self.coverage.head):
            waited = real >= over.since + CONFIRM if self.rules.rest else True
            if not waited or not (self.rules.rest or self._is_past(over.state.timestamp, market)):
                return
            self._decided(over.state, over.reason)
            if self.rules.rest:
                self._unsure[over.state.timestamp] = over.state
            self._release(real)

    def _declare_missing(self, market: float, real: float) -> None:
        """The hold is over: slots that are still undecided do not keep newer ones waiting."""
        if real < self._began[1] + HOLD:
            return
        head = self.coverage.head
        end = self._past_until(self._clock.market_at(real - HOLD))
        end = min([end, *self._closed])
        if end <= head:
            return
        reason = "REST has not given it" if self.rules.rest else "REST has no such interval"
        self.coverage.miss(head, end, reason, int(market))
        self._over = {slot: over for slot, over in self._over.items() if slot >= end}
        self._touch(self)
        self._release(real)

    def _errand(self, market: float, real: float) -> Span | None:
        if real >= self._retry.at:
            if not self.begun:
                return self._lesson(market)
            head, until = self.coverage.head, self._past_until(market)
            if head < until or self._inferred(head):
                return self._page_from(head, market)
        if real >= self._repair.at:
            return self._repairable()
        return None

    def _lesson(self, market: float) -> Span | None:
        """Some rows to learn the grid from, once the ledger is to begin."""
        if self._began[0] == inf:
            return None
        return Span(int(market) - 3 * self.grid.step, int(market) + 1, urgent=True)

    def _page_from(self, head: int, market: float) -> Span:
        """From the head to the running bar, whose row proves that earlier ones are complete."""
        start = head if self.rules.streamed else max(self.coverage.start, self._before(head))
        end = self.grid.after(self.grid.floor(market))
        return Span(start, min(end, self.grid.after(start, self.rules.page)), urgent=True)

    def _before(self, head: int) -> int:
        return self.grid.after(head, -REREAD)

    def _repairable(self) -> Span | None:
        """The newest page of slots that are missing or were published without confirmation."""
        runs = [run for run in self.coverage.missing() if run.state is RunState.MISSING]
        end = max(
            [run.end for run in runs[-1:]] + [self.grid.after(it) for it in self._unsure] or [0]
        )
        if not end:
            return None
        start = min([run.start for run in runs[-1:]] + list(self._unsure))
        return Span(max(start, self.grid.after(end, -self.rules.page)), end, urgent=False)

    def _inferred(self, slot: int) -> _Over | None:
        """The slot's last state, where that may be published on the stream's word alone."""
        return None if self.rules.flagged else self._over.get(slot)

    def _is_past(self, slot: int, market: float) -> bool:
        """Whether a bar is over and no late frame or row of it is to be expected any more."""
        return market >= self.grid.after(slot) + self.rules.grace

    def _past_until(self, market: float) -> int:
        """The end of the last slot that is past."""
        return self.grid.floor(market - self.rules.grace)


@dataclass(slots=True)
class _Retry:
    """When REST may be asked again: at once after progress, later and later without."""

    at: float = -inf
    failures: int = 0

    def reset(self) -> None:
        self.at, self.failures = -inf, 0

    def fail(self, real: float, at_least: float = -inf) -> float:
        first, longest = RETRY
        self.at = max(at_least, real + min(longest, first * 2.0 ** min(self.failures, 16)))
        self.failures += 1
        return self.at


def equal(one: CandleData, other: CandleData) -> bool:
    """Whether two states of a closed bar say the same.

    Prices as doubles, volumes within 1e-9 relative; figures that one side lacks are not compared.
    """
    a, b = one.figures(), other.figures()
    return a[:4] == b[:4] and all(
        mine is None or theirs is None or isclose(mine, theirs, rel_tol=1e-9)
        for mine, theirs in zip(a[4:], b[4:], strict=True)
    )


def behind(row: CandleData, state: CandleData) -> bool:
    """Whether a REST row lacks trades that the stream has already told of."""
    fewer = (
        row.n_trades is not None and state.n_trades is not None and row.n_trades < state.n_trades
    )
    return fewer or (row.volume < state.volume and not isclose(row.volume, state.volume))


def filled(row: CandleData, state: CandleData) -> CandleData:
    """The row; where the stream's state says the same, with the figures and times it knows more."""
    if not equal(row, state):
        return row
    for name in FILLABLE:
        if getattr(row, name) is None:
            setattr(row, name, getattr(state, name))
    return row


FILLABLE: Final = (
    "quote_asset_volume",
    "n_trades",
    "taker_buy_base_volume",
    "taker_buy_quote_volume",
    "event_time",
)
