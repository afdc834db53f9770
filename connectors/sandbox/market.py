"""One pretend market: (trading pair, interval, time) to candles. Pure; it is told the time.

History, live states and truth are all read off the same `Book`s, so they cannot disagree.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import islice
from math import ceil, floor, inf

from connectors.sandbox.book import Book
from connectors.sandbox.grid import Step, opens
from connectors.sandbox.listing import Listing
from connectors.sandbox.tape import EPOCH, Path, Tape

FIRST_OPEN = EPOCH // 1_000
"""No bar opens before this, in UNIX seconds: the listing of every pair."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One state of one bar.

    `open_time` and `close_time` are UNIX seconds; close time is the next bar's open time. Prices
    are in quote units, `volume` in base units, `lots` the same counted in lots (contracts,
    where the exchange counts them), `quote_volume` in quote units; `taker_…` are the taker's
    buys. Without trades all prices are the last one before; so is `open`, even outside of
    `[low, high]`, where the listing `opens_at_last_close`. `first_trade` is the id of the
    first trade; the last is `first_trade + trades - 1`. `final`: no trade of it is yet to come.
    `traded`: open, high and low of the trades alone, where the listing is `continuous`.
    """

    open_time: int
    close_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    lots: int
    quote_volume: Decimal
    trades: int
    taker_volume: Decimal
    taker_lots: int
    taker_quote_volume: Decimal
    first_trade: int
    final: bool
    traded: tuple[Decimal, Decimal, Decimal]

    @property
    def open_ms(self) -> int:
        """Open time in milliseconds."""
        return self.open_time * 1_000

    @property
    def last_ms(self) -> int:
        """The bar's last millisecond, which some exchanges call its close time."""
        return self.close_time * 1_000 - 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bars with open time in `[first, last]`, as they stand at the market time `at`."""

    first: float
    last: float
    at: float


Lens = Callable[[str, str, Stretch], Stretch]
"""What is shown of a pair's interval in place of the stretch that is asked for."""


@dataclass(slots=True)
class _Span:
    """Market time from a listing to its end."""

    begin: float
    end: float = inf


class Market:
    """The candles of the listed pairs, for the same book and seed always the same.

    `listings` and `symbols` are what the exchange knows now: pairs whose trading has ended stay
    there until they vanish, and those `upcoming` are missing until they are listed.
    """

    def __init__(
        self,
        book: str,
        listings: Sequence[Listing],
        intervals: Mapping[str, Step],
        seed: int = 0,
        *,
        upcoming: Sequence[Listing] = (),
    ) -> None:
        self.listings: dict[str, Listing] = {}
        self.symbols: dict[str, Listing] = {}
        self.intervals = intervals
        self._every = {listing.trading_pair: listing for listing in (*listings, *upcoming)}
        self._spans: dict[str, list[_Span]] = {}
        self._seed = f"{seed}:{book}"
        self._books: dict[str, Book] = {}
        self._lens: Lens | None = None
        for listing in listings:
            self._spans[listing.book] = [_Span(FIRST_OPEN)]
            self._know(listing)

    # --- what is listed

    def listing(self, trading_pair: str) -> Listing:
        """Return a pair's listing, even if the pair has vanished."""
        return self._every[trading_pair]

    def trades(self, trading_pair: str) -> bool:
        """Return whether the pair is listed and its trading has not ended."""
        known = self.listings.get(trading_pair)
        return known is not None and self._spans[known.book][-1].end == inf

    def was_listed(self, trading_pair: str) -> bool:
        """Return whether the pair ever was listed, so that there may be candles."""
        listing = self._every.get(trading_pair)
        return listing is not None and listing.book in self._spans

    def books(self, *, trading: bool) -> list[str]:
        """Return the pairs that are no aliases, those that are traded or the others."""
        pairs = [pair for pair, listing in self._every.items() if not listing.alias_of]
        return [pair for pair in pairs if self.trades(pair) == trading]

    def enlist(self, trading_pair: str, at: float) -> None:
        """Begin, or begin again, to trade a pair that is no alias, and its aliases."""
        book = self._book(trading_pair)
        if trading_pair not in self._spans:
            book.halt(EPOCH)
        book.resume(_millis(at))
        self._spans.setdefault(trading_pair, []).append(_Span(at))
        for listing in self._named(trading_pair):
            self._know(listing)

    def delist(self, trading_pair: str, at: float, *, vanish: bool) -> None:
        """End the trading of a pair that is no alias, and of its aliases; they may vanish."""
        self._book(trading_pair).halt(_millis(at))
        self._spans[trading_pair][-1].end = at
        for listing in self._named(trading_pair) if vanish else ():
            del self.listings[listing.trading_pair], self.symbols[listing.symbol]

    def _named(self, book: str) -> list[Listing]:
        return [listing for listing in self._every.values() if listing.book == book]

    def _know(self, listing: Listing) -> None:
        self.listings[listing.trading_pair] = listing
        self.symbols[listing.symbol] = listing

    # --- what happens to its trades

    def halt(self, trading_pair: str, at: float) -> None:
        """Let nothing be traded from `at` on, until as many calls of `resume`."""
        self._book(trading_pair).halt(_millis(at))

    def resume(self, trading_pair: str, at: float) -> None:
        """Let the pair be traded again."""
        self._book(trading_pair).resume(_millis(at))

    def report_late(
        self, trading_pair: str, interval: str, open_time: int, at: float, luck: random.Random
    ) -> float | None:
        """Report trades late, at `at`, beside the last one of a closed bar.

        Returns the market time of both, or None where the bar has no trades.
        """
        start, end = open_time * 1_000, self.intervals[interval].after(open_time) * 1_000
        book = self._book(trading_pair)
        last = book.last_trade(start, end, known=at)
        if last is None:
            return None
        book.report(last, at, luck)
        return last / 1_000

    # --- reading

    def exists(self, trading_pair: str, interval: str, open_time: int) -> bool:
        """Return whether the pair was listed at some time of this bar."""
        close_time = self.intervals[interval].after(open_time)
        spans = self._spans.get(self._every[trading_pair].book, ())
        return any(span.begin < close_time and span.end > open_time for span in spans)

    def bar(self, trading_pair: str, interval: str, open_time: int) -> Bar:
        """Return the bar that opens at `open_time`, a true open time, as it closed."""
        close_time = self.intervals[interval].after(open_time)
        return self._read(trading_pair, open_time, close_time, close_time)

    def state(self, trading_pair: str, interval: str, open_time: int, at: float) -> Bar:
        """Return that bar as it stands at market time `at`; final when it is over."""
        close_time = self.intervals[interval].after(open_time)
        return self._read(trading_pair, open_time, close_time, max(open_time, at))

    def closed(
        self, trading_pair: str, interval: str, first: float, before: float, at: float
    ) -> Iterator[list[Bar]]:
        """Yield the bars with open time in `[first, before)` that are closed at `at`, ascending.

        Each with all its revisions so far, the newest last.
        """
        seen = self._seen(trading_pair, interval, Stretch(first, min(before, at), at))
        for open_time in opens(self.intervals[interval], seen.first, seen.last):
            known = open_time < before and self.exists(trading_pair, interval, open_time)
            if known and self.intervals[interval].after(open_time) <= at:
                yield self._revisions(trading_pair, interval, open_time, at)

    def _revisions(self, trading_pair: str, interval: str, open_time: int, at: float) -> list[Bar]:
        close_time = self.intervals[interval].after(open_time)
        book = self._book(self._every[trading_pair].book)
        times = book.reported(open_time * 1_000, close_time * 1_000, since=close_time)
        return [
            self._read(trading_pair, open_time, close_time, time)
            for time in (close_time, *times)
            if time <= at
        ]

    def current(self, trading_pair: str, interval: str, at: float) -> Bar:
        """Return the running bar as it stands at market time `at`."""
        return self.state(trading_pair, interval, self.intervals[interval].floor(at), at)

    def bars(
        self, trading_pair: str, interval: str, first: float, last: float, at: float
    ) -> Iterator[Bar]:
        """Yield the bars with open time in `[first, last]`, ascending, as they stand at `at`."""
        seen = self._seen(trading_pair, interval, Stretch(first, last, at))
        for open_time in opens(self.intervals[interval], seen.first, min(seen.last, seen.at)):
            if self.exists(trading_pair, interval, open_time):
                yield self.state(trading_pair, interval, open_time, seen.at)

    def backwards(
        self, trading_pair: str, interval: str, first: float, last: float, at: float
    ) -> Iterator[Bar]:
        """Yield the same bars, descending."""
        seen = self._seen(trading_pair, interval, Stretch(first, last, at))
        grid = self.intervals[interval]
        open_time = grid.floor(min(seen.last, seen.at))
        while open_time >= seen.first:
            if self.exists(trading_pair, interval, open_time):
                yield self.state(trading_pair, interval, open_time, seen.at)
            open_time = grid.floor(open_time - 1)

    def latest(
        self, trading_pair: str, interval: str, last: float, at: float, count: int
    ) -> list[Bar]:
        """Return the newest `count` bars with open time up to `last`, ascending."""
        bars = self.backwards(trading_pair, interval, FIRST_OPEN, last, at)
        return list(islice(bars, count))[::-1]

    def through(self, lens: Lens) -> "Market":
        """Return this market, seen through a lens: `bars`, `backwards` and `latest` show others."""
        market = copy(self)
        market._lens = lens  # noqa: SLF001  (its own class)
        return market

    def _seen(self, trading_pair: str, interval: str, asked: Stretch) -> Stretch:
        seen = asked if self._lens is None else self._lens(trading_pair, interval, asked)
        first_span = self._spans[self._every[trading_pair].book][0]
        begin = self.intervals[interval].floor(first_span.begin)
        return replace(seen, first=max(seen.first, begin, FIRST_OPEN))

    def _read(self, trading_pair: str, open_time: int, close_time: int, at: float) -> Bar:
        listing = self._every[trading_pair]
        book = self._book(listing.book)
        start = open_time * 1_000
        end = min(close_time * 1_000, floor(at * 1_000))
        return _bar(
            listing,
            (open_time, close_time),
            book.price(start),
            book.count(start),
            book.path(start, end, known=at),
            final=at >= close_time,
        )

    def _book(self, trading_pair: str) -> Book:
        if trading_pair not in self._books:
            self._books[trading_pair] = Book(partial(self._draw, self._every[trading_pair]))
        return self._books[trading_pair]

    def _draw(self, listing: Listing) -> Tape:
        return Tape(
            f"{self._seed}:{listing.trading_pair}",
            int(listing.price / listing.tick),
            listing.trades_per_minute,
            float(max(Decimal(1), listing.usual_trade / listing.price / listing.lot)),
        )


def _millis(at: float) -> int:
    """Return the first whole millisecond that is not before `at`."""
    return ceil(at * 1_000)


def _bar(
    listing: Listing,
    times: tuple[int, int],
    before: int,
    first_trade: int,
    path: Path,
    *,
    final: bool,
) -> Bar:
    tick, lot = listing.tick, listing.lot
    turnover = path.turnover + before * path.volume
    taker_turnover = path.taker_turnover + before * path.taker_volume
    traded = (
        (before + path.open) * tick,
        (before + path.high) * tick,
        (before + path.low) * tick,
    )
    opened, highest, lowest = traded
    if listing.continuous or listing.opens_at_last_close:
        opened = before * tick
    if listing.continuous:
        highest, lowest = max(opened, highest), min(opened, lowest)
    return Bar(
        open_time=times[0],
        close_time=times[1],
        open=opened,
        high=highest,
        low=lowest,
        close=(before + path.close) * tick,
        volume=path.volume * lot,
        lots=path.volume,
        quote_volume=turnover * tick * lot,
        trades=path.trades,
        taker_volume=path.taker_volume * lot,
        taker_lots=path.taker_volume,
        taker_quote_volume=taker_turnover * tick * lot,
        first_trade=first_trade,
        final=final,
        traded=traded,
    )
