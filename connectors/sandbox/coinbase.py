"""Coinbase Advanced Trade and Coinbase Exchange, as they speak: card coinbase.

Oddities: candles over WebSocket are 5m alone and carry no closed flag; what was not listed in
the confirmation is not subscribed; X-USDC products are other names of X-USD, and their frames
say X-USD; bars without trades are left out everywhere; Exchange puts low and high before open,
and ignores a bound that comes alone.

Where the card says UNKNOWN:

* the snapshot holds the newest five bars, newest first, and comes before the confirmation (the
  documented snapshot has sequence_num 0, the recorded confirmation 1);
* an unknown product is simply missing in the confirmation, which names products as they were
  asked for; heartbeats are listed there with an empty list;
* without heartbeats a connection is closed after 60 s without a candle (the card: 60 to 90);
* too many messages close the connection; the message of a bad granularity, and the error text
  for bad bounds, are made up; without bounds the newest rows come, at most 349;
* the public REST budget of Advanced Trade is a third party's 10 a second;
* a product whose trading has ended: status `delisted` and `trading_disabled`; its history stays,
  it is missing in the confirmation;
* a bar that changed after its close is sent again (differing candles of one start were seen);
* Exchange sends the bar that contains `start`, as "rows may begin before start" allows.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from math import floor, inf

import orjson

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
    Moment,
    Push,
    Quiet,
    Rate,
    Send,
    World,
    plain,
    retry_header,
)
from connectors.sandbox.grid import steps
from connectors.sandbox.listing import COINS, UPCOMING, Listing, listed
from connectors.sandbox.market import Bar

_FIRST_SUBSCRIBE = 5.0  # real seconds from the handshake
_NO_UPDATES = 60.0  # real seconds after which a connection without heartbeats is closed
_HEARTBEAT = 1.0
_SNAPSHOT = 5  # bars
_STREAMED = "5m"
_CACHE = 300  # seconds of market time: how old Exchange's rows without both bounds may be
_PRODUCTS = "/api/v3/brokerage/market/products"
_STREAM_ORDER = ("high", "low", "open", "close", "volume")
_REST_ORDER = ("low", "high", "open", "close", "volume")
_UNUSED = (
    "market_cap",
    "base_cbrn",
    "quote_cbrn",
    "product_cbrn",
    "icon_color",
    "icon_url",
    "display_name_overwrite",
)


def _hyphened(base: str, quote: str) -> str:
    return f"{base}-{quote}"


def _alias(listing: Listing) -> Listing:
    name = f"{listing.base}-USDC"
    return replace(listing, trading_pair=name, symbol=name, alias_of=listing.trading_pair)


_USD = listed("USD", _hyphened, lots={coin.name: "0.00000001" for coin in COINS})
_UPCOMING = listed(
    "USD", _hyphened, lots={coin.name: "0.00000001" for coin in UPCOMING}, coins=UPCOMING
)
_USDT_USDC = Listing(
    "USDT-USDC", "USDT-USDC", Decimal("0.9998"), Decimal("0.0001"), Decimal("0.01"), 12
)


class _Coinbase(Dialect):
    """What both markets share: one order book, digits as short as they can be."""

    figures = Figures()
    quiet = Quiet(stream=False, history=False)
    book = "coinbase"
    upcoming = _UPCOMING


class CoinbaseAdvancedTrade(_Coinbase):
    """`coinbase_advanced_trade`."""

    market = "coinbase_advanced_trade"
    intervals = steps("1m 5m 15m 30m 1h 2h 4h 6h 1d")
    listings = (*_USD, *(_alias(listing) for listing in _USD), _USDT_USDC)
    opens_with_current = False  # the snapshot has it
    compresses = True
    resends = True
    limits = Limits(
        attempts=Rate(8, 1),
        messages=Rate(8, 1),
        rest={"requests": Rate(10, 1)},
    )
    granularities: Mapping[str, str] = {
        "ONE_MINUTE": "1m",
        "FIVE_MINUTE": "5m",
        "FIFTEEN_MINUTE": "15m",
        "THIRTY_MINUTE": "30m",
        "ONE_HOUR": "1h",
        "TWO_HOUR": "2h",
        "FOUR_HOUR": "4h",
        "SIX_HOUR": "6h",
        "ONE_DAY": "1d",
    }

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the root path alone."""
        if request.path != "/":
            return HttpReply("Not Found", 404)
        return AdvancedTradeConversation(world.now)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer products, one product, and its candles."""
        match = re.fullmatch(rf"{_PRODUCTS}(?:/([^/]+))?(/candles)?/?", request.path)
        if request.path.startswith("/api/v3/brokerage/products"):
            return HttpReply("Unauthorized", 401)
        if request.method != "GET" or match is None:
            return HttpReply("Not Found", 404)
        if match[1] is None:
            products = [self._product(listing, world) for listing in world.market.listings.values()]
            found = {"products": products, "num_products": len(products), "pagination": None}
            return self._charged(found)
        listing = world.market.symbols.get(match[1])
        if listing is None:
            message = f"Product {match[1]} not supported"
            return self._charged({"error": "NOT_FOUND", "message": message}, 404)
        if match[2] is None:
            return self._charged(self._product(listing, world))
        return self._candles(request, listing, world)

    def _candles(self, request: HttpRequest, listing: Listing, world: World) -> HttpReply:
        query = request.query
        interval = self.granularities.get(query.get("granularity", ""))
        if interval is None:
            return self._invalid("granularity is not supported")
        try:
            start, end = (
                float(query[name]) if name in query else None for name in ("start", "end")
            )
            limit = min(350, int(query.get("limit", "350")))
        except ValueError:
            return self._invalid("start, end and limit must be numbers")
        step = self.intervals[interval].seconds
        end = world.now.market if end is None else end
        start = end - 348 * step if start is None else start
        if (end - start) / step >= 350:
            return self._invalid("number of candles requested should be less than 350")
        bars = world.market.bars(
            listing.trading_pair, interval, start, end, self._as_of(request, world.now)
        )
        rows = [_candle(bar, _REST_ORDER) for bar in bars if bar.trades][::-1][:limit]
        reply = self._charged({"candles": rows})
        return replace(reply, trading_pair=listing.trading_pair, interval=interval, rows="candles")

    def _as_of(self, request: HttpRequest, now: Moment) -> float:
        """Return the time whose rows are sent: replies are cached for one second."""
        uncached = "no-cache" in request.headers.get("cache-control", "")
        return now.market if uncached else floor(now.market)

    def _charged(self, body: object, status: int = 200) -> HttpReply:
        return HttpReply(body, status, charges=(Charge("requests", 1),))

    def _invalid(self, message: str) -> HttpReply:
        return self._charged({"error": "INVALID_ARGUMENT", "message": message}, 400)

    def _product(self, listing: Listing, world: World) -> Mapping[str, object]:
        ended = not world.market.trades(listing.trading_pair)
        alias, own = listing.alias_of or "", listing.trading_pair
        others = [other.symbol for other in world.market.listings.values() if other.alias_of == own]
        price = plain(listing.price)
        return {
            "product_id": listing.symbol,
            "price": price,
            "price_percentage_change_24h": "0",
            "volume_24h": "0",
            "volume_percentage_change_24h": "0",
            "base_increment": plain(listing.lot),
            "quote_increment": plain(listing.tick),
            "quote_min_size": "1",
            "quote_max_size": "150000000",
            "base_min_size": plain(listing.lot),
            "base_max_size": "3400",
            "base_name": listing.base,
            "quote_name": listing.quote,
            "watched": False,
            "is_disabled": False,
            "new": False,
            "status": "delisted" if ended else "online",
            "cancel_only": False,
            "limit_only": False,
            "post_only": False,
            "trading_disabled": ended,
            "auction_mode": False,
            "product_type": "SPOT",
            "quote_currency_id": listing.quote,
            "base_currency_id": listing.base,
            "fcm_trading_session_details": None,
            "mid_market_price": "",
            "alias": alias,
            "alias_to": others,
            "base_display_symbol": listing.base,
            "quote_display_symbol": alias.partition("-")[2] or listing.quote,
            "view_only": False,
            "price_increment": plain(listing.tick),
            "display_name": listing.symbol,
            "product_venue": "CBE",
            "approximate_quote_24h_volume": "0",
            "new_at": "2023-01-01T00:00:00Z",
            **dict.fromkeys(_UNUSED, ""),
            "is_alpha_testing": False,
            "about_description": "",
            "best_bid_price": "",
            "best_ask_price": "",
        }

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429 with the documented body."""
        error = {"id": "rate_limit_exceeded", "message": "Too many requests"}
        return HttpReply({"errors": [error]}, 429, retry_header(retry_after))


class AdvancedTradeConversation(Conversation):
    """One connection; sequence numbers count over all its channels."""

    def __init__(self, now: Moment) -> None:
        super().__init__()
        self._sequence = 0
        self._asked: dict[str, str] = {}  # product as asked -> product as sent
        self._beats = 0
        self._next_beat = inf
        self._last_update = now.real
        self._patience = _FIRST_SUBSCRIBE
        self._look_again()

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a subscribe or unsubscribe message; anything else is an error."""
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError:
            message = None
        match message:
            case {"type": "subscribe", "channel": "heartbeats"}:
                self._next_beat = min(self._next_beat, world.now.real + _HEARTBEAT)
                snapshot: list[Action] = []
            case {"type": "subscribe", "channel": "candles", "product_ids": list() as products}:
                snapshot = self._subscribe([str(product) for product in products], world)
            case {"type": "unsubscribe", "channel": "heartbeats"}:
                self._next_beat, snapshot = inf, []
            case {"type": "unsubscribe", "channel": "candles"}:
                self._unsubscribe(message.get("product_ids") or list(self._asked))
                snapshot = []
            case _:
                return (_error(),)
        self._patience = _NO_UPDATES
        self._look_again()
        return (*snapshot, Send(self._confirmation(world.told)))

    def tick(self, world: World) -> Iterable[Action]:
        """Send a heartbeat, or close what was left alone."""
        now = world.now
        actions: tuple[Action, ...] = ()
        if now.real >= self._next_beat:
            self._next_beat = now.real + _HEARTBEAT
            actions = (Send(self._heartbeat(world.told)),)
        elif self._next_beat == inf and now.real >= self._last_update + self._patience:
            return (Close(),)
        self._look_again()
        return actions

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Return an update."""
        self._last_update = world.now.real
        return (self._candles("update", push.channel.name, [push.bar], world.told),)

    def _subscribe(self, products: list[str], world: World) -> list[Action]:
        snapshots: list[Action] = []
        for product in products:
            listing = world.market.symbols.get(product)
            if listing is None or world.refuses(listing.trading_pair, _STREAMED):
                continue
            if not world.market.trades(listing.trading_pair):
                continue
            self._asked[product] = listing.book
            if listing.book not in self.channels:
                snapshots.append(Send(self._begin(listing.book, world)))
        return snapshots

    def _begin(self, product: str, world: World) -> Frame:
        now = world.now
        self.channels[product] = Channel(product, product, _STREAMED, since=now.market)
        self._last_update = now.real
        bars = world.market.latest(product, _STREAMED, now.market, now.market, _SNAPSHOT)
        shown = [
            bar
            for bar in bars[::-1]
            if bar.trades and not world.skips(product, _STREAMED, bar.open_time)
        ]
        return self._candles("snapshot", product, shown, world.told)

    def _unsubscribe(self, products: Iterable[object]) -> None:
        for product in products:
            self._asked.pop(str(product), None)
        for product in set(self.channels) - set(self._asked.values()):
            del self.channels[product]

    def _look_again(self) -> None:
        alone = self._last_update + self._patience
        self.due = self._next_beat if self._next_beat < inf else alone

    # --- frames

    def _candles(self, kind: str, product: str, bars: list[Bar], now: Moment) -> Frame:
        candles = [{**_candle(bar, _STREAM_ORDER), "product_id": product} for bar in bars]
        return self._frame("candles", {"type": kind, "candles": candles}, now)

    def _confirmation(self, now: Moment) -> Frame:
        subscriptions = {"candles": list(self._asked)} if self._asked else {}
        if self._next_beat < inf:
            subscriptions["heartbeats"] = []
        return self._frame("subscriptions", {"subscriptions": subscriptions}, now)

    def _heartbeat(self, now: Moment) -> Frame:
        self._beats += 1
        time = f"{_iso(now.market, ' ')[:-1]} +0000 UTC m=+{now.real:.9f}"
        beat = {"current_time": time, "heartbeat_counter": self._beats}
        return self._frame("heartbeats", beat, now)

    def _frame(self, channel: str, event: object, now: Moment) -> Frame:
        frame = {
            "channel": channel,
            "timestamp": _iso(now.market, "T"),
            "sequence_num": self._sequence,
            "events": [event],
        }
        self._sequence += 1
        return orjson.dumps(frame).decode()


class CoinbaseExchange(_Coinbase):
    """`coinbase_exchange`: REST alone."""

    market = "coinbase_exchange"
    intervals = steps("1m 5m 15m 1h 6h 1d")
    listings = _USD
    limits = Limits(rest={"requests": Rate(10, 1)})
    streams = False

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Refuse: candles have no WebSocket here."""
        return HttpReply("Not Found", 404)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer products, one product, and its candles."""
        match = re.fullmatch(r"/products(?:/([^/]+))?(/candles)?/?", request.path)
        if request.method != "GET" or match is None:
            return self._problem("NotFound", 404)
        if match[1] is None:
            products = world.market.listings.values()
            return self._charged([self._product(listing, world) for listing in products])
        listing = world.market.symbols.get(match[1])
        if listing is None:
            return self._problem("NotFound", 404)
        if match[2] is None:
            return self._charged(self._product(listing, world))
        return self._candles(request.query, listing, world)

    def _candles(self, query: Mapping[str, str], listing: Listing, world: World) -> HttpReply:
        names = {str(grid.seconds): name for name, grid in self.intervals.items()}
        interval = names.get(query.get("granularity", ""))
        if interval is None:
            return self._problem("Unsupported granularity", 400)
        try:
            bounds = [_time(query[name]) for name in ("start", "end") if name in query]
        except ValueError:
            return self._problem("Invalid start or end", 400)
        grid, now = self.intervals[interval], world.now.market
        if len(bounds) < 2:
            as_of = floor(now / _CACHE) * _CACHE
            bars = world.market.latest(listing.trading_pair, interval, as_of, as_of, 350)
        elif (bounds[1] - bounds[0]) / grid.seconds > 300:
            return self._problem(
                "granularity too small for the requested time range. "
                "Count of aggregations requested exceeds 300",
                400,
            )
        else:
            start = grid.floor(bounds[0])
            bars = [*world.market.bars(listing.trading_pair, interval, start, bounds[1], now)]
        reply = self._charged([_row(bar) for bar in bars if bar.trades][::-1])
        return replace(reply, trading_pair=listing.trading_pair, interval=interval, rows="")

    def _product(self, listing: Listing, world: World) -> Mapping[str, object]:
        ended = not world.market.trades(listing.trading_pair)
        return {
            "id": listing.symbol,
            "base_currency": listing.base,
            "quote_currency": listing.quote,
            "base_min_size": plain(listing.lot),
            "base_max_size": "1000000",
            "quote_increment": plain(listing.tick),
            "base_increment": plain(listing.lot),
            "display_name": f"{listing.base}/{listing.quote}",
            "min_market_funds": "5.0",
            "max_market_funds": "100000",
            "margin_enabled": False,
            "post_only": False,
            "limit_only": False,
            "cancel_only": False,
            "trading_disabled": ended,
            "status": "delisted" if ended else "online",
            "status_message": "",
        }

    def _charged(self, body: object, status: int = 200) -> HttpReply:
        return HttpReply(body, status, charges=(Charge("requests", 1),))

    def _problem(self, message: str, status: int) -> HttpReply:
        return self._charged({"message": message}, status)

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; the card does not give its body."""
        return HttpReply({"message": "Too many requests"}, 429, retry_header(retry_after))


def _candle(bar: Bar, order: Iterable[str]) -> dict[str, str]:
    figures = {name: plain(getattr(bar, name)) for name in order}
    return {"start": str(bar.open_time), **figures}


def _row(bar: Bar) -> list[float]:
    figures = (bar.low, bar.high, bar.open, bar.close, bar.volume)
    return [bar.open_time, *(float(figure) for figure in figures)]


def _iso(time: float, between: str) -> str:
    """Return RFC 3339 with nanoseconds."""
    nanos = int(time % 1 * 1e9)
    return f"{datetime.fromtimestamp(floor(time), UTC):%Y-%m-%d{between}%H:%M:%S}.{nanos:09d}Z"


def _time(text: str) -> float:
    """Return UNIX seconds from UNIX seconds or ISO 8601; without a zone it is UTC."""
    try:
        return float(text)
    except ValueError:
        time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _error() -> Send:
    return Send('{"type":"error","message":"authentication failure"}')


DIALECTS = (CoinbaseAdvancedTrade, CoinbaseExchange)
