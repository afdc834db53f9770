"""Hyperliquid, perpetuals of its first dex and spot, as it speaks: card hyperliquid.

Oddities: one subscription a message; an unknown coin drops the whole socket without a word, with
every subscription on it; what is subscribed to already, or no more, is answered with an error
that quotes the subscription. Nobody pings but the client: the server drops a connection on which
it sent nothing for 60 s. Spot coins are `@` and an index, which is no position in any list. No
frame says that a bar is closed. All of REST is POST to one address; errors are plain text.

What the card calls UNKNOWN, and what is done here:

* An unknown or delisted coin of a candle subscription: dropped, as was seen of other feeds. An
  unknown interval, and what a fault refuses: the error "Invalid subscription", as in tests of
  three projects.
* Bars without trades are missing, live and in history.
* The last frame of a bar mostly lacks its last trades; after the end of about one bar in
  seventeen one more frame comes, up to 2 s late, and frames of the next bar may go before it.
* A bar that changed after its close is not sent again.
* Bounds of REST: the bar that contains `startTime` is sent, though it opened before; a bar that
  opens at `endTime` is not.
* Weeks and three days count from 1970-01-01, so weeks begin on Thursday.
* An unknown coin by REST: HTTP 500 with `null`; an unknown interval: 422. Lists weigh 20. A rate
  limit: HTTP 429 with `null`, without Retry-After.
* Too many subscriptions or messages: dropped. A spot pair whose trading has ended stays in the
  list, which has no word for it; it is confirmed and silent.

Left out: builder dexes (there are none here), feeds other than candles (unknown types here), and
rows of before the launch, which are made from an index. The two markets have an address each, and
a coin of the other is unknown there; limits by address are counted for each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

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
    Overstep,
    Push,
    Quiet,
    Rate,
    Send,
    World,
    plain,
)
from connectors.sandbox.grid import DAY, Fixed, steps
from connectors.sandbox.listing import COINS, UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_requests import digits, understood, written

SILENCE = 60.0
"""Real seconds without a frame of the server until it drops the connection."""

_SUBSCRIPTIONS = 1_000
_REACH = 5_000  # bars
_SNAPSHOT_WEIGHT, _ROWS_A_WEIGHT, _LIST_WEIGHT = 20, 60, 20
_LATE_EVERY = 17  # bars; of 69 measured ones, 4 had a frame after their end
_NO_REQUEST = "Error parsing JSON into valid websocket request: "
_NO_BODY = "Failed to deserialize the JSON body into the target type"


def _pair(trading_pair: str, symbol: str, price: str, tick: str, lot: str, busy: float) -> Listing:
    return Listing(trading_pair, symbol, Decimal(price), Decimal(tick), Decimal(lot), busy)


_PERPETUALS = (
    _pair("BTC-USDC", "BTC", "97250", "1", "0.00001", 60),
    *listed("USDC", lambda base, _: base, lots={"SOL": "0.01"}, coins=COINS[1:]),
    _pair("KPEPE-USDC", "kPEPE", "0.021450", "0.000001", "1", 18),
)
_DELISTED = {"szDecimals": 1, "name": "MATIC", "maxLeverage": 20, "marginTableId": 20}

_BRIDGED = ("BTC", "ETH", "SOL")  # their tokens have a U before the name


def _spot(coins: tuple[Coin, ...], first_index: int) -> tuple[Listing, ...]:
    named = (
        replace(coin, name=f"U{coin.name}" if coin.name in _BRIDGED else coin.name)
        for coin in coins
    )
    return tuple(
        replace(listing, symbol=f"@{first_index + 3 * number}")
        for number, listing in enumerate(listed("USDC", str.__add__, coins=tuple(named)))
    )


_SPOT = (
    _pair("HYPE-USDC", "@107", "36.420", "0.001", "0.01", 40),
    _pair("PURR-USDC", "PURR/USDC", "0.20432", "0.00001", "1", 4),
    *_spot(COINS, 142),
)
_UPCOMING_SPOT = _spot(UPCOMING, 205)
_TOKENS = {"USDC": 0} | {
    listing.base: 150 + 7 * number for number, listing in enumerate((*_SPOT, *_UPCOMING_SPOT))
}
"""The indexes of spot tokens: made up, with gaps, so that no position in a list is one."""


class _Hyperliquid(Dialect):
    """What both markets share."""

    intervals = steps("1m 3m 5m 15m 30m 1h 2h 4h 8h 12h 1d 3d 1M") | {"1w": Fixed(7 * DAY)}
    figures = Figures(trades=True)
    quiet = Quiet(stream=False, history=False)
    closing = Closing(delay=(0.0, 2.0), flagged=False, overlaps=True)
    limits = Limits(
        connections=10,
        attempts=Rate(30, 60),
        messages=Rate(2_000, 60),
        rest={"weight": Rate(1_200, 60)},
    )

    def cadence(self, interval: str) -> float:
        """Return 0.6 s: 0.9 to 1.8 frames a second were measured."""
        return 0.6

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/ws":
            return HttpReply("Not Found", 404)
        return HyperliquidConversation(self, world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer what the body asks for."""
        if request.path != "/info":
            return HttpReply("Not Found", 404)
        if request.method != "POST":
            return HttpReply("", 405)
        asked = understood(request.body) or {}
        if asked.get("type") == "candleSnapshot":
            return self._candles(asked.get("req"), world)
        lists = self.lists(world)
        if asked.get("type") not in lists:
            return HttpReply(_NO_BODY, 422)
        return HttpReply(lists[asked["type"]], charges=(Charge("weight", _LIST_WEIGHT),))

    def lists(self, world: World) -> Mapping[str, object]:
        """Return the answers that need no parameter, by their type."""
        return {"perpDexs": [None], "meta": self._meta(world), "spotMeta": self._spot_meta(world)}

    def _meta(self, world: World) -> object:
        return {"universe": [], "collateralToken": 0}

    def _spot_meta(self, world: World) -> object:
        return {"tokens": [], "universe": []}

    def _candles(self, asked: object, world: World) -> HttpReply:
        wish: dict[str, Any] = asked if isinstance(asked, dict) else {}
        coin, interval = wish.get("coin"), wish.get("interval")
        first, last = wish.get("startTime"), wish.get("endTime", world.now.millis + 1)
        if not (isinstance(coin, str) and isinstance(first, int) and isinstance(last, int)):
            return HttpReply(_NO_BODY, 422)
        if interval not in self.intervals:
            return HttpReply(_NO_BODY, 422)
        listing = world.market.symbols.get(coin)
        if listing is None:
            return HttpReply(None, 500, charges=(Charge("weight", _SNAPSHOT_WEIGHT),))
        rows = self._rows(world, listing, interval, (first, last))
        weight = _SNAPSHOT_WEIGHT + -(-len(rows) // _ROWS_A_WEIGHT)
        return HttpReply(
            rows,
            charges=(Charge("weight", weight),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="",
        )

    def _rows(
        self, world: World, listing: Listing, interval: str, bounds: tuple[int, int]
    ) -> list[dict[str, object]]:
        grid, now = self.intervals[interval], world.now.market
        reach = grid.floor(now) - (_REACH - 1) * grid.seconds
        first = max(grid.floor(bounds[0] / 1_000), reach)
        bars = world.market.bars(listing.trading_pair, interval, first, bounds[1] / 1_000, now)
        return [
            _candle(bar, listing, interval)
            for bar in bars
            if bar.trades and bar.open_ms != bounds[1]
        ]

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429."""
        return HttpReply(None, 429)

    def silent(self, trading_pair: str, world: World) -> bool:
        """Return whether a listed pair may be subscribed to, though its trading has ended."""
        return False


class HyperliquidPerpetual(_Hyperliquid):
    """`hyperliquid_perpetual`."""

    market = "hyperliquid_perpetual"
    listings = _PERPETUALS
    upcoming = listed("USDC", lambda base, _: base, coins=UPCOMING)

    def _meta(self, world: World) -> object:
        rows = [_perpetual(listing, world) for listing in world.market.listings.values()]
        return {"universe": [*rows, {**_DELISTED, "isDelisted": True}], "collateralToken": 0}


class HyperliquidSpot(_Hyperliquid):
    """`hyperliquid_spot`."""

    market = "hyperliquid_spot"
    listings = _SPOT
    upcoming = _UPCOMING_SPOT

    def silent(self, trading_pair: str, world: World) -> bool:
        """Return whether its trading has ended."""
        return not world.market.trades(trading_pair)

    def _spot_meta(self, world: World) -> object:
        listings = world.market.listings.values()
        lots = {listing.base: digits(listing.lot) for listing in listings}
        tokens = [
            {"name": name, "szDecimals": lots.get(name, 8), "index": index}
            for name, index in _TOKENS.items()
        ]
        return {"tokens": tokens, "universe": [_spot_pair(listing) for listing in listings]}


class HyperliquidConversation(Conversation):
    """One connection. Channels are named by coin and interval."""

    def __init__(self, dialect: _Hyperliquid, world: World) -> None:
        super().__init__()
        self._dialect = dialect
        self._silent: dict[str, None] = {}
        self._sent(world)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, a subscription or its end; anything else is an error."""
        match understood(frame):
            case {"method": "ping"}:
                return (self._send({"channel": "pong"}, world),)
            case {
                "method": "subscribe" | "unsubscribe" as method,
                "subscription": {
                    "type": "candle",
                    "coin": str() as coin,
                    "interval": str() as interval,
                },
            }:
                asked = {"type": "candle", "coin": coin, "interval": interval}
                change = self._subscribe if method == "subscribe" else self._unsubscribe
                return change(asked, world)
        quoted = frame if isinstance(frame, str) else frame.decode(errors="replace")
        return (self._error(_NO_REQUEST + quoted, world),)

    def tick(self, world: World) -> Iterable[Action]:
        """Drop a connection on which the server was silent for too long."""
        self.due = None
        return (Cut(),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; after a bar's end only now and then."""
        bar, channel = push.bar, push.channel
        length = bar.close_time - bar.open_time
        if bar.final and bar.open_time // length % _LATE_EVERY:
            return ()
        self._sent(world)
        listing = world.market.listing(channel.trading_pair)
        data = _candle(bar, listing, channel.interval)
        return (written({"channel": "candle", "data": data}),)

    def flooded(self, world: World) -> Iterable[Action]:
        """Drop the connection."""
        return (Cut(),)

    def _subscribe(self, asked: dict[str, str], world: World) -> Iterable[Action]:
        name = f"{asked['coin']}:{asked['interval']}"
        if name in self.channels or name in self._silent:
            return (self._error(f"Already subscribed: {written(asked)}", world),)
        listing = world.market.symbols.get(asked["coin"])
        if listing is None:
            return (Cut(),)
        pair, interval = listing.trading_pair, asked["interval"]
        if interval not in self._dialect.intervals or world.refuses(pair, interval):
            return (self._error(f"Invalid subscription {written(asked)}", world),)
        if (seen := world.subscriptions + 1) > _SUBSCRIPTIONS:
            return Overstep("subscriptions", _SUBSCRIPTIONS, seen), Cut()
        if self._dialect.silent(pair, world):
            self._silent[name] = None
        elif world.market.trades(pair):
            self.channels[name] = Channel(name, pair, interval, world.now.market)
        else:
            return (Cut(),)
        return (self._confirm("subscribe", asked, world),)

    def _unsubscribe(self, asked: dict[str, str], world: World) -> Iterable[Action]:
        name = f"{asked['coin']}:{asked['interval']}"
        if name not in self.channels and name not in self._silent:
            return (self._error(f"Already unsubscribed: {written(asked)}", world),)
        self.channels.pop(name, None)
        self._silent.pop(name, None)
        return (self._confirm("unsubscribe", asked, world),)

    def _confirm(self, method: str, asked: dict[str, str], world: World) -> Action:
        data = {"method": method, "subscription": asked}
        return self._send({"channel": "subscriptionResponse", "data": data}, world)

    def _error(self, said: str, world: World) -> Action:
        return self._send({"channel": "error", "data": said}, world)

    def _send(self, message: Mapping[str, object], world: World) -> Action:
        self._sent(world)
        return Send(written(message))

    def _sent(self, world: World) -> None:
        self.due = world.now.real + SILENCE


def _figure(value: Decimal) -> str:
    """Return a figure as short as it can be, with a digit after the point at least."""
    printed = plain(value)
    return printed if "." in printed else f"{printed}.0"


def _candle(bar: Bar, listing: Listing, interval: str) -> dict[str, object]:
    return {
        "t": bar.open_ms,
        "T": bar.last_ms,
        "s": listing.symbol,
        "i": interval,
        "o": _figure(bar.open),
        "c": _figure(bar.close),
        "h": _figure(bar.high),
        "l": _figure(bar.low),
        "v": _figure(bar.volume),
        "n": bar.trades,
    }


def _perpetual(listing: Listing, world: World) -> dict[str, object]:
    row = {
        "szDecimals": digits(listing.lot),
        "name": listing.symbol,
        "maxLeverage": 20,
        "marginTableId": 20,
    }
    return row if world.market.trades(listing.trading_pair) else {**row, "isDelisted": True}


def _spot_pair(listing: Listing) -> dict[str, object]:
    index = listing.symbol.removeprefix("@")
    return {
        "name": listing.symbol,
        "tokens": [_TOKENS[listing.base], _TOKENS[listing.quote]],
        "index": int(index) if index.isdigit() else 0,
    }


DIALECTS = (HyperliquidPerpetual, HyperliquidSpot)
