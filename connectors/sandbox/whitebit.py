"""WhiteBIT, as it speaks: short card whitebit, which rests on one source.

Oddities: a frame tells its market and not its interval, and a connection has one subscription a
market: a second one, of another interval, takes its place without a word. Order of figures:
open, close, high, low. Errors of REST come inside HTTP 200.

What the card calls UNKNOWN or leaves out, and what is done here:

* Intervals of the WebSocket are those that ccxt 4.5.64 names; others are refused. An unknown
  market is confirmed and silent, and so is one whose trading has ended.
* What is malformed gets the one error that is known: code 1, "invalid argument".
* `candles_unsubscribe` ends every subscription of the connection, whatever it names.
* Bars without trades are missing, live and in history. No frame says that a bar is closed, none
  comes after its end, and none again when it changed.
* Who sends no message for 60 s is closed; protocol pings do not count.
* Bounds: `start` is included, `end` is not. More rows than fit: from a start alone on the oldest
  win, else the newest. `limit` is 100 where it is absent; more than 1440 is an error.
* Weeks and three days count from 1970-01-01, so weeks begin on Thursday.
* Rate: 50 requests a second, as a third party's 20 ms; beyond it HTTP 429 with plain text.
* Instruments: the keys of ccxt 4.5.64; `tradesEnabled` is false where trading has ended.

Left out: perpetuals (`BTC_PERP`), and feeds other than candles.
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from connectors.sandbox.dialect import (
    Action,
    Channel,
    Charge,
    Close,
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
    World,
    plain,
)
from connectors.sandbox.grid import DAY, Fixed, steps
from connectors.sandbox.listing import UPCOMING, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import send
from connectors.sandbox.shared_history import traded
from connectors.sandbox.shared_requests import Refused, digits, understood, whole, written

SILENCE = 60.0
"""Real seconds without a message of the client until it is closed; made up."""

_STREAMED = {
    60: "1m",
    300: "5m",
    900: "15m",
    1_800: "30m",
    3_600: "1h",
    14_400: "4h",
    28_800: "8h",
    86_400: "1d",
    604_800: "1w",
}
_USUAL, _MOST = 100, 1_440


class Whitebit(Dialect):
    """`whitebit_spot`."""

    market = "whitebit_spot"
    intervals = steps("1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1M") | {"1w": Fixed(7 * DAY)}
    listings = listed("USDT", "{}_{}".format)
    upcoming = listed("USDT", "{}_{}".format, coins=UPCOMING)
    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=False, history=False)
    limits = Limits(rest={"requests": Rate(50, 1)})

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/ws":
            return HttpReply("Not Found", 404)
        return WhitebitConversation(world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        if request.method == "GET" and request.path == "/api/v4/public/markets":
            rows = [_instrument(listing, world) for listing in world.market.listings.values()]
            return HttpReply(rows, charges=_COST)
        if request.method != "GET" or request.path != "/api/v1/public/kline":
            return HttpReply("Not Found", 404)
        try:
            return self._candles(request.query, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing = world.market.symbols.get(query.get("market", ""))
        if listing is None:
            raise Refused(_invalid("market"))
        interval = query.get("interval", "")
        if interval not in self.intervals:
            raise Refused(_invalid("interval"))
        limit = whole(query, "limit", _invalid("limit"))
        if limit is not None and not 1 <= limit <= _MOST:
            raise Refused(_invalid("limit"))
        start, end = (whole(query, name, _invalid(name)) for name in ("start", "end"))
        bars = traded(world, (listing.trading_pair, interval), start, end)
        return HttpReply(
            {
                "success": True,
                "message": "",
                "result": sorted(map(_row, islice(bars, limit or _USUAL))),
            },
            charges=_COST,
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="result",
        )

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429 with plain text."""
        return HttpReply("Too Many Requests", 429)


class WhitebitConversation(Conversation):
    """One connection. Channels are named by their markets."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._heard(world)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, a subscription or its end; anything else is an invalid argument."""
        self._heard(world)
        asked = understood(frame) or {}
        number = asked.get("id")
        match asked.get("method"), asked.get("params"):
            case "ping", list():
                return (_answer(number, "pong"),)
            case "candles_subscribe", [str() as symbol, int() as seconds]:
                return (self._subscribe(number, symbol, seconds, world),)
            case "candles_unsubscribe", list():
                self.channels.clear()
                return (_answer(number, {"status": "success"}),)
        return (_invalid_argument(number),)

    def tick(self, world: World) -> Iterable[Action]:
        """Close a connection whose client is silent."""
        self.due = None
        return (Close(),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Return an update, which lacks its interval."""
        row = [*_row(push.bar), push.channel.name]
        return (written({"method": "candles_update", "params": [row], "id": None}),)

    def _subscribe(self, number: object, symbol: str, seconds: int, world: World) -> Action:
        interval = _STREAMED.get(seconds)
        listing = world.market.symbols.get(symbol)
        if interval is None:
            return _invalid_argument(number)
        if listing is not None and world.refuses(listing.trading_pair, interval):
            return _invalid_argument(number)
        if listing is not None and world.market.trades(listing.trading_pair):
            self._serve(Channel(symbol, listing.trading_pair, interval, world.now.market))
        return _answer(number, {"status": "success"})

    def _serve(self, channel: Channel) -> None:
        before = self.channels.get(channel.name)
        if before is None or before.interval != channel.interval:
            self.channels[channel.name] = channel

    def _heard(self, world: World) -> None:
        self.due = world.now.real + SILENCE


_COST = (Charge("requests", 1),)


def _answer(number: object, result: object) -> Action:
    return send({"id": number, "result": result, "error": None})


def _invalid_argument(number: object) -> Action:
    error = {"code": 1, "message": "invalid argument"}
    return send({"error": error, "result": None, "id": number})


def _row(bar: Bar) -> list[int | str]:
    figures = (bar.open, bar.close, bar.high, bar.low, bar.volume, bar.quote_volume)
    return [bar.open_time, *map(plain, figures)]


def _invalid(name: str) -> HttpReply:
    message = {name: [f"{name} is not valid"]}
    return HttpReply({"success": False, "message": message, "result": None}, charges=_COST)


def _instrument(listing: Listing, world: World) -> dict[str, object]:
    return {
        "name": listing.symbol,
        "stock": listing.base,
        "money": listing.quote,
        "stockPrec": str(digits(listing.lot)),
        "moneyPrec": str(digits(listing.tick)),
        "feePrec": "4",
        "makerFee": "0.1",
        "takerFee": "0.1",
        "minAmount": plain(listing.lot),
        "minTotal": "5",
        "tradesEnabled": world.market.trades(listing.trading_pair),
        "isCollateral": True,
        "type": "spot",
        "maxTotal": "1000000000",
    }


DIALECTS = (Whitebit,)
