"""Binance spot, Binance.US spot and Binance USD-M perpetuals: one dialect, three markets.

* Stream names are lower case, symbols in frames and REST upper case; a symbol cannot be cut into
  base and quote, so pairs come from exchangeInfo (``1000SHIB-USDT`` keeps its multiplier).
* A symbol or interval that does not exist is CONFIRMED like any other and then stays silent
  (JKorf/Binance.Net#620, python-binance#1193). An ill-formed stream name fails its whole request.
* A control message above 4096 bytes on the wire is dropped without an answer
  (binance-connector-rust#27); reported for spot, assumed for USD-M.
* USD-M candles are only under ``/market`` since 2026-04-23; the old unsplit path stays silent.
* Frames come bare on ``/ws`` and as ``{"stream", "data"}`` on ``/stream``. We connect to ``/ws``,
  the path that is documented with SUBSCRIBE for all three markets; both forms are read.
* ``x: true`` closes a candle. REST rows do not say; the last one is open when it reaches now.
* UNKNOWN: the boundary of ``3d`` (its grid is learned); whether bars without trades are sent (two
  recordings disagree); the weight of exchangeInfo (charged high).
* Not offered: dated USD-M contracts (only ``PERPETUAL``), days of other zones (``@+08:00``).

Sources: binance/binance-spot-api-docs a5e0bc3 (2026-07-21), binance-us/binance-us-api-docs,
developers.binance.com (USD-M pages of 2026), recordings in tests/wire/.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Heartbeat,
    Limits,
    Message,
    Parsed,
    Rate,
    Refused,
    RestPages,
    RestReply,
    RestRequest,
)
from connectors.model import CandleData, Grid, Instrument, Interval, Subscription, grid_of

# Our intervals and theirs -> nominal seconds; WebSocket and REST alike (2026-07).
FUTURES_INTERVALS = {
    code: Interval.parse(code).seconds
    for code in ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h",
                 "1d", "3d", "1w", "1M")
}  # fmt: skip
SPOT_INTERVALS = {"1s": 1, **FUTURES_INTERVALS}

SPOT_WEIGHTS = ((1000, 2.0),)  # up to so many rows: weight (rest-api.md, klines, 2026-07)
FUTURES_WEIGHTS = ((99, 1.0), (499, 2.0), (1000, 5.0), (1500, 10.0))  # USD-M, klines, 2026-07
EXCHANGE_INFO_WEIGHT = 50.0  # UNKNOWN: charged high; asked once
UNDATED = (None, "PERPETUAL")  # contractType: spot symbols have none
TOO_MANY_SUBSCRIPTIONS = 4  # recorded 2020-04-27, unicorn-binance-websocket-api#17


class _Binance(ExchangeAdapter):
    close_flag = True
    ws_url: ClassVar[str]
    rest_url: ClassVar[str]
    intervals: ClassVar[dict[str, int]] = SPOT_INTERVALS
    page: ClassVar[int] = 1000  # rest-api.md, klines, 2026-07: default 500, max 1000
    weights: ClassVar[tuple[tuple[int, float], ...]] = SPOT_WEIGHTS
    symbol_suffix: ClassVar[str] = ""
    status_key: ClassVar[str] = "status"
    # Where base volume, quote volume, taker base, taker quote stand; "" and None: not sent.
    frame_volumes: ClassVar[tuple[str, str, str, str]] = ("v", "q", "V", "Q")
    row_volumes: ClassVar[tuple[int, int | None, int, int | None]] = (5, 7, 9, 10)

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}

    def get_trading_pair_format(self, trading_pair: str) -> str:
        plain = trading_pair.replace("-", "") + self.symbol_suffix
        return self._symbols.get(trading_pair, plain)

    def get_supported_intervals(self) -> dict[str, int]:
        return dict(self.intervals)

    def get_ws_supported_intervals(self) -> list[str]:
        return list(self.intervals)

    def grid(self, interval: str) -> Grid:
        """UTC; weeks open on Monday (recorded), the boundary of 3d is UNKNOWN and is learned."""
        return Grid(self.intervals["3d"], None) if interval == "3d" else grid_of(interval)

    # --- WebSocket ---

    def get_ws_url(self) -> str:
        return self.ws_url

    def channel(self, subscription: Subscription) -> str:
        symbol = self.get_trading_pair_format(subscription.trading_pair)
        return f"{symbol.lower()}@kline_{subscription.interval}"

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        channel = self.channel(Subscription(self.name, trading_pair, interval))
        return _control("SUBSCRIBE", [channel], 1)

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        del now
        return [_control("SUBSCRIBE", channels, request_id)]

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        del now
        return [_control("UNSUBSCRIBE", channels, request_id)]

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return _no_object(data)
        stream = data.get("stream")
        event = data.get("data", data)
        if type(event) is dict and event.get("e") == "kline":
            try:
                return [self._candle(event, stream)]
            except (TypeError, AttributeError) as problem:
                raise ValueError(f"a kline frame is malformed: {problem}") from problem
        return _no_candle(data, stream, event)

    def _candle(self, event: dict[str, Any], channel: str | None) -> CandleData:
        """Needs but ``t o c h l`` and the volume under ``k``, as the brief prints it."""
        k = event["k"]
        told = k.get
        base, quote, taker_base, taker_quote = self.frame_volumes
        if channel is None and (interval := told("i")) is not None:
            channel = f"{event['s'].lower()}@kline_{interval}"
        return CandleData(
            k["t"],
            k["o"],
            k["h"],
            k["l"],
            k["c"],
            k[base],
            told(quote),
            told("n"),
            told(taker_base),
            told(taker_quote),
            channel=channel,
            closed=told("x"),
            event_time=event.get("E"),
        )

    # --- REST ---

    def get_rest_url(self) -> str:
        return f"{self.rest_url}/klines"  # uiKlines gives modified data

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        """Both bounds include, on the open time; where more rows fit, the start wins (recorded)."""
        return {
            "symbol": self.get_trading_pair_format(trading_pair),
            "interval": interval,
            "startTime": start_time * 1000,
            "endTime": end_time * 1000,
            "limit": limit,
        }

    def rest_pages(self, interval: str) -> RestPages:
        del interval
        return RestPages(self.page)

    def rest_weight(self, limit: int) -> float:
        return next((weight for rows, weight in self.weights if limit <= rows), self.weights[-1][1])

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        del request
        if type(data) is not list:
            raise ValueError(f"klines are a list of rows, not {str(data)[:200]}")
        try:
            return [self._row(row) for row in data]
        except (TypeError, LookupError) as problem:
            raise ValueError(f"a kline row is malformed: {problem!r}") from problem

    def _row(self, row: list[Any]) -> CandleData:
        base, quote, taker_base, taker_quote = self.row_volumes
        return CandleData(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            row[base],
            None if quote is None else row[quote],
            row[8],
            row[taker_base],
            None if taker_quote is None else row[taker_quote],
        )

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        reply = yield RestRequest(url=f"{self.rest_url}/exchangeInfo", weight=EXCHANGE_INFO_WEIGHT)
        if reply.status != 200:
            raise ValueError(f"exchangeInfo: HTTP {reply.status} {reply.body[:200]!r}")
        try:
            rows = reply.json()["symbols"]
            return [self._instrument(row) for row in rows if row.get("contractType") in UNDATED]
        except (TypeError, LookupError, AttributeError) as problem:
            raise ValueError(f"exchangeInfo is no list of symbols: {problem!r}") from problem

    def _instrument(self, row: dict[str, Any]) -> Instrument:
        return Instrument(
            trading_pair=f"{row['baseAsset']}-{row['quoteAsset']}",
            symbol=row["symbol"],
            tradable=row[self.status_key] == "TRADING",
            status=row[self.status_key],
        )

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        self._symbols = {row.trading_pair: row.symbol for row in rows}


def _control(method: str, streams: Sequence[str], request_id: int) -> dict[str, Any]:
    return {"method": method, "params": list(streams), "id": request_id}


def _no_object(data: Any) -> Parsed:
    if type(data) is str:
        raise ValueError(f"text, where every frame is JSON: {data[:200]!r}")
    return None


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
    rest_url = "https://api.binance.com/api/v3"
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
    rest_url = "https://api.binance.us/api/v3"
    close_grace = 3.0  # recorded 1.76 s after the close
    heartbeat = Heartbeat("server", every=180, silence=400)  # pong within 10 minutes
    limits = replace(
        BinanceSpot.limits,
        source="binance-us-api-docs web-socket-streams.md; REST: exchangeInfo recorded 2021-10",
        checked="2026-07",
        rest=(Rate(1200, 60),),
    )


class BinancePerpetual(_Binance):
    """Binance USD-M perpetuals: no 1s, weight by rows, closing frames may come very late."""

    name = "binance_perpetual"
    ws_url = "wss://fstream.binance.com/market/ws"
    rest_url = "https://fapi.binance.com/fapi/v1"
    intervals = FUTURES_INTERVALS
    page = 499  # of 1500 at most: no other size costs less weight a row
    weights = FUTURES_WEIGHTS
    close_grace = 25.0  # recorded up to 2 s, reported up to 24 s (JKorf/Binance.Net#1267)
    heartbeat = Heartbeat("server", every=180, silence=400)  # pong within 10 minutes
    limits = replace(
        BinanceSpot.limits,
        source="developers.binance.com, USD-M; attempts and message size as told for spot",
        checked="2026-07",
        messages=Rate(10),
        rest=(Rate(2400, 60),),  # shared with COIN-M since 2026 (one source)
    )
