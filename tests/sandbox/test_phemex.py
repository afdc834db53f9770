"""Phemex's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox.dialect import (
    Conversation,
    Cut,
    HttpReply,
    HttpRequest,
    Moment,
    Push,
    World,
)
from connectors.sandbox.phemex import Phemex
from tests.sandbox.pretend import NOON, ask, candle, connected, doubled, get, said, shape, world

PHEMEX = Phemex()
AROUND = world(PHEMEX)  # for tests that change nothing in it
KLINE = "/exchange/public/md/v2/kline"
FEEDS = {"BTCUSDT": "kline_p", "BTCUSD": "kline"}
PAIRS = {"BTCUSDT": "BTC-USDT", "BTCUSD": "BTC-USD"}
EACH = pytest.mark.parametrize("symbol", FEEDS)

# cryptofeed sample_data/PHEMEX.ws.2.0 and ccxt 4.5.64, pro/phemex.py and phemex.py
FRAME: dict[str, Any] = {
    "BTCUSDT": json.loads(
        '{"kline_p":[[1677094560,60,"23746.2","23746.1","23757.6","23736.9","23754.8","34.273",'
        '"813910.208"]],"sequence":1230786017,"symbol":"BTCUSDT","type":"incremental"}'
    ),
    "BTCUSD": json.loads(
        '{"kline":[[1625342220,60,329365000,329915000,329915000,329915000,329915000,133,4387869]],'
        '"sequence":17652788205,"symbol":"YFIUSD","type":"incremental"}'
    ),
}
CONFIRMED: Any = json.loads('{"error":null,"id":1,"result":{"status":"success"}}')
INVALID: Any = json.loads(
    '{"error":{"code":6001,"message":"invalid argument"},"id":null,"result":null}'
)
ROWS: Any = json.loads(
    '{"code":0,"msg":"OK","data":{"total":-1,"rows":[[1592467200,300,23376000000,23322000000,'
    "23381000000,23315000000,23367000000,208671000,48759063370]]}}"
)


def standing(at: float = NOON + 30, real: float = 0.0) -> World:
    """The world, whose trades are drawn once, at another moment."""
    return replace(AROUND, now=Moment(at, real))


def connect() -> Conversation:
    """A new connection."""
    return connected(PHEMEX, "/", AROUND)


def wish(symbol: str = "BTCUSDT", seconds: object = 60, feed: str = "") -> dict[str, Any]:
    """A subscription."""
    method = f"{feed or FEEDS.get(symbol, 'kline_p')}.subscribe"
    return {"id": 1, "method": method, "params": [symbol, seconds]}


def rows(path: str = KLINE, /, **query: object) -> list[list[Any]]:
    """Rows of history; `from_` means `from`."""
    asked = {"symbol": "BTCUSDT", "resolution": 60} | query
    reply = get(PHEMEX, path, AROUND, **{key.rstrip("_"): value for key, value in asked.items()})
    body: Any = json.loads(orjson.dumps(reply.body))
    assert (reply.status, body["code"]) == (200, 0), body
    found: list[list[Any]] = body["data"]["rows"]
    return found


def opens(found: list[list[Any]]) -> list[int]:
    """Open times in seconds after noon."""
    return [row[0] - NOON for row in found]


# --- against the recordings


@EACH
def test_frames_as_recorded(symbol: str) -> None:
    """Confirmation, snapshot and update have the recorded keys and types."""
    talk = connect()
    confirmed, snapshot = ask(talk, wish(symbol), AROUND)
    [channel] = talk.channels.values()
    bar = AROUND.market.current(PAIRS[symbol], "1m", NOON + 30)
    update = candle(talk, channel, bar, AROUND)

    assert confirmed == CONFIRMED
    assert shape(update) == shape(FRAME[symbol])
    assert shape({**snapshot, FEEDS[symbol]: snapshot[FEEDS[symbol]][:1]}) == shape(FRAME[symbol])
    assert (snapshot["type"], update["type"]) == ("snapshot", "incremental")
    assert snapshot[FEEDS[symbol]][0] == update[FEEDS[symbol]][0]
    assert (update["symbol"], update["sequence"]) == (symbol, snapshot["sequence"] + 1)


@EACH
def test_snapshot_is_newest_first(symbol: str) -> None:
    """A snapshot has 1000 rows, newest first, each with the close of the bar before."""
    _, snapshot = ask(connect(), wish(symbol), AROUND)
    found = snapshot[FEEDS[symbol]]
    assert len(found) == 1_000
    assert opens(found)[:3] == [0, -60, -120]
    chained = [late[2] == early[6] for late, early in pairwise(found) if late[0] - early[0] == 60]
    assert all(chained)
    assert len(chained) > 900


def test_decimals_are_the_bar() -> None:
    """What a USDT contract's row prints is the bar itself."""
    [row] = rows(limit=5)[-1:]
    bar = AROUND.market.current("BTC-USDT", "1m", NOON + 30)
    expected = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume)
    assert [Decimal(figure) for figure in row[3:]] == list(expected)


def test_whole_numbers_are_the_bar() -> None:
    """What a coin-margined contract's row hides is the bar, by the scales of its product."""
    body: Any = json.loads(orjson.dumps(get(PHEMEX, "/public/products", AROUND).body))
    [product] = [row for row in body["data"]["products"] if row["symbol"] == "BTCUSD"]
    scales = {row["currency"]: row["valueScale"] for row in body["data"]["currencies"]}
    [row] = rows(symbol="BTCUSD", limit=5)[-1:]
    bar = AROUND.market.current("BTC-USD", "1m", NOON + 30)

    prices = [Decimal(figure).scaleb(-product["priceScale"]) for figure in row[3:7]]
    assert prices == [bar.open, bar.high, bar.low, bar.close]
    assert Decimal(row[7]) == bar.quote_volume
    assert Decimal(row[8]).scaleb(-scales["BTC"]) == bar.volume > 0


def test_rows_as_recorded() -> None:
    """A page has the recorded form; the plain path is oldest first, the others newest first."""
    found = get(PHEMEX, KLINE, AROUND, symbol="BTCUSD", resolution=60, limit=5)
    body: Any = found.body
    body = {**body, "data": {**body["data"], "rows": body["data"]["rows"][:1]}}
    assert shape(body) == shape(ROWS)
    assert opens(rows(limit=5)) == [-240, -180, -120, -60, 0]
    assert opens(rows(f"{KLINE}/last", limit=5)) == [0, -60, -120, -180, -240]


# --- subscribing


@pytest.mark.parametrize(
    "message",
    [
        wish("NOPEUSDT"),
        wish("sBTCUSDT", feed="kline"),
        wish(seconds=61),
        wish(seconds="60"),
        {"id": 1, "method": "kline_p.subscribe", "params": []},
        {"id": 1, "method": "nope", "params": []},
        {"id": 1},
    ],
)
def test_invalid_argument_as_recorded(message: object) -> None:
    """What is unknown or malformed gets the recorded error, which has no id."""
    talk = connect()
    assert ask(talk, message, AROUND) == [INVALID]
    assert not talk.channels


def test_confirmed_and_silent() -> None:
    """A contract of the other feed, and one whose trading has ended, is confirmed, no more."""
    around = world(PHEMEX)
    around.market.delist("ETH-USDT", NOON, vanish=False)
    talk = connect()
    for message in (wish(feed="kline"), wish("BTCUSD", feed="kline_p"), wish("ETHUSDT")):
        assert ask(talk, message, around) == [CONFIRMED]
    assert not talk.channels


def test_one_end_for_a_feed() -> None:
    """The end of one subscription ends all of its feed, and none of the other."""
    talk = connect()
    for message in (wish("BTCUSDT"), wish("ETHUSDT", 300), wish("BTCUSD")):
        assert len(ask(talk, message, AROUND)) == 2
    end = {"id": 1, "method": "kline_p.unsubscribe", "params": ["BTCUSDT", 60]}
    assert ask(talk, end, AROUND) == [CONFIRMED]
    assert list(talk.channels) == ["kline:BTCUSD:60"]


def test_subscribing_twice() -> None:
    """A second time there is a snapshot again, and the channel goes on."""
    talk = connect()
    ask(talk, wish(), AROUND)
    before = dict(talk.channels)
    assert len(ask(talk, wish(), AROUND)) == 2
    assert talk.channels == before


def test_refused_on_request_and_kept_off() -> None:
    """What a fault refuses is invalid; what a fault keeps off is in no snapshot."""
    refusing = replace(AROUND, refuses=lambda pair, _: pair == "BTC-USDT")
    assert ask(connect(), wish(), refusing) == [INVALID]
    skipping = replace(AROUND, skips=lambda _, __, open_time: open_time == NOON - 60)
    _, snapshot = ask(connect(), wish(), skipping)
    assert opens(snapshot["kline_p"])[:2] == [0, -120]


def test_late_updates() -> None:
    """After the end of every eighth bar one more frame comes."""
    talk = connect()
    ask(talk, wish(), AROUND)
    [channel] = talk.channels.values()
    bars = [AROUND.market.bar("BTC-USDT", "1m", NOON - 60 * n) for n in range(1, 17)]
    pushes = [Push(channel, bar, closed=False, first=False) for bar in bars]
    assert sum(len(list(talk.candle(push, AROUND))) for push in pushes) == 2


def test_heartbeat() -> None:
    """A ping is answered with its id; 30 s of silence end the connection."""
    talk = connect()
    ping = {"id": 0, "method": "server.ping", "params": []}
    found = said(talk.received(json.dumps(ping), standing(real=20)))
    assert found == [{"error": None, "id": 0, "result": "pong"}]
    assert talk.due == 50
    assert list(talk.tick(standing(real=50))) == [Cut()]
    assert said(talk.received("no json", AROUND)) == [INVALID]


# --- REST


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"from_": NOON - 180, "to": NOON}, [-60, -120, -180]),
        ({"from_": NOON - 180, "to": NOON, "limit": 2}, [-60, -120]),
        ({"from_": NOON - 60, "to": NOON + 9_999}, [0, -60]),
        ({"from_": NOON, "to": NOON}, []),
    ],
)
def test_bounds(query: dict[str, int], expected: list[int]) -> None:
    """The start is included and the end is not; the newest rows win."""
    assert opens(rows(f"{KLINE}/list", **query)) == expected


def test_bars_without_trades_are_missing() -> None:
    """A quiet contract's history has holes; 100 rows come unless asked otherwise."""
    found = opens(rows(symbol="ALGOUSDT"))
    assert len(found) == 100
    assert any(late - early > 60 for early, late in pairwise(found))


@pytest.mark.parametrize(
    ("path", "query", "code", "text"),
    [
        ("", {"symbol": "NOPE"}, 412, "Missing parameter - symbol"),
        ("", {"resolution": 61}, 6_001, "invalid argument"),
        ("", {"resolution": "1m"}, 6_001, "invalid argument"),
        ("", {"limit": 7}, 30_018, "phemex.data.size.uplimt"),
        ("/last", {"limit": 1_001}, 30_018, "phemex.data.size.uplimt"),
        ("/list", {"from": NOON}, 412, "Missing parameter - to"),
        ("/list", {"to": NOON}, 412, "Missing parameter - from"),
        ("/list", {"from": 1, "to": 2, "limit": 2_001}, 30_018, "phemex.data.size.uplimt"),
        ("/list", {"symbol": "BTCUSD", "from": 1, "to": 2}, 6_001, "invalid argument"),
    ],
)
def test_errors_are_http_200(path: str, query: dict[str, object], code: int, text: str) -> None:
    """A bad parameter is told inside HTTP 200, as a client's comment shows."""
    asked = {"symbol": "BTCUSDT", "resolution": 60, **query}
    found = get(PHEMEX, KLINE + path, AROUND, **asked)
    assert (found.status, found.body) == (200, {"code": code, "msg": text, "data": None})
    assert len(found.charges) == 1


def test_resolution_is_needed() -> None:
    """Without a resolution the request is refused."""
    body: Any = get(PHEMEX, KLINE, AROUND, symbol="BTCUSDT").body
    assert body["msg"] == "Missing parameter - resolution"


def test_products() -> None:
    """USDT contracts and the others have a list each; what ended says so; spot is among them."""
    around = world(PHEMEX)
    around.market.delist("ETH-USDT", NOON, vanish=False)
    body: Any = get(PHEMEX, "/public/products", around).body
    tether = {row["symbol"]: row["status"] for row in body["data"]["perpProductsV2"]}
    others = {row["symbol"]: row["type"] for row in body["data"]["products"]}
    assert (tether["BTCUSDT"], tether["ETHUSDT"]) == ("Listed", "Delisted")
    assert (others["BTCUSD"], others["sBTCUSDT"]) == ("Perpetual", "Spot")


def test_other_paths() -> None:
    """Other paths are 404, and too many requests 429; a fault finds the rows."""
    refused = PHEMEX.connect(HttpRequest("GET", "/nowhere", {}, {}), AROUND)
    assert isinstance(refused, HttpReply)
    assert refused.status == get(PHEMEX, "/nowhere", AROUND).status == 404
    assert isinstance(PHEMEX.connect(HttpRequest("GET", "/ws", {}, {}), AROUND), Conversation)
    assert PHEMEX.slow_down(1, AROUND).status == 429
    reply = get(PHEMEX, KLINE, AROUND, symbol="BTCUSDT", resolution=60, limit=10)
    assert len(doubled(PHEMEX, reply)["data"]["rows"]) > 10
