"""dYdX v4, the public indexer, as it speaks: card dydx, which follows the server's own source.

Oddities that a client meets here:

* The confirmation of a subscription is a frame with up to 1000 candles, newest first.
* An update holds one candle; those of a batched subscription hold a list of them.
* At the start of a bar the old one comes once more, then the new one, flat at the last close where
  nothing was traded.
* A wrong id stands in the text of the error alone. Whoever asks for the same id more than twice in
  a second is closed with 1008, and so is who is not understood more often.
* Numbers of messages count up per connection.
* REST: `fromISO` is included and `toISO` is not, and the newest rows win; other spellings of these
  are ignored. A rate limit's Retry-After is in milliseconds.

What the card calls UNKNOWN or leaves open, and what is done here:

* The temporary error of a subscription meets every twentieth attempt of a connection.
* Every fifth bar lacks its mid prices, which may be absent; they and the open interest are made up.
* The texts for a bad resolution, limit or time are made up, and so is that of what is not
  understood too often. A client's ping in text gets no answer, however often it comes.
* A missing pong is answered with the core's close code.
* A market whose trading has ended is in `FINAL_SETTLEMENT`; it is confirmed and silent.
* A long ticker of the permissionless kind stands among the markets, not yet active.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, islice
from uuid import UUID, uuid5

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
    ServerPing,
    World,
    plain,
)
from connectors.sandbox.grid import steps
from connectors.sandbox.listing import UPCOMING, Listing, listed
from connectors.sandbox.market import FIRST_OPEN, Bar
from connectors.sandbox.shared_frames import following
from connectors.sandbox.shared_requests import Refused, understood, whole, written
from connectors.sandbox.shared_snapshot import snapshot

CHANNELS, ATTEMPTS_A_SECOND = 32, 2

_MOST = 1_000
_FAILS_EVERY = 20  # attempts of a connection
_WITHOUT_MID_EVERY = 5  # bars
_CHANNEL = "v4_candles"
_WORDS = {
    "1MIN": "1m",
    "5MINS": "5m",
    "15MINS": "15m",
    "30MINS": "30m",
    "1HOUR": "1h",
    "4HOURS": "4h",
    "1DAY": "1d",
}
"""The exchange's word for an interval -> ours."""

_CODES = {name: word for word, name in _WORDS.items()}
_POOLS = {"candles": Rate(1_000, 10), "general": Rate(100, 10)}


def _iso(time: float) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def _candle(bar: Bar, listing: Listing, interval: str) -> dict[str, object]:
    candle: dict[str, object] = {
        "startedAt": _iso(bar.open_time),
        "ticker": listing.symbol,
        "resolution": _CODES[interval],
        "low": plain(bar.low),
        "high": plain(bar.high),
        "open": plain(bar.open),
        "close": plain(bar.close),
        "baseTokenVolume": plain(bar.volume),
        "usdVolume": plain(bar.quote_volume),
        "trades": bar.trades,
        "startingOpenInterest": "501.7424",
    }
    if bar.open_time // (bar.close_time - bar.open_time) % _WITHOUT_MID_EVERY == 0:
        return candle
    mids = {"orderbookMidPriceOpen": bar.open, "orderbookMidPriceClose": bar.close}
    return candle | {name: plain(price + listing.tick / 2) for name, price in mids.items()}


# --- WebSocket


class _Pace:
    """How often something happened in the last second of market time."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def take(self, now: float) -> int:
        """Note one more; return how many there are."""
        self._times.append(now)
        while self._times[0] <= now - 1:
            self._times.popleft()
        return len(self._times)


class DydxConversation(Conversation):
    """One connection; `channels` are named by their ids, their tag is true where batched."""

    def __init__(self, connection_id: str) -> None:
        super().__init__()
        self._connection_id = connection_id
        self._messages = count()
        self._attempts = count(1)
        self._silent: set[str] = set()
        self._asked: defaultdict[str, _Pace] = defaultdict(_Pace)
        self._invalid = _Pace()

    def opened(self, world: World) -> Iterable[Action]:
        """Greet with the connection's id."""
        return (self._send("connected"),)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a subscription or its end; a ping gets no answer."""
        match understood(frame):
            case {"type": "ping"}:
                return ()
            case {"type": "subscribe", "channel": "v4_candles", "id": str() as name, **more}:
                return self._subscribe(name, world, batched=more.get("batched") is True)
            case {"type": "unsubscribe", "channel": "v4_candles", "id": str() as name}:
                self.channels.pop(name, None)
                self._silent.discard(name)
                return (self._send("unsubscribed", channel=_CHANNEL, id=name),)
        return self._not_understood(world)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; a batch carries the next bar, too, where it has begun."""
        channel, bars = push.channel, [push.bar]
        listing = world.market.listing(channel.trading_pair)
        head = {"id": channel.name, "channel": _CHANNEL, "version": "1.0.0"}
        if not channel.tag:
            contents: object = _candle(push.bar, listing, channel.interval)
            return (self._send("channel_data", **head, contents=contents).frame,)
        if push.bar.final and (new := following(push, world)):
            bars.append(new)
        contents = [_candle(bar, listing, channel.interval) for bar in bars]
        return (self._send("channel_batch_data", **head, contents=contents).frame,)

    def _subscribe(self, name: str, world: World, *, batched: bool) -> Iterable[Action]:
        seen = self._asked[name].take(world.now.market)
        if seen > ATTEMPTS_A_SECOND:
            over = Overstep("subscribe attempts a second", ATTEMPTS_A_SECOND, seen)
            said = f"Too many subscribe attempts for channel {_CHANNEL}-{name}."
            return over, self._fail(said), Close(1008, said)
        if refusal := self._refusal(name, world):
            return refusal
        about = {"channel": _CHANNEL, "id": name}
        if next(self._attempts) % _FAILS_EVERY == 0:
            said = f"Internal error, could not fetch data for subscription: {_CHANNEL}."
            return (self._fail(said, **about),)
        ticker, _, word = name.rpartition("/")
        listing = world.market.symbols[ticker]
        pair, interval = listing.trading_pair, _WORDS[word]
        channel = Channel(name, pair, interval, world.now.market, batched)
        if world.market.trades(pair):
            self.channels[name] = channel
        else:
            self._silent.add(name)
        bars = snapshot(world, channel, _MOST, flat=True)
        contents = {"candles": [_candle(bar, listing, interval) for bar in bars]}
        return (self._send("subscribed", **about, contents=contents),)

    def _refusal(self, name: str, world: World) -> Iterable[Action]:
        """Return how an id is refused, or nothing."""
        ticker, _, word = name.rpartition("/")
        interval, listing = _WORDS.get(word), world.market.symbols.get(ticker)
        held = len(self.channels) + len(self._silent)
        if interval is None or listing is None or world.refuses(listing.trading_pair, interval):
            said = f"Invalid subscription id for channel: ({_CHANNEL}-{name})"
            return (self._fail(said),)
        if name in self.channels or name in self._silent:
            said = f"Invalid subscribe message: already subscribed ({_CHANNEL}-{name})"
            return (self._fail(said, channel=_CHANNEL, id=name),)
        if held >= CHANNELS:
            limit = f"Per-connection subscription limit reached for {_CHANNEL} (limit={CHANNELS})."
            return Overstep("channels a connection", CHANNELS, held + 1), self._fail(limit)
        return ()

    def _not_understood(self, world: World) -> Iterable[Action]:
        seen = self._invalid.take(world.now.market)
        if seen > ATTEMPTS_A_SECOND:
            over = Overstep("invalid messages a second", ATTEMPTS_A_SECOND, seen)
            return over, Close(1008, "Too many invalid messages.")
        return (self._fail("Invalid message: could not parse"),)

    def _fail(self, message: str, **about: object) -> Send:
        head = {"type": "error", "message": message, "connection_id": self._connection_id}
        return Send(written({**head, "message_id": next(self._messages), **about}))

    def _send(self, kind: str, **content: object) -> Send:
        head = {"type": kind, "connection_id": self._connection_id}
        return Send(written({**head, "message_id": next(self._messages), **content}))


# --- REST


def _refusal(value: object, text: str, name: str, place: str) -> HttpReply:
    error = {"value": value, "msg": text, "param": name, "location": place}
    return HttpReply({"errors": [error]}, 400, charges=_COST)


_COST = (Charge("candles", 1),)


class Dydx(Dialect):
    """`dydx_perpetual`."""

    market = "dydx_perpetual"
    intervals = steps("1m 5m 15m 30m 1h 4h 1d")
    listings = listed("USD", "{}-{}".format)
    upcoming = listed("USD", "{}-{}".format, coins=UPCOMING)
    figures = Figures(quote_volume=True, trades=True)
    quiet = Quiet(stream=True, history=True)
    closing = Closing(delay=(0.0, 1.5), flagged=False)
    limits = Limits(rest=_POOLS)
    server_ping = ServerPing(30.0, 10.0)
    opens_with_current = False  # the confirmation has it
    retry_after = True

    def __init__(self) -> None:
        self._connections = count()

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/v4/ws":
            return HttpReply("Not Found", 404)
        return DydxConversation(str(uuid5(UUID(int=0), str(next(self._connections)))))

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and markets."""
        if request.method == "GET" and request.path == "/v4/perpetualMarkets":
            return HttpReply({"markets": _markets(world)}, charges=(Charge("general", 1),))
        match = re.fullmatch(r"/v4/candles/perpetualMarkets/([^/]+)", request.path)
        if request.method != "GET" or match is None:
            return HttpReply({"errors": [{"msg": "Not Found"}]}, 404)
        try:
            return _candles(match[1], request.query, world)
        except Refused as refused:
            return refused.reply

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; the header counts in milliseconds."""
        wait = {} if retry_after is None else {"Retry-After": str(1_000 * retry_after)}
        headers = {**self.budget_headers("candles", _MOST, world), **wait}
        return HttpReply({"errors": [{"msg": "Too many requests"}]}, 429, headers)

    def budget_headers(self, pool: str, used: int, world: World) -> Mapping[str, str]:
        """Tell the limit, what is left of it, and when it is whole again."""
        rate = _POOLS[pool]
        return {
            "RateLimit-Remaining": str(max(0, rate.allowed - used)),
            "RateLimit-Reset": str(world.told.millis + int(1_000 * rate.seconds)),
            "RateLimit-Limit": str(rate.allowed),
        }


def _candles(ticker: str, query: Mapping[str, str], world: World) -> HttpReply:
    listing, word = world.market.symbols.get(ticker), query.get("resolution")
    if listing is None:
        text = "ticker must be a valid ticker (BTC-USD, etc)"
        raise Refused(_refusal(ticker, text, "ticker", "params"))
    if word not in _WORDS:
        text = f"resolution must be a valid Candle Resolution, one of {','.join(_WORDS)}"
        raise Refused(_refusal(word, text, "resolution", "query"))
    text = "limit must be a positive integer that is not greater than max: 1000"
    wrong = _refusal(query.get("limit"), text, "limit", "query")
    limit = whole(query, "limit", wrong)
    if limit is not None and not 1 <= limit <= _MOST:
        raise Refused(wrong)
    start, end = (_time(query, name) for name in ("fromISO", "toISO"))
    asked, now = (listing.trading_pair, _WORDS[word]), world.now.market
    last = now if end is None else end - 0.001
    first = FIRST_OPEN if start is None else start
    found = islice(world.market.backwards(*asked, first, last, now), limit or _MOST)
    return HttpReply(
        {"candles": [_candle(bar, listing, asked[1]) for bar in found]},
        charges=_COST,
        trading_pair=asked[0],
        interval=asked[1],
        rows="candles",
    )


def _time(query: Mapping[str, str], name: str) -> float | None:
    """Return a bound in UNIX seconds."""
    value = query.get(name)
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        refusal = _refusal(value, f"{name} must be a valid ISO date", name, "query")
        raise Refused(refusal) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _markets(world: World) -> dict[str, object]:
    rows = {
        listing.symbol: _market(listing, "ACTIVE" if world.market.trades(name) else _ENDED)
        for name, listing in world.market.listings.items()
    }
    long = replace(world.market.listing("BTC-USD"), symbol=_LONG_TICKER)
    return {**rows, _LONG_TICKER: _market(long, "INITIALIZING")}


_ENDED = "FINAL_SETTLEMENT"
_LONG_TICKER = "FARTCOIN,raydium,9bzjcap1kmskhenu5tncwaafnhjbydktvq6vhdhgnobd-USD"
"""Of the form that the card shows; the address in it is made up."""


def _market(listing: Listing, status: str) -> dict[str, object]:
    return {
        "clobPairId": "0",
        "ticker": listing.symbol,
        "status": status,
        "oraclePrice": plain(listing.price),
        "initialMarginFraction": "0.02",
        "maintenanceMarginFraction": "0.012",
        "atomicResolution": -10,
        "quantumConversionExponent": -9,
        "tickSize": plain(listing.tick),
        "stepSize": plain(listing.lot),
        "stepBaseQuantums": 1_000_000,
        "subticksPerTick": 100_000,
        "marketType": "CROSS",
    }


DIALECTS = (Dydx,)
