"""OKX v5: `okx_spot` and `okx_perpetual`, from the card and recordings (June–September 2026).

Oddities that a client meets here:

* Candles come only on `/ws/v5/business`; on `/ws/v5/public` they are answered with error 60018.
* The heartbeat is the client's: the text `ping`, answered by the text `pong`. A connection on
  which nothing went either way for 30 s is closed with 4004.
* One confirmation for each argument; errors name no argument, only their text does (60018), or
  quote the whole request (60012).
* Volume means something else in each market: see `_figures`.
* REST: newest first; `after` means older, `before` means newer; alone, `before` gives the latest
  rows; errors come inside HTTP 200.

What the card calls UNKNOWN or disputed, and what is done here:

* Both cursors, and more rows between them than fit: the newest win.
* `limit` of history-candles, 100 or 300: 100. More than the most is cut without a word.
* Whether history-candles has the running bar: it has not.
* Two rows in one frame at a bar's end (not proven): so at each fourth bar, newest first.
* Rate limit inside HTTP 200 or as 429: by turns.
* Beyond 480 requests an hour the reaction is not stated: closed with 4008.
* A pair whose trading has ended: state `suspend`; its history stays, its channels are refused.
* The notice before an upgrade comes on this socket, too; the close after it has code 1001.
* A ban: HTTP 403 with a made-up body.
* Weeks begin on Monday, quarters in January, other days count from 1970-01-01: all not proven.

Left out: bars in UTC+8 (`candle1D` and the like, without `utc`) are refused as unknown channels,
and so are mark-price and index candles.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any
from zlib import crc32

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
    retry_header,
)
from connectors.sandbox.grid import DAY, Months, Step, steps
from connectors.sandbox.listing import UPCOMING, Listing, listed
from connectors.sandbox.market import Bar

CHANNELS = ("/ws/v5/business", "/ws/v5/public")
"""WebSocket paths; only the first has candles."""

IDLE = 30.0
"""Real seconds without any frame until the server closes (close code 4004)."""

REQUESTS_PER_HOUR = 480
"""Subscribe and unsubscribe requests of one connection, in market time."""

LONGEST_REQUEST = 64 * 1024
"""Bytes of all arguments of one request."""

NEWEST_ROWS = 1_440
"""How far back `/market/candles` reaches."""

SECONDS_REACH = 90 * DAY
"""How far back history has one-second bars: three months."""

_CLOSING_DELAY = (0.0, 3.4)  # market seconds; the latest closing frame on record came after 3.4
_TWO_ROWS_EVERY = 4  # bars


@dataclass(frozen=True, slots=True)
class Quarters(Months):
    """Calendar quarters, from the first of January, April, July and October."""

    seconds: int = 90 * DAY  # nominal

    def floor(self, time: float) -> int:
        """Return the open time of the quarter that is running at `time`."""
        now = datetime.fromtimestamp(time, UTC)
        first_month = (now.month - 1) // 3 * 3 + 1
        return int(datetime(now.year, first_month, 1, tzinfo=UTC).timestamp())

    def after(self, open_time: int) -> int:
        """Return the first of the following quarter."""
        return self.floor(open_time + 95 * DAY)


INTERVALS: dict[str, Step] = {
    **steps("1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 2d 3d 5d 1w 1M"),
    "3M": Quarters(),
}

_UTC = ("6h", "12h", "1d", "2d", "3d", "5d", "1w", "1M", "3M")


def _code(interval: str) -> str:
    """Spell an interval as OKX does: `1H`, `1Dutc`; minutes and months alone keep their letter."""
    spelled = interval if interval[-1] in "smM" else interval.upper()
    return spelled + ("utc" if interval in _UTC else "")


CODES = {_code(interval): interval for interval in INTERVALS}
"""The exchange's word for an interval -> ours. A channel is `candle` and this word."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_OPERATIONS = ("subscribe", "unsubscribe")


# --- what is listed


@dataclass(frozen=True, slots=True)
class Contract:
    """The size of one contract: `value` units of `currency`."""

    value: Decimal
    currency: str
    inverse: bool


_LOTS_A_CONTRACT = 100
"""Recorded: 1330.07 contracts, so a lot is a hundredth of one."""

_SPOT = listed("USDT", "{}-{}".format)
_LINEAR = listed("USDT", "{}-{}-SWAP".format, lots={"BTC": "0.0001"})
_UPCOMING_SPOT = listed("USDT", "{}-{}".format, coins=UPCOMING)
_UPCOMING_LINEAR = listed("USDT", "{}-{}-SWAP".format, coins=UPCOMING)
_INVERSE = (
    Listing(
        trading_pair="BTC-USD",
        symbol="BTC-USD-SWAP",
        price=Decimal("97250.0"),
        tick=Decimal("0.1"),
        lot=Decimal("0.1"),
        trades_per_minute=20,
    ),
)


def contract(listing: Listing) -> Contract:
    """Return a swap's contract: 0.01 BTC for BTC-USDT and 100 USD for BTC-USD, as recorded.

    The sizes of all others are invented.
    """
    if listing.quote == "USD":
        return Contract(Decimal(100), "USD", inverse=True)
    return Contract(listing.lot * _LOTS_A_CONTRACT, listing.base, inverse=False)


def _spot_figures(bar: Bar, _: Listing) -> tuple[Decimal, Decimal, Decimal]:
    return bar.volume, bar.quote_volume, bar.quote_volume


def _swap_figures(bar: Bar, listing: Listing) -> tuple[Decimal, Decimal, Decimal]:
    size = contract(listing)
    traded = bar.quote_volume if size.inverse else bar.volume
    return traded / size.value, bar.volume, bar.quote_volume


_INSTRUMENT = {
    "alias": "",
    "baseCcy": "",
    "category": "1",
    "ctMult": "",
    "ctType": "",
    "ctVal": "",
    "ctValCcy": "",
    "expTime": "",
    "instFamily": "",
    "instId": "",
    "instType": "",
    "lever": "10",
    "listTime": "1548133413000",
    "lotSz": "",
    "maxIcebergSz": "9999999999",
    "maxLmtSz": "9999999999",
    "maxMktSz": "1000000",
    "maxStopSz": "1000000",
    "maxTriggerSz": "9999999999",
    "maxTwapSz": "9999999999",
    "minSz": "",
    "optType": "",
    "quoteCcy": "",
    "settleCcy": "",
    "state": "live",
    "stk": "",
    "tickSz": "",
    "uly": "",
}


_STATES = {True: "live", False: "suspend"}


def _spot_instrument(listing: Listing) -> dict[str, str]:
    return _INSTRUMENT | {
        "baseCcy": listing.base,
        "instId": listing.symbol,
        "instType": "SPOT",
        "lotSz": plain(listing.lot),
        "minSz": plain(listing.lot),
        "quoteCcy": listing.quote,
        "tickSz": plain(listing.tick),
    }


def _swap_instrument(listing: Listing) -> dict[str, str]:
    size = contract(listing)
    return _INSTRUMENT | {
        "ctMult": "1",
        "ctType": "inverse" if size.inverse else "linear",
        "ctVal": plain(size.value),
        "ctValCcy": size.currency,
        "instFamily": listing.trading_pair,
        "instId": listing.symbol,
        "instType": "SWAP",
        "lotSz": plain(Decimal(1) / _LOTS_A_CONTRACT),
        "minSz": plain(Decimal(1) / _LOTS_A_CONTRACT),
        "settleCcy": listing.base if size.inverse else listing.quote,
        "tickSz": plain(listing.tick),
        "uly": listing.trading_pair,
    }


# --- WebSocket


@dataclass(frozen=True, slots=True)
class _Request:
    """A well-formed request of a client."""

    operation: str
    arguments: list[dict[str, str]]
    ident: dict[str, str]


def _understand(frame: Frame) -> _Request | None:
    try:
        asked = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(asked, dict) or asked.get("op") not in _OPERATIONS:
        return None
    ident = asked.get("id", "0")
    if not (isinstance(ident, str) and _REQUEST_ID.fullmatch(ident) and _well_formed(asked)):
        return None
    return _Request(asked["op"], asked["args"], {"id": ident} if "id" in asked else {})


def _well_formed(asked: dict[str, Any]) -> bool:
    arguments = asked.get("args")
    return isinstance(arguments, list) and bool(arguments) and all(map(_is_argument, arguments))


def _is_argument(argument: object) -> bool:
    return isinstance(argument, dict) and all(
        isinstance(argument.get(name), str) for name in ("channel", "instId")
    )


def _frame(message: Mapping[str, object]) -> str:
    return orjson.dumps(message).decode()


class OkxConversation(Conversation):
    """One connection. `channels` are named `candle1m:BTC-USDT`; their tag is the argument."""

    def __init__(self, dialect: "Okx", connection_id: str, world: World, *, candles: bool) -> None:
        super().__init__()
        self._dialect = dialect
        self._connection_id = connection_id
        self._candles = candles
        self._requests: deque[float] = deque()
        self._heard(world)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer `ping`, or each argument of a request for itself."""
        self._heard(world)
        if frame == "ping":
            return (Send("pong"),)
        if len(frame) > LONGEST_REQUEST:
            return Overstep("bytes a message", LONGEST_REQUEST, len(frame)), Close(1009)
        request = _understand(frame)
        if request is None:
            return (Send(self._invalid(frame)),)
        self._count(world)
        if len(self._requests) > REQUESTS_PER_HOUR:
            seen = len(self._requests)
            return Overstep("requests an hour", REQUESTS_PER_HOUR, seen), Close(4008)
        answer = self._subscribe if request.operation == "subscribe" else self._unsubscribe
        return [Send(answer(argument, request.ident, world)) for argument in request.arguments]

    def tick(self, world: World) -> Iterable[Action]:
        """Close a connection on which nothing went for 30 s."""
        self.due = None
        return (Close(4004, "No data received in 30s."),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; at each fourth bar's end in one frame with the new bar."""
        self._heard(world)
        listing = world.market.listing(push.channel.trading_pair)
        rows = [self._dialect.row(push.bar, listing, closed=push.closed)]
        if push.closed:
            rows[:0] = self._new_bar(push, listing, world)
        return (_frame({"arg": push.channel.tag, "data": rows}),)

    def leaving(self, world: World) -> Iterable[Action]:
        """Tell of the upgrade."""
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        notice = {"event": "notice", "code": "64008", "msg": text, "connId": self._connection_id}
        return (Send(_frame(notice)),)

    def _new_bar(self, push: Push, listing: Listing, world: World) -> Iterator[list[str]]:
        bar, interval = push.bar, push.channel.interval
        if bar.open_time // (bar.close_time - bar.open_time) % _TWO_ROWS_EVERY:
            return
        asked = listing.trading_pair, interval, bar.close_time
        if world.skips(*asked) or not world.market.exists(*asked):
            return
        new = world.market.state(*asked, world.now.market)
        if not new.final:
            yield self._dialect.row(new, listing, closed=False)

    def _subscribe(self, argument: dict[str, str], ident: dict[str, str], world: World) -> str:
        channel = self._find(argument, world)
        if channel is None:
            return self._no_such_channel(argument, ident)
        self.channels.setdefault(channel.name, channel)
        return self._confirm("subscribe", argument, ident)

    def _unsubscribe(self, argument: dict[str, str], ident: dict[str, str], _: World) -> str:
        self.channels.pop(_name(argument), None)
        return self._confirm("unsubscribe", argument, ident)

    def _find(self, argument: dict[str, str], world: World) -> Channel | None:
        interval = CODES.get(argument["channel"].removeprefix("candle"))
        listing = world.market.symbols.get(argument["instId"])
        if not (self._candles and argument["channel"].startswith("candle")):
            return None
        if interval is None or listing is None or world.refuses(listing.trading_pair, interval):
            return None
        if not world.market.trades(listing.trading_pair):
            return None
        tag = {"channel": argument["channel"], "instId": argument["instId"]}
        return Channel(_name(argument), listing.trading_pair, interval, world.now.market, tag)

    def _confirm(self, event: str, argument: dict[str, str], ident: dict[str, str]) -> str:
        tag = {"channel": argument["channel"], "instId": argument["instId"]}
        return _frame({**ident, "event": event, "arg": tag, "connId": self._connection_id})

    def _no_such_channel(self, argument: dict[str, str], ident: dict[str, str]) -> str:
        what = f"channel:{argument['channel']},instId:{argument['instId']}"
        text = (
            f"Subscribe failed, wrong URL or {what} doesn't exist. "
            "Please use the correct URL, channel and parameters referring to API document."
        )
        error = {"event": "error", "msg": text, "code": "60018", "connId": self._connection_id}
        return _frame({**ident, **error})

    def _invalid(self, frame: Frame) -> str:
        quoted = frame if isinstance(frame, str) else frame.decode(errors="replace")
        error = {"event": "error", "code": "60012", "msg": f"Invalid request: {quoted}"}
        return _frame({**_readable_id(frame), **error, "connId": self._connection_id})

    def _count(self, world: World) -> None:
        self._requests.append(world.now.market)
        while self._requests[0] <= world.now.market - 3_600:
            self._requests.popleft()

    def _heard(self, world: World) -> None:
        self.due = world.now.real + IDLE


def _name(argument: dict[str, str]) -> str:
    return f"{argument['channel']}:{argument['instId']}"


def _readable_id(frame: Frame) -> dict[str, str]:
    try:
        asked = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return {}
    ident = asked.get("id") if isinstance(asked, dict) else None
    return {"id": ident} if isinstance(ident, str) else {}


# --- REST


def _fault(code: str, message: str, status: int = 200) -> HttpReply:
    return HttpReply({"code": code, "data": [], "msg": message}, status)


class _Refused(Exception):  # noqa: N818  (an answer, not an error)
    """A parameter is wrong: the reply that says so."""

    def __init__(self, reply: HttpReply) -> None:
        self.reply = reply


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isascii() or not value.isdigit():
        raise _Refused(_fault("51000", f"Parameter {name} error"))
    return int(value)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """One of the two candle endpoints: how many rows at most, and which bars it has not."""

    pool: str
    most: int
    without: tuple[str, ...]
    running: bool


_CANDLES = _Endpoint("candles", 300, ("1s", "5d"), running=True)
_HISTORY = _Endpoint("history", 100, ("5d",), running=False)

_Route = Callable[[Mapping[str, str], World], HttpReply]
_Figured = Callable[[Bar, Listing], tuple[Decimal, Decimal, Decimal]]


class Okx(Dialect):
    """OKX, one kind of instruments. `figures` and `instrument` are what the kinds differ by."""

    intervals = INTERVALS
    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=True, history=True)
    closing = Closing(delay=_CLOSING_DELAY, flagged=True, overlaps=False)
    notice = 60.0
    limits = Limits(
        attempts=Rate(3, 1),
        rest={
            "candles": Rate(40, 2),
            "history": Rate(20, 2),
            "instruments": Rate(20, 2),
        },
    )

    def __init__(
        self,
        kind: str,
        listings: tuple[Listing, ...],
        volumes: _Figured,
        instrument: Callable[[Listing], dict[str, str]],
        upcoming: tuple[Listing, ...],
    ) -> None:
        self.market = {"SPOT": "okx_spot", "SWAP": "okx_perpetual"}[kind]
        self.listings = listings
        self.upcoming = upcoming
        self._kind = kind
        self._volumes = volumes
        self._instrument = instrument
        self._connections = count(1)
        self._refusals = count()

    def row(self, bar: Bar, listing: Listing, *, closed: bool) -> list[str]:
        """Return the nine strings that OKX says for a candle, live and in history."""
        prices = (bar.open, bar.high, bar.low, bar.close)
        figures = (*prices, *self._volumes(bar, listing))
        return [str(bar.open_ms), *map(plain, figures), "1" if closed else "0"]

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the two public paths."""
        if request.path not in CHANNELS:
            return _fault("404", "Not Found", 404)
        ident = f"{crc32(f'{self.market}:{next(self._connections)}'.encode()):08x}"
        return OkxConversation(self, ident, world, candles=request.path == CHANNELS[0])

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer the three endpoints that matter to candles."""
        routes: dict[str, _Route] = {
            "/api/v5/market/candles": partial(self._candles, _CANDLES),
            "/api/v5/market/history-candles": partial(self._candles, _HISTORY),
            "/api/v5/public/instruments": self._instruments,
        }
        route = routes.get(request.path)
        if route is None or request.method != "GET":
            return _fault("404", "Not Found", 404)
        try:
            return route(request.query, world)
        except _Refused as refused:
            return refused.reply

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return error 50011, by turns as HTTP 429 and inside HTTP 200."""
        if next(self._refusals) % 2:
            return _fault("50011", "Rate limit reached")
        body = {"code": "50011", "data": [], "msg": "Too Many Requests"}
        return HttpReply(body, 429, retry_header(retry_after))

    def _candles(self, endpoint: _Endpoint, query: Mapping[str, str], world: World) -> HttpReply:
        listing, interval = self._wanted(endpoint, query, world)
        bars = _rows(endpoint, query, world, listing, interval)
        rows = [self.row(bar, listing, closed=bar.final) for bar in reversed(bars)]
        return HttpReply(
            {"code": "0", "msg": "", "data": rows},
            charges=(Charge(endpoint.pool, 1),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="data",
        )

    def _wanted(
        self, endpoint: _Endpoint, query: Mapping[str, str], world: World
    ) -> tuple[Listing, str]:
        if "instId" not in query:
            raise _Refused(_fault("51000", "Parameter instId error"))
        listing = world.market.symbols.get(query["instId"])
        if listing is None:
            raise _Refused(_fault("51001", "Instrument ID doesn't exist."))
        interval = CODES.get(query.get("bar", "1m"))
        if interval is None or interval in endpoint.without:
            raise _Refused(_fault("51000", "Parameter bar error"))
        return listing, interval

    def _instruments(self, query: Mapping[str, str], world: World) -> HttpReply:
        if query.get("instType") not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
            raise _Refused(_fault("51000", "Parameter instType error"))
        listings = world.market.listings if query["instType"] == self._kind else {}
        rows = [
            self._instrument(listing) | {"state": _STATES[world.market.trades(name)]}
            for name, listing in listings.items()
        ]
        return HttpReply(
            {"code": "0", "data": rows, "msg": ""}, charges=(Charge("instruments", 1),)
        )


def _rows(
    endpoint: _Endpoint, query: Mapping[str, str], world: World, listing: Listing, interval: str
) -> list[Bar]:
    """Return the newest bars between the cursors, ascending; both cursors are exclusive."""
    now = world.now.market
    limit = _number(query, "limit", 100)
    if not limit:
        raise _Refused(_fault("51000", "Parameter limit error"))
    last = (_number(query, "after", world.now.millis + 1) - 1) // 1_000
    first = _number(query, "before", 0) // 1_000 + 1
    running = INTERVALS[interval].floor(now)
    if not endpoint.running:
        last = min(last, running - 1)
    first = max(first, _reach(endpoint, interval, running))
    bars = world.market.latest(listing.trading_pair, interval, last, now, min(limit, endpoint.most))
    return [bar for bar in bars if bar.open_time >= first]


def _reach(endpoint: _Endpoint, interval: str, running: int) -> int:
    if endpoint.running:
        return running - (NEWEST_ROWS - 1) * INTERVALS[interval].seconds
    return running - SECONDS_REACH if interval == "1s" else 0


DIALECTS = (
    partial(Okx, "SPOT", _SPOT, _spot_figures, _spot_instrument, _UPCOMING_SPOT),
    partial(Okx, "SWAP", _LINEAR + _INVERSE, _swap_figures, _swap_instrument, _UPCOMING_LINEAR),
)
