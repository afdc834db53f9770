"""When a candle is pushed: cadence, first states, and the frame after the end."""

from __future__ import annotations

import itertools

import pytest

from connectors.sandbox.binance import BinancePerpetual, BinanceSpot, BinanceUs
from connectors.sandbox.clock import MarketClock
from connectors.sandbox.coinbase import CoinbaseAdvancedTrade
from connectors.sandbox.dialect import Channel, Dialect, Push
from connectors.sandbox.feed import Feed
from connectors.sandbox.market import Market
from tests.sandbox.pretend import NOON


class Run:
    """A feed that is stepped through its due times, on a clock that is told."""

    def __init__(
        self, dialect: Dialect, pair: str, interval: str, speed: float = 60, since: float = NOON
    ) -> None:
        self.real = 0.0
        self.clock = MarketClock(speed, since, real=lambda: self.real)
        self.market = Market("test", dialect.listings, dialect.intervals, seed=3)
        self.feed = Feed(Channel("c", pair, interval, since), dialect, self.market, self.clock)

    def pushes(self, seconds: float) -> list[tuple[float, Push]]:
        """What is pushed in that many real seconds, each with its market time."""
        found = []
        while self.feed.due <= seconds:
            self.real = max(self.real, self.feed.due)
            now = self.clock.now()
            found += [(now.market, push) for push in self.feed.step(now)]
        return found


@pytest.mark.parametrize("speed", [1, 60, 600])
@pytest.mark.parametrize("dialect", [BinanceSpot(), BinanceUs(), BinancePerpetual()])
def test_every_bar_is_closed_once(dialect: Dialect, speed: float) -> None:
    """Each bar with trades gets one flagged frame, in order, with its final values, in time."""
    run = Run(dialect, "BTC-USDT", "1m", speed)
    closed = [(at, push) for at, push in run.pushes(1_800 / speed) if push.closed]

    assert [NOON + 60 * n for n in range(29)] == [push.bar.open_time for _, push in closed[:29]]
    for at, push in closed:
        assert push.bar == run.market.bar("BTC-USDT", "1m", push.bar.open_time)
        assert 0 <= at - push.bar.close_time < 2.0 + 0.03 * speed


def test_seconds_at_speed() -> None:
    """Bars that are shorter than the feed looks are all closed, none twice."""
    closed = [p.bar for _, p in Run(BinanceSpot(), "BTC-USDT", "1s").pushes(5) if p.closed]

    assert [NOON + n for n in range(290)] == [bar.open_time for bar in closed[:290]]
    assert len({bar.open_time for bar in closed}) == len(closed)


@pytest.mark.parametrize(("speed", "part"), [(1, 0.3), (60, 0.9)])
def test_last_update_lacks_the_last_trades(speed: float, part: float) -> None:
    """What was last pushed of an open bar is often not its final state; at speed, hardly ever."""
    run = Run(BinanceSpot(), "BTC-USDT", "1m", speed)
    pushes = [push for _, push in run.pushes(1_800 / speed)]
    last = [
        before.bar.trades < after.bar.trades
        for before, after in itertools.pairwise(pushes)
        if after.closed
    ]

    assert sum(last) > len(last) * part


@pytest.mark.parametrize("speed", [1, 60])
def test_cadence_is_kept(speed: float) -> None:
    """Two updates of one bar are never closer than the cadence, in real time."""
    dialect = BinanceSpot()
    updates = Run(dialect, "BTC-USDT", "5m", speed).pushes(120)
    open_ones = [(at, push) for at, push in updates if not push.closed]

    for (earlier, before), (later, after) in itertools.pairwise(open_ones):
        if before.bar.open_time == after.bar.open_time:
            assert (later - earlier) / speed >= dialect.cadence("5m") - 1e-6
            assert before.bar.trades < after.bar.trades


def test_first_frame_is_the_current_candle() -> None:
    """Right after subscribing the running bar is pushed, as it stands, and is not new."""
    (at, push), *_ = Run(BinanceSpot(), "BTC-USDT", "1h", since=NOON + 1_000).pushes(1)

    assert at == NOON + 1_000
    assert push.bar.open_time == NOON
    assert not push.first
    assert push.bar.trades


def test_without_current_waits_for_a_trade() -> None:
    """Where the snapshot has the running bar, the first push is one that a trade changed."""
    run = Run(CoinbaseAdvancedTrade(), "BTC-USD", "5m", speed=1, since=NOON + 100)
    before = run.market.current("BTC-USD", "5m", NOON + 100)

    (_, push), *_ = run.pushes(30)

    assert before.trades < push.bar.trades


def test_nothing_after_the_end_where_nothing_is_flagged() -> None:
    """Without `closing` no frame of a bar comes after its end, and none says closed."""
    pushes = Run(CoinbaseAdvancedTrade(), "BTC-USD", "5m").pushes(60)

    assert pushes
    assert all(at < push.bar.close_time and not push.closed for at, push in pushes)


def test_first_is_said_once_a_bar() -> None:
    """Exactly the first frame of each bar that began after the subscription says so."""
    pushes = [push for _, push in Run(BinancePerpetual(), "ATOM-USDT", "1m").pushes(120)]
    first = [push.bar.open_time for push in pushes if push.first]

    assert sorted({push.bar.open_time for push in pushes}) == sorted(first)


def test_quiet_bars_as_the_exchange_has_them() -> None:
    """Bars without trades come flat where the exchange sends them, and not at all elsewhere."""
    sent = [p.bar for _, p in Run(BinanceSpot(), "ALGO-USDT", "1m").pushes(60) if p.closed]
    skipped = [p.bar for _, p in Run(BinanceUs(), "ALGO-USDT", "1m").pushes(60) if p.closed]

    assert {0} < {bar.trades for bar in sent}
    assert skipped
    assert all(bar.trades for bar in skipped)


def test_next_bar_waits_for_the_closing_frame() -> None:
    """On spot no frame of the next bar comes before the closing one; on futures it may."""
    spot = [p.bar.open_time for _, p in Run(BinanceSpot(), "BTC-USDT", "1m", speed=1).pushes(1_800)]
    futures = [
        p.bar.open_time for _, p in Run(BinancePerpetual(), "BTC-USDT", "1m", speed=1).pushes(1_800)
    ]

    assert sorted(spot) == spot
    assert sorted(futures) != futures
