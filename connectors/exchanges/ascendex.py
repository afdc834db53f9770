"""AscendEX (once BitMax): spot and USDT-settled perpetuals. PRESUMABLY DEAD.

* Withdrawals stalled in 2026-06, and ccxt removed the exchange in 2026-07 (PR 29079): whether the
  API still answers is UNKNOWN. What follows was true before.
* Code ``1`` is one minute, ``1m`` one MONTH.
* The docs call ``v`` quote volume, but all samples can only be base: it is base, and there is no
  quote volume.
* ``BTC-USDT`` is ``BTC/USDT`` on spot and ``BTC-PERP`` among perpetuals.
* The server pings with ``hp``, which counts down to a disconnect; we answer, and ping ourselves.
* No closed flag, no history after subscribing. How late a bar's last frame comes is UNKNOWN: 5 s is
  a guess.
* REST bounds are open times and include; of more than 500 bars the newest come; errors have a
  ``code`` other than 0, whatever the status. Which codes mean what is UNKNOWN: asked again.
* UNKNOWN: what bars without trades become; where weeks begin (learned; months on the 1st); the
  frame of a refusal; all limits but a doubtful one of REST, which is kept. A comma list of symbols
  in one message rests on one source: each is subscribed by itself.

Sources: ascendex-pro-api and ascendex-futures-pro-api-v2 docs, ccxt 4.5.37 (the last to have it,
before 2026-07), recordings of 2021 in tests/wire/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.adapter import (
    Closing, Confirmed, Heartbeat, Limits, Message, Parsed, Rate, Refused, RestRequest,
    WSJSONRequest,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, no_object,
)  # fmt: skip

PERPETUAL = "-PERP"
NORMAL = "Normal"


def _said(body: Any) -> tuple[Any, Any]:
    told = (body.get(key) for key in ("reason", "message", "info"))
    return body["code"], ": ".join(str(each) for each in told if each)


class _AscendEx(PlainAdapter):
    verbs = ("sub", "unsub")
    ws_intervals = rest_intervals = codes(  # barhist/info, docs
        "1m=1 5m=5 15m=15 30m=30 1h=60 2h=120 4h=240 6h=360 12h=720 1d=1d 1w=1w 1M=1m"
    )
    anchors = {"1w": None}
    close_grace = 5.0
    limits = Limits(
        source="ccxt 4.5.37: 8 requests a minute (doubtful); of the socket nothing is known",
        checked="2026-07",
        subscriptions=50,
        rest=(Rate(8, 60),),
    )

    heartbeat = Heartbeat("message", every=15, silence=45)  # every 15 to 30 s (docs)
    ping = {"op": "ping"}

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"bar:{code}:{symbol}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        (channel,) = channels
        return {"op": verb, "id": str(request_id), "ch": channel}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        match data.get("m"):
            case "bar":
                channel = self.channel_of(data["s"], data["data"]["i"])
                return [CandleData(*self.rest_columns.read(data["data"]), channel=channel)]
            case "ping":
                return WSJSONRequest({"op": "pong"})
            case "disconnected":
                return Closing(_said(data)[1])
        return _answer(data)

    rest_url = "https://ascendex.com/api/pro/v1/barhist"
    query = Query("symbol", "interval", "from", "to")
    page = 500
    envelope = Envelope(_said, good=[0])
    rest_path = ("data",)
    rest_columns = Columns("ts", "o", "h", "l", "c", "v")
    listing = Listing(url="cash/products", rows=("data",))

    def rest_candle(self, row: Any, request: RestRequest | None) -> CandleData:
        return super().rest_candle(row["data"], request)

    def instrument(self, row: Any) -> Instrument | None:
        listed = super().instrument(row)
        status = row.get("statusCode") or row.get("status") or NORMAL
        return listed and replace(listed, tradable=status == NORMAL, status=status)


def _answer(data: dict[str, Any]) -> Parsed:
    request_id = None if data.get("id") is None else str(data["id"])
    code, channel = data.get("code"), data.get("ch")
    channels = (channel,) if channel else ()
    if code:
        reason = _said(data)[1] or "no reason was given"
        return Refused(f"{reason} (code {code})", request_id, channels)
    if data.get("m") == "sub" and code == 0:
        return Confirmed(request_id, channels)
    if data.get("m") == "unsub" and request_id:  # by id only: the channel was not accepted
        return Confirmed(request_id)
    return None


class AscendExSpot(_AscendEx):
    """AscendEX, spot: presumably dead."""

    name = "ascendex_spot"
    spelling = Spelling(separator="/")
    ws_url = "wss://ascendex.com/0/api/pro/v1/stream"


class AscendExPerpetual(_AscendEx):
    """AscendEX, perpetuals settled in USDT: presumably dead."""

    name = "ascendex_perpetual"
    ws_url = "wss://ascendex.com:443/api/pro/v2/stream"
    listing = Listing(url="/api/pro/v2/futures/contract", rows=("data",))

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return f"{trading_pair.removesuffix('-USDT')}{PERPETUAL}"

    def instrument(self, row: Any) -> Instrument | None:
        base, is_perpetual, rest = row["symbol"].partition(PERPETUAL)
        if not is_perpetual or rest:
            return None
        status = row.get("statusCode") or row.get("status") or NORMAL
        pair = f"{base}-USDT"
        return Instrument(pair, row["symbol"], tradable=status == NORMAL, status=status)
