"""Phemex: what its recorded frames cannot say to the conformance suite."""
# ruff: noqa: SIM300 - the expected stands before the actual

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.adapter import (
    Confirmed,
    Refused,
    RestRefused,
    RestReply,
    RestSlowDown,
    RestUnavailable,
)
from connectors.exchanges.phemex import PhemexPerpetual
from connectors.model import Instrument

WIRE = Path(__file__).parents[1] / "wire"
ROW = [1677094560, 60, "9", "3", "4", "2", "2.5", "5", "12.5"]
NOW = 1_790_000_000.0


def frame(path: str) -> Any:
    """The frame of a recorded item."""
    return orjson.loads((WIRE / f"{path}.json").read_bytes())["frame"]


def told(*rows: Any) -> dict[str, Any]:
    """A frame of candles (made up)."""
    return {"kline_p": list(rows), "symbol": "BTCUSDT", "type": "incremental", "sequence": 1}


def reply(body: Any, status: int = 200) -> RestReply:
    """An HTTP reply with this body."""
    return RestReply(status, {}, orjson.dumps(body))


def asked(ago: int, slots: int = 2) -> Any:
    """The request for some minutes whose first opened so many ago."""
    start = int(NOW) // 60 * 60 - 60 * ago
    return PhemexPerpetual().rest_request("BTC-USDT", "1m", start, start + 60 * slots, slots, NOW)


# --- WebSocket ---


def test_the_last_close_is_no_open():
    """A row has the close of the bar before it in front of its own prices."""
    (candle,) = PhemexPerpetual().parse_ws_message(told(ROW))

    assert (3, 4, 2, 2.5, 5, 12.5) == candle.figures()[:6]


def test_rows_name_their_interval():
    """Rows of different intervals are of different channels, the oldest first."""
    hour = [1677092400, 3600, *ROW[2:]]

    candles = PhemexPerpetual().parse_ws_message(told(ROW, hour))

    assert isinstance(candles, list)
    assert ["3600:BTCUSDT", "60:BTCUSDT"] == [candle.channel for candle in candles]


def test_scaled_prices_are_never_read():
    """Whole numbers that a figure of the product scales would be prices of another order."""
    for name in ("01-ws-snapshot-scaled", "02-ws-candle-scaled"):
        assert PhemexPerpetual().parse_ws_message(frame(f"phemex_perpetual/{name}")) is None


@pytest.mark.parametrize(
    "rows",
    [
        [ROW[:7]],
        [[*ROW[:5], None, *ROW[6:]]],
        [[*ROW[:3], "NaN", *ROW[4:]]],
        [["soon", *ROW[1:]]],
        ["1677094560"],
        [None],
        [{}],
        None,
        7,
    ],
)
def test_an_unreadable_candle_raises(rows: Any):
    """Half a candle is an exception, never an invented candle and never silence."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        PhemexPerpetual().parse_ws_message({"kline_p": rows, "symbol": "BTCUSDT"})


def test_answers_name_their_request():
    """By the id; a limit is not the subscription's fault; a pong accepts nothing."""
    adapter = PhemexPerpetual()

    assert Confirmed("3") == adapter.parse_ws_message(
        {"error": None, "id": 3, "result": {"status": "success"}}
    )
    error = {"error": {"code": 6001, "message": "invalid argument"}, "id": 4, "result": None}
    assert Refused("invalid argument (code 6001)", "4") == adapter.parse_ws_message(error)
    error["error"] = {"code": 6015, "message": "subscription limit exceeded"}
    refused = adapter.parse_ws_message(error)
    assert isinstance(refused, Refused)
    assert refused.limit
    assert adapter.parse_ws_message({"error": None, "id": 5, "result": "pong"}) is None


@pytest.mark.parametrize("noise", [None, 3, [], {}, {"trades_p": [[1]], "symbol": "BTCUSDT"}])
def test_noise(noise: object):
    """What is not our business is None."""
    assert PhemexPerpetual().parse_ws_message(noise) is None


def test_what_is_sent():
    """The interval as a number; a ping with an id; no unsubscribe, which would end too much."""
    adapter = PhemexPerpetual()

    sent = {"id": 1, "method": "kline_p.subscribe", "params": ["BTCUSDT", 3600]}
    assert sent == adapter.get_ws_subscription_payload("BTC-USDT", "1h")
    assert {"id": 7, "method": "server.ping", "params": []} == adapter.ping_message(7, NOW)
    assert [] == adapter.unsubscribe_messages(["60:BTCUSDT"], 2, NOW)
    assert adapter.heartbeat.every < 30


# --- REST ---


@pytest.mark.parametrize(("ago", "limit"), [(0, 10), (8, 10), (9, 50), (98, 100), (498, 500)])
def test_the_newest_rows_are_asked_for_by_a_number_that_is_taken(ago: int, limit: int):
    """The open bar and one to spare are among them; another number is refused."""
    request = asked(ago)

    assert "https://api.phemex.com/exchange/public/md/v2/kline/last" == request.url
    assert {"symbol": "BTCUSDT", "resolution": 60, "limit": limit} == request.params


def test_older_rows_are_asked_for_by_times():
    """In seconds, less than a thousand rows at once."""
    request = asked(499, 900)

    assert "https://api.phemex.com/exchange/public/md/v2/kline/list" == request.url
    bounds = {"from": request.start, "to": request.end - 1}
    assert {"symbol": "BTCUSDT", "resolution": 60, **bounds} == request.params
    assert PhemexPerpetual().rest_pages("1m").limit < 1000


def test_rows():
    """The same as on the stream, with the symbol behind, in any order."""
    older = [ROW[0] - 60, *ROW[1:]]
    body = {"code": 0, "data": {"rows": [[*ROW, "BTCUSDT"], [*older, "BTCUSDT"]]}}

    candles = PhemexPerpetual().parse_rest_response(body)

    assert [older[0], ROW[0]] == [candle.timestamp for candle in candles]
    assert (3, 4, 2, 2.5, 5, 12.5) == candles[0].figures()[:6]


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (30000, 400, RestRefused),
        (30000, 200, RestRefused),
        (30018, 200, RestRefused),
        (39995, 200, RestSlowDown),
        (10500, 200, RestUnavailable),
        (0, 429, RestSlowDown),
    ],
)
def test_codes_decide_whatever_the_status(code: int, status: int, expected: type):
    """An unknown code is asked again."""
    body = {"code": code, "msg": "why", "data": None}

    assert isinstance(PhemexPerpetual().read_rest_reply(reply(body, status), asked(1)), expected)


@pytest.mark.parametrize("data", [None, {}, {"rows": None}, {"rows": [ROW[:7]]}, {"rows": ["row"]}])
def test_a_body_without_rows_raises(data: object):
    """A reply that cannot be read is a ValueError, not an empty page."""
    with pytest.raises(ValueError, match="cannot be read"):
        PhemexPerpetual().read_rest_reply(reply({"code": 0, "data": data}), asked(1))


# --- instruments ---


def test_instruments():
    """Those whose figures are real; spot and coin margined ones stand elsewhere in the list."""
    row = {"symbol": "BTCUSDT", "baseCurrency": "BTC", "quoteCurrency": "USDT", "status": "Listed"}
    gone = {**row, "symbol": "OLDUSDT", "baseCurrency": "OLD", "status": "Delisted"}
    body = {"code": 0, "data": {"products": [{"symbol": "BTCUSD"}], "perpProductsV2": [row, gone]}}

    assert PhemexPerpetual().read_instruments(reply(body)) == [
        Instrument("BTC-USDT", "BTCUSDT", status="Listed"),
        Instrument("OLD-USDT", "OLDUSDT", tradable=False, status="Delisted"),
    ]
