"""KuCoin: spot and perpetual futures, over the classic sockets that need a token.

What is odd here (KuCoin's docs of 2026-08, the venue probed live on 2026-09-22, its SDK 1.3.2,
recorded frames):

* A POST gives token, address and ping period for ONE connection; spot and futures tokens do not
  mix. Nothing may be sent before ``welcome``. Without our pings the server closes after 60 s,
  whatever data flows.
* An unknown futures symbol is acknowledged and stays silent (spot: UNKNOWN): check symbols by the
  instruments. Futures topics go with commas into one message; for spot no such form is known.
* Rows run open, CLOSE, high, low, but open, HIGH, LOW, CLOSE over futures REST. Spot REST is newest
  first, futures oldest first. A futures row may lack the turnover (six columns, before 2025).
* Futures count lots: base = lots x multiplier, so instruments are needed. On the stream the lots
  stand BEHIND the turnover, which in 2024 only repeated them: it counts where it differs.
* Inverse contracts (1 USD a lot) are listed but not served: nothing tells their base volume, and
  lots / price would invent one, off by up to the bar's range. Whether the multiplier of a scaled
  name (``10PEPEUSDTM``) counts scaled coins is UNKNOWN; the pair is named as the symbol is.
* No closed flag. A futures frame was recorded 20 s after its bar's end: 30 s of grace; spot's
  lateness is UNKNOWN, 5 s a guess. No snapshot after subscribing. ``add`` opens a bar and must not
  be dropped. Bars without trades are not sent, but spot sends the last one of a gap (flat, volume
  0) just before the next bar, which may be a whole step late.
* Spot weeks begin on THURSDAY. Futures weeks began on Monday in one frame of 2022 only: learned.
  Where months begin is not stated: taken as the calendar's (UTC).
* Futures 3m and 1M have no REST, so no repair; 6h is not there at all. Spot's 1M is polled: its
  channel rests on one source. Futures pages hold 500 (docs) or 200 (ccxt): 200 are asked.
* REST errors hide in HTTP 200 as ``code``; ``gw-ratelimit-reset`` says milliseconds. Only 400100 is
  known to be for good, another code is tried again. What is told above the limit of topics is
  UNKNOWN.
* The newer "UTA" sockets need no token. Their frames are read, too, but are not asked for; their
  ``S`` looks like a closed flag and is none.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import urlencode, urljoin

from connectors.adapter import (
    Closing, Confirmed, Heartbeat, Limits, Message, Opening, Parsed, QuietBars, Rate, Ready,
    Refused, RestReply, RestRequest,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, codes_in_minutes,
    in_seconds, keys, malformed, milliseconds_of, no_object,
)  # fmt: skip

# docs and SDK; spot 5m is missing in the docs' list of topics, but served (ccxt, SDK, an issue)
SPOT = codes(
    "1m=1min 3m=3min 5m=5min 15m=15min 30m=30min 1h=1hour 2h=2hour 4h=4hour 6h=6hour 8h=8hour "
    "12h=12hour 1d=1day 1w=1week 1M=1month"
)
UTA = Columns("O", "o", "h", "l", "c", "v", "a")


class _KuCoin(PlainAdapter):
    """What both markets have in common."""

    quiet_bars = QuietBars(stream="skipped", rest="skipped")
    heartbeat = Heartbeat("message", every=18, silence=60)  # pingInterval 18 s, once 50 s
    topic: ClassVar[str]
    limits = Limits(
        source="KuCoin docs, rate-limit-rule-classic of 2026-08: 100 messages in 10 s, weights 3 "
        "and 10 of 2000 in 30 s per address; older docs: 50 connections, 30 new ones a minute, 300 "
        "topics. What counts per address is halved: whether spot and futures count together is not "
        "stated",
        checked="2026-09-22", connections=25, subscriptions=300, messages=Rate(100, 10),
        attempts=Rate(15, 60), rest=(Rate(1000, 30),),
    )  # fmt: skip

    rest_path = ("data",)
    weight = 3.0
    envelope = Envelope(
        keys("code", "msg"), good=["200000"], refused=["400100"], slow=["429000"],
        wait=milliseconds_of("gw-ratelimit-reset"),
    )  # fmt: skip

    def opening(self, group: str = "") -> Generator[RestRequest, RestReply, Opening]:
        url = urljoin(self.rest_url, "/api/v1/bullet-public")
        reply = yield RestRequest(url=url, method="POST", weight=10)
        with malformed("the token", reply.body):
            told = reply.json()["data"]
            server = told["instanceServers"][0]
            name = sha256(told["token"].encode()).hexdigest()[:16]  # as unique as the token
            query = urlencode({"token": told["token"], "connectId": name})
            return Opening(
                url=f"{server['endpoint']}?{query}",
                ping_every=server["pingInterval"] / 1000,
                awaits_ready=True,
                expires=24 * 3600,
            )

    def ping_message(self, request_id: int, now: float) -> Message:
        return {"id": str(request_id), "type": "ping"}

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"{self.topic}{symbol}_{code}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        topic = self.topic + ",".join(name.removeprefix(self.topic) for name in channels)
        message = {"id": str(request_id), "type": verb, "topic": topic}
        return {**message, "privateChannel": False, "response": True}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        topic = data.get("topic")
        if topic is not None:
            return [self._candle(topic, data["data"])] if topic.startswith(self.topic) else None
        if "T" in data:
            return [self._uta_candle(data["d"], data["P"])] if "kline." in data["T"] else None
        return _answer(data)

    def _candle(self, topic: str, data: dict[str, Any]) -> CandleData:
        row = _row(data)
        figures = (int(row[0]), row[1], row[3], row[4], row[2], row[5], row[6])
        return CandleData(*figures, channel=topic, event_time=data.get("time"))

    def _uta_candle(self, bar: dict[str, Any], pushed: int | str) -> CandleData:
        channel = self.channel_of(bar["s"], bar["i"])
        return CandleData(*self._uta(bar), channel=channel, event_time=pushed)

    def _uta(self, bar: dict[str, Any]) -> tuple[Any, ...]:
        return UTA.read(bar)


def _row(data: dict[str, Any]) -> list[str]:
    row: list[str] = data["candles"]
    if type(row) is not list:
        raise TypeError(f"{row!r} instead of a row")
    return row


def _answer(data: dict[str, Any]) -> Parsed:
    """What is no data: greetings, pongs, and answers that name the request by its id."""
    kind, result, message = data.get("type"), data.get("result"), data.get("message")
    if kind == "welcome" or message == "welcome":
        return Ready()
    request_id = str(data["id"]) if "id" in data else None
    if kind == "ack" or result is True:
        return Confirmed(request_id=request_id)
    if kind == "error" and data.get("data") == "ping timeout":
        return Closing("ping timeout")
    if kind == "error":
        return Refused(f"{data.get('code')}: {data.get('data')}", request_id)
    if result is False:
        return Refused(message or data.get("reason") or "no reason was given", request_id)
    return None


class KuCoinSpot(_KuCoin):
    """Spot: volumes are base coins as they come."""

    name = "kucoin_spot"
    spelling = Spelling(separator="-")
    ws_url = "wss://ws-api-spot.kucoin.com/"  # not without a token: see opening
    ws_intervals = {interval: code for interval, code in SPOT.items() if interval != "1M"}
    topic = "/market/candles:"
    anchors = {"1w": 0}
    close_grace = 5.0

    rest_url = "https://api.kucoin.com/api/v1/market/candles"
    rest_intervals = SPOT
    rest_columns = Columns(0, 1, 3, 4, 2, 5, 6)
    # Whether a bar that opens at endAt is included is disputed; rest_request never asks so.
    query = Query("symbol", "type", "startAt", "endAt", time=in_seconds)
    page = 1500
    listing = Listing(  # its weight is UNKNOWN: high
        url="/api/v2/symbols", weight=10, rows=("data",), status="enableTrading", live=[True]
    )


class KuCoinPerpetual(_KuCoin):
    """Perpetual futures, those that are linear: volumes are lots of ``multiplier`` base coins."""

    name = "kucoin_perpetual"
    needs_instruments = True
    spelling = Spelling(suffix="M", renamed={"BTC": "XBT"})
    ws_url = "wss://ws-api-futures.kucoin.com/"
    ws_intervals = {interval: code for interval, code in SPOT.items() if interval != "6h"}
    topic = "/contractMarket/limitCandle:"
    anchors = {"1w": None}
    close_grace = 30.0
    limits = replace(_KuCoin.limits, message_channels=100)  # rate-limit-rule-classic, 2026-08

    rest_url = "https://api-futures.kucoin.com/api/v1/kline/query"
    rest_intervals = codes_in_minutes("1m 5m 15m 30m 1h 2h 4h 8h 12h 1d 1w")
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 6, shortest=6)  # six before 2025
    query = Query("symbol", "granularity", "from", "to")
    page = 200
    listing = Listing(url="/api/v1/contracts/active", weight=10, rows=("data",))

    def _candle(self, topic: str, data: dict[str, Any]) -> CandleData:
        row = _row(data)
        lots = float(row[6])
        volume = self.in_base(data["symbol"], lots)
        turnover = None if float(row[5]) == lots else row[5]
        figures = (int(row[0]), row[1], row[3], row[4], row[2], volume, turnover)
        return CandleData(*figures, channel=topic, event_time=data.get("time"))

    def _uta(self, bar: dict[str, Any]) -> tuple[Any, ...]:
        return self.with_base_volume(bar["s"], UTA.read(bar))

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        figures = self.rest_columns.read(row)
        return CandleData(*self.with_base_volume(self.asked_symbol(request), figures))

    def instrument(self, row: Any) -> Instrument | None:
        if row["type"] != "FFWCSX":
            return None
        symbol, quoted, inverse = row["symbol"], row["quoteCurrency"], row["isInverse"]
        return Instrument(
            trading_pair=self.spelling.joined(symbol.removesuffix(f"{quoted}M"), quoted),
            symbol=symbol,
            contract_size=abs(float(row["multiplier"])),
            inverse=inverse,
            tradable=row["status"] == "Open" and not inverse,
            status=row["status"],
            unsupported="its lots cannot be told in base coins (inverse)" if inverse else "",
        )
