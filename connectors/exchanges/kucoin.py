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

from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from operator import attrgetter
from typing import Any, ClassVar
from urllib.parse import urlencode

from connectors.adapter import (
    Closing,
    Confirmed,
    ExchangeAdapter,
    Heartbeat,
    Limits,
    Message,
    Opening,
    Parsed,
    QuietBars,
    Rate,
    Ready,
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

# docs and SDK; spot 5m is missing in the docs' list of topics, but served (ccxt, SDK, an issue)
SPOT = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M")
FUTURES = tuple(interval for interval in SPOT if interval != "6h")
UNITS = {"m": "min", "h": "hour", "d": "day", "w": "week", "M": "month"}

CANDLES, TOKEN, LISTING = 3.0, 10.0, 10.0  # REST weights; that of the listing is UNKNOWN: high
OK, WRONG, TOO_MANY = "200000", "400100", "429000"

LIMITS = Limits(
    source="KuCoin docs, rate-limit-rule-classic of 2026-08: 100 messages in 10 s, weights 3 and "
    "10 of 2000 in 30 s per address; older docs: 50 connections, 30 new ones a minute, 300 topics. "
    "What counts per address is halved: whether spot and futures count together is not stated",
    checked="2026-09-22",
    connections=25,
    subscriptions=300,
    messages=Rate(100, 10),
    attempts=Rate(15, 60),
    rest=(Rate(1000, 30),),
)


class _KuCoin(ExchangeAdapter):
    """What both markets have in common."""

    heartbeat = Heartbeat(kind="message", every=18, silence=60)  # pingInterval 18 s, once 50 s
    quiet_bars = QuietBars(stream="skipped", rest="skipped")
    intervals: ClassVar[tuple[str, ...]]
    ws: ClassVar[str]
    api: ClassVar[str]
    topic: ClassVar[str]

    def get_supported_intervals(self) -> dict[str, int]:
        return {interval: Interval.parse(interval).seconds for interval in self.intervals}

    def get_ws_url(self) -> str:
        return self.ws  # not without a token: see opening

    def opening(self, group: str = "") -> Generator[RestRequest, RestReply, Opening]:
        url = f"{self.api}/api/v1/bullet-public"
        reply = yield RestRequest(url=url, method="POST", weight=TOKEN)
        with _reading(reply):
            told = _data(reply.json())
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

    def channel(self, subscription: Subscription) -> str:
        symbol = self.get_trading_pair_format(subscription.trading_pair)
        return f"{self.topic}{symbol}_{_code(subscription.interval)}"

    def get_ws_subscription_payload(self, trading_pair: str, interval: str) -> dict[str, Any]:
        return _about("subscribe", self.channel(Subscription(self.name, trading_pair, interval)), 1)

    def subscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        return [_about("subscribe", topic, request_id) for topic in self._joined(channels)]

    def unsubscribe_messages(
        self, channels: Sequence[str], request_id: int, now: float
    ) -> list[Message]:
        return [_about("unsubscribe", topic, request_id) for topic in self._joined(channels)]

    def _joined(self, channels: Sequence[str]) -> Iterator[str]:
        names = [channel.removeprefix(self.topic) for channel in channels]
        size = self.limits.message_channels
        for start in range(0, len(names), size):
            yield self.topic + ",".join(names[start : start + size])

    def parse_ws_message(self, data: Any) -> Parsed:
        if not isinstance(data, dict):
            return None
        topic = data.get("topic")
        if topic is not None:
            return [self._candle(topic, data["data"])] if topic.startswith(self.topic) else None
        if "T" in data:
            return [self._uta_candle(data["P"], data["d"])] if "kline." in data["T"] else None
        return _answer(data)

    @abstractmethod
    def _candle(self, topic: str | None, data: dict[str, Any]) -> CandleData:
        """A row of the classic socket."""

    def _uta_candle(self, pushed: int | str, bar: dict[str, Any]) -> CandleData:
        o, h, low, c = bar["o"], bar["h"], bar["l"], bar["c"]
        volume, channel = self._volume(bar["s"], bar["v"]), f"{self.topic}{bar['s']}_{bar['i']}"
        return CandleData(
            bar["O"], o, h, low, c, volume, bar["a"], channel=channel, event_time=pushed
        )

    def _volume(self, symbol: str, told: float | str) -> float | str:
        return told

    def rest_weight(self, limit: int) -> float:
        return CANDLES

    def read_rest_reply(self, reply: RestReply, request: RestRequest) -> RestAnswer:
        if reply.status not in (200, 429):
            return answer_of_status(reply)
        with _reading(reply):
            body = reply.json() if reply.status == 200 else {"code": TOO_MANY}
            if body["code"] == OK:
                return Rows(self.parse_rest_response(body, request))
        reason = reply.body[:200].decode("utf-8", "replace")
        if body["code"] == TOO_MANY:
            return RestSlowDown(reason, _reset(reply))
        return RestRefused(reason) if body["code"] == WRONG else RestUnavailable(reason)


class KuCoinSpot(_KuCoin):
    """Spot: volumes are base coins as they come."""

    name = "kucoin_spot"
    intervals = SPOT
    ws = "wss://ws-api-spot.kucoin.com/"
    api = "https://api.kucoin.com"
    topic = "/market/candles:"
    limits = LIMITS
    close_grace = 5.0

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return trading_pair

    def get_ws_supported_intervals(self) -> list[str]:
        return [interval for interval in SPOT if interval != "1M"]

    def grid(self, interval: str) -> Grid:
        return Grid(604_800, 0) if interval == "1w" else grid_of(interval)

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        reply = yield RestRequest(url=f"{self.api}/api/v2/symbols", weight=LISTING)
        with _reading(reply):
            return [
                Instrument(row["symbol"], row["symbol"], tradable=row["enableTrading"])
                for row in _data(reply.json())
            ]

    def _candle(self, topic: str | None, data: dict[str, Any]) -> CandleData:
        row, time = data["candles"], data.get("time")
        return CandleData(
            int(row[0]) * 1000, row[1], row[3], row[4], row[2], row[5], row[6],
            channel=topic, event_time=time,
        )  # fmt: skip

    def get_rest_url(self) -> str:
        return f"{self.api}/api/v1/market/candles"

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        # whether a bar opening at endAt is included is disputed; rest_request never asks so
        bounds = {"startAt": max(0, start_time), "endAt": end_time}
        return {"symbol": trading_pair, "type": _code(interval), **bounds}

    def rest_pages(self, interval: str) -> RestPages:
        return RestPages(limit=1500)

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        with _reading(data):
            candles = [self._candle(None, {"candles": row}) for row in _data(data)]
        return sorted(candles, key=attrgetter("timestamp"))


class KuCoinPerpetual(_KuCoin):
    """Perpetual futures, those that are linear: volumes are lots of ``multiplier`` base coins."""

    name = "kucoin_perpetual"
    intervals = FUTURES
    ws = "wss://ws-api-futures.kucoin.com/"
    api = "https://api-futures.kucoin.com"
    topic = "/contractMarket/limitCandle:"
    limits = replace(LIMITS, message_channels=100)  # rate-limit-rule-classic, 2026-08
    close_grace = 30.0
    needs_instruments = True

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return self._symbols.get(trading_pair) or _plain_symbol(trading_pair)

    def get_ws_supported_intervals(self) -> list[str]:
        return list(FUTURES)

    def get_rest_supported_intervals(self) -> list[str]:
        return [interval for interval in FUTURES if interval not in ("3m", "1M")]

    def grid(self, interval: str) -> Grid:
        return Grid(604_800, None) if interval == "1w" else grid_of(interval)

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        reply = yield RestRequest(url=f"{self.api}/api/v1/contracts/active", weight=LISTING)
        with _reading(reply):
            return [_contract(row) for row in _data(reply.json()) if row["type"] == "FFWCSX"]

    def use_instruments(self, rows: Sequence[Instrument]) -> None:
        self._symbols = {row.trading_pair: row.symbol for row in rows}
        # as a ratio: lots * 1 / 1000 is the nearest double, lots * 0.001 is often its neighbour
        self._sizes = {
            row.symbol: Fraction(str(row.contract_size)).as_integer_ratio()
            for row in rows
            if not row.inverse
        }

    def _volume(self, symbol: str, told: float | str) -> float:
        size = self._sizes.get(symbol)
        if size is None:
            raise ValueError(f"no lot of {symbol} can be told in base coins")
        return float(told) * size[0] / size[1]

    def _candle(self, topic: str | None, data: dict[str, Any]) -> CandleData:
        row = data["candles"]
        lots = float(row[6])
        volume = self._volume(data["symbol"], lots)
        turnover = None if float(row[5]) == lots else row[5]
        return CandleData(
            int(row[0]) * 1000, row[1], row[3], row[4], row[2], volume, turnover,
            channel=topic, event_time=data.get("time"),
        )  # fmt: skip

    def get_rest_url(self) -> str:
        return f"{self.api}/api/v1/kline/query"

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        symbol, minutes = self.get_trading_pair_format(trading_pair), self.step(interval) // 60
        bounds = {"from": max(0, start_time) * 1000, "to": end_time * 1000}
        return {"symbol": symbol, "granularity": minutes, **bounds}

    def rest_pages(self, interval: str) -> RestPages:
        return RestPages(limit=200)

    def parse_rest_response(
        self, data: Any, request: RestRequest | None = None
    ) -> list[CandleData]:
        if request is None:
            raise ValueError("rows do not say of which contract they are: pass the request")
        symbol = self.get_trading_pair_format(request.trading_pair)
        with _reading(data):
            candles = [self._rest_candle(symbol, row) for row in _data(data)]
        return sorted(candles, key=attrgetter("timestamp"))

    def _rest_candle(self, symbol: str, row: list[float]) -> CandleData:
        time, opened, high, low, close, lots = row[:6]
        turnover = row[6] if len(row) > 6 else None
        return CandleData(time, opened, high, low, close, self._volume(symbol, lots), turnover)


def _code(interval: str) -> str:
    """``1h`` -> ``1hour``."""
    number, unit = Interval.parse(interval)
    return f"{number}{UNITS[unit]}"


def _about(what: str, topic: str, request_id: int) -> dict[str, Any]:
    message = {"id": str(request_id), "type": what, "topic": topic}
    return {**message, "privateChannel": False, "response": True}


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


def _plain_symbol(trading_pair: str) -> str:
    base, quote = trading_pair.split("-")
    return f"{'XBT' if base == 'BTC' else base}{quote}M"


def _contract(row: dict[str, Any]) -> Instrument:
    base = row["symbol"].removesuffix(f"{row['quoteCurrency']}M")
    return Instrument(
        trading_pair=f"{'BTC' if base == 'XBT' else base}-{row['quoteCurrency']}",
        symbol=row["symbol"],
        contract_size=abs(float(row["multiplier"])),
        inverse=row["isInverse"],
        tradable=row["status"] == "Open" and not row["isInverse"],
        status=row["status"],
        unsupported="its lots cannot be told in base coins (inverse)" if row["isInverse"] else "",
    )


def _data(body: dict[str, Any]) -> Any:
    if body["code"] != OK:
        raise ValueError(f"KuCoin says {body['code']}: {body.get('msg')}")
    return body["data"]


def _reset(reply: RestReply) -> float | None:
    """Seconds until the limit is reset; the header says milliseconds."""
    told = reply.headers.get("gw-ratelimit-reset", "")
    return int(told) / 1000 if told.isdigit() else retry_after(reply.headers)


@contextmanager
def _reading(what: Any) -> Iterator[None]:
    """Whatever is missing or of another shape makes it unreadable: ValueError."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"this cannot be read: {str(what)[:300]}") from error
