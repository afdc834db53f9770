"""Crypto.com's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.cryptocom import Cryptocom
from connectors.sandbox.dialect import (
    Channel,
    Close,
    Conversation,
    HttpReply,
    HttpRequest,
    Moment,
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

CRYPTOCOM = Cryptocom()
AROUND = world(CRYPTOCOM)  # for tests that change nothing in it
PATH = "/exchange/v1/market"
CANDLES = "/exchange/v1/public/get-candlestick"

# live captures of 2020 and 2026, Crypto.com's pages and ccxt 4.5.64, as in the recordings
UPDATE: Any = json.loads(
    '{"id":-1,"method":"subscribe","code":0,"result":{"instrument_name":"BTC_USD","subscription":'
    '"candlestick.1m.BTC_USD","channel":"candlestick","interval":"1m","data":[{"o":"64349.71",'
    '"h":"64356.28","l":"64349.71","c":"64356.28","v":"0.22838","t":1782014460000,'
    '"ut":1782014515996}]}}'
)
FIRST: Any = json.loads(
    '{"id":1,"method":"subscribe","code":0,"result":{"instrument_name":"BTC_USDT","subscription":'
    '"candlestick.1D.BTC_USDT","channel":"candlestick","interval":"1D","data":[{"o":"51140.500000",'
    '"h":"51699.000000","l":"49212.000000","c":"51313.500000","v":"867.9432","t":1612224000000}]}}'
)
HEARTBEAT: Any = json.loads('{"id":1782032467342,"method":"public/heartbeat","code":0}')
UNKNOWN: Any = json.loads(
    '{"id":11,"method":"subscribe","code":40003,"channel":"book.NOPEUSD-PERP.50",'
    '"message":"Unknown symbol"}'
)
TOO_MANY: Any = json.loads(
    '{"id":9,"method":"subscribe","code":40107,"message":"Maximum subscriptions exceeded"}'
)
OLD: Any = json.loads(
    '{"id":0,"code":10004,"method":"subscribe","message":"invalid channel '
    '{\\"channels\\":[\\"trade.BTCUSD-PERP\\"]}"}'
)
ENDED: Any = json.loads('{"id":1725448572836,"method":"unsubscribe","code":0}')
ROWS: Any = json.loads(
    '{"id":-1,"method":"public/get-candlestick","code":0,"result":{"interval":"1m","data":[{'
    '"o":"26949.89","h":"26957.64","l":"26948.24","c":"26950.00","v":"0.0670","t":1687237080000}],'
    '"instrument_name":"BTC_USD"}}'
)
BAD: Any = json.loads(
    '{"id":-1,"method":"public/get-candlestick","code":10004,"message":"BAD_REQUEST","result":{}}'
)


def standing(real: float = 2.0, at: float = NOON + 30) -> World:
    """The world, whose trades are drawn once, at another moment; usually past the first second."""
    return replace(AROUND, now=Moment(at, real))


def connect() -> Conversation:
    """A new connection, opened at the real time 0."""
    return connected(CRYPTOCOM, PATH, AROUND)


def wish(*names: str, method: str = "subscribe") -> dict[str, Any]:
    """A request for channels."""
    channels = list(names) or ["candlestick.1m.BTC_USDT"]
    return {"id": 1, "method": method, "params": {"channels": channels}}


def rows(**query: object) -> list[dict[str, Any]]:
    """Rows of history."""
    asked = {"instrument_name": "BTC_USDT", "timeframe": "1m", **query}
    reply = get(CRYPTOCOM, CANDLES, AROUND, **asked)
    body: Any = reply.body
    assert reply.status == int(body["code"]) + 200 == 200, body
    found: list[dict[str, Any]] = body["result"]["data"]
    return found


def opens(found: list[dict[str, Any]]) -> list[int]:
    """Open times in seconds after noon."""
    return [row["t"] // 1_000 - NOON for row in found]


def trimmed(frame: Any, key: str = "data") -> Any:
    """A frame or page with its first row alone."""
    return {**frame, "result": {**frame["result"], key: frame["result"][key][:1]}}


# --- against the recordings


def test_first_frame_as_recorded() -> None:
    """The first frame has the request's id and 45 rows, oldest first; nothing else confirms."""
    [first] = ask(connect(), wish("candlestick.1D.BTC_USDT"), standing())
    assert shape(trimmed(first)) == shape(FIRST)
    assert (first["id"], first["result"]["interval"]) == (1, "1D")

    [first] = ask(connect(), wish(), standing())
    assert opens(first["result"]["data"]) == [60 * number for number in range(-44, 1)]


def test_update_as_recorded() -> None:
    """An update has the id -1, and the bar."""
    talk = connect()
    ask(talk, wish(), standing())
    [channel] = talk.channels.values()
    bar = AROUND.market.current("BTC-USDT", "1m", NOON + 30)

    found = candle(talk, channel, bar, standing())

    assert shape(found) == shape(UPDATE)
    assert found["id"] == -1
    [row] = found["result"]["data"]
    expected = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    assert [float(row[key]) for key in "ohlcv"] == [float(figure) for figure in expected]
    assert (row["t"], row["ut"]) == (NOON * 1_000, (NOON + 30) * 1_000)


def test_rows_as_recorded() -> None:
    """A page has the recorded form; its code is a number and a text by turns."""
    query = {"instrument_name": "BTC_USDT", "timeframe": "M1", "count": 1}
    bodies: list[Any] = [get(CRYPTOCOM, CANDLES, AROUND, **query).body for _ in range(2)]
    assert sorted(type(body["code"]).__name__ for body in bodies) == ["int", "str"]
    assert {int(body["code"]) for body in bodies} == {0}
    for body in bodies:
        assert shape({**body, "code": 0}) == shape(ROWS)
        assert body["result"]["interval"] == "M1"
    [row] = bodies[0]["result"]["data"]
    assert len(row["o"].partition(".")[2]) == 2


def test_refusals_as_recorded() -> None:
    """A refusal names its channel, after the code."""
    talk = connect()
    names = ["candlestick.1m.NOPE_USDT", "candlestick.1m.BTC_USDT", "candlestick.6h.BTC_USDT"]
    unknown, served, unrecognized = ask(talk, wish(*names), standing())
    assert shape(unknown) == shape(UNKNOWN)
    assert (unknown["channel"], unknown["message"]) == (names[0], UNKNOWN["message"])
    assert (unrecognized["channel"], unrecognized["message"]) == (names[2], "Unrecognized channel")
    assert served["result"]["subscription"] == names[1]
    assert list(talk.channels) == [names[1]]

    [old] = ask(talk, {"id": 0, "method": "subscribe", "params": {}}, standing())
    assert kinds(old) == kinds(OLD)


# --- subscribing


@pytest.mark.parametrize("word", ["1d", "1w", "6h", "14D", "3m", ""])
def test_unknown_intervals(word: str) -> None:
    """Words that are not the exchange's are no channels."""
    [found] = ask(connect(), wish(f"candlestick.{word}.BTC_USDT"), standing())
    assert (found["code"], found["message"]) == (40_003, "Unrecognized channel")


def test_old_codes() -> None:
    """An old code is served and comes back as it was asked for."""
    talk = connect()
    [found] = ask(talk, wish("candlestick.M5.BTC_USDT"), standing())
    assert found["result"]["interval"] == "M5"
    assert [channel.interval for channel in talk.channels.values()] == ["5m"]


def test_ended_refused_and_kept_off() -> None:
    """What has ended is unsupported, what a fault refuses is unknown; a bar may be kept off."""
    around = replace(world(CRYPTOCOM), now=Moment(NOON + 30, 2))
    around.market.delist("ETH-USDT", NOON, vanish=False)
    [ended] = ask(connect(), wish("candlestick.1m.ETH_USDT"), around)
    refusing = replace(around, refuses=lambda pair, _: pair == "BTC-USDT")
    [refused] = ask(connect(), wish(), refusing)
    assert [one["message"] for one in (ended, refused)] == [
        "Unsupported instrument",
        "Unknown symbol",
    ]
    skipping = replace(around, skips=lambda _, __, open_time: open_time == NOON - 60)
    [first] = ask(connect(), wish(), skipping)
    assert opens(first["result"]["data"])[-2:] == [-120, 0]


def test_too_many_channels_as_recorded() -> None:
    """Beyond 400 channels the rest is lost, and told with the id alone; it is noted."""
    talk = connect()
    held = [Channel(str(number), "BTC-USDT", "1m", NOON) for number in range(399)]
    talk.channels |= {channel.name: channel for channel in held}
    names = [f"candlestick.1m.{name}_USDT" for name in ("BTC", "ETH", "SOL")]

    actions = list(talk.received(json.dumps(wish(*names)), standing()))

    assert Overstep("channels a connection", 400, 402) in actions
    first, last = said(actions)
    assert first["result"]["subscription"] == names[0]
    assert last == {**TOO_MANY, "id": 1}
    assert len(talk.channels) == 400


def test_too_many_in_a_request() -> None:
    """More than 100 channels in a request are refused as a whole."""
    talk = connect()
    names = [f"candlestick.1m.{number}" for number in range(101)]
    [found] = ask(talk, wish(*names), standing())
    assert ("channel" in found, found["code"]) == (False, 40_003)


def test_the_first_second() -> None:
    """A request at once is one too many; past a second all is well."""
    talk = connect()
    over, refused = talk.received(json.dumps(wish()), standing(0.005))
    assert over == Overstep("requests in the first second", 0.5, 1)
    assert [one["code"] for one in said([refused])] == [42_901]
    assert not talk.channels
    half = [len(list(talk.received('{"method":"nope"}', standing(0.5)))) for _ in range(50)]
    assert half == [1] * 49 + [2]
    ask(talk, wish(), standing(1.0))
    assert list(talk.channels) == ["candlestick.1m.BTC_USDT"]


def test_twice_and_ended() -> None:
    """A second time the history comes again; the end is confirmed as recorded."""
    talk = connect()
    ask(talk, wish(), standing())
    before = dict(talk.channels)
    assert len(ask(talk, wish(), standing())) == 1
    assert talk.channels == before
    [ended] = ask(talk, {**wish(method="unsubscribe"), "id": ENDED["id"]}, standing())
    assert ended == ENDED
    assert not talk.channels


def test_other_requests() -> None:
    """An unknown method is refused; what is no JSON gets no answer; a flood has a code."""
    talk = connect()
    [found] = ask(talk, {"id": 1, "method": "nope"}, standing())
    assert (found["id"], found["message"]) == (1, "No such method")
    assert not list(talk.received("no json", standing()))
    assert [one["code"] for one in said(talk.flooded(standing()))] == [42_901]


def test_late_updates_hold_two_bars() -> None:
    """After the end of every eighth bar one more frame comes, and holds the next bar, too."""
    talk = connect()
    ask(talk, wish(), standing())
    [channel] = talk.channels.values()
    sizes = []
    for number in range(1, 17):
        bar = AROUND.market.bar("BTC-USDT", "1m", NOON - 60 * number)
        around = standing(at=bar.close_time + 2)
        for frame in talk.candle(Push(channel, bar, closed=False, first=False), around):
            found = json.loads(frame)["result"]["data"]
            assert opens(found) == [-60 * number, -60 * number + 60][: len(found)]
            sizes.append(len(found))
    assert len(sizes) == 2
    assert 2 in sizes


# --- heartbeat


def test_heartbeats_as_recorded() -> None:
    """Every 30 s a heartbeat asks to be answered; the third miss ends the connection."""
    talk = connect()
    times, heard = [], []
    while (due := talk.due) is not None:
        actions = list(talk.tick(standing(due)))
        heard += said(actions)
        times.append(due)
    assert times == [30, 60, 90, 95]
    assert [shape(one) for one in heard] == [shape(HEARTBEAT)] * 3
    assert actions == [Close(1000)]


def test_answered_heartbeats() -> None:
    """An answer counts with the heartbeat's id alone, and needs no rate."""
    talk = connect()
    for real in (30, 60, 90):
        [beat] = said(talk.tick(standing(real)))
        answer = {"id": beat["id"], "method": "public/respond-heartbeat"}
        assert not ask(talk, answer, standing(real))
        assert talk.due == real + 30
    [beat] = said(talk.tick(standing(120)))
    ask(talk, {"id": beat["id"] + 1, "method": "public/respond-heartbeat"}, standing(140))
    assert talk.due == 150


# --- REST


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"start_ts": -240, "end_ts": 0}, [-180, -120, -60]),
        ({"start_ts": -240, "end_ts": 0, "count": 2}, [-120, -60]),
        ({"end_ts": -60, "count": 1}, [-120]),
        ({"start_ts": -120}, [-60, 0]),
        ({"start_ts": 0}, []),
    ],
)
def test_bounds(query: dict[str, int], expected: list[int]) -> None:
    """Neither bound is included; the newest rows win, and come last."""
    asked = {k: v if k == "count" else (NOON + v) * 1_000 for k, v in query.items()}
    assert opens(rows(**asked)) == expected


def test_pages() -> None:
    """25 rows come unless asked otherwise, 300 at most; bars without trades are missing."""
    assert [len(rows(**query)) for query in ({}, {"count": 350})] == [25, 300]
    found = opens(rows(instrument_name="ALGO_USDT"))
    assert any(late - early > 60 for early, late in pairwise(found))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"instrument_name": "NOPE_USDT"}, 30_002),
        ({"timeframe": "7m"}, 10_004),
        ({"timeframe": "1d"}, 10_004),
        ({"count": 0}, 10_004),
        ({"start_ts": "noon"}, 10_004),
    ],
)
def test_errors_as_recorded(query: dict[str, object], code: int) -> None:
    """A bad parameter is HTTP 400 in the recorded form."""
    asked = {"instrument_name": "BTC_USDT", "timeframe": "1m", **query}
    found = get(CRYPTOCOM, CANDLES, AROUND, **asked)
    body: Any = found.body
    assert (found.status, body["code"], len(found.charges)) == (400, code, 1)
    assert shape(body) == shape(BAD)


def test_instruments() -> None:
    """Pairs say whether they are traded; contracts stand among them."""
    around = world(CRYPTOCOM)
    around.market.delist("ETH-USDT", NOON, vanish=False)
    body: Any = get(CRYPTOCOM, "/exchange/v1/public/get-instruments", around).body
    found = {row["symbol"]: row for row in body["result"]["data"]}
    assert [found[name]["tradable"] for name in ("BTC_USDT", "ETH_USDT")] == [True, False]
    types = {row["inst_type"] for row in found.values()}
    assert types == {"CCY_PAIR", "PERPETUAL_SWAP", "FUTURE"}


def test_other_paths() -> None:
    """Other paths are refused, and too many requests 429; a fault finds the rows."""
    refused = CRYPTOCOM.connect(HttpRequest("GET", "/", {}, {}), AROUND)
    assert isinstance(refused, HttpReply)
    assert (refused.status, get(CRYPTOCOM, "/nowhere", AROUND).status) == (404, 400)
    slow: Any = CRYPTOCOM.slow_down(1, AROUND)
    assert (slow.status, slow.body["code"]) == (429, 42_901)
    query = {"instrument_name": "BTC_USDT", "timeframe": "1m", "count": 20}
    assert len(doubled(CRYPTOCOM, get(CRYPTOCOM, CANDLES, AROUND, **query))["result"]["data"]) > 20
