"""BitMEX's perpetuals, as it speaks: card bitmex.

Oddities: `timestamp` is a bin's close, live and in history, and bounds of history are compared
with it. A bin opens where the one before closed, even outside of its own high and low. Only closed
bins are sent, once, a moment after their end; those without trades, too, with null for `vwap` and
`lastSize`. Volume counts contracts; `homeNotional` is base and `foreignNotional` is quote, and for
a quanto contract both are computed, with long tails. A topic without a symbol means all of them.
The heartbeat is the text `ping`, answered by the text `pong`.

What the card calls UNKNOWN or leaves out, and what is done here:

* One bad topic, or one that is held already, sinks its whole request, and the first such one is
  named in the error's text alone. An unknown symbol is confirmed, its partial is empty, and
  nothing follows; so is one whose trading has ended.
* The partial has the last two closed bins of each symbol and comes after all confirmations.
* A bin comes up to 4 s after its end, and is not sent again when it changed.
* Who sends nothing for 60 s is closed.
* 40 new connections an hour, which the welcome counts down, and 720 requests an hour (quoted
  elsewhere), beyond which each is refused with 429; pings do not count.
* An unknown symbol of REST has no bins, without an error. More than 1000 bins are an error.
* Instruments: those that trade, and of other kinds one each; keys of the card, values of ccxt
  4.5.64 as far as they are there. Multipliers of others than XBTUSDT are made up.

Contracts of XBTUSD are 1 USD, so its trades are whole dollars a coin and whole coins here. The
contracts of ETHUSD are no fixed part of a coin really; here they are. Left out: subscribing by
address, which is unconfirmed, and tables other than bins.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from math import ceil, floor
from typing import Any

from connectors.sandbox.budget import Window
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
    World,
    plain,
    retry_header,
)
from connectors.sandbox.grid import steps
from connectors.sandbox.listing import COINS, UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import FIRST_OPEN, Bar
from connectors.sandbox.shared_frames import send
from connectors.sandbox.shared_requests import Refused, number, understood, whole, written

SILENCE = 60.0
"""Real seconds without a message of the client until it is closed; made up."""

_CONNECTIONS, _REQUESTS = Rate(40, 3_600), Rate(720, 3_600)
_POOL = Rate(30, 60)
_USUAL, _MOST = 100, 1_000
_PARTIAL = 2  # bins of a symbol
_INTERVALS = steps("1m 5m 1h 1d")
_TABLES = {f"tradeBin{interval}": interval for interval in _INTERVALS}
_SATOSHI = 1e-8

_TYPES = {
    "timestamp": "timestamp",
    "symbol": "symbol",
    "open": "float",
    "high": "float",
    "low": "float",
    "close": "float",
    "trades": "long",
    "volume": "long",
    "vwap": "float",
    "lastSize": "long",
    "turnover": "long",
    "homeNotional": "float",
    "foreignNotional": "float",
}

# --- contracts


def _name(base: str, quote: str) -> str:
    return f"{'XBT' if base == 'BTC' else base}{quote}"


def _linear(coins: tuple[Coin, ...]) -> tuple[Listing, ...]:
    return tuple(
        replace(listing, opens_at_last_close=True)
        for listing in listed("USDT", _name, lots={"BTC": "0.001"}, coins=coins)
    )


_INVERSE = Listing(
    "BTC-USD",
    "XBTUSD",
    Decimal(97250),
    Decimal(1),
    Decimal(1),
    20,
    opens_at_last_close=True,
)
_QUANTO = Listing(
    "ETH-USD",
    "ETHUSD",
    Decimal("3420.00"),
    Decimal("0.05"),
    Decimal("0.025"),
    20,
    opens_at_last_close=True,
)
_QUANTO_CONTRACTS = 40  # a coin; made up


def _multiplier(listing: Listing) -> int:
    """Return how many contracts of a linear one are a coin."""
    return 1_000_000 if listing.base == "BTC" else 10_000


def _sizes(bar: Bar, listing: Listing) -> tuple[Decimal, Decimal, float | Decimal, float | Decimal]:
    """Return contracts, turnover in the least unit, base and quote."""
    if listing is _INVERSE:
        satoshis = bar.volume * 10**8
        return bar.quote_volume, satoshis, int(satoshis) * _SATOSHI, bar.quote_volume
    if listing is _QUANTO:
        satoshis = bar.quote_volume * _QUANTO_CONTRACTS * 100
        contracts = bar.volume * _QUANTO_CONTRACTS
        return contracts, satoshis, _computed(bar.volume), _computed(bar.quote_volume)
    contracts = bar.volume * _multiplier(listing)
    return contracts, bar.quote_volume * 10**6, bar.volume, bar.quote_volume


def _computed(value: Decimal) -> float:
    """Return a figure as one that went through satoshis, with what floats make of it."""
    return float(value) / _SATOSHI * _SATOSHI


def _printed(value: float | Decimal) -> object:
    return number(plain(value)) if isinstance(value, Decimal) else value


def _bin(bar: Bar, listing: Listing) -> dict[str, object]:
    """Return a bin as it is sent, live and in history."""
    contracts, turnover, home, foreign = _sizes(bar, listing)
    vwap = round(bar.quote_volume / bar.volume, 4) if bar.volume else None
    return {
        "timestamp": _iso(bar.close_time),
        "symbol": listing.symbol,
        "open": _printed(bar.open),
        "high": _printed(bar.high),
        "low": _printed(bar.low),
        "close": _printed(bar.close),
        "trades": bar.trades,
        "volume": int(contracts),
        "vwap": None if vwap is None else _printed(vwap),
        "lastSize": 100 if bar.trades else None,
        "turnover": int(turnover),
        "homeNotional": _printed(home) if bar.trades else 0,
        "foreignNotional": _printed(foreign) if bar.trades else 0,
    }


def _iso(time: float) -> str:
    seconds = floor(time)
    millis = int((time - seconds) * 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


# --- WebSocket


class BitmexConversation(Conversation):
    """One connection. Channels are named by their topics."""

    def __init__(self, requests: Window, remaining: int, world: World) -> None:
        super().__init__()
        self._requests = requests
        self._remaining = remaining
        self._held: dict[str, None] = {}
        self._heard(world)

    def opened(self, world: World) -> Iterable[Action]:
        """Welcome the client."""
        welcome = {
            "info": "Welcome to the BitMEX Realtime API.",
            "version": "2021-07-14T01:26:29.000Z",
            "timestamp": _iso(world.told.market),
            "docs": "https://www.bitmex.com/app/wsAPI",
            "limit": {"remaining": self._remaining},
        }
        return (send(welcome),)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer `ping`, or a request."""
        self._heard(world)
        if frame == "ping":
            return (Send("pong"),)
        asked = understood(frame) or {}
        if not self._requests.take(1, world.now.market):
            allowed = self._requests.rate.allowed
            limited = _error(429, "Rate limit exceeded, retry in 1 seconds.", asked, retryAfter=1)
            return Overstep("requests an hour", allowed, self._requests.used + 1), limited
        args = asked.get("args")
        topics = [args] if isinstance(args, str) else args
        if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
            return (_error(400, "Malformed request", asked),)
        match asked.get("op"):
            case "subscribe":
                return self._subscribe(topics, asked, world)
            case "unsubscribe":
                return self._unsubscribe(topics, asked)
        return (_error(400, f"Unknown op: {asked.get('op')}", asked),)

    def tick(self, world: World) -> Iterable[Action]:
        """Close a connection whose client is silent."""
        self.due = None
        return (Close(),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Return a bin once it is closed; nothing before."""
        if not push.closed:
            return ()
        listing = world.market.listing(push.channel.trading_pair)
        table, data = f"tradeBin{push.channel.interval}", [_bin(push.bar, listing)]
        return (written({"table": table, "action": "insert", "data": data}),)

    def _subscribe(self, topics: list[str], asked: Mapping[str, Any], world: World) -> list[Action]:
        for topic in topics:
            if refused := self._refused(topic, world):
                return [_error(400, refused, asked)]
        confirmed: list[Action] = []
        for topic in topics:
            self._held[topic] = None
            self._serve(topic, world)
            confirmed.append(send({"success": True, "subscribe": topic, "request": asked}))
        return confirmed + [self._partial(topic, world) for topic in topics]

    def _refused(self, topic: str, world: World) -> str | None:
        """Return why a topic is refused, or None."""
        table = topic.partition(":")[0]
        refused = any(
            world.refuses(pair, _TABLES[table])
            for pair in (_meant(topic, world) if table in _TABLES else ())
        )
        if table not in _TABLES or refused:
            return f"Unknown table: {table}"
        return f"Already subscribed: {topic}" if topic in self._held else None

    def _serve(self, topic: str, world: World) -> None:
        table = topic.partition(":")[0]
        for pair in _meant(topic, world):
            name = f"{table}:{world.market.listing(pair).symbol}"
            if name not in self.channels and world.market.trades(pair):
                self.channels[name] = Channel(name, pair, _TABLES[table], world.now.market)

    def _unsubscribe(self, topics: list[str], asked: Mapping[str, Any]) -> list[Action]:
        for topic in topics:
            self._held.pop(topic, None)
        for name in list(self.channels):
            if name not in self._held and name.partition(":")[0] not in self._held:
                del self.channels[name]
        return [send({"success": True, "unsubscribe": topic, "request": asked}) for topic in topics]

    def _partial(self, topic: str, world: World) -> Action:
        table, _, symbol = topic.partition(":")
        data = [
            _bin(bar, world.market.listing(pair))
            for pair in _meant(topic, world)
            for bar in _last_closed(pair, _TABLES[table], world)
        ]
        partial = {
            "table": table,
            "action": "partial",
            "keys": [],
            "types": _TYPES,
            "foreignKeys": {"symbol": "instrument"},
            "attributes": {"timestamp": "sorted", "symbol": "grouped"},
            "filter": {"symbol": symbol} if symbol else {},
            "data": data,
        }
        return send(partial)

    def _heard(self, world: World) -> None:
        self.due = world.now.real + SILENCE


def _meant(topic: str, world: World) -> list[str]:
    """Return the pairs that a topic means: all of them where it names no symbol."""
    symbol = topic.partition(":")[2]
    if not symbol:
        return list(world.market.listings)
    listing = world.market.symbols.get(symbol)
    return [] if listing is None else [listing.trading_pair]


def _last_closed(pair: str, interval: str, world: World) -> Iterator[Bar]:
    now = world.now.market
    for bar in world.market.latest(pair, interval, now, now, _PARTIAL + 1):
        if bar.final and not world.skips(pair, interval, bar.open_time):
            yield bar


def _error(status: int, text: str, asked: Mapping[str, Any], **meta: int) -> Action:
    return send({"status": status, "error": text, "meta": meta, "request": asked})


# --- REST


class BitmexPerpetual(Dialect):
    """`bitmex_perpetual`: an inverse, a quanto and linear contracts."""

    market = "bitmex_perpetual"
    intervals = _INTERVALS
    listings = (_INVERSE, _QUANTO, *_linear(COINS))
    upcoming = _linear(UPCOMING)
    figures = Figures(quote_volume=True, trades=True)
    quiet = Quiet(stream=True, history=True)
    closing = Closing(delay=(0.2, 4.0))
    opens_with_current = False
    retry_after = True
    limits = Limits(attempts=_CONNECTIONS, rest={"requests": _POOL})

    def __init__(self) -> None:
        self._connected = Window(_CONNECTIONS)
        self._requests = Window(_REQUESTS)

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/realtime":
            return HttpReply("Not Found", 404)
        self._connected.take(1, world.now.market)
        remaining = _CONNECTIONS.allowed - self._connected.used
        return BitmexConversation(self._requests, remaining, world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer bins and instruments."""
        if request.method == "GET" and request.path == "/api/v1/instrument/active":
            return HttpReply(_instruments(world), charges=_COST)
        if request.method != "GET" or request.path != "/api/v1/trade/bucketed":
            return _problem("Not Found", 404)
        try:
            return self._bins(request.query, world)
        except Refused as refused:
            return refused.reply

    def _bins(self, query: Mapping[str, str], world: World) -> HttpReply:
        interval, symbol = query.get("binSize", "1m"), query.get("symbol", "")
        if interval not in self.intervals or not symbol:
            raise Refused(_problem("binSize or symbol is invalid"))
        count = whole(query, "count", _problem("count is invalid"))
        skipped = whole(query, "start", _problem("start is invalid")) or 0
        if count is not None and not 1 <= count <= _MOST:
            raise Refused(_problem("Maximum result count is 1000"))
        listing = world.market.symbols.get(symbol)
        if listing is None:
            return HttpReply([], charges=_COST)
        bars = _between(query, (listing.trading_pair, interval), world)
        page = islice(bars, skipped, skipped + (_USUAL if count is None else count))
        return HttpReply(
            [_bin(bar, listing) for bar in page],
            charges=_COST,
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="",
        )

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429."""
        error = {"message": "Rate limit exceeded, retry in 1 seconds.", "name": "HTTPError"}
        return HttpReply({"error": error}, 429, retry_header(retry_after))

    def banned(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 403."""
        error = {"message": "Access Denied", "name": "HTTPError"}
        return HttpReply({"error": error}, 403, retry_header(retry_after))

    def server_error(self, world: World) -> HttpReply:
        """Return HTTP 503."""
        error = {"message": "The system is currently overloaded.", "name": "HTTPError"}
        return HttpReply({"error": error}, 503)

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Tell what is left of the minute."""
        return {
            "x-ratelimit-limit": str(_POOL.allowed),
            "x-ratelimit-remaining": str(max(0, _POOL.allowed - used)),
            "x-ratelimit-reset": str(ceil(world.told.market + _POOL.seconds)),
        }


_COST = (Charge("requests", 1),)


def _between(query: Mapping[str, str], asked: tuple[str, str], world: World) -> Iterator[Bar]:
    """Yield the bins whose close lies between the bounds, in the order that is asked for."""
    length, now = _INTERVALS[asked[1]].seconds, world.now.market
    first, last = (_time(query, name) for name in ("startTime", "endTime"))
    opens = FIRST_OPEN if first is None else first - length
    until = now if last is None else last - length
    backwards, running = (query.get(name) == "true" for name in ("reverse", "partial"))
    read = world.market.backwards if backwards else world.market.bars
    return (bar for bar in read(*asked, opens, until, now) if bar.final or running)


def _time(query: Mapping[str, str], name: str) -> float | None:
    """Return UNIX seconds from ISO 8601; without a zone it is UTC."""
    if name not in query:
        return None
    try:
        time = datetime.fromisoformat(query[name])
    except ValueError:
        raise Refused(_problem(f"{name} is invalid")) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _problem(message: str, status: int = 400) -> HttpReply:
    error = {"message": message, "name": "HTTPError"}
    return HttpReply({"error": error}, status, charges=_COST)


_OTHER_KINDS: tuple[dict[str, object], ...] = (
    {
        "symbol": "XBT_USDT",
        "rootSymbol": "XBT",
        "state": "Open",
        "typ": "IFXXXP",
        "underlying": "XBT",
        "quoteCurrency": "USDT",
        "settlCurrency": "",
        "underlyingToPositionMultiplier": 100_000_000,
        "isQuanto": False,
        "isInverse": False,
    },
    {
        "symbol": "XBTH26",
        "rootSymbol": "XBT",
        "state": "Open",
        "typ": "FFCCSX",
        "underlying": "XBT",
        "quoteCurrency": "USD",
        "settlCurrency": "XBt",
        "underlyingToPositionMultiplier": None,
        "isQuanto": False,
        "isInverse": True,
    },
)


def _instruments(world: World) -> list[dict[str, object]]:
    traded = [
        _instrument(listing)
        for pair, listing in world.market.listings.items()
        if world.market.trades(pair)
    ]
    return [*traded, *_OTHER_KINDS]


def _instrument(listing: Listing) -> dict[str, object]:
    inverse, quanto = listing is _INVERSE, listing is _QUANTO
    root = _name(listing.base, "")
    return {
        "symbol": listing.symbol,
        "rootSymbol": root,
        "state": "Open",
        "typ": "FFWCSX",
        "underlying": root,
        "quoteCurrency": listing.quote,
        "settlCurrency": "XBt" if inverse or quanto else "USDt",
        "underlyingToPositionMultiplier": None if inverse or quanto else _multiplier(listing),
        "isQuanto": quanto,
        "isInverse": inverse,
    }


DIALECTS = (BitmexPerpetual,)
