"""Kraken spot (WebSocket v2, REST) and Kraken Futures (charts by REST), as they speak: card kraken.

Oddities: the WebSocket's names are modern (`BTC/USD`), those of REST old (`XBTUSD`, `XXBTZUSD`),
and `wsname` of the instruments is good for neither; a reply's key is not always the name that was
asked for. Numbers of frames are JSON numbers with trailing zeros. A snapshot comes first; frames
come on trades alone, and none says that a bar is closed. After a refusal the socket lives on, with
heartbeats. REST fills bars without trades, has the newest 720 and the running one, and nothing
older; its errors come inside HTTP 200. Futures answer a bad resolution in plain text.

What the card calls UNKNOWN or leaves out, and what is done here:

* A snapshot has the last twelve closed bars, and by turns the running one, too. One frame carries
  the rows of all symbols of a request, after the confirmations.
* What is subscribed to already is refused with "Already subscribed", a text of WebSocket v1; so
  is, with made-up texts, what is not understood and the end of what was not begun.
* A pair whose trading has ended is `cancel_only`; it is confirmed, has its snapshot and is silent.
* Limits: 150 new connections in ten minutes (often quoted); ten REST requests in ten seconds, as
  a third party's one a second, beyond which two refusals come by turns.
* Weeks begin on Thursday, as multiples since 1970 do.
* Digits of Kraken's assets other than those recorded are made up; so are the asset ids of coins,
  but for BTC, DOGE, ETH and USD.
* Futures: bars without trades are missing; `from` is included and `to` is not; from a `from`
  alone on the oldest 2000 win, else the newest; an unknown symbol has no candles, without an
  error; a contract whose trading has ended is not `tradeable`; too many requests (ten in ten
  seconds) are HTTP 429 in plain text.

Left out: WebSocket v1, the undocumented candle feed of the futures, the lists of their charts,
and candles of the inverse contract, which stands among the instruments.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, islice
from math import floor

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
    text,
)
from connectors.sandbox.grid import DAY, Fixed, steps
from connectors.sandbox.listing import COINS, UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import send
from connectors.sandbox.shared_history import traded
from connectors.sandbox.shared_requests import Refused, digits, number, understood, whole

HEARTBEAT = 1.0
"""Real seconds without a frame until a heartbeat, on a connection with subscriptions."""

_SNAPSHOT = 12  # closed bars
_NEWEST = 721  # rows of REST, the running one among them
_VOLUME_DIGITS = 8
_CONNECTION_ID = 16_174_536_464_690_282_295  # more than 63 bits, as recorded
_COST = (Charge("requests", 1),)
_LIMITS = {"requests": Rate(10, 10)}

_SPOT_INTERVALS = steps("1m 5m 15m 30m 1h 4h 1d 15d") | {"1w": Fixed(7 * DAY)}
_FUTURES_INTERVALS = steps("1m 5m 15m 30m 1h 4h 12h 1d") | {"1w": Fixed(7 * DAY)}
_MINUTES = {grid.seconds // 60: name for name, grid in _SPOT_INTERVALS.items()}
_MINUTES_OF = {name: minutes for minutes, name in _MINUTES.items()}

# --- names

_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_ASSET_IDS = {"BTC": "XXBT", "DOGE": "XXDG", "ETH": "XETH", "USD": "ZUSD"}
_GLUED = ("BTC", "ETH")  # with USD or BTC these have keys of two asset ids


def _old(asset: str) -> str:
    return _OLD_NAMES.get(asset, asset)


def _asset_id(asset: str) -> str:
    return _ASSET_IDS.get(asset, asset)


def _altname(listing: Listing) -> str:
    return _old(listing.base) + _old(listing.quote)


def _key(listing: Listing) -> str:
    if listing.base in _GLUED and listing.quote in ("USD", "BTC"):
        return _asset_id(listing.base) + _asset_id(listing.quote)
    return _altname(listing)


_TICKS = {"BTC": "0.1", "DOGE": "0.0000001"}


def _pairs(quote: str, coins: tuple[Coin, ...]) -> tuple[Listing, ...]:
    ticked = tuple(replace(coin, tick=_TICKS.get(coin.name, coin.tick)) for coin in coins)
    lots = {coin.name: "0.00000001" for coin in coins}
    return listed(quote, "{}/{}".format, lots=lots, coins=ticked)


_ETH_BTC = Listing(
    "ETH-BTC",
    "ETH/BTC",
    Decimal("0.035170"),
    Decimal("0.000001"),
    Decimal("0.00000001"),
    10,
    usual_trade=Decimal("0.01"),
)


# --- spot: WebSocket


def _iso(time: float, places: int) -> str:
    """Return RFC 3339 with so many digits of a second."""
    seconds = floor(time)
    part = int((time - seconds) * 10**places)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{part:0{places}d}Z"


def _vwap(bar: Bar, places: int) -> str:
    return text(bar.quote_volume / bar.volume if bar.volume else Decimal(0), places)


def _row(bar: Bar, listing: Listing, interval: str) -> dict[str, object]:
    """Return one row of a frame."""
    places = digits(listing.tick)
    return {
        "symbol": listing.symbol,
        "open": number(text(bar.open, places)),
        "high": number(text(bar.high, places)),
        "low": number(text(bar.low, places)),
        "close": number(text(bar.close, places)),
        "trades": bar.trades,
        "volume": number(text(bar.volume, _VOLUME_DIGITS)),
        "vwap": number(_vwap(bar, places)),
        "interval_begin": _iso(bar.open_time, 9),
        "interval": _MINUTES_OF[interval],
        "timestamp": _iso(bar.close_time, 6),
    }


class KrakenConversation(Conversation):
    """One connection. Channels are named by interval and symbol, such as `1:BTC/USD`."""

    def __init__(self) -> None:
        super().__init__()
        self._ended: dict[str, None] = {}
        self._snapshots = count()

    def opened(self, world: World) -> Iterable[Action]:
        """Tell the system's status."""
        status = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": _CONNECTION_ID,
            "upcoming_maintenance": [],
            "emergency": [],
        }
        return (send({"channel": "status", "type": "update", "data": [status]}),)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, or each symbol of a subscription or its end for itself."""
        asked = understood(frame) or {}
        ident = {"req_id": asked["req_id"]} if isinstance(asked.get("req_id"), int) else {}
        times = {"time_in": _iso(world.told.market, 6), "time_out": _iso(world.told.market, 6)}
        self._heard(world)
        match asked:
            case {"method": "ping"}:
                return (send({"method": "pong", **ident, **times}),)
            case {
                "method": "subscribe" | "unsubscribe" as method,
                "params": {"channel": "ohlc", "symbol": list() as symbols},
            }:
                change = _Change(method, {**ident, **times}, asked["params"])
                return self._change(change, symbols, world)
        failed = _failure(str(asked.get("method")), "Malformed request")
        return (send({**failed, **ident, **times}),)

    def tick(self, world: World) -> Iterable[Action]:
        """Send a heartbeat."""
        self._heard(world)
        return (send({"channel": "heartbeat"}),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Return an update."""
        self._heard(world)
        listing = world.market.listing(push.channel.trading_pair)
        row = _row(push.bar, listing, push.channel.interval)
        return (_rows_frame("update", [row], world),)

    def _change(self, change: "_Change", symbols: list[object], world: World) -> list[Action]:
        if change.interval is None:
            failed = _failure(change.method, "Subscription ohlc interval not supported")
            return [send({**failed, **change.told})]
        alter = self._subscribe if change.method == "subscribe" else self._unsubscribe
        found = [(str(symbol), alter(str(symbol), change.interval, world)) for symbol in symbols]
        answers: list[Action] = [send(change.answer(symbol, refused)) for symbol, refused in found]
        served = [symbol for symbol, refused in found if refused is None]
        if change.snapshot and served:
            answers.append(Send(self._snapshot(served, change.interval, world)))
        self._heard(world)
        return answers

    def _subscribe(self, symbol: str, interval: str, world: World) -> str | None:
        """Return why a symbol is refused, or None."""
        name = f"{_MINUTES_OF[interval]}:{symbol}"
        listing = world.market.symbols.get(symbol)
        if "/" not in symbol:
            return f"Currency pair not in ISO 4217-A3 format {symbol}"
        if listing is None or world.refuses(listing.trading_pair, interval):
            return f"Currency pair not supported {symbol}"
        if name in self.channels or name in self._ended:
            return "Already subscribed"
        if world.market.trades(listing.trading_pair):
            pair = listing.trading_pair
            self.channels[name] = Channel(name, pair, interval, world.now.market)
        else:
            self._ended[name] = None
        return None

    def _unsubscribe(self, symbol: str, interval: str, world: World) -> str | None:
        name = f"{_MINUTES_OF[interval]}:{symbol}"
        if name not in self.channels and name not in self._ended:
            return "Subscription not found"
        self.channels.pop(name, None)
        self._ended.pop(name, None)
        return None

    def _snapshot(self, symbols: list[str], interval: str, world: World) -> Frame:
        rows: list[dict[str, object]] = []
        for symbol in symbols:
            listing = world.market.symbols[symbol]
            rows += [_row(bar, listing, interval) for bar in self._bars(listing, interval, world)]
        return _rows_frame("snapshot", rows, world)

    def _bars(self, listing: Listing, interval: str, world: World) -> list[Bar]:
        pair, now = listing.trading_pair, world.now.market
        bars = world.market.latest(pair, interval, now, now, _SNAPSHOT + 1)
        with_running = next(self._snapshots) % 2
        return [
            bar
            for bar in bars
            if bar.trades
            and (bar.final or with_running)
            and not world.skips(pair, interval, bar.open_time)
        ]

    def _heard(self, world: World) -> None:
        served = self.channels or self._ended
        self.due = world.now.real + HEARTBEAT if served else None


class _Change:
    """A subscription or its end: what its answers tell, and what it wishes."""

    def __init__(
        self, method: str, told: Mapping[str, object], wishes: Mapping[str, object]
    ) -> None:
        minutes = wishes.get("interval")
        self.method = method
        self.told = told
        self.interval = _MINUTES.get(minutes) if isinstance(minutes, int) else None
        self.snapshot = method == "subscribe" and wishes.get("snapshot", True) is True

    def answer(self, symbol: str, refused: str | None) -> dict[str, object]:
        """Return the confirmation of a symbol, or its refusal."""
        if refused is not None:
            return {**_failure(self.method, refused), "symbol": symbol, **self.told}
        result: dict[str, object] = {
            "channel": "ohlc",
            "interval": _MINUTES_OF[self.interval or ""],
        }
        if self.method == "subscribe":
            result["snapshot"] = self.snapshot
        result["symbol"] = symbol
        if self.method == "subscribe":
            result["warnings"] = ["timestamp is deprecated, use interval_begin"]
        return {"method": self.method, "result": result, "success": True, **self.told}


def _failure(method: str, why: str) -> dict[str, object]:
    return {"error": why, "method": method, "success": False}


def _rows_frame(kind: str, rows: list[dict[str, object]], world: World) -> str:
    frame = {
        "channel": "ohlc",
        "type": kind,
        "timestamp": _iso(world.told.market, 9),
        "data": rows,
    }
    return orjson.dumps(frame).decode()


# --- spot: REST


class KrakenSpot(Dialect):
    """`kraken_spot`."""

    market = "kraken_spot"
    intervals = _SPOT_INTERVALS
    listings = (*_pairs("USD", COINS), *_pairs("USDT", COINS[:2]), _ETH_BTC)
    upcoming = _pairs("USD", UPCOMING)
    figures = Figures(trades=True)
    quiet = Quiet(stream=False, history=True)
    opens_with_current = False  # the snapshot has it, or not
    limits = Limits(attempts=Rate(150, 600), rest=_LIMITS)

    def __init__(self) -> None:
        self._replies = count()
        self._refusals = count()

    def cadence(self, interval: str) -> float:
        """Return 0.1 s: there is a frame for each trade."""
        return 0.1

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/v2":
            return HttpReply("Not Found", 404)
        return KrakenConversation()

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles, pairs and assets; refuse inside HTTP 200."""
        routes: dict[str, Callable[[Mapping[str, str], World], HttpReply]] = {
            "/0/public/OHLC": self._candles,
            "/0/public/AssetPairs": _asset_pairs,
            "/0/public/Assets": _assets,
        }
        route = routes.get(request.path)
        if request.method != "GET" or route is None:
            return _error("EGeneral:Unknown method")
        try:
            return route(request.query, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing = _named(query.get("pair", ""), world)
        interval = _MINUTES.get(whole(query, "interval", _invalid("interval")) or 1)
        if listing is None:
            raise Refused(_error("EQuery:Unknown asset pair"))
        if interval is None:
            raise Refused(_invalid("interval"))
        since = whole(query, "since", _invalid("since")) or 0
        pair, now = listing.trading_pair, world.now.market
        bars = world.market.latest(pair, interval, now, now, _NEWEST)
        rows = [_rest_row(bar, listing) for bar in bars[:-1] if bar.open_time > since]
        rows += [_rest_row(bar, listing) for bar in bars[-1:]]
        last = bars[-2].open_time if len(bars) > 1 else 0
        key = listing.symbol if next(self._replies) % 2 else _key(listing)
        return HttpReply(
            {"error": [], "result": {key: rows, "last": last}},
            charges=_COST,
            trading_pair=pair,
            interval=interval,
            rows=f"result.{key}",
        )

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return one of the two refusals, inside HTTP 200."""
        turn = next(self._refusals) % 2
        return _error("EAPI:Rate limit exceeded" if turn else "EGeneral:Too many requests")

    def server_error(self, world: World) -> HttpReply:
        """Return the exchange's own words for trouble."""
        return _error("EService:Unavailable")


def _named(pair: str, world: World) -> Listing | None:
    """Return the pair that REST names so: the old name, the key, or the modern name."""
    for listing in world.market.listings.values():
        if pair in (_altname(listing), _key(listing), listing.symbol):
            return listing
    return None


def _rest_row(bar: Bar, listing: Listing) -> list[object]:
    places = digits(listing.tick)
    return [
        bar.open_time,
        *(text(price, places) for price in (bar.open, bar.high, bar.low, bar.close)),
        _vwap(bar, places),
        text(bar.volume, _VOLUME_DIGITS),
        bar.trades,
    ]


def _asset_pairs(_: Mapping[str, str], world: World) -> HttpReply:
    rows = {
        _key(listing): _asset_pair(listing, world) for listing in world.market.listings.values()
    }
    return HttpReply({"error": [], "result": rows}, charges=_COST)


def _asset_pair(listing: Listing, world: World) -> dict[str, object]:
    trades = world.market.trades(listing.trading_pair)
    return {
        "altname": _altname(listing),
        "wsname": f"{_old(listing.base)}/{_old(listing.quote)}",
        "aclass_base": "currency",
        "base": _asset_id(listing.base),
        "aclass_quote": "currency",
        "quote": _asset_id(listing.quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": digits(listing.tick),
        "lot_decimals": digits(listing.lot),
        "lot_multiplier": 1,
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": plain(listing.tick),
        "status": "online" if trades else "cancel_only",
        "execution_venue": "international",
    }


def _assets(_: Mapping[str, str], world: World) -> HttpReply:
    names = {name for pair in world.market.listings.values() for name in (pair.base, pair.quote)}
    rows = {_asset_id(name): {"altname": _old(name)} for name in sorted(names)}
    return HttpReply({"error": [], "result": rows}, charges=_COST)


def _error(said: str) -> HttpReply:
    return HttpReply({"error": [said], "result": None}, charges=_COST)


def _invalid(name: str) -> HttpReply:
    return _error(f"EGeneral:Invalid arguments:{name}")


# --- futures

_CHARTS = re.compile(r"/api/charts/v1/(trade|mark|spot)/(\w+)/(\w+)")
_MOST = 2_000


_FUTURES_COINS = (replace(COINS[0], tick="1"), *COINS[1:])


def _contract(base: str, quote: str) -> str:
    return f"PF_{_old(base)}{quote}"


class KrakenPerpetual(Dialect):
    """`kraken_perpetual`: linear perpetuals, by REST alone."""

    market = "kraken_perpetual"
    intervals = _FUTURES_INTERVALS
    listings = listed("USD", _contract, lots={"BTC": "0.0001"}, coins=_FUTURES_COINS)
    upcoming = listed("USD", _contract, coins=UPCOMING)
    figures = Figures()
    quiet = Quiet(stream=False, history=False)
    limits = Limits(rest=_LIMITS)
    streams = False

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Refuse: candles have no WebSocket here."""
        return HttpReply("Not Found", 404)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        match = _CHARTS.fullmatch(request.path)
        if request.method == "GET" and request.path == "/derivatives/api/v3/instruments":
            return HttpReply(_contracts(world), charges=_COST)
        if request.method != "GET" or match is None:
            return HttpReply("Not Found", 404)
        if match[3] not in self.intervals:
            return _plain_error("Invalid resolution")
        try:
            return _charts(match, request.query, world)
        except Refused as refused:
            return refused.reply

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429 in plain text."""
        return HttpReply("Too Many Requests", 429)


def _charts(asked: re.Match[str], query: Mapping[str, str], world: World) -> HttpReply:
    kind, symbol, interval = asked.groups()
    listing = world.market.symbols.get(symbol)
    if listing is None:
        return HttpReply({"candles": [], "more_candles": False}, charges=_COST)
    start, before = (whole(query, name, _plain_error(f"Invalid {name}")) for name in ("from", "to"))
    every = traded(world, (listing.trading_pair, interval), start, before)
    found = list(islice(every, _MOST + 1))
    bars = sorted(found[:_MOST], key=lambda bar: bar.open_time)
    return HttpReply(
        {
            "candles": [_chart(bar, traded_here=kind == "trade") for bar in bars],
            "more_candles": len(found) > _MOST,
        },
        charges=_COST,
        trading_pair=listing.trading_pair,
        interval=interval,
        rows="candles",
    )


def _chart(bar: Bar, *, traded_here: bool) -> dict[str, object]:
    return {
        "time": bar.open_ms,
        "open": plain(bar.open),
        "high": plain(bar.high),
        "low": plain(bar.low),
        "close": plain(bar.close),
        "volume": plain(bar.volume) if traded_here else "0",
    }


_INVERSE = {
    "symbol": "PI_XBTUSD",
    "type": "futures_inverse",
    "underlying": "rr_xbtusd",
    "tickSize": 0.5,
    "contractSize": 1,
    "tradeable": True,
    "openingDate": "2018-08-31T00:00:00Z",
    "contractValueTradePrecision": 0,
    "base": "BTC",
    "quote": "USD",
    "pair": "BTC:USD",
    "isExpired": False,
}
"""As recorded: a second contract with the same base and quote."""


def _contracts(world: World) -> dict[str, object]:
    rows = [_linear(listing, world) for listing in world.market.listings.values()]
    return {
        "result": "success",
        "instruments": [_INVERSE, *rows],
        "serverTime": _iso(world.told.market, 3),
    }


def _linear(listing: Listing, world: World) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "type": "flexible_futures",
        "tickSize": number(plain(listing.tick)),
        "contractSize": 1,
        "tradeable": world.market.trades(listing.trading_pair),
        "openingDate": "2022-03-22T13:15:36Z",
        "contractValueTradePrecision": digits(listing.lot),
        "base": listing.base,
        "quote": listing.quote,
        "pair": f"{listing.base}:{listing.quote}",
        "isExpired": False,
    }


def _plain_error(said: str) -> HttpReply:
    return HttpReply(said, 400, charges=_COST)


DIALECTS = (KrakenSpot, KrakenPerpetual)
