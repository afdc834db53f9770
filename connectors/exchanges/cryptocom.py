"""Crypto.com Exchange, API v1: spot.

* The first data frame after subscribing holds history, later ones a row, two around the turn. It
  bears the request's id (later ones -1), and is all the confirmation that candles have; books are
  confirmed bare, channel by channel. Both forms are read.
* A refusal names its channel, or only the request (40107: too many subscriptions). Invalid JSON has
  no answer at all.
* No closed flag. ``ut``, the time of a row's last update, is undocumented and may be absent.
* The server's ``public/heartbeat`` is to be answered within 5 s with its own id; it sends protocol
  pings, too, every 5 s.
* In the first second of a connection the limit of requests is small: nothing is sent in it.
* Codes of intervals come back as they were asked for, ``M1`` and ``D1`` included; ours are the new
  ones. ``code`` is a number, or text by two libraries.
* Volumes are taken as base coins, as the exchange's sizes are: it is not stated.
* UNKNOWN: whether the bounds of REST include, and which end wins among too many rows (a second and
  a row more are asked for, which fits either way); whether bars without trades are sent; how late a
  bar's last frame comes (5 s is a guess).
* Not offered: perpetuals (none was recorded); 6h, which the sources dispute.

Sources: exchange-docs.crypto.com as copied, live frames of 2026-06, probes of 2026-09-22, ccxt
4.5.64, recordings in tests/wire/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, Rate, Refused, WSJSONRequest,
)  # fmt: skip
from connectors.model import CandleData
from connectors.plain import (
    Code, Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, keys, no_object,
    oldest_first,
)  # fmt: skip

INTERVALS = codes("1m 5m 15m 30m 1h 2h 4h 12h 1d=1D 1w=7D 2w=14D 1M")  # docs copy, 2026-09
GOOD: list[Code] = [0, "0"]
REFUSED: list[Code] = [10004, 30002, *range(40001, 40007)]  # bad request, no such instrument
TOO_MANY_SUBSCRIPTIONS = 40107  # recorded 2026-09-22


class CryptoComSpot(PlainAdapter):
    """Spot."""

    name = "cryptocom_spot"
    spelling = Spelling(separator="_")
    anchors = {"2w": 1_572_220_800}  # Monday, 2019-10-28 (docs copy); weeks open on Monday
    close_grace = 5.0
    heartbeat = Heartbeat("server", every=30, silence=45)
    limits = Limits(
        source="probes: 400 channels a connection, 100 a message; 100 requests a second over the "
        "socket, and over REST by one source (a fifth of it is used)",
        checked="2026-09-22",
        subscriptions=400,
        messages=Rate(2),
        quiet=1.0,
        message_channels=100,
        rest=(Rate(20),),
    )

    ws_url = "wss://stream.crypto.com/exchange/v1/market"
    ws_intervals = INTERVALS

    def channel_of(self, symbol: str, code: Code) -> str:
        return f"candlestick.{code}.{symbol}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        return {"id": request_id, "method": verb, "params": {"channels": list(channels)}}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        if data.get("method") == "public/heartbeat":
            return WSJSONRequest({"id": data["id"], "method": "public/respond-heartbeat"})
        result = data.get("result") or {}
        if data.get("code", 0) in GOOD and ("data" in result or "interval" in result):
            return self._candles(result) if result["channel"] == "candlestick" else None
        return self._answer(data, data.get("channel") or result.get("subscription"))

    def _candles(self, result: dict[str, Any]) -> list[CandleData]:
        read, channel = self.rest_columns.read, result["subscription"]
        if not channel.startswith("candlestick."):
            raise ValueError(f"candles of {channel!r}, which is no channel of candles")
        return oldest_first(
            [
                CandleData(*read(row), channel=channel, event_time=row.get("ut"))
                for row in result["data"]
            ]
        )

    def _answer(self, data: dict[str, Any], channel: Any) -> Parsed:
        code, request_id = data.get("code", 0), data.get("id")
        request = None if request_id in (None, -1) else str(request_id)
        channels = (channel,) if str(channel).startswith("candlestick.") else ()
        if code not in GOOD:
            limit = code == TOO_MANY_SUBSCRIPTIONS
            return Refused(f"{data.get('message')} (code {code})", request, channels, limit)
        accepted = data.get("method") in self.verbs and request is not None
        return Confirmed(request, channels) if accepted else None

    rest_url = "https://api.crypto.com/exchange/v1/public/get-candlestick"
    rest_intervals = INTERVALS
    rest_path = ("result", "data")
    rest_columns = Columns("t", "o", "h", "l", "c", "v")
    query = Query("instrument_name", "timeframe", "start_ts", "end_ts", "count")
    page = 299  # and one more, of 300 at most
    envelope = Envelope(
        keys("code", "message"), GOOD, [10004, 30002, *range(40001, 40007)], [42901]
    )
    listing = Listing(
        url="get-instruments", rows=("result", "data"), base="base_ccy", quote="quote_ccy",
        status="tradable", live=[True], only={"inst_type": ["CCY_PAIR"]},
    )  # fmt: skip

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, Code]:
        return super().get_rest_params(trading_pair, interval, start_time - 1, end_time, limit + 1)
