"""Pure: what one exchange is asked over REST, and when: polling, confirmation and repair.

Ledgers say what they need; the agenda wakes them in time, keeps the exchange's budget, and hands
replies back. The skin calls ``next_requests`` whenever ``due`` has come or a request has ended,
makes each request, and gives ``answered`` or ``failed``. ``real`` is monotonic seconds, ``market``
UNIX seconds of bars; the budget is counted in market time, as the exchange counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Final

from connectors.adapter import (
    ExchangeAdapter,
    RestAnswer,
    RestRefused,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
)
from connectors.clock import Clock
from connectors.inquiry import Kind, Span
from connectors.ledger import Ledger
from connectors.limits import Backoff, Budget
from connectors.model import CandleData

AT_ONCE: Final = 4
"""So many requests of one exchange are under way at the same time."""
REFUSED: Final = 60.0
"""Real seconds before something that REST refused is asked again."""
BLOCKED: Final = 900.0
"""Real seconds of silence after the exchange said that it does not serve this address."""
PARTS: Final = {Kind.HEAD: 1.0, Kind.REPAIR: 0.75, Kind.AUDIT: 0.5}
"""The part of the budget that each kind of question may use up: what can wait leaves some over."""
SOONEST: Final = 0.005
"""Real seconds between two ticks of one ledger, at least."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One REST request on behalf of a ledger; of a probe, ``then`` is told what was found."""

    ledger: Ledger
    span: Span
    request: RestRequest
    then: Callable[[bool | None], None] | None = None


class Agenda:
    """See the head of the module. One object per exchange."""

    def __init__(
        self, adapter: ExchangeAdapter, budget: Budget, backoff: Backoff, clock: Clock
    ) -> None:
        self.adapter = adapter
        self.budget = budget
        self.under_way = 0
        self._hushed_until = -inf
        self._backoff = backoff
        self._clock = clock
        self._numbers = count()
        self._heap: list[tuple[float, int, Ledger]] = []
        self._times: dict[Ledger, float] = {}
        self._queues: dict[Kind, dict[Ledger, Span]] = {kind: {} for kind in Kind}
        self._probes: dict[Ledger, Callable[[bool | None], None]] = {}

    def wake(self, ledger: Ledger, real: float) -> None:
        """Tick this ledger at ``real``, unless it is to be ticked earlier anyway."""
        if real < self._times.get(ledger, inf):
            self._times[ledger] = real
            heapq.heappush(self._heap, (real, next(self._numbers), ledger))

    def probe(self, ledger: Ledger, then: Callable[[bool | None], None]) -> None:
        """Ask whether there are trades that the ledger's stream has not told of.

        ``then`` is told: True, False, or None where REST does not say.
        """
        if ledger.rules.rest:
            self._probes[ledger] = then
        else:
            then(None)

    def due(self, market: float) -> float:
        """The real time at which ``next_requests`` should be called next."""
        ticks = self._heap[0][0] if self._heap else inf
        errand = self._first(market)
        if errand is None:
            return ticks
        free = self.budget.free_at(market, errand.request.weight, _part(errand))
        return min(ticks, self._clock.real_at(free))

    def next_requests(self, market: float, real: float) -> list[Errand]:
        """Let time pass for the ledgers; the requests that are to be made now."""
        self._tick(market, real)
        errands = []
        while errand := self._first(market):
            if not self.budget.begin(market, errand.request.weight, _part(errand)):
                break
            waiting = self._queues[errand.span.kind] if errand.then is None else self._probes
            del waiting[errand.ledger]
            self.under_way += 1
            errands.append(errand)
        return errands

    def answered(
        self, errand: Errand, answer: RestAnswer, market: float, real: float
    ) -> str | None:
        """The exchange's answer; the reason, where it is not candles.

        Raises ValueError for rows that cannot be right.
        """
        match answer:
            case Rows(candles):
                self._ended(errand, real)
                self._backoff.reset()
                self._rows(errand, candles, market, real)
                return None
            case RestRefused(reason):
                return self.failed(errand, reason, real, REFUSED)
            case RestSlowDown(reason, seconds):
                self.slow_down(seconds, real)  # asks nothing of the exchange before that
                return self.failed(errand, reason, real)
            case RestUnavailable(reason, blocked):
                if blocked:
                    self._hush(real + BLOCKED)
                return self.failed(errand, reason, real)

    def slow_down(self, seconds: float | None, real: float) -> float:
        """The exchange said that we are too fast: nothing is asked of it for the seconds it told.

        Where it told none, for longer each time; the seconds. What was under way meanwhile and is
        told the same tells nothing new.
        """
        if seconds is None:
            left = self._hushed_until - real
            seconds = left if left > 0 else self._backoff.delay()
        self._hush(real + seconds)
        return seconds

    def _hush(self, until_real: float) -> None:
        self._hushed_until = max(self._hushed_until, until_real)
        self.budget.close(self._clock.market_at(until_real))

    def failed(self, errand: Errand, reason: str, real: float, wait: float = 0.0) -> str:
        """There was no usable answer: ask again, not before ``wait`` real seconds; the reason."""
        self._ended(errand, real)
        if errand.then is not None:
            errand.then(None)
        else:
            errand.ledger.failed(errand.span, real, real + wait)
        return reason

    def _ended(self, errand: Errand, real: float) -> None:
        self.under_way -= 1
        self.budget.end(self._clock.market_at(real), errand.request.weight)

    def _rows(self, errand: Errand, candles: list[CandleData], market: float, real: float) -> None:
        if errand.then is not None:
            errand.then(errand.ledger.outrun_by(candles))
            return
        try:
            errand.ledger.rows(candles, errand.span, market, real)
        except Exception:
            errand.ledger.failed(errand.span, real)
            raise

    def _tick(self, market: float, real: float) -> None:
        while self._heap and self._heap[0][0] <= real:
            at, _, ledger = heapq.heappop(self._heap)
            if self._times.get(ledger) != at:
                continue
            del self._times[ledger]
            span = ledger.tick(market, real)
            if span is not None:
                self._queue(ledger, span)
            self.wake(ledger, max(ledger.due(), real + SOONEST))

    def _queue(self, ledger: Ledger, span: Span) -> None:
        """In place of what a ledger asked for before it was forgotten: of each kind one waits."""
        queue = self._queues[span.kind]
        queue.pop(ledger, None)
        queue[ledger] = span

    def _first(self, market: float) -> Errand | None:
        """The errand that is next, where one more may be under way; the budget is not asked."""
        if self.under_way >= AT_ONCE:
            return None
        if not self._queues[Kind.HEAD] and self._probes:
            ledger, then = next(iter(self._probes.items()))
            return self._errand(ledger, ledger.newest(market), market, then)
        queue = next(filter(None, self._queues.values()), None)
        return None if queue is None else self._errand(*next(iter(queue.items())), market)

    def _errand(
        self,
        ledger: Ledger,
        span: Span,
        market: float,
        then: Callable[[bool | None], None] | None = None,
    ) -> Errand:
        _, trading_pair, interval = ledger.subscription
        slots = max(1, ledger.grid.count(span.start, span.end))
        request = self.adapter.rest_request(
            trading_pair, interval, span.start, span.end, slots, market
        )
        return Errand(ledger, span, request, then)


def _part(errand: Errand) -> float:
    return 1.0 if errand.then is not None else PARTS[errand.span.kind]
