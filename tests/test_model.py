"""The words of the product: intervals, subscriptions, candles, times, grids."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import UsageError
from connectors.model import (
    MONDAY,
    UNIT_SECONDS,
    CandleData,
    Grid,
    Interval,
    Subscription,
    grid_of,
    milliseconds,
)

law = settings(deadline=None, derandomize=True, max_examples=300)

intervals = st.builds(Interval, st.integers(1, 9999), st.sampled_from(list(UNIT_SECONDS)))
words = st.from_regex(re.compile(r"[A-Z0-9][A-Z0-9._$]{0,9}", re.ASCII), fullmatch=True)
names = st.from_regex(re.compile(r"[a-z0-9]+(_[a-z0-9]+){0,2}", re.ASCII), fullmatch=True)
seconds = st.integers(0, 4_102_444_799)
"""Until the end of 2099."""
grids = st.one_of(
    st.builds(Grid, st.integers(1, 604_800), st.integers(0, 2_000_000_000)),
    st.builds(
        lambda months: Grid(months * UNIT_SECONDS["M"], months=months), st.sampled_from([1, 3, 12])
    ),
    intervals.filter(lambda interval: interval.number <= 100).map(lambda i: grid_of(str(i))),
)


# --- intervals and subscriptions ------------------------------------------------------------------


@law
@given(intervals)
def test_interval_round_trip(interval: Interval) -> None:
    """An interval in writing is read as itself."""
    assert Interval.parse(str(interval)) == interval


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1s", 1), ("15m", 900), ("4h", 14_400), ("3d", 259_200), ("1w", 604_800), ("1M", 2_592_000)],
)
def test_interval_seconds(text: str, expected: int) -> None:
    """An interval has its nominal seconds; minutes and months are told apart."""
    assert Interval.parse(text).seconds == expected


@pytest.mark.parametrize(
    "text", ["", "m", "1", "0m", "01m", "1min", "1 m", " 1m", "1m\n", "1H", "-1m", "10000m", "1٣m"]
)
def test_interval_malformed(text: str) -> None:
    """What is no number and unit is refused with what would be right."""
    with pytest.raises(UsageError, match="is not an interval: write a number and one of") as told:
        Interval.parse(text)
    assert repr(text) in str(told.value)


@law
@given(names, words, words, intervals)
def test_subscription_round_trip(name: str, base: str, quote: str, interval: Interval) -> None:
    """A subscription in writing is read as itself."""
    subscription = Subscription(name, f"{base}-{quote}", str(interval))
    assert Subscription.parse(str(subscription)) == subscription


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("binance_spot", "write exchange:BASE-QUOTE:interval"),
        ("binance_spot:BTC-USDT", "write exchange:BASE-QUOTE:interval"),
        ("binance_spot:BTC-USDT:1m:1m", "write exchange:BASE-QUOTE:interval"),
        ("Binance:BTC-USDT:1m", "'Binance' in .* is not an exchange"),
        (":BTC-USDT:1m", "'' in .* is not an exchange"),
        ("binance__spot:BTC-USDT:1m", "'binance__spot' in .* is not an exchange"),
        ("binance_spot:BTCUSDT:1m", "'BTCUSDT' in .* is no trading pair"),
        ("binance_spot:btc-usdt:1m", "'btc-usdt' in .* is no trading pair"),
        ("binance_spot:BTC-:1m", "'BTC-' in .* is no trading pair"),
        ("binance_spot:BTC-USDT:1min", "'1min' is not an interval"),
        ("binance_spot:BTC-USDT: 1m", "' 1m' is not an interval"),
    ],
)
def test_subscription_malformed(text: str, part: str) -> None:
    """A malformed subscription is refused in a sentence that names the part."""
    with pytest.raises(UsageError, match=part):
        Subscription.parse(text)


@law
@given(st.text(max_size=30))
def test_subscription_any_text(text: str) -> None:
    """Any text is either a subscription that is written so, or a UsageError."""
    try:
        assert str(Subscription.parse(text)) == text
    except UsageError as error:
        assert str(error)  # noqa: PT017 - any sentence will do


# --- times ----------------------------------------------------------------------------------------

MOMENT = datetime(2023, 6, 9, 20, 19, 35, 396_251, tzinfo=UTC)
MOMENT_MS = 1_686_341_975_396


@pytest.mark.parametrize(
    "raw",
    [
        1_686_341_975.396,
        1_686_341_975_396,
        1_686_341_975_396_251,
        1_686_341_975_396_251_350,
        1_686_341_975_396.0,
        "1686341975.396",
        "1686341975396",
        "1686341975396251",
        "1686341975396251350",
        "1686341975396.25",
        "2023-06-09T20:19:35.39625135Z",
        "2023-06-09T20:19:35.396Z",
        "2023-06-09T20:19:35.396251+00:00",
        "2023-06-09 20:19:35.396251",
        "2023-06-09T22:19:35.396251+02:00",
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.astimezone(timezone(timedelta(hours=8))),
    ],
    ids=repr,
)
def test_milliseconds_in_every_form(raw: float | str | datetime) -> None:
    """One moment in every unit and form that exchanges use is one number."""
    assert milliseconds(raw) == MOMENT_MS


@law
@given(st.integers(100_000_000, 99_999_999_999))
def test_milliseconds_in_every_unit(time: int) -> None:
    """A whole second is the same in all four units, as number and as text."""
    for scale in (1, 1_000, 1_000_000, 1_000_000_000):
        assert milliseconds(time * scale) == time * 1000
        assert milliseconds(str(time * scale)) == time * 1000


@law
@given(st.datetimes(datetime(1971, 1, 1), datetime(2261, 1, 1)))  # noqa: DTZ001 - UTC when naive
def test_milliseconds_of_iso_text(moment: datetime) -> None:
    """ISO 8601 text without a zone is UTC, as the datetime itself is."""
    assert milliseconds(moment.isoformat()) == milliseconds(moment)
    assert milliseconds(f"{moment.isoformat()}Z") == milliseconds(moment.replace(tzinfo=UTC))


NO_TIMES = [
    True,
    False,
    float("nan"),
    float("inf"),
    -1,
    -0.5,
    10**400,
    1e20,
    "",
    "nan",
    "inf",
    "-1",
    "soon",
    "True",
    "2023-13-01",
    "1e400",
]


@pytest.mark.parametrize("trades", [-1, 2**63, "1" * 30])
def test_candle_with_trades_that_are_no_count(trades: Any) -> None:
    """A number of trades that no record could hold makes no candle."""
    with pytest.raises(ValueError, match="is no number of trades"):
        CandleData(60, 1, 1, 1, 1, 1, 1, trades)
    assert CandleData(60, 1, 1, 1, 1, 1, 1, 2**63 - 1).n_trades == 2**63 - 1


@pytest.mark.parametrize("raw", NO_TIMES, ids=lambda raw: str(raw)[:12])
def test_milliseconds_of_no_time(raw: Any) -> None:
    """What is no time is a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        milliseconds(raw)


# --- candles --------------------------------------------------------------------------------------


def test_candle_of_the_brief() -> None:
    """A candle has whole UNIX seconds, doubles, and None for what was not sent."""
    candle = CandleData(
        timestamp_raw=1672515780000,
        open="16500.10",
        high="16510.0",
        low="16499.5",
        close="16505.0",
        volume="5.123",
    )
    assert (candle.timestamp, candle.open, candle.volume) == (1672515780, 16500.10, 5.123)
    assert candle.figures() == (16500.10, 16510.0, 16499.5, 16505.0, 5.123, None, None, None, None)
    assert (candle.channel, candle.closed, candle.event_time) == (None, None, None)


def test_candle_with_everything() -> None:
    """Every figure is converted, the event time is kept in milliseconds."""
    candle = CandleData(
        "1672515780", 1, 3, 1, 2, 5, "7.5", "12", "2.5", "5.5",
        channel="c", closed=False, event_time="2022-12-31T19:43:02.136Z",
    )  # fmt: skip
    assert candle.figures() == (1.0, 3.0, 1.0, 2.0, 5.0, 7.5, 12, 2.5, 5.5)
    assert [type(figure) for figure in candle.figures()] == [float] * 6 + [int] + [float] * 2
    assert (candle.channel, candle.closed, candle.event_time) == ("c", False, 1672515782136)


@law
@given(seconds.filter(lambda time: time >= 100_000_000))
def test_candle_timestamp_in_every_unit(time: int) -> None:
    """The open time is the same whole second from every unit, also between two seconds."""
    for raw in (time, time * 1000 + 999, time * 1_000_000 + 999_999, time * 10**9 + 1, str(time)):
        assert CandleData(raw, 1, 1, 1, 1, 0).timestamp == time


@law
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_candle_keeps_the_nearest_double(figure: Any) -> None:
    """Decimal text of any length becomes the nearest double."""
    candle = CandleData(60, str(figure), str(figure), str(figure), str(figure), str(figure))
    assert candle.figures()[:5] == (float(str(figure)),) * 5


@pytest.mark.parametrize("position", range(9))
@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-inf", float("nan"), float("inf"), "", "x"])
def test_candle_with_a_figure_that_is_none(position: int, figure: Any) -> None:
    """A figure that is no finite number makes no candle, wherever it stands."""
    figures: list[Any] = [1, 1, 1, 1, 1, 1, 1, 1, 1]
    figures[position] = figure
    with pytest.raises((ValueError, OverflowError), match=r".+"):
        CandleData(60, *figures)


@pytest.mark.parametrize("raw", NO_TIMES, ids=lambda raw: str(raw)[:12])
def test_candle_with_a_time_that_is_none(raw: Any) -> None:
    """What is no time makes no candle, neither as open time nor as event time."""
    with pytest.raises(ValueError, match=r".+"):
        CandleData(raw, 1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match=r".+"):
        CandleData(60, 1, 1, 1, 1, 1, event_time=raw)


def test_candles_compare_by_everything() -> None:
    """Two candles are equal when every field is; they cannot be keys."""
    candle = CandleData(60, 1, 2, 1, 2, 3, closed=True)
    assert candle == CandleData("60", "1.0", "2", "1", "2", "3", closed=True)
    assert candle != CandleData(60, 1, 2, 1, 2, 3, closed=False)
    assert candle != CandleData(60, 1, 2, 1, 2, 3, 0, closed=True)
    assert candle != "candle"
    with pytest.raises(TypeError):
        hash(candle)


def test_candle_prints_what_it_has() -> None:
    """Only what is known is printed."""
    expected = "CandleData(close=2.0, high=2.0, low=1.0, open=1.0, timestamp=60, volume=3.0)"
    assert repr(CandleData(60, 1, 2, 1, 2, 3)) == expected


# --- grids ----------------------------------------------------------------------------------------


@law
@given(grids, seconds)
def test_grid_floor(grid: Grid, time: int) -> None:
    """Every moment lies in exactly one slot, which opens at or before it and closes after it."""
    opened = grid.floor(time)
    assert opened <= time < grid.after(opened)
    assert grid.holds(opened)
    assert grid.floor(opened) == opened
    assert grid.floor(time + 0.5) == grid.floor(time)
    assert grid.holds(time) == (time == opened)


@law
@given(grids, seconds, st.integers(-50, 50), st.integers(-50, 50))
def test_grid_after(grid: Grid, time: int, one: int, other: int) -> None:
    """Steps add up, lead to open times, and go back as they went."""
    opened = grid.floor(time)
    assert grid.after(opened, 0) == opened
    assert grid.after(grid.after(opened, one), other) == grid.after(opened, one + other)
    assert grid.holds(grid.after(opened, one))
    assert (grid.after(opened, one) > opened) == (one > 0)


@law
@given(grids, seconds, st.integers(-50, 50))
def test_grid_count(grid: Grid, time: int, slots: int) -> None:
    """A range holds as many slots as it is steps long, and none where it ends before it begins."""
    opened = grid.floor(time)
    assert grid.count(opened, grid.after(opened, slots)) == max(0, slots)


@law
@given(st.integers(1, 604_800), seconds, seconds)
def test_grid_is_learned_from_any_open_time(step: int, first: int, time: int) -> None:
    """A learned grid holds the row it was learned from, and every row of it teaches the same."""
    grid = Grid(step, None).anchored(first)
    assert grid.known
    assert grid.holds(first)
    assert Grid(step, None).anchored(grid.floor(time)) == grid


@law
@given(grids, seconds)
def test_a_known_grid_is_not_learned_again(grid: Grid, time: int) -> None:
    """A row changes nothing about a grid that is known."""
    assert grid.anchored(time) is grid


def test_grid_not_learned_yet() -> None:
    """Without an anchor no slot is known, and asking says so."""
    grid = Grid(604_800, None)
    assert not grid.known
    with pytest.raises(ValueError, match="not been learned yet"):
        grid.floor(1_700_000_000)
    with pytest.raises(ValueError, match="not been learned yet"):
        grid.holds(1_700_000_000)


def _at(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]  # the parts of a date


@pytest.mark.parametrize(
    ("interval", "time", "expected"),
    [
        ("1m", _at(2024, 2, 29, 12, 34, 56), _at(2024, 2, 29, 12, 34)),
        ("4h", _at(2024, 2, 29, 12, 34, 56), _at(2024, 2, 29, 12)),
        ("1d", _at(2024, 2, 29, 12, 34, 56), _at(2024, 2, 29)),
        ("1w", _at(2024, 6, 12, 14), _at(2024, 6, 10)),
        ("1w", _at(2024, 6, 9, 23, 59, 59), _at(2024, 6, 3)),
        ("1M", _at(2024, 2, 29, 23, 59, 59), _at(2024, 2, 1)),
        ("1M", _at(2024, 3, 1), _at(2024, 3, 1)),
        ("3M", _at(2024, 3, 31), _at(2024, 1, 1)),
        ("3M", _at(2024, 12, 31), _at(2024, 10, 1)),
    ],
)
def test_usual_grid(interval: str, time: int, expected: int) -> None:
    """Bars open on UTC: days at midnight, weeks on Monday, months on the first."""
    assert grid_of(interval).floor(time) == expected


def test_months_have_their_own_lengths() -> None:
    """The close of a month's bar is the first of the next month."""
    grid = grid_of("1M")
    assert grid.after(_at(2024, 2, 1)) == _at(2024, 3, 1)
    assert grid.after(_at(2023, 12, 1), 2) == _at(2024, 2, 1)
    assert grid.count(_at(2023, 1, 1), _at(2025, 1, 1)) == 24


def test_monday_is_one() -> None:
    """The anchor of weeks is a Monday."""
    assert datetime.fromtimestamp(MONDAY, UTC).strftime("%A %H:%M") == "Monday 00:00"
