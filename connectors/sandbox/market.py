"""One pretend market: (trading pair, interval, time) to candles. Pure; it is told the time.

History, live states and truth are all read off the same `Tape`, so they cannot disagree.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import floor

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
    buys. Without trades all prices are the last one before. `first_trade` is the id of the
    first trade; the last is `first_trade + trades - 1`. `final`: no trade of it is yet to come.
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

    @property
    def open_ms(self) -> int:
        """Open time in milliseconds."""
        return self.open_time * 1_000

    @property
    def last_ms(self) -> int:
        """The bar's last millisecond, which some exchanges call its close time."""
        return self.close_time * 1_000 - 1


class Market:
    """The candles of the listed pairs, for the same book and seed always the same."""

    def __init__(
        self,
        book: str,
        listings: Sequence[Listing],
        intervals: Mapping[str, Step],
        seed: int = 0,
    ) -> None:
        self.listings = {listing.trading_pair: listing for listing in listings}
        self.symbols = {listing.symbol: listing for listing in listings}
        self.intervals = intervals
        self._seed = f"{seed}:{book}"
        self._tapes: dict[str, Tape] = {}

    def bar(self, trading_pair: str, interval: str, open_time: int) -> Bar:
        """Return the final state of the bar that opens at `open_time`, a true open time."""
        close_time = self.intervals[interval].after(open_time)
        return self._read(trading_pair, open_time, close_time, close_time)

    def state(self, trading_pair: str, interval: str, open_time: int, at: float) -> Bar:
        """Return that bar as it stands at market time `at`; final when it is over."""
        close_time = self.intervals[interval].after(open_time)
        return self._read(trading_pair, open_time, close_time, max(open_time, at))

    def current(self, trading_pair: str, interval: str, at: float) -> Bar:
        """Return the running bar as it stands at market time `at`."""
        return self.state(trading_pair, interval, self.intervals[interval].floor(at), at)

    def bars(
        self, trading_pair: str, interval: str, first: float, last: float, at: float
    ) -> Iterator[Bar]:
        """Yield the bars with open time in `[first, last]`, ascending, as they stand at `at`."""
        grid = self.intervals[interval]
        for open_time in opens(grid, max(first, FIRST_OPEN), min(last, at)):
            yield self.state(trading_pair, interval, open_time, at)

    def latest(
        self, trading_pair: str, interval: str, last: float, at: float, count: int
    ) -> list[Bar]:
        """Return the newest `count` bars with open time up to `last`, ascending."""
        grid = self.intervals[interval]
        open_time = grid.floor(min(last, at))
        found: list[Bar] = []
        while open_time >= FIRST_OPEN and len(found) < count:
            found.append(self.state(trading_pair, interval, open_time, at))
            open_time = grid.floor(open_time - 1)
        return found[::-1]

    def _read(self, trading_pair: str, open_time: int, close_time: int, at: float) -> Bar:
        listing = self.listings[trading_pair]
        tape = self._tape(listing)
        start = open_time * 1_000
        end = min(close_time * 1_000, floor(at * 1_000))
        return _bar(
            listing,
            (open_time, close_time),
            tape.price(start),
            tape.count(start),
            tape.path(start, end),
            final=at >= close_time,
        )

    def _tape(self, listing: Listing) -> Tape:
        if listing.book not in self._tapes:
            self._tapes[listing.book] = self._draw(self.listings[listing.book])
        return self._tapes[listing.book]

    def _draw(self, listing: Listing) -> Tape:
        return Tape(
            f"{self._seed}:{listing.trading_pair}",
            int(listing.price / listing.tick),
            listing.trades_per_minute,
            float(max(Decimal(1), listing.usual_trade / listing.price / listing.lot)),
        )


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
    return Bar(
        open_time=times[0],
        close_time=times[1],
        open=(before + path.open) * tick,
        high=(before + path.high) * tick,
        low=(before + path.low) * tick,
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
    )
