"""The trades of one pair as they came to pass: its tape, halted at times, with late reports.

A *halt* leaves out what the tape has between its begin and its end; the price stands, and goes on
from there. A *late report* adds trades to a moment that is past, which end at the price that
stood: what follows them stays as it was. Both are exact for every stretch of time, so bars of all
lengths go on agreeing. Times are whole milliseconds of UNIX time, `known` and `since` seconds.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf

from connectors.sandbox.tape import STILL, Path, Tape, trade


@dataclass(slots=True)
class _Halt:
    """Nothing is traded in `[start, end)`; `missed` is what the tape has there, once looked at."""

    start: int
    end: float = inf
    missed: Path | None = None


@dataclass(frozen=True, slots=True)
class _Report:
    """Trades that happened at `time`, after the others there, and were not known before `known`."""

    time: int
    known: float
    path: Path


class Book:
    """All trades of one pair. Halts and reports come in the order of time.

    The tape is drawn when it is first read, which takes a while.
    """

    def __init__(self, draw: Callable[[], Tape]) -> None:
        self._draw = draw
        self._halts: list[_Halt] = []
        self._depth = 0
        self._reports: list[_Report] = []

    # --- what happens to it

    def halt(self, time: int) -> None:
        """Trade no more from `time` on; as often as this is called, `resume` must be."""
        self._depth += 1
        if self._depth == 1:
            self._halts.append(_Halt(time))

    def resume(self, time: int) -> None:
        """Trade again from `time` on."""
        self._depth -= 1
        if not self._depth:
            self._halts[-1].end = max(time, self._halts[-1].start)

    def report(self, time: int, known: float, luck: random.Random) -> None:
        """Report trades late, at the time `known`: they follow what happened at `time`."""
        price = self.price(time + 1)
        move = luck.choice((-1, 1)) * luck.randint(1, max(1, price // 1_000))
        there, back = (luck.randint(1, 50) for _ in "ab")
        path = trade(move, there, taker=move > 0).then(trade(-move, back, taker=move < 0))
        self._reports.append(_Report(time, known, path))
        self._reports.sort(key=lambda report: (report.time, report.known))

    # --- reading

    @cached_property
    def _tape(self) -> Tape:
        return self._draw()

    def price(self, time: int) -> int:
        """Return the last price in ticks before `time`."""
        return self._tape.price(time) - sum(path.close for path in self._left_out(time))

    def count(self, time: int) -> int:
        """Return the number of trades before `time`, late reports not counted."""
        return self._tape.count(time) - sum(path.trades for path in self._left_out(time))

    def path(self, start: int, end: int, known: float) -> Path:
        """Return what the trades in `[start, end)` did, as far as it was known at `known`."""
        total, time = STILL, start
        for report in self._late(start, end, known):
            total = total.then(self._on_time(time, report.time + 1)).then(report.path)
            time = report.time + 1
        return total.then(self._on_time(time, end))

    def reported(self, start: int, end: int, since: float) -> list[float]:
        """Return when, after `since`, trades in `[start, end)` were reported, ascending."""
        known = {report.known for report in self._late(start, end, inf)}
        return sorted(time for time in known if time > since)

    def last_trade(self, start: int, end: int, known: float) -> int | None:
        """Return the time of the last trade in `[start, end)`, or None."""
        trades = self.path(start, end, known).trades
        if not trades:
            return None
        low, high = start, end  # the trades before `low` are fewer, those before `high` are all
        while high - low > 1:
            middle = (low + high) // 2
            if self.path(start, middle, known).trades < trades:
                low = middle
            else:
                high = middle
        return low

    def _on_time(self, start: int, end: int) -> Path:
        total, time = STILL, start
        for halt in self._halts:
            if halt.end <= time or halt.start >= end:
                continue
            if halt.start > time:
                total = total.then(self._tape.path(time, halt.start))
            time = int(min(end, halt.end))
        return total.then(self._tape.path(time, end)) if time < end else total

    def _late(self, start: int, end: int, known: float) -> Iterator[_Report]:
        for report in self._reports:
            if start <= report.time < end and report.known <= known:
                yield report

    def _left_out(self, time: int) -> Iterator[Path]:
        for halt in self._halts:
            if halt.end <= time:
                halt.missed = halt.missed or self._missed(halt.start, int(halt.end))
                yield halt.missed
            elif halt.start < time:
                yield self._missed(halt.start, time)

    def _missed(self, start: int, end: int) -> Path:
        """Return the number of trades that the tape has in `[start, end)`, and their move."""
        tape = self._tape
        return Path(
            trades=tape.count(end) - tape.count(start), close=tape.price(end) - tape.price(start)
        )
