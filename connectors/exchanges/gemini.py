"""Gemini: spot.

* The first frame holds many bars, later ones one or few, NEWEST FIRST; figures are numbers.
* Symbols are upper case over WebSocket and lower case in the path of REST.
* REST takes no bounds and no limit: it has one window of the latest bars, newest first. How many is
  UNKNOWN: 100 are counted on, older ones are given up. Bars without trades are in it (documented).
* Names of the channels of 30m and above differ between the sources (``candles_1hr``,
  ``candles_1h``): those intervals are polled.
* Nothing ties an error to its request: the oldest open one is meant. That anything is confirmed is
  not known: what delivers is accepted. No way to leave a channel is known either: the connection is
  replaced.
* UNKNOWN: where bars of six hours and of a day begin (learned); whether bars without trades are
  streamed; how late a bar's last frame comes (5 s is a guess); heartbeats (we send protocol pings);
  all limits (cautious); the list of instruments in one request (pairs are spelled by the rule).

Sources: ccxt 4.5.64 and gocryptotrader (2026-09), who disagree on codes; tests/wire/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.adapter import (
    Limits, Message, Parsed, QuietBars, Rate, Refused, RestRequest,
)  # fmt: skip
from connectors.model import CandleData
from connectors.plain import (
    Columns, Envelope, PlainAdapter, Query, codes, keys, no_object, oldest_first, parts,
)  # fmt: skip

WINDOW = 100  # UNKNOWN: cautious


class GeminiSpot(PlainAdapter):
    """Spot: volumes are base coins as they come."""

    name = "gemini_spot"
    anchors = {"6h": None, "1d": None}
    close_grace = 5.0
    quiet_bars = QuietBars(rest="sent")
    verbs = ("subscribe", None)
    limits = Limits(
        source="nothing published in our sources: cautious numbers",
        checked="2026-09",
        subscriptions=50,
        messages=Rate(1),
        message_channels=10,
        rest=(Rate(1),),
    )

    ws_url = "wss://api.gemini.com/v2/marketdata"
    ws_intervals = codes("1m=candles_1m 5m=candles_5m 15m=candles_15m")  # common to both sources

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        symbols_of: dict[str, list[str]] = {}
        for name, symbol in map(parts, channels):
            symbols_of.setdefault(name, []).append(symbol)
        asked = [{"name": name, "symbols": symbols} for name, symbols in symbols_of.items()]
        return {"type": verb, "subscriptions": asked}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        if data.get("result") == "error":
            said = [str(data[key]) for key in ("reason", "message") if data.get(key)]
            return Refused(": ".join(said) or "no reason was given")
        kind = data["type"] if "changes" in data else data.get("type")
        name = str(kind).removesuffix("_updates")
        if name == kind or not name.startswith("candles_"):
            return None
        read, channel = self.rest_columns.read, self.channel_of(data["symbol"], name)
        return oldest_first([CandleData(*read(row), channel=channel) for row in data["changes"]])

    rest_url = "https://api.gemini.com/v2/candles/{symbol}/{code}"
    rest_intervals = codes("1m 5m 15m 30m 1h=1hr 6h=6hr 1d=1day")  # ccxt, 2026-09
    rest_columns = Columns(0, 1, 2, 3, 4, 5)
    query = Query("", "", "", "")
    envelope = Envelope(keys("result", "reason"))  # reasons are UNKNOWN: the status tells
    page = WINDOW
    reach = dict.fromkeys(rest_intervals, WINDOW)

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        request = super().rest_request(trading_pair, interval, start, end, limit, now)
        return replace(request, url=request.url.lower())
