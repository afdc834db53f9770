"""A made-up exchange without oddities, and a clock that is set by hand: for tests of the engine.

Its frames are made up, too, and say in plain words what the engine is to be told:
``{"candles": [[channel, open time, close, closed], …]}``, ``{"ok": id}``,
``{"no": channel, "why": …}``, ``{"bye": why}``, ``{"ping": …}``; its REST rows are
``[open time, close]``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
    RestRequest,
    WSJSONRequest,
)
from connectors.clock import Clock
from connectors.ledger import Ledger
from connectors.model import CandleData, Subscription, grid_of
from connectors.rules import Rules

START = 1_790_000_040
"""A whole minute: the market time at which the clock of a test begins."""


class Plain(ExchangeAdapter):
    """Three intervals, of which ``5m`` is polled; one symbol a pair; one message a batch."""

    name = "plain"
    close_flag = True
    heartbeat = Heartbeat("server", silence=60.0)
    limits = Limits(
        source="nowhere: invented",
        checked="2026-10-01",
        subscriptions=100,
        messages=Rate(100),
        message_channels=50,
        attempts=Rate(100),
        rest=(Rate(100),),
    )
    ws_url = "ws://plain.example/ws"
    rest_url = "http://plain.example/candles"

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair.replace("-", "")

    def get_supported_intervals(self) -> dict[str, int]:
        return {"1m": 60, "5m": 300, "1h": 3600}

    def get_ws_supported_intervals(self) -> list[str]:
        return ["1m", "1h"]

    def get_ws_url(self) -> str:
        return self.ws_url

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        return {"subscribe": [f"{trading_pair}@{interval}"], "id": 0}

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        del now
        return [{"subscribe": list(channels), "id": request_id}]

    def parse_ws_message(self, data: Any) -> Parsed:
        if "candles" in data:
            return [
                CandleData(at, close, close, close, close, 1, channel=channel, closed=closed)
                for channel, at, close, closed in data["candles"]
            ]
        if "ok" in data:
            return Confirmed(str(data["ok"]))
        if "bye" in data:
            return Closing(data["bye"])
        if "no" in data:
            return Refused(data.get("why", "no"), channels=(data["no"],))
        return WSJSONRequest({"pong": data["ping"]}) if "ping" in data else None

    def get_rest_url(self) -> str:
        return self.rest_url

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        del limit
        return {"of": f"{trading_pair}@{interval}", "from": start_time, "to": end_time}

    def rest_pages(self, interval: str) -> RestPages:
        del interval
        return RestPages(100)

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        del request
        return [CandleData(at, close, close, close, close, 1) for at, close in data]


def subscription(trading_pair: str = "BTC-USDT", interval: str = "1m") -> Subscription:
    """One of the plain exchange's."""
    return Subscription("plain", trading_pair, interval)


@dataclass
class Hands:
    """A clock's hands: real (monotonic) seconds, moved by the test."""

    real: float = 1_000.0

    def clock(self, speed: float = 1.0) -> Clock:
        """A clock that shows these hands; market time is ``START`` now."""
        return Clock(speed, self.real, START, lambda: self.real, lambda: START + self.real)


def running_clock(speed: float = 1.0) -> Clock:
    """A clock that runs; market time is ``START`` now."""
    return Clock(speed, time.monotonic(), START)


RULES = Rules(streamed=True, flagged=True, rest=True, rest_skips=False, grace=2.0, page=100)
NO_REST = Rules(streamed=True, flagged=True, rest=False, rest_skips=False, grace=2.0, page=100)


def unanswered(ledger: Ledger, start: int, end: int) -> None:
    """Recalls nothing: Kafka cannot tell."""
    ledger.recalled(start, end, None, 0.0)


def ledger_of(
    wanted: Subscription,
    clock: Clock,
    rules: Rules = NO_REST,
    wake: Callable[[Ledger, float], None] = lambda _ledger, _real: None,
    touch: Callable[[Ledger], None] = lambda _ledger: None,
) -> Ledger:
    """A ledger that has not begun."""
    return Ledger(wanted, grid_of(wanted.interval), rules, clock, wake, touch, unanswered)


async def until(done: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until ``done()``; TimeoutError after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 - a state without an event
            await asyncio.sleep(0.005)
