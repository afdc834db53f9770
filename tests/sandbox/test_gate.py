"""Gate's dialect, held against the card and against frames copied from the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from connectors.sandbox.dialect import Conversation, Cut, HttpReply, HttpRequest, Moment, World
from connectors.sandbox.gate import PERPETUAL, SPOT, Gate, multiplier
from connectors.sandbox.market import Bar
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

KINDS = {kind.market: kind for kind in (SPOT, PERPETUAL)}
DIALECTS = {name: Gate(kind) for name, kind in KINDS.items()}
EACH = pytest.mark.parametrize("name", DIALECTS)

# cryptofeed, crypto-msg-parser and live captures of 2023 to 2026, as in the recordings
FRAME = {
    "gate_spot": '{"time":1787423119,"time_ms":1787423119084,"channel":"spot.candlesticks","event":'
    '"update","result":{"t":"1787423100","v":"19192.2484961","c":"77308.6","h":"77308.7","l":'
    '"77308.6","o":"77308.6","n":"1m_BTC_USDT","a":"0.248255","w":false}}',
    "gate_perpetual": '{"time":1684930165,"time_ms":1684930165934,"channel":"futures.candlesticks",'
    '"event":"update","result":[{"t":1684930140,"v":0,"c":"0.1701","h":"0.1701","l":"0.1701",'
    '"o":"0.1701","n":"1m_FRONT_USDT"}]}',
}
CONFIRMED = {
    "gate_spot": '{"time":1725534679,"time_ms":1725534679786,"id":2,"conn_id":"fac539b443fd7002",'
    '"trace_id":"efe1d282b630b4aa266b84bee177791a","channel":"spot.trades","event":"unsubscribe",'
    '"payload":["LTC_USDT"],"result":{"status":"success"},'
    '"requestId":"efe1d282b630b4aa266b84bee177791a"}',
    "gate_perpetual": '{"time":1789456334,"time_ms":1789456334999,"conn_id":"c59a69fd3702aa1d",'
    '"trace_id":"5597c780565cf57ad16784743225b18b","channel":"futures.obu","event":"subscribe",'
    '"payload":["ob.BTC_USDT.50"],"result":{"status":"success"}}',
}
REFUSED = {
    "gate_spot": '{"time":1739853211,"time_ms":1739853211201,"id":1,"conn_id":"62f2c1dabbe186d7",'
    '"trace_id":"cdb02a8c0b61086b2fe6f8fad2f98c54","channel":"spot.trades","event":"subscribe",'
    '"payload":["LUNARLENS_USDT"],"error":{"code":2,"message":'
    '"unknown currency pair: LUNARLENS_USDT"},"result":{"status":"fail"},'
    '"requestId":"cdb02a8c0b61086b2fe6f8fad2f98c54"}',
    "gate_perpetual": '{"time":1789456896,"time_ms":1789456896882,"conn_id":"bf37dda1698c8b1e",'
    '"trace_id":"8d22020b2227c599fc38c061b09df478","channel":"futures.obu","event":"subscribe",'
    '"payload":["ob.BTC_USDT.50"],"error":{"code":2,"message":"Alert sub ob.BTC_USDT.50"},'
    '"result":{"status":"fail"}}',
}
PONG = {
    "gate_spot": '{"time":1787423113,"time_ms":1787423113699,"conn_id":"425849b1745325b6",'
    '"channel":"spot.pong","event":"","result":null,"requestId":"x"}',
    "gate_perpetual": '{"time":1789456354,"time_ms":1789456354999,"conn_id":"c59a69fd3702aa1d",'
    '"channel":"futures.pong","event":"","result":null}',
}
ROWS = {
    "gate_spot": '[["1738108800","229534412.73508700","103734.3","104779.9","101336.6","101343.8",'
    '"2232.94510000","true"]]',
    "gate_perpetual": '[{"t":1685167200,"v":97151,"c":"1.032","h":"1.032","l":"1.032","o":"1.032",'
    '"sum":"3580"}]',
}
INSTRUMENT = {
    "gate_spot": '{"id":"BTC_USDT","base":"BTC","quote":"USDT","fee":"0.2","min_base_amount":'
    '"0.0001","min_quote_amount":"1","amount_precision":4,"precision":2,"trade_status":"tradable",'
    '"sell_start":0,"buy_start":0}',
    "gate_perpetual": '{"in_delisting":false,"name":"BTC_USDT","type":"direct","last_price":"26696"'
    ',"mark_price":"26704.26","order_size_min":1,"order_size_max":1000000,"quanto_multiplier":'
    '"0.0001","trade_size":215705969894,"position_size":169531691}',
}


WORLDS = {name: world(dialect) for name, dialect in DIALECTS.items()}


def standing(name: str, at: float = NOON + 30, real: float = 0.0) -> World:
    """The world of a market, whose trades are drawn once, at another moment."""
    return replace(WORLDS[name], now=Moment(at, real))


def connect(name: str, around: World) -> Conversation:
    """A new connection."""
    return connected(DIALECTS[name], KINDS[name].socket, around)


def wish(name: str, *payload: object, event: str = "subscribe", **more: object) -> dict[str, Any]:
    """A request as the exchange wants it."""
    channel = f"{KINDS[name].prefix}.candlesticks"
    return {"time": NOON, "channel": channel, "event": event, "payload": list(payload), **more}


def reply(name: str, around: World | None = None, /, **query: object) -> HttpReply:
    """A reply of the candles' endpoint; `from_` means `from`."""
    words = {key.rstrip("_"): value for key, value in query.items()}
    asked = {KINDS[name].asked: "BTC_USDT", "interval": "1m", **words}
    return get(DIALECTS[name], f"{KINDS[name].root}/candlesticks", around or WORLDS[name], **asked)


def rows(name: str, around: World | None = None, /, **query: object) -> list[Any]:
    """Rows of history."""
    body = reply(name, around, **query).body
    assert isinstance(body, list), body
    return body


def opens(found: list[Any]) -> list[int]:
    """Open times in minutes from noon."""
    times = (row["t"] if isinstance(row, dict) else row[0] for row in found)
    return [(int(time) - NOON) // 60 for time in times]


# --- against the recordings


@EACH
def test_confirmation_and_pong_as_recorded(name: str) -> None:
    """A confirmation repeats what was asked; pings are answered by the recorded pong."""
    around = standing(name)
    expected = json.loads(CONFIRMED[name])
    talk = connect(name, around)
    more = {"id": expected["id"]} if "id" in expected else {}

    confirmed, _ = ask(talk, wish(name, "1m", "BTC_USDT", **more), around)
    [pong] = ask(talk, {"time": NOON, "channel": f"{KINDS[name].prefix}.ping"}, around)

    assert list(confirmed) == list(expected)
    assert confirmed["payload"] == ["1m", "BTC_USDT"]
    assert confirmed["result"] == {"status": "success"}
    assert shape(pong) == shape(json.loads(PONG[name]))
    assert pong["channel"] == json.loads(PONG[name])["channel"]


@EACH
def test_refusal_as_recorded(name: str) -> None:
    """An unknown pair is refused in the recorded envelope; so is a second subscription."""
    around = standing(name)
    expected = json.loads(REFUSED[name])
    talk = connect(name, around)
    more = {"id": expected["id"]} if "id" in expected else {}

    [unknown] = ask(talk, wish(name, "1m", "NOPE_USDT", **more), around)
    ask(talk, wish(name, "1m", "BTC_USDT", **more), around)
    [again] = ask(talk, wish(name, "1m", "BTC_USDT", **more), around)

    assert kinds(unknown).keys() == kinds(again).keys() == expected.keys()
    assert unknown["error"] == {"code": 2, "message": KINDS[name].unknown.format("NOPE_USDT")}
    assert again["error"] == {"code": 2, "message": "Alert sub 1m_BTC_USDT"}
    assert unknown["result"] == {"status": "fail"}
    assert list(talk.channels) == ["1m_BTC_USDT"]


@EACH
def test_frame_as_recorded(name: str) -> None:
    """A frame has the recorded keys in their order, and their types."""
    around = standing(name)
    talk = connect(name, around)
    _, first = ask(talk, wish(name, "1m", "BTC_USDT"), around)
    bar = around.market.current("BTC-USDT", "1m", around.now.market)

    found = candle(talk, talk.channels["1m_BTC_USDT"], bar, around)

    assert found == first
    assert shape(found) == shape(json.loads(FRAME[name]))


def test_volumes_of_frames() -> None:
    """On spot `v` is the quote volume and `a` the base volume; on perpetuals `v` is contracts."""
    found = {}
    for name in DIALECTS:
        around = standing(name, NOON + 42.5)
        _, frame = ask(connect(name, around), wish(name, "1m", "BTC_USDT"), around)
        bar = around.market.current("BTC-USDT", "1m", NOON + 42.5)
        found[name] = frame["result"], bar
    spot, bar = found["gate_spot"]
    assert (Decimal(spot["v"]), Decimal(spot["a"])) == (bar.quote_volume, bar.volume)
    [perpetual], bar = found["gate_perpetual"]
    assert perpetual["v"] == bar.volume / Decimal("0.0001") > 0


@EACH
def test_first_push_comes_without_trades_too(name: str) -> None:
    """After the confirmation the running bar is pushed, flat where nothing was traded."""
    around = standing(name, NOON + 1.0)

    _, frame = ask(connect(name, around), wish(name, "1m", "ALGO_USDT"), around)

    bar = frame["result"] if name == "gate_spot" else frame["result"][0]
    assert bar["v"] in ("0", 0)
    assert {bar["o"]} == {bar["h"], bar["l"], bar["c"]}


@EACH
def test_rows_as_recorded(name: str) -> None:
    """A page has the recorded columns, oldest first, the running bar last."""
    found = reply(name, limit=1)

    assert shape(found.body) == shape(json.loads(ROWS[name]))
    assert opens(rows(name, limit=3)) == [-2, -1, 0]
    assert found.rows == ""


def test_columns_of_spot() -> None:
    """Spot rows are time, quote volume, close, high, low, open, base volume, closed."""
    around = standing("gate_spot")
    row, _ = rows("gate_spot", around, limit=2)
    bar = around.market.bar("BTC-USDT", "1m", NOON - 60)

    figures = (bar.quote_volume, bar.close, bar.high, bar.low, bar.open, bar.volume)
    assert [Decimal(figure) for figure in row[1:7]] == list(figures)
    assert row[7] == "true"


def test_contracts() -> None:
    """Volume counts contracts: numbers, and text where they have decimal sizes."""
    around = standing("gate_perpetual")
    for listing in DIALECTS["gate_perpetual"].listings[::4]:
        [row] = rows("gate_perpetual", around, contract=listing.symbol, interval="1h", to=NOON - 1)[
            -1:
        ]
        bar = around.market.bar(listing.trading_pair, "1h", NOON - 3_600)
        assert Decimal(row["v"]) * multiplier(listing) == bar.volume
        assert Decimal(row["sum"]) == bar.quote_volume
        assert isinstance(row["v"], str) == (listing.base == "LTC"), listing.base


@EACH
def test_instruments_as_recorded(name: str) -> None:
    """Instruments have the recorded keys; what ended, and what never traded here, says so."""
    around = world(DIALECTS[name])
    around.market.delist("ETH-USDT", NOON, vanish=False)
    body: Any = get(DIALECTS[name], KINDS[name].instruments, around).body

    found = {row.get("id", row.get("name")): row for row in body}
    recorded = kinds(json.loads(INSTRUMENT[name]))
    assert kinds(found["BTC_USDT"]) | recorded == kinds(found["BTC_USDT"])
    if name == "gate_spot":
        assert found["ETH_USDT"]["trade_status"] == "untradable"
        assert "min_base_amount" not in found["SAL_USDT"]
    else:
        assert found["ETH_USDT"]["in_delisting"]
        sizes = [found[f"{base}_USDT"]["quanto_multiplier"] for base in ("BTC", "ETH")]
        assert sizes == ["0.0001", "0.01"]


# --- subscribing


@EACH
def test_more_than_one_pair_is_acknowledged_and_silent(name: str) -> None:
    """A nested list and a longer one are acknowledged; nothing is served."""
    around = standing(name)
    talk = connect(name, around)
    nested = [["1m", "BTC_USDT"], ["1m", "ETH_USDT"]]

    for payload in (nested, ["1m", "BTC_USDT", "ETH_USDT"]):
        [confirmed] = ask(talk, wish(name, *payload), around)
        assert confirmed["result"] == {"status": "success"}
    assert not talk.channels


def test_another_settle_currency_is_acknowledged_and_silent() -> None:
    """A contract margined in coins is acknowledged on the USDT socket; spot does not know it."""
    answers = {}
    for name in DIALECTS:
        around = standing(name)
        talk = connect(name, around)
        [answer] = ask(talk, wish(name, "1m", "BTC_USD"), around)
        answers[name] = answer["result"]["status"]
        assert not talk.channels
    assert answers == {"gate_spot": "fail", "gate_perpetual": "success"}


@EACH
@pytest.mark.parametrize("code", ["2h", "12h", "30d", "3m", "1w", "1M"])
def test_intervals_that_are_not_streamed(name: str, code: str) -> None:
    """Doubtful and unknown intervals are refused."""
    around = standing(name)
    [refused] = ask(connect(name, around), wish(name, code, "BTC_USDT"), around)
    assert refused["result"] == {"status": "fail"}


@EACH
@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", 1),
        ('{"time":1,"channel":"other","event":"subscribe","payload":[]}', 2),
        ('{"time":1,"channel":"{}.candlesticks","event":"shout","payload":[]}', 2),
        ('{"channel":"{}.candlesticks","event":"subscribe","payload":["1m","BTC_USDT"]}', 2),
        ('{"time":1,"channel":"{}.candlesticks","event":"subscribe"}', 2),
    ],
)
def test_malformed_request(name: str, message: str, code: int) -> None:
    """What is not understood is refused, and the connection stays."""
    around = standing(name)
    text = message.replace("{}", KINDS[name].prefix)
    actions = list(connect(name, around).received(text, around))
    [refused] = said(actions)
    assert (refused["error"]["code"], len(actions)) == (code, 1)


@EACH
def test_unsubscribing_and_refusal_on_request(name: str) -> None:
    """What ends is served no more; what a fault refuses is unknown."""
    around = world(
        DIALECTS[name], refuses=lambda pair, interval: (pair, interval) == ("BTC-USDT", "5m")
    )
    talk = connect(name, around)
    ask(talk, wish(name, "1m", "BTC_USDT"), around)

    [ended] = ask(talk, wish(name, "1m", "BTC_USDT", event="unsubscribe"), around)
    [refused] = ask(talk, wish(name, "5m", "BTC_USDT"), around)

    assert (ended["event"], ended["result"]["status"]) == ("unsubscribe", "success")
    assert refused["error"]["message"] == KINDS[name].unknown.format("BTC_USDT")
    assert not talk.channels


@EACH
def test_silent_client_is_cut_off(name: str) -> None:
    """Who sends nothing is cut off after 30.5 s without subscriptions, else after 60 s."""
    talk = connect(name, standing(name))
    assert talk.due == 30.5

    ask(talk, wish(name, "1m", "BTC_USDT"), standing(name, real=10))

    assert talk.due == 70
    assert list(talk.tick(standing(name, real=70))) == [Cut()]


def last_frames(name: str) -> list[list[dict[str, Any]]]:
    """What the closing frames of eight minutes hold."""
    held = []
    for minute in range(8):
        around = standing(name, NOON + 60 * minute + 61.5)
        talk = connect(name, around)
        ask(talk, wish(name, "1m", "BTC_USDT"), around)
        bar = around.market.bar("BTC-USDT", "1m", NOON + 60 * minute)
        frame = candle(talk, talk.channels["1m_BTC_USDT"], bar, around, closed=name == "gate_spot")
        held.append(frame["result"] if isinstance(frame["result"], list) else [frame["result"]])
    return held


def test_last_frames() -> None:
    """Spot's last frame says closed; a perpetual's at times holds the next bar instead."""
    spot, perpetual = map(last_frames, DIALECTS)
    assert [[bar["w"] for bar in bars] for bars in spot] == [[True]] * 8
    assert [len(bars) for bars in perpetual] == [2, 1, 1, 1] * 2
    assert [int(bar["t"]) - NOON for bar in perpetual[4]] == [240, 300]


def test_notice_of_an_upgrade() -> None:
    """Futures tell of an upgrade before they close."""
    around = standing("gate_perpetual")
    [notice] = said(connect("gate_perpetual", around).leaving(around))
    assert (notice["channel"], notice["result"]["type"]) == ("futures.system", "upgrade")
    assert [dialect.notice for dialect in DIALECTS.values()] == [None, 30.0]


@EACH
def test_other_paths_are_refused(name: str) -> None:
    """The other market's paths do not exist here."""
    [other] = DIALECTS.keys() - {name}
    dialect, around = DIALECTS[name], standing(name)
    refused = dialect.connect(HttpRequest("GET", KINDS[other].socket, {}, {}), around)
    assert isinstance(refused, HttpReply)
    assert refused.status == get(dialect, KINDS[other].instruments).status == 404


# --- REST


@EACH
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"to": -5, "limit": 2}, [-6, -5]),
        ({"from_": -3}, [-3, -2, -1, 0]),
        ({"from_": -8, "to": -6}, [-8, -7, -6]),
    ],
)
def test_bounds(name: str, query: dict[str, int], expected: list[int]) -> None:
    """Both bounds include, the oldest comes first; `to` and `limit` go together."""
    asked = {key: n if key == "limit" else NOON + 60 * n for key, n in query.items()}
    assert opens(rows(name, **asked)) == expected


@EACH
@pytest.mark.parametrize(
    "query",
    [
        {"from_": NOON - 600, "to": NOON, "limit": 5},
        {"from_": NOON - 600, "limit": 5},
        {"from_": NOON - 2_001 * 60},
        {"limit": 2_001},
        {"limit": 0},
        {"to": "noon"},
        {"interval": "7m"},
    ],
)
def test_bad_parameters(name: str, query: dict[str, object]) -> None:
    """Bounds with `limit`, too many points and what is no number are HTTP 400 with a label."""
    found = reply(name, **query)
    assert isinstance(found.body, dict)
    assert (found.status, found.body["label"]) == (400, "INVALID_PARAM_VALUE")


@EACH
def test_unknown_pair(name: str) -> None:
    """An unknown pair is refused as recorded."""
    found = reply(name, **{KINDS[name].asked: "NOPE_USDT"})
    expected = {"label": "INVALID_CURRENCY", "message": "Invalid currency NOPE"}
    assert (found.status, found.body) == (400, expected)


@EACH
def test_a_fault_finds_the_rows(name: str) -> None:
    """Rows are where the reply says that they are."""
    assert len(doubled(DIALECTS[name], reply(name, limit=20))) > 20


def test_reach() -> None:
    """Spot refuses what is older than 10 000 bars, as recorded; perpetuals have no such rows."""
    edge = NOON - 10_000 * 60
    found = [reply(name, to=edge, limit=10) for name in DIALECTS]
    text = "Candlestick too long ago. Maximum 10000 points ago are allowed"
    assert found[0].body == {"label": "INVALID_PARAM_VALUE", "message": text}
    assert found[1].body == []
    assert len(rows("gate_spot")) == 100


def test_weeks_begin_apart() -> None:
    """Weeks begin on Monday on spot, on Thursday on perpetuals."""
    days: list[int] = []
    for name in DIALECTS:
        [minutes] = opens(rows(name, interval="7d", limit=1))
        days.append((NOON + 60 * minutes) // 86_400 % 7)
    assert days == [4, 0]  # counted from Thursday, 1970-01-01


@EACH
def test_first_trade_replaces_the_carried_open(name: str) -> None:
    """A bar is flat at the last close until its first trade, whose price then is its open."""
    market = standing(name).market
    bars: list[Bar] = market.latest("ALGO-USDT", "1m", NOON, NOON, 200)
    assert any(bar.open != before.close for before, bar in pairwise(bars))


def test_limits_are_told() -> None:
    """Replies tell how many requests are left; too many are refused by label."""
    dialect = DIALECTS["gate_spot"]
    around = world(dialect)
    assert dialect.budget_headers("candles", 3, around) == {
        "X-Gate-RateLimit-Requests-Remain": "197",
        "X-Gate-RateLimit-Limit": "200",
    }
    slow = dialect.slow_down(None, around)
    assert (slow.status, slow.headers) == (429, {})
    assert slow.body == {"label": "TOO_MANY_REQUESTS", "message": "Too many requests"}
