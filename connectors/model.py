"""The words of the product as types: interval, subscription, candle, instrument, grid of slots.

Times are UNIX seconds unless a name says otherwise. An *open time* names a slot; the close time
of a bar is the open time of the next one, exclusive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Final, NamedTuple

from connectors.errors import UsageError

UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "M": 2_592_000}
MONDAY: Final = 345_600
"""1970-01-05 00:00 UTC: the anchor of weeks that begin on Monday."""

_SECONDS: Final = 100_000_000_000
_MILLISECONDS: Final = 100_000_000_000_000
_MICROSECONDS: Final = 100_000_000_000_000_000
"""A time below is in this unit; see ``milliseconds``."""

LATEST: Final = 1e20
"""Nanoseconds of the year 5138: a larger number is no time."""

_INTERVAL = re.compile(r"([1-9][0-9]{0,3})([smhdwM])")
_PAIR = re.compile(r"[A-Z0-9][A-Z0-9._$]*-[A-Z0-9][A-Z0-9._$]*")
_EXCHANGE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


class Interval(NamedTuple):
    """A number and a unit: ``1m``, ``4h``, ``1M`` (``m`` is minutes, ``M`` months)."""

    number: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Interval:
        """``"4h"`` -> ``Interval(4, "h")``; UsageError for anything else than number and unit."""
        match = _INTERVAL.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is not an interval: write a number and one of s m h d w M, like 1m or 4h"
            )
        return cls(int(match[1]), match[2])

    @property
    def seconds(self) -> int:
        """Nominal length; a month counts as 30 days."""
        return self.number * UNIT_SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.number}{self.unit}"


class Subscription(NamedTuple):
    """One exchange, trading pair and interval: ``binance_spot:BTC-USDT:1m`` in writing."""

    exchange: str
    trading_pair: str
    interval: str

    @classmethod
    def parse(cls, text: str) -> Subscription:
        """Read ``exchange:BASE-QUOTE:interval``; UsageError says which part is malformed."""
        parts = text.split(":")
        if len(parts) != 3:
            raise UsageError(f"{text!r} is not a subscription: write exchange:BASE-QUOTE:interval")
        exchange, trading_pair, interval = parts
        if not _EXCHANGE.fullmatch(exchange):
            raise UsageError(
                f"{exchange!r} in {text!r} is not an exchange: candles exchanges lists the names"
            )
        if not _PAIR.fullmatch(trading_pair):
            raise UsageError(
                f"{trading_pair!r} in {text!r} is no trading pair: write BASE-QUOTE in upper case"
            )
        Interval.parse(interval)
        return cls(exchange, trading_pair, interval)

    def __str__(self) -> str:
        return f"{self.exchange}:{self.trading_pair}:{self.interval}"


class CloseReason(StrEnum):
    """Why a closed candle is thought closed."""

    UNKNOWN = "UNKNOWN"
    EXCHANGE_FLAG = "EXCHANGE_FLAG"
    NEXT_CANDLE = "NEXT_CANDLE"
    CLOCK = "CLOCK"
    REST_CONFIRMED = "REST_CONFIRMED"
    REST_ROW = "REST_ROW"


class CandleData:
    """One state of one bar, as an exchange tells it.

    ``timestamp_raw`` is the open time in seconds, milliseconds, microseconds or nanoseconds, as a
    number or numeric text, or ISO 8601 text, or a datetime. Figures are numbers or decimal text.
    ``volume`` is in base units; a figure that the exchange does not send is None, not zero.
    ``closed`` is True, False, or None where the frame does not say. ``event_time`` is the
    exchange's own time of the state, in any form that ``timestamp_raw`` takes.

    ``timestamp`` is the open time in whole UNIX seconds; ``event_time`` is kept in milliseconds.
    Raises ValueError for a figure or time that is no finite number, or trades that are no count.
    """

    __slots__ = (
        "channel",
        "close",
        "closed",
        "event_time",
        "high",
        "low",
        "n_trades",
        "open",
        "quote_asset_volume",
        "taker_buy_base_volume",
        "taker_buy_quote_volume",
        "timestamp",
        "volume",
    )

    def __init__(
        self,
        timestamp_raw: float | str | datetime,
        open: float | str,  # noqa: A002 - the candle's own word
        high: float | str,
        low: float | str,
        close: float | str,
        volume: float | str,
        quote_asset_volume: float | str | None = None,
        n_trades: int | str | None = None,
        taker_buy_base_volume: float | str | None = None,
        taker_buy_quote_volume: float | str | None = None,
        *,
        channel: str | None = None,
        closed: bool | None = None,
        event_time: float | str | datetime | None = None,
    ) -> None:
        if type(timestamp_raw) is str and timestamp_raw.isdecimal():
            timestamp_raw = int(timestamp_raw)
        self.timestamp: int
        if type(timestamp_raw) is int and 0 <= timestamp_raw < _MILLISECONDS:
            self.timestamp = timestamp_raw // (1 if timestamp_raw < _SECONDS else 1000)
        else:
            self.timestamp = milliseconds(timestamp_raw) // 1000
        self.open = o = float(open)
        self.high = h = float(high)
        self.low = lo = float(low)
        self.close = c = float(close)
        self.volume = v = float(volume)
        total = o + h + lo + c + v
        if quote_asset_volume is not None:
            quote_asset_volume = float(quote_asset_volume)
            total += quote_asset_volume
        if taker_buy_base_volume is not None:
            taker_buy_base_volume = float(taker_buy_base_volume)
            total += taker_buy_base_volume
        if taker_buy_quote_volume is not None:
            taker_buy_quote_volume = float(taker_buy_quote_volume)
            total += taker_buy_quote_volume
        self.quote_asset_volume: float | None = quote_asset_volume
        self.taker_buy_base_volume: float | None = taker_buy_base_volume
        self.taker_buy_quote_volume: float | None = taker_buy_quote_volume
        self.n_trades = None if n_trades is None else int(n_trades)
        if self.n_trades is not None and self.n_trades >> 63:
            raise ValueError(f"{n_trades} is no number of trades")
        self.channel = channel
        self.closed = closed
        self.event_time: int | None = (
            event_time
            if event_time is None
            or (type(event_time) is int and _SECONDS <= event_time < _MILLISECONDS)
            else milliseconds(event_time)
        )
        if not isfinite(total):
            raise ValueError(f"a figure is not a finite number: {self.figures()}")

    def figures(self) -> tuple[float | int | None, ...]:
        """Open, high, low, close, volume, quote volume, trades, taker base, taker quote."""
        return (
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.quote_asset_volume,
            self.n_trades,
            self.taker_buy_base_volume,
            self.taker_buy_quote_volume,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CandleData) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # a state of a bar is compared, never a key

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}={value!r}"
            for name in self.__slots__
            if (value := getattr(self, name)) is not None
        )
        return f"CandleData({fields})"


def milliseconds(raw: float | str | datetime) -> int:
    """A time in any form that exchanges use, as whole UNIX milliseconds.

    The unit of a number follows from its size: below 1e11 seconds, below 1e14 milliseconds, below
    1e17 microseconds, else nanoseconds (right for every time from 1973 to 5138). Text is numeric
    or ISO 8601; without a zone it is UTC. Raises ValueError for anything else.
    """
    if isinstance(raw, datetime):
        return round((raw if raw.tzinfo else raw.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(raw, str):
        return milliseconds(_number_or_datetime(raw))
    if isinstance(raw, bool) or not 0 <= raw < LATEST:
        raise ValueError(f"{raw!r} is not a time")
    if raw < _SECONDS:
        return round(raw * 1000)
    if raw < _MILLISECONDS:
        return int(raw)
    return int(raw // 1000) if raw < _MICROSECONDS else int(raw // 1_000_000)


_MORE_THAN_MICROSECONDS = re.compile(r"(\.\d{6})\d+")


def _number_or_datetime(text: str) -> float | datetime:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return datetime.fromisoformat(_MORE_THAN_MICROSECONDS.sub(r"\1", text))


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row of an exchange's list of instruments.

    ``contract_size`` is base units per contract (quote units for an ``inverse`` contract), 1.0
    where volumes are in base units anyway. ``tradable`` says whether candles are to be expected;
    ``status`` is the exchange's own word. ``alias_of`` names the pair whose candles these are.
    ``unsupported`` is why no candles can be had of it by us, though the exchange trades it.
    """

    trading_pair: str
    symbol: str
    contract_size: float = 1.0
    inverse: bool = False
    tradable: bool = True
    status: str = ""
    alias_of: str | None = None
    unsupported: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """Which open times exist: a fixed step from an anchor, months of the calendar, or learned.

    ``step`` is in seconds; with ``months`` it is nominal and slots open on the first of every
    ``months``-th month, counted from January 1970. ``anchor`` is any open time, None while it has
    to be learned from an exchange's rows (see ``anchored``): until then no slot is known.
    """

    step: int
    anchor: int | None = 0
    months: int = 0

    @property
    def known(self) -> bool:
        """Whether open times can be told."""
        return self.anchor is not None

    def anchored(self, open_time: int) -> Grid:
        """The grid that ``open_time``, seen on the exchange, belongs to."""
        return self if self.known else Grid(self.step, open_time % self.step, self.months)

    def floor(self, time: float) -> int:
        """The open time of the slot that ``time`` lies in."""
        if self.months:
            return _month_start(_month_index(time) // self.months * self.months)
        anchor = self._anchor()
        return int((time - anchor) // self.step) * self.step + anchor

    def after(self, open_time: int, slots: int = 1) -> int:
        """The open time ``slots`` later (earlier, if negative); of one slot, its close time."""
        if self.months:
            return _month_start(_month_index(open_time) + slots * self.months)
        return open_time + slots * self.step

    def holds(self, open_time: int) -> bool:
        """Whether a slot opens at exactly this time."""
        return self.floor(open_time) == open_time

    def count(self, start: int, end: int) -> int:
        """How many slots open in ``[start, end)``, both being open times."""
        if self.months:
            return max(0, (_month_index(end) - _month_index(start)) // self.months)
        return max(0, (end - start) // self.step)

    def _anchor(self) -> int:
        if self.anchor is None:
            raise ValueError("the grid has not been learned yet: no slot is known")
        return self.anchor


def grid_of(interval: str) -> Grid:
    """The usual UTC grid: multiples of the step, weeks from Monday, months of the calendar."""
    number, unit = Interval.parse(interval)
    step = number * UNIT_SECONDS[unit]
    if unit == "M":
        return Grid(step, months=number)
    return Grid(step, MONDAY if unit == "w" else 0)


def _month_index(time: float) -> int:
    moment = datetime.fromtimestamp(time, UTC)
    return (moment.year - 1970) * 12 + moment.month - 1


def _month_start(index: int) -> int:
    return int(datetime(1970 + index // 12, index % 12 + 1, 1, tzinfo=UTC).timestamp())
