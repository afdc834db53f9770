"""A made-up exchange (facts of 2026-10) on which the suite itself is tested.

What is odd here:

* Volumes are lots of ``size`` coins; nothing is told without the list of instruments.
* A token is fetched, the exchange greets, both sides ping.
* REST rows come newest first.
"""

# ruff: noqa: ARG002 - the contract names the arguments

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any
from urllib.parse import quote

from connectors.adapter import (
    Confirmed,
    ExchangeAdapter,
    Heartbeat,
    Limits,
    Message,
    Opening,
    Parsed,
    QuietBars,
    Ready,
    Refused,
    RestAnswer,
    RestReply,
    RestRequest,
    Rows,
    WSJSONRequest,
    answer_of_status,
)
from connectors.model import CandleData, Instrument, Interval, Subscription


class Toy(ExchangeAdapter):
    """Keeps the whole contract."""

    name = "toy_spot"
    limits = Limits(
        source="nowhere: invented",
        checked="2026-10-01",
        subscriptions=10,
        message_channels=3,
        message_bytes=400,
    )
    heartbeat = Heartbeat(kind="message", every=10, silence=30)
    quiet_bars = QuietBars(stream="sent", rest="skipped")
    close_flag = True
    needs_instruments = True

    def __init__(self) -> None:
        self.sizes: dict[str, float] = {}

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair.replace("-", "_")

    def get_supported_intervals(self) -> dict[str, int]:
        return {"1m": 60, "1h": 3600, "1d": 86400, "1w": 604800, "1M": 2592000}

    def get_ws_supported_intervals(self) -> list[str]:
        return ["1m", "1h", "1d"]

    def get_ws_url(self) -> str:
        return "wss://toy.example/ws"

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        channel = self.channel(Subscription(self.name, trading_pair, interval))
        return {"op": "subscribe", "id": "0", "topics": [channel]}

    def channel(self, subscription: Subscription) -> str:
        symbol = self.get_trading_pair_format(subscription.trading_pair)
        return f"candles:{symbol}:{subscription.interval}"

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        return [{"op": "subscribe", "id": str(request_id), "topics": list(channels)}]

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        return [{"op": "unsubscribe", "id": str(request_id), "topics": list(channels)}]

    def ping_message(self, request_id: int, now: float) -> Message:
        return {"op": "ping", "id": str(request_id)}

    def opening(self, group: str = "") -> Generator[RestRequest, RestReply, Opening]:
        reply = yield RestRequest(method="POST", url="https://toy.example/token")
        told = reply.json()
        token = quote(told["token"], safe="")
        return Opening(
            url=f"{self.get_ws_url()}?token={token}",
            ping_every=told["pingInterval"] / 1000,
            awaits_ready=True,
        )

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        reply = yield RestRequest(url="https://toy.example/instruments")
        rows = reply.json().get("list")
        if rows is None:
            raise ValueError("no list of instruments")
        return [Instrument(r["symbol"].replace("_", "-"), r["symbol"], r["size"]) for r in rows]

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        self.sizes = {row.symbol: row.contract_size for row in rows}

    def parse_ws_message(self, data: Any) -> Parsed:
        if not isinstance(data, dict):
            return None
        if "rows" in data:
            symbol = data["topic"].split(":")[1]
            return [self.candle(row, symbol, data["topic"]) for row in data["rows"]]
        if "ping" in data:
            return WSJSONRequest({"pong": data["ping"]})
        if "error" in data:
            return Refused(data["error"], data.get("id"))
        if "ok" in data:
            return Confirmed(data["id"])
        return Ready() if "hello" in data else None

    def candle(self, row: list[Any], symbol: str, channel: str | None) -> CandleData:
        time, o, h, low, c, lots, closed = row
        volume = lots * self.sizes[symbol]
        return CandleData(time, o, h, low, c, volume, channel=channel, closed=closed)

    def get_rest_url(self) -> str:
        return "https://toy.example/candles"

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        symbol = self.get_trading_pair_format(trading_pair)
        bounds = {"from": start_time, "to": end_time, "limit": limit}
        return {"symbol": symbol, "interval": interval, **bounds}

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        assert request is not None
        symbol = self.get_trading_pair_format(request.trading_pair)
        return [self.candle(row, symbol, None) for row in reversed(data["rows"])]

    def read_rest_reply(self, reply: RestReply, request: RestRequest) -> RestAnswer:
        if reply.status != 200 or "error" in reply.json():
            return answer_of_status(RestReply(max(400, reply.status), reply.headers, reply.body))
        return Rows(self.parse_rest_response(reply.json(), request))


class ToyPlain(ExchangeAdapter):
    """Only the brief's methods: what everything else defaults to has to do."""

    name = "toy_plain"
    limits = Limits(source="nowhere: invented", checked="2026-10")

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair.replace("-", "")

    def get_supported_intervals(self) -> dict[str, int]:
        return {interval: Interval.parse(interval).seconds for interval in ("1m", "1d")}

    def get_ws_supported_intervals(self) -> list[str]:
        return ["1m"]

    def get_ws_url(self) -> str:
        return "wss://plain.example/ws"

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        return {"subscribe": f"{self.get_trading_pair_format(trading_pair)}/{interval}"}

    def parse_ws_message(self, data: Any) -> Parsed:
        return [CandleData(*data["k"])] if isinstance(data, dict) and "k" in data else None

    def get_rest_url(self) -> str:
        return "https://plain.example/candles"

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        symbol = self.get_trading_pair_format(trading_pair)
        return {"symbol": symbol, "interval": interval, "start": start_time, "end": end_time}

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        return [CandleData(*row) for row in data]
