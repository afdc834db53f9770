"""AscendEX: `ascendex_spot` and `ascendex_perpetual`, from the card and recordings (2019–2024).

Oddities that a client meets here:

* The interval `1` is a minute, and `1m` a month.
* A channel may name several symbols with commas between; each has its own confirmation. What is
  left may be named in part: `bar:1`, `bar:*:BTC-PERP`, `bar`.
* The server pings with `hp`, which counts down where no answer comes; after two missed ones it says
  that it disconnects, and does.
* REST: both bounds are open times and include; a range is cut to 500 bars by raising `from`.

What the card calls UNKNOWN or leaves open, and what is done here:

* Bars without trades are missing, live and in history. Pages are cut by time, so that they may have
  fewer rows than were asked for, or none.
* Nothing is sent upon subscribing. A bar's updates may lack its last trades; after the end of every
  eighth bar one more comes, up to 2 s late, among those of the next bar. Corrections are not sent
  again.
* A refusal is of the kind `error` and names the channel of one symbol; its code and texts are those
  of the known notice. What is malformed is refused likewise, without a channel. What is subscribed
  to already is confirmed again. A symbol whose trading has ended is confirmed and silent.
* Pings come every 15 s, the first after 16 s (spot) or 4 s, as recorded. The client's ping is an
  answer, too. There are no limits of the socket.
* Weeks begin on Thursday.
* Errors come inside HTTP 200, with made-up codes. Rate: eight requests a minute, which ccxt quotes
  though it paces 400 ms; beyond it HTTP 429.
* Of contracts the card tells no key: symbol, underlying, settlement asset and status are made up.
  Where trading has ended, the status is `NoTrading`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

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
    Push,
    Quiet,
    Rate,
    World,
    plain,
    retry_header,
    text,
)
from connectors.sandbox.grid import DAY, Fixed, Step, steps
from connectors.sandbox.listing import COINS, UPCOMING, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import send, stays_unsent
from connectors.sandbox.shared_requests import Refused, digits, understood, whole, written

PING_EVERY, HEALTH = 15.0, 3
"""Real seconds between pings, and the `hp` of a healthy connection."""

_USUAL, _MOST = 10, 500
_INTERVALS: dict[str, Step] = {
    **steps("1m 5m 15m 30m 1h 2h 4h 6h 12h 1d"),
    "1w": Fixed(7 * DAY),
    **steps("1M"),
}
_WORDS = {
    "1": "1m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "240": "4h",
    "360": "6h",
    "720": "12h",
    "1d": "1d",
    "1w": "1w",
    "1m": "1M",
}
"""The exchange's word for an interval -> ours."""

_CODES = {name: word for word, name in _WORDS.items()}


def _contract_name(base: str, _: str) -> str:
    return f"{base}-PERP"


@dataclass(frozen=True, slots=True)
class Kind:
    """What the two markets differ by. `first_ping` is in real seconds after connecting."""

    market: str
    sockets: tuple[str, ...]
    instruments: str
    symbol: Callable[[str, str], str]
    first_ping: float

    @property
    def spot(self) -> bool:
        """Whether it is spot."""
        return self.market == "ascendex_spot"


_PUBLIC = "/api/pro/v2/stream"

SPOT = Kind(
    "ascendex_spot",
    (_PUBLIC, "/0/api/pro/v1/stream", "/1/api/pro/v1/stream"),
    "/api/pro/v1/cash/products",
    "{}/{}".format,
    16.0,
)
PERPETUAL = Kind(
    "ascendex_perpetual",
    (_PUBLIC,),
    "/api/pro/v2/futures/contract",
    _contract_name,
    4.0,
)


def _candle(bar: Bar, listing: Listing, interval: str) -> dict[str, object]:
    places = digits(listing.tick)
    data = {
        "i": _CODES[interval],
        "ts": bar.open_ms,
        "o": text(bar.open, places),
        "c": text(bar.close, places),
        "h": text(bar.high, places),
        "l": text(bar.low, places),
        "v": plain(bar.volume),
    }
    return {"m": "bar", "s": listing.symbol, "data": data}


# --- WebSocket


class AscendexConversation(Conversation):
    """One connection; `channels` are named as the exchange names those of one symbol."""

    def __init__(self, kind: Kind, world: World) -> None:
        super().__init__()
        self._silent: set[str] = set()
        self._health = HEALTH
        self.due = world.now.real + kind.first_ping

    def opened(self, world: World) -> Iterable[Action]:
        """Greet."""
        return (send({"m": "connected", "type": "unauth"}),)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Take or answer a ping, or answer each symbol of a channel for itself."""
        asked = understood(frame) or {}
        match asked:
            case {"op": "pong"}:
                self._health = HEALTH
                return ()
            case {"op": "ping"}:
                self._health = HEALTH
                now = int(world.told.market)
                return (send({"m": "pong", "code": 0, "ts": now, "hp": self._health}),)
            case {"op": "sub", "ch": str() as name} if name.count(":") == 2:
                head, _, symbols = name.rpartition(":")
                names = [f"{head}:{symbol}" for symbol in symbols.split(",")]
                return [self._subscribe(asked, one, world) for one in names]
            case {"op": "unsub", "ch": str() as name}:
                return (self._unsubscribe(asked, name),)
        return (_refuse(asked, "Malformed request"),)

    def tick(self, world: World) -> Iterable[Action]:
        """Ping, or disconnect who missed two."""
        if self._health == 1:
            self.due = None
            info = "Session is disconnected due to missing pong message from the client"
            return send({"m": "disconnected", **_REASON, "info": info}), Close()
        self.due = world.now.real + PING_EVERY
        ping = send({"m": "ping", "hp": self._health})
        self._health -= 1
        return (ping,)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; after a bar's end only now and then."""
        if stays_unsent(push):
            return ()
        listing = world.market.listing(push.channel.trading_pair)
        return (written(_candle(push.bar, listing, push.channel.interval)),)

    def _subscribe(self, asked: Mapping[str, object], name: str, world: World) -> Action:
        kind, word, symbol = name.split(":")
        interval, listing = _WORDS.get(word), world.market.symbols.get(symbol)
        if kind != "bar" or interval is None or listing is None:
            return _refuse(asked, "Invalid channel", name)
        if world.refuses(listing.trading_pair, interval):
            return _refuse(asked, "Invalid channel", name)
        if not world.market.trades(listing.trading_pair):
            self._silent.add(name)
        elif name not in self.channels:
            pair = listing.trading_pair
            self.channels[name] = Channel(name, pair, interval, world.now.market)
        return send({"m": "sub", **_ident(asked), "ch": name, "code": 0})

    def _unsubscribe(self, asked: Mapping[str, object], name: str) -> Action:
        held = [one for one in (*self.channels, *self._silent) if _covers(name, one)]
        if not held:
            return _refuse(asked, "Invalid channel", name)
        for one in held:
            self.channels.pop(one, None)
            self._silent.discard(one)
        return send({"m": "unsub", **_ident(asked), "ch": name, "code": 0})


_REASON = {"code": 100_005, "reason": "INVALID_WS_REQUEST_DATA"}


def _ident(asked: Mapping[str, object]) -> dict[str, object]:
    return {"id": asked["id"]} if "id" in asked else {}


def _refuse(asked: Mapping[str, object], info: str, name: str | None = None) -> Action:
    channel = {} if name is None else {"ch": name}
    return send({"m": "error", **_ident(asked), **channel, **_REASON, "info": info})


def _covers(name: str, channel: str) -> bool:
    """Return whether a channel is one of those that `name` names in part or with a star."""
    parts = name.split(":")
    mine = channel.split(":")[: len(parts)]
    return all(part in ("*", own) for part, own in zip(parts, mine, strict=True))


# --- REST


_COST = (Charge("requests", 1),)


def _refusal(message: str) -> HttpReply:
    body = {"code": 100_002, "reason": "INVALID_HTTP_INPUT", "message": message, "info": message}
    return HttpReply(body, charges=_COST)


class Ascendex(Dialect):
    """One kind of AscendEX's instruments."""

    intervals = _INTERVALS
    figures = Figures()
    quiet = Quiet(stream=False, history=False)
    closing = Closing(delay=(0.0, 2.0), flagged=False, overlaps=True)
    limits = Limits(rest={"requests": Rate(8, 60)})
    opens_with_current = False

    def __init__(self, kind: Kind) -> None:
        self.market = kind.market
        self.listings = listed("USDT", kind.symbol)
        if kind.spot:
            self.listings += listed("USD", kind.symbol, coins=COINS[:2])
        self.upcoming = listed("USDT", kind.symbol, coins=UPCOMING)
        self._kind = kind

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept this market's paths."""
        if request.path not in self._kind.sockets:
            return HttpReply("Not Found", 404)
        return AscendexConversation(self._kind, world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles, intervals and instruments, and refuse inside HTTP 200."""
        if request.method == "GET" and request.path == self._kind.instruments:
            return _found(self._instruments(world))
        if request.method == "GET" and request.path == "/api/pro/v1/barhist/info":
            grids = {word: _INTERVALS[name].seconds for word, name in _WORDS.items()}
            rows = [{"name": word, "intervalInMillis": 1_000 * s} for word, s in grids.items()]
            return _found(rows)
        if request.method != "GET" or request.path != "/api/pro/v1/barhist":
            return HttpReply("Not Found", 404)
        try:
            return self._candles(request.query, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing = world.market.symbols.get(query.get("symbol", ""))
        interval = _WORDS.get(query.get("interval", ""))
        if listing is None or interval is None:
            raise Refused(_refusal("Invalid symbol" if listing is None else "Invalid interval"))
        names = ("from", "to", "n")
        start, end, count = (whole(query, name, _refusal(f"Invalid {name}")) for name in names)
        if count == 0:
            raise Refused(_refusal("Invalid n"))
        now, length = world.now.market, self.intervals[interval].seconds
        last = self.intervals[interval].floor(min(now, now if end is None else end / 1_000))
        most = _MOST if start is not None and count is None else count or _USUAL
        first = float(last - (min(most, _MOST) - 1) * length)
        first = first if start is None else max(first, start / 1_000)
        bars = world.market.bars(listing.trading_pair, interval, first, last, now)
        return HttpReply(
            {"code": 0, "data": [_candle(bar, listing, interval) for bar in bars if bar.trades]},
            charges=_COST,
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="data",
        )

    def _instruments(self, world: World) -> list[dict[str, object]]:
        row = _product if self._kind.spot else _contract
        return [
            row(listing, "Normal" if world.market.trades(name) else "NoTrading")
            for name, listing in world.market.listings.items()
        ]

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; the card does not give its body."""
        body = {"code": 100_013, "reason": "TOO_MANY_REQUESTS", "message": "Too many requests"}
        return HttpReply(body, 429, retry_header(retry_after))


def _found(data: object) -> HttpReply:
    return HttpReply({"code": 0, "data": data}, charges=_COST)


def _product(listing: Listing, status: str) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "status": status,
        "statusCode": status,
        "tickSize": plain(listing.tick),
        "lotSize": plain(listing.lot),
    }


def _contract(listing: Listing, status: str) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "status": status,
        "settlementAsset": listing.quote,
        "underlying": f"{listing.base}/{listing.quote}",
        "tickSize": plain(listing.tick),
        "lotSize": plain(listing.lot),
    }


DIALECTS = (partial(Ascendex, SPOT), partial(Ascendex, PERPETUAL))
