"""Upbit, as it speaks: short card upbit, which rests on one source.

Oddities: symbols are quote first (`KRW-BTC`). A subscription is a list, and a new list replaces
the one before, with snapshots anew; nothing is ever confirmed. Frames are binary, though they
hold JSON. Times inside lack their zone: `…_utc` is the open time, `timestamp` is the last
trade's. History is newest first, has no lower bound, and `to` is not included.

What the card calls UNKNOWN or leaves out, and what is done here:

* Only one-second candles are streamed; a list with any other type is refused as a whole, and the
  one before stays. An unknown code is silent.
* The snapshot is the last bar with trades, however old it is.
* Bars without trades are missing on the stream, as they are in history (card). No frame says that
  a bar is closed, none comes after its end, and none again when it changed.
* Neither pings nor limits of the WebSocket are known: only protocol pings are answered.
* `count` is 1 where it is absent; more than 200 is an error. The name of an error is a number at
  times, as a client's comments show. A rate limit: HTTP 429 with plain text.
* Weeks begin on Monday. Rows of other than minutes have the minutes' keys, without `unit`.
* Instruments: three keys, after ccxt 4.5.64. They have no word for a pair whose trading has ended:
  it stays in the list, its topics are silent, its history stays.
* The header `Remaining-Req` tells what is left of this second in a made-up form.

Left out: bars of a year, and feeds other than candles.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from math import ceil
from typing import Any

import orjson

from connectors.sandbox.dialect import (
    Action,
    Channel,
    Charge,
    Conversation,
    Dialect,
    Figures,
    Frame,
    HttpReply,
    HttpRequest,
    Limits,
    Push,
    Quiet,
    Rate,
    Send,
    World,
    plain,
)
from connectors.sandbox.grid import steps
from connectors.sandbox.listing import COINS, UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import FIRST_OPEN, Bar
from connectors.sandbox.shared_requests import Refused, number, whole

_MOST = 200
_RATE = Rate(10, 1)
_STREAMED = "1s"
_PATHS = {
    "seconds": "1s",
    **{f"minutes/{unit}": f"{unit}m" for unit in (1, 3, 5, 10, 15, 30)},
    "minutes/60": "1h",
    "minutes/240": "4h",
    "days": "1d",
    "weeks": "1w",
    "months": "1M",
}
_WON = 1_400  # for a dollar
_KOREA = timedelta(hours=9)


def _symbol(base: str, quote: str) -> str:
    return f"{quote}-{base}"


def _in_won(coins: tuple[Coin, ...]) -> tuple[Listing, ...]:
    """Return the coins at prices in won, which have no digits after the point."""
    return tuple(
        replace(
            listing,
            price=Decimal(ceil(listing.price * _WON)),
            tick=Decimal(1),
            usual_trade=Decimal(250 * _WON),
        )
        for listing in listed("KRW", _symbol, coins=coins)
    )


_ETH_BTC = Listing(
    "ETH-BTC",
    "BTC-ETH",
    Decimal("0.02915963"),
    Decimal("0.00000001"),
    Decimal("0.00000001"),
    0.5,
    usual_trade=Decimal("0.05"),
)


class Upbit(Dialect):
    """`upbit_spot`."""

    market = "upbit_spot"
    intervals = steps("1s 1m 3m 5m 10m 15m 30m 1h 4h 1d 1w 1M")
    listings = (*_in_won(COINS), _ETH_BTC)
    upcoming = _in_won(UPCOMING)
    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=False, history=False)
    opens_with_current = False  # the snapshot has it
    limits = Limits(rest={"requests": _RATE})

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/websocket/v1":
            return _problem(404, "Not Found")
        return UpbitConversation()

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        if request.method == "GET" and request.path == "/v1/market/all":
            return _charged([_instrument(listing) for listing in world.market.listings.values()])
        interval = _PATHS.get(request.path.removeprefix("/v1/candles/"))
        if request.method != "GET" or interval is None:
            return _problem(404, "Not Found")
        try:
            return self._candles(request.query, interval, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], interval: str, world: World) -> HttpReply:
        if "market" not in query:
            missing = "Missing request parameter error. Check the required parameters!"
            raise Refused(_problem(400, missing))
        listing = world.market.symbols.get(query["market"])
        if listing is None:
            raise Refused(_problem(404, "Code not found"))
        count = whole(query, "count", _invalid("count"))
        if count is not None and not 1 <= count <= _MOST:
            raise Refused(_invalid("count"))
        now = world.now.market
        last = ceil(_time(query["to"])) - 1 if query.get("to") else now
        bars = _traded(listing.trading_pair, interval, last, world)
        rows = [_row(bar, listing, interval, world) for bar in islice(bars, count or 1)]
        reply = _charged(rows)
        return replace(reply, trading_pair=listing.trading_pair, interval=interval, rows="")

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429 with plain text."""
        return HttpReply("Too many API requests.", 429)

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Tell what is left."""
        return {"Remaining-Req": f"group=candles; sec={max(0, _RATE.allowed - used)}"}


class UpbitConversation(Conversation):
    """One connection. Channels are named by their codes."""

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Put a new set of subscriptions in the place of the old one, or refuse it."""
        try:
            codes = _codes(orjson.loads(frame))
        except orjson.JSONDecodeError:
            codes = None
        if codes is None:
            return (Send(_binary(_error("WRONG_FORMAT", "Format is wrong."))),)
        self.channels.clear()
        for code in codes:
            listing = world.market.symbols.get(code)
            if listing is not None and self._serves(listing.trading_pair, world):
                self.channels[code] = Channel(
                    code, listing.trading_pair, _STREAMED, world.now.market
                )
        return list(self._snapshots(world))

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Return an update."""
        return (self._frame(push.channel, push.bar, "REALTIME", world),)

    def _serves(self, trading_pair: str, world: World) -> bool:
        trades = world.market.trades(trading_pair)
        return trades and not world.refuses(trading_pair, _STREAMED)

    def _snapshots(self, world: World) -> Iterator[Action]:
        for channel in self.channels.values():
            pair = channel.trading_pair
            last = next(_traded(pair, _STREAMED, world.now.market, world), None)
            if last is not None and not world.skips(pair, _STREAMED, last.open_time):
                yield Send(self._frame(channel, last, "SNAPSHOT", world))

    def _frame(self, channel: Channel, bar: Bar, kind: str, world: World) -> Frame:
        return _binary(
            {
                "type": f"candle.{channel.interval}",
                "code": channel.name,
                **_times(bar),
                **_prices(bar),
                "candle_acc_trade_volume": number(plain(bar.volume)),
                "candle_acc_trade_price": number(plain(bar.quote_volume)),
                "timestamp": _last_trade(bar, world),
                "stream_type": kind,
            }
        )


def _codes(message: Any) -> list[str] | None:
    """Return the codes that a list asks candles for; None where it is not understood."""
    match message:
        case [{"ticket": str()}, *wishes] if all(map(_is_wish, wishes)):
            return [code for wish in wishes for code in wish["codes"]]
    return None


def _is_wish(wish: object) -> bool:
    match wish:
        case {"type": "candle.1s", "codes": list() as codes}:
            return all(isinstance(code, str) for code in codes)
    return False


def _traded(trading_pair: str, interval: str, last: float, world: World) -> Iterator[Bar]:
    """Yield the bars with trades and open time up to `last`, newest first."""
    now = world.now.market
    bars = world.market.backwards(trading_pair, interval, FIRST_OPEN, last, now)
    return (bar for bar in bars if bar.trades)


def _row(bar: Bar, listing: Listing, interval: str, world: World) -> dict[str, object]:
    row = {
        "market": listing.symbol,
        **_times(bar),
        **_prices(bar),
        "timestamp": _last_trade(bar, world),
        "candle_acc_trade_price": number(plain(bar.quote_volume)),
        "candle_acc_trade_volume": number(plain(bar.volume)),
    }
    minutes = (bar.close_time - bar.open_time) // 60
    return row | {"unit": minutes} if interval[-1] in "mh" else row


def _times(bar: Bar) -> dict[str, str]:
    opened = datetime.fromtimestamp(bar.open_time, UTC)
    return {
        "candle_date_time_utc": f"{opened:%Y-%m-%dT%H:%M:%S}",
        "candle_date_time_kst": f"{opened + _KOREA:%Y-%m-%dT%H:%M:%S}",
    }


def _prices(bar: Bar) -> dict[str, orjson.Fragment]:
    return {
        "opening_price": number(plain(bar.open)),
        "high_price": number(plain(bar.high)),
        "low_price": number(plain(bar.low)),
        "trade_price": number(plain(bar.close)),
    }


def _last_trade(bar: Bar, world: World) -> int:
    """Return a time within the bar; when its last trade was is not known here."""
    return min(bar.last_ms, world.now.millis)


def _instrument(listing: Listing) -> dict[str, str]:
    return {
        "market": listing.symbol,
        "korean_name": listing.base,
        "english_name": listing.base,
    }


def _time(text: str) -> float:
    """Return UNIX seconds from ISO 8601; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(_invalid("to")) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _binary(message: object) -> bytes:
    return orjson.dumps(message)


def _error(name: str | int, message: str) -> dict[str, object]:
    return {"error": {"name": name, "message": message}}


def _charged(body: object, status: int = 200) -> HttpReply:
    return HttpReply(body, status, charges=(Charge("requests", 1),))


def _invalid(name: str) -> HttpReply:
    return _charged(_error("validation_error", f"{name} does not have a valid value"), 400)


def _problem(status: int, message: str) -> HttpReply:
    return _charged(_error(status, message), status)


DIALECTS = (Upbit,)
