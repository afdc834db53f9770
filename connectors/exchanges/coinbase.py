"""Coinbase: Advanced Trade (5m over WebSocket, the rest polled) and Exchange (REST only).

What is odd here (docs.cdp.coinbase.com and its AsyncAPI file of 2026-06, a reference checked live
on 2026-09-27, recorded frames):

* The socket has one interval, 5m, and frames do not name it: a channel is a product's id.
* About 400 ``X-USDC`` products are aliases of ``X-USD``: who subscribes ``BTC-USDC`` gets frames of
  ``BTC-USD``. So the canonical product is asked for, over REST too, and one wire subscription
  serves both. Only the instruments tell an alias from a true product (``USDT-USDC``); without them
  every pair stands for itself.
* The first subscribe must come within 5 s, and most channels are closed after 60-90 s without
  updates: the ``heartbeats`` channel is subscribed while opening.
* A confirmation lists all that the connection has; one without candles is the heartbeats' own.
* An error names nothing: it is the fault of the last request. What an unknown product is told is
  UNKNOWN: ask the list of instruments before.
* No closed flag; snapshots in no proven order; frames of one bar with differing figures were seen
  (one source); ``sequence_num`` may jump, and a bar's next frame makes up for a lost one. REST is
  the judge of closed bars. How late a bar's last frame comes is UNKNOWN: 5 s is a cautious guess.
* Bars without trades are left out by REST; on the stream UNKNOWN.
* ``start`` as ISO 8601 text and the event type ``candle`` circulate in print; real frames say
  seconds as text, ``snapshot`` and ``update``. All are read.
* REST is newest first. Exchange writes low and high BEFORE the open and ignores a bound that comes
  alone. Advanced Trade's ``1w`` was seen once, undocumented: not offered.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar

from connectors.adapter import (
    Confirmed,
    ExchangeAdapter,
    Heartbeat,
    Limits,
    Message,
    Opening,
    Parsed,
    QuietBars,
    Rate,
    Refused,
    RestPages,
    RestReply,
    RestRequest,
)
from connectors.errors import UsageError
from connectors.model import CandleData, Instrument, Interval, Subscription, milliseconds

# interval -> granularity: get-public-product-candles, exchange get-product-candles, 2026-06-27
ADVANCED_TRADE = {
    "1m": "ONE_MINUTE",
    "5m": "FIVE_MINUTE",
    "15m": "FIFTEEN_MINUTE",
    "30m": "THIRTY_MINUTE",
    "1h": "ONE_HOUR",
    "2h": "TWO_HOUR",
    "4h": "FOUR_HOUR",
    "6h": "SIX_HOUR",
    "1d": "ONE_DAY",
}
EXCHANGE = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "1d": 86400}
HEARTBEATS = {"type": "subscribe", "channel": "heartbeats"}


class _Coinbase(ExchangeAdapter):
    """What both have in common: the products, and pages whose path names one."""

    quiet_bars = QuietBars(stream="unknown", rest="skipped")
    granularities: ClassVar[Mapping[str, str | int]]
    products: ClassVar[str]
    products_query: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        self._canonical: dict[str, str] = {}

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair

    def get_supported_intervals(self) -> dict[str, int]:
        return {interval: Interval.parse(interval).seconds for interval in self.granularities}

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        reply = yield RestRequest(url=self.products, params=self.products_query)
        try:
            return [_instrument(row) for row in _within(reply.json(), "products")]
        except (KeyError, TypeError) as error:
            raise ValueError(f"HTTP {reply.status}, no products: {reply.body[:200]!r}") from error

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        self._canonical = {row.symbol: row.alias_of for row in rows if row.alias_of}

    def _product(self, trading_pair: str) -> str:
        return self._canonical.get(trading_pair, trading_pair)

    def get_rest_url(self) -> str:
        return self.products  # the product and /candles follow, see rest_request

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        # bounds include; the range alone says how many: which end a smaller limit keeps is UNKNOWN
        granularity = self.granularities[interval]
        return {"start": str(start_time), "end": str(end_time), "granularity": granularity}

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        plain = super().rest_request(trading_pair, interval, start, end, limit, now)
        url = f"{self.products}/{self._product(trading_pair)}/candles"
        return replace(plain, url=url, headers={"cache-control": "no-cache"})  # a cache of 1 s

    def rest_pages(self, interval: str) -> RestPages:
        # Exchange refuses more; Advanced Trade's 350 was both taken and refused, ccxt asks for 300
        return RestPages(limit=300)

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        try:
            candles = [_candle(row) for row in _within(data, "candles")]
        except (KeyError, TypeError) as error:
            raise ValueError(f"no candles: {str(data)[:200]}") from error
        return sorted(candles, key=attrgetter("timestamp"))


class CoinbaseAdvancedTrade(_Coinbase):
    """Advanced Trade: public market data, no login."""

    name = "coinbase_advanced_trade"
    products = "https://api.coinbase.com/api/v3/brokerage/market/products"
    products_query: ClassVar[Mapping[str, str]] = {"product_type": "SPOT"}
    granularities = ADVANCED_TRADE
    close_grace = 5.0
    heartbeat = Heartbeat(kind="server", silence=30)  # it beats each second, nothing to answer
    limits = Limits(
        source="docs.cdp.coinbase.com, websocket overview and rate limits: 8 connections and 8 "
        "messages a second per address (kept by 8 connections of one message a second each); "
        "products per message or connection not published (100 assumed); public REST not "
        "published (10 a second is a third party's figure: half of it)",
        checked="2026-09-27",
        connections=8,
        subscriptions=100,
        messages=Rate(1),
        message_channels=100,
        attempts=Rate(8),
        rest=(Rate(5),),
    )

    def get_ws_url(self) -> str:
        return "wss://advanced-trade-ws.coinbase.com"

    def get_ws_supported_intervals(self) -> list[str]:
        return ["5m"]

    def opening(self, group: str = "") -> Generator[RestRequest, RestReply, Opening]:
        yield from ()
        return Opening(url=self.get_ws_url(), messages=(HEARTBEATS,))

    def channel(self, subscription: Subscription) -> str:
        return self._product(subscription.trading_pair)

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        if interval != "5m":
            raise UsageError(f"{self.name} has only 5m over WebSocket; {interval} is polled")
        return _candles_of([self._product(trading_pair)], "subscribe")

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        return [_candles_of(channels, "subscribe")]

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        return [_candles_of(channels, "unsubscribe")]

    def parse_ws_message(self, data: Any) -> Parsed:
        if not isinstance(data, dict):
            return None
        if data.get("channel") == "candles":
            return self._candles(data) or None
        if data.get("channel") == "subscriptions":
            return self._confirmed(data["events"])
        if data.get("type") == "error":
            return Refused(
                ": ".join(str(data[key]) for key in ("message", "reason") if key in data)
            )
        return None

    def _candles(self, frame: dict[str, Any]) -> list[CandleData]:
        at = frame.get("timestamp")
        event_time = None if at is None else milliseconds(datetime.fromisoformat(at))
        candles = [
            _candle(row, self._channel(row.get("product_id")), event_time)
            for event in frame["events"]
            for row in event["candles"]
        ]
        return candles if len(candles) < 2 else sorted(candles, key=attrgetter("timestamp"))

    def _channel(self, product: str | None) -> str | None:
        return None if product is None else self._product(product)

    def _confirmed(self, events: list[dict[str, Any]]) -> Confirmed | None:
        listed = [each for event in events for each in event["subscriptions"].get("candles", ())]
        channels = tuple(dict.fromkeys(map(self._product, listed)))
        return Confirmed(channels=channels, listing=True) if channels else None


class CoinbaseExchange(_Coinbase):
    """Exchange: the same books and candles, without a candle channel."""

    name = "coinbase_exchange"
    products = "https://api.exchange.coinbase.com/products"
    granularities = EXCHANGE
    limits = Limits(
        source="docs.cdp.coinbase.com, Exchange: 10 requests a second per address (its burst of 15 "
        "is left alone)",
        checked="2026-06-27",
        rest=(Rate(10),),
    )

    def get_ws_url(self) -> str:
        return ""

    def get_ws_supported_intervals(self) -> list[str]:
        return []

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        raise UsageError(f"{self.name} has no candles over WebSocket: all intervals are polled")

    def parse_ws_message(self, data: Any) -> Parsed:
        return None


def _candles_of(products: Sequence[str], what: str) -> dict[str, Any]:
    return {"type": what, "product_ids": list(products), "channel": "candles"}


def _within(data: Any, name: str) -> Any:
    """Advanced Trade wraps its lists in an object (an error is one without), Exchange does not."""
    return data[name] if isinstance(data, dict) else data


def _candle(row: Any, channel: str | None = None, event_time: int | None = None) -> CandleData:
    if isinstance(row, dict):
        opened, high, low, close = row["open"], row["high"], row["low"], row["close"]
        time, volume = row["start"], row["volume"]
    else:
        time, low, high, opened, close, volume = row
    return CandleData(
        time, opened, high, low, close, volume, channel=channel, event_time=event_time
    )


def _instrument(row: Mapping[str, Any]) -> Instrument:
    product = row.get("product_id") or row["id"]
    return Instrument(
        trading_pair=product,
        symbol=product,
        tradable=row["status"] == "online" and not row["trading_disabled"],
        status=row["status"],
        alias_of=row.get("alias") or None,
    )
