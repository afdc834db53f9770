"""Binance: spot, Binance.US spot, USD-M and COIN-M perpetuals. One dialect, four markets.

* Stream names are lower case, symbols in frames and REST upper case; a symbol cannot be cut into
  base and quote, so pairs come from exchangeInfo (``1000SHIB-USDT`` keeps its multiplier).
* A symbol or interval that does not exist is CONFIRMED like any other and then stays silent
  (JKorf/Binance.Net#620, python-binance#1193). An ill-formed stream name fails its whole request.
* A control message above 4096 bytes on the wire is dropped without an answer
  (binance-connector-rust#27); reported for spot, assumed for the others.
* USD-M candles are only under ``/market`` since 2026-04-23; the old unsplit path stays silent.
  COIN-M is not split.
* COIN-M counts contracts: ``v`` and ``V`` are contracts of so many USD, ``q`` and ``Q`` base coins,
  and there is no quote volume; rows likewise. A COIN-M range above 200 days is refused, and of too
  many rows the LATEST win, elsewhere the earliest (recorded).
* Frames come bare on ``/ws`` and as ``{"stream", "data"}`` on ``/stream``. We connect to ``/ws``,
  the path that is documented with SUBSCRIBE for all markets; both forms are read.
* ``x: true`` closes a candle. REST rows do not say; the last one is open when it reaches now.
* UNKNOWN: the boundary of ``3d`` (its grid is learned); whether bars without trades are sent (two
  recordings disagree); the weight of exchangeInfo (charged high).
* Not offered: dated contracts (only ``PERPETUAL``), days of other zones (``@+08:00``).

Sources: binance/binance-spot-api-docs a5e0bc3 (2026-07-21), binance-us/binance-us-api-docs,
developers.binance.com (USD-M and COIN-M pages of 2026), recordings in tests/wire/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from connectors.adapter import (
    Closing, Confirmed, Heartbeat, Limits, Message, Parsed, Rate, Refused, RestPages,
)  # fmt: skip
from connectors.model import CandleData
from connectors.plain import Columns, Listing, PlainAdapter, Query, Spelling, codes, no_object

FUTURES_INTERVALS = codes("1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M")  # 2026-07
SPOT_INTERVALS = {"1s": "1s", **FUTURES_INTERVALS}
SPOT_WEIGHTS = {1000: 2.0}  # up to so many rows: weight (rest-api.md, klines, 2026-07)
FUTURES_WEIGHTS = {99: 1.0, 499: 2.0, 1000: 5.0, 1500: 10.0}  # USD-M and COIN-M, klines, 2026-07
RANGE = 200 * 86_400  # COIN-M, recorded 2025-08
TOO_MANY_SUBSCRIPTIONS = 4  # recorded 2020-04-27, unicorn-binance-websocket-api#17


class _Binance(PlainAdapter):
    verbs = ("SUBSCRIBE", "UNSUBSCRIBE")
    close_flag = True
    ws_columns: ClassVar[Columns] = Columns("t", "o", "h", "l", "c", "v", "q", "n", "V", "Q")
    ws_intervals = rest_intervals = SPOT_INTERVALS
    anchors = {"3d": None}  # weeks open on Monday (recorded)
    # Both bounds include, on the open time.
    query = Query("symbol", "interval", "startTime", "endTime", "limit")
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 7, 8, 9, 10, shortest=12)
    page = 1000  # rest-api.md, klines, 2026-07: default 500, max 1000
    weights: ClassVar[Mapping[int, float]] = SPOT_WEIGHTS
    listing = Listing(
        url="exchangeInfo",
        weight=50.0,  # UNKNOWN: charged high; asked once
        rows=("symbols",),
        base="baseAsset",
        quote="quoteAsset",
        status="status",
        live=["TRADING"],
        only={"contractType": [None, "PERPETUAL"]},  # spot symbols have none
    )

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"{symbol.lower()}@kline_{code}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        return {"method": verb, "params": list(channels), "id": request_id}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        stream, event = data.get("stream"), data.get("data", data)
        if type(event) is not dict or event.get("e") != "kline":
            return _no_candle(data, stream, event)
        k = event["k"]
        if stream is None and "i" in k:  # the brief's short form has neither
            stream = f"{event['s'].lower()}@kline_{k['i']}"
        figures = self.ws_columns.read(k)
        return [CandleData(*figures, channel=stream, closed=k.get("x"), event_time=event.get("E"))]

    def rest_weight(self, limit: int) -> float:
        most = max(self.weights.values())
        return next((weight for rows, weight in self.weights.items() if limit <= rows), most)


def _no_candle(data: dict[str, Any], stream: Any, event: Any) -> Parsed:
    """Answers to requests, a connection's announced end, noise; ValueError for half a kline."""
    if "@kline_" in str(stream) or "k" in data:
        raise ValueError(f"a kline frame lacks its event: {str(data)[:200]}")
    if type(event) is dict and event.get("e") == "serverShutdown":  # since 2026-05
        return Closing("the server announces its shutdown")
    request_id = None if data.get("id") is None else str(data["id"])
    error = data.get("error", data)  # recorded inside "error", documented flat
    if type(error) is dict and "code" in error:
        limit = error["code"] == TOO_MANY_SUBSCRIPTIONS
        return Refused(f"{error.get('msg')} (code {error['code']})", request_id, limit=limit)
    if request_id is not None and "result" in data and data["result"] is None:
        return Confirmed(request_id)
    return None


class BinanceSpot(_Binance):
    """Binance.com, spot."""

    name = "binance_spot"
    ws_url = "wss://stream.binance.com:9443/ws"
    rest_url = "https://api.binance.com/api/v3/klines"  # uiKlines gives modified data
    close_grace = 3.0  # closing frames were recorded 0 to 2 s after the close
    heartbeat = Heartbeat("server", every=20, silence=60)  # since 2025-02; pong within a minute
    limits = Limits(
        source="binance-spot-api-docs a5e0bc3: web-socket-streams.md, rest-api.md",
        checked="2026-07-21",
        subscriptions=1024,
        messages=Rate(5),  # pongs count, too
        message_bytes=4088,  # 4096 less the frame's head (binance-connector-rust#27)
        message_channels=100,
        attempts=Rate(300, 300),
        lifetime=86_400,
        rest=(Rate(6000, 60),),
    )


class BinanceUs(_Binance):
    """Binance.US, spot: the same frames and rows, a smaller budget, the older heartbeat."""

    name = "binance_us"
    ws_url = "wss://stream.binance.us:9443/ws"
    rest_url = "https://api.binance.us/api/v3/klines"
    close_grace = 3.0  # recorded 1.76 s after the close
    heartbeat = Heartbeat("server", every=180, silence=400)  # pong within 10 minutes
    limits = replace(
        BinanceSpot.limits,
        source="binance-us-api-docs web-socket-streams.md; REST: exchangeInfo recorded 2021-10",
        checked="2026-07",
        rest=(Rate(1200, 60),),
    )


class BinancePerpetual(_Binance):
    """USD-M perpetuals: no 1s, weight by rows, closing frames may come very late."""

    name = "binance_perpetual"
    ws_url = "wss://fstream.binance.com/market/ws"
    ws_intervals = rest_intervals = FUTURES_INTERVALS
    rest_url = "https://fapi.binance.com/fapi/v1/klines"
    page = 499  # of 1500 at most: no other size costs less weight a row
    weights = FUTURES_WEIGHTS
    close_grace = 25.0  # recorded up to 2 s, reported up to 24 s (JKorf/Binance.Net#1267)
    heartbeat = BinanceUs.heartbeat
    limits = replace(
        BinanceSpot.limits,
        source="developers.binance.com, USD-M; attempts and message size as told for spot",
        checked="2026-07",
        messages=Rate(10),
        rest=(Rate(1800, 60),),  # of 2400, which COIN-M shares since 2026 (one source)
    )


class BinanceCoinM(BinancePerpetual):
    """COIN-M perpetuals, inverse: ``BTC-USD`` is ``BTCUSD_PERP``."""

    name = "binance_coinm"
    ws_url = "wss://dstream.binance.com/ws"
    ws_columns = Columns("t", "o", "h", "l", "c", "q", None, "n", "Q")
    rest_url = "https://dapi.binance.com/dapi/v1/klines"
    rest_columns = Columns(0, 1, 2, 3, 4, 7, None, 8, 10, shortest=12)
    spelling = Spelling(suffix="_PERP")
    listing = replace(_Binance.listing, status="contractStatus", size="contractSize", inverse=True)
    limits = replace(
        BinancePerpetual.limits,
        source="developers.binance.com, COIN-M; attempts and message size as told for spot",
        rest=(Rate(600, 60),),  # what USD-M leaves of the 2400 that they share
    )

    def rest_pages(self, interval: str) -> RestPages:
        return RestPages(min(self.page, RANGE // self.step(interval)))
