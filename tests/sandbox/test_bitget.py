"""Bitget's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.bitget import PATH, PERPETUAL, SPOT, Bitget
from connectors.sandbox.dialect import (
    Close,
    Conversation,
    Cut,
    HttpReply,
    HttpRequest,
    Moment,
    Overstep,
    Push,
    Send,
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

DIALECTS = {kind.market: Bitget(kind) for kind in (SPOT, PERPETUAL)}
EACH = pytest.mark.parametrize("name", DIALECTS)
INST_TYPE = {"bitget_spot": "SPOT", "bitget_perpetual": "USDT-FUTURES"}
ROOT = {"bitget_spot": "/api/v2/spot/market", "bitget_perpetual": "/api/v2/mix/market"}
MINUTE = {"bitget_spot": "1min", "bitget_perpetual": "1m"}

# live captures of 2023 to 2026, as in the recordings
SNAPSHOT = {
    "bitget_spot": '{"action":"snapshot","arg":{"instType":"SPOT","channel":"candle1m","instId":'
    '"BTCUSDT"},"data":[["1701871620000","44080.23","44080.23","44028.5","44028.51","9.9287",'
    '"437404.105512","437404.105512"]],"ts":1701901610417}',
    "bitget_perpetual": '{"action":"snapshot","arg":{"instType":"USDT-FUTURES","channel":"candle1m"'
    ',"instId":"BTCUSDT"},"data":[["1786886340000","63039","63039","63038.9","63039","1.4653",'
    '"92371.02404","92371.02404"]],"ts":1786886340123}',
}
ROWS = {
    "bitget_spot": '{"code":"00000","msg":"success","requestTime":1790358274804,"data":'
    '[["1790358660000","83765.17","83765.17","83738.85","83738.85","0.701343","58742.42150798",'
    '"58742.42150798"]]}',
    "bitget_perpetual": '{"code":"00000","msg":"success","requestTime":1790782740000,"data":'
    '[["1790782740000","84128.2","84199.9","84123.8","84192.8","22.4343","1888400.63673"]]}',
}
INSTRUMENT = {
    "bitget_spot": {
        "symbol": "BTCUSDT",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "status": "online",
    },
    "bitget_perpetual": {
        "symbol": "BTCUSDT",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "sizeMultiplier": "0.0001",
        "symbolType": "perpetual",
        "symbolStatus": "normal",
    },
}


WORLDS = {dialect.market: world(dialect) for dialect in DIALECTS.values()}


def standing(dialect: Bitget, at: float = NOON + 30, real: float = 0.0) -> World:
    """The world of a market, whose trades are drawn once, at another moment."""
    return replace(WORLDS[dialect.market], now=Moment(at, real))


def argument(name: str, channel: str = "candle1m", ident: str = "BTCUSDT") -> dict[str, str]:
    """One argument of a request."""
    return {"instType": INST_TYPE[name], "channel": channel, "instId": ident}


def wish(*arguments: object, op: str = "subscribe") -> dict[str, object]:
    """A request with these arguments."""
    return {"op": op, "args": list(arguments)}


def serve(name: str, around: World, **more: str) -> Conversation:
    """A connection that has subscribed to one channel."""
    talk = connected(DIALECTS[name], PATH, around)
    ask(talk, wish(argument(name, **more)), around)
    return talk


def reply(name: str, endpoint: str = "candles", /, **query: object) -> HttpReply:
    """A reply of a candle endpoint."""
    asked = {"symbol": "BTCUSDT", "granularity": MINUTE[name], "productType": "USDT-FUTURES"}
    return get(DIALECTS[name], f"{ROOT[name]}/{endpoint}", WORLDS[name], **{**asked, **query})


def rows(name: str, endpoint: str = "candles", /, **query: object) -> list[list[str]]:
    """Rows of history."""
    body: Any = reply(name, endpoint, **query).body
    assert body["code"] == "00000", body
    found: list[list[str]] = body["data"]
    return found


def opens(found: list[list[str]]) -> list[int]:
    """Open times in minutes from noon."""
    return [(int(row[0]) // 1_000 - NOON) // 60 for row in found]


# --- against the recordings


@EACH
def test_confirmation_then_snapshot_as_recorded(name: str) -> None:
    """One confirmation each, then 500 rows, oldest first, the running bar last."""
    around = standing(DIALECTS[name])
    talk = connected(DIALECTS[name], PATH, around)

    confirmed, snapshot = ask(talk, wish(argument(name)), around)

    assert confirmed == {"event": "subscribe", "arg": argument(name)}
    recorded = json.loads(SNAPSHOT[name])
    assert {**snapshot, "data": []} | {"ts": 0} == {**recorded, "data": [], "ts": 0}
    assert list(snapshot) == list(recorded)
    assert shape(snapshot["data"][0]) == shape(recorded["data"][0])
    assert opens(snapshot["data"]) == list(range(-499, 1))


@EACH
def test_update_as_recorded(name: str) -> None:
    """An update is a snapshot with one row and another word."""
    around = standing(DIALECTS[name])
    talk = serve(name, around)
    [channel] = talk.channels.values()
    bar = around.market.current("BTC-USDT", "1m", around.now.market)

    found = candle(talk, channel, bar, around)

    assert found["action"] == "update"
    assert shape(found) == shape(json.loads(SNAPSHOT[name]))


@EACH
def test_rows_as_recorded(name: str) -> None:
    """A page has the recorded shape; perpetuals lack the USDT column."""
    found = reply(name, limit=1)

    assert shape(found.body) == shape(json.loads(ROWS[name]))
    assert found.rows == "data"


@EACH
def test_instruments_as_recorded(name: str) -> None:
    """Instruments have the recorded keys; one of them has letters beyond ASCII."""
    path = {"bitget_spot": "/api/v2/spot/public/symbols"}.get(name, f"{ROOT[name]}/contracts")
    around = world(DIALECTS[name])
    around.market.delist("ETH-USDT", NOON, vanish=False)

    body: Any = get(DIALECTS[name], path, around, productType="USDT-FUTURES").body
    one: Any = get(DIALECTS[name], path, symbol="SOLUSDT", productType="USDT-FUTURES").body

    found = {row["symbol"]: row for row in body["data"]}
    assert kinds(found["BTCUSDT"]) == kinds(INSTRUMENT[name])
    status = list(INSTRUMENT[name])[-1]
    assert found["BTCUSDT"][status] == INSTRUMENT[name][status]
    assert found["ETHUSDT"][status] != INSTRUMENT[name][status]
    assert not all(symbol.isascii() for symbol in found)
    assert [row["symbol"] for row in one["data"]] == ["SOLUSDT"]


def test_refusals_as_recorded() -> None:
    """Wrong letter case is a parameter error; an unknown symbol is refused, at times unnamed."""
    around = standing(DIALECTS["bitget_spot"])
    talk = connected(DIALECTS["bitget_spot"], PATH, around)
    wrong = argument("bitget_spot", "candle1h")
    unknown = argument("bitget_spot", ident="NOPEUSDT")
    text = "instType:SPOT,channel:candle1m,instId:NOPEUSDT,precision:null doesn't exist"

    [first] = ask(talk, wish(wrong), around)
    [second] = ask(talk, wish(unknown), around)
    [third] = ask(talk, wish(unknown), around)

    start = {"event": "error", "arg": wrong}
    assert first == {**start, "code": 30016, "msg": "Param error", "op": "subscribe"}
    assert second == {**start, "arg": unknown, "code": 30001, "msg": text, "op": "subscribe"}
    assert third == {key: value for key, value in second.items() if key != "arg"}


def test_errors_of_history_as_recorded() -> None:
    """Errors have a code of their own, inside HTTP 400 and 200 by turns."""
    name = "bitget_perpetual"
    replies = [
        reply(name, symbol="BTCUSDT_UMCBL"),
        reply(name, limit=1_001),
        reply(name, granularity="1min"),
        reply(name, productType="usdt"),
        reply(name, "history-candles"),
        get(DIALECTS[name], "/api/mix/v1/market/candles"),
    ]
    bodies: list[Any] = [one.body for one in replies]

    assert {one.status for one in replies} == {200, 400}
    codes = [body["code"] for body in bodies]
    assert codes == ["40034", "40053", "400171", "400172", "400172", "30032"]
    assert bodies[0]["msg"] == "Parameter BTCUSDT_UMCBL does not exist"
    limits = "Value range verification failed: limit should be between (0, 1000]"
    assert bodies[1]["msg"] == limits


# --- subscribing


@EACH
def test_wrong_inst_type_is_confirmed_and_silent(name: str) -> None:
    """A real symbol under another kind is confirmed, and neither served nor shown."""
    around = standing(DIALECTS[name])
    talk = connected(DIALECTS[name], PATH, around)
    wrong = {**argument(name), "instType": "COIN-FUTURES"}

    assert ask(talk, wish(wrong), around) == [{"event": "subscribe", "arg": wrong}]
    assert not talk.channels


@EACH
def test_arguments_are_answered_one_by_one(name: str) -> None:
    """A bad argument does not sink the others."""
    around = standing(DIALECTS[name])
    talk = connected(DIALECTS[name], PATH, around)
    asked = [argument(name), argument(name, ident="NOPE"), argument(name, "candle1Dutc")]

    answers = ask(talk, wish(*asked), around)

    words = [answer.get("event", answer.get("action")) for answer in answers]
    assert words == ["subscribe", "snapshot", "error", "subscribe", "snapshot"]
    intervals = [channel.interval for channel in talk.channels.values()]
    assert intervals == ["1m", "1d"]


@pytest.mark.parametrize("channel", ["candle3m", "candle2H", "candle1D", "candle1M", "books"])
def test_channels_without_utc_or_proof(channel: str) -> None:
    """UTC+8 bars and unproven channels are refused."""
    around = standing(DIALECTS["bitget_perpetual"])
    talk = connected(DIALECTS["bitget_perpetual"], PATH, around)

    [refused] = ask(talk, wish(argument("bitget_perpetual", channel)), around)

    assert refused["code"] == 30016


@EACH
def test_unsubscribing(name: str) -> None:
    """What is unsubscribed from is served no more; asking twice gives no second snapshot."""
    around = standing(DIALECTS[name])
    talk = serve(name, around)

    again = ask(talk, wish(argument(name)), around)
    ended = ask(talk, wish(argument(name), op="unsubscribe"), around)

    assert again == [{"event": "subscribe", "arg": argument(name)}]
    assert ended == [{"event": "unsubscribe", "arg": argument(name)}]
    assert not talk.channels


def test_refused_on_request() -> None:
    """What a fault refuses does not exist."""
    dialect = DIALECTS["bitget_spot"]
    around = world(dialect, refuses=lambda pair, interval: (pair, interval) == ("BTC-USDT", "1m"))
    talk = connected(dialect, PATH, around)

    refused, granted, _ = ask(
        talk, wish(argument("bitget_spot"), argument("bitget_spot", "candle5m")), around
    )

    assert (refused["code"], granted["event"]) == (30001, "subscribe")


@pytest.mark.parametrize(
    "frame", ["no json", "[]", '{"op":"shout"}', '{"op":"subscribe","args":[]}', '{"args":[7]}']
)
def test_malformed_request(frame: str) -> None:
    """What is not understood gets an error without `arg`."""
    around = standing(DIALECTS["bitget_spot"])
    [error] = said(connected(DIALECTS["bitget_spot"], PATH, around).received(frame, around))
    assert (error["event"], "arg" in error) == ("error", False)


def test_heartbeat() -> None:
    """`ping` is answered by `pong`; without it, a client is cut off after 120 s."""
    dialect = DIALECTS["bitget_spot"]
    talk = connected(dialect, PATH, standing(dialect))
    assert talk.due == 120

    assert list(talk.received("ping", standing(dialect, real=50))) == [Send("pong")]
    ask(talk, wish(argument("bitget_spot")), standing(dialect, real=100))

    assert talk.due == 170
    assert list(talk.tick(standing(dialect, real=170))) == [Cut()]


def test_limits_of_a_connection() -> None:
    """4096 bytes a message, 240 requests an hour, 1000 channels; floods are closed."""
    dialect = DIALECTS["bitget_spot"]
    around = standing(dialect)
    talk = connected(dialect, PATH, around)

    assert list(talk.received("x" * 4_097, around)) == [Overstep("message bytes", 4_096, 4_097)]
    for _ in range(240):
        ask(talk, wish(argument("bitget_spot", ident="NOPE")), around)
    over, told, closed = talk.received(json.dumps(wish(argument("bitget_spot"))), around)
    assert over == Overstep("requests an hour", 240, 241)
    assert said([told])[0]["code"] == 30007
    assert isinstance(closed, Close)
    told, closed = talk.flooded(around)
    assert (said([told])[0]["code"], type(closed)) == (30006, Close)


def test_a_bars_first_frame_at_times_holds_the_last_one() -> None:
    """At each fourth bar the first frame holds the final row of the bar before, too."""
    dialect, sizes = DIALECTS["bitget_spot"], []
    talk = serve("bitget_spot", standing(dialect))
    [channel] = talk.channels.values()
    for minute in range(1, 9):
        around = standing(dialect, NOON + 60 * minute + 1.5)
        bar = around.market.current("BTC-USDT", "1m", around.now.market)
        [frame] = talk.candle(Push(channel, bar, closed=False, first=True), around)
        found = json.loads(frame)["data"]
        assert opens(found)[-1] == minute
        sizes.append(len(found))
    assert sizes == [1, 1, 1, 2, 1, 1, 1, 2]


@pytest.mark.parametrize("path", ["/", "/v2/ws/private", "/v3/ws/public"])
def test_other_paths_are_refused(path: str) -> None:
    """Other paths are not accepted."""
    dialect = DIALECTS["bitget_spot"]
    refused = dialect.connect(HttpRequest("GET", path, {}, {}), standing(dialect))
    assert isinstance(refused, HttpReply)
    assert refused.status == get(dialect, "/api/v2/spot/market/tickers").status == 404


# --- REST


@EACH
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": 2}, [-1, 0]),
        ({"startTime": -10, "endTime": -6}, [-9, -8, -7]),
        ({"startTime": -10, "endTime": -5, "limit": 2}, [-7, -6]),
        ({"endTime": -5, "limit": 2}, [-7, -6]),
        ({"startTime": -3}, [-2, -1, 0]),
    ],
)
def test_bounds(name: str, query: dict[str, int], expected: list[int]) -> None:
    """Both bounds exclude, the newest win, the oldest comes first."""
    asked = {key: (NOON + 60 * n) * 1_000 if key != "limit" else n for key, n in query.items()}
    assert opens(rows(name, **asked)) == expected


@EACH
def test_reach(name: str) -> None:
    """Recent minutes reach back 30 days; history goes on, lacks the running bar, gives 200."""
    edge = (NOON - 30 * 86_400) * 1_000
    old = {"endTime": edge}

    assert rows(name, **old) == []
    assert opens(rows(name, "history-candles", **old))[-1] == -30 * 1_440 - 1
    newest = rows(name, "history-candles", endTime=(NOON + 600) * 1_000, limit=200)
    assert opens(newest) == list(range(-200, 0))
    body: Any = reply(name, "history-candles", limit=201, **old).body
    assert body["code"] == "40053"
    assert len(rows(name)) == 100


@EACH
def test_a_fault_finds_the_rows(name: str) -> None:
    """Rows are where the reply says that they are."""
    assert len(doubled(DIALECTS[name], reply(name, limit=20))["data"]) > 20


def test_span_of_perpetuals() -> None:
    """A range above 90 days is refused on perpetuals, not on spot."""
    asked = {"startTime": (NOON - 91 * 86_400) * 1_000, "endTime": NOON * 1_000}
    bodies: list[Any] = [reply(name, **asked).body for name in DIALECTS]
    assert [body["code"] for body in bodies] == ["00000", "400172"]


@EACH
def test_rows_chain_and_empty_bars_are_there(name: str) -> None:
    """Each bar opens where the last one closed; bars without trades have zeros."""
    found = rows(name, symbol="ALGOUSDT")
    assert all(before[4] == after[1] for before, after in pairwise(found))
    empty = [row for row in found if row[5] == "0"]
    assert empty
    assert all(len({*row[1:5]}) == 1 for row in empty)
    assert opens(found) == list(range(-99, 1))


def test_usdt_column() -> None:
    """Of a pair against BTC, the quote volume and its USDT worth differ."""
    [row] = rows("bitget_spot", symbol="ETHBTC", granularity="1Wutc", limit=1)
    assert float(row[7]) == pytest.approx(97_250 * float(row[6]))
    assert float(row[6]) > 0
