"""BingX: spot and perpetual swaps margined in USDT. Little of it was recorded.

* Each frame of theirs is packed by gzip. They ping every 5 s: spot by JSON, whose number and time
  go back under ``pong``, swaps by the bare text ``Ping``, which wants ``Pong``.
* Answers have an id, a code and a text; data have a code, too, which is 0.
* Swaps are POLLED: their frames have one time only, ``T``, and whether it opens or ends the bar is
  UNKNOWN (an old document says end, ccxt and its users live with open). They are read as ccxt does,
  and not subscribed: a candle of the wrong minute would be told.
* Spot's days begin at 16:00 UTC, and so do bars of 6 and 12 hours, unless REST is asked with
  ``timeZone=0`` (probed 2026-07-31). So these are polled; so is 3m, which ccxt does not have on the
  stream, and all above 30m, which the sources spell differently. Swaps are cut at UTC anyway.
* ``startTime`` excludes on spot (seen 2024-12); for the other bounds that is UNKNOWN: a bar more is
  asked for at either end. Spot gives 500 rows without asking; swaps never more than 1000, whatever
  is asked (probed 2026-07-13), newest first.
* UNKNOWN: bars without trades; where weeks and bars of 3 days begin (learned); how late a bar's
  last frame comes (5 s, a guess); topics and messages for a connection (cautious numbers).
* Not offered: contracts margined in coin, 8h of swaps.

Sources: ccxt 4.5.64 and what was found with it, bingx-api.github.io/docs of 2022-12 to 2024-09
(answers, pings, codes, lists), bingx.com support of 2025-10 (limits), recordings in tests/wire/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, Rate, Refused, RestRequest, WSJSONRequest,
)  # fmt: skip
from connectors.model import CandleData
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, gunzip, keys, no_object,
    oldest_first,
)  # fmt: skip

SPOT = Columns("t", "o", "h", "l", "c", "v", "q", "n")  # ccxt
SWAP = Columns("T", "o", "h", "l", "c", "v")
LIVE = [1, "1"]  # docs and clients, 2024: swaps tell it as a number or as text
OF_A_ZONE = ("6h", "12h", "1d", "3d", "1w", "1M")  # 8h and shorter bars are the same in both


class _BingX(PlainAdapter):
    spelling = Spelling(separator="-")
    verbs = ("sub", "unsub")
    anchors = {"3d": None, "1w": None}
    close_grace = 5.0
    heartbeat = Heartbeat("server", every=5, silence=20)
    limits = Limits(
        source="bingx.com support, 2025-10: 500 REST requests in 10 s for an address, shared by "
        "spot and swaps: far less, at an even pace; nothing certain about sockets",
        checked="2025-10", subscriptions=50, messages=Rate(5), rest=(Rate(10),),
    )  # fmt: skip

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"{symbol}@kline_{code}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        (topic,) = channels
        return {"id": str(request_id), "reqType": verb, "dataType": topic}

    def unpack_frame(self, frame: bytes) -> bytes:
        return gunzip(frame)

    def parse_ws_message(self, data: Any) -> Parsed:
        if data == "Ping":
            return WSJSONRequest("Pong")
        if type(data) is not dict:
            return no_object(data)
        if "ping" in data:
            answer = {key: value for key, value in data.items() if key == "time"}
            return WSJSONRequest({"pong": data["ping"], **answer})
        request_id = str(data["id"]) if data.get("id") else None
        topic, code = data.get("dataType") or "", str(data.get("code", 0))
        if code != "0":
            named = (topic,) if "@kline_" in topic else ()
            reason = data.get("msg") or "no reason was given"
            return Refused(f"{reason} (code {code})", request_id, named)
        if data.get("data") is None and request_id:
            return Confirmed(request_id)
        return self._candles(topic, data["data"]) if "@kline_" in topic else None

    def _candles(self, topic: str, told: Any) -> list[CandleData]:
        if type(told) is dict:  # spot
            pushed = told.get("E")
            return [CandleData(*SPOT.read(told["K"]), channel=topic, event_time=pushed)]
        return oldest_first([CandleData(*SWAP.read(row), channel=topic) for row in told])

    rest_path = ("data",)
    # bad argument; too often (docs, 2022-12)
    envelope = Envelope(keys("code", "msg"), good=[0], refused=[100400], slow=[100410])


class BingXSpot(_BingX):
    """BingX, spot."""

    name = "bingx_spot"
    ws_url = "wss://open-api-ws.bingx.com/market"
    ws_intervals = codes("1m=1min 5m=5min 15m=15min 30m=30min")
    rest_url = "https://open-api.bingx.com/openApi/spot/v1/market/kline"
    rest_intervals = codes("1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M")
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 7)
    query = Query(
        "symbol", "interval", "startTime", "endTime", fixed={"limit": 500}, exclusive=True
    )
    page = 498
    listing = Listing(
        url="/openApi/spot/v1/common/symbols", rows=("data", "symbols"), status="status", live=LIVE
    )

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        (topic,) = channels
        sent = {"id": str(request_id), "dataType": topic}
        return sent if verb == "sub" else {**sent, "reqType": verb}

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        asked = super().rest_request(trading_pair, interval, start, end, limit, now)
        zone = {"timeZone": 0} if interval in OF_A_ZONE else {}
        return replace(asked, params={**asked.params, **zone})


class BingXPerpetual(_BingX):
    """BingX, perpetual swaps margined in USDT: polled. Volumes are base coins."""

    name = "bingx_perpetual"
    rest_url = "https://open-api.bingx.com/openApi/swap/v3/quote/klines"
    rest_intervals = codes("1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 3d 1w 1M")
    rest_columns = Columns("time", "open", "high", "low", "close", "volume")
    query = replace(BingXSpot.query, fixed={"limit": 1000})
    page = 998
    listing = Listing(
        url="/openApi/swap/v2/quote/contracts", rows=("data",), status="status", live=LIVE
    )
