"""BingX: `bingx_spot` and `bingx_perpetual` (USDT swaps), from the short card, which is one source.

Oddities that a client meets here:

* Every frame of the server is binary gzip, its swap pings and all; the client speaks plain text.
* Pings: an object with an id and a time on spot, to be returned; the word `Ping` on swaps.
* A confirmation names nothing but the request's id. The market stands in the address, and the
  interval in `dataType` alone, in other words on spot (`1min`) than on swaps (`1m`).
* A swap's frame has a single time.
* REST: rows are lists of numbers on spot, objects of text on swaps. Counts of trades come over
  spot's stream alone: a candle that was read over REST has none, and so the truth has none.

What the card calls UNKNOWN or leaves out, and what is done here:

* The time of a swap's frame is the bar's end, though ccxt 4.5.64 takes it for the beginning: who
  relies on either is found out. By REST, `time` is the beginning.
* Bars without trades are missing, live and in history. A bar's updates may lack its last trades;
  after the end of every eighth bar one more comes, up to 2 s late, among those of the next bar.
* The current bar is sent after subscribing, if there were trades. Corrections are not sent again.
* An unknown pair, or one whose trading has ended, is confirmed and silent. An unknown interval, and
  what is malformed: code 100400 without an id, as a client's comment shows; what is subscribed to
  already is confirmed again. Spot streams the intervals that ccxt names.
* A ping every 5 s; who lets two pass without an answer is cut off.
* Bounds: neither `startTime` nor `endTime` is included; the newest rows win and come first. `limit`
  is 500 where it is absent and 1440 at most; more is cut.
* Errors come inside HTTP 200. Rate: ten requests a second, as ccxt paces; beyond it HTTP 429.
* Weeks and three days count from 1970-01-01, so weeks begin on Thursday.
* Where trading has ended, spot says `status` 0 and swaps `apiStateOpen` false.

Left out: coin-margined swaps, the interval `8h`, and feeds other than candles.
"""

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import count, islice
from uuid import UUID, uuid5

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
from connectors.sandbox.grid import DAY, Fixed, steps
from connectors.sandbox.listing import COINS, UPCOMING, Listing, listed
from connectors.sandbox.market import FIRST_OPEN, Bar
from connectors.sandbox.shared_frames import stays_unsent
from connectors.sandbox.shared_requests import Refused, digits, number, understood, whole, written

PING_EVERY, MISSED = 5.0, 2
"""Real seconds between pings, and how many may stay without an answer; made up."""

_USUAL, _MOST = 500, 1_440
_VOLUME_DIGITS = 6
_ASIA = timezone(timedelta(hours=8))
_MINUTE_WORDS = {
    "1min": "1m",
    "5min": "5m",
    "15min": "15m",
    "30min": "30m",
    "60min": "1h",
    "1day": "1d",
}
_INTERVALS = steps("1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 1M") | {
    "3d": Fixed(3 * DAY),
    "1w": Fixed(7 * DAY),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What the two markets differ by.

    `words`: the stream's word for an interval -> ours; `others`: pairs of one market alone.
    """

    market: str
    socket: str
    klines: str
    instruments: str
    words: Mapping[str, str]
    others: tuple[Listing, ...] = ()

    @property
    def spot(self) -> bool:
        """Whether it is spot."""
        return self.market == "bingx_spot"


SPOT = Kind(
    "bingx_spot",
    "/market",
    "/openApi/spot/v1/market/kline",
    "/openApi/spot/v1/common/symbols",
    _MINUTE_WORDS,
    listed("USDC", "{}-{}".format, coins=COINS[:2]),
)
SWAP = Kind(
    "bingx_perpetual",
    "/swap-market",
    "/openApi/swap/v3/quote/klines",
    "/openApi/swap/v2/quote/contracts",
    {name: name for name in _INTERVALS},
)


# --- WebSocket


def packed(message: object) -> Send:
    """Return the action that sends a message as gzip; a word stays what it is."""
    said = message if isinstance(message, str) else written(message)
    return Send(gzip.compress(said.encode(), mtime=0))


def _spot_data(bar: Bar, channel: Channel, listing: Listing, world: World) -> dict[str, object]:
    word = channel.name.partition("_")[2]
    candle = {
        "T": bar.last_ms,
        "c": plain(bar.close),
        "h": plain(bar.high),
        "i": word,
        "l": plain(bar.low),
        "n": bar.trades,
        "o": plain(bar.open),
        "q": plain(bar.quote_volume),
        "s": listing.symbol,
        "t": bar.open_ms,
        "v": text(bar.volume, _VOLUME_DIGITS),
    }
    data = {"E": world.told.millis, "K": candle, "e": "kline", "s": listing.symbol}
    return {"code": 0, "data": data, "dataType": channel.name, "success": True}


def _swap_data(bar: Bar, channel: Channel, listing: Listing, _: World) -> dict[str, object]:
    places = digits(listing.tick)
    candle = {
        "c": text(bar.close, places),
        "o": text(bar.open, places),
        "h": text(bar.high, places),
        "l": text(bar.low, places),
        "v": plain(bar.volume),
        "T": bar.close_time * 1_000,
    }
    return {"code": 0, "dataType": channel.name, "s": listing.symbol, "data": [candle]}


class BingxConversation(Conversation):
    """One connection; `channels` are named by their `dataType`."""

    def __init__(self, kind: Kind, world: World) -> None:
        super().__init__()
        self._kind = kind
        self._pings = count()
        self._waiting: set[str] = set()
        self.due = world.now.real + PING_EVERY

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Take an answer to a ping, or answer a subscription or its end."""
        if frame == "Pong" and not self._kind.spot:
            self._waiting.clear()
            return ()
        match asked := understood(frame) or {}:
            case {"pong": str() as ident} if ident in self._waiting:
                self._waiting.clear()
                return ()
            case {"pong": _}:
                return ()
            case {"dataType": str() as name}:
                return (self._change(asked, name, world),)
        return (self._refuse(world),)

    def tick(self, world: World) -> Iterable[Action]:
        """Ping, or cut off who did not answer."""
        if len(self._waiting) >= MISSED:
            self.due = None
            return (Cut(),)
        self.due = world.now.real + PING_EVERY
        ident = uuid5(UUID(int=0), str(next(self._pings))).hex
        self._waiting.add(ident)
        if not self._kind.spot:
            return (packed("Ping"),)
        now = datetime.fromtimestamp(world.told.market, UTC).astimezone(_ASIA)
        time = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1_000:03d}{now:%z}"
        return (packed({"ping": ident, "time": time}),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; after a bar's end only now and then."""
        if stays_unsent(push):
            return ()
        listing = world.market.listing(push.channel.trading_pair)
        data = _spot_data if self._kind.spot else _swap_data
        return (packed(data(push.bar, push.channel, listing, world)).frame,)

    def _change(self, asked: Mapping[str, object], name: str, world: World) -> Action:
        symbol, _, word = name.partition("@kline_")
        interval = self._kind.words.get(word)
        kind = asked.get("reqType", "sub" if self._kind.spot else None)
        if interval is None or kind not in ("sub", "unsub"):
            return self._refuse(world)
        if kind == "unsub":
            self.channels.pop(name, None)
            return self._confirm(asked, world)
        listing = world.market.symbols.get(symbol)
        if listing is not None and world.refuses(listing.trading_pair, interval):
            return self._refuse(world)
        served = listing is not None and world.market.trades(listing.trading_pair)
        if listing is not None and served and name not in self.channels:
            pair = listing.trading_pair
            self.channels[name] = Channel(name, pair, interval, world.now.market)
        return self._confirm(asked, world)

    def _confirm(self, asked: Mapping[str, object], world: World) -> Action:
        ident = str(asked.get("id", ""))
        return packed({"code": 0, "id": ident, "msg": "SUCCESS", "timestamp": world.told.millis})

    def _refuse(self, world: World) -> Action:
        return packed({"code": 100_400, "msg": "", "timestamp": world.told.millis})


# --- REST


_COST = (Charge("requests", 1),)


def _refusal(message: str) -> HttpReply:
    return HttpReply({"code": 100_400, "msg": message, "data": {}}, charges=_COST)


def _spot_row(bar: Bar, _: Listing) -> list[object]:
    prices = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    figures = [number(plain(figure)) for figure in prices]
    return [bar.open_ms, *figures, bar.last_ms, number(plain(bar.quote_volume))]


def _swap_row(bar: Bar, listing: Listing) -> dict[str, object]:
    places = digits(listing.tick)
    return {
        "open": text(bar.open, places),
        "close": text(bar.close, places),
        "high": text(bar.high, places),
        "low": text(bar.low, places),
        "volume": plain(bar.volume),
        "time": bar.open_ms,
    }


class Bingx(Dialect):
    """One kind of BingX's pairs."""

    intervals = _INTERVALS
    upcoming = listed("USDT", "{}-{}".format, coins=UPCOMING)
    quiet = Quiet(stream=False, history=False)
    closing = Closing(delay=(0.0, 2.0), flagged=False, overlaps=True)
    limits = Limits(rest={"requests": Rate(10, 1)})

    def __init__(self, kind: Kind) -> None:
        self.market = kind.market
        self.listings = (*listed("USDT", "{}-{}".format), *kind.others)
        self.figures = Figures(quote_volume=kind.spot)
        self._kind = kind

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept this market's path."""
        if request.path != self._kind.socket:
            return HttpReply("Not Found", 404)
        return BingxConversation(self._kind, world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        if request.method == "GET" and request.path == self._kind.instruments:
            return HttpReply(self._instruments(world), charges=_COST)
        if request.method != "GET" or request.path != self._kind.klines:
            return HttpReply({"code": 100_404, "msg": "this api is not exist"}, 404)
        try:
            return self._candles(request.query, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing, interval = world.market.symbols.get(query.get("symbol", "")), query.get("interval")
        if listing is None:
            raise Refused(_refusal("invalid symbol"))
        if interval is None or interval not in self.intervals:
            raise Refused(_refusal("invalid interval"))
        limit = whole(query, "limit", _refusal("invalid limit"))
        start = whole(query, "startTime", _refusal("invalid startTime"))
        end = whole(query, "endTime", _refusal("invalid endTime"))
        if limit == 0:
            raise Refused(_refusal("invalid limit"))
        first = FIRST_OPEN if start is None else (start + 1) / 1_000
        last = world.now.market if end is None else (end - 1) / 1_000
        asked = (listing.trading_pair, interval)
        found = world.market.backwards(*asked, first, last, world.now.market)
        bars = islice((bar for bar in found if bar.trades), min(limit or _USUAL, _MOST))
        row = _spot_row if self._kind.spot else _swap_row
        return HttpReply(
            {"code": 0, "msg": "", "data": [row(bar, listing) for bar in bars]},
            charges=_COST,
            trading_pair=asked[0],
            interval=interval,
            rows="data",
        )

    def _instruments(self, world: World) -> object:
        rows = [
            (_symbol if self._kind.spot else _contract)(
                listing, number, trading=world.market.trades(name)
            )
            for number, (name, listing) in enumerate(world.market.listings.items(), 100)
        ]
        head = {"code": 0, "msg": ""}
        if self._kind.spot:
            return {**head, "debugMsg": "", "data": {"symbols": rows}}
        return {**head, "data": rows}

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; the card does not give its body."""
        body = {"code": 100_410, "msg": "rate limited", "timestamp": world.told.millis}
        return HttpReply(body, 429, retry_header(retry_after))


def _symbol(listing: Listing, _: int, *, trading: bool) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "minQty": number(plain(listing.lot)),
        "maxQty": 2_941_177,
        "minNotional": 5,
        "maxNotional": 20_000,
        "status": int(trading),
        "tickSize": number(plain(listing.tick)),
        "stepSize": number(plain(listing.lot)),
        "apiStateSell": True,
        "apiStateBuy": True,
        "timeOnline": 0,
        "offTime": 0,
        "maintainTime": 0,
    }


def _contract(listing: Listing, ident: int, *, trading: bool) -> dict[str, object]:
    return {
        "contractId": str(ident),
        "symbol": listing.symbol,
        "size": plain(listing.lot),
        "quantityPrecision": str(digits(listing.lot)),
        "pricePrecision": str(digits(listing.tick)),
        "feeRate": "0.0005",
        "makerFeeRate": "0.0002",
        "takerFeeRate": "0.0005",
        "tradeMinLimit": "0",
        "tradeMinQuantity": plain(listing.lot),
        "tradeMinUSDT": "2",
        "maxLongLeverage": "125",
        "maxShortLeverage": "125",
        "currency": listing.quote,
        "asset": listing.base,
        "status": "1",
        "apiStateOpen": "true" if trading else "false",
        "apiStateClose": "true",
        "ensureTrigger": True,
        "triggerFeeRate": "0.00020000",
    }


DIALECTS = (partial(Bingx, SPOT), partial(Bingx, SWAP))
