"""Gate v4: `gate_spot` and `gate_perpetual` (USDT), from the card and recordings (2021–2026).

Oddities that a client meets here:

* One interval and one pair a message; anything longer, or nested, is acknowledged and silent. So
  is a contract that settles in another currency. A message without `time` is refused.
* Spot: `v` is the quote volume, `a` the base volume, times are text, and `w` says closed. Its
  history has the columns time, quote volume, close, high, low, open, base volume, closed.
* Perpetuals: `result` is a list; at each fourth bar's end it holds two bars. `v` counts contracts,
  as a number, and as text where a contract has decimal sizes (here: LTC). No flag says closed.
* The first push after a confirmation is the running bar, with or without trades.
* History: oldest first; `from` with `limit` is refused; the newest 10 000 bars are served on spot.

What the card calls UNKNOWN or leaves open, and what is done here:

* Bars without trades after the first: not pushed, not even closed; in history they are flat rows.
* Where two bars share a list, and whether the last state of a perpetual's bar comes at all: it
  comes, unflagged, up to 2 s after the end.
* A second subscription to the same candles is refused with `Alert sub`, and the first goes on.
* `2h`, `12h` and `30d` over WebSocket: refused. The text for a bad interval is made up.
* A client that sends nothing is cut off: after 30.5 s without subscriptions (seen on futures), with
  them after 60 s. The server never pings by protocol.
* `7d` begins on Monday on spot (observed) and on Thursday on perpetuals (documented).
* More points than a page holds: HTTP 400. Perpetual history ends where it was seen to end.
* Labels of unknown contracts and of bad parameters beyond the card are made up.
* A pair whose trading has ended: `untradable`, contracts `delisting`; it cannot be subscribed to.
* The keys `a` and `w` of newer perpetual frames are not sent. Contract sizes other than those of
  BTC and ETH are invented. Limits of connections and subscriptions are not known: there are none.

Left out: perpetual history by the word `1w`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import count, islice
from zlib import crc32

from connectors.sandbox.dialect import (
    Action,
    Channel,
    Charge,
    Closing,
    Conversation,
    Cut,
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
    retry_header,
    text,
)
from connectors.sandbox.grid import DAY, Fixed, Step, steps
from connectors.sandbox.listing import UPCOMING, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import following, send
from connectors.sandbox.shared_requests import Refused, digits, understood, whole, written

SILENCE, SILENCE_SUBSCRIBED = 30.5, 60.0
"""Real seconds without a client's frame until the server cuts the connection off."""

_STREAMED = ("10s", "1m", "5m", "15m", "30m", "1h", "4h", "8h", "1d", "1w")
_CODES = {"1w": "7d", "1M": "30d"}
_REQUESTS = Rate(200, 10)

_DECIMAL_SIZES = "LTC"  # the base whose contracts are traded in tenths
_TENTH = Decimal("0.1")

_SPOT_DEPTH = 10_000
_PERPETUAL_DEPTH = {"1h": 9_000, "4h": 5_000, "1d": 1_500}
_USUAL_PERPETUAL_DEPTH = 8_000  # seen for 15m


def _code(interval: str) -> str:
    return _CODES.get(interval, interval)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the two markets differ by."""

    market: str
    prefix: str
    socket: str
    root: str
    instruments: str
    asked: str
    """The parameter that names the pair in history."""
    unknown: str
    """What is said of a pair that does not exist."""
    most: int
    intervals: Mapping[str, Step]
    listings: tuple[Listing, ...]
    upcoming: tuple[Listing, ...]

    @property
    def spot(self) -> bool:
        """Whether it is spot."""
        return self.prefix == "spot"

    @property
    def words(self) -> dict[str, str]:
        """The exchange's word for an interval -> ours."""
        return {_code(interval): interval for interval in self.intervals}


_LOTS = {"BTC": "0.0001", "ETH": "0.01"}
_ETH_BTC = Listing(
    trading_pair="ETH-BTC",
    symbol="ETH_BTC",
    price=Decimal("0.03517"),
    tick=Decimal("0.00001"),
    lot=Decimal("0.001"),
    trades_per_minute=10,
    usual_trade=Decimal("0.01"),
)

SPOT = Kind(
    "gate_spot",
    "spot",
    "/ws/v4/",
    "/api/v4/spot",
    "/api/v4/spot/currency_pairs",
    "currency_pair",
    "unknown currency pair: {}",
    1_000,
    steps("10s 1m 5m 15m 30m 1h 2h 4h 8h 1d 1w 1M"),
    (*listed("USDT", "{}_{}".format), _ETH_BTC),
    listed("USDT", "{}_{}".format, coins=UPCOMING),
)
PERPETUAL = Kind(
    "gate_perpetual",
    "futures",
    "/v4/ws/usdt",
    "/api/v4/futures/usdt",
    "/api/v4/futures/usdt/contracts",
    "contract",
    "unknown contract {}",
    2_000,
    {**steps("10s 1m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 1M"), "1w": Fixed(7 * DAY)},
    listed("USDT", "{}_{}".format, lots=_LOTS),
    listed("USDT", "{}_{}".format, coins=UPCOMING),
)


def multiplier(listing: Listing) -> Decimal:
    """Return the base coins of one contract."""
    return listing.lot / _TENTH if listing.base == _DECIMAL_SIZES else listing.lot


def _contracts(bar: Bar, listing: Listing) -> int | str:
    if listing.base == _DECIMAL_SIZES:
        return plain(bar.lots * _TENTH)
    return bar.lots


# --- candles


def _prices(bar: Bar) -> dict[str, str]:
    return {
        "c": plain(bar.close),
        "h": plain(bar.high),
        "l": plain(bar.low),
        "o": plain(bar.open),
    }


def _spot_candle(bar: Bar, name: str, *, closed: bool) -> dict[str, object]:
    start = {"t": str(bar.open_time), "v": plain(bar.quote_volume), **_prices(bar), "n": name}
    return {**start, "a": plain(bar.volume), "w": closed}


def _perpetual_candle(bar: Bar, listing: Listing, name: str) -> dict[str, object]:
    return {"t": bar.open_time, "v": _contracts(bar, listing), **_prices(bar), "n": name}


def _spot_row(bar: Bar, _: Listing) -> object:
    prices = map(plain, (bar.close, bar.high, bar.low, bar.open))
    start = [str(bar.open_time), text(bar.quote_volume, 8), *prices]
    return [*start, text(bar.volume, 8), "true" if bar.final else "false"]


def _perpetual_row(bar: Bar, listing: Listing) -> object:
    start = {"t": bar.open_time, "v": _contracts(bar, listing), **_prices(bar)}
    return {**start, "sum": plain(bar.quote_volume)}


# --- WebSocket


class GateConversation(Conversation):
    """One connection; `channels` are named as frames name them: `1m_BTC_USDT`."""

    def __init__(self, kind: Kind, connection_id: str, world: World) -> None:
        super().__init__()
        self._kind = kind
        self._connection_id = connection_id
        self._requests = count(1)
        self.due = world.now.real + SILENCE

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, a subscription or its end; anything else is an error."""
        actions = list(self._answer(frame, world))
        self.due = world.now.real + (SILENCE_SUBSCRIBED if self.channels else SILENCE)
        return actions

    def tick(self, world: World) -> Iterable[Action]:
        """Cut off a client that sends nothing."""
        self.due = None
        return (Cut(),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; a perpetual's at times together with the one that follows it."""
        return (self._update(push.channel, self._bars(push, world), world, closed=push.closed),)

    def leaving(self, world: World) -> Iterable[Action]:
        """Tell of an upgrade."""
        result = {"type": "upgrade", "msg": "The server will be upgraded, please reconnect"}
        head = {**_times(world), "channel": f"{self._kind.prefix}.system", "event": "update"}
        return (send({**head, "result": result}),)

    def _bars(self, push: Push, world: World) -> list[Bar]:
        two = not self._kind.spot and push.bar.final
        new = following(push, world) if two else None
        return [push.bar] if new is None else [push.bar, new]

    def _update(self, channel: Channel, bars: list[Bar], world: World, *, closed: bool) -> Frame:
        listing = world.market.listing(channel.trading_pair)
        result: object = [_perpetual_candle(bar, listing, channel.name) for bar in bars]
        if self._kind.spot:
            result = _spot_candle(bars[0], channel.name, closed=closed)
        head = {**_times(world), "channel": f"{self._kind.prefix}.candlesticks"}
        return written({**head, "event": "update", "result": result})

    def _answer(self, frame: Frame, world: World) -> Iterable[Action]:
        asked = understood(frame)
        if asked is None:
            return (self._fail({}, 1, "request message need json scheme", world),)
        if asked.get("channel") == f"{self._kind.prefix}.ping":
            return (self._pong(world),)
        if (objection := self._objection(asked)) is not None:
            return (self._fail(asked, 2, objection, world),)
        match asked["event"], asked["payload"]:
            case "subscribe", [str() as code, str() as symbol]:
                return self._subscribe(asked, code, symbol, world)
            case "unsubscribe", [str() as code, str() as symbol]:
                self.channels.pop(f"{code}_{symbol}", None)
        return (self._succeed(asked, world),)

    def _objection(self, asked: Mapping[str, object]) -> str | None:
        if asked.get("channel") != f"{self._kind.prefix}.candlesticks":
            return f"Unknown channel {asked.get('channel')}"
        if asked.get("event") not in ("subscribe", "unsubscribe"):
            return f"Unknown event {asked.get('event')}"
        well_formed = isinstance(asked.get("time"), int) and isinstance(asked.get("payload"), list)
        return None if well_formed else "invalid argument: time or payload"

    def _subscribe(
        self, asked: Mapping[str, object], code: str, symbol: str, world: World
    ) -> Iterable[Action]:
        if self._settles_elsewhere(symbol, world):
            return (self._succeed(asked, world),)
        channel = self._find(code, symbol, world)
        if isinstance(channel, str):
            return (self._fail(asked, 2, channel, world),)
        self.channels[channel.name] = channel
        actions: list[Action] = [self._succeed(asked, world)]
        bar = world.market.current(channel.trading_pair, channel.interval, world.now.market)
        if not world.skips(channel.trading_pair, channel.interval, bar.open_time):
            actions.append(Send(self._update(channel, [bar], world, closed=False)))
        return actions

    def _find(self, code: str, symbol: str, world: World) -> Channel | str:
        """Return the channel that is asked for, or why there is none."""
        interval, listing = self._kind.words.get(code), world.market.symbols.get(symbol)
        if interval not in _STREAMED:
            return f"invalid interval {code}"
        if listing is None or not world.market.trades(listing.trading_pair):
            return self._kind.unknown.format(symbol)
        if world.refuses(listing.trading_pair, interval):
            return self._kind.unknown.format(symbol)
        name = f"{code}_{symbol}"
        if name in self.channels:
            return f"Alert sub {name}"
        return Channel(name, listing.trading_pair, interval, world.now.market)

    def _settles_elsewhere(self, symbol: str, world: World) -> bool:
        base, _, quote = symbol.partition("_")
        return not self._kind.spot and quote == "USD" and f"{base}_USDT" in world.market.symbols

    def _succeed(self, asked: Mapping[str, object], world: World) -> Send:
        return send({**self._head(asked, world), "result": {"status": "success"}, **self._tail()})

    def _fail(self, asked: Mapping[str, object], code: int, message: str, world: World) -> Send:
        error = {"error": {"code": code, "message": message}, "result": {"status": "fail"}}
        return send({**self._head(asked, world), **error, **self._tail()})

    def _head(self, asked: Mapping[str, object], world: World) -> dict[str, object]:
        ident = {"id": asked["id"]} if "id" in asked else {}
        named = {key: asked[key] for key in ("channel", "event", "payload") if key in asked}
        ours = {"conn_id": self._connection_id, "trace_id": f"{next(self._requests):032x}"}
        return {**_times(world), **ident, **ours, **named}

    def _tail(self) -> dict[str, str]:
        return {"requestId": f"{next(self._requests):032x}"} if self._kind.spot else {}

    def _pong(self, world: World) -> Send:
        head = {**_times(world), "conn_id": self._connection_id}
        answer = {"channel": f"{self._kind.prefix}.pong", "event": "", "result": None}
        return send({**head, **answer, **self._tail()})


def _times(world: World) -> dict[str, object]:
    return {"time": int(world.told.market), "time_ms": world.told.millis}


# --- REST


def _refusal(label: str, message: str, status: int = 400) -> HttpReply:
    return HttpReply({"label": label, "message": message}, status)


_WRONG = _refusal("INVALID_PARAM_VALUE", "Invalid from, to or limit")
_TOO_LONG_AGO = _refusal(
    "INVALID_PARAM_VALUE",
    "Candlestick too long ago. Maximum 10000 points ago are allowed",
)

_Route = Callable[[Mapping[str, str], World], HttpReply]


class Gate(Dialect):
    """One kind of Gate's instruments."""

    quiet = Quiet(stream=False, history=True)
    opens_with_current = False  # the dialect itself sends it, with or without trades
    limits = Limits(rest={"candles": _REQUESTS, "instruments": _REQUESTS})

    def __init__(self, kind: Kind) -> None:
        self.market = kind.market
        self.intervals = kind.intervals
        self.listings = kind.listings
        self.upcoming = kind.upcoming
        self.figures = Figures(quote_volume=kind.spot)
        self.closing = Closing(delay=(0.0, 2.0), flagged=kind.spot)
        self.notice = None if kind.spot else 30.0
        self._kind = kind
        self._connections = count(1)

    def cadence(self, interval: str) -> float:
        """Return two seconds."""
        return 2.0

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept this market's path."""
        if request.path != self._kind.socket:
            return HttpReply("Not Found", 404)
        ident = f"{crc32(f'{self.market}:{next(self._connections)}'.encode()):016x}"
        return GateConversation(self._kind, ident, world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        routes: dict[str, _Route] = {
            f"{self._kind.root}/candlesticks": self._candles,
            self._kind.instruments: self._pair_rows if self._kind.spot else self._contract_rows,
        }
        route = routes.get(request.path)
        if route is None or request.method != "GET":
            return _refusal("NOT_FOUND", "Not Found", 404)
        try:
            return route(request.query, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        symbol = query.get(self._kind.asked, "")
        listing, interval = world.market.symbols.get(symbol), self._interval(query)
        if listing is None:
            base = symbol.partition("_")[0]
            return _refusal("INVALID_CURRENCY", f"Invalid currency {base}")
        if interval is None:
            return _refusal("INVALID_PARAM_VALUE", "Invalid interval")
        row = _spot_row if self._kind.spot else _perpetual_row
        rows = [row(bar, listing) for bar in self._page(query, listing, interval, world)]
        return HttpReply(
            rows,
            charges=(Charge("candles", 1),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="",
        )

    def _interval(self, query: Mapping[str, str]) -> str | None:
        return self._kind.words.get(query.get("interval", "30m"))

    def _page(
        self, query: Mapping[str, str], listing: Listing, interval: str, world: World
    ) -> list[Bar]:
        """Return the bars of a request, oldest first; both bounds include."""
        start, end, limit = (whole(query, name, _WRONG) for name in ("from", "to", "limit"))
        if start is not None and limit is not None:
            raise Refused(_WRONG)
        if limit is not None and not 0 < limit <= self._kind.most:
            raise Refused(_WRONG)
        now, step = world.now.market, self.intervals[interval].seconds
        last = min(now, now if end is None else end)
        first = float(last - (limit or 100) * step if start is None else start)
        if start is not None and (last - first) / step >= self._kind.most:
            raise Refused(_WRONG)
        oldest = now - self._depth(interval) * step
        if first < oldest and self._kind.spot:
            raise Refused(_TOO_LONG_AGO)
        first = oldest if limit is not None else max(first, oldest)
        bars = world.market.backwards(listing.trading_pair, interval, first, last, now)
        return list(islice(bars, limit))[::-1]

    def _depth(self, interval: str) -> int:
        """Return how many bars history goes back."""
        if self._kind.spot:
            return _SPOT_DEPTH
        return _PERPETUAL_DEPTH.get(interval, _USUAL_PERPETUAL_DEPTH)

    def _pair_rows(self, _: Mapping[str, str], world: World) -> HttpReply:
        rows = [
            _pair(listing, trading=world.market.trades(name))
            for name, listing in world.market.listings.items()
        ]
        return HttpReply([*rows, _NOT_TRADING], charges=(Charge("instruments", 1),))

    def _contract_rows(self, _: Mapping[str, str], world: World) -> HttpReply:
        rows = [
            _contract(listing, trading=world.market.trades(name))
            for name, listing in world.market.listings.items()
        ]
        return HttpReply(rows, charges=(Charge("instruments", 1),))

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; its header says nothing of when to come again."""
        reply = _refusal("TOO_MANY_REQUESTS", "Too many requests", 429)
        return replace(reply, headers=retry_header(retry_after))

    def banned(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 403, as to a barred address."""
        return _refusal("IP_FORBIDDEN", "Your IP is forbidden", 403)

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Tell how many requests for candles are left."""
        if pool != "candles":
            return {}
        left = max(0, _REQUESTS.allowed - used)
        return {
            "X-Gate-RateLimit-Requests-Remain": str(left),
            "X-Gate-RateLimit-Limit": str(_REQUESTS.allowed),
        }


def _pair(listing: Listing, *, trading: bool) -> dict[str, object]:
    return {
        "id": listing.symbol,
        "base": listing.base,
        "quote": listing.quote,
        "fee": "0.2",
        "min_base_amount": plain(listing.lot),
        "min_quote_amount": "1",
        "amount_precision": digits(listing.lot),
        "precision": digits(listing.tick),
        "trade_status": "tradable" if trading else "untradable",
        "sell_start": 0,
        "buy_start": 0,
    }


_NOT_TRADING = {
    "id": "SAL_USDT",
    "base": "SAL",
    "quote": "USDT",
    "fee": "0.2",
    "min_quote_amount": "1",
    "amount_precision": 4,
    "precision": 3,
    "trade_status": "untradable",
    "sell_start": 0,
    "buy_start": 0,
}
"""As recorded: without a least base amount; it has no candles here."""


def _contract(listing: Listing, *, trading: bool) -> dict[str, object]:
    return {
        "in_delisting": not trading,
        "name": listing.symbol,
        "type": "direct",
        "status": "trading" if trading else "delisting",
        "last_price": plain(listing.price),
        "mark_price": plain(listing.price),
        "order_size_min": 1,
        "order_size_max": 1_000_000,
        "quanto_multiplier": plain(multiplier(listing)),
        "trade_size": 215_705_969_894,
        "position_size": 169_531_691,
    }


DIALECTS = (partial(Gate, SPOT), partial(Gate, PERPETUAL))
