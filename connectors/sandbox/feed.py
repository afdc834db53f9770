"""When a candle is pushed on one channel. Pure: told the time, gives what is due.

Of each bar: its first state at once, updates at the exchange's cadence (real time) when trades
changed it, and after its end what the dialect's `closing` says. The updates stop where they
stand, so the last one before the close generally lacks the last trades.
"""

from collections import deque
from dataclasses import dataclass
from zlib import crc32

from connectors.sandbox.clock import MarketClock
from connectors.sandbox.dialect import Channel, Dialect, Moment, Push
from connectors.sandbox.market import Bar, Market

_SOON = 0.01  # real seconds: the finest that a feed looks


@dataclass(slots=True)
class _Ended:
    """A bar that is over and whose last frame is due at the market time `due`."""

    open_time: int
    due: float
    first: bool


class Feed:
    """The candles of one channel; `due` is the real time when `step` wants to be called."""

    def __init__(
        self, channel: Channel, dialect: Dialect, market: Market, clock: MarketClock
    ) -> None:
        self.channel = channel
        self.due = 0.0
        self._market = market
        self._clock = clock
        self._closing = dialect.closing
        self._quiet = dialect.quiet.stream
        self._cadence = dialect.cadence(channel.interval)
        self._grid = market.intervals[channel.interval]
        self._open = self._grid.floor(channel.since)
        self._ended: deque[_Ended] = deque()
        self._next_update = 0.0
        self._sent: int | None = None
        if not dialect.opens_with_current:
            self._sent = self._state(channel.since).trades

    def again(self, time: float, now: Moment) -> None:
        """Send the closed bar that contains the market time `time` once more, as it is now."""
        open_time = self._grid.floor(time)
        if self._grid.floor(self.channel.since) <= open_time < self._open:
            self._ended.appendleft(_Ended(open_time, now.market, first=False))
            self.due = now.real

    def step(self, now: Moment) -> list[Push]:
        """Return what is due at `now`, in the order in which it is sent."""
        self._roll(now)
        pushes = self._last_frames(now)
        if not self._held:
            pushes += self._update(now)
        self.due = self._next_due(now)
        return pushes

    @property
    def _held(self) -> bool:
        """Whether the running bar waits for the last frame of the one before."""
        return bool(self._ended) and self._closing is not None and not self._closing.overlaps

    @property
    def _asked(self) -> tuple[str, str]:
        return self.channel.trading_pair, self.channel.interval

    def _state(self, at: float) -> Bar:
        return self._market.state(*self._asked, self._open, at)

    def _sent_at_all(self, bar: Bar) -> bool:
        flat = self._quiet and self._market.exists(*self._asked, bar.open_time)
        return bool(bar.trades) or flat

    def _push(self, bar: Bar, *, first: bool, closed: bool = False) -> Push:
        new = first and bar.open_time >= self.channel.since
        return Push(self.channel, bar, closed=closed, first=new)

    def _roll(self, now: Moment) -> None:
        while (end := self._grid.after(self._open)) <= now.market:
            if self._closing is not None:
                due = end + self._delay(end - self._open)
                self._ended.append(_Ended(self._open, due, first=self._sent is None))
            self._open = end
            self._sent = None

    def _delay(self, length: int) -> float:
        assert self._closing is not None  # noqa: S101  (only bars with a closing end here)
        low, high = self._closing.delay
        luck = crc32(f"{self.channel.name}:{self._open}".encode()) / 2**32
        return min(low + (high - low) * luck, length / 2)

    def _last_frames(self, now: Moment) -> list[Push]:
        pushes = []
        while self._ended and self._ended[0].due <= now.market:
            ended = self._ended.popleft()
            bar = self._market.state(*self._asked, ended.open_time, now.market)
            if self._sent_at_all(bar):
                flagged = self._closing is not None and self._closing.flagged
                pushes.append(self._push(bar, first=ended.first, closed=flagged))
        return pushes

    def _update(self, now: Moment) -> list[Push]:
        if self._sent is not None and now.real < self._next_update:
            return []
        bar = self._state(now.market)
        if self._sent is None and not self._sent_at_all(bar):
            return []
        first, changed = self._sent is None, bar.trades != self._sent
        self._next_update = now.real + self._cadence
        self._sent = bar.trades
        return [self._push(bar, first=first)] if changed else []

    def _next_due(self, now: Moment) -> float:
        times = [self._clock.real_at(ended.due) for ended in self._ended]
        end = self._grid.after(self._open)
        times.append(self._clock.real_at(end))
        if not self._held:
            times.append(self._next_look(now, end))
        return max(min(times), now.real + _SOON)

    def _next_look(self, now: Moment, end: int) -> float:
        if self._sent is not None:
            return self._next_update
        length = (end - self._open) / self._clock.speed
        return now.real + min(self._cadence, length / 4)
