"""Upbit's dialect, held against the card and what ccxt's comments show of it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox.dialect import HttpReply, HttpRequest, Push
from connectors.sandbox.upbit import Upbit
from tests.sandbox.pretend import NOON, ask, connected, doubled, get, shape, world
from tests.sandbox.wired import PATIENCE, Client, heard

UPBIT = Upbit()
AROUND = world(UPBIT)  # for tests that change nothing in it
MINUTES = "/v1/candles/minutes/1"
SOCKET = "/websocket/v1"

FRAME: Any = json.loads(
    '{"type":"candle.1s","code":"KRW-USDT","candle_date_time_utc":"2025-04-22T09:50:34",'
    '"candle_date_time_kst":"2025-04-22T18:50:34","opening_price":1438,"high_price":1438,'
    '"low_price":1438,"trade_price":1438,"candle_acc_trade_volume":1145.8935,'
    '"candle_acc_trade_price":1647794.853,"timestamp":1745315434125,"stream_type":"REALTIME"}'
)
"""ccxt 4.5.64, pro/upbit.py."""

ROW: Any = json.loads(
    '{"market":"BTC-ETH","candle_date_time_utc":"2018-11-22T13:47:00",'
    '"candle_date_time_kst":"2018-11-22T22:47:00","opening_price":0.02915963,'
    '"high_price":0.02915963,"low_price":0.02915448,"trade_price":0.02915448,'
    '"timestamp":1542894473674,"candle_acc_trade_price":0.0981629437535248,'
    '"candle_acc_trade_volume":3.36693173,"unit":1}'
)
"""ccxt 4.5.64, upbit.py."""


def wish(*codes: str, kind: str = "candle.1s") -> list[dict[str, Any]]:
    """A list of subscriptions."""
    return [{"ticket": "a"}, {"type": kind, "codes": list(codes)}]


def rows(path: str = MINUTES, **query: object) -> list[dict[str, Any]]:
    """The rows of a reply, as JSON has them."""
    found: list[dict[str, Any]] = json.loads(orjson.dumps(get(UPBIT, path, AROUND, **query).body))
    return found


def opens(found: list[dict[str, Any]]) -> list[int]:
    """Their open times, in seconds after noon."""
    times = [datetime.fromisoformat(row["candle_date_time_utc"]) for row in found]
    return [int(time.replace(tzinfo=UTC).timestamp()) - NOON for time in times]


def iso(after: float, zone: str = "") -> str:
    """A time so many seconds after noon, as `to` is written."""
    return f"{datetime.fromtimestamp(NOON + after, UTC):%Y-%m-%dT%H:%M:%S}{zone}"


# --- frames


def test_frame_as_recorded() -> None:
    """A frame is binary and has the recorded keys in their order; prices in won are whole."""
    around = world(UPBIT)
    conversation = connected(UPBIT, SOCKET, around)
    ask(conversation, wish("KRW-BTC"), around)
    bar = around.market.bar("BTC-KRW", "1s", NOON)

    (raw,) = conversation.candle(
        Push(conversation.channels["KRW-BTC"], bar, closed=False, first=False), around
    )

    assert isinstance(raw, bytes)
    found = json.loads(raw)
    assert list(found) == list(FRAME)
    assert found["type"] == "candle.1s"
    assert found["stream_type"] == "REALTIME"
    assert (found["code"], found["candle_date_time_utc"]) == ("KRW-BTC", "2026-11-25T12:00:00")
    assert found["candle_date_time_kst"] == "2026-11-25T21:00:00"
    for name in ("opening_price", "high_price", "low_price", "trade_price", "timestamp"):
        assert isinstance(found[name], int), name
    assert NOON * 1_000 <= found["timestamp"] < NOON * 1_000 + 1_000


def test_rows_as_recorded() -> None:
    """A row has the recorded keys and types, newest first; its figures are exactly the bar."""
    around = world(UPBIT)
    body = get(UPBIT, MINUTES, around, market="BTC-ETH", count=20).body
    found = json.loads(orjson.dumps(body), parse_float=Decimal)

    for row in found:
        assert [(name, kind.replace("Decimal", "float")) for name, kind in shape(row)] == shape(ROW)
        (opened,) = opens([row])
        bar = around.market.state("ETH-BTC", "1m", NOON + opened, around.now.market)
        assert row["candle_acc_trade_price"] == bar.quote_volume
        assert row["candle_acc_trade_volume"] == bar.volume
        assert (row["opening_price"], row["trade_price"]) == (bar.open, bar.close)
        assert bar.open_ms <= row["timestamp"] < bar.close_time * 1_000


def test_bars_without_trades_are_missing() -> None:
    """History has holes where nothing was traded."""
    found = opens(rows(market="KRW-ALGO", count=100))

    assert len(found) == 100
    assert any(late - early > 60 for late, early in pairwise(found))


# --- subscribing


def test_a_list_replaces_the_one_before() -> None:
    """Nothing is confirmed; each code of the new list has a snapshot, and the old ones end."""
    around = world(UPBIT)
    conversation = connected(UPBIT, SOCKET, around)

    first = ask(conversation, wish("KRW-BTC", "KRW-ETH"), around)
    second = ask(conversation, wish("KRW-ETH", "KRW-SOL"), around)

    codes = [[frame["code"] for frame in frames] for frames in (first, second)]
    assert codes == [["KRW-BTC", "KRW-ETH"], ["KRW-ETH", "KRW-SOL"]]
    assert {frame["stream_type"] for frame in first + second} == {"SNAPSHOT"}
    assert list(conversation.channels) == ["KRW-ETH", "KRW-SOL"]
    assert ask(conversation, [{"ticket": "b"}], around) == []
    assert not conversation.channels


def test_snapshot_of_a_quiet_pair_is_old() -> None:
    """The snapshot is the last bar with trades, which may have closed long ago."""
    around = world(UPBIT)

    (snapshot,) = ask(connected(UPBIT, SOCKET, around), wish("KRW-ALGO"), around)

    assert opens([snapshot])[0] < 29
    assert snapshot["candle_acc_trade_volume"] > 0


def test_snapshot_leaves_out_what_is_skipped() -> None:
    """A bar that shall not come is in no snapshot either."""
    around = world(UPBIT)
    conversation = connected(UPBIT, SOCKET, around)
    object.__setattr__(around, "skips", lambda *_: True)

    assert ask(conversation, wish("KRW-BTC"), around) == []
    assert list(conversation.channels) == ["KRW-BTC"]


def test_unknown_codes_are_silent() -> None:
    """An unknown, ended or refused code is neither served nor told of; the others are served."""
    around = world(UPBIT, refuses=lambda pair, _: pair == "ETH-KRW")
    around.market.delist("SOL-KRW", NOON, vanish=False)
    conversation = connected(UPBIT, SOCKET, around)

    ask(conversation, wish("KRW-NO", "BTC-KRW", "KRW-ETH", "KRW-SOL", "KRW-XRP"), around)

    assert list(conversation.channels) == ["KRW-XRP"]


@pytest.mark.parametrize(
    "message",
    [
        {"ticket": "a"},
        [],
        [{"type": "candle.1s", "codes": ["KRW-BTC"]}],
        [{"ticket": "a"}, {"type": "candle.1s", "codes": "KRW-BTC"}],
        [{"ticket": "a"}, {"type": "candle.1s", "codes": [1]}],
        wish("KRW-BTC", kind="candle.1m"),
        [*wish("KRW-BTC"), {"type": "candle.60m", "codes": ["KRW-BTC"]}],
        "PING",
    ],
)
def test_malformed_list_changes_nothing(message: object) -> None:
    """A list with anything but one-second candles is refused whole; the old one stays."""
    conversation = connected(UPBIT, SOCKET, AROUND)
    ask(conversation, wish("KRW-BTC"), AROUND)

    (error,) = ask(conversation, message, AROUND)

    assert error["error"]["name"] == "WRONG_FORMAT"
    assert list(conversation.channels) == ["KRW-BTC"]


async def test_frames_are_binary(fast: Client) -> None:
    """Over a real socket the snapshot comes first, then updates, all of them binary."""
    socket = await fast.connect(f"/upbit_spot{SOCKET}")
    await socket.send(json.dumps(wish("KRW-BTC")))

    kinds = []
    while len(kinds) < 3:
        raw = await asyncio.wait_for(socket.recv(), PATIENCE)
        assert isinstance(raw, bytes)
        kinds.append(json.loads(raw)["stream_type"])

    assert kinds == ["SNAPSHOT", "REALTIME", "REALTIME"]
    await socket.send("x")
    while "error" not in await heard(socket):
        pass
    await socket.close()


# --- REST


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [0]),
        ({"count": 3}, [0, -60, -120]),
        ({"count": 2, "to": iso(0)}, [-60, -120]),
        ({"count": 2, "to": iso(1)}, [0, -60]),
        ({"count": 2, "to": iso(0, "Z")}, [-60, -120]),
        ({"count": 2, "to": iso(9 * 3_600, "+09:00")}, [-60, -120]),
        ({"count": 2, "to": iso(9_999)}, [0, -60]),
    ],
)
def test_paging(query: dict[str, object], expected: list[int]) -> None:
    """Newest first, `to` is not included and is UTC without a zone; one row unless more."""
    assert opens(rows(market="KRW-BTC", **query)) == expected


@pytest.mark.parametrize(
    ("path", "expected", "unit"),
    [
        ("seconds", 29, None),
        ("minutes/5", 0, 5),
        ("minutes/240", 0, 240),
        ("days", -43_200, None),
        ("weeks", -43_200 - 2 * 86_400, None),
        ("months", -43_200 - 24 * 86_400, None),
    ],
)
def test_other_bars(path: str, expected: int, unit: int | None) -> None:
    """Each length has its path; only minutes tell their unit."""
    (row,) = rows(f"/v1/candles/{path}", market="KRW-BTC")

    assert row.get("unit") == unit
    assert opens([row])[0] <= expected
    if path != "seconds":
        assert opens([row]) == [expected]


@pytest.mark.parametrize(
    ("path", "query", "status", "name"),
    [
        (MINUTES, {}, 400, 400),
        (MINUTES, {"market": "KRW-NO"}, 404, 404),
        (MINUTES, {"market": "BTC-KRW"}, 404, 404),
        (MINUTES, {"market": "KRW-BTC", "count": 201}, 400, "validation_error"),
        (MINUTES, {"market": "KRW-BTC", "count": 0}, 400, "validation_error"),
        (MINUTES, {"market": "KRW-BTC", "count": "x"}, 400, "validation_error"),
        (MINUTES, {"market": "KRW-BTC", "to": "noon"}, 400, "validation_error"),
        ("/v1/candles/minutes/7", {"market": "KRW-BTC"}, 404, 404),
        ("/v1/ticker", {}, 404, 404),
    ],
)
def test_errors(path: str, query: dict[str, object], status: int, name: object) -> None:
    """An error has a name, which may be a number, and a message; it costs a request."""
    found = get(UPBIT, path, AROUND, **query)
    body: Any = found.body

    assert found.status == status
    assert body["error"]["name"] == name
    assert isinstance(body["error"]["message"], str)
    assert len(found.charges) == 1


def test_instruments() -> None:
    """The list has the symbols, quote first, and no word for what has ended."""
    around = world(UPBIT)
    around.market.delist("ETH-KRW", NOON, vanish=False)

    body: Any = get(UPBIT, "/v1/market/all", around).body

    assert {row["market"] for row in body} >= {"KRW-BTC", "KRW-ETH", "BTC-ETH"}
    assert {tuple(row) for row in body} == {("market", "korean_name", "english_name")}


def test_budget() -> None:
    """Each reply tells what is left of the second; too many are 429 in plain text."""
    headers = UPBIT.budget_headers("requests", 3, world(UPBIT))

    assert headers == {"Remaining-Req": "group=candles; sec=7"}
    assert isinstance(UPBIT.slow_down(1, world(UPBIT)).body, str)


def test_other_paths() -> None:
    """A WebSocket elsewhere is refused."""
    found = UPBIT.connect(HttpRequest("GET", "/", {}, {}), world(UPBIT))

    assert isinstance(found, HttpReply)
    assert found.status == 404


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the reply says that they are."""
    assert len(doubled(UPBIT, get(UPBIT, MINUTES, AROUND, market="KRW-BTC", count=20))) > 20
