"""AscendEX's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.ascendex import PERPETUAL, SPOT, Ascendex
from connectors.sandbox.dialect import (
    Close,
    Conversation,
    HttpReply,
    HttpRequest,
    Moment,
    Push,
    World,
)
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

KINDS = {kind.market: kind for kind in (SPOT, PERPETUAL)}
DIALECTS = {name: Ascendex(kind) for name, kind in KINDS.items()}
WORLDS = {name: world(dialect) for name, dialect in DIALECTS.items()}
EACH = pytest.mark.parametrize("name", DIALECTS)
BTC = {"ascendex_spot": "BTC/USDT", "ascendex_perpetual": "BTC-PERP"}
BARS = "/api/pro/v1/barhist"
STREAM = "/api/pro/v2/stream"

# cryptofeed sample_data/ASCENDEX.ws.1.0, AscendEX's pages and ccxt 4.5.37, as in the recordings
CONNECTED: Any = json.loads('{"m":"connected","type":"unauth"}')
CONFIRMED: Any = json.loads('{"m":"sub","ch":"depth:DIVI/USDT","code":0}')
PING: Any = json.loads('{"m":"ping","hp":3}')
PONG: Any = json.loads('{"m":"pong","code":0,"ts":1614164189,"hp":2}')
DISCONNECTED: Any = json.loads(
    '{"m":"disconnected","code":100005,"reason":"INVALID_WS_REQUEST_DATA",'
    '"info":"Session is disconnected due to missing pong message from the client"}'
)
FRAME: Any = json.loads(
    '{"m":"bar","s":"ASD/USDT","data":{"i":"1","ts":1575398940000,"o":"0.04993","c":"0.04970",'
    '"h":"0.04993","l":"0.04970","v":"8052"}}'
)
ROWS: Any = json.loads(
    '{"code":0,"data":[{"m":"bar","s":"BTC-PERP","data":{"i":"1","ts":1637619240000,"o":"56263",'
    '"c":"56260","h":"56263","l":"56239","v":"0.0126"}}]}'
)
INFO: Any = json.loads(
    '{"code":0,"data":[{"name":"1","intervalInMillis":60000},{"name":"5","intervalInMillis":300000},'
    '{"name":"15","intervalInMillis":900000},{"name":"30","intervalInMillis":1800000},'
    '{"name":"60","intervalInMillis":3600000},{"name":"120","intervalInMillis":7200000},'
    '{"name":"240","intervalInMillis":14400000},{"name":"360","intervalInMillis":21600000},'
    '{"name":"720","intervalInMillis":43200000},{"name":"1d","intervalInMillis":86400000},'
    '{"name":"1w","intervalInMillis":604800000},{"name":"1m","intervalInMillis":2592000000}]}'
)


def standing(name: str, at: float = NOON + 30, real: float = 0.0) -> World:
    """The world of a market, whose trades are drawn once, at another moment."""
    return replace(WORLDS[name], now=Moment(at, real))


def connect(name: str) -> Conversation:
    """A new connection."""
    return connected(DIALECTS[name], STREAM, standing(name))


def wish(channel: str, op: str = "sub", **more: object) -> dict[str, Any]:
    """A subscription, or its end."""
    return {"op": op, "ch": channel, **more}


def rows(name: str, **query: object) -> list[dict[str, Any]]:
    """Rows of history; `from_` means `from`."""
    asked = {"symbol": BTC[name], "interval": "1"} | {k.rstrip("_"): v for k, v in query.items()}
    body: Any = get(DIALECTS[name], BARS, standing(name), **asked).body
    assert body["code"] == 0, body
    found: list[dict[str, Any]] = body["data"]
    return found


def opens(found: list[dict[str, Any]]) -> list[int]:
    """Open times in seconds after noon."""
    return [row["data"]["ts"] // 1_000 - NOON for row in found]


# --- against the recordings


@EACH
def test_frames_as_recorded(name: str) -> None:
    """Greeting, confirmation and candle have the recorded keys and types; `1` is a minute."""
    around = standing(name)
    talk = DIALECTS[name].connect(HttpRequest("GET", STREAM, {}, {}), around)
    assert isinstance(talk, Conversation)
    assert said(talk.opened(around)) == [CONNECTED]

    [confirmed] = ask(talk, wish(f"bar:1:{BTC[name]}"), around)
    [channel] = talk.channels.values()
    bar = around.market.current("BTC-USDT", "1m", NOON + 30)
    found = candle(talk, channel, bar, around)

    assert confirmed == {**CONFIRMED, "ch": f"bar:1:{BTC[name]}"}
    assert shape(found) == shape(FRAME)
    assert (channel.interval, found["s"], found["data"]["i"]) == ("1m", BTC[name], "1")
    expected = (bar.open, bar.close, bar.high, bar.low, bar.volume)
    assert [float(found["data"][key]) for key in "ochlv"] == [float(one) for one in expected]


@EACH
def test_rows_as_recorded(name: str) -> None:
    """Rows are frames, oldest first; ten unless asked otherwise."""
    body: Any = get(DIALECTS[name], BARS, standing(name), symbol=BTC[name], interval="1", n=1).body
    assert shape(body) == shape(ROWS)
    assert opens(rows(name)) == [60 * number for number in range(-9, 1)]


def test_intervals_as_recorded() -> None:
    """The list of intervals is the recorded one."""
    assert get(DIALECTS["ascendex_spot"], f"{BARS}/info").body == INFO


def test_a_month_is_spelled_like_a_minute() -> None:
    """The word `1m` means a month."""
    [row] = rows("ascendex_spot", interval="1m", n=1)
    assert opens([row]) == [-(24 * 86_400 + 43_200)]


# --- subscribing


def test_several_symbols() -> None:
    """Each symbol is confirmed or refused for itself, with the request's id."""
    talk = connect("ascendex_spot")
    asked = wish("bar:1:BTC/USDT,NOPE/USDT,ETH/USDT", id="a")
    found = ask(talk, asked, standing("ascendex_spot"))
    assert [(one["m"], one["id"], one["ch"]) for one in found] == [
        ("sub", "a", "bar:1:BTC/USDT"),
        ("error", "a", "bar:1:NOPE/USDT"),
        ("sub", "a", "bar:1:ETH/USDT"),
    ]
    assert found[1]["code"] == DISCONNECTED["code"]
    assert list(talk.channels) == ["bar:1:BTC/USDT", "bar:1:ETH/USDT"]


@pytest.mark.parametrize(
    "channel", ["bar:3:BTC/USDT", "bar:1h:BTC/USDT", "bar:1:BTC-PERP", "bar:1:btc/usdt", "x:1:y"]
)
def test_refused_channels(channel: str) -> None:
    """Unknown intervals, symbols and channels are refused by name."""
    talk = connect("ascendex_spot")
    [found] = ask(talk, wish(channel), standing("ascendex_spot"))
    assert (found["m"], found["ch"], found["code"]) == ("error", channel, 100_005)
    assert not talk.channels


@pytest.mark.parametrize("message", ["no json", "{}", '{"op":"sub","ch":"bar"}', '{"op":"x"}'])
def test_malformed_request(message: str) -> None:
    """What is malformed is refused without a channel."""
    [found] = said(connect("ascendex_spot").received(message, standing("ascendex_spot")))
    assert (found["m"], "ch" in found) == ("error", False)


def test_twice_ended_and_refused() -> None:
    """What is there is confirmed again; what has ended is confirmed and silent."""
    around = world(DIALECTS["ascendex_spot"])
    around.market.delist("ETH-USDT", NOON, vanish=False)
    talk = connect("ascendex_spot")
    ask(talk, wish("bar:1:BTC/USDT"), around)
    before = dict(talk.channels)
    for channel in ("bar:1:BTC/USDT", "bar:1:ETH/USDT"):
        assert ask(talk, wish(channel), around) == [{**CONFIRMED, "ch": channel}]
    assert talk.channels == before

    refusing = replace(around, refuses=lambda pair, _: pair == "SOL-USDT")
    assert [one["m"] for one in ask(talk, wish("bar:1:SOL/USDT"), refusing)] == ["error"]


@pytest.mark.parametrize(
    ("channel", "left"),
    [
        ("bar:1:BTC/USDT", ["bar:5:BTC/USDT", "bar:1:ETH/USDT"]),
        ("bar:*:BTC/USDT", ["bar:1:ETH/USDT"]),
        ("bar:1", ["bar:5:BTC/USDT"]),
        ("bar", []),
    ],
)
def test_ends_of_several(channel: str, left: list[str]) -> None:
    """Channels may be left by a part of their name."""
    talk, around = connect("ascendex_spot"), standing("ascendex_spot")
    for name in ("bar:1:BTC/USDT", "bar:5:BTC/USDT", "bar:1:ETH/USDT"):
        ask(talk, wish(name), around)
    [found] = ask(talk, wish(channel, "unsub"), around)
    assert found == {"m": "unsub", "ch": channel, "code": 0}
    assert list(talk.channels) == left


def test_end_of_nothing() -> None:
    """What was not begun cannot be left; a pair that is silent can, once."""
    around = world(DIALECTS["ascendex_spot"])
    around.market.delist("ETH-USDT", NOON, vanish=False)
    talk = connect("ascendex_spot")
    ask(talk, wish("bar:1:ETH/USDT"), around)
    ends = [ask(talk, wish("bar:1:ETH/USDT", "unsub"), around)[0]["m"] for _ in range(2)]
    assert ends == ["unsub", "error"]


@EACH
def test_late_updates(name: str) -> None:
    """After the end of every eighth bar one more frame comes."""
    talk, around = connect(name), standing(name)
    ask(talk, wish(f"bar:1:{BTC[name]}"), around)
    [channel] = talk.channels.values()
    bars = [around.market.bar("BTC-USDT", "1m", NOON - 60 * n) for n in range(1, 17)]
    pushes = [Push(channel, bar, closed=False, first=False) for bar in bars]
    assert sum(len(list(talk.candle(push, around))) for push in pushes) == 2


# --- heartbeat


@pytest.mark.parametrize(("name", "first"), [("ascendex_spot", 16), ("ascendex_perpetual", 4)])
def test_unanswered_pings(name: str, first: float) -> None:
    """After two missed pings the recorded notice comes, and the close."""
    talk = connect(name)
    heard, times = [], []
    while (due := talk.due) is not None:
        actions = list(talk.tick(standing(name, real=due)))
        heard += said(actions)
        times.append(due)
    assert times == [first, first + 15, first + 30]
    assert heard == [PING, {**PING, "hp": 2}, DISCONNECTED]
    assert actions[-1] == Close()


@pytest.mark.parametrize("answer", [{"op": "pong"}, {"op": "pong", "hp": 3}, {"op": "ping"}])
def test_answered_pings(answer: dict[str, object]) -> None:
    """An answer, or a ping of the client's own, restores `hp`."""
    talk = connect("ascendex_spot")
    for real in (16, 31, 46, 61):
        assert said(talk.tick(standing("ascendex_spot", real=real))) == [PING]
        found = ask(talk, answer, standing("ascendex_spot"))
        assert [shape(one) for one in found] == ([shape(PONG)] if answer["op"] == "ping" else [])


# --- REST


@EACH
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"from_": -180, "to": -60}, [-180, -120, -60]),
        ({"from_": -180, "to": -60, "n": 2}, [-120, -60]),
        ({"from_": -60, "to": -60, "n": 9}, [-60]),
        ({"to": -60, "n": 2}, [-120, -60]),
        ({"from_": -60}, [-60, 0]),
        ({"from_": 60}, []),
    ],
)
def test_bounds(name: str, query: dict[str, int], expected: list[int]) -> None:
    """Both bounds include; of `from` and `n` the one holds that gives fewer bars."""
    asked = {k: v if k == "n" else (NOON + v) * 1_000 for k, v in query.items()}
    assert opens(rows(name, **asked)) == expected


@EACH
def test_pages_are_cut_by_time(name: str) -> None:
    """500 bars at most, the newest; where bars are missing the page is shorter."""
    start = (NOON - 86_400) * 1_000
    assert opens(rows(name, from_=start))[0] == -499 * 60
    assert len(rows(name, n=9_999)) == 500
    quiet = opens(rows(name, from_=start, symbol=BTC[name].replace("BTC", "ALGO")))
    assert 0 < len(quiet) < 250
    assert any(late - early > 60 for early, late in pairwise(quiet))


@EACH
@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"symbol": "NOPE"}, "Invalid symbol"),
        ({"interval": "3"}, "Invalid interval"),
        ({"interval": "1h"}, "Invalid interval"),
        ({"n": 0}, "Invalid n"),
        ({"from": "noon"}, "Invalid from"),
        ({"to": "noon"}, "Invalid to"),
    ],
)
def test_errors_are_http_200(name: str, query: dict[str, object], text: str) -> None:
    """A bad parameter is told inside HTTP 200."""
    asked = {"symbol": BTC[name], "interval": "1", **query}
    found = get(DIALECTS[name], BARS, standing(name), **asked)
    body: Any = found.body
    assert (found.status, body["code"] == 0, body["message"]) == (200, False, text)
    assert len(found.charges) == 1


@EACH
def test_instruments(name: str) -> None:
    """Each instrument has its symbol; where trading has ended, the status is not Normal."""
    around = world(DIALECTS[name])
    around.market.delist("ETH-USDT", NOON, vanish=False)
    body: Any = get(DIALECTS[name], KINDS[name].instruments, around).body
    found = {row["symbol"]: row for row in body["data"]}
    assert found[BTC[name]]["status"] == "Normal"
    assert found[BTC[name].replace("BTC", "ETH")]["status"] == "NoTrading"
    if name == "ascendex_spot":
        expected = {"symbol": "BTC/USDT", "baseAsset": "BTC", "quoteAsset": "USDT"}
        assert expected.items() <= found["BTC/USDT"].items()
        assert kinds(found["BTC/USDT"])["statusCode"] == "str"


@EACH
def test_other_paths(name: str) -> None:
    """Other paths are 404, and too many requests 429; a fault finds the rows."""
    dialect, spot = DIALECTS[name], name == "ascendex_spot"
    refused = dialect.connect(HttpRequest("GET", "/stream", {}, {}), standing(name))
    group = dialect.connect(HttpRequest("GET", "/1/api/pro/v1/stream", {}, {}), standing(name))
    assert isinstance(refused, HttpReply)
    assert isinstance(group, Conversation) is spot
    assert refused.status == get(dialect, "/nowhere", standing(name)).status == 404
    assert dialect.slow_down(1, standing(name)).status == 429
    reply = get(dialect, BARS, standing(name), symbol=BTC[name], interval="1", n=20)
    assert len(doubled(dialect, reply)["data"]) > 20
