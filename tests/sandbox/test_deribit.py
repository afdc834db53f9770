"""Deribit's dialect, held against the card and what was recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.deribit import DeribitPerpetual
from connectors.sandbox.dialect import (
    Close,
    Conversation,
    Cut,
    HttpReply,
    HttpRequest,
    Overstep,
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
from tests.sandbox.wired import Client, heard

DERIBIT = DeribitPerpetual()
AROUND = world(DERIBIT)  # for tests that change nothing in it
SOCKET = "/ws/api/v2"
BTC, ETH = "chart.trades.BTC-PERPETUAL.1", "chart.trades.ETH-PERPETUAL.60"

# Recorded: crypto-msg-parser, tests/deribit.rs; a profile of the WebSocket (2026-09-22);
# nautilus_trader test data. The frame with params first is from Deribit's documentation.
FRAME: Any = json.loads(
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"chart.trades.BTC-PERPETUAL.1",'
    '"data":{"volume":0.02120555,"tick":1654079340000,"open":31595.5,"low":31595.5,'
    '"high":31595.5,"cost":670.0,"close":31595.5}}}'
)
OTHER_ORDER: Any = json.loads(
    '{"params":{"data":{"volume":0.05219351,"tick":1573645080000,"open":8869.79,"low":8788.25,'
    '"high":8870.31,"cost":460,"close":8791.25},"channel":"chart.trades.BTC-PERPETUAL.1"},'
    '"method":"subscription","jsonrpc":"2.0"}'
)
CONFIRMED: Any = json.loads(
    '{"jsonrpc":"2.0","id":4,"result":[],"usIn":1790133842384561,"usOut":1790133842384654,'
    '"usDiff":93,"testnet":false}'
)
TEST: Any = json.loads('{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}')
BAD_JSON: Any = json.loads(
    '{"jsonrpc":"2.0","error":{"code":11050,"data":"invalid json","message":"bad_request"},'
    '"usIn":1790133844787014,"usOut":1790133844787041,"usDiff":27,"testnet":false}'
)
TOO_MANY: Any = json.loads(
    '{"jsonrpc":"2.0","id":1,"error":{"code":10028,"message":"too_many_requests","data":null}}'
)
INVALID: Any = json.loads(
    '{"jsonrpc":"2.0","error":{"message":"Invalid params","data":{"reason":"wrong format",'
    '"param":"instrument_name"},"code":-32602},"testnet":false,"usIn":1583763842150374,'
    '"usOut":1583763842150410,"usDiff":36}'
)
CHART: Any = json.loads(
    '{"jsonrpc":"2.0","result":{"close":[87456.5],"cost":[257490.0],"high":[87456.5],'
    '"low":[87451.0],"open":[87451.0],"status":"ok","ticks":[1766483460000],'
    '"volume":[2.94375216]},"testnet":false,"usDiff":5240,"usIn":1766487086141005,'
    '"usOut":1766487086146245}'
)


def call(method: str, ident: int = 1, **params: object) -> dict[str, object]:
    """A call."""
    return {"jsonrpc": "2.0", "id": ident, "method": f"public/{method}", "params": params}


def subscribe(*channels: str) -> dict[str, object]:
    """A subscription."""
    return call("subscribe", channels=list(channels))


def result(conversation: Conversation, message: object, around: World = AROUND) -> Any:
    """The result of a call, or its error's code."""
    (answer,) = ask(conversation, message, around)
    return answer["result"] if "result" in answer else answer["error"]["code"]


def chart(resolution: str = "1", name: str = "BTC-PERPETUAL", **bounds: int) -> Any:
    """The columns of history; bounds are seconds after noon."""
    query = {f"{bound}_timestamp": (NOON + at) * 1_000 for bound, at in bounds.items()}
    path = "/api/v2/public/get_tradingview_chart_data"
    reply = get(DERIBIT, path, AROUND, instrument_name=name, resolution=resolution, **query)
    body: Any = reply.body
    assert reply.status == 200, body
    return body["result"]


def opens(columns: Any) -> list[int]:
    """Their open times, in seconds after noon."""
    return [tick // 1_000 - NOON for tick in columns["ticks"]]


# --- frames


def test_frame_as_recorded() -> None:
    """A frame has the recorded keys; their order changes from bar to bar."""
    conversation = connected(DERIBIT, SOCKET, AROUND)
    assert result(conversation, subscribe(BTC)) == [BTC]
    bars = [AROUND.market.bar("BTC-USD", "1m", NOON + after) for after in (0, 60)]

    usual, other = (candle(conversation, conversation.channels[BTC], bar, AROUND) for bar in bars)

    assert shape(usual) == shape(FRAME)
    assert list(other) == list(OTHER_ORDER)
    assert list(other["params"]) == list(OTHER_ORDER["params"])
    assert usual["params"]["data"]["tick"] == NOON * 1_000


@pytest.mark.parametrize(
    ("figure", "printed"),
    [
        ("670", "670.0"),
        ("31595.5", "31595.5"),
        ("0.02120555", "0.02120555"),
        ("31949", "31949.0"),
        ("0", "0.0"),
        ("2200", "2.2e3"),
        ("0.000142", "1.42e-4"),
        ("20000", "2.0e4"),
    ],
)
def test_numbers_as_recorded(figure: str, printed: str) -> None:
    """Numbers have a digit after the point, and an exponent where that is shorter."""
    conversation = connected(DERIBIT, SOCKET, AROUND)
    result(conversation, subscribe(BTC))
    bar = AROUND.market.bar("BTC-USD", "1m", NOON)
    changed = replace(bar, volume=Decimal(figure))

    (frame,) = conversation.candle(
        Push(conversation.channels[BTC], changed, closed=False, first=False), AROUND
    )

    assert f'"volume":{printed},' in str(frame)


def test_bars_without_trades_are_flat() -> None:
    """History has flat bars, and the stream sends them."""
    columns = chart(name="ALGO_USDC-PERPETUAL", start=-6_001, end=0)

    assert {late - early for early, late in pairwise(opens(columns))} == {60}
    flat = [n for n, volume in enumerate(columns["volume"]) if not volume]
    assert flat
    for n in flat[1:]:
        prices = {columns[name][n] for name in ("open", "high", "low", "close")}
        assert prices == {columns["close"][n - 1]}
        assert columns["cost"][n] == 0
    assert DERIBIT.quiet.stream


# --- conversation


def test_confirmation_as_recorded() -> None:
    """What is accepted is listed, in another order; what is not is only missing."""
    conversation = connected(DERIBIT, SOCKET, AROUND)
    unknown = ("chart.trades.NO-PERPETUAL.1", "chart.trades.BTC-PERPETUAL.7", "ticker.BTC.raw")

    (answer,) = ask(conversation, subscribe(BTC, *unknown, ETH), AROUND)
    (silent,) = ask(conversation, call("subscribe", 4, channels=[unknown[0]]), AROUND)

    assert answer["result"] == [ETH, BTC]
    assert kinds(silent) == kinds(CONFIRMED)
    assert (silent["id"], silent["result"]) == (4, [])
    assert list(conversation.channels) == [BTC, ETH]


def test_twice_and_unsubscribing() -> None:
    """Subscribing twice is confirmed and delivers once; an end is confirmed where there was one."""
    conversation = connected(DERIBIT, SOCKET, AROUND)

    assert [result(conversation, subscribe(BTC, BTC)) for _ in range(2)] == [[BTC], [BTC]]
    assert len(conversation.channels) == 1
    assert result(conversation, call("unsubscribe", channels=[BTC, ETH])) == [BTC]
    assert not conversation.channels


def test_refused_and_ended() -> None:
    """What a fault refuses, and what has ended, is missing."""
    around = world(DERIBIT, refuses=lambda pair, _: pair == "BTC-USD")
    around.market.delist("ETH-USD", NOON, vanish=False)

    assert result(connected(DERIBIT, SOCKET, around), subscribe(BTC, ETH), around) == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (call("subscribe", channels=BTC), -32_602),
        (call("subscribe"), -32_602),
        (call("subscribe", channels=[1]), -32_602),
        (call("subscribe", channels=["a"] * 501), -32_602),
        (call("unsubscribe"), -32_602),
        (call("set_heartbeat", interval=9), -32_602),
        (call("nope"), -32_601),
        ({"id": 1}, -32_601),
    ],
)
def test_errors(message: object, code: int) -> None:
    """A call that is not understood has an error with its code."""
    assert result(connected(DERIBIT, SOCKET, AROUND), message) == code


def test_bad_json_as_recorded() -> None:
    """What is no JSON has an error without an id."""
    (answer,) = said(connected(DERIBIT, SOCKET, AROUND).received("nonsense", AROUND))

    assert answer["error"] == BAD_JSON["error"]
    assert kinds(answer) == kinds(BAD_JSON)


def test_credits() -> None:
    """Ten subscriptions go at once, and one more after 0.3 s of market time."""
    conversation = connected(DERIBIT, SOCKET, AROUND)
    for _ in range(10):
        assert result(conversation, subscribe(BTC)) == [BTC]

    actions = list(conversation.received(json.dumps(subscribe(ETH)), AROUND))

    assert isinstance(actions[0], Overstep)
    assert said(actions) == [TOO_MANY]
    assert ETH not in conversation.channels
    assert result(conversation, subscribe(ETH), world(DERIBIT, NOON + 30.31)) == [ETH]


def test_long_message() -> None:
    """More than 32768 bytes close the connection."""
    conversation = connected(DERIBIT, SOCKET, AROUND)

    assert list(conversation.received(" " * 32_769, AROUND)) == [
        Overstep("message bytes", 32_768, 32_769),
        Close(1009),
    ]


def test_heartbeat() -> None:
    """Each interval a test comes; without an answer in 10 s the connection is closed."""
    conversation = connected(DERIBIT, SOCKET, AROUND)
    result(conversation, subscribe(BTC))
    assert conversation.due is None
    assert result(conversation, call("set_heartbeat", interval=30)) == "ok"
    assert conversation.due == 30

    beat, test = said(conversation.tick(world(DERIBIT, real=30)))
    assert (beat["params"]["type"], test) == ("heartbeat", TEST)
    assert conversation.due == 40
    result(conversation, subscribe(ETH), world(DERIBIT, real=31))
    assert conversation.due == 40
    result(conversation, call("test"), world(DERIBIT, real=32))
    assert conversation.due == 60

    list(conversation.tick(world(DERIBIT, real=60)))
    assert list(conversation.tick(world(DERIBIT, real=70))) == [Close(4000, "heartbeat close")]


def test_idle_connection_is_cut() -> None:
    """Without subscriptions and traffic the connection is cut after 60 s."""
    conversation = connected(DERIBIT, SOCKET, AROUND)
    assert conversation.due == 60

    result(conversation, call("test"), world(DERIBIT, real=20))

    assert conversation.due == 80
    assert list(conversation.tick(world(DERIBIT, real=80))) == [Cut()]


async def test_current_bar_comes_first(slow: Client) -> None:
    """Over a real socket the current bar follows the confirmation, trades or not."""
    socket = await slow.connect(f"/deribit_perpetual{SOCKET}")
    await socket.send(json.dumps(subscribe("chart.trades.ALGO_USDC-PERPETUAL.1")))

    confirmation, frame = [await heard(socket) for _ in range(2)]

    assert len(confirmation["result"]) == 1
    assert frame["params"]["data"]["tick"] == NOON * 1_000
    await socket.close()


# --- REST


def test_columns_as_recorded() -> None:
    """History comes in columns of equal length, oldest first, the running bar last."""
    path = "/api/v2/public/get_tradingview_chart_data"
    bounds = {"start_timestamp": NOON * 1_000 - 1, "end_timestamp": NOON * 1_000}
    reply = get(DERIBIT, path, AROUND, instrument_name="BTC-PERPETUAL", resolution="1", **bounds)

    assert kinds(reply.body).keys() == kinds(CHART).keys()
    assert kinds(reply.body["result"]) == kinds(CHART["result"])
    columns = chart(start=-180, end=60)
    assert opens(columns) == [-120, -60, 0]
    bar = AROUND.market.bar("BTC-USD", "1m", NOON - 60)
    figures = {"open": bar.open, "high": bar.high, "volume": bar.volume, "cost": bar.quote_volume}
    assert {name: columns[name][1] for name in figures} == {
        name: float(figure) for name, figure in figures.items()
    }


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(-120, 0, [-60, 0]), (-121, -60, [-120, -60]), (60, 600, []), (0, 0, [])],
)
def test_bounds(start: int, end: int, expected: list[int]) -> None:
    """The start is not included, the end is; nothing is `no_data` with empty columns."""
    columns = chart(start=start, end=end)

    assert opens(columns) == expected
    assert columns["status"] == ("ok" if expected else "no_data")
    assert {len(column) for column in columns.values() if isinstance(column, list)} == {
        len(expected)
    }


def test_newest_5000_win() -> None:
    """Of more bars than fit the newest come."""
    columns = chart(start=-600_000, end=0)

    assert (len(columns["ticks"]), opens(columns)[-1]) == (5_000, 0)


@pytest.mark.parametrize(
    ("resolution", "hours"), [("1D", {8}), ("720", {8, 20}), ("360", {2, 8, 14, 20}), ("120", None)]
)
def test_days_begin_at_eight(resolution: str, hours: set[int] | None) -> None:
    """Days begin when contracts settle, and bars that do not divide eight hours follow."""
    columns = chart(resolution, start=-5 * 86_400, end=0)

    found = {tick // 3_600_000 % 24 for tick in columns["ticks"]}
    assert found == (hours or set(range(0, 24, 2)))


@pytest.mark.parametrize("param", ["instrument_name", "resolution", "start_timestamp"])
def test_errors_as_recorded(param: str) -> None:
    """A parameter that is wrong or missing is HTTP 400 and named."""
    query: dict[str, object] = {
        "instrument_name": "BTC-PERPETUAL",
        "resolution": "1",
        "start_timestamp": 1,
        "end_timestamp": 2,
    }
    path = "/api/v2/public/get_tradingview_chart_data"
    for changed in (query | {param: "nope"}, {k: v for k, v in query.items() if k != param}):
        found = get(DERIBIT, path, AROUND, **changed)
        body: Any = found.body
        assert found.status == 400
        assert kinds(body) == kinds(INVALID)
        assert body["error"]["data"] == {"reason": "wrong format", "param": param}


def test_slow_down_as_recorded() -> None:
    """Too many requests are 429 with error 10028; another method is not found."""
    found = DERIBIT.slow_down(None, AROUND)
    body: Any = found.body

    assert (found.status, body["error"]) == (429, TOO_MANY["error"])
    assert get(DERIBIT, "/api/v2/public/nope", AROUND).status == 400
    assert get(DERIBIT, "/api/v2/private/nope", AROUND).status == 404


def test_instruments() -> None:
    """A currency's instruments are those that settle in it; a dated future stands among them."""
    around = world(DERIBIT)
    around.market.delist("ETH-USD", NOON, vanish=False)

    def names(**query: object) -> dict[str, Any]:
        body: Any = get(DERIBIT, "/api/v2/public/get_instruments", around, **query).body
        return {row["instrument_name"]: row for row in body["result"]}

    found = names(currency="BTC", kind="future", expired="false")
    assert list(found) == ["BTC-26JUN26", "BTC-PERPETUAL"]
    assert found["BTC-26JUN26"]["settlement_period"] == "month"
    assert "BTC_USDC-PERPETUAL" in names(currency="USDC")
    assert names(kind="option") == {}
    everything = names()
    assert len(everything) == 1 + len(DERIBIT.listings)
    assert everything["ETH-PERPETUAL"]["is_active"] is False
    row = everything["BTC_USDC-PERPETUAL"]
    told = [row["base_currency"], row["quote_currency"], row["settlement_period"]]
    assert told == ["BTC", "USDC", "perpetual"]


def test_other_paths() -> None:
    """A WebSocket elsewhere is refused."""
    found = DERIBIT.connect(HttpRequest("GET", "/", {}, {}), AROUND)

    assert isinstance(found, HttpReply)
    assert found.status == 404


def test_a_fault_finds_the_rows() -> None:
    """Rows are doubled in every column alike."""
    path = "/api/v2/public/get_tradingview_chart_data"
    bounds = {"start_timestamp": (NOON - 1_200) * 1_000, "end_timestamp": NOON * 1_000}
    reply = get(DERIBIT, path, AROUND, instrument_name="BTC-PERPETUAL", resolution="1", **bounds)

    columns = doubled(DERIBIT, reply)["result"]

    (length,) = {len(column) for column in columns.values() if isinstance(column, list)}
    assert length > 20
