"""Gemini's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox.dialect import Conversation, HttpReply, HttpRequest, Moment, Push, World
from connectors.sandbox.gemini import Gemini
from tests.sandbox.pretend import (
    NOON,
    ask,
    candle,
    connected,
    doubled,
    get,
    kinds,
    said,
    shape,
    world,
)

GEMINI = Gemini()
AROUND = world(GEMINI)  # for tests that change nothing in it

# Gemini's pages as copied in ccxt 4.5.64 and gocryptotrader; ccxt's comments
FRAME: Any = json.loads(
    '{"type":"candles_15m_updates","symbol":"BTCUSD","changes":[[1561054500000,9350.18,9358.35,'
    "9350.18,9355.51,2.07],[1561053600000,9357.33,9357.33,9350.18,9350.18,1.5900161]]}"
)
ROWS: Any = json.loads(
    "[[1591515000000,0.02509,0.02509,0.02509,0.02509,0],"
    "[1591514700000,0.02503,0.02509,0.02503,0.02509,44.6405]]"
)
NOTHING: Any = json.loads('{"reason":"NoValidTradingPairs","result":"error"}')
DETAIL: Any = json.loads(
    '{"symbol":"BTCUSD","base_currency":"BTC","quote_currency":"USD","tick_size":1E-8,'
    '"quote_increment":0.01,"min_order_size":"0.00001","status":"open","wrap_enabled":false}'
)


def standing(at: float = NOON + 30, real: float = 0.0) -> World:
    """The world, whose trades are drawn once, at another moment."""
    return replace(AROUND, now=Moment(at, real))


def connect() -> Conversation:
    """A new connection."""
    return connected(GEMINI, "/v2/marketdata", AROUND)


def wish(*symbols: str, name: str = "candles_1m", kind: str = "subscribe") -> dict[str, Any]:
    """A subscription, or its end."""
    return {"type": kind, "subscriptions": [{"name": name, "symbols": symbols or ("BTCUSD",)}]}


def rows(symbol: str = "btcusd", word: str = "1m") -> list[list[float]]:
    """Rows of history."""
    reply = get(GEMINI, f"/v2/candles/{symbol}/{word}", AROUND)
    assert reply.status == 200, reply.body
    found: list[list[float]] = json.loads(orjson.dumps(reply.body))
    return found


def opens(found: list[list[float]]) -> list[int]:
    """Open times in seconds after noon."""
    return [int(row[0]) // 1_000 - NOON for row in found]


def numeric(found: list[list[float]]) -> bool:
    """Whether these are rows of a whole number and five numbers."""
    return all(
        isinstance(row[0], int) and len(row) == 6 and all(type(v) in (int, float) for v in row)
        for row in found
    )


# --- against the recordings


def test_first_frame_as_recorded() -> None:
    """The first frame has the recorded keys, and 500 rows, newest first; no other confirms."""
    [found] = ask(connect(), wish(name="candles_15m"), AROUND)
    assert [(key, type(value)) for key, value in found.items()] == [
        (key, type(value)) for key, value in FRAME.items()
    ]
    assert (found["type"], found["symbol"]) == (FRAME["type"], FRAME["symbol"])
    assert numeric(found["changes"])
    assert numeric(FRAME["changes"])
    assert opens(found["changes"]) == [-900 * number for number in range(500)]


def test_first_frame_has_flat_bars() -> None:
    """The first frame of a quiet pair has no holes."""
    [found] = ask(connect(), wish("ALGOUSD"), AROUND)
    times = opens(found["changes"])
    assert {late - early for late, early in pairwise(times)} == {60}


def test_update_as_recorded() -> None:
    """An update has one row, which is the bar."""
    talk = connect()
    ask(talk, wish(), AROUND)
    [channel] = talk.channels.values()
    bar = AROUND.market.current("BTC-USD", "1m", NOON + 30)
    found = candle(talk, channel, bar, AROUND)
    assert shape({**found, "changes": []}) == shape({**FRAME, "changes": []})
    figures = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    assert found["changes"] == [[bar.open_ms, *map(float, figures)]]


def test_rows_as_recorded() -> None:
    """Rows are numbers, newest first; without trades they are flat and the volume is 0."""
    found = rows("ethbtc", "5m")
    assert numeric(found)
    assert numeric(ROWS)
    assert opens(found) == [-300 * number for number in range(500)]
    quiet = [row for row in found if row[5] == 0]
    assert 0 < len(quiet) < len(found)
    assert all(len(set(row[1:5])) == 1 for row in quiet)


def test_details_as_recorded() -> None:
    """One symbol is told with the recorded keys and types, and the exponent of the recording."""
    reply = get(GEMINI, "/v1/symbols/details/btcusd", AROUND)
    written = orjson.dumps(reply.body)
    assert kinds(json.loads(written)) == kinds(DETAIL)
    assert json.loads(written)["symbol"] == "BTCUSD"
    assert b'"tick_size":1E-5' in written


# --- subscribing


def test_unknown_symbols_are_left_out() -> None:
    """An unknown symbol is left out without a word; alone it is refused as recorded."""
    talk = connect()
    found = ask(talk, wish("BTCUSD", "NOPEUSD", "btcusd", "ETHUSD"), AROUND)
    assert [one["symbol"] for one in found] == ["BTCUSD", "ETHUSD"]
    assert ask(connect(), wish("NOPEUSD"), AROUND) == [NOTHING]
    assert ask(connect(), wish("btcusd"), AROUND) == [NOTHING]


@pytest.mark.parametrize(
    "message",
    [
        wish(name="candles_1h"),
        wish(name="candles_1hr"),
        wish(name="candles_30m"),
        wish(name="l2"),
        {"type": "subscribe"},
        {"type": "subscribe", "subscriptions": [7]},
        {**wish(), "type": "nope"},
        {"type": "subscribe", "subscriptions": [*wish()["subscriptions"], {"name": "l2"}]},
    ],
)
def test_malformed_requests(message: object) -> None:
    """A disputed interval, or what is malformed, sinks the whole request."""
    talk = connect()
    [found] = ask(talk, message, AROUND)
    assert (found["result"], found["reason"]) == ("error", "InvalidSubscription")
    assert not talk.channels
    assert [one["result"] for one in said(talk.received("no json", AROUND))] == ["error"]


def test_twice_and_ended() -> None:
    """A second time the rows come again; the end is not confirmed."""
    talk = connect()
    ask(talk, wish(), AROUND)
    before = dict(talk.channels)
    assert len(ask(talk, wish(), AROUND)) == 1
    assert talk.channels == before
    assert not ask(talk, wish(kind="unsubscribe"), AROUND)
    assert not talk.channels


def test_silent_refused_and_kept_off() -> None:
    """What has ended is silent; a fault refuses symbols, and keeps bars off."""
    around = world(GEMINI)
    around.market.delist("ETH-USD", NOON, vanish=False)
    talk = connect()
    assert not ask(talk, wish("ETHUSD"), around)
    assert not talk.channels
    refusing = replace(around, refuses=lambda pair, _: pair == "BTC-USD")
    assert ask(connect(), wish(), refusing) == [NOTHING]
    skipping = replace(around, skips=lambda _, __, open_time: open_time == NOON - 60)
    [found] = ask(connect(), wish(), skipping)
    assert opens(found["changes"])[:2] == [0, -120]


def test_late_updates_hold_two_bars() -> None:
    """After the end of every eighth bar one more frame comes, with the next bar before it."""
    talk = connect()
    ask(talk, wish(), AROUND)
    [channel] = talk.channels.values()
    sizes = []
    for number in range(1, 17):
        bar = AROUND.market.bar("BTC-USD", "1m", NOON - 60 * number)
        around = standing(at=bar.close_time + 2)
        for frame in talk.candle(Push(channel, bar, closed=False, first=False), around):
            found = opens(json.loads(frame)["changes"])
            assert found == [-60 * number + 60, -60 * number][-len(found) :]
            sizes.append(len(found))
    assert len(sizes) == 2
    assert 2 in sizes


# --- REST


@pytest.mark.parametrize(
    ("word", "step"),
    [("1m", 60), ("30m", 1_800), ("1hr", 3_600), ("6hr", 21_600), ("1day", 86_400)],
)
def test_windows(word: str, step: int) -> None:
    """Every interval has a window of 500 rows without holes, which no parameter moves."""
    times = [row[0] for row in rows(word=word)]
    assert len(times) == 500
    assert {late - early for late, early in pairwise(times)} == {step * 1_000}
    moved = get(GEMINI, f"/v2/candles/btcusd/{word}", AROUND, limit=1, end=NOON)
    assert isinstance(moved.body, list)
    assert len(moved.body) == 500


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/candles/nopeusd/1m", 400),
        ("/v2/candles/BTCUSD/1m", 400),
        ("/v2/candles/btcgusdperp/1m", 400),
        ("/v2/candles/btcusd/1h", 400),
        ("/v1/symbols/details/nopeusd", 400),
        ("/v2/nowhere", 404),
    ],
)
def test_errors(path: str, status: int) -> None:
    """Errors have the form of the client's comment."""
    found = get(GEMINI, path, AROUND)
    body: Any = found.body
    assert (found.status, body["result"], len(found.charges)) == (status, "error", 1)
    assert list(body) == ["result", "reason", "message"]


def test_symbols() -> None:
    """The list has names alone; details split them, tell perpetuals, and what is closed."""
    around = world(GEMINI)
    around.market.delist("ETH-USD", NOON, vanish=False)
    listed: Any = get(GEMINI, "/v1/symbols", around).body
    assert {"btcusd", "btcgusd", "ethbtc", "btcgusdperp"} <= set(listed)

    def detail(symbol: str) -> Any:
        return get(GEMINI, f"/v1/symbols/details/{symbol}", around).body

    assert (detail("btcgusd")["base_currency"], detail("btcgusd")["quote_currency"]) == (
        "BTC",
        "GUSD",
    )
    assert detail("btcgusdperp")["product_type"] == "swap"
    assert [detail(name)["status"] for name in ("btcusd", "ethusd")] == ["open", "closed"]


def test_other_paths() -> None:
    """Other sockets are refused, and too many requests 429; a fault finds the rows."""
    refused = GEMINI.connect(HttpRequest("GET", "/v1/marketdata", {}, {}), AROUND)
    assert isinstance(refused, HttpReply)
    assert refused.status == 404
    assert GEMINI.slow_down(1, AROUND).status == 429
    assert len(doubled(GEMINI, get(GEMINI, "/v2/candles/btcusd/1m", AROUND))) > 500
