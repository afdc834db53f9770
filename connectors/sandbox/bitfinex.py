"""Bitfinex v2: `bitfinex_spot` and `bitfinex_perpetual`, from the card and recordings.

Oddities that a client meets here:

* Data name their channel by the number of its confirmation alone. A key holds colons, and so do
  symbols with a name of more than three letters. Some coins have names of their own: `UST`, `DSH`.
* Order of figures: open, close, high, low, volume; numbers, some volumes with a binary tail.
  Snapshots are newest first.
* A refusal repeats the request's fields and leaves the connection open; what is no JSON gets no
  answer. Who has no channel is cut off after 60 s; each channel has a heartbeat every 15 s.
* On request every array ends with a sequence number, or a time.
* REST errors are lists, with HTTP 500; `sort` says which end wins. Bars without trades are missing
  everywhere.

What the card calls UNKNOWN or leaves open, and what is done here:

* Snapshots: 60 rows with the running one, and by turns none at all.
* A bar's updates may lack its last trades. After the end of every eighth bar one more comes, up
  to 2 s late and among those of the next bar. Corrections are not sent again.
* Intervals that one client alone names (`4h`, `7D`) are refused. Weeks begin on Thursday.
* An unknown symbol: `key: invalid` on the socket, an empty list by REST.
* 30 channels a connection, as the documentation says; the 31st is refused.
* The message of code 10000, those of info codes, and of bad parameters but `limit` are made up.
* Too many requests: two bodies by turns. Candles and lists are counted apart.
* A pair whose trading has ended is in no list; it is confirmed, has its snapshot and is silent.

Left out: bars of 14 days. The two markets have an address each, and a symbol of the other is
unknown there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from math import inf, nextafter

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
    retry_header,
)
from connectors.sandbox.grid import DAY, Fixed, steps
from connectors.sandbox.listing import COINS, UPCOMING, Coin, Listing, listed
from connectors.sandbox.market import FIRST_OPEN, Bar
from connectors.sandbox.shared_frames import send, stays_unsent
from connectors.sandbox.shared_requests import Refused, number, understood, whole, written
from connectors.sandbox.shared_snapshot import snapshot

HEARTBEAT, IDLE = 15.0, 60.0
"""Real seconds: between a channel's heartbeats, and without a channel until the cut."""

CHANNELS = 30

_SEQUENCE, _TIMESTAMP = 65_536, 32_768
_SNAPSHOT, _TAILED_EVERY = 60, 3
_USUAL, _MOST = 100, 10_000
_RATE = Rate(30, 60)

_WORDS = {
    **{name: name for name in ("1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1M")},
    "1D": "1d",
    "1W": "1w",
}
"""The exchange's word for an interval -> ours."""

_NAMES = {"USDT": "UST", "USDC": "UDC", "DASH": "DSH", "IOTA": "IOT"}

_MAP = [
    ("BAB", "BCH"),
    ("DSH", "DASH"),
    ("IOT", "IOTA"),
    ("UDC", "USDC"),
    ("UST", "USDt"),
    ("USTF0", "USDt0"),
]
"""Some rows of the exchange's own map of names, as in ccxt 4.5.64; mark the lower-case letter."""


def _spot_symbol(base: str, quote: str) -> str:
    base, quote = _NAMES.get(base, base), _NAMES.get(quote, quote)
    colon = ":" if len(base) > 3 or len(quote) > 3 else ""
    return f"t{base}{colon}{quote}"


def _future_symbol(base: str, quote: str) -> str:
    return f"t{_NAMES.get(base, base)}F0:{_NAMES.get(quote, quote)}F0"


_RENAMED = (Coin("DASH", "28.40", "0.01", "0.001", 5), Coin("IOTA", "0.1873", "0.0001", "0.1", 4))


@dataclass(frozen=True, slots=True)
class Kind:
    """What the two markets differ by. `pairs` is where their list is."""

    market: str
    pairs: str
    listings: tuple[Listing, ...]
    upcoming: tuple[Listing, ...]


SPOT = Kind(
    "bitfinex_spot",
    "/v2/conf/pub:list:pair:exchange",
    (
        *listed("USD", _spot_symbol, coins=(*COINS, *_RENAMED)),
        *listed("USDT", _spot_symbol, coins=COINS[:7]),
        *listed("USDC", _spot_symbol, coins=COINS[:1]),
    ),
    listed("USD", _spot_symbol, coins=UPCOMING),
)
PERPETUAL = Kind(
    "bitfinex_perpetual",
    "/v2/conf/pub:list:pair:futures",
    listed("USDT", _future_symbol),
    listed("USDT", _future_symbol, coins=UPCOMING),
)


def _row(bar: Bar) -> list[object]:
    prices = (bar.open, bar.close, bar.high, bar.low)
    return [bar.open_ms, *(number(plain(price)) for price in prices), _volume(bar)]


def _volume(bar: Bar) -> object:
    if bar.trades % _TAILED_EVERY:
        return number(plain(bar.volume))
    return nextafter(float(bar.volume), inf)


# --- WebSocket


class BitfinexConversation(Conversation):
    """One connection; `channels` are named by their keys, their tag is their number."""

    def __init__(self, numbers: Iterable[int], world: World) -> None:
        super().__init__()
        self._numbers = iter(numbers)
        self._snapshots = count()
        self._sequence = count(1)
        self._flags = 0
        self._beats: dict[int, float] = {}
        self._silent: dict[str, int] = {}
        self._look_again(world)

    def opened(self, world: World) -> Iterable[Action]:
        """Tell the version and the platform's status."""
        server = "083bd8d4-aca7-4690-a573-eabfc8103de8"
        info = {"event": "info", "version": 2, "serverId": server, "platform": {"status": 1}}
        return (send(info),)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer an event; what is no JSON gets no answer."""
        asked = understood(frame)
        if asked is None:
            return ()
        match asked:
            case {"event": "ping"}:
                cid = {"cid": asked["cid"]} if "cid" in asked else {}
                return (send({"event": "pong", "ts": world.told.millis, **cid}),)
            case {"event": "conf", "flags": int() as flags}:
                self._flags = flags
                return (send({"event": "conf", "status": "OK", "flags": flags}),)
            case {"event": "subscribe"}:
                return self._subscribe(asked, world)
            case {"event": "unsubscribe"}:
                return (self._unsubscribe(asked, world),)
        return (_error(asked, 10_000, "event: unknown"),)

    def tick(self, world: World) -> Iterable[Action]:
        """Send the heartbeats that are due, or cut off who has no channel."""
        now = world.now.real
        if not self._beats:
            self.due = None
            return (Cut(),)
        due = [name for name, at in self._beats.items() if at <= now]
        self._beats |= dict.fromkeys(due, now + HEARTBEAT)
        self._look_again(world)
        return [self._data(name, "hb", world) for name in due]

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; after a bar's end only now and then."""
        if stays_unsent(push):
            return ()
        return (self._data(push.channel.tag, _row(push.bar), world).frame,)

    def leaving(self, world: World) -> Iterable[Action]:
        """Ask the client to reconnect."""
        return (send({"event": "info", "code": 20_051, "msg": "Stopping. Please reconnect"}),)

    def _subscribe(self, asked: Mapping[str, object], world: World) -> Iterable[Action]:
        if asked.get("channel") != "candles":
            return (_error(asked, 10_300, "channel: unknown"),)
        key = str(asked.get("key"))
        held = self._numbers_by_key()
        if key in held:
            return (_error({**asked, "chanId": held[key]}, 10_301, "subscribe: dup"),)
        channel = self._find(key, world)
        if channel is None:
            return (_error(asked, 10_300, "key: invalid"),)
        if len(held) >= CHANNELS:
            over = Overstep("channels a connection", CHANNELS, len(held) + 1)
            return over, _error(asked, 10_305, "subscribe: limit")
        return self._serve(channel, asked, world)

    def _serve(
        self, channel: Channel, asked: Mapping[str, object], world: World
    ) -> Iterable[Action]:
        name = next(self._numbers)
        channel = replace(channel, tag=name)
        if world.market.trades(channel.trading_pair):
            self.channels[channel.name] = channel
        else:
            self._silent[channel.name] = name
        self._beats[name] = world.now.real + HEARTBEAT
        self._look_again(world)
        sub_id = {"subId": asked["subId"]} if "subId" in asked else {}
        head = {"event": "subscribed", "channel": "candles", "chanId": name}
        confirmed = send({**head, "key": channel.name, **sub_id})
        empty = next(self._snapshots) % 2
        rows = [] if empty else [_row(bar) for bar in snapshot(world, channel, _SNAPSHOT)]
        return confirmed, self._data(name, rows, world)

    def _unsubscribe(self, asked: Mapping[str, object], world: World) -> Action:
        name = asked.get("chanId")
        keys = [key for key, held in self._numbers_by_key().items() if held == name]
        if not isinstance(name, int) or not keys:
            return _error(asked, 10_400, "unsubscribe: invalid")
        self.channels.pop(keys[0], None)
        self._silent.pop(keys[0], None)
        del self._beats[name]
        self._look_again(world)
        return send({"event": "unsubscribed", "status": "OK", "chanId": name})

    def _find(self, key: str, world: World) -> Channel | None:
        source, word, symbol = [*key.split(":", 2), "", ""][:3]
        interval, listing = _WORDS.get(word), world.market.symbols.get(symbol)
        if source != "trade" or interval is None or listing is None:
            return None
        if world.refuses(listing.trading_pair, interval):
            return None
        return Channel(key, listing.trading_pair, interval, world.now.market)

    def _numbers_by_key(self) -> Mapping[str, object]:
        return {key: channel.tag for key, channel in self.channels.items()} | self._silent

    def _data(self, name: object, payload: object, world: World) -> Send:
        message = [name, payload]
        if self._flags & _SEQUENCE:
            message.append(next(self._sequence))
        if self._flags & _TIMESTAMP:
            message.append(world.told.millis)
        return Send(written(message))

    def _look_again(self, world: World) -> None:
        self.due = min(self._beats.values(), default=world.now.real + IDLE)


def _error(asked: Mapping[str, object], code: int, text: str) -> Action:
    repeated = {key: value for key, value in asked.items() if key != "event"}
    return send({**repeated, "event": "error", "msg": text, "code": code})


# --- REST


def _refusal(text: str) -> HttpReply:
    return HttpReply(["error", 10_020, text], 500, charges=(Charge("candles", 1),))


class Bitfinex(Dialect):
    """One kind of Bitfinex's pairs."""

    intervals = steps("1m 5m 15m 30m 1h 3h 6h 12h 1d 1M") | {"1w": Fixed(7 * DAY)}
    figures = Figures()
    quiet = Quiet(stream=False, history=False)
    closing = Closing(delay=(0.0, 2.0), flagged=False, overlaps=True)
    limits = Limits(attempts=Rate(20, 60), rest={"candles": _RATE, "lists": _RATE})
    opens_with_current = False  # the snapshot has it, or not
    notice = 10.0

    def __init__(self, kind: Kind) -> None:
        self.market = kind.market
        self.listings = kind.listings
        self.upcoming = kind.upcoming
        self._kind = kind
        self._numbers = count(343_351, 7)
        self._refusals = count()

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/ws/2":
            return HttpReply("Not Found", 404)
        return BitfinexConversation(self._numbers, world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles, the list of pairs and the map of names."""
        lists = {
            self._kind.pairs: self._pairs,
            "/v2/conf/pub:map:currency:sym": self._map,
        }
        if request.method != "GET":
            return HttpReply("Not Found", 404)
        if request.path in lists:
            return HttpReply([lists[request.path](world)], charges=(Charge("lists", 1),))
        match = re.fullmatch(r"/v2/candles/trade:(\w+):([\w:]+)/(hist|last)", request.path)
        if match is None:
            return HttpReply("Not Found", 404)
        try:
            return self._candles(match, request.query, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, match: re.Match[str], query: Mapping[str, str], world: World) -> HttpReply:
        interval, listing = _WORDS.get(match[1]), world.market.symbols.get(match[2])
        if interval is None:
            raise Refused(_refusal("time_interval: invalid"))
        bounds = [whole(query, name, _refusal(f"{name}: invalid")) for name in ("start", "end")]
        limit = whole(query, "limit", _refusal("limit: invalid"))
        if limit is not None and not 1 <= limit <= _MOST:
            raise Refused(_refusal("limit: invalid"))
        if query.get("sort", "-1") not in ("1", "-1"):
            raise Refused(_refusal("sort: invalid"))
        cost = (Charge("candles", 1),)
        if listing is None:
            return HttpReply([], charges=cost)
        now, last_alone = world.now.market, match[3] == "last"
        first, last = (now if bound is None else bound / 1_000 for bound in bounds)
        first = FIRST_OPEN if bounds[0] is None else first
        ascending = query.get("sort") == "1" and not last_alone
        read = world.market.bars if ascending else world.market.backwards
        bars = (bar for bar in read(listing.trading_pair, interval, first, last, now) if bar.trades)
        rows = [_row(bar) for bar in islice(bars, 1 if last_alone else limit or _USUAL)]
        return HttpReply(
            (rows or [[]])[0] if last_alone else rows,
            charges=cost,
            trading_pair=listing.trading_pair,
            interval=interval,
            rows=None if last_alone else "",
        )

    def _pairs(self, world: World) -> list[str]:
        listings = world.market.listings.items()
        return [one.symbol[1:] for pair, one in listings if world.market.trades(pair)]

    def _map(self, _: World) -> list[tuple[str, str]]:
        return _MAP

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429 with one of two bodies, by turns."""
        bodies: tuple[object, ...] = (
            ["error", 11_010, "ratelimit: error"],
            {"error": "ERR_RATE_LIMIT"},
        )
        return HttpReply(bodies[next(self._refusals) % 2], 429, retry_header(retry_after))

    def server_error(self, world: World) -> HttpReply:
        """Return the reply during maintenance."""
        return HttpReply(["error", 20_060, "maintenance"], 503)


DIALECTS = (partial(Bitfinex, SPOT), partial(Bitfinex, PERPETUAL))
