"""Phemex: perpetuals margined in USDT and USDC. Little of it was recorded.

* A row runs time, interval, the LAST bar's close, then open, high, low, close, volume, turnover. It
  tells its own interval, in seconds; a snapshot has 1000 of them, newest first.
* ``kline_p`` has real decimals as text and volumes in base coins. Contracts margined in coin and
  spot come as ``kline``, in whole numbers scaled by a figure of each product, which an instrument
  has no place for: not read, not offered.
* Without a ping for 30 s the server closes, whatever data flows (probed 2026-09-22).
* An unsubscribe ends all intervals of a symbol: none is sent, the connection is replaced.
* REST: ``/kline/last`` gives the newest rows, as many as one of a few numbers says;
  ``/kline/list`` takes times in seconds, from inclusive and to exclusive, and refuses 1000 rows or
  more. ``/kline`` itself refuses everything (both probed 2026-07).
* UNKNOWN: where weeks begin (learned); whether days begin at UTC (clients take them so); bars
  without trades; how late a bar's last frame comes (5 s, a guess); REST limits; whether months are
  those of the calendar (not offered). 3m, 2h, 3h, 6h and 12h are known to ccxt only: not offered.

Sources: phemex-api-docs of 2023 (channels, limits), probes of the venue of 2026-05 to 2026-09
(rows, limits, errors), ccxt 4.5.64, recordings in tests/wire/ (2021 and 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, Rate, Refused, RestRequest,
)  # fmt: skip
from connectors.model import CandleData
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes_in_seconds, in_seconds, keys,
    no_object, oldest_first, parts,
)  # fmt: skip

NUMBERS = (10, 50, 100, 500)  # of rows that /kline/last takes, besides 5 and 1000 (probed 2026-05)
TOO_MANY = 6015  # subscriptions on this connection (probed 2026-09)


class PhemexPerpetual(PlainAdapter):
    """Phemex, perpetuals margined in USDT and USDC: ``BTCUSDT``."""

    name = "phemex_perpetual"
    spelling = Spelling()
    ws_intervals = rest_intervals = codes_in_seconds("1m 5m 15m 30m 1h 4h 1d 1w")  # docs, 2023
    anchors = {"1w": None}
    close_grace = 5.0
    limits = Limits(
        source="phemex-api-docs, Public-Hedged-Perpetual-API: 20 subscriptions (101 were taken), "
        "5 connections, 20 requests a second; REST unknown",
        checked="2026-09", connections=5, subscriptions=20, messages=Rate(20), rest=(Rate(5),),
    )  # fmt: skip

    ws_url = "wss://ws.phemex.com"
    heartbeat = Heartbeat("message", every=10, silence=30)
    verbs = ("kline_p.subscribe", None)

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        ((seconds, symbol),) = map(parts, channels)
        return {"id": request_id, "method": verb, "params": [symbol, int(seconds)]}

    def ping_message(self, request_id: int, now: float) -> Message:
        return {"id": request_id, "method": "server.ping", "params": []}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        if "kline_p" in data:
            symbol, rows = data["symbol"], data["kline_p"]
            return oldest_first([self._candle(row, f"{row[1]}:{symbol}") for row in rows])
        request_id = str(data["id"]) if data.get("id") is not None else None
        if error := data.get("error"):
            limit = error.get("code") == TOO_MANY
            reason = f"{error.get('message')} (code {error.get('code')})"
            return Refused(reason, request_id, limit=limit)
        accepted = data.get("result") == {"status": "success"}
        return Confirmed(request_id) if accepted and request_id else None

    def _candle(self, row: Any, channel: str | None = None) -> CandleData:
        return CandleData(*self.rest_columns.read(row), channel=channel)

    rest_url = "https://api.phemex.com/exchange/public/md/v2/kline/list"
    rest_path = ("data", "rows")
    rest_columns = Columns(0, 3, 4, 5, 6, 7, 8)
    query = Query("symbol", "resolution", "from", "to", time=in_seconds)
    page = 900
    envelope = Envelope(keys("code", "msg"), good=[0], refused=[30000, 30018], slow=[39995])
    listing = Listing(
        url="/public/products", rows=("data", "perpProductsV2"), base="baseCurrency",
        quote="quoteCurrency", status="status", live=["Listed"],
    )  # fmt: skip

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        asked = super().rest_request(trading_pair, interval, start, end, limit, now)
        newest = (int(now) - start) // self.step(interval) + 2  # the open one, and one to spare
        number = next((it for it in NUMBERS if it >= newest), None)
        if number is None:
            return asked
        params = {key: asked.params[key] for key in ("symbol", "resolution")}
        return replace(
            asked, url=asked.url.replace("list", "last"), params={**params, "limit": number}
        )
