"""Coinbase: Advanced Trade (5m over WebSocket, the rest polled) and Exchange (REST only).

What is odd here (docs.cdp.coinbase.com and its AsyncAPI file of 2026-06, a reference checked live
on 2026-09-27, recorded frames):

* The socket has one interval, 5m, and frames do not name it: a channel is a product's id.
* About 400 ``X-USDC`` products are aliases of ``X-USD``: who subscribes ``BTC-USDC`` gets frames of
  ``BTC-USD``. So the canonical product is asked for, over REST too, and one wire subscription
  serves both. Only the instruments tell an alias from a true product (``USDT-USDC``); without them
  every pair stands for itself.
* The first subscribe must come within 5 s, and most channels are closed after 60-90 s without
  updates: the ``heartbeats`` channel is subscribed while opening.
* A confirmation lists all that the connection has; one without candles is the heartbeats' own.
* An error names nothing: it is the fault of the last request. What an unknown product is told is
  UNKNOWN: ask the list of instruments before.
* No closed flag; snapshots in no proven order; frames of one bar with differing figures were seen
  (one source); ``sequence_num`` may jump, and a bar's next frame makes up for a lost one. REST is
  the judge of closed bars. How late a bar's last frame comes is UNKNOWN: 5 s is a cautious guess.
* Bars without trades are left out by REST; on the stream UNKNOWN.
* ``start`` as ISO 8601 text and the event type ``candle`` circulate in print; real frames say
  seconds as text, ``snapshot`` and ``update``. All are read.
* REST is newest first. Exchange writes low and high BEFORE the open and ignores a bound that comes
  alone. Advanced Trade's ``1w`` was seen once, undocumented: not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused,
)  # fmt: skip
from connectors.model import CandleData, Instrument, milliseconds
from connectors.plain import (
    Columns, Listing, PlainAdapter, Query, Spelling, codes, codes_in_seconds, oldest_first,
)  # fmt: skip


class _Coinbase(PlainAdapter):
    """What both have in common: the products, and pages whose path names one."""

    spelling = Spelling(separator="-")
    quiet_bars = QuietBars(stream="unknown", rest="skipped")
    rest_headers = {"cache-control": "no-cache"}  # a cache of 1 s
    # Bounds include; the range alone says how many: which end a smaller limit keeps is UNKNOWN.
    query = Query("", "granularity", "start", "end", time=str)
    page = 300  # Exchange refuses more; Advanced Trade's 350 was both taken and refused, ccxt: 300

    def instrument(self, row: Any) -> Instrument | None:
        listed = super().instrument(row)
        tradable = row["status"] == "online" and not row["trading_disabled"]
        return listed and replace(listed, tradable=tradable, alias_of=row.get("alias") or None)


class CoinbaseAdvancedTrade(_Coinbase):
    """Advanced Trade: public market data, no login."""

    name = "coinbase_advanced_trade"
    close_grace = 5.0
    heartbeat = Heartbeat("server", silence=30)  # it beats each second, nothing to answer
    limits = Limits(
        source="docs.cdp.coinbase.com, websocket overview and rate limits: 8 connections and 8 "
        "messages a second per address (kept by 8 connections of one message a second each); "
        "products per message or connection not published (100 assumed); public REST not "
        "published (10 a second is a third party's figure: half of it)",
        checked="2026-09-27",
        connections=8,
        subscriptions=100,
        messages=Rate(1),
        message_channels=100,
        attempts=Rate(8),
        rest=(Rate(5),),
    )

    ws_url = "wss://advanced-trade-ws.coinbase.com"
    ws_intervals = codes("5m")
    first_messages = ({"type": "subscribe", "channel": "heartbeats"},)

    def channel_of(self, symbol: str, code: str | int) -> str:
        return symbol

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        return {"type": verb, "product_ids": list(channels), "channel": "candles"}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return None
        if data.get("channel") == "candles":
            return self._candles(data) or None
        if data.get("channel") == "subscriptions":
            return self._confirmed(data["events"])
        if data.get("type") == "error":
            return Refused(
                ": ".join(str(data[key]) for key in ("message", "reason") if key in data)
            )
        return None

    def _candles(self, frame: dict[str, Any]) -> list[CandleData]:
        at = frame.get("timestamp")
        time = None if at is None else milliseconds(datetime.fromisoformat(at))
        read, candles = self.rest_columns.read, []
        for row in (row for event in frame["events"] for row in event["candles"]):
            product = row.get("product_id")
            channel = self._symbols.get(product, product)
            candles.append(CandleData(*read(row), channel=channel, event_time=time))
        return oldest_first(candles)

    def _confirmed(self, events: list[dict[str, Any]]) -> Confirmed | None:
        listed = [each for event in events for each in event["subscriptions"].get("candles", ())]
        channels = tuple(dict.fromkeys(self._symbols.get(product, product) for product in listed))
        return Confirmed(channels=channels, listing=True) if channels else None

    rest_url = "https://api.coinbase.com/api/v3/brokerage/market/products/{symbol}/candles"
    rest_intervals = codes(  # get-public-product-candles, 2026-06-27
        "1m=ONE_MINUTE 5m=FIVE_MINUTE 15m=FIFTEEN_MINUTE 30m=THIRTY_MINUTE 1h=ONE_HOUR 2h=TWO_HOUR "
        "4h=FOUR_HOUR 6h=SIX_HOUR 1d=ONE_DAY"
    )
    rest_path = ("candles",)
    rest_columns = Columns("start", "open", "high", "low", "close", "volume")
    listing = Listing(
        url="../../products", params={"product_type": "SPOT"}, rows=("products",),
        symbol="product_id", status="status",
    )  # fmt: skip


class CoinbaseExchange(_Coinbase):
    """Exchange: the same books and candles, without a candle channel."""

    name = "coinbase_exchange"
    limits = Limits(
        source="docs.cdp.coinbase.com, Exchange: 10 requests a second per address (its burst of 15 "
        "is left alone)",
        checked="2026-06-27",
        rest=(Rate(10),),
    )

    def parse_ws_message(self, data: Any) -> Parsed:
        return None

    rest_url = "https://api.exchange.coinbase.com/products/{symbol}/candles"
    rest_intervals = codes_in_seconds("1m 5m 15m 1h 6h 1d")  # get-product-candles, 2026-06-27
    rest_columns = Columns(0, 3, 2, 1, 4, 5)
    listing = Listing(url="../../products", symbol="id", status="status")
