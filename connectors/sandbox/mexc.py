"""MEXC: `mexc_spot` and `mexc_perpetual`, from the card and recordings (2021–2026).

Oddities that a client meets here:

* Spot: control is JSON text, candles are binary protobuf, as recorded. A refusal has code 0 like a
  confirmation, and id 0 whatever was sent: only its text tells. Several channels of one request
  are answered together, joined by commas; the refused ones in an answer of their own.
* Contracts: a confirmation names neither contract nor interval. A refusal names the contract in
  its text alone. A method that does not exist is not answered. Who sends no ping is told so and
  closed after 60 s, data or no data.
* No frame says that a bar is closed. A bar opens where the one before closed; contracts have open,
  high and low of the trades alone beside it (`ro`, `rh`, `rl`).
* Contracts count contracts: `q`; `a` is the quote volume, of coin-margined ones the base volume.
  Their numbers are JSON numbers, small ones in exponent form. Their history comes in columns.
* Spot has 8 h bars live alone. Its history calls an hour `60m`; a row's close time is the next
  bar's open time; `endTime` alone is ignored.

What the card calls UNKNOWN or leaves open, and what is done here:

* Bars without trades: neither pushed nor in history. The last update of a bar may lack its last
  trades, and nothing follows it. Nothing is pushed until a trade comes.
* Spot history: the newest 500 bars alone, 500 a page (more is cut), `endTime` excludes. Contracts:
  both bounds exclude. Where more rows lie between the bounds than fit, the newest win.
* Weeks begin on Thursday. Days and months are UTC.
* A spot symbol or interval that does not exist is `Blocked`. More than 30 subscriptions: so, too,
  and the journal has it. A bad interval of a contract is confirmed and silent.
* Spot closes after 30 s without subscriptions, pings or not; with them after 60 s in which neither
  a client's message nor a candle went. At each fourth bar its frames hold a field that is unknown.
* Errors of contracts come inside HTTP 200; the texts of 510 and 600 are made up. So is the weight
  of exchangeInfo, and HTTP 403 for a ban.
* A pair whose trading has ended: spot status 3, Blocked; contracts vanish.
* A spot symbol that is Blocked though online is listed, and has no candles. Contract sizes are
  invented but for those of BTC and ETH, and the 100 USD of BTC_USD (as recorded volumes say).

Left out: the key `gzip`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from hashlib import blake2b
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
    Overstep,
    Push,
    Quiet,
    Rate,
    World,
    plain,
    retry_header,
)
from connectors.sandbox.grid import DAY, Fixed, Step, steps
from connectors.sandbox.listing import UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import send
from connectors.sandbox.shared_requests import (
    Refused,
    digits,
    number,
    understood,
    whole,
    written,
)

SUBSCRIPTIONS = 30
"""Of one spot connection."""

UNSUBSCRIBED, NO_DATA, NO_PING = 30.0, 60.0, 60.0
"""Real seconds until the close: spot without subscriptions, spot without traffic, contracts."""

INTERVALS: dict[str, Step] = {**steps("1m 5m 15m 30m 1h 4h 8h 1d 1M"), "1w": Fixed(7 * DAY)}

CODES = {
    "Min1": "1m",
    "Min5": "5m",
    "Min15": "15m",
    "Min30": "30m",
    "Min60": "1h",
    "Hour4": "4h",
    "Hour8": "8h",
    "Day1": "1d",
    "Week1": "1w",
    "Month1": "1M",
}
"""The exchange's word for an interval -> ours; spot's history has words of its own."""

_SPOT_WORDS = {"60m": "1h", "1W": "1w"} | {
    interval: interval for interval in ("1m", "5m", "15m", "30m", "4h", "1d", "1M")
}

_REACH = 500  # bars, on spot
_MOST = 2_000  # rows of contracts
_UNKNOWN_FIELD_EVERY = 4  # bars

_listed = partial(listed, continuous=True)


# --- protobuf: what is sent alone


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _field(field: int, value: str | int | bytes) -> bytes:
    """Return one field: a text or message with its length, or a whole number."""
    if isinstance(value, int):
        return _varint(field << 3) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def wrapped(channel: str, symbol: str, symbol_id: str, created: int, candle: bytes) -> bytes:
    """Return a `PushDataV3ApiWrapper` that holds a candle; `created` in milliseconds."""
    head = _field(1, channel) + _field(3, symbol) + _field(4, symbol_id) + _field(5, created)
    return head + _field(308, candle)


def candle(code: str, bar: Bar) -> bytes:
    """Return a `PublicSpotKlineV3Api`."""
    prices = (bar.open, bar.close, bar.high, bar.low)
    figures = [plain(figure) for figure in (*prices, bar.volume, bar.quote_volume)]
    texts = b"".join(_field(field, figure) for field, figure in enumerate(figures, 3))
    return _field(1, code) + _field(2, bar.open_time) + texts + _field(9, bar.close_time)


# --- spot's WebSocket


class SpotConversation(Conversation):
    """One connection; `channels` are named as on the wire, their tag is the interval's code."""

    _PREFIX = "spot@public.kline.v3.api.pb"

    def __init__(self, world: World) -> None:
        super().__init__()
        self._moved(world)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, a subscription or its end."""
        asked = understood(frame) or {}
        actions: list[Action] = []
        match asked:
            case {"method": "PING"}:
                actions = [_spot_answer(0, "PONG")]
            case {"method": "SUBSCRIPTION", "params": [_, *_] as names}:
                actions = self._subscribe(asked.get("id", 0), list(map(str, names)), world)
            case {"method": "UNSUBSCRIPTION", "params": [_, *_] as names}:
                for name in names:
                    self.channels.pop(str(name), None)
                actions = [_spot_answer(asked.get("id", 0), ",".join(map(str, names)))]
            case _:
                actions = [_spot_answer(0, "Invalid request")]
        self._moved(world)
        return actions

    def tick(self, world: World) -> Iterable[Action]:
        """Close what is left alone."""
        self.due = None
        return (Close(1000, ""),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle."""
        self._moved(world)
        bar, channel = push.bar, push.channel
        symbol = world.market.listing(channel.trading_pair).symbol
        body = candle(str(channel.tag), bar)
        if bar.open_time // (bar.close_time - bar.open_time) % _UNKNOWN_FIELD_EVERY == 0:
            body += _field(15, 1)
        ident = blake2b(symbol.encode(), digest_size=16).hexdigest()
        return (wrapped(channel.name, symbol, ident, world.told.millis, body),)

    def _subscribe(self, ident: object, names: list[str], world: World) -> list[Action]:
        found = {name: self._find(name, world) for name in names}
        good = [name for name, channel in found.items() if channel is not None]
        bad = [name for name, channel in found.items() if channel is None]
        actions: list[Action] = []
        held = len(self.channels.keys() | set(good))
        if held > SUBSCRIPTIONS:
            actions.append(Overstep("subscriptions", SUBSCRIPTIONS, held))
            good, bad = [], names
        self.channels.update(
            (name, channel)
            for name in good
            if name not in self.channels and (channel := found[name]) is not None
        )
        if good:
            actions.append(_spot_answer(ident, ",".join(good)))
        if bad:
            text = f"Not Subscribed successfully! [{','.join(bad)}].  Reason： Blocked! "
            actions.append(_spot_answer(0, text))
        return actions

    def _find(self, name: str, world: World) -> Channel | None:
        match name.split("@"):
            case ["spot", kind, symbol, code] if f"spot@{kind}" == self._PREFIX:
                listing, interval = world.market.symbols.get(symbol), CODES.get(code)
            case _:
                return None
        if listing is None or interval is None or not world.market.trades(listing.trading_pair):
            return None
        if world.refuses(listing.trading_pair, interval):
            return None
        return Channel(name, listing.trading_pair, interval, world.now.market, code)

    def _moved(self, world: World) -> None:
        if self.channels:
            self.due = world.now.real + NO_DATA
        elif self.due is None or self.due > world.now.real + UNSUBSCRIBED:
            self.due = world.now.real + UNSUBSCRIBED


def _spot_answer(ident: object, text: str) -> Action:
    return send({"id": ident, "code": 0, "msg": text})


# --- contracts' WebSocket


class ContractConversation(Conversation):
    """One connection; `channels` are named `BTC_USDT@Min1`, their tag is the interval's code."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.due = world.now.real + NO_PING

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, a subscription or its end; nothing else is answered."""
        now = world.told.millis
        match understood(frame):
            case {"method": "ping"}:
                self.due = world.now.real + NO_PING
                return (send({"channel": "pong", "data": now, "ts": now}),)
            case {"method": "sub.kline", "param": {"symbol": str() as symbol, "interval": code}}:
                return (self._subscribe(symbol, str(code), world),)
            case {"method": "unsub.kline", "param": {"symbol": str() as symbol, **rest}}:
                for channel in tuple(self.channels.values()):
                    name = f"{symbol}@{rest.get('interval', channel.tag)}"
                    self.channels.pop(name, None)
                return (_told("rs.unsub.kline", "success", world),)
        return ()

    def tick(self, world: World) -> Iterable[Action]:
        """Tell a client that does not ping, and close."""
        self.due = None
        text = "more than 60 seconds no response, close the channel"
        return _told("rs.error", text, world), Close(1000, "")

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle."""
        bar, listing = push.bar, world.market.listing(push.channel.trading_pair)
        opened, highest, lowest = bar.traded
        data = {
            "a": _number(_amount(bar, listing)),
            "c": _number(bar.close),
            "h": _number(bar.high),
            "interval": push.channel.tag,
            "l": _number(bar.low),
            "o": _number(bar.open),
            "q": _contracts(bar, listing),
            "rc": _number(bar.close),
            "rh": _number(highest),
            "rl": _number(lowest),
            "ro": _number(opened),
            "symbol": listing.symbol,
            "t": bar.open_time,
        }
        message = {"channel": "push.kline", "data": data, "symbol": listing.symbol}
        return (written({**message, "ts": world.told.millis}),)

    def _subscribe(self, symbol: str, code: str, world: World) -> Action:
        listing, interval = world.market.symbols.get(symbol), CODES.get(code)
        if listing is None or not world.market.trades(listing.trading_pair):
            return _told("rs.error", f"Contract [{symbol}] not exists", world)
        if interval is not None and world.refuses(listing.trading_pair, interval):
            return _told("rs.error", f"Contract [{symbol}] not exists", world)
        name = f"{symbol}@{code}"
        if interval is not None and name not in self.channels:
            now = world.now.market
            self.channels[name] = Channel(name, listing.trading_pair, interval, now, code)
        return _told("rs.sub.kline", "success", world)


def _told(channel: str, data: str, world: World) -> Action:
    return send({"channel": channel, "data": data, "ts": world.told.millis})


def _number(value: Decimal) -> object:
    small = 0 < value < Decimal("0.001")
    return number(f"{value.normalize():E}" if small else plain(value))


def _with_point(value: object) -> object:
    return number(f"{value}.0")


# --- what is listed


def _joined(base: str, quote: str) -> str:
    return f"{base}{quote}"


_SPOT = (*_listed("USDT", _joined), *_listed("USDC", _joined)[:2])

_SIZES = {"BTC": "0.0001", "ETH": "0.01"}
_PEPE = Coin("PEPE", "0.00001234", "0.00000001", "10000000", 10)
_LINEAR = _listed("USDT", "{}_{}".format, lots=_SIZES) + _listed(
    "USDT", "{}_{}".format, coins=(_PEPE,)
)
_INVERSE_SIZE = Decimal(100)
_INVERSE = (
    Listing(
        trading_pair="BTC-USD",
        symbol="BTC_USD",
        price=Decimal(97250),
        tick=Decimal("0.5"),
        lot=Decimal(200),  # with half dollars a coin, every trade is whole contracts of 100 USD
        trades_per_minute=20,
        continuous=True,
    ),
)


def _is_inverse(listing: Listing) -> bool:
    return listing.quote == "USD"


def _contracts(bar: Bar, listing: Listing) -> int:
    return int(bar.quote_volume / _INVERSE_SIZE) if _is_inverse(listing) else bar.lots


def _amount(bar: Bar, listing: Listing) -> Decimal:
    return bar.volume if _is_inverse(listing) else bar.quote_volume


# --- REST


class MexcSpot(Dialect):
    """`mexc_spot`."""

    market = "mexc_spot"
    intervals = INTERVALS
    listings = _SPOT
    upcoming = _listed("USDT", _joined, coins=UPCOMING)
    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=False, history=False)
    opens_with_current = False
    limits = Limits(
        messages=Rate(100, 1, "connection"),
        lifetime=DAY,
        rest={"klines": Rate(500, 10), "exchangeInfo": Rate(500, 10)},
    )

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept `/ws`."""
        if request.path != "/ws":
            return HttpReply("Not Found", 404)
        return SpotConversation(world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        if request.method == "GET" and request.path == "/api/v3/klines":
            return self._candles(request.query, world)
        if request.method == "GET" and request.path == "/api/v3/exchangeInfo":
            rows = [self._symbol(listing, world) for listing in world.market.listings.values()]
            body = {"serverTime": world.told.millis, "symbols": [*rows, _BLOCKED]}
            return HttpReply(body, charges=(Charge("exchangeInfo", 10),))
        return HttpReply({"msg": "Not Found", "code": 404}, 404)

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing = world.market.symbols.get(query.get("symbol", ""))
        interval = _SPOT_WORDS.get(query.get("interval", ""))
        if listing is None:
            return HttpReply({"msg": "invalid symbol", "code": -1121}, 400)
        if interval is None:
            return HttpReply({"msg": "Invalid interval."}, 400)
        try:
            bars = self._bars(query, (listing.trading_pair, interval), world)
        except Refused as refused:
            return refused.reply
        return HttpReply(
            [_spot_row(bar) for bar in bars],
            charges=(Charge("klines", 1),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="",
        )

    def _bars(self, query: Mapping[str, str], asked: tuple[str, str], world: World) -> list[Bar]:
        """Return the newest bars with trades of a range, oldest first; its end excludes."""
        wrong = HttpReply({"msg": "Invalid parameter."}, 400)
        start, end = whole(query, "startTime", wrong), whole(query, "endTime", wrong)
        limit = whole(query, "limit", wrong)
        now, grid = world.now.market, self.intervals[asked[1]]
        reach = grid.floor(now) - (_REACH - 1) * grid.seconds
        first = reach if start is None else max(reach, start / 1_000)
        last = now if start is None or end is None else (end - 1) / 1_000
        bars = world.market.backwards(*asked, first, last, now)
        most = min(_REACH, _REACH if limit is None else limit)
        return list(islice((bar for bar in bars if bar.trades), most))[::-1]

    def _symbol(self, listing: Listing, world: World) -> dict[str, object]:
        trading = world.market.trades(listing.trading_pair)
        return {
            "symbol": listing.symbol,
            "status": "1" if trading else "3",
            "baseAsset": listing.base,
            "baseAssetPrecision": digits(listing.lot),
            "quoteAsset": listing.quote,
            "quotePrecision": digits(listing.tick),
            "orderTypes": ["LIMIT", "LIMIT_MAKER"],
            "isSpotTradingAllowed": trading,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT", "LIMIT"],
            "tradeSideType": "1",
        }

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429."""
        body = {"msg": "Too many requests.", "code": -1003}
        return HttpReply(body, 429, retry_header(retry_after))

    def banned(self, retry_after: int | None, world: World) -> HttpReply:
        """Return what a barred place is told."""
        body = {"msg": "Service unavailable from a restricted location.", "code": 0}
        return HttpReply(body, 403)


_BLOCKED = {
    "symbol": "TOMO3LUSDT",
    "status": "1",
    "baseAsset": "TOMO3L",
    "baseAssetPrecision": 2,
    "quoteAsset": "USDT",
    "quotePrecision": 3,
    "orderTypes": ["LIMIT", "LIMIT_MAKER"],
    "isSpotTradingAllowed": False,
    "isMarginTradingAllowed": False,
    "permissions": ["SPOT", "LIMIT"],
    "tradeSideType": "1",
}


def _spot_row(bar: Bar) -> list[object]:
    figures = [plain(figure) for figure in (bar.open, bar.high, bar.low, bar.close, bar.volume)]
    return [bar.open_ms, *figures, bar.close_time * 1_000, plain(bar.quote_volume)]


def _failure(code: int, message: str) -> HttpReply:
    return HttpReply({"success": False, "code": code, "message": message})


_NO_CONTRACT = _failure(1001, "Contract not exists")
_BAD_PARAMETER = _failure(600, "Parameter error")


class MexcPerpetual(Dialect):
    """`mexc_perpetual`: contracts margined in USDT, and one margined in its coin."""

    market = "mexc_perpetual"
    intervals = INTERVALS
    listings = _LINEAR + _INVERSE
    upcoming = _listed("USDT", "{}_{}".format, coins=UPCOMING)
    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=False, history=False)
    opens_with_current = False
    limits = Limits(rest={"kline": Rate(20, 2), "detail": Rate(10, 2)})

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept `/edge`."""
        if request.path != "/edge":
            return HttpReply("Not Found", 404)
        return ContractConversation(world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments, and refuse inside HTTP 200."""
        root, _, name = request.path.rpartition("/")
        try:
            if request.method == "GET" and root == "/api/v1/contract/kline":
                return self._candles(name, request.query, world)
            if request.method == "GET" and request.path in _DETAILS:
                return self._details(request.query, world)
        except Refused as refused:
            return refused.reply
        return replace(_failure(404, "Not Found"), status=404)

    def _candles(self, symbol: str, query: Mapping[str, str], world: World) -> HttpReply:
        listing = world.market.symbols.get(symbol)
        interval = CODES.get(query.get("interval", "Min1"))
        if listing is None:
            raise Refused(_NO_CONTRACT)
        if interval is None:
            raise Refused(_BAD_PARAMETER)
        asked, now = (listing.trading_pair, interval), world.now.market
        start, end = whole(query, "start", _BAD_PARAMETER), whole(query, "end", _BAD_PARAMETER)
        first = 0 if start is None else start + 1
        bars = world.market.backwards(*asked, first, now if end is None else end - 1, now)
        shown = list(islice((bar for bar in bars if bar.trades), _MOST))[::-1]
        return HttpReply(
            {"success": True, "code": 0, "data": _columns(shown, listing)},
            charges=(Charge("kline", 1),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="data",
        )

    def _details(self, query: Mapping[str, str], world: World) -> HttpReply:
        rows = [
            _detail(listing)
            for name, listing in world.market.listings.items()
            if world.market.trades(name) and query.get("symbol", listing.symbol) == listing.symbol
        ]
        if not rows:
            raise Refused(_NO_CONTRACT)
        body = {"success": True, "code": 0, "data": rows}
        return HttpReply(body, charges=(Charge("detail", 1),))

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return code 510 inside HTTP 200."""
        return _failure(510, "Requests are too frequent")

    def banned(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 403."""
        return replace(_failure(403, "Forbidden"), status=403)


_DETAILS = ("/api/v1/contract/detail", "/api/v1/contract/detail/country")


def _columns(bars: list[Bar], listing: Listing) -> dict[str, list[object]]:
    return {
        "time": [bar.open_time for bar in bars],
        "open": [_number(bar.open) for bar in bars],
        "close": [_number(bar.close) for bar in bars],
        "high": [_number(bar.high) for bar in bars],
        "low": [_number(bar.low) for bar in bars],
        "vol": [_with_point(_contracts(bar, listing)) for bar in bars],
        "amount": [_number(_amount(bar, listing)) for bar in bars],
        "realOpen": [_number(bar.traded[0]) for bar in bars],
        "realClose": [_number(bar.close) for bar in bars],
        "realHigh": [_number(bar.traded[1]) for bar in bars],
        "realLow": [_number(bar.traded[2]) for bar in bars],
    }


def _detail(listing: Listing) -> dict[str, object]:
    inverse = _is_inverse(listing)
    size = _INVERSE_SIZE if inverse else listing.lot
    return {
        "symbol": listing.symbol,
        "displayNameEn": f"{listing.symbol} SWAP",
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "settleCoin": listing.base if inverse else listing.quote,
        "contractSize": _number(size),
        "priceScale": digits(listing.tick),
        "volScale": 0,
        "priceUnit": _number(listing.tick),
        "volUnit": 1,
        "minVol": 1,
        "state": 0,
        "isHidden": False,
    }


DIALECTS = (MexcSpot, MexcPerpetual)
