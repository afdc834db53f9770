"""KuCoin's classic sockets: `kucoin_spot` and `kucoin_perpetual`, from the card and recordings.

Oddities that a client meets here:

* A token must be fetched by POST before connecting; the reply names the WebSocket's address,
  which is this sandbox. Tokens hold `=`, are valid for 24 h, and only in their own market.
* The first frame is a welcome that repeats `connectId`. Pings are the client's duty: whoever
  sends nothing for 60 s is told `ping timeout` and closed at 60.5 s, data or no data.
* No frame says that a bar is closed, none is sent unasked after subscribing, and none for bars
  without trades; only the spot socket, when a trade comes after an empty bar, first adds that
  bar (volume 0). Spot's last frame of a bar may lack its last trades. Perpetuals push a bar's
  last state again up to 20.5 s of market time after its end.
* A topic with an unknown symbol is acknowledged and stays silent.
* Order of figures: open, close, high, low in streams and spot history; open, high, low, close in
  perpetual history, which is oldest first, in milliseconds and in numbers.
* Errors of REST come inside HTTP 200. Bars without trades are missing in history.

What the card calls UNKNOWN or disputed, and what is done here:

* Unknown spot symbols, unknown intervals, and topics joined by commas on spot: acknowledged, then
  silent. Spot `1month` live (one source): likewise.
* A pair whose trading has ended: `enableTrading` false, on perpetuals the status `Closed`; its
  history stays, its topics are acknowledged and silent.
* A ban: HTTP 403 with a made-up body. A token that expires: error 401, then closed.
* Perpetuals send a corrected bar again; spot does not.
* A bad token: error 401, then closed. Too many topics: error 400. A missing or malformed
  parameter: code 400100. The texts of these are invented.
* Limits: the older, lower ones (50 connections, 30 new ones a minute, 300 topics each).
* More perpetual rows than fit between `from` and `to`: the oldest win; both bounds include.
* Weight of requests other than candles: as the token's, 10.
* Contracts margined in coins: a lot is 1 USD (recorded), and the turnover in its place is taken
  to be in the coin, as it settles in it. Sizes other than those of BTC and ETH are invented.
* `gw-ratelimit-reset` beside a granted request: until the next full half minute of market time.

Left out: the token-less UTA ("Pro") sockets.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from itertools import count, islice

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
    World,
    plain,
)
from connectors.sandbox.grid import DAY, Fixed, Step, steps
from connectors.sandbox.listing import UPCOMING, Listing, listed
from connectors.sandbox.market import FIRST_OPEN, Bar, Market

PING_INTERVAL, PING_TIMEOUT = 18_000, 10_000
"""What the token's reply tells the client, in milliseconds of real time."""

SILENCE, LAST_GRACE = 60.0, 0.5
"""Real seconds without a client's frame until the warning, and from there to the close."""

TOKEN_LIFE = DAY
"""Market seconds that a token is valid for."""

TOPICS_A_MESSAGE, TOPICS_A_CONNECTION = 100, 300

_POOL = "public"
_POOL_RATE = Rate(2_000, 30)
_CANDLES_WEIGHT, _OTHER_WEIGHT = 3, 10

_SPOT_MOST, _SPOT_USUAL, _PERPETUAL_MOST = 1_500, 100, 500

_WORDS = {"m": "min", "h": "hour", "d": "day", "w": "week", "M": "month"}

SPOT_INTERVALS: dict[str, Step] = {
    **steps("1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 1M"),
    "1w": Fixed(7 * DAY),  # weeks begin on Thursday, as 1970 did
}
PERPETUAL_INTERVALS: dict[str, Step] = steps("1m 3m 5m 15m 30m 1h 2h 4h 8h 12h 1d 1w 1M")

_GRANULARITIES = {
    str(PERPETUAL_INTERVALS[interval].seconds // 60): interval
    for interval in PERPETUAL_INTERVALS
    if interval not in {"3m", "1M"}
}


def _words(intervals: Iterable[str]) -> dict[str, str]:
    return {interval[:-1] + _WORDS[interval[-1]]: interval for interval in intervals}


# --- what is listed


def _contract_name(base: str, quote: str) -> str:
    return f"{'XBT' if base == 'BTC' else base}{quote}M"


_SPOT = listed("USDT", "{}-{}".format)
_LINEAR = listed("USDT", _contract_name, lots={"BTC": "0.001", "ETH": "0.01"})
_INVERSE = (
    Listing(
        trading_pair="BTC-USD",
        symbol="XBTUSDM",
        price=Decimal(97250),
        tick=Decimal(1),
        lot=Decimal(1),  # with whole dollars a coin, every trade is whole contracts of 1 USD
        trades_per_minute=20,
    ),
)


def _is_inverse(listing: Listing) -> bool:
    return listing.quote == "USD"


def _lots_and_turnover(bar: Bar, listing: Listing) -> tuple[int, Decimal]:
    if _is_inverse(listing):
        return int(bar.quote_volume), bar.volume
    return bar.lots, bar.quote_volume


def _spot_symbol(listing: Listing, *, trading: bool = True) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "name": listing.symbol,
        "baseCurrency": listing.base,
        "quoteCurrency": listing.quote,
        "feeCurrency": listing.quote,
        "market": "USDS",
        "baseMinSize": plain(listing.lot),
        "quoteMinSize": "0.01",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": plain(listing.lot),
        "quoteIncrement": "0.000001",
        "priceIncrement": plain(listing.tick),
        "priceLimitRate": "0.1",
        "isMarginEnabled": True,
        "enableTrading": trading,
    }


def _contract(listing: Listing, *, trading: bool) -> dict[str, object]:
    inverse = _is_inverse(listing)
    base = "XBT" if listing.base == "BTC" else listing.base
    return {
        "symbol": listing.symbol,
        "rootSymbol": base if inverse else listing.quote,
        "type": "FFWCSX",
        "expireDate": None,
        "baseCurrency": base,
        "quoteCurrency": listing.quote,
        "settleCurrency": base if inverse else listing.quote,
        "lotSize": 1,
        "tickSize": float(listing.tick),
        "multiplier": -1.0 if inverse else float(listing.lot),
        "isQuanto": not inverse,
        "isInverse": inverse,
        "status": "Open" if trading else "Closed",
        "nextFundingRateTime": 25_481_884,
    }


_NOT_TRADING = Listing(
    trading_pair="ZEL-BTC",
    symbol="ZEL-BTC",
    price=Decimal("0.0000045"),
    tick=Decimal("0.00000001"),
    lot=Decimal("0.0001"),
    trades_per_minute=0.1,
)
"""In the recorded list of symbols, with `enableTrading` false; it has no candles here."""


def _spot_symbols(market: Market) -> list[dict[str, object]]:
    listed_ones = [
        _spot_symbol(listing, trading=market.trades(name))
        for name, listing in market.listings.items()
    ]
    return [*listed_ones, _spot_symbol(_NOT_TRADING, trading=False)]


def _contracts(market: Market) -> list[dict[str, object]]:
    return [
        _contract(listing, trading=market.trades(name)) for name, listing in market.listings.items()
    ]


# --- candles


def _spot_row(bar: Bar) -> list[str]:
    figures = (bar.open, bar.close, bar.high, bar.low, bar.volume, bar.quote_volume)
    return [str(bar.open_time), *map(plain, figures)]


def _spot_frame(topic: str, subject: str, symbol: str, bar: Bar, now: float) -> str:
    data = {"symbol": symbol, "candles": _spot_row(bar), "time": int(now * 1e9)}
    return _frame({"topic": topic, "type": "message", "subject": subject, "data": data})


def _perpetual_frame(topic: str, listing: Listing, bar: Bar, now: float) -> str:
    lots, turnover = _lots_and_turnover(bar, listing)
    prices = map(plain, (bar.open, bar.close, bar.high, bar.low))
    candles = [str(bar.open_time), *prices, plain(turnover), str(lots)]
    data = {"symbol": listing.symbol, "candles": candles, "time": int(now * 1e3)}
    return _frame({"topic": topic, "type": "message", "data": data, "subject": "candle.stick"})


def _perpetual_row(bar: Bar, listing: Listing) -> list[float]:
    lots, turnover = _lots_and_turnover(bar, listing)
    prices = map(float, (bar.open, bar.high, bar.low, bar.close))
    return [bar.open_ms, *prices, lots, float(turnover)]


def _frame(message: Mapping[str, object]) -> str:
    return orjson.dumps(message).decode()


# --- WebSocket


@dataclass(frozen=True, slots=True)
class Socket:
    """What the two sockets differ by: topics, intervals, and how a candle is carried.

    `joins`: several topics may stand in one, with commas between.
    """

    prefix: str
    codes: Mapping[str, str]
    joins: bool
    not_found: str
    frames: Callable[["KucoinConversation", Push, World], list[Frame]]


class KucoinConversation(Conversation):
    """One connection; `channels` are named by their topics."""

    def __init__(self, socket: Socket, connect_id: str, world: World, *, admitted: bool) -> None:
        super().__init__()
        self._socket = socket
        self._connect_id = connect_id
        self._admitted = admitted
        self._warned = False
        self._numbers = count(1)
        self._newest: dict[str, int] = {}
        self._heard(world)

    def opened(self, world: World) -> Iterable[Action]:
        """Welcome the client, or send it away for its token."""
        if self._admitted:
            return (Send(_frame({"id": self._connect_id, "type": "welcome"})),)
        return Send(_error(self._connect_id, 401, "token is invalid")), Close(1000, "Bye")

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, a subscription or its end; anything else is an error."""
        self._heard(world)
        try:
            asked = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return (Send(_error(self._new_id(), 400, "invalid json")),)
        if not isinstance(asked, dict):
            return (Send(_error(self._new_id(), 400, "invalid json")),)
        ident = str(asked.get("id", self._new_id()))
        match asked.get("type"):
            case "ping":
                pong = {"id": ident, "type": "pong", "timestamp": int(world.told.market * 1e6)}
                return (Send(_frame(pong)),)
            case "subscribe" | "unsubscribe" as wish:
                return self._change(wish, ident, asked, world)
        return (Send(_error(ident, 415, "type is not supported")),)

    def tick(self, world: World) -> Iterable[Action]:
        """Warn a client that never pings, then close."""
        if self._warned:
            self.due = None
            return (Close(1000, "Bye"),)
        self._warned = True
        self.due = world.now.real + LAST_GRACE
        timeout = {"type": "error", "code": 400, "data": "ping timeout"}
        return (Send(_frame(timeout)),)

    def expired(self, world: World) -> Iterable[Action]:
        """Send the client away for a new token."""
        return Send(_error(self._connect_id, 401, "token is expired")), Close(1000, "Bye")

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry a candle as this socket does."""
        return self._socket.frames(self, push, world)

    def opens(self, push: Push, world: World) -> bool:
        """Return whether this is the first frame of a bar whose first trade came just now."""
        channel, bar = push.channel, push.bar
        if self._newest.get(channel.name) == bar.open_time:
            return False
        self._newest[channel.name] = bar.open_time
        if push.first:
            return True
        pair, interval = channel.trading_pair, channel.interval
        return not world.market.state(pair, interval, bar.open_time, channel.since).trades

    def _change(
        self, wish: str, ident: str, asked: Mapping[str, object], world: World
    ) -> Iterable[Action]:
        topic = asked.get("topic")
        if not isinstance(topic, str) or not topic.startswith(self._socket.prefix):
            return (Send(_error(ident, 404, self._socket.not_found.format(topic=topic))),)
        found = list(self._find(topic, world))
        if any(world.refuses(channel.trading_pair, channel.interval) for channel in found):
            return (Send(_error(ident, 404, self._socket.not_found.format(topic=topic))),)
        if wish == "unsubscribe":
            for channel in found:
                self.channels.pop(channel.name, None)
        elif over := self._overstepped(found, topic.count(",") + 1):
            return over, Send(_error(ident, 400, f"exceed {over.limit}"))
        else:
            self.channels.update((new.name, new) for new in found if new.name not in self.channels)
        return (Send(_frame({"id": ident, "type": "ack"})),) if asked.get("response") else ()

    def _overstepped(self, found: list[Channel], topics: int) -> Overstep | None:
        if topics > TOPICS_A_MESSAGE:
            return Overstep("topics a message", TOPICS_A_MESSAGE, topics)
        held = len(self.channels.keys() | {channel.name for channel in found})
        if held > TOPICS_A_CONNECTION:
            return Overstep("topics a connection", TOPICS_A_CONNECTION, held)
        return None

    def _find(self, topic: str, world: World) -> Iterator[Channel]:
        wanted = topic.removeprefix(self._socket.prefix)
        for name in wanted.split(",") if self._socket.joins else (wanted,):
            symbol, _, code = name.rpartition("_")
            listing, interval = world.market.symbols.get(symbol), self._socket.codes.get(code)
            if listing is not None and interval is not None:
                own = self._socket.prefix + name
                yield Channel(own, listing.trading_pair, interval, world.now.market)

    def _new_id(self) -> str:
        return f"{self._connect_id}-{next(self._numbers)}"

    def _heard(self, world: World) -> None:
        if not self._warned:
            self.due = world.now.real + SILENCE


def _error(ident: str, code: int, text: str) -> str:
    return _frame({"id": ident, "type": "error", "code": code, "data": text})


def _spot_frames(conversation: KucoinConversation, push: Push, world: World) -> list[Frame]:
    topic, now = push.channel.name, world.told.market
    symbol = world.market.listing(push.channel.trading_pair).symbol
    if not conversation.opens(push, world):
        return [_spot_frame(topic, "trade.candles.update", symbol, push.bar, now)]
    bars = [*_empty_before(push, world), push.bar]
    return [_spot_frame(topic, "trade.candles.add", symbol, bar, now) for bar in bars]


def _empty_before(push: Push, world: World) -> Iterator[Bar]:
    pair, interval = push.channel.trading_pair, push.channel.interval
    before = SPOT_INTERVALS[interval].floor(push.bar.open_time - 1)
    if world.skips(pair, interval, before) or not world.market.exists(pair, interval, before):
        return
    bar = world.market.bar(pair, interval, before)
    if not bar.trades:
        yield bar


def _perpetual_frames(_: KucoinConversation, push: Push, world: World) -> list[Frame]:
    listing = world.market.listing(push.channel.trading_pair)
    return [_perpetual_frame(push.channel.name, listing, push.bar, world.told.market)]


SPOT_SOCKET = Socket(
    prefix="/market/candles:",
    codes=_words(interval for interval in SPOT_INTERVALS if interval != "1M"),
    joins=False,
    not_found="topic {topic} is not found",
    frames=_spot_frames,
)
PERPETUAL_SOCKET = Socket(
    prefix="/contractMarket/limitCandle:",
    codes=_words(PERPETUAL_INTERVALS),
    joins=True,
    not_found="topic does not exist",
    frames=_perpetual_frames,
)


# --- REST


class _Refused(Exception):  # noqa: N818  (an answer, not an error)
    """A parameter is wrong: the message that says so."""


def _whole(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise _Refused(f"Invalid parameter {name}.")
    return int(value)


def _listing(query: Mapping[str, str], world: World) -> Listing:
    listing = world.market.symbols.get(query.get("symbol", ""))
    if listing is None:
        raise _Refused("Unsupported trading pair.")
    return listing


def _interval(codes: Mapping[str, str], code: str | None) -> str:
    if code is None or code not in codes:
        raise _Refused("Incorrect candlestick type.")
    return codes[code]


def _newest(
    world: World, listing: Listing, interval: str, first: int, last: float, most: int
) -> list[Bar]:
    """Return the newest bars with trades and open time in `[first, last]`, newest first."""
    every = world.market.backwards(
        listing.trading_pair, interval, max(first, FIRST_OPEN), last, world.now.market
    )
    return list(islice((bar for bar in every if bar.trades), most))


def _spot_candles(query: Mapping[str, str], world: World) -> HttpReply:
    listing = _listing(query, world)
    interval = _interval(_words(SPOT_INTERVALS), query.get("type"))
    first, last = _whole(query, "startAt"), _whole(query, "endAt")
    most = _SPOT_USUAL if first is None else _SPOT_MOST
    end = world.now.market if last is None else last
    bars = _newest(world, listing, interval, first or 0, end, most)
    return _candles([_spot_row(bar) for bar in bars], listing, interval)


def _perpetual_candles(query: Mapping[str, str], world: World) -> HttpReply:
    listing = _listing(query, world)
    interval = _interval(_GRANULARITIES, query.get("granularity"))
    first, last, now = _whole(query, "from"), _whole(query, "to"), world.now
    end = now.market if last is None else last // 1_000
    if first is None:
        bars = _newest(world, listing, interval, 0, end, _PERPETUAL_MOST)[::-1]
    else:
        start = -(-first // 1_000)
        every = world.market.bars(listing.trading_pair, interval, start, end, now.market)
        bars = list(islice((bar for bar in every if bar.trades), _PERPETUAL_MOST))
    return _candles([_perpetual_row(bar, listing) for bar in bars], listing, interval)


def _candles(
    rows: list[list[str]] | list[list[float]], listing: Listing, interval: str
) -> HttpReply:
    return HttpReply(
        {"code": "200000", "data": rows},
        charges=(Charge(_POOL, _CANDLES_WEIGHT),),
        trading_pair=listing.trading_pair,
        interval=interval,
        rows="data",
    )


def _given(data: object) -> HttpReply:
    return HttpReply({"code": "200000", "data": data}, charges=(Charge(_POOL, _OTHER_WEIGHT),))


_Route = Callable[[Mapping[str, str], World], HttpReply]


class Kucoin(Dialect):
    """One of KuCoin's classic markets."""

    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=False, history=False)
    opens_with_current = False
    retry_after = True  # told in its own header
    compresses = True
    tokens = True
    limits = Limits(
        connections=50,
        attempts=Rate(30, 60),
        messages=Rate(100, 10, "connection"),
        rest={_POOL: _POOL_RATE},
    )
    socket: Socket
    push_every: float
    """Real seconds between two updates of a bar."""

    def __init__(self) -> None:
        self._tokens: dict[str, float] = {}
        self._written = count()
        self._connections = count(1)

    def cadence(self, interval: str) -> float:
        """Return the shortest time between two updates of one bar, in real seconds."""
        return self.push_every

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the address that the token's reply named; the token itself is looked at after."""
        if request.path != "/":
            return _not_found()
        ident = request.query.get("connectId") or f"anonymous{next(self._connections)}"
        given = self._tokens.get(request.query.get("token", ""))
        admitted = given is not None and world.now.market < given + TOKEN_LIFE
        return KucoinConversation(self.socket, ident, world, admitted=admitted)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles, instruments and the token, and refuse inside HTTP 200."""
        route = self.routes().get((request.method, request.path))
        if route is None:
            return _not_found()
        try:
            return route(request.query, world)
        except _Refused as refused:
            return HttpReply({"msg": str(refused), "code": "400100"})

    def routes(self) -> dict[tuple[str, str], _Route]:
        """Return what answers which method and path."""
        return {("POST", "/api/v1/bullet-public"): self._token}

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; the wait stands in KuCoin's own header, in milliseconds."""
        wait = {} if retry_after is None else {"gw-ratelimit-reset": str(retry_after * 1_000)}
        return HttpReply({"code": "429000", "msg": "Too Many Requests"}, 429, wait)

    def revoke(self) -> None:
        """Forget every token that was given out."""
        self._tokens.clear()

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Return the three headers of every reply."""
        period = int(_POOL_RATE.seconds * 1_000)
        return {
            "gw-ratelimit-limit": str(_POOL_RATE.allowed),
            "gw-ratelimit-remaining": str(max(0, _POOL_RATE.allowed - used)),
            "gw-ratelimit-reset": str(period - world.now.millis % period),
        }

    def _token(self, _: Mapping[str, str], world: World) -> HttpReply:
        token = _written(f"{self.market}:{next(self._written)}")
        self._tokens[token] = world.now.market
        server = {
            "endpoint": f"{world.ws_url}/",
            "encrypt": True,
            "protocol": "websocket",
            "pingInterval": PING_INTERVAL,
            "pingTimeout": PING_TIMEOUT,
        }
        return _given({"token": token, "instanceServers": [server]})


class KucoinSpot(Kucoin):
    """Spot; it answers what is asked beside candles when a client loads its markets, too."""

    market = "kucoin_spot"
    intervals = SPOT_INTERVALS
    listings = _SPOT
    upcoming = listed("USDT", "{}-{}".format, coins=UPCOMING)
    socket = SPOT_SOCKET
    push_every = 0.1  # "real time"

    def routes(self) -> dict[tuple[str, str], _Route]:
        """Return what answers which method and path; shapes of the last two: ccxt 4.5.64."""
        return {
            **super().routes(),
            ("GET", "/api/v1/market/candles"): _spot_candles,
            ("GET", "/api/v1/symbols"): _symbols,
            ("GET", "/api/v2/symbols"): _symbols,
            ("GET", "/api/v3/currencies"): lambda *_: _given([]),
            ("GET", "/api/v1/market/allTickers"): _tickers,
        }


class KucoinPerpetual(Kucoin):
    """Perpetuals margined in USDT, and one margined in its coin."""

    market = "kucoin_perpetual"
    intervals = PERPETUAL_INTERVALS
    listings = _LINEAR + _INVERSE
    upcoming = listed("USDT", _contract_name, coins=UPCOMING)
    resends = True
    closing = Closing(delay=(0.0, 20.5), flagged=False, overlaps=True)
    socket = PERPETUAL_SOCKET
    push_every = 1.0

    def routes(self) -> dict[tuple[str, str], _Route]:
        """Return what answers which method and path."""
        return {
            **super().routes(),
            ("GET", "/api/v1/kline/query"): _perpetual_candles,
            ("GET", "/api/v1/contracts/active"): _active,
        }


def _symbols(_: Mapping[str, str], world: World) -> HttpReply:
    return _given(_spot_symbols(world.market))


def _active(_: Mapping[str, str], world: World) -> HttpReply:
    return _given(_contracts(world.market))


def _tickers(_: Mapping[str, str], world: World) -> HttpReply:
    return _given({"time": world.told.millis, "ticker": []})


def _not_found() -> HttpReply:
    return HttpReply({"code": "404", "msg": "Not Found"}, 404)


def _written(text: str) -> str:
    """Return a token of the recorded form: two parts, both of which end with `==`."""
    parts = (blake2b(f"{part}:{text}".encode(), digest_size=16).digest() for part in "ab")
    return ".".join(urlsafe_b64encode(part).decode() for part in parts)


DIALECTS = (KucoinSpot, KucoinPerpetual)
