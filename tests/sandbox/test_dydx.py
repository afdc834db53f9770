"""dYdX's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.clock import MarketClock
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
from connectors.sandbox.dydx import Dydx
from connectors.sandbox.feed import Feed
from connectors.sandbox.market import Market
from tests.sandbox.pretend import NOON, ask, candle, connected, doubled, get, said, shape, world

DYDX = Dydx()
AROUND = world(DYDX)  # for tests that change nothing in it
CANDLES = "/v4/candles/perpetualMarkets/"

# dydxprotocol/v4-chain, ccxt 4.5.64 and nautilus_trader, as in the recordings
CONNECTED: Any = json.loads(
    '{"type":"connected","connection_id":"004a1efa-21bb-4b19-a2e9-a8ffadd6dc53","message_id":0}'
)
CANDLE = (
    '{"startedAt":"2025-08-05T03:40:00.000Z","ticker":"BTC-USD","resolution":"1MIN","low":"114249",'
    '"high":"114262","open":"114256","close":"114261","baseTokenVolume":"0.4753",'
    '"usdVolume":"54304.6873","trades":9,"startingOpenInterest":"501.7424",'
    '"orderbookMidPriceOpen":"114255.5","orderbookMidPriceClose":"114255.5"}'
)
HEAD = '"connection_id":"e00b6e27-590c-4e91-a24d-b0645289434b","message_id":3'
SUBSCRIBED: Any = json.loads(
    f'{{"type":"subscribed",{HEAD},"channel":"v4_candles","id":"BTC-USD/1MIN",'
    f'"contents":{{"candles":[{CANDLE}]}}}}'
)
UPDATE: Any = json.loads(
    f'{{"type":"channel_data",{HEAD},"id":"BTC-USD/1MIN","channel":"v4_candles","version":"1.0.0",'
    f'"contents":{CANDLE}}}'
)
BATCH: Any = {**UPDATE, "type": "channel_batch_data", "contents": [UPDATE["contents"]]}
BAD_ID: Any = json.loads(
    '{"type":"error","message":"Invalid subscription id for channel: (v4_candles-NOPE-USD/1MIN)",'
    '"connection_id":"9011edff-d8f7-47fc-bbc6-0c7b5ba7dfae","message_id":1}'
)
NO_DATA: Any = json.loads(
    '{"type":"error","message":"Internal error, could not fetch data for subscription: '
    'v4_candles.","connection_id":"9011edff-d8f7-47fc-bbc6-0c7b5ba7dfae","message_id":1,'
    '"channel":"v4_candles","id":"BTC-USD/1MIN"}'
)
LIMIT = "Per-connection subscription limit reached for v4_candles (limit=32)."
ALREADY = "Invalid subscribe message: already subscribed (v4_candles-BTC-USD/1MIN)"
UNSUBSCRIBED: Any = json.loads(
    f'{{"type":"unsubscribed",{HEAD},"channel":"v4_candles","id":"BTC-USD/1MIN"}}'
)
BAD_TICKER: Any = json.loads(
    '{"errors":[{"value":"NOPE-USD","msg":"ticker must be a valid ticker (BTC-USD, etc)",'
    '"param":"ticker","location":"params"}]}'
)


def standing(at: float = NOON + 30) -> World:
    """The world, whose trades are drawn once, at another moment."""
    return replace(AROUND, now=Moment(at, 0.0))


def short(at: float = NOON + 30) -> World:
    """A world whose snapshots are empty, which are quick to make."""
    return replace(standing(at), skips=lambda *_: True)


def connect() -> Conversation:
    """A new connection."""
    return connected(DYDX, "/v4/ws", AROUND)


def wish(name: str = "BTC-USD/1MIN", kind: str = "subscribe", **more: object) -> dict[str, Any]:
    """A subscription, or its end."""
    return {"type": kind, "channel": "v4_candles", "id": name, **more}


def rows(ticker: str = "BTC-USD", /, **query: object) -> list[dict[str, Any]]:
    """Rows of history."""
    reply = get(DYDX, CANDLES + ticker, AROUND, **{"resolution": "1MIN", **query})
    body: Any = reply.body
    assert reply.status == 200, body
    found: list[dict[str, Any]] = body["candles"]
    return found


def opens(found: list[dict[str, Any]]) -> list[int]:
    """Open times in seconds after noon."""
    times = (datetime.fromisoformat(row["startedAt"]) for row in found)
    return [int(time.timestamp()) - NOON for time in times]


def iso(seconds: float) -> str:
    """A moment after noon as text."""
    return datetime.fromtimestamp(NOON + seconds, UTC).isoformat().replace("+00:00", "Z")


# --- against the recordings


def test_greeting_and_confirmation_as_recorded() -> None:
    """The greeting has number 0; the confirmation holds 1000 candles, newest first."""
    talk = DYDX.connect(HttpRequest("GET", "/v4/ws", {}, {}), AROUND)
    assert isinstance(talk, Conversation)
    [connected_] = said(talk.opened(AROUND))
    [found] = ask(talk, wish(), AROUND)

    assert shape(connected_) == shape(CONNECTED)
    assert (connected_["message_id"], found["message_id"]) == (0, 1)
    candles = found["contents"]["candles"]
    assert opens(candles) == [-60 * number for number in range(1_000)]
    whole = {**found, "contents": {"candles": candles[1:2]}}
    assert shape(whole) == shape(SUBSCRIBED)


@pytest.mark.parametrize(("batched", "recorded"), [(False, UPDATE), (True, BATCH)])
def test_updates_as_recorded(batched: bool, recorded: Any) -> None:
    """An update holds one candle, a batch a list of them; it is the bar."""
    talk = connect()
    ask(talk, wish(batched=batched), short())
    [channel] = talk.channels.values()
    bar = AROUND.market.bar("BTC-USD", "1m", NOON - 60)

    found = candle(talk, channel, bar, standing(NOON))

    assert shape(found) == shape(recorded)
    held = found["contents"][0] if batched else found["contents"]
    keys = ("open", "high", "low", "close", "baseTokenVolume", "usdVolume", "trades")
    figures = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume, bar.trades)
    assert [float(held[key]) for key in keys] == [float(figure) for figure in figures]
    assert held["startedAt"] == "2026-11-25T11:59:00.000Z"


def test_a_batch_may_hold_two_bars() -> None:
    """At a turn a batch holds the old bar and the new one, in their order."""
    talk = connect()
    ask(talk, wish(batched=True), short())
    [channel] = talk.channels.values()
    sizes = set()
    for number in range(1, 9):
        bar = AROUND.market.bar("BTC-USD", "1m", NOON - 60 * number)
        push = Push(channel, bar, closed=False, first=False)
        [frame] = talk.candle(push, standing(bar.close_time + 3))
        times = opens(json.loads(frame)["contents"])
        assert times == [-60 * number, -60 * number + 60][: len(times)]
        sizes.add(len(times))
    assert sizes == {1, 2}


def test_mid_prices_may_be_absent() -> None:
    """Every fifth candle lacks its mid prices."""
    held = ["orderbookMidPriceOpen" in row for row in rows(limit=10)]
    assert held.count(False) == 2


def test_errors_as_recorded() -> None:
    """A bad id stands in the text alone; what is there already has channel and id."""
    talk = connect()
    [bad] = ask(talk, wish("NOPE-USD/1MIN"), short())
    ask(talk, wish(), short())
    [again] = ask(talk, wish(), short())
    assert shape(bad) == shape(BAD_ID)
    assert bad["message"] == BAD_ID["message"]
    assert shape(again) == shape(NO_DATA)
    assert (again["message"], again["id"]) == (ALREADY, "BTC-USD/1MIN")


@pytest.mark.parametrize("name", ["BTC-USD/1m", "BTC-USD", "BTC-USD/7MINS", "btc-usd/1MIN", ""])
def test_bad_ids(name: str) -> None:
    """Unknown resolutions and tickers are one error."""
    talk = connect()
    [found] = ask(talk, wish(name), short())
    assert found["message"] == f"Invalid subscription id for channel: (v4_candles-{name})"
    assert not talk.channels


def test_temporary_error_as_recorded() -> None:
    """The twentieth attempt fails for once."""
    market = Market("dydx", DYDX.listings, DYDX.intervals, upcoming=DYDX.upcoming)
    market.enlist("SUI-USD", NOON - 300)  # whose history is short
    talk, heard = connect(), []
    for number in range(21):
        around = replace(short(NOON + number), market=market)
        ask(talk, wish("SUI-USD/1MIN", "unsubscribe"), around)
        heard += ask(talk, wish("SUI-USD/1MIN"), around)
    failed = [number for number, frame in enumerate(heard, 1) if frame["type"] == "error"]
    assert failed == [20]
    assert shape(heard[19]) == shape(NO_DATA)
    assert heard[19]["message"] == NO_DATA["message"]


# --- subscribing


def test_too_many_channels() -> None:
    """The 33rd channel is refused without its id, and noted."""
    talk = connect()
    held = [Channel(str(number), "BTC-USD", "1m", NOON) for number in range(31)]
    talk.channels |= {channel.name: channel for channel in held}
    ask(talk, wish(), short())
    assert len(talk.channels) == 32
    over, refused = talk.received(json.dumps(wish("ETH-USD/1MIN")), short())
    assert over == Overstep("channels a connection", 32, 33)
    assert [shape(one) for one in said([refused])] == [shape(BAD_ID)]
    assert [one["message"] for one in said([refused])] == [LIMIT]
    assert len(talk.channels) == 32


def test_too_many_attempts() -> None:
    """The third attempt in a second for the same id closes the connection with 1008."""
    talk = connect()
    for name in ("BTC-USD/1MIN", "BTC-USD/1MIN", "ETH-USD/1MIN"):
        ask(talk, wish(name), short())
    over, error, close = talk.received(json.dumps(wish()), short())
    assert over == Overstep("subscribe attempts a second", 2, 3)
    assert said([error])[0]["message"].startswith("Too many subscribe attempts for channel")
    assert isinstance(close, Close)
    assert close.code == 1008

    calm = connect()
    for second in range(4):
        assert len(list(calm.received(json.dumps(wish()), short(NOON + second)))) == 1


def test_not_understood() -> None:
    """What is not understood is an error, and the third within a second a close."""
    talk = connect()
    for message in ("no json", '{"type":"subscribe","channel":"v4_nope","id":"x"}'):
        [found] = said(talk.received(message, short()))
        assert found["message"] == "Invalid message: could not parse"
    over, close = talk.received("{}", short())
    assert over == Overstep("invalid messages a second", 2, 3)
    assert isinstance(close, Close)
    assert not list(talk.received('{"type":"ping"}', short()))


def test_unsubscribing_as_recorded() -> None:
    """The end is confirmed, and numbers go on counting."""
    talk = connect()
    ask(talk, wish(), short())
    [found] = ask(talk, wish(kind="unsubscribe"), short())
    assert shape(found) == shape(UNSUBSCRIBED)
    assert found["message_id"] == 2
    assert not talk.channels


def test_silent_refused_and_kept_off() -> None:
    """What has ended is confirmed and silent; a fault refuses ids, and keeps bars off."""
    around = world(DYDX)
    around.market.delist("ETH-USD", NOON, vanish=False)
    talk = connect()
    [found] = ask(talk, wish("ETH-USD/1MIN"), around)
    assert (found["type"], talk.channels) == ("subscribed", {})
    [again] = ask(talk, wish("ETH-USD/1MIN"), around)
    assert "already subscribed" in again["message"]
    refusing = replace(AROUND, refuses=lambda pair, _: pair == "BTC-USD")
    assert [one["type"] for one in ask(connect(), wish(), refusing)] == ["error"]
    skipping = replace(AROUND, skips=lambda _, __, open_time: open_time == NOON - 60)
    [found] = ask(connect(), wish(), skipping)
    assert opens(found["contents"]["candles"])[:2] == [0, -120]


def test_the_old_bar_comes_once_more_before_the_new_one() -> None:
    """At each turn the old bar comes as it closed, then the new one, traded or not."""
    channel = Channel("algo", "ALGO-USD", "1m", NOON)
    real = 0.0
    clock = MarketClock(60, NOON, real=lambda: real)
    feed = Feed(channel, DYDX, AROUND.market, clock)
    bars = []
    while feed.due < 20:
        real = max(real, feed.due)
        bars += [push.bar for push in feed.step(clock.now())]

    assert [bar.open_time for bar in bars] == sorted(bar.open_time for bar in bars)
    closed = [bar for bar in bars if bar.final]
    assert [bar.open_time - NOON for bar in closed] == [60 * number for number in range(19)]
    assert any(bar.trades == 0 for bar in closed)
    assert {bar.open_time for bar in bars if not bar.final} >= {bar.open_time for bar in closed[1:]}


def test_the_confirmation_has_flat_bars() -> None:
    """History in the confirmation has no holes on a quiet market."""
    [found] = ask(connect(), wish("ALGO-USD/1MIN"), AROUND)
    times = opens(found["contents"]["candles"])
    assert {late - early for late, early in pairwise(times)} == {60}


# --- REST


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"fromISO": -180, "toISO": 0}, [-60, -120, -180]),
        ({"fromISO": -180, "toISO": 0, "limit": 2}, [-60, -120]),
        ({"toISO": -60, "limit": 1}, [-120]),
        ({"fromISO": -60}, [0, -60]),
        ({"fromISO": 60}, []),
        ({"fromIso": -180, "toIso": -60, "limit": 1}, [0]),
    ],
)
def test_bounds(query: dict[str, int], expected: list[int]) -> None:
    """The start is included and the end is not; the newest rows win; misspelt bounds are not."""
    asked = {key: value if key == "limit" else iso(value) for key, value in query.items()}
    assert opens(rows("BTC-USD", **asked)) == expected


def test_bars_without_trades_are_flat() -> None:
    """1000 rows come unless asked otherwise, without holes, flat where nothing was traded."""
    found = rows("ALGO-USD")
    assert len(found) == 1_000
    assert {late - early for late, early in pairwise(opens(found))} == {60}
    flat = [row for row in found if row["trades"] == 0]
    assert len(flat) > 500
    for row in flat:
        assert len({row[key] for key in ("open", "high", "low", "close")}) == 1
        assert row["baseTokenVolume"] == row["usdVolume"] == "0"


@pytest.mark.parametrize(
    ("ticker", "query", "name"),
    [
        ("BTC-USD", {"resolution": "7MINS"}, "resolution"),
        ("BTC-USD", {"limit": 1_001}, "limit"),
        ("BTC-USD", {"limit": 0}, "limit"),
        ("BTC-USD", {"fromISO": "noon"}, "fromISO"),
        ("BTC-USD", {"toISO": "noon"}, "toISO"),
        ("NOPE-USD", {}, "ticker"),
    ],
)
def test_bad_parameters(ticker: str, query: dict[str, object], name: str) -> None:
    """A bad parameter is HTTP 400, in the recorded form."""
    found = get(DYDX, CANDLES + ticker, AROUND, **{"resolution": "1MIN", **query})
    body: Any = found.body
    assert (found.status, [one["param"] for one in body["errors"]]) == (400, [name])
    assert shape(body) == shape(BAD_TICKER)
    assert ticker != "NOPE-USD" or body == BAD_TICKER


def test_rate_limit_counts_milliseconds() -> None:
    """Retry-After is in milliseconds, beside the headers of the card."""
    found = DYDX.slow_down(3, AROUND)
    assert (found.status, found.body) == (429, {"errors": [{"msg": "Too many requests"}]})
    assert found.headers == {
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": str((NOON + 40) * 1_000),
        "RateLimit-Limit": "1000",
        "Retry-After": "3000",
    }
    assert "Retry-After" not in DYDX.slow_down(None, AROUND).headers


def test_markets() -> None:
    """Markets are told by their tickers; what is not active says so."""
    around = world(DYDX)
    around.market.delist("ETH-USD", NOON, vanish=False)
    body: Any = get(DYDX, "/v4/perpetualMarkets", around).body
    found = {name: (row["ticker"], row["status"]) for name, row in body["markets"].items()}
    assert found["BTC-USD"] == ("BTC-USD", "ACTIVE")
    assert found["ETH-USD"] == ("ETH-USD", "FINAL_SETTLEMENT")
    assert [status for name, (_, status) in found.items() if "," in name] == ["INITIALIZING"]


def test_other_paths() -> None:
    """Other paths are 404; a fault finds the rows."""
    refused = DYDX.connect(HttpRequest("GET", "/ws", {}, {}), AROUND)
    assert isinstance(refused, HttpReply)
    assert refused.status == get(DYDX, "/v4/nowhere", AROUND).status == 404
    reply = get(DYDX, CANDLES + "BTC-USD", AROUND, resolution="1MIN", limit=20)
    assert len(doubled(DYDX, reply)["candles"]) > 20
