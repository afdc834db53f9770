"""MEXC: spot, and perpetual contracts, linear and margined in coin.

Spot:

* Candles are protobuf (binary), requests and answers JSON (text). ``unpack_frame`` reads the few
  fields that a candle has, by their numbers, and skips all others.
* A rejection has code 0, too: only its text tells, with the channel in brackets. Answers to a
  request without an id, and some rejections, bear the id 0, which names no request.
* How a message of several channels is answered is UNKNOWN: one channel a message. 30 a connection.
* REST wants both times and spells 1h as ``60m``. It gives 500 rows a request, though its docs say
  1000. Whether it has any older than the newest 500 is disputed: none are asked for, for rows that
  are not given would pass for bars without trades.
* Not offered: 8h. REST does not have it, so nothing could tell its last figures or fill a hole.

Contracts:

* One channel a message. A confirmation names neither contract nor interval: it belongs to the
  oldest request. A refusal names the contract in its text, and so refuses all its intervals.
* ``q`` counts contracts, base = q x contractSize. Margined in coin, contractSize is in quote units,
  so that gives the quote volume, and ``a`` is the base volume (it agrees with the recorded prices;
  held against them in each candle, for REST was never seen). The pair is named as the symbol is
  (``1000BONK-USDT``).
* Without ``interval`` an unsubscribe may end all of a contract's; it is sent, as ccxt does.
* ``o`` may continue the last close instead of the first trade, on the stream as over REST.
* REST has lists by column, seconds, the symbol in the path, and errors within HTTP 200. Whether
  bounds include is UNKNOWN: both are set a second beyond.

Both: nothing flags a close. UNKNOWN: where weeks begin (learned); whether days and months are cut
at UTC (clients take them so); bars without trades; how late a bar's last frame comes (5 s, a
guess); connections per address. Without our pings the server closes after 60 s.

Sources: mexcdevelop/apidocs of 2025, probes of 2026-09-15, ccxt 4.5.64 and hummingbot 2bfaccc
(numbers of fields), recordings in tests/wire/ (2021 to 2026-09).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from connectors.adapter import (
    BARRED, Closing, Confirmed, Heartbeat, Limits, Message, Parsed, Rate, Refused, RestAnswer,
    RestReply, RestRequest, RestSlowDown, RestUnavailable,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, in_seconds, keys, no_object,
    parts, rows_of_columns,
)  # fmt: skip

WRAPPER = {1: "channel", 5: "createTime", 6: "sendTime"}  # PushDataV3ApiWrapper
KLINE = 308  # its field of that name, PublicSpotKlineV3Api, with these:
FIELDS = {
    1: "interval", 2: "windowStart", 3: "openingPrice", 4: "closingPrice", 5: "highestPrice",
    6: "lowestPrice", 7: "volume", 8: "amount",
}  # fmt: skip
SIZES = {1: 8, 5: 4}  # of the kinds that do not tell theirs
IN_BRACKETS = re.compile(r"\[([^\]]+)\]")
CONTRACT = re.compile(r"Contract \[([^\]]+)\] not exists")
WILL_CLOSE = "close the channel"


@dataclass(frozen=True)
class _Envelope(Envelope):
    """A block of where we are has an ordinary code (0), and its HTTP status is UNKNOWN."""

    def trouble(self, reply: RestReply) -> RestAnswer | None:
        told = super().trouble(reply)
        if told is None or isinstance(told, RestSlowDown) or not BARRED.search(reply.body):
            return told
        return RestUnavailable(reply.body[:200].decode("utf-8", "replace"), blocked=True)


class _Mexc(PlainAdapter):
    ws_intervals = codes(  # docs 2025, ccxt
        "1m=Min1 5m=Min5 15m=Min15 30m=Min30 1h=Min60 4h=Hour4 8h=Hour8 1d=Day1 1w=Week1 1M=Month1"
    )
    anchors = {"1w": None}
    close_grace = 5.0
    heartbeat = Heartbeat("message", every=15, silence=60)


class MexcSpot(_Mexc):
    """MEXC, spot."""

    name = "mexc_spot"
    limits = Limits(
        source="mexcdevelop/apidocs, spot_v3_en: 500 of REST weight in 10 s for each endpoint",
        checked="2025-08", subscriptions=30, messages=Rate(100), lifetime=86_400,
        rest=(Rate(500, 10),),
    )  # fmt: skip
    ws_url = "wss://wbs-api.mexc.com/ws"
    ws_intervals = {ours: code for ours, code in _Mexc.ws_intervals.items() if ours != "8h"}
    verbs = ("SUBSCRIPTION", "UNSUBSCRIPTION")
    ping = {"method": "PING"}
    ws_columns = Columns(
        "windowStart", "openingPrice", "highestPrice", "lowestPrice", "closingPrice", "volume",
        "amount",
    )  # fmt: skip

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"spot@public.kline.v3.api.pb@{symbol}@{code}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        return {"method": verb, "params": list(channels), "id": request_id}

    def unpack_frame(self, frame: bytes) -> bytes:
        if frame[:1] == b"{":  # which begins no field that there is
            return frame
        told = dict(_fields(frame))
        unpacked: dict[str, Any] = _named(told, WRAPPER)
        if KLINE in told:
            unpacked["publicSpotKline"] = _named(dict(_fields(told[KLINE])), FIELDS)
        return orjson.dumps(unpacked)

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        channel = data.get("channel")
        if channel is None:
            return _answer(data)
        if ".kline." not in channel:
            return None
        figures = self.ws_columns.read(data["publicSpotKline"])
        at = data.get("sendTime") or data.get("createTime")
        return [CandleData(*figures, channel=channel, event_time=at)]

    rest_url = "https://api.mexc.com/api/v3/klines"
    rest_intervals = codes("1m 5m 15m 30m 1h=60m 4h 1d 1w=1W 1M")
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 7)
    query = Query("symbol", "interval", "startTime", "endTime", "limit")
    page = 500
    reach = dict.fromkeys(rest_intervals, 499)  # 500 with the running one (hummingbot 2bfaccc)
    envelope = _Envelope(keys("code", "msg"), refused=[-1121], slow=[-1003])
    listing = Listing(
        url="exchangeInfo", weight=10,  # UNKNOWN: high
        rows=("symbols",), base="baseAsset", quote="quoteAsset", status="status", live=["1", 1],
    )  # fmt: skip


def _answer(data: dict[str, Any]) -> Parsed:
    text, request_id = str(data.get("msg", "")), str(data.get("id") or "") or None
    if data.get("code") or text.startswith("Not "):
        named = IN_BRACKETS.search(text)
        return Refused(text, request_id, (named[1],) if named else ())
    return Confirmed(request_id, (text,)) if text.startswith("spot@") else None


def _named(told: Mapping[int, Any], names: Mapping[int, str]) -> dict[str, Any]:
    """The fields that have a name; text as text."""
    return {
        names[number]: value.decode() if isinstance(value, bytes) else value
        for number, value in told.items()
        if number in names
    }


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
        else:
            size, at = _varint(message, at) if kind == 2 else (SIZES[kind], at)
            yield number, message[at : at + size]
            at += size
    if at > len(message):
        raise ValueError("a protobuf message is cut off")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        number, at = number | (byte & 127) << shift, at + 1
        if byte < 128:
            return number, at
    raise ValueError("a number in a protobuf message has more than ten bytes")


class MexcPerpetual(_Mexc):
    """MEXC, perpetual contracts: ``BTC_USDT``; margined in coin ``BTC_USD``."""

    name = "mexc_perpetual"
    needs_instruments = True
    spelling = Spelling(separator="_")
    limits = Limits(
        source="no limits of sockets are published; 150 channels, 20 messages a second were taken "
        "on 2026-09-15. REST: mexcdevelop/apidocs, contract_v1_en",
        checked="2026-09", subscriptions=150, messages=Rate(20), rest=(Rate(20, 2),),
    )  # fmt: skip
    ws_url = "wss://contract.mexc.com/edge"
    verbs = ("sub.kline", "unsub.kline")
    ping = {"method": "ping"}
    ws_columns = Columns("t", "o", "h", "l", "c", "q", "a")

    def __init__(self) -> None:
        super().__init__()
        self._worth: dict[str, float] = {}

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        super().use_instruments(rows)
        self._worth = {row.symbol: row.contract_size for row in rows if row.inverse}

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        ((code, symbol),) = map(parts, channels)
        return {"method": verb, "param": {"symbol": symbol, "interval": code}}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        channel, told = str(data.get("channel")), data.get("data", {})
        if channel == "push.kline":
            symbol = told.get("symbol") or data["symbol"]
            figures = self._in_our_units(symbol, self.ws_columns.read(told))
            name = self.channel_of(symbol, told["interval"])
            return [CandleData(*figures, channel=name, event_time=data.get("ts"))]
        if channel.startswith(("rs.sub.", "rs.unsub.")) and told == "success":
            return Confirmed()
        return self._refusal(str(told)) if channel.startswith("rs.") else None

    def _refusal(self, text: str) -> Parsed:
        if WILL_CLOSE in text:
            return Closing(text)
        symbols = CONTRACT.findall(text)
        channels = [
            self.channel_of(it, code) for it in symbols for code in self.ws_intervals.values()
        ]
        return Refused(text, channels=tuple(channels))

    def _in_our_units(self, symbol: str, figures: tuple[Any, ...]) -> tuple[Any, ...]:
        """With volumes of ours; ValueError where the two that are sent contradict the prices."""
        worth = self._worth.get(symbol)
        if worth is None:
            return self.with_base_volume(symbol, figures)
        high, low, contracts, base = (float(figures[column]) for column in (2, 3, 5, 6))
        if not 0.99 * low * base <= contracts * worth <= 1.01 * high * base:
            raise ValueError(f"{symbol}: {contracts} contracts cannot be {base} base coins")
        return (*figures[:5], base, contracts * worth)

    rest_url = "https://api.mexc.com/api/v1/contract/kline/{symbol}"
    rest_intervals = _Mexc.ws_intervals
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 6)
    query = Query("", "interval", "start", "end", time=in_seconds, exclusive=True)
    page = 1998  # of 2000, for bounds may include
    envelope = _Envelope(keys("code", "message"), good=[0], refused=[1001, 600], slow=[510])

    def rest_rows(self, data: Any) -> Sequence[Any]:
        return rows_of_columns(
            data["data"], "time", "open", "high", "low", "close", "vol", "amount"
        )

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        figures = self.rest_columns.read(row)
        return CandleData(*self._in_our_units(self.asked_symbol(request), figures))

    listing = Listing(
        url="/api/v1/contract/detail", weight=2, rows=("data",), status="state", live=[0, "0"],
        size="contractSize",
    )  # fmt: skip

    def instrument(self, row: Any) -> Instrument | None:
        listed = super().instrument(row)
        return listed and replace(listed, inverse=row["settleCoin"] == row["baseCoin"])
