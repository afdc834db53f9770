"""Bitstamp: spot, over REST only.

* There are no candles over WebSocket (trades and books only): every interval is polled.
* The pair stands in the path, in lower case and without a separator (``btcusd``), and the path
  ends with a slash. ``limit`` is required.
* When a window holds more rows than the limit, those before its END come (recorded); ours never
  holds more. Rows are oldest first, and the last one may be the open bar.
* A step of 259200 is three days, not the week that ccxt takes it for: there is no week.
* UNKNOWN: where bars of three days begin (learned); whether bars without trades are sent; how late
  a bar's figures settle (5 s is a guess); what errors look like (HTTP statuses are believed); the
  words for a pair that is not traded (all that are listed are taken as traded, the status is told).

Sources: ccxt 4.5.64, a live note on ``start``, recordings in tests/wire/ (gocryptotrader), 2026-09.
"""

from __future__ import annotations

from typing import Any

from connectors.adapter import Limits, Parsed, Rate
from connectors.model import Instrument
from connectors.plain import (
    Columns, Listing, PlainAdapter, Query, Spelling, codes_in_seconds, in_seconds,
)  # fmt: skip


class BitstampSpot(PlainAdapter):
    """Spot: volumes are base coins as they come."""

    name = "bitstamp_spot"
    spelling = Spelling(lower=True)
    anchors = {"3d": None}
    close_grace = 5.0
    limits = Limits(
        source="nothing published in our sources; ccxt 4.5.64 waits 75 ms between requests, which "
        "is 13 a second: kept below",
        checked="2026-09",
        rest=(Rate(10),),
    )

    def parse_ws_message(self, data: Any) -> Parsed:
        return None

    rest_url = "https://www.bitstamp.net/api/v2/ohlc/{symbol}/"
    rest_intervals = codes_in_seconds("1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 3d")  # ccxt, 2026-09
    rest_path = ("data", "ohlc")
    rest_columns = Columns("timestamp", "open", "high", "low", "close", "volume")
    # A bar that opens at start is included (live note); none of ours opens at the end that is sent.
    query = Query("", "step", "start", "end", "limit", time=in_seconds)
    page = 1000  # 1 to 1000 (ccxt, 2026-09)
    listing = Listing(url="/api/v2/trading-pairs-info/")

    def instrument(self, row: Any) -> Instrument | None:
        base, _, quoted = row["name"].partition("/")
        if not quoted.isalnum():  # no pair of currencies
            return None
        pair = self.spelling.joined(base, quoted)
        return Instrument(trading_pair=pair, symbol=row["url_symbol"], status=str(row["trading"]))
