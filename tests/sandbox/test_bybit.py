"""Bybit's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.bybit import INVERSE, LINEAR, SPOT, Bybit
from connectors.sandbox.dialect import (
    Close,
    Conversation,
    HttpReply,
    HttpRequest,
    Moment,
    Overstep,
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

KLINE, INSTRUMENTS = "/v5/market/kline", "/v5/market/instruments-info"
DIALECTS = {category.name: Bybit(category) for category in (SPOT, LINEAR, INVERSE)}
EACH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
ONE = {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD"}

# hummingbot/hummingbot, bybit-exchange/docs and captures of 2023 to 2026, as in the recordings
SPOT_FRAME = json.loads(
    '{"type":"snapshot","topic":"kline.1.BTCUSDC","data":[{"start":1717334160000,'
    '"end":1717334219999,"interval":"1","open":"67945.49","close":"67919.1","high":"67945.49",'
    '"low":"67909.18","volume":"4.949795","turnover":"336220.15102034","confirm":false,'
    '"timestamp":1717334192215}],"ts":1717334192215}'
)
LINEAR_FRAME = json.loads(
    '{"topic":"kline.1.BTCUSDT","data":[{"start":1689341820000,"end":1689341879999,'
    '"interval":"1","open":"31119","close":"31086.6","high":"31119","low":"31084.5",'
    '"volume":"1828.465","turnover":"56861559.9487","confirm":false,"timestamp":1689341876860}],'
    '"ts":1689341876860,"type":"snapshot"}'
)
CONFIRMED = {
    "spot": '{"success":true,"ret_msg":"subscribe","conn_id":"2324d924-aa4d-45b0-a858-7b8be29ab52b"'
    ',"req_id":"10001","op":"subscribe"}',
    "linear": '{"success":true,"ret_msg":"","conn_id":"d9tcajmgcca9r5l6sugg-21srs","req_id":""'
    ',"op":"subscribe"}',
}
PONG = {
    "spot": '{"success":true,"ret_msg":"pong","conn_id":"0970e817-426e-429a-a679-ff7f55e0b16a",'
    '"op":"ping"}',
    "linear": '{"success":true,"ret_msg":"pong","conn_id":"d9tcajmgcca9r5l6sugg-21srs","req_id":""'
    ',"op":"ping"}',
}
BAD_TOPIC = json.loads(
    '{"success":false,"ret_msg":"error:handler not found,topic:liquidation.BTCUSDT",'
    '"conn_id":"d9tc9dal53i9ketu7b50-20zox","req_id":"old","op":"subscribe"}'
)
AGAIN = json.loads(
    '{"success": false, "ret_msg": "error:already subscribed,topic:kline.1.BTCUSDT", "conn_id": '
    '"f02b82c1-be41-4fae-b69c-6c4a57ed6443", "req_id": "", "op": "subscribe"}'
)
ROWS = {
    "spot": '{"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "symbol": "BTCUSDT", '
    '"list": [["1683472860000", "28959.94", "28970.63", "28940.26", "28945.63", "7.484936", '
    '"216697.2440694"]]}, "retExtInfo": {}, "time": 1683523483533}',
    "linear": '{"retCode": 0, "retMsg": "OK", "result": {"symbol": "BTCUSDT", "category": "linear",'
    '"list": [["1786820400000", "63027.8", "63032.3", "63027.7", "63032.3", "4.591", '
    '"289363.9178"]]}, "retExtInfo": {}, "time": 1786820637599}',
    "inverse": '{"retCode": 0, "retMsg": "OK", "result": {"symbol": "BTCUSD", "category": "inverse"'
    ', "list": [["1670608800000", "17071", "17073", "17027", "17055.5", "268611", "15.74462667"]]}'
    ', "retExtInfo": {}, "time": 1672025956592}',
}


WORLDS = {dialect.market: world(dialect) for dialect in DIALECTS.values()}


def standing(dialect: Bybit, at: float = NOON + 30, real: float = 0.0) -> World:
    """The world of a market, whose trades are drawn once, at another moment."""
    return replace(WORLDS[dialect.market], now=Moment(at, real))


def conversation(dialect: Bybit, around: World) -> Conversation:
    """A new connection."""
    name = {one.market: name for name, one in DIALECTS.items()}[dialect.market]
    return connected(dialect, f"/v5/public/{name}", around)


def wish(*topics: str, op: str = "subscribe", **more: object) -> dict[str, object]:
    """A request for topics."""
    return {**more, "op": op, "args": list(topics)}


def nameless(frame: dict[str, Any]) -> list[tuple[str, Any]]:
    """A frame's members in their order, without the connection's own id."""
    return [(key, value) for key, value in frame.items() if key != "conn_id"]


def page(dialect: Bybit, around: World | None = None, /, **query: object) -> list[list[str]]:
    """Rows of history."""
    name = {one.market: name for name, one in DIALECTS.items()}[dialect.market]
    asked = {"category": name, "symbol": ONE[name], "interval": "1", **query}
    body: Any = get(dialect, KLINE, around or WORLDS[dialect.market], **asked).body
    assert body["retCode"] == 0, body
    rows: list[list[str]] = body["result"]["list"]
    return rows


def opens(rows: list[list[str]]) -> list[int]:
    """Open times in seconds after noon."""
    return [int(row[0]) // 1_000 - NOON for row in rows]


# --- against the recordings


@pytest.mark.parametrize("name", ["spot", "linear"])
def test_confirmation_and_pong_as_recorded(name: str) -> None:
    """Confirmation and pong are the recorded ones, but for the connection's id."""
    around = standing(DIALECTS[name])
    talk = conversation(DIALECTS[name], around)
    expected = json.loads(CONFIRMED[name])
    more = {"req_id": expected["req_id"]} if expected["req_id"] else {}

    [confirmed] = ask(talk, wish(f"kline.1.{ONE[name]}", **more), around)
    [pong] = ask(talk, {"op": "ping"}, around)

    assert nameless(confirmed) == nameless(expected)
    assert nameless(pong) == nameless(json.loads(PONG[name]))


def test_refusals_as_recorded() -> None:
    """An unknown topic, and one that is subscribed to already, are refused as recorded."""
    around = standing(DIALECTS["linear"])
    talk = conversation(DIALECTS["linear"], around)

    [refused] = ask(talk, wish("liquidation.BTCUSDT", req_id="old"), around)
    ask(talk, wish("kline.1.BTCUSDT"), around)
    [again] = ask(talk, wish("kline.1.BTCUSDT"), around)

    assert nameless(refused) == nameless(BAD_TOPIC)
    assert nameless(again) == nameless(AGAIN)
    assert list(talk.channels) == ["kline.1.BTCUSDT"]


@pytest.mark.parametrize(
    ("name", "topic", "expected"),
    [
        ("spot", "kline.1.BTCUSDC", SPOT_FRAME),
        ("linear", "kline.1.BTCUSDT", LINEAR_FRAME),
        ("inverse", "kline.1.BTCUSD", LINEAR_FRAME),
    ],
)
def test_frame_as_recorded(name: str, topic: str, expected: Any) -> None:
    """A frame has the recorded keys in their order, their types, and one bar."""
    dialect = DIALECTS[name]
    around = standing(dialect)
    talk = conversation(dialect, around)
    ask(talk, wish(topic), around)
    channel = talk.channels[topic]
    bar = around.market.current(channel.trading_pair, "1m", around.now.market)

    found = candle(talk, channel, bar, around)

    assert shape(found) == shape(expected)
    assert (found["topic"], found["data"][0]["confirm"]) == (topic, False)
    assert found["data"][0]["end"] - found["data"][0]["start"] == 59_999


@EACH
def test_rows_as_recorded(dialect: Bybit) -> None:
    """A page of history has the recorded shape, newest first, the running bar among it."""
    name = {one.market: name for name, one in DIALECTS.items()}[dialect.market]
    expected = json.loads(ROWS[name])

    found = get(dialect, KLINE, category=name, symbol=ONE[name], interval="60", limit=1)

    assert shape(found.body) == shape(expected)
    assert found.rows == "result.list"
    assert opens(page(dialect, limit=3)) == [0, -60, -120]


@EACH
def test_errors_as_recorded(dialect: Bybit) -> None:
    """Errors come inside HTTP 200."""
    name = {one.market: name for name, one in DIALECTS.items()}[dialect.market]
    unknown = get(dialect, KLINE, category=name, symbol="NOPE", interval="1")
    period = get(dialect, KLINE, category=name, symbol=ONE[name], interval="7")
    expected = {"retCode": 10001, "retMsg": "Not supported symbols", "result": {}, "retExtInfo": {}}

    assert unknown.status == period.status == 200
    assert unknown.body == {**expected, "time": (NOON + 30) * 1_000}
    assert isinstance(period.body, dict)
    assert period.body["retMsg"] == "Invalid period!"
    assert dialect.slow_down(2, standing(dialect)).body == {
        "retCode": 10006,
        "retMsg": "Too many visits!",
    }
    assert dialect.banned(None, standing(dialect)).status == 403


def test_instruments_as_documented() -> None:
    """Instruments have the documented keys and types, nested ones, too."""
    spot: Any = get(DIALECTS["spot"], INSTRUMENTS, category="spot").body
    linear: Any = get(DIALECTS["linear"], INSTRUMENTS, category="linear").body
    inverse: Any = get(DIALECTS["inverse"], INSTRUMENTS, category="inverse").body

    row = spot["result"]["list"][0]
    assert (row["symbol"], row["baseCoin"], row["quoteCoin"]) == ("BTCUSDT", "BTC", "USDT")
    assert row["lotSizeFilter"].keys() >= {"basePrecision", "quotePrecision", "minOrderAmt"}
    assert "nextPageCursor" not in spot["result"]
    row = linear["result"]["list"][0]
    assert kinds(row)["leverageFilter"] == [
        ("minLeverage", "str"),
        ("maxLeverage", "str"),
        ("leverageStep", "str"),
    ]
    assert row["contractType"] == "LinearPerpetual"
    assert row.keys() - inverse["result"]["list"][0].keys() >= {"copyTrading", "symbolId"}
    assert inverse["result"]["list"][0]["contractType"] == "InversePerpetual"


# --- subscribing


@EACH
@pytest.mark.parametrize("bad", ["kline.1.NOPE", "kline.7.{}", "kline.1.btcusdt", "nonsense"])
def test_one_bad_topic_sinks_the_request(dialect: Bybit, bad: str) -> None:
    """The first bad topic is named, and none of its request is served."""
    name = {one.market: name for name, one in DIALECTS.items()}[dialect.market]
    around = standing(dialect)
    talk = conversation(dialect, around)
    bad = bad.format(ONE[name])

    [refused] = ask(talk, wish(f"kline.1.{ONE[name]}", bad, "worse", req_id="7"), around)

    assert (refused["success"], refused["req_id"]) == (False, "7")
    assert bad in refused["ret_msg"]
    assert "worse" not in refused["ret_msg"]
    assert not talk.channels


def test_a_known_topic_sinks_its_request_and_goes_on() -> None:
    """A topic that is subscribed to already sinks the others of its request, and is served."""
    around = standing(DIALECTS["linear"])
    talk = conversation(DIALECTS["linear"], around)
    ask(talk, wish("kline.1.BTCUSDT"), around)

    [refused] = ask(talk, wish("kline.5.BTCUSDT", "kline.1.BTCUSDT"), around)

    assert refused["success"] is False
    assert list(talk.channels) == ["kline.1.BTCUSDT"]


def test_unsubscribing() -> None:
    """After its end a topic is served no more, and may be asked for again."""
    around = standing(DIALECTS["spot"])
    talk = conversation(DIALECTS["spot"], around)
    ask(talk, wish("kline.1.BTCUSDT", "kline.M.BTCUSDT"), around)

    [confirmed] = ask(talk, wish("kline.1.BTCUSDT", op="unsubscribe", req_id="2"), around)

    assert (confirmed["success"], confirmed["op"]) == (True, "unsubscribe")
    assert list(talk.channels) == ["kline.M.BTCUSDT"]
    assert ask(talk, wish("kline.1.BTCUSDT"), around)[0]["success"]


def test_refused_on_request() -> None:
    """What a fault refuses is refused as a topic that does not exist."""
    dialect = DIALECTS["linear"]
    around = world(dialect, refuses=lambda pair, interval: (pair, interval) == ("BTC-USDT", "1m"))
    talk = conversation(dialect, around)

    [refused] = ask(talk, wish("kline.1.BTCUSDT"), around)
    [granted] = ask(talk, wish("kline.5.BTCUSDT"), around)

    assert refused["ret_msg"] == "error:handler not found,topic:kline.1.BTCUSDT"
    assert granted["success"]


@pytest.mark.parametrize("frame", ["no json", "[]", '{"op":"shout"}', '{"op":"subscribe"}'])
def test_malformed_request(frame: str) -> None:
    """What is not understood gets an error, and the connection stays."""
    around = standing(DIALECTS["linear"])
    talk = conversation(DIALECTS["linear"], around)

    actions = list(talk.received(frame, around))

    [answer] = said(actions)
    assert answer["success"] is False
    assert not any(isinstance(action, Close) for action in actions)


def test_limits_of_a_request_and_of_a_connection() -> None:
    """Ten topics a request, 21,000 characters a connection; beyond, it stands in the journal."""
    around = standing(DIALECTS["linear"])
    talk = conversation(DIALECTS["linear"], around)

    eleven = list(talk.received(json.dumps(wish(*["kline.1.BTCUSDT"] * 11)), around))
    long = list(talk.received(json.dumps(wish("k" * 21_001)), around))

    assert eleven[0] == Overstep("args a request", 10, 11)
    assert long[0] == Overstep("characters a connection", 21_000, 21_001)
    assert [said(actions)[0]["success"] for actions in (eleven, long)] == [False, False]


def test_silent_client_is_cut_off() -> None:
    """Who says nothing is closed: after 61 s without subscriptions, else after 10 minutes."""
    dialect = DIALECTS["linear"]
    around = standing(dialect)
    talk = conversation(dialect, around)
    assert talk.due == 61

    ask(talk, wish("kline.1.BTCUSDT"), around)
    assert talk.due == 600
    ask(talk, {"op": "ping"}, standing(dialect, real=100))
    assert talk.due == 700
    assert [type(action) for action in talk.tick(standing(dialect, real=700))] == [Close]


def test_a_frame_at_times_holds_the_next_bar_too() -> None:
    """At each fourth bar's end one frame holds the closed bar, then the new one."""
    dialect, sizes = DIALECTS["linear"], []
    for minute in range(1, 9):
        around = standing(dialect, NOON + 60 * minute + 1.5)
        talk = conversation(dialect, around)
        ask(talk, wish("kline.1.BTCUSDT"), around)
        bar = around.market.bar("BTC-USDT", "1m", NOON + 60 * (minute - 1))
        found = candle(talk, talk.channels["kline.1.BTCUSDT"], bar, around, closed=True)["data"]
        assert [one["confirm"] for one in found] == [True, False][: len(found)]
        sizes.append(len(found))
    assert sizes == [2, 1, 1, 1, 2, 1, 1, 1]


@pytest.mark.parametrize("path", ["/", "/v5/public/linear", "/v5/private"])
def test_other_paths_are_refused(path: str) -> None:
    """Another category's path is not accepted."""
    refused = DIALECTS["spot"].connect(HttpRequest("GET", path, {}, {}), standing(DIALECTS["spot"]))

    assert isinstance(refused, HttpReply)
    assert refused.status == get(DIALECTS["spot"], "/v5/market/tickers").status == 404


# --- REST


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": 2}, [0, -60]),
        ({"start": -592_000, "end": -524_000}, [-540, -600]),
        ({"start": -600_000, "end": -480_000}, [-480, -540, -600]),
        ({"start": -600_000, "limit": 2}, [-540, -600]),
        ({"start": -600_000, "end": -300_000, "limit": 2}, [-300, -360]),
        ({"end": -300_000, "limit": 2}, [-300, -360]),
    ],
)
def test_bounds(query: dict[str, int], expected: list[int]) -> None:
    """Start is rounded down and included, end included; start alone goes forward, else back."""
    asked = {name: asked + NOON * 1_000 * (name != "limit") for name, asked in query.items()}
    assert opens(page(DIALECTS["spot"], **asked)) == expected


def test_page_sizes_and_category() -> None:
    """A page has 200 rows unless asked, 1000 at most; without a category it is linear's."""
    assert len(page(DIALECTS["linear"])) == 200
    assert len(page(DIALECTS["linear"], limit=5_000)) == 1_000
    asked = {"symbol": "BTCUSDT", "interval": "1"}
    codes = [get(DIALECTS[name], KLINE, **asked).body for name in ("linear", "spot")]
    assert [body["retCode"] for body in codes if isinstance(body, dict)] == [0, 10001]


def test_bars_open_where_the_last_one_closed() -> None:
    """Each row opens at the close of the row before."""
    rows = page(DIALECTS["linear"], limit=100)
    assert all(older[4] == newer[1] for newer, older in pairwise(rows))


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the reply says that they are."""
    dialect = DIALECTS["linear"]
    reply = get(dialect, KLINE, WORLDS[dialect.market], symbol="BTCUSDT", interval="1", limit=20)
    assert len(doubled(dialect, reply)["result"]["list"]) > 20


def test_inverse_counts_whole_dollars() -> None:
    """On inverse the volume is whole contracts of 1 USD and the turnover is the base."""
    dialect = DIALECTS["inverse"]
    around = standing(dialect)
    for listing in dialect.listings[::3]:
        [row] = page(dialect, around, symbol=listing.symbol, interval="D", limit=1)
        bar = around.market.current(listing.trading_pair, "1d", around.now.market)
        assert (Decimal(row[5]), Decimal(row[6])) == (bar.quote_volume, bar.volume)
        assert row[5].isdigit()


def test_pages_of_instruments() -> None:
    """Linear is paged by a cursor; dated futures stand among it; what ended is missing."""
    dialect = DIALECTS["linear"]
    around = world(dialect)
    around.market.delist("ETH-USDT", NOON, vanish=False)
    found: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while more.get("cursor") != "":
        asked = {"category": "linear", "limit": "1000", **more}
        body: Any = get(dialect, INSTRUMENTS, around, **asked).body
        found += body["result"]["list"]
        assert len(body["result"]["list"]) <= 10
        more = {"cursor": body["result"]["nextPageCursor"]}

    symbols = [row["symbol"] for row in found]
    assert len(symbols) == len(set(symbols)) > 10
    assert {"BTCUSDT", "BTCPERP", "1000BONKUSDT", "BTCUSDT-25DEC26"} <= set(symbols)
    assert "ETHUSDT" not in symbols
    assert {row["contractType"] for row in found} == {"LinearPerpetual", "LinearFutures"}
