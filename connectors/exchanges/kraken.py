"""Kraken: spot (WebSocket v2) and linear perpetuals of Kraken Futures (REST only).

* WebSocket v2 wants modern names (``BTC/USD``, ``DOGE/USD``) and refuses the older ones, which the
  list of pairs still gives (``XBT/USD``); REST gets the older one without a slash (``XBTUSD``),
  which always works. The key of a REST reply is any of several spellings, never looked up.
* One message subscribes many symbols of ONE interval. Each symbol is answered for itself; a refusal
  names the symbol but no interval, so the interval of each request is remembered.
* ``interval_begin`` is the open time, ``timestamp`` of a row the END, of a frame the sending.
* The first frame is a snapshot of several bars, oldest first. Frames come on trades only, and a bar
  without trades is left out; REST fills such bars (count 0).
* No closed flag. How late a bar's last frame comes is UNKNOWN: 5 s is a guess.
* REST has the newest 720 rows whatever ``since`` says, the running one last, and no end. Errors
  stand in the array ``error`` of HTTP 200.
* Futures: an undocumented candle feed works for some and is silent for others: polled. Only
  ``PF_`` contracts, whose volume is in base coins; inverse ones (``PI_``: contracts of 1 USD, whose
  base volume nothing tells) and dated ones are not listed. Bounds are seconds, times milliseconds.
* UNKNOWN: where weeks and bars of 15 days begin (learned); all limits of v2 and REST (cautious
  numbers); whether futures rows skip bars without trades, whether their bounds include (asked a
  second wider), and which end wins when a page is cut (half a page is asked).
* Not offered: WebSocket v1, tokenized assets, depth beyond 720 bars.

Sources: docs.kraken.com (websocket-v2/ohlc, get-ohlc-data, candles/market-candles), recordings of
2026-09-10, 2026-09-25 and 2026-10-06 in tests/wire/, ccxt 4.5.64, nautilus_trader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.adapter import (
    Confirmed, Heartbeat, Limits, Message, Parsed, QuietBars, Rate, Refused,
)  # fmt: skip
from connectors.model import CandleData, Instrument
from connectors.plain import (
    Columns, Envelope, Listing, PlainAdapter, Query, Spelling, codes, codes_in_minutes,
    in_seconds, no_object, oldest_first, parts,
)  # fmt: skip

OLDER_NAMES = {"BTC": "XBT", "DOGE": "XDG"}  # 2026-09; no other pair needs it
WSNAME = Spelling(separator="/", renamed=OLDER_NAMES)
ALTNAME = Spelling(renamed=OLDER_NAMES)
MINUTES = codes_in_minutes("1m 5m 15m 30m 1h 4h 1d 1w 15d")  # docs; 10 and 720 refused live 2026-10
ALREADY = "Already subscribed"


def _said(body: Any) -> tuple[Any, Any]:
    """The first entry of the array of errors, and the others."""
    errors = body["error"]
    return (errors[0], ", ".join(errors[1:]) or "error") if errors else (None, None)


class KrakenSpot(PlainAdapter):
    """Kraken, spot: volumes are base coins as they come."""

    name = "kraken_spot"
    spelling = Spelling(separator="/")
    ws_intervals = rest_intervals = MINUTES
    anchors = {"1w": None, "15d": None}
    close_grace = 5.0
    quiet_bars = QuietBars(stream="skipped", rest="sent")  # both recorded (2026-09, 2025-11)
    limits = Limits(
        source="docs.kraken.com has no numbers for v2: all are cautious; REST: ccxt asks for one "
        "list of candles a second, nautilus_trader for five",
        checked="2026-10",
        subscriptions=100,
        message_channels=50,
        attempts=Rate(60, 600),  # 150 in 10 minutes are often quoted, unconfirmed
        rest=(Rate(1),),
    )

    def __init__(self) -> None:
        super().__init__()
        self._codes: dict[str, str] = {}
        """Id of a request -> the interval it asked for."""

    ws_url = "wss://ws.kraken.com/v2"
    heartbeat = Heartbeat("message", every=15, silence=45)  # it beats each second, once subscribed
    ws_columns = Columns("interval_begin", "open", "high", "low", "close", "volume", None, "trades")

    def batch_group(self, channel: str) -> str:
        return parts(channel)[0]

    def control(self, verb: str, channels: Sequence[str], request_id: int, now: float) -> Message:
        code, _ = parts(channels[0])
        self._codes[str(request_id)] = code
        symbols = [parts(channel)[1] for channel in channels]
        params = {"channel": "ohlc", "symbol": symbols, "interval": int(code)}
        return {"method": verb, "params": params, "req_id": request_id}

    def ping_message(self, request_id: int, now: float) -> Message:
        return {"method": "ping", "req_id": request_id}

    def parse_ws_message(self, data: Any) -> Parsed:
        if type(data) is not dict:
            return no_object(data)
        if data.get("channel") == "ohlc":
            at, read = data.get("timestamp"), self.ws_columns.read
            return oldest_first([
                CandleData(
                    *read(row), channel=f"{row['interval']}:{row['symbol']}", event_time=at
                )
                for row in data["data"]
            ])  # fmt: skip
        return self._answer(data) if data.get("method") in self.verbs else None

    def _answer(self, data: dict[str, Any]) -> Parsed:
        request_id = None if data.get("req_id") is None else str(data["req_id"])
        if data.get("success"):
            if data["method"] == "unsubscribe":  # by id only: the channel was not accepted
                return Confirmed(request_id) if request_id else None
            done = data["result"]
            if done["channel"] != "ohlc":
                return None
            return Confirmed(request_id, (f"{done['interval']}:{done['symbol']}",))
        code, symbol = self._codes.get(request_id or ""), data.get("symbol")
        channels = (f"{code}:{symbol}",) if code and symbol else ()
        reason = str(data.get("error"))
        if ALREADY in reason:
            return Confirmed(request_id, channels)
        return Refused(reason, request_id, channels)

    rest_url = "https://api.kraken.com/0/public/OHLC"
    query = Query("pair", "interval", "since", "", time=in_seconds, exclusive=True)
    page = 720
    reach = dict.fromkeys(MINUTES, 719)  # 720 rows with the running one (tested live, since=0)
    envelope = Envelope(
        _said,
        refused=["EQuery:Unknown asset pair"],
        slow=["EGeneral:Too many requests", "EAPI:Rate limit exceeded"],
    )
    rest_columns = Columns(0, 1, 2, 3, 4, 6, None, 7)  # 5 is the average price
    listing = Listing(
        url="AssetPairs", rows=("result",), symbol="wsname", status="status", live=["online"],
        only={"aclass_base": [None, "currency"]},
    )  # fmt: skip

    def get_rest_params(
        self, trading_pair: str, interval: str, start_time: int, end_time: int, limit: int
    ) -> dict[str, str | int]:
        params = super().get_rest_params(trading_pair, interval, start_time, end_time, limit)
        return {**params, "pair": ALTNAME.symbol(trading_pair)}

    def rest_rows(self, data: Any) -> Sequence[Any]:
        found = [rows for key, rows in data["result"].items() if key != "last"]
        if len(found) != 1 or type(found[0]) is not list:
            raise TypeError("no single list of rows")
        return found[0]

    def instrument(self, row: Any) -> Instrument | None:
        listed = self.listing.instrument(row, WSNAME) if row.get("wsname") else None
        return listed and replace(listed, symbol=self.spelling.symbol(listed.trading_pair))


class KrakenPerpetual(PlainAdapter):
    """Kraken Futures, linear perpetuals: polled, volumes are base coins as they come."""

    name = "kraken_perpetual"
    spelling = Spelling(prefix="PF_", renamed={"BTC": "XBT"})
    anchors = {"1w": None}
    close_grace = 5.0  # UNKNOWN: a guess
    limits = Limits(
        source="docs.kraken.com has no numbers for charts: as cautious as spot",
        checked="2026-09",
        rest=(Rate(1),),
    )

    def parse_ws_message(self, data: Any) -> Parsed:
        return None

    rest_url = "https://futures.kraken.com/api/charts/v1/trade/{symbol}/{code}"
    rest_intervals = codes("1m 5m 15m 30m 1h 4h 12h 1d 1w")  # market-candles, 2026-09
    query = Query("", "", "from", "to", time=in_seconds, exclusive=True)
    page = 1000  # of 2000 (ccxt)
    rest_path = ("candles",)
    rest_columns = Columns("time", "open", "high", "low", "close", "volume")
    listing = Listing(
        url="/derivatives/api/v3/instruments", rows=("instruments",), base="base", quote="quote",
        status="tradeable", live=[True], only={"type": ["flexible_futures"]},
    )  # fmt: skip

    def instrument(self, row: Any) -> Instrument | None:
        if not row["symbol"].startswith("PF_") or row.get("isExpired"):
            return None
        return super().instrument(row)
