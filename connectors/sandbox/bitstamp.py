"""Bitstamp, as it speaks: short card bitstamp. Candles come by REST alone.

Oddities: `limit` must be given; where both bounds are, the rows before the end win; all figures
are text; a week is not offered, the longest step is three days.

What the card calls UNKNOWN or leaves out, and what is done here:

* Minutes without trades are missing.
* Bounds: `start` includes its open time, `end` does not. Without bounds, or with an end alone,
  the newest rows come.
* The path needs its last slash. An unknown pair: HTTP 404 with a page of HTML; any bad
  parameter: HTTP 400 with a made-up reason.
* Rate: 13 requests a second, as the 75 ms that a third party waits; beyond it HTTP 429, HTML.
* Three-day bars count from 1970-01-01.
* The card names three keys of an instrument and no values: `trading` is `Enabled` or `Disabled`.
  A pair whose trading has ended stays listed so, and so does its history.
"""

import re
from collections.abc import Mapping
from itertools import islice

from connectors.sandbox.dialect import (
    Charge,
    Conversation,
    Dialect,
    Figures,
    HttpReply,
    HttpRequest,
    Limits,
    Quiet,
    Rate,
    World,
    retry_header,
    text,
)
from connectors.sandbox.grid import steps
from connectors.sandbox.listing import UPCOMING, Listing, listed
from connectors.sandbox.market import Bar
from connectors.sandbox.shared_history import traded
from connectors.sandbox.shared_requests import Refused, digits, whole

_INSTRUMENTS = "/api/v2/trading-pairs-info/"
_MOST = 1_000
_VOLUME_DIGITS = 8
_HTML = {"Content-Type": "text/html; charset=utf-8"}


def _symbol(base: str, quote: str) -> str:
    return (base + quote).lower()


class Bitstamp(Dialect):
    """`bitstamp_spot`."""

    market = "bitstamp_spot"
    intervals = steps("1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 3d")
    listings = listed("USD", _symbol)
    upcoming = listed("USD", _symbol, coins=UPCOMING)
    figures = Figures()
    quiet = Quiet(stream=False, history=False)
    limits = Limits(rest={"requests": Rate(13, 1)})
    streams = False

    def connect(self, request: HttpRequest, world: World) -> Conversation | HttpReply:
        """Refuse: candles have no WebSocket here."""
        return _page(404)

    def answer(self, request: HttpRequest, world: World) -> HttpReply:
        """Answer candles and instruments."""
        if request.method == "GET" and request.path == _INSTRUMENTS:
            return _charged([_instrument(found, world) for found in world.market.listings.values()])
        match = re.fullmatch(r"/api/v2/ohlc/(\w+)/", request.path)
        listing = world.market.symbols.get(match[1]) if match else None
        if request.method != "GET" or listing is None:
            return _page(404)
        try:
            return self._candles(request.query, listing, world)
        except Refused as refused:
            return refused.reply

    def _candles(self, query: Mapping[str, str], listing: Listing, world: World) -> HttpReply:
        steps_by_code = {str(grid.seconds): name for name, grid in self.intervals.items()}
        interval = steps_by_code.get(query.get("step", ""))
        if interval is None:
            raise Refused(_invalid("step"))
        limit = whole(query, "limit", _invalid("limit"))
        if limit is None or not 1 <= limit <= _MOST:
            raise Refused(_invalid("limit"))
        start, end = (whole(query, name, _invalid(name)) for name in ("start", "end"))
        found = traded(world, (listing.trading_pair, interval), start, end)
        bars = list(islice(found, limit))
        rows = [_row(bar, listing) for bar in sorted(bars, key=lambda bar: bar.open_time)]
        name = f"{listing.base}/{listing.quote}"
        return HttpReply(
            {"data": {"ohlc": rows, "pair": name}},
            charges=(Charge("requests", 1),),
            trading_pair=listing.trading_pair,
            interval=interval,
            rows="data.ohlc",
        )

    def slow_down(self, retry_after: int | None, world: World) -> HttpReply:
        """Return HTTP 429 with a page of HTML."""
        return _page(429, retry_header(retry_after))


def _row(bar: Bar, listing: Listing) -> dict[str, str]:
    price = digits(listing.tick)
    return {
        "close": text(bar.close, price),
        "high": text(bar.high, price),
        "low": text(bar.low, price),
        "open": text(bar.open, price),
        "timestamp": str(bar.open_time),
        "volume": text(bar.volume, _VOLUME_DIGITS),
    }


def _instrument(listing: Listing, world: World) -> dict[str, str]:
    trades = world.market.trades(listing.trading_pair)
    return {
        "url_symbol": listing.symbol,
        "name": f"{listing.base}/{listing.quote}",
        "trading": "Enabled" if trades else "Disabled",
    }


def _charged(body: object, status: int = 200) -> HttpReply:
    return HttpReply(body, status, charges=(Charge("requests", 1),))


def _invalid(name: str) -> HttpReply:
    return _charged({"status": "error", "reason": {name: ["Invalid value."]}}, 400)


def _page(status: int, headers: Mapping[str, str] | None = None) -> HttpReply:
    html = f"<html><body><h1>{status}</h1></body></html>"
    return HttpReply(html, status, {**_HTML, **(headers or {})})


DIALECTS = (Bitstamp,)
