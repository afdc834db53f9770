"""Gemini, spot, as it speaks: short card gemini, which rests on one source.

Oddities that a client meets here:

* Symbols are upper case on the socket and lower case by REST, and only a request for each symbol
  tells its two assets: `BTCGUSD` is BTC in GUSD.
* Nothing confirms a subscription but the first frame, which holds many rows. Rows are numbers,
  newest first; a frame tells its interval in its type alone.
* History is a window without bounds and without a limit, newest first, with the bars without
  trades.

What the card calls UNKNOWN or leaves open, and what is done here:

* The socket serves the three intervals whose names are undisputed: 1m, 5m, 15m. Others, and what is
  malformed, sink their whole request, with a made-up reason. Unknown symbols are left out without
  a word; where no other was asked for, "NoValidTradingPairs", as a client's comment shows.
* A symbol whose trading has ended is silent, without a first frame.
* Live, bars without trades are not sent. A bar's updates may lack its last trades; after the end of
  every eighth bar one more comes, up to 2 s late, together with the next bar. Corrections are not
  sent again.
* First frames and windows have 500 rows. Nobody pings, but by the protocol; there are no limits of
  the socket. The end of a subscription is not confirmed.
* Errors by REST: HTTP 400 in the form of a client's comment. Rate: two requests a second, which
  ccxt names for the public interface; beyond it HTTP 429.
* Perpetuals stand among the symbols and have no candles here.

Left out: feeds other than candles.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from connectors.sandbox.dialect import (
    Action,
    Channel,
    Charge,
    Closing,
    Conversation,
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
from connectors.sandbox.grid import steps
from connectors.sandbox.listing import COINS, UPCOMING, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_frames import following, send, stays_unsent
from connectors.sandbox.shared_requests import digits, number, understood, written
from connectors.sandbox.shared_snapshot import snapshot

_ROWS = 500
_STREAMED = {f"candles_{name}": name for name in ("1m", "5m", "15m")}
_WORDS = {
    **{name: name for name in ("1m", "5m", "15m", "30m")},
    "1hr": "1h",
    "6hr": "6h",
    "1day": "1d",
}
"""The exchange's word for an interval by REST -> ours."""

_PERPETUAL = "btcgusdperp"


def _symbol(base: str, quote: str) -> str:
    return f"{base}{quote}".lower()


_ETH_BTC = Listing(
    trading_pair="ETH-BTC",
    symbol="ethbtc",
    price=Decimal("0.03517"),
    tick=Decimal("0.00001"),
    lot=Decimal("0.001"),
    trades_per_minute=0.5,
    usual_trade=Decimal("0.01"),
)


def _row(bar: Bar) -> list[object]:
    figures = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    return [bar.open_ms, *(number(plain(figure)) for figure in figures)]


# --- WebSocket


class GeminiConversation(Conversation):
    """One connection; `channels` are named by feed and symbol."""

    def received(self, frame: Frame, world: World) -> Iterable[Action]:
        """Serve what exists of the wishes; where nothing does, refuse."""
        asked = understood(frame) or {}
        channels = _wanted(asked.get("subscriptions"), world)
        if channels is None or asked.get("type") not in ("subscribe", "unsubscribe"):
            return (_MALFORMED,)
        if asked["type"] == "unsubscribe":
            for channel in channels:
                self.channels.pop(channel.name, None)
            return ()
        if not channels:
            return (_NOTHING,)
        traded = [one for one in channels if world.market.trades(one.trading_pair)]
        served = [self.channels.setdefault(one.name, one) for one in traded]
        return [send(_changes(one, snapshot(world, one, _ROWS, flat=True))) for one in served]

    def candle(self, push: Push, world: World) -> Iterable[Frame]:
        """Carry the candle; after a bar's end only now and then, together with the next."""
        if stays_unsent(push):
            return ()
        bars = [push.bar]
        if push.bar.final and (new := following(push, world)):
            bars.insert(0, new)
        return (written(_changes(push.channel, bars)),)


def _wanted(wishes: object, world: World) -> list[Channel] | None:
    """Return the wished channels that exist; None where a wish is malformed."""
    found: list[Channel] = []
    if not isinstance(wishes, list):
        return None
    for wish in wishes:
        match wish:
            case {"name": str() as name, "symbols": list() as symbols} if name in _STREAMED:
                channels = (_channel(name, str(symbol), world) for symbol in symbols)
                found += [channel for channel in channels if channel is not None]
            case _:
                return None
    return found


def _channel(name: str, symbol: str, world: World) -> Channel | None:
    interval, listing = _STREAMED[name], world.market.symbols.get(symbol.lower())
    if listing is None or not symbol.isupper():
        return None
    if world.refuses(listing.trading_pair, interval):
        return None
    return Channel(f"{name}:{symbol}", listing.trading_pair, interval, world.now.market)


def _changes(channel: Channel, bars: list[Bar]) -> object:
    name, _, symbol = channel.name.partition(":")
    return {"type": f"{name}_updates", "symbol": symbol, "changes": [_row(bar) for bar in bars]}


_NOTHING = send({"reason": "NoValidTradingPairs", "result": "error"})
_MALFORMED = send({"reason": "InvalidSubscription", "result": "error"})


# --- REST


_COST = (Charge("requests", 1),)


def _refusal(reason: str, message: str, status: int = 400) -> HttpReply:
    body = {"result": "error", "reason": reason, "message": message}
    return HttpReply(body, status, charges=_COST)


class Gemini(Dialect):
    """`gemini_spot`."""

    market = "gemini_spot"
    intervals = steps("1m 5m 15m 30m 1h 6h 1d")
    listings = (
        *listed("USD", _symbol),
        *listed("GUSD", _symbol, coins=COINS[:2]),
        _ETH_BTC,
    )
    upcoming = listed("USD", _symbol, coins=UPCOMING)
    figures = Figures()
    quiet = Quiet(stream=False, history=True)
    closing = Closing(delay=(0.0, 2.0), flagged=False, overlaps=True)
    limits = Limits(rest={"requests": Rate(2, 1)})
    opens_with_current = False  # the first frame has it

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Accept the one path."""
        if request.path != "/v2/marketdata":
            return HttpReply("Not Found", 404)
        return GeminiConversation()

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles, the list of symbols, and what one symbol is."""
        if request.method != "GET":
            return HttpReply("Not Found", 404)
        if request.path == "/v1/symbols":
            return HttpReply([*world.market.symbols, _PERPETUAL], charges=_COST)
        if match := re.fullmatch(r"/v1/symbols/details/(\w+)", request.path):
            return _details(match[1].lower(), world)
        if match := re.fullmatch(r"/v2/candles/(\w+)/(\w+)", request.path):
            return _candles(match[1], match[2], world)
        return _refusal("EndpointNotFound", "API entry point not found", 404)

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429; the card does not give its body."""
        refusal = _refusal("RateLimit", "Requests were made too frequently", 429)
        return HttpReply(refusal.body, 429, retry_header(retry_after))


def _candles(symbol: str, word: str, world: World) -> HttpReply:
    listing, interval = world.market.symbols.get(symbol), _WORDS.get(word)
    if listing is None:
        return _refusal("InvalidSymbol", f"Supplied value '{symbol}' is not a valid symbol")
    if interval is None:
        return _refusal("InvalidTimeFrame", f"Supplied value '{word}' is not a valid time frame")
    asked, now = (listing.trading_pair, interval), world.now.market
    rows = [_row(bar) for bar in world.market.latest(*asked, now, now, _ROWS)[::-1]]
    return HttpReply(rows, charges=_COST, trading_pair=asked[0], interval=interval, rows="")


def _details(symbol: str, world: World) -> HttpReply:
    listing = world.market.symbols.get(symbol)
    if symbol == _PERPETUAL:
        bitcoin = world.market.listing("BTC-GUSD")
        return HttpReply(_swap(_detail(bitcoin, "open")), charges=_COST)
    if listing is None:
        return _refusal("InvalidSymbol", f"Supplied value '{symbol}' is not a valid symbol")
    status = "open" if world.market.trades(listing.trading_pair) else "closed"
    return HttpReply(_detail(listing, status), charges=_COST)


def _detail(listing: Listing, status: str) -> dict[str, object]:
    return {
        "symbol": listing.symbol.upper(),
        "base_currency": listing.base,
        "quote_currency": listing.quote,
        "tick_size": number(f"1E-{digits(listing.lot)}"),
        "quote_increment": number(plain(listing.tick)),
        "min_order_size": plain(listing.lot),
        "status": status,
        "wrap_enabled": False,
    }


def _swap(spot: Mapping[str, object]) -> dict[str, object]:
    perpetual = {"product_type": "swap", "contract_type": "linear"}
    return {**spot, **perpetual, "symbol": _PERPETUAL.upper(), "contract_price_currency": "GUSD"}


DIALECTS = (Gemini,)
