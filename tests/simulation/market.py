"""What really happened, and how exchanges serve it."""

from __future__ import annotations

from bisect import bisect_right
from random import Random
from typing import Final, NamedTuple

from connectors.inquiry import Span
from connectors.model import CandleData, Grid
from connectors.rules import Rules

FLAT: Final = 100.0
"""The price of a bar before its first trade."""
BLOCK: Final = 16
"""So many bars are made up at once."""


class Kind(NamedTuple):
    """How an exchange serves one interval.

    ``stream`` and ``rest`` are what becomes of quiet bars there: sent, skipped, or None where
    there is no such thing at all. ``says_closed``: REST rows tell whether they are closed.
    ``snapshot``: a new connection sends the states of the newest bars first.
    ``learned``: bars open at odd times, which only rows tell.
    """

    name: str
    stream: str | None
    rest: str | None
    flagged: bool = False
    grace: float = 4.0
    says_closed: bool = False
    snapshot: bool = False
    learned: bool = False

    def rules(self, page: int, reach: int, *, confirm: bool) -> Rules:
        """What the ledger is told of it."""
        return Rules(
            streamed=self.stream is not None,
            flagged=self.flagged,
            rest=self.rest is not None,
            rest_skips=self.rest == "skipped",
            grace=self.grace,
            page=page,
            stream_skips=self.stream == "skipped",
            reach=reach or None,
            confirm=confirm,
        )


KINDS: Final = (
    Kind("flagged", "sent", "sent", flagged=True),
    Kind("flagged-rest-says", "sent", "sent", flagged=True, says_closed=True),
    Kind("flagged-skipping", "skipped", "skipped", flagged=True, grace=2.0),
    Kind("flagged-mute", "skipped", "sent", flagged=True),
    Kind("flagged-alone", "sent", None, flagged=True),
    Kind("unflagged", "sent", "sent"),
    Kind("unflagged-skipping", "skipped", "skipped", grace=5.0),
    Kind("unflagged-snapshot", "skipped", "skipped", snapshot=True),
    Kind("unflagged-learned", "skipped", "sent", learned=True),
    Kind("unflagged-alone", "sent", None),
    Kind("polled", None, "sent"),
    Kind("polled-skipping", None, "skipped", grace=1.0),
    Kind("polled-learned", None, "sent", learned=True),
)


class Bar:
    """Times of its trades; open, high, low, close and volume before the first and after each."""

    __slots__ = ("states", "times")

    def __init__(self, trades: list[tuple[float, float, float]]) -> None:
        """Time, price and amount of each trade, oldest first."""
        self.times = [at for at, _, _ in trades]
        self.states = [(FLAT, FLAT, FLAT, FLAT, 0.0)]
        first, high, low, volume = 0.0, 0.0, float("inf"), 0.0
        for _, price, amount in trades:
            first, high, low = first or price, max(high, price), min(low, price)
            volume += amount
            self.states.append((first, high, low, price, volume))


class Truth:
    """The bars of one subscription, made up when first asked for.

    ``quiet`` is the part of the bars that have no trades. REST's history has no more than ``reach``
    bars before the running one, where that is not 0.
    """

    def __init__(
        self, seed: int, number: int, kind: Kind, grid: Grid, quiet: float, reach: int = 0
    ) -> None:
        self.kind = kind
        self.grid = grid
        self.corrected: dict[int, tuple[float, float]] = {}
        self._source = seed * 1_000 + number
        self._quiet = quiet
        self._reach = reach
        self._bars: dict[int, Bar] = {}
        self._rows: dict[int, CandleData] = {}

    def bar(self, slot: int) -> Bar:
        """What happened in a slot."""
        if slot not in self._bars:
            self._make_up(slot // (BLOCK * self.grid.step))
        return self._bars[slot]

    def _make_up(self, block: int) -> None:
        random = Random((self._source << 40) + block)
        length = BLOCK * self.grid.step
        slot = self.grid.floor(block * length)
        slot = slot if slot >= block * length else self.grid.after(slot)
        while slot < (block + 1) * length:
            end = self.grid.after(slot)
            self._bars[slot] = Bar(_trades(random, slot, end, self._quiet))
            slot = end

    def state(self, slot: int, at: float, closed: bool | None = None) -> CandleData:
        """The bar as it stands at a market time; a flat one before its first trade."""
        bar = self._bars.get(slot) or self.bar(slot)
        trades = bisect_right(bar.times, at)
        first, high, low, last, volume = bar.states[trades]
        if slot in self.corrected:
            since, more = self.corrected[slot]
            volume += more * (at >= since)
        told = trades if self.kind.flagged else None
        return CandleData(slot, first, high, low, last, volume, None, told, closed=closed)

    def final(self, slot: int) -> CandleData:
        """The bar's last word."""
        return self.state(slot, float("inf"))

    def is_quiet(self, slot: int) -> bool:
        """Whether it is a bar without trades."""
        return not self.bar(slot).times

    def is_offered(self, slot: int) -> bool:
        """Whether there is a candle: the stream decides about quiet bars, else REST."""
        return "skipped" not in (self.kind.stream, self.kind.rest) or not self.is_quiet(slot)

    def rows(self, span: Span, at: float) -> list[CandleData]:
        """What REST has of a span at a market time."""
        after = self.grid.after
        slot = self.grid.floor(max(span.start, self.oldest(at)))
        slot = slot if slot >= span.start else after(slot)
        rows = []
        while slot < span.end and slot <= at:
            if self.kind.rest == "sent" or self._began(slot, at):
                rows.append(self._row(slot, at))
            slot = after(slot)
        return rows

    def _row(self, slot: int, at: float) -> CandleData:
        """A bar as REST tells it; the same object, once it is over and unless it is corrected."""
        over = self.grid.after(slot) <= at
        says = over if self.kind.says_closed else None
        if not over or slot in self.corrected:
            return self.state(slot, at, says)
        if slot not in self._rows:
            self._rows[slot] = self.state(slot, at, says)
        return self._rows[slot]

    def oldest(self, at: float) -> float:
        """From when on REST has bars at a market time."""
        return self.grid.after(self.grid.floor(at), -self._reach) if self._reach else 0.0

    def _began(self, slot: int, at: float) -> bool:
        times = self.bar(slot).times
        return bool(times) and times[0] <= at

    def frames(self, slot: int) -> list[tuple[float, bool]]:
        """Market times at which the stream tells of a bar, and whether as closed."""
        times = self.bar(slot).times
        if self.kind.stream is None or (self.kind.stream == "skipped" and not times):
            return []
        frames = [(at, False) for at in times]
        if self.kind.stream == "sent":
            frames.insert(0, (slot + 0.1, False))
        if self.kind.flagged:
            frames.append((self.grid.after(slot), True))
        return frames


def _trades(random: Random, slot: int, end: int, quiet: float) -> list[tuple[float, float, float]]:
    """Time, price and amount of each: some bars trade to the very end."""
    uniform = random.random
    if uniform() < quiet:
        return []
    times = [slot + (end - slot) * uniform() for _ in range(random.choice((1, 1, 2, 3)))]
    if uniform() < 0.3:
        times.append(end - 0.3 * uniform())
    return [(at, 90 + 20 * uniform(), 1 + 9 * uniform()) for at in sorted(times)]
