"""OKX v5: spot and perpetual swaps, linear and inverse.

* Candles come only on ``/ws/v5/business``; ``/public`` refuses them (since 2023).
* Codes without ``utc`` from 6H upwards (``candle1D``) open at UTC+8: we use the ``utc`` ones on
  both transports. ``mark-price-candle…`` and ``index-candle…`` have other rows: never read.
* Column 5 is base volume on spot, contracts on swaps, whose base volume is column 6; column 7 is
  quote volume on all. Rows of seven columns (before 2023) lack it, and the flag that closes.
* A request is confirmed arg by arg. An error names no arg: 60018 quotes it in its text, 60012
  belongs to the request id alone.
* We ping with the bare text ``ping``; the answer ``pong`` is no JSON either.
* REST cursors are the reverse of what their names say: ``after=T`` is older than T, ``before=T``
  newer, both exclude T. A refusal may come with HTTP 200. ``/candles`` has the latest 1440 rows and
  no 1s, ``/history-candles`` everything at half the rate (1s: three months).
* UNKNOWN: where weeks and bars of 2, 3 and 5 days begin (their grids are learned; 5d is not on
  REST); how many channels a connection bears (close codes 4008 and 4009; ours is a cautious
  number); which end wins when a window holds too many rows (never asked). ``3M`` is taken as
  quarters of the calendar, unproven. There is no 8h.

Sources: www.okx.com/docs-v5 as copied on 2026-06-27, ccxt 4.5.64, recordings in tests/wire/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from connectors.adapter import (
    Closing, Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused, RestRequest,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Envelope, Listing, PlainAdapter, Query, Spelling, codes, keys, no_object, oldest_first, parts,
)  # fmt: skip

# REST bars; the channel is "candle" and the bar (documentation, 2026-06)
BARS = codes(
    "1s 1m 3m 5m 15m 30m 1h=1H 2h=2H 4h=4H 6h=6Hutc 12h=12Hutc "
    "1d=1Dutc 2d=2Dutc 3d=3Dutc 5d=5Dutc 1w=1Wutc 1M=1Mutc 3M=3Mutc"
)
LATEST_ROWS = 1440  # reach of /market/candles, the running one included (2026-06)
HISTORY_WEIGHT = 2.0  # 20 in 2 s, /market/candles 40 in 2 s (2026-06); instruments 20, too

CLOSED = {"0": False, "1": True}
UPGRADE = "64008"  # 60 s before the connection is closed; on /business unproven
NAMED_IN_ERROR = re.compile(r"channel:([^,]+),instId:(\S+) doesn't exist", re.IGNORECASE)


class _Okx(PlainAdapter):
    ws_intervals = {interval: f"candle{bar}" for interval, bar in BARS.items()}
    anchors = {"2d": None, "3d": None, "5d": None, "1w": None}
    close_flag = True
    close_grace = 5.0  # a closing frame was recorded 3.4 s after the close (one source)
    quiet_bars = QuietBars(stream="sent", rest="sent")  # flat: documented, and recorded 2023-05
    limits = Limits(
        source="www.okx.com/docs-v5, WebSocket connect and candlesticks; see UNKNOWN above",
        checked="2026-06-27",
        subscriptions=300,  # UNKNOWN; their args stay far below 64 KB
        messages=Rate(5),  # nothing published: pings are not among the 480
        subscribes=Rate(480, 3600),  # subscribe, unsubscribe and login
        message_bytes=64_000,
        message_channels=100,
        attempts=Rate(3),
        rest=(Rate(40, 2),),
    )
    base_column: ClassVar[int]

    ws_url = "wss://ws.okx.com:8443/ws/v5/business"
    heartbeat = Heartbeat("message", every=20, silence=30)  # code 4004 after 30 s without data
    ping = "ping"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        args = [{"channel": name, "instId": symbol} for name, symbol in map(parts, channels)]
        return {"id": str(request_id), "op": verb, "args": args}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data, "pong")
        if "event" in data:
            return _event(data)
        if "arg" not in data and "data" not in data:
            return None
        arg = data["arg"]
        if not arg["channel"].startswith("candle"):
            return None
        return self._candles(data["data"], f"{arg['channel']}:{arg['instId']}")

    def _candles(self, rows: list[list[str]], channel: str | None = None) -> list[CandleData]:
        base, candles = self.base_column, []
        for row in rows:
            if type(row) is not list:
                raise TypeError(f"{row!r} instead of a row")
            if len(row) == 7:
                closed, quote = None, row[6] if base == 5 else None
            else:
                closed, quote = CLOSED[row[8]], row[7]
            figures = (int(row[0]), row[1], row[2], row[3], row[4], row[base], quote)
            candles.append(CandleData(*figures, channel=channel, closed=closed))
        return oldest_first(candles)

    rest_url = "https://www.okx.com/api/v5/market/candles"  # openapi.okx.com, too (2026-06)
    rest_intervals = {interval: bar for interval, bar in BARS.items() if interval != "5d"}
    rest_path = ("data",)
    # parameter error, unknown instId; rate limit, with HTTP 429, sometimes 200
    envelope = Envelope(keys("code", "msg"), ["0"], refused=["51000", "51001"], slow=["50011"])
    query = Query("instId", "bar", "before", "after", "limit", exclusive=True)
    page = 100  # the sources agree on no more for history
    reach = {"1s": 89 * 86_400}  # three months at the least (2026-06)

    def rest_request(
        self, trading_pair: str, interval: str, start: int, end: int, limit: int, now: float
    ) -> RestRequest:
        latest = super().rest_request(trading_pair, interval, start, end, limit, now)
        if interval != "1s" and start >= now - (LATEST_ROWS - 1) * self.step(interval):
            return latest
        url = self.rest_url.replace("candles", "history-candles")
        return replace(latest, url=url, weight=HISTORY_WEIGHT)

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        return self._candles([row])[0]

    listing = Listing(
        url="../public/instruments", params={"instType": "SPOT"}, weight=HISTORY_WEIGHT,
        rows=("data",), symbol="instId", base="baseCcy", quote="quoteCcy",
        status="state", live=["live"],
    )  # fmt: skip


def _event(data: dict[str, Any]) -> Parsed:
    event, request_id = data["event"], data.get("id")
    if event == "subscribe":
        arg = data["arg"]
        return Confirmed(request_id, (f"{arg['channel']}:{arg['instId']}",))
    if event == "unsubscribe":  # by id only: a channel named here must not count as accepted
        return Confirmed(request_id) if request_id else None
    reason = f"{data.get('msg')} (code {data.get('code')})"
    if event == "error":
        named = NAMED_IN_ERROR.findall(reason)
        return Refused(reason, request_id, tuple(f"{name}:{symbol}" for name, symbol in named))
    if event == "notice" and data.get("code") == UPGRADE:
        return Closing(reason)
    return None


class OkxSpot(_Okx):
    """OKX, spot."""

    name = "okx_spot"
    spelling = Spelling(separator="-")
    base_column = 5


class OkxPerpetual(_Okx):
    """OKX, perpetual swaps: ``BTC-USDT`` linear, ``BTC-USD`` inverse."""

    name = "okx_perpetual"
    spelling = Spelling(separator="-", suffix="-SWAP")
    base_column = 6
    listing = replace(_Okx.listing, params={"instType": "SWAP"}, base="")  # empty for swaps

    def instrument(self, row: Any) -> Instrument | None:
        size = float(row.get("ctVal") or 1) * float(row.get("ctMult") or 1)
        listed = self.listing.instrument(row, self.spelling)
        return listed and replace(listed, contract_size=size, inverse=row["ctType"] == "inverse")
