"""HTX (Huobi): spot and perpetual swaps margined in USDT.

* Each frame of theirs is binary and packed by gzip, pings and answers too; ours are plain text. The
  swaps' packer flushes in the middle of a frame.
* They ping by message every 5 s and want the same number back, or close after some 16 s.
* A topic a message. Answers name the id of their request; a candle may come before its answer.
* Spot counts base coins in ``amount`` and quote coins in ``vol``. Swaps count base coins in
  ``amount``, contracts in ``vol`` (not used) and quote coins in ``trade_turnover``; and they count
  BOTH SIDES of a trade, elsewhere it is one. It is passed on as it is sent.
* Nothing flags a close. Days were seen to change ten minutes after their end.
* Days, weeks and months are cut at UTC+8: such bars are read but not offered. Only these lengths,
  and no 2h, 6h, 8h, 12h, are there at all.
* Spot's documented REST takes no times and gives the newest rows, newest first. What lies further
  back is asked of ``/candles``, which takes times and is in no document (ccxt uses it). Swaps take
  times or a size; where a size is told, the times are ignored. Their rows are oldest first.
* Errors come with HTTP 200.
* UNKNOWN: how many topics a connection bears (45 were accepted at a sister exchange), connections
  per address, a connection's lifetime; whether bars without trades are sent on the stream; how late
  a bar's last frame comes (5 s, a guess); the units of the rate limits' headers (not read).

Sources: huobiapi.github.io and HTX's new portal as of 2026-09, a probe of BitTrade (the sister
exchange) of 2026-09-23, ccxt 4.5.64, recordings in tests/wire/ (2020 to 2026-09).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused, RestRequest,
    WSJSONRequest,
)  # fmt: skip
from connectors.model import CandleData
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, codes_in_seconds, gunzip,
    in_seconds, no_object,
)  # fmt: skip

NEWEST = 500  # rows of spot that are asked for without times; 2000 are allowed (docs, 2026)
TOO_FAST = "too many request"  # in the text, the code is that of any bad request (recorded 2021)


def _said(body: Any) -> tuple[Any, Any]:
    text = body.get("err-msg")
    code = "429" if text and TOO_FAST in text.lower() else body.get("err-code")
    return code or body["status"], text


class _Htx(PlainAdapter):
    ws_intervals = codes("1m=1min 5m=5min 15m=15min 30m=30min 1h=60min 4h=4hour")  # docs, 2026
    verbs = ("sub", "unsub")
    close_grace = 5.0
    quiet_bars = QuietBars(rest="sent")  # flat, amount 0 (recorded 2020-06 and 2026-09)
    heartbeat = Heartbeat("server", every=5, silence=20)
    limits = Limits(
        source="HTX publishes none for public sockets: see UNKNOWN above. REST: 10 a second by the "
        "sister exchange's docs, halved",
        checked="2026-09", subscriptions=40, messages=Rate(10), rest=(Rate(5),),
    )  # fmt: skip

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"market.{symbol}.kline.{code}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        (topic,) = channels
        return {verb: topic, "id": str(request_id)}

    def unpack_frame(self, frame: bytes) -> bytes:
        return gunzip(frame)

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        topic = data.get("ch")
        if topic is not None:
            if ".kline." not in topic:
                return None
            figures = self.rest_columns.read(data["tick"])
            return [CandleData(*figures, channel=topic, event_time=data.get("ts"))]
        if "ping" in data:
            return WSJSONRequest({"pong": data["ping"]})
        return _answer(data)

    rest_intervals = ws_intervals
    rest_path = ("data",)
    page = 1000
    envelope = Envelope(_said, good=["ok"], refused=["invalid-parameter"], slow=["429"])


def _answer(data: dict[str, Any]) -> Parsed:
    request_id = None if data.get("id") is None else str(data["id"])
    if data.get("status") == "error":
        return Refused(f"{data.get('err-msg')} (code {data.get('err-code')})", request_id)
    if "subbed" in data:
        return Confirmed(request_id, (data["subbed"],))
    return Confirmed(request_id) if "unsubbed" in data and request_id else None


class HtxSpot(_Htx):
    """HTX, spot: ``btcusdt``."""

    name = "htx_spot"
    spelling = Spelling(lower=True)
    ws_url = "wss://api.huobi.pro/ws"
    rest_url = "https://api.huobi.pro/market/history/kline"
    rest_columns = Columns("id", "open", "high", "low", "close", "amount", "vol", "count")
    query = Query("symbol", "period", "from", "to", "size", time=in_seconds)  # of /candles
    listing = Listing(
        url="/v1/common/symbols", rows=("data",), base="base-currency", quote="quote-currency",
        status="state", live=["online"],
    )  # fmt: skip

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        asked = super().rest_request(trading_pair, interval, start, end, limit, now)
        newest = self.grid(interval).count(start, int(now)) + 2  # the open one, and one to spare
        if newest > NEWEST:
            return replace(asked, url=asked.url.replace("kline", "candles"))
        params = {key: asked.params[key] for key in ("symbol", "period")}
        return replace(asked, params={**params, "size": newest})


class HtxPerpetual(_Htx):
    """HTX, perpetual swaps margined in USDT: ``BTC-USDT``. Volumes are base coins as they come."""

    name = "htx_perpetual"
    spelling = Spelling(separator="-")
    ws_url = "wss://api.hbdm.com/linear-swap-ws"  # 40 subscriptions a second, at most
    limits = replace(
        _Htx.limits, source="HTX docs, swaps: 800 REST requests a second; else as for spot",
        rest=(Rate(100),),
    )  # fmt: skip
    rest_url = "https://api.hbdm.com/linear-swap-ex/market/history/kline"
    rest_columns = Columns(
        "id", "open", "high", "low", "close", "amount", "trade_turnover", "count"
    )
    query = Query("contract_code", "period", "from", "to", time=in_seconds)
    reach = {
        interval: 700 * 86_400 // seconds  # about two years
        for interval, seconds in codes_in_seconds("1m 5m 15m 30m 1h 4h").items()
    }
    listing = Listing(
        url="/linear-swap-api/v1/swap_contract_info", rows=("data",), symbol="contract_code",
        status="contract_status", live=[1, "1"],
    )  # fmt: skip
