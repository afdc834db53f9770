"""Candles of a pretend market: what holds for each of them, in all its states."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sandbox.grid import opens, steps
from connectors.sandbox.listing import listed
from connectors.sandbox.market import FIRST_OPEN, Bar, Market
from tests.sandbox.pretend import NOON

INTERVALS = steps("1s 1m 3m 5m 15m 1h 4h 12h 1d 3d 1w 1M")
MARKET = Market("test", listed("USDT", str.__add__), INTERVALS, seed=1)

pairs = st.sampled_from(["BTC-USDT", "DOGE-USDT", "ALGO-USDT"])
intervals = st.sampled_from(list(INTERVALS))
times = st.integers(NOON - 400 * 86_400, NOON)


def sums(bars: list[Bar]) -> tuple[object, ...]:
    """What a longer bar is made of: the sums of shorter ones."""
    return (
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
        sum(bar.quote_volume for bar in bars),
        sum(bar.trades for bar in bars),
        sum(bar.taker_volume for bar in bars),
        sum(bar.taker_quote_volume for bar in bars),
    )


@settings(derandomize=True, max_examples=150, deadline=None)
@given(pairs, st.sampled_from([("1m", "1s"), ("5m", "1m"), ("1d", "1h"), ("1w", "4h")]), times)
def test_intervals_agree(pair: str, lengths: tuple[str, str], time: int) -> None:
    """A bar is exactly the sum of the shorter bars within it, those without trades left out."""
    long, short = lengths
    bar = MARKET.bar(pair, long, INTERVALS[long].floor(time))
    parts = list(MARKET.bars(pair, short, bar.open_time, bar.close_time - 1, bar.close_time))

    traded = [part for part in parts if part.trades]
    assert sums([bar]) == sums(traded or parts)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(pairs, intervals, times, st.floats(0, 1))
def test_figures_are_consistent(pair: str, interval: str, time: int, part: float) -> None:
    """Low is the least and high the most, volumes fit each other and the prices."""
    opened = INTERVALS[interval].floor(time)
    at = opened + part * (INTERVALS[interval].after(opened) - opened)
    bar = MARKET.state(pair, interval, opened, at)

    assert bar.low <= min(bar.open, bar.close)
    assert bar.high >= max(bar.open, bar.close)
    assert bar.low * bar.volume <= bar.quote_volume <= bar.high * bar.volume
    assert 0 <= bar.taker_volume <= bar.volume
    assert bar.low * bar.taker_volume <= bar.taker_quote_volume
    assert (bar.trades == 0) == (bar.volume == 0)
    assert bar.final == (at >= bar.close_time)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(pairs, intervals, times, st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_states_only_grow_to_the_final(
    pair: str, interval: str, time: int, parts: list[float]
) -> None:
    """Later states have more trades and a wider range, and end in the final one."""
    opened = INTERVALS[interval].floor(time)
    closed = INTERVALS[interval].after(opened)
    moments = [*sorted(opened + part * (closed - opened) for part in parts), closed]
    states = [MARKET.state(pair, interval, opened, at) for at in moments]

    for before, after in itertools.pairwise(states):
        assert before.trades <= after.trades
        assert before.volume <= after.volume
        if before.trades:
            assert before.open == after.open
            assert before.high <= after.high
            assert before.low >= after.low
    assert states[-1] == MARKET.bar(pair, interval, opened)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(pairs, intervals, times)
def test_history_is_what_was_live(pair: str, interval: str, at: int) -> None:
    """A page of history ends with the running bar's state, before it the final bars."""
    page = MARKET.latest(pair, interval, at, at, 5)

    assert page[-1] == MARKET.current(pair, interval, at)
    assert page[:-1] == [MARKET.bar(pair, interval, bar.open_time) for bar in page[:-1]]
    assert page == list(MARKET.bars(pair, interval, page[0].open_time, at, at))


def test_continuous_bars_open_where_the_last_one_closed() -> None:
    """Of a continuous listing, a bar opens at the last close, and its range includes that."""
    market = Market("test", listed("USDT", str.__add__, continuous=True), INTERVALS, seed=1)
    bars = market.latest("DOGE-USDT", "1m", NOON, NOON, 300)
    alone = [MARKET.state("DOGE-USDT", "1m", bar.open_time, NOON) for bar in bars]

    assert [bar.close for bar in bars[:-1]] == [bar.open for bar in bars[1:]]
    assert [bar.traded for bar in bars] == [(bar.open, bar.high, bar.low) for bar in alone]
    assert [bar.high for bar in bars] == [max(bar.open, bar.traded[1]) for bar in bars]
    assert [bar.low for bar in bars] == [min(bar.open, bar.traded[2]) for bar in bars]
    assert any(bar.high > bar.traded[1] for bar in bars)


def test_without_trades_the_last_price_stands() -> None:
    """A bar without trades is flat at the close before it."""
    bars = MARKET.latest("ALGO-USDT", "1m", NOON, NOON, 300)
    empty = [(before, bar) for before, bar in itertools.pairwise(bars) if not bar.trades]

    assert empty
    for before, bar in empty:
        assert {before.close} == {bar.open, bar.high, bar.low, bar.close}
        assert Decimal(0) == bar.volume == bar.quote_volume


def test_trade_ids_follow_each_other() -> None:
    """The first trade's id is the one after the last of the bar before."""
    bars = MARKET.latest("BTC-USDT", "5m", NOON, NOON, 20)

    for before, bar in itertools.pairwise(bars):
        assert bar.first_trade == before.first_trade + before.trades


def test_listing_has_a_begin() -> None:
    """Before the first day there is nothing, whatever is asked for."""
    (first, *_) = MARKET.bars("BTC-USDT", "1d", 0, FIRST_OPEN + 86_400, NOON)

    assert first.open_time == FIRST_OPEN
    assert all(time >= FIRST_OPEN for time in opens(INTERVALS["1d"], FIRST_OPEN, NOON))
    assert len(MARKET.latest("BTC-USDT", "1M", FIRST_OPEN + 40 * 86_400, NOON, 20)) < 20


def test_aliases_share_a_book() -> None:
    """Markets with one book and seed have the same candles; another seed has others."""
    same, other = (
        Market("test", listed("USDT", str.__add__), INTERVALS, seed=seed) for seed in (1, 2)
    )

    bar = MARKET.bar("BTC-USDT", "1h", NOON)

    assert bar == same.bar("BTC-USDT", "1h", NOON)
    assert bar != other.bar("BTC-USDT", "1h", NOON)


def test_open_is_the_last_close_where_it_is_so() -> None:
    """Where a listing opens at the last close, bars hang together; nothing else is different."""
    own = listed("USDT", str.__add__)
    joined = [replace(listing, opens_at_last_close=True) for listing in own]
    market = Market("test", joined, INTERVALS, seed=1)
    usual = list(MARKET.bars("BTC-USDT", "1m", NOON - 3_600, NOON - 60, NOON))
    bars = list(market.bars("BTC-USDT", "1m", NOON - 3_600, NOON - 60, NOON))

    assert [bar.open for bar in bars[1:]] == [bar.close for bar in bars[:-1]]
    assert [replace(bar, open=other.open) for bar, other in zip(bars, usual, strict=True)] == usual
    assert any(not bar.low <= bar.open <= bar.high for bar in bars)
