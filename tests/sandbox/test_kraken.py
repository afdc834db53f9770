"""Kraken's dialects, held against the card and what was recorded."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox import kraken
from connectors.sandbox.dialect import Conversation, HttpReply, HttpRequest, Push, World
from connectors.sandbox.kraken import KrakenPerpetual, KrakenSpot
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
from tests.sandbox.wired import Client, heard

SPOT, FUTURES = KrakenSpot(), KrakenPerpetual()
AROUND, AROUND_FUTURES = world(SPOT), world(FUTURES)  # for tests that change nothing in them
OHLC = "/0/public/OHLC"

# Recorded: a codec's tests (2026-09-10), a market-data module's tests (2026-10-06), BYTEX payloads
# (2026-09-25), nautilus_trader test data.
STATUS = (
    '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online",'
    '"api_version":"v2","connection_id":16174536464690282295,"upcoming_maintenance":[],'
    '"emergency":[]}]}'
)
CONFIRMED: Any = json.loads(
    '{"method":"subscribe","result":{"channel":"ohlc","interval":1,"snapshot":true,'
    '"symbol":"BTC/USD","warnings":["timestamp is deprecated, use interval_begin"]},'
    '"success":true,"time_in":"2026-10-06T18:06:01.981684Z",'
    '"time_out":"2026-10-06T18:06:01.981723Z"}'
)
REFUSED: Any = json.loads(
    '{"error":"Currency pair not supported XBT/USDT","method":"subscribe","success":false,'
    '"symbol":"XBT/USDT","time_in":"2026-09-10T17:44:44.609516Z",'
    '"time_out":"2026-09-10T17:44:44.609555Z"}'
)
PONG: Any = json.loads(
    '{"method":"pong","req_id":42,"time_in":"2023-09-25T09:05:00.123456Z",'
    '"time_out":"2023-09-25T09:05:00.123500Z"}'
)
UPDATE = (
    '{"channel":"ohlc","type":"update","timestamp":"2026-10-06T18:06:02.264627814Z","data":['
    '{"symbol":"BTC/USD","open":85754.8,"high":85754.8,"low":85754.7,"close":85754.8,"trades":5,'
    '"volume":0.00126522,"vwap":85754.7,"interval_begin":"2026-10-06T18:06:00.000000000Z",'
    '"interval":1,"timestamp":"2026-10-06T18:07:00.000000Z"}]}'
)
ROWS: Any = json.loads(
    '{"error":[],"result":{"XBTUSDT":['
    '[1762777080,"106038.2","106038.2","106038.2","106038.2","0.0","0.00000000",0],'
    '[1762777140,"106038.3","106038.3","106038.3","106038.3","106038.3","0.00032101",1]],'
    '"last":1762820160}}'
)
UNKNOWN_PAIR: Any = json.loads('{"error":["EQuery:Unknown asset pair"],"result":null}')
PAIR: Any = json.loads(
    '{"altname":"XBTUSD","wsname":"XBT/USD","aclass_base":"currency","base":"XXBT",'
    '"aclass_quote":"currency","quote":"ZUSD","lot":"unit","cost_decimals":5,"pair_decimals":1,'
    '"lot_decimals":8,"lot_multiplier":1,"ordermin":"0.00005","costmin":"0.5","tick_size":"0.1",'
    '"status":"online","execution_venue":"international"}'
)
CHARTS: Any = json.loads(
    '{"candles":[{"time":1731715200000,"open":"91069","high":"91373.5","low":"90956",'
    '"close":"91045.5","volume":"319499"}],"more_candles":false}'
)
CONTRACT: Any = json.loads(
    '{"symbol":"PF_XBTUSD","type":"flexible_futures","tickSize":1,"contractSize":1,'
    '"tradeable":true,"openingDate":"2022-03-22T13:15:36Z","contractValueTradePrecision":4,'
    '"base":"BTC","quote":"USD","pair":"BTC:USD","isExpired":false}'
)


def wish(*symbols: object, interval: object = 1, **more: Any) -> dict[str, Any]:
    """A subscription to candles, without a snapshot unless asked for."""
    params = {"channel": "ohlc", "symbol": list(symbols), "interval": interval, "snapshot": False}
    params |= more.pop("params", {})
    return {"method": "subscribe", "params": params, **more}


def snapshot(conversation: Conversation, *symbols: str, around: World = AROUND) -> list[Any]:
    """The rows of the snapshot of a subscription."""
    *_, frame = ask(conversation, wish(*symbols, params={"snapshot": True}), around)
    assert (frame["channel"], frame["type"]) == ("ohlc", "snapshot")
    rows: list[Any] = frame["data"]
    return rows


def opened(row: dict[str, Any]) -> int:
    """When a frame's row opens, in seconds after noon."""
    return round(datetime.fromisoformat(row["interval_begin"]).timestamp()) - NOON


def body(reply: HttpReply) -> Any:
    """The body of a reply, as JSON has it."""
    return json.loads(orjson.dumps(reply.body))


def ohlc(pair: str = "XBTUSD", **query: object) -> tuple[str, list[list[Any]], int]:
    """The key, the rows and `last` of a reply."""
    found = body(get(SPOT, OHLC, AROUND, pair=pair, **query))
    assert found["error"] == [], found
    (key,) = found["result"].keys() - {"last"}
    return key, found["result"][key], found["result"]["last"]


# --- spot: frames


def test_status_as_recorded() -> None:
    """The status comes first; its connection id has more than 63 bits."""
    conversation = SPOT.connect(HttpRequest("GET", "/v2", {}, {}), AROUND)

    assert isinstance(conversation, Conversation)
    assert said(conversation.opened(AROUND)) == [json.loads(STATUS)]


def test_update_as_recorded() -> None:
    """An update has the recorded keys in their order; its numbers have fixed digits."""
    conversation = connected(SPOT, "/v2", AROUND)
    ask(conversation, wish("BTC/USD"), AROUND)
    bar = AROUND.market.bar("BTC-USD", "1m", NOON)

    (raw,) = conversation.candle(
        Push(conversation.channels["1:BTC/USD"], bar, closed=False, first=False), AROUND
    )

    (row,) = json.loads(raw, parse_float=str)["data"]
    (expected,) = json.loads(UPDATE, parse_float=str)["data"]
    assert shape(json.loads(raw)) == shape(json.loads(UPDATE))
    for name in expected.keys() - {"trades", "interval", "symbol"}:
        assert len(row[name].partition(".")[2]) == len(expected[name].partition(".")[2]), name
    assert [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")] == [
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
    ]
    assert bar.low <= Decimal(row["vwap"]) <= bar.high
    assert (opened(row), row["timestamp"]) == (0, "2026-11-25T12:01:00.000000Z")


def test_trailing_zeros_stay() -> None:
    """Volumes have eight digits, zeros at their end included, as the recorded ticker has."""
    conversation = connected(SPOT, "/v2", AROUND)
    ask(conversation, wish("BTC/USD"), AROUND)
    channel = conversation.channels["1:BTC/USD"]

    printed = []
    for bar in AROUND.market.bars("BTC-USD", "1m", NOON - 6_000, NOON - 60, NOON):
        push = Push(channel, bar, closed=False, first=False)
        (raw,) = conversation.candle(push, AROUND)
        printed.append(json.loads(raw, parse_float=str)["data"][0]["volume"])

    assert {len(volume.partition(".")[2]) for volume in printed} == {8}
    assert any(volume.endswith("0") for volume in printed)


def test_snapshot_as_recorded() -> None:
    """The last twelve closed bars come, oldest first; by turns the running one with them."""
    conversation = connected(SPOT, "/v2", AROUND)

    first, second = (snapshot(conversation, symbol) for symbol in ("BTC/USD", "ETH/USD"))

    assert [opened(row) for row in first] == [-60 * n for n in range(12, 0, -1)]
    assert [opened(row) for row in second] == [-60 * n for n in range(12, -1, -1)]
    assert shape(first[0]) == shape(json.loads(UPDATE)["data"][0])


def test_snapshot_has_holes() -> None:
    """Bars without trades, and those that a fault keeps off, are absent."""
    around = world(SPOT)
    quiet = snapshot(connected(SPOT, "/v2", around), "ALGO/USD", around=around)
    object.__setattr__(around, "skips", lambda _pair, _interval, opens: opens == NOON - 120)
    skipped = snapshot(connected(SPOT, "/v2", around), "BTC/USD", around=around)

    assert len(quiet) < 12
    assert all(row["trades"] for row in quiet)
    assert -120 not in map(opened, skipped)
    assert len(skipped) == 11


def test_one_snapshot_for_all_symbols() -> None:
    """The confirmations of a request come first, then one frame with the rows of all."""
    message = wish("BTC/USD", "NO/USD", "ETH/USD", params={"snapshot": True})

    *answers, frame = ask(connected(SPOT, "/v2", AROUND), message, AROUND)

    assert [answer["success"] for answer in answers] == [True, False, True]
    assert list(dict.fromkeys(row["symbol"] for row in frame["data"])) == ["BTC/USD", "ETH/USD"]


# --- spot: conversation


def test_confirmation_as_recorded() -> None:
    """Each symbol has its own confirmation, which names it and echoes the request's id."""
    conversation = connected(SPOT, "/v2", AROUND)
    message = wish("BTC/USD", "ETH/USD", req_id=7, params={"snapshot": True})

    first, second, _ = ask(conversation, message, AROUND)

    assert kinds(first) == {**kinds(CONFIRMED), "req_id": "int"}
    assert first["result"] == CONFIRMED["result"]
    assert (first["req_id"], second["req_id"], second["result"]["symbol"]) == (7, 7, "ETH/USD")
    assert list(conversation.channels) == ["1:BTC/USD", "1:ETH/USD"]


@pytest.mark.parametrize(
    ("symbol", "text"),
    [
        ("XBT/USDT", "Currency pair not supported XBT/USDT"),
        ("btc/usd", "Currency pair not supported btc/usd"),
        ("XBTUSD", "Currency pair not in ISO 4217-A3 format XBTUSD"),
    ],
)
def test_refusal_as_recorded(symbol: str, text: str) -> None:
    """A symbol that is not known is refused by name; those beside it are served."""
    conversation = connected(SPOT, "/v2", AROUND)

    refused, confirmed = ask(conversation, wish(symbol, "BTC/USD"), AROUND)

    assert kinds(refused) == kinds(REFUSED)
    assert (refused["error"], refused["symbol"], refused["success"]) == (text, symbol, False)
    assert confirmed["success"] is True
    assert list(conversation.channels) == ["1:BTC/USD"]


@pytest.mark.parametrize("interval", [10, 720, "1", 3])
def test_interval_that_is_not_offered(interval: object) -> None:
    """A bad interval fails the whole request, and no symbol is named."""
    conversation = connected(SPOT, "/v2", AROUND)

    (error,) = ask(conversation, wish("BTC/USD", interval=interval, req_id=1), AROUND)

    assert error["error"] == "Subscription ohlc interval not supported"
    assert "symbol" not in error
    assert error["req_id"] == 1
    assert not conversation.channels


@pytest.mark.parametrize(
    "message", ["nonsense", "[]", '{"method":"subscribe"}', '{"method":"shout","params":{}}']
)
def test_malformed(message: str) -> None:
    """What is not understood is told so."""
    (error,) = said(connected(SPOT, "/v2", AROUND).received(message, AROUND))

    assert (error["error"], error["success"]) == ("Malformed request", False)


def test_twice_and_unsubscribing() -> None:
    """A second subscription is refused and the first goes on; its end is confirmed once."""
    conversation = connected(SPOT, "/v2", AROUND)
    ask(conversation, wish("BTC/USD"), AROUND)

    (again,) = ask(conversation, wish("BTC/USD"), AROUND)
    assert (again["error"], again["symbol"]) == ("Already subscribed", "BTC/USD")
    assert list(conversation.channels) == ["1:BTC/USD"]

    end = {**wish("BTC/USD"), "method": "unsubscribe"}
    (confirmed,) = ask(conversation, end, AROUND)
    assert (confirmed["method"], confirmed["success"]) == ("unsubscribe", True)
    assert not conversation.channels
    assert ask(conversation, end, AROUND)[0]["success"] is False


def test_refused_by_a_fault_and_ended() -> None:
    """What a fault refuses is not supported; a pair that has ended is confirmed and silent."""
    around = world(SPOT, refuses=lambda pair, _: pair == "ETH-USD")
    around.market.delist("SOL-USD", NOON, vanish=False)
    conversation = connected(SPOT, "/v2", around)

    refused, ended = ask(conversation, wish("ETH/USD", "SOL/USD"), around)

    assert refused["error"] == "Currency pair not supported ETH/USD"
    assert ended["success"] is True
    assert not conversation.channels


def test_heartbeats_and_pings() -> None:
    """A second after the last frame a heartbeat comes, once there is a subscription."""
    conversation = connected(SPOT, "/v2", AROUND)
    (pong,) = ask(conversation, {"method": "ping", "req_id": 42}, AROUND)
    assert shape(pong) == shape(PONG)
    assert conversation.due is None

    ask(conversation, wish("BTC/USD"), AROUND)
    assert conversation.due == 1
    later = world(SPOT, real=0.5)
    bar = AROUND.market.current("BTC-USD", "1m", NOON + 30)
    candle(conversation, conversation.channels["1:BTC/USD"], bar, later)
    assert conversation.due == 1.5
    assert said(conversation.tick(world(SPOT, real=1.5))) == [{"channel": "heartbeat"}]
    assert conversation.due == 2.5


async def test_heartbeats_over_a_socket(slow: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet pair's connection has heartbeats alone after its confirmation."""
    monkeypatch.setattr(kraken, "HEARTBEAT", 0.1)
    socket = await slow.connect("/kraken_spot/v2")
    assert (await heard(socket))["channel"] == "status"
    await socket.send(json.dumps(wish("ALGO/USD")))

    assert (await heard(socket))["success"] is True
    assert await heard(socket) == {"channel": "heartbeat"}
    await socket.close()


# --- spot: REST


def test_rows_as_recorded() -> None:
    """Rows have the recorded columns and digits; bars without trades are filled."""
    _, rows, _ = ohlc("XBTUSD")
    (empty, full) = ROWS["result"]["XBTUSDT"]
    assert [shape(row) for row in rows] == [shape(full)] * 721
    for name, figure in enumerate(full[1:7], start=1):
        assert len(rows[0][name].partition(".")[2]) == len(figure.partition(".")[2])

    _, quiet, _ = ohlc("ALGOUSD")
    flat = [(before, row) for before, row in pairwise(quiet) if not row[7]]
    assert {late[0] - early[0] for early, late in pairwise(quiet)} == {60}
    assert flat
    for before, row in flat:
        assert row[1:5] == [before[4]] * 4
        assert (Decimal(row[5]), row[6]) == (0, empty[6])


def test_rows_are_the_frames() -> None:
    """History says the same as the stream."""
    conversation = connected(SPOT, "/v2", AROUND)
    pushed = snapshot(conversation, "BTC/USD")[-1]
    _, rows, _ = ohlc()

    row = next(row for row in rows if row[0] == NOON + opened(pushed))
    figures = [pushed[name] for name in ("open", "high", "low", "close", "vwap", "volume")]
    assert [float(figure) for figure in row[1:7]] == figures
    assert row[7] == pushed["trades"]


def test_only_the_newest_come() -> None:
    """720 closed rows and the running one come, whatever `since` says; `last` is committed."""
    _, rows, last = ohlc(since=0)

    assert (len(rows), rows[0][0], rows[-1][0]) == (721, NOON - 720 * 60, NOON)
    assert last == NOON - 60


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (NOON - 180, [-120, -60, 0]),
        (NOON - 181, [-180, -120, -60, 0]),
        (NOON - 60, [0]),
        (NOON + 600, [0]),
    ],
)
def test_since_is_exclusive(since: int, expected: list[int]) -> None:
    """Rows after `since` come; the running one always does."""
    assert [row[0] - NOON for row in ohlc(since=since)[1]] == expected


def test_names_of_rest() -> None:
    """Old name, key and modern name work, `wsname` does not; the reply's key changes."""
    keys = [ohlc(pair)[0] for pair in ("XBTUSD", "XXBTZUSD", "BTC/USD", "XBTUSD")]
    assert keys[0] == keys[2] != keys[1] == keys[3]
    assert set(keys) == {"XXBTZUSD", "BTC/USD"}
    assert {ohlc("ETHXBT")[0], ohlc("ETHXBT")[0]} == {"XETHXXBT", "ETH/BTC"}

    refused = get(SPOT, OHLC, AROUND, pair="XBT/USD")

    assert (refused.status, refused.body) == (200, UNKNOWN_PAIR)


@pytest.mark.parametrize("query", [{"interval": 10}, {"interval": "1m"}, {"since": "noon"}])
def test_errors_are_http_200(query: dict[str, object]) -> None:
    """A bad parameter is told in the array `error`, inside HTTP 200."""
    found = get(SPOT, OHLC, AROUND, pair="XBTUSD", **query)
    errors: Any = found.body

    assert found.status == 200
    assert errors["error"][0].startswith("EGeneral:Invalid arguments")


def test_trouble_is_http_200() -> None:
    """Too many requests are told so by turns in two ways; trouble has its own words."""
    bodies: list[Any] = [SPOT.slow_down(None, AROUND).body for _ in range(2)]

    texts = [errors["error"] for errors in bodies]
    assert texts == [["EGeneral:Too many requests"], ["EAPI:Rate limit exceeded"]]
    assert SPOT.server_error(AROUND).body == {"error": ["EService:Unavailable"], "result": None}


def test_pairs_as_recorded() -> None:
    """Pairs have the recorded keys and names; `wsname` and asset ids are old."""
    around = world(SPOT)
    around.market.delist("SOL-USD", NOON, vanish=False)

    pairs = body(get(SPOT, "/0/public/AssetPairs", around))["result"]
    assets = body(get(SPOT, "/0/public/Assets", around))["result"]

    assert pairs["XXBTZUSD"] == PAIR
    assert (pairs["XDGUSD"]["base"], pairs["XDGUSD"]["wsname"]) == ("XXDG", "XDG/USD")
    assert (pairs["XETHXXBT"]["altname"], pairs["XETHXXBT"]["wsname"]) == ("ETHXBT", "ETH/XBT")
    assert pairs["SOLUSD"]["status"] == "cancel_only"
    assert assets["XXBT"]["altname"] == "XBT"
    assert all(pair["base"] in assets and pair["quote"] in assets for pair in pairs.values())


# --- futures


def charts(symbol: str = "PF_XBTUSD", kind: str = "trade", **query: object) -> Any:
    """The reply of the charts, 1m."""
    return body(get(FUTURES, f"/api/charts/v1/{kind}/{symbol}/1m", AROUND_FUTURES, **query))


def times(found: Any) -> list[int]:
    """Its open times, in seconds after noon."""
    return [row["time"] // 1_000 - NOON for row in found["candles"]]


def test_charts_as_recorded() -> None:
    """Candles have the recorded keys and types; bounds are seconds, rows milliseconds."""
    found = charts(**{"from": NOON - 120, "to": NOON + 1})

    assert kinds(found).keys() == kinds(CHARTS).keys()
    assert [kinds(row) for row in found["candles"]] == [kinds(CHARTS["candles"][0])] * 3
    assert times(found) == [-120, -60, 0]
    for row in found["candles"]:
        bar = AROUND_FUTURES.market.state("BTC-USD", "1m", row["time"] // 1_000, NOON + 30)
        figures = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        names = ("open", "high", "low", "close", "volume")
        assert [Decimal(row[name]) for name in names] == list(figures)


@pytest.mark.parametrize(
    ("query", "first", "last", "more"),
    [
        ({"from": NOON - 600_000}, -600_000, -480_060, True),
        ({"from": NOON - 600_000, "to": NOON}, -120_000, -60, True),
        ({"from": NOON - 120_000, "to": NOON}, -120_000, -60, False),
        ({}, -119_940, 0, True),
    ],
)
def test_pages_of_charts(query: dict[str, object], first: int, last: int, *, more: bool) -> None:
    """At most 2000 rows come; `more_candles` says that there were more."""
    found = charts(**query)

    assert (times(found)[0], times(found)[-1], found["more_candles"]) == (first, last, more)
    assert len(found["candles"]) == 2_000


def test_holes_and_other_prices() -> None:
    """Bars without trades are missing; mark prices have no volume; an unknown symbol is empty."""
    since = {"from": NOON - 18_000}
    quiet = times(charts("PF_ALGOUSD", **since))
    assert any(late - early > 60 for early, late in pairwise(quiet))
    assert {row["volume"] for row in charts(kind="mark", **since)["candles"]} == {"0"}
    for symbol in ("PF_NOUSD", "PF_BTCUSD"):
        assert charts(symbol) == {"candles": [], "more_candles": False}


def test_bad_resolution_as_recorded() -> None:
    """A bad resolution is HTTP 400 in plain text; another tick type does not exist."""
    found = get(FUTURES, "/api/charts/v1/trade/PF_XBTUSD/3m", AROUND_FUTURES)
    bound = get(FUTURES, "/api/charts/v1/trade/PF_XBTUSD/1m", AROUND_FUTURES, to="noon")

    assert (found.status, found.body) == (400, "Invalid resolution")
    assert (bound.status, isinstance(bound.body, str)) == (400, True)
    assert get(FUTURES, "/api/charts/v1/last/PF_XBTUSD/1m", AROUND_FUTURES).status == 404
    assert FUTURES.slow_down(1, AROUND_FUTURES).status == 429


def test_instruments_as_recorded() -> None:
    """Contracts have the recorded keys; another contract has the same base and quote."""
    around = world(FUTURES)
    around.market.delist("ETH-USD", NOON, vanish=False)

    found = body(get(FUTURES, "/derivatives/api/v3/instruments", around))

    rows = {row["symbol"]: row for row in found["instruments"]}
    assert rows["PF_XBTUSD"] == CONTRACT
    assert (rows["PF_ETHUSD"]["tradeable"], rows["PI_XBTUSD"]["base"]) == (False, "BTC")


def test_other_paths() -> None:
    """Other WebSockets are refused."""
    for dialect, around in ((SPOT, AROUND), (FUTURES, AROUND_FUTURES)):
        found = dialect.connect(HttpRequest("GET", "/", {}, {}), around)
        assert isinstance(found, HttpReply)
        assert found.status == 404


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the replies say that they are, whatever the key."""
    since = NOON - 20 * 60
    for _ in range(2):
        found = doubled(SPOT, get(SPOT, OHLC, AROUND, pair="XBTUSD", since=since))["result"]
        assert len(found[next(iter(found))]) > 20
    path = "/api/charts/v1/trade/PF_XBTUSD/1m"
    reply = get(FUTURES, path, AROUND_FUTURES, **{"from": NOON - 19 * 60})
    assert len(doubled(FUTURES, reply)["candles"]) > 20
