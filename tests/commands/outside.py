"""An adapter that lives in a package of its own, outside this repository, with its items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SOURCE = '''"""Example: spot. An exchange that does not exist.

* An unknown pair is refused by name; the rest of the batch is served.
* REST hides its errors in HTTP 200.

Sources: example.com/docs as of 2026-09.
"""

from connectors.adapter import Confirmed, Heartbeat, Limits, Rate, Refused
from connectors.model import CandleData
from connectors.plain import Columns, Envelope, PlainAdapter, Query, Spelling, codes, keys
from connectors.plain import no_object

ROW = Columns("t", "o", "h", "l", "c", "v", "q")


class ExampleSpot(PlainAdapter):
    """Spot: volumes are base coins as they come."""

    name = "example_spot"
    spelling = Spelling(separator="_")
    ws_intervals = rest_intervals = codes("1m 5m 1h=60m 1d=1D")  # 2026-09
    close_flag = True
    limits = Limits(
        source="example.com/docs/limits", checked="2026-09", subscriptions=100,
        messages=Rate(10), message_channels=20, rest=(Rate(100, 10),),
    )
    ws_url = "wss://ws.example.com/v1"
    heartbeat = Heartbeat("message", every=20, silence=60)
    ping = {"op": "ping"}

    def channel_of(self, symbol, code):
        return f"candle.{code}.{symbol}"

    def control(self, verb, channels, request_id, now):
        return {"op": verb, "args": list(channels), "id": str(request_id)}

    def parse_ws_message(self, data):
        if type(data) is not dict:
            return no_object(data)
        if "topic" in data:
            return [
                CandleData(*ROW.read(row), channel=data["topic"], closed=row["x"])
                for row in data["data"]
            ]
        if data.get("error"):
            return Refused(data["error"], data.get("id"))
        return Confirmed(data["id"]) if data.get("ok") else None

    rest_url = "https://api.example.com/v1/candles"
    query = Query("symbol", "interval", "from", "to", "limit")
    page = 500
    envelope = Envelope(keys("code", "msg"), good=[0], refused=[1001], slow=[1429])
    rest_path = ("data", "list")
    rest_columns = ROW
'''
ROW = {"t": 1790000040000, "o": "1", "h": "3", "l": "0.5", "c": "2", "v": "10", "q": "15"}
CANDLE = {
    "open_time_ms": 1790000040000,
    "interval": "1m",
    "open": "1",
    "high": "3",
    "low": "0.5",
    "close": "2",
    "volume": "10",
    "quote_volume": "15",
    "trades": None,
    "taker_buy_base": None,
    "taker_buy_quote": None,
}
SUBSCRIBE = {"op": "subscribe", "args": ["candle.1m.BTC_USDT"], "id": "7"}
ITEMS: dict[str, dict[str, Any]] = {
    "01-ws-candle": {
        "kind": "ws_candle",
        "request": SUBSCRIBE,
        "frame": {"topic": "candle.1m.BTC_USDT", "data": [{**ROW, "x": True}]},
        "candles": [{**CANDLE, "closed": True}],
    },
    "02-ws-confirm": {
        "kind": "ws_confirm",
        "request": SUBSCRIBE,
        "frame": {"id": "7", "ok": True},
    },
    "20-rest-candles": {
        "kind": "rest_candles",
        "request": {
            "method": "GET",
            "url": "https://api.example.com/v1/candles",
            "params": {"symbol": "BTC_USDT", "interval": "1m", "from": 1790000040000},
        },
        "frame": {"code": 0, "data": {"list": [ROW]}},
        "candles": [{**CANDLE, "closed": None}],
    },
    "30-rest-error": {
        "kind": "rest_error",
        "http_status": 200,
        "frame": {"code": 1001, "msg": "no such symbol"},
    },
}


def write_package(folder: Path, name: str, source: str = SOURCE) -> None:
    """A package of this name that has one module, ``my_exchange``."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / "my_exchange.py").write_text(source, "utf-8")


def write_items(folder: Path) -> None:
    """The items, in a folder of their market."""
    (folder / "example_spot").mkdir(parents=True)
    for name, item in ITEMS.items():
        whole = {"market": "example_spot", "provenance": "made up", "source": "nowhere", **item}
        (folder / "example_spot" / f"{name}.json").write_text(json.dumps(whole), "utf-8")


def write_entry_point(folder: Path, name: str, target: str) -> None:
    """What an installed distribution tells of its entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    points = f"[candle_connectors.exchanges]\n{name} = {target}\n"
    (info / "entry_points.txt").write_text(points, "utf-8")
