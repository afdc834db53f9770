"""HTX's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import gzip
import json
import zlib
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox.dialect import (
    Action,
    Close,
    Conversation,
    Dialect,
    HttpReply,
    HttpRequest,
    Moment,
    Overstep,
    Push,
    Send,
    World,
)
from connectors.sandbox.htx import HtxSpot, HtxSwap, printed
from tests.sandbox.pretend import NOON, connected, doubled, get, kinds, shape, world

SPOT, SWAP = "htx_spot", "htx_perpetual"
DIALECTS: dict[str, HtxSpot | HtxSwap] = {SPOT: HtxSpot(), SWAP: HtxSwap()}
WORLDS = {name: world(dialect) for name, dialect in DIALECTS.items()}
EACH = pytest.mark.parametrize("name", DIALECTS)
BTC = {SPOT: "btcusdt", SWAP: "BTC-USDT"}
ALGO = {SPOT: "algousdt", SWAP: "ALGO-USDT"}
KLINE = {SPOT: "/market/history/kline", SWAP: "/linear-swap-ex/market/history/kline"}
INSTRUMENTS = {SPOT: "/v1/common/symbols", SWAP: "/linear-swap-api/v1/swap_contract_info"}
ASKED = {SPOT: "symbol", SWAP: "contract_code"}

# bmoscon/cryptofeed, ccxt, HTX's pages and live captures of 2020 to 2026, as in the recordings
PING = {
    SPOT: "H4sIAAAAAAAAAKtWKsjMS1eyMjQztDAztzAwNzYzMa4FAONIBtIWAAAA",
    SWAP: "H4sIAAAAAAAA/6pWKsjMS1eyMjQzMTWysDS2NDG1NKsFBAAA///EchFFFgAAAA==",
}
CONFIRMED = {
    SPOT: "H4sIAAAAAAAAAA2KQQrAIBDE/rLnIkrpKv5GcaEiRdHxVPr37iUQkpdqoegOWkjYiyL1Rmo7Z9FAT5pNYDBrF9"
    "ymyFAuyLB6QX/HLrAP1lu+zu8Hs/55Q08AAAA=",
    SWAP: "H4sIAAAAAAAA/6pWykxRslIyVNJRKi5NSkoFcXITi7JTS/Tcg0J0Q4NdQvRKihJTUvVSUksSM3OUdJRKipWsDM"
    "1MTI0sLI0tTCzMTXSUiksSS0qLlayU8rOVagEBAAD//+z5YMFTAAAA",
}
FRAME = {
    SPOT: '{"ch":"market.btcusdt.kline.1min","ts":1790274492203,"tick":{"id":1790274480,"open":'
    '84446.05,"close":84446.05,"low":84446.05,"high":84446.05,"amount":0.018121,"vol":1530.24687205'
    ',"count":8}}',
    SWAP: '{"ch":"market.BTC-USDT.kline.1min","ts":1603707124366,"tick":{"id":1603707120,"mrid":'
    '131592424,"open":13067.7,"close":13067.7,"high":13067.7,"low":13067.7,"amount":0.004,"vol":4,'
    '"trade_turnover":52.2708,"count":1}}',
}
ROWS = {
    SPOT: '{"status":"ok","ch":"market.ethbtc.kline.1min","ts":1591515374371,"data":[{"amount":'
    '1.2082,"open":0.025096,"close":0.025095,"high":0.025096,"id":1591515300,"count":6,"low":'
    '0.025095,"vol":0.0303205097}]}',
    SWAP: '{"ch":"market.BTC-USDT.kline.1min","ts":1790677523089,"status":"ok","data":[{"id":'
    '1790677380,"open":84049.9,"close":84053.1,"high":84053.2,"low":84036.3,"amount":2.736,"vol":'
    '2736,"trade_turnover":229963.474,"count":34}]}',
}
INSTRUMENT = {
    SPOT: '{"base-currency":"btc","quote-currency":"usdt","price-precision":2,"amount-precision":6,'
    '"symbol-partition":"main","symbol":"btcusdt","state":"online","value-precision":8,'
    '"api-trading":"enabled"}',
    SWAP: '{"symbol":"BTC","contract_code":"BTC-USDT","contract_size":0.001,"price_tick":0.1,'
    '"delivery_date":"","delivery_time":"","create_date":"20201021","contract_status":1,'
    '"business_type":"swap","pair":"BTC-USDT","contract_type":"swap","trade_partition":"USDT"}',
}


def standing(name: str, at: float = NOON + 30, real: float = 0.0) -> World:
    """The world of a market, whose trades are drawn once, at another moment."""
    return replace(WORLDS[name], now=Moment(at, real))


def connect(name: str, around: World | None = None) -> Conversation:
    """A new connection."""
    return connected(DIALECTS[name], DIALECTS[name].kind.socket, around or standing(name))


def unpacked(actions: Iterable[Action]) -> list[Any]:
    """The frames among some actions, all of which are gzip."""
    sent = [action.frame for action in actions if isinstance(action, Send)]
    assert all(isinstance(frame, bytes) for frame in sent)
    return [json.loads(gzip.decompress(frame)) for frame in sent if isinstance(frame, bytes)]


def ask(talk: Conversation, message: object, around: World) -> list[Any]:
    """What answers a message."""
    return unpacked(talk.received(json.dumps(message), around))


def topic(symbol: str, period: str = "1min") -> str:
    """The topic of a pair's candles."""
    return f"market.{symbol}.kline.{period}"


def reply(name: str, path: str = "", /, **query: object) -> HttpReply:
    """A reply of a candle endpoint; `from_` means `from`."""
    words = {key.rstrip("_"): value for key, value in query.items()}
    asked = {ASKED[name]: BTC[name], "period": "1min", **words}
    return get(DIALECTS[name], path or KLINE[name], standing(name), **asked)


def rows(name: str, path: str = "", /, **query: object) -> list[dict[str, Any]]:
    """Rows of history."""
    body: Any = json.loads(written(reply(name, path, **query)))
    assert body["status"] == "ok", body
    found: list[dict[str, Any]] = body["data"]
    return found


def written(reply: HttpReply) -> bytes:
    """A body as it goes over the wire."""
    return orjson.dumps(reply.body)


def opens(found: list[dict[str, Any]]) -> list[int]:
    """Open times in minutes from noon."""
    return [(row["id"] - NOON) // 60 for row in found]


# --- against the recordings


@EACH
def test_packing_as_recorded(name: str) -> None:
    """Frames are gzip; on the swap socket with the recorded sync flush block, on spot without."""
    recorded = [b64decode(PING[name]), b64decode(CONFIRMED[name])]
    [ping] = connect(name).tick(standing(name, real=5))
    assert isinstance(ping, Send)
    assert isinstance(ping.frame, bytes)

    flushed = [b"\x00\x00\xff\xff" in frame for frame in (*recorded, ping.frame)]
    assert flushed == [name == SWAP] * 3
    assert ping.frame[:3] == recorded[0][:3]


@EACH
def test_ping_as_recorded(name: str) -> None:
    """The server's ping holds one number."""
    [ping] = unpacked(connect(name).tick(standing(name, real=5)))
    assert shape(ping) == shape(json.loads(gzip.decompress(b64decode(PING[name]))))


@EACH
def test_confirmation_as_recorded(name: str) -> None:
    """A confirmation has the recorded keys in their order, and repeats id and topic."""
    talk, around = connect(name), standing(name)
    expected = json.loads(gzip.decompress(b64decode(CONFIRMED[name])))

    asked = {"sub": topic(BTC[name]), "id": expected["id"]}
    [confirmed] = ask(talk, asked, around)
    [again] = ask(talk, asked, around)
    [ended] = ask(talk, {"unsub": topic(BTC[name]), "id": expected["id"]}, around)

    assert shape(confirmed) == shape(expected)
    assert (confirmed["id"], confirmed["subbed"]) == (expected["id"], topic(BTC[name]))
    assert again == confirmed
    assert ended["unsubbed"] == topic(BTC[name])
    assert not talk.channels


@EACH
def test_frame_as_recorded(name: str) -> None:
    """A frame has the recorded keys in their order; its numbers are numbers."""
    talk, around = connect(name), standing(name)
    ask(talk, {"sub": topic(BTC[name])}, around)
    [channel] = talk.channels.values()
    bar = around.market.current("BTC-USDT", "1m", around.now.market)

    [frame] = talk.candle(Push(channel, bar, closed=False, first=False), around)

    assert isinstance(frame, bytes)
    assert shape(json.loads(gzip.decompress(frame))) == shape(json.loads(FRAME[name]))


@EACH
def test_rows_as_recorded(name: str) -> None:
    """A page has the recorded shape; spot is newest first, swaps are oldest first."""
    recorded = json.loads(ROWS[name])
    body = json.loads(written(reply(name, size=1)))

    assert kinds(body).keys() == kinds(recorded).keys()
    assert kinds(body["data"][0]) == kinds(recorded["data"][0])
    expected = [0, -1, -2] if name == SPOT else [-2, -1, 0]
    assert opens(rows(name, size=3)) == expected
    assert reply(name).rows == "data"


@EACH
def test_instruments_as_recorded(name: str) -> None:
    """Instruments have the recorded keys; what ended says so; swaps hold a dated future, too."""
    around = world(DIALECTS[name])
    around.market.delist("ETH-USDT", NOON, vanish=False)
    body: Any = get(DIALECTS[name], INSTRUMENTS[name], around).body

    found = {row.get("contract_code", row["symbol"]): row for row in body["data"]}
    assert shape(found[BTC[name]]) == shape(json.loads(INSTRUMENT[name]))
    if name == SPOT:
        states = [found[symbol]["state"] for symbol in ("btcusdt", "ethusdt", "veneth")]
        assert states == ["online", "offline", "offline"]
    else:
        assert [found[code]["contract_status"] for code in ("BTC-USDT", "ETH-USDT")] == [1, 3]
        assert found["BTC-USDT-261225"]["business_type"] == "futures"
        assert found["BTC-USDT"]["contract_size"] == 0.001


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", "0.0"),
        ("84446.05", "84446.05"),
        ("3", "3.0"),
        ("0.001", "0.001"),
        ("0.000158", "1.58E-4"),
        ("0.00002", "2.0E-5"),
        ("12345678.9", "1.23456789E7"),
        ("10000000", "1.0E7"),
    ],
)
def test_numbers_in_exponent_form(value: str, expected: str) -> None:
    """Small and large numbers have the recorded exponent form, and lose no digit."""
    shown = orjson.dumps(printed(Decimal(value))).decode()
    assert shown == expected
    assert Decimal(shown) == Decimal(value)


# --- subscribing


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        (SPOT, topic("btcusdt", "3min"), "invalid topic market.btcusdt.kline.3min"),
        (SPOT, topic("nopejpy"), "invalid symbol nopejpy"),
        (SPOT, topic("BTCUSDT"), "invalid symbol BTCUSDT"),
        (SPOT, "market.btcusdt.depth", "invalid topic market.btcusdt.depth"),
        (SWAP, topic("BTC-USDT", "1year"), "invalid topic market.BTC-USDT.kline.1year"),
        (SWAP, topic("NOPE-USDT"), "invalid topic market.NOPE-USDT.kline.1min"),
    ],
)
def test_refusals(name: str, asked: str, expected: str) -> None:
    """A bad period or symbol is refused by the card's text, with the request's id."""
    talk, around = connect(name), standing(name)

    [refused] = ask(talk, {"sub": asked, "id": "id2"}, around)

    assert refused == {
        "id": "id2",
        "status": "error",
        "err-code": "bad-request",
        "err-msg": expected,
        "ts": around.now.millis,
    }
    assert not talk.channels


def test_what_ended_is_not_open() -> None:
    """A pair whose trading has ended is not open now; the text ends with a blank."""
    around = world(DIALECTS[SPOT])
    around.market.delist("BTC-USDT", NOON, vanish=False)
    [refused] = ask(connect(SPOT), {"sub": topic("btcusdt"), "id": 1}, around)
    assert refused["err-msg"] == "symbol:btcusdt trade not open now "


@EACH
def test_unsubscribing_from_nothing(name: str) -> None:
    """What was not subscribed to cannot be left."""
    [refused] = ask(connect(name), {"unsub": topic(BTC[name]), "id": 1}, standing(name))
    assert refused["err-msg"] == f"unsub with not subbed topic {topic(BTC[name])}"


@EACH
def test_a_candle_may_come_before_the_confirmation(name: str) -> None:
    """At each second subscription the running bar's frame precedes the confirmation."""
    talk, around = connect(name), standing(name)
    symbols = [listing.symbol for listing in DIALECTS[name].listings[:3]]
    first = [ask(talk, {"sub": topic(symbol)}, around)[0] for symbol in symbols]
    assert ["ch" in answer for answer in first] == [False, True, False]


@EACH
def test_refused_on_request(name: str) -> None:
    """What a fault refuses is an invalid topic."""
    around = replace(standing(name), refuses=lambda pair, _: pair == "BTC-USDT")
    [refused] = ask(connect(name), {"sub": topic(BTC[name])}, around)
    assert refused["err-msg"].startswith("invalid topic")


@EACH
@pytest.mark.parametrize("message", ["no json", "[]", "{}", '{"sub":["a","b"]}'])
def test_malformed_request(name: str, message: str) -> None:
    """What is not understood is an error without an id, and the connection stays."""
    actions = list(connect(name).received(message, standing(name)))
    [error] = unpacked(actions)
    assert (error["status"], "id" in error, len(actions)) == ("error", False, 1)


def test_subscriptions_a_second() -> None:
    """Swaps take 40 subscriptions in a second; spot has no such limit."""
    found = {}
    for name in (SPOT, SWAP):
        talk, around = connect(name), standing(name)
        message = json.dumps({"sub": topic(BTC[name]), "id": 1})
        for _ in range(40):
            talk.received(message, around)
        found[name] = list(talk.received(message, around))
    assert [type(action) for action in found[SPOT]] == [Send]
    assert found[SWAP][0] == Overstep("subscriptions a second", 40, 41)
    [refused] = unpacked(found[SWAP])
    assert refused["err-msg"] == f"429 too many request topic is {topic('BTC-USDT')}"


# --- heartbeat


def test_unanswered_pings() -> None:
    """Pings come at 5 s, at 10 s, then each second; at 15 s the close with 1003."""
    talk, times = connect(SPOT), []
    while (due := talk.due) is not None:
        actions = list(talk.tick(standing(SPOT, NOON + due, due)))
        times.append(due)
    assert times == [5, 10, 11, 12, 13, 14, 15]
    assert actions == [Close(1003, "ping check expired")]


def test_answered_pings() -> None:
    """A pong with the ping's number counts; another number does not."""
    talk = connect(SPOT)
    [ping] = unpacked(talk.tick(standing(SPOT, NOON + 5, 5)))

    ask(talk, {"pong": ping["ping"] + 1}, standing(SPOT, real=6))
    assert talk.due == 10
    ask(talk, {"pong": ping["ping"]}, standing(SPOT, real=7))
    assert talk.due == 12
    assert ask(talk, {"ping": 18}, standing(SPOT)) == [{"pong": 18}]


# --- REST


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"from_": -5, "to": -2}, [-3, -4, -5]),
        ({"from_": -5, "to": -2, "size": 2}, [-3, -4]),
        ({"to": -2, "size": 2}, [-3, -4]),
        ({"size": 2}, [0, -1]),
    ],
)
def test_bounds_of_spot(query: dict[str, int], expected: list[int]) -> None:
    """`from` includes, `to` does not, the newest rows win and come first."""
    asked = {key: n if key == "size" else NOON + 60 * n for key, n in query.items()}
    assert opens(rows(SPOT, "/market/history/candles", **asked)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"from_": -5, "to": -2}, [-5, -4, -3, -2]),
        ({"from_": -5, "to": -2, "size": 2}, [-1, 0]),
        ({"size": 2}, [-1, 0]),
    ],
)
def test_bounds_of_swaps(query: dict[str, int], expected: list[int]) -> None:
    """Both bounds include, unless there is a size: then they are ignored."""
    asked = {key: n if key == "size" else NOON + 60 * n for key, n in query.items()}
    assert opens(rows(SWAP, **asked)) == expected


@pytest.mark.parametrize(
    ("name", "query", "text"),
    [
        (SPOT, {"size": 2_001}, "invalid size"),
        (SWAP, {"size": 0}, "invalid size"),
        (SPOT, {"symbol": "nope"}, "invalid symbol"),
        (SWAP, {"contract_code": "nope"}, "invalid contract_code"),
        (SPOT, {"period": "3min"}, "invalid period"),
        (SWAP, {"period": "1year"}, "invalid period"),
        (SWAP, {"from_": NOON - 600}, "invalid from or to"),
        (SWAP, {"from_": NOON - 2_002 * 60, "to": NOON}, "invalid from or to"),
    ],
)
def test_errors(name: str, query: dict[str, object], text: str) -> None:
    """Errors come inside HTTP 200, in the recorded envelope."""
    found = reply(name, **query)
    expected = {"status": "error", "err-code": "invalid-parameter", "err-msg": text}
    assert (found.status, found.body) == (200, {"ts": (NOON + 30) * 1_000, **expected})


@EACH
def test_a_fault_finds_the_rows(name: str) -> None:
    """Rows are where the reply says that they are."""
    assert len(doubled(DIALECTS[name], reply(name, size=20))["data"]) > 20


def test_ranges_know_no_months() -> None:
    """Spot's endpoint with a range refuses months and years, and sizes above 1000."""
    path = "/market/history/candles"
    wrong = ({"period": "1mon"}, {"period": "1year"}, {"size": 1_001})
    bodies: list[Any] = [reply(SPOT, path, **query).body for query in wrong]
    assert {body["status"] for body in bodies} == {"error"}
    assert len(rows(SPOT)) == len(rows(SPOT, path)) == 150


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("60min", "2026-11-25T12:00"),
        ("4hour", "2026-11-25T12:00"),
        ("1day", "2026-11-24T16:00"),
        ("1mon", "2026-10-31T16:00"),
        ("1year", "2025-12-31T16:00"),
    ],
)
def test_days_are_cut_in_the_east(period: str, expected: str) -> None:
    """Days, months and years open at 16:00 UTC, as recorded; shorter bars coincide with UTC."""
    newest, before = rows(SPOT, period=period, size=2)
    assert f"{datetime.fromtimestamp(newest['id'], UTC):%Y-%m-%dT%H:%M}" == expected
    grid = DIALECTS[SPOT].intervals[{"60min": "1h", "4hour": "4h"}.get(period, "1d")]
    if period in ("60min", "4hour", "1day"):
        assert grid.after(before["id"]) == newest["id"]


@EACH
def test_rows_chain_and_empty_bars_are_there(name: str) -> None:
    """Each bar opens where the last one closed; bars without trades have zeros."""
    found = sorted(rows(name, **{ASKED[name]: ALGO[name]}), key=lambda row: row["id"])
    assert all(before["close"] == after["open"] for before, after in pairwise(found))
    assert any(row["amount"] == row["count"] == 0 for row in found)


def test_swaps_count_both_sides() -> None:
    """On every swap the contracts are even, and fit the base volume."""
    info: Any = get(DIALECTS[SWAP], INSTRUMENTS[SWAP], standing(SWAP)).body
    sizes = {row["contract_code"]: row["contract_size"] for row in info["data"]}
    for listing in DIALECTS[SWAP].listings:
        [row, _] = rows(SWAP, contract_code=listing.symbol, period="60min", size=2)
        assert row["vol"] % 2 == 0 < row["vol"]
        assert row["vol"] * sizes[listing.symbol] == pytest.approx(row["amount"])


def test_one_contract() -> None:
    """One contract may be asked for; an unknown one is an error."""
    one: Any = get(DIALECTS[SWAP], INSTRUMENTS[SWAP], contract_code="ETH-USDT").body
    none: Any = get(DIALECTS[SWAP], INSTRUMENTS[SWAP], contract_code="NOPE").body
    assert ([row["symbol"] for row in one["data"]], none["status"]) == (["ETH"], "error")


@EACH
def test_budget_and_other_paths(name: str) -> None:
    """Replies tell what is left; other paths are refused."""
    dialect: Dialect = DIALECTS[name]
    headers = dialect.budget_headers("public", 3, standing(name))
    allowed = DIALECTS[name].kind.rest.allowed
    assert str(allowed - 3) in headers.values()
    refused = dialect.connect(HttpRequest("GET", "/ws/v2", {}, {}), standing(name))
    assert isinstance(refused, HttpReply)
    assert refused.status == get(dialect, "/market/trade", standing(name)).status == 404
    assert dialect.slow_down(3, standing(name)).headers == {"Retry-After": "3"}


def test_recorded_gzip_is_what_this_test_takes_it_for() -> None:
    """The recorded swap frame is one gzip member that needs no special reader."""
    reader = zlib.decompressobj(wbits=31)
    assert json.loads(reader.decompress(b64decode(PING[SWAP]))) == {"ping": 1645289394596}
    assert reader.eof
