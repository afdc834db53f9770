"""Binance spot, Binance.US, USD-M and COIN-M futures: cards binance and binance_futures.

Oddities: a symbol or interval that does not exist is confirmed like any other and never served;
a control message above 4096 bytes is dropped without an answer; one ill-formed stream name fails
the whole request. USD-M serves candles only below `/market`: unsplit paths confirm, and nothing
comes. COIN-M is not split; it counts contracts of 100 or 10 USD and gives the base volume in the
place of the quote volume; its history gives the latest rows of a range, of 200 days at most.

Where the cards say UNKNOWN, or contradict themselves:

* bars without trades, live: sent flat on `binance_spot` (recording of 2023), left out on
  `binance_us` (spot recording of 2021) and on both futures, where the recordings begin a bar
  with its first trade; in history: sent flat on all four;
* a request whose id is not allowed, or that is not JSON, gets the documented flat error;
* streams other than plain candles (trades, the `@+08:00` days) are confirmed and not served;
* a `limit` above the most is cut to it; other bad numbers get a made-up code −1;
* the weight of exchangeInfo: 20 units; on USD-M, connection attempts as on spot;
* the close code at the end of a connection's life is made up, and so are the 30 s from the notice
  of a shutdown to the close (the card: "reconnect at once"), on futures the notice itself;
* a pair whose trading has ended: status `BREAK`, on futures `SETTLING`; its history stays;
* the keys `st` and `ps` of newer futures frames: sent on COIN-M, beside `k`;
* COIN-M's closing frames come up to 24 s late, as in a report; its weight is counted for itself;
* dated futures stand among COIN-M's instruments and have no candles here.

`timeUnit=MICROSECOND` is not spoken.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

import orjson

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
    Send,
    ServerPing,
    World,
    retry_header,
    text,
)
from connectors.sandbox.grid import DAY, steps
from connectors.sandbox.listing import COINS, UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import Bar

_STREAMS = 1_024  # a connection
_MESSAGE_BYTES = 4_096  # on the wire, head included
_FRAME_HEAD = 8  # of a client's message of 126 to 65535 bytes: 4, and 4 of mask
_WELL_FORMED = re.compile(r"!?[A-Za-z0-9_]+(@[A-Za-z0-9_+:.\-]+)*")
_CANDLES = re.compile(r"([a-z0-9_]+)@kline_(\w+)")
_STRING_ID = re.compile(r"[A-Za-z0-9]{1,36}")
_INVALID_STREAM = "Invalid request: invalid stream"
_USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
_INTERVALS = "1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M"


def _joined(base: str, quote: str) -> str:
    return base + quote


_ETH_BTC = Listing(
    "ETH-BTC",
    "ETHBTC",
    Decimal("0.03517"),
    Decimal("0.00001"),
    Decimal("0.001"),
    10,
    usual_trade=Decimal("0.01"),
)
_SHIB = Listing(
    "1000SHIB-USDT", "1000SHIBUSDT", Decimal("0.024710"), Decimal("0.000001"), Decimal(1), 8
)


@dataclass(frozen=True, slots=True)
class _Rest:
    """Where candles and instruments are, and what they cost."""

    candles: str
    instruments: str
    most: int
    weight: int
    rising: bool
    """Whether a request's weight rises with its limit (futures) or is always 2 (spot)."""
    longest: int | None = None
    """Seconds that a range may span; its latest rows win then. None: any, and its first win."""

    def weight_of(self, limit: int) -> int:
        if not self.rising:
            return 2
        return next((cost for most, cost in ((99, 1), (499, 2), (1_000, 5)) if limit <= most), 10)


_SPOT_REST = _Rest("/api/v3/klines", "/api/v3/exchangeInfo", 1_000, 6_000, rising=False)
_US_REST = _Rest("/api/v3/klines", "/api/v3/exchangeInfo", 1_000, 1_200, rising=False)
_USD_M_REST = _Rest("/fapi/v1/klines", "/fapi/v1/exchangeInfo", 1_500, 2_400, rising=True)
_COIN_M_REST = _Rest(
    "/dapi/v1/klines", "/dapi/v1/exchangeInfo", 1_500, 2_400, rising=True, longest=200 * DAY
)


class _Binance(Dialect):
    """What the three markets share."""

    figures = Figures(quote_volume=True, trades=True, taker=True)
    retry_after = True
    upcoming = listed("USDT", _joined, coins=UPCOMING)
    notice = 30.0
    ended: str
    """The status of a pair whose trading has ended."""
    rest: _Rest
    served = ""
    """The path below which candles are served over WebSocket."""
    digits: int | None = 8
    """Digits of every figure on the wire; None: as many as tick and lot have."""

    def __init__(self, messages: int) -> None:
        self.limits = Limits(
            attempts=Rate(300, 300),
            messages=Rate(messages, 1, per="connection"),
            control_frames=True,
            lifetime=24 * 3_600,
            rest={"weight": Rate(self.rest.weight, 60)},
        )

    # --- WebSocket

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept `/ws`, `/ws/<stream>` and `/stream?streams=a/b`."""
        match = re.fullmatch(r"((?:/\w+)?)/(ws|stream)(?:/([^/]+))?/?", request.path)
        if match is None or match[1] not in {"", self.served, "/public"}:
            return HttpReply("Not Found", 404)
        combined = match[2] == "stream"
        names = request.query.get("streams", "").split("/") if combined else [match[3]]
        conversation = BinanceConversation(self, combined=combined, deaf=match[1] != self.served)
        conversation.asked_by_url = [name for name in names if name]
        return conversation

    def cadence(self, interval: str) -> float:
        """Return 1 s for the 1s interval, else 2 s."""
        return 1.0 if interval == "1s" else 2.0

    def allows_id(self, name: object) -> bool:
        """Return whether a request may have this id."""
        if isinstance(name, str):
            return _STRING_ID.fullmatch(name) is not None
        return name is None or (isinstance(name, int) and abs(name) < 2**63)

    def candle(self, bar: Bar, listing: Listing, interval: str, *, closed: bool) -> object:
        """Return the object `k` of a frame."""
        volume, quote, taker, taker_quote = self.amounts(bar, listing)
        price = self._price_digits(listing)
        return {
            "t": bar.open_ms,
            "T": bar.last_ms,
            "s": listing.symbol,
            "i": interval,
            "f": bar.first_trade if bar.trades else -1,
            "L": bar.first_trade + bar.trades - 1 if bar.trades else -1,
            "o": text(bar.open, price),
            "c": text(bar.close, price),
            "h": text(bar.high, price),
            "l": text(bar.low, price),
            "v": volume,
            "n": bar.trades,
            "x": closed,
            "q": quote,
            "V": taker,
            "Q": taker_quote,
            "B": "0",
        }

    def event(self, listing: Listing) -> Mapping[str, object]:
        """Return what a frame has beside its event and its candle."""
        return {}

    def amounts(self, bar: Bar, listing: Listing) -> tuple[str, str, str, str]:
        """Return `v`, `q`, `V` and `Q`: volume, quote volume, and both of the taker's buys."""
        amount = _digits(listing.lot) if self.digits is None else self.digits
        money = _digits(listing.tick) + amount if self.digits is None else self.digits
        base, quote = (bar.volume, bar.taker_volume), (bar.quote_volume, bar.taker_quote_volume)
        volume, taker = (text(figure, amount) for figure in base)
        turnover, taker_turnover = (text(figure, money) for figure in quote)
        return volume, turnover, taker, taker_turnover

    def _price_digits(self, listing: Listing) -> int:
        return _digits(listing.tick) if self.digits is None else self.digits

    # --- HTTP

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        if request.method == "GET" and request.path == self.rest.candles:
            return self._candles(request, world)
        if request.method == "GET" and request.path == self.rest.instruments:
            return self._instruments(request, world)
        return HttpReply("Not Found", 404)

    def _candles(self, request: HttpRequest, world: World) -> HttpReply:
        query = request.query
        listing = world.market.symbols.get(query.get("symbol", ""))
        if listing is None:
            return self._error(-1121, "Invalid symbol.")
        interval = query.get("interval", "")
        if interval not in self.intervals:
            return self._error(-1120, "Invalid interval.")
        try:
            bounds = [
                int(query[name]) if name in query else None for name in ("startTime", "endTime")
            ]
            limit = min(int(query.get("limit", "500")), self.rest.most)
        except ValueError:
            return self._error(-1, "Bad parameter.")
        if limit < 1:
            return self._error(-1, "Bad parameter.")
        if self._too_long(bounds):
            return self._error(-4088, "Maximum time interval is 200 days.")
        bars = self._page(world, (listing.trading_pair, interval), bounds, limit)
        return HttpReply(
            [self._row(bar, listing) for bar in bars],
            charges=(Charge("weight", self.rest.weight_of(limit)),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="",
        )

    def _page(
        self, world: World, asked: tuple[str, str], bounds: list[int | None], limit: int
    ) -> list[Bar]:
        """Return rows from the start up; without a start, the latest up to the end."""
        first, last = bounds
        now, market = world.now.market, world.market
        until = now if last is None else last / 1_000
        if self.rest.longest is not None:
            return self._latest(world, asked, bounds, limit)
        if first is None:
            return market.latest(*asked, until, now, limit)
        bars = market.bars(*asked, first / 1_000, until, now)
        return [bar for bar, _ in zip(bars, range(limit), strict=False)]

    def _latest(
        self, world: World, asked: tuple[str, str], bounds: list[int | None], limit: int
    ) -> list[Bar]:
        """Return the latest rows of a range that is as long as it may be, where one bound lacks."""
        now, longest = world.now.market, self.rest.longest or 0
        first, last = (None if bound is None else bound / 1_000 for bound in bounds)
        until = last if last is not None else now if first is None else first + longest
        since = first if first is not None else 0 if last is None else last - longest
        bars = world.market.backwards(*asked, since, until, now)
        return [bar for bar, _ in zip(bars, range(limit), strict=False)][::-1]

    def _too_long(self, bounds: list[int | None]) -> bool:
        first, last = bounds
        if self.rest.longest is None or first is None or last is None:
            return False
        return last - first > self.rest.longest * 1_000

    def _row(self, bar: Bar, listing: Listing) -> list[object]:
        volume, quote, taker, taker_quote = self.amounts(bar, listing)
        price = self._price_digits(listing)
        return [
            bar.open_ms,
            text(bar.open, price),
            text(bar.high, price),
            text(bar.low, price),
            text(bar.close, price),
            volume,
            bar.last_ms,
            quote,
            bar.trades,
            taker,
            taker_quote,
            "0",
        ]

    def _instruments(self, request: HttpRequest, world: World) -> HttpReply:
        listings = tuple(world.market.listings.values())
        if "symbol" in request.query:
            one = world.market.symbols.get(request.query["symbol"])
            if one is None:
                return self._error(-1121, "Invalid symbol.")
            listings = (one,)
        body = {
            "timezone": "UTC",
            "serverTime": world.told.millis,
            "rateLimits": [_weight_limit(self.rest.weight)],
            "exchangeFilters": [],
            "symbols": [
                row
                for listing in listings
                for row in self.instruments(listing, self._status(listing, world))
            ],
        }
        return HttpReply(body, charges=(Charge("weight", 20),))

    def _status(self, listing: Listing, world: World) -> str:
        return "TRADING" if world.market.trades(listing.trading_pair) else self.ended

    def instrument(self, listing: Listing, status: str) -> Mapping[str, object]:
        """Return one symbol of exchangeInfo."""
        return {
            "symbol": listing.symbol,
            "status": status,
            "baseAsset": listing.base,
            "baseAssetPrecision": 8,
            "quoteAsset": listing.quote,
            "quotePrecision": 8,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": True,
        }

    def instruments(self, listing: Listing, status: str) -> Iterable[Mapping[str, object]]:
        """Return the rows of exchangeInfo that stand for one listing."""
        return (self.instrument(listing, status),)

    def _error(self, code: int, message: str) -> HttpReply:
        return HttpReply({"code": code, "msg": message}, 400)

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429 with code −1003."""
        message = (
            f"Too much request weight used; current limit is {self.rest.weight} request weight "
            "per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return HttpReply({"code": -1003, "msg": message}, 429, retry_header(retry_after))

    def banned(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 418, which names the end of the ban."""
        until = world.told.millis + (retry_after or 120) * 1_000
        message = (
            f"Way too much request weight used; IP banned until {until}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        return HttpReply({"code": -1003, "msg": message}, 418, retry_header(retry_after))

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Tell the weight used in the last minute."""
        return {_USED_WEIGHT: str(used)}


class BinanceSpot(_Binance):
    """`binance_spot`."""

    market = "binance_spot"
    intervals = steps(f"1s {_INTERVALS}")
    listings = (*listed("USDT", _joined), _ETH_BTC)
    quiet = Quiet(stream=True, history=True)
    closing = Closing(delay=(0.0, 2.0))
    server_ping = ServerPing(every=20, patience=60)
    rest = _SPOT_REST
    ended = "BREAK"

    def __init__(self) -> None:
        super().__init__(messages=5)


class BinanceUs(BinanceSpot):
    """`binance_us`: older heartbeat, less weight, fewer keys of instruments."""

    market = "binance_us"
    listings = (*listed("USDT", _joined), *listed("USD", _joined)[:3])
    quiet = Quiet(stream=False, history=True)
    server_ping = ServerPing(every=180, patience=600)
    rest = _US_REST

    def instrument(self, listing: Listing, status: str) -> Mapping[str, object]:
        """Return one symbol of exchangeInfo."""
        return {
            "symbol": listing.symbol,
            "status": status,
            "baseAsset": listing.base,
            "quoteAsset": listing.quote,
            "isSpotTradingAllowed": True,
        }


class BinancePerpetual(_Binance):
    """`binance_perpetual`: USD-M, split by data class since 2026."""

    market = "binance_perpetual"
    intervals = steps(_INTERVALS)
    listings = (*listed("USDT", _joined), _SHIB)
    quiet = Quiet(stream=False, history=True)
    closing = Closing(delay=(0.2, 2.0), overlaps=True)
    server_ping = ServerPing(every=180, patience=600)
    rest = _USD_M_REST
    served = "/market"
    ended = "SETTLING"
    digits = None

    def __init__(self) -> None:
        super().__init__(messages=10)

    def cadence(self, interval: str) -> float:
        """Return 250 ms."""
        return 0.25

    def allows_id(self, name: object) -> bool:
        """Return whether it is an unsigned integer, as documented here."""
        return isinstance(name, int) and not isinstance(name, bool) and 0 <= name < 2**64

    def instrument(self, listing: Listing, status: str) -> Mapping[str, object]:
        """Return one symbol of exchangeInfo."""
        return {
            "symbol": listing.symbol,
            "pair": listing.symbol,
            "contractType": "PERPETUAL",
            "deliveryDate": 4_133_404_800_000,
            "onboardDate": 1_569_398_400_000,
            "status": status,
            "baseAsset": listing.base,
            "quoteAsset": listing.quote,
            "marginAsset": listing.quote,
            "pricePrecision": _digits(listing.tick),
            "quantityPrecision": _digits(listing.lot),
            "underlyingType": "COIN",
        }


_CONTRACTS = {"BTC": Decimal(100)}
_CONTRACT = Decimal(10)
"""USD a contract: 100 of BTC, 10 of the others, as recorded."""


def contract_size(base: str) -> Decimal:
    """Return the USD of one COIN-M contract."""
    return _CONTRACTS.get(base, _CONTRACT)


def _coin_m(coins: tuple[Coin, ...]) -> tuple[Listing, ...]:
    """Return listings whose every trade is whole contracts."""
    lots = {coin.name: str(contract_size(coin.name) / Decimal(coin.tick)) for coin in coins}
    return listed("USD", "{}{}_PERP".format, lots=lots, coins=coins)


class BinanceCoinM(BinancePerpetual):
    """`binance_coinm`: margined in coins, counted in contracts of whole dollars."""

    market = "binance_coinm"
    listings = _coin_m(COINS)
    upcoming = _coin_m(UPCOMING)
    figures = Figures(trades=True, taker=True, taker_quote=False)
    closing = Closing(delay=(0.2, 24.0), overlaps=True)
    rest = _COIN_M_REST
    served = ""

    def amounts(self, bar: Bar, listing: Listing) -> tuple[str, str, str, str]:
        """Return contracts, base volume, and both of the taker's buys."""
        size = contract_size(listing.base)
        contracts, taker = (
            text(figure / size, 0) for figure in (bar.quote_volume, bar.taker_quote_volume)
        )
        return contracts, text(bar.volume, 8), taker, text(bar.taker_volume, 8)

    def event(self, listing: Listing) -> Mapping[str, object]:
        """Return the keys of the integration of 2026: 2 for COIN-M, and the pair."""
        return {"st": 2, "ps": f"{listing.base}{listing.quote}"}

    def instruments(self, listing: Listing, status: str) -> Iterable[Mapping[str, object]]:
        """Return the perpetual, and of BTC a dated future, too."""
        row = self.instrument(listing, status)
        yield row
        if listing.base == "BTC":
            dated = {"symbol": "BTCUSD_261225", "contractType": "CURRENT_QUARTER"}
            yield {**row, **dated, "deliveryDate": 1_798_185_600_000}

    def instrument(self, listing: Listing, status: str) -> Mapping[str, object]:
        """Return one symbol of exchangeInfo, whose status has another name here."""
        return {
            "symbol": listing.symbol,
            "pair": f"{listing.base}{listing.quote}",
            "contractType": "PERPETUAL",
            "deliveryDate": 4_133_404_800_000,
            "onboardDate": 1_597_042_800_000,
            "contractStatus": status,
            "contractSize": int(contract_size(listing.base)),
            "marginAsset": listing.base,
            "baseAsset": listing.base,
            "quoteAsset": listing.quote,
            "pricePrecision": _digits(listing.tick),
            "quantityPrecision": 0,
        }


class BinanceConversation(Conversation):
    """One connection. `combined`: frames come in an envelope. `deaf`: nothing is served here."""

    def __init__(self, dialect: _Binance, *, combined: bool, deaf: bool) -> None:
        super().__init__()
        self.asked_by_url: list[str] = []
        self._dialect = dialect
        self._combined = combined
        self._deaf = deaf
        self._streams: dict[str, None] = {}

    def opened(self, world: World) -> Iterable[Action]:
        """Serve the streams that the address names, without a confirmation."""
        if too_many := self._too_many(self.asked_by_url):
            return (too_many, Close(1008, "Too many subscriptions"))
        self._subscribe(self.asked_by_url, world)
        return ()

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a control message."""
        size = len(frame if isinstance(frame, bytes) else frame.encode()) + _FRAME_HEAD
        if size > _MESSAGE_BYTES:
            return (Overstep("message bytes", _MESSAGE_BYTES, size),)
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return (_flat_error("Invalid request: not JSON"),)
        if not isinstance(request, dict) or "method" not in request:
            return (_flat_error("Invalid request: missing field `method` at line 1 column 73"),)
        if not self._dialect.allows_id(request.get("id")):
            return (_flat_error("Invalid request: invalid id"),)
        return self._method(request, world)

    def _method(self, request: Mapping[str, object], world: World) -> Iterable[Action]:
        name, params = request.get("id"), request.get("params")
        match request["method"], params:
            case "SUBSCRIBE", list():
                return self._asked(name, params, world)
            case "UNSUBSCRIBE", list():
                self._unsubscribe(params)
                return (_result(name, None),)
            case "LIST_SUBSCRIPTIONS", _:
                return (_result(name, list(self._streams)),)
            case "SET_PROPERTY", ["combined", bool() as combined]:
                self._combined = combined
                return (_result(name, None),)
            case _:
                return (_error(name, 2, "Invalid request: unknown method or bad params"),)

    def _asked(self, request_id: object, params: list[object], world: World) -> Iterable[Action]:
        if not all(isinstance(param, str) and _WELL_FORMED.fullmatch(param) for param in params):
            return (_error(request_id, 2, _INVALID_STREAM),)
        names = cast("list[str]", params)
        if any(world.refuses(*named) for name in names if (named := self._named(name, world))):
            return (_error(request_id, 2, _INVALID_STREAM),)
        if too_many := self._too_many(names):
            return (too_many, _error(request_id, 4, "Too many subscriptions"))
        self._subscribe(names, world)
        return (_result(request_id, None),)

    def _too_many(self, names: list[str]) -> Overstep | None:
        seen = len(self._streams.keys() | set(names))
        return Overstep("subscriptions", _STREAMS, seen) if seen > _STREAMS else None

    def _subscribe(self, names: list[str], world: World) -> None:
        for name in names:
            named = self._named(name, world)
            if name not in self._streams and named is not None and not self._deaf:
                self.channels[name] = Channel(name, *named, since=world.now.market)
            self._streams[name] = None

    def _named(self, name: str, world: World) -> tuple[str, str] | None:
        """Return the pair and interval that a stream name means, if there are such."""
        match = _CANDLES.fullmatch(name)
        listing = world.market.symbols.get(match[1].upper()) if match else None
        if match is None or listing is None or match[2] not in self._dialect.intervals:
            return None
        return listing.trading_pair, match[2]

    def _unsubscribe(self, names: list[object]) -> None:
        for name in names:
            self._streams.pop(str(name), None)
            self.channels.pop(str(name), None)

    def leaving(self, world: World) -> Iterable[Action]:
        """Tell that the server shuts down."""
        event = {"e": "serverShutdown", "E": world.told.millis}
        return (_send({"stream": "!serverShutdown", "data": event} if self._combined else event),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Return the frame, bare or in its envelope."""
        listing = world.market.listing(push.channel.trading_pair)
        frame: object = {
            "e": "kline",
            "E": world.told.millis,
            "s": listing.symbol,
            **self._dialect.event(listing),
            "k": self._dialect.candle(push.bar, listing, push.channel.interval, closed=push.closed),
        }
        if self._combined:
            frame = {"stream": push.channel.name, "data": frame}
        return (orjson.dumps(frame).decode(),)


def _digits(step: Decimal) -> int:
    """Return how many digits after the point a step has: 2 for 0.01."""
    return max(0, -int(step.normalize().as_tuple().exponent))


def _weight_limit(weight: int) -> Mapping[str, object]:
    return {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": weight,
    }


def _send(message: object) -> Send:
    return Send(orjson.dumps(message).decode())


def _result(request_id: object, result: object) -> Send:
    return _send({"result": result, "id": request_id})


def _error(request_id: object, code: int, message: str) -> Send:
    return _send({"error": {"code": code, "msg": message}, "id": request_id})


def _flat_error(message: str) -> Send:
    return _send({"code": 2, "msg": message})


DIALECTS = (BinanceSpot, BinanceUs, BinancePerpetual, BinanceCoinM)
