"""dYdX v4, by its indexer: perpetuals.

* One channel a message, ``BTC-USD/1MIN``. It is confirmed by its history: up to 1000 candles,
  newest first; without any it is confirmed all the same. There are no ids of requests.
* An error names its channel in ``id``, in its text, or not at all: then it is that of the oldest
  channel that has no answer yet, which is remembered here.
* ``contents`` is one candle, or a list of them: some states of one candle perhaps, in order.
* No closed flag. The first block of an interval sends the old candle once more, then the new one,
  without trades, too. Where the chain halts there are none. How late a bar's last frame comes is
  UNKNOWN: 5 s are some blocks, a guess.
* The server pings (protocol) every 30 s and closes when a pong is missing for 10 s.
* REST: ``fromISO`` includes, ``toISO`` excludes; newest first, and the newest win. Retry-After is
  in MILLISECONDS.
* UNKNOWN: whether the servers have the limits of the published source, which are taken: of REST the
  general one, a tenth of that for candles.
* Not offered: tickers of permissionless markets that are no plain pair (with commas).

Sources: dydxprotocol/v4-chain of 2026-03-04 (indexer: socks, comlink, ender), ccxt 4.5.64,
recordings in tests/wire/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, in_iso, milliseconds_of,
    no_object, oldest_first,
)  # fmt: skip

CANDLES = "v4_candles"
NAMED = re.compile(rf"\({CANDLES}-(.+)\)")
PLAIN_PAIR = re.compile(r"[A-Z0-9._$]+-[A-Z0-9._$]+")


def _said(body: Any) -> tuple[Any, Any]:
    return "errors", str(body["errors"])


class DydxPerpetual(PlainAdapter):
    """dYdX v4, perpetuals: volumes are base coins and USD as they come."""

    name = "dydx_perpetual"
    spelling = Spelling(separator="-")
    ws_intervals = rest_intervals = codes(  # indexer source, 2026-03
        "1m=1MIN 5m=5MINS 15m=15MINS 30m=30MINS 1h=1HOUR 4h=4HOURS 1d=1DAY"
    )
    close_grace = 5.0
    quiet_bars = QuietBars(stream="sent", rest="sent")
    limits = Limits(
        source="v4-chain, indexer/services/socks and comlink, defaults: 32 subscriptions to "
        "candles a connection, twice a second for one of them; 100 requests in 10 s",
        checked="2026-03-04",
        subscriptions=32,
        rest=(Rate(100, 10),),
    )

    def __init__(self) -> None:
        super().__init__()
        self._unanswered: dict[str, None] = {}
        """Channels that were asked for and have no answer yet, the oldest first."""

    ws_url = "wss://indexer.dydx.trade/v4/ws"
    heartbeat = Heartbeat("server", every=30, silence=75)

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"{symbol}/{code}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        (channel,) = channels
        if verb == "subscribe":
            self._unanswered[channel] = None
        return {"type": verb, "channel": CANDLES, "id": channel}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        kind = data.get("type")
        if kind == "error":
            return self._refused(data)
        if data.get("channel") != CANDLES:
            return None
        if kind == "subscribed":
            channel = data["id"]
            self._unanswered.pop(channel, None)
            candles = self._candles(data["contents"]["candles"], channel)
            return candles or Confirmed(channels=(channel,))
        if kind in ("channel_data", "channel_batch_data"):
            contents = data["contents"]
            return self._candles(contents if type(contents) is list else [contents], data["id"])
        return None

    def _candles(self, rows: list[Any], channel: str) -> list[CandleData]:
        read = self.rest_columns.read
        return oldest_first([CandleData(*read(row), channel=channel) for row in rows])

    def _refused(self, data: dict[str, Any]) -> Parsed:
        reason = str(data["message"])
        named = NAMED.search(reason)
        channel = named[1] if named else data.get("id") or next(iter(self._unanswered), None)
        channels = () if channel is None else (channel,)
        self._unanswered.pop(channel or "", None)
        if "already subscribed" in reason:
            return Confirmed(channels=channels)
        return Refused(reason, channels=channels, limit="limit reached" in reason)

    rest_url = "https://indexer.dydx.trade/v4/candles/perpetualMarkets/{symbol}"
    query = Query("", "resolution", "fromISO", "toISO", "limit", time=in_iso)
    page = 1000
    envelope = Envelope(_said, wait=milliseconds_of("retry-after"))
    rest_path = ("candles",)
    rest_columns = Columns(
        "startedAt", "open", "high", "low", "close", "baseTokenVolume", "usdVolume", "trades"
    )
    listing = Listing(
        url="/v4/perpetualMarkets", rows=("markets",), symbol="ticker", status="status",
        live=["ACTIVE"],
    )  # fmt: skip

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        return super().get_rest_params(trading_pair, interval, start_time, end_time + 1, limit)

    def instrument(self, row: Any) -> Instrument | None:
        return super().instrument(row) if PLAIN_PAIR.fullmatch(row["ticker"].upper()) else None
