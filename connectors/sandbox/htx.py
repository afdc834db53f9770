"""HTX: `htx_spot` and `htx_perpetual` (USDT swaps), from the card and recordings (2018–2026).

Oddities that a client meets here:

* Every frame of the server is binary: gzip, on the swap socket with a sync flush block inside, as
  recorded. The client speaks plain text. One topic a message.
* The server pings every 5 s, with a number that must come back. After the first miss it pings each
  second; 15 s after the last answer it closes with 1003.
* At each second subscription a candle comes before the confirmation.
* Figures are JSON numbers, below 0.001 and from ten million on in exponent form. `vol` is the quote
  volume on spot and contracts on swaps, always even, as both sides are counted. A bar opens
  where the one before closed. No frame says that a bar is closed.
* Days, weeks, months and years are cut at UTC+8: a day opens at 16:00 UTC.
* Spot history is newest first; `kline` knows `size` alone, `candles` a range, but not by months or
  years. Swap history is oldest first; with `size` its bounds are ignored. Errors come inside
  HTTP 200.

What the card calls UNKNOWN or leaves open, and what is done here:

* Bars without trades: not pushed; flat rows in history. The last update of a bar may lack its last
  trades, and nothing follows it.
* Weeks begin on Fridays in UTC+8.
* Spot's `candles`: `from` includes and `to` does not; the newest rows win. Swaps: both include; a
  range of more than 2000 bars is refused.
* An unknown symbol: `invalid symbol` on spot, `invalid topic` on swaps.
* More than 40 subscriptions a second on swaps: the 429 text. What is no JSON: an error without id.
* Too many requests: HTTP 429 with a made-up code; so are the texts of bad parameters.
* A pair whose trading has ended: `offline`, on swaps status 3; it is `not open now`.
* Dated futures stand among the contracts and have no candles here; sizes other than BTC's are
  invented. Limits of connections and topics are not known: there are none.

Left out: history over the socket (`req`).
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count, islice

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
    Overstep,
    Push,
    Quiet,
    Rate,
    Send,
    World,
    plain,
    retry_header,
)
from connectors.sandbox.grid import DAY, Fixed, Months, Step, steps
from connectors.sandbox.listing import COINS, UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_requests import Refused, digits, number, understood, whole, written

PING_EVERY, PING_AFTER_A_MISS, PATIENCE = 5.0, 1.0, 15.0
"""Real seconds: between pings, the same after one was missed, and until the close."""

_EAST = 8 * 3_600  # UTC+8
_CUT = DAY - _EAST  # 16:00 UTC


class _EasternMonths(Months):
    """Calendar months in UTC+8."""

    def floor(self, time: float) -> int:
        """Return the open time of the month that is running at `time`."""
        return Months().floor(time + _EAST) - _EAST


@dataclass(frozen=True, slots=True)
class _EasternYears(Months):
    """Calendar years in UTC+8."""

    seconds: int = 365 * DAY  # nominal

    def floor(self, time: float) -> int:
        """Return the open time of the year that is running at `time`."""
        year = datetime.fromtimestamp(time + _EAST, UTC).year
        return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) - _EAST

    def after(self, open_time: int) -> int:
        """Return the beginning of the following year."""
        return self.floor(open_time + 370 * DAY)


_SWAP_INTERVALS: dict[str, Step] = {
    **steps("1m 5m 15m 30m 1h 4h"),
    "1d": Fixed(DAY, _CUT),
    "1w": Fixed(7 * DAY, _CUT),
    "1M": _EasternMonths(),
}

_WORDS = {
    "1min": "1m",
    "5min": "5m",
    "15min": "15m",
    "30min": "30m",
    "60min": "1h",
    "4hour": "4h",
    "1day": "1d",
    "1week": "1w",
    "1mon": "1M",
    "1year": "1y",
}
"""The exchange's word for an interval -> ours."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the two markets differ by. `subscriptions` are per second."""

    market: str
    socket: str
    listings: tuple[Listing, ...]
    upcoming: tuple[Listing, ...]
    intervals: Mapping[str, Step]
    rest: Rate
    subscriptions: int | None = None

    @property
    def spot(self) -> bool:
        """Whether it is spot."""
        return self.market == "htx_spot"


def _spot_symbol(base: str, quote: str) -> str:
    return f"{base}{quote}".lower()


_ETH_BTC = Listing(
    trading_pair="ETH-BTC",
    symbol="ethbtc",
    price=Decimal("0.03517"),
    tick=Decimal("0.00001"),
    lot=Decimal("0.001"),
    trades_per_minute=10,
    usual_trade=Decimal("0.01"),
    continuous=True,
)
_SHIB = Coin("SHIB", "0.00002471", "0.00000001", "1000", 8)

_SIZES = {coin.name: Decimal(coin.lot) for coin in (*COINS, *UPCOMING)} | {"BTC": Decimal("0.001")}
"""Base coins of one contract: that of BTC as recorded, the others invented."""

_BOTH_SIDES = {name: str(2 * size) for name, size in _SIZES.items()}
"""Lots of two contracts, for each trade counts twice."""

_listed = partial(listed, continuous=True)

SPOT = Kind(
    "htx_spot",
    "/ws",
    (*_listed("USDT", _spot_symbol, coins=(*COINS, _SHIB)), _ETH_BTC),
    _listed("USDT", _spot_symbol, coins=UPCOMING),
    {**_SWAP_INTERVALS, "1y": _EasternYears()},
    rest=Rate(10, 1),
)
SWAP = Kind(
    "htx_perpetual",
    "/linear-swap-ws",
    _listed("USDT", "{}-{}".format, lots=_BOTH_SIDES),
    _listed("USDT", "{}-{}".format, lots=_BOTH_SIDES, coins=UPCOMING),
    _SWAP_INTERVALS,
    rest=Rate(800, 1),
    subscriptions=40,
)


# --- candles


def printed(value: Decimal) -> orjson.Fragment:
    """Return a number as these servers print it: with a point, and E for small and large ones."""
    if value == 0:
        return number("0.0")
    if Decimal("0.001") <= value < 10_000_000:
        shown = plain(value)
        return number(shown if "." in shown else f"{shown}.0")
    power = value.adjusted()
    mantissa = plain(value.scaleb(-power))
    return number(f"{mantissa if '.' in mantissa else mantissa + '.0'}E{power}")


def _spot_tick(bar: Bar, _: Listing) -> dict[str, object]:
    return {
        "id": bar.open_time,
        "open": printed(bar.open),
        "close": printed(bar.close),
        "low": printed(bar.low),
        "high": printed(bar.high),
        "amount": printed(bar.volume),
        "vol": printed(bar.quote_volume),
        "count": bar.trades,
    }


def _swap_row(bar: Bar, listing: Listing) -> dict[str, object]:
    return {
        "id": bar.open_time,
        "open": printed(bar.open),
        "close": printed(bar.close),
        "high": printed(bar.high),
        "low": printed(bar.low),
        "amount": printed(bar.volume),
        "vol": int(bar.volume / _SIZES[listing.base]),
        "trade_turnover": printed(bar.quote_volume),
        "count": bar.trades,
    }


def _swap_tick(bar: Bar, listing: Listing) -> dict[str, object]:
    row = _swap_row(bar, listing)
    return {"id": row.pop("id"), "mrid": 131_592_424_000 + bar.first_trade, **row}


# --- WebSocket


def packed(message: object, *, flushed: bool) -> bytes:
    """Return a message as one gzip member; `flushed`: with a sync flush block before its end."""
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(written(message).encode())
    middle = packer.flush(zlib.Z_SYNC_FLUSH) if flushed else b""
    return start + middle + packer.flush()


class HtxConversation(Conversation):
    """One connection; `channels` are named by their topics."""

    def __init__(self, kind: Kind, world: World) -> None:
        super().__init__()
        self._kind = kind
        self._subscriptions = count()
        self._recent: deque[float] = deque()
        self._answered_at = world.now.real
        self._pings: set[int] = set()
        self.due = world.now.real + PING_EVERY

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, take a pong, or answer a topic."""
        asked = understood(frame) or {}
        match asked:
            case {"pong": int() as value}:
                return self._heard(value, world)
            case {"ping": value}:
                return (self._send({"pong": value}),)
            case {"sub": str() as topic}:
                return self._subscribe(asked, topic, world)
            case {"unsub": str() as topic}:
                return (self._unsubscribe(asked, topic, world),)
        return (self._fail(asked, "invalid message", world),)

    def tick(self, world: World) -> Iterable[Action]:
        """Ping, or close on who did not answer."""
        now = world.now.real
        if now >= self._answered_at + PATIENCE:
            self.due = None
            return (Close(1003, "ping check expired"),)
        self.due = now + (PING_AFTER_A_MISS if self._pings else PING_EVERY)
        self.due = min(self.due, self._answered_at + PATIENCE)
        self._pings.add(world.told.millis)
        return (self._send({"ping": world.told.millis}),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle."""
        return (self._tick(push.channel, push.bar, world),)

    def _heard(self, value: int, world: World) -> Iterable[Action]:
        if value in self._pings:
            self._pings.clear()
            self._answered_at = world.now.real
            self.due = world.now.real + PING_EVERY
        return ()

    def _subscribe(self, asked: Mapping[str, object], topic: str, world: World) -> list[Action]:
        if over := self._hasty(world):
            return [over, self._fail(asked, f"429 too many request topic is {topic}", world)]
        channel = self._find(topic, world)
        if isinstance(channel, str):
            return [self._fail(asked, channel, world)]
        confirmed = self._succeed(asked, {"subbed": topic}, world)
        if topic in self.channels:
            return [confirmed]
        self.channels[topic] = channel
        pair, interval, now = channel.trading_pair, channel.interval, world.now.market
        bar = world.market.current(pair, interval, now)
        early = next(self._subscriptions) % 2 and bar.trades
        if early and not world.skips(pair, interval, bar.open_time):
            return [Send(self._tick(channel, bar, world)), confirmed]
        return [confirmed]

    def _unsubscribe(self, asked: Mapping[str, object], topic: str, world: World) -> Action:
        if self.channels.pop(topic, None) is None:
            return self._fail(asked, f"unsub with not subbed topic {topic}", world)
        return self._succeed(asked, {"unsubbed": topic}, world)

    def _find(self, topic: str, world: World) -> Channel | str:
        """Return the channel that a topic means, or why there is none."""
        match topic.split("."):
            case ["market", symbol, "kline", word]:
                listing, interval = world.market.symbols.get(symbol), _WORDS.get(word)
            case _:
                return f"invalid topic {topic}"
        if interval is None or interval not in self._kind.intervals:
            return f"invalid topic {topic}"
        if listing is None:
            return f"invalid symbol {symbol}" if self._kind.spot else f"invalid topic {topic}"
        if not world.market.trades(listing.trading_pair):
            return f"symbol:{symbol} trade not open now "
        if world.refuses(listing.trading_pair, interval):
            return f"invalid topic {topic}"
        return Channel(topic, listing.trading_pair, interval, world.now.market)

    def _hasty(self, world: World) -> Overstep | None:
        allowed, now = self._kind.subscriptions, world.now.market
        self._recent.append(now)
        while self._recent[0] <= now - 1:
            self._recent.popleft()
        if allowed is None or len(self._recent) <= allowed:
            return None
        return Overstep("subscriptions a second", allowed, len(self._recent))

    # --- frames

    def _tick(self, channel: Channel, bar: Bar, world: World) -> Frame:
        listing = world.market.listing(channel.trading_pair)
        tick = _spot_tick(bar, listing) if self._kind.spot else _swap_tick(bar, listing)
        message = {"ch": channel.name, "ts": world.told.millis, "tick": tick}
        return packed(message, flushed=not self._kind.spot)

    def _succeed(
        self, asked: Mapping[str, object], what: Mapping[str, str], world: World
    ) -> Action:
        status, ts = {"status": "ok"}, {"ts": world.told.millis}
        if self._kind.spot:
            return self._send({**_ident(asked), **status, **what, **ts})
        return self._send({**_ident(asked), **what, **ts, **status})

    def _fail(self, asked: Mapping[str, object], text: str, world: World) -> Action:
        error = {"status": "error", "err-code": "bad-request", "err-msg": text}
        return self._send({**_ident(asked), **error, "ts": world.told.millis})

    def _send(self, message: Mapping[str, object]) -> Action:
        return Send(packed(message, flushed=not self._kind.spot))


def _ident(asked: Mapping[str, object]) -> dict[str, object]:
    return {"id": asked["id"]} if "id" in asked else {}


# --- REST


_Route = Callable[[Mapping[str, str], World], HttpReply]

_MOST, _USUAL, _MOST_OF_A_RANGE = 2_000, 150, 1_000
_SWAP_DEPTH = 2 * 365 * DAY


def _wrong(text: str, world: World) -> HttpReply:
    start = {"ts": world.told.millis, "status": "error"}
    return HttpReply({**start, "err-code": "invalid-parameter", "err-msg": text})


class Htx(Dialect):
    """What the two markets share."""

    figures = Figures(quote_volume=True, trades=True)
    quiet = Quiet(stream=False, history=True)
    kind: Kind

    def __init__(self) -> None:
        self.market = self.kind.market
        self.intervals = self.kind.intervals
        self.listings = self.kind.listings
        self.upcoming = self.kind.upcoming
        self.limits = Limits(rest={"public": self.kind.rest})

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept this market's path."""
        if request.path != self.kind.socket:
            return HttpReply("Not Found", 404)
        return HtxConversation(self.kind, world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments, and refuse inside HTTP 200."""
        route = self.routes().get(request.path)
        if route is None or request.method != "GET":
            return HttpReply("Not Found", 404)
        try:
            reply = route(request.query, world)
        except Refused as refused:
            reply = refused.reply
        return replace(reply, charges=(Charge("public", 1),))

    def routes(self) -> dict[str, _Route]:
        """Return what answers which path."""
        return {}

    def wanted(
        self, query: Mapping[str, str], name: str, world: World
    ) -> tuple[Listing, str, HttpReply]:
        """Return the listing and interval asked for, and a reply without rows."""
        listing = world.market.symbols.get(query.get(name, ""))
        if listing is None:
            raise Refused(_wrong(f"invalid {name}", world))
        word = query.get("period", "")
        interval = _WORDS.get(word)
        if interval is None or interval not in self.intervals:
            raise Refused(_wrong("invalid period", world))
        body = {"status": "ok", "ch": f"market.{listing.symbol}.kline.{word}"}
        reply = HttpReply({**body, "ts": world.told.millis}, rows="data")
        return (
            listing,
            interval,
            replace(reply, trading_pair=listing.trading_pair, interval=interval),
        )

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; the card does not give its body."""
        start = {"ts": world.told.millis, "status": "error"}
        body = {**start, "err-code": "too-many-request", "err-msg": "429 too many request"}
        return HttpReply(body, 429, retry_header(retry_after))


def _size(query: Mapping[str, str], most: int, world: World) -> int:
    wrong = _wrong("invalid size", world)
    size = whole(query, "size", wrong)
    if size is not None and not 0 < size <= most:
        raise Refused(wrong)
    return _USUAL if size is None else size


def _with_rows(reply: HttpReply, rows: list[dict[str, object]]) -> HttpReply:
    assert isinstance(reply.body, dict)  # noqa: S101  (as `wanted` made it)
    return replace(reply, body={**reply.body, "data": rows})


class HtxSpot(Htx):
    """`htx_spot`: newest first."""

    kind = SPOT

    def routes(self) -> dict[str, _Route]:
        """Return what answers which path."""
        return {
            "/market/history/kline": self._kline,
            "/market/history/candles": self._candles,
            "/v1/common/symbols": self._symbols,
        }

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Tell how many requests are left in this second, and when it ends."""
        left = max(0, self.kind.rest.allowed - used)
        end = str((world.told.millis // 1_000 + 1) * 1_000)
        return {
            "X-HB-RateLimit-Requests-Remain": str(left),
            "X-HB-RateLimit-Requests-Expire": end,
        }

    def _kline(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing, interval, reply = self.wanted(query, "symbol", world)
        now, size = world.now.market, _size(query, _MOST, world)
        bars = world.market.latest(listing.trading_pair, interval, now, now, size)
        return _with_rows(reply, [_spot_tick(bar, listing) for bar in bars[::-1]])

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing, interval, reply = self.wanted(query, "symbol", world)
        if interval in ("1M", "1y"):
            raise Refused(_wrong("invalid period", world))
        wrong, now = _wrong("invalid from or to", world), world.now.market
        first, end = whole(query, "from", wrong), whole(query, "to", wrong)
        last = now if end is None else end - 1
        size = _size(query, _MOST_OF_A_RANGE, world)
        bars = world.market.backwards(listing.trading_pair, interval, first or 0, last, now)
        return _with_rows(reply, [_spot_tick(bar, listing) for bar in islice(bars, size)])

    def _symbols(self, _: Mapping[str, str], world: World) -> HttpReply:
        rows = [
            _symbol(listing, "online" if world.market.trades(name) else "offline")
            for name, listing in world.market.listings.items()
        ]
        return HttpReply({"status": "ok", "data": [*rows, _symbol(_NOT_TRADING, "offline")]})


class HtxSwap(Htx):
    """`htx_perpetual`: oldest first."""

    kind = SWAP

    def routes(self) -> dict[str, _Route]:
        """Return what answers which path."""
        return {
            "/linear-swap-ex/market/history/kline": self._kline,
            "/linear-swap-api/v1/swap_contract_info": self._contracts,
        }

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Tell the limit, what is left of it, and how long it counts."""
        return {
            "ratelimit-limit": str(self.kind.rest.allowed),
            "ratelimit-remaining": str(max(0, self.kind.rest.allowed - used)),
            "ratelimit-reset": str((world.told.millis // 1_000 + 1) * 1_000),
            "ratelimit-interval": "1000",
        }

    def _kline(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing, interval, reply = self.wanted(query, "contract_code", world)
        wrong, now = _wrong("invalid from or to", world), world.now.market
        first, last = whole(query, "from", wrong), whole(query, "to", wrong)
        pair, most = listing.trading_pair, _MOST
        if "size" in query or first is None:
            first, last, most = 0, None, _size(query, _MOST, world)
        elif last is None or (last - first) / self.intervals[interval].seconds > _MOST:
            raise Refused(wrong)
        first = max(first, int(now) - _SWAP_DEPTH)
        bars = world.market.backwards(pair, interval, first, now if last is None else last, now)
        return _with_rows(reply, [_swap_row(bar, listing) for bar in islice(bars, most)][::-1])

    def _contracts(self, query: Mapping[str, str], world: World) -> HttpReply:
        rows: list[dict[str, object]] = []
        for name, listing in world.market.listings.items():
            row = _contract(listing, trading=world.market.trades(name))
            rows.append(row)
            if listing.base == "BTC":
                rows.append({**row, **_DATED})
        code = query.get("contract_code")
        asked = [row for row in rows if code in (None, row["contract_code"])]
        if not asked:
            raise Refused(_wrong("invalid contract_code", world))
        return HttpReply({"status": "ok", "data": asked, "ts": world.told.millis})


_NOT_TRADING = replace(_ETH_BTC, trading_pair="VEN-ETH", symbol="veneth")
"""In the recorded list of symbols, offline; it has no candles here."""

_DATED = {
    "contract_code": "BTC-USDT-261225",
    "business_type": "futures",
    "contract_type": "quarter",
    "delivery_date": "20261225",
}


def _symbol(listing: Listing, state: str) -> dict[str, object]:
    return {
        "base-currency": listing.base.lower(),
        "quote-currency": listing.quote.lower(),
        "price-precision": digits(listing.tick),
        "amount-precision": digits(listing.lot),
        "symbol-partition": "main",
        "symbol": listing.symbol,
        "state": state,
        "value-precision": 8,
        "api-trading": "enabled",
    }


def _contract(listing: Listing, *, trading: bool) -> dict[str, object]:
    return {
        "symbol": listing.base,
        "contract_code": listing.symbol,
        "contract_size": float(_SIZES[listing.base]),
        "price_tick": float(listing.tick),
        "delivery_date": "",
        "delivery_time": "",
        "create_date": "20201021",
        "contract_status": 1 if trading else 3,
        "business_type": "swap",
        "pair": listing.trading_pair,
        "contract_type": "swap",
        "trade_partition": listing.quote,
    }


DIALECTS = (HtxSpot, HtxSwap)
