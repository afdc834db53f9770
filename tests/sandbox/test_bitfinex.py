"""Bitfinex's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox.bitfinex import PERPETUAL, SPOT, Bitfinex
from connectors.sandbox.dialect import (
    Conversation,
    Cut,
    HttpReply,
    HttpRequest,
    Moment,
    Overstep,
    Push,
    World,
)
from tests.sandbox.pretend import NOON, ask, candle, connected, doubled, get, said, shape, world

DIALECTS = {kind.market: Bitfinex(kind) for kind in (SPOT, PERPETUAL)}
WORLDS = {name: world(dialect) for name, dialect in DIALECTS.items()}
EACH = pytest.mark.parametrize("name", DIALECTS)
BTC = {"bitfinex_spot": "tBTCUST", "bitfinex_perpetual": "tBTCF0:USTF0"}
HIST = "/v2/candles/trade:1m:tBTCUST/hist"

# crypto-msg-parser, cryptofeed, ccxt and Bitfinex's pages, 2019 to 2026, as in the recordings
SNAPSHOT: Any = json.loads(
    "[17470,[[1654076100000,31672,31667.5,31672,31667.5,0.053312790000000006],"
    "[1654076040000,31672,31673,31673,31667.5,0.00118434]]]"
)
UPDATE: Any = json.loads("[343351,[1574698200000,7399.9,7379.7,7399.9,7371.8,41.63633658]]")
INFO: Any = json.loads(
    '{"event":"info","version":2,"serverId":"083bd8d4-aca7-4690-a573-eabfc8103de8",'
    '"platform":{"status":1}}'
)
CONFIRMED: Any = json.loads(
    '{"event":"subscribed","channel":"candles","chanId":343351,"key":"trade:1m:tBTCUSD"}'
)
REFUSED: Any = json.loads(
    '{"channel":"book","symbol":"tNOPEF0:USTF0","prec":"P0","len":"25","event":"error",'
    '"msg":"symbol: invalid","code":10300,"pair":"NOPEF0:USTF0"}'
)
FLAGGED: Any = json.loads('{"event":"conf","status":"OK","flags":65536}')
ROWS: Any = json.loads(
    "[[1591503840000,0.025069,0.025068,0.025069,0.025068,1.97828998],"
    "[1591504500000,0.025065,0.025065,0.025065,0.025065,1.0164]]"
)


def standing(name: str = "bitfinex_spot", at: float = NOON + 30, real: float = 0.0) -> World:
    """The world of a market, whose trades are drawn once, at another moment."""
    return replace(WORLDS[name], now=Moment(at, real))


def wish(symbol: str = "tBTCUST", word: str = "1m", **more: object) -> dict[str, Any]:
    """A subscription."""
    key = f"trade:{word}:{symbol}"
    return {"event": "subscribe", "channel": "candles", "key": key, **more}


def connect(name: str = "bitfinex_spot", around: World | None = None) -> Conversation:
    """A new connection."""
    return connected(DIALECTS[name], "/ws/2", around or standing(name))


def rows(path: str = HIST, /, **query: object) -> list[list[float]]:
    """Rows of history."""
    reply = get(DIALECTS["bitfinex_spot"], path, standing(), **query)
    assert reply.status == 200, reply.body
    found: list[list[float]] = json.loads(orjson.dumps(reply.body))
    return found


def opens(found: list[list[float]]) -> list[int]:
    """Open times in seconds after noon."""
    return [int(row[0]) // 1_000 - NOON for row in found]


def forms(row: list[float]) -> list[str]:
    """What a row is made of; its figures are numbers, with a point or without."""
    return [type(row[0]).__name__, *("number" for one in row[1:] if isinstance(one, int | float))]


# --- against the recordings


@EACH
def test_greeting_and_confirmation_as_recorded(name: str) -> None:
    """The first frame is the info; a confirmation gives the channel's number."""
    around = standing(name)
    talk = DIALECTS[name].connect(HttpRequest("GET", "/ws/2", {}, {}), around)
    assert isinstance(talk, Conversation)
    assert said(talk.opened(around)) == [INFO]

    confirmed, snapshot = ask(talk, wish(BTC[name], subId="a"), around)

    assert shape(confirmed) == shape({**CONFIRMED, "subId": "a"})
    assert confirmed["key"] == f"trade:1m:{BTC[name]}"
    assert snapshot[0] == confirmed["chanId"]


@EACH
def test_frames_as_recorded(name: str) -> None:
    """Snapshot and update have the recorded form: numbers, the close before the high."""
    talk, around = connect(name), standing(name)
    _, snapshot = ask(talk, wish(BTC[name]), around)
    [channel] = talk.channels.values()
    bar = around.market.current("BTC-USDT", "1m", NOON + 30)

    update = candle(talk, channel, bar, around)

    assert [forms(row) for row in snapshot[1][:2]] == [forms(row) for row in SNAPSHOT[1]]
    assert opens(snapshot[1])[:3] == [0, -60, -120]
    assert (len(update), forms(update[1])) == (len(UPDATE), forms(UPDATE[1]))
    expected = (bar.open, bar.close, bar.high, bar.low)
    assert update[1][:5] == [bar.open_ms, *map(float, expected)]
    assert update[1][5] == pytest.approx(float(bar.volume), rel=1e-12)


def test_binary_tails() -> None:
    """Some volumes have a tail that no trade has, as small as a double's last digit."""
    volumes = {row[0]: row[5] for row in rows(limit=60)}
    long = [volume for volume in volumes.values() if len(repr(volume)) > 12]
    assert 5 < len(long) < 50
    for volume in long:
        assert round(volume, 8) == pytest.approx(volume, rel=1e-12)


def test_flags_as_recorded() -> None:
    """With the flag each array ends with a sequence number, and with the other one with a time."""
    talk, around = connect(), standing()
    assert ask(talk, {"event": "conf", "flags": 65_536}, around) == [FLAGGED]
    _, first = ask(talk, wish(), around)
    [channel] = talk.channels.values()
    bar = around.market.current("BTC-USDT", "1m", NOON + 30)
    second = candle(talk, channel, bar, around)
    ask(talk, {"event": "conf", "flags": 65_536 + 32_768}, around)
    [beat] = said(talk.tick(standing(real=15)))

    assert (first[2:], second[2:]) == ([1], [2])
    assert beat[1:] == ["hb", 3, (NOON + 30) * 1_000]


def test_refusal_as_recorded() -> None:
    """A refusal repeats the fields of the request, then says why."""
    talk = connect("bitfinex_perpetual")

    [found] = ask(talk, wish("tNOPEF0:USTF0"), standing("bitfinex_perpetual"))

    assert found == {
        "channel": "candles",
        "key": "trade:1m:tNOPEF0:USTF0",
        "event": "error",
        "msg": "key: invalid",
        "code": REFUSED["code"],
    }
    assert list(found)[-3:] == list(REFUSED)[4:7]


# --- subscribing


@pytest.mark.parametrize(
    "message",
    [
        wish("tNOPEUSD"),
        wish("tBTCF0:USTF0"),
        wish("BTCUST"),
        wish(word="1d"),
        wish(word="4h"),
        wish(word="7D"),
        {**wish(), "key": "BTCUST"},
        {**wish(), "key": "funding:1m:tBTCUST"},
        {**wish(), "key": 7},
    ],
)
def test_wrong_keys(message: object) -> None:
    """Unknown symbols and intervals, and what is no key, are refused alike."""
    talk = connect()
    [found] = ask(talk, message, standing())
    assert (found["code"], found["msg"]) == (10_300, "key: invalid")
    assert not talk.channels


def test_other_refusals() -> None:
    """Another channel, an event that is not known, and the end of nothing have codes."""
    talk, around = connect(), standing()
    messages = (
        {"event": "subscribe", "channel": "nope"},
        {"event": "nope"},
        {"event": "unsubscribe", "chanId": 7},
    )
    found = [(one["code"], one["msg"]) for say in messages for one in ask(talk, say, around)]
    expected = [(10_300, "channel: unknown"), (10_000, "event: unknown")]
    assert found == [*expected, (10_400, "unsubscribe: invalid")]
    assert not list(talk.received("no json", around))


def test_twice_and_ended() -> None:
    """A second subscription is refused with the first one's number; that one can be ended."""
    talk, around = connect(), standing()
    confirmed, _ = ask(talk, wish(), around)

    [again] = ask(talk, wish(), around)
    end = {"event": "unsubscribe", "chanId": confirmed["chanId"]}
    [ended] = ask(talk, end, around)

    assert (again["code"], again["msg"]) == (10_301, "subscribe: dup")
    assert again["chanId"] == confirmed["chanId"]
    assert ended == {"event": "unsubscribed", "status": "OK", "chanId": confirmed["chanId"]}
    assert not talk.channels
    assert len(ask(talk, wish(), around)) == 2


def test_too_many_channels() -> None:
    """The 31st channel is refused and noted."""
    talk, around = connect(), standing()
    symbols = [listing.symbol for listing in SPOT.listings]
    words = ("1m", "5m")
    wishes = [wish(symbol, word) for word in words for symbol in symbols][:31]
    for one in wishes[:30]:
        assert len(ask(talk, one, around)) == 2
    over, refused = talk.received(json.dumps(wishes[30]), around)
    assert over == Overstep("channels a connection", 30, 31)
    assert [one["code"] for one in said([refused])] == [10_305]
    assert len(talk.channels) == 30


def test_every_second_snapshot_is_empty() -> None:
    """Snapshots are long or empty, by turns; a channel of its own has its own number."""
    talk, around = connect(), standing()
    answers = [ask(talk, wish(symbol), around) for symbol in ("tBTCUST", "tETHUST", "tSOLUST")]
    assert [len(snapshot[1]) for _, snapshot in answers] == [60, 0, 60]
    assert len({confirmed["chanId"] for confirmed, _ in answers}) == 3


def test_ended_pair_is_confirmed_and_silent() -> None:
    """A pair whose trading has ended is in no list, confirmed, and not served."""
    around = world(DIALECTS["bitfinex_spot"])
    around.market.delist("ETH-USDT", NOON, vanish=False)
    talk = connect(around=around)

    confirmed, _ = ask(talk, wish("tETHUST"), around)

    assert confirmed["event"] == "subscribed"
    assert not talk.channels
    body: Any = get(DIALECTS["bitfinex_spot"], SPOT.pairs, around).body
    assert "ETHUST" not in body[0]

    [again] = ask(talk, wish("tETHUST"), around)
    assert again["msg"] == "subscribe: dup"
    [ended] = ask(talk, {"event": "unsubscribe", "chanId": confirmed["chanId"]}, around)
    assert ended["event"] == "unsubscribed"
    assert len(ask(talk, wish("tETHUST"), around)) == 2


def test_refused_on_request_and_kept_off() -> None:
    """What a fault refuses is an invalid key; what a fault keeps off is in no snapshot."""
    around = replace(standing(), refuses=lambda pair, _: pair == "BTC-USDT")
    [refused] = ask(connect(), wish(), around)
    assert refused["msg"] == "key: invalid"

    around = replace(standing(), skips=lambda _, __, open_time: open_time == NOON - 60)
    _, snapshot = ask(connect(), wish(), around)
    assert opens(snapshot[1])[:2] == [0, -120]


# --- heartbeat, closes


def test_heartbeats() -> None:
    """Each channel has its heartbeat every 15 s; a ping is answered with its cid."""
    talk = connect()
    first, _ = ask(talk, wish(), standing())
    second, _ = ask(talk, wish("tETHUST"), standing(real=5))

    heard = {}
    for real in (15, 20, 30):
        assert talk.due == real
        heard[real] = said(talk.tick(standing(real=real)))

    numbers = [first["chanId"], second["chanId"]]
    assert [heard[15], heard[20]] == [[[number, "hb"]] for number in numbers]
    [pong] = ask(talk, {"event": "ping", "cid": 1}, standing())
    assert pong == {"event": "pong", "ts": (NOON + 30) * 1_000, "cid": 1}


def test_without_channels_it_is_cut() -> None:
    """60 s without a channel end the connection without a close frame."""
    talk = connect()
    assert talk.due == 60
    assert list(talk.tick(standing(real=60))) == [Cut()]


def test_late_updates() -> None:
    """After the end of every eighth bar one more frame comes."""
    talk, around = connect(), standing()
    ask(talk, wish(), around)
    [channel] = talk.channels.values()
    bars = [around.market.bar("BTC-USDT", "1m", NOON - 60 * n) for n in range(1, 17)]
    frames = [list(talk.candle(Push(channel, b, closed=False, first=False), around)) for b in bars]
    assert sum(map(len, frames)) == 2


def test_shutdown() -> None:
    """Code 20051 asks to reconnect."""
    [info] = said(connect().leaving(standing()))
    assert (info["event"], info["code"]) == ("info", 20_051)


# --- REST


def test_rows_as_recorded() -> None:
    """Rows have the recorded form; newest first unless the oldest are asked for."""
    assert [forms(row) for row in rows(limit=2)] == [forms(row) for row in ROWS]
    assert opens(rows(limit=3)) == [0, -60, -120]
    assert len(rows()) == 100
    last: Any = rows("/v2/candles/trade:1m:tBTCUST/last")
    assert last == rows(limit=1)[0]
    assert rows("/v2/candles/trade:1m:tBTCUST/last", sort=1) == last


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"start": -300, "end": -60, "limit": 2}, [-60, -120]),
        ({"start": -300, "end": -60, "limit": 2, "sort": 1}, [-300, -240]),
        ({"end": -60, "limit": 1}, [-60]),
        ({"end": -61, "limit": 1}, [-120]),
        ({"start": -60}, [0, -60]),
        ({"start": 60}, []),
    ],
)
def test_bounds(query: dict[str, int], expected: list[int]) -> None:
    """Both bounds include; the order decides which end wins."""
    asked = {
        key: (NOON + value) * 1_000 if key in ("start", "end") else value
        for key, value in query.items()
    }
    assert opens(rows(**asked)) == expected


def test_bounds_are_milliseconds() -> None:
    """A millisecond after a bar's open time is after it."""
    assert opens(rows(start=(NOON - 60) * 1_000 + 1)) == [0]


def test_bars_without_trades_are_missing() -> None:
    """A quiet pair's history has holes."""
    found = opens(rows("/v2/candles/trade:1m:tALGO:USD/hist"))
    assert len(found) == 100
    assert any(late - early > 60 for late, early in pairwise(found))


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        (HIST, {"limit": 10_001}, "limit: invalid"),
        (HIST, {"limit": 0}, "limit: invalid"),
        (HIST, {"start": "noon"}, "start: invalid"),
        (HIST, {"sort": 2}, "sort: invalid"),
        (HIST.replace("1m", "7m"), {}, "time_interval: invalid"),
        (HIST.replace("1m", "1d"), {}, "time_interval: invalid"),
    ],
)
def test_errors_as_recorded(path: str, query: dict[str, object], text: str) -> None:
    """A bad parameter is HTTP 500 with a list."""
    found = get(DIALECTS["bitfinex_spot"], path, standing(), **query)
    assert (found.status, found.body) == (500, ["error", 10_020, text])


def test_unknown_symbol_has_no_candles() -> None:
    """An unknown symbol is no error."""
    assert rows(HIST.replace("tBTCUST", "tNOPEUSD")) == []


def test_too_many_requests() -> None:
    """The refusal is the recorded list, or an object, by turns."""
    dialect = Bitfinex(SPOT)
    found = [dialect.slow_down(3, standing()) for _ in range(2)]
    assert [one.body for one in found] == [
        ["error", 11_010, "ratelimit: error"],
        {"error": "ERR_RATE_LIMIT"},
    ]
    assert {one.status for one in found} == {429}


def test_lists() -> None:
    """Pairs lack their first letter, names of more than three have a colon; a map renames."""
    spot: Any = get(DIALECTS["bitfinex_spot"], SPOT.pairs).body
    perpetual: Any = get(DIALECTS["bitfinex_perpetual"], PERPETUAL.pairs).body
    names: Any = get(DIALECTS["bitfinex_spot"], "/v2/conf/pub:map:currency:sym").body

    assert {"BTCUSD", "DOGE:USD", "DSHUSD", "IOTUSD", "BTCUDC"} <= set(spot[0])
    assert {"BTCF0:USTF0", "DOGEF0:USTF0"} <= set(perpetual[0])
    assert ("DSH", "DASH") in names[0]


def test_other_paths_and_costs() -> None:
    """Other paths are 404; a request for candles costs one, refused or not."""
    dialect = DIALECTS["bitfinex_spot"]
    refused = dialect.connect(HttpRequest("GET", "/ws", {}, {}), standing())
    assert isinstance(refused, HttpReply)
    assert refused.status == get(dialect, "/v2/nowhere", standing()).status == 404
    for query in ({}, {"limit": 0}):
        [charge] = get(dialect, HIST, standing(), **query).charges
        assert (charge.pool, charge.weight) == ("candles", 1)


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the reply says that they are."""
    dialect = DIALECTS["bitfinex_spot"]
    assert len(doubled(dialect, get(dialect, HIST, standing(), limit=20))) > 20
