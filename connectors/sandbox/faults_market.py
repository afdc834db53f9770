"""Misbehaviours that change the market, and so the truth: for all intervals of a pair alike. Pure.

An interval in `match` does not matter, but for `late_correction`.
"""

import random
from collections import defaultdict
from itertools import islice
from zlib import crc32

from connectors.sandbox.dialect import Dialect, Moment
from connectors.sandbox.faults import Blow, Order, Spell, Victim
from connectors.sandbox.market import FIRST_OPEN, Market

_AGE = 30.0  # market seconds: no exchange sends the last frame of a bar later than that
_LOOKED_AT = 200  # bars back, for one with trades


class LateCorrection(Blow):
    """A closed bar changes later: trades are added to it that nobody had reported.

    It is the newest bar with trades that closed at least `age` market seconds (30) ago, of the
    shortest matching interval of a minute or more, for each matching pair. Longer and shorter
    bars with the same moment in them change alike. Where the exchange would (or where `resent` is
    true, and not where it is false), the changed bars are sent again on their channels.
    """

    kind = "late_correction"
    options = ("age", "resent")
    whole_book = True

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._changed: dict[str, float] = {}
        self._finished = False

    def finish(self) -> None:
        """Correct nothing more: nobody would be told of it."""
        self._finished = True

    def change(self, market: Market, dialect: Dialect, now: Moment) -> None:
        """Report trades late."""
        self._changed.clear()
        if self._finished:
            return
        for pair in filter(self.covers, market.books(trading=True)):
            interval = self._interval(pair, market)
            when = None if interval is None else self._report(market, pair, interval, now.market)
            if when is not None:
                self._changed[pair] = when

    def strikes(self, channels: object) -> bool:
        """Return true: a bar of any interval may have changed."""
        return True

    def hit(self, victim: Victim, dialect: Dialect) -> None:
        """Send what has changed again."""
        if self.order.flag("resent", default=dialect.resends):
            for pair, when in self._changed.items():
                victim.send_again(pair, when)

    def _interval(self, pair: str, market: Market) -> str | None:
        lengths = {name: grid.seconds for name, grid in market.intervals.items()}
        matching = [name for name in lengths if self.concerns(pair, name)]
        return min(matching, key=lambda name: (lengths[name] < 60, lengths[name]), default=None)

    def _report(self, market: Market, pair: str, interval: str, at: float) -> float | None:
        luck = random.Random(f"{self.order.seed}:{self.struck}:{pair}")  # noqa: S311 - a choice, not a secret
        closed_by = at - self.order.number("age", _AGE)
        bars = market.backwards(pair, interval, FIRST_OPEN, closed_by, at)
        for bar in islice(bars, _LOOKED_AT):
            if bar.trades and bar.close_time <= closed_by:
                return market.report_late(pair, interval, bar.open_time, at, luck)
        return None


class NoTrades(Spell):
    """Nothing is traded while it acts: bars come, or do not, as the exchange has quiet bars."""

    kind = "no_trades"
    whole_book = True

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._halted: defaultdict[Market, list[str]] = defaultdict(list)

    def begin(self, market: Market, at: float) -> None:
        """Halt the pairs that match."""
        for pair in filter(self.covers, market.books(trading=True)):
            market.halt(pair, at)
            self._halted[market].append(pair)

    def end(self, market: Market, at: float) -> None:
        """Let them be traded again."""
        for pair in self._halted.pop(market, ()):
            market.resume(pair, at)


class _Listing(Spell):
    """Changes which pairs are listed: all that match, or one by the seed."""

    whole_book = True

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._changed: defaultdict[Market, list[str]] = defaultdict(list)

    def chosen(self, pairs: list[str]) -> list[str]:
        """Return those of these pairs that are to be changed."""
        if self.order.match is not None:
            return [pair for pair in pairs if self.covers(pair)]
        drawn = sorted(
            pairs, key=lambda pair: crc32(f"{self.order.seed}:{self.struck}:{pair}".encode())
        )
        return drawn[:1]


class Delist(_Listing):
    """Pairs end: their last bar is the running one, and instruments tell the exchange's word.

    With `vanish` true they are no longer among the instruments, and unknown to all requests.
    Without `match` one pair ends, by the seed. When the fault ends, the pairs are listed again.
    """

    kind = "delist"
    options = ("vanish",)

    def begin(self, market: Market, at: float) -> None:
        """End the pairs."""
        for pair in self.chosen(market.books(trading=True)):
            market.delist(pair, at, vanish=self.order.flag("vanish", default=False))
            self._changed[market].append(pair)

    def end(self, market: Market, at: float) -> None:
        """List them again, if nobody else did."""
        for pair in self._changed.pop(market, ()):
            if not market.trades(pair):
                market.enlist(pair, at)


class List(_Listing):
    """Pairs are newly listed, or again: one by the seed, or all that match.

    New are the dialects' `upcoming` ones; ended ones come back. When the fault ends, they end.
    """

    kind = "list"

    def begin(self, market: Market, at: float) -> None:
        """List the pairs."""
        for pair in self.chosen(market.books(trading=False)):
            market.enlist(pair, at)
            self._changed[market].append(pair)

    def end(self, market: Market, at: float) -> None:
        """End them, if nobody else did."""
        for pair in self._changed.pop(market, ()):
            if market.trades(pair):
                market.delist(pair, at, vanish=False)
