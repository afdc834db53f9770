"""Phemex: `phemex_perpetual`, USDT and coin-margined, from the short card and recordings (2021).

Oddities that a client meets here:

* Two feeds: `kline_p` of USDT contracts has decimals as text; `kline` of coin-margined ones has
  whole numbers, to be divided by scales that the list of products tells, and counts contracts of
  1 USD, so that the turnover is the base volume.
* The third figure of a row is the close of the bar before. The interval, in seconds, stands in the
  rows alone. Times are seconds.
* A snapshot of up to 1000 rows, newest first, comes after the confirmation, and the running bar
  once more after it. A confirmation names nothing but the request's id.
* REST takes limits of a fixed set alone; errors come inside HTTP 200.

What the card calls UNKNOWN or leaves out, and what is done here:

* Bars without trades are missing, live and in history. A bar's updates may lack its last trades;
  after the end of every eighth bar one more comes, up to 2 s late, among those of the next bar.
  Corrections are not sent again.
* Unknown symbols and intervals, and what is malformed: code 6001 with null for an id, as a client's
  comment shows. A contract of the other feed, or one whose trading has ended, is confirmed
  and silent; what is subscribed to already is confirmed again, with its snapshot.
* The end of a subscription ends every one of its feed, whatever it names.
* Who sends no message for 30 s is cut off; protocol pings do not count.
* `kline` is oldest first, as a client's comment shows, the other two are newest first.
  `kline/list`, known from ccxt 4.5.64, is for USDT contracts: `from` is included, `to` is not, the
  newest win, and a `limit` above 2000 is refused.
* Rate: eight requests a second, as ccxt paces; beyond it HTTP 429.
* Weeks begin on Thursday, months are those of the calendar.
* Products: the keys of ccxt 4.5.64, spot among them; where trading has ended, `Delisted`.

Left out: spot, contracts settled in USD, and intervals of a quarter and a year.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import count, islice

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
    World,
    plain,
    retry_header,
)
from connectors.sandbox.grid import DAY, Fixed, Step, steps
from connectors.sandbox.listing import UPCOMING, WHOLE_DOLLARS, Listing, listed
from connectors.sandbox.market import FIRST_OPEN, Bar
from connectors.sandbox.shared_frames import send, stays_unsent
from connectors.sandbox.shared_requests import (
    Refused,
    digits,
    number,
    understood,
    whole,
    written,
)
from connectors.sandbox.shared_snapshot import snapshot

SILENCE = 30.0
"""Real seconds without a message of the client until it is cut off; made up."""

PRICE_SCALE, VALUE_SCALE = 4, 8
"""Digits that whole numbers of a coin-margined contract hide: of prices, and of the turnover."""

_SNAPSHOT = 1_000
_LIMITS = (5, 10, 50, 100, 500, 1_000)
_USUAL, _MOST_OF_A_LIST = 100, 2_000
_INTERVALS: dict[str, Step] = {
    **steps("1m 3m 5m 15m 30m 1h 2h 3h 4h 6h 12h 1d"),
    "1w": Fixed(7 * DAY),
    **steps("1M"),
}
_NAMES = {grid.seconds: name for name, grid in _INTERVALS.items()}
"""Seconds of a bar -> our name of the interval."""


def _coin_margined(listing: Listing) -> bool:
    return listing.quote == "USD"


# --- candles


def _row(bar: Bar, asked: tuple[str, str], world: World) -> list[object]:
    listing, grid = world.market.listing(asked[0]), world.market.intervals[asked[1]]
    before = world.market.state(*asked, grid.floor(bar.open_time - 1), world.now.market).close
    prices = (before, bar.open, bar.high, bar.low, bar.close)
    head = [bar.open_time, grid.seconds]
    if _coin_margined(listing):
        scaled = (int(price.scaleb(PRICE_SCALE)) for price in prices)
        return [*head, *scaled, int(bar.quote_volume), int(bar.volume.scaleb(VALUE_SCALE))]
    return [*head, *map(plain, (*prices, bar.volume, bar.quote_volume))]


# --- WebSocket


class PhemexConversation(Conversation):
    """One connection; `channels` are named by feed, symbol and seconds, their tag is the feed."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._sequence = count(17_652_788_205)
        self._heard(world)

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Answer a ping, a subscription or the end of them; anything else is an error."""
        self._heard(world)
        asked = understood(frame) or {}
        match asked.get("method"), asked.get("params"):
            case "server.ping", list():
                return (_answer(asked, "pong"),)
            case ("kline.subscribe" | "kline_p.subscribe") as method, [str() as symbol, int() as s]:
                return self._subscribe(asked, (method.partition(".")[0], symbol, s), world)
            case ("kline.unsubscribe" | "kline_p.unsubscribe") as method, list():
                feed = method.partition(".")[0]
                ended = [name for name, one in self.channels.items() if one.tag == feed]
                for name in ended:
                    del self.channels[name]
                return (_answer(asked, {"status": "success"}),)
        return (_INVALID,)

    def tick(self, world: World) -> Iterable[Action]:
        """Cut off a client that says nothing."""
        self.due = None
        return (Cut(),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; after a bar's end only now and then."""
        if stays_unsent(push):
            return ()
        return (written(self._rows(push.channel, [push.bar], "incremental", world)),)

    def _subscribe(
        self, asked: Mapping[str, object], wanted: tuple[str, str, int], world: World
    ) -> Iterable[Action]:
        feed, symbol, seconds = wanted
        interval, listing = _NAMES.get(seconds), world.market.symbols.get(symbol)
        if interval is None or listing is None:
            return (_INVALID,)
        if world.refuses(listing.trading_pair, interval):
            return (_INVALID,)
        confirmed = _answer(asked, {"status": "success"})
        other_feed = _coin_margined(listing) != (feed == "kline")
        if other_feed or not world.market.trades(listing.trading_pair):
            return (confirmed,)
        name = f"{feed}:{symbol}:{seconds}"
        channel = Channel(name, listing.trading_pair, interval, world.now.market, feed)
        channel = self.channels.setdefault(name, channel)
        bars = snapshot(world, channel, _SNAPSHOT)
        return confirmed, send(self._rows(channel, bars, "snapshot", world))

    def _rows(self, channel: Channel, bars: list[Bar], kind: str, world: World) -> object:
        asked = (channel.trading_pair, channel.interval)
        return {
            str(channel.tag): [_row(bar, asked, world) for bar in bars],
            "sequence": next(self._sequence),
            "symbol": world.market.listing(channel.trading_pair).symbol,
            "type": kind,
        }

    def _heard(self, world: World) -> None:
        self.due = world.now.real + SILENCE


_INVALID = send(
    {"error": {"code": 6_001, "message": "invalid argument"}, "id": None, "result": None}
)


def _answer(asked: Mapping[str, object], result: object) -> Action:
    return send({"error": None, "id": asked.get("id"), "result": result})


# --- REST


_COST = (Charge("requests", 1),)
_Read = Callable[[Mapping[str, str], Listing, str, World], list[Bar]]


def _refusal(code: int, message: str) -> HttpReply:
    return HttpReply({"code": code, "msg": message, "data": None}, charges=_COST)


def _missing(name: str) -> HttpReply:
    return _refusal(412, f"Missing parameter - {name}")


_TOO_MANY = _refusal(30_018, "phemex.data.size.uplimt")


class Phemex(Dialect):
    """`phemex_perpetual`."""

    market = "phemex_perpetual"
    intervals = _INTERVALS
    listings = (*listed("USDT", str.__add__), *listed("USD", str.__add__, lots=WHOLE_DOLLARS))
    upcoming = listed("USDT", str.__add__, coins=UPCOMING)
    figures = Figures(quote_volume=True)
    quiet = Quiet(stream=False, history=False)
    closing = Closing(delay=(0.0, 2.0), flagged=False, overlaps=True)
    limits = Limits(rest={"requests": Rate(8, 1)})

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the root, and the path of the recordings."""
        if request.path not in ("/", "/ws"):
            return HttpReply("Not Found", 404)
        return PhemexConversation(world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and products, and refuse inside HTTP 200."""
        root = "/exchange/public/md/v2/kline"
        reads: dict[str, _Read] = {
            root: _oldest_first,
            f"{root}/last": _newest,
            f"{root}/list": _between,
        }
        if request.method == "GET" and request.path == "/public/products":
            return HttpReply(_products(world), charges=_COST)
        if request.method != "GET" or request.path not in reads:
            return HttpReply("Not Found", 404)
        try:
            return _candles(reads[request.path], request.query, world)
        except Refused as refused:
            return refused.reply

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; the card does not give its body."""
        body = {"code": 429, "msg": "Too many requests", "data": None}
        return HttpReply(body, 429, retry_header(retry_after))


def _candles(read: _Read, query: Mapping[str, str], world: World) -> HttpReply:
    listing = world.market.symbols.get(query.get("symbol", ""))
    if listing is None:
        raise Refused(_missing("symbol"))
    seconds = whole(query, "resolution", _refusal(6_001, "invalid argument"))
    if seconds is None:
        raise Refused(_missing("resolution"))
    interval = _NAMES.get(seconds)
    if interval is None:
        raise Refused(_refusal(6_001, "invalid argument"))
    asked = (listing.trading_pair, interval)
    rows = [_row(bar, asked, world) for bar in read(query, listing, interval, world)]
    return HttpReply(
        {"code": 0, "msg": "OK", "data": {"total": -1, "rows": rows}},
        charges=_COST,
        trading_pair=asked[0],
        interval=interval,
        rows="data.rows",
    )


def _newest(query: Mapping[str, str], listing: Listing, interval: str, world: World) -> list[Bar]:
    """Return the newest bars, newest first."""
    limit = whole(query, "limit", _TOO_MANY)
    if limit is not None and limit not in _LIMITS:
        raise Refused(_TOO_MANY)
    bounds = (FIRST_OPEN, world.now.market)
    return _traded(world, (listing.trading_pair, interval), bounds, limit or _USUAL)


def _oldest_first(
    query: Mapping[str, str], listing: Listing, interval: str, world: World
) -> list[Bar]:
    return _newest(query, listing, interval, world)[::-1]


def _between(query: Mapping[str, str], listing: Listing, interval: str, world: World) -> list[Bar]:
    """Return bars of a range of seconds, newest first; coin-margined contracts have none."""
    bounds = [whole(query, name, _missing(name)) for name in ("from", "to")]
    limit = whole(query, "limit", _TOO_MANY)
    if limit is not None and not 1 <= limit <= _MOST_OF_A_LIST:
        raise Refused(_TOO_MANY)
    first, end = bounds
    if first is None or end is None:
        raise Refused(_missing("from" if first is None else "to"))
    if _coin_margined(listing):
        raise Refused(_refusal(6_001, "invalid argument"))
    asked = (listing.trading_pair, interval)
    return _traded(world, asked, (first, end - 1), limit or _MOST_OF_A_LIST)


def _traded(
    world: World, asked: tuple[str, str], bounds: tuple[float, float], most: int
) -> list[Bar]:
    found = world.market.backwards(*asked, *bounds, world.now.market)
    return list(islice((bar for bar in found if bar.trades), most))


def _products(world: World) -> object:
    coin_margined, tether_margined = [], []
    for name, listing in world.market.listings.items():
        status = "Listed" if world.market.trades(name) else "Delisted"
        if _coin_margined(listing):
            coin_margined.append(_coin_product(listing, status))
        else:
            tether_margined.append(_tether_product(listing, status))
    coins = {listing.base: VALUE_SCALE for listing in world.market.listings.values()}
    scales = {**coins, "USD": 4, "USDT": VALUE_SCALE}
    data = {
        "currencies": [
            {"currency": name, "valueScale": scale, "status": "Listed"}
            for name, scale in scales.items()
        ],
        "products": [*coin_margined, _SPOT],
        "perpProductsV2": tether_margined,
        "ratioScale": 8,
    }
    return {"code": 0, "msg": "", "data": data}


def _coin_product(listing: Listing, status: str) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "code": 1,
        "type": "Perpetual",
        "displaySymbol": f"{listing.base} / {listing.quote}",
        "contractUnderlyingAssets": "USD",
        "settleCurrency": listing.base,
        "quoteCurrency": listing.quote,
        "contractSize": number("1.0"),
        "lotSize": 1,
        "tickSize": number(plain(listing.tick)),
        "priceScale": PRICE_SCALE,
        "ratioScale": 8,
        "valueScale": VALUE_SCALE,
        "pricePrecision": digits(listing.tick),
        "maxOrderQty": 1_000_000,
        "status": status,
        "listTime": 1_574_650_800_000,
        "fundingInterval": 28_800,
    }


def _tether_product(listing: Listing, status: str) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "code": 41_541,
        "type": "PerpetualV2",
        "displaySymbol": f"{listing.base} / {listing.quote}",
        "contractUnderlyingAssets": listing.base,
        "settleCurrency": listing.quote,
        "quoteCurrency": listing.quote,
        "tickSize": plain(listing.tick),
        "priceScale": 0,
        "ratioScale": 0,
        "pricePrecision": digits(listing.tick),
        "baseCurrency": listing.base,
        "status": status,
        "listTime": 1_668_225_600_000,
        "fundingInterval": 28_800,
        "maxOrderQtyRq": "1000",
        "qtyPrecision": digits(listing.lot),
        "qtyStepSize": plain(listing.lot),
    }


_SPOT = {
    "symbol": "sBTCUSDT",
    "code": 1_001,
    "type": "Spot",
    "displaySymbol": "BTC / USDT",
    "quoteCurrency": "USDT",
    "priceScale": 8,
    "ratioScale": 8,
    "pricePrecision": 2,
    "baseCurrency": "BTC",
    "status": "Listed",
}
"""It has no candles here."""

DIALECTS = (Phemex,)
