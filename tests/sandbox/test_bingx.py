"""BingX's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox.bingx import SPOT, SWAP, Bingx
from connectors.sandbox.dialect import (
    Action,
    Conversation,
    Cut,
    HttpReply,
    HttpRequest,
    Moment,
    Push,
    Send,
    World,
)
from tests.sandbox.pretend import NOON, connected, doubled, get, shape, world

KINDS = {kind.market: kind for kind in (SPOT, SWAP)}
DIALECTS = {name: Bingx(kind) for name, kind in KINDS.items()}
WORLDS = {name: world(dialect) for name, dialect in DIALECTS.items()}
EACH = pytest.mark.parametrize("name", DIALECTS)
WORD = {"bingx_spot": "1min", "bingx_perpetual": "1m"}

# ccxt 4.5.64, bingx.py and pro/bingx.py: comments with real frames
FRAME = {
    "bingx_spot": '{"code":0,"data":{"E":1696687498608,"K":{"T":1696687499999,"c":"27917.829",'
    '"h":"27918.427","i":"1min","l":"27917.7","n":262,"o":"27917.91","q":"25715.359197",'
    '"s":"BTC-USDT","t":1696687440000,"v":"0.921100"},"e":"kline","s":"BTC-USDT"},'
    '"dataType":"BTC-USDT@kline_1min","success":true}',
    "bingx_perpetual": '{"code":0,"dataType":"BTC-USDT@kline_1m","s":"BTC-USDT","data":'
    '[{"c":"28909.0","o":"28915.4","h":"28915.4","l":"28896.1","v":"27.6919","T":1690907580000}]}',
}
ROW = {
    "bingx_spot": "[1691402580000,29093.61,29093.93,29087.73,29093.24,0.59,1691402639999,17221.07]",
    "bingx_perpetual": '{"open":"19396.8","close":"19394.4","high":"19397.5","low":"19385.7",'
    '"volume":"110.05","time":1666583700000}',
}
CONFIRMED: Any = json.loads(
    '{"code":0,"id":"b6ed9cb4-f3d0-4641-ac3f-f59eb47a3abd","msg":"SUCCESS","timestamp":1759225965363}'
)
REFUSED: Any = json.loads('{"code":100400,"msg":"","timestamp":1696245808833}')
PING: Any = json.loads(
    '{"ping":"5963ba3db76049b2870f9a686b2ebaac","time":"2023-10-02T18:51:55.089+0800"}'
)


def standing(name: str, at: float = NOON + 30, real: float = 0.0) -> World:
    """The world of a market, whose trades are drawn once, at another moment."""
    return replace(WORLDS[name], now=Moment(at, real))


def connect(name: str) -> Conversation:
    """A new connection."""
    return connected(DIALECTS[name], KINDS[name].socket, standing(name))


def unpacked(actions: Iterable[Action]) -> list[Any]:
    """What is said, all of it in gzip; words stay words."""
    texts = []
    for action in actions:
        assert isinstance(action, Send)
        assert isinstance(action.frame, bytes)
        texts.append(gzip.decompress(action.frame).decode())
    return [json.loads(text) if text.startswith("{") else text for text in texts]


def ask(talk: Conversation, message: object, around: World) -> list[Any]:
    """What answers a message."""
    return unpacked(talk.received(json.dumps(message), around))


def wish(name: str, symbol: str = "BTC-USDT", word: str = "", **more: object) -> dict[str, Any]:
    """A subscription."""
    kind = {} if name == "bingx_spot" else {"reqType": "sub"}
    return {"id": "u1", **kind, "dataType": f"{symbol}@kline_{word or WORD[name]}", **more}


def frames(name: str, open_time: int) -> list[Any]:
    """What carries the minute of BTC that opens then, seen 30 s after noon."""
    talk, around = connect(name), standing(name)
    ask(talk, wish(name), around)
    [channel] = talk.channels.values()
    bar = around.market.state("BTC-USDT", "1m", open_time, around.now.market)
    found = talk.candle(Push(channel, bar, closed=False, first=False), around)
    return unpacked(map(Send, found))


def rows(name: str, **query: object) -> list[Any]:
    """Rows of history."""
    asked = {"symbol": "BTC-USDT", "interval": "1m", **query}
    reply = get(DIALECTS[name], KINDS[name].klines, standing(name), **asked)
    body: Any = json.loads(orjson.dumps(reply.body))
    assert (reply.status, body["code"]) == (200, 0), body
    found: list[Any] = body["data"]
    return found


def opens(name: str, found: list[Any]) -> list[int]:
    """Open times in seconds after noon."""
    times = (row[0] if name == "bingx_spot" else row["time"] for row in found)
    return [time // 1_000 - NOON for time in times]


# --- against the recordings


@EACH
def test_frame_as_recorded(name: str) -> None:
    """A frame has the recorded keys in their order; its figures are text."""
    [found] = frames(name, NOON)
    assert shape(found) == shape(json.loads(FRAME[name]))
    assert found["dataType"] == wish(name)["dataType"]


def test_times_of_a_frame() -> None:
    """Spot tells both ends of a bar; a swap tells its end, and nothing else."""
    [spot], [swap] = (frames(name, NOON) for name in DIALECTS)
    assert (spot["data"]["K"]["t"], spot["data"]["K"]["T"]) == (NOON * 1_000, NOON * 1_000 + 59_999)
    assert [candle["T"] for candle in swap["data"]] == [(NOON + 60) * 1_000]


@EACH
def test_figures_are_the_bar(name: str) -> None:
    """What is printed is the bar itself."""
    [found] = frames(name, NOON)
    candle = found["data"]["K"] if name == "bingx_spot" else found["data"][0]
    bar = standing(name).market.current("BTC-USDT", "1m", NOON + 30)
    expected = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    assert [float(candle[key]) for key in "ohlcv"] == [float(figure) for figure in expected]


@EACH
def test_truth_has_what_rows_tell(name: str) -> None:
    """A figure that the stream alone tells is none of the truth's: rows of history lack it."""
    figures, row = DIALECTS[name].figures, rows(name, limit=1)[0]
    assert figures.quote_volume == (name == "bingx_spot")
    assert not figures.trades, f"no count of trades is in {row}, so a polled candle has none"


@EACH
def test_rows_as_recorded(name: str) -> None:
    """Rows are lists of numbers on spot and objects of text on swaps, newest first."""
    found = rows(name, limit=3)
    assert opens(name, found) == [0, -60, -120]
    expected = json.loads(ROW[name])
    if name == "bingx_spot":
        assert [type(one) in (int, float) for one in found[0]] == [True] * len(expected)
        assert found[0][6] == found[0][0] + 59_999
    else:
        assert shape(found[0]) == shape(expected)


@EACH
def test_confirmation_as_recorded(name: str) -> None:
    """A confirmation has the recorded keys, and names nothing but the id."""
    talk, around = connect(name), standing(name)
    [found] = ask(talk, wish(name), around)
    [again] = ask(talk, wish(name), around)
    [ended] = ask(talk, wish(name, reqType="unsub"), around)
    assert shape(found) == shape(CONFIRMED)
    assert (found["id"], found["msg"], again, ended) == ("u1", "SUCCESS", found, found)
    assert not talk.channels


@EACH
@pytest.mark.parametrize("message", ["no json", "{}", '{"dataType":7}', '{"dataType":"BTC-USDT"}'])
def test_refusal_as_recorded(name: str, message: str) -> None:
    """What is malformed is refused without an id."""
    [found] = unpacked(connect(name).received(message, standing(name)))
    assert shape(found) == shape(REFUSED)
    assert found["code"] == REFUSED["code"]


# --- subscribing


def test_intervals_have_other_words() -> None:
    """A swap's word is refused on spot, and the other way round; a swap needs `reqType`."""
    wrong = (
        ("bingx_spot", wish("bingx_spot", word="1m")),
        ("bingx_perpetual", wish("bingx_perpetual", word="1min")),
        ("bingx_perpetual", wish("bingx_spot", word="1m")),
        ("bingx_perpetual", wish("bingx_perpetual", reqType="nope")),
    )
    for name, message in wrong:
        talk = connect(name)
        assert [one["code"] for one in ask(talk, message, standing(name))] == [100_400], message
        assert not talk.channels


@EACH
def test_unknown_pair_is_confirmed_and_silent(name: str) -> None:
    """A pair that is unknown, or has ended, is confirmed and not served."""
    around = world(DIALECTS[name])
    around.market.delist("ETH-USDT", NOON, vanish=False)
    talk = connect(name)
    for symbol in ("NOPE-USDT", "btc-usdt", "ETH-USDT"):
        assert [one["code"] for one in ask(talk, wish(name, symbol), around)] == [0]
    assert not talk.channels


@EACH
def test_refused_on_request(name: str) -> None:
    """What a fault refuses gets the refusal."""
    around = replace(standing(name), refuses=lambda pair, _: pair == "BTC-USDT")
    assert [one["code"] for one in ask(connect(name), wish(name), around)] == [100_400]


@EACH
def test_late_updates(name: str) -> None:
    """After the end of every eighth bar one more frame comes."""
    assert sum(len(frames(name, NOON - 60 * number)) for number in range(1, 17)) == 2


# --- heartbeat


def test_pings_of_spot() -> None:
    """Spot pings with an id and a time as recorded; the answer brings the id back."""
    talk = connect("bingx_spot")
    assert talk.due == 5
    [ping] = unpacked(talk.tick(standing("bingx_spot", real=5)))
    assert shape(ping) == shape(PING)
    assert ping["time"] == "2026-11-25T20:00:30.000+0800"
    assert len(ping["ping"]) == len(PING["ping"])

    assert not ask(talk, {"pong": ping["ping"], "time": ping["time"]}, standing("bingx_spot"))
    for real in (10, 15):
        assert unpacked(talk.tick(standing("bingx_spot", real=real)))
    assert list(talk.tick(standing("bingx_spot", real=20))) == [Cut()]


def test_pings_of_swaps() -> None:
    """Swaps ping with a word in gzip, and take a word of plain text."""
    talk = connect("bingx_perpetual")
    for real in (5, 10, 15, 20):
        assert unpacked(talk.tick(standing("bingx_perpetual", real=real))) == ["Ping"]
        assert not list(talk.received("Pong", standing("bingx_perpetual")))


@EACH
@pytest.mark.parametrize("answer", ['{"pong":"another"}', "pong"])
def test_wrong_answers(name: str, answer: str) -> None:
    """Two pings without the right answer end the connection without a goodbye."""
    talk = connect(name)
    for real in (5, 10):
        talk.tick(standing(name, real=real))
        talk.received(answer, standing(name))
    assert list(talk.tick(standing(name, real=15))) == [Cut()]


# --- REST


@EACH
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"startTime": -300, "endTime": 0}, [-60, -120, -180, -240]),
        ({"startTime": -300, "endTime": 0, "limit": 2}, [-60, -120]),
        ({"startTime": -120}, [0, -60]),
        ({"endTime": -60, "limit": 1}, [-120]),
        ({"startTime": 0}, []),
    ],
)
def test_bounds(name: str, query: dict[str, int], expected: list[int]) -> None:
    """Neither bound is included; the newest rows win."""
    asked = {k: v if k == "limit" else (NOON + v) * 1_000 for k, v in query.items()}
    assert opens(name, rows(name, **asked)) == expected


@EACH
def test_pages(name: str) -> None:
    """500 rows come unless asked otherwise, 1440 at most; bars without trades are missing."""
    assert [len(rows(name, **query)) for query in ({}, {"limit": 9_999})] == [500, 1_440]
    found = opens(name, rows(name, symbol="ALGO-USDT", limit=50))
    assert any(late - early > 60 for late, early in pairwise(found))


@EACH
@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"symbol": "NOPE-USDT"}, "invalid symbol"),
        ({"interval": "7m"}, "invalid interval"),
        ({"interval": "1min"}, "invalid interval"),
        ({"limit": 0}, "invalid limit"),
        ({"startTime": "noon"}, "invalid startTime"),
        ({"endTime": "noon"}, "invalid endTime"),
    ],
)
def test_errors_are_http_200(name: str, query: dict[str, object], text: str) -> None:
    """A bad parameter is told inside HTTP 200."""
    asked = {"symbol": "BTC-USDT", "interval": "1m", **query}
    found = get(DIALECTS[name], KINDS[name].klines, standing(name), **asked)
    body: Any = found.body
    assert (found.status, body["code"], body["msg"]) == (200, 100_400, text)
    assert len(found.charges) == 1


def test_instruments() -> None:
    """What has ended says so: spot by its status, swaps by their states."""
    found = {}
    for name, dialect in DIALECTS.items():
        around = world(dialect)
        around.market.delist("ETH-USDT", NOON, vanish=False)
        body: Any = get(dialect, KINDS[name].instruments, around).body
        data = body["data"]["symbols"] if name == "bingx_spot" else body["data"]
        found[name] = {row["symbol"]: row for row in data}
    pairs = ("BTC-USDT", "ETH-USDT")
    assert [found["bingx_spot"][pair]["status"] for pair in pairs] == [1, 0]
    states = [found["bingx_perpetual"][pair]["apiStateOpen"] for pair in pairs]
    assert states == ["true", "false"]


@EACH
def test_other_paths(name: str) -> None:
    """Other paths are 404, and too many requests 429; a fault finds the rows."""
    dialect = DIALECTS[name]
    refused = dialect.connect(HttpRequest("GET", "/", {}, {}), standing(name))
    assert isinstance(refused, HttpReply)
    assert refused.status == get(dialect, "/nowhere", standing(name)).status == 404
    assert dialect.slow_down(1, standing(name)).status == 429
    asked = {"symbol": "BTC-USDT", "interval": "1m", "limit": 20}
    reply = get(dialect, KINDS[name].klines, standing(name), **asked)
    assert len(doubled(dialect, reply)["data"]) > 20
