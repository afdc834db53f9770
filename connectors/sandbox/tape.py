"""All the trades of one pair, for ever, as a pure function of its seed: exact and cheap to sum.

What trades do to a price is a `Path`: relative to the price before, in whole ticks and lots, and
paths that follow each other add up (`then`). The tape draws a few dozen minutes of trades,
composes hours of them, and days of hours; what is the same is summed once. So a bar of any
length is the sum of at most a few dozen paths, and bars of different lengths always agree.
Every minute, hour and day is followed by its mirror, where the price goes the other way: days
are chosen so that the price wanders, and comes back when it is far from where it began.
"""

import random
from bisect import bisect_left
from functools import reduce
from itertools import accumulate
from typing import NamedTuple

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000  # milliseconds

EPOCH = 1_577_836_800_000  # 2020-01-01T00:00Z: the first trades of every pair

_HOURS, _DAYS = 32, 16  # how many different ones there are; even, for the mirrors
_TRADES = 3_000  # about how many different ones: the busier the pair, the fewer its minutes
_DAILY_MOVE = 0.02  # how far the price usually goes in a day
_FAR = 0.20  # deviation from the first price at which it surely turns back


class Path(NamedTuple):
    """What the trades between two moments did. Prices in ticks, relative to the price before.

    `turnover` is the sum of relative price × lots, `taker_…` counts the taker's buys alone.
    """

    trades: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    volume: int = 0
    turnover: int = 0
    taker_volume: int = 0
    taker_turnover: int = 0

    def then(self, later: "Path") -> "Path":
        """Return both, one after the other."""
        if not later.trades:
            return self
        if not self.trades:
            return later
        shift = self.close
        return Path(
            self.trades + later.trades,
            self.open,
            max(self.high, later.high + shift),
            min(self.low, later.low + shift),
            later.close + shift,
            self.volume + later.volume,
            self.turnover + later.turnover + shift * later.volume,
            self.taker_volume + later.taker_volume,
            self.taker_turnover + later.taker_turnover + shift * later.taker_volume,
        )


STILL = Path()


def _sums(paths: list[Path]) -> list[Path]:
    return list(accumulate(paths, Path.then, initial=STILL))


def trade(move: int, lots: int, *, taker: bool) -> Path:
    """Return one trade: how far it moves the price, its size, and whether the taker bought."""
    bought = lots if taker else 0
    return Path(1, move, move, move, move, lots, move * lots, bought, move * bought)


class _Minute:
    """A minute of trades: when they happen (ms after its start), each, and their sums."""

    def __init__(self, times: list[int], trades: list[Path]) -> None:
        self.times = times
        self.trades = trades
        self.sums = _sums(trades)

    @property
    def whole(self) -> Path:
        return self.sums[-1]

    def until(self, ms: int) -> Path:
        return self.sums[bisect_left(self.times, ms)]

    def between(self, first: int, last: int) -> Path:
        chosen = self.trades[bisect_left(self.times, first) : bisect_left(self.times, last)]
        return reduce(Path.then, chosen, STILL)


class _Composed:
    """An hour of minutes or a day of hours: which ones, and their sums."""

    def __init__(self, parts: list[int], paths: list[Path]) -> None:
        self.parts = parts
        self.sums = _sums([paths[part] for part in parts])

    @property
    def whole(self) -> Path:
        return self.sums[-1]


def _mirrored(parts: list[int]) -> list[int]:
    return [part ^ 1 for part in parts]


class Tape:
    """The trades of one pair.

    `price` is the first price in ticks; `trades_per_minute` how busy the pair is, below one it is
    quiet; `lots` the usual size of a trade. Times are whole milliseconds of UNIX time.
    """

    def __init__(self, seed: str, price: int, trades_per_minute: float, lots: float) -> None:
        self._random = random.Random(seed)  # noqa: S311  (a pretend market, not a secret)
        self._price = price
        self._rate = trades_per_minute
        self._lots = lots
        self._step = max(1.0, price * _DAILY_MOVE / max(1.0, 1_440 * trades_per_minute) ** 0.5)
        self._minutes: list[_Minute] = []
        while len(self._minutes) < min(512, max(48, _TRADES / trades_per_minute)):
            self._minutes += self._minute_and_mirror()
        self._hours = self._compose(_HOURS, 60, [minute.whole for minute in self._minutes])
        self._days = self._compose(_DAYS, 24, [hour.whole for hour in self._hours])
        self._chosen: list[int] = []
        self._opened: list[tuple[int, int]] = [(price, 0)]

    # --- reading

    def price(self, time: int) -> int:
        """Return the last price in ticks before `time`."""
        day, ms = divmod(time - EPOCH, DAY)
        return self._day_start(day)[0] + self._in_day(day, ms).close

    def count(self, time: int) -> int:
        """Return the number of trades before `time`, since the first."""
        day, ms = divmod(time - EPOCH, DAY)
        return self._day_start(day)[1] + self._in_day(day, ms).trades

    def path(self, start: int, end: int) -> Path:
        """Return what the trades in `[start, end)` did, relative to `price(start)`."""
        total = STILL
        time = start
        while time < end:
            piece, time = self._piece(time, end)
            total = total.then(piece)
        return total

    def _piece(self, time: int, end: int) -> tuple[Path, int]:
        day, ms = divmod(time - EPOCH, DAY)
        if not ms:
            until = min(end, time + DAY)
            return self._in_day(day, until - time), until
        hour, in_hour = divmod(ms, HOUR)
        if not in_hour:
            until = min(end, time + HOUR)
            return self._in_hour(self._day(day).parts[hour], until - time), until
        minute, in_minute = divmod(in_hour, MINUTE)
        until = min(end, time - in_minute + MINUTE)
        trades = self._minutes[self._hours[self._day(day).parts[hour]].parts[minute]]
        if not in_minute:
            return trades.until(until - time), until
        return trades.between(in_minute, in_minute + until - time), until

    def _in_day(self, day: int, ms: int) -> Path:
        whole = self._day(day)
        hour, rest = divmod(ms, HOUR)
        past = whole.sums[hour]
        return past.then(self._in_hour(whole.parts[hour], rest)) if rest else past

    def _in_hour(self, hour: int, ms: int) -> Path:
        whole = self._hours[hour]
        minute, rest = divmod(ms, MINUTE)
        past = whole.sums[minute]
        return past.then(self._minutes[whole.parts[minute]].until(rest)) if rest else past

    # --- drawing

    def _minute_and_mirror(self) -> list[_Minute]:
        count = self._draw_count()
        times = sorted(self._random.randrange(MINUTE) for _ in range(count))
        drawn = [(self._draw_move(), self._draw_lots(), self._draw_side()) for _ in range(count)]
        return [
            _Minute(times, [trade(sign * move, lots, taker=taker) for move, lots, taker in drawn])
            for sign in (1, -1)
        ]

    def _draw_count(self) -> int:
        if self._rate < 1:
            return int(self._random.random() < self._rate) * self._random.randint(1, 3)
        return max(1, round(self._random.uniform(0.4, 1.6) * self._rate))

    def _draw_move(self) -> int:
        return round(self._random.gauss(0, self._step))

    def _draw_lots(self) -> int:
        return max(1, round(self._random.expovariate(1 / self._lots)))

    def _draw_side(self) -> bool:
        return self._random.random() < 0.5

    def _compose(self, count: int, length: int, paths: list[Path]) -> list[_Composed]:
        composed: list[_Composed] = []
        while len(composed) < count:
            parts = [self._random.randrange(len(paths)) for _ in range(length)]
            composed += [_Composed(parts, paths), _Composed(_mirrored(parts), paths)]
        return composed

    # --- the sequence of days

    def _day(self, day: int) -> _Composed:
        self._draw_days(day)
        return self._days[self._chosen[day]]

    def _day_start(self, day: int) -> tuple[int, int]:
        self._draw_days(day)
        return self._opened[day]

    def _draw_days(self, day: int) -> None:
        while len(self._chosen) <= day:
            price, count = self._opened[-1]
            chosen = self._draw_day(price)
            whole = self._days[chosen].whole
            self._chosen.append(chosen)
            self._opened.append((price + whole.close, count + whole.trades))

    def _draw_day(self, price: int) -> int:
        chosen = self._random.randrange(len(self._days))
        away = (price - self._price) / (self._price * _FAR)
        leads_away = self._days[chosen].whole.close * away > 0
        return chosen ^ 1 if leads_away and self._random.random() < abs(away) else chosen
