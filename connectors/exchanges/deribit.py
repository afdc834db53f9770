"""Deribit (JSON-RPC v2): perpetuals, inverse and linear.

* ``BTC-USD`` is the inverse ``BTC-PERPETUAL``, ``BTC-USDC`` the linear ``BTC_USDC-PERPETUAL``.
* A channel that does not exist gives no error: it is only missing from ``result``, which lists what
  was accepted, in any order. An empty one refuses all; what a partial one lacks is asked for again.
* ``volume`` is base coins and ``cost`` quote, of inverse contracts, too.
* ``tick`` is the open time (four decoders of five; no recording proves it).
* Bars without trades are sent (recorded) and filled over REST. No closed flag and no snapshot. How
  late a bar's last frame comes is UNKNOWN: 5 s is a guess.
* ``public/set_heartbeat``, sent first, makes the server ask ``test_request``: it closes when that
  is unanswered for 10 s. Ids of these messages are out of the way of those of requests.
* REST gives columns. The first bar was missing where ``start_timestamp`` was its open time (ccxt
  PR 21062): it is asked a second earlier. Which end wins above 5000 bars is UNKNOWN: 2000 are
  asked.
* UNKNOWN: whether days open at 00:00 or 08:00 UTC (so ``1d 12h 6h 3h`` are learned); what an
  address may ask without login (a quarter of what an account may).
* Not offered: spot, dated contracts, options. There is no 4h.

Sources: docs.deribit.com as of 2026-09, a venue probe of 2026-09-22, ccxt 4.5.64, nautilus_trader,
recordings in tests/wire/.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused, RestReply,
    RestRequest, WSJSONRequest,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, codes, no_object, rows_of_columns,
)  # fmt: skip

CHARTS = "chart.trades."
FIGURES = ("open", "high", "low", "close", "volume")
SETTLED_IN = ("BTC", "ETH", "USDC", "USDT")  # docs, 2026: instruments are listed by currency
OWN_ID = 1_000_000_000  # of messages that are no requests of the session


def _call(method: str, params: dict[str, Any], request_id: int = OWN_ID) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def _said(body: Any) -> tuple[Any, Any]:
    error = body["error"]
    return error["code"], f"{error.get('message')} {error.get('data') or ''}".strip()


class DeribitPerpetual(PlainAdapter):
    """Deribit, perpetuals: volumes are base coins as they come."""

    name = "deribit_perpetual"
    verbs = ("public/subscribe", "public/unsubscribe")
    ws_intervals = rest_intervals = codes(  # docs; no other was accepted
        "1m=1 3m=3 5m=5 10m=10 15m=15 30m=30 1h=60 2h=120 3h=180 6h=360 12h=720 1d=1D"
    )
    anchors = {"3h": None, "6h": None, "12h": None, "1d": None}
    close_grace = 5.0
    quiet_bars = QuietBars(stream="sent", rest="sent")
    limits = Limits(
        source="docs.deribit.com and a probe: 32 connections per address, among them HTTP requests "
        "while open; a subscribe costs 3000 of 30000 credits, 10000 more a second; 500 channels a "
        "call; REST of an account 20 a second, of an address UNKNOWN",
        checked="2026-09-22",
        connections=24,
        subscriptions=500,
        subscribes=Rate(1),  # of 3.3, which connections may share
        message_bytes=32_768,  # ccxt
        message_channels=200,
        rest=(Rate(5),),
    )

    ws_url = "wss://www.deribit.com/ws/api/v2"
    heartbeat = Heartbeat("server", every=15, silence=45)
    first_messages = (_call("public/set_heartbeat", {"interval": 15}),)  # 10 s at least
    ws_columns = Columns("tick", *FIGURES, "cost")

    def get_trading_pair_format(self, trading_pair: str) -> str:
        return f"{trading_pair.removesuffix('-USD').replace('-', '_')}-PERPETUAL"

    def channel_of(self, symbol: str, code: str | int) -> str:
        return f"{CHARTS}{symbol}.{code}"

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        return _call(verb, {"channels": list(channels)}, request_id)

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        method = data.get("method")
        if method == "subscription":
            told = data["params"]
            channel = told["channel"]
            if not channel.startswith(CHARTS):
                return None
            return [CandleData(*self.ws_columns.read(told["data"]), channel=channel)]
        if method == "heartbeat":
            asks = data["params"]["type"] == "test_request"
            return WSJSONRequest(_call("public/test", {})) if asks else None
        return _answer(data)

    rest_url = "https://www.deribit.com/api/v2/public/get_tradingview_chart_data"
    query = Query(
        "instrument_name", "resolution", "start_timestamp", "end_timestamp", exclusive=True
    )
    page = 2000  # of 5000 (ccxt)
    envelope = Envelope(_said, refused=[-32602], slow=[10028])
    rest_columns = Columns(0, 1, 2, 3, 4, 5, 6, shortest=6)  # the cost may be missing
    listing = Listing(
        url="get_instruments", weight=5,  # 1 a second (2026-09)
        params={"kind": "future", "expired": "false"}, rows=("result",), symbol="instrument_name",
    )  # fmt: skip

    def instruments(self) -> Generator[RestRequest, RestReply, list[Instrument]]:
        listed: list[Instrument] = []
        for currency in SETTLED_IN:
            reply = yield self.listing.request(self.rest_url, currency=currency)
            listed += self.read_instruments(reply)
        if not listed:
            raise ValueError(f"no perpetual is settled in {' or '.join(SETTLED_IN)}")
        return listed

    def rest_rows(self, data: Any) -> Sequence[Any]:
        result = data["result"]
        if result["status"] == "no_data":
            return []
        cost = ["cost"] if "cost" in result else []
        return rows_of_columns(result, "ticks", *FIGURES, *cost)

    def instrument(self, row: Any) -> Instrument | None:
        symbol = row["instrument_name"]
        if row["settlement_period"] != "perpetual":
            return None
        base, _, quoted = symbol.removesuffix("-PERPETUAL").partition("_")
        status = row.get("state") or ("open" if row["is_active"] else "closed")
        pair = f"{base}-{quoted or 'USD'}"
        return Instrument(pair, symbol, tradable=row["is_active"], status=status)


def _answer(data: dict[str, Any]) -> Parsed:
    """Answers to calls: a list of accepted channels, an error, or what is not ours to read."""
    request_id = None if data.get("id") is None else str(data["id"])
    if "error" in data:
        code, text = _said(data)
        return Refused(f"{text} (code {code})", request_id)
    accepted = data.get("result")
    if type(accepted) is not list:
        return None
    if not accepted:
        return Refused("the result lists no channel: there are no such ones", request_id)
    return Confirmed(request_id, tuple(accepted))
