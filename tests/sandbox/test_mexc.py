"""MEXC's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.sandbox.dialect import (
    Close,
    Conversation,
    Dialect,
    HttpReply,
    HttpRequest,
    Moment,
    Overstep,
    Push,
    World,
)
from connectors.sandbox.market import Bar
from connectors.sandbox.mexc import MexcPerpetual, MexcSpot
from connectors.sandbox.mexc import candle as protobuf_candle
from connectors.sandbox.mexc import wrapped as protobuf_frame
from tests.sandbox.pretend import NOON, ask, connected, doubled, get, kinds, said, shape, world

SPOT, PERPETUAL = "mexc_spot", "mexc_perpetual"
DIALECTS: dict[str, Dialect] = {SPOT: MexcSpot(), PERPETUAL: MexcPerpetual()}
WORLDS = {name: world(dialect) for name, dialect in DIALECTS.items()}
PATHS = {SPOT: "/ws", PERPETUAL: "/edge"}
KLINES, INFO = "/api/v3/klines", "/api/v3/exchangeInfo"
KLINE, DETAIL = "/api/v1/contract/kline", "/api/v1/contract/detail"
BTC = "spot@public.kline.v3.api.pb@BTCUSDT@Min1"

# osslabz/mexc-client, ccxt 4.5.64, MEXC's pages and live captures, as in the recordings
SPOT_FRAME = b64decode(
    "CihzcG90QHB1YmxpYy5rbGluZS52My5hcGkucGJAQlRDVVNEVEBNaW4xGgdCVENVU0RUIiAyZmI5NDIxNTRlZjQ0YTRhYjJl"
    "Zjk4YzhhZmI2YTRhNyjj+9DMjTSiE1AKBE1pbjEQhNra1QYaCDgzOTU4LjIxIgg4Mzk2MS4yMSoIODM5NjEuMjEyCDgzOTU1"
    "LjA5OgowLjM1Mzg4NjMzQggyOTcxMS40MUjA2trVBg=="
)
SPOT_BAR = {
    "open_time": 1_790_356_740,
    "close_time": 1_790_356_800,
    "open": "83958.21",
    "close": "83961.21",
    "high": "83961.21",
    "low": "83955.09",
    "volume": "0.35388633",
    "quote_volume": "29711.41",
}
BLOCKED = json.loads(
    '{"id": 0, "code": 0, "msg": "Not Subscribed successfully! '
    '[spot@public.kline.v3.api@BTCUSDT@Min1].  Reason： Blocked! "}'
)
CONTRACT_FRAME = (
    '{"channel":"push.kline","data":{"a":325653.3287,"c":38839,"h":38909.5,"interval":"Min1",'
    '"l":38833,"o":38901.5,"q":83808,"rc":38839,"rh":38909.5,"rl":38833,"ro":38909.5,'
    '"symbol":"BTC_USDT","t":1651230660},"symbol":"BTC_USDT","ts":1651230713067}'
)
SPOT_ROW = json.loads(
    '[1718726400000,"64698.66","64868.98","64336","64700.98","575.730117",1718730000000,'
    '"37155549.91"]'
)
SPOT_INSTRUMENT = json.loads(
    '{"symbol":"TOMO3LUSDT","status":"ENABLED","baseAsset":"TOMO3L","baseAssetPrecision":2,'
    '"quoteAsset":"USDT","quotePrecision":3,"orderTypes":["LIMIT","LIMIT_MAKER"],'
    '"isSpotTradingAllowed":false,"isMarginTradingAllowed":false,"permissions":["SPOT","LIMIT"],'
    '"tradeSideType":"1"}'
)
CONTRACT = json.loads(
    '{"symbol":"BTC_USDT","displayNameEn":"BTC_USDT SWAP","baseCoin":"BTC","quoteCoin":"USDT",'
    '"settleCoin":"USDT","contractSize":0.0001,"priceScale":2,"volScale":0,"priceUnit":0.5,'
    '"volUnit":1,"minVol":1,"state":0,"isHidden":false}'
)
COLUMNS = ["time", "open", "close", "high", "low", "vol", "amount"]


def standing(name: str, at: float = NOON + 30, real: float = 0.0) -> World:
    """The world of a market, whose trades are drawn once, at another moment."""
    return replace(WORLDS[name], now=Moment(at, real))


def connect(name: str, around: World | None = None) -> Conversation:
    """A new connection."""
    return connected(DIALECTS[name], PATHS[name], around or standing(name))


def wish(*names: str, method: str = "SUBSCRIPTION", **more: object) -> dict[str, object]:
    """A request on spot's socket."""
    return {"method": method, "params": list(names), **more}


def contract(symbol: str, code: str = "Min1", method: str = "sub.kline") -> dict[str, object]:
    """A request on the contracts' socket."""
    return {"method": method, "param": {"symbol": symbol, "interval": code}}


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message, in their order."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = varint()
            yield key >> 3, message[at : at + size]
            at += size


def spot_rows(**query: object) -> list[list[Any]]:
    """Rows of spot's history."""
    asked = {"symbol": "BTCUSDT", "interval": "1m", **query}
    body = get(DIALECTS[SPOT], KLINES, standing(SPOT), **asked).body
    assert isinstance(body, list), body
    return body


def columns(symbol: str = "BTC_USDT", /, **query: object) -> dict[str, list[Any]]:
    """Columns of a contract's history."""
    asked = {"interval": "Min1", **query}
    reply = get(DIALECTS[PERPETUAL], f"{KLINE}/{symbol}", standing(PERPETUAL), **asked)
    body = orjson.loads(orjson.dumps(reply.body))
    assert body["success"], body
    found: dict[str, list[Any]] = body["data"]
    return found


def minutes(times: list[int]) -> list[int]:
    """Open times in minutes from noon."""
    return [(time - NOON) // 60 for time in times]


def pushed(name: str, talk: Conversation, bar: Bar, at: float = NOON + 30) -> bytes:
    """The frame that carries this bar on the only channel."""
    [channel] = talk.channels.values()
    [frame] = talk.candle(Push(channel, bar, closed=False, first=False), standing(name, at))
    return frame if isinstance(frame, bytes) else frame.encode()


# --- against the recordings


def test_protobuf_as_recorded() -> None:
    """What was recorded, written by this dialect, is the recorded frame, byte for byte."""
    figures = {key: Decimal(value) if isinstance(value, str) else value
               for key, value in SPOT_BAR.items()}  # fmt: skip
    bar = replace(WORLDS[SPOT].market.bar("BTC-USDT", "1m", NOON), **figures)  # type: ignore[arg-type]  # a mapping
    ident = "2fb942154ef44a4ab2ef98c8afb6a4a7"

    found = protobuf_frame(BTC, "BTCUSDT", ident, 1_790_356_766_179, protobuf_candle("Min1", bar))

    assert found == SPOT_FRAME


def test_spot_frame_as_recorded() -> None:
    """A frame has the recorded fields; at each fourth bar there is one that nobody knows."""
    talk, expected = connect(SPOT), list(fields(SPOT_FRAME))
    ask(talk, wish(BTC), standing(SPOT))
    inner = []
    for minute in range(1, 5):
        bar = standing(SPOT).market.bar("BTC-USDT", "1m", NOON - 60 * minute)
        found = list(fields(pushed(SPOT, talk, bar)))
        assert [key for key, _ in found] == [key for key, _ in expected]
        assert dict(found)[1] == BTC.encode()
        body = dict(found)[308]
        assert isinstance(body, bytes)
        inner.append([key for key, _ in fields(body)])
    recorded = list(range(1, 10))
    assert inner == [recorded, recorded, recorded, [*recorded, 15]]


def test_contract_frame_as_recorded() -> None:
    """A frame has the recorded keys in their order, and numbers where there were numbers."""
    talk, around = connect(PERPETUAL), standing(PERPETUAL)
    ask(talk, contract("BTC_USDT"), around)
    bar = around.market.current("BTC-USDT", "1m", around.now.market)

    found, expected = (
        json.loads(frame, parse_int=float)
        for frame in (pushed(PERPETUAL, talk, bar), CONTRACT_FRAME)
    )
    assert shape(found) == shape(expected)


def test_spot_answers_as_recorded() -> None:
    """Confirmation, refusal and pong are the recorded ones; a refusal has id 0."""
    talk, around = connect(SPOT), standing(SPOT)

    assert ask(talk, wish(BTC), around) == [{"id": 0, "code": 0, "msg": BTC}]
    old = "spot@public.kline.v3.api@BTCUSDT@Min1"
    assert ask(talk, wish(old, id=1), around) == [BLOCKED]
    assert ask(talk, {"method": "PING"}, around) == [{"id": 0, "code": 0, "msg": "PONG"}]
    ended = ask(talk, wish(BTC, method="UNSUBSCRIPTION", id=3), around)
    assert ended == [{"id": 3, "code": 0, "msg": BTC}]
    assert not talk.channels


def test_contract_answers_as_recorded() -> None:
    """Confirmation, refusal and pong are the recorded ones; nothing else is answered."""
    talk, around = connect(PERPETUAL), standing(PERPETUAL)
    now = around.now.millis

    confirmed = {"channel": "rs.sub.kline", "data": "success", "ts": now}
    assert ask(talk, contract("BTC_USDT"), around) == [confirmed]
    assert ask(talk, contract("BTC_USDT"), around) == [confirmed]
    refused = {"channel": "rs.error", "data": "Contract [NOPE_USDT] not exists", "ts": now}
    assert ask(talk, contract("NOPE_USDT"), around) == [refused]
    assert ask(talk, {"method": "ping"}, around) == [{"channel": "pong", "data": now, "ts": now}]
    assert ask(talk, contract("BTC_USDT", method="sub.nonsense"), around) == []
    assert list(talk.channels) == ["BTC_USDT@Min1"]


def test_rows_as_recorded() -> None:
    """Spot rows have the recorded columns; close time is the next bar's open time."""
    rows = spot_rows(interval="60m", limit=5)

    assert shape(rows[0]) == shape(SPOT_ROW)
    assert rows[0][6] - rows[0][0] == 3_600_000
    assert all(before[6] == after[0] for before, after in pairwise(rows))
    assert all(before[4] == after[1] for before, after in pairwise(rows))


def test_columns_as_recorded() -> None:
    """A contract's history comes in the recorded columns, and newer ones for the trades alone."""
    found = columns()

    assert list(found)[:7] == COLUMNS
    assert list(found)[7:] == ["realOpen", "realClose", "realHigh", "realLow"]
    assert {len(column) for column in found.values()} == {2_000}
    assert found["close"][:-1] == found["open"][1:]
    assert found["realOpen"] != found["open"]
    assert {type(volume) for volume in found["vol"]} == {float}


def test_errors_as_recorded() -> None:
    """Spot errs with HTTP 400, contracts inside HTTP 200."""
    spot, perpetual = DIALECTS.values()
    symbol = get(spot, KLINES, standing(SPOT), symbol="NOPE", interval="1m")
    hour = get(spot, KLINES, standing(SPOT), symbol="BTCUSDT", interval="1h")
    unknown = get(perpetual, f"{KLINE}/NOPE_USDT", standing(PERPETUAL))

    assert (symbol.status, symbol.body) == (400, {"msg": "invalid symbol", "code": -1121})
    assert (hour.status, hour.body) == (400, {"msg": "Invalid interval."})
    expected = {"success": False, "code": 1001, "message": "Contract not exists"}
    assert (unknown.status, unknown.body) == (200, expected)
    slow = spot.slow_down(None, standing(SPOT))
    assert (slow.status, slow.body) == (429, {"msg": "Too many requests.", "code": -1003})
    late = perpetual.slow_down(None, standing(PERPETUAL))
    assert isinstance(late.body, dict)
    assert (late.status, late.body["code"]) == (200, 510)


def test_instruments_as_documented() -> None:
    """Instruments have the documented keys; what ended is offline, and a contract vanishes."""
    found: dict[str, dict[str, Any]] = {}
    for name, path, key in ((SPOT, INFO, "symbols"), (PERPETUAL, DETAIL, "data")):
        around = world(DIALECTS[name])
        around.market.delist("ETH-USDT", NOON, vanish=False)
        body = orjson.loads(orjson.dumps(get(DIALECTS[name], path, around).body))
        found[name] = {row["symbol"]: row for row in body[key]}

    assert kinds(found[SPOT]["BTCUSDT"]) == kinds(SPOT_INSTRUMENT)
    assert [found[SPOT][name]["status"] for name in ("BTCUSDT", "ETHUSDT")] == ["1", "3"]
    row = found[PERPETUAL]["BTC_USDT"]
    assert kinds(row) == kinds(CONTRACT)
    assert (row["contractSize"], found[PERPETUAL]["PEPE_USDT"]["contractSize"]) == (0.0001, 1e7)
    assert found[PERPETUAL]["BTC_USD"]["settleCoin"] == "BTC"
    assert "ETH_USDT" not in found[PERPETUAL]


# --- spot's conversation


@pytest.mark.parametrize(
    "name",
    [
        "spot@public.kline.v3.api.pb@NOPEUSDT@Min1",
        "spot@public.kline.v3.api.pb@TOMO3LUSDT@Min1",
        "spot@public.kline.v3.api.pb@BTCUSDT@Min3",
        "spot@public.kline.v3.api.pb@btcusdt@Min1",
        "nonsense",
    ],
)
def test_good_and_bad_channels_are_answered_apart(name: str) -> None:
    """The good ones of a request are confirmed together, the bad ones refused by text alone."""
    talk, around = connect(SPOT), standing(SPOT)
    other = BTC.replace("Min1", "Hour8")

    confirmed, refused = ask(talk, wish(BTC, name, other, id=9), around)

    assert confirmed == {"id": 9, "code": 0, "msg": f"{BTC},{other}"}
    assert (refused["id"], refused["code"]) == (0, 0)
    assert f"[{name}]" in refused["msg"]
    assert [channel.interval for channel in talk.channels.values()] == ["1m", "8h"]


def test_thirty_subscriptions() -> None:
    """A connection holds 30; beyond, the request is refused and stands in the journal."""
    talk, around = connect(SPOT), standing(SPOT)
    symbols = [listing.symbol for listing in DIALECTS[SPOT].listings[:12]]
    names = [
        f"spot@public.kline.v3.api.pb@{symbol}@{code}"
        for code in ("Min1", "Min5", "Day1")
        for symbol in symbols
    ]
    ask(talk, wish(*names[:30]), around)

    actions = list(talk.received(json.dumps(wish(names[30])), around))

    assert actions[0] == Overstep("subscriptions", 30, 31)
    assert "Not Subscribed" in said(actions)[0]["msg"]
    assert len(talk.channels) == 30


def test_spot_closes_what_is_left_alone() -> None:
    """30 s without subscriptions, pings or not; then 60 s without traffic."""
    talk = connect(SPOT)
    assert talk.due == 30
    ask(talk, {"method": "PING"}, standing(SPOT, real=20))
    assert talk.due == 30

    ask(talk, wish(BTC), standing(SPOT, real=25))
    assert talk.due == 85
    bar = standing(SPOT).market.bar("BTC-USDT", "1m", NOON)
    [channel] = talk.channels.values()
    list(talk.candle(Push(channel, bar, closed=False, first=False), standing(SPOT, NOON + 90, 40)))
    assert talk.due == 100
    assert list(talk.tick(standing(SPOT, real=100))) == [Close(1000, "")]


def test_refused_on_request() -> None:
    """What a fault refuses is Blocked, or does not exist."""
    refusing = {
        name: replace(standing(name), refuses=lambda pair, _: pair == "BTC-USDT")
        for name in DIALECTS
    }
    [blocked] = ask(connect(SPOT), wish(BTC), refusing[SPOT])
    [unknown] = ask(connect(PERPETUAL), contract("BTC_USDT"), refusing[PERPETUAL])
    assert "Blocked" in blocked["msg"]
    assert unknown["data"] == "Contract [BTC_USDT] not exists"


@pytest.mark.parametrize("frame", ["no json", "[]", "{}", '{"method":"SUBSCRIPTION","params":[]}'])
def test_malformed_request(frame: str) -> None:
    """Spot answers what it does not understand; contracts say nothing."""
    [answer] = said(connect(SPOT).received(frame, standing(SPOT)))
    assert answer["code"] == 0
    assert list(connect(PERPETUAL).received(frame, standing(PERPETUAL))) == []


# --- contracts' conversation


def test_a_bad_interval_is_confirmed_and_silent() -> None:
    """An interval that does not exist is confirmed, and nothing is served."""
    talk, around = connect(PERPETUAL), standing(PERPETUAL)
    [answer] = ask(talk, contract("BTC_USDT", "Min3"), around)
    assert answer["data"] == "success"
    assert not talk.channels


def test_unsubscribing_from_a_contract() -> None:
    """With an interval that one ends, without all of the contract do."""
    talk, around = connect(PERPETUAL), standing(PERPETUAL)
    for symbol, code in (("BTC_USDT", "Min1"), ("BTC_USDT", "Min5"), ("ETH_USDT", "Min1"),
                         ("BTC_USDT", "Day1")):  # fmt: skip
        ask(talk, contract(symbol, code), around)

    [ended] = ask(talk, contract("BTC_USDT", "Min5", "unsub.kline"), around)
    assert ended["channel"] == "rs.unsub.kline"
    assert list(talk.channels) == ["BTC_USDT@Min1", "ETH_USDT@Min1", "BTC_USDT@Day1"]
    ask(talk, {"method": "unsub.kline", "param": {"symbol": "BTC_USDT"}}, around)
    assert list(talk.channels) == ["ETH_USDT@Min1"]


def test_contracts_want_pings() -> None:
    """Without a ping for 60 s a client is told so, then closed, whatever else it says."""
    talk = connect(PERPETUAL)
    ask(talk, {"method": "ping"}, standing(PERPETUAL, real=20))
    ask(talk, contract("BTC_USDT"), standing(PERPETUAL, real=50))
    assert talk.due == 80

    told, closed = talk.tick(standing(PERPETUAL, real=80))

    assert said([told])[0]["channel"] == "rs.error"
    assert closed == Close(1000, "")


def test_trades_alone_stand_beside_the_bar() -> None:
    """`o`, `h` and `l` continue the bar before, `ro`, `rh` and `rl` are the trades'."""
    talk, around = connect(PERPETUAL), standing(PERPETUAL)
    ask(talk, contract("BTC_USDT"), around)
    found = []
    for minute in range(1, 30):
        bar = around.market.bar("BTC-USDT", "1m", NOON - 60 * minute)
        found.append(json.loads(pushed(PERPETUAL, talk, bar))["data"])
    assert all(after["o"] == before["c"] for after, before in pairwise(found))
    assert any(row["o"] != row["ro"] for row in found)
    assert all(row["l"] <= row["rl"] <= row["rh"] <= row["h"] for row in found)


# --- REST


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": 2}, [-1, 0]),
        ({"startTime": -5, "endTime": -2}, [-5, -4, -3]),
        ({"startTime": -5, "endTime": -2, "limit": 2}, [-4, -3]),
        ({"endTime": -5, "limit": 2}, [-1, 0]),
        ({"startTime": -2}, [-2, -1, 0]),
    ],
)
def test_bounds_of_spot(query: dict[str, int], expected: list[int]) -> None:
    """Start includes, end does not, and alone it is ignored; the newest rows win."""
    asked = {key: n if key == "limit" else (NOON + 60 * n) * 1_000 for key, n in query.items()}
    assert minutes([row[0] // 1_000 for row in spot_rows(**asked)]) == expected


def test_a_fault_finds_the_rows() -> None:
    """Rows are where the reply says that they are; columns are doubled alike."""
    spot = get(DIALECTS[SPOT], KLINES, standing(SPOT), symbol="BTCUSDT", interval="1m", limit=20)
    around = standing(PERPETUAL)
    perpetual = get(DIALECTS[PERPETUAL], f"{KLINE}/BTC_USDT", around, start=NOON - 1_200)

    assert len(doubled(DIALECTS[SPOT], spot)) > 20
    data = doubled(DIALECTS[PERPETUAL], perpetual)["data"]
    (length,) = {len(column) for column in data.values()}
    assert length > 20


def test_reach_of_spot() -> None:
    """Only the newest 500 bars are served, whatever is asked for."""
    early = {"startTime": (NOON - 1_000 * 60) * 1_000, "endTime": NOON * 1_000}
    rows = spot_rows(**early, limit=1_000)
    assert (len(rows), (rows[0][0] // 1_000 - NOON) // 60) == (499, -499)
    assert len(spot_rows(limit=1_000)) == len(spot_rows()) == 500


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"start": -5, "end": -2}, [-4, -3]),
        ({"start": -3}, [-2, -1, 0]),
    ],
)
def test_bounds_of_contracts(query: dict[str, int], expected: list[int]) -> None:
    """Both bounds exclude."""
    asked = {key: NOON + 60 * n for key, n in query.items()}
    assert minutes(columns(**asked)["time"]) == expected


def test_bars_without_trades_are_missing() -> None:
    """History has no bars without trades."""
    spot = [row[0] // 1_000 for row in spot_rows(symbol="ALGOUSDT")]
    perpetual = columns("ALGO_USDT", start=NOON - 6_000)["time"]
    for times in (spot, perpetual):
        assert any(after - before > 60 for before, after in pairwise(times))


def test_contracts_fit_the_base() -> None:
    """`vol` counts contracts: of base coins, of 100 USD where margined in coins."""
    around = standing(PERPETUAL)
    for listing in DIALECTS[PERPETUAL].listings:
        found = columns(listing.symbol, interval="Min15", start=NOON - 7_201, end=NOON)
        bar = around.market.bar(listing.trading_pair, "15m", found["time"][-1])
        volume, amount = found["vol"][-1], found["amount"][-1]
        if listing.quote == "USD":
            expected = [float(bar.quote_volume / 100), float(bar.volume)]
        else:
            expected = [float(bar.volume / listing.lot), float(bar.quote_volume)]
        assert [volume, amount] == expected, listing.symbol


def test_small_numbers_have_an_exponent() -> None:
    """Prices below 0.001 are printed in exponent form, and read as what they are."""
    reply = get(DIALECTS[PERPETUAL], f"{KLINE}/PEPE_USDT", standing(PERPETUAL), start=NOON - 120)
    assert b"E-5" in orjson.dumps(reply.body)
    assert 0 < columns("PEPE_USDT", start=NOON - 120)["close"][0] < 0.001


@pytest.mark.parametrize("name", DIALECTS)
def test_other_paths_are_refused(name: str) -> None:
    """Other paths do not exist, by HTTP or by WebSocket."""
    dialect, around = DIALECTS[name], standing(name)
    refused = dialect.connect(HttpRequest("GET", "/raw/ws", {}, {}), around)
    assert isinstance(refused, HttpReply)
    assert refused.status == get(dialect, "/api/v3/time", around).status == 404
