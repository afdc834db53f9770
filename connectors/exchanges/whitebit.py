"""WhiteBIT: spot.

* A candle's frame does not tell its interval, and a socket holds one interval of each market: so
  subscriptions of different intervals never share a connection, and the adapter remembers what it
  asked for. A candle of a market that was not asked for is an error, not a guess.
* Rows run open, CLOSE, high, low over both transports. Over the socket the market stands last.
* Intervals are seconds over WebSocket and words over REST. The socket has fewer of them (those
  that ccxt names); ``3m 2h 6h 12h 3d 1M`` are polled.
* One market a message. No way to leave a channel is known: the connection is replaced.
* REST hides its errors behind ``success: false``; without known codes, such a reply with HTTP 200
  is asked again.
* UNKNOWN: whether a bar that opens at ``start`` is included, and which end wins among too many rows
  (a second and a row more are asked for, which fits either way); where weeks and bars of three days
  begin (learned); whether bars without trades are sent; how late a bar's last frame comes (5 s is a
  guess); the period of pings (ours is 20 s); all limits (cautious); the list of markets (pairs are
  spelled by the rule); the form of a refusal (its whole ``error`` is told).
* Not offered: perpetuals (``BTC_PERP``).

Sources: ccxt 4.5.64 alone (2026-09), with frames that it recorded in 2020 and 2022; tests/wire/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, Rate, Refused,
)  # fmt: skip
from connectors.model import CandleData, Subscription
from connectors.plain import (
    Code, Columns, Envelope, PlainAdapter, Query, Spelling, codes, codes_in_seconds, in_seconds,
    keys, no_object, oldest_first, parts,
)  # fmt: skip

STREAMED = "1m 5m 15m 30m 1h 4h 8h 1d 1w"  # ccxt's own list for the socket, 2026-09
ROW, MARKET = Columns(0, 1, 3, 4, 2, 5, 6), 7


class WhiteBitSpot(PlainAdapter):
    """Spot: volumes are base and quote currency as they come."""

    name = "whitebit_spot"
    spelling = Spelling(separator="_")
    anchors = {"3d": None, "1w": None}
    close_grace = 5.0
    heartbeat = Heartbeat("message", every=20, silence=60)
    ping = {"id": 0, "method": "ping", "params": []}
    verbs = ("candles_subscribe", None)
    limits = Limits(
        source="nothing published in our sources: cautious numbers",
        checked="2026-09",
        subscriptions=50,
        messages=Rate(5),
        rest=(Rate(5),),
    )

    def __init__(self) -> None:
        super().__init__()
        self._code_of: dict[str, str] = {}

    ws_url = "wss://api.whitebit.com/ws"
    ws_intervals = codes_in_seconds(STREAMED)

    def connection_group(self, subscription: Subscription) -> str:
        return subscription.interval

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        code, symbol = parts(channels[0])
        return {"id": request_id, "method": verb, "params": [symbol, int(code)]}

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        self._code_of.update((symbol, code) for code, symbol in map(parts, channels))
        return super().subscribe_messages(channels, request_id, now)

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        method = data["method"] if "params" in data else data.get("method")
        if method == "candles_update":
            return oldest_first([self._candle(row) for row in data["params"]])
        if method is not None or data.get("id") is None:
            return None
        request_id, result = str(data["id"]), data.get("result")
        if data.get("error"):
            return Refused(str(data["error"]), request_id)
        accepted = type(result) is dict and result.get("status") == "success"
        return Confirmed(request_id) if accepted else None

    def _candle(self, row: list[Any]) -> CandleData:
        channel = self.channel_of(row[MARKET], self._code_of[row[MARKET]])
        return CandleData(*ROW.read(row), channel=channel)

    rest_url = "https://whitebit.com/api/v1/public/kline"
    rest_intervals = codes("1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M")  # ccxt, 2026-09
    rest_path = ("result",)
    rest_columns = ROW
    query = Query("market", "interval", "start", "end", "limit", time=in_seconds)
    page = 1439  # and one more, of 1440 at most
    envelope = Envelope(keys("success", "message"), good=[True])

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, Code]:
        return super().get_rest_params(trading_pair, interval, start_time - 1, end_time, limit + 1)
