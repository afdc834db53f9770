"""OKX v5: spot and perpetual swaps, linear and inverse.

* Candles come only on ``/ws/v5/business``; ``/public`` refuses them (since 2023).
* Codes without ``utc`` from 6H upwards (``candle1D``) open at UTC+8: we use the ``utc`` ones on
  both transports. ``mark-price-candle…`` and ``index-candle…`` have other rows: never read.
* Column 5 is base volume on spot, contracts on swaps, whose base volume is column 6; column 7 is
  quote volume on all. Rows of seven columns (before 2023) lack it, and the flag that closes.
* A request is confirmed arg by arg. An error names no arg: 60018 quotes it in its text, 60012
  belongs to the request id alone.
* We ping with the bare text ``ping``; the answer ``pong`` is no JSON either.
* REST cursors are the reverse of what their names say: ``after=T`` is older than T, ``before=T``
  newer, both exclude T. A refusal may come with HTTP 200. ``/candles`` has the latest 1440 rows and
  no 1s, ``/history-candles`` everything at half the rate (1s: three months).
* UNKNOWN: where weeks and bars of 2, 3 and 5 days begin (their grids are learned; 5d is not on
  REST); how many channels a connection bears (close codes 4008 and 4009; ours is a cautious
  number); which end wins when a window holds too many rows (never asked). ``3M`` is taken as
  quarters of the calendar, unproven. There is no 8h.

Sources: www.okx.com/docs-v5 as copied on 2026-06-27, ccxt 4.5.64, recordings in tests/wire/.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, ClassVar

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Heartbeat,
    Limits,
    Message,
    Parsed,
    QuietBars,
    Rate,
    Refused,
    RestAnswer,
    RestPages,
    RestRefused,
    RestReply,
    RestRequest,
    RestSlowDown,
    RestUnavailable,
    Rows,
    answer_of_status,
    retry_after,
)
from connectors.model import CandleData, Grid, Instrument, Interval, Subscription, grid_of

# Our interval -> REST bar; the channel is "candle" and the bar (documentation, 2026-06).
BARS = {
    "1s": "1s", "1m": "1m", "3m": "3m", "5m": "5m", "15m": "15m", "30m": "30m",
    "1h": "1H", "2h": "2H", "4h": "4H", "6h": "6Hutc", "12h": "12Hutc",
    "1d": "1Dutc", "2d": "2Dutc", "3d": "3Dutc", "5d": "5Dutc", "1w": "1Wutc",
    "1M": "1Mutc", "3M": "3Mutc",
}  # fmt: skip
SECONDS = {interval: Interval.parse(interval).seconds for interval in BARS}
ONLY_ON_WEBSOCKET = {"5d"}
LEARNED_GRIDS = {"2d", "3d", "5d", "1w"}

REST = "https://www.okx.com/api/v5"  # openapi.okx.com is named as well (2026-06)
LATEST_ROWS = 1440  # reach of /market/candles, the running one included (2026-06)
SECOND_ROWS = 89 * 86_400  # three months at the least of 1s (2026-06)
HISTORY_WEIGHT = 2.0  # 20 in 2 s, /market/candles 40 in 2 s (2026-06); instruments 20, too

CLOSED = {"0": False, "1": True}
UPGRADE = "64008"  # 60 s before the connection is closed; on /business unproven
NAMED_IN_ERROR = re.compile(r"channel:([^,]+),instId:(\S+) doesn't exist", re.IGNORECASE)
WRONG_QUESTION = {"51000", "51001"}  # parameter error, unknown instId
RATE_LIMIT = "50011"  # with HTTP 429, sometimes 200


class _Okx(ExchangeAdapter):
    close_flag = True
    close_grace = 5.0  # a closing frame was recorded 3.4 s after the close (one source)
    quiet_bars = QuietBars(stream="sent", rest="sent")  # flat: documented, and recorded 2023-05
    heartbeat = Heartbeat("message", every=20, silence=30)  # code 4004 after 30 s without data
    limits = Limits(
        source="www.okx.com/docs-v5, WebSocket connect and candlesticks; see UNKNOWN above",
        checked="2026-06-27",
        subscriptions=300,  # UNKNOWN; their args stay far below 64 KB
        messages=Rate(5),  # nothing published: pings are not among the 480
        subscribes=Rate(480, 3600),  # subscribe, unsubscribe and login
        message_bytes=64_000,
        message_channels=100,
        attempts=Rate(3),
        rest=(Rate(40, 2),),
    )
    kind: ClassVar[str]
    symbol_suffix: ClassVar[str] = ""
    base_column: ClassVar[int]
    old_quote_column: ClassVar[int | None]

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return self._symbols.get(trading_pair, trading_pair + self.symbol_suffix)

    def get_supported_intervals(self) -> dict[str, int]:
        return dict(SECONDS)

    def get_ws_supported_intervals(self) -> list[str]:
        return list(BARS)

    def get_rest_supported_intervals(self) -> list[str]:
        return [interval for interval in BARS if interval not in ONLY_ON_WEBSOCKET]

    def grid(self, interval: str) -> Grid:
        return Grid(SECONDS[interval], None) if interval in LEARNED_GRIDS else grid_of(interval)

    # --- WebSocket ---

    def get_ws_url(self) -> str:
        return "wss://ws.okx.com:8443/ws/v5/business"

    def channel(self, subscription: Subscription) -> str:
        symbol = self.get_trading_pair_format(subscription.trading_pair)
        return f"candle{BARS[subscription.interval]}:{symbol}"

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        return _ask("subscribe", [self.channel(Subscription(self.name, trading_pair, interval))], 1)

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        del now
        return [_ask("subscribe", channels, request_id)]

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        del now
        return [_ask("unsubscribe", channels, request_id)]

    def ping_message(self, request_id: int, now: float) -> Message:
        del request_id, now
        return "ping"

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return _no_object(data)
        try:
            if "event" in data:
                return _event(data)
            name = data["arg"]["channel"] if "arg" in data or "data" in data else ""
            if not name.startswith("candle"):
                return None
            return self._candles(data["data"], f"{name}:{data['arg']['instId']}")
        except (TypeError, AttributeError, IndexError) as problem:
            raise ValueError(f"a frame is malformed: {problem!r}") from problem

    def _candles(self, rows: list[list[str]], channel: str | None) -> list[CandleData]:
        candles = [self._candle(row, channel) for row in rows]
        if len(candles) > 1:
            candles.sort(key=attrgetter("timestamp"))  # newest first on REST
        return candles

    def _candle(self, row: list[str], channel: str | None) -> CandleData:
        if len(row) == 7:
            return self._old_candle(row, channel)
        return CandleData(
            int(row[0]),
            row[1],
            row[2],
            row[3],
            row[4],
            row[self.base_column],
            row[7],
            channel=channel,
            closed=CLOSED[row[8]],
        )

    def _old_candle(self, row: list[str], channel: str | None) -> CandleData:
        quote = None if self.old_quote_column is None else row[self.old_quote_column]
        figures = (row[1], row[2], row[3], row[4], row[self.base_column], quote)
        return CandleData(int(row[0]), *figures, channel=channel)

    # --- REST ---

    def get_rest_url(self) -> str:
        return f"{REST}/market/candles"

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        return {
            "instId": self.get_trading_pair_format(trading_pair),
            "bar": BARS[interval],
            "before": start_time * 1000 - 1,
            "after": end_time * 1000 + 1,
            "limit": limit,
        }

    def rest_pages(self, interval: str) -> RestPages:
        """100 rows: the sources agree on no more for history."""
        return RestPages(100, rows=SECOND_ROWS if interval == "1s" else None)

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        """The latest rows from ``/candles``, older ones and 1s from ``/history-candles``."""
        latest = super().rest_request(trading_pair, interval, start, end, limit, now)
        if interval != "1s" and start >= now - (LATEST_ROWS - 1) * SECONDS[interval]:
            return latest
        return replace(latest, url=f"{REST}/market/history-candles", weight=HISTORY_WEIGHT)

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        del request
        try:
            return self._candles(data["data"], None)
        except (TypeError, LookupError) as problem:
            raise ValueError(f"no candle rows: {problem!r} in {str(data)[:200]}") from problem

    def read_rest_reply(self, reply: RestReply, request: RestRequest) -> RestAnswer:
        """The body's code decides, whatever the HTTP status; a status only where it has none."""
        code, reason = _code(reply)
        if reply.status == 200 and code in ("0", None):
            return Rows(self.parse_rest_response(reply.json(), request))
        if code == RATE_LIMIT:
            return RestSlowDown(reason, retry_after(reply.headers))
        if code in WRONG_QUESTION:
            return RestRefused(reason)
        return RestUnavailable(reason) if reply.status == 200 else answer_of_status(reply)

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        url = f"{REST}/public/instruments"
        reply = yield RestRequest(url=url, params={"instType": self.kind}, weight=HISTORY_WEIGHT)
        code, reason = _code(reply)
        if code != "0":
            raise ValueError(f"instruments: {reason}")
        try:
            return [self._instrument(row) for row in reply.json()["data"]]
        except (TypeError, LookupError) as problem:
            raise ValueError(f"instruments without {problem!r}") from problem

    def _instrument(self, row: Mapping[str, str]) -> Instrument:
        return Instrument(
            trading_pair=self._pair(row),
            symbol=row["instId"],
            contract_size=float(row.get("ctVal") or 1) * float(row.get("ctMult") or 1),
            inverse=row.get("ctType") == "inverse",
            tradable=row["state"] == "live",
            status=row["state"],
        )

    @abstractmethod
    def _pair(self, row: Mapping[str, str]) -> str:
        """The trading pair of a row of instruments."""

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        self._symbols = {row.trading_pair: row.symbol for row in rows}


def _ask(op: str, channels: Sequence[str], request_id: int) -> dict[str, Any]:
    pairs = (channel.split(":", 1) for channel in channels)
    args = [{"channel": name, "instId": symbol} for name, symbol in pairs]
    return {"id": str(request_id), "op": op, "args": args}


def _no_object(data: Any) -> Parsed:
    if type(data) is str and data != "pong":
        raise ValueError(f"text that is neither JSON nor pong: {data[:200]!r}")
    return None


def _event(data: dict[str, Any]) -> Parsed:
    event, request_id = data["event"], data.get("id")
    if event == "subscribe":
        arg = data["arg"]
        return Confirmed(request_id, (f"{arg['channel']}:{arg['instId']}",))
    if event == "unsubscribe":  # by id only: a channel named here must not count as accepted
        return Confirmed(request_id) if request_id else None
    reason = f"{data.get('msg')} (code {data.get('code')})"
    if event == "error":
        named = NAMED_IN_ERROR.findall(reason)
        return Refused(reason, request_id, tuple(f"{name}:{symbol}" for name, symbol in named))
    if event == "notice" and data.get("code") == UPGRADE:
        return Closing(reason)
    return None


def _code(reply: RestReply) -> tuple[str | None, str]:
    """The code and its text; without a code the text says the HTTP status."""
    try:
        body = reply.json()
        return body["code"], f"{body.get('msg')} (code {body['code']})"
    except (ValueError, TypeError, LookupError) as problem:
        return None, f"HTTP {reply.status} without a code: {problem!r}"


class OkxSpot(_Okx):
    """OKX, spot."""

    name = "okx_spot"
    kind = "SPOT"
    base_column = 5
    old_quote_column = 6

    def _pair(self, row: Mapping[str, str]) -> str:
        return f"{row['baseCcy']}-{row['quoteCcy']}"


class OkxPerpetual(_Okx):
    """OKX, perpetual swaps: ``BTC-USDT`` linear, ``BTC-USD`` inverse."""

    name = "okx_perpetual"
    kind = "SWAP"
    symbol_suffix = "-SWAP"
    base_column = 6
    old_quote_column = None

    def _pair(self, row: Mapping[str, str]) -> str:
        return row.get("instFamily") or row["uly"]  # baseCcy and quoteCcy are empty for swaps
