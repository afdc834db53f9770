"""Bybit v5: `bybit_spot`, `bybit_perpetual` and `bybit_inverse`, from the card and recordings.

Oddities that a client meets here:

* One bad topic sinks its whole request, and only the first bad one is named. So does a topic
  that is subscribed to already; that one goes on.
* A pong has `op` `ping` and `ret_msg` `pong`. Spot's confirmation says `subscribe` in `ret_msg`,
  the others say nothing there; spot leaves `req_id` out where none was sent.
* The symbol of a frame stands in its topic alone, and the topic does not tell the market.
* Volume is base on spot and linear; on inverse it is USD, and the turnover is the base.
* A bar opens where the one before closed. At each fourth bar one frame holds the closing bar
  and the next.
* REST: newest first; `start` is rounded down to its bar; `category` is linear unless it is told;
  errors come inside HTTP 200. Instruments list what trades, with dated futures among it, and a
  page of them holds ten rows at most, so that `nextPageCursor` is met.

What the card calls UNKNOWN or leaves open, and what is done here:

* Bars without trades: never sent live, not even closed; flat rows in history.
* `start` and `end` with more rows between than fit: the newest win. A `limit` above 1000 is cut.
* Weeks begin on Thursday, as 1970 did: the card's Monday is not proven.
* An unknown symbol on spot is refused with `Invalid symbol :[…]`, which clients have met.
* More than ten args are refused everywhere. The reaction to more than 21,000 characters, the text
  for what is no JSON, and both close codes are made up.
* A client that says nothing for 10 minutes is cut off, data or no data; without subscriptions
  after 61 s (seen on a relay alone).
* Too many requests: code 10006 inside HTTP 200; the 403 of the card comes with a ban.
* `timestamp`, the time of the last trade, is the time of the frame, at most the bar's last.
* A pair whose trading has ended vanishes from the instruments; its topics are refused.
* Dated futures stand among the instruments and have no candles here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from uuid import UUID, uuid5

from connectors.sandbox.dialect import (
    Action,
    Channel,
    Charge,
    Close,
    Closing,
    Conversation,
    Dialect,
    Figures,
    Frame,
    HttpReply,
    HttpRequest,
    Limits,
    Overstep,
    Push,
    Quiet,
    Rate,
    World,
    plain,
)
from connectors.sandbox.grid import DAY, Fixed, Step, steps
from connectors.sandbox.listing import COINS, UPCOMING, WHOLE_DOLLARS, Coin, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import following, send
from connectors.sandbox.shared_requests import Refused, understood, whole, written

TOPICS_A_REQUEST, CHARACTERS_A_CONNECTION = 10, 21_000

SILENCE, SILENCE_UNSUBSCRIBED = 600.0, 61.0
"""Real seconds without a client's message until the server closes."""

INTERVALS: dict[str, Step] = {
    **steps("1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 1M"),
    "1w": Fixed(7 * DAY),
}

_MOST_ROWS, _USUAL_ROWS, _MOST_INSTRUMENTS = 1_000, 200, 10
_REQUESTS = Rate(600, 5)


def _code(interval: str) -> str:
    """Spell an interval as Bybit does: minutes, or `D`, `W`, `M`."""
    if interval[-1] in "dwM":
        return interval[-1].upper()
    return str(INTERVALS[interval].seconds // 60)


CODES = {_code(interval): interval for interval in INTERVALS}
"""The exchange's word for an interval -> ours."""


# --- what is listed


def _linear_symbol(base: str, quote: str) -> str:
    return f"{base}PERP" if quote == "USDC" else f"{base}{quote}"


_BONK = Coin("1000BONK", "0.023410", "0.000001", "100", 8)
_listed = partial(listed, continuous=True)


@dataclass(frozen=True, slots=True)
class Category:
    """What the three markets differ by: names, listings, and which words a confirmation has."""

    name: str
    market: str
    listings: tuple[Listing, ...]
    upcoming: tuple[Listing, ...]
    contract: str | None = None

    @property
    def inverse(self) -> bool:
        """Whether it counts contracts of 1 USD."""
        return self.name == "inverse"

    @property
    def spot(self) -> bool:
        """Whether it is spot."""
        return self.name == "spot"


SPOT = Category(
    "spot",
    "bybit_spot",
    (*_listed("USDT", str.__add__), *_listed("USDC", str.__add__, coins=COINS[:2])),
    _listed("USDT", str.__add__, coins=UPCOMING),
)
LINEAR = Category(
    "linear",
    "bybit_perpetual",
    (
        *_listed("USDT", _linear_symbol, coins=(*COINS, _BONK)),
        *_listed("USDC", _linear_symbol, coins=COINS[:2]),
    ),
    _listed("USDT", _linear_symbol, coins=UPCOMING),
    "Linear",
)
INVERSE = Category(
    "inverse",
    "bybit_inverse",
    _listed("USD", str.__add__, lots=WHOLE_DOLLARS),
    _listed("USD", str.__add__, lots=WHOLE_DOLLARS, coins=UPCOMING),
    "Inverse",
)


def _spot_instrument(listing: Listing, number: int) -> dict[str, object]:
    return {
        "symbolId": number,
        "symbol": listing.symbol,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": plain(listing.lot),
            "quotePrecision": plain(listing.lot * listing.tick),
            "minOrderQty": plain(listing.lot),
            "maxOrderQty": "83",
            "minOrderAmt": "5",
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": "83",
            "maxMarketOrderQty": "41.5",
            "postOnlyMaxLimitOrderSize": "60000",
        },
        "priceFilter": {"tickSize": plain(listing.tick)},
        "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
        "symbolType": "",
    }


def _contract(listing: Listing, number: int, kind: str, category: Category) -> dict[str, object]:
    least = "1" if category.inverse else plain(listing.lot)
    lots = {
        "maxOrderQty": "1190.000",
        "minOrderQty": least,
        "qtyStep": least,
        "postOnlyMaxOrderQty": "1190.000",
        "maxMktOrderQty": "500.000",
    }
    common = {
        "symbol": listing.symbol,
        "contractType": f"{category.contract}{kind}",
        "status": "Trading",
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": plain(listing.tick),
            "maxPrice": "1999999.80",
            "tickSize": plain(listing.tick),
        },
        "lotSizeFilter": lots,
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": listing.base if category.inverse else listing.quote,
    }
    if category.inverse:
        return common
    return {
        **common,
        "lotSizeFilter": {**lots, "minNotionalValue": "5"},
        "symbolId": number,
        "copyTrading": "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "symbolType": "",
    }


def _instruments(category: Category, world: World) -> Iterator[dict[str, object]]:
    trading = [one for name, one in world.market.listings.items() if world.market.trades(name)]
    if category.spot:
        yield from map(_spot_instrument, trading, count(1))
        return
    for number, listing in enumerate(trading, 1):
        yield _contract(listing, number, "Perpetual", category)
        if listing.trading_pair in ("BTC-USDT", "BTC-USD"):
            dated = {"BTC-USDT": "BTCUSDT-25DEC26", "BTC-USD": "BTCUSDZ26"}[listing.trading_pair]
            row = _contract(listing, 100 + number, "Futures", category)
            yield {**row, "symbol": dated, "deliveryTime": "1798185600000"}


# --- candles


def _figures(bar: Bar, category: Category) -> tuple[str, str]:
    """Return `volume` and `turnover` as they are called here."""
    figures = (bar.quote_volume, bar.volume) if category.inverse else (bar.volume, bar.quote_volume)
    return plain(figures[0]), plain(figures[1])


def _candle(bar: Bar, code: str, category: Category, now: int, *, closed: bool) -> object:
    volume, turnover = _figures(bar, category)
    return {
        "start": bar.open_ms,
        "end": bar.last_ms,
        "interval": code,
        "open": plain(bar.open),
        "close": plain(bar.close),
        "high": plain(bar.high),
        "low": plain(bar.low),
        "volume": volume,
        "turnover": turnover,
        "confirm": closed,
        "timestamp": min(now, bar.last_ms),
    }


def _row(bar: Bar, category: Category) -> list[str]:
    prices = map(plain, (bar.open, bar.high, bar.low, bar.close))
    return [str(bar.open_ms), *prices, *_figures(bar, category)]


# --- WebSocket


class BybitConversation(Conversation):
    """One connection; `channels` are named by their topics, their tag is the interval's code."""

    def __init__(self, category: Category, connection_id: str, world: World) -> None:
        super().__init__()
        self._category = category
        self._connection_id = connection_id
        self._heard_at = world.now.real
        self._look_again()

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, a subscription or its end; anything else is an error."""
        self._heard_at = world.now.real
        actions = list(self._answer(frame, world))
        self._look_again()
        return actions

    def tick(self, world: World) -> Iterable[Action]:
        """Cut off a client that says nothing."""
        self.due = None
        return (Close(1000, ""),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle, at times together with the one that follows it."""
        code, now = str(push.channel.tag), world.told.millis
        data = [_candle(push.bar, code, self._category, now, closed=push.closed)]
        new = following(push, world) if push.closed else None
        if new is not None:
            data.append(_candle(new, code, self._category, now, closed=False))
        topic, ts = {"topic": push.channel.name}, {"ts": now}
        if self._category.spot:
            return (written({"type": "snapshot", **topic, "data": data, **ts}),)
        return (written({**topic, "data": data, **ts, "type": "snapshot"}),)

    def _answer(self, frame: Frame, world: World) -> Iterable[Action]:
        asked = understood(frame)
        if asked is None:
            return (self._reply({}, "error:invalid json", success=False),)
        match asked:
            case {"op": "ping"}:
                return (self._reply(asked, "pong"),)
            case {"op": "subscribe", "args": [_, *_] as topics}:
                return self._subscribe(asked, list(map(str, topics)), world)
            case {"op": "unsubscribe", "args": list() as topics}:
                for topic in topics:
                    self.channels.pop(str(topic), None)
                return (self._reply(asked, "unsubscribe" if self._category.spot else ""),)
        return (self._reply(asked, "error:invalid op", success=False),)

    def _subscribe(
        self, asked: Mapping[str, object], topics: list[str], world: World
    ) -> Iterable[Action]:
        if over := self._overstepped(topics):
            text = f"args size >{TOPICS_A_REQUEST}"
            return over, self._reply(asked, text, success=False)
        found: dict[str, Channel] = {}
        for topic in topics:
            channel = self._find(topic, world)
            if isinstance(channel, str):
                return (self._reply(asked, channel, success=False),)
            found[topic] = channel
        self.channels.update(found)
        return (self._reply(asked, "subscribe" if self._category.spot else ""),)

    def _overstepped(self, topics: list[str]) -> Overstep | None:
        if len(topics) > TOPICS_A_REQUEST:
            return Overstep("args a request", TOPICS_A_REQUEST, len(topics))
        characters = sum(map(len, self.channels.keys() | set(topics)))
        if characters > CHARACTERS_A_CONNECTION:
            return Overstep("characters a connection", CHARACTERS_A_CONNECTION, characters)
        return None

    def _find(self, topic: str, world: World) -> Channel | str:
        """Return the channel that a topic means, or why there is none."""
        kind, _, rest = topic.partition(".")
        code, _, symbol = rest.partition(".")
        interval, listing = CODES.get(code), world.market.symbols.get(symbol)
        if kind != "kline" or interval is None:
            return f"error:handler not found,topic:{topic}"
        if listing is None and self._category.spot:
            return f"Invalid symbol :[{topic}]"
        if listing is None or not world.market.trades(listing.trading_pair):
            return f"error:handler not found,topic:{topic}"
        if world.refuses(listing.trading_pair, interval):
            return f"error:handler not found,topic:{topic}"
        if topic in self.channels:
            return f"error:already subscribed,topic:{topic}"
        return Channel(topic, listing.trading_pair, interval, world.now.market, code)

    def _reply(self, asked: Mapping[str, object], text: str, *, success: bool = True) -> Action:
        unasked = {} if self._category.spot else {"req_id": ""}
        echoed = {"req_id": asked["req_id"]} if "req_id" in asked else unasked
        start = {"success": success, "ret_msg": text, "conn_id": self._connection_id}
        return send({**start, **echoed, "op": asked.get("op", "")})

    def _look_again(self) -> None:
        self.due = self._heard_at + (SILENCE if self.channels else SILENCE_UNSUBSCRIBED)


# --- REST


def _told(code: int, message: str, result: object, world: World) -> HttpReply:
    body = {
        "retCode": code,
        "retMsg": message,
        "result": result,
        "retExtInfo": {},
        "time": world.told.millis,
    }
    return HttpReply(body, charges=(Charge("requests", 1),))


class Bybit(Dialect):
    """One category of Bybit."""

    intervals = INTERVALS
    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=False, history=True)
    closing = Closing(delay=(0.0, 2.0))
    compresses = True
    retry_after = True  # told in its own header
    limits = Limits(connections=1_000, attempts=Rate(500, 300), rest={"requests": _REQUESTS})

    def __init__(self, category: Category) -> None:
        self.market = category.market
        self.listings = category.listings
        self.upcoming = category.upcoming
        self._category = category
        self._connections = count(1)

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept this category's public path."""
        if request.path != f"/v5/public/{self._category.name}":
            return HttpReply("Not Found", 404)
        ident = uuid5(UUID(int=0), f"{self.market}:{next(self._connections)}")
        return BybitConversation(self._category, str(ident), world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments, and refuse inside HTTP 200."""
        routes = {
            "/v5/market/kline": self._candles,
            "/v5/market/instruments-info": self._page_of_instruments,
        }
        route = routes.get(request.path)
        if route is None or request.method != "GET":
            return HttpReply("Not Found", 404)
        try:
            return route(request.query, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing = world.market.symbols.get(query.get("symbol", ""))
        if query.get("category", "linear") != self._category.name or listing is None:
            return _told(10001, "Not supported symbols", {}, world)
        interval = CODES.get(query.get("interval", ""))
        if interval is None:
            return _told(10001, "Invalid period!", {}, world)
        rows = [_row(bar, self._category) for bar in self._bars(query, listing, interval, world)]
        category, symbol = {"category": self._category.name}, {"symbol": listing.symbol}
        named = {**category, **symbol} if self._category.spot else {**symbol, **category}
        reply = _told(0, "OK", {**named, "list": rows}, world)
        return HttpReply(
            reply.body,
            charges=reply.charges,
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="result.list",
        )

    def _bars(
        self, query: Mapping[str, str], listing: Listing, interval: str, world: World
    ) -> list[Bar]:
        """Return the bars of a request, newest first."""
        wrong = _told(10001, "params error: start, end or limit", {}, world)
        start, end = whole(query, "start", wrong), whole(query, "end", wrong)
        limit = whole(query, "limit", wrong)
        most = min(_USUAL_ROWS if limit is None else limit, _MOST_ROWS)
        if most < 1:
            raise Refused(wrong)
        pair, now, grid = listing.trading_pair, world.now.market, INTERVALS[interval]
        first = 0 if start is None else grid.floor(start / 1_000)
        if start is not None and end is None:
            forward = world.market.bars(pair, interval, first, now, now)
            return [bar for bar, _ in zip(forward, range(most), strict=False)][::-1]
        last = now if end is None else end / 1_000
        bars = world.market.backwards(pair, interval, first, last, now)
        return [bar for bar, _ in zip(bars, range(most), strict=False)]

    def _page_of_instruments(self, query: Mapping[str, str], world: World) -> HttpReply:
        if query.get("category") != self._category.name:
            return _told(10001, "Illegal category", {}, world)
        wrong = _told(10001, "params error: limit or cursor", {}, world)
        begin, limit = whole(query, "cursor", wrong) or 0, whole(query, "limit", wrong) or 500
        rows = list(_instruments(self._category, world))
        if self._category.spot:
            return _told(0, "OK", {"category": "spot", "list": rows}, world)
        end = begin + min(limit, _MOST_INSTRUMENTS)
        cursor = str(end) if end < len(rows) else ""
        page = {"category": self._category.name, "list": rows[begin:end]}
        return _told(0, "OK", {**page, "nextPageCursor": cursor}, world)

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return code 10006 inside HTTP 200; when to come again stands in Bybit's own header."""
        headers = {"X-Bapi-Limit": str(_REQUESTS.allowed), "X-Bapi-Limit-Status": "0"}
        if retry_after is not None:
            again = world.told.millis + retry_after * 1_000
            headers["X-Bapi-Limit-Reset-Timestamp"] = str(again)
        return HttpReply({"retCode": 10006, "retMsg": "Too many visits!"}, headers=headers)

    def banned(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 403, which says nothing of its end."""
        return HttpReply("access too frequent", 403)

    def refuse_connection(self, limit: str, world: World) -> HttpReply:
        """Return HTTP 403: the card names no answer."""
        return HttpReply("access too frequent", 403)


DIALECTS = (partial(Bybit, SPOT), partial(Bybit, LINEAR), partial(Bybit, INVERSE))
