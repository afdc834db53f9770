"""Bitget v2: `bitget_spot` and `bitget_perpetual` (USDT), from the card and recordings (2023–2026).

Oddities that a client meets here:

* The heartbeat is the client's: the bare text `ping`, answered by the bare text `pong`. Who sends
  no ping for 120 s is cut off without a close frame, data or no data.
* One confirmation for each argument. A real symbol under another `instType` is confirmed and
  stays silent. Letter case matters: `candle1h` is a parameter error.
* The first frame of a channel is a snapshot of 500 rows, oldest first; updates follow. No row says
  that a bar is closed; bars without trades are sent; a bar opens where the one before closed.
* REST: oldest first, errors in the body, whatever the status says; the recent endpoint reaches
  back so far only, the other one is asked with `endTime`. History rows of perpetuals lack the
  USDT column, frames have it. Code words of intervals differ between spot and perpetual.

What the card calls UNKNOWN or leaves open, and what is done here:

* Both bounds exclude, and where more rows lie between them than fit, the newest win.
* Errors come as HTTP 400 and as 200 by turns. Each second refusal of a symbol lacks `arg`.
* `candle3m` and `candle2H`: refused, so they are to be polled.
* The last update of a bar may lack its last trades; at each fourth bar the first frame of a bar
  carries the final row of the one before, too.
* Weeks begin on Thursday, three days count from 1970-01-02: both not proven.
* Whether history-candles has the running bar: it has not.
* A message above 4096 bytes is dropped without an answer. Above 240 requests an hour or 1000
  channels: error 30007, closed; above 10 messages a second: 30006, closed. The texts of these and
  of 30003 and 400171 are made up; so is the refusal of a range above 90 days (perpetuals).
* A pair whose trading has ended: `offline`, on perpetuals `off`; its channels do not exist.
* An instrument with letters beyond ASCII is listed and has no candles.

Left out: bars in UTC+8 (names without `utc`), which are refused as unknown; the v3 socket.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import count, islice
from typing import TypeGuard

from connectors.sandbox.dialect import (
    Action,
    Channel,
    Charge,
    Close,
    Conversation,
    Cut,
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
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import send
from connectors.sandbox.shared_requests import Refused, understood, whole, written

PATH = "/v2/ws/public"
SILENCE = 120.0
"""Real seconds without a ping until the server cuts the connection off."""

REQUESTS_PER_HOUR, CHANNELS_A_CONNECTION, MESSAGE_BYTES = 240, 1_000, 4_096

SNAPSHOT = 500  # rows

_LONG: dict[str, Step] = {
    **steps("6h 12h 1d 1M"),
    "3d": Fixed(3 * DAY, anchor=DAY),
    "1w": Fixed(7 * DAY),
}
_TWO_ROWS_EVERY = 4  # bars
_INST_TYPES = ("SPOT", "USDT-FUTURES", "USDC-FUTURES", "COIN-FUTURES")

_REACH = {"1m": 30, "3m": 30, "5m": 30, "15m": 52, "30m": 62, "1h": 83, "2h": 120, "4h": 240}
_REACH_OF_6H = 360
"""Days that the recent endpoint reaches back; longer bars have no limit on the card."""

_MOST_DAYS = 90  # of a range, perpetuals alone


def _spell(interval: str) -> str:
    """Spell an interval as channels and perpetuals do: `1m`, `1H`, `1Dutc`."""
    spelled = interval if interval[-1] in "mM" else interval.upper()
    return spelled + ("utc" if interval in _LONG else "")


def _spell_spot(interval: str) -> str:
    """Spell an interval as spot's history does: `1min`, `1h`, `1Dutc`."""
    if interval in _LONG:
        return _spell(interval)
    return interval.replace("m", "min")


_UNPROVEN_CHANNELS = ("3m", "2h")
_ROOT = Decimal("0.00001")

_ETH_BTC = Listing(
    trading_pair="ETH-BTC",
    symbol="ETHBTC",
    price=Decimal("0.03517"),
    tick=_ROOT,
    lot=Decimal("0.001"),
    trades_per_minute=10,
    usual_trade=Decimal("0.01"),
    continuous=True,
)
_USDT_A_BTC = Decimal(97250)
"""By which the USDT column of pairs against BTC is reckoned here."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the two markets differ by."""

    market: str
    inst_type: str
    path: str
    instruments: str
    intervals: Mapping[str, Step]
    spell: Callable[[str], str]
    listings: tuple[Listing, ...]

    @property
    def words(self) -> dict[str, str]:
        """History's word for an interval -> ours."""
        return {self.spell(interval): interval for interval in self.intervals}

    @property
    def channels(self) -> dict[str, str]:
        """A channel's name -> its interval."""
        streamed = [name for name in self.intervals if name not in _UNPROVEN_CHANNELS]
        return {f"candle{_spell(name)}": name for name in streamed}

    @property
    def spot(self) -> bool:
        """Whether it is spot."""
        return self.inst_type == "SPOT"


_USDT = listed("USDT", str.__add__, continuous=True)

SPOT = Kind(
    "bitget_spot",
    "SPOT",
    "/api/v2/spot/market",
    "/api/v2/spot/public/symbols",
    {**steps("1m 3m 5m 15m 30m 1h 4h"), **_LONG},
    _spell_spot,
    (*_USDT, _ETH_BTC),
)
PERPETUAL = Kind(
    "bitget_perpetual",
    "USDT-FUTURES",
    "/api/v2/mix/market",
    "/api/v2/mix/market/contracts",
    {**steps("1m 3m 5m 15m 30m 1h 2h 4h"), **_LONG},
    _spell,
    _USDT,
)


def _row(bar: Bar, listing: Listing, *, usdt: bool = True) -> list[str]:
    figures = [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume]
    if usdt:
        rate = _USDT_A_BTC if listing.quote == "BTC" else Decimal(1)
        figures.append(bar.quote_volume * rate)
    return [str(bar.open_ms), *map(plain, figures)]


# --- WebSocket


class BitgetConversation(Conversation):
    """One connection; `channels` are named by their arguments, which their tags hold."""

    def __init__(self, kind: Kind, world: World) -> None:
        super().__init__()
        self._kind = kind
        self._requests: deque[float] = deque()
        self._refusals = count()
        self.due = world.now.real + SILENCE

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer `ping`, or each argument of a request for itself."""
        if frame == "ping":
            self.due = world.now.real + SILENCE
            return (Send("pong"),)
        size = len(frame if isinstance(frame, bytes) else frame.encode())
        if size > MESSAGE_BYTES:
            return (Overstep("message bytes", MESSAGE_BYTES, size),)
        asked = understood(frame)
        match asked:
            case {"op": "subscribe" | "unsubscribe" as operation, "args": [_, *_] as arguments}:
                return self._answer(str(operation), arguments, world)
            case {"op": str() as operation} if operation not in ("subscribe", "unsubscribe"):
                return (_error(None, 30003, "INVALID op", operation),)
        return (_error(None, 30016, "Param error", ""),)

    def tick(self, world: World) -> Iterable[Action]:
        """Cut off a client that does not ping."""
        self.due = None
        return (Cut(),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry an update; at times the row before stands in it, too."""
        listing = world.market.listing(push.channel.trading_pair)
        bars = [*self._before(push, world), push.bar]
        return (self._frame("update", push.channel, bars, listing, world),)

    def flooded(self, world: World) -> Iterable[Action]:
        """Tell that there are too many messages, and close."""
        return _error(None, 30006, "request too many", ""), Close(1000, "")

    def _answer(self, operation: str, arguments: list[object], world: World) -> list[Action]:
        if over := self._overstepped(arguments if operation == "subscribe" else [], world):
            return [over, _error(None, 30007, "request over limit", operation), Close(1000, "")]
        answer = self._subscribe if operation == "subscribe" else self._unsubscribe
        return [action for argument in arguments for action in answer(argument, world)]

    def _overstepped(self, arguments: list[object], world: World) -> Overstep | None:
        self._requests.append(world.now.market)
        while self._requests[0] <= world.now.market - 3_600:
            self._requests.popleft()
        if len(self._requests) > REQUESTS_PER_HOUR:
            return Overstep("requests an hour", REQUESTS_PER_HOUR, len(self._requests))
        held = len(self.channels.keys() | set(map(_name, arguments)))
        if held > CHANNELS_A_CONNECTION:
            return Overstep("channels a connection", CHANNELS_A_CONNECTION, held)
        return None

    def _subscribe(self, argument: object, world: World) -> Iterable[Action]:
        if not _is_argument(argument):
            return (_error(argument, 30016, "Param error", "subscribe"),)
        interval = self._kind.channels.get(argument["channel"])
        listing = world.market.symbols.get(argument["instId"])
        if interval is None or argument["instType"] not in _INST_TYPES:
            return (_error(argument, 30016, "Param error", "subscribe"),)
        if listing is None or not world.market.trades(listing.trading_pair):
            return (self._no_such(argument),)
        if world.refuses(listing.trading_pair, interval):
            return (self._no_such(argument),)
        confirmed = send({"event": "subscribe", "arg": argument})
        name = _name(argument)
        if argument["instType"] != self._kind.inst_type or name in self.channels:
            return (confirmed,)
        channel = Channel(name, listing.trading_pair, interval, world.now.market, argument)
        self.channels[name] = channel
        return confirmed, Send(self._snapshot(channel, listing, world))

    def _unsubscribe(self, argument: object, _: World) -> Iterable[Action]:
        self.channels.pop(_name(argument), None)
        return (send({"event": "unsubscribe", "arg": argument}),)

    def _no_such(self, argument: Mapping[str, str]) -> Action:
        names = ",".join(f"{key}:{argument[key]}" for key in _ARGUMENT)
        text = f"{names},precision:null doesn't exist"
        told = argument if next(self._refusals) % 2 == 0 else None
        return _error(told, 30001, text, "subscribe")

    def _snapshot(self, channel: Channel, listing: Listing, world: World) -> Frame:
        pair, interval, now = channel.trading_pair, channel.interval, world.now.market
        every = world.market.latest(pair, interval, now, now, SNAPSHOT)
        bars = [bar for bar in every if not world.skips(pair, interval, bar.open_time)]
        return self._frame("snapshot", channel, bars, listing, world)

    def _before(self, push: Push, world: World) -> Iterable[Bar]:
        bar, pair, interval = push.bar, push.channel.trading_pair, push.channel.interval
        if not push.first or bar.open_time // (bar.close_time - bar.open_time) % _TWO_ROWS_EVERY:
            return
        grid = self._kind.intervals[interval]
        before = grid.floor(bar.open_time - 1)
        known = before >= grid.floor(push.channel.since)
        known = known and world.market.exists(pair, interval, before)
        if known and not world.skips(pair, interval, before):
            yield world.market.state(pair, interval, before, world.now.market)

    def _frame(
        self, action: str, channel: Channel, bars: Iterable[Bar], listing: Listing, world: World
    ) -> Frame:
        rows = [_row(bar, listing) for bar in bars]
        start = {"action": action, "arg": channel.tag, "data": rows}
        return written({**start, "ts": world.told.millis})


_ARGUMENT = ("instType", "channel", "instId")


def _is_argument(argument: object) -> TypeGuard[dict[str, str]]:
    return isinstance(argument, dict) and all(
        isinstance(argument.get(key), str) for key in _ARGUMENT
    )


def _name(argument: object) -> str:
    if not isinstance(argument, dict):
        return ""
    return ":".join(str(argument.get(key)) for key in _ARGUMENT)


def _error(argument: object, code: int, text: str, operation: str) -> Send:
    told = {} if argument is None else {"arg": argument}
    return send({"event": "error", **told, "code": code, "msg": text, "op": operation})


# --- REST


_Route = Callable[[Mapping[str, str], World], HttpReply]


class Bitget(Dialect):
    """One kind of Bitget's instruments."""

    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=True, history=True)
    opens_with_current = False  # the snapshot ends with it
    limits = Limits(
        connections=100,
        attempts=Rate(300, 300),
        messages=Rate(10, 1, "connection"),
        lifetime=DAY,
        rest={name: Rate(20, 1) for name in ("candles", "history-candles", "instruments")},
    )

    def __init__(self, kind: Kind) -> None:
        self.market = kind.market
        self.intervals = kind.intervals
        self.listings = kind.listings
        self.upcoming = listed("USDT", str.__add__, coins=UPCOMING, continuous=True)
        self._kind = kind
        self._errors = count()

    def cadence(self, interval: str) -> float:
        """Return half a second."""
        return 0.5

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the public path."""
        if request.path != PATH:
            return HttpReply("Not Found", 404)
        return BitgetConversation(self._kind, world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer both candle endpoints and the instruments."""
        routes: dict[str, _Route] = {
            f"{self._kind.path}/candles": partial(self._candles, "candles"),
            f"{self._kind.path}/history-candles": partial(self._candles, "history-candles"),
            self._kind.instruments: self._instruments,
        }
        route = routes.get(request.path)
        if request.path.startswith(("/api/spot/v1", "/api/mix/v1")):
            route = self._gone
        if route is None or request.method != "GET":
            return HttpReply({"code": "40404", "msg": "Request URL NOT FOUND"}, 404)
        try:
            return route(request.query, world)
        except Refused as refused:
            return replace(refused.reply, status=200 if next(self._errors) % 2 else 400)

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429."""
        return HttpReply({"code": "429", "msg": "Too Many Requests"}, 429)

    def _candles(self, pool: str, query: Mapping[str, str], world: World) -> HttpReply:
        self._require_product_type(query, world)
        symbol = query.get("symbol", "")
        listing = world.market.symbols.get(symbol)
        if listing is None:
            raise Refused(_told("40034", f"Parameter {symbol} does not exist", None, world))
        interval = self._kind.words.get(query.get("granularity", ""))
        if interval is None:
            raise Refused(_told("400171", "Parameter granularity error", None, world))
        bars = self._bars(pool, query, listing, interval, world)
        rows = [_row(bar, listing, usdt=self._kind.spot) for bar in bars]
        return replace(
            _told("00000", "success", rows, world),
            charges=(Charge(pool, 1),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="data",
        )

    def _bars(
        self, pool: str, query: Mapping[str, str], listing: Listing, interval: str, world: World
    ) -> list[Bar]:
        """Return the newest bars between the bounds, both of which exclude, oldest first."""
        wrong = _told("400172", "Parameter verification failed", None, world)
        now, grid = world.now.market, self._kind.intervals[interval]
        start, end = whole(query, "startTime", wrong), whole(query, "endTime", wrong)
        recent = pool == "candles"
        if end is None and not recent:
            raise Refused(wrong)
        if start is not None and not self._kind.spot:
            self._require_span(start, world.now.millis if end is None else end, wrong)
        last = now if end is None else (end - 1) / 1_000
        first = 0.0 if start is None else (start + 1) / 1_000
        if recent and (days := self._reach(interval)):
            first = max(first, now - days * DAY)
        if not recent:
            last = min(last, grid.floor(now) - 1)
        bars = world.market.backwards(listing.trading_pair, interval, first, last, now)
        return list(islice(bars, self._limit(query, 1_000 if recent else 200, world)))[::-1]

    def _reach(self, interval: str) -> int | None:
        return _REACH_OF_6H if interval == "6h" else _REACH.get(interval)

    def _limit(self, query: Mapping[str, str], most: int, world: World) -> int:
        text = f"Value range verification failed: limit should be between (0, {most}]"
        wrong = _told("40053", text, None, world)
        limit = whole(query, "limit", wrong)
        if limit is not None and not 0 < limit <= most:
            raise Refused(wrong)
        return 100 if limit is None else limit

    def _require_span(self, start: int, end: int, wrong: HttpReply) -> None:
        if end - start > _MOST_DAYS * DAY * 1_000:
            raise Refused(wrong)

    def _require_product_type(self, query: Mapping[str, str], world: World) -> None:
        if not self._kind.spot and query.get("productType") != self._kind.inst_type:
            raise Refused(_told("400172", "Parameter verification failed", None, world))

    def _instruments(self, query: Mapping[str, str], world: World) -> HttpReply:
        self._require_product_type(query, world)
        instrument = _symbol if self._kind.spot else _contract
        rows = [
            instrument(listing, trading=world.market.trades(name))
            for name, listing in world.market.listings.items()
            if query.get("symbol", listing.symbol) == listing.symbol
        ]
        if "symbol" not in query:
            rows.append(instrument(_NOT_ASCII, trading=True))
        elif not rows:
            text = f"Parameter {query['symbol']} does not exist"
            raise Refused(_told("40034", text, None, world))
        reply = _told("00000", "success", rows, world)
        return replace(reply, charges=(Charge("instruments", 1),))

    def _gone(self, _: Mapping[str, str], world: World) -> HttpReply:
        raise Refused(_told("30032", "The V1 API has been decommissioned…", None, world))


def _told(code: str, message: str, data: object, world: World) -> HttpReply:
    start = {"code": code, "msg": message, "requestTime": world.told.millis}
    return HttpReply({**start, "data": data})


_NOT_ASCII = Listing("龙-USDT", "龙USDT", Decimal(1), Decimal(1), Decimal(1), 1)


def _symbol(listing: Listing, *, trading: bool) -> dict[str, str]:
    return {
        "symbol": listing.symbol,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "status": "online" if trading else "offline",
    }


def _contract(listing: Listing, *, trading: bool) -> dict[str, str]:
    return {
        "symbol": listing.symbol,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "sizeMultiplier": plain(listing.lot),
        "symbolType": "perpetual",
        "symbolStatus": "normal" if trading else "off",
    }


DIALECTS = (partial(Bitget, SPOT), partial(Bitget, PERPETUAL))
