"""Crypto.com Exchange v1, spot, as it speaks: card cryptocom.

Oddities that a client meets here:

* Requests count from the first moment: in the first second of a connection only the share of that
  second is allowed, so that one wish at once is one too many.
* A candle channel has no confirmation: the first frame of it carries the request's id, and history,
  oldest first. Later frames have the id -1, some of them two rows. An interval comes back as it
  was asked for, the old codes (`M1`), too.
* A refusal names its channel; too many channels are refused with the id alone, and the rest of
  the request is served. What is no JSON gets no answer.
* The server's heartbeat must be answered with its id, besides protocol pings every 5 s.
* REST tells the code as a number or, by turns, as text.

What the card calls UNKNOWN or leaves open, and what is done here:

* Bars without trades are missing, live and in history. History over the socket has 45 rows, as
  recorded. A bar's updates may lack its last trades; after the end of every eighth bar one more
  comes, up to 2 s late, together with the next bar. Corrections are not sent again.
* The interval that the newest documentation lacks (`6h`) is refused. More than 100 channels in a
  request are refused as a whole, with a made-up text; so is what has no list of channels. What is
  subscribed to already has its history again. A pair whose trading has ended is an "Unsupported
  instrument".
* The third heartbeat that stays without an answer for 5 s ends the connection with code 1000.
  Protocol pings are waited for 10 s.
* Bounds: neither `start_ts` nor `end_ts` is included; the newest rows win; rows are oldest first;
  a `count` above 300 is cut.
* Too many requests: code 42901, over REST with HTTP 429.

Left out: perpetuals and dated futures, which stand among the instruments and have no candles here;
bars of 14 days; close code 1013.
"""

from collections.abc import Iterable, Mapping
from itertools import count, islice
from typing import Any

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
    ServerPing,
    World,
    plain,
    retry_header,
    text,
)
from connectors.sandbox.grid import steps
from connectors.sandbox.listing import COINS, UPCOMING, Listing, listed
from connectors.sandbox.market import FIRST_OPEN, Bar
from connectors.sandbox.shared_frames import following, send, stays_unsent
from connectors.sandbox.shared_requests import Refused, digits, understood, whole, written
from connectors.sandbox.shared_snapshot import snapshot

HEARTBEAT, PATIENCE, MISSED = 30.0, 5.0, 3
"""Real seconds: between heartbeats, and for the answer to the third that was missed."""

CHANNELS, CHANNELS_A_REQUEST = 400, 100
REQUESTS = Rate(100, 1)

_HISTORY, _USUAL, _MOST = 45, 25, 300
_WORDS = {
    **{name: name for name in ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "12h", "1M")},
    "1D": "1d",
    "7D": "1w",
    "M1": "1m",
    "M5": "5m",
    "M15": "15m",
    "M30": "30m",
    "H1": "1h",
    "H2": "2h",
    "H4": "4h",
    "H12": "12h",
    "D1": "1d",
}
"""The exchange's word for an interval -> ours, new ones and old ones."""

_CANDLES = "public/get-candlestick"


def _streamed(bar: Bar) -> dict[str, object]:
    prices = {"o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close, "v": bar.volume}
    return {**{key: plain(value) for key, value in prices.items()}, "t": bar.open_ms}


def _row(bar: Bar, listing: Listing) -> dict[str, object]:
    price = digits(listing.tick)
    prices = {"o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close}
    printed = {key: text(value, price) for key, value in prices.items()}
    return {**printed, "v": text(bar.volume, digits(listing.lot)), "t": bar.open_ms}


# --- WebSocket


class CryptocomConversation(Conversation):
    """One connection; `channels` are named as they were asked for."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._opened_at = world.now.real
        self._requests = 0
        self._waiting: set[int] = set()
        self.due = world.now.real + HEARTBEAT

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Take an answer to a heartbeat, or answer a request; what is no JSON has no answer."""
        asked = understood(frame)
        if asked is None:
            return ()
        if asked.get("method") == "public/respond-heartbeat":
            return self._heard(asked.get("id"), world)
        if over := self._hasty(world):
            return over, _refuse(asked, 42_901, "TOO_MANY_REQUESTS")
        return self._answer(asked, world)

    def tick(self, world: World) -> Iterable[Action]:
        """Send a heartbeat, or close on who did not answer three."""
        if len(self._waiting) == MISSED:
            self.due = None
            return (Close(1000),)
        ident = world.told.millis + len(self._waiting)
        self._waiting.add(ident)
        wait = PATIENCE if len(self._waiting) == MISSED else HEARTBEAT
        self.due = world.now.real + wait
        return (send({"id": ident, "method": "public/heartbeat", "code": 0}),)

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; after a bar's end only now and then, together with the next."""
        if stays_unsent(push):
            return ()
        bars = [push.bar]
        if push.bar.final and (new := following(push, world)):
            bars.append(new)
        rows = [{**_streamed(bar), "ut": min(world.told.millis, bar.last_ms)} for bar in bars]
        return (written(_data(push.channel, rows, -1, world)),)

    def flooded(self, world: World) -> Iterable[Action]:
        """Refuse what is too much."""
        return (_refuse({}, 42_901, "TOO_MANY_REQUESTS"),)

    def _answer(self, asked: Mapping[str, Any], world: World) -> Iterable[Action]:
        match asked:
            case {"method": "subscribe", "params": {"channels": list() as names}}:
                return self._subscribe(asked, names, world)
            case {"method": "unsubscribe", "params": {"channels": list() as names}}:
                for name in names:
                    self.channels.pop(str(name), None)
                return (send({"id": asked.get("id", -1), "method": "unsubscribe", "code": 0}),)
            case {"method": "subscribe" | "unsubscribe"}:
                params = written(asked.get("params"))
                return (_refuse(asked, 10_004, f"invalid channel {params}"),)
        return (_refuse(asked, 40_003, "No such method"),)

    def _hasty(self, world: World) -> Overstep | None:
        """Reckon the share of the first second; the rate after it is the core's to count."""
        elapsed = world.now.real - self._opened_at
        self._requests += 1
        if elapsed >= 1 or self._requests <= REQUESTS.allowed * elapsed:
            return None
        allowed = REQUESTS.allowed * elapsed
        return Overstep("requests in the first second", allowed, self._requests)

    def _heard(self, ident: object, world: World) -> Iterable[Action]:
        if ident in self._waiting:
            self._waiting.clear()
            self.due = world.now.real + HEARTBEAT
        return ()

    def _subscribe(
        self, asked: Mapping[str, object], names: list[object], world: World
    ) -> Iterable[Action]:
        if len(names) > CHANNELS_A_REQUEST:
            return (_refuse(asked, 40_003, "Too many channels"),)
        actions: list[Action] = []
        beyond = 0
        for name in map(str, names):
            channel = self._find(name, world)
            if isinstance(channel, str):
                actions.append(_refuse(asked, 40_003, channel, name))
            elif name not in self.channels and len(self.channels) >= CHANNELS:
                beyond += 1
            else:
                channel = self.channels.setdefault(name, channel)
                rows = [_streamed(bar) for bar in snapshot(world, channel, _HISTORY)[::-1]]
                actions.append(send(_data(channel, rows, asked.get("id", -1), world)))
        if beyond:
            over = Overstep("channels a connection", CHANNELS, CHANNELS + beyond)
            actions += [over, _refuse(asked, 40_107, "Maximum subscriptions exceeded")]
        return actions

    def _find(self, name: str, world: World) -> Channel | str:
        """Return the channel that is asked for, or why there is none."""
        kind, word, symbol = [*name.split(".", 2), "", ""][:3]
        interval, listing = _WORDS.get(word), world.market.symbols.get(symbol)
        if kind != "candlestick" or interval is None:
            return "Unrecognized channel"
        if listing is None or world.refuses(listing.trading_pair, interval):
            return "Unknown symbol"
        if not world.market.trades(listing.trading_pair):
            return "Unsupported instrument"
        return Channel(name, listing.trading_pair, interval, world.now.market, word)


def _data(channel: Channel, rows: list[dict[str, object]], ident: object, world: World) -> object:
    result = {
        "instrument_name": world.market.listing(channel.trading_pair).symbol,
        "subscription": channel.name,
        "channel": "candlestick",
        "interval": channel.tag,
        "data": rows,
    }
    return {"id": ident, "method": "subscribe", "code": 0, "result": result}


def _refuse(asked: Mapping[str, Any], code: int, message: str, name: str | None = None) -> Action:
    head = {"id": asked.get("id", -1), "method": asked.get("method", ""), "code": code}
    channel = {} if name is None else {"channel": name}
    return send({**head, **channel, "message": message})


# --- REST


_COST = (Charge("requests", 1),)


def _refusal(code: int, message: str, status: int = 400) -> HttpReply:
    body = {"id": -1, "method": _CANDLES, "code": code, "message": message, "result": {}}
    return HttpReply(body, status, charges=_COST)


_BAD = _refusal(10_004, "BAD_REQUEST")


class Cryptocom(Dialect):
    """`cryptocom_spot`."""

    market = "cryptocom_spot"
    intervals = steps("1m 5m 15m 30m 1h 2h 4h 12h 1d 1w 1M")
    listings = (
        *listed("USDT", "{}_{}".format),
        *listed("USD", "{}_{}".format, coins=COINS[:6]),
    )
    upcoming = listed("USDT", "{}_{}".format, coins=UPCOMING)
    figures = Figures()
    quiet = Quiet(stream=False, history=False)
    closing = Closing(delay=(0.0, 2.0), flagged=False, overlaps=True)
    limits = Limits(
        messages=Rate(REQUESTS.allowed, REQUESTS.seconds, "connection"),
        rest={"requests": REQUESTS},
    )
    server_ping = ServerPing(5.0, 10.0)
    opens_with_current = False  # the history has it

    def __init__(self) -> None:
        self._replies = count()

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/exchange/v1/market":
            return HttpReply("Not Found", 404)
        return CryptocomConversation(world)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        root = "/exchange/v1/"
        if request.method == "GET" and request.path == f"{root}public/get-instruments":
            body = {"id": 1, "method": "public/get-instruments", "code": 0}
            return HttpReply({**body, "result": {"data": _instruments(world)}}, charges=_COST)
        if request.method != "GET" or request.path != root + _CANDLES:
            return HttpReply({"code": 40_003, "message": "No such method"}, 400)
        try:
            return self._candles(request.query, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], world: World) -> HttpReply:
        listing = world.market.symbols.get(query.get("instrument_name", ""))
        if listing is None:
            raise Refused(_refusal(30_002, "INSTRUMENT_NOT_FOUND"))
        word = query.get("timeframe", "")
        interval = _WORDS.get(word)
        wanted, start, end = (whole(query, name, _BAD) for name in ("count", "start_ts", "end_ts"))
        if interval is None or wanted == 0:
            raise Refused(_BAD)
        asked, now = (listing.trading_pair, interval), world.now.market
        first = FIRST_OPEN if start is None else (start + 1) / 1_000
        last = now if end is None else (end - 1) / 1_000
        found = world.market.backwards(*asked, first, last, now)
        bars = list(islice((bar for bar in found if bar.trades), min(wanted or _USUAL, _MOST)))
        rows = [_row(bar, listing) for bar in bars[::-1]]
        code = "0" if next(self._replies) % 2 else 0
        result = {"interval": word, "data": rows, "instrument_name": listing.symbol}
        return HttpReply(
            {"id": -1, "method": _CANDLES, "code": code, "result": result},
            charges=_COST,
            trading_pair=asked[0],
            interval=interval,
            rows="result.data",
        )

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429."""
        refusal = _refusal(42_901, "TOO_MANY_REQUESTS", 429)
        return HttpReply(refusal.body, 429, retry_header(retry_after))


_EXPIRY = 1_798_185_600_000  # 2026-12-25T08:00Z


def _instruments(world: World) -> list[dict[str, object]]:
    rows = [
        _instrument(listing, "CCY_PAIR", tradable=world.market.trades(name))
        for name, listing in world.market.listings.items()
    ]
    bitcoin = world.market.listing("BTC-USD")
    perpetual = _instrument(bitcoin, "PERPETUAL_SWAP", tradable=True)
    dated = _instrument(bitcoin, "FUTURE", tradable=True)
    contract = {"underlying_symbol": "BTCUSD-INDEX", "contract_size": "1"}
    return [
        *rows,
        {**perpetual, **contract, "symbol": "BTCUSD-PERP"},
        {**dated, **contract, "symbol": "BTCUSD-261225", "expiry_timestamp_ms": _EXPIRY},
    ]


def _instrument(listing: Listing, kind: str, *, tradable: bool) -> dict[str, object]:
    return {
        "symbol": listing.symbol,
        "inst_type": kind,
        "display_name": f"{listing.base}/{listing.quote}",
        "base_ccy": listing.base,
        "quote_ccy": listing.quote,
        "quote_decimals": digits(listing.tick),
        "quantity_decimals": digits(listing.lot),
        "price_tick_size": plain(listing.tick),
        "qty_tick_size": plain(listing.lot),
        "max_leverage": "50",
        "tradable": tradable,
        "expiry_timestamp_ms": 0,
        "beta_product": False,
        "margin_buy_enabled": False,
        "margin_sell_enabled": True,
    }


DIALECTS = (Cryptocom,)
