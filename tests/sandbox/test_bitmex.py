"""BitMEX's dialect, held against the card and what was recorded."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox.bitmex import BitmexPerpetual
from connectors.sandbox.dialect import (
    Close,
    Conversation,
    HttpReply,
    HttpRequest,
    Overstep,
    Push,
    Send,
    World,
)
from tests.sandbox.pretend import NOON, ask, connected, doubled, get, kinds, said, world
from tests.sandbox.wired import Client, heard

BITMEX = BitmexPerpetual()
AROUND = world(BITMEX)  # for tests that change nothing in it
BUCKETED = "/api/v1/trade/bucketed"

# Recorded: crypto-msg-parser, tests/bitmex.rs; cryptofeed, BITMEX.ws.1.0; Bitmex.NET. The partial,
# the row without trades, and the rate limit are from ccxt 4.5.64.
FRAME: Any = json.loads(
    '{"table":"tradeBin1m","action":"insert","data":[{"timestamp":"2023-02-01T00:07:00.000Z",'
    '"symbol":"XBTUSD","open":23077.5,"high":23096.5,"low":23076.5,"close":23085,"trades":93,'
    '"volume":342600,"vwap":23081.1487,"lastSize":100,"turnover":1484330812,'
    '"homeNotional":14.843308120000001,"foreignNotional":342600}]}'
)
PARTIAL: Any = json.loads(
    '{"table":"tradeBin1m","action":"partial","keys":[],"types":{"timestamp":"timestamp",'
    '"symbol":"symbol","open":"float","high":"float","low":"float","close":"float",'
    '"trades":"long","volume":"long","vwap":"float","lastSize":"long","turnover":"long",'
    '"homeNotional":"float","foreignNotional":"float"},"foreignKeys":{"symbol":"instrument"},'
    '"attributes":{"timestamp":"sorted","symbol":"grouped"},"filter":{"symbol":"XBTUSD"},"data":[]}'
)
EMPTY_BIN: Any = json.loads(
    '{"timestamp":"2015-09-25T13:38:00.000Z","symbol":"XBTUSD","open":237.45,"high":237.45,'
    '"low":237.45,"close":237.45,"trades":0,"volume":0,"vwap":null,"lastSize":null,"turnover":0,'
    '"homeNotional":0,"foreignNotional":0}'
)
WELCOME: Any = json.loads(
    '{"info":"Welcome to the BitMEX Realtime API.","version":"2021-07-14T01:26:29.000Z",'
    '"timestamp":"2021-07-22T22:36:07.865Z","docs":"https://www.bitmex.com/app/wsAPI",'
    '"limit":{"remaining":39}}'
)
UNKNOWN_TABLE: Any = json.loads(
    '{"status":400,"error":"Unknown table: tradeBin5dm","meta":{},"request":'
    '{"op":"subscribe","args":["tradeBin1m","tradeBin5dm"]}}'
)
LIMITED: Any = json.loads(
    '{"status":429,"error":"Rate limit exceeded, retry in 1 seconds.","meta":{"retryAfter":1},'
    '"request":{"op":"subscribe","args":"orderBook"}}'
)


def wish(*topics: object, op: str = "subscribe") -> dict[str, object]:
    """A request."""
    return {"op": op, "args": list(topics)}


def talk(around: World = AROUND) -> Conversation:
    """A new connection of a new client."""
    return connected(BitmexPerpetual(), "/realtime", around)


def bins(**query: object) -> list[dict[str, Any]]:
    """The bins of a reply about XBTUSD, as JSON has them."""
    reply = get(BITMEX, BUCKETED, AROUND, **{"symbol": "XBTUSD", "binSize": "1m", **query})
    found: list[dict[str, Any]] = json.loads(orjson.dumps(reply.body))
    return found


def closes(found: list[dict[str, Any]]) -> list[int]:
    """When they close, in seconds after noon."""
    return [round(datetime.fromisoformat(row["timestamp"]).timestamp()) - NOON for row in found]


def iso(after: int) -> str:
    """A time so many seconds after noon."""
    return f"{datetime.fromtimestamp(NOON + after, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def inserted(symbol: str, around: World = AROUND, at: int = NOON - 60) -> Any:
    """The frame of a closed bin."""
    conversation = talk(around)
    ask(conversation, wish(f"tradeBin1m:{symbol}"), around)
    (channel,) = conversation.channels.values()
    bar = around.market.bar(channel.trading_pair, "1m", at)
    push = Push(channel, bar, closed=True, first=False)
    (frame,) = conversation.candle(push, around)
    return json.loads(frame)


# --- bins


@pytest.mark.parametrize("symbol", ["XBTUSD", "ETHUSD", "XBTUSDT", "SOLUSDT"])
def test_frame_as_recorded(symbol: str) -> None:
    """A closed bin has the recorded keys in their order; its timestamp is its close."""
    found = inserted(symbol)

    assert list(found) == list(FRAME)
    (row,) = found["data"]
    assert list(row) == list(FRAME["data"][0])
    for name in ("trades", "volume", "lastSize", "turnover"):
        assert isinstance(row[name], int), name
    assert row["timestamp"] == "2026-11-25T12:00:00.000Z"
    assert row["low"] <= row["vwap"] <= row["high"]
    assert round(row["vwap"], 4) == row["vwap"]


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("XBTUSD", "BTC-USD"),
        ("ETHUSD", "ETH-USD"),
        ("XBTUSDT", "BTC-USDT"),
        ("ADAUSDT", "ADA-USDT"),
    ],
)
def test_sizes(symbol: str, pair: str) -> None:
    """Home is base and foreign is quote; contracts and turnover fit them as the card says."""
    (row,) = inserted(symbol)["data"]
    bar = AROUND.market.bar(pair, "1m", NOON - 60)

    assert row["homeNotional"] == pytest.approx(float(bar.volume), rel=1e-12)
    assert row["foreignNotional"] == pytest.approx(float(bar.quote_volume), rel=1e-12)
    contracts = {
        "XBTUSD": bar.quote_volume,
        "ETHUSD": bar.volume * 40,
        "XBTUSDT": bar.volume * 1_000_000,
        "ADAUSDT": bar.volume * 10_000,
    }
    assert row["volume"] == contracts[symbol]
    turnover = {
        "XBTUSD": bar.volume * 10**8,
        "ETHUSD": bar.quote_volume * 4_000,
    }
    assert row["turnover"] == turnover.get(symbol, bar.quote_volume * 10**6)


def test_computed_figures_have_tails() -> None:
    """What is computed for a quanto contract has long tails at times."""
    tails = [len(repr(row["homeNotional"])) for row in bins(symbol="ETHUSD", count=100)]

    assert max(tails) > 15


def test_open_is_the_last_close() -> None:
    """Bins hang together, even where the open lies outside of high and low."""
    found = bins(symbol="XBTUSDT", count=200, reverse="true")[::-1]

    assert [row["open"] for row in found[1:]] == [row["close"] for row in found[:-1]]
    assert any(not row["low"] <= row["open"] <= row["high"] for row in found)


def test_bins_without_trades_as_recorded() -> None:
    """A bin without trades is there, flat, with nulls."""
    found = bins(symbol="ALGOUSDT", count=100, reverse="true")
    empty = [row for row in found if not row["trades"]]

    assert {early - late for early, late in pairwise(closes(found))} == {60}
    assert empty
    for row in empty:
        flat = {"timestamp", "symbol", "open", "high", "low", "close"}
        assert {k: v for k, v in row.items() if k not in flat} == {
            k: v for k, v in EMPTY_BIN.items() if k not in flat
        }
        assert len({row[name] for name in ("open", "high", "low", "close")}) == 1


def test_open_bins_are_not_sent() -> None:
    """Nothing comes of a bin before its end."""
    conversation = talk()
    ask(conversation, wish("tradeBin1m:XBTUSD"), AROUND)
    (channel,) = conversation.channels.values()
    bar = AROUND.market.current("BTC-USD", "1m", NOON + 30)

    assert list(conversation.candle(Push(channel, bar, closed=False, first=True), AROUND)) == []


# --- conversation


def test_welcome_as_recorded() -> None:
    """The welcome comes first and counts the connections down."""
    dialect = BitmexPerpetual()
    found = []
    for _ in range(2):
        conversation = dialect.connect(HttpRequest("GET", "/realtime", {}, {}), AROUND)
        assert isinstance(conversation, Conversation)
        found += said(conversation.opened(AROUND))

    assert [kinds(welcome) for welcome in found] == [kinds(WELCOME)] * 2
    assert [welcome["limit"]["remaining"] for welcome in found] == [39, 38]


def test_confirmation_and_partial_as_recorded() -> None:
    """Each topic is confirmed with the whole request; then come partials of closed bins."""
    conversation = talk()
    request = wish("tradeBin1m:XBTUSD", "tradeBin5m:ETHUSD")

    first, second, partial, other = ask(conversation, request, AROUND)

    assert first == {"success": True, "subscribe": "tradeBin1m:XBTUSD", "request": request}
    assert second == {"success": True, "subscribe": "tradeBin5m:ETHUSD", "request": request}
    assert {**partial, "data": []} == PARTIAL
    assert list(partial) == list(PARTIAL)
    assert closes(partial["data"]) == [-60, 0]
    assert (other["table"], other["filter"]) == ("tradeBin5m", {"symbol": "ETHUSD"})
    assert closes(other["data"]) == [-300, 0]
    assert list(conversation.channels) == request["args"]


def test_partial_leaves_out_what_is_skipped() -> None:
    """A bin that a fault keeps off the stream is in no partial."""
    around = world(BITMEX)
    object.__setattr__(around, "skips", lambda _pair, _interval, opens: opens == NOON - 60)

    _, partial = ask(talk(around), wish("tradeBin1m:XBTUSD"), around)

    assert closes(partial["data"]) == [-60]


def test_bad_table_sinks_the_request_as_recorded() -> None:
    """One bad topic is named in the text alone, and nothing of its request is served."""
    conversation = talk()

    assert ask(conversation, UNKNOWN_TABLE["request"], AROUND) == [UNKNOWN_TABLE]
    assert not conversation.channels


def test_held_topic_sinks_the_request() -> None:
    """What is held already is refused with its request, and goes on."""
    conversation = talk()
    ask(conversation, wish("tradeBin1m:XBTUSD"), AROUND)

    (error,) = ask(conversation, wish("tradeBin1m:ETHUSD", "tradeBin1m:XBTUSD"), AROUND)

    assert (error["status"], error["error"]) == (400, "Already subscribed: tradeBin1m:XBTUSD")
    assert list(conversation.channels) == ["tradeBin1m:XBTUSD"]


def test_topic_without_a_symbol() -> None:
    """A table alone means all symbols, until it is unsubscribed from."""
    few = BitmexPerpetual()
    few.listings = few.listings[:3]
    around = world(few)
    conversation = talk(around)

    _, partial = ask(conversation, wish("tradeBin1h"), around)

    assert {row["symbol"] for row in partial["data"]} == {"XBTUSD", "ETHUSD", "XBTUSDT"}
    assert len(conversation.channels) == 3
    ask(conversation, wish("tradeBin1h:XBTUSD"), around)
    (end,) = ask(conversation, wish("tradeBin1h", op="unsubscribe"), around)
    assert (end["success"], end["unsubscribe"]) == (True, "tradeBin1h")
    assert list(conversation.channels) == ["tradeBin1h:XBTUSD"]


def test_unknown_symbol_is_silent() -> None:
    """An unknown symbol is confirmed and has an empty partial; one that has ended is silent."""
    around = world(BITMEX)
    around.market.delist("ETH-USD", NOON, vanish=False)
    conversation = talk(around)

    unknown = ask(conversation, wish("tradeBin1m:NOUSD"), around)
    ended = ask(conversation, wish("tradeBin1m:ETHUSD"), around)

    assert [frame.get("success") for frame in unknown] == [True, None]
    assert unknown[1]["data"] == []
    assert ended[0]["success"] is True
    assert not conversation.channels


@pytest.mark.parametrize(
    "message",
    [
        wish("trade:XBTUSD"),
        wish("tradeBin3m:XBTUSD"),
        wish(1),
        {"op": "subscribe"},
        wish("a", op="x"),
    ],
)
def test_errors(message: object) -> None:
    """What is not offered or not understood is an error of status 400 that quotes the request."""
    conversation = talk()

    (error,) = ask(conversation, message, AROUND)

    assert (error["status"], error["request"]) == (400, message)
    assert not conversation.channels


def test_refused_by_a_fault() -> None:
    """What a fault refuses is as an unknown table."""
    around = world(BITMEX, refuses=lambda pair, _: pair == "BTC-USD")

    (error,) = ask(talk(around), wish("tradeBin1m:ETHUSD", "tradeBin1m:XBTUSD"), around)

    assert error["error"] == "Unknown table: tradeBin1m"


def test_ping_is_text() -> None:
    """The text ping is answered by the text pong; silence of 60 s ends the connection."""
    conversation = talk()
    assert conversation.due == 60

    assert list(conversation.received("ping", world(BITMEX, real=20))) == [Send("pong")]

    assert conversation.due == 80
    assert list(conversation.tick(world(BITMEX, real=80))) == [Close()]


def test_requests_an_hour() -> None:
    """The 721st request of a client in an hour is refused, whatever connection it is on."""
    dialect = BitmexPerpetual()
    one, two = (connected(dialect, "/realtime", AROUND) for _ in range(2))
    for _ in range(360):
        ask(one, wish("tradeBin1m:NOUSD", op="unsubscribe"), AROUND)
        ask(two, wish("tradeBin1m:NOUSD", op="unsubscribe"), AROUND)
        one.received("ping", AROUND)

    actions = list(one.received(json.dumps(LIMITED["request"]), AROUND))

    assert actions[0] == Overstep("requests an hour", 720, 721)
    assert said(actions) == [LIMITED]
    later = world(BITMEX, NOON + 3_631)
    assert ask(two, wish("tradeBin1m:XBTUSD"), later)[0]["success"] is True


async def test_bins_come_after_their_end(fast: Client) -> None:
    """Over a real socket each bin comes once, in order, and is the truth."""
    socket = await fast.connect("/bitmex_perpetual/realtime")
    await heard(socket)
    await socket.send(json.dumps(wish("tradeBin1m:XBTUSDT")))
    rows: list[dict[str, Any]] = []
    while len(rows) < 4:
        message = await heard(socket)
        rows += message["data"] if message.get("action") == "insert" else []
    await socket.close()

    times = closes(rows)
    assert {late - early for early, late in pairwise(times)} == {60}
    bounds = {"start": NOON + times[0] - 60, "end": NOON + times[-1]}
    _, truth = await fast.get("/-/truth/bitmex_perpetual/BTC-USDT/1m", **bounds)
    names = {"open": "open", "volume": "homeNotional", "quote_asset_volume": "foreignNotional"}
    for bar, row in zip(truth["candles"], rows, strict=True):
        assert {name: bar[name] for name in names} == {k: row[v] for k, v in names.items()}
        assert bar["n_trades"] == row["trades"]


# --- REST


def test_rows_are_frames() -> None:
    """History has the same objects as the stream."""
    (row,) = bins(startTime=iso(0), endTime=iso(0))

    assert row == inserted("XBTUSD")["data"][0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"startTime": iso(-120), "endTime": iso(0)}, [-120, -60, 0]),
        ({"startTime": iso(-120), "count": 2}, [-120, -60]),
        ({"startTime": iso(-120), "count": 2, "start": 1}, [-60, 0]),
        ({"startTime": iso(-120), "endTime": iso(600)}, [-120, -60, 0]),
        ({"startTime": iso(0), "partial": "true"}, [0, 60]),
        ({"reverse": "true", "count": 2}, [0, -60]),
        ({"reverse": "true", "count": 2, "partial": "true"}, [60, 0]),
        ({"reverse": "true", "count": 2, "endTime": iso(-60)}, [-60, -120]),
        ({"startTime": iso(600)}, []),
    ],
)
def test_bounds(query: dict[str, object], expected: list[int]) -> None:
    """Bounds include, and are compared with the close; the oldest come first unless reversed."""
    assert closes(bins(**query)) == expected


def test_pages() -> None:
    """Without a start history begins at its beginning; a page has 100 bins, at most 1000."""
    assert bins(count=1)[0]["timestamp"] == "2020-01-01T00:01:00.000Z"
    assert len(bins()) == 100
    assert len(bins(count=1_000)) == 1_000


@pytest.mark.parametrize(
    "query",
    [
        {"binSize": "3m"},
        {"symbol": ""},
        {"count": 1_001},
        {"count": "x"},
        {"start": "x"},
        {"startTime": "noon"},
    ],
)
def test_errors_of_rest(query: dict[str, object]) -> None:
    """A bad parameter is HTTP 400 with an HTTPError."""
    found = get(BITMEX, BUCKETED, AROUND, **{"symbol": "XBTUSD", "binSize": "1m", **query})
    body: Any = found.body

    assert (found.status, body["error"]["name"]) == (400, "HTTPError")
    assert len(found.charges) == 1


def test_other_replies() -> None:
    """An unknown symbol has no bins; limits, bans and trouble have their status and form."""
    assert bins(symbol="BTCUSD") == []
    replies = [
        get(BITMEX, "/nowhere", AROUND),
        BITMEX.slow_down(7, AROUND),
        BITMEX.banned(7, AROUND),
        BITMEX.server_error(AROUND),
    ]
    assert [reply.status for reply in replies] == [404, 429, 403, 503]
    assert replies[1].headers == {"Retry-After": "7"}
    headers = BITMEX.budget_headers("requests", 4, AROUND)
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("30", "26")


def test_instruments() -> None:
    """What trades is listed with its kind; a spot pair and a dated future stand among it."""
    around = world(BITMEX)
    around.market.delist("ETH-USD", NOON, vanish=False)

    body: Any = get(BITMEX, "/api/v1/instrument/active", around).body

    rows = {row["symbol"]: row for row in body}
    assert "ETHUSD" not in rows
    assert {row["typ"] for row in body} == {"FFWCSX", "IFXXXP", "FFCCSX"}
    assert (rows["XBTUSD"]["isInverse"], rows["XBTUSD"]["underlying"]) == (True, "XBT")
    assert rows["XBTUSDT"]["underlyingToPositionMultiplier"] == Decimal(1_000_000)


def test_other_paths() -> None:
    """A WebSocket elsewhere is refused."""
    found = BITMEX.connect(HttpRequest("GET", "/", {}, {}), AROUND)

    assert isinstance(found, HttpReply)
    assert found.status == 404


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the reply says that they are."""
    reply = get(BITMEX, BUCKETED, AROUND, symbol="XBTUSD", binSize="1m", count=20)

    assert len(doubled(BITMEX, reply)) > 20
