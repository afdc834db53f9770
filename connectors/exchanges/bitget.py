"""Bitget v2: spot and perpetuals margined in USDT.

* Bars without ``utc`` in their code, from 6H upwards, are cut at UTC+8: we use the ``utc`` ones on
  both transports. Letter case counts: ``candle1m`` is a minute, ``candle1M`` a month (UTC+8).
* A real symbol under the wrong ``instType`` is CONFIRMED like any other and stays silent.
* The first frame holds some 500 bars, of which the last is open. Nothing flags a close.
* One confirmation per arg. An error names its arg, or quotes it in its text, or neither.
* We ping with the bare text ``ping``; the answer ``pong`` is no JSON either. Without pings the
  server closes after two minutes, whatever data flows.
* REST has codes of its own for spot below a day (``1min``, ``1h``). ``/candles`` reaches back some
  weeks, ``/history-candles`` everything, 200 rows that end at ``endTime``. Whether bounds include
  is UNKNOWN: a bar more is asked for at either end. A perpetual's request may span 90 days.
* Column 6 is quote volume, column 7 USDT volume (proven by a row of ETHBTC). Volumes are base coins
  on both markets.
* UNKNOWN: where weeks and bars of 3 days begin (their grids are learned); how late a bar's last
  frame may come (5 s, a guess). ``candle3m`` and ``candle2H`` are in no document: polled.
* The successor v3 ("UTA") sends candles as objects under ``kline``: they are read, not asked for.
* Not offered: USDC and coin margined contracts, 2h of spot (on neither transport).

Sources: bitget.com/docs as of 2026, a probe of the venue of 2026-09-15, ccxt 4.5.64, hummingbot
2bfaccc, recordings in tests/wire/ (2023 to 2026-09).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from connectors.adapter import (
    Closing, Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused, RestRequest,
)  # fmt: skip
from connectors.model import CandleData
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, codes, in_milliseconds, keys, no_object,
    oldest_first, parts,
)  # fmt: skip

LONG = "6h=6Hutc 12h=12Hutc 1d=1Dutc 3d=3Dutc 1w=1Wutc 1M=1Mutc"  # docs, 2026
STREAMED = codes("1m 5m 15m 30m 1h=1H 4h=4H " + LONG)
# How many days /candles reaches back: docs say a month up to 5m, 52 for 15m, 62 for 30m, 83 for 1h,
# 120, 240 and 360 from there; ccxt measured 30 up to 30m and 60 for 1h. The smaller, less one.
RECENT = {**dict.fromkeys(["1m", "3m", "5m", "15m", "30m"], 29), "1h": 59, "2h": 119, "4h": 239}
RECENT_LONG = 359
DAY = 86_400
TOO_FAST, KICKED_OUT = "30006", "30007"  # too many messages: refused, closed (probed 2026-09)
NAMED_IN_ERROR = re.compile(
    r"instType:(?P<instType>[^,]+),channel:(?P<channel>[^,]+),instId:(?P<instId>[^,\s]+)"
)
V3_ROW = Columns("start", "open", "high", "low", "close", "volume", "turnover")


class _Bitget(PlainAdapter):
    inst_type: ClassVar[str]
    recent_days: ClassVar[int]
    ws_intervals = {interval: f"candle{code}" for interval, code in STREAMED.items()}
    anchors = {"3d": None, "1w": None}
    close_grace = 5.0
    quiet_bars = QuietBars(stream="sent", rest="sent")  # flat, volume 0 (recorded 2026-09-25)
    limits = Limits(
        source="bitget.com/docs, classic WebSocket: what counts per address (100 connections, "
        "300 attempts in 5 minutes) is halved, for spot and perpetuals share it; fewer than 50 "
        "channels are recommended, 1000 allowed; REST 20 a second for each endpoint",
        checked="2026-09", connections=50, subscriptions=49,
        messages=Rate(10), subscribes=Rate(240, 3600), message_bytes=4096, message_channels=40,
        attempts=Rate(150, 300), lifetime=DAY, rest=(Rate(20),),
    )  # fmt: skip

    ws_url = "wss://ws.bitget.com/v2/ws/public"
    heartbeat = Heartbeat("message", every=20, silence=60)  # every 30 s or sooner
    ping = "ping"
    ws_columns: ClassVar[Columns] = Columns(0, 1, 2, 3, 4, 5, 6, shortest=8)

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        named = [
            {"instType": self.inst_type, "channel": channel, "instId": symbol}
            for channel, symbol in map(parts, channels)
        ]
        return {"op": verb, "args": named}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data, "pong")
        if "event" in data:
            return self._event(data)
        if "arg" not in data and "data" not in data:
            return None
        arg = data["arg"]
        name = arg.get("topic") or arg["channel"]
        if not self._is_ours(arg) or not name.startswith(("candle", "kline")):
            return None
        if name == "kline":  # v3
            columns, channel = V3_ROW, f"candle{arg['interval']}:{arg['symbol']}"
        else:
            columns, channel = self.ws_columns, f"{name}:{arg['instId']}"
        read, rows, at = columns.read, data["data"], data.get("ts")
        return oldest_first([CandleData(*read(it), channel=channel, event_time=at) for it in rows])

    def _is_ours(self, arg: dict[str, Any]) -> bool:
        """Whether it is about this market: symbols are the same on others (v3 in lower case)."""
        return str(arg.get("instType", self.inst_type)).upper() == self.inst_type

    def _event(self, data: dict[str, Any]) -> Parsed:
        event, arg = data["event"], data.get("arg")
        if event == "subscribe":
            named = self._named(arg or {})
            return Confirmed(channels=named) if named else None
        code = str(data.get("code"))
        if event != "error" or code == TOO_FAST:  # an unsubscribe; it is asked again
            return None
        reason = f"{data.get('msg')} (code {code})"
        if code == KICKED_OUT:
            return Closing(reason)
        quoted = NAMED_IN_ERROR.search(reason)
        return Refused(reason, channels=self._named(arg or (quoted.groupdict() if quoted else {})))

    def _named(self, arg: dict[str, Any]) -> tuple[str, ...]:
        """The channel of an arg; none where it is not one that we may have asked for."""
        ours = self._is_ours(arg) and arg.get("channel") in self.ws_intervals.values()
        return (f"{arg['channel']}:{arg['instId']}",) if ours else ()

    rest_path = ("data",)
    rest_columns = ws_columns
    # no such symbol, bad granularity, verification failed, bad limit (recorded 2023-08, 2026-09)
    envelope = Envelope(
        keys("code", "msg"), good=["00000"], refused=["40034", "400171", "400172", "40053"]
    )
    page = 198  # /history-candles gives 200, of which one at either end may be beyond

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        asked = super().rest_request(trading_pair, interval, start, end, limit, now)
        begin = max(0, start - self.step(interval))
        bounds = {"startTime": in_milliseconds(begin), "endTime": in_milliseconds(end)}
        days = min(RECENT.get(interval, RECENT_LONG), self.recent_days)
        if begin >= now - days * DAY:
            return replace(asked, params={**asked.params, **bounds})
        params = {**asked.params, **bounds}
        del params["startTime"]  # history ends at endTime
        return replace(asked, url=asked.url.replace("candles", "history-candles"), params=params)


class BitgetSpot(_Bitget):
    """Bitget, spot."""

    name = "bitget_spot"
    inst_type = "SPOT"
    recent_days = RECENT_LONG
    rest_url = "https://api.bitget.com/api/v2/spot/market/candles"
    rest_intervals = codes("1m=1min 3m=3min 5m=5min 15m=15min 30m=30min 1h 4h " + LONG)
    query = Query("symbol", "granularity", "startTime", "endTime", fixed={"limit": 200})
    listing = Listing(
        url="/api/v2/spot/public/symbols", rows=("data",), base="baseCoin", quote="quoteCoin",
        status="status", live=["online"],
    )  # fmt: skip


class BitgetPerpetual(_Bitget):
    """Bitget, perpetuals margined in USDT: a contract is one base coin."""

    name = "bitget_perpetual"
    inst_type = "USDT-FUTURES"
    recent_days = 89  # the span of a request, then, too
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 6)  # without that of USDT
    rest_url = "https://api.bitget.com/api/v2/mix/market/candles"
    rest_intervals = {**codes("3m 2h=2H"), **STREAMED}
    query = replace(BitgetSpot.query, fixed={"limit": 200, "productType": inst_type})
    listing = replace(
        BitgetSpot.listing, url="/api/v2/mix/market/contracts", params={"productType": inst_type},
        status="symbolStatus", live=["normal"], only={"symbolType": [None, "perpetual"]},
    )  # fmt: skip
