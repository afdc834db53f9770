"""BitMEX: perpetuals, inverse, linear and quanto alike.

* ``timestamp`` is the CLOSE of a bin: it opens an interval earlier. Bounds of REST compare with the
  close, too, and include; one bar too many is asked for at the beginning.
* ``open`` is the close of the bin before and may lie outside of low and high (recorded). It is
  published as sent: clients that widen or drop it do not agree.
* ``volume`` counts contracts of many kinds; ``homeNotional`` is base, ``foreignNotional`` quote, of
  every kind (computed for quantos, with long tails).
* Only closed bins are sent, each once, soon after the turn: so whatever comes is closed. The first
  frame, ``partial``, has the last closed one. How late they come is UNKNOWN: 5 s is a guess.
* An error quotes the whole request and names its topic in words at best; there are no ids. Where
  the words fit several topics, none is named, and the request is split.
* We ping with the bare text ``ping``; the answer ``pong`` is no JSON either.
* Bins without trades are in REST (average price null); on the stream by one source.
* UNKNOWN: what an unknown symbol is told; topics a connection, messages a second, connections a
  day (a bucket of about 40 was seen, 20 an hour announced in 2017): cautious numbers.
* Not offered: spot, dated contracts, a second contract of the same pair (``ETHUSD_ETH``).

Sources: the API's pages by ccxt 4.5.64, nautilus_trader and bitmexr, blog.bitmex.com of 2017-09,
recordings of 2019-07 to 2023-03 in tests/wire/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused, RestRequest,
)  # fmt: skip
from connectors.model import CandleData, Instrument, Interval, milliseconds
from connectors.plain import (
    Columns, Listing, PlainAdapter, Query, Spelling, codes, in_iso, no_object, oldest_first,
)  # fmt: skip

BINS = codes("1m 5m 1h 1d")  # no other, stream and REST
SECONDS = {f"tradeBin{code}": Interval.parse(code).seconds for code in BINS}
SLOW = 429


class BitmexPerpetual(PlainAdapter):
    """BitMEX, perpetuals: volumes are base coins, whatever a contract is."""

    name = "bitmex_perpetual"
    spelling = Spelling(renamed={"BTC": "XBT"})
    ws_intervals = rest_intervals = BINS
    close_flag = True
    close_grace = 5.0
    quiet_bars = QuietBars(stream="unknown", rest="sent")
    limits = Limits(
        source="30 requests a minute without login (API pages); the rest see UNKNOWN above",
        checked="2026-09",
        subscriptions=200,
        messages=Rate(1),
        message_channels=20,
        attempts=Rate(30, 3600),
        rest=(Rate(30, 60),),
    )

    ws_url = "wss://ws.bitmex.com/realtime"
    heartbeat = Heartbeat("message", every=15, silence=45)
    ping = "ping"

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"tradeBin{code}:{symbol}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        return {"op": verb, "args": list(channels)}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data, "pong")
        if "table" in data:
            return self._candles(data["table"], data["action"], data["data"])
        if "error" in data:
            return _refused(data)
        if data.get("success") and "subscribe" in data:  # an unsubscribe is told by no id: noise
            return Confirmed(channels=(data["subscribe"],))
        return None

    def _candles(self, table: str, action: str, rows: list[dict[str, Any]]) -> Parsed:
        if not table.startswith("tradeBin") or action == "delete":
            return None
        seconds, candles = SECONDS[table], []
        for row in rows:
            channel = f"{table}:{row['symbol']}"
            candles.append(CandleData(*self._figures(row, seconds), channel=channel, closed=True))
        return oldest_first(candles)

    def _figures(self, row: dict[str, Any], seconds: int) -> tuple[Any, ...]:
        closes, *figures = self.rest_columns.read(row)
        return milliseconds(closes) // 1000 - seconds, *figures

    rest_url = "https://www.bitmex.com/api/v1/trade/bucketed"
    query = Query(
        "symbol", "binSize", "startTime", "endTime", time=in_iso,
        fixed={"count": 1000, "reverse": "false", "partial": "false"},
    )  # fmt: skip
    page = 999  # of 1000 (docs of three clients), for the one too many
    rest_columns = Columns(
        "timestamp", "open", "high", "low", "close", "homeNotional", "foreignNotional", "trades"
    )
    listing = Listing(
        url="../instrument/active", status="state", live=["Open"], only={"typ": ["FFWCSX"]},
        base="underlying", quote="quoteCurrency",
    )  # fmt: skip

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        closes = end_time + self.step(interval)
        return super().get_rest_params(trading_pair, interval, start_time, closes, limit)

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        if request is None:
            raise ValueError(
                "rows tell the close of a bar, not its interval: give the request, too"
            )
        return CandleData(*self._figures(row, self.step(request.interval)))

    def instrument(self, row: Any) -> Instrument | None:
        if not row["symbol"].endswith(row["quoteCurrency"]):
            return None
        return super().instrument(
            {**row, "underlying": row["symbol"][: -len(row["quoteCurrency"])]}
        )


def _refused(data: dict[str, Any]) -> Refused:
    """The one topic that the text names; where we are too fast, all of the request."""
    reason, args = str(data["error"]), (data.get("request") or {}).get("args") or []
    topics = [args] if isinstance(args, str) else args
    if data.get("status") == SLOW:
        return Refused(reason, channels=tuple(topics))
    words = set(re.findall(r"\w+", reason))
    fits = {topic: len(words & set(topic.split(":"))) for topic in topics}
    best = [topic for topic in fits if fits[topic] == max(fits.values())]
    return Refused(reason, channels=tuple(best) if len(best) == 1 else ())
