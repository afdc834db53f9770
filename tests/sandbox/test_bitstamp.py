"""Bitstamp's dialect, held against the card and what was recorded."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.bitstamp import Bitstamp
from connectors.sandbox.dialect import HttpReply, HttpRequest
from tests.sandbox.pretend import NOON, doubled, get, kinds, world

BITSTAMP = Bitstamp()
AROUND = world(BITSTAMP)  # for tests that change nothing in it
OHLC = "/api/v2/ohlc/btcusd/"

RECORDED: Any = json.loads(
    '{"data":{"ohlc":[{"close":"7170.66","high":"7170.66","low":"7164.21","open":"7164.21",'
    '"timestamp":"1577836200","volume":"0.08549090"}],"pair":"BTC/USD"}}'
)
"""thrasher-corp/gocryptotrader, exchanges/bitstamp/testdata/http.json; its first row."""


def rows(**query: object) -> list[dict[str, str]]:
    """The rows of a reply about BTC."""
    body: Any = get(BITSTAMP, OHLC, AROUND, **query).body
    found: list[dict[str, str]] = body["data"]["ohlc"]
    return found


def opens(found: list[dict[str, str]]) -> list[int]:
    """Their open times, in seconds after noon."""
    return [int(row["timestamp"]) - NOON for row in found]


def test_rows_as_recorded() -> None:
    """A reply has the recorded keys, text alone, and as many digits."""
    body: Any = get(BITSTAMP, OHLC, step=60, limit=5).body

    assert kinds(body).keys() == kinds(RECORDED).keys()
    assert body["data"]["pair"] == RECORDED["data"]["pair"]
    for row in body["data"]["ohlc"]:
        assert kinds(row) == kinds(RECORDED["data"]["ohlc"][0])
        for name, figure in RECORDED["data"]["ohlc"][0].items():
            assert len(row[name].partition(".")[2]) == len(figure.partition(".")[2]), name


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [-60, 0]),
        ({"start": NOON - 600}, [-600, -540]),
        ({"end": NOON - 60}, [-180, -120]),
        ({"end": NOON - 59}, [-120, -60]),
        ({"start": NOON - 86_400, "end": NOON + 1}, [-60, 0]),
        ({"start": NOON - 60, "end": NOON + 9_999}, [-60, 0]),
        ({"start": NOON, "end": NOON}, []),
        ({"start": NOON + 600}, []),
    ],
)
def test_bounds(bounds: dict[str, int], expected: list[int]) -> None:
    """Oldest first; the end wins and is not included; a start alone begins there."""
    assert opens(rows(step=60, limit=2, **bounds)) == expected


def test_minutes_without_trades_are_missing() -> None:
    """A quiet pair's history has holes, and a page is full of bars with trades."""
    body: Any = get(BITSTAMP, "/api/v2/ohlc/algousd/", step=60, limit=50).body
    found = body["data"]["ohlc"]

    assert len(found) == 50
    assert all(float(row["volume"]) > 0 for row in found)
    assert any(late - early > 60 for early, late in pairwise(opens(found)))


def test_figures_are_the_bar() -> None:
    """What is printed is the bar itself, on every pair."""
    around = world(BITSTAMP)
    for listing in BITSTAMP.listings:
        query = {"step": 86_400, "limit": 1}
        body: Any = get(BITSTAMP, f"/api/v2/ohlc/{listing.symbol}/", around, **query).body
        (row,) = body["data"]["ohlc"]
        bar = around.market.current(listing.trading_pair, "1d", around.now.market)
        for name in ("open", "high", "low", "close", "volume"):
            assert float(row[name]) == float(getattr(bar, name)), (listing.symbol, name)


@pytest.mark.parametrize(
    "query",
    [
        {"step": 60},
        {"step": 60, "limit": 0},
        {"step": 60, "limit": 1_001},
        {"limit": 1},
        {"step": 61, "limit": 1},
        {"step": 604_800, "limit": 1},
        {"step": 60, "limit": 1, "start": "noon"},
        {"step": 60, "limit": 1, "end": -1},
    ],
)
def test_bad_parameters(query: dict[str, object]) -> None:
    """A parameter that is missing or wrong is HTTP 400."""
    assert get(BITSTAMP, OHLC, **query).status == 400


@pytest.mark.parametrize(
    "path", ["/api/v2/ohlc/nopeusd/", "/api/v2/ohlc/BTCUSD/", "/api/v2/ohlc/btcusd", "/nowhere"]
)
def test_unknown_is_a_page(path: str) -> None:
    """An unknown pair or path is HTTP 404, and no JSON."""
    found = get(BITSTAMP, path, step=60, limit=1)

    assert found.status == 404
    assert found.headers["Content-Type"].startswith("text/html")


def test_every_request_costs_one() -> None:
    """Candles, instruments and refusals are counted alike; too many are 429 without JSON."""
    for found in (
        get(BITSTAMP, OHLC, step=60, limit=1),
        get(BITSTAMP, OHLC),
        get(BITSTAMP, "/api/v2/trading-pairs-info/"),
    ):
        assert [(charge.pool, charge.weight) for charge in found.charges] == [("requests", 1)]
    slow = BITSTAMP.slow_down(None, world(BITSTAMP))
    assert (slow.status, "Retry-After" in slow.headers) == (429, False)


def test_instruments() -> None:
    """Each pair is told by its symbol and name; where trading has ended, it is disabled."""
    around = world(BITSTAMP)
    around.market.delist("ETH-USD", NOON, vanish=False)

    body: Any = get(BITSTAMP, "/api/v2/trading-pairs-info/", around).body

    found = {row["url_symbol"]: (row["name"], row["trading"]) for row in body}
    assert found["btcusd"] == ("BTC/USD", "Enabled")
    assert found["ethusd"] == ("ETH/USD", "Disabled")


def test_no_websocket() -> None:
    """A WebSocket is refused everywhere."""
    found = BITSTAMP.connect(HttpRequest("GET", "/", {}, {}), world(BITSTAMP))

    assert isinstance(found, HttpReply)
    assert found.status == 404


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the reply says that they are."""
    body = doubled(BITSTAMP, get(BITSTAMP, OHLC, AROUND, step=60, limit=20))

    assert len(body["data"]["ohlc"]) > 20
