"""Gate v4: spot and USDT-settled perpetuals.

* Spot ``v`` is QUOTE volume and ``a`` base (frames without ``a``, before 2022, are no candles).
  Perpetuals count contracts in ``v``: base is ``v`` times ``quanto_multiplier``, so instruments are
  needed; what their ``a`` means is UNKNOWN, it is not read.
* The result is an object on spot, an array on perpetuals, with two bars at the turn perhaps. ``n``
  is interval and pair, cut at the FIRST underscore.
* ``w`` closes a bar on spot. On perpetuals one source has it: believed where it comes, not awaited.
* One interval and pair a message: a nested list is acknowledged and stays silent. An answer repeats
  the payload and, where one was sent, the id; answers of 2021 have neither. ``Alert sub`` says that
  a channel is subscribed already.
* A quiet bar is first pushed with the last close as its prices; its first trade REPLACES the open.
* The channels of ``2h 12h 1M`` are in no list: polled. Spot REST has no 6h and 12h.
* REST refuses ``from``, ``to`` and ``limit`` together: no limit is sent. Spot rows run time, quote
  volume, CLOSE, high, low, OPEN, base volume, closed. Errors are told by ``label``.
* UNKNOWN: where ``7d`` begins (the sources say Thursday and Monday: learned); whether bars without
  trades are all sent; how late a bar's last frame comes (pushed every 2 s: 5 s is a guess); all
  limits of the socket; how far history of perpetuals reaches (no further than was seen).
* Not offered: dated and inverse contracts, other settle currencies.

Sources: gate.com docs by gate_api 7.2.161, a venue probe of 2026-09-15, field notes of 2026-10-02,
ccxt 4.5.64, recordings in tests/wire/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from connectors.adapter import (
    Closing, Confirmed, Heartbeat, Limits, Message, Parsed, Rate, Refused, RestAnswer, RestReply,
    RestRequest, RestUnavailable,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, in_seconds, keys, no_object,
    oldest_first,
)  # fmt: skip

STREAMED = "10s 1m 5m 15m 30m 1h 4h 8h 1d 1w=7d"  # docs, 2026
CLOSED = {None: None, True: True, False: False, "true": True, "false": False}
SUBSCRIBED_ALREADY = "Alert sub"
GEOGRAPHIC = "IP_FORBIDDEN"  # one source


class _Gate(PlainAdapter):
    spelling = Spelling(separator="_")
    anchors = {"1w": None}
    close_grace = 5.0
    limits = Limits(
        source="a probe had 150 streams on a connection, asked for in one burst (nothing is "
        "published); 200 requests in 10 s per endpoint and address",
        checked="2026-10",
        subscriptions=100,
        messages=Rate(10),
        rest=(Rate(200, 10),),
    )
    market: ClassVar[str]
    ws_intervals = codes(STREAMED)
    heartbeat = Heartbeat("message", every=12, silence=40)  # asked for every 10 to 15 s
    ws_columns: ClassVar[Columns]

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"{code}_{symbol}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        message = {"channel": f"{self.market}.candlesticks", "payload": channels[0].split("_", 1)}
        return {"time": int(now), "id": request_id, "event": verb, **message}

    def ping_message(self, request_id: int, now: float) -> Message:
        return {"time": int(now), "channel": f"{self.market}.ping"}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        channel, event = data.get("channel"), data.get("event")
        candlesticks = channel == f"{self.market}.candlesticks"
        if event in self.verbs:
            return _answer(data, candlesticks=candlesticks)
        if candlesticks and event == "update":
            result, at = data["result"], data.get("time_ms") or None
            rows = result if type(result) is list else [result]
            return oldest_first([self._candle(row, at) for row in rows])
        if channel == f"{self.market}.system" and data["result"]["type"] == "upgrade":
            return Closing(str(data["result"]))
        return None

    def _candle(self, row: dict[str, Any], at: int | None) -> CandleData:
        figures, closed = self._figures(row), CLOSED[row.get("w")]
        return CandleData(*figures, channel=row["n"], closed=closed, event_time=at)

    def _figures(self, row: dict[str, Any]) -> Sequence[Any]:
        return self.ws_columns.read(row)

    envelope = Envelope(
        keys("label", "message"),
        refused=["INVALID_CURRENCY", "INVALID_PARAM_VALUE"],
        slow=["TOO_MANY_REQUESTS"],
    )

    def read_rest_reply(self, reply: RestReply, request: RestRequest) -> RestAnswer:
        answer = super().read_rest_reply(reply, request)
        if isinstance(answer, RestUnavailable) and GEOGRAPHIC in answer.reason:
            return replace(answer, blocked=True)
        return answer


def _answer(data: dict[str, Any], *, candlesticks: bool) -> Parsed:
    request_id = None if data.get("id") is None else str(data["id"])
    payload = data.get("payload")
    channels = ("_".join(payload),) if candlesticks and payload else ()
    error, result = data.get("error"), data.get("result") or {}
    if error or result.get("status") == "fail":
        reason = f"{error['message']} (code {error.get('code')})" if error else str(result)
        if candlesticks and SUBSCRIBED_ALREADY in reason:
            return Confirmed(request_id, channels)
        return Refused(reason, request_id, channels)
    if data["event"] == "unsubscribe":  # by id only: the channel was not accepted
        return Confirmed(request_id) if request_id else None
    return Confirmed(request_id, channels) if candlesticks else None


class GateSpot(_Gate):
    """Gate, spot: base and quote volume as they come."""

    name = "gate_spot"
    market = "spot"
    close_flag = True
    ws_url = "wss://api.gateio.ws/ws/v4/"
    ws_columns = Columns("t", "o", "h", "l", "c", "a", "v")

    rest_url = "https://api.gateio.ws/api/v4/spot/candlesticks"
    rest_intervals = codes(f"{STREAMED} 2h 1M=30d")  # 30d is the calendar month
    query = Query("currency_pair", "interval", "from", "to", time=in_seconds)
    page = 999  # of 1000
    reach = dict.fromkeys(rest_intervals, 9999)  # "Maximum 10000 points ago are allowed"
    rest_columns = Columns(0, 5, 3, 4, 2, 6, 1)
    listing = Listing(
        url="currency_pairs", symbol="id", base="base", quote="quote", status="trade_status",
        live=["tradable"],
    )  # fmt: skip

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        closed = CLOSED[row[7] if len(row) > 7 else None]  # rows of 2023 lack it
        return CandleData(*self.rest_columns.read(row), closed=closed)


class GatePerpetual(_Gate):
    """Gate, perpetuals settled in USDT: volumes are contracts of ``quanto_multiplier`` coins."""

    name = "gate_perpetual"
    market = "futures"
    needs_instruments = True
    ws_url = "wss://fx-ws.gateio.ws/v4/ws/usdt"
    ws_columns = Columns("t", "o", "h", "l", "c", "v")

    rest_url = "https://api.gateio.ws/api/v4/futures/usdt/candlesticks"
    rest_intervals = codes(f"{STREAMED} 2h 6h 12h 1M=30d")  # field notes, 2026-10
    query = Query("contract", "interval", "from", "to", time=in_seconds)
    page = 1000  # of 2000
    reach = {  # seen in 2026-10: 15m, 1h, 4h, 1d; the others no deeper than these
        **dict.fromkeys(rest_intervals, 5000),
        "15m": 8000, "1h": 9000, "8h": 4500, "12h": 3000, "1d": 1500, "1w": 200, "1M": 48,
    }  # fmt: skip
    rest_columns = Columns("t", "o", "h", "l", "c", "v", "sum")
    listing = Listing(url="contracts", symbol="name", size="quanto_multiplier")

    def _figures(self, row: dict[str, Any]) -> Sequence[Any]:
        return self.with_base_volume(row["n"].split("_", 1)[1], self.ws_columns.read(row))

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        figures = self.rest_columns.read(row)
        return CandleData(*self.with_base_volume(self.asked_symbol(request), figures))

    def instrument(self, row: Any) -> Instrument | None:
        listed = super().instrument(row)
        if listed is None or row.get("type", "direct") != "direct" or not listed.contract_size:
            return None  # an inverse contract
        status = "in delisting" if row["in_delisting"] else row.get("status", "trading")
        return replace(listed, tradable=status == "trading", status=status)
