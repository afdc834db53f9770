"""Upbit: spot. Candles of a second over WebSocket, all others polled.

* Codes are reversed: ``BTC-KRW`` is ``KRW-BTC``, ``ETH-BTC`` is ``BTC-ETH``.
* A subscribe message is a list, and REPLACES what the connection had (one source): so each names
  all codes of the connection. There is no other way to leave a channel; the last one takes a new
  connection. That anything is confirmed is not known: what delivers is accepted.
* An error names nothing, and one bad code may sink all: codes that have not delivered are left out
  of the next messages, until they are asked for again.
* Frames are binary, with plain JSON inside. ``candle_date_time_utc`` is the open time and bears no
  zone. ``timestamp`` is the last trade's, which of a snapshot may be long ago: it is no event time,
  for clocks are compared by those.
* REST has no lower bound: so many rows before ``to``, which is excluded, newest first. Bars without
  trades are absent (recorded), so a page may reach back far beyond what was asked for: such rows
  are dropped, and a page of nothing else says that there were no trades.
* UNKNOWN: channels of minutes (documented lately: polled); where weeks begin (learned); whether
  bars without trades are streamed; how late a bar's last frame comes (5 s is a guess); heartbeats
  (we send protocol pings); the list of instruments (pairs are spelled by the rule); the limits of
  the socket (ours are cautious).

Sources: ccxt 4.5.64 alone, with frames that it recorded in 2018 and 2025-04; tests/wire/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.adapter import (
    Limits, Message, Parsed, QuietBars, Rate, Refused, RestAnswer, RestReply, RestRequest, Rows,
)  # fmt: skip
from connectors.model import CandleData
from connectors.plain import Columns, Envelope, PlainAdapter, Query, codes, in_iso, no_object, parts

CANDLE = Columns(
    "candle_date_time_utc", "opening_price", "high_price", "low_price", "trade_price",
    "candle_acc_trade_volume", "candle_acc_trade_price",
)  # fmt: skip


def _said(body: Any) -> tuple[Any, Any]:
    return body["error"].get("name"), body["error"].get("message")


class UpbitSpot(PlainAdapter):
    """Spot: volumes are base and quote currency as they come."""

    name = "upbit_spot"
    anchors = {"1w": None}  # days open at 00:00 UTC, which is 09:00 in Seoul
    close_grace = 5.0
    quiet_bars = QuietBars(rest="skipped")
    limits = Limits(
        source="ccxt 4.5.64: about 10 requests a second per address, of which half are used; "
        "nothing is published about the socket in our sources",
        checked="2026-09",
        subscriptions=50,
        messages=Rate(1),
        message_channels=50,
        rest=(Rate(5),),
    )

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, None] = {}
        self._delivering: set[str] = set()

    def get_trading_pair_format(self, trading_pair: str) -> str:
        base, _, quoted = trading_pair.partition("-")
        return f"{quoted}-{base}"

    ws_url = "wss://api.upbit.com/websocket/v1"
    ws_intervals = codes("1s=candle.1s")

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        ticket = f"{now:.3f}-{request_id}"  # any text of its own
        symbols = [symbol for _, symbol in map(parts, channels)]
        return [{"ticket": ticket}, {"type": "candle.1s", "codes": symbols}]

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        self._asked.update(dict.fromkeys(channels))
        return [self.control("", list(self._asked), request_id, now)]

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        self._keep(self._asked.keys() - set(channels))
        return [self.control("", list(self._asked), request_id, now)] if self._asked else []

    def _keep(self, channels: set[str]) -> None:
        self._asked = {channel: None for channel in self._asked if channel in channels}
        self._delivering &= channels

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        if "error" in data:
            self._keep(self._delivering)
            return Refused(": ".join(map(str, _said(data))))
        kind = data["type"] if "code" in data else data.get("type")
        if not str(kind).startswith("candle."):
            return None
        channel = f"{kind}:{data['code']}"
        candle = CandleData(*CANDLE.read(data), channel=channel)
        self._delivering.add(channel)
        return [candle]

    rest_url = "https://api.upbit.com/v1/candles/{code}"
    rest_intervals = codes(  # ccxt, 2026-09
        "1s=seconds 1m=minutes/1 3m=minutes/3 5m=minutes/5 10m=minutes/10 15m=minutes/15 "
        "30m=minutes/30 1h=minutes/60 4h=minutes/240 1d=days 1w=weeks 1M=months"
    )
    query = Query("market", "", "", "to", "count", time=in_iso, exclusive=True)
    rest_columns = CANDLE
    page = 200
    envelope = Envelope(_said)  # names of errors are UNKNOWN: the status tells what they mean

    def read_rest_reply(self, reply: RestReply, request: RestRequest) -> RestAnswer:
        answer = super().read_rest_reply(reply, request)
        if not isinstance(answer, Rows):
            return answer
        return Rows([candle for candle in answer.candles if candle.timestamp >= request.start])
