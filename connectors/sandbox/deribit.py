"""Deribit's perpetuals over JSON-RPC, as it speaks: card deribit.

Oddities: an unknown channel is refused in silence, by its absence in the confirmation, which has
an order of its own. The heartbeat is the server's once it was asked for: each `test_request` must
be answered by a call. Volume is base and cost is quote, on inverse contracts, too. Keys of frames
come in any order, and numbers in exponent form where that is shorter. Bars without trades are
sent; no frame says that a bar is closed. History comes in columns, or as `no_data`.

What the card calls UNKNOWN or leaves open, and what is done here:

* Days begin at 08:00 UTC, when contracts settle, and so do bars of 3, 6 and 12 hours.
* `start_timestamp` is not included, `end_timestamp` is. More than 5000 bars: the newest win.
* After a bar's end nothing more comes of it, nor again when it changed.
* `test_request` and `heartbeat` come together, each `interval`; only `public/test` is an answer.
* Credits are counted by connection, in market time; without enough the call fails with 10028.
* A longer message than 32768 bytes is closed with 1009; more than 500 channels a call are invalid.
* A pair whose trading has ended is not `is_active`, and its channel is missing in confirmations.
* `currency` of the instruments is what settles, so linear contracts are below USDC; without it
  all come. Their keys beside the card's are those of ccxt 4.5.64.
* Unknown instruments and resolutions of REST: -32602 that names the parameter. Requests are
  counted as 20 a second, instruments as 50 in 50 seconds.

Costs of inverse contracts are no multiples of 10 here, as real ones are. Left out: spot, options,
dated futures but one of the instruments, and calls other than the four that candles need.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from math import inf
from typing import Any

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
    World,
    plain,
    retry_header,
)
from connectors.sandbox.grid import DAY, Fixed, Step, steps
from connectors.sandbox.listing import COINS, UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import send
from connectors.sandbox.shared_requests import Refused, number, understood, whole, written

IDLE, ANSWER = 60.0, 10.0
"""Real seconds: without traffic and subscriptions until the cut; for the answer to a test."""

_SETTLEMENT = 8 * 3_600
_MOST = 5_000
_MESSAGE_BYTES = 32_768
_CHANNELS_A_CALL = 500
_LEAST_INTERVAL = 10
_CHANNEL = re.compile(r"chart\.trades\.([^.]+)\.([^.]+)")

_INTERVALS: dict[str, Step] = {
    **steps("1m 3m 5m 10m 15m 30m 1h 2h"),
    **{f"{hours}h": Fixed(hours * 3_600, _SETTLEMENT) for hours in (3, 6, 12)},
    "1d": Fixed(DAY, _SETTLEMENT),
}
_RESOLUTIONS = {
    **{str(grid.seconds // 60): name for name, grid in _INTERVALS.items() if name != "1d"},
    "1D": "1d",
}


_REVERSED = (replace(COINS[0], tick="0.5"), replace(COINS[1], tick="0.05"))


def _linear(coins: tuple[Coin, ...]) -> tuple[Listing, ...]:
    return listed("USDC", "{}_{}-PERPETUAL".format, coins=coins)


def _is_inverse(listing: Listing) -> bool:
    return listing.quote == "USD"


# --- messages


def _answer(world: World, ident: object, **content: object) -> dict[str, object]:
    """Return a reply of JSON-RPC; without an id where `ident` is None."""
    micros = int(world.told.market * 1e6)
    named = {} if ident is None else {"id": ident}
    times = {"usIn": micros, "usOut": micros + 90, "usDiff": 90, "testnet": False}
    return {"jsonrpc": "2.0", **named, **content, **times}


def _invalid(param: str, reason: str = "wrong format") -> dict[str, object]:
    data = {"reason": reason, "param": param}
    return {"message": "Invalid params", "data": data, "code": -32_602}


_TOO_MANY = {"code": 10_028, "message": "too_many_requests", "data": None}
_NO_METHOD = {"code": -32_601, "message": "Method not found"}
_BAD_JSON = {"code": 11_050, "data": "invalid json", "message": "bad_request"}


def _figure(value: Decimal) -> str:
    """Return a number as Deribit prints it: with a digit after the point, or an exponent."""
    printed = plain(value)
    decimal = printed if "." in printed else f"{printed}.0"
    first, *rest = value.normalize().as_tuple().digits
    scientific = f"{first}.{''.join(map(str, rest)) or 0}e{value.adjusted()}"
    return min(decimal, scientific, key=len)


# --- WebSocket


class _Credits:
    """Credits that calls cost: at most `most`, of which `refill` come back each second."""

    def __init__(self, cost: int, most: int, refill: int, now: float) -> None:
        self.cost, self.most = cost, most
        self._refill = refill
        self._left, self._at = float(most), now

    def take(self, now: float) -> bool:
        """Pay for a call at market time `now`; return whether it could be paid."""
        self._left = min(self.most, self._left + (now - self._at) * self._refill)
        self._at = now
        if self._left < self.cost:
            return False
        self._left -= self.cost
        return True


class DeribitConversation(Conversation):
    """One connection. Channels are named as they are asked for."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._traffic = world.now.real
        self._every = inf
        self._next_test = inf
        self._deadline = inf
        self._subscribing = _Credits(3_000, 30_000, 10_000, world.now.market)
        self._calling = _Credits(500, 50_000, 10_000, world.now.market)
        self._look_again()

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a call."""
        self._traffic = world.now.real
        if len(frame) > _MESSAGE_BYTES:
            return Overstep("message bytes", _MESSAGE_BYTES, len(frame)), Close(1009)
        asked = understood(frame)
        if asked is None:
            return (send(_answer(world, None, error=_BAD_JSON)),)
        actions = self._call(asked, world)
        self._look_again()
        return actions

    def tick(self, world: World) -> Iterable[Action]:
        """Test the client, or end a connection that failed the test or is idle."""
        now = world.now.real
        actions: list[Action] = []
        if now >= self._deadline:
            return (Close(4000, "heartbeat close"),)
        if now >= self._next_test:
            self._traffic, self._next_test = now, now + self._every
            self._deadline = min(self._deadline, now + ANSWER)
            actions = [send(_heartbeat("heartbeat")), send(_heartbeat("test_request"))]
        elif not self.channels and now >= self._traffic + IDLE:
            return (Cut(),)
        self._look_again()
        return actions

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Return an update; the order of its keys changes from bar to bar."""
        data = {name: number(_figure(figure)) for name, figure in _figures(push.bar).items()}
        told = {"volume": data.pop("volume"), "tick": push.bar.open_ms, **data}
        params = {"channel": push.channel.name, "data": told}
        frame = {"jsonrpc": "2.0", "method": "subscription", "params": params}
        length = push.bar.close_time - push.bar.open_time
        if push.bar.open_time // length % 2:
            params = dict(reversed(params.items()))
            frame = dict(reversed({**frame, "params": params}.items()))
        return (written(frame),)

    def _call(self, asked: Mapping[str, Any], world: World) -> Iterable[Action]:
        method, ident = asked.get("method"), asked.get("id")
        params = asked["params"] if isinstance(asked.get("params"), dict) else {}
        calls = {
            "public/subscribe": self._subscribe,
            "public/unsubscribe": self._unsubscribe,
            "public/set_heartbeat": self._set_heartbeat,
            "public/test": self._test,
        }
        pool = self._subscribing if method == "public/subscribe" else self._calling
        if not pool.take(world.now.market):
            over = Overstep(f"credits of {method}", pool.most, pool.most + pool.cost)
            return over, send({"jsonrpc": "2.0", "id": ident, "error": _TOO_MANY})
        if method not in calls:
            return (send(_answer(world, ident, error=_NO_METHOD)),)
        result = calls[method](params, world)
        kind = "error" if isinstance(result, dict) and "code" in result else "result"
        return (send(_answer(world, ident, **{kind: result})),)

    def _subscribe(self, params: Mapping[str, Any], world: World) -> object:
        names = _channels(params)
        if names is None:
            return _invalid("channels")
        accepted = []
        for name in dict.fromkeys(names):
            if name not in self.channels and (found := self._find(name, world)) is not None:
                self.channels[name] = Channel(name, *found, since=world.now.market)
            if name in self.channels:
                accepted.append(name)
        return accepted[::-1]

    def _find(self, name: str, world: World) -> tuple[str, str] | None:
        """Return the pair and interval that a channel means, if it is served."""
        match = _CHANNEL.fullmatch(name)
        listing = world.market.symbols.get(match[1]) if match else None
        interval = _RESOLUTIONS.get(match[2]) if match else None
        if listing is None or interval is None:
            return None
        pair = listing.trading_pair
        served = world.market.trades(pair) and not world.refuses(pair, interval)
        return (pair, interval) if served else None

    def _unsubscribe(self, params: Mapping[str, Any], world: World) -> object:
        names = _channels(params)
        if names is None:
            return _invalid("channels")
        return [name for name in names if self.channels.pop(name, None) is not None]

    def _set_heartbeat(self, params: Mapping[str, Any], world: World) -> object:
        every = params.get("interval")
        if not isinstance(every, int) or every < _LEAST_INTERVAL:
            return _invalid("interval")
        self._every, self._next_test = float(every), world.now.real + every
        return "ok"

    def _test(self, params: Mapping[str, Any], world: World) -> object:
        self._deadline = inf
        return {"version": "1.2.26"}

    def _look_again(self) -> None:
        idle = inf if self.channels else self._traffic + IDLE
        due = min(idle, self._next_test, self._deadline)
        self.due = None if due == inf else due


def _channels(params: Mapping[str, Any]) -> list[str] | None:
    """Return the channels of a call; None where they are no list of few texts."""
    names = params.get("channels")
    if not isinstance(names, list) or len(names) > _CHANNELS_A_CALL:
        return None
    return names if all(isinstance(name, str) for name in names) else None


def _heartbeat(kind: str) -> dict[str, object]:
    return {"params": {"type": kind}, "method": "heartbeat", "jsonrpc": "2.0"}


# --- REST


def _figures(bar: Bar) -> dict[str, Decimal]:
    return {
        "volume": bar.volume,
        "open": bar.open,
        "low": bar.low,
        "high": bar.high,
        "cost": bar.quote_volume,
        "close": bar.close,
    }


class DeribitPerpetual(Dialect):
    """`deribit_perpetual`: inverse contracts in USD and linear ones in USDC."""

    market = "deribit_perpetual"
    intervals = _INTERVALS
    listings = (*listed("USD", "{}-PERPETUAL".format, coins=_REVERSED), *_linear(COINS))
    upcoming = _linear(UPCOMING)
    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=True, history=True)
    compresses = True
    limits = Limits(connections=32, rest={"requests": Rate(20, 1), "instruments": Rate(50, 50)})

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/ws/api/v2":
            return HttpReply("Not Found", 404)
        return DeribitConversation(world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        if request.method != "GET" or not request.path.startswith("/api/v2/public/"):
            return HttpReply("Not Found", 404)
        try:
            match request.path.rpartition("/")[2]:
                case "get_tradingview_chart_data":
                    return self._candles(request.query, world)
                case "get_instruments":
                    return _instruments(request.query, world)
        except Refused as refused:
            return refused.reply
        return _refusal(_NO_METHOD, world)

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing = world.market.symbols.get(query.get("instrument_name", ""))
        interval = _RESOLUTIONS.get(query.get("resolution", ""))
        if listing is None:
            raise Refused(_refusal(_invalid("instrument_name"), world))
        if interval is None:
            raise Refused(_refusal(_invalid("resolution"), world))
        start, end = (_millis(query, name, world) for name in ("start_timestamp", "end_timestamp"))
        now = world.now.market
        asked = listing.trading_pair, interval
        found = world.market.backwards(*asked, start // 1_000 + 1, end / 1_000, now)
        bars = list(islice(found, _MOST))[::-1]
        return HttpReply(
            _answer(world, None, result=_columns(bars)),
            charges=(Charge("requests", 1),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="result",
        )

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429 with error 10028."""
        return HttpReply(_answer(world, None, error=_TOO_MANY), 429, retry_header(retry_after))


def _columns(bars: list[Bar]) -> dict[str, object]:
    rows = [_figures(bar) for bar in bars]
    names = ("close", "cost", "high", "low", "open", "volume")
    columns: dict[str, object] = {name: [float(row[name]) for row in rows] for name in names}
    ticks = [bar.open_ms for bar in bars]
    return {**columns, "status": "ok" if bars else "no_data", "ticks": ticks}


def _millis(query: Mapping[str, str], name: str, world: World) -> int:
    refusal = _refusal(_invalid(name), world)
    value = whole(query, name, refusal)
    if value is None:
        raise Refused(refusal)
    return value


_DATED = {
    "tick_size": 2.5,
    "settlement_period": "month",
    "settlement_currency": "BTC",
    "quote_currency": "USD",
    "min_trade_amount": 10.0,
    "kind": "future",
    "is_active": True,
    "instrument_name": "BTC-26JUN26",
    "future_type": "reversed",
    "counter_currency": "USD",
    "contract_size": 10.0,
    "base_currency": "BTC",
}


def _instruments(query: Mapping[str, str], world: World) -> HttpReply:
    rows = [_DATED, *(_instrument(found, world) for found in world.market.listings.values())]
    currency, kind = query.get("currency"), query.get("kind")
    wanted = [
        row
        for row in rows
        if currency in (None, row["settlement_currency"]) and kind in (None, row["kind"])
    ]
    charges = (Charge("instruments", 1),)
    return HttpReply(_answer(world, None, result=wanted), charges=charges)


def _instrument(listing: Listing, world: World) -> dict[str, object]:
    inverse = _is_inverse(listing)
    return {
        "tick_size": float(listing.tick),
        "settlement_period": "perpetual",
        "settlement_currency": listing.base if inverse else listing.quote,
        "quote_currency": listing.quote,
        "min_trade_amount": 10.0 if inverse else float(listing.lot),
        "kind": "future",
        "is_active": world.market.trades(listing.trading_pair),
        "instrument_name": listing.symbol,
        "future_type": "reversed" if inverse else "linear",
        "counter_currency": listing.quote,
        "contract_size": 10.0 if inverse else float(listing.lot),
        "base_currency": listing.base,
    }


def _refusal(error: Mapping[str, object], world: World) -> HttpReply:
    return HttpReply(_answer(world, None, error=error), 400, charges=(Charge("requests", 1),))


DIALECTS = (DeribitPerpetual,)
