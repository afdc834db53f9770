"""Bybit v5: spot, linear perpetuals (USDT and USDC), inverse perpetuals. One dialect, three paths.

* One bad topic sinks its whole request, and only the first bad one is named: so a refusal is tied
  to its request, which is then split, and not to the topic.
* ``already subscribed`` comes as ``success: false`` though the topic lives: a confirmation to us.
  That it sinks the rest of its request rests on one source: the rest is asked for again.
* Texts of confirmations differ, and that of a ping has ``op: ping``: ``success`` and ``req_id``
  count.
* The symbol stands in the topic alone, the same on spot and linear. USDC perpetuals are spelled
  ``BTCPERP``; ``timestamp`` is the last trade's. A frame may hold two bars (one source).
* Inverse contracts are 1 USD each: ``volume`` is USD, ``turnover`` base coins; rows likewise.
* REST is newest first, hides errors in HTTP 200, and rounds ``start`` DOWN to a bar (recorded).
  HTTP 403 is the limit per address, or a barred country: the text tells which.
* UNKNOWN: where weeks begin (learned), months (taken as the calendar's); whether bars without
  trades are sent on the stream; how late a closing frame comes (5 s is a guess); the longest life
  of a connection; which end wins when a window holds too many rows (never asked).
* Not offered: dated contracts. There is no 1s, 8h and 3d.

Sources: bybit-exchange/docs 072c197 (2026-07-24), captures of 2026-08 and 2026-09, ccxt 4.5.64,
recordings in tests/wire/.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused, RestAnswer, RestReply,
    RestRequest, RestSlowDown, retry_after,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, codes, keys, no_object, oldest_first,
)  # fmt: skip

CLOSED = {True: True, False: False, None: None}
TOPIC = re.compile(r"kline\.\w+\.[^\s,\]]+")
TOO_FREQUENT = b"too frequent"
BARRED_FOR = 600.0  # "wait 10 minutes" (rate-limit.mdx, 2026-07)


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: the limit's reset is told as a time, by the clock that dates the reply."""
    reset = headers.get("x-bapi-limit-reset-timestamp", "")
    try:
        return max(0.0, int(reset) / 1000 - parsedate_to_datetime(headers["date"]).timestamp())
    except (ValueError, LookupError):
        return retry_after(headers)


class _Bybit(PlainAdapter):
    ws_intervals = rest_intervals = codes(  # kline.mdx, 2026-07
        "1m=1 3m=3 5m=5 15m=15 30m=30 1h=60 2h=120 4h=240 6h=360 12h=720 1d=D 1w=W 1M=M"
    )
    anchors = {"1w": None}
    close_flag = True
    close_grace = 5.0
    quiet_bars = QuietBars(rest="sent")  # flat ones, one source
    heartbeat = Heartbeat("message", every=20, silence=60)  # wss-authentication.mdx, 2026-07
    ping = {"op": "ping"}
    limits = Limits(
        source="bybit-exchange/docs 072c197: per address 500 connections in 5 minutes and 600 "
        "requests in 5 s, a third for each market; 21,000 characters of topics a connection; 10 "
        "topics a message are spot's, kept everywhere",
        checked="2026-07-24",
        connections=1000,  # per category
        subscriptions=500,  # of 42 characters
        message_channels=10,
        attempts=Rate(150, 300),
        rest=(Rate(200, 5),),
    )
    ws_columns: ClassVar[Columns] = Columns(
        "start", "open", "high", "low", "close", "volume", "turnover"
    )

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"kline.{code}.{symbol}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        return {"req_id": str(request_id), "op": verb, "args": list(channels)}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        if "topic" in data or "data" in data:
            topic, at = data["topic"], data.get("ts")
            if not topic.startswith("kline."):
                return None
            return oldest_first([self._candle(row, topic, at) for row in data["data"]])
        if "success" in data and data.get("op", "subscribe") in self.verbs:
            return _answer(data)
        return None

    def _candle(self, row: dict[str, Any], topic: str, at: Any) -> CandleData:
        figures, closed = self.ws_columns.read(row), CLOSED[row.get("confirm")]
        return CandleData(*figures, channel=topic, closed=closed, event_time=at)

    rest_url = "https://api.bybit.com/v5/market/kline"  # api.bytick.com, too (2026-07)
    rest_path = ("result", "list")
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 6)
    page = 1000
    # Both bounds include; kline.mdx, 2026-07: default 200, max 1000.
    query = Query("symbol", "interval", "start", "end", "limit", fixed={"category": "spot"})
    # wrong symbol or interval; too many visits
    envelope = Envelope(keys("retCode", "retMsg"), [0], [10001], [10006], _until_reset)

    listing = Listing(  # instrument.mdx, 2026-07: only what is traded is listed
        url="instruments-info", params={"category": "spot"}, rows=("result", "list"),
        base="baseCoin", quote="quoteCoin", status="status", live=["Trading"],
    )  # fmt: skip

    def read_rest_reply(self, reply: RestReply, request: RestRequest) -> RestAnswer:
        if reply.status == 403 and TOO_FREQUENT in reply.body.lower():
            return RestSlowDown(reply.body[:200].decode("utf-8", "replace"), BARRED_FOR)
        return super().read_rest_reply(reply, request)

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        rows: list[Instrument] = []
        page: dict[str, str] = {}
        while True:
            reply = yield self.listing.request(self.rest_url, **page)
            rows += self.read_instruments(reply)
            cursor = reply.json()["result"].get("nextPageCursor")
            if not cursor:  # absent, null or empty
                return rows
            page = {"cursor": cursor}


def _answer(data: dict[str, Any]) -> Parsed:
    """What is said of a request."""
    request_id, said = data.get("req_id") or None, str(data.get("ret_msg"))
    if data["success"] is True:
        return Confirmed(request_id)
    channels = tuple(TOPIC.findall(said))
    if "already subscribed" in said:
        return Confirmed(request_id, channels) if channels else None
    return Refused(said, request_id, channels if request_id is None else ())


class BybitSpot(_Bybit):
    """Spot."""

    name = "bybit_spot"
    ws_url = "wss://stream.bybit.com/v5/public/spot"
    ping = {"req_id": "p1", "op": "ping"}  # as it is documented for spot


class BybitPerpetual(_Bybit):
    """Linear perpetuals: ``BTC-USDT`` is ``BTCUSDT``, ``BTC-USDC`` is ``BTCPERP``."""

    name = "bybit_perpetual"
    ws_url = "wss://stream.bybit.com/v5/public/linear"
    query = replace(_Bybit.query, fixed={"category": "linear"})
    listing = replace(
        _Bybit.listing,
        params={"category": "linear", "limit": 1000},  # in pages, above 500 (2026-07)
        only={"contractType": ["LinearPerpetual"]},
    )

    def get_trading_pair_format(self, trading_pair: str) -> str:
        listed = self._symbols.get(trading_pair)
        return listed or self.spelling.symbol(trading_pair.replace("-USDC", "-PERP"))


class BybitInverse(_Bybit):
    """Inverse perpetuals: ``BTC-USD`` is ``BTCUSD``; contracts of 1 USD."""

    name = "bybit_inverse"
    ws_url = "wss://stream.bybit.com/v5/public/inverse"
    ws_columns = Columns("start", "open", "high", "low", "close", "turnover", "volume")
    rest_columns = Columns(0, 1, 2, 3, 4, 6, 5)
    query = replace(_Bybit.query, fixed={"category": "inverse"})
    listing = replace(
        _Bybit.listing,
        params={"category": "inverse", "limit": 1000},
        only={"contractType": ["InversePerpetual"]},
        inverse=True,
    )
