"""Items of the made-up exchange of ``toys``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _candle(time: int, volume: str | None, lots: str, *, closed: bool) -> dict[str, Any]:
    figures = {"open": "1", "high": "3", "low": "1", "close": "2.5", "volume": volume}
    unknown = dict.fromkeys(("quote_volume", "trades", "taker_buy_base", "taker_buy_quote"))
    told = {"open_time_ms": time * 1000, "interval": "1m", "closed": closed}
    return {**told, **figures, **unknown, "volume_contracts": lots}


MINUTE = 1_790_000_040
ROW = [MINUTE * 1000, "1", "3", "1", "2.5", 10, True]
LATER = [(MINUTE + 60) * 1000, "1", "3", "1", "2.5", 20, False]
SUBSCRIBE = {"op": "subscribe", "id": "7", "topics": ["candles:BTC_USDT:1m"]}
CANDLES = [
    _candle(MINUTE + 60, "0.2", "20", closed=False),
    _candle(MINUTE, "0.1", "10", closed=True),
]
REST = {
    "method": "GET",
    "url": "https://toy.example/candles",
    "params": {"symbol": "BTC_USDT", "interval": "1m", "from": MINUTE, "limit": 2},
}

ITEMS: dict[str, dict[str, Any]] = {
    "01-candle": {
        "kind": "ws_candle",
        "request": SUBSCRIBE,
        "frame": {"topic": "candles:BTC_USDT:1m", "rows": [ROW, LATER]},
        "contract_size": "0.01",
        "candles": CANDLES,
    },
    "02-candle-size-unknown": {
        "kind": "ws_candle",
        "frame": {"topic": "candles:LTC_USDT:1m", "rows": [ROW]},
        "candles": [_candle(MINUTE, None, "10", closed=True)],
    },
    "03-candle-shape": {
        "kind": "ws_candle",
        "frame": {"topic": "candles:BTC_USDT:1m", "rows": [ROW]},
    },
    "10-confirm": {
        "kind": "ws_confirm",
        "request": {**SUBSCRIBE, "topics": ["candles:BTC_USDT:1m", "candles:BTC_USDT:1h"]},
        "frame": {"id": "7", "ok": True},
    },
    "11-error": {
        "kind": "ws_error",
        "request": {"op": "subscribe", "id": "8", "topics": ["nope"]},
        "frame": {"id": "8", "error": "unknown topic nope"},
    },
    "12-ping": {"kind": "ws_ping", "frame": {"ping": 1790000000123}},
    "13-ping-ours": {"kind": "ws_ping", "frame": {"op": "ping", "id": "3"}},
    "14-pong": {
        "kind": "ws_pong",
        "request": {"op": "ping", "id": "3"},
        "frame": {"op": "pong", "id": "3"},
    },
    "16-unsubscribed": {
        "kind": "ws_confirm",
        "request": {**SUBSCRIBE, "op": "unsubscribe"},
        "frame": {"id": "7", "ok": True},
    },
    "17-error-of-another-channel": {
        "kind": "ws_error",
        "request": {"op": "subscribe", "id": "8", "topics": ["book:BTC_USDT"]},
        "frame": {"id": "8", "error": "no such topic: book:BTC_USDT"},
    },
    "15-hello": {"kind": "ws_other", "frame": {"hello": 1}},
    "20-rest": {
        "kind": "rest_candles",
        "request": REST,
        "frame": {"rows": [LATER, ROW]},
        "contract_size": "0.01",
        "candles": CANDLES,
    },
    "30-rest-error": {
        "kind": "rest_error",
        "http_status": 200,
        "frame": {"error": "unknown symbol"},
    },
    "31-rest-slow": {"kind": "rest_error", "frame": {"error": "Too many requests"}},
    "40-token": {
        "kind": "rest_token",
        "request": {"method": "POST", "url": "https://toy.example/token"},
        "frame": {"token": "a=b/c", "pingInterval": 18000},
    },
    "41-instruments": {
        "kind": "rest_instruments",
        "request": {"method": "GET", "url": "https://toy.example/instruments"},
        "frame": {"list": [{"symbol": "BTC_USDT", "size": 0.01}]},
    },
}


def write_items(folder: Path) -> None:
    """Put the toy's items where recorded ones lie."""
    for market, items in (("toy_spot", ITEMS), ("toy_plain", {})):
        (folder / market).mkdir(parents=True, exist_ok=True)
        for name, item in items.items():
            rest = {"market": market, "provenance": "made up", "source": "nowhere"}
            text = json.dumps({"request": None, "candles": None, **rest, **item})
            (folder / market / f"{name}.json").write_text(text, "utf-8")
